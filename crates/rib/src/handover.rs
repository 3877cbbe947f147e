//! One peer's Adj-RIBs as data, for another process that goes on with its session.
//!
//! They travel as UPDATE messages, RFC 4271 section 4.3, in one fixed dialect: four-octet AS numbers, messages of up to
//! 65535 octets, IPv6 next hops for IPv4. So the format is the RFC's, it is read by the decoder that peers are read by,
//! and routes come back by the way that they came first: [`Rib::receive_update`]. What was announced to the peer comes
//! back by [`Rib::restore_sent`]; what is the same then is not sent again.
//!
//! Not here: sessions, when it is done, and what holds all of it together.

use std::cmp::Ordering;
use std::sync::Arc;

use bgp_wire::attribute::{AttributeBuffer, StoredAttributes};
use bgp_wire::context::MAX_EXTENDED_MESSAGE;
use bgp_wire::message::{self, Message};
use bgp_wire::update::encode;
use bgp_wire::{
    DecodeContext, EncodeContext, Family, Framer, Next, NextHop, Nlri, NlriEntry, PathAttributes, PeerKind,
    PerFamily, Update,
};
use bytes::{Bytes, BytesMut};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::config::PeerId;
use crate::peer::{EndOfRib, Peer};
use crate::rib::Rib;
use crate::table::Table;

/// The Adj-RIBs of one peer, each a stream of UPDATE messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// What the peer has announced and still holds, with its End-of-RIBs.
    pub received: Bytes,
    /// What it announced before a restart of its own or before a refresh, and has not announced again yet.
    pub stale: Bytes,
    /// What the peer was told: routes, those that it may have in another form as withdrawn ones, our End-of-RIBs.
    pub sent: Bytes,
    /// The peer has asked for our routes again, between brackets, and has not got all of them.
    pub refresh: PerFamily<bool>,
    /// Routes whose attributes fit into no message; they are in none of the streams.
    pub lost: u64,
}

/// A stream of UPDATE messages that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at octet {at} is no sound UPDATE")]
pub struct Damaged {
    /// Where the message begins.
    pub at: usize,
}

/// What was announced for a route.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exported {
    attributes: StoredAttributes,
    next_hop: NextHop,
}

/// What a peer has from us, as an earlier process told it; by prefix id. Looked at once for each prefix. By numbers of our
/// own, so the hash needs no secret.
pub(crate) type Known = HashMap<u32, Arc<Exported>, FixedState>;

fn dialect() -> EncodeContext {
    EncodeContext {
        four_octet_as: true,
        add_path: PerFamily::default(),
        max_len: MAX_EXTENDED_MESSAGE,
        extended_next_hop: PerFamily { ipv4: true, ipv6: true },
    }
}

/// Reads a stream of [`Carried`] that comes in pieces, whichever way it is cut.
#[derive(Debug)]
pub struct Reader {
    cx: DecodeContext,
    framer: Framer,
    octets: BytesMut,
    /// Octets of the stream before those in `octets`.
    at: usize,
}

impl Reader {
    /// At the beginning of a stream; `kind` is where the peer is.
    pub fn new(kind: PeerKind) -> Self {
        let mut framer = Framer::new();
        framer.allow_extended();
        let cx = DecodeContext { peer: kind, ..DecodeContext::default() };
        Self { cx, framer, octets: BytesMut::new(), at: 0 }
    }

    /// Takes the next octets of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.octets.extend_from_slice(piece);
    }

    /// The UPDATEs that are whole by now and were not given before.
    ///
    /// # Errors
    /// It is not what [`Rib::carry`] wrote: nothing of the stream should be used.
    pub fn updates(&mut self) -> Result<Vec<Update>, Damaged> {
        let mut updates = Vec::new();
        while let Some(update) = self.next_update()? {
            updates.push(update);
        }
        Ok(updates)
    }

    fn next_update(&mut self) -> Result<Option<Update>, Damaged> {
        let (at, before) = (self.at, self.octets.len());
        let frame = match self.framer.next(&mut self.octets) {
            Next::Wait => return Ok(None),
            Next::Message(frame) => frame,
            Next::Fault(_) => return Err(Damaged { at }),
        };
        self.at += before.saturating_sub(self.octets.len());
        match message::decode(&frame, &self.cx) {
            Ok(Message::Update(update)) if update.faults.is_empty() => Ok(Some(update)),
            _ => Err(Damaged { at }),
        }
    }

    /// The stream is at its end.
    ///
    /// # Errors
    /// It ends within a message.
    pub fn finish(&self) -> Result<(), Damaged> {
        if self.octets.is_empty() { Ok(()) } else { Err(Damaged { at: self.at }) }
    }
}

impl Rib {
    /// The Adj-RIBs of a peer that is up; `None` for one that is not known.
    pub fn carry(&self, id: PeerId) -> Option<Carried> {
        let place = *self.places.get(&id)?;
        let peer = self.peer(place)?;
        let mut carried = Carried::default();
        let (mut received, mut stale, mut sent) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
        for family in Family::ALL {
            carried.lost += self.write_received(peer, family, false, &mut received);
            carried.lost += self.write_received(peer, family, true, &mut stale);
            carried.lost += self.write_sent(place, family, &mut sent);
            let state = &peer.families[family];
            if state.end_of_rib_received {
                received.extend_from_slice(&encode::end_of_rib(family));
            }
            if state.out.end_of_rib == EndOfRib::Sent {
                sent.extend_from_slice(&encode::end_of_rib(family));
            }
            let out = &state.out;
            // Where it is only to be told everything, the next process does that by itself.
            carried.refresh[family] = out.refresh_due || out.refreshing;
        }
        (carried.received, carried.stale, carried.sent) = (received.freeze(), stale.freeze(), sent.freeze());
        Some(carried)
    }

    fn write_received(&self, peer: &Peer, family: Family, stale: bool, out: &mut BytesMut) -> u64 {
        let cells = peer.families[family].received.iter().filter(|(_, cell)| cell.stale() == stale);
        let routes = cells.map(|(id, cell)| (cell.set(), id)).collect();
        write_routes(&self.tables[family], routes, out, |set, attributes| {
            let set = self.sets.get(set)?;
            attributes.copy_all(set.octets());
            Some(self.hops.key(set.hop)?.next_hop)
        })
    }

    /// What waits to be told may be there in an older form: the peer has something for it, and nobody knows what.
    fn write_sent(&self, place: usize, family: Family, out: &mut BytesMut) -> u64 {
        let Some(peer) = self.peer(place) else { return 0 };
        let (state, table) = (&peer.families[family].out, &self.tables[family]);
        let group = state.group.and_then(|at| table.groups.get(at)?.as_ref());
        let mut waiting = state.pending.clone();
        for id in state.batch.ids() {
            waiting.insert(*id);
        }
        let told = |id: u32| {
            let entry = table.entry(id);
            let seen = state.caught_up_to.is_none_or(|next| id < next);
            let settled = seen && !waiting.contains(id) && !entry.best_place.is(place);
            group.filter(|_| settled)?.announced(id, entry.best(&self.forwardings)?, self.exports())
        };
        let (mut known, mut unknown, mut inherited) = (Vec::new(), Vec::new(), Vec::new());
        for id in state.sent.iter() {
            match (state.known.get(&id), told(id)) {
                // It has not been looked at since an earlier process told it.
                (Some(exported), _) => inherited.push((ByAddress(exported), id)),
                (None, None) => unknown.push(id),
                (None, Some(best)) => known.push((best, id)),
            }
        }
        let ids = unknown.into_iter();
        let mut entries = ids.filter_map(|id| table.prefixes.prefix(id)).map(NlriEntry::from).peekable();
        while entries.peek().is_some() {
            encode::withdraw(&dialect(), family, &mut entries, out);
        }
        let lost = write_routes(table, known, out, |best, attributes| {
            self.exports().write(&group?.profile, best, attributes)
        });
        lost + write_routes(table, inherited, out, |ByAddress(exported), attributes| {
            attributes.copy_all(exported.attributes.as_slice());
            Some(exported.next_hop)
        })
    }

    /// Takes in an UPDATE of [`Carried::stale`], after those of [`Carried::received`]: its routes stay until the peer has
    /// announced them again or they are swept.
    pub fn restore_stale(&mut self, id: PeerId, update: &Update) {
        self.receive_update(id, update);
        let Some(Some(peer)) = self.places.get(&id).and_then(|place| self.peers.get_mut(*place)) else {
            return;
        };
        for nlri in update.announced.iter().map(|announcement| &announcement.nlri) {
            let (state, table) = (&mut peer.families[nlri.family()], &mut self.tables[nlri.family()]);
            for entry in nlri.iter() {
                let Some(id) = table.prefixes.find(entry.prefix) else { continue };
                let cell = state.received.get(id);
                if !cell.is_none() && !cell.stale() {
                    table.replace(&mut state.received, id, cell.with_stale(true));
                    state.stale += 1;
                }
            }
        }
    }

    /// Takes in an UPDATE of [`Carried::sent`]: the peer has these routes. To be called after [`Rib::add_peer`] and before
    /// the first [`Rib::next_update`], which then writes only what differs.
    pub fn restore_sent(&mut self, id: PeerId, update: &Update) {
        let Some(Some(peer)) = self.places.get(&id).and_then(|place| self.peers.get_mut(*place)) else {
            return;
        };
        let announced = update.announced.iter().filter_map(|announcement| {
            let attributes = update.attributes.as_ref()?.as_slice().to_stored();
            let exported = Exported { attributes, next_hop: announcement.next_hop };
            Some((&announcement.nlri, Some(Arc::new(exported))))
        });
        let unknown = update.withdrawn.iter().map(|nlri| (nlri, None));
        for (nlri, exported) in announced.chain(unknown) {
            let family = nlri.family();
            if peer.speaks(family) {
                let out = &mut peer.families[family].out;
                has(out, &mut self.tables[family], nlri, exported.as_ref());
            }
        }
        if let Some(family) = update.end_of_rib.filter(|family| peer.speaks(*family)) {
            peer.families[family].out.end_of_rib = EndOfRib::Sent;
        }
    }
}

/// The peer has these prefixes, in this form where that is known. Each is looked at when the peer pulls.
fn has(out: &mut crate::peer::PeerOut, table: &mut Table, nlri: &Nlri, exported: Option<&Arc<Exported>>) {
    for entry in nlri.iter() {
        let Some(id) = table.insert(entry.prefix) else { continue };
        // The first hold comes before anything could let go of a new id.
        if out.sent.insert(id) {
            table.hold(id);
        }
        if out.pending.insert(id) {
            table.hold(id);
        }
        match exported {
            Some(exported) => out.known.insert(id, Arc::clone(exported)),
            None => out.known.remove(&id),
        };
    }
}

/// Whether `what` is announced in the form that the peer knows.
pub(crate) fn same(known: &Exported, (attributes, next_hop): &(PathAttributes, NextHop)) -> bool {
    // As values: the order of attributes means nothing, and a message may have changed it.
    known.next_hop == *next_hop && known.attributes.as_slice().parse() == *attributes
}

/// One form that an earlier process announced, told from others by where it is.
#[derive(Clone, Copy, Debug)]
struct ByAddress<'a>(&'a Exported);

impl ByAddress<'_> {
    fn address(self) -> *const Exported {
        self.0
    }
}

impl PartialEq for ByAddress<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for ByAddress<'_> {}

impl Ord for ByAddress<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.address().cmp(&other.address())
    }
}

impl PartialOrd for ByAddress<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Writes announcements, each as full as its attributes allow; how many routes fit into none.
fn write_routes<K: Ord + Copy>(
    table: &Table,
    mut routes: Vec<(K, u32)>,
    out: &mut BytesMut,
    write: impl Fn(K, &mut AttributeBuffer) -> Option<NextHop>,
) -> u64 {
    let (mut lost, mut attributes) = (0, AttributeBuffer::default());
    routes.sort_unstable();
    for run in routes.chunk_by(|a, b| a.0 == b.0) {
        attributes.clear();
        let next_hop = run.first().and_then(|(what, _)| write(*what, &mut attributes));
        let Some(next_hop) = next_hop else { continue };
        let prefixes = run.iter().filter_map(|(_, id)| table.prefixes.prefix(*id));
        let mut entries = prefixes.map(NlriEntry::from).peekable();
        while entries.peek().is_some() {
            if encode::announce_octets(&dialect(), attributes.as_slice(), next_hop, &mut entries, out)
                .is_err()
            {
                lost += u64::try_from(entries.by_ref().count()).unwrap_or(u64::MAX);
            }
        }
    }
    lost
}

//! Adj-RIB-Out: RFC 4271 section 9.2, pulled by the peer when it can take more.
//!
//! Nothing is queued for a peer but a bit for each prefix that has changed for it. What it is told is what holds when it
//! asks: a slow peer costs no memory, and a flap that is over when it asks costs at most one UPDATE. Prefixes are taken
//! out in batches and sorted by what is announced, so that each UPDATE is as full as its attributes allow.

use bgp_wire::route_refresh::{RouteRefresh, Subtype};
use bgp_wire::update::encode;
use bgp_wire::{EncodeContext, Family, NlriEntry};
use bytes::BytesMut;

use crate::config::PeerId;
use crate::group::{ExportedSets, Group};
use crate::handover;
use crate::interned::NONE;
use crate::peer::{EndOfRib, PeerOut};
use crate::refresh;
use crate::rib::Rib;
use crate::table::Table;

/// Prefixes that are sorted at a time.
const BATCH: usize = 16_384;

impl Rib {
    /// Appends UPDATEs for a peer to `out`, whole ones, until it holds `limit` octets or more (by at most one message), and
    /// says whether there is more. End-of-RIB comes for every family when the first routes are out, also where there are
    /// none.
    pub fn next_update(&mut self, id: PeerId, out: &mut BytesMut, limit: usize) -> bool {
        let Some(Some(peer)) = self.places.get(&id).and_then(|place| self.peers.get_mut(*place)) else {
            return false;
        };
        let encode = peer.settings.encode;
        for family in Family::ALL {
            let state = &mut peer.families[family].out;
            let table = &mut self.tables[family];
            let group = match state.group.map(|at| table.groups.get_mut(at).and_then(Option::take)) {
                Some(Some(group)) => Some(group),
                Some(None) | None => None,
            };
            if group.as_ref().is_some_and(|group| group.filling.is_some()) {
                restore(table, state, group);
                continue;
            }
            let mut writer = Writer {
                peer: id,
                family,
                encode,
                state,
                table,
                group: group.as_ref(),
                exported: &self.exported,
            };
            let done = writer.write(out, limit);
            restore(table, state, group);
            if !done {
                return true;
            }
        }
        false
    }

    /// Whether [`Rib::next_update`] has something for a peer.
    pub fn has_update(&self, id: PeerId) -> bool {
        self.by_id(id).is_some_and(|peer| {
            peer.families.iter().any(|(family, state)| {
                let out = &state.out;
                let filling = out
                    .group
                    .and_then(|at| self.tables[family].groups.get(at)?.as_ref())
                    .is_some_and(|group| group.filling.is_some());
                out.waits() && !filling
            })
        })
    }

    /// Peers for which [`Rib::next_update`] has something.
    pub fn peers_with_updates(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.iter().flatten().map(|peer| peer.id).filter(|id| self.has_update(*id))
    }
}

fn restore(table: &mut Table, state: &PeerOut, group: Option<Group>) {
    if let (Some(at), Some(group)) = (state.group, group)
        && let Some(place) = table.groups.get_mut(at)
    {
        *place = Some(group);
    }
}

/// One peer and family while it pulls.
struct Writer<'a> {
    peer: PeerId,
    family: Family,
    encode: EncodeContext,
    state: &'a mut PeerOut,
    table: &'a mut Table,
    /// Taken out of the table.
    group: Option<&'a Group>,
    exported: &'a ExportedSets,
}

impl Writer<'_> {
    /// Whether everything is out.
    fn write(&mut self, out: &mut BytesMut, limit: usize) -> bool {
        while self.state.waits() {
            if out.len() >= limit {
                return false;
            }
            if !self.state.batch.is_empty() || self.fill_batch() {
                self.write_run(out, limit);
            } else {
                self.write_mark(out);
            }
        }
        true
    }

    /// All routes are out: End-of-RIB, or the next bracket of a refresh, RFC 7313 section 4.
    fn write_mark(&mut self, out: &mut BytesMut) {
        let mark = |subtype| RouteRefresh { family: self.family.code(), subtype }.encode();
        if self.state.end_of_rib == EndOfRib::Due {
            out.extend_from_slice(&encode::end_of_rib(self.family));
            self.state.end_of_rib = EndOfRib::Sent;
        } else if self.state.refreshing {
            out.extend_from_slice(&mark(Subtype::End));
            self.state.refreshing = false;
        } else if self.state.refresh_due {
            out.extend_from_slice(&mark(Subtype::Begin));
            (self.state.refresh_due, self.state.refreshing) = (false, true);
            refresh::send_again(self.state, self.table);
        }
    }

    /// What the peer is to have for a prefix now; [`NONE`] for nothing.
    fn desired(&self, id: u32) -> u32 {
        let from_the_peer = self.table.entry(id).best_peer == self.peer;
        match self.group {
            Some(group) if !from_the_peer => group.cells.get(id).set(),
            Some(_) | None => NONE,
        }
    }

    /// Whether the peer has exactly this from an earlier process. It is asked once: what is written from then on is ours.
    fn is_known(&mut self, id: u32, what: u32) -> bool {
        // Nearly always nothing is known.
        !self.state.known.is_empty()
            && self.state.known.remove(&id).is_some_and(|known| {
                self.exported.sets.get(what).is_some_and(|now| handover::same(&known, now))
            })
    }

    /// Takes out prefixes that wait; whether there were any.
    fn fill_batch(&mut self) -> bool {
        while self.state.batch.len() < BATCH {
            let Some(id) = self.state.pending.pop() else { break };
            let what = self.desired(id);
            if self.is_known(id, what) {
                self.table.release(id);
            } else {
                self.state.batch.push((what, id));
            }
        }
        self.state.batch.sort_unstable_by(|a, b| b.cmp(a));
        !self.state.batch.is_empty()
    }

    /// Writes messages for the last prefixes of the batch that have the same announcement, or the same lack of one.
    fn write_run(&mut self, out: &mut BytesMut, limit: usize) {
        let Some((what, _)) = self.state.batch.last().copied() else { return };
        let first = self.state.batch.iter().rposition(|(other, _)| *other != what).map_or(0, |at| at + 1);
        let run = self.state.batch.split_off(first);
        let mut ids = Vec::with_capacity(run.len());
        for (_, id) in run {
            // What has changed since is waiting again.
            let current = self.desired(id) == what && (what != NONE || self.state.sent.contains(id));
            if current {
                ids.push(id);
            } else {
                self.table.release(id);
            }
        }
        let written = if what == NONE {
            self.withdraw(&ids, out, limit)
        } else {
            self.announce(what, &ids, out, limit)
        };
        self.state.batch.extend(ids.get(written..).unwrap_or_default().iter().map(|id| (what, *id)));
    }

    fn entries<'b>(&'b self, ids: &'b [u32]) -> impl Iterator<Item = NlriEntry> + 'b {
        ids.iter().filter_map(|id| self.table.prefixes.prefix(*id)).map(NlriEntry::from)
    }

    /// How many of `ids` were withdrawn.
    fn withdraw(&mut self, ids: &[u32], out: &mut BytesMut, limit: usize) -> usize {
        let mut written = 0;
        let mut entries = self.entries(ids).peekable();
        while entries.peek().is_some() && out.len() < limit {
            written += encode::withdraw(&self.encode, self.family, &mut entries, out);
        }
        drop(entries);
        for id in ids.iter().take(written) {
            if self.state.sent.remove(*id) {
                self.table.release(*id);
            }
            self.table.release(*id);
        }
        written
    }

    /// How many of `ids` were announced.
    fn announce(&mut self, what: u32, ids: &[u32], out: &mut BytesMut, limit: usize) -> usize {
        let Some(exported) = self.exported.sets.get(what) else { return ids.len() };
        let attributes = &exported.attributes;
        let mut written = 0;
        let mut entries = self.entries(ids).peekable();
        let mut too_long = false;
        while entries.peek().is_some() && out.len() < limit && !too_long {
            match encode::announce_octets(&self.encode, attributes, exported.next_hop, &mut entries, out) {
                Ok(count) => written += count,
                Err(encode::AttributesTooLong(_)) => too_long = true,
            }
        }
        drop(entries);
        for id in ids.iter().take(written) {
            if self.state.sent.insert(*id) {
                self.table.hold(*id);
            }
            self.table.release(*id);
        }
        if too_long { written + self.suppress(ids.get(written..).unwrap_or_default(), out) } else { written }
    }

    /// Attributes that fit into no message: "the BGP speaker MUST NOT send the UPDATE ... and MUST withdraw" what the peer
    /// has, RFC 8654 section 5.
    fn suppress(&mut self, ids: &[u32], out: &mut BytesMut) -> usize {
        let (known, unknown): (Vec<u32>, Vec<u32>) =
            ids.iter().partition(|id| self.state.sent.contains(**id));
        self.withdraw(&known, out, usize::MAX);
        for id in unknown {
            self.table.release(id);
        }
        ids.len()
    }
}

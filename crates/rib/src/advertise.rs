//! Adj-RIB-Out: RFC 4271 section 9.2, pulled by the peer when it can take more.
//!
//! Nothing is queued for a peer but a bit for each prefix that has changed for it. What it is told is what holds when
//! it asks: a slow peer costs no memory, and a flap that is over when it asks costs at most one UPDATE. Prefixes are
//! taken out in batches and sorted by what is announced, so that each UPDATE is as full as its attributes allow.
//! Changes of peers that say little come first: they do not wait behind the table of one that says much. Behind them
//! the families take turns.

use bgp_wire::route_refresh::{RouteRefresh, Subtype};
use bgp_wire::update::encode;
use bgp_wire::{EncodeContext, Family};
use bytes::BytesMut;

use crate::config::PeerId;
use crate::export::{Best, Exports};
use crate::forwarding::Forwardings;
use crate::group::Group;
use crate::handover;
use crate::peer::{EndOfRib, PeerOut};
use crate::refresh;
use crate::rib::Rib;
use crate::table::{Source, Table};

/// Prefixes that are sorted at a time.
const BATCH: usize = 8192;
/// The key of what is withdrawn.
const WITHDRAWN: u64 = 0;
/// Prefixes that are compared at a time with what an earlier process told: attributes are parsed for each.
const COMPARED: usize = 512;

impl Rib {
    /// Appends UPDATEs for a peer to `out`, whole ones, until it holds `limit` octets or more (by at most one message),
    /// and says whether there is more. Fewer octets than that, and more to come, are as much work all the same: what an
    /// earlier process told has been looked through. Where the peer is to be told everything, [`Rib::decide`] finds out
    /// first what that is; nothing is written meanwhile, and there is no more. End-of-RIB comes for every family when
    /// the first routes are out, also where there are none.
    pub fn next_update(&mut self, id: PeerId, out: &mut BytesMut, limit: usize) -> bool {
        let Some(place) = self.places.get(&id).copied() else { return false };
        for family in Family::ALL {
            let urgent = self.peer(place).is_some_and(|peer| !peer.families[family].out.urgent.is_empty());
            if urgent && !self.with_writer(place, family, |writer| writer.write_urgent(out, limit)) {
                return true;
            }
        }
        let families = match self.peer(place).map(|peer| peer.first) {
            Some(Family::Ipv4Unicast) | None => Family::ALL,
            Some(Family::Ipv6Unicast) => [Family::Ipv6Unicast, Family::Ipv4Unicast],
        };
        for (family, other) in families.into_iter().zip(families.into_iter().rev()) {
            if !self.with_writer(place, family, |writer| writer.write(out, limit)) {
                if let Some(peer) = self.peer_mut(place) {
                    peer.first = other;
                }
                return true;
            }
        }
        false
    }

    /// Has a peer written to in a family, if it is known what it is to be told; whether nothing is left.
    fn with_writer(
        &mut self,
        place: usize,
        family: Family,
        write: impl FnOnce(&mut Writer<'_>) -> bool,
    ) -> bool {
        let Some(Some(peer)) = self.peers.get_mut(place) else { return true };
        let (encode, state) = (peer.settings.encode, &mut peer.families[family].out);
        let table = &mut self.tables[family];
        let mut group = table.take_group(state.group);
        let filling = group.as_ref().is_some_and(|group| group.filling.is_some());
        if filling || state.caught_up_to.is_some() {
            table.put_group(state.group, group);
            return true;
        }
        let mut writer = Writer {
            place,
            family,
            encode,
            state,
            table,
            group: group.as_deref_mut(),
            forwardings: &self.forwardings,
            from: Exports { sets: &self.sets, hops: &self.hops, local_asn: self.config.local_asn },
            compared: 0,
        };
        let done = write(&mut writer);
        table.put_group(state.group, group);
        done
    }

    /// Whether a peer is to be told something that does not wait behind the rest.
    pub fn has_urgent_update(&self, id: PeerId) -> bool {
        self.by_id(id).is_some_and(|peer| peer.families.iter().any(|(_, state)| !state.out.urgent.is_empty()))
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
                out.waits() && out.caught_up_to.is_none() && !filling
            })
        })
    }

    /// Peers for which [`Rib::next_update`] has something.
    pub fn peers_with_updates(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.iter().flatten().map(|peer| peer.id).filter(|id| self.has_update(*id))
    }
}

/// One peer and family while it pulls.
struct Writer<'a> {
    /// Of the peer.
    place: usize,
    family: Family,
    encode: EncodeContext,
    state: &'a mut PeerOut,
    table: &'a mut Table,
    /// Taken out of the table.
    group: Option<&'a mut Group>,
    forwardings: &'a Forwardings,
    from: Exports<'a>,
    /// Prefixes that were compared with what an earlier process told.
    compared: usize,
}

impl Writer<'_> {
    /// Writes what is urgent; whether all of that is out.
    fn write_urgent(&mut self, out: &mut BytesMut, limit: usize) -> bool {
        let behind = self.state.batch.len();
        self.take_urgent();
        while self.state.batch.len() > behind {
            if out.len() >= limit {
                return false;
            }
            self.write_run(out, limit);
        }
        true
    }

    /// Whether everything is out.
    fn write(&mut self, out: &mut BytesMut, limit: usize) -> bool {
        // A mark that is written may be followed by everything, of which nothing is known yet.
        while self.state.waits() && self.state.caught_up_to.is_none() {
            if out.len() >= limit || self.compared >= COMPARED {
                return false;
            }
            if !self.state.batch.is_empty() || self.fill_batch() {
                self.write_run(out, limit);
            } else if self.state.pending.is_empty() {
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

    /// What the peer is to have for a prefix now; nothing where it came from the peer itself.
    fn desired(&self, id: u32) -> Option<Best> {
        let entry = self.table.entry(id);
        if entry.best_place.is(self.place) {
            return None;
        }
        self.group.as_ref()?.announced(id, entry.best(self.forwardings)?, self.from)
    }

    /// By what a batch is sorted: the same for all that is announced alike.
    fn key(&mut self, best: Option<Best>) -> u64 {
        match (best, &mut self.group) {
            (Some(best), Some(group)) => {
                let outgoing = group.rewritten.get(&group.profile, best, self.from);
                outgoing.map_or(WITHDRAWN, |outgoing| outgoing.key)
            }
            _ => WITHDRAWN,
        }
    }

    /// Whether the peer has exactly this from an earlier process. It is asked once: what is written from then on is ours.
    fn is_known(&mut self, id: u32, best: Option<Best>) -> bool {
        // Nearly always nothing is known.
        if self.state.known.is_empty() {
            return false;
        }
        let Some(known) = self.state.known.remove(&id) else { return false };
        self.compared += 1;
        let group = best.zip(self.group.as_ref());
        let now = group.and_then(|(best, group)| self.from.values(&group.profile, best));
        now.is_some_and(|now| handover::same(&known, &now))
    }

    /// Takes out prefixes that wait; whether anything is to be said of them.
    fn fill_batch(&mut self) -> bool {
        // Prefixes that came together have the same set more often than not: runs of them are sorted.
        let (mut runs, mut ids) = (Vec::new(), Vec::with_capacity(BATCH.min(self.state.pending.len())));
        let (mut last, mut key) = (None, WITHDRAWN);
        // Where nothing is asked of a prefix but what the Loc-RIB holds, the same of that stands for the same.
        let by_entry = self.group.as_ref().is_some_and(|group| group.cells.is_none());
        let mut before: Option<Source> = None;
        while ids.len() < BATCH
            && self.compared < COMPARED
            && let Some(word) = self.state.pending.pop_word(BATCH - ids.len())
        {
            for id in word.ids() {
                let source = self.table.entry(id).source();
                if !by_entry || before != Some(source) || !self.state.known.is_empty() {
                    let best = self.desired(id);
                    if self.is_known(id, best) {
                        self.table.release(id);
                        continue;
                    }
                    before = Some(source);
                    if best != last {
                        (last, key) = (best, self.key(best));
                    }
                    if runs.last().is_none_or(|(same, _, _)| *same != key) {
                        runs.push((key, ids.len(), ids.len()));
                    }
                }
                if let Some((_, _, end)) = runs.last_mut() {
                    *end += 1;
                }
                ids.push(id);
            }
        }
        runs.sort_unstable_by(|a, b| b.cmp(a));
        for (key, begin, end) in runs {
            self.state.batch.push(key, ids.get(begin..end).unwrap_or_default());
        }
        self.state.sorted_at = self.version();
        !self.state.batch.is_empty()
    }

    fn version(&self) -> u64 {
        self.group.as_ref().map_or(0, |group| group.version)
    }

    /// Puts what is urgent before what is in the batch already, where the same prefix may wait with what held before.
    fn take_urgent(&mut self) {
        let mut urgent = Vec::new();
        while let Some(id) = self.state.urgent.pop_front() {
            if !self.state.pending.remove(id) {
                continue;
            }
            let best = self.desired(id);
            if self.is_known(id, best) {
                self.table.release(id);
            } else {
                urgent.push((self.key(best), id));
            }
        }
        urgent.sort_unstable_by(|a, b| b.cmp(a));
        for run in urgent.chunk_by(|(a, _), (b, _)| a == b) {
            let [(key, _), ..] = run else { continue };
            let ids: Vec<u32> = run.iter().map(|(_, id)| *id).collect();
            self.state.batch.push_apart(*key, &ids);
        }
    }

    /// Writes messages for the prefixes of the batch that come first and have the same announcement, or the same lack of
    /// one.
    fn write_run(&mut self, out: &mut BytesMut, limit: usize) {
        let mut ids = std::mem::take(&mut self.state.scratch);
        let Some(key) = self.state.batch.take_run(&mut ids) else { return };
        // Where nothing has changed since they were sorted, one stands for all.
        let what = if key != WITHDRAWN && self.state.sorted_at == self.version() {
            ids.first().and_then(|id| self.desired(*id))
        } else {
            self.leave_current(key, &mut ids)
        };
        let written = match what {
            None => self.withdraw(&ids, out, limit),
            Some(best) => self.announce(best, &ids, out, limit),
        };
        self.state.batch.push_apart(key, ids.get(written..).unwrap_or_default());
        ids.clear();
        self.state.scratch = ids;
    }

    /// Leaves those of `ids` for which `key` still holds, and says what that stands for; the others wait again.
    fn leave_current(&mut self, key: u64, ids: &mut Vec<u32>) -> Option<Best> {
        let mut what = None;
        ids.retain(|id| {
            let best = self.desired(*id);
            let as_sorted = (best.is_some() && best == what) || self.key(best) == key;
            if !as_sorted {
                self.put_back(*id);
                return false;
            }
            if best.is_none() && !self.state.sent.contains(*id) {
                self.table.release(*id);
                return false;
            }
            what = best;
            true
        });
        what
    }

    /// Has a prefix wait again: it has changed since it was sorted.
    fn put_back(&mut self, id: u32) {
        if !self.state.pending.insert(id) {
            self.table.release(id);
        }
    }

    /// How many of `ids` were withdrawn.
    fn withdraw(&mut self, ids: &[u32], out: &mut BytesMut, limit: usize) -> usize {
        let mut written = 0;
        let mut destinations = self.table.prefixes.destinations(ids);
        while !destinations.is_empty() && out.len() < limit {
            written += encode::withdraw(&self.encode, self.family, &mut destinations, out);
        }
        for id in ids.iter().take(written) {
            if self.state.sent.remove(*id) {
                self.table.release(*id);
            }
            self.table.release(*id);
        }
        written
    }

    /// How many of `ids` were announced.
    fn announce(&mut self, best: Best, ids: &[u32], out: &mut BytesMut, limit: usize) -> usize {
        let group = self.group.as_mut();
        let outgoing = group.and_then(|group| group.rewritten.get(&group.profile, best, self.from));
        let Some(outgoing) = outgoing else { return 0 };
        let (attributes, next_hop) = (outgoing.attributes.as_slice(), outgoing.next_hop);
        let mut written = 0;
        let mut destinations = self.table.prefixes.destinations(ids);
        let mut too_long = false;
        while !destinations.is_empty() && out.len() < limit && !too_long {
            match encode::announce_octets(&self.encode, attributes, next_hop, &mut destinations, out) {
                Ok(count) => written += count,
                Err(encode::AttributesTooLong(_)) => too_long = true,
            }
        }
        for id in ids.iter().take(written) {
            // It does not wait any more; what the peer has refers to it instead, if it did not before.
            if !self.state.sent.insert(*id) {
                self.table.release(*id);
            }
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

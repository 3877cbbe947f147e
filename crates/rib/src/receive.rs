//! Adj-RIB-In: what an UPDATE changes there, RFC 4271 section 9 and 3.2.
//!
//! Routes are stored before policy, with one bit that says whether policy and the checks let them through, and prefixes
//! that change wait for the decision. The attribute set is interned and checked once for each UPDATE.

use bgp_wire::{Announcement, AttributeBytes, Family, Nlri, Prefix, ScopedNextHop, Update};
use smallvec::SmallVec;

use crate::attributes::{AttributeSet, AttributeSets};
use crate::checks;
use crate::closing::is_closing;
use crate::column::Cell;
use crate::config::{MaximumPrefix, MaximumPrefixAction, PeerId, PeerSettings};
use crate::forwarding::Forwardings;
use crate::interned::NONE;
use crate::next_hops::NextHops;
use crate::peer::{Change, Credit, Pace, PeerFamily};
use crate::prefixes::Destination;
use crate::rib::Rib;
use crate::table::Table;

/// What became of an UPDATE.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Received {
    /// Routes announced.
    pub announced: u64,
    /// Those of them that policy or a check refuses.
    pub refused: u64,
    /// Those of them that were not stored, being over the limit.
    pub over_limit: u64,
    /// Routes withdrawn, whether they were there or not.
    pub withdrawn: u64,
    /// The family whose initial routes are complete; what was still stale is gone.
    pub end_of_rib: Option<Family>,
    /// Limits that were reached by this UPDATE; each is said once until the count falls below it again, or it changes.
    pub limits: Vec<LimitReached>,
}

/// A limit of maximum-prefix that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitReached {
    /// In which family.
    pub family: Family,
    /// The limit.
    pub limit: MaximumPrefix,
    /// Prefixes in the Adj-RIB-In now.
    pub count: u64,
    /// How far.
    pub level: LimitLevel,
}

/// How far a limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitLevel {
    /// The percentage from which on the operator is warned.
    Warning,
    /// More than the limit.
    Exceeded,
}

impl Rib {
    /// Takes in an UPDATE of a peer that is up. [`Rib::decide`] does the rest.
    pub fn receive_update(&mut self, id: PeerId, update: &Update) -> Received {
        let mut received = Received::default();
        let Some(place) = self.places.get(&id).copied() else { return received };
        // "An UPDATE message ... SHOULD be treated as though the WITHDRAWN ROUTES do not contain" a prefix that is also
        // announced: so the announcements come last.
        for nlri in &update.withdrawn {
            self.withdraw(place, nlri, &mut received);
        }
        if let Some(attributes) = &update.attributes {
            for announcement in &update.announced {
                let over_before = received.over_limit;
                self.announce(place, attributes, announcement, &mut received);
                let over = received.over_limit > over_before;
                received.limits.extend(self.limits_reached(place, announcement.nlri.family(), over));
            }
        }
        if let Some(family) = update.end_of_rib {
            // Between BoRR and EoRR, stale means what the refresh has not brought yet.
            if self.peer(place).is_some_and(|peer| !peer.families[family].refreshing) {
                self.sweep_stale(id, family);
            }
            if let Some(peer) = self.peer_mut(place) {
                peer.families[family].end_of_rib_received = true;
            }
            received.end_of_rib = Some(family);
        }
        received
    }

    fn withdraw(&mut self, place: usize, nlri: &Nlri, received: &mut Received) {
        let family = nlri.family();
        let Some(Some(peer)) = self.peers.get_mut(place) else { return };
        peer.credit = peer.credit.in_round(self.round);
        let mut adj = AdjRibIn {
            place,
            state: &mut peer.families[family],
            table: &mut self.tables[family],
            sets: &mut self.sets,
            hops: &mut self.hops,
            forwardings: &self.forwardings,
        };
        for entry in nlri.iter() {
            received.withdrawn += 1;
            if let Some(id) = adj.find(entry.prefix)
                && !adj.state.received.get(id).is_none()
            {
                adj.state.last = id;
                adj.replace(id, Cell::NONE, peer.credit.take());
            }
        }
        forget_limits(adj.state, peer.settings.maximum_prefix[family]);
    }

    fn announce(
        &mut self,
        place: usize,
        attributes: &AttributeBytes,
        announcement: &Announcement,
        received: &mut Received,
    ) {
        let family = announcement.nlri.family();
        let Some(Some(peer)) = self.peers.get_mut(place) else { return };
        if !peer.speaks(family) {
            return;
        }
        peer.credit = peer.credit.in_round(self.round);
        let next_hop = ScopedNextHop { next_hop: announcement.next_hop, interface: peer.settings.interface };
        let set_id = self.sets.intern(attributes, next_hop, &mut self.hops);
        if set_id == NONE {
            // Nowhere to keep them: what the peer said before does not hold any more.
            return self.withdraw(place, &announcement.nlri, received);
        }
        let (settings, us) = (&peer.settings, self.config.router_id);
        let refused_set = self
            .sets
            .get(set_id)
            .is_none_or(|set| checks::refusal_of_set(settings, &set, &self.hops, us).is_some());
        let room = settings.maximum_prefix[family]
            .filter(|limit| limit.action != MaximumPrefixAction::Warn)
            .map_or(usize::MAX, |limit| usize::try_from(limit.limit).unwrap_or(usize::MAX));
        let mut adj = AdjRibIn {
            place,
            state: &mut peer.families[family],
            table: &mut self.tables[family],
            sets: &mut self.sets,
            hops: &mut self.hops,
            forwardings: &self.forwardings,
        };
        let incoming = Incoming { settings, set: set_id, refused: refused_set, room };
        adj.take_all(&announcement.nlri, &incoming, &mut peer.credit, received);
        self.sets.release(set_id, &mut self.hops);
    }

    /// What is to be said about the limit of a family that is new.
    pub(crate) fn begin_limit(&mut self, place: usize, family: Family) -> SmallVec<[LimitReached; 2]> {
        if let Some(peer) = self.peer_mut(place) {
            let state = &mut peer.families[family];
            (state.warned, state.exceeded) = (false, false);
        }
        self.limits_reached(place, family, false)
    }

    /// What is to be said about the limit of a family, now that more has come; `over` where not all of it was stored.
    fn limits_reached(&mut self, place: usize, family: Family, over: bool) -> SmallVec<[LimitReached; 2]> {
        let mut said = SmallVec::new();
        let Some(Some(peer)) = self.peers.get_mut(place) else { return said };
        let Some(limit) = peer.settings.maximum_prefix[family] else { return said };
        let state = &mut peer.families[family];
        let count = u64::try_from(state.received.len()).unwrap_or(u64::MAX);
        let mut say = |level| said.push(LimitReached { family, limit, count, level });
        if limit.warning_level().is_some_and(|level| count >= u64::from(level)) && !state.warned {
            state.warned = true;
            say(LimitLevel::Warning);
        }
        if (over || count > u64::from(limit.limit)) && !state.exceeded {
            state.exceeded = true;
            say(LimitLevel::Exceeded);
        }
        said
    }
}

/// What was said about limits is said again when they are reached again.
pub(crate) fn forget_limits(state: &mut PeerFamily, limit: Option<MaximumPrefix>) {
    let Some(limit) = limit else { return };
    let count = u32::try_from(state.received.len()).unwrap_or(u32::MAX);
    if limit.warning_level().is_none_or(|level| count < level) {
        state.warned = false;
    }
    if count < limit.limit || (count == limit.limit && limit.action == MaximumPrefixAction::Warn) {
        state.exceeded = false;
    }
}

/// What the prefixes of an UPDATE have in common.
struct Incoming<'a> {
    /// Of the peer.
    settings: &'a PeerSettings,
    /// The attribute set, held.
    set: u32,
    /// A check refuses all of them.
    refused: bool,
    /// How many prefixes the peer may have.
    room: usize,
}

/// Beside which best path a new one was last, and whether it may change anything: neighbours have the same.
#[derive(Clone, Copy)]
struct Beside {
    best: [u32; 2],
    refused: bool,
    changes: bool,
}

/// The Adj-RIB-In of one peer and family, with what a change in it touches.
pub(crate) struct AdjRibIn<'a> {
    /// Of the peer.
    pub(crate) place: usize,
    pub(crate) state: &'a mut PeerFamily,
    pub(crate) table: &'a mut Table,
    pub(crate) sets: &'a mut AttributeSets,
    pub(crate) hops: &'a mut NextHops,
    pub(crate) forwardings: &'a Forwardings,
}

impl Rib {
    /// The Adj-RIB-In of the peer in a place.
    pub(crate) fn adj_rib_in(&mut self, place: usize, family: Family) -> Option<AdjRibIn<'_>> {
        let peer = self.peers.get_mut(place)?.as_mut()?;
        Some(AdjRibIn {
            place,
            state: &mut peer.families[family],
            table: &mut self.tables[family],
            sets: &mut self.sets,
            hops: &mut self.hops,
            forwardings: &self.forwardings,
        })
    }
}

impl AdjRibIn<'_> {
    /// The id behind the last, if it is for `prefix`: peers tell their tables in much the same order, and one peer does so
    /// again and again.
    #[inline]
    fn next(&self, prefix: impl Destination) -> Option<u32> {
        let next = self.state.last.wrapping_add(1);
        self.table.is_at(next, prefix).then_some(next)
    }

    /// The id of `prefix`, if it has one.
    fn find(&self, prefix: Prefix) -> Option<u32> {
        let next = match prefix {
            Prefix::V4(prefix) => self.next(prefix),
            Prefix::V6(prefix) => self.next(prefix),
        };
        next.or_else(|| self.table.prefixes.find(prefix))
    }

    /// Takes in a path to a prefix that others have announced, where that waits for its decision in any case, or nothing
    /// is to be decided; whether it does. The caller puts it into its column.
    #[inline]
    fn joins(
        &mut self,
        id: u32,
        refused: bool,
        incoming: &Incoming<'_>,
        beside: &mut Option<Beside>,
        credit: &mut Credit,
    ) -> bool {
        if self.table.undecided.contains(id) {
            self.table.mark_at(id, credit.take());
        } else {
            let best = self.table.best_of(id);
            let last = beside.filter(|last| (last.best, last.refused) == (best, refused));
            let changes = last.map_or_else(|| self.changes(best, refused, incoming), |last| last.changes);
            *beside = Some(Beside { best, refused, changes });
            if changes {
                return false;
            }
        }
        self.table.join(id, self.place);
        true
    }

    /// Whether a path that is new to the peer may change anything, where the best path is this one. It does not if it is
    /// refused, or does worse before anything is compared within one neighbouring AS, and there is a backup.
    fn changes(&self, [best_set, forwarding]: [u32; 2], refused: bool, incoming: &Incoming<'_>) -> bool {
        if best_set == NONE {
            return true;
        }
        let (kind, best_kind) = (incoming.settings.kind, self.forwardings.source(forwarding).kind());
        match (self.sets.get(best_set), best_kind, self.sets.get(incoming.set)) {
            _ if refused => false,
            _ if self.forwardings.lacks_backup(forwarding) => true,
            // It may be told to the forwarding side all the same.
            (_, _, Some(new)) if is_closing(kind, &new) => true,
            (Some(best), Some(best_kind), Some(new)) => {
                checks::standing(kind, &new) <= checks::standing(best_kind, &best)
            }
            _ => true,
        }
    }

    /// Takes in what an UPDATE announces.
    fn take_all(
        &mut self,
        nlri: &Nlri,
        incoming: &Incoming<'_>,
        credit: &mut Credit,
        received: &mut Received,
    ) {
        match nlri.family() {
            Family::Ipv4Unicast => self.take_each(nlri.ipv4(), incoming, credit, received),
            Family::Ipv6Unicast => self.take_each(nlri.ipv6(), incoming, credit, received),
        }
    }

    #[inline]
    fn take_each<D: Destination>(
        &mut self,
        prefixes: impl Iterator<Item = D>,
        incoming: &Incoming<'_>,
        credit: &mut Credit,
        received: &mut Received,
    ) {
        let Incoming { settings, set, refused: all_refused, room } = *incoming;
        // Where policy looks neither at prefixes nor at attributes, it is asked once.
        let open = checks::accepts_all(settings);
        let (mut all, mut refused_of_all) = (0u64, 0u64);
        let (mut first, mut first_refused) = (0, 0);
        let mut beside = None;
        for prefix in prefixes {
            all += 1;
            let known = self.next(prefix).map(|id| (id, false));
            let Some((id, is_new)) = known.or_else(|| self.table.insert_as(prefix)) else { continue };
            self.state.last = id;
            let old = if is_new { Cell::NONE } else { self.state.received.get(id) };
            if old.is_none() && self.state.received.len() >= room {
                received.over_limit += 1;
                // The id may have been made for this route alone.
                self.table.hold(id);
                self.table.release(id);
                continue;
            }
            let accepts = |set: AttributeSet<'_>| checks::policy_accepts(settings, prefix.into(), &set);
            let refused = all_refused || !(open || self.sets.get(set).is_some_and(accepts));
            refused_of_all += u64::from(refused);
            let cell = Cell::new(set).with_refused(refused);
            if is_new {
                self.table.begin(id, self.place, credit.take());
            } else if !old.is_none() || !self.joins(id, refused, incoming, &mut beside, credit) {
                self.announce(id, old, cell, credit);
                continue;
            }
            // Most of a table that is learned comes here: what holds for all such routes is done once.
            self.state.received.add(id, cell, self.table.ids());
            first += 1;
            first_refused += u32::from(refused);
        }
        received.announced += all;
        received.refused += refused_of_all;
        self.sets.hold_times(set, first);
        self.state.accepted = self.state.accepted.saturating_add(u64::from(first - first_refused));
    }

    fn announce(&mut self, id: u32, old: Cell, new: Cell, credit: &mut Credit) {
        if old.with_used(false) == new {
            return;
        }
        let new = new.with_used(old.used());
        if old.with_stale(false) == new {
            // The same route again after a restart: fresh, and nothing to decide.
            self.state.count(old, Change::Out);
            self.state.count(new, Change::In);
            self.table.replace(&mut self.state.received, id, new);
            return;
        }
        self.sets.hold(new.set());
        self.replace(id, new, credit.take());
    }

    /// Puts a path in its place, or takes it out, and has the prefix decided again. Takes over one hold of the new set.
    pub(crate) fn replace(&mut self, id: u32, cell: Cell, pace: Pace) {
        // Before the old path lets go of the prefix.
        self.table.mark_at(id, pace);
        self.put(id, cell);
    }

    fn put(&mut self, id: u32, cell: Cell) {
        if !cell.is_none()
            && let Some(entry) = self.table.entry_mut(id)
        {
            entry.paths.add(self.place);
        }
        let old = self.table.replace(&mut self.state.received, id, cell);
        self.state.count(old, Change::Out);
        self.state.count(cell, Change::In);
        if !old.is_none() {
            self.sets.release(old.set(), self.hops);
        }
    }
}

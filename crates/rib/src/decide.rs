//! The decision process: RFC 4271 section 9.1, in portions.
//!
//! What waits are prefixes, not messages: ten changes of one prefix are one decision. A portion first gives back some
//! of what lost peers left and looks for some prefixes that are to be decided again (`chores`), then decides, so that
//! no change of anything keeps the caller for longer than its budget.

use std::sync::Arc;

use bgp_wire::{Family, Prefix};
use smallvec::SmallVec;

use crate::backup;
use crate::checks;
use crate::closing;
use crate::column::Cell;
use crate::config::PeerId;
use crate::decision::{self, Candidate, Multipath, Selection};
use crate::export::{Best, Exports};
use crate::forwarding::{Forwarding, RouteSource, Ways};
use crate::interned::NONE;
use crate::peer::{Pace, Peer};
use crate::rib::Rib;
use crate::table::{Place, Places};

/// A change of the best path of a prefix.
#[derive(Clone, Copy, Debug)]
struct Change {
    was: Option<Best>,
    best: Option<Best>,
    /// Two peers between which it moved: for them the same announcement begins or ends to be one that would go back to
    /// where it came from.
    moved: Option<[Place; 2]>,
    pace: Pace,
}

/// Where the peer is that announced it, and its cell.
type Path = (usize, Cell);

/// Which paths are left for the rounds in which they are compared with each other.
enum Foremost {
    One(Path),
    /// None at all, or several.
    Several(SmallVec<[Path; 8]>),
}

impl Rib {
    /// Works on what waits, about `budget` prefixes of it, and says whether there is more.
    pub fn decide(&mut self, budget: usize) -> bool {
        let mut left = budget.max(2);
        for family in Family::ALL {
            self.sweep_orphans(family, left / 2);
            self.rescan(family, left / 2);
            self.age(family, left / 2);
            self.judge_again(family, left / 2);
        }
        while left > 0 {
            let mut worked = false;
            for family in Family::ALL {
                if left == 0 {
                    break;
                }
                let decided = self.decide_next(family, left);
                left = left.saturating_sub(decided);
                worked |= decided > 0;
            }
            if !worked {
                break;
            }
        }
        self.round = self.round.wrapping_add(1);
        for family in Family::ALL {
            self.fill_groups(family, left);
            self.catch_up(family, budget.max(2));
        }
        self.has_work()
    }

    /// Whether [`Rib::decide`] has something to do.
    pub fn has_work(&self) -> bool {
        self.tables.iter().any(|(_, table)| {
            !table.undecided.is_empty()
                || !table.rescan.is_idle()
                || !table.orphans.is_empty()
                || !table.aging.is_empty()
                || table.groups.iter().flatten().any(|group| group.filling.is_some())
        }) || self.peers.iter().flatten().any(|peer| {
            let mut families = peer.families.iter();
            families.any(|(_, state)| state.judged_to.is_some() || state.out.caught_up_to.is_some())
        })
    }

    /// Whether [`Rib::see_forwarding_change`] may have something.
    pub fn has_forwarding_change(&self) -> bool {
        self.tables.iter().any(|(_, table)| !table.untold.is_empty())
    }

    /// The next prefix whose forwarding has changed since it was last pulled, and what holds now: next hops, or nothing.
    pub fn next_forwarding_change(&mut self) -> Option<(Prefix, Option<Arc<Forwarding>>)> {
        self.see_forwarding_change().map(|(prefix, _, forwarding)| (prefix, forwarding.cloned()))
    }

    /// The same with the prefix's number (see [`Rib::number`]), to be looked at where it is: what is counted in and out for each
    /// prefix waits each time until all that was written before has reached the cache.
    pub fn see_forwarding_change(&mut self) -> Option<(Prefix, u32, Option<&Arc<Forwarding>>)> {
        let (prefix, id, now) = Family::ALL.into_iter().find_map(|family| {
            let table = &mut self.tables[family];
            while let Some((id, told)) = table.next_untold() {
                let (prefix, now) = (table.prefixes.prefix(id), table.entry(id).forwarding);
                self.forwardings.release(told, &mut self.hops);
                table.release(id);
                if let Some(prefix) = prefix {
                    return Some((prefix, id, now));
                }
            }
            None
        })?;
        Some((prefix, id, self.forwardings.forwarding(now, &self.hops)))
    }

    /// Takes up to `most` of these changes for pulled, where nobody has a use for them; whether there are more.
    pub fn pass_forwarding_changes(&mut self, most: usize) -> bool {
        let mut left = most;
        for family in Family::ALL {
            let table = &mut self.tables[family];
            while left > 0
                && let Some(word) = table.untold.pop_word(left)
            {
                for id in word.ids() {
                    self.forwardings.release(table.take_told(id), &mut self.hops);
                    table.release(id);
                }
                left = left.saturating_sub(word.bits.count_ones() as usize);
            }
        }
        self.has_forwarding_change()
    }

    /// A path of a peer as the selection sees it; `None` where it is not usable now.
    pub(crate) fn candidate(&self, peer: &Peer, place: usize, cell: Cell) -> Option<Candidate> {
        if cell.is_none() || cell.refused() {
            return None;
        }
        let set = self.sets.get(cell.set())?;
        let interior_cost = self.hops.metric(set.hop)?;
        let (summary, reflection) = (&set.summary, set.reflection(self.config.router_id));
        Some(Candidate {
            source: peer.source(),
            llgr_stale: summary.llgr_stale(),
            local_pref: checks::local_pref(peer.settings.kind, &set),
            path_len: summary.path_len(),
            origin: summary.origin(),
            med: set.med(),
            neighbor_as: summary.neighbor_as(),
            interior_cost,
            router_id: reflection.originator.unwrap_or(peer.settings.router_id.bits()),
            cluster_len: reflection.cluster_len,
            address: Some(peer.settings.address),
            peer: peer.id,
            place,
            set: cell.set(),
            hop: set.hop,
            lost: None,
        })
    }

    /// Our own network as the selection sees it.
    pub(crate) fn local_candidate(&self, family: Family, id: u32) -> Option<Candidate> {
        let cell = self.tables[family].local.get(id);
        let set = self.sets.get(cell.set())?;
        Some(Candidate {
            source: RouteSource::Local,
            llgr_stale: false,
            local_pref: checks::DEFAULT_LOCAL_PREF,
            path_len: set.summary.path_len(),
            origin: set.summary.origin(),
            med: 0,
            neighbor_as: None,
            interior_cost: 0,
            router_id: self.config.router_id.bits(),
            cluster_len: 0,
            address: None,
            peer: PeerId::LOCAL,
            place: usize::MAX,
            set: cell.set(),
            hop: set.hop,
            lost: None,
        })
    }

    pub(crate) fn select(&self, candidates: &mut [Candidate]) -> Option<Selection> {
        self.with_multipath(|multipath| decision::select(candidates, multipath))
    }

    fn with_multipath<T>(&self, work: impl FnOnce(&Multipath<'_>) -> T) -> T {
        let same_path = |a, b| self.sets.same_path(a, b);
        work(&Multipath {
            maximum: self.config.maximum_paths,
            same_path: if self.config.multipath_relax { None } else { Some(&same_path) },
        })
    }

    /// What the peer in a place has announced.
    #[inline]
    fn cell(&self, place: usize, family: Family, id: u32) -> Cell {
        self.peer(place).map_or(Cell::NONE, |peer| peer.families[family].received.get(id))
    }

    /// Decides what comes next in a family, `most` prefixes of it at most; how many it were.
    fn decide_next(&mut self, family: Family, most: usize) -> usize {
        if let Some(id) = self.tables[family].next_urgent() {
            self.decide_prefix(family, id, Pace::Urgent);
            self.tables[family].release(id);
            return 1;
        }
        let Some(word) = self.tables[family].undecided.pop_word(most) else { return 0 };
        let left = self.decide_first_paths(family, word);
        for id in left.ids() {
            self.decide_prefix(family, id, Pace::Bulk);
            self.tables[family].release(id);
        }
        word.bits.count_ones() as usize
    }

    fn decide_prefix(&mut self, family: Family, id: u32, pace: Pace) {
        let (may_have, mut have) = (self.tables[family].entry(id).paths, Places::NOWHERE);
        let mut paths: SmallVec<[Path; 8]> = SmallVec::new();
        for place in may_have.iter(self.peers.len()) {
            let cell = self.cell(place, family, id);
            if !cell.is_none() {
                have.add(place);
                paths.push((place, cell));
            }
        }
        if have != may_have
            && let Some(entry) = self.tables[family].entry_mut(id)
        {
            entry.paths = have;
        }
        let local = self.local_candidate(family, id);
        match (local, paths.as_slice()) {
            // Of most prefixes there is one path.
            (None, [(place, cell)]) => self.decide_single(family, id, *place, *cell, pace),
            // The backup is one of those that do worse.
            (None, paths) if self.config.backups => {
                self.decide_among(family, id, None, (paths, paths), pace);
            }
            (None, paths) => match self.foremost(paths) {
                Some(Foremost::One(best)) => self.decide_foremost(family, id, paths, best, pace),
                Some(Foremost::Several(foremost)) => {
                    self.decide_among(family, id, None, (paths, &foremost), pace)
                }
                None => self.decide_among(family, id, None, (paths, paths), pace),
            },
            (Some(_), paths) => self.decide_among(family, id, local, (paths, paths), pace),
        }
    }

    /// Those of the paths that are left after the rounds of the selection in which each stands for itself; `None` where
    /// others may be told as well.
    fn foremost(&self, paths: &[Path]) -> Option<Foremost> {
        let (mut least, mut foremost) = (u64::MAX, SmallVec::<[Path; 8]>::new());
        for (place, cell) in paths.iter().copied().filter(|(_, cell)| !cell.refused()) {
            let (Some(peer), Some(set)) = (self.peer(place), self.sets.get(cell.set())) else { continue };
            let kind = peer.settings.kind;
            if closing::is_closing(kind, &set) {
                return None;
            }
            if self.hops.metric(set.hop).is_none() {
                continue;
            }
            let standing = checks::standing(kind, &set);
            if standing < least {
                least = standing;
                foremost.clear();
            }
            if standing == least {
                foremost.push((place, cell));
            }
        }
        Some(match foremost.as_slice() {
            [one] => Foremost::One(*one),
            _ => Foremost::Several(foremost),
        })
    }

    /// The decision where one path does better than all the others before they are compared with each other.
    fn decide_foremost(&mut self, family: Family, id: u32, paths: &[Path], (place, cell): Path, pace: Pace) {
        let Some(source) = self.peer(place).map(Peer::source) else { return };
        for (other, was) in paths {
            if was.used() != (*other == place) {
                self.set_used(family, id, *other, *other == place);
            }
        }
        let hop = self.sets.get(cell.set()).map_or(NONE, |set| set.hop);
        let forwarding = self.forwardings.intern_one(hop, source, &mut self.hops);
        let best = Best { set: cell.set(), source };
        self.install(family, id, Some((Place::of(place), best)), forwarding, pace);
    }

    /// The decision among those of the paths that are `foremost`, and our own network.
    fn decide_among(
        &mut self,
        family: Family,
        id: u32,
        local: Option<Candidate>,
        (paths, foremost): (&[Path], &[Path]),
        pace: Pace,
    ) {
        let mut candidates = std::mem::take(&mut self.scratch);
        candidates.clear();
        candidates.extend(local);
        for (place, cell) in foremost {
            // Not by `extend`, which moves a candidate once more for each of them.
            if let Some(candidate) = self.peer(*place).and_then(|peer| self.candidate(peer, *place, *cell)) {
                candidates.push(candidate);
            }
        }
        // Peers whose path is marked as used until now.
        let before: SmallVec<[usize; 8]> =
            paths.iter().filter(|(_, cell)| cell.used()).map(|(place, _)| *place).collect();
        let count = self.select(&mut candidates).map_or(0, |selection| selection.used);
        let closing = self.with_multipath(|multipath| closing::closing(&candidates, count, multipath));
        let used = candidates.get(..count).unwrap_or_default();
        self.mark_used(family, id, &before, used);
        let mut hops: SmallVec<[u32; 4]> = match used.first().map(|best| best.source) {
            Some(RouteSource::External | RouteSource::Internal) => used.iter().map(|path| path.hop).collect(),
            // Nothing to forward by: the network is reached by whatever made it ours.
            Some(RouteSource::Local) | None => SmallVec::new(),
        };
        let source = used.first().map_or(RouteSource::Local, |best| best.source);
        let mut weights = self.weights(used);
        closing::append(&closing, &mut hops, &mut weights);
        let best =
            used.first().map(|best| (Place::of(best.place), Best { set: best.set, source: best.source }));
        let backup = if self.config.backups {
            let before = self.forwardings.backup(self.tables[family].entry(id).forwarding);
            backup::choose(&mut candidates, count, &hops, before)
        } else {
            NONE
        };
        let ways = Ways { hops, weights, backup, source };
        let forwarding = self.forwardings.intern(ways, &mut self.hops);
        self.install(family, id, best, forwarding, pace);
        self.scratch = candidates;
    }

    /// The decision where there is one path: it is the best, if it is usable.
    fn decide_single(&mut self, family: Family, id: u32, place: usize, cell: Cell, pace: Pace) {
        let Some(peer) = self.peer(place) else { return };
        let source = peer.source();
        let hop = self.sets.get(cell.set()).map_or(NONE, |set| set.hop);
        let usable = !cell.refused() && self.hops.metric(hop).is_some();
        if cell.used() != usable {
            self.set_used(family, id, place, usable);
        }
        let best = usable.then_some((Place::of(place), Best { set: cell.set(), source }));
        let forwarding = if usable { self.forwardings.intern_one(hop, source, &mut self.hops) } else { NONE };
        self.install(family, id, best, forwarding, pace);
    }

    /// Keeps the bit of each path that says whether it is used.
    fn mark_used(&mut self, family: Family, id: u32, before: &[usize], used: &[Candidate]) {
        let same = before.len() == used.len() && used.iter().all(|now| before.contains(&now.place));
        if same {
            return;
        }
        for place in before {
            self.set_used(family, id, *place, false);
        }
        for candidate in used {
            self.set_used(family, id, candidate.place, true);
        }
    }

    fn set_used(&mut self, family: Family, id: u32, place: usize, on: bool) {
        let Some(Some(peer)) = self.peers.get_mut(place) else { return };
        let state = &mut peer.families[family];
        let before = state.received.change(id, |cell| cell.with_used(on));
        if !before.is_none() && before.used() != on {
            state.used = if on { state.used.saturating_add(1) } else { state.used.saturating_sub(1) };
        }
    }

    /// Loc-RIB: takes in the result, one hold of `forwarding` included, and marks the prefix for those downstream for whom
    /// something has changed.
    fn install(&mut self, family: Family, id: u32, best: Option<(Place, Best)>, forwarding: u32, pace: Pace) {
        let (place, set) = best.map_or((Place::LOCAL, NONE), |(place, best)| (place, best.set));
        let table = &mut self.tables[family];
        let Some(entry) = table.entry_mut(id) else { return };
        let before = *entry;
        (entry.best_place, entry.best_set) = (place, set);
        let was = before.best(&self.forwardings);
        if before.best_set != set {
            self.sets.hold(set);
        }
        match (before.best_set == NONE, set == NONE) {
            (true, false) => {
                table.hold(id);
                table.best += 1;
            }
            (false, true) => {
                table.release(id);
                table.best -= 1;
            }
            (true, true) | (false, false) => {}
        }
        table.forward(id, forwarding, &mut self.forwardings, &mut self.hops);
        let best = best.map(|(_, best)| best);
        if before.best_place != place || was != best {
            let back = [before.best_place, place];
            let moved = before.best_set != NONE && set != NONE && before.best_place != place;
            let change = Change { was, best, moved: moved.then_some(back), pace };
            self.export(family, id, &change);
        }
        // Last: until here the old set was compared with.
        if before.best_set != set {
            self.sets.release(before.best_set, &mut self.hops);
        }
    }

    /// What exports are made from.
    pub(crate) fn exports(&self) -> Exports<'_> {
        Exports { sets: &self.sets, hops: &self.hops, local_asn: self.config.local_asn }
    }

    /// Brings the update groups up to date with the best path of a prefix.
    fn export(&mut self, family: Family, id: u32, change: &Change) {
        for at in 0..self.tables[family].groups.len() {
            self.export_to(family, at, id, change);
        }
    }

    fn export_to(&mut self, family: Family, at: usize, id: u32, change: &Change) {
        let table = &mut self.tables[family];
        let Some(mut group) = table.take_group(Some(at)) else { return };
        let from = Exports { sets: &self.sets, hops: &self.hops, local_asn: self.config.local_asn };
        let (old, new) = match &group.cells {
            Some(cells) => {
                let set = cells.get(id).set();
                let source = change.was.map_or(RouteSource::Local, |was| was.source);
                let announces = |best: &Best| {
                    let prefix = table.prefixes.prefix(id);
                    prefix.is_some_and(|prefix| from.announces(&group.profile, prefix, *best))
                };
                let old = Some(Best { set, source }).filter(|old| old.set != NONE);
                (old, change.best.filter(announces))
            }
            None => {
                let passes = |best: &Best| from.passes(&group.profile, *best);
                (change.was.filter(passes), change.best.filter(passes))
            }
        };
        let same = match (old, new) {
            (Some(old), Some(new)) => group.same(old, new, from),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let set = |best: Option<Best>| best.map_or(NONE, |best| best.set);
        if let Some(cells) = &mut group.cells
            && set(new) != set(old)
        {
            self.sets.hold(set(new));
            table.replace(cells, id, Cell::new(set(new)));
            self.sets.release(set(old), &mut self.hops);
        }
        if !same || change.moved.is_some() {
            group.version = group.version.wrapping_add(1);
        }
        for place in &group.members {
            let Some(Some(peer)) = self.peers.get_mut(*place) else { continue };
            let turned = change.moved.is_some_and(|places| places.iter().any(|at| at.is(*place)));
            if (!same || turned) && peer.families[family].out.wait(id, change.pace) {
                table.hold(id);
            }
        }
        table.put_group(Some(at), Some(group));
    }

    /// Exports what was best already when a group came into being.
    fn fill_groups(&mut self, family: Family, budget: usize) {
        for at in 0..self.tables[family].groups.len() {
            let mut next = match self.tables[family].groups.get(at) {
                Some(Some(group)) => group.filling,
                Some(None) | None => None,
            };
            let mut left = budget;
            while let Some(id) = next.filter(|_| left > 0) {
                let table = &self.tables[family];
                let entry = table.entry(id);
                next = id.checked_add(1).filter(|next| (*next as usize) < table.ids());
                // Not asked of the peer: it may be gone, and back with the same route before the prefix is decided, and
                // then nothing changes that would be exported.
                let best = entry.best(&self.forwardings);
                if best.is_some() {
                    let change = Change { was: best, best, moved: None, pace: Pace::Bulk };
                    self.export_to(family, at, id, &change);
                }
                left -= 1;
            }
            if let Some(Some(group)) = self.tables[family].groups.get_mut(at) {
                group.filling = next;
            }
        }
    }

    /// Finds some of what peers are to be told that are to be told everything.
    fn catch_up(&mut self, family: Family, budget: usize) {
        let table = &mut self.tables[family];
        let from = Exports { sets: &self.sets, hops: &self.hops, local_asn: self.config.local_asn };
        for out in self.peers.iter_mut().flatten().map(|peer| &mut peer.families[family].out) {
            let Some(first) = out.caught_up_to else { continue };
            let group = table.take_group(out.group);
            let (mut id, mut left) = (first, budget);
            while left > 0 && (id as usize) < table.ids() {
                left -= 1;
                let best = table.entry(id).best(&self.forwardings);
                let announced =
                    group.as_ref().zip(best).and_then(|(group, best)| group.announced(id, best, from));
                if (announced.is_some() || out.sent.contains(id)) && out.pending.insert(id) {
                    table.hold(id);
                }
                id += 1;
            }
            out.caught_up_to = Some(id).filter(|id| (*id as usize) < table.ids());
            table.put_group(out.group, group);
        }
    }
}

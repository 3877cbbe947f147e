//! One family: its prefixes, the Loc-RIB, and what waits for a decision or for the kernel side.
//!
//! The Loc-RIB entry of a prefix is 20 octets. It also counts who refers to the prefix, so that its id is used again when
//! nobody does: each path in an Adj-RIB-In, the entry's own best path, what the kernel side was told, each cell of an
//! update group, each bit of a peer's Adj-RIB-Out and of every set of waiting ids counts one.

use bgp_wire::{Family, Prefix};

use crate::column::{Cell, Column};
use crate::config::PeerId;
use crate::forwarding::Forwardings;
use crate::group::Group;
use crate::ids::IdSet;
use crate::interned::NONE;
use crate::next_hops::NextHops;
use crate::paged::Paged;
use crate::seed::Seed;

/// The Loc-RIB entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    refs: u32,
    /// Who announced the best path; meaningless without `best_set`.
    pub(crate) best_peer: PeerId,
    /// Its attribute set, held; [`NONE`] where there is no usable path.
    pub(crate) best_set: u32,
    /// Next hops of the best path and those beside it, held; [`NONE`] without one, and for networks of our own.
    pub(crate) forwarding: u32,
    /// What the kernel side pulled last, held.
    told: u32,
}

const EMPTY: Entry =
    Entry { refs: 0, best_peer: PeerId::LOCAL, best_set: NONE, forwarding: NONE, told: NONE };

#[cfg(test)]
impl Entry {
    pub(crate) fn holders(&self) -> u32 {
        self.refs
    }

    pub(crate) fn told(&self) -> u32 {
        self.told
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) prefixes: crate::prefixes::Prefixes,
    entries: Paged<Entry>,
    /// Networks of our own.
    pub(crate) local: Column,
    /// Prefixes that wait for a decision.
    pub(crate) undecided: IdSet,
    /// Prefixes whose forwarding the kernel side has not pulled.
    pub(crate) untold: IdSet,
    /// Adj-RIBs-Out; the index is what peers hold.
    pub(crate) groups: Vec<Option<Group>>,
    /// What peers and groups left behind; swept by [`crate::Rib::decide`].
    pub(crate) orphans: Vec<Orphan>,
    pub(crate) rescan: Rescan,
    /// Prefixes with a best path.
    pub(crate) best: u64,
    seed: Seed,
}

/// What is given back bit by bit, so that nobody waits for the end of a million routes.
#[derive(Debug)]
pub(crate) enum Orphan {
    /// An Adj-RIB-In; its prefixes are decided again.
    Received(Column),
    /// The cells of an update group.
    Exported(Column),
    /// Prefixes that a peer was told, or was to be told.
    Prefixes(IdSet),
}

/// Passes over all prefixes for those whose next hop has changed.
#[derive(Debug, Default)]
pub(crate) struct Rescan {
    /// What this pass looks for; held. Empty where none is under way.
    active: Vec<u32>,
    /// What has changed since it began, for the next one; held.
    waiting: Vec<u32>,
    next: u32,
}

impl Rescan {
    pub(crate) fn is_idle(&self) -> bool {
        self.active.is_empty() && self.waiting.is_empty()
    }

    /// Whether the hop is new to the list, and to be held.
    pub(crate) fn add(&mut self, hop: u32) -> bool {
        let new = !self.waiting.contains(&hop);
        if new {
            self.waiting.push(hop);
        }
        new
    }

    /// The next id to look at, and what for.
    pub(crate) fn step(&mut self) -> (u32, &[u32]) {
        if self.active.is_empty() {
            self.active = std::mem::take(&mut self.waiting);
            self.next = 0;
        }
        let id = self.next;
        self.next = id.saturating_add(1);
        (id, &self.active)
    }

    /// Ends the pass if it is through; the hops to let go.
    pub(crate) fn finish(&mut self, ids: usize) -> Vec<u32> {
        // Ids that were added meanwhile belong to routes that are decided in any case.
        if self.next as usize >= ids { std::mem::take(&mut self.active) } else { Vec::new() }
    }
}

impl Table {
    pub(crate) fn new(family: Family, seed: Seed) -> Self {
        Self {
            prefixes: crate::prefixes::Prefixes::new(family, seed),
            entries: Paged::default(),
            local: Column::new(seed),
            undecided: IdSet::default(),
            untold: IdSet::default(),
            groups: Vec::new(),
            orphans: Vec::new(),
            rescan: Rescan::default(),
            best: 0,
            seed,
        }
    }

    /// How many ids there are, in use or not.
    pub(crate) fn ids(&self) -> usize {
        self.prefixes.ids()
    }

    pub(crate) fn entry(&self, id: u32) -> Entry {
        self.entries.get(id as usize).copied().unwrap_or(EMPTY)
    }

    pub(crate) fn entry_mut(&mut self, id: u32) -> Option<&mut Entry> {
        self.entries.get_mut(id as usize)
    }

    /// The id of `prefix`, a new one if it has none. The caller holds it before anything is released.
    pub(crate) fn insert(&mut self, prefix: Prefix) -> Option<u32> {
        let id = self.prefixes.insert(prefix)?;
        if id as usize >= self.entries.len() {
            self.entries.grow(id as usize + 1, EMPTY);
        }
        Some(id)
    }

    pub(crate) fn hold(&mut self, id: u32) {
        if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.refs += 1;
        }
    }

    pub(crate) fn release(&mut self, id: u32) {
        let Some(entry) = self.entries.get_mut(id as usize) else { return };
        entry.refs = entry.refs.saturating_sub(1);
        if entry.refs == 0 {
            *entry = EMPTY;
            self.prefixes.remove(id);
        }
    }

    /// Has the decision run for a prefix.
    pub(crate) fn mark(&mut self, id: u32) {
        if self.undecided.insert(id) {
            self.hold(id);
        }
    }

    /// Has the decision run for every prefix that is known.
    pub(crate) fn mark_all(&mut self) {
        for id in 0..u32::try_from(self.ids()).unwrap_or(u32::MAX) {
            if self.entry(id).refs > 0 {
                self.mark(id);
            }
        }
    }

    /// Has the kernel side pull a prefix, or no longer if it knows already what holds.
    pub(crate) fn tell(&mut self, id: u32) {
        let entry = self.entry(id);
        if entry.forwarding != entry.told {
            if self.untold.insert(id) {
                self.hold(id);
            }
        } else if self.untold.remove(id) {
            self.release(id);
        }
    }

    /// Notes that the kernel side has been told what holds now.
    pub(crate) fn told(&mut self, id: u32, forwardings: &mut Forwardings, hops: &mut NextHops) {
        let Some(entry) = self.entries.get_mut(id as usize) else { return };
        let (before, now) = (entry.told, entry.forwarding);
        entry.told = now;
        forwardings.hold(now);
        forwardings.release(before, hops);
        match (before == NONE, now == NONE) {
            (true, false) => self.hold(id),
            (false, true) => self.release(id),
            (true, true) | (false, false) => {}
        }
    }

    /// Puts a path into `column`, or takes one out; what was there before.
    pub(crate) fn replace(&mut self, column: &mut Column, id: u32, cell: Cell) -> Cell {
        let old = column.replace(id, cell, self.prefixes.ids());
        match (old.is_none(), cell.is_none()) {
            (true, false) => self.hold(id),
            (false, true) => self.release(id),
            (true, true) | (false, false) => {}
        }
        old
    }

    /// [`Table::replace`] for a network of our own.
    pub(crate) fn replace_local(&mut self, id: u32, cell: Cell) -> Cell {
        let mut local = std::mem::replace(&mut self.local, Column::new(self.seed));
        let old = self.replace(&mut local, id, cell);
        self.local = local;
        old
    }

    /// Takes in a group; its place.
    pub(crate) fn add_group(&mut self, group: Group) -> usize {
        match self.groups.iter().position(Option::is_none) {
            Some(at) => {
                if let Some(place) = self.groups.get_mut(at) {
                    *place = Some(group);
                }
                at
            }
            None => {
                self.groups.push(Some(group));
                self.groups.len() - 1
            }
        }
    }

    /// Takes a peer out of a group; the exported sets that the group's cache held, if it was the last peer.
    pub(crate) fn remove_member(&mut self, at: usize, peer: usize) -> Vec<u32> {
        let Some(place) = self.groups.get_mut(at) else { return Vec::new() };
        let Some(group) = place else { return Vec::new() };
        group.members.retain(|member| *member != peer);
        if !group.members.is_empty() {
            return Vec::new();
        }
        let Some(group) = place.take() else { return Vec::new() };
        self.orphans.push(Orphan::Exported(group.cells));
        group.cache.into_iter().flatten().map(|known| known.exported).collect()
    }
}

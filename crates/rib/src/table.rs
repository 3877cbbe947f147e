//! One family: its prefixes, the Loc-RIB, and what waits for a decision or for the kernel side.
//!
//! The Loc-RIB entry of a prefix is 16 octets. It also counts who refers to the prefix, so that its id is used again when
//! nobody does: each path in an Adj-RIB-In, the entry's own best path, each cell of an update group, each bit of a peer's
//! Adj-RIB-Out and of every set of waiting ids counts one.

use std::collections::VecDeque;
use std::ops::Range;

use bgp_wire::{Family, Prefix};
use hashbrown::HashMap;

use crate::column::{Cell, Column};
use crate::export::Best;
use crate::forwarding::Forwardings;
use crate::group::Group;
use crate::ids::IdSet;
use crate::interned::NONE;
use crate::next_hops::NextHops;
use crate::paged::Paged;
use crate::peer::Pace;
use crate::prefixes::Destination;
use crate::seed::Seed;

/// The Loc-RIB entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// What is too much to count is never given back.
    refs: u16,
    /// Where the peer is that announced the best path; meaningless without `best_set`.
    pub(crate) best_place: Place,
    /// Its attribute set, held; [`NONE`] where there is no usable path.
    pub(crate) best_set: u32,
    /// Next hops of the best path and those beside it, held; [`NONE`] without one, and for networks of our own.
    pub(crate) forwarding: u32,
    /// Where the peers are that may have announced the prefix.
    pub(crate) paths: Places,
}

const EMPTY: Entry =
    Entry { refs: 0, best_place: Place::LOCAL, best_set: NONE, forwarding: NONE, paths: Places::NOWHERE };

/// What a prefix is reached by: where two agree in this, so they do in what peers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    place: Place,
    set: u32,
    forwarding: u32,
}

/// Where the peer is that announced a path. A place is used again when its peer is gone, also while paths of the old one
/// wait to be decided anew: the new one is then not told what the old one said, until that is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u16);

impl Place {
    /// Ours: of the networks that we announce ourselves.
    pub(crate) const LOCAL: Self = Self(u16::MAX);

    /// Of the peer that is there.
    pub(crate) fn of(place: usize) -> Self {
        u16::try_from(place).map_or(Self::LOCAL, Self)
    }

    /// Whether it is that of the peer that is there.
    pub(crate) fn is(self, place: usize) -> bool {
        usize::from(self.0) == place
    }

    /// Where the peer is; none for a network of our own.
    pub(crate) fn peer(self) -> Option<usize> {
        (self != Self::LOCAL).then_some(usize::from(self.0))
    }
}

/// Places of peers, more than there are at times, never fewer: every 32nd place shares a bit. A decision looks only
/// there: of a hundred peers at eight at most, where two of them announce a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places(u32);

impl Places {
    pub(crate) const NOWHERE: Self = Self(0);
    /// Up to so many peers none shares a bit with another.
    pub(crate) const APART: usize = 32;

    pub(crate) fn add(&mut self, place: usize) {
        self.0 |= 1 << (place % Self::APART);
    }

    /// Whether there is no other one, but for those that share its bit.
    #[inline]
    pub(crate) fn is_only(self, place: usize) -> bool {
        self.0 == 1 << (place % Self::APART)
    }

    /// Those below `places`.
    #[inline]
    pub(crate) fn iter(self, places: usize) -> impl Iterator<Item = usize> {
        let (mut bits, mut next) = (self.0, usize::MAX);
        std::iter::from_fn(move || {
            while next >= places {
                let others = bits & bits.checked_sub(1)?;
                next = bits.trailing_zeros() as usize;
                bits = others;
            }
            let place = next;
            next += Self::APART;
            Some(place)
        })
    }
}

impl Entry {
    /// Whether it holds no path now, and tells none.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.best_set == NONE && self.forwarding == NONE
    }

    /// Takes in the first path, which is best, and with it so many holders more, of which one takes the place of the
    /// decision that the prefix waited for.
    #[inline]
    pub(crate) fn begin(&mut self, place: Place, set: u32, forwarding: u32, holders: u16) {
        (self.best_place, self.best_set, self.forwarding) = (place, set, forwarding);
        let refs = self.refs.saturating_add(holders);
        self.refs = if refs == u16::MAX { refs } else { refs.saturating_sub(1) };
    }

    #[inline]
    pub(crate) fn source(&self) -> Source {
        Source { place: self.best_place, set: self.best_set, forwarding: self.forwarding }
    }

    /// The best path.
    #[inline]
    pub(crate) fn best(&self, forwardings: &Forwardings) -> Option<Best> {
        let best = || Best { set: self.best_set, source: forwardings.source(self.forwarding) };
        (self.best_set != NONE).then(best)
    }
}

#[cfg(test)]
impl Entry {
    pub(crate) fn holders(&self) -> u32 {
        self.refs.into()
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
    /// Those of them that are to come first, if they still wait.
    urgent: VecDeque<u32>,
    /// Prefixes whose forwarding the kernel side has not pulled.
    pub(crate) untold: IdSet,
    /// What it pulled last for them, held, if that was anything; for all others it is what holds.
    told: HashMap<u32, u32, Seed>,
    /// Adj-RIBs-Out; the index is what peers hold.
    pub(crate) groups: Vec<Option<Box<Group>>>,
    /// What peers and groups left behind; swept by [`crate::Rib::decide`].
    pub(crate) orphans: Vec<Orphan>,
    pub(crate) rescan: Rescan,
    /// Peers whose stale routes become the last choice, each with the first prefix id that has not been looked at for
    /// that.
    pub(crate) aging: Vec<(usize, u32)>,
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

/// Passes over all prefixes for those that are to be decided again.
#[derive(Debug, Default)]
pub(crate) struct Rescan {
    /// What this pass looks for; nothing where none is under way.
    active: Sought,
    /// What has changed since it began, for the next one.
    waiting: Sought,
    next: u32,
}

/// Which prefixes are looked for.
#[derive(Debug, Default)]
struct Sought {
    /// Those with a path by one of these next hops, which are held.
    hops: IdSet,
    /// All of them.
    all: bool,
}

impl Sought {
    fn is_nothing(&self) -> bool {
        self.hops.is_empty() && !self.all
    }
}

impl Rescan {
    pub(crate) fn is_idle(&self) -> bool {
        self.active.is_nothing() && self.waiting.is_nothing()
    }

    /// Has those looked for that have a path by this next hop; whether that is new, and the hop to be held.
    pub(crate) fn add(&mut self, hop: u32) -> bool {
        self.waiting.hops.insert(hop)
    }

    /// Has all of them looked for.
    pub(crate) fn add_all(&mut self) {
        self.waiting.all = true;
    }

    /// The next ids to look at, so many at most, of those that there are; a pass begins where none is under way.
    pub(crate) fn next_ids(&mut self, most: usize, ids: usize) -> Range<u32> {
        if self.active.is_nothing() {
            (self.active, self.next) = (std::mem::take(&mut self.waiting), 0);
        }
        let first = self.next;
        let end = (first as usize).saturating_add(most.max(1)).min(ids);
        self.next = u32::try_from(end).unwrap_or(u32::MAX);
        first..self.next
    }

    /// Whether this pass looks for every prefix.
    pub(crate) fn seeks_all(&self) -> bool {
        self.active.all
    }

    /// Whether it looks for those with a path by this next hop.
    pub(crate) fn seeks(&self, hop: u32) -> bool {
        self.active.hops.contains(hop)
    }

    /// Ends the pass if it is through; the hops to let go.
    pub(crate) fn finish(&mut self, ids: usize) -> IdSet {
        // Ids that were added meanwhile belong to routes that are decided in any case.
        let is_through = self.next as usize >= ids;
        if is_through { std::mem::take(&mut self.active).hops } else { IdSet::default() }
    }
}

impl Table {
    pub(crate) fn new(family: Family, seed: Seed) -> Self {
        Self {
            prefixes: crate::prefixes::Prefixes::new(family, seed),
            entries: Paged::default(),
            local: Column::new(seed),
            undecided: IdSet::default(),
            urgent: VecDeque::new(),
            untold: IdSet::default(),
            told: HashMap::with_hasher(seed),
            groups: Vec::new(),
            orphans: Vec::new(),
            rescan: Rescan::default(),
            aging: Vec::new(),
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

    /// Whether `id` is in use, and for `prefix`.
    #[inline]
    pub(crate) fn is_at(&self, id: u32, prefix: impl Destination) -> bool {
        self.prefixes.is_at(id, prefix) && self.entry(id).refs > 0
    }

    /// The id of `prefix`, a new one if it has none. The caller holds it before anything is released.
    pub(crate) fn insert(&mut self, prefix: Prefix) -> Option<u32> {
        let (id, _) = match prefix {
            Prefix::V4(prefix) => self.insert_as(prefix)?,
            Prefix::V6(prefix) => self.insert_as(prefix)?,
        };
        Some(id)
    }

    /// [`Table::insert`], and whether the id is new.
    #[inline]
    pub(crate) fn insert_as(&mut self, prefix: impl Destination) -> Option<(u32, bool)> {
        let (id, is_new) = self.prefixes.insert(prefix)?;
        if is_new && id as usize == self.entries.len() {
            self.entries.push(EMPTY);
        }
        Some((id, is_new))
    }

    /// Takes in the first path to a new prefix, which the caller puts into its column, and has the decision run.
    #[inline(always)]
    pub(crate) fn begin(&mut self, id: u32, place: usize, pace: Pace) {
        if pace == Pace::Urgent {
            self.urgent.push_back(id);
        }
        let waits = self.undecided.insert(id);
        if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.refs = 1 + u16::from(waits);
            entry.paths.add(place);
        }
    }

    /// The attribute set and the next hops of the best path; [`NONE`] where there is none.
    #[inline]
    pub(crate) fn best_of(&self, id: u32) -> [u32; 2] {
        let entry = self.entry(id);
        [entry.best_set, entry.forwarding]
    }

    /// Takes in one more path to a prefix, which the caller puts into its column and has decided if need be.
    #[inline]
    pub(crate) fn join(&mut self, id: u32, place: usize) {
        if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.paths.add(place);
            entry.refs = entry.refs.saturating_add(1);
        }
    }

    pub(crate) fn hold(&mut self, id: u32) {
        if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.refs = entry.refs.saturating_add(1);
        }
    }

    #[inline]
    pub(crate) fn release(&mut self, id: u32) {
        match self.entries.get_mut(id as usize) {
            Some(Entry { refs: u16::MAX, .. }) | None => {}
            Some(entry) if entry.refs > 1 => entry.refs -= 1,
            Some(entry) => {
                *entry = EMPTY;
                self.prefixes.remove(id);
            }
        }
    }

    /// Has the decision run for a prefix, in its turn.
    pub(crate) fn mark(&mut self, id: u32) {
        self.mark_at(id, Pace::Bulk);
    }

    /// Has the decision run for a prefix.
    pub(crate) fn mark_at(&mut self, id: u32, pace: Pace) {
        if pace == Pace::Urgent {
            self.urgent.push_back(id);
        }
        if self.undecided.insert(id) {
            self.hold(id);
        }
    }

    /// [`Table::mark`], if the id is that of a prefix now.
    pub(crate) fn mark_if_used(&mut self, id: u32) {
        if let Some(entry) = self.entries.get_mut(id as usize)
            && entry.refs > 0
            && self.undecided.insert(id)
        {
            entry.refs = entry.refs.saturating_add(1);
        }
    }

    /// The next prefix to decide of those that come first.
    pub(crate) fn next_urgent(&mut self) -> Option<u32> {
        while let Some(id) = self.urgent.pop_front() {
            if self.undecided.remove(id) {
                return Some(id);
            }
        }
        None
    }

    /// Takes in new forwarding of a prefix, one hold of it included, and has the kernel side pull it, or no longer if it
    /// knows already what holds.
    pub(crate) fn forward(&mut self, id: u32, new: u32, forwardings: &mut Forwardings, hops: &mut NextHops) {
        let Some(entry) = self.entries.get_mut(id as usize) else { return };
        let old = std::mem::replace(&mut entry.forwarding, new);
        if old == new {
            forwardings.release(old, hops);
        } else if self.untold.insert(id) {
            if old != NONE {
                self.told.insert(id, old);
            }
            self.hold(id);
        } else {
            forwardings.release(old, hops);
            if self.told(id) == new {
                self.told.remove(&id);
                forwardings.release(new, hops);
                self.untold.remove(id);
                self.release(id);
            }
        }
    }

    /// The next prefix that the kernel side has not pulled; still held for the caller, who takes over the hold of what it
    /// was told before as well.
    #[inline]
    pub(crate) fn next_untold(&mut self) -> Option<(u32, u32)> {
        let id = self.untold.pop()?;
        Some((id, self.take_told(id)))
    }

    /// What the kernel side was told last of a prefix that it pulls, with the hold of it; [`NONE`] where that was nothing.
    #[inline]
    pub(crate) fn take_told(&mut self, id: u32) -> u32 {
        let told = self.told(id);
        if told != NONE {
            self.told.remove(&id);
        }
        told
    }

    fn told(&self, id: u32) -> u32 {
        if self.told.is_empty() { NONE } else { self.told.get(&id).copied().unwrap_or(NONE) }
    }

    #[cfg(test)]
    pub(crate) fn all_told(&self) -> impl Iterator<Item = (u32, u32)> {
        self.told.iter().map(|(id, told)| (*id, *told))
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
        let group = Box::new(group);
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

    /// Lends a group out, so that the table can change meanwhile; see [`Table::put_group`].
    pub(crate) fn take_group(&mut self, at: Option<usize>) -> Option<Box<Group>> {
        self.groups.get_mut(at?)?.take()
    }

    /// Takes a group back that was lent out.
    pub(crate) fn put_group(&mut self, at: Option<usize>, group: Option<Box<Group>>) {
        if let (Some(at), Some(group)) = (at, group)
            && let Some(place) = self.groups.get_mut(at)
        {
            *place = Some(group);
        }
    }

    /// Takes a peer out of a group, which goes with the last one.
    pub(crate) fn remove_member(&mut self, at: usize, peer: usize) {
        let Some(place) = self.groups.get_mut(at) else { return };
        let Some(group) = place else { return };
        group.members.retain(|member| *member != peer);
        if group.members.is_empty()
            && let Some(cells) = place.take().and_then(|group| group.cells)
        {
            self.orphans.push(Orphan::Exported(cells));
        }
    }
}

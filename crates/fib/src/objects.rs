//! Next-hop objects and groups: their ids, who needs them, and what the kernel holds of them.
//!
//! A hop belongs to a gateway on a link and is shared by whoever needs it, a group (`groups`) to a set of next hops; their
//! ids stay for as long as anybody needs them. What the kernel does by itself when a hop goes (groups shrink, empty groups
//! and the routes of both vanish) happens here too, or the next plan would build on sand.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;

use foldhash::fast::FixedState;

use crate::config::{FibConfig, GROUP_IDS, GroupKind, HOP_IDS};
use crate::groups::{Group, Key, remember};
use crate::guard::{Guard, Trouble};
use crate::view::Via;

/// What the kernel holds, as far as we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held<T> {
    /// Nothing.
    Absent,
    /// Perhaps something, perhaps what we think.
    Doubt,
    /// This.
    Present(T),
}

/// What is on its way to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flight<T> {
    /// An add or a replacement.
    Put(T),
    /// A removal.
    Del,
}

/// One object; `T` is what tells whether it is as it should be.
#[derive(Debug)]
pub(crate) struct Object<T> {
    pub(crate) wanted: T,
    pub(crate) held: Held<T>,
    pub(crate) flight: Option<Flight<T>>,
    /// While in flight something happened that the answer will not tell.
    pub(crate) doubt: bool,
    /// How many sets need it.
    pub(crate) claims: u32,
    /// Of them: how many only borrow it. Groups only, as the next two.
    pub(crate) lent: u32,
    /// What it is made first, one after the other, before it becomes what is wanted. Groups only, as the next two.
    pub(crate) seeds: VecDeque<T>,
    /// The kernel has got a seed and not yet what is wanted: no route may come to it.
    pub(crate) sown: bool,
    /// What it has been in the kernel, one after the other; `None` where that is not known, or too much.
    pub(crate) history: Option<Vec<T>>,
    /// The member that is to carry no flow while there is another. Groups only, as the next.
    pub(crate) backup: Option<u32>,
    /// Routes that had borrowed it may still point to it.
    pub(crate) shared: bool,
    /// Found at start and never claimed.
    pub(crate) leftover: bool,
    /// Last changed after the dump with this number was asked for; last seen in the one with that.
    pub(crate) touched: u64,
    pub(crate) seen: u64,
    /// The kernel says its id is taken; the next dump will tell.
    pub(crate) look: bool,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) guard: Guard,
}

impl<T> Object<T> {
    pub(crate) fn new(wanted: T) -> Self {
        Self {
            wanted,
            held: Held::Absent,
            flight: None,
            doubt: false,
            claims: 0,
            lent: 0,
            seeds: VecDeque::new(),
            sown: false,
            history: None,
            backup: None,
            shared: false,
            leftover: false,
            touched: 0,
            seen: 0,
            look: false,
            trouble: None,
            guard: Guard::default(),
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.claims == 0 && self.flight.is_none() && matches!(self.held, Held::Absent)
    }

    /// A set needs it, or one more. What the kernel has said to its removal matters no longer.
    pub(crate) fn claim(&mut self) {
        self.trouble.take_if(|_| self.claims == 0);
        self.claims += 1;
        self.leftover = false;
    }

    /// The kernel has removed it, or refused to; the trouble that there was with it before.
    pub(crate) fn removal_answered(&mut self, gone: bool, touch: u64) -> Option<Trouble> {
        self.flight = None;
        self.doubt = false;
        self.touched = touch;
        self.held = if gone { Held::Absent } else { Held::Doubt };
        self.trouble.take()
    }
}

impl<T: PartialEq> Object<T> {
    /// Whether the kernel will hold it, and not a seed of it, when the next operation arrives there.
    pub(crate) fn available(&self) -> bool {
        let grown = |body: &T| !self.sown || *body == self.wanted;
        match (&self.flight, &self.held) {
            (Some(Flight::Put(body)), _) | (None, Held::Present(body)) => grown(body),
            (Some(Flight::Del), _) | (None, Held::Absent | Held::Doubt) => false,
        }
    }
}

impl<T: PartialEq> Held<T> {
    /// Whether the kernel surely holds this.
    pub(crate) fn is(&self, other: &T) -> bool {
        matches!(self, Self::Present(held) if held == other)
    }
}

/// All objects of ours.
#[derive(Debug)]
pub(crate) struct Objects {
    pub(crate) hops: BTreeMap<u32, Object<Via>>,
    pub(crate) groups: BTreeMap<u32, Object<Group>>,
    /// What our groups are.
    pub(crate) kind: GroupKind,
    /// The same while a member drains.
    pub(crate) patient: GroupKind,
    /// The largest weight that the kernel takes.
    pub(crate) largest_weight: u16,
    /// See [`FibConfig::keep_buckets`](crate::FibConfig).
    pub(crate) keep_buckets: bool,
    by_via: BTreeMap<Via, u32>,
    pub(crate) by_members: BTreeMap<Key, u32>,
    /// Routes that point to an object, in the kernel or on their way.
    users: HashMap<u32, u32, FixedState>,
    /// The object whose users were counted last, with their number: it is not in `users` meanwhile.
    counted: (u32, u32),
    /// Objects that a plan has to look at.
    pub(crate) work: BTreeSet<u32>,
    /// Hops of peers that are lost: whoever points there is about to point elsewhere.
    pub(crate) leaving: BTreeSet<u32>,
    /// Ids in our ranges that belong to somebody else.
    pub(crate) taken: BTreeSet<u32>,
    next_hop_id: u32,
    pub(crate) next_group_id: u32,
}

impl Objects {
    pub(crate) fn new(config: &FibConfig) -> Self {
        let kind = config.groups;
        Self {
            hops: BTreeMap::new(),
            groups: BTreeMap::new(),
            kind,
            patient: kind.patient(None),
            largest_weight: config.largest_weight,
            keep_buckets: config.keep_buckets,
            by_via: BTreeMap::new(),
            by_members: BTreeMap::new(),
            users: HashMap::default(),
            counted: (0, 0),
            work: BTreeSet::new(),
            leaving: BTreeSet::new(),
            taken: BTreeSet::new(),
            next_hop_id: HOP_IDS.start,
            next_group_id: GROUP_IDS.start,
        }
    }

    /// The hop of a gateway, needed once more.
    pub(crate) fn claim_hop(&mut self, via: Via) -> u32 {
        let id = match self.by_via.get(&via) {
            Some(id) => *id,
            None => {
                let id = free_id(&HOP_IDS, &mut self.next_hop_id, |id| {
                    self.hops.contains_key(&id) || self.taken.contains(&id)
                });
                self.by_via.insert(via, id);
                id
            }
        };
        let hop = self.hops.entry(id).or_insert_with(|| Object::new(via));
        hop.claim();
        self.work.insert(id);
        id
    }

    /// Needed once less.
    pub(crate) fn release(&mut self, id: u32) {
        let claims = match (self.hops.get_mut(&id), self.groups.get_mut(&id)) {
            (Some(hop), _) => &mut hop.claims,
            (None, Some(group)) => &mut group.claims,
            (None, None) => return,
        };
        *claims = claims.saturating_sub(1);
        self.work.insert(id);
    }

    /// The hop with this id; entered where the kernel holds it and we did not know.
    pub(crate) fn found_hop(&mut self, id: u32, via: Via) -> &mut Object<Via> {
        if !self.hops.contains_key(&id) {
            self.by_via.entry(via).or_insert(id);
        }
        self.work.insert(id);
        self.hops.entry(id).or_insert_with(|| Object::new(via))
    }

    /// Forgets an object: the kernel holds nothing and nobody needs it, or its id is somebody else's.
    pub(crate) fn forget(&mut self, id: u32) {
        if let Some(hop) = self.hops.remove(&id)
            && self.by_via.get(&hop.wanted) == Some(&id)
        {
            self.by_via.remove(&hop.wanted);
        }
        self.forget_group(id);
        self.work.remove(&id);
        self.leaving.remove(&id);
    }

    /// The id of a gateway's hop, if there is one.
    pub(crate) fn hop_of(&self, via: &Via) -> Option<u32> {
        self.by_via.get(via).copied()
    }

    /// A route points to `id` (or no longer does).
    #[inline]
    pub(crate) fn use_by_route(&mut self, id: u32, used: bool) {
        if self.counted.0 != id {
            self.count_another(id);
        }
        let users = &mut self.counted.1;
        *users = if used { *users + 1 } else { users.saturating_sub(1) };
        if *users == 0 {
            self.work.insert(id);
        }
    }

    /// Routes of one object come one behind the other.
    fn count_another(&mut self, id: u32) {
        let users = self.users.remove(&id).unwrap_or(0);
        let (before, count) = std::mem::replace(&mut self.counted, (id, users));
        if count > 0 {
            self.users.insert(before, count);
        }
    }

    /// How many routes point to it.
    pub(crate) fn users(&self, id: u32) -> u32 {
        match self.counted {
            (counted, users) if counted == id => users,
            _ => self.users.get(&id).copied().unwrap_or(0),
        }
    }

    /// Whether a route may point to it.
    pub(crate) fn available(&self, id: u32) -> bool {
        match self.hops.get(&id) {
            Some(hop) => hop.available(),
            None => self.groups.get(&id).is_some_and(Object::available),
        }
    }

    /// The kernel has dropped a hop. Groups lose it; returns the ids whose routes have vanished with them, and those
    /// whose routes may have.
    pub(crate) fn hop_gone(&mut self, id: u32, touch: u64) -> (Vec<u32>, Vec<u32>) {
        let mut vanished = vec![id];
        if let Some(hop) = self.hops.get_mut(&id) {
            hop.held = Held::Absent;
            hop.touched = touch;
            hop.doubt |= hop.flight.is_some();
            self.work.insert(id);
        }
        vanished.extend(self.shrink_groups(id, touch));
        let doubtful = self.groups.iter().filter(|(_, group)| matches!(group.held, Held::Doubt));
        (vanished, doubtful.map(|(id, _)| *id).collect())
    }

    /// Takes a hop out of the groups that hold it; returns those that have become empty and so are gone.
    pub(crate) fn shrink_groups(&mut self, id: u32, touch: u64) -> Vec<u32> {
        let mut emptied = Vec::new();
        for (group_id, group) in &mut self.groups {
            if matches!(&group.flight, Some(Flight::Put(put)) if put.contains(id)) {
                group.doubt = true;
            }
            let Held::Present(held) = &mut group.held else { continue };
            let before = held.members.len();
            held.members.retain(|(member, _)| *member != id);
            if held.members.len() != before {
                remember(&mut group.history, held);
                let members = &held.members;
                group.touched = touch;
                self.work.insert(*group_id);
                if members.is_empty() && group.flight.is_some() {
                    // Which came first, nobody can tell; the answer to what is in flight ends the doubt.
                    group.doubt = true;
                } else if members.is_empty() {
                    group.held = Held::Absent;
                    emptied.push(*group_id);
                }
            }
        }
        emptied
    }

    /// It is not known whether the kernel still holds a hop; the same then goes for groups with it. Returns the ids whose
    /// routes may have vanished.
    pub(crate) fn doubt_hop(&mut self, id: u32) -> Vec<u32> {
        let mut doubtful = vec![id];
        if let Some(hop) = self.hops.get_mut(&id) {
            hop.held = Held::Doubt;
            self.work.insert(id);
        }
        for (group_id, group) in &mut self.groups {
            let in_flight = matches!(&group.flight, Some(Flight::Put(put)) if put.contains(id));
            let held = matches!(&group.held, Held::Present(held) if held.contains(id));
            if in_flight || held {
                group.doubt |= group.flight.is_some();
                group.held = Held::Doubt;
                doubtful.push(*group_id);
                self.work.insert(*group_id);
            }
        }
        doubtful
    }

    /// Whether a hop can be deleted without taking a route along that is still needed.
    pub(crate) fn hop_is_free(&self, id: u32) -> bool {
        self.users(id) == 0
            && self.groups.values().all(|group| {
                let in_flight = match &group.flight {
                    Some(Flight::Del) => return true,
                    Some(Flight::Put(put)) => {
                        if put.contains(id) {
                            return false;
                        }
                        true
                    }
                    None => false,
                };
                match &group.held {
                    Held::Present(held) if held.contains(id) => {
                        held.members.len() > 1 && !group.leftover && !in_flight
                    }
                    Held::Present(_) | Held::Absent => true,
                    Held::Doubt => false,
                }
            })
    }
}

pub(crate) fn free_id(range: &Range<u32>, next: &mut u32, used: impl Fn(u32) -> bool) -> u32 {
    for _ in range.clone() {
        let id = *next;
        *next = if id + 1 < range.end { id + 1 } else { range.start };
        if !used(id) {
            return id;
        }
    }
    // Half a million objects in use at once: the kernel refuses the id as taken, and that is shown.
    range.start
}

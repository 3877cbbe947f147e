//! Sets of next hops as the RIB wants them, shared by all prefixes that want the same.
//!
//! A set comes to gateways (each once, however many of its next hops lead there), these to hop objects, and those to a
//! group. When a member fails or comes back, the prefixes of the set change together, by a change of the group.
//!
//! When a node joins, its routes come one after another: prefix by prefix moves from the set without it to the set with it.
//! The new set borrows the old one's group meanwhile, which lacks nothing but the new member, and inherits it when the
//! last prefix has moved (`loan`). So it is with those of a peer that is lost. Where some stay behind, the new set gets a group of its own, with the old members only until the
//! kernel can tell which of its buckets are in use: that takes the idle timer, but no longer than its routes have been in
//! the kernel, for who has been silent since has been silent for longer than he had been there.

mod loan;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bgp_wire::{Family, PerFamily, ScopedNextHop};

use crate::groups::{Members, Share};
use crate::numbered::Numbered;
use crate::objects::Objects;
use crate::op::RouteTarget;
use crate::routes::{BodyId, NONE};
use crate::sets::loan::{Claim, Loan};
use crate::view::Via;

/// Where the routes of a set should point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// No next hop can be used: no route.
    Unresolved,
    /// The object for it is not there yet: leave the route as it is.
    Waiting,
    /// Those that point to this group stay, for its legs are or were theirs; others are left as they are.
    Kept(u32),
    /// There.
    Ready(RouteTarget),
}

/// What the RIB wants of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    /// By next hop, each once.
    pub(crate) shares: Vec<Share>,
    /// The next hop to go by when none of these can be used.
    pub(crate) backup: Option<ScopedNextHop>,
}

/// What a set comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Legs {
    /// The gateways by which its routes go, sorted, each once; with weight 0 where they drain.
    pub(crate) vias: Vec<(Via, u16)>,
    /// The gateway that takes over when the only one of these is lost.
    pub(crate) spare: Option<Via>,
}

/// Members that a new group does without until a time.
#[derive(Debug)]
struct Patience {
    until: Instant,
    /// Whatever moves into the set, it becomes no later.
    at_most: Instant,
    /// How long each route is in the group before.
    wait: Duration,
    /// Those it begins with.
    first: Members,
}

/// What of a set is to carry no new flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draining {
    Nothing,
    /// Some legs, which have others beside them.
    SomeLegs,
    /// All that there are, so they go on.
    EveryLeg,
}

/// Whom the group of a set is still without, and why.
#[derive(Debug)]
pub(crate) struct Joining {
    /// The hops.
    pub(crate) hops: Vec<u32>,
    /// When they join, unless more routes move into the set meanwhile.
    pub(crate) until: Instant,
}

/// One set.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) wanted: Wanted,
    /// How many routes it has, and how many of them are where its target is.
    pub(crate) count: u32,
    pub(crate) installed: u32,
    /// The first of them; each knows the next.
    pub(crate) first: u32,
    /// The routes from here on have not heard of the present target.
    pub(crate) unswept: u32,
    pub(crate) legs: Legs,
    pub(crate) draining: Draining,
    /// Claimed hops of the legs, sorted, and that of the spare.
    hops: Members,
    spare: Option<u32>,
    /// The group it owns.
    group: Option<u32>,
    loan: Option<Loan>,
    patience: Option<Patience>,
    pub(crate) target: Target,
    /// What its routes of each family should be, where the target is ready.
    pub(crate) bodies: PerFamily<Option<BodyId>>,
}

/// All sets.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    sets: Numbered<Set>,
    by_wanted: BTreeMap<Wanted, u32>,
    by_next_hop: BTreeMap<ScopedNextHop, BTreeSet<u32>>,
    /// What was wanted last: prefixes with the same next hops come together.
    last: PerFamily<Option<(Wanted, u32)>>,
    /// Sets to be looked at again.
    pub(crate) dirty: BTreeSet<u32>,
    /// Sets whose routes are to be looked at again.
    pub(crate) unswept: BTreeSet<u32>,
    /// Sets to be looked at again when others' routes have left their group.
    awaiting: BTreeSet<u32>,
    /// Sets to be looked at again at a time.
    timers: BTreeSet<(Instant, u32)>,
}

impl Sets {
    pub(crate) fn get(&self, id: u32) -> Option<&Set> {
        self.sets.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Set> {
        self.sets.get_mut(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Set> {
        self.sets.iter().map(|(_, set)| set)
    }

    /// Every body that a set's routes should have.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = BodyId> + '_ {
        self.sets.iter().flat_map(|(_, set)| [set.bodies.ipv4, set.bodies.ipv6]).flatten()
    }

    /// The set that prefixes of this family had last, where they wanted the very same.
    pub(crate) fn same_as_last(&self, family: Family, wanted: &Wanted) -> Option<u32> {
        self.last[family].as_ref().filter(|(last, _)| last == wanted).map(|(_, id)| *id)
    }

    /// The set that the last prefix of this family went to.
    pub(crate) fn last(&self, family: Family) -> Option<u32> {
        self.last[family].as_ref().map(|(_, id)| *id)
    }

    pub(crate) fn remember(&mut self, family: Family, wanted: &Wanted, id: u32) {
        self.last[family] = Some((wanted.clone(), id));
    }

    /// The set of what is wanted (sorted, each next hop once); `true` where it is new.
    pub(crate) fn find_or_create(&mut self, wanted: Wanted) -> (u32, bool) {
        if let Some(id) = self.by_wanted.get(&wanted) {
            return (*id, false);
        }
        let set = Set {
            wanted: wanted.clone(),
            count: 0,
            installed: 0,
            first: NONE,
            unswept: NONE,
            legs: Legs::default(),
            draining: Draining::Nothing,
            hops: Vec::new(),
            spare: None,
            group: None,
            loan: None,
            patience: None,
            target: Target::Waiting,
            bodies: PerFamily::default(),
        };
        let id = self.sets.insert(set);
        for next_hop in wanted.next_hops() {
            self.by_next_hop.entry(next_hop).or_default().insert(id);
        }
        self.by_wanted.insert(wanted, id);
        self.dirty.insert(id);
        (id, true)
    }

    /// The group of a set waits on where routes may not have reached it yet.
    pub(crate) fn wait_on(&mut self, id: u32, backlog: bool, now: Instant) {
        if let Some(set) = self.sets.get_mut(id)
            && (backlog || set.unswept != NONE)
            && let Some(patience) = set.patience.as_mut().filter(|patience| patience.until <= now)
        {
            patience.extend(patience.wait, now);
        }
    }

    /// What the group of each set that has its own is still without.
    pub(crate) fn joining(&self, objects: &Objects) -> BTreeMap<u32, Joining> {
        let own = |set: &Set| Some((set.group?, set.joining(objects)?));
        self.sets.iter().filter_map(|(_, set)| own(set)).collect()
    }

    /// Works out where the routes of a set that comes to this should point.
    pub(crate) fn claim(&mut self, id: u32, legs: Legs, objects: &mut Objects, now: Instant) -> Target {
        self.end_sharing(id, objects);
        let claim = self.claim_on(id, objects);
        let Some(set) = self.sets.get_mut(id) else { return Target::Waiting };
        let target = set.claim(legs, claim, objects, now);
        let waits = [set.patience.as_ref().map(|patience| patience.until), set.loan.map(|loan| loan.until())];
        if self.awaits_others(id, objects) {
            self.awaiting.insert(id);
        } else {
            self.awaiting.remove(&id);
        }
        let again = waits.into_iter().flatten().filter(|until| *until > now);
        self.timers.extend(again.map(|until| (until, id)));
        target
    }

    /// Marks the sets whose time has come.
    pub(crate) fn tick(&mut self, now: Instant) {
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.remove(&(at, id));
            if self.sets.get(id).is_some() {
                self.dirty.insert(id);
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Takes out a set that no prefix wants.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Set> {
        let set = self.sets.remove(id)?;
        self.by_wanted.remove(&set.wanted);
        for next_hop in set.wanted.next_hops() {
            if let Some(ids) = self.by_next_hop.get_mut(&next_hop) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_next_hop.remove(&next_hop);
                }
            }
        }
        self.dirty.remove(&id);
        self.unswept.remove(&id);
        self.awaiting.remove(&id);
        for last in [&mut self.last.ipv4, &mut self.last.ipv6] {
            last.take_if(|(_, last)| *last == id);
        }
        Some(set)
    }

    /// A next hop has changed.
    pub(crate) fn mark(&mut self, next_hop: &ScopedNextHop) {
        self.dirty.extend(self.by_next_hop.get(next_hop).into_iter().flatten());
    }

    /// What is true of every set may have changed.
    pub(crate) fn mark_all(&mut self) {
        self.dirty.extend(self.sets.iter().map(|(id, _)| id));
    }

    /// An object has changed.
    pub(crate) fn mark_object(&mut self, object: u32) {
        let touched = |set: &Set| set.points_to(object) || set.needs(object);
        self.dirty.extend(self.sets.iter().filter(|(_, set)| touched(set)).map(|(id, _)| id));
    }

    /// Gives up every object, for a kernel that has none.
    pub(crate) fn release_all(&mut self, objects: &mut Objects) {
        for (_, set) in self.sets.iter_mut() {
            set.release_groups(objects);
            set.release_hops(objects);
        }
        self.dirty.extend(self.sets.iter().map(|(id, _)| id));
    }

    /// An object is given up because its id is somebody else's: its sets claim anew.
    pub(crate) fn disclaim(&mut self, object: u32, objects: &mut Objects) {
        for (id, set) in self.sets.iter_mut() {
            if set.points_to(object) {
                (set.group, set.loan) = (None, None);
                self.dirty.insert(id);
            }
            if set.needs(object) {
                set.legs = Legs::default();
                set.release_hops(objects);
                self.dirty.insert(id);
            }
        }
    }
}

impl Set {
    /// Those by which it is to go.
    pub(crate) fn next_hops(&self) -> impl Iterator<Item = ScopedNextHop> {
        self.wanted.shares.iter().map(|(next_hop, _)| *next_hop)
    }

    /// The group that its routes point to, its own or a borrowed one.
    pub(crate) fn group_id(&self) -> Option<u32> {
        self.group.or(self.loan.map(|loan| loan.group))
    }

    /// Whether it may still get another group.
    pub(crate) fn is_borrowing(&self) -> bool {
        self.loan.is_some()
    }

    fn points_to(&self, group: u32) -> bool {
        self.group == Some(group) || self.loan.is_some_and(|loan| loan.group == group)
    }

    fn needs(&self, hop: u32) -> bool {
        self.spare == Some(hop) || self.hops.iter().any(|(id, _)| *id == hop)
    }

    /// Claims what these gateways need, and says where routes should point.
    fn claim(&mut self, legs: Legs, claim: Claim, objects: &mut Objects, now: Instant) -> Target {
        if legs != self.legs {
            let (old, spare) = (std::mem::take(&mut self.hops), self.spare);
            self.hops = legs.vias.iter().map(|(via, weight)| (objects.claim_hop(*via), *weight)).collect();
            self.hops.sort_unstable();
            self.spare = legs.spare.map(|via| objects.claim_hop(via));
            old.into_iter().map(|(id, _)| id).chain(spare).for_each(|id| objects.release(id));
            self.legs = legs;
        }
        if self.hops.is_empty() {
            self.release_groups(objects);
            return Target::Unresolved;
        }
        let id = match (self.group, self.loan.take()) {
            (Some(group), _) => group,
            (None, Some(loan)) => match self.use_loan(loan, claim, objects, now) {
                Ok(group) => group,
                Err(target) => return target,
            },
            (None, None) => {
                let protected = self.spare.and_then(|spare| objects.protected(&self.hops, spare, None));
                let is_best = |members: &Members| objects.is_left(members) || !objects.is_left(&self.hops);
                let members = protected.filter(is_best).unwrap_or_else(|| self.hops.clone());
                objects.claim_group(&members, None)
            }
        };
        self.group = Some(id);
        let mut legs = self.members_at(now);
        if legs.iter().any(|(hop, _)| objects.may_have(id, *hop)) {
            legs.retain(|(hop, _)| objects.may_have(id, *hop));
        }
        let protected = self.spare.filter(|spare| objects.may_have(id, *spare));
        let protected = protected.and_then(|spare| Some((objects.protected(&legs, spare, Some(id))?, spare)));
        let (members, backup) = protected.map_or((legs, None), |(members, spare)| (members, Some(spare)));
        objects.change_group(id, &members, backup, self.draining != Draining::Nothing);
        target_of(id, objects)
    }

    /// Whom the group is still without; `None` where nobody waits.
    pub(crate) fn joining(&self, objects: &Objects) -> Option<Joining> {
        let (first, until) = match (&self.patience, self.loan) {
            (Some(patience), _) => (patience.first.clone(), patience.until),
            (None, Some(loan)) => (objects.legs_of(loan.group), loan.until()),
            (None, None) => return None,
        };
        let waits = |id: &u32| !first.iter().any(|(first, _)| first == id);
        Some(Joining { hops: self.hops.iter().map(|(id, _)| *id).filter(waits).collect(), until })
    }

    /// The members that the group should have now.
    fn members_at(&mut self, now: Instant) -> Members {
        let Some(patience) = self.patience.take_if(|patience| patience.until > now) else {
            self.patience = None;
            return self.hops.clone();
        };
        let is_needed = |id: u32| self.hops.iter().any(|(hop, _)| *hop == id);
        let members: Members = patience.first.iter().filter(|(id, _)| is_needed(*id)).copied().collect();
        if members.is_empty() {
            return self.hops.clone();
        }
        self.patience = Some(patience);
        members
    }

    fn release_groups(&mut self, objects: &mut Objects) {
        if let Some(group) = self.group.take() {
            objects.release(group);
        }
        if let Some(loan) = self.loan.take() {
            objects.end_loan(loan.group);
        }
        self.patience = None;
    }

    /// Gives up everything; says which group its routes pointed to.
    pub(crate) fn release(mut self, objects: &mut Objects) -> Option<u32> {
        let group = self.group;
        self.release_groups(objects);
        self.release_hops(objects);
        group
    }

    fn release_hops(&mut self, objects: &mut Objects) {
        self.hops.drain(..).map(|(id, _)| id).chain(self.spare.take()).for_each(|id| objects.release(id));
    }
}

impl Wanted {
    /// Every next hop in it.
    pub(crate) fn next_hops(&self) -> impl Iterator<Item = ScopedNextHop> {
        self.shares.iter().map(|(next_hop, _)| *next_hop).chain(self.backup)
    }
}

impl Patience {
    /// A route has come into the group whose flows show themselves within `wait`, if they are to be kept.
    fn extend(&mut self, wait: Duration, now: Instant) {
        self.wait = self.wait.max(wait);
        self.until = self.until.max(now + wait).min(self.at_most);
    }
}

fn target_of(group: u32, objects: &Objects) -> Target {
    if !objects.available(group) {
        Target::Waiting
    } else if objects.is_behind(group) {
        Target::Kept(group)
    } else {
        Target::Ready(RouteTarget::Nexthop(group))
    }
}

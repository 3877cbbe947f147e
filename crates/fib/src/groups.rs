//! Next-hop groups: one for each set of next hops, from the first member on.
//!
//! A route keeps its group for as long as its set keeps its routes: members come and go under the same id, and of a
//! resilient group the kernel then moves only the buckets of a member that left, and to one that came only buckets that
//! are idle. So a set owns its group and nobody shares it. A set into which routes move from another one may borrow that
//! one's group ([`Objects::lend`]) until it is clear whether all of them move, and then inherits it.
//!
//! Where only some of the routes move, they get a group of their own, which is sown: made with the members of the group
//! they come from, then changed. The kernel hands out the buckets of a new group in one order, so both groups agree
//! on the buckets of the members that stay.

use bgp_wire::ScopedNextHop;

use crate::config::{GROUP_IDS, GroupKind};
use crate::objects::{Held, Object, Objects, free_id};

/// Ids and weights of hops, by ascending id, each once.
pub(crate) type Members = Vec<(u32, u16)>;

/// A next hop and its share among those of a set.
pub(crate) type Share = (ScopedNextHop, u16);

/// A group as it should be, or as the kernel holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) kind: GroupKind,
    pub(crate) members: Members,
}

/// What the kernel does not change in place, and the members: under this a group without an owner is found again.
type Key = (Option<u16>, Members);

impl Group {
    fn key(&self) -> Key {
        (self.kind.buckets(), self.members.clone())
    }

    pub(crate) fn contains(&self, hop: u32) -> bool {
        self.members.iter().any(|(member, _)| *member == hop)
    }

    /// Whether the kernel can make `other` of it in place.
    pub(crate) fn can_become(&self, other: &Self) -> bool {
        self.kind.buckets() == other.kind.buckets()
    }
}

/// Whether every one of `old` is in `new`, with whatever weights.
pub(crate) fn keeps_all(old: &[(u32, u16)], new: &[(u32, u16)]) -> bool {
    old.iter().all(|(id, _)| new.iter().any(|(other, _)| other == id))
}

impl Objects {
    /// A group for a set that has none: one that nobody owns and the kernel may still hold, or a new one, sown with the
    /// members of the group `seed`.
    pub(crate) fn claim_group(&mut self, members: &Members, seed: Option<u32>) -> u32 {
        let wanted = Group { kind: self.kind, members: members.clone() };
        let found = self.by_members.get(&wanted.key()).copied();
        let found = found.filter(|id| self.groups.get(id).is_some_and(|group| group.claims == 0));
        let seed = seed.and_then(|id| self.groups.get(&id)).map(|group| group.wanted.clone());
        let id = found.unwrap_or_else(|| {
            free_id(&GROUP_IDS, &mut self.next_group_id, |id| {
                self.groups.contains_key(&id) || self.taken.contains(&id)
            })
        });
        let group = self.groups.entry(id).or_insert_with(|| Object::new(wanted.clone()));
        group.claims += 1;
        group.leftover = false;
        if found.is_none() && matches!(self.kind, GroupKind::Resilient(_)) {
            group.seed = seed.filter(|seed| seed.members != wanted.members && seed.can_become(&wanted));
        }
        self.rename_group(id, wanted);
        id
    }

    /// Changes a group in place, however many routes point to it. `patient`: no bucket moves that is in use, however long
    /// the group is out of balance.
    pub(crate) fn change_group(&mut self, id: u32, members: &Members, patient: bool) {
        let kind = if patient { self.patient } else { self.kind };
        let is_so = |group: &Object<Group>| group.wanted.members == *members && group.wanted.kind == kind;
        if self.groups.get(&id).is_some_and(|group| !is_so(group)) {
            self.rename_group(id, Group { kind, members: members.clone() });
        }
    }

    fn rename_group(&mut self, id: u32, wanted: Group) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        self.work.insert(id);
        let new = wanted.key();
        let old = std::mem::replace(&mut group.wanted, wanted).key();
        if self.by_members.get(&old) == Some(&id) {
            self.by_members.remove(&old);
        }
        self.by_members.insert(new, id);
    }

    /// The members that a group should have.
    pub(crate) fn members_of(&self, id: u32) -> Members {
        self.groups.get(&id).map(|group| group.wanted.members.clone()).unwrap_or_default()
    }

    /// Whether routes that are to have these hops may keep a group until it is clear what becomes of it: it leads nowhere
    /// else, or to hops that everybody is leaving.
    pub(crate) fn serves(&self, id: u32, hops: &Members) -> bool {
        let members = self.groups.get(&id).map_or(&[][..], |group| &group.wanted.members);
        let staying = members.iter().filter(|(hop, _)| !self.leaving.contains(hop));
        keeps_all(&staying.copied().collect::<Members>(), hops)
    }

    /// Another set points its routes to a group for a while.
    pub(crate) fn lend(&mut self, id: u32) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.claims += 1;
            group.lent += 1;
        }
    }

    /// Ends what [`Objects::lend`] began.
    pub(crate) fn end_loan(&mut self, id: u32) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.lent = group.lent.saturating_sub(1);
        }
        self.release(id);
    }

    /// The borrower becomes the owner, where there is none any more.
    pub(crate) fn inherit(&mut self, id: u32) -> bool {
        match self.groups.get_mut(&id) {
            Some(group) if group.claims == group.lent && group.lent > 0 => {
                group.lent -= 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// The group with this id; entered where the kernel holds it and we did not know.
    pub(crate) fn found_group(&mut self, id: u32, group: Group) -> &mut Object<Group> {
        if !self.groups.contains_key(&id) {
            self.by_members.entry(group.key()).or_insert(id);
        }
        self.work.insert(id);
        self.groups.entry(id).or_insert_with(|| Object::new(group))
    }

    pub(crate) fn forget_group(&mut self, id: u32) {
        if let Some(group) = self.groups.remove(&id) {
            let key = group.wanted.key();
            if self.by_members.get(&key) == Some(&id) {
                self.by_members.remove(&key);
            }
        }
    }

    /// What the kernel is to be told about a group next, and whether it holds nothing under that id; `None` where it is
    /// as it should be, or a member is missing.
    pub(crate) fn next_group(&mut self, id: u32) -> Option<(Group, bool)> {
        let group = self.groups.get(&id)?;
        let is_complete = |body: &Group| {
            body.members.iter().all(|(member, _)| self.hops.get(member).is_some_and(Object::available))
        };
        let exclusive = matches!(group.held, Held::Absent);
        let wanted = group.wanted.clone();
        let known = group.held.is(&wanted);
        let seed = group.seed.clone().filter(|seed| exclusive && *seed != wanted && is_complete(seed));
        if seed.is_none() && !known && !is_complete(&wanted) {
            return None;
        }
        let group = self.groups.get_mut(&id)?;
        group.seed = None;
        group.sown = seed.is_some();
        if known { None } else { Some((seed.unwrap_or(wanted), exclusive)) }
    }
}

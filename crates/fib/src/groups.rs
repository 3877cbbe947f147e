//! Next-hop groups: one for each set of next hops, from the first member on.
//!
//! A route keeps its group for as long as its set keeps its routes: members come and go under the same id, and of a
//! resilient group the kernel then moves only the buckets of a member that left, and to one that came only buckets that
//! are idle. So a set owns its group and nobody shares it. A set into which routes move from another one may borrow that
//! one's group ([`Objects::lend`]) until it is clear whether all of them move, and then inherits it (`sets::loan`).
//!
//! Where only some of the routes move, they get a group of their own, which is sown: made with the members of the group
//! they come from, then changed. The kernel hands out the buckets of a new group in one order, so both groups agree
//! on the buckets of the members that stay.

use std::collections::{BTreeMap, VecDeque};

use bgp_wire::ScopedNextHop;

use crate::config::{GROUP_IDS, GroupKind};
use crate::objects::{Flight, Held, Object, Objects, free_id};

/// A group that was more than this has no history that could be gone through again while flows wait.
const LONGEST_HISTORY: usize = 8;

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

/// Whether it has buckets, and the members: under this a group without an owner is found again.
pub(crate) type Key = (bool, Members);

impl Group {
    fn key(&self) -> Key {
        (self.kind.buckets().is_some(), self.members.clone())
    }

    pub(crate) fn contains(&self, hop: u32) -> bool {
        self.members.iter().any(|(member, _)| *member == hop)
    }

    /// Whether flows go by this hop, or may.
    fn leads_to(&self, hop: u32) -> bool {
        let buckets = self.kind.buckets();
        buckets.map_or(self.contains(hop), |buckets| {
            due(buckets, &self.members).any(|(id, due)| id == hop && due > 0)
        })
    }

    /// The same without a member.
    fn without(&self, hop: Option<u32>) -> Self {
        let members = self.members.iter().filter(|(id, _)| Some(*id) != hop).copied().collect();
        Self { members, ..*self }
    }

    /// The same with its first member alone, who is dealt what is left when the others have been served.
    fn first_alone(&self) -> Self {
        Self { members: self.members.iter().take(1).copied().collect(), ..*self }
    }

    /// Whether the kernel can make `other` of it in place.
    pub(crate) fn can_become(&self, other: &Self) -> bool {
        self.kind.buckets() == other.kind.buckets()
    }
}

/// Enters what a group has become.
pub(crate) fn remember(history: &mut Option<Vec<Group>>, body: &Group) {
    let is_same = |last: &Group| last.members == body.members;
    match history {
        Some(bodies) if bodies.last().is_some_and(is_same) => {}
        Some(bodies) if bodies.len() < LONGEST_HISTORY => bodies.push(body.clone()),
        Some(_) | None => *history = None,
    }
}

/// What to make of a group before it is made the last of what it was: what it began with, dealt by way of the member who got
/// what was left, and so on.
fn replay(history: &[Group]) -> VecDeque<Group> {
    let Some((last, before)) = history.split_last() else { return VecDeque::new() };
    let start = before.first().unwrap_or(last).first_alone();
    let is_start = |group: &&Group| group.members == start.members;
    let rest = before.iter().skip_while(is_start).cloned();
    std::iter::once(start.clone()).chain(rest).collect()
}

/// How many of so many buckets the kernel means each member to have (`nh_res_group_rebalance` in its `nexthop.c`).
pub(crate) fn due(buckets: u16, members: &[(u32, u16)]) -> impl Iterator<Item = (u32, u64)> {
    let buckets = u64::from(buckets);
    let total: u64 = members.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let (mut sum, mut before) = (0, 0);
    members.iter().map(move |(id, weight)| {
        sum += u64::from(*weight);
        let upto = (buckets * sum + total / 2).checked_div(total).unwrap_or(0);
        (*id, upto - std::mem::replace(&mut before, upto))
    })
}

/// Whether every one of `old` is in `new`, with whatever weights.
pub(crate) fn keeps_all(old: &[(u32, u16)], new: &[(u32, u16)]) -> bool {
    old.iter().all(|(id, _)| new.iter().any(|(other, _)| other == id))
}

impl Objects {
    /// A group for a set that has none: one that nobody owns and the kernel may still hold, or a new one, sown with the
    /// members of the group `seed`.
    pub(crate) fn claim_group(&mut self, members: &Members, seed: Option<u32>) -> u32 {
        let mut wanted = self.weighed(self.kind, members);
        let seed = seed.and_then(|id| self.groups.get(&id)).map(|group| group.wanted.without(group.backup));
        let found = self.left(&wanted);
        // Flows keep their buckets where there are as many as before.
        let like = found.and_then(|id| self.groups.get(&id)).map(|group| &group.wanted).or(seed.as_ref());
        if let Some(like) = like {
            wanted = self.weighed(wanted.kind.with_buckets_of(like.kind), members);
        }
        let id = found.unwrap_or_else(|| {
            free_id(&GROUP_IDS, &mut self.next_group_id, |id| {
                self.groups.contains_key(&id) || self.taken.contains(&id)
            })
        });
        let users = self.users(id);
        let group = self.groups.entry(id).or_insert_with(|| Object::new(wanted.clone()));
        group.claim();
        group.shared |= users > 0;
        if found.is_none() && matches!(self.kind, GroupKind::Resilient(_)) {
            // Without a member in common no bucket could agree.
            let is_like = |seed: &Group| seed.members.iter().any(|(id, _)| wanted.contains(*id));
            let seed = seed
                .filter(|seed| seed.members != wanted.members && seed.can_become(&wanted) && is_like(seed));
            group.seeds = seed.into_iter().collect();
        }
        self.rename_group(id, wanted);
        id
    }

    /// Whether the kernel may still hold a group of these members that nobody owns.
    pub(crate) fn is_left(&self, members: &Members) -> bool {
        self.left(&self.weighed(self.kind, members)).is_some()
    }

    fn left(&self, wanted: &Group) -> Option<u32> {
        let found = self.by_members.get(&wanted.key()).copied();
        let fits = |group: &Object<Group>| {
            group.claims == 0 && (self.keep_buckets || group.wanted.can_become(wanted))
        };
        found.filter(|id| self.groups.get(id).is_some_and(fits))
    }

    /// Changes a group in place, however many routes point to it. `backup`: the member that is to carry no flow while there
    /// is another. `patient`: no bucket moves that is in use, however long the group is out of balance.
    pub(crate) fn change_group(&mut self, id: u32, members: &Members, backup: Option<u32>, patient: bool) {
        let kind = if patient { self.patient } else { self.kind };
        let Some(old) = self.groups.get(&id).map(|group| group.wanted.kind) else { return };
        let wanted = self.weighed(kind.with_buckets_of(old), members);
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.backup = backup;
        if group.wanted != wanted {
            self.rename_group(id, wanted);
        }
    }

    /// A group of these members, of which those that drain have weight 0: they get 1, and the others so much that each is due as
    /// many buckets as without them, and those that drain none. For that the weight of one bucket must be twice their number,
    /// which the largest weight of the kernel may be too small for: then some are due one.
    fn weighed(&self, kind: GroupKind, members: &[(u32, u16)]) -> Group {
        let staying: Members = members.iter().filter(|(_, weight)| *weight > 0).copied().collect();
        let buckets = kind.buckets().filter(|_| staying.len() < members.len());
        let Some(buckets) = buckets else { return Group { kind, members: members.to_vec() } };
        let due: BTreeMap<u32, u64> = due(buckets, &staying).collect();
        let largest = u64::from(self.largest_weight);
        let most = due.values().copied().max().unwrap_or(0).max(1);
        let weight = |id: &u32| match due.get(id) {
            Some(due) if largest >= most => due * (largest / most),
            Some(due) => due * largest / most,
            None => 1,
        };
        let weight = |id: &u32| u16::try_from(weight(id)).unwrap_or(u16::MAX).max(1);
        Group { kind, members: members.iter().map(|(id, _)| (*id, weight(id))).collect() }
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

    /// A leg and its backup as members of a group (`None`: of a new one); `None` where it cannot hold a backup that has no
    /// bucket.
    pub(crate) fn protected(&self, legs: &[(u32, u16)], backup: u32, group: Option<u32>) -> Option<Members> {
        let [(leg, _)] = legs else { return None };
        let mut members = vec![(*leg, self.largest_weight), (backup, 1)];
        members.sort_unstable();
        let has_none = |buckets| due(buckets, &members).any(|member| member == (backup, 0));
        let kind = group.and_then(|id| self.groups.get(&id)).map_or(self.kind, |group| group.wanted.kind);
        kind.buckets().is_some_and(has_none).then_some(members)
    }

    /// Whether nobody's routes but its owner's may point to a group: only then what comes in is theirs alone.
    pub(crate) fn is_unshared(&self, id: u32) -> bool {
        self.groups.get(&id).is_none_or(|group| group.lent == 0 && !group.shared)
    }

    /// Whether a group may have this member now: no new one while others use it, for it may be nothing to them.
    pub(crate) fn may_have(&self, id: u32, hop: u32) -> bool {
        self.is_unshared(id) || self.groups.get(&id).is_some_and(|group| group.wanted.contains(hop))
    }

    /// Whether a group will have a member for a while that it is not to have any more: the change has to wait, for an answer or
    /// for another member.
    pub(crate) fn is_behind(&self, id: u32) -> bool {
        let Some(group) = self.groups.get(&id) else { return false };
        let (body, waits) = match (&group.flight, &group.held) {
            (Some(Flight::Put(body)), _) => (body, true),
            (None, Held::Present(body)) => {
                (body, group.trouble.is_some() || !self.is_complete(&group.wanted))
            }
            (Some(Flight::Del), _) | (None, Held::Absent | Held::Doubt) => return false,
        };
        waits && !keeps_all(&body.members, &group.wanted.members)
    }

    /// Whether the kernel will have all members when the next operation arrives there.
    fn is_complete(&self, body: &Group) -> bool {
        body.members.iter().all(|(member, _)| self.hops.get(member).is_some_and(Object::available))
    }

    /// All routes of others have left a group.
    pub(crate) fn end_sharing(&mut self, id: u32) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.shared = false;
        }
    }

    /// The members by which a group should lead, its backup apart.
    pub(crate) fn legs_of(&self, id: u32) -> Members {
        self.groups.get(&id).map(|group| group.wanted.without(group.backup).members).unwrap_or_default()
    }

    /// The members of a group that are neither among these hops nor, as its backup, this one.
    pub(crate) fn strangers(&self, id: u32, hops: &[(u32, u16)], backup: Option<u32>) -> Members {
        let Some(group) = self.groups.get(&id) else { return Members::new() };
        let is_known = |id: u32| {
            hops.iter().any(|(hop, _)| *hop == id) || Some(id) == group.backup && Some(id) == backup
        };
        group.wanted.members.iter().filter(|(id, _)| !is_known(*id)).copied().collect()
    }

    /// Whether everybody is leaving these hops.
    pub(crate) fn are_leaving(&self, hops: &[(u32, u16)]) -> bool {
        hops.iter().all(|(id, _)| self.leaving.contains(id))
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
            group.shared = true;
        }
        self.release(id);
    }

    /// How many sets borrow a group.
    pub(crate) fn lent(&self, id: u32) -> u32 {
        self.groups.get(&id).map_or(0, |group| group.lent)
    }

    /// Whether those who borrow a group are all that need it.
    pub(crate) fn is_ownerless(&self, id: u32) -> bool {
        self.groups.get(&id).is_some_and(|group| group.claims == group.lent)
    }

    /// The only borrower becomes the owner.
    pub(crate) fn inherit(&mut self, id: u32) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.lent = group.lent.saturating_sub(1);
            group.shared = false;
        }
    }

    /// The kernel has made a group what it was told, or has made it anew.
    pub(crate) fn has_become(&mut self, id: u32, body: Group, anew: bool) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        if anew {
            group.history = Some(Vec::new());
        } else if matches!(group.held, Held::Doubt) {
            group.history = None;
        }
        remember(&mut group.history, &body);
        group.held = Held::Present(body);
    }

    /// Somebody has made a group another. Where more than one leg is missing, the kernel cannot tell from the buckets which of
    /// them had which; so it is led through all that it was once more, which deals them as they were, but for those that
    /// flows kept from one who joined. If one leg is missing, its buckets are those that nobody has used since.
    pub(crate) fn was_changed(&mut self, id: u32) {
        let Some(group) = self.groups.get(&id) else { return };
        let Held::Present(held) = &group.held else { return };
        let missing = group.wanted.members.iter().filter(|(hop, _)| !held.contains(*hop)).count();
        let history = self.history_of(group).filter(|_| missing > 1);
        let is_known = history.is_some();
        let mut seeds = history.map(replay).unwrap_or_default();
        let begun: Vec<Group> = seeds.iter().take(1).cloned().collect();
        // Whoever has all buckets need not get them.
        if begun.first().is_some_and(|start| start.members == held.members) {
            seeds.pop_front();
        }
        let Some(group) = self.groups.get_mut(&id) else { return };
        (group.sown, group.seeds) = (!seeds.is_empty(), seeds);
        group.history = is_known.then_some(begun);
    }

    /// A group that the kernel has lost is made as it was made first, and so on.
    fn was_lost(&mut self, id: u32) {
        let lost = self.groups.get(&id).filter(|group| matches!(group.held, Held::Absent));
        let Some((_, before)) = lost.and_then(|group| self.history_of(group)?.split_last()) else { return };
        let seeds = before.iter().cloned().collect();
        if let Some(group) = self.groups.get_mut(&id) {
            (group.seeds, group.history) = (seeds, None);
        }
    }

    /// What a group has been, where it can be that again and has ended as what is wanted.
    fn history_of<'a>(&self, group: &'a Object<Group>) -> Option<&'a [Group]> {
        let history = group.history.as_deref()?;
        let is_last = history.last().is_some_and(|last| last.members == group.wanted.members);
        (is_last && history.iter().all(|body| self.is_complete(body))).then_some(history)
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
        self.was_lost(id);
        let group = self.groups.get(&id)?;
        let exclusive = matches!(group.held, Held::Absent);
        let known = group.held.is(&group.wanted);
        // What is to be a backup and has carried flows gives them up by leaving, and comes back without.
        let carries = |backup: u32| match &group.held {
            Held::Absent => false,
            Held::Doubt => true,
            Held::Present(held) => held.leads_to(backup),
        };
        let wanted = group.wanted.without(group.backup.filter(|backup| !known && carries(*backup)));
        let seed = group
            .seeds
            .front()
            .filter(|seed| (exclusive || group.sown) && **seed != wanted && self.is_complete(seed));
        let seed = seed.cloned();
        if seed.is_none() && !known && !self.is_complete(&wanted) {
            return None;
        }
        let group = self.groups.get_mut(&id)?;
        if seed.is_some() {
            group.seeds.pop_front();
        } else {
            group.seeds.clear();
        }
        group.sown = seed.is_some();
        if known { None } else { Some((seed.unwrap_or(wanted), exclusive)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FibConfig, Resilient};

    /// A number below `bound`.
    fn below(state: &mut u64, bound: u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state % bound
    }

    /// Legs in any order, of which some drain.
    fn legs(random: &mut u64) -> Members {
        let (count, draining) = (2 + below(random, 6), 1 + below(random, 4));
        let weight = |place| if place < draining { 0 } else { 1 + below(random, 256) };
        let weights: Vec<u64> = (0..count).map(weight).collect();
        let mut legs: Members = weights
            .into_iter()
            .map(|weight| (u32::try_from(below(random, 1 << 30)).unwrap(), u16::try_from(weight).unwrap()))
            .collect();
        legs.sort_unstable();
        legs.dedup_by_key(|(id, _)| *id);
        legs
    }

    #[test]
    fn who_drains_is_due_no_bucket_and_the_others_are_due_what_they_were() {
        let few = |random: &mut u64, most| u16::try_from(1 + below(random, most)).unwrap();
        let (mut random, mut held) = (1, 0);
        for round in 0..20_000 {
            let (buckets, largest_weight) = match round % 3 {
                0 => (Resilient::FEW_BUCKETS, 256),
                1 => (few(&mut random, 4096), u16::MAX),
                _ => (few(&mut random, 300), few(&mut random, 600)),
            };
            let kind = GroupKind::Resilient(Resilient { buckets, ..Resilient::default() });
            let objects = Objects::new(&FibConfig { largest_weight, ..FibConfig::default() });
            let legs = legs(&mut random);
            let group = objects.weighed(kind, &legs);
            assert!(group.members.iter().all(|(_, weight)| (1..=largest_weight).contains(weight)));
            let staying: Members = legs.iter().filter(|(_, weight)| *weight > 0).copied().collect();
            let alone: BTreeMap<u32, u64> = due(buckets, &staying).collect();
            let none = legs.iter().filter(|(id, _)| alone.get(id).is_none_or(|due| *due == 0)).count();
            let most = alone.values().max().copied().unwrap_or(0);
            if staying.is_empty() || u64::from(largest_weight) < 2 * none as u64 * most {
                assert!(buckets > Resilient::FEW_BUCKETS || largest_weight < 256 || none > 1 || most == 0);
                continue;
            }
            held += 1;
            for (id, due) in due(buckets, &group.members) {
                assert_eq!(
                    due,
                    alone.get(&id).copied().unwrap_or(0),
                    "{buckets} buckets: {legs:?} as {group:?}"
                );
            }
        }
        assert!(held > 5_000, "{held}");
    }
}

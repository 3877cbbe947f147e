//! Loans: a set into which routes move uses the group of the set that they come from, until it is clear what becomes of it.
//!
//! While the owner has routes, who borrows the group for too long gets one of its own. When the owner's last route has
//! moved, the largest borrower is the heir and the others leave, so that the fewest routes are written. But whose route points
//! to a group goes by its legs. So the heir waits until the last route of others has left, those on their way out of the
//! table among them, and only then makes of the group what it wants. Nor does an owner take a new leg in while others are
//! there; and a route that is new goes to a borrowed group only where all of its legs are its own.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use crate::groups::keeps_all;
use crate::objects::Objects;
use crate::op::RouteTarget;
use crate::routes::{NONE, Stage};
use crate::sets::{Patience, Set, Sets, Target, target_of};

/// How long routes of one burst may be apart.
const BURST: Duration = Duration::from_millis(200);
/// How long a burst may take, and how long an heir waits for others to leave.
const LONGEST_BURST: Duration = Duration::from_secs(5);
/// The same where the routes go by the right legs already, and lack a backup at most.
const EASY_BURST: Duration = Duration::from_secs(2);
const LONGEST_EASY_BURST: Duration = Duration::from_secs(60);

/// Another set's group, used for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loan {
    pub(super) group: u32,
    since: Instant,
    /// When the last route has moved.
    last: Instant,
    /// It leads where the routes are to go, and nowhere else.
    easy: bool,
    /// No flow by the routes that have moved is older; none at all where the kernel had none of them yet.
    oldest: Option<Duration>,
    /// Since when it is to inherit the group, in which others' routes still are.
    heir: Option<Instant>,
}

/// What a set may do with the group that it has borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Use it: somebody owns it. `new`: routes that do not point there yet may.
    Use { new: bool },
    /// Wait until others' routes have left.
    Wait,
    /// Inherit it.
    Inherit,
    /// Leave it to another heir.
    Leave,
}

impl Loan {
    /// When it is over.
    pub(super) fn until(&self) -> Instant {
        let (pause, longest) =
            if self.easy { (EASY_BURST, LONGEST_EASY_BURST) } else { (BURST, LONGEST_BURST) };
        match self.heir {
            Some(since) => since + longest,
            None => (self.last + pause).min(self.since + longest),
        }
    }
}

impl Sets {
    /// A prefix moves from the set `old` to the set `new`: one that has no group yet borrows that of `old`. `age` is that of
    /// the oldest flow there may be; `None` where there is none.
    pub(crate) fn borrow(
        &mut self,
        old: u32,
        new: u32,
        age: Option<Duration>,
        objects: &mut Objects,
        now: Instant,
    ) {
        let from = self.sets.get(old).and_then(Set::group_id);
        let (Some(group), Some(set)) = (from, self.sets.get_mut(new)) else { return };
        if let Some(loan) = &mut set.loan {
            loan.oldest = loan.oldest.max(age);
            loan.last = loan.last.max(now);
        } else if let (Some(patience), Some(age)) = (&mut set.patience, age) {
            patience.extend(age.min(objects.kind.blind()), now);
        } else if set.group.is_none() && set.hops.is_empty() {
            objects.lend(group);
            let loan = Loan { group, since: now, last: now, easy: false, oldest: age, heir: None };
            set.loan = Some(loan);
            if set.target == Target::Waiting {
                set.target = Target::Kept(group);
            }
            self.timers.insert((now + BURST, new));
        }
    }

    /// What a set may do with the group that it has borrowed.
    pub(super) fn claim_on(&self, id: u32, objects: &Objects) -> Claim {
        let Some(group) = self.get(id).and_then(|set| set.loan).map(|loan| loan.group) else {
            return Claim::Use { new: true };
        };
        if !objects.is_ownerless(group) {
            Claim::Use { new: self.may_follow(id, group) }
        } else if self.largest_borrower(group) != Some(id) {
            Claim::Leave
        } else if self.is_alone(id, objects) {
            Claim::Inherit
        } else {
            Claim::Wait
        }
    }

    /// Whether the routes of a borrower may go wherever those of the owner do: its other legs do not come in meanwhile, but its
    /// backup does when the last leg is lost.
    fn may_follow(&self, id: u32, group: u32) -> bool {
        let owner = self.sets.iter().find(|(_, set)| set.group == Some(group));
        let backup = owner.and_then(|(_, set)| set.wanted.backup);
        backup.is_none_or(|backup| {
            self.get(id).is_some_and(|set| set.wanted.next_hops().any(|next_hop| next_hop == backup))
        })
    }

    /// Who is to inherit a group: so the fewest routes are written.
    fn largest_borrower(&self, group: u32) -> Option<u32> {
        let borrowers = self.sets.iter().filter(|(_, set)| set.loan.is_some_and(|loan| loan.group == group));
        borrowers.max_by_key(|(id, set)| (set.count, Reverse(*id))).map(|(id, _)| id)
    }

    /// Whether nobody else borrows the group of a set, and no route of others points to it, in the kernel or on its way there.
    fn is_alone(&self, id: u32, objects: &Objects) -> bool {
        let Some(set) = self.get(id) else { return false };
        let Some(group) = set.group_id() else { return false };
        let borrowers = u32::from(set.loan.is_some());
        objects.lent(group) == borrowers && set.unswept == NONE && objects.users(group) == set.installed
    }

    /// Whether a set waits until others have left its group.
    pub(super) fn awaits_others(&self, id: u32, objects: &Objects) -> bool {
        self.get(id).is_some_and(|set| {
            let is_heir = set.loan.is_some_and(|loan| loan.heir.is_some());
            is_heir || set.group.is_some_and(|group| !objects.is_unshared(group))
        })
    }

    /// A set that owns a group has it to itself again, where it has.
    pub(super) fn end_sharing(&self, id: u32, objects: &mut Objects) {
        let owned = self.get(id).and_then(|set| set.group);
        if let Some(group) = owned.filter(|_| self.is_alone(id, objects)) {
            objects.end_sharing(group);
        }
    }

    /// A set has waited, and is alone now.
    pub(crate) fn has_leavers(&self, objects: &Objects) -> bool {
        self.awaiting.iter().any(|id| self.is_alone(*id, objects))
    }

    /// Marks the sets that have waited and are alone now.
    pub(crate) fn mark_left(&mut self, objects: &Objects) {
        let alone: Vec<u32> =
            self.awaiting.iter().filter(|id| self.is_alone(**id, objects)).copied().collect();
        for id in alone {
            self.awaiting.remove(&id);
            self.dirty.insert(id);
        }
    }

    /// A route of a set has come further, or fallen back.
    #[inline]
    pub(crate) fn shift(&mut self, id: u32, before: Stage, stage: Stage) {
        if let Some(set) = self.sets.get_mut(id) {
            set.installed += u32::from(stage == Stage::Installed);
            set.installed = set.installed.saturating_sub(u32::from(before == Stage::Installed));
        }
    }
}

impl Set {
    /// Goes on with the group that it has borrowed, or gets one to own.
    pub(super) fn use_loan(
        &mut self,
        mut loan: Loan,
        claim: Claim,
        objects: &mut Objects,
        now: Instant,
    ) -> Result<u32, Target> {
        let strangers = objects.strangers(loan.group, &self.hops, self.spare);
        loan.easy = strangers.is_empty() && keeps_all(&self.hops, &objects.legs_of(loan.group));
        let stays = match claim {
            Claim::Inherit => {
                objects.inherit(loan.group);
                return Ok(loan.group);
            }
            Claim::Use { .. } => objects.are_leaving(&strangers) && now < loan.until(),
            Claim::Wait => {
                loan.heir.get_or_insert(now);
                now < loan.until()
            }
            Claim::Leave => false,
        };
        if !stays {
            return Ok(self.split(loan, objects, now));
        }
        self.loan = Some(loan);
        let takes_new = strangers.is_empty() && claim != Claim::Use { new: false };
        Err(if takes_new { target_of(loan.group, objects) } else { Target::Kept(loan.group) })
    }

    /// A group of our own, as like the borrowed one as can be.
    fn split(&mut self, loan: Loan, objects: &mut Objects, now: Instant) -> u32 {
        let first = objects.legs_of(loan.group);
        if let Some(age) = loan.oldest
            && self.hops.len() > 1
            && keeps_all(&first, &self.hops)
        {
            let blind = objects.kind.blind();
            let wait = blind.min(age.saturating_add(now.saturating_duration_since(loan.since)));
            self.patience = Some(Patience { until: now + wait, at_most: now + blind, wait, first });
        }
        let id = objects.claim_group(&self.members_at(now), Some(loan.group));
        objects.end_loan(loan.group);
        id
    }
}

impl Target {
    /// The group that it leads to.
    pub(crate) fn group(&self) -> Option<u32> {
        match self {
            Self::Ready(RouteTarget::Nexthop(group)) | Self::Kept(group) => Some(*group),
            Self::Ready(RouteTarget::Hops(_)) | Self::Waiting | Self::Unresolved => None,
        }
    }
}

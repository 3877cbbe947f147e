//! Loans: a set into which routes move uses the group of the set that they come from, until it is clear what becomes of it.

use std::time::{Duration, Instant};

use crate::groups::keeps_all;
use crate::objects::Objects;
use crate::sets::{Patience, Set, Sets};

/// How long routes of one burst may be apart.
const BURST: Duration = Duration::from_millis(200);
/// How long a burst may take.
const LONGEST_BURST: Duration = Duration::from_secs(5);
/// The same two where the routes go by the right legs already, and lack a backup at most.
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
    pub(super) easy: bool,
    /// No flow by the routes that have moved is older; none at all where the kernel had none of them yet.
    oldest: Option<Duration>,
}

impl Loan {
    /// When it is over.
    pub(super) fn until(&self) -> Instant {
        let (pause, longest) =
            if self.easy { (EASY_BURST, LONGEST_EASY_BURST) } else { (BURST, LONGEST_BURST) };
        (self.last + pause).min(self.since + longest)
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
            set.loan = Some(Loan { group, since: now, last: now, easy: false, oldest: age });
            self.timers.insert((now + BURST, new));
        }
    }
}

impl Set {
    /// A group of our own, as like the borrowed one as can be.
    pub(super) fn split(&mut self, loan: Loan, objects: &mut Objects, now: Instant) -> u32 {
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

//! Who undoes what we do: removals and changes of ours by others, gathered by whoever asked the kernel for them.
//!
//! Everything is put back at once; only the telling is gathered, because a flush of a million routes is one thing that
//! somebody did. The kernel itself is no meddler: what goes with a link comes back with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fib::Fib;
use crate::fib::audit::Subject;
use crate::kernel::Requester;
use crate::view::Notice;

/// Deeds of one kind that come within this time are told as one.
const GATHER: Duration = Duration::from_millis(50);
/// The same somebody doing the same is told of no more often.
const TELL_AGAIN: Duration = Duration::from_secs(5);
/// Deeds that are remembered; each is a kind of deed by one requester.
const REMEMBERED: usize = 16;
/// Subjects that are named of each.
const EXAMPLES: usize = 5;

/// What somebody did to something of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deed {
    /// It was removed.
    Removed,
    /// It was changed in place, and still has our protocol number.
    Changed,
    /// A route of this protocol was put in its place.
    Replaced {
        /// `rtm_protocol`.
        protocol: u8,
    },
}

/// Deeds of one kind by one requester.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meddling {
    /// What was done.
    pub deed: Deed,
    /// Who asked for it; `None` where the kernel did not say.
    pub by: Option<Arc<Requester>>,
    /// How often: since the start in [`Fib::meddling`], since the last word in a notice.
    pub count: u64,
    /// When last.
    pub at: Instant,
    /// The first of them, or of the last time.
    pub examples: Vec<Subject>,
}

/// One row of what is remembered.
#[derive(Debug)]
struct Row {
    all: Meddling,
    /// Not told yet.
    untold: u64,
    tell_at: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Meddlers {
    /// Who asked for the changes that are being reported.
    requester: Option<Arc<Requester>>,
    rows: VecDeque<Row>,
}

impl Meddlers {
    pub(super) fn requested_by(&mut self, requester: Requester) {
        if self.requester.as_deref() != Some(&requester) {
            self.requester = Some(Arc::new(requester));
        }
    }

    /// The kernel did it by itself.
    pub(super) fn is_kernel(&self) -> bool {
        self.requester.as_ref().is_some_and(|requester| requester.port == 0)
    }

    /// Who asked for what is being reported.
    pub(super) fn requester(&self) -> Option<Arc<Requester>> {
        self.requester.clone()
    }

    fn note(&mut self, deed: Deed, subject: Subject, now: Instant) {
        let by = self.requester.clone();
        let known = self.rows.iter().position(|row| row.all.deed == deed && is_like(&row.all.by, &by));
        let place = known.unwrap_or_else(|| {
            if self.rows.len() == REMEMBERED {
                self.rows.pop_front();
            }
            let all = Meddling { deed, by: by.clone(), count: 0, at: now, examples: Vec::new() };
            self.rows.push_back(Row { all, untold: 0, tell_at: now });
            self.rows.len() - 1
        });
        let Some(row) = self.rows.get_mut(place) else { return };
        if row.untold == 0 {
            row.tell_at = row.tell_at.max(now + GATHER);
            row.all.examples.clear();
        }
        row.all.by = by;
        row.untold += 1;
        row.all.count += 1;
        row.all.at = now;
        if row.all.examples.len() < EXAMPLES {
            row.all.examples.push(subject);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.rows.iter().filter(|row| row.untold > 0).map(|row| row.tell_at).min()
    }

    fn take_due(&mut self, now: Instant) -> Vec<Meddling> {
        let due = self.rows.iter_mut().filter(|row| row.untold > 0 && row.tell_at <= now);
        due.map(|row| {
            row.tell_at = now + TELL_AGAIN;
            Meddling { count: std::mem::take(&mut row.untold), ..row.all.clone() }
        })
        .collect()
    }
}

/// The same program, though each time it may be another process of it: a script calls `ip` anew for each route.
fn is_like(one: &Option<Arc<Requester>>, other: &Option<Arc<Requester>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is_like(other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

impl Fib {
    /// What others have done to ours, the last deeds of each kind; oldest acquaintance first.
    pub fn meddling(&self) -> Vec<Meddling> {
        self.meddlers.rows.iter().map(|row| row.all.clone()).collect()
    }

    /// Somebody has undone something of ours.
    pub(super) fn undone(&mut self, subject: Subject, deed: Deed) {
        self.meddlers.note(deed, subject, self.now);
    }

    /// Forgets of routes what has long been over: who flushes a table leaves a trace at each of its routes.
    pub(super) fn forget_repairs(&mut self) {
        let now = self.now;
        if self.forget_at.is_none_or(|at| at > now) {
            return;
        }
        let guards = || {
            let kept = self.routes.rares().filter_map(|(slot, rare)| Some((slot, rare.guard.as_ref()?)));
            kept.filter_map(|(slot, guard)| Some((slot, guard.calm_at()?)))
        };
        let calm: Vec<u32> = guards().filter(|(_, at)| *at <= now).map(|(slot, _)| slot).collect();
        self.forget_at = guards().map(|(_, at)| at).filter(|at| *at > now).min();
        for slot in calm {
            self.routes.edit_rare(slot, |rare| rare.guard = None);
        }
    }

    pub(super) fn tell_of_meddling(&mut self) {
        for meddling in self.meddlers.take_due(self.now) {
            self.notice(Notice::Undone(meddling));
        }
    }
}

//! When something is tried again: after the kernel's refusal, and after somebody keeps undoing what we do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::kernel::{KernelError, Requester};

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_secs(10);
const REPAIRS_PER_WINDOW: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// After so long without another repair there is nothing to guard against.
const CALM: Duration = Duration::from_secs(3600);

/// Why nothing is done about an object until a certain time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What the kernel said; `None` while we pause because somebody keeps undoing it.
    pub(crate) error: Option<KernelError>,
    /// When it is tried again.
    pub(crate) until: Instant,
    step: Duration,
}

impl Trouble {
    /// The kernel refused; the waiting time doubles from refusal to refusal.
    pub(crate) fn refused(before: Option<&Self>, error: KernelError, now: Instant) -> Self {
        let step = before.map_or(FIRST_RETRY, |before| LAST_RETRY.min(before.step * 2));
        Self { error: Some(error), until: now + step, step }
    }

    pub(crate) fn paused(until: Instant) -> Self {
        Self { error: None, until, step: FIRST_RETRY }
    }

    pub(crate) fn holds(&self, now: Instant) -> bool {
        now < self.until
    }
}

/// Counts how often somebody undid what we had done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guard {
    /// All repairs so far.
    pub(crate) repairs: u32,
    /// Who made the last one necessary.
    pub(crate) by: Option<Arc<Requester>>,
    window: Option<(Instant, u32)>,
    pause: Option<(Duration, Instant)>,
}

impl Guard {
    /// From when on it can be forgotten, if there is no other repair until then.
    pub(crate) fn calm_at(&self) -> Option<Instant> {
        let last = self.window.map(|(since, _)| since);
        let paused_until = self.pause.map(|(_, until)| until);
        Some(last.max(paused_until)? + CALM)
    }

    /// Notes one more; `Some` says until when to leave it alone. Pauses double while the fight goes on.
    pub(crate) fn repair(&mut self, now: Instant) -> Option<Instant> {
        self.repairs = self.repairs.saturating_add(1);
        let count = match self.window {
            Some((since, count)) if now < since + WINDOW => {
                self.window = Some((since, count + 1));
                count + 1
            }
            Some(_) | None => {
                self.window = Some((now, 1));
                1
            }
        };
        if count <= REPAIRS_PER_WINDOW {
            return None;
        }
        let pause = match self.pause {
            Some((pause, end)) if now < end + 2 * pause + WINDOW => LAST_PAUSE.min(pause * 2),
            Some(_) | None => FIRST_PAUSE,
        };
        self.window = Some((now, REPAIRS_PER_WINDOW));
        self.pause = Some((pause, now + pause));
        Some(now + pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the first")]
    #[test]
    fn a_fight_is_answered_ever_more_slowly_and_a_single_repair_at_once() {
        let start = Instant::now();
        let mut guard = Guard::default();
        for _ in 0..5 {
            assert_eq!(guard.repair(start), None);
        }
        assert_eq!(guard.repair(start), Some(start + Duration::from_secs(1)));
        let again = start + Duration::from_secs(1);
        assert_eq!(guard.repair(again), Some(again + Duration::from_secs(2)));
        let later = start + Duration::from_secs(3600);
        assert_eq!(guard.repair(later), None);
        assert_eq!(guard.repairs, 8);
        assert_eq!(guard.calm_at(), Some(later + CALM));
    }
}

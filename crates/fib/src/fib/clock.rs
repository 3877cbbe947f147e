//! Times in four octets and in two, for there are as many as prefixes.

use std::time::{Duration, Instant};

#[cfg(any(doc, test))]
use crate::routes::LONG_AGO;

/// One step of a stamp. Stamps tell times apart that are less than 19 hours old.
const STEP: Duration = Duration::from_micros(16);

/// Numbers of seconds.
const CIRCLE: u64 = 65_535;

/// Stamps instants.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn new(start: Instant) -> Self {
        Self { start }
    }

    pub(super) fn stamp(&self, at: Instant) -> u32 {
        // The low half of the count; the difference of two is right beyond its end too.
        u32::try_from(self.steps(at) & u64::from(u32::MAX)).unwrap_or(0)
    }

    /// The instant of a stamp that was made before `now`.
    pub(super) fn instant(&self, stamp: u32, now: Instant) -> Instant {
        let ago = self.stamp(now).wrapping_sub(stamp);
        let steps = self.steps(now).saturating_sub(u64::from(ago));
        self.start + Duration::from_micros(steps.saturating_mul(16))
    }

    /// The second of an instant, counted in a circle without [`LONG_AGO`].
    pub(super) fn second(&self, at: Instant) -> u16 {
        let seconds = at.saturating_duration_since(self.start).as_secs();
        u16::try_from(seconds % CIRCLE).unwrap_or(0) + 1
    }

    /// How old at most is what began in this second; `None` where that is not known. To be asked within 18 hours.
    pub(super) fn age(&self, second: u16, now: Instant) -> Option<Duration> {
        let born = u64::from(second.checked_sub(1)?);
        let passed = (u64::from(self.second(now)) - 1 + CIRCLE - born) % CIRCLE;
        Some(Duration::from_secs(passed + 1))
    }

    fn steps(&self, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.start);
        let per_second = 1_000_000 / u64::from(STEP.subsec_micros());
        passed.as_secs().saturating_mul(per_second) + u64::from(passed.subsec_micros() / STEP.subsec_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the first")]
    #[test]
    fn an_age_is_never_too_low_and_less_than_two_seconds_too_high() {
        let start = Instant::now();
        let clock = Clock::new(start);
        for at in [0, 1500, 65_534_900, 70_000_000].map(|millis| start + Duration::from_millis(millis)) {
            let second = clock.second(at);
            assert_ne!(second, LONG_AGO);
            for passed in [0, 1, 999, 1000, 60_200].map(Duration::from_millis) {
                let age = clock.age(second, at + passed).unwrap();
                assert!(age >= passed && age < passed + Duration::from_secs(2), "{passed:?}: {age:?}");
            }
        }
        assert_eq!(clock.age(LONG_AGO, start), None);
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the first")]
    #[test]
    fn stamps_come_back_within_a_step_also_after_the_count_has_begun_anew() {
        let start = Instant::now();
        let clock = Clock::new(start);
        for hours in [0, 1, 19, 20, 1000] {
            let at = start + Duration::from_secs(3600 * hours) + Duration::from_micros(12_345);
            let later = at + Duration::from_secs(600);
            let back = clock.instant(clock.stamp(at), later);
            assert!(back <= at && at - back < STEP, "{hours} h: {:?}", at - back);
        }
    }
}

//! Times in four octets and in two, for there are as many as prefixes.

use std::time::{Duration, Instant};

use crate::routes::{ARRIVED, LONG_AGO};

/// One step of a stamp. Stamps tell times apart that are less than 19 hours old.
const STEP: Duration = Duration::from_micros(16);

/// Numbers of seconds.
const CIRCLE: u64 = 65_535;
/// Two looks through all seconds must not be further apart for the second one to tell their age. An age that is forgotten
/// at each is then never taken for another.
const LOOK_WITHIN: Duration = Duration::from_secs(6 * 3600);

/// An instant in few octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// In steps of 16 us, counted in a circle without [`ARRIVED`].
    pub(super) fine: u32,
    /// In seconds, see [`Clock::age`].
    pub(super) coarse: u16,
}

/// Stamps instants.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    /// What was stamped last: routes come by the thousand at one time.
    stamped: (Instant, Stamp),
    /// What was asked for last, and when.
    asked: (u32, Instant, Instant),
    /// When all seconds were looked through last.
    looked: Instant,
}

impl Clock {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            stamped: (start, Stamp { fine: ARRIVED.wrapping_sub(1), coarse: 1 }),
            asked: (0, start, start),
            looked: start,
        }
    }

    #[inline]
    pub(super) fn stamp(&mut self, at: Instant) -> Stamp {
        if self.stamped.0 != at {
            let fine = match self.low_steps(at) {
                ARRIVED => ARRIVED.wrapping_sub(1),
                fine => fine,
            };
            self.stamped = (at, Stamp { fine, coarse: self.second(at) });
        }
        self.stamped.1
    }

    /// The instant of a fine stamp that was made before `now`.
    pub(super) fn instant(&mut self, stamp: u32, now: Instant) -> Instant {
        if (self.asked.0, self.asked.1) != (stamp, now) {
            let ago = self.low_steps(now).wrapping_sub(stamp);
            let steps = self.steps(now).saturating_sub(u64::from(ago));
            self.asked = (stamp, now, self.start + Duration::from_micros(steps.saturating_mul(16)));
        }
        self.asked.2
    }

    fn low_steps(&self, at: Instant) -> u32 {
        // The low half of the count; the difference of two is right beyond its end too.
        u32::try_from(self.steps(at) & u64::from(u32::MAX)).unwrap_or(0)
    }

    /// The second of an instant, counted in a circle without [`LONG_AGO`].
    fn second(&self, at: Instant) -> u16 {
        let seconds = at.saturating_duration_since(self.start).as_secs();
        u16::try_from(seconds % CIRCLE).unwrap_or(0) + 1
    }

    /// How old at most is what began in this second; `None` where that is not known.
    pub(super) fn age(&self, second: u16, now: Instant) -> Option<Duration> {
        if now.saturating_duration_since(self.looked) > LOOK_WITHIN {
            return None;
        }
        let born = u64::from(second.checked_sub(1)?);
        let passed = (u64::from(self.second(now)) - 1 + CIRCLE - born) % CIRCLE;
        Some(Duration::from_secs(passed + 1))
    }

    /// What began in this second, for as long as its age is to be told by it.
    pub(super) fn remember(&self, second: u16, now: Instant) -> u16 {
        let is_known = self.age(second, now).is_some_and(|age| age <= LOOK_WITHIN);
        if is_known { second } else { LONG_AGO }
    }

    /// All seconds have gone through [`Clock::remember`].
    pub(super) fn looked_through(&mut self, now: Instant) {
        self.looked = now;
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
        let mut clock = Clock::new(start);
        for at in [0, 1500, 65_534_900, 70_000_000].map(|millis| start + Duration::from_millis(millis)) {
            clock.looked_through(at);
            let second = clock.stamp(at).coarse;
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
    fn an_old_second_is_never_taken_for_a_new_one() {
        let start = Instant::now();
        let hours = |hours: u64| start + Duration::from_secs(3600 * hours);
        let mut clock = Clock::new(start);
        let second = clock.stamp(start).coarse;
        assert_eq!(clock.remember(second, hours(5)), second);
        clock.looked_through(hours(5));
        assert_eq!(clock.remember(second, hours(10)), LONG_AGO);
        // Nobody has looked for a day.
        assert_eq!(clock.age(second, hours(29)), None);
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the first")]
    #[test]
    fn stamps_come_back_within_a_step_also_after_the_count_has_begun_anew() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        for hours in [0, 1, 19, 20, 1000] {
            let at = start + Duration::from_secs(3600 * hours) + Duration::from_micros(12_345);
            let later = at + Duration::from_secs(600);
            let stamp = clock.stamp(at).fine;
            let back = clock.instant(stamp, later);
            assert!(back <= at && at - back < STEP, "{hours} h: {:?}", at - back);
        }
    }
}

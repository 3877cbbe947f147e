//! Intervals and the Poll Sequence that changes them: RFC 5880 sections 6.5, 6.8.2, 6.8.3, 6.8.4 and 6.8.7.
//!
//! What is advertised and what counts are two things while a Poll Sequence runs: the other end may not know yet.

use std::time::Duration;

use super::Remote;
use crate::random::Random;

/// While a session is not Up, nobody sends faster, RFC 5880 section 6.8.3.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// Where a Poll Sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    Idle,
    /// Packets have the P bit until one with F comes.
    Running,
    /// Values have changed once more meanwhile: the F that comes may answer the values before, so another has to follow.
    Again,
}

/// Our intervals.
#[derive(Clone, Debug)]
pub(super) struct Intervals {
    /// bfd.DesiredMinTxInterval: what packets say.
    pub(super) desired_min_tx: Duration,
    /// bfd.RequiredMinRxInterval: what packets say.
    pub(super) required_min_rx: Duration,
    /// What counts for our packets.
    tx: Duration,
    /// What counts for the Detection Time.
    rx: Duration,
    poll: Poll,
}

impl Intervals {
    pub(super) fn new(desired_min_tx: Duration, required_min_rx: Duration) -> Self {
        Self { desired_min_tx, required_min_rx, tx: desired_min_tx, rx: required_min_rx, poll: Poll::Idle }
    }

    /// Another session of ours went on with these: the other end may still count on the detection interval `rx`.
    pub(super) fn resume(&mut self, rx: Duration) {
        self.rx = self.rx.max(rx);
        self.poll = Poll::Running;
    }

    /// Other values, for a session that is not Up: they count at once, for whoever listens goes by the slow interval.
    ///
    /// Ours: no Poll Sequence is run outside Up, where its end would change nothing.
    pub(super) fn set(&mut self, desired_min_tx: Duration, required_min_rx: Duration) {
        *self = Self::new(desired_min_tx, required_min_rx);
    }

    /// Other values, for a session that is Up.
    pub(super) fn negotiate(&mut self, desired_min_tx: Duration, required_min_rx: Duration) {
        if (self.desired_min_tx, self.required_min_rx) == (desired_min_tx, required_min_rx) {
            return;
        }
        (self.desired_min_tx, self.required_min_rx) = (desired_min_tx, required_min_rx);
        // "the actual transmission interval used MUST NOT change until the Poll Sequence described above has terminated",
        // where it becomes longer.
        self.tx = self.tx.min(desired_min_tx);
        // "the previous value of bfd.RequiredMinRxInterval MUST be used when calculating the Detection Time for the remote
        // system until the Poll Sequence described above has terminated", where it becomes shorter.
        self.rx = self.rx.max(required_min_rx);
        self.poll = match self.poll {
            Poll::Idle => Poll::Running,
            Poll::Running | Poll::Again => Poll::Again,
        };
    }

    /// A packet with the F bit came.
    pub(super) fn answered(&mut self) {
        match self.poll {
            Poll::Idle => {}
            Poll::Running => {
                self.poll = Poll::Idle;
                (self.tx, self.rx) = (self.desired_min_tx, self.required_min_rx);
            }
            Poll::Again => self.poll = Poll::Running,
        }
    }

    pub(super) fn is_polling(&self) -> bool {
        self.poll != Poll::Idle
    }

    /// What counts for the Detection Time now.
    pub(super) fn rx(&self) -> Duration {
        self.rx
    }

    /// Between two packets of ours, before jitter: section 6.8.2.
    pub(super) fn transmit(&self, remote_min_rx: Duration) -> Duration {
        self.tx.max(remote_min_rx)
    }

    /// Section 6.8.4: so long nothing may come.
    pub(super) fn detection(&self, remote: &Remote) -> Duration {
        self.rx.max(remote.desired_min_tx) * u32::from(remote.multiplier.get())
    }
}

/// Section 6.8.7: up to a quarter less, anew for each packet; with a multiplier of 1 at least a tenth, for the next packet
/// must be there in time.
pub(super) fn jittered(interval: Duration, multiplier: u8, random: &mut Random) -> Duration {
    const STEPS: u64 = 1 << 16;
    let part = u32::try_from(random.next() % STEPS).unwrap_or_default();
    let range = if multiplier == 1 { interval * 15 / 100 } else { interval / 4 };
    interval * 3 / 4 + range / (1 << 16) * part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_longer_interval_waits_for_the_other_end_and_a_shorter_one_does_not() {
        let mut intervals = Intervals::new(ms(300), ms(300));
        intervals.negotiate(ms(1000), ms(100));
        assert_eq!((intervals.desired_min_tx, intervals.required_min_rx), (ms(1000), ms(100)));
        assert_eq!((intervals.transmit(ms(50)), intervals.rx()), (ms(300), ms(300)), "as before");
        intervals.answered();
        assert_eq!((intervals.transmit(ms(50)), intervals.rx()), (ms(1000), ms(100)));
        intervals.negotiate(ms(100), ms(500));
        assert_eq!((intervals.transmit(ms(50)), intervals.rx()), (ms(100), ms(500)), "at once");
        assert!(intervals.is_polling());
    }

    #[test]
    fn values_that_change_during_a_poll_take_another() {
        let mut intervals = Intervals::new(ms(300), ms(300));
        intervals.negotiate(ms(1000), ms(300));
        intervals.negotiate(ms(2000), ms(300));
        intervals.answered();
        assert!(intervals.is_polling(), "the answer was to the first");
        assert_eq!(intervals.transmit(ms(0)), ms(300));
        intervals.answered();
        assert!(!intervals.is_polling());
        assert_eq!(intervals.transmit(ms(0)), ms(2000));
        intervals.negotiate(ms(2000), ms(300));
        assert!(!intervals.is_polling(), "the same values are no news");
    }

    #[test]
    fn jitter_shortens_by_what_the_rfc_allows() {
        let mut random = Random::new(7);
        for _ in 0..10_000 {
            let three = jittered(ms(100), 3, &mut random);
            assert!(three >= ms(75) && three <= ms(100), "{three:?}");
            let one = jittered(ms(100), 1, &mut random);
            assert!(one >= ms(75) && one <= ms(90), "{one:?}");
        }
    }
}

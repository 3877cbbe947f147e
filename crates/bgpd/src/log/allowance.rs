//! How often something may be logged that a peer can bring about: it must not fill the disk, and the first times show as much
//! as the thousandth.

use std::time::{Duration, Instant};

/// Times that may be logged at once, and how long it takes until there may be one more.
const AT_ONCE: u32 = 5;
const ONE_MORE: Duration = Duration::from_secs(10);

/// How much may be logged yet.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// Times that may be logged now, of [`AT_ONCE`], as of `counted`.
    left: u32,
    counted: Instant,
    /// Times since the last one that was logged.
    unsaid: u64,
}

impl Allowance {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: AT_ONCE, counted: now, unsaid: 0 }
    }

    /// Whether it may be logged this time: how often it was not since the last time. `None` where there was too much of it.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u64> {
        let more = now.saturating_duration_since(self.counted).as_secs() / ONE_MORE.as_secs();
        if let Ok(more @ 1..) = u32::try_from(more) {
            self.left = self.left.saturating_add(more).min(AT_ONCE);
            self.counted = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(std::mem::take(&mut self.unsaid))
            }
            None => {
                self.unsaid = self.unsaid.saturating_add(1);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_not_all_logged_and_some_are_after_a_while() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let mut logged = |at| -> Vec<u64> { (0..100).filter_map(|_| allowance.take(start + at)).collect() };
        assert_eq!(logged(Duration::ZERO), [0; 5]);
        assert!(logged(Duration::from_secs(9)).is_empty());
        assert_eq!(logged(Duration::from_secs(21)), [195, 0]);
        assert_eq!(logged(Duration::from_hours(1)), [98, 0, 0, 0, 0]);
    }
}

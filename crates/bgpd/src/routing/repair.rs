//! Forwarding is repaired before anything is decided: while the kernel does so, routing keeps still.
//!
//! When a peer is lost, a message for each family has its routes go another way, and then a whole table may be decided
//! anew. The kernel waits for all processors to have passed through its scheduler before it gives a group back (RCU), and does so in
//! threads of no higher priority than ours: whoever computes meanwhile has the packets wait for up to a time slice of some
//! milliseconds.

use std::time::{Duration, Instant};

use bgp_netlink::Report;

use super::{Routing, Wake};

/// How long a repair is waited for. The kernel takes a fraction of a millisecond for a group.
const PATIENCE: Duration = Duration::from_millis(2);
/// From one such rest to the next, so that peers that come and go have routing wait for a tenth of the time at most.
const PAUSE: Duration = Duration::from_millis(20);

/// When routing keeps still.
#[derive(Debug, Default)]
pub(super) struct Repair {
    /// Until then, or until the kernel has answered.
    until: Option<Instant>,
    /// None before that.
    next: Option<Instant>,
}

impl Repair {
    /// What repairs forwarding has been handed to the kernel.
    fn begin(&mut self, now: Instant) {
        if self.next.is_none_or(|next| next <= now) {
            self.until = Some(now + PATIENCE);
            self.next = Some(now + PAUSE);
        }
    }

    /// The kernel has answered, or patience is at its end. What the kernel tells on the way is no answer.
    pub(super) fn hear(&mut self, wake: &Wake) {
        if !matches!(wake, Wake::Kernel(Report::Events(_))) {
            self.until = None;
        }
    }

    /// Whether nothing is to be done but to hear the kernel's answer.
    pub(super) fn rests(&self) -> bool {
        self.until.is_some()
    }

    /// Until when.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        self.until
    }
}

impl Routing {
    /// Hands what repairs forwarding to the kernel, before anything is decided anew.
    pub(super) fn repair(&mut self) {
        if self.feed_kernel() {
            self.repair.begin(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_short_and_the_next_one_is_later() {
        let (mut repair, now) = (Repair::default(), Instant::now());
        assert_eq!(repair.rests_until(), None);
        repair.begin(now);
        assert_eq!(repair.rests_until(), Some(now + PATIENCE));
        repair.begin(now + PATIENCE / 2);
        assert_eq!(repair.rests_until(), Some(now + PATIENCE), "another loss meanwhile does not prolong it");
        repair.hear(&Wake::Kernel(Report::Events(Vec::new())));
        assert_eq!(repair.rests_until(), Some(now + PATIENCE), "what others do is no answer");
        repair.hear(&Wake::Turn);
        repair.begin(now + PAUSE / 2);
        assert_eq!(repair.rests_until(), None);
        repair.begin(now + PAUSE);
        assert_eq!(repair.rests_until(), Some(now + PAUSE + PATIENCE));
    }
}

//! The whole: what is wanted, what is installed, and the difference as operations.

use std::time::Instant;

use bgp_wire::{Prefix, ScopedNextHop};

use crate::config::FibConfig;
use crate::event::Event;
use crate::kernel::KernelError;
use crate::op::{Op, OpId};
use crate::view::{GroupView, HopView, Installed, Notice, Reachability, RouteView, Stats};

/// The forwarding table as wanted and as installed. Owned by one task.
#[derive(Debug)]
pub struct Fib {
    config: FibConfig,
}

impl Fib {
    /// An empty table. Nothing is asked of the kernel before each [`Kind`](crate::Kind) has been dumped once.
    pub fn new(config: FibConfig, _now: Instant) -> Self {
        Self { config }
    }

    /// The settings.
    pub fn config(&self) -> &FibConfig {
        &self.config
    }

    /// Says which next hops `prefix` should have; `None` or an empty slice removes it.
    pub fn want(&mut self, _prefix: Prefix, _next_hops: Option<&[ScopedNextHop]>, _now: Instant) {}

    /// Tracks a next hop for the RIB (counted: each call wants its [`Fib::unwatch`]); its state comes by
    /// [`Fib::take_reachability_changes`], first once at once.
    pub fn watch(&mut self, _next_hop: ScopedNextHop, _now: Instant) {}

    /// Ends what [`Fib::watch`] began.
    pub fn unwatch(&mut self, _next_hop: ScopedNextHop) {}

    /// Whether the next hop can be used now.
    pub fn reachability(&self, _next_hop: &ScopedNextHop) -> Reachability {
        Reachability::Unreachable("not watched".into())
    }

    /// Appends the watched next hops whose state has changed since the last call.
    pub fn take_reachability_changes(&mut self, _out: &mut Vec<(ScopedNextHop, Reachability)>) {}

    /// Takes in what the kernel reported.
    pub fn observe(&mut self, _event: Event, _now: Instant) {}

    /// Appends up to `max` operations. They must reach the kernel in this order; none waits for another's answer.
    pub fn next_ops(&mut self, _max: usize, _out: &mut Vec<(OpId, Op)>) {}

    /// Takes in the kernel's answer to one operation. Says so where a prefix has thereby reached what was wanted.
    pub fn confirm(
        &mut self,
        _id: OpId,
        _result: Result<(), KernelError>,
        _now: Instant,
    ) -> Option<Installed> {
        None
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, _now: Instant) {}

    /// When [`Fib::tick`] is due next.
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// Says that initial convergence is over: leftovers that nobody wants are removed now.
    pub fn end_of_startup(&mut self, _now: Instant) {}

    /// Removes everything that is ours, for a clean stop; does nothing where the routes are to be kept. Afterwards
    /// [`Fib::want`] is ignored. Done when [`Fib::is_settled`].
    pub fn remove_all(&mut self, _now: Instant) {}

    /// Nothing is queued and nothing is in flight.
    pub fn is_settled(&self) -> bool {
        true
    }

    /// Takes what belongs into the log; the oldest are dropped where nobody takes them.
    pub fn take_notices(&mut self, _out: &mut Vec<Notice>) {}

    /// Counts.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// One prefix.
    pub fn route(&self, _prefix: &Prefix) -> Option<RouteView> {
        None
    }

    /// Every prefix, sorted.
    pub fn routes(&self) -> Vec<RouteView> {
        Vec::new()
    }

    /// Every next hop that is watched or used, sorted.
    pub fn next_hops(&self) -> Vec<HopView> {
        Vec::new()
    }

    /// Every group of ours in the kernel, sorted by id.
    pub fn groups(&self) -> Vec<GroupView> {
        Vec::new()
    }
}

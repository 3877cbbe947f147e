//! The table under test with somebody who numbers prefixes, as a RIB does: a number is used again as soon as nothing is wanted
//! of its prefix, and prefixes that the kernel alone has may have one.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use bgp_fib::{Destination, Event, FibConfig, RouteView};
use bgp_wire::{Prefix, ScopedNextHop};

/// See the module.
#[derive(Debug)]
pub struct Fib {
    fib: bgp_fib::Fib,
    numbers: Numbers,
}

#[derive(Debug, Default)]
struct Numbers {
    of: HashMap<Prefix, u32>,
    free: Vec<u32>,
}

impl Numbers {
    fn destination(&mut self, prefix: Prefix) -> Destination {
        let next = u32::try_from(self.of.len() + self.free.len()).unwrap();
        let number = *self.of.entry(prefix).or_insert_with(|| self.free.pop().unwrap_or(next));
        Destination { prefix, number }
    }

    fn forget(&mut self, prefix: &Prefix) {
        self.free.extend(self.of.remove(prefix));
    }
}

impl Fib {
    pub fn new(config: FibConfig, now: Instant) -> Self {
        Self { fib: bgp_fib::Fib::new(config, now), numbers: Numbers::default() }
    }

    pub fn want(&mut self, prefix: Prefix, next_hops: Option<&[ScopedNextHop]>, now: Instant) {
        let shares = next_hops.unwrap_or_default().iter().map(|next_hop| (*next_hop, 1));
        self.want_shares(prefix, shares, None, now);
    }

    pub fn want_shares(
        &mut self,
        prefix: Prefix,
        shares: impl Iterator<Item = (ScopedNextHop, u16)>,
        backup: Option<ScopedNextHop>,
        now: Instant,
    ) {
        let mut shares = shares.peekable();
        let gone = shares.peek().is_none();
        self.fib.want_shares(self.numbers.destination(prefix), shares, backup, now);
        if gone {
            self.numbers.forget(&prefix);
        }
    }

    pub fn want_as_before(&mut self, prefix: Prefix, now: Instant) -> bool {
        self.fib.want_as_before(self.numbers.destination(prefix), now)
    }

    pub fn observe(&mut self, event: Event, now: Instant) {
        if let Event::Route(route, _) = &event {
            // A peer may have told of it already.
            self.numbers.destination(route.prefix);
        }
        self.fib.observe(event, &|prefix| self.numbers.of.get(prefix).copied(), now);
    }

    pub fn route(&self, prefix: &Prefix) -> Option<RouteView> {
        self.fib.route(prefix, self.numbers.of.get(prefix).copied())
    }
}

impl Deref for Fib {
    type Target = bgp_fib::Fib;

    fn deref(&self) -> &Self::Target {
        &self.fib
    }
}

impl DerefMut for Fib {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.fib
    }
}

//! Next hops of peers that are lost: routes stop using them at once where they have another, before it has been decided
//! for each what becomes of it.
//!
//! That is one change of each group, or the removal of one object, however many routes there are. Nothing is taken from a
//! route that has no other next hop and no backup: it goes on until its turn comes.

use std::time::Instant;

use bgp_wire::{Family, ScopedNextHop};

use crate::fib::{Fib, for_family};

impl Fib {
    /// Nobody announces these next hops any more, though routes still have them. In force until somebody announces them
    /// again ([`Fib::take_back`]) or the last of them is unwatched.
    pub fn give_up(&mut self, next_hops: &[ScopedNextHop], now: Instant) {
        self.now = self.now.max(now);
        for next_hop in next_hops.iter().filter(|next_hop| self.watched.contains_key(next_hop)) {
            for form in Family::ALL.map(|family| for_family(family, *next_hop)) {
                self.given_up.insert(form);
                self.sets.mark(&form);
                let via = self.tracker.gateway(&form);
                let hop = via.and_then(|via| self.objects.hop_of(&via));
                self.objects.leaving.extend(hop);
            }
        }
    }

    /// Somebody announces this next hop again.
    pub fn take_back(&mut self, next_hop: &ScopedNextHop) {
        if self.given_up.is_empty() {
            return;
        }
        for form in Family::ALL.map(|family| for_family(family, *next_hop)) {
            if self.given_up.remove(&form) {
                self.sets.mark(&form);
            }
        }
        let via = |form| self.objects.hop_of(&self.tracker.gateway(form)?);
        self.objects.leaving = self.given_up.iter().filter_map(via).collect();
    }
}

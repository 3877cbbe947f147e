//! Which set a prefix wants, and telling the prefixes of a set that its target has changed.
//!
//! The routes of a set are a list that runs through the routes themselves. A set with a million of them must not stop
//! everything else when its target changes: it remembers how far its routes have been told, and they are told a few at a
//! time, when there is nothing else to plan.

use std::time::{Duration, Instant};

use bgp_wire::{Family, ScopedNextHop};

use crate::destination::Destination;
use crate::fib::{Fib, for_family, once_each};
use crate::groups::Share;
use crate::routes::{ARRIVED, Flag, NONE, Stage};
use crate::sets::{Target, Wanted};

impl Fib {
    /// Says which next hops a prefix should have, in equal shares; `None` or an empty slice removes it.
    pub fn want(&mut self, destination: Destination, next_hops: Option<&[ScopedNextHop]>, now: Instant) {
        let shares = next_hops.unwrap_or_default().iter().map(|next_hop| (*next_hop, 1));
        self.want_shares(destination, shares, None, now);
    }

    /// Says which next hops a prefix should have, each with its weight: 1 to 256, or 0 where it is to keep the
    /// flows that it has and get no new ones. None at all removes it. By `backup` it is to go when none of them can be used,
    /// until the next word.
    pub fn want_shares(
        &mut self,
        destination: Destination,
        shares: impl Iterator<Item = (ScopedNextHop, u16)>,
        backup: Option<ScopedNextHop>,
        now: Instant,
    ) {
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.shares.clear();
        wanted.shares.extend(shares);
        wanted.backup = backup;
        let may_want = self.may_want(now);
        if wanted.shares.is_empty() {
            // Its number may be another's from now on, whatever becomes of the route.
            if let Some(slot) = self.routes.let_go(destination).filter(|_| may_want) {
                self.move_to_set(slot, None, now);
            }
        } else if may_want {
            let set = self.set_for(destination.prefix.family(), &wanted);
            self.want_set(destination, set, now);
        }
        self.wanted = wanted;
    }

    /// The same for what the last prefix of this family with any next hop was said to have: nearly all prefixes of a table
    /// come behind one that has the same. `false` where that is not known any more: nothing has been done then.
    pub fn want_as_before(&mut self, destination: Destination, now: Instant) -> bool {
        if !self.may_want(now) {
            return true;
        }
        let Some(set) = self.sets.last(destination.prefix.family()) else { return false };
        self.want_set(destination, set, now);
        true
    }

    fn want_set(&mut self, destination: Destination, set: u32, now: Instant) {
        match self.routes.slot_for(destination) {
            Some((slot, true)) => self.enter(slot, set, now),
            Some((slot, false)) => self.move_to_set(slot, Some(set), now),
            None => {}
        }
    }

    fn may_want(&mut self, now: Instant) -> bool {
        self.now = self.now.max(now);
        !self.stopping && self.config.install
    }

    /// The set of what is wanted of a prefix; tracked where it is new.
    pub(super) fn set_for(&mut self, family: Family, wanted: &Wanted) -> u32 {
        if let Some(set) = self.sets.same_as_last(family, wanted) {
            return set;
        }
        let share = |(next_hop, weight): &Share| (for_family(family, *next_hop), (*weight).min(256));
        let mut shares: Vec<Share> = wanted.shares.iter().map(share).collect();
        shares.sort_unstable();
        once_each(&mut shares);
        let backup = wanted.backup.map(|backup| for_family(family, backup));
        let backup = backup.filter(|backup| shares.iter().all(|(next_hop, _)| next_hop != backup));
        let (set, is_new) = self.sets.find_or_create(Wanted { shares, backup });
        if is_new && let Some(set) = self.sets.get(set) {
            set.wanted.next_hops().for_each(|next_hop| self.tracker.track(next_hop));
        }
        self.sets.remember(family, wanted, set);
        set
    }

    /// Moves a prefix to another set, or to none.
    pub(super) fn move_to_set(&mut self, slot: u32, set: Option<u32>, now: Instant) {
        let stamp = self.clock.stamp(now);
        let now = self.now;
        let Some(route) = self.routes.get_mut(slot) else { return };
        let old = route.set;
        let new = set.filter(|id| self.sets.get(*id).is_some()).unwrap_or(NONE);
        if old == new {
            return;
        }
        route.wanted_at = stamp.fine;
        if !route.may_carry() {
            route.born = stamp.coarse;
        }
        let born = route.may_carry().then_some(route.born);
        if route.is(Flag::Rare) {
            self.routes.forgive(slot);
        }
        if old != NONE {
            self.unlink(slot);
        }
        if new != NONE {
            self.link(slot, new);
        }
        if old != NONE && new != NONE {
            let age = born.map(|born| self.clock.age(born, now).unwrap_or(Duration::MAX));
            self.sets.borrow(old, new, age, &mut self.objects, now);
        }
        if new != NONE {
            self.routes.enqueue(slot);
            // Its new set has not counted it yet.
            self.count_as_now(slot, Stage::Pending);
        } else {
            self.put_away(slot);
        }
        if old != NONE && self.sets.get(old).is_some_and(|set| set.first == NONE) {
            self.end_set(old);
        }
    }

    /// A prefix that is new gets its first set.
    pub(super) fn enter(&mut self, slot: u32, id: u32, now: Instant) {
        let stamp = self.clock.stamp(now);
        let Some(set) = self.sets.get_mut(id) else { return };
        set.count += 1;
        let stage = if set.target == Target::Unresolved { Stage::Unresolved } else { Stage::Pending };
        let second = std::mem::replace(&mut set.first, slot);
        self.routes.enter(slot, stage, |route| {
            (route.set, route.before, route.after) = (id, NONE, second);
            (route.wanted_at, route.born) = (stamp.fine, stamp.coarse);
        });
        if second != NONE
            && let Some(second) = self.routes.get_mut(second)
        {
            second.before = slot;
        }
    }

    /// A prefix has left its set for good: what the kernel holds of it goes when there is nothing else to do.
    fn put_away(&mut self, slot: u32) {
        match self.routes.get(slot) {
            Some(route) if route.is_bare() && !route.is_flying() && route.holds_any() => {
                self.routes.count(slot, Stage::Removing);
                self.routes.put_off(slot);
            }
            Some(_) | None => self.enqueue(slot),
        }
    }

    /// Enters a route at the head of the list of a set.
    fn link(&mut self, slot: u32, id: u32) {
        let Some(set) = self.sets.get_mut(id) else { return };
        set.count += 1;
        let second = std::mem::replace(&mut set.first, slot);
        if let Some(route) = self.routes.get_mut(slot) {
            (route.set, route.before, route.after) = (id, NONE, second);
        }
        if second != NONE
            && let Some(second) = self.routes.get_mut(second)
        {
            second.before = slot;
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Some(route) = self.routes.get_mut(slot) else { return };
        let (id, before, after) = (route.set, route.before, route.after);
        let was_installed = route.stage == Stage::Installed;
        (route.set, route.before, route.after) = (NONE, NONE, NONE);
        if let Some(after) = self.routes.get_mut(after) {
            after.before = before;
        }
        if let Some(before) = self.routes.get_mut(before) {
            before.after = after;
        }
        if let Some(set) = self.sets.get_mut(id) {
            set.count = set.count.saturating_sub(1);
            set.installed = set.installed.saturating_sub(u32::from(was_installed));
            if set.first == slot {
                set.first = after;
            }
            if set.unswept == slot {
                set.unswept = after;
            }
        }
    }

    /// The last prefix has left a set; who has borrowed its group inherits it.
    fn end_set(&mut self, id: u32) {
        let Some(set) = self.sets.remove(id) else { return };
        set.wanted.next_hops().for_each(|next_hop| self.tracker.untrack(&next_hop));
        if let Some(group) = set.release(&mut self.objects) {
            self.sets.mark_object(group);
        }
    }

    /// Has the routes of a set look at its target again, each in its time.
    pub(super) fn sweep(&mut self, id: u32) {
        if let Some(set) = self.sets.get_mut(id)
            && set.first != NONE
        {
            set.unswept = set.first;
            self.sets.unswept.insert(id);
        }
    }

    /// Queues up to `max` routes that have not heard of something; `false` where all have.
    pub(super) fn tell_some(&mut self, max: usize) -> bool {
        let told = (0..max).take_while(|_| self.dump_walk_on() || self.walk_on() || self.tell_one());
        told.count() > 0
    }

    fn tell_one(&mut self) -> bool {
        let Some(id) = self.sets.unswept.first().copied() else { return false };
        let Some(set) = self.sets.get(id) else { return false };
        let (slot, is_lost) = (set.unswept, set.target == Target::Unresolved);
        let after = self.routes.get_mut(slot).map_or(NONE, |route| {
            if is_lost && route.stage == Stage::Installed {
                // When it comes back it is not wanted anew.
                route.wanted_at = ARRIVED;
            }
            route.after
        });
        if let Some(set) = self.sets.get_mut(id) {
            set.unswept = after;
        }
        if after == NONE {
            self.sets.unswept.remove(&id);
        }
        self.routes.forgive(slot);
        self.enqueue(slot);
        true
    }

    /// The next step of the walk through all routes, which ends the start-up phase or the daemon.
    fn walk_on(&mut self) -> bool {
        let Some(walk) = &mut self.walk else { return false };
        let Some(slot) = walk.next() else {
            self.walk = None;
            return true;
        };
        let now = self.now;
        let stamp = self.clock.stamp(now);
        let Some(route) = self.routes.get_mut(slot) else { return true };
        let leftover = !self.startup && route.take_flag(Flag::Leftover);
        if leftover {
            // That nobody wants it is known from now on.
            route.wanted_at = stamp.fine;
        }
        if self.stopping {
            self.move_to_set(slot, None, now);
            self.routes.edit_rare(slot, |rare| rare.trouble = None);
        }
        if self.stopping || leftover {
            self.enqueue(slot);
        }
        true
    }

    /// Something waits to be told to routes.
    pub(super) fn has_untold(&self) -> bool {
        self.dump_walk.is_some() || self.walk.is_some() || !self.sets.unswept.is_empty()
    }

    /// Queues a prefix, once, and counts it where it now belongs.
    pub(super) fn enqueue(&mut self, slot: u32) {
        self.routes.enqueue(slot);
        self.recount(slot);
    }

    /// Counts a prefix where it now belongs.
    pub(super) fn recount(&mut self, slot: u32) {
        let before = self.routes.get(slot).map_or(Stage::Removing, |route| route.stage);
        self.count_as_now(slot, before);
    }

    /// Counts a prefix where it now belongs; its set has counted it under `before`.
    fn count_as_now(&mut self, slot: u32, before: Stage) {
        let stage = self.stage_of(slot);
        let Some(route) = self.routes.get(slot) else { return };
        let (set, counted) = (route.set, route.stage);
        if (before == Stage::Installed) != (stage == Stage::Installed) {
            self.sets.shift(set, before, stage);
        }
        if counted != stage {
            self.routes.count(slot, stage);
        }
    }
}

//! Routes: per prefix what is wanted and what the kernel holds, and for each family a queue of those that differ.
//!
//! A million of them must be small, so a route is a few numbers (`route`), prefixes are packed (`table`), and what makes two
//! routes the same is a number too (`body`).

mod body;
mod route;
mod table;
mod waiting;

use std::collections::HashMap;

use bgp_wire::{Family, PerFamily, Prefix};
use foldhash::fast::FixedState;

pub(crate) use self::body::{Bodies, Body, BodyId};
pub(crate) use self::route::{ARRIVED, Flag, LONG_AGO, NONE, Rare, Route, Stage};
use self::table::{KeyV4, KeyV6, Table};
use crate::destination::Destination;
use crate::guard::Trouble;
use crate::packed::Prefixes;

/// Set in the slots of IPv6 routes.
const IPV6: u32 = 1 << 31;
/// Slots of one family; with [`IPV6`] none of them is [`NONE`].
const SLOTS: u32 = IPV6 - 1;

/// The family of a slot's prefix.
#[inline]
pub(crate) fn family_of(slot: u32) -> Family {
    if slot & IPV6 == 0 { Family::Ipv4Unicast } else { Family::Ipv6Unicast }
}

/// All prefixes, in slots whose numbers stay.
#[derive(Debug)]
pub(crate) struct Routes {
    v4: Table<KeyV4>,
    v6: Table<KeyV6>,
    rare: HashMap<u32, Rare, FixedState>,
    stages: PerFamily<[usize; Stage::COUNT]>,
}

impl Routes {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self {
            v4: Table::new(hash_seed),
            v6: Table::new(hash_seed),
            rare: HashMap::default(),
            stages: PerFamily::default(),
        }
    }

    /// The slot of a prefix, which has this number if it has one.
    pub(crate) fn slot_of(&self, prefix: &Prefix, number: Option<u32>) -> Option<u32> {
        match prefix {
            Prefix::V4(prefix) => self.v4.find(*prefix, number),
            Prefix::V6(prefix) => self.v6.find(*prefix, number).map(|slot| slot | IPV6),
        }
    }

    /// The slot of a prefix that is wanted, made where there is none, and whether that is so. `None` only beyond two thousand
    /// million prefixes.
    #[inline]
    pub(crate) fn slot_for(&mut self, wanted: Destination) -> Option<(u32, bool)> {
        let (slot, is_new) = match wanted.prefix {
            Prefix::V4(prefix) => self.v4.find_or_take(prefix, wanted.number, SLOTS)?,
            Prefix::V6(prefix) => {
                let (slot, is_new) = self.v6.find_or_take(prefix, wanted.number, SLOTS)?;
                (slot | IPV6, is_new)
            }
        };
        if is_new {
            self.add(family_of(slot), Stage::Removing, 1);
        }
        Some((slot, is_new))
    }

    /// The slot of a prefix that the kernel has, made where there is none. `None` as for [`Routes::slot_for`].
    pub(crate) fn slot_for_found(&mut self, prefix: Prefix, number: Option<u32>) -> Option<u32> {
        let (slot, is_new) = match prefix {
            Prefix::V4(prefix) => self.v4.find_or_stray(prefix, number, SLOTS)?,
            Prefix::V6(prefix) => {
                let (slot, is_new) = self.v6.find_or_stray(prefix, number, SLOTS)?;
                (slot | IPV6, is_new)
            }
        };
        if is_new {
            self.add(family_of(slot), Stage::Removing, 1);
        }
        Some(slot)
    }

    /// The prefix is wanted no longer, and its number may be another's; its slot, where it has one.
    pub(crate) fn let_go(&mut self, wanted: Destination) -> Option<u32> {
        match wanted.prefix {
            Prefix::V4(prefix) => self.v4.let_go(prefix, wanted.number),
            Prefix::V6(prefix) => self.v6.let_go(prefix, wanted.number).map(|slot| slot | IPV6),
        }
    }

    pub(crate) fn prefix(&self, slot: u32) -> Option<Prefix> {
        match family_of(slot) {
            Family::Ipv4Unicast => self.v4.prefix(slot).map(Prefix::V4),
            Family::Ipv6Unicast => self.v6.prefix(slot & !IPV6).map(Prefix::V6),
        }
    }

    /// Appends the prefix of a slot to those of its family.
    #[inline]
    pub(crate) fn append_prefix(&self, slot: u32, prefixes: &mut Prefixes) {
        match prefixes {
            Prefixes::Ipv4(prefixes) => prefixes.extend(self.v4.prefix(slot)),
            Prefixes::Ipv6(prefixes) => prefixes.extend(self.v6.prefix(slot & !IPV6)),
        }
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&Route> {
        let route = match family_of(slot) {
            Family::Ipv4Unicast => self.v4.get(slot),
            Family::Ipv6Unicast => self.v6.get(slot & !IPV6),
        };
        route.filter(|route| route.is(Flag::Used))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Route> {
        let route = match family_of(slot) {
            Family::Ipv4Unicast => self.v4.get_mut(slot),
            Family::Ipv6Unicast => self.v6.get_mut(slot & !IPV6),
        };
        route.filter(|route| route.is(Flag::Used))
    }

    /// Ends a slot. It must be neither queued nor in flight, and wanted no longer.
    pub(crate) fn remove(&mut self, slot: u32) {
        let removed = match family_of(slot) {
            Family::Ipv4Unicast => self.v4.remove(slot),
            Family::Ipv6Unicast => self.v6.remove(slot & !IPV6),
        };
        let Some(route) = removed else { return };
        self.add(family_of(slot), route.stage, -1);
        if route.is(Flag::Rare) {
            self.rare.remove(&slot);
        }
    }

    /// Queues a prefix, once.
    pub(crate) fn enqueue(&mut self, slot: u32) {
        if let Some(route) = self.get_mut(slot)
            && !route.is(Flag::Queued)
        {
            route.set_flag(Flag::Queued);
            match family_of(slot) {
                Family::Ipv4Unicast => self.v4.waiting.push(slot, false),
                Family::Ipv6Unicast => self.v6.waiting.push(slot, false),
            }
        }
    }

    /// Fills in and queues the route of a slot that has just been made.
    #[inline]
    pub(crate) fn enter(&mut self, slot: u32, stage: Stage, fill: impl FnOnce(&mut Route)) {
        let Some(route) = self.get_mut(slot) else { return };
        fill(route);
        route.stage = stage;
        route.set_flag(Flag::Queued);
        match family_of(slot) {
            Family::Ipv4Unicast => self.v4.waiting.push(slot, self.v4.gives_way(slot)),
            Family::Ipv6Unicast => self.v6.waiting.push(slot, false),
        }
        self.shift(family_of(slot), Stage::Removing, stage);
    }

    /// The next in the queue of a family, which is to be told that it has been [`Routes::taken`].
    #[inline]
    pub(crate) fn dequeue(&mut self, family: Family) -> Option<u32> {
        match family {
            Family::Ipv4Unicast => self.v4.waiting.pop(),
            Family::Ipv6Unicast => self.v6.waiting.pop(),
        }
    }

    /// The route of a slot that has been taken out of the queue or, with [`Flag::PutOff`], out of the removals.
    #[inline]
    pub(crate) fn taken(&mut self, slot: u32, from: Flag) -> Option<&mut Route> {
        let route = self.get_mut(slot)?;
        route.take_flag(from);
        Some(route)
    }

    /// Has a route removed when there is nothing else to do, and in no order.
    pub(crate) fn put_off(&mut self, slot: u32) {
        if let Some(route) = self.get_mut(slot)
            && !route.is(Flag::PutOff)
        {
            route.set_flag(Flag::PutOff);
            match family_of(slot) {
                Family::Ipv4Unicast => self.v4.removals.push(slot),
                Family::Ipv6Unicast => self.v6.removals.push(slot),
            }
        }
    }

    /// A route of a family that was put off, which is to be told that it has been [`Routes::taken`]; it may be wanted again
    /// meanwhile.
    pub(crate) fn take_removal(&mut self, family: Family) -> Option<u32> {
        match family {
            Family::Ipv4Unicast => self.v4.take_removal(),
            Family::Ipv6Unicast => self.v6.take_removal(),
        }
    }

    /// Prefixes to be looked at.
    pub(crate) fn queued(&self) -> PerFamily<usize> {
        PerFamily { ipv4: self.v4.waiting.len(), ipv6: self.v6.waiting.len() }
    }

    /// Removals that wait.
    pub(crate) fn removals(&self) -> PerFamily<usize> {
        PerFamily { ipv4: self.v4.removals.len(), ipv6: self.v6.removals.len() }
    }

    /// The slots in use.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u32, &Route)> {
        self.v4.slots().chain(self.v6.slots().map(|(slot, route)| (slot | IPV6, route)))
    }

    /// Slots for which `which` holds. Walks all.
    pub(crate) fn slots_where(&self, which: impl Fn(&Route) -> bool) -> Vec<u32> {
        self.slots().filter(|(_, route)| which(route)).map(|(slot, _)| slot).collect()
    }

    #[inline]
    pub(crate) fn rare(&self, slot: u32) -> Option<&Rare> {
        if self.get(slot)?.is(Flag::Rare) { self.rare.get(&slot) } else { None }
    }

    /// Made where there is none.
    pub(crate) fn rare_mut(&mut self, slot: u32) -> Option<&mut Rare> {
        self.get_mut(slot)?.set_flag(Flag::Rare);
        Some(self.rare.entry(slot).or_default())
    }

    /// Changes what a route has that few have; where it has nothing, nothing happens.
    #[inline]
    pub(crate) fn edit_rare<T>(&mut self, slot: u32, edit: impl FnOnce(&mut Rare) -> T) -> Option<T> {
        if !self.get(slot)?.is(Flag::Rare) {
            return None;
        }
        let rare = self.rare.get_mut(&slot)?;
        let edited = edit(rare);
        if rare.is_empty() {
            self.rare.remove(&slot);
            self.get_mut(slot)?.take_flag(Flag::Rare);
        }
        Some(edited)
    }

    pub(crate) fn rares(&self) -> impl Iterator<Item = (u32, &Rare)> {
        self.rare.iter().map(|(slot, rare)| (*slot, rare))
    }

    /// Why nothing is done about a route until a certain time.
    pub(crate) fn trouble(&self, slot: u32) -> Option<&Trouble> {
        self.rare(slot)?.trouble.as_ref()
    }

    /// A new reason to try: refusals no longer count.
    #[inline]
    pub(crate) fn forgive(&mut self, slot: u32) {
        self.edit_rare(slot, |rare| rare.trouble.take_if(|trouble| trouble.error.is_some()));
    }

    /// Whether there are further routes of ours for the prefix, which must go.
    pub(crate) fn has_extra(&self, slot: u32) -> bool {
        self.rare(slot).is_some_and(|rare| !rare.extra.is_empty())
    }

    /// Counts a route under another stage.
    pub(crate) fn count(&mut self, slot: u32, stage: Stage) {
        let Some(route) = self.get_mut(slot) else { return };
        let before = std::mem::replace(&mut route.stage, stage);
        self.shift(family_of(slot), before, stage);
    }

    /// Counts a route whose stage has been changed.
    #[inline]
    pub(crate) fn shift(&mut self, family: Family, before: Stage, stage: Stage) {
        if before != stage {
            self.add(family, before, -1);
            self.add(family, stage, 1);
        }
    }

    #[inline]
    fn add(&mut self, family: Family, stage: Stage, change: isize) {
        if let Some(count) = self.stages[family].get_mut(stage as usize) {
            *count = count.saturating_add_signed(change);
        }
    }

    /// How many routes of a family are in a stage.
    pub(crate) fn in_stage(&self, family: Family, stage: Stage) -> usize {
        self.stages[family].get(stage as usize).copied().unwrap_or(0)
    }

    /// Goes through all slots there are now, in their order.
    pub(crate) fn sequence(&self) -> Walk {
        let (ipv4, ipv6) = (u64::from(self.v4.len()), u64::from(self.v6.len()));
        Walk { step: 0, len: ipv4 + ipv6, stride: 1, ipv4 }
    }

    /// Goes through all slots there are now, scattered: the kernel's IPv4 table takes five times as long for sorted
    /// deletions as for unsorted ones, and dumps are sorted.
    pub(crate) fn walk(&self) -> Walk {
        let sequence = self.sequence();
        let len = sequence.len;
        // Steps of about the golden section, without a factor in common with the length: every slot once.
        let mut stride = (len * 618 / 1000) | 1;
        while gcd(stride, len) > 1 {
            stride += 2;
        }
        Walk { stride, ..sequence }
    }
}

/// A road through all slots, one step at a time.
#[derive(Debug)]
pub(crate) struct Walk {
    step: u64,
    len: u64,
    stride: u64,
    ipv4: u64,
}

impl Iterator for Walk {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.step >= self.len {
            return None;
        }
        let at = self.step.wrapping_mul(self.stride) % self.len;
        self.step += 1;
        match at.checked_sub(self.ipv4) {
            None => u32::try_from(at).ok(),
            Some(at) => u32::try_from(at).ok().map(|slot| slot | IPV6),
        }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

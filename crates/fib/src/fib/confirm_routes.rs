//! What the kernel said to an operation on a route.
//!
//! As in the plan, a plain route that was done as it was asked for goes the short way.

use std::time::Duration;

use bgp_wire::Prefix;

use crate::event::Kind;
use crate::fib::Fib;
use crate::fib::confirm::{Answer, is_congestion, is_missing};
use crate::guard::Trouble;
use crate::kernel::{KernelError, errno};
use crate::objects::{Flight, Held};
use crate::routes::{ARRIVED, BodyId, Flag, NONE, Stage, family_of};
use crate::view::{Arrivals, Notice};

/// How often a route that another protocol's route blocks is tried nevertheless.
const BLOCKED_RETRY: Duration = Duration::from_secs(30);

impl Fib {
    /// The kernel has added or replaced a route.
    pub(super) fn route_put(&mut self, slot: u32, arrivals: &mut Arrivals) {
        let touch = self.route_dump.touch;
        let Some(route) = self.routes.get_mut(slot) else { return };
        let (Some(Flight::Put(body)), true) = (route.flight(), route.is_plain() && !self.stopping) else {
            return self.odd_route_put(slot, Ok(()), arrivals);
        };
        route.land();
        route.touched = touch;
        let before = route.set_held(&Held::Present(body));
        let family = family_of(slot);
        let set = self.sets.get_mut(route.set).filter(|set| set.bodies[family] == Some(body));
        if let Some(set) = set {
            let stage = std::mem::replace(&mut route.stage, Stage::Installed);
            let wanted_at = std::mem::replace(&mut route.wanted_at, ARRIVED);
            set.installed += u32::from(stage != Stage::Installed);
            self.routes.shift(family, stage, Stage::Installed);
            self.arrived(wanted_at, |fib| fib.routes.prefix(slot), arrivals);
        } else {
            self.enqueue(slot);
        }
        // The object counts what is held now as the same user that was on its way.
        if let Held::Present(before) = before {
            self.unuse(before);
        }
    }

    /// The kernel has removed a route.
    pub(super) fn route_deleted(&mut self, slot: u32, arrivals: &mut Arrivals) {
        let Some(route) = self.routes.get_mut(slot) else { return };
        let removal = route.flight() == Some(Flight::Del);
        let (wanted_at, held) = (route.wanted_at, route.held());
        if !removal || route.set != NONE || !route.is_bare() {
            return self.odd_route_deleted(slot, Ok(()), arrivals);
        }
        route.land();
        if let Held::Present(body) = held {
            self.unuse(body);
        }
        self.arrived(wanted_at, |fib| fib.routes.prefix(slot), arrivals);
        self.end_route(slot);
    }

    /// A prefix has reached what was wanted of it at a time; [`ARRIVED`] where it had reached that before.
    #[inline]
    fn arrived(
        &mut self,
        wanted_at: u32,
        prefix: impl FnOnce(&Self) -> Option<Prefix>,
        arrivals: &mut Arrivals,
    ) {
        if wanted_at == ARRIVED {
            return;
        }
        if arrivals.is_new(wanted_at) {
            arrivals.wanted_at.push(self.clock.instant(wanted_at, self.now));
        }
        if arrivals.named {
            arrivals.prefixes.extend(prefix(self));
        }
    }

    /// What was asked for is there, or was refused.
    pub(super) fn odd_route_put(&mut self, slot: u32, result: Answer, arrivals: &mut Arrivals) {
        let touch = self.route_dump.touch;
        let Some(prefix) = self.routes.prefix(slot) else { return };
        let Some(route) = self.routes.get_mut(slot) else { return };
        let Some(Flight::Put(body)) = route.land() else { return };
        route.touched = touch;
        let doubt = route.take_flag(Flag::Doubt);
        let missed = self.proven(slot, result.is_ok());
        match result {
            Ok(()) => {
                let leftover = self.routes.get_mut(slot).map(|route| route.take_flag(Flag::Leftover));
                if leftover.is_some() && self.routes.rare(slot).is_some() {
                    self.relieve(slot, prefix);
                }
                if doubt {
                    self.set_held(slot, Held::Doubt);
                    self.unuse(body);
                } else {
                    self.hold_what_flew(slot, body);
                }
            }
            // It is there, as it was acknowledged.
            Err(error) if missed && !doubt && error.errno == errno::EEXIST => self.unuse(body),
            Err(error) => {
                if missed {
                    self.set_held(slot, Held::Doubt);
                }
                if !doubt {
                    self.route_refused(slot, body, error);
                }
                self.unuse(body);
            }
        }
        self.recount(slot);
        let has_extra = self.routes.has_extra(slot);
        match self.routes.get_mut(slot).filter(|route| route.stage == Stage::Installed) {
            Some(route) if !self.stopping && !has_extra => {
                let wanted_at = std::mem::replace(&mut route.wanted_at, ARRIVED);
                self.arrived(wanted_at, |_| Some(prefix), arrivals);
            }
            Some(_) | None => self.enqueue(slot),
        }
    }

    /// The kernel holds what was on its way; the object counts it as the same user.
    fn hold_what_flew(&mut self, slot: u32, body: BodyId) {
        let Some(route) = self.routes.get_mut(slot) else { return };
        if let Held::Present(before) = route.set_held(&Held::Present(body)) {
            self.unuse(before);
        }
    }

    /// A route no longer points to what is behind a body.
    fn unuse(&mut self, body: BodyId) {
        if let Some(id) = self.bodies.nexthop_id(body) {
            self.objects.use_by_route(id, false);
        }
    }

    /// The kernel has taken the route, so nothing is in its way and nothing wrong with it.
    fn relieve(&mut self, slot: u32, prefix: Prefix) {
        let unblocked = self.routes.edit_rare(slot, |rare| {
            rare.trouble = None;
            rare.blocked.take().is_some()
        });
        if unblocked == Some(true) {
            let (table, metric) = (self.config.table, self.config.metric);
            self.tracker.facts.routes.clear_place(prefix, table, metric);
        }
    }

    fn route_refused(&mut self, slot: u32, body: BodyId, error: KernelError) {
        let (table, metric) = (self.config.table, self.config.metric);
        let still_wanted = self.is_desired(slot, body);
        let Some(prefix) = self.routes.prefix(slot) else { return };
        if is_congestion(&error) {
            self.set_held(slot, Held::Doubt);
        } else if error.errno == errno::EEXIST {
            if let Some(protocol) = self.tracker.facts.routes.blocker(prefix, table, metric) {
                self.set_held(slot, Held::Absent);
                self.block(slot, protocol);
            } else {
                // Never replaced unseen: whose it is, the dump tells.
                if let Some(route) = self.routes.get_mut(slot) {
                    route.set_flag(Flag::Look);
                }
                self.ask_dump(Kind::Routes);
            }
        } else if still_wanted {
            let before = self.routes.trouble(slot).and_then(|trouble| trouble.error.as_ref());
            let news = before != Some(&error);
            self.retry_later(slot, error.clone());
            if matches!(error.errno, errno::EINVAL | errno::ENOENT) {
                self.ask_dump(Kind::Nexthops);
            }
            if news {
                self.notice(Notice::Failed { prefix, error });
            }
        }
    }

    /// The kernel refused something about a route: nothing is done about it for a while.
    fn retry_later(&mut self, slot: u32, error: KernelError) {
        let now = self.now;
        let Some(rare) = self.routes.rare_mut(slot) else { return };
        let trouble = Trouble::refused(rare.trouble.as_ref(), error, now);
        self.route_timers.insert((trouble.until, slot));
        rare.trouble = Some(trouble);
    }

    /// Somebody else's route is in the way: ours waits until it goes.
    pub(super) fn block(&mut self, slot: u32, protocol: u8) {
        let until = self.now + BLOCKED_RETRY;
        let Some(prefix) = self.routes.prefix(slot) else { return };
        let Some(rare) = self.routes.rare_mut(slot) else { return };
        let news = rare.blocked.replace(protocol) != Some(protocol);
        rare.trouble = Some(Trouble::paused(until));
        self.route_timers.insert((until, slot));
        self.recount(slot);
        if news {
            self.notice(Notice::Blocked { prefix, protocol });
        }
    }

    /// A removal was done, or refused.
    pub(super) fn odd_route_deleted(&mut self, slot: u32, result: Answer, arrivals: &mut Arrivals) {
        let touch = self.route_dump.touch;
        let Some(prefix) = self.routes.prefix(slot) else { return };
        let Some(route) = self.routes.get_mut(slot) else { return };
        route.land();
        route.touched = touch;
        let doubt = route.take_flag(Flag::Doubt);
        let removed = route.set == NONE;
        let done = match result {
            Err(error) if !is_missing(&error) => {
                self.retry_later(slot, error.clone());
                if is_congestion(&error) {
                    self.set_held(slot, Held::Doubt);
                } else {
                    self.notice(Notice::Failed { prefix, error });
                }
                false
            }
            Ok(()) | Err(_) => {
                let extra = self.routes.edit_rare(slot, |rare| rare.extra.pop()).flatten();
                let held = match extra {
                    Some(body) => Held::Present(body),
                    None if doubt => Held::Doubt,
                    None => Held::Absent,
                };
                self.set_held(slot, held);
                removed
            }
        };
        self.enqueue(slot);
        if done && let Some(route) = self.routes.get_mut(slot) {
            let wanted_at = std::mem::replace(&mut route.wanted_at, ARRIVED);
            self.arrived(wanted_at, |_| Some(prefix), arrivals);
        }
    }

    pub(super) fn extra_deleted(&mut self, slot: u32, body: BodyId, result: Answer) {
        let touch = self.route_dump.touch;
        let Some(route) = self.routes.get_mut(slot) else { return };
        route.land();
        route.touched = touch;
        let doubt = route.take_flag(Flag::Doubt);
        if let Err(error) = result
            && !is_missing(&error)
        {
            if let Some(rare) = self.routes.rare_mut(slot) {
                rare.extra.push(body);
            }
            self.retry_later(slot, error);
        }
        if doubt {
            self.set_held(slot, Held::Doubt);
        }
        self.enqueue(slot);
    }
}

//! The plan of routes: what is wanted and not held, as operations.
//!
//! Nearly all routes of a table are plain: nothing about them is odd, and what they are to be is a number. Those go the
//! short way; each that something has happened to is looked at from all sides.

use bgp_wire::{Family, PerFamily, Prefix};

use crate::fib::Fib;
use crate::fib::flights::What;
use crate::objects::{Flight, Held};
use crate::packed::{Lead, MOST, Place, Plan, RouteOps, Verb};
use crate::routes::{Body, BodyId, Flag, NONE, Route, Stage, family_of};
use crate::sets::Target;

/// Operations on routes of one family that may be under way. What waits beyond is a prefix in a slot and may change.
const ROUTES_UNDER_WAY: usize = 4096;
/// Prefixes looked at in one call: more would keep others waiting.
const STEPS: usize = 4096;
/// Prefixes that are told of a change before the next look whether there is something better to do.
const TOLD_AT_ONCE: usize = 256;
const FAMILIES: [Family; 2] = [Family::Ipv4Unicast, Family::Ipv6Unicast];

/// The lead of a removal of whatever there is.
const ANY: u32 = 0;
/// Set in the key of a lead without the source that routes prefer.
const BARE: u32 = 1 << 31;

/// What the kernel should hold of one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Desired {
    Nothing,
    AsIs,
    Put(BodyId),
}

/// When a route that is no longer wanted is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// At once.
    Now,
    /// After everything that is wanted.
    MayWait,
}

impl Fib {
    /// The families share the room, each as far as the kernel follows: they wait for different locks there.
    pub(super) fn plan_routes(&mut self, end: usize, out: &mut Plan) {
        let mut steps = STEPS;
        while out.len() < end && steps > 0 {
            let waiting = self.routes.queued();
            let looked = self.plan_some(waiting, When::MayWait, (end, steps), out);
            if looked == 0 && !(self.has_room() && self.tell_some(TOLD_AT_ONCE)) {
                break;
            }
            steps = steps.saturating_sub(if looked == 0 { TOLD_AT_ONCE } else { looked });
        }
        while out.len() < end && self.plan_some(self.routes.removals(), When::Now, (end, STEPS), out) > 0 {}
    }

    /// Plans some routes of those that wait, of each family in a row; says how many have been looked at.
    fn plan_some(
        &mut self,
        waiting: PerFamily<usize>,
        when: When,
        (end, steps): (usize, usize),
        out: &mut Plan,
    ) -> usize {
        let room = end.saturating_sub(out.len());
        let mut looked = 0;
        for family in FAMILIES {
            let others = match family {
                Family::Ipv4Unicast => waiting.ipv6.min(self.room_of(Family::Ipv6Unicast)),
                Family::Ipv6Unicast => 0,
            };
            // Half of the room is left to the other family, where it has use for so much.
            let share = room.saturating_sub(others).max(room.div_ceil(2)).min(end.saturating_sub(out.len()));
            let most = waiting[family].min(steps.saturating_sub(looked));
            if most > 0 && share > 0 {
                looked += self.plan_family(family, when, (share.min(MOST), most), out);
            }
        }
        looked
    }

    /// Plans some routes of one family, up to `share` operations; says how many of `most` have been looked at.
    fn plan_family(
        &mut self,
        family: Family,
        when: When,
        (share, most): (usize, usize),
        out: &mut Plan,
    ) -> usize {
        let share = share.min(self.room_of(family));
        let place = self.place();
        let crowded = self.tracker.facts.routes.is_crowded(place.table, place.metric);
        let mut ops = RouteOps::begin(self.flights.next_id(), place, family, share.min(most));
        let mut looked = 0;
        while looked < most && ops.len() < share {
            let slot = match when {
                When::MayWait => self.routes.dequeue(family),
                When::Now => self.routes.take_removal(family),
            };
            let Some(slot) = slot else { break };
            if !self.plan_plain((slot, family), when, crowded, &mut ops) {
                self.plan_route(slot, when, &mut ops);
            }
            looked += 1;
        }
        out.push_routes(ops);
        looked
    }

    /// How many operations more on routes of a family may be under way.
    fn room_of(&self, family: Family) -> usize {
        ROUTES_UNDER_WAY.saturating_sub(self.flights.routes(family))
    }

    /// A family has nothing to plan and could have.
    fn has_room(&self) -> bool {
        let queued = self.routes.queued();
        FAMILIES.into_iter().any(|family| queued[family] == 0 && self.room_of(family) > 0)
    }

    /// Routes are left that the next call would look at.
    pub(super) fn has_route_work(&self) -> bool {
        let (queued, removals) = (self.routes.queued(), self.routes.removals());
        let plannable = FAMILIES
            .into_iter()
            .any(|family| queued[family] + removals[family] > 0 && self.room_of(family) > 0);
        self.may_write() && (plannable || self.has_untold() && self.has_room())
    }

    /// Plans a route that has just been taken, where nothing is odd about it and nobody else's can be in the way: nearly all
    /// of a table. `false` where it must be looked at from all sides.
    fn plan_plain(
        &mut self,
        (slot, family): (u32, Family),
        when: When,
        crowded: bool,
        ops: &mut RouteOps,
    ) -> bool {
        let Self { routes, sets, bodies, objects, flights, .. } = self;
        let from = match when {
            When::MayWait => Flag::Queued,
            When::Now => Flag::PutOff,
        };
        let Some(route) = routes.taken(slot, from) else { return false };
        if crowded || !route.is_plain() || route.is_flying() || self.stopping {
            return false;
        }
        // A set that is ready says what its routes should be, and no other does.
        let wanted = sets.get(route.set).and_then(|set| set.bodies[family]);
        let (verb, key, body, what) = match (wanted, when) {
            (Some(body), _) if !route.holds(body) => {
                let verb = if matches!(route.held(), Held::Present(_)) { Verb::Replace } else { Verb::Add };
                (verb, body.raw(), Some(body), What::PutRoute { slot })
            }
            (None, When::Now) if route.set == NONE && route.holds_plainly() => {
                (Verb::Del, ANY, None, What::DelRoute { slot })
            }
            (Some(_) | None, _) => return false,
        };
        if let Some(body) = body {
            route.set_flight(&Flight::Put(body));
            let before = std::mem::replace(&mut route.stage, Stage::Pending);
            if before != Stage::Pending {
                sets.shift(route.set, before, Stage::Pending);
                routes.shift(family, before, Stage::Pending);
            }
            bodies.nexthop_id(body).into_iter().for_each(|id| objects.use_by_route(id, true));
        } else {
            route.set_flight(&Flight::Del);
        }
        flights.start(what);
        let lead = || match body {
            Some(body) => lead_to(bodies.get(family, body)),
            None => Lead { target: None, preferred_source: None },
        };
        ops.push(verb, (key, lead), |prefixes| routes.append_prefix(slot, prefixes));
        true
    }

    fn plan_route(&mut self, slot: u32, removal: When, out: &mut RouteOps) {
        let Some(route) = self.routes.get(slot) else { return };
        let desired = self.desired(route, family_of(slot));
        let busy = route.is_flying() || route.is(Flag::Look) || desired == Desired::AsIs;
        if !busy {
            self.plan_known(slot, desired, removal, out);
        }
        self.recount(slot);
    }

    /// A route that something may have happened to.
    fn plan_known(&mut self, slot: u32, desired: Desired, removal: When, out: &mut RouteOps) {
        let now = self.now;
        let Some(route) = self.routes.get(slot) else { return };
        let (held, wanted, missed) = (route.held(), route.set != NONE, route.is(Flag::Missed));
        if missed && desired == Desired::Nothing {
            self.proven(slot, false);
        }
        // What has taken the place of ours stays when ours is wanted no longer.
        let held = match held {
            Held::Present(body) if desired == Desired::Nothing && !self.is_ours(body) => {
                self.set_held(slot, Held::Absent);
                Held::Absent
            }
            held => held,
        };
        let held_back = self.routes.trouble(slot).is_some_and(|trouble| trouble.holds(now));
        if !held_back && let Some(Some(body)) = self.routes.edit_rare(slot, |rare| rare.extra.pop()) {
            return self.delete(slot, Some(body), out);
        }
        match (desired, &held) {
            (Desired::Nothing, Held::Absent) => {
                self.routes.edit_rare(slot, |rare| rare.blocked = None);
                if !wanted && !self.routes.has_extra(slot) {
                    self.end_route(slot);
                }
            }
            (Desired::Nothing, Held::Doubt | Held::Present(_)) if !held_back => match removal {
                When::Now => self.delete(slot, None, out),
                When::MayWait => self.routes.put_off(slot),
            },
            (Desired::Put(body), held) if held.is(&body) && !missed => {
                if let Some(route) = self.routes.get_mut(slot) {
                    route.take_flag(Flag::Leftover);
                }
                self.routes.forgive(slot);
            }
            (Desired::Put(body), _) if !held_back => self.put_route(slot, body, out),
            (Desired::Nothing | Desired::Put(_) | Desired::AsIs, _) => {}
        }
    }

    /// The kernel holds nothing of a prefix that nobody wants. It must be neither queued nor in flight.
    pub(super) fn end_route(&mut self, slot: u32) {
        if self.audit.is_reading() {
            self.routes.prefix(slot).into_iter().for_each(|prefix| self.audit.note_change(prefix));
        }
        self.routes.remove(slot);
    }

    /// What all our routes have in common.
    fn place(&self) -> Place {
        let (table, protocol, metric) = (self.config.table, self.config.protocol, self.config.metric);
        Place { table, protocol, metric }
    }

    fn put_route(&mut self, slot: u32, body: BodyId, out: &mut RouteOps) {
        let Some(route) = self.routes.get(slot) else { return };
        // One that was not shown is added where nothing must be: nobody else's can be hit.
        let present = matches!(route.held(), Held::Present(_)) && !route.is(Flag::Missed);
        if !self.has_way(slot, present, out) {
            return;
        }
        self.bodies.nexthop_id(body).into_iter().for_each(|id| self.objects.use_by_route(id, true));
        let Some(route) = self.routes.get_mut(slot) else { return };
        route.set_flight(&Flight::Put(body));
        self.flights.start(What::PutRoute { slot });
        let verb = if present { Verb::Replace } else { Verb::Add };
        let lead = || lead_to(self.bodies.get(family_of(slot), body));
        out.push(verb, (body.raw(), lead), |prefixes| self.routes.append_prefix(slot, prefixes));
    }

    /// Whether nobody else's route is in the way of one of ours; what follows if it is.
    fn has_way(&mut self, slot: u32, present: bool, out: &mut RouteOps) -> bool {
        let Some(prefix) = self.routes.prefix(slot) else { return false };
        let blocker = self.tracker.facts.routes.blocker(prefix, self.config.table, self.config.metric);
        let tried_again = self
            .routes
            .edit_rare(slot, |rare| rare.blocked.is_some() && rare.trouble.take().is_some())
            .unwrap_or(false);
        if blocker.is_some() && self.proven(slot, true) {
            // It was not shown, and theirs was.
            self.set_held(slot, Held::Absent);
        }
        match (blocker, present) {
            // A replacement could hit the other route; ours goes and waits.
            (Some(_), true) => {
                self.delete(slot, None, out);
                false
            }
            (Some(protocol), false) if !tried_again => {
                // There is one place for both, and theirs is in it.
                let doubt = self.routes.get(slot).is_some_and(|route| matches!(route.held(), Held::Doubt));
                if doubt && matches!(prefix, Prefix::V4(_)) {
                    self.set_held(slot, Held::Absent);
                }
                self.block(slot, protocol);
                false
            }
            (Some(_), false) | (None, _) => true,
        }
    }

    /// Removes the route of a prefix, or of several the one with this body.
    fn delete(&mut self, slot: u32, extra: Option<BodyId>, out: &mut RouteOps) {
        let Some(route) = self.routes.get_mut(slot) else { return };
        route.set_flight(&Flight::Del);
        let (key, what) = match extra {
            Some(body) => (body.raw() | BARE, What::DelExtra { slot, body }),
            None => (ANY, What::DelRoute { slot }),
        };
        self.flights.start(what);
        let lead = || {
            let target = extra.map(|body| self.bodies.get(family_of(slot), body).target);
            Lead { target, preferred_source: None }
        };
        out.push(Verb::Del, (key, lead), |prefixes| self.routes.append_prefix(slot, prefixes));
    }

    fn desired(&self, route: &Route, family: Family) -> Desired {
        if self.stopping {
            return Desired::Nothing;
        }
        let left_alone = route.is(Flag::Leftover) && self.startup();
        let set = self.sets.get(route.set);
        match set.map(|set| (&set.target, set.bodies[family])) {
            None | Some((Target::Unresolved, _)) if left_alone => Desired::AsIs,
            None | Some((Target::Unresolved, _)) => Desired::Nothing,
            Some((Target::Ready(_), Some(body))) => Desired::Put(body),
            Some((Target::Kept(group), _)) => self.held_in(route, *group).map_or(Desired::AsIs, Desired::Put),
            Some((Target::Waiting | Target::Ready(_), _)) => Desired::AsIs,
        }
    }

    /// Whether this is (still) what the kernel should hold.
    pub(super) fn is_desired(&self, slot: u32, body: BodyId) -> bool {
        let route = self.routes.get(slot);
        route.is_some_and(|route| self.desired(route, family_of(slot)) == Desired::Put(body))
    }

    /// How far a route has come.
    pub(super) fn stage_of(&self, slot: u32) -> Stage {
        let Some(route) = self.routes.get(slot) else { return Stage::Removing };
        let Some(set) = self.sets.get(route.set) else {
            return if route.is(Flag::Leftover) { Stage::Leftover } else { Stage::Removing };
        };
        if route.is(Flag::Rare)
            && let Some(rare) = self.routes.rare(slot)
        {
            let failed = rare.trouble.as_ref().is_some_and(|trouble| trouble.error.is_some());
            let paused = rare.trouble.as_ref().is_some_and(|trouble| trouble.holds(self.now));
            if rare.blocked.is_some() {
                return Stage::Blocked;
            } else if failed {
                return Stage::Failed;
            } else if paused {
                return Stage::Paused;
            } else if rare.trouble.is_some() {
                return Stage::Pending;
            }
        }
        match (&set.target, set.bodies[family_of(slot)]) {
            (Target::Unresolved, _) => Stage::Unresolved,
            (Target::Ready(_), Some(body)) if route.holds(body) && !route.is_flying() => Stage::Installed,
            (Target::Kept(group), _) if self.held_in(route, *group).is_some() && !route.is_flying() => {
                Stage::Installed
            }
            (Target::Ready(_) | Target::Kept(_) | Target::Waiting, _) => Stage::Pending,
        }
    }

    /// What the kernel holds of a route that points to a group. Few sets borrow one.
    #[cold]
    fn held_in(&self, route: &Route, group: u32) -> Option<BodyId> {
        match route.held() {
            Held::Present(body) => Some(body).filter(|body| self.bodies.nexthop_id(*body) == Some(group)),
            Held::Absent | Held::Doubt => None,
        }
    }
}

fn lead_to(body: Body) -> Lead {
    Lead { target: Some(body.target), preferred_source: body.preferred_source }
}

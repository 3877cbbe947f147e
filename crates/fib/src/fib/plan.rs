//! The plan: what differs, as operations, in the order in which the kernel must get them.
//!
//! Failed members first, by deleting their hop (one message, however many routes: the kernel takes it out of its groups),
//! then hops, groups, routes, and last what nobody needs any more.

use bgp_wire::Family;

use crate::fib::flights::What;
use crate::fib::{Fib, is_held_back};
use crate::groups::Group;
use crate::kernel::KernelHop;
use crate::objects::{Flight, Held};
use crate::op::{GroupSpec, NexthopSpec, Op, OpId, RouteSpec, RouteTarget};
use crate::routes::{Body, BodyId, Flag, NONE, Route, Routes, Stage, family_of};
use crate::sets::Target;
use crate::view::Via;

/// Operations on routes of one family that may be under way. What waits beyond is a prefix in a slot and may change.
const ROUTES_UNDER_WAY: usize = 4096;
/// Prefixes looked at in one call: more would keep others waiting.
const STEPS: usize = 4096;
/// Prefixes that are told of a change before the next look whether there is something better to do.
const TOLD_AT_ONCE: usize = 256;
const FAMILIES: [Family; 2] = [Family::Ipv4Unicast, Family::Ipv6Unicast];

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
    /// Appends up to `max` operations. They must reach the kernel in this order, except that routes of different families
    /// may overtake each other; none waits for another's answer. While there is more to plan, [`Fib::next_deadline`] is
    /// past.
    pub fn next_ops(&mut self, max: usize, out: &mut Vec<(OpId, Op)>) {
        let end = out.len().saturating_add(max);
        self.settle();
        self.plan_dumps(end, out);
        if self.may_write() {
            self.plan_objects(end, out);
            self.settle();
            self.plan_routes(end, out);
            self.plan_objects(end, out);
        }
        while out.len() < end
            && let Some(op) = self.tracker.take_probe(self.now)
        {
            self.emit(op, What::Probe, out);
        }
    }

    fn may_write(&self) -> bool {
        let congested = self.congested.as_ref().is_some_and(|trouble| trouble.holds(self.now));
        let keep = self.stopping && self.keeps;
        (self.is_ready() || self.stopping) && !congested && !keep
    }

    pub(super) fn emit(&mut self, op: Op, what: What, out: &mut Vec<(OpId, Op)>) {
        out.push((self.flights.start(what), op));
    }

    /// Hops before groups, for a group needs its hops; removals of groups before those of hops, which they may hold.
    fn plan_objects(&mut self, end: usize, out: &mut Vec<(OpId, Op)>) {
        let work: Vec<u32> = std::mem::take(&mut self.objects.work).into_iter().collect();
        self.each(&work, end, out, Self::del_hop);
        self.each(&work, end, out, Self::put_hop);
        let mut groups = std::mem::take(&mut self.objects.work);
        groups.extend(&work);
        let groups: Vec<u32> = groups.into_iter().collect();
        self.each(&groups, end, out, Self::del_group);
        self.each(&groups, end, out, Self::put_group);
        self.each(&work, end, out, Self::del_hop);
        for id in &work {
            if self.objects.hops.get(id).is_some_and(|hop| hop.is_gone()) {
                self.objects.forget(*id);
            }
        }
        if out.len() >= end {
            self.objects.work.extend(groups);
        }
    }

    fn each(
        &mut self,
        ids: &[u32],
        end: usize,
        out: &mut Vec<(OpId, Op)>,
        step: fn(&mut Self, u32, &mut Vec<(OpId, Op)>),
    ) {
        for id in ids {
            if out.len() < end {
                step(self, *id, out);
            }
        }
    }

    fn put_hop(&mut self, id: u32, out: &mut Vec<(OpId, Op)>) {
        let now = self.now;
        let Some(hop) = self.objects.hops.get_mut(&id) else { return };
        if hop.claims == 0 || hop.flight.is_some() || is_held_back(hop, now) {
            return;
        }
        let exclusive = match &hop.held {
            Held::Present(held) if *held == hop.wanted => return,
            Held::Absent => true,
            Held::Doubt | Held::Present(_) => false,
        };
        let Via { gateway, ifindex } = hop.wanted;
        hop.flight = Some(Flight::Put(hop.wanted));
        let spec = NexthopSpec { id, protocol: self.config.protocol, gateway, ifindex, onlink: false };
        self.sets.mark_object(id);
        let waiting = self.objects.groups.iter().filter(|(_, group)| group.wanted.contains(id));
        self.objects.work.extend(waiting.map(|(id, _)| *id));
        let op = if exclusive { Op::NexthopAdd(spec) } else { Op::NexthopReplace(spec) };
        self.emit(op, What::PutHop { id, exclusive }, out);
    }

    fn put_group(&mut self, id: u32, out: &mut Vec<(OpId, Op)>) {
        let now = self.now;
        let Some(group) = self.objects.groups.get(&id) else { return };
        if group.claims == 0 || group.flight.is_some() || is_held_back(group, now) {
            return;
        }
        let Some((body, exclusive)) = self.objects.next_group(id) else { return };
        let Group { kind, members } = body.clone();
        let spec = GroupSpec { id, protocol: self.config.protocol, kind, members };
        if exclusive && self.objects.users(id) > 0 {
            // Whatever pointed to this id went with what had it before.
            self.routes_gone_with(&[id], &Held::Doubt);
        }
        if let Some(group) = self.objects.groups.get_mut(&id) {
            group.flight = Some(Flight::Put(body));
        }
        self.sets.mark_object(id);
        let op = if exclusive { Op::GroupAdd(spec) } else { Op::GroupReplace(spec) };
        self.emit(op, What::PutGroup { id, exclusive }, out);
    }

    /// Deletes a hop that nobody needs. The kernel takes it out of its groups, and so do we.
    fn del_hop(&mut self, id: u32, out: &mut Vec<(OpId, Op)>) {
        let now = self.now;
        let Some(hop) = self.objects.hops.get(&id) else { return };
        if hop.claims > 0 || hop.flight.is_some() || hop.leftover || is_held_back(hop, now) {
            return;
        }
        if matches!(hop.held, Held::Absent) || !self.objects.hop_is_free(id) || self.used_by_others(id) {
            return;
        }
        if let Some(hop) = self.objects.hops.get_mut(&id) {
            hop.flight = Some(Flight::Del);
        }
        let emptied = self.objects.shrink_groups(id, self.nexthop_dump.touch);
        self.routes_gone_with(&emptied, &Held::Absent);
        self.emit(Op::NexthopDel { id }, What::DelHop { id }, out);
    }

    fn del_group(&mut self, id: u32, out: &mut Vec<(OpId, Op)>) {
        let now = self.now;
        let Some(group) = self.objects.groups.get(&id) else { return };
        if group.is_gone() {
            self.objects.forget(id);
            return;
        }
        let busy = group.claims > 0 || group.flight.is_some() || group.leftover || is_held_back(group, now);
        if busy || matches!(group.held, Held::Absent) || self.objects.users(id) > 0 || self.used_by_others(id)
        {
            return;
        }
        if let Some(group) = self.objects.groups.get_mut(&id) {
            group.flight = Some(Flight::Del);
        }
        self.emit(Op::GroupDel { id }, What::DelGroup { id }, out);
    }

    /// Whether a route or group of somebody else needs the object: it would lose it.
    fn used_by_others(&self, id: u32) -> bool {
        let facts = &self.tracker.facts;
        let in_group =
            || facts.nexthops.iter().any(|(_, other)| other.members.iter().any(|(member, _)| *member == id));
        facts.routes.uses_nexthop(id) || in_group()
    }

    /// The families take turns, each as far as the kernel follows: they wait for different locks there.
    fn plan_routes(&mut self, end: usize, out: &mut Vec<(OpId, Op)>) {
        let mut steps = STEPS;
        while out.len() < end && steps > 0 {
            let planned = self.plan_one_each(Routes::dequeue, When::MayWait, end, out);
            if planned == 0 && !(self.has_room() && self.tell_some(TOLD_AT_ONCE)) {
                break;
            }
            steps = steps.saturating_sub(if planned == 0 { TOLD_AT_ONCE } else { planned });
        }
        while self.plan_one_each(Routes::take_removal, When::Now, end, out) > 0 {}
    }

    /// Plans one route of each family that the kernel has room for; says how many.
    fn plan_one_each(
        &mut self,
        take: fn(&mut Routes, Family) -> Option<u32>,
        removal: When,
        end: usize,
        out: &mut Vec<(OpId, Op)>,
    ) -> usize {
        let mut planned = 0;
        for family in FAMILIES {
            if out.len() < end
                && self.flights.routes(family) < ROUTES_UNDER_WAY
                && let Some(slot) = take(&mut self.routes, family)
            {
                self.plan_route(slot, removal, out);
                planned += 1;
            }
        }
        planned
    }

    /// A family has nothing to plan and could have.
    fn has_room(&self) -> bool {
        let queued = self.routes.queued();
        FAMILIES
            .into_iter()
            .any(|family| queued[family] == 0 && self.flights.routes(family) < ROUTES_UNDER_WAY)
    }

    /// Routes are left that the next call would look at.
    pub(super) fn has_route_work(&self) -> bool {
        let (queued, removals) = (self.routes.queued(), self.routes.removals());
        let plannable = FAMILIES.into_iter().any(|family| {
            queued[family] + removals[family] > 0 && self.flights.routes(family) < ROUTES_UNDER_WAY
        });
        self.may_write() && (plannable || self.has_untold() && self.has_room())
    }

    fn plan_route(&mut self, slot: u32, removal: When, out: &mut Vec<(OpId, Op)>) {
        let Some(route) = self.routes.get(slot) else { return };
        let desired = self.desired(route, family_of(slot));
        let busy = route.is_flying() || route.is(Flag::Look) || desired == Desired::AsIs;
        if let (Desired::Put(body), false) = (desired, busy || route.is(Flag::Rare) || route.holds_any()) {
            // A new route about which nothing is odd: nearly all of a table.
            return self.put_route(slot, body, out);
        }
        if !busy {
            self.plan_known(slot, desired, removal, out);
        }
        self.recount(slot);
    }

    /// A route that the kernel has, or that something has happened to.
    fn plan_known(&mut self, slot: u32, desired: Desired, removal: When, out: &mut Vec<(OpId, Op)>) {
        let now = self.now;
        let Some(route) = self.routes.get(slot) else { return };
        let (held, wanted, missed) = (route.held(), route.set != NONE, route.is(Flag::Missed));
        if missed && desired == Desired::Nothing {
            self.proven(slot, false);
        }
        let held_back = self.routes.trouble(slot).is_some_and(|trouble| trouble.holds(now));
        if !held_back && let Some(Some(body)) = self.routes.edit_rare(slot, |rare| rare.extra.pop()) {
            let target = self.bodies.get(family_of(slot), body).target;
            self.delete(slot, Some(target), What::DelExtra { slot, body }, out);
            return;
        }
        match (desired, &held) {
            (Desired::Nothing, Held::Absent) => {
                self.routes.edit_rare(slot, |rare| rare.blocked = None);
                if !wanted && !self.routes.has_extra(slot) {
                    self.routes.prefix(slot).into_iter().for_each(|prefix| self.audit.note_gone(prefix));
                    self.routes.remove(slot);
                }
            }
            (Desired::Nothing, Held::Doubt | Held::Present(_)) if !held_back => match removal {
                When::Now => self.delete(slot, None, What::DelRoute { slot }, out),
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

    fn put_route(&mut self, slot: u32, body: BodyId, out: &mut Vec<(OpId, Op)>) {
        let Some(prefix) = self.routes.prefix(slot) else { return };
        let blocker = self.tracker.facts.routes.blocker(prefix, self.config.table, self.config.metric);
        let Some(route) = self.routes.get(slot) else { return };
        // One that was not shown is added where nothing must be: nobody else's can be hit.
        let present = matches!(route.held(), Held::Present(_)) && !route.is(Flag::Missed);
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
            (Some(_), true) => return self.delete(slot, None, What::DelRoute { slot }, out),
            (Some(protocol), false) if !tried_again => return self.block(slot, protocol),
            (Some(_), false) | (None, _) => {}
        }
        let Body { target, preferred_source } = self.bodies.get(prefix.family(), body);
        let spec = RouteSpec {
            prefix,
            table: self.config.table,
            protocol: self.config.protocol,
            metric: self.config.metric,
            preferred_source,
            target,
        };
        self.bodies.nexthop_id(body).into_iter().for_each(|id| self.objects.use_by_route(id, true));
        if let Some(route) = self.routes.get_mut(slot) {
            route.set_flight(&Flight::Put(body));
        }
        let op = if present { Op::RouteReplace(spec) } else { Op::RouteAdd(spec) };
        self.emit(op, What::PutRoute { slot }, out);
    }

    fn delete(&mut self, slot: u32, target: Option<RouteTarget>, what: What, out: &mut Vec<(OpId, Op)>) {
        let Some(prefix) = self.routes.prefix(slot) else { return };
        let Some(route) = self.routes.get_mut(slot) else { return };
        route.set_flight(&Flight::Del);
        let (table, protocol, metric) = (self.config.table, self.config.protocol, self.config.metric);
        let op = Op::RouteDel { prefix, table, protocol, metric, target };
        self.emit(op, what, out);
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
            (Target::Ready(_) | Target::Waiting, _) => Stage::Pending,
        }
    }
}

/// The target of routes on a kernel without next-hop objects.
pub(super) fn inline_target(vias: &[(Via, u16)]) -> Target {
    if vias.is_empty() {
        return Target::Unresolved;
    }
    let hop = |(via, weight): &(Via, u16)| KernelHop {
        gateway: Some(via.gateway),
        ifindex: via.ifindex,
        weight: *weight,
        down: false,
    };
    let mut hops: Vec<KernelHop> = vias.iter().map(hop).collect();
    hops.sort_unstable();
    Target::Ready(RouteTarget::Hops(hops))
}

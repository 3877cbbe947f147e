//! The plan: what differs, as operations, in the order in which the kernel must get them.
//!
//! Failed members first, by deleting their hop (one message, however many routes: the kernel takes it out of its groups),
//! then hops, groups, routes, and last what nobody needs any more.

use crate::fib::flights::What;
use crate::fib::{Fib, is_held_back};
use crate::groups::Group;
use crate::kernel::KernelHop;
use crate::objects::{Flight, Held};
use crate::op::{GroupSpec, NexthopSpec, Op, OpId, RouteTarget};
use crate::packed::Plan;
use crate::sets::Target;
use crate::view::Via;

impl Fib {
    /// Appends up to `max` operations. They must reach the kernel in this order, except that routes of different families
    /// may overtake each other; none waits for another's answer. While there is more to plan, [`Fib::next_deadline`] is
    /// past.
    pub fn plan(&mut self, max: usize, out: &mut Plan) {
        let end = out.len().saturating_add(max);
        self.settle();
        self.plan_dumps(end, out);
        if self.may_write() {
            self.plan_objects(end, out);
            self.settle();
            self.plan_routes(end, out);
            self.plan_objects(end, out);
        } else if self.may_repair() {
            let work: Vec<u32> = self.objects.work.iter().copied().collect();
            self.each(&work, end, out, Self::del_hop);
        }
        while out.len() < end
            && let Some(op) = self.tracker.take_probe(self.now)
        {
            self.emit(op, What::Probe, out);
        }
    }

    /// The same, each operation by itself.
    pub fn next_ops(&mut self, max: usize, out: &mut Vec<(OpId, Op)>) {
        let mut plan = Plan::default();
        self.plan(max, &mut plan);
        out.extend(plan.into_ops());
    }

    pub(super) fn may_write(&self) -> bool {
        (self.is_ready() || self.stopping) && !self.rests()
    }

    /// Whether a hop that nobody needs may go. That is how forwarding is repaired: it does not wait until everything has been
    /// read again after reports were lost.
    fn may_repair(&self) -> bool {
        self.was_ready() && !self.rests()
    }

    /// The kernel has no room, or is to keep what it has.
    fn rests(&self) -> bool {
        let congested = self.congested.as_ref().is_some_and(|trouble| trouble.holds(self.now));
        congested || self.stopping && self.keeps
    }

    pub(super) fn emit(&mut self, op: Op, what: What, out: &mut Plan) {
        out.push(self.flights.start(what), op);
    }

    /// Hops before groups, for a group needs its hops; removals of groups before those of hops, which they may hold.
    fn plan_objects(&mut self, end: usize, out: &mut Plan) {
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

    fn each(&mut self, ids: &[u32], end: usize, out: &mut Plan, step: fn(&mut Self, u32, &mut Plan)) {
        for id in ids {
            if out.len() < end {
                step(self, *id, out);
            }
        }
    }

    fn put_hop(&mut self, id: u32, out: &mut Plan) {
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

    fn put_group(&mut self, id: u32, out: &mut Plan) {
        let now = self.now;
        let Some(group) = self.objects.groups.get(&id) else { return };
        if group.claims == 0 || group.flight.is_some() || is_held_back(group, now) {
            return;
        }
        let was_sown = group.sown;
        let Some((body, exclusive)) = self.objects.next_group(id) else {
            // A seed has lost what it had too much, and its routes may come.
            if was_sown {
                self.sets.mark_object(id);
            }
            return;
        };
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
    fn del_hop(&mut self, id: u32, out: &mut Plan) {
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

    fn del_group(&mut self, id: u32, out: &mut Plan) {
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
}

/// The target of routes on a kernel without next-hop objects.
pub(super) fn inline_target(vias: &[(Via, u16)]) -> Target {
    if vias.is_empty() {
        return Target::Unresolved;
    }
    // A hop that is alone has no weight there.
    let alone = vias.len() == 1;
    let hop = |(via, weight): &(Via, u16)| KernelHop {
        gateway: Some(via.gateway),
        ifindex: via.ifindex,
        weight: if alone { 1 } else { *weight },
        down: false,
    };
    let mut hops: Vec<KernelHop> = vias.iter().map(hop).collect();
    hops.sort_unstable();
    Target::Ready(RouteTarget::Hops(hops))
}

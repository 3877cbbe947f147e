//! What the kernel reported: facts go to the tracker, our own routes and objects are compared with what we believe.
//!
//! Believed state gives way to reports, with two exceptions: an entry of a dump is older than what was done or reported
//! since the dump began, and a report about something that is in flight only casts doubt on the answer.

use std::time::Instant;

use bgp_wire::{Family, Prefix};

use crate::config::{GROUP_IDS, HOP_IDS, MAIN_TABLE, is_our_id};
use crate::destination::Numbers;
use crate::event::{Event, Kind, Seen};
use crate::fib::Fib;
use crate::fib::audit::{Difference, Subject, is_relied_on, unlike};
use crate::fib::dumps::Epoch;
use crate::fib::meddling::Deed;
use crate::groups::{Group, Members};
use crate::guard::Trouble;
use crate::kernel::{KernelNexthop, KernelRoute};
use crate::objects::{Flight, Held};
use crate::routes::{Body, BodyId, Flag, NONE, family_of};
use crate::tracking::LinkChange;
use crate::view::{Notice, Via};

impl Fib {
    /// Takes in what the kernel reported; `numbers` has those under which prefixes are wanted.
    pub fn observe(&mut self, event: Event, numbers: Numbers<'_>, now: Instant) {
        self.now = self.now.max(now);
        match event {
            Event::Link(_) | Event::LinkGone { .. } => {
                self.host_has_changed();
                if let Some(change) = self.tracker.observe(event) {
                    self.link_changed(change);
                }
            }
            Event::Address(address) | Event::AddressGone(address) => {
                let is_gone = matches!(event, Event::AddressGone(_));
                self.tracker.observe(event);
                self.forgive_link(address.ifindex);
                self.host_has_changed();
                // The kernel drops IPv4 routes with this source, and the source from IPv6 routes, without a word.
                let is_source =
                    self.config.preferred_source.iter().any(|(_, it)| *it == Some(address.address));
                if is_gone && is_source {
                    self.ask_dump(Kind::Routes);
                }
            }
            Event::Neighbor(neighbor) => {
                let via = Via { gateway: neighbor.address, ifindex: neighbor.ifindex };
                if neighbor.state.is_valid() && self.refusals.contains_key(&via) {
                    self.tracker.refuse(via, None);
                }
                self.tracker.observe(event);
            }
            Event::NeighborGone { .. } | Event::Fdb(_) | Event::FdbGone(_) => {
                self.tracker.observe(event);
            }
            Event::Route(route, seen) => self.route_seen(route, seen, numbers),
            Event::RouteGone(route) => self.route_gone(&route, numbers),
            Event::Nexthop(object, seen) => self.nexthop_seen(object, seen),
            Event::NexthopGone { id } => self.nexthop_gone(id),
            Event::DumpStart(kind) => self.dump_start(kind),
            Event::DumpEnd(kind) => self.dump_end(kind, numbers),
            Event::Requester(requester) => self.meddlers.requested_by(requester),
            Event::AuditStart => self.audit_start(),
            Event::AuditEnd => self.audit_end(numbers),
            Event::Unsupported(kind) => {
                if kind == Kind::Nexthops {
                    self.fall_back();
                }
                self.dump_start(kind);
                self.dump_end(kind, numbers);
            }
            Event::Overrun => {
                // What is not read back is not known: nothing is written before.
                self.notice(Notice::Resync);
                self.give_up_audit();
                for dump in self.dumps.values_mut() {
                    dump.complete = false;
                    dump.too_early = dump.expected || dump.running;
                }
                Kind::ALL.into_iter().for_each(|kind| self.ask_dump(kind));
            }
        }
    }

    pub(super) fn link_changed(&mut self, change: LinkChange) {
        match change {
            LinkChange::Down(ifindex) => {
                let on_link = self.objects.hops.iter().filter(|(_, hop)| hop.wanted.ifindex == ifindex);
                let on_link: Vec<u32> = on_link.map(|(id, _)| *id).collect();
                self.vanish(&on_link);
                self.doubt_inline_routes(ifindex);
                self.unblock_all();
                self.forgive_link(ifindex);
            }
            LinkChange::Up(ifindex) => {
                self.forgive_link(ifindex);
                // The answer to what was added after a short fault may come before the report of the fault, by which it is taken
                // for gone.
                if self.was_ready() {
                    self.ask_dump(Kind::Nexthops);
                }
            }
            LinkChange::Same(ifindex) => {
                let held = |via: &Via| via.ifindex == ifindex;
                if self.objects.hops.values().any(|hop| matches!(&hop.held, Held::Present(via) if held(via)))
                {
                    self.ask_dump(Kind::Nexthops);
                }
            }
        }
    }

    /// Routes with their hops inside them: the kernel may have dropped those by this link.
    fn doubt_inline_routes(&mut self, ifindex: u32) {
        let by_link = self.bodies.by_link(ifindex);
        if by_link.is_empty() {
            return;
        }
        let hit = self
            .routes
            .slots_where(|route| matches!(route.held(), Held::Present(body) if by_link.contains(&body)));
        for slot in hit {
            self.set_held(slot, Held::Doubt);
            self.enqueue(slot);
        }
    }

    pub(super) fn unblock(&mut self, slot: u32) {
        let blocked = self.routes.edit_rare(slot, |rare| {
            let blocked = rare.blocked.take().is_some();
            rare.trouble.take_if(|_| blocked);
            blocked
        });
        if blocked == Some(true) {
            self.enqueue(slot);
        }
    }

    /// Routes of others have gone without a word, and may have been in the way of ours.
    fn unblock_all(&mut self) {
        let blocked = self.routes.rares().filter(|(_, rare)| rare.blocked.is_some());
        for slot in blocked.map(|(slot, _)| slot).collect::<Vec<u32>>() {
            self.unblock(slot);
        }
    }

    /// Whether a route is one of ours; `seen` is none where it is gone. Table, metric and protocol are those of other BGP daemons
    /// too, without any setting of FRR's. So where there are next-hop objects, a route through none of ours is somebody else's,
    /// unless it has taken the place of one that the kernel held for us.
    fn is_own(&self, route: &KernelRoute, seen: Option<Seen>, numbers: Numbers<'_>) -> bool {
        let marked = route.table == self.config.table
            && route.metric == self.config.metric
            && route.protocol == self.config.protocol;
        let through_ours = || {
            route.nexthop_id.is_some_and(|id| is_our_id(id) && self.tracker.facts.nexthops.get(&id).is_none())
        };
        marked
            && (self.objects_work == Some(false)
                || through_ours()
                || self.took_the_place(route, seen, numbers))
    }

    /// Of IPv6 another one stands beside ours, and what a dump shows of it says nothing of ours. Where ours is wanted no longer,
    /// whoever takes its place has it.
    fn took_the_place(&self, route: &KernelRoute, seen: Option<Seen>, numbers: Numbers<'_>) -> bool {
        let slot = self.routes.slot_of(&route.prefix, numbers(&route.prefix));
        let Some(ours) = slot.and_then(|slot| self.routes.get(slot)) else { return false };
        let wanted = ours.set != NONE;
        match (ours.held(), seen) {
            (Held::Absent, _) | (_, Some(Seen::Change)) | (Held::Doubt, None) => false,
            (Held::Present(body), None) => self.bodies.nexthop_id(body) == route.nexthop_id,
            (Held::Present(_) | Held::Doubt, Some(Seen::Replace)) => wanted,
            (Held::Present(_) | Held::Doubt, Some(Seen::Dump)) => {
                wanted && matches!(route.prefix, Prefix::V4(_))
            }
        }
    }

    /// Whether what the kernel holds in our place is ours to remove.
    pub(super) fn is_ours(&self, body: BodyId) -> bool {
        self.objects_work == Some(false) || self.bodies.nexthop_id(body).is_some_and(is_our_id)
    }

    /// Whether a route that is not ours matters to us.
    fn is_watched(&self, route: &KernelRoute) -> bool {
        route.table == self.config.table || route.table == MAIN_TABLE
    }

    fn route_seen(&mut self, route: KernelRoute, seen: Seen, numbers: Numbers<'_>) {
        // What an audit that has been given up had read is older than what has been lost since.
        if seen == Seen::Dump && !self.audit.is_reading() && !self.is_dumping(Kind::Routes) {
            return;
        }
        let may_be_old = || seen == Seen::Dump && self.audit.may_be_old(&route.prefix);
        if self.is_own(&route, Some(seen), numbers) {
            let number = numbers(&route.prefix);
            if may_be_old() && self.routes.slot_of(&route.prefix, number).is_none() {
                return;
            }
            let Some(slot) = self.routes.slot_for_found(route.prefix, number) else { return };
            let body = self.bodies.id_of(route.prefix.family(), Body::of(&route));
            match seen {
                Seen::Dump => self.own_route_dumped(slot, body),
                Seen::Change | Seen::Replace => self.own_route_changed(slot, body, seen),
            }
        } else if self.is_watched(&route) {
            let (prefix, route_protocol) = (route.prefix, route.protocol);
            if may_be_old() {
                return self.tracker.facts.routes.show(&route);
            }
            if seen != Seen::Dump && prefix.family() == Family::Ipv6Unicast {
                // Its legs may be others than an audit under way has read.
                self.audit.note_change(prefix);
            }
            let same_place = route.table == self.config.table && route.metric == self.config.metric;
            self.tracker.facts.routes.insert(route, seen);
            self.tracker.route_changed(prefix);
            if same_place
                && seen == Seen::Replace
                && let Some(slot) = self.routes.slot_of(&prefix, numbers(&prefix))
            {
                self.route_replaced(slot, route_protocol);
            }
        }
    }

    fn route_gone(&mut self, route: &KernelRoute, numbers: Numbers<'_>) {
        if self.is_own(route, None, numbers) {
            if let Some(slot) = self.routes.slot_of(&route.prefix, numbers(&route.prefix)) {
                let body = self.bodies.id_of(route.prefix.family(), Body::of(route));
                self.own_route_gone(slot, Some(body));
            }
        } else if self.is_watched(route) {
            self.audit.note_change(route.prefix);
            self.tracker.facts.routes.remove(route);
            self.tracker.route_changed(route.prefix);
            if let Some(slot) = self.routes.slot_of(&route.prefix, numbers(&route.prefix)) {
                self.unblock(slot);
            }
        }
    }

    fn own_route_dumped(&mut self, slot: u32, body: BodyId) {
        let Epoch { scan, touch } = self.route_dump;
        let startup = self.startup();
        let Some(route) = self.routes.get_mut(slot) else { return };
        let first = route.seen != scan;
        route.seen = scan;
        if route.is_flying() || route.touched == touch {
            return;
        }
        if first {
            if startup && route.set == NONE && matches!(route.held(), Held::Absent) {
                route.set_flag(Flag::Leftover);
            }
            self.compare(slot, body);
            self.routes.edit_rare(slot, |rare| rare.extra.clear());
            self.set_held(slot, Held::Present(body));
        } else if !route.holds(body)
            && let Some(rare) = self.routes.rare_mut(slot)
            && !rare.extra.contains(&body)
        {
            rare.extra.push(body);
            self.differs(slot, Difference::Unexpected);
        }
        self.enqueue(slot);
    }

    fn own_route_changed(&mut self, slot: u32, body: BodyId, seen: Seen) {
        let Epoch { scan, touch } = self.route_dump;
        let startup = self.startup();
        let Some(route) = self.routes.get_mut(slot) else { return };
        route.seen = scan;
        match route.flight() {
            Some(Flight::Put(put)) if put == body => return,
            Some(_) => {
                route.set_flag(Flag::Doubt);
                return;
            }
            None => {}
        }
        route.touched = touch;
        if route.holds(body) {
            return;
        }
        if startup && route.set == NONE {
            route.set_flag(Flag::Leftover);
        }
        match (route.held(), seen) {
            (Held::Present(_), Seen::Change | Seen::Dump) => {
                if let Some(rare) = self.routes.rare_mut(slot) {
                    rare.extra.push(body);
                }
            }
            (Held::Present(_), Seen::Replace) => {
                self.set_held(slot, Held::Present(body));
                self.repair(slot, Deed::Changed);
            }
            (Held::Absent | Held::Doubt, _) => self.set_held(slot, Held::Present(body)),
        }
        self.enqueue(slot);
    }

    /// A route of ours is gone; `None` where somebody else's has taken its place.
    fn own_route_gone(&mut self, slot: u32, body: Option<BodyId>) {
        let touch = self.route_dump.touch;
        let was_extra = self.routes.edit_rare(slot, |rare| {
            let place = rare.extra.iter().position(|extra| Some(*extra) == body);
            place.map(|place| rare.extra.swap_remove(place)).is_some()
        });
        let Some(route) = self.routes.get_mut(slot).filter(|_| was_extra != Some(true)) else { return };
        match route.flight() {
            Some(Flight::Put(put)) => {
                if body.is_none_or(|body| put == body) {
                    route.set_flag(Flag::Doubt);
                }
                return;
            }
            Some(Flight::Del) => return,
            None => {}
        }
        route.touched = touch;
        let target = |body| self.bodies.nexthop_id(body);
        match (route.held(), body) {
            (Held::Absent, _) => return,
            (Held::Present(_), None) => {
                self.set_held(slot, Held::Absent);
                self.enqueue(slot);
                return;
            }
            (Held::Present(held), Some(body)) if target(held) != target(body) => return,
            // Of IPv6 that may have been a leg, of which the kernel tells by itself.
            (Held::Present(held), Some(_))
                if target(held).is_none() && family_of(slot) == Family::Ipv6Unicast =>
            {
                self.set_held(slot, Held::Doubt);
            }
            (Held::Present(_) | Held::Doubt, _) => self.set_held(slot, Held::Absent),
        }
        if let Some(Some(extra)) = self.routes.edit_rare(slot, |rare| rare.extra.pop()) {
            self.set_held(slot, Held::Present(extra));
        }
        self.repair(slot, Deed::Removed);
        self.enqueue(slot);
    }

    /// A route of another protocol has taken the place of one of ours, which waits from now on.
    fn route_replaced(&mut self, slot: u32, protocol: u8) {
        let held = self.routes.get(slot).is_some_and(|route| matches!(route.held(), Held::Present(_)));
        if held && let Some(prefix) = self.routes.prefix(slot) {
            self.undone(Subject::Route(prefix), Deed::Replaced { protocol });
        }
        self.own_route_gone(slot, None);
    }

    /// Somebody undid what we had done to a route that is wanted: it is put back, unless this has become a fight.
    fn repair(&mut self, slot: u32, deed: Deed) {
        let now = self.now;
        let wanted = self.routes.get(slot).is_some_and(|route| route.set != NONE);
        if !wanted || self.meddlers.is_kernel() {
            return;
        }
        let by = self.meddlers.requester();
        let (Some(prefix), Some(rare)) = (self.routes.prefix(slot), self.routes.rare_mut(slot)) else {
            return;
        };
        let guard = rare.guard.get_or_insert_default();
        guard.by = by;
        let paused = guard.repair(now);
        self.forget_at = self.forget_at.or(guard.calm_at());
        if let Some(until) = paused {
            rare.trouble = Some(Trouble::paused(until));
            self.route_timers.insert((until, slot));
            self.notice(Notice::Paused { prefix, until });
        }
        self.repairs += 1;
        self.undone(Subject::Route(prefix), deed);
    }

    /// The same for a next-hop object or group.
    fn object_undone(&mut self, id: u32, deed: Deed) {
        let now = self.now;
        if self.meddlers.is_kernel() {
            return;
        }
        let guard = match (self.objects.hops.get_mut(&id), self.objects.groups.get_mut(&id)) {
            (Some(hop), _) if is_relied_on(hop) => &mut hop.guard,
            (None, Some(group)) if is_relied_on(group) => &mut group.guard,
            (Some(_), _) | (None, _) => return,
        };
        let paused = guard.repair(now);
        self.repairs += 1;
        self.undone(Subject::Object(id), deed);
        if let Some(until) = paused {
            self.object_trouble(id, Trouble::paused(until));
        }
    }

    fn nexthop_seen(&mut self, object: KernelNexthop, seen: Seen) {
        let id = object.id;
        let ours = object.protocol == self.config.protocol && !object.onlink;
        match (object.gateway, object.ifindex) {
            (Some(gateway), Some(ifindex)) if ours && HOP_IDS.contains(&id) => {
                self.hop_seen(id, Via { gateway, ifindex }, seen);
            }
            _ if ours && GROUP_IDS.contains(&id) && !object.members.is_empty() => {
                // A weight that is too large for us is none of ours; the largest is none either.
                let member = |(id, weight): &(u32, u32)| (*id, u16::try_from(*weight).unwrap_or(u16::MAX));
                let mut members: Members = object.members.iter().map(member).collect();
                members.sort_unstable();
                self.group_seen(id, Group { kind: object.kind, members }, seen);
            }
            _ => {
                if is_our_id(id) {
                    self.vanish(&[id]);
                    self.give_up_id(id);
                }
                let news = self.tracker.facts.nexthops.insert(id, object.clone()).as_ref() != Some(&object);
                if news {
                    self.tracker.mark_all();
                }
            }
        }
    }

    fn hop_seen(&mut self, id: u32, via: Via, seen: Seen) {
        let Epoch { scan, touch } = self.nexthop_dump;
        let startup = self.startup();
        let is_new = !self.objects.hops.contains_key(&id);
        let hop = self.objects.found_hop(id, via);
        hop.seen = scan;
        match &hop.flight {
            Some(flight) => {
                hop.doubt |= seen != Seen::Dump && *flight != Flight::Put(via);
                return;
            }
            None if seen == Seen::Dump && hop.touched == touch && !is_new => return,
            None => {}
        }
        if seen != Seen::Dump {
            hop.touched = touch;
        }
        hop.leftover |= is_new && startup;
        let known = hop.held.is(&via);
        let difference = unlike(&hop.held, &via, is_new && !startup);
        hop.held = Held::Present(via);
        if !known {
            self.object_differs(id, difference, seen);
            self.objects.work.insert(id);
            self.sets.mark_object(id);
        }
    }

    fn group_seen(&mut self, id: u32, seen_as: Group, seen: Seen) {
        let Epoch { scan, touch } = self.nexthop_dump;
        let startup = self.startup();
        let is_new = !self.objects.groups.contains_key(&id);
        let group = self.objects.found_group(id, seen_as.clone());
        group.seen = scan;
        match &group.flight {
            Some(Flight::Put(put)) if *put == seen_as => return,
            Some(_) => {
                group.doubt |= seen != Seen::Dump;
                return;
            }
            None if seen == Seen::Dump && group.touched == touch && !is_new => return,
            None => {}
        }
        if seen != Seen::Dump {
            group.touched = touch;
        }
        if group.claims > 0 && !seen_as.can_become(&group.wanted) {
            // Somebody has put another kind of group in its place, and the kernel does not turn one into the other.
            self.give_up_id(id);
            return;
        }
        group.leftover |= is_new && startup;
        let known = group.held.is(&seen_as);
        let difference = unlike(&group.held, &seen_as, is_new && !startup);
        group.held = Held::Present(seen_as);
        if !known {
            self.objects.was_changed(id);
            self.object_differs(id, difference, seen);
            self.objects.work.insert(id);
            self.sets.mark_object(id);
        }
    }

    /// An object is not as it was acknowledged: a dump has found it, or somebody is seen doing it.
    fn object_differs(&mut self, id: u32, difference: Option<Difference>, seen: Seen) {
        match (difference, seen) {
            (Some(difference), Seen::Dump) => self.found(Subject::Object(id), difference),
            (Some(Difference::Changed), Seen::Change | Seen::Replace) => {
                self.object_undone(id, Deed::Changed);
            }
            (Some(Difference::Missing | Difference::Unexpected) | None, _) => {}
        }
    }

    fn nexthop_gone(&mut self, id: u32) {
        self.objects.taken.remove(&id);
        self.object_undone(id, Deed::Removed);
        self.vanish(&[id]);
    }

    /// The kernel no longer holds these objects, ours or others'.
    pub(super) fn vanish(&mut self, ids: &[u32]) {
        let touch = self.nexthop_dump.touch;
        let (mut vanished, mut doubtful) = (Vec::new(), Vec::new());
        for id in ids {
            if self.objects.hops.contains_key(id) {
                let (gone, perhaps) = self.objects.hop_gone(*id, touch);
                vanished.extend(gone);
                doubtful.extend(perhaps);
            } else {
                if let Some(group) = self.objects.groups.get_mut(id) {
                    group.held = Held::Absent;
                    group.touched = touch;
                    group.doubt |= group.flight.is_some();
                    self.objects.work.insert(*id);
                }
                vanished.push(*id);
            }
        }
        self.routes_gone_with(&vanished, &Held::Absent);
        self.routes_gone_with(&doubtful, &Held::Doubt);
        if self.tracker.objects_gone(&vanished) {
            self.unblock_all();
        }
    }
}

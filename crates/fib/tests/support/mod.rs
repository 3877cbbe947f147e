//! A kernel for tests: links, addresses, neighbours, next-hop objects and routes, with the real kernel's manners.
//!
//! It does behind one's back what Linux 6.18 does: a link that goes takes its next-hop objects with it without a word,
//! groups shrink, empty groups and the routes through them vanish; a replacement hits whatever has the place.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

pub mod buckets;
pub mod numbered;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp_fib::{
    Address, Event, FibConfig, GroupKind, GroupSpec, Installed, KernelError, KernelHop, KernelNexthop,
    KernelRoute, Kind, Link, Mac, Neighbor, NeighborState, Op, OpId, RouteKind, RouteSpec, RouteTarget, Seen,
    Via,
};
use bgp_wire::{NextHop, Prefix, ScopedNextHop};

pub const BRIDGE: u32 = 5;
pub const STATIC: u8 = 4;

pub const EPERM: i32 = 1;
pub const EEXIST: i32 = 17;
pub const EINVAL: i32 = 22;
pub const ENOENT: i32 = 2;
pub const ESRCH: i32 = 3;
pub const ENETDOWN: i32 = 100;
pub const ENETUNREACH: i32 = 101;
pub const EOPNOTSUPP: i32 = 95;

pub fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn hop(text: &str) -> ScopedNextHop {
    ScopedNextHop { next_hop: NextHop::from(address(text)), interface: None }
}

pub fn mac(last: u8) -> Mac {
    Mac([2, 0x42, 0xac, 0x32, 0, last])
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the first")]
pub fn start() -> Instant {
    Instant::now()
}

use buckets::Buckets;
pub use numbered::Fib;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    Hop(Via),
    Group(Group),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub kind: GroupKind,
    pub members: Vec<(u32, u16)>,
    /// None of them in a group that is not resilient.
    pub buckets: Buckets,
}

impl Group {
    /// A new group, or what the kernel makes of `old`.
    fn put(kind: GroupKind, members: Vec<(u32, u16)>, old: Option<&Self>) -> Result<Self, KernelError> {
        let mut buckets = match (old, kind) {
            (Some(old), _) if count(old.kind) != count(kind) => {
                return Err(KernelError { errno: EINVAL, message: None });
            }
            (Some(old), _) => old.buckets.clone(),
            (None, _) => Buckets::new(count(kind).unwrap_or(0)),
        };
        buckets.deal(&members);
        Ok(Self { kind, members, buckets })
    }
}

fn count(kind: GroupKind) -> Option<u16> {
    match kind {
        GroupKind::HashThreshold => None,
        GroupKind::Resilient(resilient) => Some(resilient.buckets),
    }
}

#[derive(Debug, Default)]
pub struct Kernel {
    pub links: BTreeMap<u32, Link>,
    pub addresses: BTreeSet<Address>,
    pub neighbors: BTreeMap<(u32, IpAddr), Neighbor>,
    /// Who answers on the wire.
    pub alive: BTreeMap<(u32, IpAddr), Mac>,
    pub objects: BTreeMap<u32, (u8, Object)>,
    pub routes: BTreeMap<Prefix, Vec<KernelRoute>>,
    pub events: VecDeque<Event>,
    pub no_objects: bool,
    /// Prefixes whose routes it does not let change.
    pub refuses: BTreeSet<Prefix>,
    /// Objects that it does not let change.
    pub refuses_objects: BTreeSet<u32>,
    /// Another protocol's routes that our operations have destroyed.
    pub stolen: Vec<KernelRoute>,
    /// What an audit under way has not shown yet.
    pub audit: Option<VecDeque<Prefix>>,
    /// Audits go on only by [`Kernel::audit_on`].
    pub audit_waits: bool,
}

/// A table that somebody reads slowly, as the kernel shows it.
impl Kernel {
    fn audit_start(&mut self) {
        self.audit = Some(self.routes.keys().copied().collect());
        self.events.push_back(Event::AuditStart);
    }

    /// Shows the next `count` prefixes as they are now.
    pub fn audit_on(&mut self, count: usize) {
        for _ in 0..count {
            let Some(left) = &mut self.audit else { return };
            let Some(prefix) = left.pop_front() else {
                self.audit = None;
                self.events.push_back(Event::AuditEnd);
                return;
            };
            let rows = self.routes.get(&prefix).into_iter().flatten().cloned();
            self.events.extend(rows.map(|row| Event::Route(row, Seen::Dump)));
        }
    }

    /// Passes over the next prefix, as Linux does in its IPv6 table where others before it are removed.
    pub fn audit_skip(&mut self) {
        if let Some(left) = &mut self.audit
            && matches!(left.front(), Some(Prefix::V6(_)))
        {
            left.pop_front();
        }
    }
}

fn refuse(errno: i32) -> Result<(), KernelError> {
    Err(KernelError { errno, message: None })
}

impl Kernel {
    /// The lab: a bridge with `172.50.0.1/16` and `2001:3200:3200::1/64`, and three nodes `.2 .3 .4`.
    pub fn lab() -> Self {
        let mut kernel = Self::default();
        kernel.add_bridge(BRIDGE);
        kernel
    }

    pub fn add_bridge(&mut self, ifindex: u32) {
        self.set_link(Link {
            ifindex,
            name: format!("br-{ifindex}"),
            admin_up: true,
            carrier: true,
            loopback: false,
            mac: None,
            master: None,
        });
        for (text, prefix_len) in [("172.50.0.1", 16), ("2001:3200:3200::1", 64), ("fe80::1", 64)] {
            self.set_address(Address { ifindex, address: address(text), prefix_len, tentative: false });
        }
        self.restore_connected(ifindex);
        for node in 2..=4_u8 {
            for text in [format!("172.50.0.{node}"), format!("2001:3200:3200::{node}")] {
                self.alive.insert((ifindex, address(&text)), mac(node));
            }
        }
    }

    pub fn restore_connected(&mut self, ifindex: u32) {
        for (text, metric) in [("172.50.0.0/16", 0), ("2001:3200:3200::/64", 256)] {
            self.put_foreign(route(prefix(text), 2, metric, None, ifindex), Seen::Change);
        }
    }

    pub fn set_link(&mut self, link: Link) {
        self.links.insert(link.ifindex, link.clone());
        if !(link.admin_up && link.carrier) {
            self.flush_link(link.ifindex, !link.admin_up);
        }
        self.events.push_back(Event::Link(link));
    }

    pub fn link_up(&mut self, ifindex: u32, admin_up: bool, carrier: bool) {
        let Some(link) = self.links.get(&ifindex).cloned() else { return };
        let was_down = !link.admin_up;
        self.set_link(Link { admin_up, carrier, ..link });
        if was_down && admin_up {
            self.restore_connected(ifindex);
        }
    }

    pub fn delete_link(&mut self, ifindex: u32) {
        self.flush_link(ifindex, true);
        self.links.remove(&ifindex);
        self.events.push_back(Event::LinkGone { ifindex });
        self.neighbors.retain(|(link, _), _| *link != ifindex);
        for gone in self.addresses.extract_if(.., |row| row.ifindex == ifindex).collect::<Vec<_>>() {
            self.events.push_back(Event::AddressGone(gone));
        }
    }

    fn flush_link(&mut self, ifindex: u32, admin: bool) {
        let on_link =
            |(_, object): &(u8, Object)| matches!(object, Object::Hop(via) if via.ifindex == ifindex);
        let ids: Vec<u32> =
            self.objects.iter().filter(|(_, object)| on_link(object)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.remove_object(id));
        self.neighbors.retain(|(link, _), _| *link != ifindex);
        if admin {
            for rows in self.routes.values_mut() {
                rows.retain(|row| row.hops.is_empty() || row.hops.iter().any(|hop| hop.ifindex != ifindex));
            }
        }
    }

    pub fn set_address(&mut self, row: Address) {
        self.addresses.retain(|old| (old.ifindex, old.address) != (row.ifindex, row.address));
        self.addresses.insert(row);
        self.events.push_back(Event::Address(row));
    }

    pub fn set_neighbor(&mut self, ifindex: u32, address: IpAddr, mac: Option<Mac>, state: NeighborState) {
        let neighbor = Neighbor { ifindex, address, mac, state };
        self.neighbors.insert((ifindex, address), neighbor);
        self.events.push_back(Event::Neighbor(neighbor));
    }

    fn probe(&mut self, ifindex: u32, address: IpAddr) {
        match self.alive.get(&(ifindex, address)).copied() {
            Some(mac) => self.set_neighbor(ifindex, address, Some(mac), NeighborState::Reachable),
            None => {
                self.set_neighbor(ifindex, address, None, NeighborState::Incomplete);
                self.set_neighbor(ifindex, address, None, NeighborState::Failed);
            }
        }
    }

    /// Somebody else writes a route.
    pub fn put_foreign(&mut self, route: KernelRoute, seen: Seen) {
        let rows = self.routes.entry(route.prefix).or_default();
        let place = rows.iter().position(|row| row.table == route.table && row.metric == route.metric);
        match place.and_then(|place| rows.get_mut(place)) {
            Some(row) if seen == Seen::Replace => *row = route.clone(),
            Some(_) => return,
            None => rows.push(route.clone()),
        }
        self.events.push_back(Event::Route(route, seen));
    }

    /// Somebody removes a route.
    pub fn delete_route(&mut self, prefix: Prefix, protocol: u8) {
        let Some(rows) = self.routes.get_mut(&prefix) else { return };
        if let Some(place) = rows.iter().position(|row| row.protocol == protocol) {
            let gone = rows.remove(place);
            self.events.push_back(Event::RouteGone(gone));
        }
    }

    /// Somebody removes a next-hop object.
    pub fn delete_object(&mut self, id: u32) {
        if self.objects.contains_key(&id) {
            self.remove_object(id);
            self.events.push_back(Event::NexthopGone { id });
        }
    }

    /// Somebody puts a group of another kind in the place of one, with its routes.
    pub fn replace_group(&mut self, id: u32, kind: GroupKind, members: Vec<(u32, u16)>) {
        let group = Group::put(kind, members, None).unwrap();
        let row = (186, Object::Group(group));
        self.events.push_back(Event::NexthopGone { id });
        self.events.push_back(Event::Nexthop(nexthop(id, &row), Seen::Change));
        self.objects.insert(id, row);
    }

    /// Somebody changes the members of a group.
    pub fn change_group(&mut self, id: u32, members: Vec<(u32, u16)>) {
        let Some((protocol, Object::Group(old))) = self.objects.get(&id) else { panic!("no group {id}") };
        let row = (*protocol, Object::Group(Group::put(old.kind, members, Some(old)).unwrap()));
        self.events.push_back(Event::Nexthop(nexthop(id, &row), Seen::Replace));
        self.objects.insert(id, row);
    }

    fn remove_object(&mut self, id: u32) {
        self.objects.remove(&id);
        let mut gone = vec![id];
        for (group, (_, object)) in &mut self.objects {
            if let Object::Group(Group { members, buckets, .. }) = object
                && members.iter().any(|(member, _)| *member == id)
            {
                members.retain(|(member, _)| *member != id);
                if members.is_empty() {
                    gone.push(*group);
                } else {
                    buckets.deal(members);
                }
            }
        }
        self.objects.retain(|id, _| !gone.contains(id));
        for rows in self.routes.values_mut() {
            rows.retain(|row| row.nexthop_id.is_none_or(|id| !gone.contains(&id)));
        }
    }

    /// One request of the daemon.
    pub fn apply(&mut self, op: &Op) -> Result<(), KernelError> {
        match op {
            Op::GroupAdd(GroupSpec { id, .. })
            | Op::GroupReplace(GroupSpec { id, .. })
            | Op::NexthopDel { id }
            | Op::GroupDel { id }
                if self.refuses_objects.contains(id) =>
            {
                refuse(EPERM)
            }
            Op::NexthopAdd(spec) | Op::NexthopReplace(spec) => {
                let via = Via { gateway: spec.gateway, ifindex: spec.ifindex };
                self.check_gateway(via)?;
                self.put_object(spec.id, spec.protocol, Object::Hop(via), matches!(op, Op::NexthopAdd(_)))
            }
            Op::GroupAdd(spec) | Op::GroupReplace(spec) => {
                let members: Vec<u32> = spec.members.iter().map(|(id, _)| *id).collect();
                let distinct: BTreeSet<u32> = members.iter().copied().collect();
                let hops = |id: &u32| matches!(self.objects.get(id), Some((_, Object::Hop(_))));
                if members.is_empty() || distinct.len() != members.len() || !members.iter().all(hops) {
                    return refuse(EINVAL);
                }
                let old = match self.objects.get(&spec.id) {
                    Some((_, Object::Group(old))) => Some(old),
                    Some((_, Object::Hop(_))) | None => None,
                };
                let exclusive = matches!(op, Op::GroupAdd(_));
                match self.objects.contains_key(&spec.id) {
                    true if exclusive => return refuse(EEXIST),
                    false if !exclusive => return refuse(ENOENT),
                    true | false => {}
                }
                let group = Group::put(spec.kind, spec.members.clone(), old)?;
                self.put_object(spec.id, spec.protocol, Object::Group(group), exclusive)
            }
            Op::NexthopDel { id } | Op::GroupDel { id } => {
                if !self.objects.contains_key(id) {
                    return refuse(ENOENT);
                }
                self.remove_object(*id);
                Ok(())
            }
            Op::RouteAdd(spec) => self.put_route(spec, true),
            Op::RouteReplace(spec) => self.put_route(spec, false),
            Op::RouteDel { prefix, table, protocol, metric, target } => {
                let rows = self.routes.entry(*prefix).or_default();
                let place = rows.iter().position(|row| {
                    (row.table, row.protocol, row.metric) == (*table, *protocol, *metric)
                        && target.as_ref().is_none_or(|target| target_of(row) == *target)
                });
                place.map_or_else(
                    || refuse(ESRCH),
                    |place| {
                        rows.remove(place);
                        Ok(())
                    },
                )
            }
            Op::Probe { ifindex, address } | Op::Verify { ifindex, address, .. } => {
                self.probe(*ifindex, *address);
                Ok(())
            }
            Op::Dump(kind) => {
                if *kind == Kind::Routes {
                    self.audit = None;
                }
                self.dump(*kind);
                Ok(())
            }
            Op::Audit => {
                self.audit_start();
                Ok(())
            }
        }
    }

    fn check_gateway(&self, via: Via) -> Result<(), KernelError> {
        if self.no_objects {
            return refuse(EOPNOTSUPP);
        }
        match self.links.get(&via.ifindex) {
            None => return refuse(19),
            Some(link) if !(link.admin_up && link.carrier) => return refuse(ENETDOWN),
            Some(_) => {}
        }
        let on_link = self.addresses.iter().any(|row| {
            row.ifindex == via.ifindex
                && Prefix::new(row.address, row.prefix_len).is_some_and(|prefix| prefix.contains(via.gateway))
        });
        if on_link { Ok(()) } else { refuse(ENETUNREACH) }
    }

    fn put_object(
        &mut self,
        id: u32,
        protocol: u8,
        object: Object,
        exclusive: bool,
    ) -> Result<(), KernelError> {
        if self.no_objects {
            return refuse(EOPNOTSUPP);
        }
        match self.objects.get(&id) {
            Some(_) if exclusive => return refuse(EEXIST),
            Some((_, old)) if std::mem::discriminant(old) != std::mem::discriminant(&object) => {
                return refuse(EINVAL);
            }
            Some(_) | None => {}
        }
        self.objects.insert(id, (protocol, object));
        Ok(())
    }

    fn put_route(&mut self, spec: &RouteSpec, exclusive: bool) -> Result<(), KernelError> {
        if self.refuses.contains(&spec.prefix) {
            return refuse(EINVAL);
        }
        let (nexthop_id, hops) = match &spec.target {
            RouteTarget::Nexthop(id) => (Some(*id), Vec::new()),
            RouteTarget::Hops(hops) => (None, hops.clone()),
        };
        if let Some(id) = nexthop_id {
            let gateways = self.gateways(id);
            if gateways.is_empty() {
                return refuse(EINVAL);
            }
            if matches!(spec.prefix, Prefix::V6(_)) && gateways.iter().any(|via| via.gateway.is_ipv4()) {
                return refuse(EINVAL);
            }
        }
        let new = KernelRoute {
            prefix: spec.prefix,
            table: spec.table,
            protocol: spec.protocol,
            metric: spec.metric,
            kind: RouteKind::Unicast,
            preferred_source: spec.preferred_source,
            nexthop_id,
            hops,
        };
        let rows = self.routes.entry(spec.prefix).or_default();
        match rows.iter_mut().find(|row| row.table == spec.table && row.metric == spec.metric) {
            Some(_) if exclusive => refuse(EEXIST),
            Some(row) => {
                if row.protocol != spec.protocol {
                    self.stolen.push(row.clone());
                }
                *row = new;
                Ok(())
            }
            None => {
                rows.push(new);
                Ok(())
            }
        }
    }

    fn dump(&mut self, kind: Kind) {
        self.events.push_back(Event::DumpStart(kind));
        match kind {
            Kind::Links => self.events.extend(self.links.values().cloned().map(Event::Link)),
            Kind::Addresses => self.events.extend(self.addresses.iter().copied().map(Event::Address)),
            Kind::Neighbors => self.events.extend(self.neighbors.values().copied().map(Event::Neighbor)),
            Kind::Nexthops => {
                let rows = self.objects.iter().map(|(id, row)| Event::Nexthop(nexthop(*id, row), Seen::Dump));
                self.events.extend(rows);
            }
            Kind::Routes => {
                let rows = self.routes.values().flatten().cloned();
                self.events.extend(rows.map(|row| Event::Route(row, Seen::Dump)));
            }
        }
        self.events.push_back(Event::DumpEnd(kind));
    }

    /// The gateways behind an object.
    pub fn gateways(&self, id: u32) -> BTreeSet<Via> {
        match self.objects.get(&id) {
            None => BTreeSet::new(),
            Some((_, Object::Hop(via))) => BTreeSet::from([*via]),
            Some((_, Object::Group(group))) => {
                group.members.iter().flat_map(|(member, _)| self.gateways(*member)).collect()
            }
        }
    }

    /// Our routes for a prefix, as the gateways they go by.
    pub fn ours(&self, prefix: Prefix) -> Vec<BTreeSet<Via>> {
        let rows = self.routes.get(&prefix).into_iter().flatten();
        rows.filter(|row| row.protocol == 186 && row.metric == 20)
            .map(|row| match row.nexthop_id {
                Some(id) => self.gateways(id),
                None => row
                    .hops
                    .iter()
                    .map(|hop| Via { gateway: hop.gateway.unwrap(), ifindex: hop.ifindex })
                    .collect(),
            })
            .collect()
    }

    /// The same without members of a group that have no bucket.
    pub fn carrying(&self, prefix: Prefix) -> Vec<BTreeSet<Via>> {
        match self.nhid(prefix).and_then(|id| self.objects.get(&id)) {
            Some((_, Object::Group(group))) if count(group.kind).is_some() => {
                let owners = group.buckets.owners.iter().flatten();
                vec![owners.flat_map(|id| self.gateways(*id)).collect()]
            }
            Some(_) | None => self.ours(prefix),
        }
    }

    /// The group that our route for a prefix points to.
    pub fn group_of(&self, prefix: Prefix) -> &Group {
        match self.nhid(prefix).and_then(|id| self.objects.get(&id)) {
            Some((_, Object::Group(group))) => group,
            other => panic!("{prefix} points to {other:?}"),
        }
    }

    /// The group, to say that flows use some of its buckets.
    pub fn group_mut(&mut self, prefix: Prefix) -> &mut Group {
        let id = self.nhid(prefix).unwrap();
        match self.objects.get_mut(&id) {
            Some((_, Object::Group(group))) => group,
            other => panic!("{prefix} points to {other:?}"),
        }
    }

    pub fn nhid(&self, prefix: Prefix) -> Option<u32> {
        self.routes.get(&prefix)?.iter().find(|row| row.protocol == 186)?.nexthop_id
    }
}

pub fn nexthop(id: u32, (protocol, object): &(u8, Object)) -> KernelNexthop {
    let (via, members, kind) = match object {
        Object::Hop(via) => (Some(*via), Vec::new(), GroupKind::HashThreshold),
        Object::Group(group) => {
            (None, group.members.iter().map(|(id, weight)| (*id, u32::from(*weight))).collect(), group.kind)
        }
    };
    KernelNexthop {
        id,
        protocol: *protocol,
        gateway: via.map(|via| via.gateway),
        ifindex: via.map(|via| via.ifindex),
        onlink: false,
        members,
        kind,
    }
}

pub fn route(
    prefix: Prefix,
    protocol: u8,
    metric: u32,
    gateway: Option<IpAddr>,
    ifindex: u32,
) -> KernelRoute {
    KernelRoute {
        prefix,
        table: 254,
        protocol,
        metric,
        kind: RouteKind::Unicast,
        preferred_source: None,
        nexthop_id: None,
        hops: vec![KernelHop { gateway, ifindex, weight: 1, down: false }],
    }
}

fn target_of(route: &KernelRoute) -> RouteTarget {
    route.nexthop_id.map_or_else(|| RouteTarget::Hops(route.hops.clone()), RouteTarget::Nexthop)
}

/// A daemon's routing task: the table under test and the kernel.
pub struct Host {
    pub fib: Fib,
    pub kernel: Kernel,
    pub now: Instant,
    pub answers: VecDeque<(OpId, Result<(), KernelError>)>,
    pub installed: Vec<Installed>,
    /// Everything that was asked of the kernel since the last `take_log`.
    pub log: Vec<Op>,
}

impl Host {
    pub fn new(config: FibConfig, kernel: Kernel) -> Self {
        let now = start();
        let fib = Fib::new(config, now);
        let (answers, installed, log) = (VecDeque::new(), Vec::new(), Vec::new());
        Self { fib, kernel, now, answers, installed, log }
    }

    /// The lab, read in and quiet.
    pub fn lab() -> Self {
        let mut host = Self::new(FibConfig::default(), Kernel::lab());
        host.run();
        host.fib.end_of_startup(host.now);
        host.run();
        host.take_log();
        host
    }

    pub fn want(&mut self, text: &str, next_hops: &[&str]) {
        let next_hops: Vec<ScopedNextHop> = next_hops.iter().map(|text| hop(text)).collect();
        self.fib.want(prefix(text), Some(&next_hops), self.now);
    }

    /// Delivers reports and answers and applies operations until nothing moves, without time passing.
    pub fn run(&mut self) {
        for _ in 0..200 {
            while let Some(event) = self.kernel.events.pop_front() {
                self.fib.observe(event, self.now);
            }
            self.deliver_answers();
            let mut ops = Vec::new();
            self.fib.next_ops(1000, &mut ops);
            if ops.is_empty() && self.kernel.events.is_empty() && self.answers.is_empty() {
                return;
            }
            for (id, op) in ops {
                let answer = self.kernel.apply(&op);
                self.answers.push_back((id, answer));
                self.log.push(op);
            }
            if !self.kernel.audit_waits {
                self.kernel.audit_on(usize::MAX);
            }
        }
        panic!("never quiet; last operations: {:#?}", self.log.iter().rev().take(12).collect::<Vec<_>>());
    }

    pub fn deliver_answers(&mut self) {
        while let Some((id, answer)) = self.answers.pop_front() {
            self.installed.extend(self.fib.confirm(id, answer, self.now));
        }
    }

    /// Lets time pass, stopping at each deadline.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.run();
        let mut rounds = 0;
        while let Some(deadline) = self.fib.next_deadline().filter(|deadline| *deadline <= end) {
            rounds += 1;
            assert!(rounds < 10_000, "time stands still at a deadline: {:?}", self.fib);
            self.now = self.now.max(deadline);
            self.fib.tick(self.now);
            self.run();
        }
        self.now = end;
        self.fib.tick(end);
        self.run();
    }

    /// Operations that write, since the last call.
    pub fn take_log(&mut self) -> Vec<Op> {
        let mut log = std::mem::take(&mut self.log);
        log.retain(|op| !matches!(op, Op::Dump(_) | Op::Audit | Op::Probe { .. } | Op::Verify { .. }));
        log
    }

    /// Gateways of the one route of ours, sorted; panics on two.
    pub fn gateways(&self, text: &str) -> Vec<String> {
        let routes = self.kernel.ours(prefix(text));
        assert!(routes.len() <= 1, "{} routes for {text}", routes.len());
        routes.first().into_iter().flatten().map(|via| via.gateway.to_string()).collect()
    }
}

/// How far a route has come.
pub fn state(host: &Host, text: &str) -> bgp_fib::RouteState {
    host.fib.route(&prefix(text)).unwrap().state
}

/// A daemon that was killed, and the one that starts over what it left.
pub fn restarted(before: impl FnOnce(&mut Host)) -> Host {
    let mut old = Host::lab();
    before(&mut old);
    old.run();
    Host::new(FibConfig::default(), old.kernel)
}

/// What operations do, in words.
pub fn kinds(ops: &[Op]) -> Vec<&'static str> {
    ops.iter()
        .map(|op| match op {
            Op::NexthopAdd(_) => "hop add",
            Op::NexthopReplace(_) => "hop replace",
            Op::NexthopDel { .. } => "hop del",
            Op::GroupAdd(_) => "group add",
            Op::GroupReplace(_) => "group replace",
            Op::GroupDel { .. } => "group del",
            Op::RouteAdd(_) => "route add",
            Op::RouteReplace(_) => "route replace",
            Op::RouteDel { .. } => "route del",
            Op::Probe { .. } | Op::Verify { .. } => "probe",
            Op::Dump(_) => "dump",
            Op::Audit => "audit",
        })
        .collect()
}

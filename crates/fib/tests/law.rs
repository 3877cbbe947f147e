//! The law: whatever happened, once it is quiet the kernel holds what is wanted, once, and the next plan is empty.
//!
//! Random wants against a kernel that drops things silently, other people who remove, change and add routes and objects,
//! refusals, lost answers and lost reports, in random order. Another protocol's route is never touched.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bgp_fib::{
    Arrivals, Event, FibConfig, KernelError, NeighborState, Op, RouteCounts, RouteState, Seen, Via,
};
use bgp_wire::{NextHop, PerFamily, Prefix, ScopedNextHop};

use support::{BRIDGE, Host, Kernel, STATIC, address, hop, mac, prefix, route};

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let index = self.below(u64::try_from(from.len().max(1)).unwrap());
        from.get(usize::try_from(index).unwrap()).cloned()
    }
}

/// Next hops, and the backup where there is one.
type Wanted = (Vec<ScopedNextHop>, Option<ScopedNextHop>);

struct World {
    host: Host,
    random: Random,
    wanted: BTreeMap<Prefix, Wanted>,
    /// What was wanted last, for each family; no next hop at first.
    last: PerFamily<Wanted>,
    bridge: u32,
}

fn prefixes() -> Vec<Prefix> {
    ["2004::1/128", "2004::2/128", "2004::3/128", "2004:1::/64", "10.9.0.1/32", "10.9.0.2/32", "10.9.1.0/24"]
        .into_iter()
        .map(prefix)
        .collect()
}

/// Half of the worlds read the kernel back every few seconds.
fn config(seed: u64) -> FibConfig {
    let audit_interval = Some(Duration::from_secs(if seed.is_multiple_of(2) { 2 } else { 3600 }));
    FibConfig { audit_interval, ..FibConfig::default() }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            host: Host::new(config(seed), Kernel::lab()),
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            wanted: BTreeMap::new(),
            last: PerFamily::default(),
            bridge: BRIDGE,
        };
        if world.random.below(3) == 0 {
            world.leave_leftovers();
        }
        world
    }

    /// What a killed predecessor left behind.
    fn leave_leftovers(&mut self) {
        let mut before = Host::new(FibConfig::default(), std::mem::take(&mut self.host.kernel));
        before.run();
        for prefix in prefixes() {
            if self.random.below(2) == 0 {
                let (next_hops, backup) = self.next_hops(prefix);
                let shares = next_hops.into_iter().map(|next_hop| (next_hop, 1));
                before.fib.want_shares(prefix, shares, backup, before.now);
            }
        }
        before.run();
        before.pass(Duration::from_secs(1));
        self.host.kernel = before.kernel;
        // A second route of ours beside the first, as a predecessor's crash has left it.
        let kernel = &mut self.host.kernel;
        let mut objects = kernel.objects.iter();
        let hop =
            objects.find(|(_, (_, object))| matches!(object, support::Object::Hop(_))).map(|(id, _)| *id);
        if let Some(rows) = kernel.routes.values_mut().find(|rows| rows.iter().any(|row| row.protocol == 186))
            && let Some(row) = rows.first().cloned()
        {
            rows.push(bgp_fib::KernelRoute { nexthop_id: hop, ..row });
        }
    }

    /// One next hop has a backup most times.
    fn next_hops(&mut self, prefix: Prefix) -> Wanted {
        let mut next_hops = Vec::new();
        for node in 2..=4 {
            match (self.random.below(4), prefix) {
                (0, _) => {}
                (1, Prefix::V4(_)) => next_hops.push(hop(&format!("172.50.0.{node}"))),
                (1, Prefix::V6(_)) => next_hops.push(hop(&format!("::ffff:172.50.0.{node}"))),
                _ => next_hops.push(hop(&format!("2001:3200:3200::{node}"))),
            }
        }
        let backup = if next_hops.len() == 2 && self.random.below(2) == 0 { next_hops.pop() } else { None };
        (next_hops, backup)
    }

    fn expected(&self, (next_hops, backup): &Wanted) -> BTreeSet<Via> {
        let gateway = |next_hop: &ScopedNextHop| match next_hop.next_hop {
            NextHop::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => address(&format!("2001:3200:3200::{}", v4.octets()[3])),
                None => v6.into(),
            },
            other => other.address(),
        };
        let all = next_hops.iter().chain(backup);
        all.map(|next_hop| Via { gateway: gateway(next_hop), ifindex: self.bridge }).collect()
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=5 => self.change_want(),
            6..=9 => self.deliver(),
            10..=13 => self.work(),
            14 => {
                self.host.now += Duration::from_millis(1 + self.random.below(3000));
                self.host.fib.tick(self.host.now);
            }
            15 => self.disturb_link(),
            16 => self.disturb_neighbor(),
            17 => self.disturb_objects(),
            18 => self.disturb_routes(),
            _ => self.lose_reports(),
        }
    }

    fn change_want(&mut self) {
        let prefix = self.random.pick(&prefixes()).unwrap();
        let last = self.last[prefix.family()].clone();
        let again = !last.0.is_empty() && self.random.below(3) == 0;
        let (next_hops, backup) = if again { last } else { self.next_hops(prefix) };
        if !again || !self.host.fib.want_as_before(prefix, self.host.now) {
            let shares = next_hops.iter().map(|next_hop| (*next_hop, 1));
            self.host.fib.want_shares(prefix, shares, backup, self.host.now);
        }
        if next_hops.is_empty() {
            self.wanted.remove(&prefix);
        } else {
            self.last[prefix.family()] = (next_hops.clone(), backup);
            self.wanted.insert(prefix, (next_hops, backup));
        }
    }

    /// Some reports or some answers arrive; the two do not wait for each other.
    fn deliver(&mut self) {
        let count = self.random.below(12);
        if self.random.below(2) == 0 {
            for _ in 0..count {
                let Some(event) = self.host.kernel.events.pop_front() else { break };
                self.host.fib.observe(event, self.host.now);
            }
        } else if let Some((first, _)) = self.host.answers.front().filter(|_| count > 0).cloned() {
            let some = self.host.answers.iter().take(usize::try_from(count).unwrap());
            let done = some
                .zip(first.0..)
                .take_while(|((id, answer), next)| id.0 == *next && answer.is_ok())
                .count();
            self.host.fib.confirm_run(
                first,
                u32::try_from(done).unwrap(),
                self.host.now,
                &mut Arrivals::default(),
            );
            self.host.answers.drain(..done);
            for _ in done..usize::try_from(count).unwrap() {
                let Some((id, answer)) = self.host.answers.pop_front() else { break };
                self.host.fib.confirm(id, answer, self.host.now);
            }
        }
    }

    /// Operations reach the kernel; now and then one is refused, or its answer is lost.
    fn work(&mut self) {
        for _ in 0..self.random.below(4) {
            match self.random.below(4) {
                0 => self.host.kernel.audit_skip(),
                _ => self.host.kernel.audit_on(1),
            }
        }
        let mut ops = Vec::new();
        let max = usize::try_from(1 + self.random.below(8)).unwrap();
        self.host.fib.next_ops(max, &mut ops);
        assert!(ops.len() <= max);
        for (id, op) in ops {
            let answer = match self.random.below(25) {
                0 => Err(KernelError { errno: 105, message: None }),
                1 if !matches!(op, Op::Dump(_) | Op::Audit) => {
                    let _answer = self.host.kernel.apply(&op);
                    Err(KernelError { errno: 110, message: None })
                }
                _ => self.host.kernel.apply(&op),
            };
            self.host.answers.push_back((id, answer));
        }
    }

    fn disturb_link(&mut self) {
        let bridge = self.bridge;
        match self.random.below(4) {
            0 => self.host.kernel.link_up(bridge, true, false),
            1 => self.host.kernel.link_up(bridge, false, false),
            2 => self.host.kernel.link_up(bridge, true, true),
            _ => {
                self.host.kernel.delete_link(bridge);
                self.bridge += 1;
                self.host.kernel.add_bridge(self.bridge);
            }
        }
    }

    fn disturb_neighbor(&mut self) {
        let node = u8::try_from(2 + self.random.below(3)).unwrap();
        let v6: IpAddr = address(&format!("2001:3200:3200::{node}"));
        let v4: IpAddr = address(&format!("172.50.0.{node}"));
        let target = if self.random.below(2) == 0 { v6 } else { v4 };
        let state = if self.random.below(2) == 0 { NeighborState::Failed } else { NeighborState::Reachable };
        let known = (state == NeighborState::Reachable).then(|| mac(node));
        self.host.kernel.set_neighbor(self.bridge, target, known, state);
    }

    fn disturb_objects(&mut self) {
        let ids: Vec<u32> = self.host.kernel.objects.keys().copied().collect();
        if let Some(id) = self.random.pick(&ids) {
            self.host.kernel.delete_object(id);
        }
    }

    fn disturb_routes(&mut self) {
        let prefix = self.random.pick(&prefixes()).unwrap();
        let gateway = if matches!(prefix, Prefix::V4(_)) { "172.50.0.9" } else { "2001:3200:3200::9" };
        let theirs = route(prefix, STATIC, 20, Some(address(gateway)), self.bridge);
        match self.random.below(4) {
            0 => self.host.kernel.delete_route(prefix, 186),
            1 => self.host.kernel.delete_route(prefix, STATIC),
            change => {
                // Between a theft and its report nobody can know; what is in flight lands first.
                let seen = if change == 2 { Seen::Change } else { Seen::Replace };
                self.settle_in_order();
                self.host.kernel.put_foreign(theirs, seen);
                self.settle_in_order();
            }
        }
    }

    fn settle_in_order(&mut self) {
        while let Some(event) = self.host.kernel.events.pop_front() {
            self.host.fib.observe(event, self.host.now);
        }
        self.host.deliver_answers();
    }

    fn lose_reports(&mut self) {
        if self.random.below(3) != 0 {
            return;
        }
        // Dumps are asked for and answered on a socket of their own and are not lost with the reports; what is still
        // unread of one is taken as interrupted.
        self.settle_in_order();
        self.disturb_link();
        self.disturb_objects();
        self.host.kernel.events.clear();
        self.host.fib.observe(Event::Overrun, self.host.now);
    }

    /// Everything works again and time passes: enough for every pause and back-off, in half of the worlds too
    /// little for an audit.
    fn quiet(&mut self) {
        self.host.kernel.link_up(self.bridge, true, true);
        self.host.kernel.restore_connected(self.bridge);
        self.host.pass(Duration::from_secs(100));
        self.host.fib.end_of_startup(self.host.now);
        self.host.pass(Duration::from_secs(5));
    }

    fn check(&mut self, seed: u64) {
        assert!(self.host.kernel.stolen.is_empty(), "seed {seed}: stolen {:?}", self.host.kernel.stolen);
        let mut used = BTreeSet::new();
        for prefix in prefixes() {
            let ours = self.host.kernel.ours(prefix);
            let rows = self.host.kernel.routes.get(&prefix).cloned().unwrap_or_default();
            let blocked = rows.iter().any(|row| row.protocol == STATIC);
            let expected: Vec<BTreeSet<Via>> = match self.wanted.get(&prefix) {
                Some(wanted) if !blocked => vec![self.expected(wanted)],
                Some(_) | None => Vec::new(),
            };
            assert_eq!(ours, expected, "seed {seed}, {prefix}: {:?}", self.host.fib.route(&prefix));
            if let (false, Some(wanted @ (_, Some(_)))) = (ours.is_empty(), self.wanted.get(&prefix)) {
                let group = self.host.kernel.group_of(prefix);
                let carrying = group.buckets.owners.iter().flatten();
                let carrying: BTreeSet<Via> =
                    carrying.flat_map(|id| self.host.kernel.gateways(*id)).collect();
                let legs = self.expected(&(wanted.0.clone(), None));
                assert_eq!(carrying, legs, "seed {seed}, {prefix}: the backup carries nothing");
            }
            used.extend(self.host.kernel.nhid(prefix));
        }
        let members: Vec<u32> = used
            .iter()
            .filter_map(|id| match self.host.kernel.objects.get(id) {
                Some((_, support::Object::Group(group))) => Some(group.members.iter().map(|(id, _)| *id)),
                Some((_, support::Object::Hop(_))) | None => None,
            })
            .flatten()
            .collect();
        used.extend(members);
        let blocked_want = |id: &u32| self.host.fib.groups().iter().any(|group| group.id == *id);
        for (id, object) in &self.host.kernel.objects {
            let needed = used.contains(id) || blocked_want(id) || self.is_wanted_hop(object);
            assert!(needed, "seed {seed}: {id} {object:?} is left over");
        }
        let mut ops = Vec::new();
        self.host.fib.next_ops(1000, &mut ops);
        ops.retain(|(_, op)| !matches!(op, Op::Probe { .. } | Op::Dump(_) | Op::Audit));
        assert!(ops.is_empty(), "seed {seed}: {ops:?}");
        assert!(self.host.fib.is_settled(), "seed {seed}");
        self.check_counts(seed);
    }

    /// The counters are what counting gives.
    fn check_counts(&self, seed: u64) {
        let mut counts: PerFamily<RouteCounts> = PerFamily::default();
        for (prefix, state) in self.host.fib.route_states() {
            let of_family = &mut counts[prefix.family()];
            *match state {
                RouteState::Installed => &mut of_family.installed,
                RouteState::Pending => &mut of_family.pending,
                RouteState::Blocked { .. } => &mut of_family.blocked,
                RouteState::Failed { .. } => &mut of_family.failed,
                RouteState::Paused { .. } => &mut of_family.paused,
                RouteState::Unresolved(_) => &mut of_family.unresolved,
                RouteState::Leftover => &mut of_family.leftover,
                RouteState::Removing => &mut of_family.removing,
            } += 1;
        }
        assert_eq!(self.host.fib.stats().routes, counts, "seed {seed}");
    }

    /// A hop that only a blocked prefix needs is in the kernel too.
    fn is_wanted_hop(&self, (_, object): &(u8, support::Object)) -> bool {
        match object {
            support::Object::Hop(via) => {
                self.wanted.values().any(|wanted| self.expected(wanted).contains(via))
            }
            support::Object::Group(_) => false,
        }
    }
}

fn run(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut world = World::new(seed);
        let steps = 20 + world.random.below(200);
        for _ in 0..steps {
            world.step();
        }
        world.quiet();
        world.check(seed);
        world.host.fib.leave(false, world.host.now);
        world.host.pass(Duration::from_secs(5));
        for prefix in prefixes() {
            assert!(world.host.kernel.ours(prefix).is_empty(), "seed {seed}: {prefix} left");
        }
        assert!(world.host.kernel.objects.is_empty(), "seed {seed}: {:?}", world.host.kernel.objects);
        assert!(world.host.kernel.stolen.is_empty(), "seed {seed}: stolen at the end");
    }
}

#[test]
fn once_quiet_the_kernel_holds_what_is_wanted_and_the_plan_is_empty() {
    run(1..1000);
}

//! Routes of one set that go different ways: none goes, at any moment, by a leg that is neither its own nor was.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bgp_fib::{FibConfig, GroupKind, Op};
use bgp_wire::{Prefix, ScopedNextHop};

use support::{Host, Kernel, hop, prefix};

const NODES: [&str; 3] = ["2001:3200:3200::2", "2001:3200:3200::3", "2001:3200:3200::4"];

type Wanted = (BTreeSet<&'static str>, Option<&'static str>);

/// A host that applies one operation at a time, and what each prefix may go by meanwhile.
struct World {
    host: Host,
    /// Every next hop that a prefix was wanted by since it was last where it belongs.
    may: BTreeMap<Prefix, BTreeSet<&'static str>>,
    wanted: BTreeMap<Prefix, Wanted>,
}

fn service(number: u32) -> Prefix {
    prefix(&format!("2004::{number}/128"))
}

fn by(node: usize) -> Wanted {
    ([NODES[node]].into(), None)
}

impl World {
    fn new(config: FibConfig) -> Self {
        let mut host = Host::new(config, Kernel::lab());
        host.run();
        host.fib.end_of_startup(host.now);
        for node in NODES {
            host.fib.watch(hop(node), host.now);
        }
        host.run();
        Self { host, may: BTreeMap::new(), wanted: BTreeMap::new() }
    }

    fn want(&mut self, service: Prefix, wanted: &Wanted) {
        let shares: Vec<(ScopedNextHop, u16)> = wanted.0.iter().map(|node| (hop(node), 1)).collect();
        self.host.fib.want_shares(service, shares.into_iter(), wanted.1.map(hop), self.host.now);
        self.may.entry(service).or_default().extend(wanted.0.iter().chain(&wanted.1));
        self.wanted.insert(service, wanted.clone());
    }

    fn want_all(&mut self, services: std::ops::RangeInclusive<u32>, wanted: &Wanted) {
        services.for_each(|number| self.want(service(number), wanted));
    }

    /// Plans one operation, which the kernel does; its answer waits. `false` where there is nothing to plan.
    fn step(&mut self) -> bool {
        let mut ops = Vec::new();
        self.host.fib.next_ops(1, &mut ops);
        let Some((id, op)) = ops.pop() else { return false };
        let answer = self.host.kernel.apply(&op);
        self.check(&op);
        self.host.answers.push_back((id, answer));
        self.host.log.push(op);
        true
    }

    fn hear(&mut self) {
        while let Some(event) = self.host.kernel.events.pop_front() {
            self.host.fib.observe(event, self.host.now);
        }
    }

    /// Everything that can be done now is done, operation by operation.
    fn run(&mut self) {
        for _ in 0..100_000 {
            self.hear();
            let worked = self.step();
            if !worked && self.host.answers.is_empty() && self.host.kernel.events.is_empty() {
                return;
            }
            if !worked || self.host.answers.len() > 3 {
                self.host.deliver_answers();
            }
        }
        panic!("never quiet");
    }

    fn pass(&mut self, time: Duration) {
        let end = self.host.now + time;
        self.run();
        while let Some(deadline) = self.host.fib.next_deadline().filter(|deadline| *deadline <= end) {
            self.host.now = self.host.now.max(deadline);
            self.host.fib.tick(self.host.now);
            self.run();
        }
        self.host.now = end;
        self.host.fib.tick(end);
        self.run();
    }

    /// The law.
    fn check(&self, after: &Op) {
        for (service, may) in &self.may {
            for route in self.host.kernel.ours(*service) {
                for via in route {
                    let via = via.gateway.to_string();
                    assert!(
                        may.contains(via.as_str()),
                        "{service} goes by {via}, not {may:?}, after {after:?}"
                    );
                }
            }
        }
    }

    /// All is where it belongs: what was before does not count any more.
    fn settled(&mut self) {
        for (service, may) in &mut self.may {
            let wanted = self.wanted.get(service).cloned().unwrap_or_default();
            *may = wanted.0.into_iter().chain(wanted.1).collect();
        }
    }

    fn by(&self, services: std::ops::RangeInclusive<u32>, node: usize) {
        for number in services {
            assert_eq!(self.host.gateways(&service(number).to_string()), [NODES[node]], "{number}");
        }
    }

    fn routes_written(&mut self) -> usize {
        let is_route = |op: &&Op| matches!(op, Op::RouteAdd(_) | Op::RouteReplace(_) | Op::RouteDel { .. });
        self.host.take_log().iter().filter(is_route).count()
    }
}

/// A hundred services by the first node, whose peer is then lost.
fn lost() -> World {
    let mut world = World::new(FibConfig::default());
    world.want_all(1..=100, &by(0));
    world.run();
    world.host.take_log();
    world.host.fib.give_up(&[hop(NODES[0])], world.host.now);
    world.run();
    world
}

#[test]
fn who_inherits_a_group_does_not_take_along_the_routes_of_another_heir() {
    let mut world = lost();
    world.want_all(1..=30, &by(1));
    world.want_all(31..=100, &by(2));
    world.pass(Duration::from_millis(1));
    world.by(1..=30, 1);
    world.by(31..=100, 2);
}

#[test]
fn the_largest_inherits_whoever_comes_first_and_only_the_others_are_written() {
    for largest in [1..=70, 31..=100] {
        let mut world = lost();
        let others = if *largest.start() == 1 { 71..=100 } else { 1..=30 };
        let group = world.host.kernel.nhid(service(1));
        world.want_all(1..=30, &by(if largest.contains(&1) { 1 } else { 2 }));
        world.want_all(31..=70, &by(1));
        world.want_all(71..=100, &by(if largest.contains(&100) { 1 } else { 2 }));
        world.pass(Duration::from_secs(10));
        world.by(largest.clone(), 1);
        world.by(others, 2);
        assert_eq!(world.routes_written(), 30);
        assert_eq!(world.host.kernel.nhid(service(50)), group);
    }
}

#[test]
fn of_those_whose_next_backups_differ_the_largest_inherits() {
    let mut world = World::new(FibConfig { largest_weight: u16::MAX, ..FibConfig::default() });
    world.want_all(1..=100, &([NODES[0]].into(), Some(NODES[1])));
    world.run();
    world.host.take_log();
    world.host.fib.give_up(&[hop(NODES[0])], world.host.now);
    world.run();
    for number in 1..=100 {
        let backup = (number > 30).then_some(NODES[2]);
        world.want(service(number), &([NODES[1]].into(), backup));
        world.pass(Duration::from_millis(1));
    }
    assert!((1..=100).all(|number| !world.host.gateways(&service(number).to_string()).is_empty()));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.routes_written(), 30);
    assert_eq!(world.host.gateways("2004::1/128"), [NODES[1]]);
    assert_eq!(world.host.gateways("2004::100/128"), NODES[1..]);
}

#[test]
fn routes_that_nobody_wants_any_more_do_not_go_by_the_legs_of_the_heir() {
    let mut world = lost();
    world.want_all(1..=50, &by(1));
    world.want_all(51..=100, &Wanted::default());
    world.pass(Duration::from_millis(1));
    world.by(1..=50, 1);
    assert_eq!(world.routes_written(), 50, "those that go");
}

#[test]
fn a_route_that_is_new_does_not_go_by_a_lost_peer() {
    let mut world = lost();
    world.want_all(1..=50, &by(1));
    world.want(service(101), &by(1));
    world.pass(Duration::from_millis(100));
    assert!(world.host.gateways("2004::101/128").is_empty(), "until the others have moved");
    world.want_all(51..=100, &by(1));
    world.pass(Duration::from_millis(1));
    world.by(1..=101, 1);
    assert_eq!(world.routes_written(), 1);
}

#[test]
fn those_who_leave_an_heir_alone_keep_their_buckets() {
    let mut world = World::new(FibConfig::default());
    let nodes: Wanted = (NODES.into_iter().collect(), None);
    world.want_all(1..=100, &nodes);
    world.run();
    let owners = |world: &World, number| world.host.kernel.group_of(service(number)).buckets.owners.clone();
    let before = owners(&world, 1);
    world.want_all(1..=40, &(NODES[..2].iter().copied().collect(), None));
    world.want_all(41..=100, &(NODES[1..3].iter().copied().collect(), None));
    world.pass(Duration::from_secs(1));
    for (number, gone) in [(1, NODES[2]), (100, NODES[0])] {
        let gone = world.host.fib.next_hop(&hop(gone)).unwrap().via.unwrap();
        for (before, after) in before.iter().zip(owners(&world, number)) {
            let was_his = before.iter().any(|id| world.host.kernel.gateways(*id).contains(&gone));
            assert!(*before == after || was_his, "{number}");
        }
    }
}

#[test]
fn an_heir_does_not_wait_for_ever_for_a_route_that_cannot_leave() {
    let mut world = lost();
    world.want_all(1..=60, &by(1));
    world.want_all(61..=100, &by(2));
    // The kernel holds one of them for good.
    world.host.kernel.refuses.insert(service(100));
    world.pass(Duration::from_secs(1));
    world.by(61..=99, 2);
    world.by(1..=60, 0);
    world.pass(Duration::from_secs(5));
    world.by(1..=60, 1);
    world.host.kernel.refuses.clear();
    world.pass(Duration::from_secs(60));
    world.by(61..=100, 2);
}

#[test]
fn a_peer_that_is_back_is_no_leg_of_those_who_have_borrowed_the_group_meanwhile() {
    let mut world = World::new(FibConfig::default());
    let two: Wanted = (NODES[..2].iter().copied().collect(), None);
    world.want_all(1..=100, &two);
    world.run();
    world.host.fib.give_up(&[hop(NODES[0])], world.host.now);
    world.run();
    world.by(1..=100, 1);
    world.want_all(1..=50, &by(1));
    world.want(service(101), &by(1));
    world.run();
    world.by(101..=101, 1);
    assert_eq!(world.host.kernel.nhid(service(101)), world.host.kernel.nhid(service(100)));
    world.host.fib.take_back(&hop(NODES[0]));
    world.pass(Duration::from_secs(70));
    world.by(1..=50, 1);
    world.by(101..=101, 1);
    assert_eq!(world.host.gateways("2004::100/128"), NODES[..2]);
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// Peers are lost and come back, routes change a few at a time, answers come late.
fn random_world(seed: u64) {
    let random = &mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let groups = [FibConfig::default().groups, GroupKind::HashThreshold];
    let largest_weight = [256, u16::MAX][random.below(2)];
    let groups = groups[random.below(2)];
    let mut world = World::new(FibConfig { largest_weight, groups, ..FibConfig::default() });
    let mut lost = random.below(3);
    for _ in 0..60 {
        match random.below(10) {
            0..4 => {
                let (first, count) = (1 + random.below(12), 1 + random.below(6));
                let wanted = random_set(random);
                for number in first..first + count {
                    world.want(service(u32::try_from(number).unwrap()), &wanted);
                }
            }
            // Who is back while a group is lent may have to stand in for the last of its legs (see `Sets::may_follow`).
            4 => world.host.fib.give_up(&[hop(NODES[lost])], world.host.now),
            5 => {
                world.pass(Duration::from_secs(130));
                world.host.fib.take_back(&hop(NODES[lost]));
                world.run();
                lost = random.below(3);
            }
            6..8 => {
                (0..random.below(12)).for_each(|_| {
                    world.hear();
                    world.step();
                });
            }
            8 => world.host.deliver_answers(),
            _ => {
                world.pass(Duration::from_millis([1, 50, 300, 6000][random.below(4)]));
                if random.below(3) == 0 {
                    world.pass(Duration::from_secs(130));
                    world.settled();
                }
            }
        }
    }
    for node in NODES {
        world.host.fib.take_back(&hop(node));
    }
    world.pass(Duration::from_secs(130));
    world.settled();
    world.check(&Op::Audit);
}

fn random_set(random: &mut Random) -> Wanted {
    let nodes: BTreeSet<&str> = NODES.into_iter().filter(|_| random.below(2) == 0).collect();
    let backup = NODES[random.below(3)];
    let has_backup = nodes.len() == 1 && !nodes.contains(backup) && random.below(2) == 0;
    (nodes, has_backup.then_some(backup))
}

#[test]
fn no_route_goes_by_a_leg_that_is_neither_its_own_nor_was() {
    for seed in 1..600 {
        println!("seed {seed}");
        random_world(seed);
    }
}

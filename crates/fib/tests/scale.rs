//! Many routes: what must not depend on their number does not.

mod support;

use std::time::Duration;

use bgp_fib::{Arrivals, NeighborState, Op, Part, Plan, RouteCounts};
use bgp_wire::{Prefix, ScopedNextHop};

use support::{BRIDGE, Fib, Host, address, hop};

const NODES: [&str; 3] = ["172.50.0.2", "172.50.0.3", "172.50.0.4"];

fn prefix(number: u32) -> Prefix {
    Prefix::new(std::net::Ipv4Addr::from(0x0a00_0000 | number).into(), 32).unwrap()
}

fn hops(nodes: &[&str]) -> Vec<ScopedNextHop> {
    nodes.iter().map(|node| hop(node)).collect()
}

/// The lab with so many routes by these nodes, and nothing left to do.
fn loaded(count: u32, nodes: &[&str]) -> Host {
    let mut host = Host::lab();
    for number in 0..count {
        host.fib.want(prefix(number), Some(&hops(nodes)), host.now);
    }
    host.pass(Duration::from_millis(1));
    host.take_log();
    assert_eq!(counts(&host.fib).installed, usize::try_from(count).unwrap());
    host
}

fn counts(fib: &Fib) -> RouteCounts {
    fib.stats().routes.ipv4
}

fn lose(host: &mut Host, node: &str) {
    host.kernel.alive.remove(&(BRIDGE, address(node)));
    host.kernel.set_neighbor(BRIDGE, address(node), None, NeighborState::Failed);
    while let Some(event) = host.kernel.events.pop_front() {
        host.fib.observe(event, host.now);
    }
}

#[test]
fn a_lost_next_hop_is_repaired_by_one_operation_however_many_routes_there_are() {
    for count in [10, 20_000] {
        for (before, after) in [(&NODES[..], &NODES[1..]), (&NODES[..2], &NODES[1..2])] {
            let mut host = loaded(count, before);
            lose(&mut host, NODES[0]);
            let mut ops = Vec::new();
            host.fib.next_ops(1, &mut ops);
            let (id, op) = ops.pop().unwrap();
            assert!(matches!(op, Op::NexthopDel { .. }), "{op:?}");
            let answer = host.kernel.apply(&op);
            for number in [0, 1, count / 2, count - 1] {
                assert_eq!(host.gateways(&prefix(number).to_string()), after);
            }
            host.fib.confirm(id, answer, host.now);
            host.pass(Duration::from_millis(1));
            for number in 0..count {
                assert_eq!(host.gateways(&prefix(number).to_string()), after);
            }
            assert_eq!(counts(&host.fib).installed, usize::try_from(count).unwrap());
        }
    }
}

#[test]
fn a_group_that_shrinks_takes_one_operation_in_all() {
    let mut host = loaded(20_000, &NODES);
    lose(&mut host, NODES[0]);
    host.pass(Duration::from_millis(1));
    assert!(matches!(host.take_log().as_slice(), [Op::NexthopDel { .. }]));
}

#[test]
fn routes_hear_of_a_change_a_few_at_a_time_and_new_ones_pass_them() {
    let mut host = loaded(20_000, &NODES[..1]);
    lose(&mut host, NODES[0]);
    host.fib.want(prefix(0), Some(&hops(&NODES[1..2])), host.now);
    let mut ops = Vec::new();
    host.fib.next_ops(100, &mut ops);
    let replaced = ops.iter().position(|(_, op)| matches!(op, Op::RouteReplace(_)));
    let removed = ops.iter().position(|(_, op)| matches!(op, Op::RouteDel { .. }));
    assert!(replaced < removed, "{replaced:?} {removed:?}");
    assert!(counts(&host.fib).installed > 15_000, "{:?}", counts(&host.fib));
    assert!(host.fib.next_deadline().is_some_and(|at| at <= host.now));
    for (id, op) in ops {
        let answer = host.kernel.apply(&op);
        host.fib.confirm(id, answer, host.now);
    }
    host.pass(Duration::from_millis(1));
    assert_eq!(counts(&host.fib), RouteCounts { installed: 1, unresolved: 19_999, ..RouteCounts::default() });
    assert_eq!(host.gateways(&prefix(0).to_string()), &NODES[1..2]);
}

#[test]
fn one_family_does_not_wait_for_the_other() {
    let mut host = Host::lab();
    for number in 0..10_000 {
        host.fib.want(prefix(number), Some(&hops(&NODES[..1])), host.now);
    }
    host.want("2004::1/128", &["2001:3200:3200::2"]);
    let mut ops = Vec::new();
    for _ in 0..2 {
        // Hops first; they change what their routes are to be.
        host.fib.next_ops(64, &mut ops);
    }
    let v6 = |op: &Op| matches!(op, Op::RouteAdd(spec) if matches!(spec.prefix, Prefix::V6(_)));
    assert!(ops.iter().any(|(_, op)| v6(op)));
    // No more is given out than the kernel can be asked to catch up with.
    for _ in 0..200 {
        host.fib.next_ops(64, &mut ops);
    }
    assert!((4000..6000).contains(&ops.len()), "{}", ops.len());
    for (id, op) in ops {
        let answer = host.kernel.apply(&op);
        host.fib.confirm(id, answer, host.now);
    }
    host.pass(Duration::from_millis(1));
    assert_eq!(counts(&host.fib).installed, 10_000);
}

#[test]
fn withdrawals_in_order_do_not_reach_the_kernel_in_order() {
    let mut host = loaded(2000, &NODES[..1]);
    for number in 0..2000 {
        host.fib.want(prefix(number), None, host.now);
    }
    // What is wanted goes before what is to go.
    host.fib.want(prefix(5000), Some(&hops(&NODES[..1])), host.now);
    host.pass(Duration::from_millis(1));
    let log = host.take_log();
    assert!(matches!(log.first(), Some(Op::RouteAdd(_))), "{:?}", log.first());
    let removed: Vec<Prefix> = log
        .iter()
        .filter_map(|op| match op {
            Op::RouteDel { prefix, .. } => Some(*prefix),
            _ => None,
        })
        .collect();
    assert_eq!(removed.len(), 2000);
    let ascending = removed.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((800..1200).contains(&ascending), "{ascending} of 1999 steps ascend");
}

#[test]
fn new_routes_go_by_what_their_prefixes_mean_to_the_kernels_tree() {
    let mut host = loaded(10, &NODES[..1]);
    let wanted = ["198.18.1.0/24", "198.18.1.128/25", "198.18.1.7/32", "198.18.0.0/15", "198.18.0.0/23"];
    for prefix in wanted {
        host.fib.want(prefix.parse().unwrap(), Some(&hops(&NODES[..1])), host.now);
    }
    host.pass(Duration::from_millis(1));
    let added: Vec<String> = host
        .take_log()
        .iter()
        .filter_map(|op| match op {
            Op::RouteAdd(route) => Some(route.prefix.to_string()),
            _ => None,
        })
        .collect();
    let order = ["198.18.1.7/32", "198.18.0.0/15", "198.18.0.0/23", "198.18.1.0/24", "198.18.1.128/25"];
    assert_eq!(added, order);
}

#[test]
fn withdrawn_prefixes_leave_nothing_behind() {
    let mut host = loaded(3000, &NODES);
    for number in 0..3000 {
        host.fib.want(prefix(number), None, host.now);
    }
    host.pass(Duration::from_millis(1));
    assert_eq!(counts(&host.fib), RouteCounts::default());
    assert!(host.fib.routes().is_empty());
    assert!(host.kernel.objects.is_empty());
    for number in 1000..2000 {
        host.fib.want(prefix(number), Some(&hops(&NODES[..1])), host.now);
    }
    host.pass(Duration::from_millis(1));
    assert_eq!(host.fib.routes().len(), 1000);
    assert_eq!(host.gateways(&prefix(1500).to_string()), &NODES[..1]);
}

#[test]
fn routes_with_one_target_are_handed_over_and_answered_as_one() {
    let mut host = loaded(1, &NODES[..1]);
    for number in 1..=100 {
        assert!(host.fib.want_as_before(prefix(number), host.now));
    }
    let mut plan = Plan::default();
    host.fib.plan(64, &mut plan);
    assert_eq!(plan.len(), 64);
    let [Part::Routes(ops)] = &plan.into_parts()[..] else { panic!("one part") };
    assert_eq!((ops.len(), ops.leads().len()), (64, 1));
    for at in 0..ops.len() {
        host.kernel.apply(&ops.get(at).unwrap()).unwrap();
    }
    let mut arrivals = Arrivals::with_names();
    host.fib.confirm_run(ops.id(0), 64, host.now, &mut arrivals);
    assert_eq!(arrivals.prefixes, (1..=64).map(prefix).collect::<Vec<_>>());
    assert_eq!(arrivals.wanted_at.len(), 1, "they came together");
    // An answer that has been taken in means nothing more.
    host.fib.confirm_run(ops.id(0), 64, host.now, &mut Arrivals::default());
    host.pass(Duration::from_millis(1));
    assert_eq!(counts(&host.fib).installed, 101);
    assert_eq!(host.gateways(&prefix(100).to_string()), &NODES[..1]);
}

#[test]
fn what_was_wanted_before_is_known_for_as_long_as_some_prefix_wants_it() {
    let mut host = loaded(1, &NODES[..1]);
    assert!(host.fib.want_as_before(prefix(1), host.now));
    assert!(
        !host.fib.want_as_before("2004::1/128".parse().unwrap(), host.now),
        "of this family there is none"
    );
    for number in 0..=1 {
        host.fib.want(prefix(number), None, host.now);
    }
    assert!(!host.fib.want_as_before(prefix(2), host.now));
    host.pass(Duration::from_millis(1));
    assert!(host.fib.routes().is_empty());
}

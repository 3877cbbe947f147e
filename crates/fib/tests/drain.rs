//! A node that is drained: new flows go elsewhere, those that it has end on it, and then its legs go.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bgp_fib::{DrainOrder, FibConfig, GroupKind, Notice, Op, Resilient};
use support::buckets::Buckets;
use support::{BRIDGE, Host, Kernel, Object, address, hop, prefix};

const NODES: [&str; 3] = ["2001:3200:3200::2", "2001:3200:3200::3", "2001:3200:3200::4"];
const SERVICE: &str = "2004::1/128";
const OTHER: &str = "2004::2/128";

fn order(addresses: &[&str]) -> DrainOrder {
    let addresses = addresses.iter().map(|text| address(text)).collect();
    DrainOrder { addresses, force: false, idle: None, drained: None }
}

fn drain(host: &mut Host, order: DrainOrder) {
    host.fib.drain(Arc::from("node4"), order, host.now);
    host.run();
}

fn id(host: &Host, node: &str) -> u32 {
    host.fib.next_hop(&hop(node)).unwrap().nexthop_id.unwrap()
}

fn buckets<'a>(host: &'a mut Host, service: &str) -> &'a mut Buckets {
    &mut host.kernel.group_mut(prefix(service)).buckets
}

/// The kernel moves what is idle, and its buckets are read.
fn look(host: &mut Host) {
    let mut seen = Vec::new();
    for (id, (_, object)) in &mut host.kernel.objects {
        let Object::Group(group) = object else { continue };
        let members = group.members.clone();
        group.buckets.deal(&members);
        for (owner, busy) in group.buckets.owners.iter().zip(&group.buckets.busy) {
            let idle = Duration::from_secs(if *busy { 1 } else { 100 });
            seen.extend(owner.map(|owner| (*id, owner, idle)));
        }
    }
    host.fib.observe_buckets(&seen, host.now);
    host.run();
}

fn route_writes(host: &mut Host) -> usize {
    let is_route = |op: &&Op| matches!(op, Op::RouteAdd(_) | Op::RouteReplace(_) | Op::RouteDel { .. });
    host.take_log().iter().filter(is_route).count()
}

fn notices(host: &mut Host) -> Vec<Notice> {
    let mut notices = Vec::new();
    host.fib.take_notices(&mut notices);
    notices.retain(|notice| matches!(notice, Notice::NodeDrained { .. } | Notice::NodeNeeded { .. }));
    notices
}

fn three_nodes() -> Host {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    host.run();
    route_writes(&mut host);
    host
}

#[test]
fn buckets_in_use_stay_until_their_flows_have_ended_and_then_the_leg_goes() {
    let mut host = three_nodes();
    let node = id(&host, NODES[2]);
    buckets(&mut host, SERVICE).busy.fill(true);
    let before = buckets(&mut host, SERVICE).owners.clone();
    drain(&mut host, order(&NODES[2..]));
    look(&mut host);
    assert_eq!(buckets(&mut host, SERVICE).owners, before, "every flow stays where it is");
    let view = host.fib.drains().remove(0);
    let its = before.iter().filter(|owner| **owner == Some(node)).count();
    assert_eq!((view.buckets, view.in_use, view.drained), (Some(its), Some(its), None));

    let last = before.iter().position(|owner| *owner == Some(node)).unwrap();
    let busy = &mut buckets(&mut host, SERVICE).busy;
    busy.fill(false);
    busy[last] = true;
    look(&mut host);
    let owners = buckets(&mut host, SERVICE).owners.clone();
    assert_eq!(owners.iter().filter(|owner| **owner == Some(node)).count(), 1, "what is idle goes at once");
    assert_eq!(host.gateways(SERVICE), NODES, "its leg stays for the last flow");

    host.now += Duration::from_secs(5);
    buckets(&mut host, SERVICE).busy.fill(false);
    look(&mut host);
    assert_eq!(host.gateways(SERVICE), &NODES[..2]);
    assert_eq!(host.fib.drains()[0].drained, Some(host.now));
    assert_eq!(host.fib.awaits_buckets(), None);
    let after = Duration::from_secs(5);
    assert_eq!(notices(&mut host), [Notice::NodeDrained { node: "node4".to_owned(), after }]);
    assert_eq!(route_writes(&mut host), 0, "all of it in the group");

    host.want(OTHER, &NODES);
    host.run();
    assert_eq!(host.gateways(OTHER), &NODES[..2], "a route that comes later has no leg to it");
    assert!(host.fib.undrain("node4"));
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES);
    assert!(!host.fib.undrain("node4"), "done already");
}

#[test]
fn a_leg_that_drains_is_due_no_bucket_whatever_the_weights_of_the_others() {
    for weights in [[2, 1, 5], [1, 1, 8], [7, 1, 4], [1, 1, 100], [256, 1, 255]] {
        let mut host = three_nodes();
        let shares = || NODES.iter().zip(weights).map(|(node, weight)| (hop(node), weight));
        let others = shares().filter(|(next_hop, _)| *next_hop != hop(NODES[1]));
        host.fib.want_shares(prefix(OTHER), others, None, host.now);
        host.fib.want_shares(prefix(SERVICE), shares(), None, host.now);
        host.pass(Duration::from_secs(1));
        let without = buckets(&mut host, OTHER).clone();
        let nodes = NODES.map(|node| id(&host, node));
        drain(&mut host, order(&NODES[1..2]));
        let with = buckets(&mut host, SERVICE).clone();
        let share =
            |buckets: &Buckets, node| buckets.owners.iter().filter(|owner| **owner == Some(node)).count();
        let shares = |buckets| nodes.map(|node| share(buckets, node));
        assert_eq!(shares(&with), shares(&without), "{weights:?}");
        let group = host.kernel.group_of(prefix(SERVICE));
        assert_eq!(group.members.len(), 3, "it is there for the flows that it has");
    }
}

#[test]
fn a_node_is_all_the_next_hops_with_its_mac_address() {
    let mut host = Host::lab();
    host.want(SERVICE, &["::ffff:172.50.0.2", "::ffff:172.50.0.3"]);
    host.want("10.1.2.3/32", &["172.50.0.2", "172.50.0.3"]);
    host.run();
    // Ordered by the address of one of its sessions.
    drain(&mut host, order(&["2001:3200:3200::3"]));
    look(&mut host);
    assert_eq!(host.gateways(SERVICE), ["2001:3200:3200::2"]);
    assert_eq!(host.gateways("10.1.2.3/32"), ["172.50.0.2"]);
    assert_eq!(host.fib.drain_of(&hop("172.50.0.3")), Some(("node4", true)));
    assert_eq!(host.fib.drain_of(&hop("172.50.0.2")), None);
}

#[test]
fn the_last_leg_stays_and_is_named_unless_by_force() {
    let mut host = three_nodes();
    host.want(OTHER, &NODES[2..]);
    host.run();
    drain(&mut host, order(&NODES[2..]));
    look(&mut host);
    let view = host.fib.drains().remove(0);
    assert_eq!((view.drained, view.last_leg_routes), (None, 1));
    assert_eq!(view.last_leg_prefixes, [prefix(OTHER)]);
    assert_eq!(host.gateways(OTHER), &NODES[2..]);

    drain(&mut host, DrainOrder { force: true, ..order(&NODES[2..]) });
    assert_eq!(host.gateways(SERVICE), &NODES[..2]);
    assert!(host.gateways(OTHER).is_empty());
    let view = host.fib.drains().remove(0);
    assert!(view.forced && view.drained.is_some());
}

#[test]
fn a_node_that_was_drained_serves_again_where_nobody_else_does() {
    let mut host = three_nodes();
    drain(&mut host, order(&NODES[2..]));
    look(&mut host);
    assert_eq!(host.gateways(SERVICE), &NODES[..2]);
    notices(&mut host);
    for node in &NODES[..2] {
        host.kernel.alive.remove(&(BRIDGE, address(node)));
    }
    host.want(SERVICE, &NODES[2..]);
    host.run();
    assert_eq!(host.gateways(SERVICE), &NODES[2..]);
    assert_eq!(notices(&mut host), [Notice::NodeNeeded { node: "node4".to_owned() }]);
    assert_eq!(host.fib.awaits_buckets(), Some(Duration::from_secs(60)));

    buckets(&mut host, SERVICE).busy.fill(true);
    host.want(SERVICE, &NODES[1..]);
    host.run();
    look(&mut host);
    let node = id(&host, NODES[2]);
    assert!(
        buckets(&mut host, SERVICE).owners.iter().all(|owner| *owner == Some(node)),
        "the flows that it got meanwhile end on it"
    );
}

#[test]
fn a_path_that_closes_keeps_its_flows_in_the_same_group() {
    let mut host = three_nodes();
    let group = host.kernel.nhid(prefix(SERVICE));
    let before = buckets(&mut host, SERVICE).owners.clone();
    buckets(&mut host, SERVICE).busy.fill(true);
    let shares = NODES.iter().zip([1, 1, 0]).map(|(node, weight)| (hop(node), weight));
    host.fib.want_shares(prefix(SERVICE), shares, None, host.now);
    host.run();
    assert_eq!((host.kernel.nhid(prefix(SERVICE)), route_writes(&mut host)), (group, 0));
    assert_eq!(buckets(&mut host, SERVICE).owners, before);
    buckets(&mut host, SERVICE).busy.fill(false);
    look(&mut host);
    let node = id(&host, NODES[2]);
    assert!(!buckets(&mut host, SERVICE).owners.contains(&Some(node)));
    // Where it is alone it is as good as any.
    host.fib.want_shares(prefix(SERVICE), [(hop(NODES[2]), 0)].into_iter(), None, host.now);
    host.run();
    assert_eq!(host.gateways(SERVICE), &NODES[2..]);
}

#[test]
fn routes_that_move_one_by_one_to_other_weights_share_the_groups_change() {
    let mut host = three_nodes();
    host.want(OTHER, &NODES);
    host.run();
    let group = host.kernel.nhid(prefix(SERVICE));
    route_writes(&mut host);
    for service in [SERVICE, OTHER] {
        let shares = NODES.iter().zip([2, 1, 1]).map(|(node, weight)| (hop(node), weight));
        host.fib.want_shares(prefix(service), shares, None, host.now);
        host.pass(Duration::from_millis(10));
    }
    host.run();
    assert_eq!((host.kernel.nhid(prefix(SERVICE)), host.kernel.nhid(prefix(OTHER))), (group, group));
    assert_eq!(route_writes(&mut host), 0);
    let weights: Vec<u16> =
        host.kernel.group_of(prefix(SERVICE)).members.iter().map(|(_, weight)| *weight).collect();
    assert_eq!(weights, [2, 1, 1]);
}

#[test]
fn while_a_leg_drains_nothing_is_moved_by_force() {
    let groups = GroupKind::Resilient(Resilient { unbalanced_timer: 120, ..Resilient::default() });
    let mut host = Host::new(FibConfig { groups, ..FibConfig::default() }, Kernel::lab());
    host.want(SERVICE, &NODES);
    host.run();
    buckets(&mut host, SERVICE).busy.fill(true);
    drain(&mut host, order(&NODES[2..]));
    let patient = GroupKind::Resilient(Resilient::default());
    assert_eq!(host.kernel.group_of(prefix(SERVICE)).kind, patient);
    drain(&mut host, DrainOrder { idle: Some(Duration::from_secs(2)), ..order(&NODES[2..]) });
    let short = GroupKind::Resilient(Resilient { idle_timer: 2, ..Resilient::default() });
    assert_eq!(host.kernel.group_of(prefix(SERVICE)).kind, short);
    host.fib.undrain("node4");
    host.run();
    assert_eq!(host.kernel.group_of(prefix(SERVICE)).kind, groups);
}

#[test]
fn a_group_without_buckets_loses_the_leg_at_once() {
    let config = FibConfig { groups: GroupKind::HashThreshold, ..FibConfig::default() };
    let mut host = Host::new(config, Kernel::lab());
    host.want(SERVICE, &NODES);
    host.run();
    drain(&mut host, order(&NODES[2..]));
    assert_eq!(host.gateways(SERVICE), &NODES[..2]);
    assert_eq!(host.fib.awaits_buckets(), None);
    host.pass(Duration::ZERO);
    assert!(host.fib.drains()[0].drained.is_some());
}

#[test]
fn the_next_process_adopts_a_drained_group_as_it_stands() {
    let mut host = three_nodes();
    drain(&mut host, order(&NODES[2..]));
    look(&mut host);
    let group = host.kernel.nhid(prefix(SERVICE));
    let kernel = std::mem::take(&mut host.kernel);
    let mut next = Host::new(FibConfig::default(), kernel);
    let at = next.now;
    let addresses: BTreeSet<_> = [address(NODES[2])].into();
    next.fib.drain(
        Arc::from("node4"),
        DrainOrder { addresses, force: false, idle: None, drained: Some(at) },
        at,
    );
    next.run();
    next.want(SERVICE, &NODES);
    next.run();
    next.fib.end_of_startup(next.now);
    next.run();
    assert_eq!(next.take_log(), [], "nothing is changed");
    assert_eq!(next.kernel.nhid(prefix(SERVICE)), group);
}

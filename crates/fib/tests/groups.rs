//! Groups keep their routes and their flows: who joins takes what is idle, who leaves gives up what is his.

mod support;

use std::time::Duration;

use bgp_fib::{FibConfig, GROUP_IDS, GroupKind, Op, Resilient};

use support::{BRIDGE, Host, Kernel, address, hop, prefix};

const NODES: [&str; 3] = ["2001:3200:3200::2", "2001:3200:3200::3", "2001:3200:3200::4"];
const IDLE: Duration = Duration::from_secs(60);

fn service(number: u32) -> String {
    format!("2004::{number}/128")
}

fn want_all(host: &mut Host, services: std::ops::RangeInclusive<u32>, nodes: &[&str]) {
    for number in services {
        host.want(&service(number), nodes);
    }
}

fn nhid(host: &Host, number: u32) -> u32 {
    host.kernel.nhid(prefix(&service(number))).unwrap()
}

/// Flows use every bucket of a service's group.
fn use_all(host: &mut Host, number: u32) {
    host.kernel.group_mut(prefix(&service(number))).buckets.busy.fill(true);
}

fn owners(host: &Host, number: u32) -> Vec<Option<u32>> {
    host.kernel.group_of(prefix(&service(number))).buckets.owners.clone()
}

fn moved(before: &[Option<u32>], after: &[Option<u32>]) -> usize {
    assert_eq!(before.len(), after.len());
    before.iter().zip(after).filter(|(before, after)| before != after).count()
}

/// Object of a node's gateway.
fn hop_id(host: &Host, node: &str) -> u32 {
    let view = host.fib.next_hop(&hop(node)).unwrap();
    view.nexthop_id.unwrap()
}

fn routes_written(host: &mut Host) -> usize {
    let log = host.take_log();
    log.iter().filter(|op| matches!(op, Op::RouteAdd(_) | Op::RouteReplace(_) | Op::RouteDel { .. })).count()
}

#[test]
fn from_the_first_member_to_the_last_the_route_keeps_its_group() {
    let mut host = Host::lab();
    host.want(&service(1), &NODES[..1]);
    host.run();
    let group = nhid(&host, 1);
    assert!(GROUP_IDS.contains(&group));
    routes_written(&mut host);
    for nodes in [&NODES[..2], &NODES[..], &NODES[1..], &NODES[2..], &NODES[..]] {
        host.want(&service(1), nodes);
        host.run();
        assert_eq!(host.gateways(&service(1)), nodes);
        assert_eq!(nhid(&host, 1), group);
    }
    assert_eq!(routes_written(&mut host), 0);
}

#[test]
fn a_node_that_joins_takes_idle_buckets_and_one_that_leaves_only_its_own() {
    let mut host = Host::lab();
    want_all(&mut host, 1..=3, &NODES[..2]);
    host.run();
    let before = owners(&host, 1);
    use_all(&mut host, 1);
    want_all(&mut host, 1..=3, &NODES);
    host.run();
    assert_eq!(owners(&host, 1), before, "buckets in use stay");
    host.kernel.group_mut(prefix(&service(1))).buckets.busy[..64].fill(false);
    // Whatever makes the kernel look again; with the real one it is its timer.
    let third = hop_id(&host, NODES[2]);
    let group = host.kernel.group_mut(prefix(&service(1)));
    let members = group.members.clone();
    group.buckets.deal(&members);
    let joined = owners(&host, 1);
    assert!(moved(&before, &joined) <= 43 && joined[64..] == before[64..]);
    assert!(joined.contains(&Some(third)));

    use_all(&mut host, 1);
    let second = hop_id(&host, NODES[1]);
    want_all(&mut host, 1..=3, &[NODES[0], NODES[2]]);
    host.run();
    for (before, after) in joined.iter().zip(owners(&host, 1)) {
        assert!(*before == after || *before == Some(second));
    }
}

#[test]
fn a_burst_that_comes_in_pieces_changes_the_group_in_place() {
    let mut host = Host::lab();
    want_all(&mut host, 1..=100, &NODES[..2]);
    host.run();
    let group = nhid(&host, 1);
    routes_written(&mut host);
    for first in [1, 26, 51, 76] {
        want_all(&mut host, first..=first + 24, &NODES);
        host.pass(Duration::from_millis(10));
    }
    host.run();
    assert_eq!(host.gateways(&service(1)), NODES);
    assert!((1..=100).all(|number| nhid(&host, number) == group));
    assert_eq!(routes_written(&mut host), 0);
    assert_eq!(host.fib.groups().len(), 1);
}

#[test]
fn a_route_that_is_new_within_a_burst_does_not_wait_for_its_end() {
    let mut host = Host::lab();
    want_all(&mut host, 1..=2, &NODES[..2]);
    host.run();
    host.want(&service(1), &NODES);
    host.want(&service(9), &NODES);
    host.run();
    assert_eq!(
        host.gateways(&service(9)),
        &NODES[..2],
        "by the old members, until it is clear what becomes of them"
    );
    host.want(&service(2), &NODES);
    host.run();
    assert_eq!(host.gateways(&service(9)), NODES);
}

#[test]
fn where_some_routes_stay_the_others_get_a_group_in_which_no_flow_moves() {
    let mut host = Host::lab();
    want_all(&mut host, 1..=4, &NODES[..2]);
    host.run();
    let (group, before) = (nhid(&host, 1), owners(&host, 1));
    want_all(&mut host, 1..=2, &NODES);
    host.pass(Duration::from_secs(1));
    assert_ne!(nhid(&host, 1), group);
    assert_eq!((nhid(&host, 2), nhid(&host, 3)), (nhid(&host, 1), group));
    assert_eq!(owners(&host, 1), before);
    // By now it shows which buckets are in use.
    use_all(&mut host, 1);
    host.pass(IDLE);
    assert_eq!(host.gateways(&service(1)), NODES, "the third is a member");
    assert_eq!(owners(&host, 1), before, "but breaks nothing");
    assert_eq!(host.gateways(&service(3)), &NODES[..2]);
}

/// Four services by two nodes, for so long; then two of them get the third node as well, and the others do not.
fn split_after(age: Duration) -> Host {
    let mut host = Host::lab();
    want_all(&mut host, 1..=4, &NODES[..2]);
    host.pass(age);
    want_all(&mut host, 1..=2, &NODES);
    host.pass(Duration::from_millis(200));
    host
}

fn join(host: &Host, number: u32) -> Option<Duration> {
    let view = host.fib.route(&prefix(&service(number))).unwrap();
    let in_group = host.fib.groups().into_iter().find(|group| Some(group.id) == view.nexthop_id).unwrap();
    assert_eq!(view.joining, in_group.joining);
    let joining = view.joining?;
    assert_eq!(joining.via.iter().map(|via| via.gateway).collect::<Vec<_>>(), [address(NODES[2])]);
    Some(joining.until - host.now)
}

#[test]
fn a_node_that_joins_waits_no_longer_than_the_routes_are_old() {
    let second = Duration::from_secs(1);
    for (age, wait) in [(3 * second, 3 * second), (IDLE - second, IDLE - second), (2 * IDLE, IDLE)] {
        let mut host = split_after(age);
        let left = join(&host, 1).unwrap();
        assert!(left >= wait && left <= wait + 2 * second, "{age:?}: {left:?}");
        assert_eq!(join(&host, 3), None);
        let before = owners(&host, 1);
        host.pass(wait - second);
        assert_eq!(host.gateways(&service(1)), &NODES[..2], "{age:?}");
        use_all(&mut host, 1);
        host.kernel.group_mut(prefix(&service(1))).buckets.busy[..20].fill(false);
        host.pass(3 * second);
        assert_eq!(host.gateways(&service(1)), NODES, "{age:?}");
        assert_eq!(moved(&before, &owners(&host, 1)), 20, "{age:?}: nobody but who is silent");
        assert_eq!(join(&host, 1), None);
        assert_eq!(host.gateways(&service(3)), &NODES[..2]);
    }
}

#[test]
fn a_node_waits_for_the_oldest_of_the_routes_whenever_they_move() {
    let mut host = Host::lab();
    want_all(&mut host, 3..=4, &NODES[..2]);
    host.pass(Duration::from_secs(30));
    want_all(&mut host, 1..=2, &NODES[..2]);
    host.pass(Duration::from_secs(2));
    host.want(&service(1), &NODES);
    host.pass(Duration::from_secs(1));
    assert!(join(&host, 1).is_some_and(|left| left < Duration::from_secs(4)));
    // One that has carried flows for longer comes into the group.
    host.want(&service(3), &NODES);
    host.run();
    assert!(join(&host, 1).is_some_and(|left| left > Duration::from_secs(30)));
    host.pass(Duration::from_secs(40));
    assert_eq!(host.gateways(&service(3)), NODES);
    assert_eq!(host.gateways(&service(2)), &NODES[..2]);
}

#[test]
fn a_node_waits_for_nobody_where_no_packet_can_have_gone() {
    let mut host = Host::lab();
    want_all(&mut host, 3..=4, &NODES[..2]);
    host.run();
    // The RIB has changed its mind before the kernel had the route.
    want_all(&mut host, 1..=2, &NODES[..2]);
    want_all(&mut host, 1..=2, &NODES);
    host.pass(Duration::from_millis(200));
    assert_eq!(host.gateways(&service(1)), NODES);
    assert_eq!(host.gateways(&service(3)), &NODES[..2]);
}

#[test]
fn routes_of_an_earlier_run_are_of_unknown_age_and_wait_for_the_whole_timer() {
    let mut old = Host::lab();
    want_all(&mut old, 1..=4, &NODES[..2]);
    old.run();
    let mut host = Host::new(FibConfig::default(), old.kernel);
    host.run();
    want_all(&mut host, 1..=4, &NODES[..2]);
    host.run();
    host.fib.end_of_startup(host.now);
    host.pass(Duration::from_secs(1));
    want_all(&mut host, 1..=2, &NODES);
    host.pass(Duration::from_millis(200));
    assert_eq!(join(&host, 1), Some(IDLE));
}

#[test]
fn groups_of_an_earlier_run_keep_their_buckets_and_so_do_those_that_come_of_them() {
    let mut old = Host::lab();
    want_all(&mut old, 1..=4, &NODES[..2]);
    old.run();
    let before = owners(&old, 1);
    // Another default, and nobody has chosen a number.
    let groups = GroupKind::Resilient(Resilient { buckets: 1024, ..Resilient::default() });
    let config = FibConfig { groups, keep_buckets: true, ..FibConfig::default() };
    let mut host = Host::new(config, old.kernel);
    host.run();
    want_all(&mut host, 1..=4, &NODES[..2]);
    host.run();
    host.fib.end_of_startup(host.now);
    host.run();
    assert_eq!(routes_written(&mut host), 0);
    assert_eq!(owners(&host, 1), before);
    // A node joins for one of the routes, which gets a group of its own.
    host.want(&service(1), &NODES);
    host.pass(2 * IDLE);
    assert_eq!(host.gateways(&service(1)), NODES);
    assert_eq!(owners(&host, 1).len(), 128);
    // What has nothing to do with them has as many as are wanted.
    host.want("2004::99/128", &NODES[2..]);
    host.run();
    assert_eq!(host.kernel.group_of(prefix("2004::99/128")).buckets.owners.len(), 1024);
}

#[test]
fn a_route_that_leaves_a_node_alone_keeps_the_buckets_of_the_others() {
    let mut host = Host::lab();
    want_all(&mut host, 1..=4, &NODES);
    host.run();
    let (group, before) = (nhid(&host, 1), owners(&host, 1));
    let third = hop_id(&host, NODES[2]);
    host.want(&service(1), &NODES[..2]);
    host.run();
    assert_ne!(nhid(&host, 1), group);
    for (before, after) in before.iter().zip(owners(&host, 1)) {
        assert!(*before == after || *before == Some(third), "{before:?} {after:?}");
    }
    assert_eq!(host.gateways(&service(1)), &NODES[..2]);
    assert_eq!(host.gateways(&service(2)), NODES);
}

#[test]
fn no_route_points_to_a_group_that_is_only_sown() {
    let mut host = Host::lab();
    want_all(&mut host, 1..=2, &NODES);
    host.run();
    host.take_log();
    host.want(&service(1), &NODES[..2]);
    for _ in 0..20 {
        let mut ops = Vec::new();
        host.fib.next_ops(1, &mut ops);
        let Some((id, op)) = ops.pop() else { break };
        let answer = host.kernel.apply(&op);
        if nhid(&host, 1) != nhid(&host, 2) {
            assert_eq!(host.gateways(&service(1)), &NODES[..2], "after {op:?}");
        }
        host.fib.confirm(id, answer, host.now);
    }
    assert_eq!(host.gateways(&service(1)), &NODES[..2]);
}

#[test]
fn a_group_that_is_only_sown_and_loses_what_it_had_too_much_gets_its_routes() {
    let mut host = Host::lab();
    want_all(&mut host, 1..=2, &NODES);
    host.run();
    host.want(&service(1), &NODES[..2]);
    let mut ops = Vec::new();
    host.fib.next_ops(1, &mut ops);
    assert!(matches!(&ops[..], [(_, Op::GroupAdd(group))] if group.members.len() == 3), "{ops:?}");
    for (id, op) in ops {
        let answer = host.kernel.apply(&op);
        host.fib.confirm(id, answer, host.now);
    }
    host.fib.tick(host.now);
    // Somebody removes the third node's object, before the group is changed.
    let third = hop_id(&host, NODES[2]);
    host.kernel.delete_object(third);
    while let Some(event) = host.kernel.events.pop_front() {
        host.fib.observe(event, host.now);
    }
    host.run();
    assert_ne!(nhid(&host, 1), nhid(&host, 2));
    assert_eq!(host.gateways(&service(1)), &NODES[..2]);
    assert_eq!(host.gateways(&service(2)), NODES);
}

#[test]
fn weights_make_shares_and_change_in_place() {
    let mut host = Host::lab();
    let shares = |weights: [u16; 2]| NODES.iter().map(|node| hop(node)).zip(weights);
    host.fib.want_shares(prefix(&service(1)), shares([3, 1]), None, host.now);
    host.run();
    let group = nhid(&host, 1);
    let count = |host: &Host, node| {
        let id = hop_id(host, node);
        owners(host, 1).iter().filter(|owner| **owner == Some(id)).count()
    };
    assert_eq!([count(&host, NODES[0]), count(&host, NODES[1])], [96, 32]);
    host.fib.want_shares(prefix(&service(1)), shares([1, 1]), None, host.now);
    host.run();
    assert_eq!([count(&host, NODES[0]), count(&host, NODES[1])], [64, 64]);
    assert_eq!(nhid(&host, 1), group);
}

/// Services by some of the nodes; the first node's peer is lost, and it is not known yet what becomes of its routes.
fn peer_lost(nodes: &[&str]) -> Host {
    let mut host = Host::lab();
    host.fib.watch(hop(NODES[0]), host.now);
    want_all(&mut host, 1..=50, nodes);
    host.run();
    host.take_log();
    host.fib.give_up(&[hop(NODES[0])], host.now);
    host.run();
    host
}

#[test]
fn routes_leave_a_lost_peer_by_one_operation_before_they_are_decided_and_are_not_written_after_it() {
    let mut host = peer_lost(&NODES[..2]);
    assert!(matches!(host.take_log().as_slice(), [Op::NexthopDel { .. }]));
    assert_eq!(host.gateways(&service(7)), &NODES[1..2]);
    for number in 1..=50 {
        host.want(&service(number), &NODES[1..2]);
        host.pass(Duration::from_millis(20));
    }
    host.pass(Duration::from_secs(1));
    assert!(host.take_log().is_empty());
    assert!((1..=50).all(|number| host.gateways(&service(number)) == NODES[1..2]));
}

#[test]
fn a_route_without_another_next_hop_stays_with_the_lost_peer_until_all_have_moved() {
    let mut host = peer_lost(&NODES[..1]);
    assert!(host.take_log().is_empty());
    want_all(&mut host, 1..=49, &NODES[1..2]);
    host.run();
    assert_eq!(host.gateways(&service(1)), &NODES[..1]);
    want_all(&mut host, 50..=50, &NODES[1..2]);
    host.pass(Duration::from_millis(1));
    assert_eq!(host.gateways(&service(1)), &NODES[1..2]);
    assert_eq!(routes_written(&mut host), 0);
    assert_eq!(host.fib.groups().len(), 1);
}

#[test]
fn routes_of_a_lost_peer_that_go_different_ways_part() {
    let mut host = peer_lost(&NODES[..1]);
    want_all(&mut host, 1..=20, &NODES[1..2]);
    want_all(&mut host, 21..=40, &NODES[2..]);
    for number in 41..=50 {
        host.fib.want(prefix(&service(number)), None, host.now);
    }
    host.pass(Duration::from_millis(1));
    for number in 1..=50 {
        let by = if number <= 20 { &NODES[1..2] } else { &NODES[2..] };
        let gateways = host.gateways(&service(number));
        assert_eq!(gateways, if number <= 40 { by } else { &[] }, "{number}");
    }
    assert_eq!(host.fib.groups().len(), 2);
}

#[test]
fn what_is_announced_again_is_used_again() {
    let mut host = peer_lost(&NODES[..2]);
    host.fib.take_back(&hop(NODES[0]));
    host.run();
    assert_eq!(host.gateways(&service(1)), &NODES[..2]);
    // And what nobody watches any more is forgotten.
    host.fib.give_up(&[hop(NODES[0])], host.now);
    host.run();
    assert_eq!(host.gateways(&service(1)), &NODES[1..2]);
    host.fib.unwatch(hop(NODES[0]));
    host.run();
    assert_eq!(host.gateways(&service(1)), &NODES[..2]);
}

#[test]
fn a_node_that_dies_leaves_by_its_object_and_the_rest_keep_theirs() {
    let mut host = Host::lab();
    want_all(&mut host, 1..=50, &NODES);
    host.run();
    use_all(&mut host, 1);
    host.take_log();
    let (before, dead) = (owners(&host, 1), hop_id(&host, NODES[1]));
    host.kernel.alive.remove(&(BRIDGE, address(NODES[1])));
    host.kernel.set_neighbor(BRIDGE, address(NODES[1]), None, bgp_fib::NeighborState::Failed);
    host.run();
    assert!(matches!(host.take_log().as_slice(), [Op::NexthopDel { id }] if *id == dead));
    for (before, after) in before.iter().zip(owners(&host, 1)) {
        assert!(*before == after || *before == Some(dead));
    }
}

/// A host that starts where another with other groups has ended.
fn restarted(before: GroupKind, after: GroupKind) -> Host {
    let mut old = Host::new(FibConfig { groups: before, ..FibConfig::default() }, Kernel::lab());
    old.run();
    want_all(&mut old, 1..=2, &NODES);
    old.run();
    let mut host = Host::new(FibConfig { groups: after, ..FibConfig::default() }, old.kernel);
    host.run();
    want_all(&mut host, 1..=2, &NODES);
    host.run();
    host.fib.end_of_startup(host.now);
    host.pass(Duration::from_secs(5));
    host
}

#[test]
fn groups_of_an_earlier_run_are_kept_where_the_kernel_can_make_ours_of_them() {
    let resilient = Resilient::default();
    let mut same = restarted(GroupKind::Resilient(resilient), GroupKind::Resilient(resilient));
    assert!(same.take_log().is_empty());

    let slower = GroupKind::Resilient(Resilient { idle_timer: 300, ..resilient });
    let mut timers = restarted(GroupKind::Resilient(resilient), slower);
    assert!(matches!(timers.take_log().as_slice(), [Op::GroupReplace(group)] if group.kind == slower));

    let other = GroupKind::Resilient(Resilient { buckets: 256, ..resilient });
    for (before, after) in [
        (GroupKind::HashThreshold, GroupKind::Resilient(resilient)),
        (GroupKind::Resilient(resilient), GroupKind::HashThreshold),
        (GroupKind::Resilient(resilient), other),
    ] {
        let host = restarted(before, after);
        assert_eq!(host.kernel.group_of(prefix(&service(1))).kind, after);
        assert_eq!(host.gateways(&service(2)), NODES);
        let groups = host.kernel.objects.keys().filter(|id| GROUP_IDS.contains(id)).count();
        assert_eq!(groups, 1, "the old one is gone");
    }
}

#[test]
fn plain_groups_change_in_place_too() {
    let config = FibConfig { groups: GroupKind::HashThreshold, ..FibConfig::default() };
    let mut host = Host::new(config, Kernel::lab());
    host.run();
    want_all(&mut host, 1..=3, &NODES[..1]);
    host.run();
    let group = nhid(&host, 1);
    routes_written(&mut host);
    want_all(&mut host, 1..=3, &NODES);
    host.run();
    assert_eq!((nhid(&host, 1), routes_written(&mut host)), (group, 0));
    host.want(&service(1), &NODES[..2]);
    host.run();
    assert_eq!(host.gateways(&service(1)), &NODES[..2]);
}

#[test]
fn a_group_of_another_kind_in_the_place_of_ours_is_given_up() {
    let mut host = Host::lab();
    want_all(&mut host, 1..=2, &NODES);
    host.run();
    let group = nhid(&host, 1);
    let kind = GroupKind::HashThreshold;
    let members = host.kernel.group_of(prefix(&service(1))).members.clone();
    host.kernel.replace_group(group, kind, members);
    host.pass(Duration::from_secs(10));
    assert_ne!(nhid(&host, 1), group);
    assert_eq!(host.gateways(&service(1)), NODES);
}

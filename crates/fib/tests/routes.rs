//! What reaches the kernel, fact by fact: objects and routes, whose they are, and what happens when they are undone.

mod support;

use std::time::Duration;

use bgp_fib::{
    Arrivals, Event, FibConfig, GROUP_IDS, HOP_IDS, KernelError, KernelRoute, Kind, Notice, Op, OpId,
    RouteState, RouteTarget, Seen,
};

use support::{
    BRIDGE, ENOENT, Fib, Host, Kernel, STATIC, address, hop, kinds, prefix, restarted, route, state,
};

const EAGAIN: i32 = 11;
const ENOBUFS: i32 = 105;
const ECANCELED: i32 = 125;

const SERVICE: &str = "2004::1/128";
const NODES: [&str; 3] = ["2001:3200:3200::2", "2001:3200:3200::3", "2001:3200:3200::4"];

#[test]
fn hops_group_and_route_leave_in_one_batch_in_this_order() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    let mut ops = Vec::new();
    host.fib.next_ops(100, &mut ops);
    let ops: Vec<Op> = ops.into_iter().map(|(_, op)| op).collect();
    assert_eq!(kinds(&ops), ["hop add", "hop add", "hop add", "group add", "route add"]);
    for op in &ops {
        host.kernel.apply(op).unwrap();
    }
    assert_eq!(host.gateways(SERVICE), NODES);
    assert!(GROUP_IDS.contains(&host.kernel.nhid(prefix(SERVICE)).unwrap()));
}

#[test]
fn the_answer_to_the_route_says_that_the_prefix_has_arrived() {
    let mut host = Host::lab();
    let wanted_at = host.now;
    host.want(SERVICE, &NODES);
    host.now += Duration::from_millis(1);
    host.run();
    let arrived: Vec<_> = host.installed.drain(..).map(|done| (done.prefix, done.wanted_at)).collect();
    assert_eq!(arrived, [(prefix(SERVICE), wanted_at)]);
    assert_eq!(state(&host, SERVICE), RouteState::Installed);
}

#[test]
fn a_single_next_hop_has_a_group_too_and_prefixes_share_theirs() {
    let mut host = Host::lab();
    host.want("2004::1/128", &NODES[..1]);
    host.want("2004::2/128", &NODES);
    host.want("2004::3/128", &NODES);
    host.want("10.0.0.1/32", &NODES);
    host.want("10.0.0.2/32", &["172.50.0.2", "172.50.0.3"]);
    host.run();
    let nhid = |text| host.kernel.nhid(prefix(text)).unwrap();
    assert!(GROUP_IDS.contains(&nhid("2004::1/128")));
    assert_eq!(nhid("2004::2/128"), nhid("2004::3/128"));
    // IPv4 over IPv6 next hops: the same group.
    assert_eq!(nhid("2004::2/128"), nhid("10.0.0.1/32"));
    assert_eq!(host.gateways("10.0.0.2/32"), ["172.50.0.2", "172.50.0.3"]);
    assert_eq!(host.fib.groups().len(), 3);
}

#[test]
fn a_set_that_changes_as_a_whole_changes_in_place_and_one_prefix_alone_moves() {
    let mut host = Host::lab();
    host.want("2004::1/128", &NODES);
    host.run();
    host.take_log();
    host.want("2004::1/128", &NODES[..2]);
    host.run();
    assert_eq!(kinds(&host.take_log()), ["hop del"]);
    host.want("2004::1/128", &NODES);
    host.run();
    assert_eq!(kinds(&host.take_log()), ["hop add", "group replace"]);
    host.want("2004::2/128", &NODES);
    host.run();
    host.take_log();
    host.want("2004::2/128", &NODES[1..]);
    host.run();
    assert_eq!(kinds(&host.take_log()), ["group add", "group replace", "route replace"]);
    assert_eq!(host.gateways("2004::1/128"), NODES);
    assert_eq!(host.gateways("2004::2/128"), &NODES[1..]);
}

#[test]
fn a_set_shrinks_in_place_even_where_another_group_comes_to_the_same() {
    let mut host = Host::lab();
    for number in 1..=5 {
        host.want(&format!("2004::{number}/128"), &NODES);
    }
    host.want("2004::9/128", &NODES[..2]);
    host.run();
    host.take_log();
    host.kernel.set_neighbor(BRIDGE, address(NODES[2]), None, bgp_fib::NeighborState::Failed);
    host.kernel.alive.remove(&(BRIDGE, address(NODES[2])));
    host.run();
    assert_eq!(kinds(&host.take_log()), ["hop del"]);
    assert_eq!(host.gateways("2004::5/128"), &NODES[..2]);
}

#[test]
fn from_two_next_hops_to_one_there_is_never_no_route() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES[..2]);
    host.run();
    host.take_log();
    host.want(SERVICE, &NODES[..1]);
    for _ in 0..20 {
        let mut ops = Vec::new();
        host.fib.next_ops(1, &mut ops);
        let Some((id, op)) = ops.pop() else { break };
        let answer = host.kernel.apply(&op);
        assert!(!host.gateways(SERVICE).is_empty(), "gap after {op:?}");
        host.fib.confirm(id, answer, host.now);
    }
    assert_eq!(host.gateways(SERVICE), &NODES[..1]);
    assert_eq!(host.kernel.objects.len(), 2, "the hop and its group");
}

#[test]
fn when_the_link_loses_carrier_everything_is_gone_and_comes_back_when_it_does() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    host.run();
    host.kernel.link_up(BRIDGE, true, false);
    assert!(host.kernel.objects.is_empty());
    host.run();
    assert!(matches!(state(&host, SERVICE), RouteState::Unresolved(_)));
    host.kernel.link_up(BRIDGE, true, true);
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES);
    assert_eq!(host.kernel.objects.len(), 4);
    assert_eq!(host.fib.route(&prefix(SERVICE)).unwrap().repairs, 0);
}

#[test]
fn what_was_added_after_a_short_fault_and_before_its_report_is_not_forgotten() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    let ops = plan(&mut host);
    host.kernel.link_up(BRIDGE, true, false);
    host.kernel.link_up(BRIDGE, true, true);
    for (id, op) in ops {
        let answer = host.kernel.apply(&op);
        host.fib.confirm(id, answer, host.now);
    }
    while let Some(event) = host.kernel.events.pop_front() {
        host.fib.observe(event, host.now);
    }
    host.want(SERVICE, &[]);
    host.pass(Duration::from_secs(5));
    assert!(host.kernel.objects.is_empty() && host.kernel.ours(prefix(SERVICE)).is_empty());
}

#[test]
fn a_bridge_that_is_made_anew_gets_its_routes_by_itself() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    host.run();
    host.kernel.delete_link(BRIDGE);
    host.run();
    assert!(host.gateways(SERVICE).is_empty());
    host.kernel.add_bridge(77);
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES);
    assert!(host.kernel.ours(prefix(SERVICE)).iter().flatten().all(|via| via.ifindex == 77));
}

#[test]
fn leftovers_that_are_right_are_adopted_without_a_word_to_the_kernel() {
    let mut host = restarted(|old| old.want(SERVICE, &NODES));
    host.run();
    assert_eq!(state(&host, SERVICE), RouteState::Leftover);
    host.want(SERVICE, &NODES);
    host.run();
    host.fib.end_of_startup(host.now);
    host.run();
    assert_eq!(host.take_log(), []);
    assert_eq!(state(&host, SERVICE), RouteState::Installed);
}

#[test]
fn leftovers_that_differ_are_replaced_in_place_and_unwanted_ones_go_at_the_end_of_startup() {
    let mut host = restarted(|old| {
        old.want("2004::1/128", &NODES);
        old.want("2004::2/128", &NODES);
    });
    host.run();
    host.want("2004::1/128", &NODES[..2]);
    host.run();
    assert_eq!(kinds(&host.take_log()), ["group add", "route replace"]);
    assert_eq!(host.gateways("2004::2/128"), NODES);
    host.pass(Duration::from_secs(46));
    assert_eq!(host.gateways("2004::1/128"), &NODES[..2]);
    assert!(host.gateways("2004::2/128").is_empty());
    assert_eq!(host.kernel.objects.len(), 3);
    let mut notices = Vec::new();
    host.fib.take_notices(&mut notices);
    assert!(notices.contains(&Notice::Found { routes: 2, nexthops: 4 }));
    assert!(notices.contains(&Notice::Swept { routes: 1 }));
}

#[test]
fn of_two_leftovers_for_one_prefix_one_remains() {
    let mut host = restarted(|old| old.want(SERVICE, &NODES));
    let hop = *host.kernel.objects.keys().next().unwrap();
    let stale = KernelRoute {
        nexthop_id: Some(hop),
        ..route(prefix(SERVICE), 186, 20, Some(address(NODES[0])), BRIDGE)
    };
    host.kernel.routes.get_mut(&prefix(SERVICE)).unwrap().push(stale);
    host.run();
    host.want(SERVICE, &NODES);
    host.run();
    let log = host.take_log();
    let target = Some(RouteTarget::Nexthop(hop));
    let (table, protocol, metric) = (254, 186, 20);
    assert_eq!(log, [Op::RouteDel { prefix: prefix(SERVICE), table, protocol, metric, target }]);
    assert_eq!(host.gateways(SERVICE), NODES);
}

#[test]
fn what_is_wanted_before_the_first_dump_waits_for_it() {
    let old = restarted(|old| old.want(SERVICE, &NODES));
    let mut fib = Fib::new(FibConfig::default(), old.now);
    fib.want(prefix(SERVICE), Some(&[hop(NODES[0])]), old.now);
    let mut ops = Vec::new();
    fib.next_ops(100, &mut ops);
    let ops: Vec<Op> = ops.into_iter().map(|(_, op)| op).collect();
    assert_eq!(kinds(&ops), ["dump"; 5]);
}

#[test]
fn a_flushed_route_is_put_back_at_once_and_a_fight_is_paused() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    host.run();
    for _ in 0..5 {
        host.kernel.delete_route(prefix(SERVICE), 186);
        host.run();
        assert_eq!(host.gateways(SERVICE), NODES);
    }
    host.kernel.delete_route(prefix(SERVICE), 186);
    host.run();
    assert!(matches!(state(&host, SERVICE), RouteState::Paused { .. }));
    assert!(host.gateways(SERVICE).is_empty());
    host.pass(Duration::from_secs(1));
    assert_eq!(host.gateways(SERVICE), NODES);
    assert_eq!(host.fib.stats().repairs, 6);
}

#[test]
fn flushed_nexthop_objects_are_put_back_with_their_routes() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    host.want("10.0.0.1/32", &["172.50.0.2"]);
    host.run();
    let before = host.kernel.objects.clone();
    for id in before.keys() {
        host.kernel.delete_object(*id);
    }
    host.run();
    assert_eq!(host.kernel.objects, before);
    assert_eq!(host.gateways(SERVICE), NODES);
    assert_eq!(host.gateways("10.0.0.1/32"), ["172.50.0.2"]);
}

#[test]
fn out_of_memory_is_waited_out_and_everything_read_again() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    let mut ops = Vec::new();
    host.fib.next_ops(100, &mut ops);
    for (id, _) in ops {
        host.fib.confirm(id, Err(KernelError { errno: 105, message: None }), host.now);
    }
    host.run();
    assert_eq!(host.take_log(), []);
    host.pass(Duration::from_secs(3));
    assert_eq!(host.gateways(SERVICE), NODES);
}

fn refusal(errno: i32) -> KernelError {
    KernelError { errno, message: None }
}

/// What is to be done now.
fn plan(host: &mut Host) -> Vec<(OpId, Op)> {
    let mut ops = Vec::new();
    host.fib.next_ops(100, &mut ops);
    ops
}

#[test]
fn a_question_or_a_reading_that_the_kernel_has_no_room_for_stops_no_write() {
    let mut host = Host::lab();
    // Somebody who is not there: he is asked for.
    host.want("2004::9/128", &["::ffff:172.50.0.9"]);
    host.now += Duration::from_secs(2);
    host.fib.observe(Event::Overrun, host.now);
    let mut refused = Vec::new();
    for (id, op) in plan(&mut host) {
        let errno = match op {
            Op::Probe { .. } => ENOBUFS,
            Op::Dump(Kind::Routes) => EAGAIN,
            _ => {
                host.kernel.apply(&op).unwrap();
                host.fib.confirm(id, Ok(()), host.now);
                continue;
            }
        };
        host.fib.confirm(id, Err(refusal(errno)), host.now);
        refused.push(op);
    }
    assert!(matches!(&refused[..], [Op::Dump(_), Op::Probe { .. }]), "{refused:?}");
    host.pass(Duration::from_secs(1));
    assert_eq!(host.fib.stats().errors, 2);
    host.want(SERVICE, &NODES);
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES, "the table is read and the route written");
    // An audit that has no socket is no reason to wait, either.
    host.kernel.audit_waits = true;
    host.now += Duration::from_secs(400);
    host.fib.tick(host.now);
    let audit = plan(&mut host).into_iter().find(|(_, op)| *op == Op::Audit).unwrap();
    host.fib.confirm(audit.0, Err(refusal(ENOBUFS)), host.now);
    host.want(SERVICE, &NODES[..1]);
    assert!(kinds(&plan(&mut host).into_iter().map(|(_, op)| op).collect::<Vec<_>>()).contains(&"hop del"));
}

#[test]
fn what_somebody_else_has_made_needless_is_no_error() {
    let mut host = Host::lab();
    host.want(SERVICE, &["::ffff:172.50.0.9"]);
    host.kernel.audit_waits = true;
    host.now += Duration::from_secs(400);
    host.fib.tick(host.now);
    let mut answered = Vec::new();
    for (id, op) in plan(&mut host) {
        let errno = match op {
            Op::Probe { .. } => ENOENT,
            Op::Audit => ECANCELED,
            _ => continue,
        };
        answered.push(host.fib.refused(id, refusal(errno), host.now, &mut Arrivals::default()));
    }
    assert_eq!((answered, host.fib.stats().errors), (vec![false, false], 0));
}

#[test]
fn a_removal_that_is_refused_is_tried_ever_more_rarely_and_told_once() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES[..1]);
    host.run();
    let objects: Vec<u32> = host.kernel.objects.keys().copied().collect();
    host.kernel.refuses_objects.extend(&objects);
    host.want(SERVICE, &[]);
    host.run();
    host.take_log();
    host.fib.take_notices(&mut Vec::new());
    host.pass(Duration::from_secs(60));
    let tries = kinds(&host.take_log()).iter().filter(|kind| **kind == "group del").count();
    assert!((5..15).contains(&tries), "{tries} tries within a minute");
    let mut notices = Vec::new();
    host.fib.take_notices(&mut notices);
    assert_eq!(notices, [], "it was told at once");
    host.kernel.refuses_objects.clear();
    // Who needs it again does not wait.
    host.want(SERVICE, &NODES[..1]);
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES[..1]);
    host.want(SERVICE, &[]);
    host.pass(Duration::from_secs(1));
    assert!(host.kernel.objects.is_empty());
}

#[test]
fn a_change_of_a_group_that_is_refused_waits() {
    let config = FibConfig { largest_weight: u16::MAX, ..FibConfig::default() };
    let mut host = Host::new(config, Kernel::lab());
    host.want(SERVICE, &NODES[..2]);
    host.run();
    host.fib.end_of_startup(host.now);
    host.run();
    let group = host.kernel.nhid(prefix(SERVICE)).unwrap();
    host.kernel.refuses_objects.insert(group);
    host.take_log();
    host.fib.take_notices(&mut Vec::new());
    // Who has carried flows leaves before he comes back as a backup.
    let leg = std::iter::once((hop(NODES[0]), 1));
    host.fib.want_shares(prefix(SERVICE), leg, Some(hop(NODES[1])), host.now);
    host.pass(Duration::from_secs(1));
    let tries = kinds(&host.take_log()).iter().filter(|kind| **kind == "group replace").count();
    assert!((3..6).contains(&tries), "{tries} tries within a second");
    let mut notices = Vec::new();
    host.fib.take_notices(&mut notices);
    let error = refusal(support::EPERM);
    assert_eq!(notices, [Notice::NexthopFailed { id: group, error }]);
    host.kernel.refuses_objects.clear();
    host.pass(Duration::from_secs(2));
    let carrying = host.kernel.carrying(prefix(SERVICE)).remove(0);
    assert_eq!(carrying.iter().map(|via| via.gateway).collect::<Vec<_>>(), [address(NODES[0])]);
}

#[test]
fn what_is_put_back_is_no_new_arrival() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    host.run();
    assert_eq!(host.installed.drain(..).count(), 1);
    host.pass(Duration::from_secs(3600));
    let gone: [fn(&mut Host); 3] = [
        |host| host.kernel.delete_route(prefix(SERVICE), 186),
        |host| host.kernel.link_up(BRIDGE, true, false),
        |host| host.kernel.delete_object(host.kernel.nhid(prefix(SERVICE)).unwrap()),
    ];
    for undo in gone {
        undo(&mut host);
        host.run();
        host.kernel.link_up(BRIDGE, true, true);
        host.pass(Duration::from_secs(1));
        assert_eq!((host.gateways(SERVICE).len(), host.installed.len()), (3, 0));
    }
    // What is wanted anew and needs no write has arrived as well.
    let fail: fn(&mut Host) = |host| {
        for node in NODES {
            host.kernel.set_neighbor(BRIDGE, address(node), None, bgp_fib::NeighborState::Failed);
        }
        host.run();
        for node in (2..).zip(NODES) {
            let state = bgp_fib::NeighborState::Reachable;
            host.kernel.set_neighbor(BRIDGE, address(node.1), Some(support::mac(node.0)), state);
        }
    };
    let missing: fn(&mut Host) = |host| {
        host.kernel.routes.remove(&prefix(SERVICE));
        host.pass(Duration::from_secs(400));
    };
    for (weight, undo) in (2..).zip([gone[0], fail, missing]) {
        let shares = NODES.iter().zip([weight, 1, 1]).map(|(node, weight)| (hop(node), weight));
        host.fib.want_shares(prefix(SERVICE), shares, None, host.now);
        host.pass(Duration::from_secs(3600));
        undo(&mut host);
        host.run();
        assert_eq!((host.gateways(SERVICE).len(), host.installed.len()), (3, 0), "{weight}");
    }
    let wanted_at = host.now;
    host.want(SERVICE, &[]);
    host.run();
    assert_eq!(host.installed.iter().map(|done| done.wanted_at).collect::<Vec<_>>(), [wanted_at]);
}

#[test]
fn a_hop_that_is_alone_has_no_weight_where_there_are_no_objects() {
    let mut kernel = Kernel::lab();
    kernel.no_objects = true;
    let mut host = Host::new(FibConfig::default(), kernel);
    host.fib.want_shares(prefix(SERVICE), std::iter::once((hop(NODES[0]), 7)), None, host.now);
    host.run();
    let [row] = &host.kernel.routes[&prefix(SERVICE)][..] else { panic!("one route") };
    assert_eq!(row.hops.iter().map(|hop| hop.weight).collect::<Vec<_>>(), [1], "the kernel reads back none");
}

#[test]
fn a_failed_hop_goes_though_everything_has_to_be_read_again() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    host.want("2004::2/128", &NODES[..1]);
    host.run();
    let dead = host.fib.next_hop(&hop(NODES[2])).unwrap().nexthop_id.unwrap();
    host.take_log();
    host.now += Duration::from_secs(2);
    host.kernel.alive.remove(&(BRIDGE, address(NODES[2])));
    host.kernel.set_neighbor(BRIDGE, address(NODES[2]), None, bgp_fib::NeighborState::Failed);
    host.fib.observe(Event::Overrun, host.now);
    host.want("2004::3/128", &NODES[..1]);
    // None of the dumps is done yet.
    assert_eq!(kinds(&plan(&mut host).into_iter().map(|(_, op)| op).collect::<Vec<_>>()), ["dump"; 5]);
    while let Some(event) = host.kernel.events.pop_front() {
        host.fib.observe(event, host.now);
    }
    let ops: Vec<Op> = plan(&mut host).into_iter().map(|(_, op)| op).collect();
    assert_eq!(ops.first(), Some(&Op::NexthopDel { id: dead }));
    assert!(ops[1..].iter().all(|op| matches!(op, Op::Probe { .. })), "and nothing else: {ops:?}");
}

#[test]
fn a_refused_gateway_is_shown_and_tried_again() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES[..1]);
    host.fib.watch(hop(NODES[0]), host.now);
    let mut ops = Vec::new();
    host.fib.next_ops(100, &mut ops);
    for (id, op) in ops {
        let errno = if matches!(op, Op::NexthopAdd(_)) { 101 } else { 22 };
        let message = Some("Nexthop has invalid gateway".to_owned());
        host.fib.confirm(id, Err(KernelError { errno, message }), host.now);
    }
    let mut changes = Vec::new();
    host.fib.take_reachability_changes(&mut changes);
    let text = format!("{changes:?}");
    assert!(text.contains("network is unreachable (errno 101): Nexthop has invalid gateway"), "{text}");
    assert!(host.fib.next_hops()[0].error.is_some());
    host.pass(Duration::from_millis(100));
    assert_eq!(host.gateways(SERVICE), &NODES[..1]);
}

#[test]
fn a_kernel_without_nexthop_objects_gets_routes_with_their_hops() {
    let mut kernel = Kernel::lab();
    kernel.no_objects = true;
    let mut host = Host::new(FibConfig::default(), kernel);
    host.want(SERVICE, &NODES);
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES);
    assert_eq!(host.kernel.nhid(prefix(SERVICE)), None);
    host.want(SERVICE, &NODES[..2]);
    host.run();
    assert_eq!(host.gateways(SERVICE), &NODES[..2]);
    host.fib.observe(Event::Unsupported(bgp_fib::Kind::Nexthops), host.now);
    host.run();
    assert_eq!(host.gateways(SERVICE), &NODES[..2]);
}

#[test]
fn an_id_of_ours_that_somebody_else_uses_is_left_to_him() {
    let mut host = Host::lab();
    let theirs = (STATIC, support::Object::Hop(bgp_fib::Via { gateway: address(NODES[2]), ifindex: BRIDGE }));
    host.kernel.objects.insert(HOP_IDS.start, theirs.clone());
    host.want(SERVICE, &NODES[..2]);
    host.pass(Duration::from_secs(3));
    assert_eq!(host.gateways(SERVICE), &NODES[..2]);
    assert_eq!(host.kernel.objects.get(&HOP_IDS.start), Some(&theirs));
}

#[test]
fn an_object_that_somebody_elses_route_uses_is_not_deleted_under_it() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES[..1]);
    host.run();
    let nhid = host.kernel.nhid(prefix(SERVICE));
    let theirs = route(prefix("2005::/64"), STATIC, 1024, None, BRIDGE);
    host.kernel
        .put_foreign(bgp_fib::KernelRoute { nexthop_id: nhid, hops: Vec::new(), ..theirs }, Seen::Change);
    host.run();
    host.fib.want(prefix(SERVICE), None, host.now);
    host.run();
    assert!(host.gateways(SERVICE).is_empty());
    assert!(host.kernel.objects.contains_key(&nhid.unwrap()));
}

#[test]
fn a_clean_stop_removes_everything_unless_it_is_to_be_kept() {
    let mut host = Host::lab();
    for number in 1..=9 {
        host.want(&format!("2004::{number}/128"), &NODES);
        host.want(&format!("10.0.0.{number}/32"), &["172.50.0.2"]);
    }
    host.run();
    host.fib.leave(false, host.now);
    assert!(!host.fib.is_settled());
    host.run();
    assert!(host.fib.is_settled());
    assert!(host.kernel.objects.is_empty());
    assert!((1..=9).all(|number| host.gateways(&format!("2004::{number}/128")).is_empty()));

    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    host.run();
    host.fib.leave(true, host.now);
    host.want(SERVICE, &[]);
    host.run();
    assert!(host.fib.is_settled());
    assert_eq!(host.gateways(SERVICE), NODES);
}

#[test]
fn withdrawals_of_a_whole_table_are_not_sorted() {
    let mut host = Host::lab();
    for number in 1..=200_u8 {
        host.want(&format!("10.0.0.{number}/32"), &["172.50.0.2"]);
    }
    host.run();
    host.take_log();
    host.fib.leave(false, host.now);
    host.run();
    let order: Vec<_> = host
        .take_log()
        .iter()
        .filter_map(|op| match op {
            Op::RouteDel { prefix, .. } => Some(*prefix),
            _ => None,
        })
        .collect();
    assert_eq!(order.len(), 200);
    let ascending = order.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((40..160).contains(&ascending), "{ascending} of 199 steps ascend");
}

#[test]
fn table_metric_protocol_and_preferred_source_are_those_of_the_config() {
    let source = address("2001:3200:3200::1");
    let config = FibConfig {
        table: 100,
        metric: 7,
        preferred_source: bgp_wire::PerFamily { ipv4: None, ipv6: Some(source) },
        ..FibConfig::default()
    };
    let mut host = Host::new(config, Kernel::lab());
    host.want(SERVICE, &NODES);
    host.run();
    let row = host.kernel.routes.get(&prefix(SERVICE)).unwrap().first().unwrap();
    assert_eq!((row.table, row.metric, row.protocol), (100, 7, 186));
    assert_eq!(row.preferred_source, Some(source));
}

#[test]
fn lost_reports_lead_to_dumps_and_these_to_repair() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    host.run();
    host.now += Duration::from_secs(2);
    host.kernel.delete_route(prefix(SERVICE), 186);
    let id = *host.kernel.objects.keys().next().unwrap();
    host.kernel.delete_object(id);
    host.kernel.events.clear();
    host.fib.observe(Event::Overrun, host.now);
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES);
}

//! Which next hops can be used, fact by fact: links, addresses, routes, neighbours, and IPv4-mapped next hops.

mod support;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use bgp_fib::{
    Address, Event, FibConfig, GroupKind, KernelHop, KernelRoute, Kind, Link, NeighborState, Notice, Op,
    Reachability, RouteKind, Seen, Via,
};
use bgp_wire::{NextHop, ScopedNextHop};

use support::buckets::Buckets;
use support::{BRIDGE, Group, Host, Kernel, Object, STATIC, address, hop, mac, prefix, route};

const SERVICE: &str = "2004::1/128";
const NODES: [&str; 3] = ["2001:3200:3200::2", "2001:3200:3200::3", "2001:3200:3200::4"];

/// What the tracker says of a next hop, in words.
fn look(host: &mut Host, next_hop: ScopedNextHop) -> String {
    host.fib.watch(next_hop, host.now);
    host.run();
    let text = match host.fib.reachability(&next_hop) {
        Reachability::Reachable { metric } => {
            let view =
                host.fib.next_hops().into_iter().find(|view| view.next_hop.next_hop == next_hop.next_hop);
            let view = view.unwrap();
            format!("{} metric {metric}: {}", view.via.unwrap().gateway, view.how)
        }
        Reachability::Unreachable(why) => why.to_string(),
    };
    host.fib.unwatch(next_hop);
    text
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn link(ifindex: u32, name: &str, carrier: bool) -> Link {
    let name = name.to_owned();
    Link { ifindex, name, admin_up: true, carrier, loopback: false, mac: None, master: None }
}

#[test]
fn the_kernels_choice_of_link_is_followed() {
    let mut host = Host::lab();
    // docker0 has the same /64 with a worse metric and no carrier, and the /56 around it.
    host.kernel.set_link(link(3, "docker0", false));
    let on = |prefix_len| Address {
        ifindex: 3,
        address: address("2001:3200:3200::1"),
        prefix_len,
        tentative: false,
    };
    host.kernel.set_address(on(64));
    for text in ["2001:3200:3200::/64", "2001:3200:3200::/56"] {
        host.kernel.routes.entry(prefix(text)).or_default();
        host.fib
            .observe(bgp_fib::Event::Route(route(prefix(text), 2, 1024, None, 3), Seen::Change), host.now);
    }
    assert_eq!(look(&mut host, hop(NODES[0])), "2001:3200:3200::2 metric 0: on link at br-5");
    host.kernel.set_link(link(3, "docker0", true));
    assert_eq!(look(&mut host, hop(NODES[0])), "2001:3200:3200::2 metric 0: on link at br-5");
}

#[test]
fn what_cannot_be_a_gateway_says_why() {
    let mut host = Host::lab();
    assert_eq!(look(&mut host, hop("172.50.0.1")), "172.50.0.1 is an address of this host");
    assert_eq!(look(&mut host, hop("192.0.2.1")), "no route leads to it");
    assert_eq!(look(&mut host, hop("0.0.0.0")), "0.0.0.0 is no address of a neighbour");
    let default = route(prefix("0.0.0.0/0"), STATIC, 0, Some(address("172.50.0.9")), BRIDGE);
    host.kernel.put_foreign(default, Seen::Change);
    assert_eq!(look(&mut host, hop("192.0.2.1")), "only a default route leads to it");
    let reject = route(prefix("192.0.2.0/24"), STATIC, 0, None, 0);
    host.kernel.put_foreign(bgp_fib::KernelRoute { kind: RouteKind::Reject, ..reject }, Seen::Change);
    assert_eq!(look(&mut host, hop("192.0.2.1")), "192.0.2.0/24 is rejected by a route");
}

#[test]
fn recursion_goes_by_the_longest_route_and_its_gateway() {
    let mut host = Host::lab();
    host.kernel.put_foreign(
        route(prefix("192.0.2.0/24"), STATIC, 50, Some(address("172.50.0.3")), BRIDGE),
        Seen::Change,
    );
    let expected = "172.50.0.3 metric 50: by 192.0.2.0/24 via 172.50.0.3 at br-5";
    assert_eq!(look(&mut host, hop("192.0.2.1")), expected);
    host.want("10.0.0.1/32", &["192.0.2.1"]);
    host.run();
    assert_eq!(host.gateways("10.0.0.1/32"), ["172.50.0.3"]);
    host.kernel.delete_route(prefix("192.0.2.0/24"), STATIC);
    host.run();
    assert!(host.gateways("10.0.0.1/32").is_empty());
}

/// A route of somebody else by these gateways.
fn by(text: &str, metric: u32, gateways: &[&str]) -> KernelRoute {
    let hop =
        |text: &&str| KernelHop { gateway: Some(address(text)), ifindex: BRIDGE, weight: 1, down: false };
    KernelRoute {
        hops: gateways.iter().map(hop).collect(),
        ..route(prefix(text), STATIC, metric, None, BRIDGE)
    }
}

fn report(host: &mut Host, event: Event) {
    host.fib.observe(event, host.now);
}

#[test]
fn the_legs_of_an_ipv6_route_come_and_go_one_by_one() {
    const TO: &str = "2005::/64";
    let way = |host: &mut Host| look(host, hop("2005::9")).split(' ').next().unwrap().to_owned();
    let put = |host: &mut Host, gateways: &[&str]| {
        report(host, Event::Route(by(TO, 50, gateways), Seen::Change));
    };
    let gone = |host: &mut Host, gateways: &[&str]| report(host, Event::RouteGone(by(TO, 50, gateways)));
    let mut host = Host::lab();
    put(&mut host, &NODES[..1]);
    // Appended: told with the legs that there were.
    put(&mut host, &[NODES[1], NODES[0]]);
    put(&mut host, &[NODES[2], NODES[0], NODES[1]]);
    gone(&mut host, &NODES[2..]);
    gone(&mut host, &NODES[..1]);
    assert_eq!(way(&mut host), NODES[1], "the others stay");
    gone(&mut host, &NODES[1..2]);
    assert_eq!(look(&mut host, hop("2005::9")), "no route leads to it", "nothing of them is left");
    // All that go together are told as one, in whatever order; a leg may be of another protocol.
    put(&mut host, &NODES[..2]);
    let theirs = by(TO, 50, &[NODES[2], NODES[0], NODES[1]]);
    report(&mut host, Event::Route(KernelRoute { protocol: 9, ..theirs }, Seen::Change));
    gone(&mut host, &[NODES[1], NODES[2]]);
    assert_eq!(way(&mut host), NODES[0]);
    gone(&mut host, &NODES[..1]);
    assert_eq!(look(&mut host, hop("2005::9")), "no route leads to it");
    // With another metric it is another route.
    put(&mut host, &NODES[..1]);
    report(&mut host, Event::Route(by(TO, 40, &NODES[1..2]), Seen::Change));
    gone(&mut host, &NODES[..1]);
    assert_eq!(way(&mut host), NODES[1]);
}

/// An IPv4 route of somebody else through a group of one object, each of them his.
fn by_object(host: &mut Host, text: &str, metric: u32) {
    let via = Via { gateway: address("172.50.0.3"), ifindex: BRIDGE };
    let kind = GroupKind::HashThreshold;
    let group = Group { kind, members: vec![(900, 1)], buckets: Buckets::default() };
    for (id, object) in [(900, Object::Hop(via)), (910, Object::Group(group))] {
        let row = (STATIC, object);
        host.kernel.events.push_back(Event::Nexthop(support::nexthop(id, &row), Seen::Change));
        host.kernel.objects.insert(id, row);
    }
    let through = KernelRoute { nexthop_id: Some(910), ..by(text, metric, &["172.50.0.3"]) };
    host.kernel.put_foreign(through, Seen::Change);
    host.run();
}

#[test]
fn routes_of_others_go_with_the_object_that_they_go_by_and_nobody_says_so() {
    type End = (&'static str, fn(&mut Kernel));
    let ends: [End; 3] = [
        ("object", |kernel| kernel.delete_object(900)),
        ("carrier", |kernel| kernel.link_up(BRIDGE, true, false)),
        ("link", |kernel| kernel.link_up(BRIDGE, false, false)),
    ];
    for (what, end) in ends {
        let mut host = Host::lab();
        by_object(&mut host, "192.0.2.0/24", 50);
        let way = "172.50.0.3 metric 50: by 192.0.2.0/24 via 172.50.0.3 at br-5";
        assert_eq!(look(&mut host, hop("192.0.2.1")), way);
        end(&mut host.kernel);
        host.run();
        host.kernel.link_up(BRIDGE, true, true);
        host.run();
        assert_eq!(look(&mut host, hop("192.0.2.1")), "no route leads to it", "{what}");
    }
}

#[test]
fn an_object_that_a_dump_does_not_show_takes_the_routes_of_others_along() {
    let mut host = Host::lab();
    by_object(&mut host, "192.0.2.0/24", 50);
    host.kernel.delete_object(900);
    host.kernel.events.clear();
    report(&mut host, Event::DumpStart(Kind::Nexthops));
    report(&mut host, Event::DumpEnd(Kind::Nexthops));
    assert_eq!(look(&mut host, hop("192.0.2.1")), "no route leads to it");
}

#[test]
fn a_member_that_a_group_of_others_has_lost_is_no_way_though_the_route_was_told_with_it() {
    let mut host = Host::lab();
    by_object(&mut host, "192.0.2.0/24", 50);
    let via = Via { gateway: address("172.50.0.4"), ifindex: BRIDGE };
    let row = (STATIC, Object::Hop(via));
    host.kernel.events.push_back(Event::Nexthop(support::nexthop(901, &row), Seen::Change));
    host.kernel.objects.insert(901, row);
    host.kernel.change_group(910, vec![(900, 1), (901, 1)]);
    host.kernel.delete_object(900);
    host.run();
    let way = "172.50.0.4 metric 50: by 192.0.2.0/24 via 172.50.0.4 at br-5";
    assert_eq!(look(&mut host, hop("192.0.2.1")), way);
}

#[test]
fn a_route_in_our_way_that_goes_with_its_object_gives_way_at_once() {
    let mut host = Host::lab();
    by_object(&mut host, "10.9.9.0/24", 20);
    host.want("10.9.9.0/24", &["172.50.0.2"]);
    host.run();
    assert_eq!(host.gateways("10.9.9.0/24"), [""; 0]);
    host.kernel.delete_object(900);
    host.run();
    assert_eq!(host.gateways("10.9.9.0/24"), ["172.50.0.2"]);
}

#[test]
fn a_link_that_is_reported_down_again_is_no_news() {
    let mut host = Host::lab();
    host.kernel.set_link(link(9, "eth9", false));
    host.kernel.put_foreign(by("10.9.9.0/24", 20, &["172.50.0.3"]), Seen::Change);
    host.run();
    host.want("10.9.9.0/24", &["172.50.0.2"]);
    host.run();
    host.take_log();
    host.fib.take_notices(&mut Vec::new());
    for _ in 0..3 {
        host.kernel.set_link(link(9, "eth9", false));
        host.run();
    }
    let mut notices = Vec::new();
    host.fib.take_notices(&mut notices);
    assert_eq!((host.take_log(), notices), (vec![], vec![]));
    // One that is set down, though it had no carrier before, takes routes along.
    host.kernel.put_foreign(route(prefix("192.0.2.0/24"), STATIC, 50, None, 9), Seen::Change);
    host.run();
    assert_eq!(look(&mut host, hop("192.0.2.1")), "eth9 has no carrier");
    host.kernel.link_up(9, false, false);
    assert_eq!(look(&mut host, hop("192.0.2.1")), "no route leads to it");
}

/// Everything is read again, and this IPv6 route of others is passed over.
fn dump_without(host: &mut Host, text: &str) {
    let hidden = host.kernel.routes.remove(&prefix(text));
    host.kernel.events.push_back(Event::Overrun);
    host.run();
    host.kernel.routes.extend(hidden.map(|rows| (prefix(text), rows)));
}

#[test]
fn an_ipv6_route_that_one_dump_has_not_shown_is_there_until_a_second_has_not_either() {
    let mut host = Host::lab();
    host.kernel.put_foreign(by("2005::/64", 50, &NODES[1..2]), Seen::Change);
    host.want(SERVICE, &["2005::9"]);
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES[1..2]);
    host.now += Duration::from_secs(2);
    dump_without(&mut host, "2005::/64");
    assert_eq!(host.gateways(SERVICE), NODES[1..2]);
    host.pass(Duration::from_secs(2));
    assert_eq!(host.gateways(SERVICE), NODES[1..2], "the second has shown it");
    // This time it has gone, and the report was lost.
    dump_without(&mut host, "2005::/64");
    host.kernel.routes.remove(&prefix("2005::/64"));
    host.pass(Duration::from_secs(2));
    assert_eq!(host.gateways(SERVICE), [""; 0]);
}

#[test]
fn an_address_of_a_link_that_is_set_down_hides_no_route() {
    let mut host = Host::lab();
    host.kernel.put_foreign(by("192.0.2.0/24", 50, &["172.50.0.3"]), Seen::Change);
    host.kernel.set_link(Link { admin_up: false, ..link(9, "eth9", false) });
    let on = Address { ifindex: 9, address: address("192.0.2.1"), prefix_len: 25, tentative: false };
    host.kernel.set_address(on);
    let way = "172.50.0.3 metric 50: by 192.0.2.0/24 via 172.50.0.3 at br-5";
    assert_eq!(look(&mut host, hop("192.0.2.7")), way);
    host.kernel.delete_route(prefix("192.0.2.0/24"), STATIC);
    assert_eq!(look(&mut host, hop("192.0.2.7")), "eth9 is down");
}

#[test]
fn ipv6_waits_for_an_address_that_is_not_tentative() {
    let mut kernel = Kernel::lab();
    for text in ["2001:3200:3200::1", "fe80::1"] {
        let (address, prefix_len) = (address(text), 64);
        kernel.set_address(Address { ifindex: BRIDGE, address, prefix_len, tentative: true });
    }
    let mut host = Host::new(FibConfig::default(), kernel);
    host.want(SERVICE, &NODES);
    host.run();
    assert_eq!(look(&mut host, hop(NODES[0])), "br-5 has no usable IPv6 address yet");
    assert!(host.gateways(SERVICE).is_empty());
    let (address, prefix_len) = (address("2001:3200:3200::1"), 64);
    host.kernel.set_address(Address { ifindex: BRIDGE, address, prefix_len, tentative: false });
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES);
}

#[test]
fn link_local_next_hops_need_their_link() {
    let mut host = Host::lab();
    let local = NextHop::V6(v6("fe80::2"));
    let on = |next_hop, interface| ScopedNextHop { next_hop, interface };
    assert_eq!(look(&mut host, on(local, None)), "fe80::2 is link-local and its interface is not known");
    assert_eq!(look(&mut host, on(local, Some(BRIDGE))), "fe80::2 metric 0: on link at br-5");
    let both = NextHop::V6WithLinkLocal(v6(NODES[0]), v6("fe80::2"));
    assert_eq!(look(&mut host, on(both, Some(BRIDGE))), "fe80::2 metric 0: on link at br-5");
    host.fib.watch(on(both, None), host.now);
    host.run();
    assert_eq!(host.fib.reachability(&on(both, None)), Reachability::Reachable { metric: 0 });
    // A link that is not there: the global address.
    host.fib.want(prefix(SERVICE), Some(&[on(both, Some(99))]), host.now);
    host.run();
    assert_eq!(host.gateways(SERVICE), [NODES[0]]);
}

#[test]
fn watchers_hear_of_their_next_hop_first_once_and_then_when_it_changes() {
    let mut host = Host::lab();
    // A global next hop is tracked whatever link the session is on, and reported by the name it was given.
    let watched = ScopedNextHop { interface: Some(9), ..hop(NODES[0]) };
    host.fib.watch(watched, host.now);
    let mut changes = Vec::new();
    host.fib.take_reachability_changes(&mut changes);
    assert_eq!(changes, [(watched, Reachability::Reachable { metric: 0 })]);
    host.kernel.link_up(BRIDGE, true, false);
    host.run();
    changes.clear();
    host.fib.take_reachability_changes(&mut changes);
    assert_eq!(changes, [(watched, Reachability::Unreachable("br-5 has no carrier".into()))]);
    changes.clear();
    host.fib.take_reachability_changes(&mut changes);
    assert_eq!(changes, []);
}

#[test]
fn a_neighbour_that_fails_leaves_by_one_message_and_comes_back_in_place() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    host.want("2004::2/128", &NODES);
    host.run();
    let group = host.kernel.nhid(prefix(SERVICE));
    host.take_log();
    let dead: IpAddr = address(NODES[1]);
    let alive = host.kernel.alive.remove(&(BRIDGE, dead)).unwrap();
    host.kernel.set_neighbor(BRIDGE, dead, None, NeighborState::Failed);
    host.run();
    assert!(matches!(host.take_log().as_slice(), [Op::NexthopDel { .. }]));
    assert_eq!(host.gateways(SERVICE), [NODES[0], NODES[2]]);
    assert_eq!(look(&mut host, hop(NODES[1])), "2001:3200:3200::3 does not answer at br-5");

    host.kernel.set_neighbor(BRIDGE, dead, None, NeighborState::Incomplete);
    host.run();
    assert_eq!(host.gateways(SERVICE), [NODES[0], NODES[2]]);
    host.fib.observe(bgp_fib::Event::NeighborGone { ifindex: BRIDGE, address: dead }, host.now);
    host.run();
    assert_eq!(host.gateways(SERVICE), [NODES[0], NODES[2]]);

    host.kernel.alive.insert((BRIDGE, dead), alive);
    host.pass(Duration::from_secs(31));
    assert_eq!(host.gateways(SERVICE), NODES);
    assert_eq!(host.kernel.nhid(prefix(SERVICE)), group);
}

#[test]
fn a_dead_neighbour_is_asked_for_at_growing_intervals() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    host.run();
    let dead: IpAddr = address(NODES[1]);
    host.kernel.alive.remove(&(BRIDGE, dead));
    host.kernel.set_neighbor(BRIDGE, dead, None, NeighborState::Failed);
    host.log.clear();
    let mut at = Vec::new();
    let start = host.now;
    for second in 0..70 {
        host.pass(start + Duration::from_secs(second) - host.now);
        let asked =
            host.log.drain(..).filter(|op| matches!(op, Op::Probe { address, .. } if *address == dead));
        at.extend(asked.map(|_| second));
    }
    assert_eq!(at, [0, 1, 3, 7, 15, 31, 61]);
}

#[test]
fn incomplete_alone_takes_nothing_away() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    host.run();
    host.take_log();
    host.kernel.set_neighbor(BRIDGE, address(NODES[1]), None, NeighborState::Incomplete);
    host.run();
    assert_eq!(host.take_log(), []);
}

#[test]
fn when_a_bridge_port_goes_the_neighbours_behind_the_bridge_are_verified() {
    let mut host = Host::lab();
    let port = Link { master: Some(BRIDGE), ..link(8, "veth8", true) };
    host.kernel.set_link(port.clone());
    host.want(SERVICE, &NODES);
    for (node, text) in (2..).zip(NODES) {
        host.kernel.set_neighbor(BRIDGE, address(text), Some(mac(node)), NeighborState::Reachable);
    }
    host.run();
    host.log.clear();
    host.kernel.alive.remove(&(BRIDGE, address(NODES[2])));
    host.kernel.set_link(Link { carrier: false, ..port });
    host.run();
    let verified = host.log.iter().filter(|op| matches!(op, Op::Verify { .. })).count();
    assert_eq!(verified, 3);
    assert_eq!(host.gateways(SERVICE), &NODES[..2]);
}

#[test]
fn a_mapped_next_hop_becomes_the_nodes_ipv6_address_and_counts_once() {
    let mut host = Host::lab();
    host.want(SERVICE, &["::ffff:172.50.0.2", NODES[0], NODES[1]]);
    host.run();
    assert_eq!(host.gateways(SERVICE), &NODES[..2]);
    let how = "2001:3200:3200::2 metric 0: ::ffff:172.50.0.2 is 2001:3200:3200::2 \
               (same MAC 02:42:ac:32:00:02 at br-5)";
    assert_eq!(look(&mut host, hop("::ffff:172.50.0.2")), how);
    // An IPv6 prefix with a plain IPv4 next hop is the same; an IPv4 prefix needs no IPv6 address.
    host.want("2004::2/128", &["172.50.0.3"]);
    host.want("10.0.0.1/32", &["::ffff:172.50.0.3"]);
    host.run();
    assert_eq!(host.gateways("2004::2/128"), [NODES[1]]);
    assert_eq!(host.gateways("10.0.0.1/32"), ["172.50.0.3"]);
}

#[test]
fn a_search_that_succeeds_at_once_is_told_as_its_success() {
    let mut host = Host::lab();
    let mut notices = Vec::new();
    host.fib.take_notices(&mut notices);
    notices.clear();
    host.want(SERVICE, &["::ffff:172.50.0.2"]);
    host.run();
    host.fib.take_notices(&mut notices);
    let how = "::ffff:172.50.0.2 is 2001:3200:3200::2 (same MAC 02:42:ac:32:00:02 at br-5)".to_owned();
    assert_eq!(notices, [bgp_fib::Notice::Mapped { how }]);
}

#[test]
fn an_address_with_another_mac_is_never_used() {
    let mut host = Host::lab();
    // Somebody else has the address that the numbering suggests.
    host.kernel.alive.insert((BRIDGE, address(NODES[0])), mac(99));
    host.want(SERVICE, &["::ffff:172.50.0.2"]);
    host.pass(Duration::from_secs(5));
    assert!(host.gateways(SERVICE).is_empty());
    let why = "no IPv6 address with MAC 02:42:ac:32:00:02 found at br-5";
    assert_eq!(look(&mut host, hop("::ffff:172.50.0.2")), why);
    // The address made from the MAC answers with the right one.
    host.kernel.alive.insert((BRIDGE, address("2001:3200:3200:0:42:acff:fe32:2")), mac(2));
    host.pass(Duration::from_secs(31));
    assert_eq!(host.gateways(SERVICE), ["2001:3200:3200:0:42:acff:fe32:2"]);
}

#[test]
fn a_node_with_a_link_local_address_alone_is_reached_by_it_after_a_moment() {
    let mut host = Host::lab();
    let local = address("fe80::42:acff:fe32:2");
    host.kernel.alive.remove(&(BRIDGE, address(NODES[0])));
    host.kernel.alive.insert((BRIDGE, local), mac(2));
    host.kernel.set_neighbor(BRIDGE, local, Some(mac(2)), NeighborState::Stale);
    host.want(SERVICE, &["::ffff:172.50.0.2"]);
    host.run();
    assert!(host.gateways(SERVICE).is_empty());
    host.pass(Duration::from_millis(300));
    assert_eq!(host.gateways(SERVICE), ["fe80::42:acff:fe32:2"]);
    // The global one appears: from now on that.
    host.kernel.set_neighbor(BRIDGE, address(NODES[0]), Some(mac(2)), NeighborState::Reachable);
    host.run();
    assert_eq!(host.gateways(SERVICE), [NODES[0]]);
}

#[test]
fn of_several_addresses_with_the_mac_the_choice_is_always_the_same() {
    for order in [["2001:3200:3200::2", "2001:3200:3200::a"], ["2001:3200:3200::a", "2001:3200:3200::2"]] {
        let mut host = Host::lab();
        for text in order {
            host.kernel.set_neighbor(BRIDGE, address(text), Some(mac(2)), NeighborState::Reachable);
        }
        host.want(SERVICE, &["::ffff:172.50.0.2"]);
        host.run();
        assert_eq!(host.gateways(SERVICE), ["2001:3200:3200::2"]);
    }
}

#[test]
fn a_changed_mac_starts_the_search_anew() {
    let mut host = Host::lab();
    host.want(SERVICE, &["::ffff:172.50.0.2"]);
    host.run();
    assert_eq!(host.gateways(SERVICE), [NODES[0]]);
    host.kernel.alive.insert((BRIDGE, address("2001:3200:3200::7")), mac(7));
    host.kernel.set_neighbor(BRIDGE, address("2001:3200:3200::7"), Some(mac(7)), NeighborState::Reachable);
    host.kernel.set_neighbor(BRIDGE, address("172.50.0.2"), Some(mac(7)), NeighborState::Reachable);
    host.run();
    assert_eq!(host.gateways(SERVICE), ["2001:3200:3200::7"]);
    // The IPv6 entry alone moves to another MAC: no longer the node.
    host.kernel.alive.remove(&(BRIDGE, address("2001:3200:3200::7")));
    host.kernel.set_neighbor(BRIDGE, address("2001:3200:3200::7"), Some(mac(8)), NeighborState::Reachable);
    host.run();
    assert!(host.gateways(SERVICE).is_empty());
}

#[test]
fn a_forgotten_neighbour_entry_is_asked_for_again_and_the_route_stays_meanwhile() {
    let mut host = Host::lab();
    host.want(SERVICE, &["::ffff:172.50.0.2"]);
    host.run();
    host.log.clear();
    host.kernel.neighbors.remove(&(BRIDGE, address(NODES[0])));
    let gone = bgp_fib::Event::NeighborGone { ifindex: BRIDGE, address: address(NODES[0]) };
    host.fib.observe(gone, host.now);
    let mut ops = Vec::new();
    host.fib.next_ops(100, &mut ops);
    let ops: Vec<Op> = ops.into_iter().map(|(_, op)| op).collect();
    assert_eq!(ops, [Op::Probe { ifindex: BRIDGE, address: address(NODES[0]) }]);
}

#[test]
fn what_is_in_use_is_checked_now_and_then() {
    let mut host = Host::lab();
    host.want(SERVICE, &["::ffff:172.50.0.2"]);
    host.run();
    host.log.clear();
    host.pass(Duration::from_secs(61));
    let probed: Vec<&Op> = host.log.iter().filter(|op| matches!(op, Op::Probe { .. })).collect();
    let probe = |text| Op::Probe { ifindex: BRIDGE, address: address(text) };
    assert_eq!(probed, [&probe("172.50.0.2"), &probe(NODES[0])]);
}

#[test]
fn the_switch_turns_mapped_next_hops_off() {
    let config = FibConfig { resolve_mapped_next_hops: false, ..FibConfig::default() };
    let mut host = Host::new(config, Kernel::lab());
    host.want(SERVICE, &["::ffff:172.50.0.2", NODES[1]]);
    host.run();
    assert_eq!(host.gateways(SERVICE), [NODES[1]]);
    let why = "::ffff:172.50.0.2 is IPv4-mapped and resolve-mapped-next-hops is off";
    assert_eq!(look(&mut host, hop("::ffff:172.50.0.2")), why);
}

#[test]
fn nothing_is_said_of_a_next_hop_before_the_kernel_has_been_read() {
    let mut host = Host::new(FibConfig::default(), Kernel::lab());
    let known = [hop(NODES[0]), hop("192.0.2.1")];
    for next_hop in known {
        host.fib.watch(next_hop, host.now);
    }
    host.fib.tick(host.now);
    let mut notices = Vec::new();
    host.fib.take_notices(&mut notices);
    assert_eq!(notices, []);
    host.run();
    host.fib.take_notices(&mut notices);
    let said: Vec<_> = notices
        .into_iter()
        .filter_map(|notice| match notice {
            Notice::NextHop { next_hop, reachability, first } => {
                assert!(first);
                Some((next_hop, reachability))
            }
            _ => None,
        })
        .collect();
    let unreachable = Reachability::Unreachable("no route leads to it".into());
    let mut wanted = [(known[0], Reachability::Reachable { metric: 0 }), (known[1], unreachable)];
    wanted.sort_by_key(|(next_hop, _)| *next_hop);
    assert_eq!(said, wanted);
}

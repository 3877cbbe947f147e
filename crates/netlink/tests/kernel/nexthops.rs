//! Nexthop objects and groups.

use bgp_fib::{Event, Kind, Op, RouteTarget};

use crate::host::{Host, by_id, group, hop, route};

/// Hops 1 and 2 on eth0, 3 on eth1, in one group 100 per family (v6: 11, 12, 13 and 110), and a route by each group.
fn three_legs(host: &mut Host) {
    let (first, second) = (host.namespace.ifindex("eth0"), host.namespace.ifindex("eth1"));
    host.apply(vec![
        hop(1, "10.0.0.2", first),
        hop(2, "10.0.0.3", first),
        hop(3, "10.0.1.2", second),
        Op::GroupAdd(group(100, &[(1, 1), (2, 1), (3, 256)])),
        by_id("198.51.100.0/24", 100),
        hop(11, "2001:db8::2", first),
        hop(12, "2001:db8::3", first),
        hop(13, "2001:db8:1::2", second),
        Op::GroupAdd(group(110, &[(11, 1), (12, 1), (13, 1)])),
        by_id("2004::1/128", 110),
    ]);
}

fn members(host: &Host, id: u32) -> Vec<u64> {
    let objects = host.show("nexthop show");
    let Some(object) = objects.iter().find(|object| object["id"] == id) else { return Vec::new() };
    object["group"].as_array().unwrap().iter().map(|member| member["id"].as_u64().unwrap()).collect()
}

#[test]
fn a_group_carries_routes_of_both_families() {
    let mut host = Host::new();
    three_legs(&mut host);
    let v6 = &host.show("-6 route show 2004::1")[0];
    assert_eq!((v6["nhid"].as_u64(), v6["metric"].as_u64()), (Some(110), Some(20)));
    assert_eq!(v6["protocol"], "bgp");
    assert_eq!(v6["nexthops"].as_array().unwrap().len(), 3);
    let v4 = &host.show("route show 198.51.100.0/24")[0];
    assert_eq!(v4["nhid"].as_u64(), Some(100));
    let objects = host.show("nexthop show");
    let weights = &objects.iter().find(|object| object["id"] == 100).unwrap()["group"];
    assert_eq!(weights[2]["weight"].as_u64(), Some(256));
}

#[test]
fn ipv4_routes_take_ipv6_next_hops() {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    host.apply(vec![hop(1, "2001:db8::2", link), by_id("203.0.113.0/24", 1)]);
    let via = &host.show("route show 203.0.113.0/24")[0]["via"];
    assert_eq!((via["family"].as_str(), via["host"].as_str()), (Some("inet6"), Some("2001:db8::2")));
}

#[test]
fn deleting_a_hop_shrinks_its_groups_and_leaves_the_routes() {
    let mut host = Host::new();
    three_legs(&mut host);
    host.apply(vec![Op::NexthopDel { id: 2 }, Op::NexthopDel { id: 12 }]);
    assert_eq!((members(&host, 100), members(&host, 110)), (vec![1, 3], vec![11, 13]));
    assert_eq!(host.show("-6 route show 2004::1")[0]["nexthops"].as_array().unwrap().len(), 2);

    host.apply([1, 3, 11, 13].map(|id| Op::NexthopDel { id }).to_vec());
    assert!(host.show("nexthop show").is_empty(), "a group without members goes");
    assert!(host.show("route show proto bgp").is_empty(), "and so do its routes");
    assert!(host.show("-6 route show proto bgp").is_empty());
}

#[test]
fn a_group_is_replaced_in_place() {
    let mut host = Host::new();
    three_legs(&mut host);
    host.events.clear();
    host.apply(vec![
        Op::GroupReplace(group(100, &[(3, 1)])),
        Op::GroupReplace(group(110, &[(11, 1), (13, 1)])),
    ]);
    assert_eq!((members(&host, 100), members(&host, 110)), (vec![3], vec![11, 13]));
    assert_eq!(host.show("-6 route show 2004::1")[0]["nhid"].as_u64(), Some(110));
    host.sentinel();
    let gone = host.events.iter().filter(|event| matches!(event, Event::RouteGone(_))).count();
    assert_eq!(gone, 0);
}

#[test]
fn carrier_loss_takes_objects_and_routes_away_and_only_the_link_says_so() {
    let mut host = Host::new();
    three_legs(&mut host);
    let link = host.namespace.ifindex("eth0");
    host.events.clear();
    host.far.ip("link set far0 down");
    host.until("the loss of carrier", |events| {
        events.iter().any(|event| matches!(event, Event::Link(it) if it.ifindex == link && !it.carrier))
    });
    assert_eq!((members(&host, 100), members(&host, 110)), (vec![3], vec![13]));
    host.sentinel();
    let told =
        host.events.iter().any(|event| matches!(event, Event::NexthopGone { .. } | Event::Nexthop(..)));
    assert!(!told, "the kernel has begun to announce it: {:#?}", host.events);

    host.events.clear();
    host.apply(vec![Op::Dump(Kind::Nexthops)]);
    let mut seen: Vec<_> = host
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Nexthop(object, _) => Some(object.id),
            _ => None,
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [3, 13, 100, 110]);

    host.far.ip("link set far1 down");
    let second = host.namespace.ifindex("eth1");
    host.until("the second loss", |events| {
        events.iter().any(|event| matches!(event, Event::Link(it) if it.ifindex == second && !it.carrier))
    });
    assert!(host.show("-6 route show proto bgp").is_empty());
}

#[test]
fn a_group_never_becomes_a_hop_of_the_same_id() {
    let mut host = Host::new();
    three_legs(&mut host);
    let link = host.namespace.ifindex("eth0");
    let Op::NexthopAdd(spec) = hop(100, "10.0.0.9", link) else { unreachable!() };
    let refused = host.submit(vec![Op::NexthopReplace(spec), Op::GroupReplace(group(1, &[(3, 1)]))]);
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
    assert_eq!(members(&host, 100), [1, 2, 3]);
}

#[test]
fn a_changed_gateway_is_followed_by_the_routes() {
    let mut host = Host::new();
    three_legs(&mut host);
    let link = host.namespace.ifindex("eth0");
    let Op::NexthopAdd(spec) = hop(11, "2001:db8::77", link) else { unreachable!() };
    host.apply(vec![Op::NexthopReplace(spec)]);
    let shown = host.namespace.ip("-6 route show 2004::1");
    assert!(shown.contains("2001:db8::77"), "{shown}");
}

#[test]
fn an_object_of_others_is_reported_and_ours_is_not() {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    host.events.clear();
    host.namespace.ip("nexthop add id 900 via 10.0.0.2 dev eth0 proto static");
    host.apply(vec![hop(1, "10.0.0.2", link), by_id("198.51.100.0/24", 1)]);
    host.namespace.ip("nexthop del id 900");
    host.until("the end of the foreign object", |events| events.contains(&Event::NexthopGone { id: 900 }));
    let ids: Vec<_> = host
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Nexthop(object, _) => Some((object.id, object.gateway, object.ifindex)),
            _ => None,
        })
        .collect();
    assert_eq!(ids, [(900, Some("10.0.0.2".parse().unwrap()), Some(link))]);
    let routes = host.events.iter().any(|event| matches!(event, Event::Route(..)));
    assert!(!routes, "our own route came back as news");
}

/// What `bgp-fib` goes by: IPv4 routes through an object of others go with it, and nobody says so.
#[test]
fn routes_through_an_object_of_others_go_without_a_word() {
    let is_gone = |event: &Event| *event == Event::NexthopGone { id: 900 };
    let is_down = |event: &Event| matches!(event, Event::Link(link) if link.name == "eth0" && !link.carrier);
    type End = (&'static str, fn(&Host) -> String, fn(&Event) -> bool);
    let ends: [End; 3] = [
        ("object", |host| host.namespace.ip("nexthop del id 900"), is_gone),
        ("carrier", |host| host.far.ip("link set far0 down"), is_down),
        ("link", |host| host.namespace.ip("link set eth0 down"), is_down),
    ];
    for (what, end, is_told) in ends {
        let mut host = Host::new();
        host.namespace.ip("nexthop add id 900 via 10.0.0.2 dev eth0 proto static");
        host.namespace.ip("nexthop add id 910 group 900 proto static");
        host.namespace.ip("route add 198.51.100.0/24 nhid 900 proto static");
        host.namespace.ip("route add 198.51.101.0/24 nhid 910 proto static");
        host.sentinel();
        host.events.clear();
        end(&host);
        host.until("the end", |events| events.iter().any(is_told));
        assert!(host.show("route show proto static").is_empty(), "{what}");
        host.sentinel();
        let told = host.events.iter().any(|event| {
            matches!(event, Event::RouteGone(route) if route.prefix.to_string().starts_with("198.51."))
        });
        assert!(!told, "{what}: the kernel has begun to announce it: {:#?}", host.events);
    }
}

#[test]
fn a_bad_gateway_says_why() {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    let results = host.submit(vec![
        hop(1, "198.51.100.77", link),
        hop(2, "::ffff:10.0.0.2", link),
        Op::RouteAdd(route("203.0.113.0/24", RouteTarget::Nexthop(4711))),
    ]);
    let errors: Vec<_> = results.into_iter().map(Result::unwrap_err).collect();
    assert_eq!(errors[0].message.as_deref(), Some("Nexthop has invalid gateway"));
    assert_eq!(errors[1].errno, libc::EHOSTUNREACH, "{:?}", errors[1]);
    assert!(errors[2].message.is_some(), "{:?}", errors[2]);
}

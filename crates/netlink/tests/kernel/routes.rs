//! Routes: whose they are, and every shape in which they come.

use bgp_fib::{Event, KernelHop, KernelRoute, Kind, Op, RouteTarget, Seen};
use bgp_netlink::KernelConfig;

use crate::host::{BGP, Host, METRIC, by_id, delete, hop, route};

#[test]
fn the_first_try_refuses_where_there_is_a_route_already() {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    host.namespace.ip("route add 198.51.100.0/24 via 10.0.0.9 metric 20 proto static");
    host.namespace.ip("-6 route add 2004::1/128 via 2001:db8::9 metric 20 proto static");
    host.apply(vec![hop(1, "10.0.0.2", link), hop(11, "2001:db8::2", link)]);
    for refused in host.submit(vec![by_id("198.51.100.0/24", 1), by_id("2004::1/128", 11)]) {
        assert_eq!(refused.unwrap_err().errno, libc::EEXIST);
    }
    assert_eq!(host.show("route show 198.51.100.0/24")[0]["protocol"], "static");
    assert_eq!(host.show("-6 route show 2004::1")[0]["protocol"], "static");
}

#[test]
fn a_replacement_steals_which_is_why_fib_looks_first() {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    host.namespace.ip("route add 198.51.100.0/24 via 10.0.0.9 metric 20 proto static");
    host.namespace.ip("-6 route add 2004::1/128 via 2001:db8::9 metric 20 proto static");
    host.apply(vec![
        hop(1, "10.0.0.2", link),
        hop(11, "2001:db8::2", link),
        Op::RouteReplace(route("198.51.100.0/24", RouteTarget::Nexthop(1))),
        Op::RouteReplace(route("2004::1/128", RouteTarget::Nexthop(11))),
    ]);
    for shown in [host.show("route show 198.51.100.0/24"), host.show("-6 route show 2004::1")] {
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0]["protocol"], "bgp");
    }
}

#[test]
fn a_deletion_leaves_the_routes_of_others() {
    let mut host = Host::new();
    host.namespace.ip("route add 198.51.100.0/24 via 10.0.0.9 metric 20 proto static");
    host.namespace.ip("-6 route add 2004::1/128 via 2001:db8::9 metric 20 proto static");
    for refused in host.submit(vec![delete("198.51.100.0/24"), delete("2004::1/128")]) {
        assert_eq!(refused.unwrap_err().errno, libc::ESRCH);
    }
    assert_eq!(host.show("route show 198.51.100.0/24").len(), 1);
    assert_eq!(host.show("-6 route show 2004::1").len(), 1);
}

#[test]
fn of_two_routes_of_ours_the_one_with_the_target_goes() {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    host.apply(vec![hop(11, "2001:db8::2", link), hop(12, "2001:db8::3", link)]);
    // What a crash of another daemon leaves behind: two routes with one metric.
    host.namespace.ip("-6 route add 2004::1/128 nhid 11 metric 20 proto bgp");
    host.namespace.ip("-6 route append 2004::1/128 nhid 12 metric 20 proto bgp");
    assert_eq!(host.show("-6 route show 2004::1").len(), 2);
    host.apply(vec![Op::RouteDel {
        prefix: "2004::1/128".parse().unwrap(),
        table: 254,
        protocol: BGP,
        metric: METRIC,
        target: Some(RouteTarget::Nexthop(12)),
    }]);
    let left = host.show("-6 route show 2004::1");
    assert_eq!((left.len(), left[0]["nhid"].as_u64()), (1, Some(11)));
}

#[test]
fn a_route_of_ours_goes_whatever_it_does() {
    let mut host = Host::new();
    for what in ["blackhole", "unreachable", "prohibit", "throw"] {
        host.namespace.ip(&format!("route add {what} 198.51.100.0/24 metric 20 proto bgp"));
        host.namespace.ip(&format!("-6 route add {what} 2004::1/128 metric 20 proto bgp"));
        host.apply(vec![delete("198.51.100.0/24"), delete("2004::1/128")]);
    }
}

/// The routes to a prefix as they were told, each with its gateways; of those that go a `-` before.
fn told(host: &Host, prefix: &str) -> Vec<String> {
    let gateways = |route: &KernelRoute| {
        let mut texts: Vec<_> =
            route.hops.iter().map(|hop| hop.gateway.map_or("-".into(), |it| it.to_string())).collect();
        texts.sort();
        texts.join(" ")
    };
    let text = |event: &Event| match event {
        Event::Route(route, _) if route.prefix.to_string() == prefix => Some(gateways(route)),
        Event::RouteGone(route) if route.prefix.to_string() == prefix => {
            Some(format!("- {}", gateways(route)))
        }
        _ => None,
    };
    host.events.iter().filter_map(text).collect()
}

/// What `bgp-fib` goes by: a route with legs is told whole when one is added, and leg by leg or whole when it goes.
#[test]
fn an_ipv6_route_gets_legs_one_by_one_and_loses_them_so() {
    let mut host = Host::new();
    host.events.clear();
    let to = "2005::/64";
    let legs = ["2001:db8::2", "2001:db8::3", "2001:db8::4"];
    host.namespace.ip(&format!("-6 route add {to} via {} metric 50 proto static", legs[0]));
    host.namespace.ip(&format!("-6 route append {to} via {} metric 50 proto static", legs[1]));
    // Of another protocol, and a leg all the same.
    host.namespace.ip(&format!("-6 route append {to} via {} metric 50 proto 9", legs[2]));
    host.namespace.ip(&format!("-6 route del {to} via {} metric 50", legs[1]));
    host.namespace.ip(&format!("-6 route del {to} metric 50"));
    host.sentinel();
    let all = legs.join(" ");
    let [first, second, third] = legs;
    let expected = [
        first.to_owned(),
        format!("{first} {second}"),
        all,
        format!("- {second}"),
        format!("- {first} {third}"),
    ];
    assert_eq!(told(&host, to), expected);
    let twice = ["append", "append"].map(|verb| {
        let command = format!("-6 route {verb} {to} via {first} metric 50 proto static");
        let arguments: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        host.namespace
            .run(move || std::process::Command::new("ip").args(arguments).output().unwrap().status.success())
    });
    assert_eq!(twice, [true, false], "no leg is there twice");
}

#[test]
fn hops_inside_the_route_serve_kernels_without_objects() {
    let mut host = Host::new();
    let (first, second) = (host.namespace.ifindex("eth0"), host.namespace.ifindex("eth1"));
    let way = |gateway: &str, ifindex, weight| {
        let gateway = Some(gateway.parse().unwrap());
        KernelHop { gateway, ifindex, weight, down: false }
    };
    let targets = [
        ("198.51.100.0/24", vec![way("10.0.0.2", first, 1), way("10.0.1.2", second, 5)]),
        ("198.51.101.0/24", vec![way("2001:db8::2", first, 1), way("10.0.1.2", second, 1)]),
        ("198.51.102.0/24", vec![way("2001:db8::2", first, 1)]),
        ("2004::1/128", vec![way("2001:db8::2", first, 1), way("2001:db8:1::2", second, 1)]),
        ("2004::2/128", vec![way("2001:db8::2", first, 1)]),
    ];
    let spec = |(prefix, hops): &(&str, Vec<KernelHop>)| route(prefix, RouteTarget::Hops(hops.clone()));
    host.apply(targets.iter().map(|target| Op::RouteAdd(spec(target))).collect());
    assert_eq!(host.show("route show 198.51.100.0/24")[0]["nexthops"][1]["weight"].as_u64(), Some(5));

    host.events.clear();
    host.apply(vec![Op::Dump(Kind::Routes)]);
    for (prefix, hops) in &targets {
        let found = host.events.iter().find_map(|event| match event {
            Event::Route(route, Seen::Dump) if route.prefix.to_string() == *prefix => Some(route),
            _ => None,
        });
        assert_eq!(&found.unwrap().hops, hops, "{prefix}");
    }
    host.apply(
        targets
            .iter()
            .map(|target| {
                let (prefix, target) = (spec(target).prefix, Some(spec(target).target));
                Op::RouteDel { prefix, table: 254, protocol: BGP, metric: METRIC, target }
            })
            .collect(),
    );
    assert!(host.show("route show proto bgp").is_empty());
    assert!(host.show("-6 route show proto bgp").is_empty());
}

#[test]
fn a_table_beyond_255_is_written_and_read_beside_the_main_one_only() {
    let table = 100_000;
    let mut host = Host::with(KernelConfig { table, ..KernelConfig::default() });
    let link = host.namespace.ifindex("eth0");
    let in_table = |prefix: &str, id| {
        let mut spec = route(prefix, RouteTarget::Nexthop(id));
        spec.table = table;
        spec.preferred_source = Some("10.0.1.1".parse().unwrap());
        Op::RouteAdd(spec)
    };
    host.apply(vec![hop(1, "10.0.0.2", link), in_table("198.51.100.0/24", 1)]);
    let shown = host.show("route show table 100000");
    assert_eq!((shown.len(), shown[0]["prefsrc"].as_str()), (1, Some("10.0.1.1")));

    host.namespace.ip("route add 198.51.101.0/24 via 10.0.0.9 table 100000 proto static");
    host.namespace.ip("route add 198.51.102.0/24 via 10.0.0.9 table 77 proto bgp");
    host.events.clear();
    host.apply(vec![Op::Dump(Kind::Routes)]);
    let brackets = (Event::DumpStart(Kind::Routes), Event::DumpEnd(Kind::Routes));
    assert!(host.events.contains(&brackets.0) && host.events.contains(&brackets.1));
    let seen: Vec<_> = host
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Route(route, Seen::Dump) => Some((route.prefix.to_string(), route.table)),
            _ => None,
        })
        .collect();
    let of = |prefix: &str| {
        seen.iter().filter(|(it, _)| it == prefix).map(|(_, table)| *table).collect::<Vec<_>>()
    };
    assert_eq!(of("198.51.100.0/24"), [table]);
    assert_eq!(of("10.0.0.0/24"), [254], "next hops are resolved in the main table");
    assert_eq!(of("198.51.101.0/24"), [table], "others in our table may be in our way");
    assert!(of("198.51.102.0/24").is_empty());
}

#[test]
fn routes_of_others_come_and_go_as_events() {
    let mut host = Host::new();
    host.events.clear();
    host.namespace.ip("route add 198.51.100.0/24 via 10.0.0.9 metric 7 proto static");
    host.namespace.ip("route replace 198.51.100.0/24 via 10.0.0.8 metric 7 proto static");
    host.namespace.ip("route del 198.51.100.0/24 metric 7");
    host.until("the end of the route", |events| {
        events.iter().any(|event| matches!(event, Event::RouteGone(route) if route.metric == 7))
    });
    let kinds: Vec<_> = host
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Route(route, seen) => Some((*seen, route.hops[0].gateway.unwrap().to_string())),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [(Seen::Change, "10.0.0.9".to_owned()), (Seen::Replace, "10.0.0.8".to_owned())]);
}

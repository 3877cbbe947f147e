//! Routes of other programs at the prefix and metric of ours: theirs stay, and ours wait.

mod support;

use std::time::Duration;

use bgp_fib::{FibConfig, KernelRoute, Notice, Op, RouteState, Seen};

use support::{BRIDGE, Host, STATIC, address, kinds, prefix, restarted, route, state};

const SERVICE: &str = "2004::1/128";
const NODES: [&str; 3] = ["2001:3200:3200::2", "2001:3200:3200::3", "2001:3200:3200::4"];

#[test]
fn another_protocols_route_stays_and_ours_waits_until_it_goes() {
    let mut host = Host::lab();
    host.kernel
        .put_foreign(route(prefix(SERVICE), STATIC, 20, Some(address(NODES[0])), BRIDGE), Seen::Change);
    host.run();
    host.want(SERVICE, &NODES);
    host.run();
    assert_eq!(state(&host, SERVICE), RouteState::Blocked { protocol: STATIC });
    assert!(!kinds(&host.take_log()).contains(&"route replace"));
    let mut notices = Vec::new();
    host.fib.take_notices(&mut notices);
    assert!(notices.contains(&Notice::Blocked { prefix: prefix(SERVICE), protocol: STATIC }));
    host.kernel.delete_route(prefix(SERVICE), STATIC);
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES);
}

#[test]
fn a_route_that_we_had_not_heard_of_is_looked_at_before_anything_is_done() {
    let mut host = Host::lab();
    let theirs = route(prefix(SERVICE), STATIC, 20, Some(address(NODES[0])), BRIDGE);
    host.kernel.put_foreign(theirs, Seen::Change);
    host.kernel.events.clear();
    host.want(SERVICE, &NODES);
    host.pass(Duration::from_secs(2));
    assert_eq!(state(&host, SERVICE), RouteState::Blocked { protocol: STATIC });
    assert!(host.kernel.stolen.is_empty());
    // It goes without a word: tried again now and then, always exclusively.
    host.kernel.delete_route(prefix(SERVICE), STATIC);
    host.kernel.events.clear();
    host.pass(Duration::from_secs(31));
    assert_eq!(host.gateways(SERVICE), NODES);
}

#[test]
fn a_route_that_took_the_place_of_ours_is_not_taken_back() {
    let mut host = Host::lab();
    host.want(SERVICE, &NODES);
    host.run();
    let theirs = route(prefix(SERVICE), STATIC, 20, Some(address(NODES[0])), BRIDGE);
    host.kernel.put_foreign(theirs, Seen::Replace);
    host.run();
    assert_eq!(state(&host, SERVICE), RouteState::Blocked { protocol: STATIC });
    host.want(SERVICE, &NODES[..1]);
    host.run();
    assert!(host.kernel.stolen.is_empty());
    assert!(host.gateways(SERVICE).is_empty());
}

/// FRR's routes are of protocol bgp, metric 20 and in the main table too: what goes through no object of ours stays, and ours waits
/// behind it.
#[test]
fn routes_of_another_daemon_with_our_protocol_and_metric_stay() {
    let long = Duration::from_secs(400);
    for (text, gateways) in [
        ("2004::77/128", ["2001:3200:3200::9", "2001:3200:3200::8"]),
        ("10.9.0.77/32", ["172.50.0.9", "172.50.0.8"]),
    ] {
        let [one, other] =
            gateways.map(|gateway| route(prefix(text), 186, 20, Some(address(gateway)), BRIDGE));
        for there_before in [true, false] {
            let mut host = Host::lab();
            host.kernel.put_foreign(one.clone(), Seen::Change);
            if there_before {
                host.kernel.events.clear();
                host = Host::new(FibConfig::default(), host.kernel);
            }
            host.pass(long);
            assert_eq!(host.kernel.routes[&prefix(text)], std::slice::from_ref(&one));
            host.want(text, &NODES[..1]);
            host.run();
            host.kernel.put_foreign(other.clone(), Seen::Replace);
            host.pass(long);
            assert_eq!(host.kernel.routes[&prefix(text)], std::slice::from_ref(&other));
            assert_eq!(state(&host, text), RouteState::Blocked { protocol: 186 });

            host.kernel.delete_route(prefix(text), 186);
            host.run();
            assert_eq!(host.gateways(text), &NODES[..1]);
            host.fib.want(prefix(text), None, host.now);
            host.run();
            host.kernel.put_foreign(one.clone(), Seen::Change);
            host.pass(long);
            assert_eq!(host.kernel.routes[&prefix(text)], std::slice::from_ref(&one));
            let removals = host.take_log().iter().filter(|op| matches!(op, Op::RouteDel { .. })).count();
            assert_eq!(removals, 1, "ours");
        }
    }
}

/// IPv4 has one place for both, and FRR writes with NLM_F_REPLACE.
#[test]
fn who_has_taken_the_place_of_a_route_that_is_not_wanted_keeps_it() {
    let text = "10.9.0.77/32";
    let theirs = route(prefix(text), 186, 20, Some(address("172.50.0.9")), BRIDGE);
    let through_object = KernelRoute { nexthop_id: Some(30), ..theirs.clone() };
    for theirs in [theirs, through_object] {
        // A leftover of a run before.
        let mut host = restarted(|old| old.want(text, &NODES[..1]));
        host.run();
        host.kernel.put_foreign(theirs.clone(), Seen::Replace);
        host.run();
        host.fib.end_of_startup(host.now);
        host.pass(Duration::from_secs(400));
        assert_eq!(host.kernel.routes[&prefix(text)], std::slice::from_ref(&theirs));

        // One that is fought over until ours is wanted no longer, or the daemon stops.
        for stops in [true, false] {
            let mut host = Host::lab();
            host.want(text, &NODES[..1]);
            host.run();
            for _ in 0..7 {
                host.kernel.put_foreign(theirs.clone(), Seen::Replace);
                host.run();
            }
            assert_eq!(host.kernel.routes[&prefix(text)], std::slice::from_ref(&theirs), "it is paused");
            host.kernel.delete_route(prefix(text), 186);
            host.kernel.put_foreign(theirs.clone(), Seen::Change);
            host.run();
            if stops {
                host.fib.leave(false, host.now);
                host.run();
            } else {
                host.fib.want(prefix(text), None, host.now);
                host.pass(Duration::from_secs(400));
            }
            assert_eq!(host.kernel.routes[&prefix(text)], std::slice::from_ref(&theirs), "{stops}");
        }
    }
}

#[test]
fn the_same_protocol_with_another_metric_is_not_ours() {
    let mut host = Host::lab();
    let theirs = route(prefix(SERVICE), 186, 30, Some(address(NODES[0])), BRIDGE);
    host.kernel.put_foreign(theirs.clone(), Seen::Change);
    host.want(SERVICE, &NODES);
    host.run();
    host.fib.leave(false, host.now);
    host.run();
    assert_eq!(host.kernel.routes.get(&prefix(SERVICE)), Some(&vec![theirs]));
}

//! The kernel is shared: other people's routes stay theirs, what is deleted by hand comes back, hashing is checked.
#![cfg(feature = "labs")]

use anyhow::Result;
use interop::daemon::Daemon;
use interop::gobgp::{Families, Gobgp, Settings};
use interop::http::curl;
use interop::kernel::{gateways, nexthop_id, nexthops, routes_of_protocol, routes_to};
use interop::lab::Lab;
use interop::wait::PATIENCE;

#[test]
fn a_route_of_somebody_else_is_never_taken() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    // Same prefix, same metric: the kernel has one place for both.
    lab.host.ip("-6 route add 2004::1/128 via 2001:3200:3200::3 metric 20 proto static")?;
    lab.host.ip("-4 route add 198.18.0.1/32 via 172.50.0.3 metric 20 proto static")?;
    // Same prefix, another metric: both can be there.
    lab.host.ip("-6 route add 2004::2/128 via 2001:3200:3200::3 metric 1024 proto static")?;
    let daemon = Daemon::start_k3d(&lab)?;
    let node = &lab.nodes[0];
    let settings = Settings { families: Families::Both, ..Settings::default() };
    let speaker = Gobgp::start(&lab, node, &settings)?;
    for prefix in ["2004::1/128", "198.18.0.1/32", "2004::2/128", "2004::3/128"] {
        speaker.announce(prefix)?;
    }
    lab.expect_gateways("2004::3", &[node.v6()], PATIENCE)?;
    for prefix in ["2004::1/128", "198.18.0.1/32"] {
        lab.until(&format!("bgpctl shows why {prefix} is not installed"), PATIENCE, || {
            let route = daemon.fib(prefix)?;
            Ok(route["state"] == "blocked" && route["error"].is_string())
        })?;
        let address = prefix.split('/').next().unwrap_or_default();
        let routes = routes_to(&lab.host, address)?;
        assert_eq!(routes.len(), 1, "{routes:?}");
        assert_eq!(routes[0].protocol, "static", "{routes:?}");
    }
    lab.until("both routes to 2004::2 are there", PATIENCE, || {
        let routes = routes_to(&lab.host, "2004::2")?;
        let mut seen: Vec<_> = routes.iter().map(|r| (r.protocol.as_str(), r.metric)).collect();
        seen.sort_unstable();
        Ok(seen == [("bgp", 20), ("static", 1024)])
    })?;
    // Withdrawn, ours goes and theirs stay.
    for prefix in ["2004::2/128", "198.18.0.1/32"] {
        speaker.withdraw(prefix)?;
    }
    lab.until("only theirs is left", PATIENCE, || {
        let routes = routes_to(&lab.host, "2004::2")?;
        Ok(routes.len() == 1 && routes[0].protocol == "static")
    })?;
    assert_eq!(routes_to(&lab.host, "198.18.0.1")?[0].protocol, "static");
    // When theirs goes, ours takes its place.
    lab.host.ip("-6 route del 2004::1/128 proto static")?;
    lab.until("ours is installed", PATIENCE, || {
        let routes = routes_to(&lab.host, "2004::1")?;
        Ok(routes.len() == 1 && routes[0].protocol == "bgp")
    })?;
    Ok(())
}

/// FRR's routes are of protocol bgp and metric 20 as well: whoever keeps it for his uplinks must not lose them.
#[test]
fn routes_of_another_bgp_daemon_are_never_taken() -> Result<()> {
    const THEIRS: [(&str, &str); 4] = [
        ("2004::1", "-6 route add 2004::1/128 via 2001:3200:3200::3 metric 20 proto bgp"),
        ("198.18.0.1", "-4 route add 198.18.0.1/32 via 172.50.0.3 metric 20 proto bgp"),
        ("2004::77", "-6 route add 2004::77/128 via 2001:3200:3200::3 metric 20 proto bgp"),
        ("198.18.0.77", "-4 route add 198.18.0.77/32 via 172.50.0.3 metric 20 proto bgp"),
    ];
    let lab = Lab::with_nodes(2)?;
    let are_theirs = |services: &[(&str, &str)]| -> Result<()> {
        for (address, _) in services {
            let routes = routes_to(&lab.host, address)?;
            assert_eq!((routes.len(), routes[0].nexthop_id), (1, None), "{address}: {routes:?}");
        }
        Ok(())
    };
    for (_, add) in &THEIRS[..2] {
        lab.host.ip(add)?;
    }
    let mut daemon = Daemon::start_k3d(&lab)?;
    let node = &lab.nodes[0];
    let speaker = Gobgp::start(&lab, node, &Settings { families: Families::Both, ..Settings::default() })?;
    for prefix in ["2004::1/128", "198.18.0.1/32", "2004::3/128"] {
        speaker.announce(prefix)?;
    }
    lab.expect_gateways("2004::3", &[node.v6()], PATIENCE)?;
    for (_, add) in &THEIRS[2..] {
        lab.host.ip(add)?;
    }
    // The daemon is at work with the kernel meanwhile; what it makes of them last is seen when it has stopped.
    speaker.announce("2004::4/128")?;
    lab.expect_gateways("2004::4", &[node.v6()], PATIENCE)?;
    are_theirs(&THEIRS)?;
    for prefix in ["2004::1/128", "198.18.0.1/32"] {
        lab.until(&format!("bgpctl shows why {prefix} is not installed"), PATIENCE, || {
            Ok(daemon.fib(prefix)?["state"] == "blocked")
        })?;
    }
    lab.host.ip("-6 route del 2004::1/128 proto bgp")?;
    lab.expect_gateways("2004::1", &[node.v6()], PATIENCE)?;
    daemon.stop()?;
    assert_eq!(routes_to(&lab.host, "2004::1")?.len(), 0, "ours");
    are_theirs(&THEIRS[1..])
}

#[test]
fn what_is_flushed_by_hand_comes_back() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let _daemon = Daemon::start_k3d(&lab)?;
    let settings = Settings { families: Families::Both, ..Settings::default() };
    let _nodes = Gobgp::start_all(&lab, &settings, &["2004::1/128", "198.18.0.1/32"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    lab.expect_all_nodes("198.18.0.1", PATIENCE)?;
    // In the compatible mode of nexthop objects the kernel refuses what `ip route flush` of iproute2 6.1 sends.
    lab.host.sysctl("net.ipv4.nexthop_compat_mode", "0")?;
    let damages =
        ["-6 route flush proto bgp", "-4 route flush proto bgp", "nexthop flush", "-6 route del 2004::1"];
    for damage in damages {
        lab.host.ip(damage)?;
        lab.expect_all_nodes("2004::1", PATIENCE)?;
        lab.expect_all_nodes("198.18.0.1", PATIENCE)?;
    }
    let group = nexthop_id(&lab.host, "2004::1")?;
    let objects = nexthops(&lab.host)?;
    let member = objects.iter().find(|object| object.gateway.is_some()).map(|object| object.id);
    for id in [member.unwrap_or_default(), group] {
        lab.host.ip(&format!("nexthop del id {id}"))?;
        lab.expect_all_nodes("2004::1", PATIENCE)?;
        lab.expect_all_nodes("198.18.0.1", PATIENCE)?;
    }
    assert_eq!(curl(&lab.host, "http://[2004::1]/", 60)?.len(), 3);
    Ok(())
}

#[test]
fn a_hash_policy_that_cannot_balance_is_told() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let config =
        std::fs::read_to_string(interop::daemon::k3d())?.replace("set-multipath-hash-policy = true", "");
    let daemon = Daemon::start(&lab, &config)?;
    assert_eq!(lab.host.read_sysctl("net.ipv6.fib_multipath_hash_policy")?, "0");
    assert!(daemon.log().contains("fib_multipath_hash_policy"), "{}", daemon.log());
    let shown = daemon.ctl("show summary")?;
    assert!(shown.contains("fib_multipath_hash_policy"), "{shown}");
    let summary = daemon.json("show summary")?;
    let checks = summary["checks"].as_array().cloned().unwrap_or_default();
    let told = checks.iter().any(|check| {
        check["state"] == "warning"
            && check["remedy"].as_str().is_some_and(|remedy| remedy.contains("fib_multipath_hash_policy"))
    });
    assert!(told, "{summary}");
    Ok(())
}

#[test]
fn the_hash_policy_is_set_where_the_config_says_so() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let daemon = Daemon::start_k3d(&lab)?;
    for key in ["net.ipv6.fib_multipath_hash_policy", "net.ipv4.fib_multipath_hash_policy"] {
        assert_eq!(lab.host.read_sysctl(key)?, "1", "{key}");
    }
    let summary = daemon.json("show summary")?;
    let warnings = summary["checks"].as_array().into_iter().flatten();
    let about_hashing = warnings.filter(|check| check["state"] != "ok" && check.to_string().contains("hash"));
    assert_eq!(about_hashing.count(), 0, "{summary}");
    assert!(gateways(&lab.host, "2004::1")?.is_empty());
    Ok(())
}

#[test]
fn without_install_routes_are_chosen_and_the_kernel_is_left_alone() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let text = std::fs::read_to_string(interop::daemon::k3d())?;
    let config = text.replace("[kernel]", "[kernel]\ninstall = false");
    assert_ne!(config, text);
    let daemon = Daemon::start(&lab, &config)?;
    let (first, second) = (&lab.nodes[0], &lab.nodes[1]);
    let settings = Settings { families: Families::Both, ..Settings::default() };
    let speakers = [Gobgp::start(&lab, first, &settings)?, Gobgp::start(&lab, second, &settings)?];
    for prefix in ["2004::1/128", "198.18.0.1/32"] {
        for speaker in &speakers {
            speaker.announce(prefix)?;
        }
        for node in [first, second] {
            // Next hops are looked up all the same: without that no path is best.
            lab.until(&format!("{prefix} of {} is chosen", node.v6()), PATIENCE, || {
                let path = daemon.path(prefix, &node.v6())?;
                Ok(path["status"] == "best" || path["status"] == "multipath")
            })?;
        }
    }
    // A leaving peer changes the choice, and the kernel hears nothing of that either.
    speakers[0].withdraw("2004::1/128")?;
    lab.until("the other path is alone", PATIENCE, || {
        Ok(daemon.json("show routes 2004::1/128")?.to_string().matches(&first.v6()).count() == 0)
    })?;
    assert!(routes_of_protocol(&lab.host, "bgp")?.is_empty());
    assert!(nexthops(&lab.host)?.is_empty());
    let summary = daemon.json("show summary")?;
    assert!(summary.to_string().contains("\"installed\":0"), "{summary}");
    Ok(())
}

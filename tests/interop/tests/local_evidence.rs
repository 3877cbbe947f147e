//! What the host sees of a node decides: a dead port takes the leg and the session at once, a dead agent does not, and a
//! node that no longer answers is found by asking.
#![cfg(feature = "labs")]

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use interop::daemon::Daemon;
use interop::flows;
use interop::gobgp::{Gobgp, Settings};
use interop::http::curl;
use interop::kernel::gateways;
use interop::lab::Lab;
use interop::load::{self, Load};
use interop::rtnl::{self, Watcher};
use interop::wait::{PATIENCE, seconds};

/// What `show neighbors` says about the node of a peer.
fn node_of(daemon: &Daemon, address: &str) -> Result<String> {
    Ok(daemon.neighbor(address)?["node"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_dead_port_takes_its_leg_at_once_and_the_session_soon_even_with_graceful_restart() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    // It knows the objects that it has seen come.
    let watcher = Watcher::start(&lab.host, rtnl::v6("2004::1")?)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::graceful(), &["2004::1/128"])?;
    let _backends = flows::start_backends(&lab)?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let others: BTreeSet<_> = lab.v6()[1..].iter().map(|address| rtnl::v6(address)).collect::<Result<_>>()?;
    let (node, name, port) = (lab.nodes[0].v6(), lab.nodes[0].name.clone(), lab.nodes[0].port());
    lab.until("the node is seen behind its port", PATIENCE, || {
        Ok(node_of(&daemon, &node)?.contains(&format!("port {port}")))
    })?;
    let load = Load::start(&mut lab, "2004::1")?;
    let own = load.of(&name);
    let cut = |lab: &Lab| -> Result<_> {
        watcher.forget();
        lab.host.ip(&format!("link set {port} down"))?;
        // The hold timer has 90 s, and the kernel itself would trust the neighbour for half a minute.
        let gone = watcher.wait_for(&others, PATIENCE)?;
        Ok((watcher.link_lost().context("the kernel has not reported the port")?, gone))
    };
    let (seen, left) = cut(&lab)?;
    let gone = load.at(left);
    lab.until("the session with the node is ended", PATIENCE, || Ok(daemon.state(&node)? != "established"))?;
    let down = daemon.neighbor(&node)?;
    let reason = down["last_down"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("the node is gone") && reason.contains(&port), "{down}");
    assert!(node_of(&daemon, &node)?.contains("its session was ended and its paths removed"), "{down}");
    assert_eq!(daemon.path("2004::1/128", &node)?, serde_json::Value::Null, "nothing is kept of it");
    assert!(daemon.ctl("show neighbors")?.contains("node is gone"));
    load.finish("a port goes down")?.expect_only_of(&name, own, gone);
    load::expect_without(&mut lab, "2004::1", &name)?;
    load::expect_repaired("a port that goes down", left.saturating_duration_since(seen), || {
        lab.host.ip(&format!("link set {port} up"))?;
        lab.expect_all_nodes("2004::1", seconds(90))?;
        let (seen, left) = cut(&lab)?;
        Ok(left.saturating_duration_since(seen))
    })?;
    lab.host.ip(&format!("link set {port} up"))?;
    lab.expect_all_nodes("2004::1", seconds(90))?;
    Ok(())
}

/// The daemon ends the session of a node that is out of sight for three seconds. A machine that is too busy to set the port up
/// again within two has shown nothing.
#[test]
fn a_port_that_is_back_within_seconds_costs_no_session() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    lab.add_service("2004::1")?;
    let daemon = Daemon::start_k3d(&lab)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::graceful(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let (node, port) = (lab.nodes[0].v6(), lab.nodes[0].port());
    for _ in 0..5 {
        daemon.expect_established(&lab, std::slice::from_ref(&node))?;
        lab.until("the node is seen behind its port", PATIENCE, || {
            Ok(node_of(&daemon, &node)?.contains(&format!("port {port}")))
        })?;
        let flaps = daemon.neighbor(&node)?["flaps"].clone();
        let kept = || daemon.log().matches("the node is back in sight: its session was kept").count();
        let kept_before = kept();
        let begun = Instant::now();
        lab.host.ip(&format!("link set {port} down"))?;
        lab.expect_gateways("2004::1", &lab.v6()[1..], PATIENCE)?;
        lab.host.ip(&format!("link set {port} up"))?;
        let down = begun.elapsed();
        lab.expect_all_nodes("2004::1", seconds(90))?;
        if down >= seconds(2) {
            eprintln!("not shown: the port was down for {down:?}");
            continue;
        }
        lab.until("the session is kept", PATIENCE, || Ok(kept() > kept_before))?;
        let peer = daemon.neighbor(&node)?;
        assert_eq!((&peer["state"], &peer["flaps"]), (&"established".into(), &flaps), "{peer}");
        assert!(node_of(&daemon, &node)?.contains("its session was kept"), "{peer}");
        return Ok(());
    }
    bail!("the port was never back within two seconds")
}

#[test]
fn a_dead_agent_keeps_its_leg_until_its_node_is_gone_too() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let daemon = Daemon::start_k3d(&lab)?;
    let mut nodes = Gobgp::start_all(&lab, &Settings::graceful(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let _backends = flows::start_backends(&lab)?;
    let node = lab.nodes[0].v6();
    let load = Load::start(&mut lab, "2004::1")?;
    nodes[0].crash()?;
    lab.until("the daemon sees the session end", PATIENCE, || Ok(daemon.state(&node)? != "established"))?;
    lab.until("the decision is shown", PATIENCE, || {
        Ok(node_of(&daemon, &node)?.contains("its agent is gone, its paths stay"))
    })?;
    assert_eq!(gateways(&lab.host, "2004::1")?.len(), 3);
    assert!(curl(&lab.host, "http://[2004::1]/", 60)?.contains_key("node2"));
    load.finish("an agent is killed")?.expect_none();

    // Restart time is 120 s; the port says at once that there is nothing to wait for.
    lab.host.ip(&format!("link set {} down", lab.nodes[0].port()))?;
    lab.expect_gateways("2004::1", &lab.v6()[1..], PATIENCE)?;
    lab.until("the stale path is gone", PATIENCE, || {
        Ok(daemon.path("2004::1/128", &node)? == serde_json::Value::Null)
    })?;
    assert!(node_of(&daemon, &node)?.contains("its stale paths were removed before their time"));
    Ok(())
}

#[test]
fn a_node_that_is_silent_on_a_working_port_is_found_by_asking() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let watcher = Watcher::start(&lab.host, rtnl::v6("2004::1")?)?;
    let config = std::fs::read_to_string(interop::daemon::k3d())? + "neighbor-probe-interval = 2\n";
    let daemon = Daemon::start(&lab, &config)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::graceful(), &["2004::1/128"])?;
    let _backends = flows::start_backends(&lab)?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let others: BTreeSet<_> = lab.v6()[1..].iter().map(|address| rtnl::v6(address)).collect::<Result<_>>()?;
    let (node, name, port) = (lab.nodes[0].v6(), lab.nodes[0].name.clone(), lab.nodes[0].port());
    let load = Load::start(&mut lab, "2004::1")?;
    let own = load.of(&name);
    // The port has carrier and lets nothing through.
    let silence = |lab: &Lab| -> Result<_> {
        watcher.forget();
        lab.host.run(&format!("bridge link set dev {port} state 0"))?;
        let begun = Instant::now();
        let gone = watcher.wait_for(&others, PATIENCE)?;
        eprintln!("silent node: leg gone after {:?} (asked every 2 s)", gone - begun);
        Ok((watcher.neighbor_failed().context("the kernel has not reported the neighbour")?, gone))
    };
    let (seen, left) = silence(&lab)?;
    let gone = load.at(left);
    lab.until("the session with the node is ended", PATIENCE, || Ok(daemon.state(&node)? != "established"))?;
    assert!(node_of(&daemon, &node)?.contains("does not answer"), "{}", node_of(&daemon, &node)?);
    load.finish("a node is silent behind a working port")?.expect_only_of(&name, own, gone);
    load::expect_without(&mut lab, "2004::1", &name)?;
    load::expect_repaired("a node that is silent", left.saturating_duration_since(seen), || {
        lab.host.run(&format!("bridge link set dev {port} state 3"))?;
        lab.expect_all_nodes("2004::1", seconds(90))?;
        let (seen, left) = silence(&lab)?;
        Ok(left.saturating_duration_since(seen))
    })?;
    Ok(())
}

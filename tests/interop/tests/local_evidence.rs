//! What the host sees of a node decides: a dead port takes the leg and the session at once, a dead agent does not, and a
//! node that no longer answers is found by asking.
#![cfg(feature = "labs")]

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result};
use interop::daemon::Daemon;
use interop::flows;
use interop::gobgp::{Gobgp, GracefulRestart, Settings};
use interop::http::curl;
use interop::kernel::gateways;
use interop::lab::{Lab, Node};
use interop::load::{self, Load};
use interop::rtnl::{self, Watcher};
use interop::wait::seconds;

fn graceful() -> Settings {
    Settings { graceful_restart: GracefulRestart::On, ..Settings::default() }
}

fn v6(lab: &Lab) -> Vec<String> {
    lab.nodes.iter().map(Node::v6).collect()
}

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
    let _nodes = Gobgp::start_all(&lab, &graceful(), &["2004::1/128"])?;
    let _backends = flows::start_backends(&lab)?;
    lab.expect_all_nodes("2004::1", seconds(30))?;
    let others: BTreeSet<_> = v6(&lab)[1..].iter().map(|address| rtnl::v6(address)).collect::<Result<_>>()?;
    let (node, name, port) = (lab.nodes[0].v6(), lab.nodes[0].name.clone(), lab.nodes[0].port());
    lab.until("the node is seen behind its port", seconds(5), || {
        Ok(node_of(&daemon, &node)?.contains(&format!("port {port}")))
    })?;
    let load = Load::start(&mut lab, "2004::1")?;
    let own = load.of(&name);
    let cut = || -> Result<_> {
        watcher.forget();
        lab.host.ip(&format!("link set {port} down"))?;
        // The hold timer has 90 s, and the kernel itself would trust the neighbour for half a minute.
        let gone = watcher.wait_for(&others, seconds(5))?;
        Ok((watcher.link_lost().context("the kernel has not reported the port")?, gone))
    };
    let (seen, left) = cut()?;
    let gone = load.at(left);
    lab.until("the session with the node is ended", seconds(20), || {
        Ok(daemon.state(&node)? != "established")
    })?;
    let down = daemon.neighbor(&node)?;
    let reason = down["last_down"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("the node is gone") && reason.contains(&port), "{down}");
    assert!(node_of(&daemon, &node)?.contains("its session was ended and its paths removed"), "{down}");
    assert_eq!(daemon.path("2004::1/128", &node)?, serde_json::Value::Null, "nothing is kept of it");
    assert!(daemon.ctl("show neighbors")?.contains("node is gone"));
    load::expect_repaired("a port that goes down", left.saturating_duration_since(seen), || {
        lab.host.ip(&format!("link set {port} up"))?;
        lab.expect_all_nodes("2004::1", seconds(90))?;
        let (seen, left) = cut()?;
        Ok(left.saturating_duration_since(seen))
    })?;
    load.finish("a port goes down")?.expect_only_of(&name, own, gone);
    load::expect_without(&mut lab, "2004::1", &name)?;
    lab.host.ip(&format!("link set {port} up"))?;
    lab.expect_all_nodes("2004::1", seconds(90))?;
    Ok(())
}

#[test]
fn a_port_that_is_back_within_seconds_costs_no_session() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    lab.add_service("2004::1")?;
    let daemon = Daemon::start_k3d(&lab)?;
    let _nodes = Gobgp::start_all(&lab, &graceful(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", seconds(30))?;
    let node = lab.nodes[0].v6();
    lab.until("the node is seen behind its port", seconds(5), || {
        Ok(node_of(&daemon, &node)?.contains(&format!("port {}", lab.nodes[0].port())))
    })?;
    lab.host.ip(&format!("link set {} down", lab.nodes[0].port()))?;
    lab.expect_gateways("2004::1", &v6(&lab)[1..], seconds(5))?;
    lab.host.ip(&format!("link set {} up", lab.nodes[0].port()))?;
    lab.expect_all_nodes("2004::1", seconds(30))?;
    let peer = daemon.neighbor(&node)?;
    if daemon.log().contains("the node is gone: its session ends") {
        // The machine was too busy to set the port up in time: then the session is new, and nothing can be said about it.
        eprintln!("not shown: the port was down for too long");
        return Ok(());
    }
    assert_eq!((&peer["state"], &peer["flaps"]), (&"established".into(), &0.into()), "{peer}");
    assert!(node_of(&daemon, &node)?.contains("its session was kept"), "{peer}");
    Ok(())
}

#[test]
fn a_dead_agent_keeps_its_leg_until_its_node_is_gone_too() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let daemon = Daemon::start_k3d(&lab)?;
    let mut nodes = Gobgp::start_all(&lab, &graceful(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", seconds(30))?;
    let _backends = flows::start_backends(&lab)?;
    let node = lab.nodes[0].v6();
    let load = Load::start(&mut lab, "2004::1")?;
    nodes[0].crash()?;
    lab.until("the daemon sees the session end", seconds(5), || Ok(daemon.state(&node)? != "established"))?;
    lab.until("the decision is shown", seconds(5), || {
        Ok(node_of(&daemon, &node)?.contains("its agent is gone, its paths stay"))
    })?;
    assert_eq!(gateways(&lab.host, "2004::1")?.len(), 3);
    assert!(curl(&lab.host, "http://[2004::1]/", 60)?.contains_key("node2"));
    load.finish("an agent is killed")?.expect_none();

    // Restart time is 120 s; the port says at once that there is nothing to wait for.
    lab.host.ip(&format!("link set {} down", lab.nodes[0].port()))?;
    lab.expect_gateways("2004::1", &v6(&lab)[1..], seconds(5))?;
    lab.until("the stale path is gone", seconds(20), || {
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
    let _nodes = Gobgp::start_all(&lab, &graceful(), &["2004::1/128"])?;
    let _backends = flows::start_backends(&lab)?;
    lab.expect_all_nodes("2004::1", seconds(30))?;
    let others: BTreeSet<_> = v6(&lab)[1..].iter().map(|address| rtnl::v6(address)).collect::<Result<_>>()?;
    let (node, name, port) = (lab.nodes[0].v6(), lab.nodes[0].name.clone(), lab.nodes[0].port());
    let load = Load::start(&mut lab, "2004::1")?;
    let own = load.of(&name);
    // The port has carrier and lets nothing through.
    let silence = || -> Result<_> {
        watcher.forget();
        lab.host.run(&format!("bridge link set dev {port} state 0"))?;
        let begun = Instant::now();
        let gone = watcher.wait_for(&others, seconds(20))?;
        eprintln!("silent node: leg gone after {:?} (asked every 2 s)", gone - begun);
        Ok((watcher.neighbor_failed().context("the kernel has not reported the neighbour")?, gone))
    };
    let (seen, left) = silence()?;
    let gone = load.at(left);
    lab.until("the session with the node is ended", seconds(20), || {
        Ok(daemon.state(&node)? != "established")
    })?;
    assert!(node_of(&daemon, &node)?.contains("does not answer"), "{}", node_of(&daemon, &node)?);
    load::expect_repaired("a node that is silent", left.saturating_duration_since(seen), || {
        lab.host.run(&format!("bridge link set dev {port} state 3"))?;
        lab.expect_all_nodes("2004::1", seconds(90))?;
        let (seen, left) = silence()?;
        Ok(left.saturating_duration_since(seen))
    })?;
    load.finish("a node is silent behind a working port")?.expect_only_of(&name, own, gone);
    load::expect_without(&mut lab, "2004::1", &name)?;
    Ok(())
}

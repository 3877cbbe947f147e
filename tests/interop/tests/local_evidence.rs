//! What the host sees of a node decides: a dead port takes the leg and the session at once, a dead agent does not, and a
//! node that no longer answers is found by asking.
#![cfg(feature = "labs")]

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result};
use interop::command::run;
use interop::daemon::Daemon;
use interop::gobgp::{Gobgp, GracefulRestart, Settings};
use interop::http::curl;
use interop::kernel::gateways;
use interop::lab::{Lab, Node};
use interop::rtnl::{self, Watcher};
use interop::traffic::Traffic;
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
    let lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    // It knows the objects that it has seen come.
    let watcher = Watcher::start(&lab.host, rtnl::v6("2004::1")?)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let _nodes = Gobgp::start_all(&lab, &graceful(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", seconds(30))?;
    lab.wait_for_http()?;
    let others = v6(&lab)[1..].to_vec();
    let wanted: BTreeSet<_> = others.iter().map(|address| rtnl::v6(address)).collect::<Result<_>>()?;
    lab.until("the node is seen behind its port", seconds(5), || {
        Ok(node_of(&daemon, &lab.nodes[0].v6())?.contains(&format!("port {}", lab.nodes[0].port())))
    })?;
    let traffic = Traffic::start(&lab.host, "[2004::1]:80".parse()?, 4)?;
    watcher.forget();
    let before = Instant::now();
    lab.host.ip(&format!("link set {} down", lab.nodes[0].port()))?;
    // The hold timer has 90 s, and the kernel itself would trust the neighbour for half a minute.
    let gone = watcher.wait_for(&wanted, seconds(5))?;
    let seen = watcher.link_lost().context("the kernel has not reported the port")?;
    eprintln!(
        "port down: leg gone {:?} after the kernel's report, {:?} after the command began",
        gone.saturating_duration_since(seen),
        gone.saturating_duration_since(before)
    );
    let node = lab.nodes[0].v6();
    lab.until("the session with the node is ended", seconds(20), || {
        Ok(daemon.state(&node)? != "established")
    })?;
    let down = daemon.neighbor(&node)?;
    let reason = down["last_down"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("the node is gone") && reason.contains(&lab.nodes[0].port()), "{down}");
    assert!(node_of(&daemon, &node)?.contains("its session was ended and its paths removed"), "{down}");
    assert_eq!(daemon.path("2004::1/128", &node)?, serde_json::Value::Null, "nothing is kept of it");
    assert!(daemon.ctl("show neighbors")?.contains("node is gone"));
    let tally = traffic.stop()?;
    eprintln!("port down: {} of {} requests lost", tally.lost.len(), tally.total());
    lab.host.ip(&format!("link set {} up", lab.nodes[0].port()))?;
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
    let lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let daemon = Daemon::start_k3d(&lab)?;
    let mut nodes = Gobgp::start_all(&lab, &graceful(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", seconds(30))?;
    lab.wait_for_http()?;
    let node = lab.nodes[0].v6();
    let traffic = Traffic::start(&lab.host, "[2004::1]:80".parse()?, 4)?;
    nodes[0].crash()?;
    lab.until("the daemon sees the session end", seconds(5), || Ok(daemon.state(&node)? != "established"))?;
    lab.until("the decision is shown", seconds(5), || {
        Ok(node_of(&daemon, &node)?.contains("its agent is gone, its paths stay"))
    })?;
    assert_eq!(gateways(&lab.host, "2004::1")?.len(), 3);
    assert!(curl(&lab.host, "http://[2004::1]/", 60)?.contains_key("node2"));
    let tally = traffic.stop()?;
    eprintln!("agent killed: {} of {} requests lost", tally.lost.len(), tally.total());
    assert_eq!(tally.lost, [], "of {}", tally.total());

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
    let lab = Lab::with_nodes(2)?;
    let config = std::fs::read_to_string(interop::daemon::k3d())? + "neighbor-probe-interval = 2\n";
    let daemon = Daemon::start(&lab, &config)?;
    let _nodes = Gobgp::start_all(&lab, &graceful(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", seconds(30))?;
    // The port has carrier and lets nothing through.
    let mut bridge = lab.host.command("bridge");
    run(bridge.args(["link", "set", "dev", &lab.nodes[0].port(), "state", "0"]))?;
    let waited = lab.expect_gateways("2004::1", &v6(&lab)[1..], seconds(20))?;
    eprintln!("silent node: leg gone after {waited:?} (asked every 2 s)");
    let node = lab.nodes[0].v6();
    lab.until("the session with the node is ended", seconds(20), || {
        Ok(daemon.state(&node)? != "established")
    })?;
    assert!(node_of(&daemon, &node)?.contains("does not answer"), "{}", node_of(&daemon, &node)?);
    Ok(())
}

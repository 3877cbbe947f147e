//! Nodes leave and come back: agent crash with and without graceful restart, link cut, bridge deleted.
#![cfg(feature = "labs")]

use anyhow::Result;
use interop::daemon::Daemon;
use interop::flows;
use interop::gobgp::{Gobgp, Settings};
use interop::http::curl;
use interop::kernel::{gateways, watch_routes};
use interop::lab::Lab;
use interop::load::Load;
use interop::wait::{PATIENCE, seconds};

#[test]
fn an_agent_is_killed_and_comes_back() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let daemon = Daemon::start_k3d(&lab)?;
    let mut nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    nodes[0].crash()?;
    lab.expect_gateways("2004::1", &lab.v6()[1..], PATIENCE)?;
    let answers = curl(&lab.host, "http://[2004::1]/", 60)?;
    assert!(!answers.contains_key("node2") && !answers.contains_key(""), "{answers:?}");
    let peer = daemon.neighbor(&lab.nodes[0].v6())?;
    assert_ne!(peer["state"], "established", "{peer}");
    assert!(peer["last_down"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{peer}");
    nodes[0].start_again(&lab.nodes[0])?;
    nodes[0].announce("2004::1/128")?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    Ok(())
}

#[test]
fn graceful_restart_keeps_the_leg_until_the_agent_is_back() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let daemon = Daemon::start_k3d(&lab)?;
    let mut nodes = Gobgp::start_all(&lab, &Settings::graceful(), &["2004::1/128", "2004::2/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    lab.expect_all_nodes("2004::2", PATIENCE)?;
    let node = lab.nodes[0].v6();
    let _backends = flows::start_backends(&lab)?;
    let load = Load::start(&mut lab, "2004::1")?;
    let watch = watch_routes(&lab, &lab.host)?;
    nodes[0].crash()?;
    lab.until("its path is stale", PATIENCE, || Ok(daemon.path("2004::1/128", &node)?["stale"] == true))?;
    assert_ne!(daemon.state(&node)?, "established");
    assert_eq!(gateways(&lab.host, "2004::1")?.len(), 3);
    assert!(curl(&lab.host, "http://[2004::1]/", 60)?.contains_key("node2"));

    // It comes back with one of its two services: End-of-RIB sweeps the other long before 120 s are over.
    nodes[0].start_again(&lab.nodes[0])?;
    nodes[0].announce("2004::1/128")?;
    lab.expect_gateways("2004::2", &lab.v6()[1..], seconds(40))?;
    lab.until("its path is fresh", PATIENCE, || Ok(daemon.path("2004::1/128", &node)?["stale"] == false))?;
    assert_eq!(gateways(&lab.host, "2004::1")?.len(), 3);
    load.finish("an agent is killed and started again")?.expect_none();
    let changes = watch.changes()?;
    assert!(
        !changes.iter().any(|line| line.contains("2004::1 ")),
        "2004::1 moved: {changes:#?}\n{}",
        daemon.log()
    );
    Ok(())
}

#[test]
fn a_cut_link_costs_its_leg_and_heals() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    let config = std::fs::read_to_string(interop::daemon::k3d())?
        .replace("import = \"all\"", "import = \"all\"\nhold-time = 9");
    let _daemon = Daemon::start(&lab, &config)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    lab.host.ip(&format!("link set {} down", lab.nodes[0].port()))?;
    let waited = lab.expect_gateways("2004::1", &lab.v6()[1..], PATIENCE)?;
    eprintln!("leg gone {waited:?} after the link was cut (hold time 9 s)");
    lab.host.ip(&format!("link set {} up", lab.nodes[0].port()))?;
    lab.expect_all_nodes("2004::1", seconds(60))?;
    Ok(())
}

/// What `docker network rm` and `docker network create` do to the host: the kernel drops the routes with the bridge, and tells
/// of no route over it that it is gone.
#[test]
fn the_bridge_is_deleted_and_made_again() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let mut daemon = Daemon::start_k3d(&lab)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    lab.delete_bridge()?;
    lab.expect_gateways("2004::1", &[], PATIENCE)?;
    for node in lab.v6() {
        let told = |line: &str| line.contains("out of sight") && line.contains(&node);
        lab.until(&format!("the log says that {node} is out of sight"), PATIENCE, || {
            Ok(daemon.log().lines().any(told))
        })?;
    }
    daemon.must_run()?;
    lab.create_bridge()?;
    let waited = lab.expect_all_nodes("2004::1", seconds(75))?;
    eprintln!("routes back {waited:?} after the bridge was");
    // The routes are back before the new bridge has learned where every node is.
    lab.until("all nodes answer", PATIENCE, || Ok(curl(&lab.host, "http://[2004::1]/", 90)?.len() == 3))?;
    // It is nobody's deed that routes went with their interface.
    let summary = daemon.json("show summary")?;
    let checks = summary["checks"].as_array().cloned().unwrap_or_default();
    let blamed = checks.iter().find(|check| check["name"] == "kernel-meddling");
    assert_eq!(blamed.map(|check| &check["state"]), Some(&"ok".into()), "{}", daemon.log());
    Ok(())
}

#[test]
fn the_bridge_comes_after_the_daemon() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    lab.delete_bridge()?;
    let _daemon = Daemon::start_k3d(&lab)?;
    lab.create_bridge()?;
    let _nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    Ok(())
}

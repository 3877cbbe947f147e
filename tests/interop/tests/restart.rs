//! The daemon's own end and return: over its leftovers after a crash, clean after SIGTERM, kept when so configured.
#![cfg(feature = "labs")]

use std::collections::BTreeSet;

use anyhow::Result;
use interop::daemon::{Daemon, Privileges};
use interop::gobgp::{Gobgp, Settings};
use interop::http::curl;
use interop::kernel::{nexthops, routes_of_protocol};
use interop::lab::Lab;
use interop::wait::{PATIENCE, seconds};

/// One nexthop object a node and one group: nothing of an earlier life is left.
fn expect_no_orphans(lab: &Lab, legs: usize) -> Result<()> {
    lab.until("only the nexthop objects in use are there", PATIENCE, || {
        let objects = nexthops(&lab.host)?;
        let groups = objects.iter().filter(|object| !object.members.is_empty()).count();
        let gateways: BTreeSet<_> = objects.iter().filter_map(|object| object.gateway.clone()).collect();
        Ok(groups == 1 && gateways.len() == legs && objects.len() == legs + 1)
    })?;
    Ok(())
}

#[test]
fn after_a_crash_there_is_exactly_one_route_and_it_follows() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let mut daemon = Daemon::start_k3d(&lab)?;
    let nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128", "2004::2/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    lab.expect_all_nodes("2004::2", PATIENCE)?;
    daemon.crash()?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    // While it is away a service goes; nobody can tell it but the nodes' silence about it.
    nodes.iter().try_for_each(|node| node.withdraw("2004::2/128"))?;
    daemon.start_again(&lab)?;
    let peers = lab.v6();
    daemon.expect_established(&lab, &peers)?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    lab.expect_gateways("2004::2", &[], seconds(60))?;
    expect_no_orphans(&lab, 3)?;
    nodes[0].withdraw("2004::1/128")?;
    lab.expect_gateways("2004::1", &peers[1..], PATIENCE)?;
    let answers = curl(&lab.host, "http://[2004::1]/", 60)?;
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["node3", "node4"], "{answers:?}");
    nodes[1].withdraw("2004::1/128")?;
    nodes[2].withdraw("2004::1/128")?;
    lab.expect_gateways("2004::1", &[], PATIENCE)?;
    Ok(())
}

#[test]
fn sigterm_takes_its_routes_along() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let mut daemon = Daemon::start_k3d(&lab)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let status = daemon.stop()?;
    assert!(status.success(), "{status}: {}", daemon.log());
    assert_eq!(routes_of_protocol(&lab.host, "bgp")?, []);
    assert_eq!(nexthops(&lab.host)?, []);
    daemon.start_again(&lab)?;
    lab.expect_all_nodes("2004::1", seconds(40))?;
    Ok(())
}

#[test]
fn sigterm_keeps_its_routes_if_so_configured() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    lab.add_service("2004::1")?;
    let config = std::fs::read_to_string(interop::daemon::k3d())? + "keep-routes-on-stop = true\n";
    let mut daemon = Daemon::start(&lab, &config)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let status = daemon.stop()?;
    assert!(status.success(), "{status}: {}", daemon.log());
    assert_eq!(routes_of_protocol(&lab.host, "bgp")?.len(), 1);
    assert_eq!(curl(&lab.host, "http://[2004::1]/", 60)?.len(), 2);
    daemon.start_again(&lab)?;
    let peers = lab.v6();
    daemon.expect_established(&lab, &peers)?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    expect_no_orphans(&lab, 2)?;
    Ok(())
}

#[test]
fn two_capabilities_are_enough() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    lab.add_service("2004::1")?;
    let config = std::fs::read_to_string(interop::daemon::k3d())?;
    let mut daemon = Daemon::start_as(&lab, &config, Privileges::NetworkOnly)?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    let effective = status.lines().find(|line| line.starts_with("CapEff")).unwrap_or_default();
    // CAP_NET_BIND_SERVICE is 10 and CAP_NET_ADMIN is 12.
    assert!(effective.ends_with("0000000000001400"), "{effective}");
    let _nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    assert_eq!(curl(&lab.host, "http://[2004::1]/", 60)?.len(), 2, "{}", daemon.log());
    assert!(daemon.stop()?.success(), "{}", daemon.log());
    assert_eq!(routes_of_protocol(&lab.host, "bgp")?, []);
    Ok(())
}

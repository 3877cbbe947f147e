//! Two hundred connections that live through a node that joins and one that leaves: whose break, and whose must not.
#![cfg(feature = "labs")]

use std::net::SocketAddr;

use anyhow::{Context, Result};
use interop::daemon::{Daemon, k3d};
use interop::flows::{self, Flows};
use interop::gobgp::{Gobgp, Settings};
use interop::haproxy;
use interop::kernel::nexthop_id;
use interop::lab::Lab;
use interop::load::{Cost, FLOWS};
use interop::namespace::Namespace;
use interop::traffic::Traffic;
use interop::wait::{PATIENCE, seconds};
use serde_json::Value;

const SERVICE: &str = "2004::1";

/// Who opens the connections.
#[derive(Clone, Copy, Debug)]
enum From {
    /// A client behind the host.
    Client,
    /// HAProxy on the host, with a source address and a range of ports.
    Haproxy,
}

/// What the two events did.
#[derive(Debug)]
struct Outcome {
    join: Cost,
    leave: Cost,
    leaver: String,
}

/// Two nodes, connections; the third joins; more connections, so that it has some; the second leaves.
fn join_and_leave(hash_policy: u8, from: From, groups: &str) -> Result<Outcome> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service(SERVICE)?;
    lab.client()?;
    lab.host.sysctl("net.ipv6.fib_multipath_hash_policy", &hash_policy.to_string())?;
    let config = std::fs::read_to_string(k3d())?
        .replace("set-multipath-hash-policy = true", &format!("nexthop-groups = \"{groups}\""));
    let _daemon = Daemon::start(&lab, &config)?;
    let speakers = Gobgp::start_all(&lab, &Settings::default(), &[])?;
    let _backends = flows::start_backends(&lab)?;
    for speaker in &speakers[..2] {
        speaker.announce("2004::1/128")?;
    }
    let v6 = lab.v6();
    lab.expect_gateways(SERVICE, &v6[..2], seconds(40))?;
    let group = nexthop_id(&lab.host, SERVICE)?;
    let _haproxy = match from {
        From::Client => None,
        From::Haproxy => Some(haproxy::start_tcp(&lab, SERVICE)?),
    };
    let (namespace, remote) = endpoint(&mut lab, from)?;

    let before = Flows::open(namespace, remote, FLOWS)?;
    // Always forwarded ones: those of the host itself do not bind their port, and HAProxy is here for connections.
    let requests = Traffic::start(lab.client()?, "[2004::1]:80".parse()?, 2)?;
    assert_eq!(before.nodes().len(), 2, "{:?}", before.nodes());
    speakers[2].announce("2004::1/128")?;
    lab.expect_gateways(SERVICE, &v6, PATIENCE)?;
    let join = Cost { fate: before.finish()?, tally: requests.stop()? };

    let (namespace, remote) = endpoint(&mut lab, from)?;
    let more = Flows::open(namespace, remote, FLOWS)?;
    assert_eq!(more.nodes().len(), 3, "the one that has joined gets new connections: {:?}", more.nodes());
    let requests = Traffic::start(lab.client()?, "[2004::1]:80".parse()?, 2)?;
    speakers[1].withdraw("2004::1/128")?;
    lab.expect_gateways(SERVICE, &[v6[0].clone(), v6[2].clone()], PATIENCE)?;
    let leave = Cost { fate: more.finish()?, tally: requests.stop()? };
    assert_eq!(nexthop_id(&lab.host, SERVICE)?, group, "the route has another group");
    Ok(Outcome { join, leave, leaver: lab.nodes[1].name.clone() })
}

fn endpoint(lab: &mut Lab, from: From) -> Result<(&Namespace, SocketAddr)> {
    Ok(match from {
        From::Client => (lab.client()?, format!("[{SERVICE}]:{}", flows::PORT).parse()?),
        From::Haproxy => (&lab.host, haproxy::TCP.parse()?),
    })
}

/// The promise: nobody loses anything when a node joins, and only its own connections break when it leaves.
fn expect_kept(outcome: &Outcome) {
    let Outcome { join, leave, leaver } = outcome;
    for (event, cost) in [("joins", join), ("leaves", leave)] {
        eprintln!("a node {event}: {cost}");
    }
    join.expect_none();
    // It goes on serving; only who was talking to it at that moment is cut off.
    assert_eq!(leave.fate.broken_beside(leaver), 0, "{outcome:?}");
    assert!(leave.fate.broken.contains_key(leaver), "it had none: {outcome:?}");
}

#[test]
fn forwarded_flows_stay_by_the_hash_of_ports() -> Result<()> {
    expect_kept(&join_and_leave(1, From::Client, "resilient")?);
    Ok(())
}

#[test]
fn forwarded_flows_stay_by_the_kernels_default_hash() -> Result<()> {
    expect_kept(&join_and_leave(0, From::Client, "resilient")?);
    Ok(())
}

#[test]
fn the_hosts_own_flows_stay_where_haproxy_binds_address_and_port() -> Result<()> {
    expect_kept(&join_and_leave(1, From::Haproxy, "resilient")?);
    Ok(())
}

/// A node joins one of two services, so the routes must part. Its share waits for as long as the route has been there, which
/// is less than the idle timer, and `bgpctl` says so.
#[test]
fn a_node_that_joins_one_of_two_new_services_waits_a_moment_and_breaks_nothing() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service(SERVICE)?;
    lab.client()?;
    let daemon = Daemon::start_k3d(&lab)?;
    let start = |lab: &Lab, node: usize| Gobgp::start(lab, &lab.nodes[node], &Settings::default());
    let speakers = [start(&lab, 0)?, start(&lab, 1)?];
    let _backends = flows::start_backends(&lab)?;
    let v6 = lab.v6();
    for speaker in &speakers {
        speaker.announce("2004::1/128")?;
        speaker.announce("2004::2/128")?;
    }
    lab.expect_gateways(SERVICE, &v6[..2], seconds(40))?;
    let old_group = nexthop_id(&lab.host, SERVICE)?;

    let (namespace, remote) = endpoint(&mut lab, From::Client)?;
    let flows = Flows::open(namespace, remote, FLOWS)?;
    // It dials after some seconds; for so long at least the routes have been there by then, and so long it waits.
    let third = start(&lab, 2)?;
    third.announce("2004::1/128")?;
    lab.until("the third leg says until when it waits", seconds(60), || {
        let reply = daemon.json("show fib 2004::1/128")?;
        let leg = |leg: &Value| leg["left_out"].as_str().is_some_and(|why| why.starts_with("joins in "));
        Ok(reply["routes"][0]["next_hops"].as_array().context("no legs")?.iter().any(leg))
    })?;
    // The timer is 60 s.
    lab.expect_gateways(SERVICE, &v6, seconds(90))?;
    assert_ne!(nexthop_id(&lab.host, SERVICE)?, old_group);
    let fate = flows.finish()?;
    assert_eq!(fate.broken.values().sum::<usize>(), 0, "{fate:?}");
    lab.expect_gateways("2004::2", &v6[..2], PATIENCE)?;
    let (namespace, remote) = endpoint(&mut lab, From::Client)?;
    let more = Flows::open(namespace, remote, FLOWS)?;
    assert_eq!(more.nodes().len(), 3, "the one that has joined gets new connections: {:?}", more.nodes());
    Ok(())
}

#[test]
fn with_plain_groups_flows_of_nodes_that_stay_break() -> Result<()> {
    let outcome = join_and_leave(1, From::Client, "plain")?;
    eprintln!("{outcome:?}");
    assert!(
        outcome.join.fate.broken.values().sum::<usize>() > FLOWS / 10,
        "then why resilient ones? {outcome:?}"
    );
    Ok(())
}

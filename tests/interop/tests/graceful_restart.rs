//! Graceful restart under traffic, RFC 4724 and RFC 8538: our own crash, and what stays and goes while peers come back.
#![cfg(feature = "labs")]

use anyhow::Result;
use interop::daemon::Daemon;
use interop::gobgp::{Gobgp, GracefulRestart, Settings};
use interop::kernel::{gateways, watch_routes};
use interop::lab::{Lab, Node};
use interop::traffic::Traffic;
use interop::wait::seconds;

fn graceful() -> Settings {
    Settings { graceful_restart: GracefulRestart::On, ..Settings::default() }
}

#[test]
fn a_crash_under_traffic_loses_nothing_and_no_leg() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let mut daemon = Daemon::start_k3d(&lab)?;
    let nodes = Gobgp::start_all(&lab, &graceful(), &["2004::1/128", "2004::2/128"])?;
    lab.expect_all_nodes("2004::1", seconds(30))?;
    lab.expect_all_nodes("2004::2", seconds(5))?;
    lab.wait_for_http()?;
    let watch = watch_routes(&lab, &lab.host)?;
    // From behind the host: its own connections are hashed anew at any change of any route, whoever makes it.
    let traffic = Traffic::start(lab.client()?, "[2004::1]:80".parse()?, 4)?;
    daemon.crash()?;
    // A service ends while nobody listens, and another one begins.
    nodes.iter().try_for_each(|node| node.withdraw("2004::2/128"))?;
    nodes[0].announce("2004::3/128")?;
    daemon.start_again(&lab)?;
    assert!(
        daemon.log().contains("the kernel still forwards by routes of an earlier run"),
        "{}",
        daemon.log()
    );
    assert_eq!(gateways(&lab.host, "2004::2")?.len(), 3, "a leftover goes only when all have said theirs");
    // Exactly when the last End-of-RIB has come, long before startup-grace (45 s from the start) is over.
    lab.expect_gateways("2004::2", &[], seconds(35))?;
    lab.expect_gateways("2004::3", &[lab.nodes[0].v6()], seconds(2))?;
    let peers: Vec<_> = lab.nodes.iter().map(Node::v6).collect();
    for peer in &peers {
        assert_eq!(daemon.state(peer)?, "established", "{}", daemon.log());
    }
    assert!(daemon.log().contains("all peers have announced their routes again"), "{}", daemon.log());
    assert_eq!(gateways(&lab.host, "2004::1")?.len(), 3);
    let tally = traffic.stop()?;
    let changes = watch.log();
    assert!(!changes.lines().any(|line| line.contains("2004::1 ")), "2004::1 moved: {changes}");
    eprintln!("daemon killed and started: {} requests, longest gap {:?}", tally.total(), tally.longest_gap);
    assert_eq!(tally.lost, [], "of {} requests", tally.total());
    Ok(())
}

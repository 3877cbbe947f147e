//! What operators have said outlives hand-overs and counts for peers that are away; what a hand-over leaves as it was.
#![cfg(feature = "labs")]

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use interop::command::{run, words};
use interop::daemon::Daemon;
use interop::faults::scene::{config, prefixes};
use interop::kernel::{routes_to, watch_forwarding};
use interop::lab::{BRIDGE, HOST_V6, Lab, Node};
use interop::speaker::{Settings, Speaker};
use interop::wait::PATIENCE;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A node that announces the service, and keeps its routes over a restart or not.
fn announcing(node: &Node, graceful_restart: bool) -> Result<Speaker> {
    let settings = Settings { graceful_restart, ..Settings::cilium(&node.name)? };
    let remote: SocketAddr = format!("[{HOST_V6}]:179").parse()?;
    let speaker = node.namespace.inside(|| Speaker::dial(remote, &settings))??;
    speaker.announce(&prefixes(&["2004::1/128"])?)?;
    Ok(speaker)
}

fn all_announcing(lab: &Lab, graceful_restart: bool) -> Result<Vec<Speaker>> {
    let speakers = lab.nodes.iter().map(|node| announcing(node, graceful_restart)).collect::<Result<_>>()?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    Ok(speakers)
}

#[test]
fn orders_and_routes_outlive_a_hand_over_without_any_grace() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    let mut daemon = Daemon::start(&lab, &config("", "startup-grace = 0"))?;
    let speakers = all_announcing(&lab, false)?;
    let down = lab.nodes[2].v6();
    daemon.ctl(&format!("neighbor {down} shutdown"))?;
    lab.expect_gateways("2004::1", &lab.v6()[..2], PATIENCE)?;
    daemon.ctl(&format!("neighbor {} graceful-shutdown", lab.nodes[1].v6()))?;
    let watch = watch_forwarding(&lab, &lab.host)?;
    for _ in 0..3 {
        daemon.replace(&lab)?;
        assert!(Speaker::on(&lab.nodes[2], HOST_V6).is_err(), "{}", daemon.log());
        assert_eq!(daemon.state(&lab.nodes[0].v6())?, "established");
    }
    watch.expect_none(|| lab.explain())?;
    assert!(!speakers[0].is_over() && !speakers[1].is_over());
    let said = daemon.ctl(&format!("neighbor {} no-graceful-shutdown", lab.nodes[1].v6()))?;
    assert!(said.contains("no longer"), "it was still in force: {said}");
    daemon.ctl(&format!("neighbor {down} start"))?;
    let _back = announcing(&lab.nodes[2], false)?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    Ok(())
}

#[test]
fn routes_of_peers_that_are_away_obey_the_operator() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    let group = "graceful-restart = { mode = \"helper\" }";
    let daemon = Daemon::start(&lab, &config(group, ""))?;
    for speaker in all_announcing(&lab, true)? {
        drop(speaker);
    }
    lab.until("all are away", PATIENCE, || {
        let states: Vec<String> = lab.v6().iter().map(|peer| daemon.state(peer)).collect::<Result<_>>()?;
        Ok(states.iter().all(|state| state != "established"))
    })?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    daemon.ctl(&format!("neighbor {} shutdown", lab.nodes[0].v6()))?;
    lab.expect_gateways("2004::1", &lab.v6()[1..], PATIENCE)?;
    daemon.ctl(&format!("neighbor {} reset", lab.nodes[1].v6()))?;
    lab.expect_gateways("2004::1", &lab.v6()[2..], PATIENCE)?;
    daemon.write_config(&config(group, "").replace("import = \"all\"", "import = \"none\""))?;
    daemon.ctl("reload")?;
    lab.expect_gateways("2004::1", &[], PATIENCE)?;
    daemon.write_config(&config(group, ""))?;
    daemon.ctl("reload")?;
    lab.expect_gateways("2004::1", &lab.v6()[2..], PATIENCE)?;
    Ok(())
}

#[test]
fn a_hand_over_that_comes_to_nothing_leaves_the_daemon_listening() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let mut daemon = Daemon::start_managed(&lab, &config("", ""))?;
    let _first = announcing(&lab.nodes[0], false)?;
    lab.expect_gateways("2004::1", &lab.v6()[..1], PATIENCE)?;
    let pid = daemon.pid();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let limit = limits.lines().find(|line| line.starts_with("Max open files")).context("no limit")?;
    let before = limit.split_whitespace().nth(3).context("no number")?.to_owned();
    let set = |soft: &str| run(&mut words(&format!("prlimit --pid {pid} --nofile={soft}:")));
    set("1")?;
    kill(Pid::from_raw(pid), Signal::SIGUSR2)?;
    lab.until("the hand-over is given up", PATIENCE, || {
        Ok(daemon.log().contains("the listening sockets cannot be handed over"))
    })?;
    set(&before)?;
    let _second = announcing(&lab.nodes[1], false)?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    daemon.must_run()
}

/// The host has `fe80::1` on two links, and a node with `fe80::2` is on each, as where VLANs have the MAC address of their
/// link. One of the two is the neighbour.
#[test]
fn a_link_local_neighbour_is_the_one_on_its_link() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let inside = lab.nodes[1].namespace.name();
    lab.host.ip(&format!("link add second type veth peer name eth1 netns {inside}"))?;
    lab.host.ip("address add fe80::1/64 dev second nodad")?;
    lab.host.ip("link set second up")?;
    let dialled = |node: &Node, link: &str| -> Result<Speaker> {
        node.namespace.ip(&format!("link set {link} addrgenmode none up"))?;
        node.namespace.ip(&format!("-6 address flush dev {link} scope link"))?;
        node.namespace.ip(&format!("address add fe80::2/64 dev {link} nodad"))?;
        let links = node.namespace.ip_json(&format!("link show {link}"))?;
        let remote: SocketAddr = format!("[fe80::1%{}]:179", links[0]["ifindex"]).parse()?;
        let settings = Settings::cilium(&node.name)?;
        node.namespace.inside(|| Speaker::dial(remote, &settings))?
    };
    let text = "[bgp]\nasn = 64513\nrouter-id = \"172.50.0.1\"\n\n[neighbor.\"fe80::2\"]\ninterface = \"second\"\n\
                remote-asn = 64512\nimport = \"all\"\nmode = \"passive\"\n";
    let daemon = Daemon::start(&lab, text)?;
    assert!(dialled(&lab.nodes[0], "eth0").is_err(), "it is on {BRIDGE}");
    let speaker = dialled(&lab.nodes[1], "eth1")?;
    speaker.announce(&prefixes(&["2004::1/128"])?)?;
    lab.expect_gateways("2004::1", &["fe80::2".to_owned()], PATIENCE)?;
    let shown = lab.host.ip("-6 route show 2004::1")?;
    assert!(shown.contains("dev second"), "{shown}{:?}{}", routes_to(&lab.host, "2004::1")?, daemon.log());
    Ok(())
}

//! BFD with FRR's bfdd and with BIRD 2: a peer that hangs, or that nothing reaches any more, is gone within the detection
//! time; who puts a session down by hand, restarts or reloads disturbs nobody.
#![cfg(feature = "labs")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use interop::bird::Bird;
use interop::daemon::{Daemon, Privileges};
use interop::flows;
use interop::frr::Frr;
use interop::lab::{BRIDGE, HOST_V4, HOST_V6, Lab, Node};
use interop::load::{self, Load};
use interop::rtnl::{self, Watcher};
use interop::wait::{PATIENCE, seconds};
use nix::sys::signal::Signal;
use serde_json::Value;

/// The service that the nodes announce, each with its own next hop.
const SERVICE: &str = "2004::1/128";

/// The nodes by both families; BFD three times `interval`.
fn host(interval: &str) -> String {
    format!(
        r#"[bgp]
asn = 64513
router-id = "172.50.0.1"

[peer-group.nodes]
remote-asn = 64512
listen-range = ["172.50.0.0/16", "2001:3200:3200::/64"]
import = "all"
export = "none"
bfd = {{ min-tx = "{interval}", min-rx = "{interval}" }}
"#
    )
}

fn frr(node: &Node) -> String {
    format!(
        "router bgp 64512
 bgp router-id {v4}
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor {HOST_V6} remote-as 64513
 neighbor {HOST_V6} bfd profile lab
 neighbor {HOST_V4} remote-as 64513
 neighbor {HOST_V4} bfd profile lab
 address-family ipv4 unicast
  no neighbor {HOST_V6} activate
 exit-address-family
 address-family ipv6 unicast
  neighbor {HOST_V6} activate
  network {SERVICE}
 exit-address-family
",
        v4 = node.v4()
    )
}

fn bfdd(interval: &str) -> String {
    format!("bfd\n profile lab\n  transmit-interval {interval}\n  receive-interval {interval}\n")
}

/// FRR with bfdd on every node.
fn start_frr(lab: &Lab, interval: &str) -> Result<Vec<Frr>> {
    let start = |node: &Node| Frr::start_with_bfd(lab, &node.namespace, &frr(node), &bfdd(interval));
    lab.nodes.iter().map(|node| start(node).with_context(|| node.name.clone())).collect()
}

/// What `show bfd` says about a peer.
fn session(daemon: &Daemon, peer: &str) -> Result<Value> {
    let reply = daemon.json("show bfd")?;
    let all = reply["sessions"].as_array().cloned().unwrap_or_default();
    Ok(all.into_iter().find(|session| session["peer"] == peer).unwrap_or(Value::Null))
}

fn expect_up(lab: &Lab, daemon: &Daemon, peers: &[String]) -> Result<()> {
    for peer in peers {
        lab.until(&format!("BFD with {peer} is up"), PATIENCE, || {
            let session = session(daemon, peer)?;
            Ok(session["state"] == "up" && session["polling"] == false)
        })?;
    }
    Ok(())
}

/// The gateway of a node's routes: FRR and BIRD announce the link-local address of an interface, too.
fn gateway(node: &Node) -> String {
    format!("fe80::42:acff:fe32:{}", node.name.trim_start_matches("node"))
}

fn expect_all_legs(lab: &Lab) -> Result<()> {
    let all: Vec<String> = lab.nodes.iter().map(gateway).collect();
    lab.expect_gateways("2004::1", &all, seconds(90)).map(drop)
}

fn both(node: &Node) -> Vec<String> {
    vec![node.v4(), node.v6()]
}

/// When only the legs of `others` were left after `break_it`.
fn leg_leaves(others: &[Node], watcher: &Watcher, break_it: impl FnOnce() -> Result<()>) -> Result<Instant> {
    let wanted: BTreeSet<_> = others.iter().map(|node| rtnl::v6(&gateway(node))).collect::<Result<_>>()?;
    watcher.forget();
    break_it()?;
    watcher.wait_for(&wanted, PATIENCE)
}

#[test]
fn a_peer_that_hangs_or_is_cut_off_loses_its_leg_within_the_detection_time() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    lab.add_service("2004::1")?;
    let watcher = Watcher::start(&lab.host, rtnl::v6("2004::1")?)?;
    let daemon = Daemon::start_as(&lab, &host("50ms"), Privileges::NetworkOnly)?;
    let nodes = start_frr(&lab, "50")?;
    expect_all_legs(&lab)?;
    for node in &lab.nodes {
        expect_up(&lab, &daemon, &both(node))?;
    }
    let peer = lab.nodes[0].v6();
    let seen = session(&daemon, &peer)?;
    assert_eq!(
        (&seen["transmit_interval_us"], &seen["detection_time_us"]),
        (&50_000.into(), &150_000.into())
    );
    assert_eq!(nodes[0].bfd_peer(HOST_V6)?["status"], "up");
    assert!(daemon.ctl(&format!("show neighbors {peer}"))?.contains("BFD\n  State:              Up"));

    // A machine with too much to do may have cost some sessions until here; each of the two events costs one.
    let failures = || Ok::<_, anyhow::Error>(session(&daemon, &peer)?["failures"].as_u64());
    // Frozen: TCP stays, the link stays, the kernel goes on answering for the node.
    let failed_before = failures()?;
    let before = Instant::now();
    let gone = leg_leaves(&lab.nodes[1..], &watcher, || nodes[0].signal(Signal::SIGSTOP))?;
    eprintln!(
        "frozen: leg gone {:?} after SIGSTOP, detection time 150 ms",
        gone.saturating_duration_since(before)
    );
    lab.until("the session is ended", PATIENCE, || Ok(daemon.state(&peer)? != "established"))?;
    let down = daemon.neighbor(&peer)?;
    assert_eq!(down["last_down"]["reason"], "BFD down: no packet for 150 ms", "{down}");
    assert_eq!(daemon.path(SERVICE, &peer)?, Value::Null, "nothing is kept of it");
    assert_eq!(failures()?, failed_before.map(|count| count + 1));
    nodes[0].signal(Signal::SIGCONT)?;
    expect_all_legs(&lab)?;
    expect_up(&lab, &daemon, &both(&lab.nodes[0]))?;

    // Cut off: the port stays up and forwards nothing any more.
    let port = lab.nodes[0].port();
    let words = format!("BFD failed: paths are out of use, the session ends peer={peer} ");
    let told = || daemon.log().matches(&words).count();
    let (failed_before, told_before) = (failures()?, told());
    let before = Instant::now();
    let gone = leg_leaves(&lab.nodes[1..], &watcher, || {
        lab.host.run(&format!("bridge link set dev {port} state 0")).map(drop)
    })?;
    eprintln!("cut off: leg gone {:?} after the command began", gone.saturating_duration_since(before));
    lab.until("the log has it", PATIENCE, || Ok(told() > told_before))?;
    assert_eq!(failures()?, failed_before.map(|count| count + 1));
    lab.host.run(&format!("bridge link set dev {port} state 3"))?;
    expect_all_legs(&lab)?;
    expect_up(&lab, &daemon, &both(&lab.nodes[0]))?;
    let metrics = session(&daemon, &peer)?;
    assert_eq!(metrics["send_errors"], 0, "{metrics}");
    Ok(())
}

/// A node of BIRD with BFD of three times 100 ms over its one session.
fn bird(node: &Node) -> String {
    format!(
        r#"log stderr all;
router id {v4};
protocol device {{ scan time 1; }}
protocol direct {{ ipv6; interface "eth0"; }}
protocol bfd {{ interface "*" {{ min rx interval 100 ms; min tx interval 100 ms; idle tx interval 1 s; multiplier 3; }}; }}
protocol static {{ ipv6; route {SERVICE} unreachable; }}
filter own {{ if source = RTS_STATIC then accept; reject; }}
protocol bgp host {{
  local {v6} as 64512; neighbor {HOST_V6} as 64513;
  error wait time 1, 2; connect delay time 1; connect retry time 1; bfd on;
  ipv6 {{ import none; export filter own; }};
}}
"#,
        v4 = node.v4(),
        v6 = node.v6()
    )
}

/// How a node is lost.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Its process stands still; TCP stays, the link stays.
    Hangs,
    /// Its port stays up and forwards nothing any more.
    CutOff,
}

/// How long after a failure of BFD the leg was gone. The log has the failure a moment after routing was told, so that a log that
/// is late would flatter: both are to be close together, and the failure is due 300 ms after the last packet, which came before
/// the node was dead for certain.
fn after_failure(killed: Instant, logged: Instant, gone: Instant) -> Duration {
    let due = killed + Duration::from_millis(300);
    let apart = gone.saturating_duration_since(logged).max(logged.saturating_duration_since(gone));
    apart.max(gone.saturating_duration_since(due))
}

/// A node that BFD finds dead, under requests and 200 long-lived connections: only its own break, and its leg is gone at once.
#[test]
fn a_peer_found_dead_takes_only_its_own_flows_along() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let watcher = Watcher::start(&lab.host, rtnl::v6("2004::1")?)?;
    let daemon = Daemon::start(&lab, &host("100ms"))?;
    let start = |node: &Node| Bird::start(&lab, &node.namespace, &bird(node));
    let birds: Vec<Bird> = lab.nodes.iter().map(start).collect::<Result<_>>()?;
    let _backends = flows::start_backends(&lab)?;
    let peers = lab.v6();
    for death in [Death::Hangs, Death::CutOff] {
        expect_all_legs(&lab)?;
        expect_up(&lab, &daemon, &peers)?;
        let (node, name, port) = (&peers[0], lab.nodes[0].name.clone(), lab.nodes[0].port());
        let load = Load::start(&mut lab, "2004::1")?;
        let own = load.of(&name);
        let kill = |lab: &Lab| -> Result<_> {
            let words = format!("BFD session failed peer={node} ");
            let failures = daemon.log().matches(&words).count();
            let mut killed = Instant::now();
            let gone = leg_leaves(&lab.nodes[1..], &watcher, || {
                match death {
                    Death::Hangs => birds[0].signal(Signal::SIGSTOP)?,
                    Death::CutOff => drop(lab.host.run(&format!("bridge link set dev {port} state 0"))?),
                }
                killed = Instant::now();
                Ok(())
            })?;
            lab.until("the log has it", PATIENCE, || Ok(daemon.log().matches(&words).count() > failures))?;
            Ok((after_failure(killed, daemon.logged_last(&words)?, gone), gone))
        };
        let revive = |lab: &Lab| match death {
            Death::Hangs => birds[0].signal(Signal::SIGCONT),
            Death::CutOff => lab.host.run(&format!("bridge link set dev {port} state 3")).map(drop),
        };
        let (delay, left) = kill(&lab)?;
        let gone = load.at(left);
        lab.until("the session is ended", PATIENCE, || Ok(daemon.state(node)? != "established"))?;
        load.finish(&format!("a node with BFD: {death:?}"))?.expect_only_of(&name, own, gone);
        load::expect_without(&mut lab, "2004::1", &name)?;
        revive(&lab)?;
        load::expect_repaired(&format!("a node with BFD: {death:?}"), delay, || {
            expect_all_legs(&lab)?;
            expect_up(&lab, &daemon, &peers)?;
            let (delay, _) = kill(&lab)?;
            revive(&lab)?;
            Ok(delay)
        })?;
    }
    Ok(())
}

/// How often bfdd has seen the session with the host fail.
fn downs(frr: &Frr, peer: &str) -> Result<(i64, String)> {
    let printed = frr.vtysh_of("bfdd", &["show bfd peers counters json"])?;
    let all: Value = serde_json::from_str(&printed).with_context(|| printed.clone())?;
    let all = all.as_array().cloned().unwrap_or_default();
    let counters = all.into_iter().find(|counters| counters["peer"] == peer).unwrap_or_default();
    let bgp = frr.json(&format!("show bgp neighbors {peer}"))?;
    let flaps = bgp[peer]["connectionsDropped"].to_string();
    Ok((counters["session-down"].as_i64().context("no counter of sessions down")?, flaps))
}

#[test]
fn who_puts_a_session_down_by_hand_or_reloads_or_restarts_disturbs_nobody() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    lab.add_service("2004::1")?;
    let mut daemon = Daemon::start_managed(&lab, &host("100ms"))?;
    let nodes = start_frr(&lab, "100")?;
    let (frr, peers) = (&nodes[0], both(&lab.nodes[0]));
    expect_all_legs(&lab)?;
    daemon.expect_established(&lab, &peers)?;
    expect_up(&lab, &daemon, &peers)?;
    let before = (downs(frr, HOST_V6)?, downs(frr, HOST_V4)?);
    // A machine with too much to do may have cost some until here.
    let ours = |daemon: &Daemon| -> Result<Vec<(Value, Value)>> {
        let of = |peer: &String| {
            let shown = daemon.neighbor(peer)?;
            Ok((shown["bfd"]["failures"].clone(), shown["flaps"].clone()))
        };
        peers.iter().map(of).collect()
    };
    let ours_before = ours(&daemon)?;
    let failed = |daemon: &Daemon| daemon.log().matches("BFD session failed").count();
    let failed_before = failed(&daemon);

    // Another process, twice by itself and once by the service manager.
    for how in ["replace", "replace", "restart"] {
        let go_on = |daemon: &Daemon| daemon.log().matches("BFD session goes on").count();
        let (begun, before_it) = (Instant::now(), go_on(&daemon));
        if how == "restart" {
            daemon.restart(&lab)?
        } else {
            daemon.replace(&lab)?
        }
        eprintln!("{how}: {:?}", begun.elapsed());
        lab.until("both sessions go on", PATIENCE, || Ok(go_on(&daemon) >= before_it + peers.len()))?;
        expect_up(&lab, &daemon, &peers)?;
        assert_eq!((downs(frr, HOST_V6)?, downs(frr, HOST_V4)?), before, "{how}\n{}", lab.explain());
        assert_eq!(ours(&daemon)?, ours_before);
    }
    // Other intervals: agreed on under way.
    daemon.write_config(&host("200ms"))?;
    daemon.ctl("reload")?;
    lab.until("both ends have agreed on 200 ms", PATIENCE, || {
        let ours = session(&daemon, &peers[1])?;
        let theirs = frr.bfd_peer(HOST_V6)?;
        Ok(ours["detection_time_us"] == 600_000
            && ours["polling"] == false
            && theirs["remote-receive-interval"] == 200)
    })?;
    assert_eq!((downs(frr, HOST_V6)?, downs(frr, HOST_V4)?), before);

    // Their hand: AdminDown is no failure.
    frr.vtysh_of("bfdd", &["configure terminal", "bfd", "profile lab", "shutdown"])?;
    for peer in &peers {
        lab.until("our end is down and knows why", PATIENCE, || {
            let session = session(&daemon, peer)?;
            Ok(session["state"] == "down" && session["remote"]["state"] != "up")
        })?;
        assert_eq!(daemon.state(peer)?, "established");
    }
    assert_eq!(ours(&daemon)?, ours_before);
    frr.vtysh_of("bfdd", &["configure terminal", "bfd", "profile lab", "no shutdown"])?;
    expect_up(&lab, &daemon, &peers)?;

    let flaps = |peer: &str| Ok::<_, anyhow::Error>(downs(frr, peer)?.1);
    assert_eq!((flaps(HOST_V6)?, flaps(HOST_V4)?), (before.0.1, before.1.1), "BGP went on throughout");
    assert_eq!(ours(&daemon)?, ours_before);

    // Our hand: without BFD, and with it again. FRR 8.4 ends its BGP session for our AdminDown, and comes back.
    daemon.write_config(&host("200ms").replace("bfd =", "bfd = false #"))?;
    assert!(daemon.ctl("reload")?.contains("bfd"));
    lab.until("no session is left", PATIENCE, || {
        let ours = daemon.json("show bfd")?["sessions"] == Value::Array(Vec::new());
        Ok(ours && frr.bfd_peer(HOST_V6)?["status"] != "up")
    })?;
    assert_eq!(failed(&daemon), failed_before, "{}", daemon.log());
    daemon.write_config(&host("200ms"))?;
    daemon.ctl("reload")?;
    expect_up(&lab, &daemon, &peers)?;
    daemon.expect_established(&lab, &peers)?;
    eprintln!("FRR's sessions that ended by our AdminDown: {} and {}", flaps(HOST_V6)?, flaps(HOST_V4)?);
    Ok(())
}

const BIRD: &str = r#"log stderr all;
router id 172.50.0.2;
protocol device { scan time 1; }
protocol direct { ipv4; ipv6; interface "eth0"; }
protocol bfd { interface "*" { min rx interval 50 ms; min tx interval 50 ms; idle tx interval 1 s; multiplier 3; }; }
protocol static { ipv6; route 2004::1/128 unreachable; }
filter own { if source = RTS_STATIC then accept; reject; }
protocol bgp host6 { local 2001:3200:3200::2 as 64512; neighbor 2001:3200:3200::1 as 64513; bfd on; ipv6 { import all; export filter own; }; }
protocol bgp host4 { local 172.50.0.2 as 64512; neighbor 172.50.0.1 as 64513; bfd on; ipv4 { import all; export none; }; }
protocol bgp hostll { local fe80::42:acff:fe32:2 as 64512; neighbor fe80::1%eth0 as 64513; error wait time 1, 2; connect delay time 1; bfd on; ipv6 { import all; export none; }; }
"#;

#[test]
fn bird_by_both_families_and_by_link_local_addresses() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    lab.add_service("2004::1")?;
    let watcher = Watcher::start(&lab.host, rtnl::v6("2004::1")?)?;
    let config = format!(
        "{}\n[neighbor.\"fe80::42:acff:fe32:2\"]\npeer-group = \"nodes\"\ninterface = \"{BRIDGE}\"\n",
        host("50ms")
    );
    let daemon = Daemon::start(&lab, &config)?;
    let bird = Bird::start(&lab, &lab.nodes[0].namespace, BIRD)?;
    expect_all_legs(&lab)?;
    let link_local = format!("fe80::42:acff:fe32:2%{BRIDGE}");
    let peers = [both(&lab.nodes[0]), vec![link_local]].concat();
    daemon.expect_established(&lab, &peers)?;
    expect_up(&lab, &daemon, &peers)?;
    let shown = bird.ask("show bfd sessions")?;
    assert_eq!(shown.matches("Up").count(), 3, "{shown}");
    let before = Instant::now();
    let gone = leg_leaves(&[], &watcher, || bird.signal(Signal::SIGSTOP))?;
    eprintln!("BIRD frozen: route gone {:?} after SIGSTOP", gone.saturating_duration_since(before));
    bird.signal(Signal::SIGCONT)?;
    expect_all_legs(&lab)?;
    expect_up(&lab, &daemon, &peers)?;
    // The same link-local peer, by a listen range: where it is, its packets tell.
    let config = host("50ms").replace("172.50.0.0/16\",", "172.50.0.0/16\", \"fe80::/64\",");
    daemon.write_config(&config)?;
    daemon.ctl("reload")?;
    let by_range = ["fe80::42:acff:fe32:2".to_owned()];
    daemon.expect_established(&lab, &by_range)?;
    expect_up(&lab, &daemon, &by_range)?;
    assert_eq!(daemon.neighbor(&by_range[0])?["listen_range"], "fe80::/64");
    // Our hand: BIRD 2.0 ends its BGP sessions for our AdminDown; ours is no failure here.
    daemon.write_config(&config.replace("bfd =", "bfd = false #"))?;
    daemon.ctl("reload")?;
    lab.until("BIRD has no session that is up", PATIENCE, || {
        Ok(!bird.ask("show bfd sessions")?.contains("Up"))
    })?;
    eprintln!("BIRD after our AdminDown:\n{}", bird.ask("show protocols")?);
    Ok(())
}

/// Full graceful restart at both ends, and BFD.
fn restarting(own: &str, rest: &str) -> String {
    format!("[bgp]\n{own}\ngraceful-restart = {{ mode = \"full\" }}\n{rest}")
}

/// A peer whose agent hangs while its node goes on forwarding keeps its paths, stale, where graceful restart has it so; once
/// the node is cut off as well, they are out of use.
#[test]
fn graceful_restart_bridges_a_hung_agent_but_no_node_that_is_cut_off() -> Result<()> {
    // The other node keeps the bridge up.
    let lab = Lab::with_nodes(2)?;
    lab.add_service("2004::1")?;
    let node = &lab.nodes[0];
    let bfd = "bfd = { min-tx = \"50ms\", min-rx = \"50ms\" }";
    let ours = restarting(
        "asn = 64513\nrouter-id = \"172.50.0.1\"",
        &format!("[neighbor.\"{}\"]\nremote-asn = 64512\nimport = \"all\"\n{bfd}\n", node.v6()),
    );
    let theirs = restarting(
        "asn = 64512\nrouter-id = \"172.50.0.2\"\nnetworks = [\"2004::1/128\"]",
        &format!(
            "[neighbor.\"{HOST_V6}\"]\nremote-asn = 64513\nimport = \"none\"\nexport = \"all\"\n{bfd}\n[kernel]\ninstall = false\n"
        ),
    );
    let watcher = Watcher::start(&lab.host, rtnl::v6("2004::1")?)?;
    let daemon = Daemon::start(&lab, &ours)?;
    let agent = Daemon::start_in(&lab, &node.namespace, "agent", &theirs)?;
    let peer = node.v6();
    daemon.expect_established(&lab, std::slice::from_ref(&peer))?;
    expect_up(&lab, &daemon, std::slice::from_ref(&peer))?;
    lab.expect_gateways("2004::1", &[gateway(node)], PATIENCE)?;
    signal(&agent, Signal::SIGSTOP)?;
    lab.until("the session is ended", PATIENCE, || Ok(daemon.state(&peer)? != "established"))?;
    let down = daemon.neighbor(&peer)?;
    let reason = down["last_down"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.starts_with("BFD down: no packet for 150 ms; the node answers"), "{down}");
    lab.until("its path is stale", PATIENCE, || Ok(!daemon.path(SERVICE, &peer)?.is_null()))?;
    lab.expect_gateways("2004::1", &[gateway(node)], PATIENCE)?;
    signal(&agent, Signal::SIGCONT)?;
    // It finds its own detection time over, and begins anew as well.
    lab.until("both sessions are up and stay so", PATIENCE, || {
        let now = daemon.neighbor(&peer)?;
        let lasts = |of: &Value| of["since_seconds"].as_u64().is_some_and(|seconds| seconds >= 2);
        Ok(now["state"] == "established" && now["bfd"]["state"] == "up" && lasts(&now) && lasts(&now["bfd"]))
    })?;
    lab.expect_gateways("2004::1", &[gateway(node)], PATIENCE)?;

    let before = Instant::now();
    let gone = leg_leaves(&[], &watcher, || {
        lab.host.run(&format!("bridge link set dev {} state 0", node.port())).map(drop)
    })?;
    eprintln!("cut off: leg gone {:?} after the command began", gone.saturating_duration_since(before));
    lab.until("the decision is shown", PATIENCE, || {
        let node = daemon.neighbor(&peer)?["node"].to_string();
        Ok(node.contains("the node does not answer")
            && node.contains("its session was ended and its paths removed"))
    })?;
    lab.host.run(&format!("bridge link set dev {} state 3", node.port()))?;
    lab.expect_gateways("2004::1", &[gateway(node)], PATIENCE)?;
    Ok(())
}

/// Where the peer's BFD would outlive its control plane (its C bit is set), its silence says that nothing is forwarded: no
/// graceful restart bridges that, though the node answers.
#[test]
fn a_peer_whose_bfd_is_apart_from_its_agent_keeps_no_paths_when_it_fails() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    lab.add_service("2004::1")?;
    let node = &lab.nodes[0];
    let peer = node.v6();
    let ours = restarting(
        "asn = 64513\nrouter-id = \"172.50.0.1\"",
        &format!(
            "[neighbor.\"{peer}\"]\nremote-asn = 64512\nimport = \"all\"\nbfd = {{ min-tx = \"50ms\", min-rx = \"50ms\" }}\n"
        ),
    );
    let watcher = Watcher::start(&lab.host, rtnl::v6("2004::1")?)?;
    let daemon = Daemon::start(&lab, &ours)?;
    let theirs = frr(node)
        .replace(" no bgp ebgp", " bgp graceful-restart\n bgp graceful-restart notification\n no bgp ebgp")
        .replace(&format!(" neighbor {HOST_V4} remote-as 64513\n neighbor {HOST_V4} bfd profile lab\n"), "")
        .replace(&format!("  no neighbor {HOST_V6} activate\n"), "")
        .replace(
            &format!(" neighbor {HOST_V6} bfd profile lab\n"),
            &format!(
                " neighbor {HOST_V6} bfd profile lab\n neighbor {HOST_V6} bfd check-control-plane-failure\n"
            ),
        );
    let frr = Frr::start_with_bfd(&lab, &node.namespace, &theirs, &bfdd("50"))?;
    expect_up(&lab, &daemon, std::slice::from_ref(&peer))?;
    lab.expect_gateways("2004::1", &[gateway(node)], seconds(60))?;
    assert_eq!(session(&daemon, &peer)?["remote"]["control_plane_independent"], true);
    let restart = daemon.neighbor(&peer)?["graceful_restart"].clone();
    assert!(restart["peer_restart_seconds"].as_u64().is_some(), "{restart}");
    let before = Instant::now();
    let gone = leg_leaves(&[], &watcher, || frr.signal(Signal::SIGSTOP))?;
    eprintln!("C bit set, frozen: route gone {:?} after SIGSTOP", gone.saturating_duration_since(before));
    lab.until("the session is ended", PATIENCE, || Ok(daemon.state(&peer)? != "established"))?;
    let down = daemon.neighbor(&peer)?;
    assert_eq!(down["last_down"]["reason"], "BFD down: no packet for 150 ms", "{down}");
    let routes = daemon.ctl_output(&format!("show routes {SERVICE}"))?;
    assert_eq!(routes.status.code(), Some(4), "nothing is kept of it");
    frr.signal(Signal::SIGCONT)?;
    Ok(())
}

/// Whoever has no BFD is a peer as ever: nothing waits for it, and nothing is sent to it but an offer a second.
#[test]
fn a_peer_without_bfd_is_a_peer_all_the_same() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    lab.add_service("2004::1")?;
    let daemon = Daemon::start(&lab, &host("50ms"))?;
    let _bird = Bird::start(&lab, &lab.nodes[0].namespace, &BIRD.replace("bfd on;", ""))?;
    expect_all_legs(&lab)?;
    let peer = lab.nodes[0].v6();
    lab.until(
        "some offers were made",
        PATIENCE,
        || Ok(session(&daemon, &peer)?["sent"].as_u64() >= Some(3)),
    )?;
    let seen = session(&daemon, &peer)?;
    assert_eq!(
        (&seen["state"], &seen["failures"], &seen["remote"]),
        (&"down".into(), &0.into(), &Value::Null)
    );
    assert_eq!(seen["transmit_interval_us"], 1_000_000);
    assert_eq!(daemon.neighbor(&peer)?["flaps"], 0);
    Ok(())
}

/// A table that comes, and goes, costs no BFD session of anybody else: BFD waits for no other work of the daemon.
#[test]
fn a_whole_table_makes_no_session_flap() -> Result<()> {
    const ROUTES: usize = 50_000;
    let lab = Lab::with_nodes(2)?;
    let daemon = Daemon::start(&lab, &host("50ms"))?;
    let node = &lab.nodes[0];
    let frr = Frr::start_with_bfd(&lab, &node.namespace, &frr(node), &bfdd("50"))?;
    daemon.expect_established(&lab, &both(node))?;
    expect_up(&lab, &daemon, &both(node))?;
    let before = (downs(&frr, HOST_V6)?, downs(&frr, HOST_V4)?);

    let mut table =
        BIRD.replace("bfd on;", "").replace("172.50.0.2", "172.50.0.3").replace("::2 as", "::3 as");
    table.push_str("protocol static { ipv6;\n");
    for number in 0..ROUTES {
        writeln!(table, "route 2001:db9:{:x}:{:x}::/64 unreachable;", number >> 16, number & 0xffff)?;
    }
    table.push_str("}\n");
    let routes = || Ok::<_, anyhow::Error>(daemon.json("show summary")?["fib"][1]["installed"].as_u64());
    let begun = Instant::now();
    let bird = Bird::start(&lab, &lab.nodes[1].namespace, &table)?;
    lab.until("the kernel has every route", seconds(120), || Ok(routes()? >= Some(ROUTES as u64)))?;
    drop(bird);
    lab.until("every route is gone again", seconds(120), || Ok(routes()? <= Some(1)))?;
    eprintln!("{ROUTES} routes came and went in {:?}", begun.elapsed());
    assert_eq!((downs(&frr, HOST_V6)?, downs(&frr, HOST_V4)?), before, "{}", lab.explain());
    Ok(())
}

fn signal(daemon: &Daemon, signal: Signal) -> Result<()> {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.pid()), signal).context("a signal to the agent")
}

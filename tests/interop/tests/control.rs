//! bgpctl as a user sees it, and the socket behind it as `curl` sees it.
#![cfg(feature = "labs")]

use std::process::Command;

use anyhow::{Context, Result};
use bgp_wire::Message;
use interop::command::{output, run};
use interop::daemon::Daemon;
use interop::faults::scene::prefixes;
use interop::lab::{HOST_V6, Lab};
use interop::process::Process;
use interop::programs::binary;
use interop::speaker::Speaker;
use interop::wait::PATIENCE;
use serde_json::Value;

const CONFIG: &str = r#"[bgp]
asn = 64513
router-id = "172.50.0.1"

[peer-group.cilium]
remote-asn = 64512
listen-range = ["2001:3200:3200::/64"]
import = "all"

[neighbor."172.50.0.9"]
remote-asn = 64512
description = "a node that is away"

[metrics]
listen = "127.0.0.1:9273"
"#;

/// Two nodes with one service, and a neighbour that is not there.
fn lab_with_two_nodes() -> Result<(Lab, Daemon, Vec<Speaker>)> {
    let lab = Lab::with_nodes(2)?;
    let daemon = Daemon::start(&lab, CONFIG)?;
    let mut speakers = Vec::new();
    for node in &lab.nodes {
        let speaker = Speaker::on(node, HOST_V6)?;
        speaker.announce(&prefixes(&["2004::1/128"])?)?;
        speakers.push(speaker);
    }
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    Ok((lab, daemon, speakers))
}

#[test]
fn show_neighbors_tells_who_is_up_and_why_not() -> Result<()> {
    let (lab, daemon, _speakers) = lab_with_two_nodes()?;
    let table = daemon.ctl("show neighbors")?;
    eprintln!("{table}");
    for node in &lab.nodes {
        let address = node.v6();
        let line = table.lines().find(|line| line.contains(&format!("{address} "))).context(table.clone())?;
        assert!(line.contains("64512") && line.contains("Established"), "{line}");
    }
    let away = table.lines().find(|line| line.contains("172.50.0.9 ")).context(table.clone())?;
    assert!(!away.contains("Established"), "{away}");
    assert!(!table.contains('\u{1b}'), "no colour where there is no terminal");
    // RFC 8212 and the next attempt are told in words, for the neighbour without policy.
    let detail = daemon.ctl("show neighbors 172.50.0.9")?;
    assert!(detail.contains("a node that is away") && detail.contains("RFC 8212"), "{detail}");
    let peer = daemon.neighbor("172.50.0.9")?;
    assert!(peer["next_step"].is_string(), "{peer}");
    let up = daemon.ctl(&format!("show neighbors {}", lab.nodes[0].v6()))?;
    assert!(up.contains("Established") && up.contains("ipv6-unicast"), "{up}");
    Ok(())
}

#[test]
fn the_other_shows_tell_the_road_of_a_route() -> Result<()> {
    let (lab, daemon, _speakers) = lab_with_two_nodes()?;
    let routes = daemon.ctl("show routes 2004::1/128")?;
    for node in &lab.nodes {
        assert!(routes.contains(&node.v6()), "{routes}");
    }
    assert!(routes.contains("best") && routes.contains("multipath"), "{routes}");
    let received = daemon.ctl(&format!("show routes --received {}", lab.nodes[0].v6()))?;
    assert!(received.contains("2004::1/128"), "{received}");
    let advertised = daemon.json(&format!("show routes --advertised {}", lab.nodes[0].v6()))?;
    assert_eq!(advertised["routes"].as_array().map(Vec::len), Some(0), "nothing goes to Cilium unasked");
    let fib = daemon.ctl("show fib")?;
    assert!(fib.contains("2004::1/128") && fib.contains("installed"), "{fib}");
    let nexthops = daemon.ctl("show nexthops")?;
    assert!(nexthops.contains(&lab.nodes[1].v6()), "{nexthops}");
    let summary = daemon.ctl("show summary")?;
    assert!(summary.contains("64513") && summary.contains("172.50.0.1"), "{summary}");
    let config = daemon.ctl("show config")?;
    assert!(config.contains("listen-range"), "{config}");
    for question in ["neighbors", "routes", "fib", "nexthops", "summary", "config"] {
        assert!(daemon.json(&format!("show {question}"))?.is_object(), "{question}");
    }
    Ok(())
}

#[test]
fn a_neighbour_is_shut_down_with_a_reason_and_started_again() -> Result<()> {
    let (lab, daemon, speakers) = lab_with_two_nodes()?;
    let address = lab.nodes[0].v6();
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", lab.host.name()])
        .arg(binary("bgpctl")?)
        .arg("--socket")
        .arg(daemon.socket());
    run(command.args(["neighbor", &address, "shutdown", "--reason", "node maintenance"]))?;
    let mut farewell = None;
    while let Some(heard) = speakers[0].hear()? {
        if let Message::Notification(notification) = heard {
            farewell = notification.shutdown_communication();
        }
    }
    assert_eq!(farewell.as_deref(), Some("node maintenance"));
    lab.expect_gateways("2004::1", &[lab.nodes[1].v6()], PATIENCE)?;
    assert!(Speaker::on(&lab.nodes[0], HOST_V6).is_err(), "a node that is shut down is not let in");
    daemon.ctl(&format!("neighbor {address} start"))?;
    let back = Speaker::on(&lab.nodes[0], HOST_V6)?;
    back.announce(&prefixes(&["2004::1/128"])?)?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    daemon.ctl(&format!("neighbor {} reset", lab.nodes[1].v6()))?;
    while speakers[1].hear()?.is_some() {}
    Ok(())
}

#[test]
fn failures_have_an_exit_code_and_a_sentence() -> Result<()> {
    let lab = Lab::with_nodes(0)?;
    let daemon = Daemon::start(&lab, CONFIG)?;
    for line in ["show neighbors 2001:db8::99", "neighbor 2001:db8::99 reset", "show routes nonsense"] {
        let end = daemon.ctl_output(line)?;
        assert!(!end.status.success(), "{line}");
        assert!(!end.stderr.is_empty(), "{line}");
    }
    let nobody =
        output(Command::new(binary("bgpctl")?).args(["--socket", "/nowhere.sock", "show", "summary"]))?;
    assert!(!nobody.status.success());
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("/nowhere.sock"));
    let by_environment = output(
        Command::new(binary("bgpctl")?).env("BGPD_RS_SOCKET", daemon.socket()).args(["show", "summary"]),
    )?;
    assert!(by_environment.status.success());
    Ok(())
}

#[test]
fn monitor_shows_events_as_they_happen() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let daemon = Daemon::start(&lab, CONFIG)?;
    let mut command = Command::new(binary("bgpctl")?);
    command.arg("--socket").arg(daemon.socket()).args(["monitor", "--json"]);
    let monitor = Process::start("monitor", &mut command, lab.dir())?;
    lab.until("the monitor is connected", PATIENCE, || Ok(monitor.log().contains("monitor-started")))?;
    let speaker = Speaker::on(&lab.nodes[0], HOST_V6)?;
    let address = lab.nodes[0].v6();
    lab.until("it shows the session", PATIENCE, || Ok(monitor.log().contains(&address)))?;
    drop(speaker);
    let lines = || monitor.log().lines().filter(|line| line.contains(&address)).count();
    lab.until("it shows the session's end", PATIENCE, || Ok(lines() >= 2))?;
    for line in monitor.log().lines() {
        serde_json::from_str::<Value>(line).with_context(|| line.to_owned())?;
    }
    Ok(())
}

#[test]
fn the_socket_speaks_http() -> Result<()> {
    let (lab, daemon, _speakers) = lab_with_two_nodes()?;
    let ask = |path: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--fail-with-body", "--unix-socket"]).arg(daemon.socket());
        output(command.arg(format!("http://bgpd-rs{path}")))
    };
    let reply: Value = serde_json::from_slice(&ask("/v1/neighbors")?.stdout)?;
    assert_eq!(reply["neighbors"].as_array().map(Vec::len), Some(lab.nodes.len() + 1));
    for nonsense in ["/v1/nothing", "/v1/neighbors?address=x&unknown=1", "/v1/routes?prefix=%00"] {
        assert!(!ask(nonsense)?.status.success(), "{nonsense}");
    }
    assert!(ask("/v1/summary")?.status.success());
    Ok(())
}

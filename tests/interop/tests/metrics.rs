//! Prometheus from Debian scrapes the daemon, and promtool has nothing to say against what it gets.
#![cfg(feature = "labs")]

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result};
use interop::daemon::Daemon;
use interop::faults::scene::prefixes;
use interop::lab::{HOST_V6, Lab};
use interop::programs::installed;
use interop::prometheus::Prometheus;
use interop::speaker::Speaker;
use interop::wait::PATIENCE;

const TARGET: &str = "127.0.0.1:9273";

fn config() -> Result<String> {
    let host = std::fs::read_to_string(interop::daemon::k3d())?;
    let host = host.replace("import = \"all\"", "import = \"all\"\nbfd = true");
    Ok(format!("{host}\n[metrics]\nlisten = \"{TARGET}\"\n"))
}

#[test]
fn prometheus_scrapes_and_promtool_is_content() -> Result<()> {
    installed("promtool", "prometheus")?;
    let lab = Lab::with_nodes(2)?;
    let _daemon = Daemon::start(&lab, &config()?)?;
    let mut speakers = Vec::new();
    for node in &lab.nodes {
        let speaker = Speaker::on(node, HOST_V6)?;
        speaker.announce(&prefixes(&["2004::1/128"])?)?;
        speakers.push(speaker);
    }
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let page_of = format!("curl --silent --fail http://{TARGET}/metrics");
    let page = lab.host.run(&page_of)?;
    let mut promtool = lab.host.command("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn()?;
    child.stdin.take().context("stdin")?.write_all(page.as_bytes())?;
    let said = child.wait_with_output()?;
    let words = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && words.trim().is_empty(), "{words}\n{page}");

    let prometheus = Prometheus::start(&lab, TARGET)?;
    lab.until("the target is up", PATIENCE, || {
        let up = prometheus.query("up{job=\"bgpd-rs\"}")?;
        Ok(up.len() == 1 && up[0]["value"][1] == "1")
    })?;
    lab.until("it sees two sessions", PATIENCE, || {
        let sessions = prometheus.query("sum(bgpd_peer_up)")?;
        Ok(sessions.len() == 1 && sessions[0]["value"][1] == "2")
    })?;
    lab.until("every alert rule is evaluated without an error", PATIENCE, || {
        let rules = prometheus.rules()?;
        Ok(!rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok"))
    })?;
    drop(speakers);
    lab.until("it sees them end", PATIENCE, || {
        let sessions = prometheus.query("sum(bgpd_peer_up)")?;
        Ok(sessions.is_empty() || sessions[0]["value"][1] == "0")
    })?;
    assert_all_documented_are_served(&lab.host.run(&page_of)?);
    Ok(())
}

/// Every metric of docs/metrics.md is there once sessions have come and gone; only errors and packets of
/// strangers may not have happened.
fn assert_all_documented_are_served(page: &str) {
    let list = include_str!("../../../docs/metrics.md");
    let names = list.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let metrics = names.filter(|name| name.starts_with("bgpd_") || name.starts_with("process_"));
    let missing: Vec<_> = metrics
        .filter(|name| !page.contains(&format!("# TYPE {name} ")))
        .filter(|name| !["bgpd_netlink_errors_total", "bgpd_bfd_dropped_total"].contains(name))
        .collect();
    assert!(missing.is_empty(), "not served: {missing:?}\n{page}");
}

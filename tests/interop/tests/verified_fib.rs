//! What the kernel holds is what it has acknowledged: what is lost without a word is found by the audit.
#![cfg(feature = "labs")]

use anyhow::Result;
use interop::daemon::{Daemon, k3d};
use interop::gobgp::{Families, Gobgp, Settings};
use interop::lab::Lab;
use interop::wait::seconds;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// The lab's configuration, with an audit every second.
fn audited() -> Result<String> {
    Ok(std::fs::read_to_string(k3d())? + "audit-interval = 1\n")
}

/// A check of `bgpctl show summary`.
fn check(daemon: &Daemon, name: &str) -> Result<Value> {
    let summary = daemon.json("show summary")?;
    let checks = summary["checks"].as_array().cloned().unwrap_or_default();
    Ok(checks.into_iter().find(|check| check["name"] == name).unwrap_or(Value::Null))
}

#[test]
fn audits_go_on_and_say_that_all_is_well() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let daemon = Daemon::start(&lab, &audited()?)?;
    let settings = Settings { families: Families::Both, ..Settings::default() };
    let _nodes = Gobgp::start_all(&lab, &settings, &["2004::1/128", "198.18.0.1/32"])?;
    lab.expect_all_nodes("2004::1", seconds(30))?;
    lab.expect_all_nodes("198.18.0.1", seconds(5))?;
    lab.until("an audit has found all well", seconds(20), || {
        let check = check(&daemon, "fib-audit")?;
        Ok(check["state"] == "ok" && check["message"].as_str().is_some_and(|it| it.contains("as wanted")))
    })?;
    // It ends with an error where a check fails, as one of this lab does.
    let doctor = String::from_utf8(daemon.ctl_output("doctor --json")?.stdout)?;
    assert!(doctor.contains("fib-audit"), "{doctor}");
    Ok(())
}

#[test]
fn what_was_done_while_nobody_could_hear_it_is_found_and_undone() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let settings = Settings { families: Families::Both, ..Settings::default() };
    let _nodes = Gobgp::start_all(&lab, &settings, &["2004::1/128", "198.18.0.1/32"])?;
    lab.expect_all_nodes("2004::1", seconds(30))?;
    lab.expect_all_nodes("198.18.0.1", seconds(5))?;
    let process = Pid::from_raw(daemon.pid());
    kill(process, Signal::SIGSTOP)?;
    lab.host.ip("-4 route del 198.18.0.1/32 proto bgp")?;
    lab.host.ip("-6 route del 2004::1/128 proto bgp")?;
    flood(&lab)?;
    kill(process, Signal::SIGCONT)?;
    lab.expect_all_nodes("198.18.0.1", seconds(20))?;
    lab.expect_all_nodes("2004::1", seconds(20))?;
    lab.until("the alarm tells of it", seconds(10), || {
        Ok(check(&daemon, "fib-audit")?["state"] == "warning")
    })?;
    let log = daemon.log();
    assert!(log.contains("notifications were lost"), "{log}");
    let told = log.lines().find(|line| line.contains("did not hold what it had acknowledged"));
    assert!(told.is_some_and(|line| line.contains("198.18.0.1/32") && line.contains("2004::1/128")), "{log}");
    Ok(())
}

/// More notifications than the daemon's socket holds.
fn flood(lab: &Lab) -> Result<()> {
    let route = |index: usize| format!("100.{}.{}.0/24", index / 256, index % 256);
    let lines = (0..30_000).map(|index| format!("route add {} dev lo proto static\n", route(index)));
    let path = lab.dir().join("flood");
    std::fs::write(&path, lines.collect::<String>())?;
    lab.host.ip(&format!("-batch {}", path.display()))?;
    lab.host.ip("-4 route flush proto static")?;
    Ok(())
}

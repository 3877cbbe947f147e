//! What the kernel holds is what it has acknowledged: what somebody undoes is put back at once and he is named, what is lost
//! without a word is found by the audit.
#![cfg(feature = "labs")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use interop::daemon::{Daemon, k3d};
use interop::flows;
use interop::frr::Frr;
use interop::gobgp::{Families, Gobgp, Settings};
use interop::kernel::{nexthop_id, nexthops, routes_to};
use interop::lab::Lab;
use interop::load::{Cost, Load};
use interop::rtnl::Watcher;
use interop::wait::{PATIENCE, seconds, until};
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

/// Nodes that announce a service of each family, which the kernel has.
fn nodes_with_services(lab: &Lab) -> Result<Vec<Gobgp>> {
    let settings = Settings { families: Families::Both, ..Settings::default() };
    let nodes = Gobgp::start_all(lab, &settings, &["2004::1/128", "198.18.0.1/32"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    lab.expect_all_nodes("198.18.0.1", PATIENCE)?;
    Ok(nodes)
}

#[test]
fn audits_go_on_and_say_that_all_is_well() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let daemon = Daemon::start(&lab, &audited()?)?;
    let _nodes = nodes_with_services(&lab)?;
    lab.until("an audit has found all well", PATIENCE, || {
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
    let _nodes = nodes_with_services(&lab)?;
    let process = Pid::from_raw(daemon.pid());
    kill(process, Signal::SIGSTOP)?;
    lab.host.ip("-4 route del 198.18.0.1/32 proto bgp")?;
    lab.host.ip("-6 route del 2004::1/128 proto bgp")?;
    flood(&lab)?;
    kill(process, Signal::SIGCONT)?;
    lab.expect_all_nodes("198.18.0.1", PATIENCE)?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    lab.until("the alarm tells of it", PATIENCE, || Ok(check(&daemon, "fib-audit")?["state"] == "warning"))?;
    let log = daemon.log();
    assert!(log.contains("notifications were lost"), "{log}");
    // What the kernel still had to tell of it may come before what is read back: then one of the two is somebody's deed.
    let by_reading = |line: &&str| line.contains("did not hold what it had acknowledged");
    let told = |line: &&str| by_reading(line) || line.contains("somebody removed ours");
    assert!(log.lines().any(|line| by_reading(&line)), "{log}");
    for prefix in ["198.18.0.1/32", "2004::1/128"] {
        assert!(log.lines().filter(told).any(|line| line.contains(prefix)), "{prefix}: {log}");
    }
    Ok(())
}

#[test]
fn what_somebody_undoes_is_back_at_once_and_he_is_named() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    lab.client()?;
    // It learns the objects as they are made.
    let watcher = Watcher::start(&lab.host, "2004::1".parse()?)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let _nodes = nodes_with_services(&lab)?;
    let _backends = flows::start_backends(&lab)?;
    assert_eq!(check(&daemon, "kernel-meddling")?["state"], "ok");
    let all = lab.nodes.iter().map(|node| node.v6().parse()).collect::<Result<BTreeSet<_>, _>>()?;
    let mut person = Person::start(&lab)?;
    for deed in Deed::ALL {
        let command = deed.command(&lab)?;
        let load = Load::start(&mut lab, "2004::1")?;
        watcher.forget();
        let before = Instant::now();
        person.does(&command)?;
        let back = watcher.wait_for(&all, PATIENCE)?;
        let taken = back.saturating_duration_since(before);
        println!("{command}: back {taken:?} after the command was given");
        lab.expect_all_nodes("2004::1", PATIENCE)?;
        let back = load.at(back);
        deed.expect(&load.finish(&command)?, back);
    }
    // By the kernel's own reports: no audit is due for five minutes.
    assert!(!daemon.log().contains("did not hold what it had acknowledged"), "{}", daemon.log());
    let name = format!("ip (process {})", person.pid());
    for (what, deed) in [
        ("removed", "2004::1/128"),
        ("changed", "2004::1/128"),
        ("changed", "nexthop id"),
        ("removed", "nexthop id"),
    ] {
        lab.until(&format!("the log names who {what} {deed}"), PATIENCE, || {
            let told = |line: &str| {
                line.contains(&format!("somebody {what} ours")) && line.contains(&name) && line.contains(deed)
            };
            Ok(daemon.log().lines().any(told))
        })?;
    }
    let alarm = check(&daemon, "kernel-meddling")?;
    assert_eq!(alarm["state"], "warning", "{alarm}");
    assert!(alarm.to_string().contains(&name) && alarm.to_string().contains("cron"), "{alarm}");
    assert!(daemon.ctl("show fib")?.contains(&name), "{}", daemon.ctl("show fib")?);
    Ok(())
}

/// What somebody does to a route of three legs.
#[derive(Clone, Copy, Debug)]
enum Deed {
    RouteDeleted,
    RouteReplaced,
    LegsChanged,
    GroupDeleted,
}

impl Deed {
    const ALL: [Self; 4] = [Self::RouteDeleted, Self::RouteReplaced, Self::LegsChanged, Self::GroupDeleted];

    fn command(self, lab: &Lab) -> Result<String> {
        let id = nexthop_id(&lab.host, "2004::1")?;
        let objects = nexthops(&lab.host)?;
        let group = objects.iter().find(|object| object.id == id).context("the group")?;
        let first = group.members.first().context("a leg")?;
        Ok(match self {
            Self::RouteDeleted => "route del 2004::1/128 proto bgp".to_owned(),
            Self::RouteReplaced => {
                "route replace 2004::1/128 via 2001:3200:3200::2 proto bgp metric 20".to_owned()
            }
            Self::LegsChanged => format!("nexthop replace id {id} group {first} type resilient"),
            Self::GroupDeleted => format!("nexthop del id {id}"),
        })
    }

    /// What that may cost. Once it is undone, nobody loses anything more.
    fn expect(self, cost: &Cost, back: Duration) {
        assert!(
            cost.tally.lost.iter().all(|(begun, _)| *begun <= back),
            "back at {back:?}: {:?}",
            cost.tally
        );
        if matches!(self, Self::RouteDeleted) {
            // TCP says again what was said meanwhile.
            assert!(cost.fate.broken.is_empty(), "{:?}", cost.fate);
        }
    }
}

/// docker does not remove single routes, as far as is known: it takes its bridge, and routes go with that (`nodes_leave`).
/// Whoever is called dockerd and does is taken for it, and so that an operator is told where to look.
#[test]
fn who_is_called_dockerd_is_named_with_what_docker_does() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let dockerd = lab.dir().join("dockerd");
    let paths = std::env::var_os("PATH").context("PATH")?;
    let ip = std::env::split_paths(&paths).map(|dir| dir.join("ip")).find(|path| path.is_file());
    std::fs::copy(ip.context("ip")?, &dockerd)?;
    let mut person = Person::start_as(&lab, &dockerd)?;
    person.does("route del 2004::1/128 proto bgp")?;
    let name = format!("dockerd (process {})", person.pid());
    lab.until("the alarm names it", PATIENCE, || {
        let alarm = check(&daemon, "kernel-meddling")?.to_string();
        Ok(alarm.contains(&name) && alarm.contains("docker network ls"))
    })?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    Ok(())
}

#[test]
fn a_fight_is_not_joined() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let mut person = Person::start(&lab)?;
    lab.until("the daemon pauses", PATIENCE, || {
        person.does("route del 2004::1/128 proto bgp")?;
        Ok(check(&daemon, "kernel-meddling")?["state"] == "failed")
    })?;
    let route = daemon.fib("2004::1/128")?;
    assert!(route.to_string().contains("keeps removing it"), "{route}");
    let lines = daemon.log().lines().filter(|line| line.contains("somebody removed ours")).count();
    assert!(lines < 10, "{}", daemon.log());
    // He stops, and it comes back by itself.
    lab.expect_all_nodes("2004::1", seconds(90))?;
    Ok(())
}

#[test]
fn a_zebra_that_sweeps_our_routes_is_named_with_what_ends_it() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let _nodes = nodes_with_services(&lab)?;
    let told = |line: &str| line.contains("in the kernel") && line.contains("zebra") && line.contains("frr");
    // zebra sweeps what it takes for its own of an earlier run: routes read in the second in which it started, and not
    // in the next one, where it holds them for new. So some starts sweep nothing.
    let mut frr = None;
    for _ in 0..10 {
        drop(frr.take());
        frr = Some(Frr::start(&lab, &lab.host, "")?);
        if until("zebra is named", seconds(5), || Ok(daemon.log().lines().any(told))).is_ok() {
            break;
        }
    }
    anyhow::ensure!(daemon.log().lines().any(told), "zebra is not named:\n{}", daemon.log());
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    lab.expect_all_nodes("198.18.0.1", PATIENCE)?;
    assert!(daemon.ctl("show summary")?.contains("zebra"));
    Ok(())
}

#[test]
fn what_goes_with_a_link_comes_back_with_it_and_is_nobodys_deed() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let settings = Settings { families: Families::Both, ..Settings::default() };
    let _nodes = Gobgp::start_all(&lab, &settings, &["2004::1/128", "198.18.0.1/32"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let bridge =
        lab.host.ip_json("link show type bridge")?[0]["ifname"].as_str().unwrap_or_default().to_owned();
    lab.host.ip(&format!("link set {bridge} down"))?;
    lab.until("the routes are gone", PATIENCE, || Ok(routes_to(&lab.host, "2004::1")?.is_empty()))?;
    lab.host.ip(&format!("link set {bridge} up"))?;
    // An interface that is set down loses its IPv6 addresses, global ones too.
    lab.host.ip(&format!("-6 addr replace 2001:3200:3200::1/64 dev {bridge} nodad"))?;
    lab.expect_all_nodes("2004::1", seconds(60))?;
    lab.expect_all_nodes("198.18.0.1", seconds(60))?;
    assert_eq!(check(&daemon, "kernel-meddling")?["state"], "ok", "{}", daemon.log());
    Ok(())
}

#[test]
fn what_the_kernel_refuses_is_shown_with_its_reason_and_done_when_it_can_be() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    lab.host.ip("addr add 192.0.2.9/32 dev lo")?;
    let config = std::fs::read_to_string(k3d())? + "preferred-source-ipv4 = \"192.0.2.9\"\n";
    let daemon = Daemon::start(&lab, &config)?;
    let settings = Settings { families: Families::Both, ..Settings::default() };
    let _nodes = Gobgp::start_all(&lab, &settings, &["198.18.0.1/32"])?;
    lab.expect_all_nodes("198.18.0.1", PATIENCE)?;
    // With the address the kernel removes every IPv4 route that has it as its source, and tells nobody.
    lab.host.ip("addr del 192.0.2.9/32 dev lo")?;
    lab.until("bgpctl shows what the kernel says", PATIENCE, || {
        let shown = daemon.ctl("show routes")?;
        Ok(["kernel: failed", "prefsrc", "tried again within", "an address"]
            .iter()
            .all(|it| shown.contains(it)))
    })?;
    assert!(daemon.ctl("show routes 198.18.0.1/32")?.contains("kernel: failed"));
    let alarm = check(&daemon, "kernel-refusals")?;
    assert_eq!(alarm["state"], "failed", "{alarm}");
    assert!(alarm.to_string().contains("198.18.0.1/32"), "{alarm}");
    lab.host.ip("addr add 192.0.2.9/32 dev lo")?;
    lab.expect_all_nodes("198.18.0.1", PATIENCE)?;
    assert_eq!(check(&daemon, "kernel-refusals")?["state"], "ok");
    assert!(!daemon.ctl("show routes")?.contains("kernel:"));
    Ok(())
}

/// Somebody with `ip` in his hands, who does not go away.
struct Person(Child);

impl Person {
    fn start(lab: &Lab) -> Result<Self> {
        Self::start_as(lab, Path::new("ip"))
    }

    /// `ip` under another name.
    fn start_as(lab: &Lab, program: &Path) -> Result<Self> {
        let mut command = lab.host.command(program);
        command.args(["-force", "-batch", "-"]).stdin(Stdio::piped());
        Ok(Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    fn does(&mut self, line: &str) -> Result<()> {
        let stdin = self.0.stdin.as_mut().context("it has a stdin")?;
        writeln!(stdin, "{line}")?;
        Ok(stdin.flush()?)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // Without more to read it ends.
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}

/// More notifications than the daemon's socket holds, fast: as long as `net.ipv4.nexthop_compat_mode` is 1, each change of a
/// next-hop object announces all its routes.
fn flood(lab: &Lab) -> Result<()> {
    const ROUTES: usize = 2000;
    const CHANGES: usize = 40;
    let bridge = bridge(lab)?;
    let mut lines = format!("nexthop add id 7 via 172.50.0.2 dev {bridge}\n");
    for index in 0..ROUTES {
        lines += &format!("route add 100.{}.{}.0/24 nhid 7 proto static\n", index / 256, index % 256);
    }
    for index in 0..CHANGES {
        lines += &format!("nexthop replace id 7 via 172.50.0.{} dev {bridge}\n", 2 + index % 2);
    }
    let path = lab.dir().join("flood");
    std::fs::write(&path, lines)?;
    lab.host.ip(&format!("-batch {}", path.display()))?;
    Ok(())
}

fn bridge(lab: &Lab) -> Result<String> {
    let bridges = lab.host.ip_json("link show type bridge")?;
    let name = bridges.first().and_then(|bridge| bridge["ifname"].as_str());
    Ok(name.context("the lab has a bridge")?.to_owned())
}

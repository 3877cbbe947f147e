//! What the kernel does to the daemon, and what others do in the kernel.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;

use super::inject::{Calls, Injector};
use super::peers::further_peer;
use super::probe::Latencies;
use super::scene::{SERVICE, Setup, prefixes, shown};
use super::{Fault, Length, Outcome, Scene};
use crate::daemon::{Daemon, Privileges};
use crate::kernel::{gateways, nexthop_id, nexthops, routes_to};
use crate::lab::HOST_V6;
use crate::rtnl::v6;
use crate::speaker::Keeper;
use crate::wait::{PATIENCE, seconds};

/// What this file does.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "netlink-enobufs",
        what: "the daemon is held (SIGSTOP) while others make 60,000 changes of routes, so that its receive buffer overflows, and delete its routes and next hops",
        run: overrun,
    },
    Fault {
        name: "netlink-enomem",
        what: "every request to netlink fails with ENOMEM for a time, while peers announce and withdraw",
        run: no_memory,
    },
    Fault {
        name: "netlink-eperm",
        what: "every request to netlink fails with EPERM for a time, while peers announce and withdraw",
        run: not_permitted,
    },
    Fault {
        name: "netlink-held",
        what: "every request to netlink waits for a time, as where others hold the kernel's lock, while a peer comes and routes change",
        run: held,
    },
    Fault {
        name: "no-capability",
        what: "the daemon has no CAP_NET_ADMIN: the kernel refuses every route",
        run: no_capability,
    },
    Fault {
        name: "deleted-by-others",
        what: "others delete the route, a next-hop object, the group, all objects, in turn, one blow every 2.5 s",
        run: deleted,
    },
    Fault { name: "fought-over", what: "somebody deletes the route 20 times a second", run: fought_over },
];

/// What `ip` is to do, one command a line.
fn batch(scene: &Scene, lines: &str) -> Result<()> {
    let mut ip = Command::new("ip")
        .args(["-n", scene.lab.host.name(), "-force", "-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("ip -batch")?;
    ip.stdin.take().context("stdin")?.write_all(lines.as_bytes())?;
    ip.wait()?;
    Ok(())
}

fn all_nodes(scene: &Scene) -> Result<BTreeSet<std::net::Ipv6Addr>> {
    scene.lab.nodes.iter().map(|node| v6(&node.v6())).collect()
}

fn overrun(_: Length) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup::default())?;
    scene.begin()?;
    let foreign: String =
        (0..30_000).map(|n| format!("route add blackhole 2001:db8:f:{n:x}::/64\n")).collect();
    let away = foreign.replace("route add", "route del");
    scene.daemon.freeze()?;
    batch(&scene, &foreign)?;
    batch(&scene, &away)?;
    scene.lab.host.ip("nexthop flush")?;
    ensure!(gateways(&scene.lab.host, SERVICE)?.is_empty(), "the route is there without its next hops");
    scene.watcher.forget();
    let begun = Instant::now();
    scene.daemon.thaw()?;
    let back = scene.watcher.wait_for(&all_nodes(&scene)?, PATIENCE)?.saturating_duration_since(begun);
    ensure!(scene.daemon.log().contains("notifications of the kernel were lost"), "{}", scene.daemon.log());
    ensure!(scene.flaps([0, 1, 2])? == 0);
    scene
        .finish(format!(
            "the route is whole again {} after the daemon went on; no session lost",
            shown(back)
        ))?
        .lost_at_most_for(seconds(10))
}

fn no_memory(length: Length) -> Result<Outcome> {
    refused(length, Errno::ENOMEM)
}

fn not_permitted(length: Length) -> Result<Outcome> {
    refused(length, Errno::EPERM)
}

/// A scene whose daemon's requests to netlink the injector answers.
fn answered_by(injector: &Injector, setup: &Setup) -> Result<Scene> {
    Scene::build(setup, |lab, config| {
        let mut daemon = Daemon::spawn_prepared(lab, config, |mut command| {
            Injector::surround(&mut command, Calls::Netlink);
            Ok(command)
        })?;
        injector.attend(daemon.pid())?;
        daemon.wait_until_ready(lab)?;
        Ok(daemon)
    })
}

fn refused(length: Length, errno: Errno) -> Result<Outcome> {
    let injector = Injector::default();
    let mut scene = answered_by(&injector, &Setup::default())?;
    scene.speaker(1)?.announce(&prefixes(&["2004::a/128"])?)?;
    scene.lab.expect_gateways("2004::a", &[scene.node(1)?.v6()], PATIENCE)?;
    scene.begin()?;
    injector.fail(errno);
    let lasting = length.seconds(30, 4);
    let begun = Instant::now();
    while begun.elapsed() < lasting {
        scene.speaker(1)?.withdraw(&prefixes(&["2004::a/128"])?)?;
        scene.speaker(1)?.announce(&prefixes(&["2004::b/128"])?)?;
        thread::sleep(Duration::from_millis(200));
    }
    ensure!(gateways(&scene.lab.host, "2004::b")?.is_empty(), "nothing can have reached the kernel");
    let told = scene.daemon.fib("2004::b/128")?;
    ensure!(told["state"] != "installed", "it is not said what the kernel has not: {told}");
    let failed = injector.let_through();
    ensure!(failed > 0, "no request failed");
    let healed = Instant::now();
    scene.lab.expect_gateways("2004::b", &[scene.node(1)?.v6()], seconds(60))?;
    scene.lab.expect_gateways("2004::a", &[], seconds(60))?;
    let healed = healed.elapsed();
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let said = format!(
        "{failed} requests failed in {}; the kernel is as it should be {} after they went through again; no session lost",
        shown(lasting),
        shown(healed)
    );
    scene.finish(said)?.nothing_lost()
}

/// A kernel that does not answer delays routes, and nothing else: sessions come up and are kept, and who asks is answered.
fn held(length: Length) -> Result<Outcome> {
    let injector = Injector::default();
    let group = "hold-time = 9";
    let mut scene = answered_by(&injector, &Setup { group, ..Setup::default() })?;
    scene.begin()?;
    injector.hold(true);
    let lasting = length.seconds(30, 12);
    let begun = Instant::now();
    let (node, settings) = further_peer(&scene, 0, 1)?;
    let address = settings.source.context("an address")?.to_string();
    let remote = SocketAddr::new(HOST_V6.parse()?, 179);
    let own = prefixes(&["2004::b/128"])?;
    let keeper = Keeper::start(node, remote, settings, own, seconds(1))?;
    let up = || Ok(scene.daemon.state(&address)? == "established");
    scene.lab.until("a session comes up meanwhile", PATIENCE, up)?;
    let mut longest = Duration::ZERO;
    while begun.elapsed() < lasting {
        let asked = Instant::now();
        scene.daemon.ctl("show neighbors")?;
        longest = longest.max(asked.elapsed());
        thread::sleep(Duration::from_millis(100));
    }
    ensure!(gateways(&scene.lab.host, "2004::b")?.is_empty(), "nothing can have reached the kernel");
    injector.hold(false);
    let healed = Instant::now();
    scene.lab.expect_gateways("2004::b", std::slice::from_ref(&address), seconds(60))?;
    let healed = healed.elapsed();
    ensure!(scene.flaps([0, 1, 2])? == 0 && keeper.sessions() == 1, "a session was lost");
    let said = format!(
        "held for {}: a session came up, `show neighbors` was answered within {}; its route is in the kernel {} after; no session lost",
        shown(lasting),
        shown(longest),
        shown(healed)
    );
    drop(keeper);
    scene.finish(said)?.nothing_lost()
}

fn no_capability(length: Length) -> Result<Outcome> {
    let mut scene =
        Scene::build(&Setup::default(), |lab, config| Daemon::start_as(lab, config, Privileges::PortOnly))?;
    let nodes = scene.lab.v6();
    scene.daemon.expect_established(&scene.lab, &nodes)?;
    scene.begin_as_it_is()?;
    let told = || Ok(scene.daemon.ctl("show routes")?.contains("operation not permitted"));
    scene.lab.until("bgpctl says why the route is not there", PATIENCE, told)?;
    thread::sleep(length.seconds(30, 3));
    ensure!(routes_to(&scene.lab.host, SERVICE)?.is_empty());
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let lines = scene.daemon.log().lines().count();
    ensure!(lines < 500, "the log is flooded: {lines} lines");
    scene.finish("no route, as it must be; `show routes` says why; no session lost".to_owned())
}

fn deleted(length: Length) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup::default())?;
    scene.begin()?;
    let host = &scene.lab.host;
    let mut repaired = Latencies::default();
    for round in 0..length.count(40, 4) {
        let group = nexthop_id(host, SERVICE)?;
        let objects = nexthops(host)?;
        let member = objects.iter().find(|object| object.gateway.is_some()).context("no next hop")?.id;
        let damage = match round % 4 {
            0 => format!("-6 route del {SERVICE}"),
            1 => format!("nexthop del id {member}"),
            2 => format!("nexthop del id {group}"),
            _ => "nexthop flush".to_owned(),
        };
        scene.watcher.forget();
        let begun = Instant::now();
        host.ip(&damage)?;
        let whole = scene.watcher.wait_for(&all_nodes(&scene)?, PATIENCE).with_context(|| damage.clone())?;
        repaired.0.push(whole.saturating_duration_since(begun));
        // More than five blows within ten seconds are a fight, and the daemon begins to pause.
        if length != Length::SHORT {
            thread::sleep(Duration::from_millis(2500));
        }
    }
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let said = format!(
        "{} times whole again {} after the command was started in the median, {} at most",
        repaired.0.len(),
        shown(repaired.median()),
        shown(repaired.longest())
    );
    scene.finish(said)
}

fn fought_over(length: Length) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup::default())?;
    scene.begin()?;
    let lasting = length.seconds(15, 3);
    let begun = Instant::now();
    let mut blows = 0_u32;
    while begun.elapsed() < lasting {
        // Between two of its repairs there is no route that could be deleted.
        blows += u32::from(scene.lab.host.ip(&format!("-6 route del {SERVICE}")).is_ok());
        thread::sleep(Duration::from_millis(50));
    }
    let ended = Instant::now();
    scene.all_legs_back(seconds(70))?;
    let back = ended.elapsed();
    ensure!(scene.daemon.log().contains(SERVICE), "the log names the route");
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let said = format!(
        "the route was put back {blows} times in {}, with pauses that double; the last pause ended {} after the fight",
        shown(lasting),
        shown(back)
    );
    scene.finish(said)
}

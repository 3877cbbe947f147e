//! What a peer, its agent, its node or its link does.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bgp_wire::capability::Capability;
use bgp_wire::open::HoldTime;
use bgp_wire::{Message, message};
use bytes::Bytes;

use super::scene::{Setup, dial_as, many, many_in_kernel, prefixes, shown};
use super::{Fault, Length, Outcome, Scene};
use crate::command::run;
use crate::gobgp::{self, Gobgp};
use crate::lab::{HOST_V6, Node};
use crate::speaker::{Keeper, Settings, establish};
use crate::wait::{PATIENCE, seconds, until};

/// What this file does.
pub const FAULTS: &[Fault] = &[
    Fault { name: "peer-killed", what: "a node's gobgpd gets SIGKILL and is started again", run: killed },
    Fault {
        name: "peer-frozen",
        what: "a node's gobgpd gets SIGSTOP, and SIGCONT after its session has ended",
        run: frozen,
    },
    Fault {
        name: "link-cut",
        what: "the host's end of a node's link goes down, and up again",
        run: link_cut,
    },
    Fault {
        name: "node-silent",
        what: "a node's bridge port lets nothing through but stays up (`neighbor-probe-interval` 2)",
        run: silent,
    },
    Fault {
        name: "half-open",
        what: "a node forgets its connection without a word (hold time 9), and another one right after that dials at once",
        run: half_open,
    },
    Fault {
        name: "one-octet-a-second",
        what: "three peers send OPEN, and three more an UPDATE, one octet a second (hold time 9)",
        run: one_octet,
    },
    Fault {
        name: "never-reading",
        what: "a peer takes none of the routes it is told, keepalives come (hold time 9, `send-hold-time` 10, `tcp-user-timeout` 0)",
        run: never_reading,
    },
    Fault { name: "flapping", what: "10,000 routes of one peer come and go without pause", run: flapping },
    Fault {
        name: "maximum-prefix",
        what: "a peer announces 1,001 prefixes with a limit of 1,000, action restart, again and again",
        run: maximum_prefix,
    },
    Fault {
        name: "hold-time-3",
        what: "20 sessions with a hold time of 3 s while 10,000 routes flap",
        run: hold_time_3,
    },
];

/// Waits until the last session of a peer has ended for this reason.
fn expect_ended(scene: &Scene, peer: &str, why: &str) -> Result<()> {
    scene.lab.until(&format!("the session with {peer} is ended: {why}"), PATIENCE, || {
        let down = &scene.daemon.neighbor(peer)?["last_down"];
        ensure!(down["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{down}");
        Ok(true)
    })?;
    Ok(())
}

/// What the daemon says of a peer that was not heard of in time, and of one that does not read.
const HOLD_TIMER: &str = "we sent Hold Timer Expired";
const SEND_HOLD_TIMER: &str = "send hold timer expired";

/// A leg that goes takes along what is on its way by it at that moment.
const IN_FLIGHT: Duration = Duration::from_millis(200);

fn with_gobgp(group: &str) -> Result<(Scene, Gobgp)> {
    let mut scene = Scene::start(&Setup { group, without_speaker: 1, ..Setup::default() })?;
    let gobgp = Gobgp::start(&scene.lab, scene.node(0)?, &gobgp::Settings::default())?;
    gobgp.announce("2004::1/128")?;
    scene.begin()?;
    Ok((scene, gobgp))
}

fn killed(_: Length) -> Result<Outcome> {
    let (scene, mut gobgp) = with_gobgp("")?;
    let begun = Instant::now();
    gobgp.crash()?;
    let gone = scene.first_leg_gone(begun, PATIENCE)?;
    gobgp.start_again(scene.node(0)?)?;
    gobgp.announce("2004::1/128")?;
    let back = scene.all_legs_back(seconds(40))?;
    ensure!(scene.flaps([1, 2])? == 0);
    scene
        .finish(format!("its leg gone after {}; back {} after it was started", shown(gone), shown(back)))?
        .lost_at_most_for(IN_FLIGHT)
}

fn frozen(_: Length) -> Result<Outcome> {
    let (scene, gobgp) = with_gobgp("hold-time = 9")?;
    let begun = Instant::now();
    gobgp.freeze()?;
    let gone = scene.first_leg_gone(begun, seconds(60))?;
    expect_ended(&scene, &scene.node(0)?.v6(), HOLD_TIMER)?;
    gobgp.thaw()?;
    let back = scene.all_legs_back(seconds(60))?;
    ensure!(scene.flaps([1, 2])? == 0);
    scene
        .finish(format!(
            "its leg gone after {} (hold timer); back {} after it went on",
            shown(gone),
            shown(back)
        ))?
        .lost_at_most_for(IN_FLIGHT)
}

fn link_cut(_: Length) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup::default())?;
    scene.begin()?;
    let node = scene.node(0)?.v6();
    scene.lab.until("the node is seen behind its port", PATIENCE, || {
        Ok(scene.daemon.neighbor(&node)?["node"].as_str().is_some_and(|seen| seen.contains("port")))
    })?;
    let port = scene.node(0)?.port();
    scene.watcher.forget();
    scene.lab.host.ip(&format!("link set {port} down"))?;
    let wanted = scene.first_leg_gone(Instant::now(), PATIENCE);
    let gone = wanted.map(|_| scene.watcher.link_lost())?;
    ensure!(gone.is_some(), "the kernel has reported the port");
    scene.lab.until("the session with the node is ended", PATIENCE, || {
        Ok(scene.daemon.state(&node)? != "established")
    })?;
    scene.lab.host.ip(&format!("link set {port} up"))?;
    drop(scene.take_speaker(0)?);
    scene.announce_service(0)?;
    let back = scene.all_legs_back(seconds(40))?;
    ensure!(scene.flaps([1, 2])? == 0);
    scene
        .finish(format!(
            "its leg gone with the kernel's report of the port; back {} after a new session",
            shown(back)
        ))?
        .lost_at_most_for(seconds(3))
}

fn silent(_: Length) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup { rest: "neighbor-probe-interval = 2", ..Setup::default() })?;
    scene.begin()?;
    let port = scene.node(0)?.port();
    let state = |state: &str| {
        run(scene.lab.host.command("bridge").args(["link", "set", "dev", &port, "state", state]))
    };
    let begun = Instant::now();
    state("0")?;
    let gone = scene.first_leg_gone(begun, PATIENCE)?;
    let node = scene.node(0)?.v6();
    scene.lab.until("the session with the node is ended", PATIENCE, || {
        Ok(scene.daemon.state(&node)? != "established")
    })?;
    state("3")?;
    drop(scene.take_speaker(0)?);
    scene.announce_service(0)?;
    let back = scene.all_legs_back(seconds(40))?;
    ensure!(scene.flaps([1, 2])? == 0);
    scene
        .finish(format!("its leg gone after {}; back {} after a new session", shown(gone), shown(back)))?
        .lost_at_most_for(gone + seconds(2))
}

fn half_open(_: Length) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup { group: "hold-time = 9", ..Setup::default() })?;
    scene.begin()?;
    // Nothing of what the node says reaches the host, so that no RST tells; neighbour discovery is not asked for a route.
    let mute = format!("blackhole {HOST_V6}/128");
    scene.node(0)?.namespace.ip(&format!("-6 route add {mute}"))?;
    let begun = Instant::now();
    scene.take_speaker(0)?.vanish()?;
    let gone = scene.first_leg_gone(begun, seconds(60))?;
    expect_ended(&scene, &scene.node(0)?.v6(), HOLD_TIMER)?;
    scene.node(0)?.namespace.ip(&format!("-6 route del {mute}"))?;
    scene.announce_service(0)?;
    scene.all_legs_back(PATIENCE)?;
    // And a machine that has started anew and dials while the host still believes in the connection before.
    scene.take_speaker(0)?.vanish()?;
    let begun = Instant::now();
    scene.announce_service(0)?;
    let anew = begun.elapsed();
    scene.all_legs_back(PATIENCE)?;
    ensure!(scene.flaps([1, 2])? == 0);
    scene
        .finish(format!(
            "its leg gone after {} (hold timer); who dialled anew was let in after {}",
            shown(gone),
            shown(anew)
        ))?
        .lost_at_most_for(IN_FLIGHT)
}

/// Writes octets one a second, until told to stop or the other side has closed; how many were taken.
fn trickle(mut stream: TcpStream, octets: &[u8], stop: &AtomicBool) -> usize {
    let mut written = 0;
    for octet in octets {
        if stop.load(Ordering::Relaxed) || stream.write_all(&[*octet]).is_err() {
            break;
        }
        written += 1;
        thread::sleep(seconds(1));
    }
    written
}

fn one_octet(length: Length) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup { group: "hold-time = 9", without_speaker: 0, ..Setup::default() })?;
    scene.begin()?;
    let probe = scene.probe()?;
    let stop = Arc::new(AtomicBool::new(false));
    let update = scene.speaker(1)?.announcement(&prefixes(&["2004::2/128"])?)?;
    let remote = SocketAddr::new(HOST_V6.parse()?, 179);
    let (mut opening, mut updating) = (Vec::new(), Vec::new());
    for number in 0..6_u16 {
        let (node, settings) = further_peer(&scene, 0, number)?;
        let (stream, octets, group) = if number < 3 {
            let stream =
                node.namespace.inside(|| crate::speaker::connect_from(settings.source, remote))??;
            (stream, long_open(&settings), &mut opening)
        } else {
            (node.namespace.inside(|| establish(remote, &settings))??, update.clone(), &mut updating)
        };
        let stop = Arc::clone(&stop);
        let address = settings.source.context("an address")?.to_string();
        group.push((address, thread::spawn(move || trickle(stream, &octets, &stop))));
    }
    // Less than the four minutes that OPEN has, RFC 4271 section 8.2.2; `tests/garbage.rs` waits for their end.
    thread::sleep(length.seconds(60, 14).min(seconds(150)));
    until("the sessions with a part of an UPDATE are ended", seconds(60), || {
        Ok(updating.iter().all(|(_, thread)| thread.is_finished()))
    })?;
    for (peer, _) in &opening {
        ensure!(scene.daemon.state(peer)? == "open-sent", "{}", scene.daemon.neighbor(peer)?);
    }
    stop.store(true, Ordering::Relaxed);
    let mut taken = Vec::new();
    for (peer, thread) in updating {
        taken.push(thread.join().map_err(|_| anyhow::anyhow!("a slow peer panicked"))?);
        expect_ended(&scene, &peer, HOLD_TIMER)?;
    }
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let latencies = probe.stop()?;
    scene
        .finish(format!("sessions ended by the hold timer after {taken:?} octets of UPDATE; {latencies}"))?
        .nothing_lost()
}

/// An OPEN that takes longer than it may, by an octet a second.
fn long_open(settings: &Settings) -> Bytes {
    let mut open = settings.open();
    open.capabilities.push(Capability::Unknown { code: 239, value: vec![0; 200].into() });
    open.encode()
}

/// A further peer on a node: an address of its own there, and what it says of itself.
pub fn further_peer(scene: &Scene, node: usize, number: u16) -> Result<(&Node, Settings)> {
    let node = scene.node(node)?;
    let address = format!("2001:3200:3200::a:{number:x}");
    node.namespace.ip(&format!("address replace {address}/64 dev eth0 nodad"))?;
    let settings = Settings { source: Some(address.parse()?), ..Settings::cilium(&node.name)? };
    Ok((node, settings))
}

fn never_reading(length: Length) -> Result<Outcome> {
    const ROUTES: u32 = 30_000;
    // By default the kernel gives the connection up before, when it has had no room for as long as the hold time.
    let group = "export = \"all\"\nhold-time = 9\nsend-hold-time = 10\ntcp-user-timeout = 0";
    let mut scene = Scene::start(&Setup { group, ..Setup::default() })?;
    let all = many(ROUTES)?;
    scene.speaker(1)?.announce(&all)?;
    scene
        .lab
        .until("the kernel has the routes", seconds(60), || Ok(many_in_kernel(&scene.lab)? == all.len()))?;
    scene.begin()?;
    let probe = scene.probe()?;
    let mut ends = Vec::new();
    for round in 0..length.count(6, 1) {
        let (node, settings) = further_peer(&scene, 0, u16::try_from(round)?)?;
        let hold_time = HoldTime::new(9).context("hold time")?;
        let settings = Settings { hold_time, receive_buffer: Some(16 * 1024), ..settings };
        let remote = SocketAddr::new(HOST_V6.parse()?, 179);
        let mut stream = node.namespace.inside(|| establish(remote, &settings))??;
        let begun = Instant::now();
        until("the session with the peer that reads nothing is ended", seconds(60), || {
            thread::sleep(Duration::from_millis(500));
            Ok(stream.write_all(&message::keepalive()).is_err())
        })?;
        ends.push(shown(begun.elapsed()));
        expect_ended(&scene, &settings.source.context("an address")?.to_string(), SEND_HOLD_TIMER)?;
    }
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let latencies = probe.stop()?;
    scene.finish(format!("ended after {}; {latencies}", ends.join(", ")))?.nothing_lost()
}

fn flapping(length: Length) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup::default())?;
    let all = many(10_000)?;
    // Once before, so that what the tables need for so many is there.
    scene.speaker(1)?.announce(&all)?;
    scene
        .lab
        .until("the kernel has the routes", seconds(40), || Ok(many_in_kernel(&scene.lab)? == all.len()))?;
    scene.begin()?;
    let probe = scene.probe()?;
    let begun = Instant::now();
    let lasting = length.seconds(180, 5);
    let mut rounds = 0_u32;
    while begun.elapsed() < lasting {
        scene.speaker(1)?.withdraw(&all)?;
        scene.speaker(1)?.announce(&all)?;
        rounds += 1;
        // The peer is told to slow down by TCP alone; here only what is under way is bounded.
        thread::sleep(Duration::from_millis(20));
    }
    let latencies = probe.stop()?;
    scene
        .lab
        .until("the kernel has all routes", seconds(40), || Ok(many_in_kernel(&scene.lab)? == all.len()))?;
    scene.speaker(1)?.withdraw(&all)?;
    scene.lab.until("the kernel has none of them", seconds(40), || Ok(many_in_kernel(&scene.lab)? == 0))?;
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let said =
        format!("{rounds} times in {}; the last word counts in the kernel; {latencies}", shown(lasting));
    scene.finish(said)?.nothing_lost()
}

fn maximum_prefix(length: Length) -> Result<Outcome> {
    let group = "maximum-prefix = { limit = 1000, restart-after = 1 }";
    let mut scene = Scene::start(&Setup { group, ..Setup::default() })?;
    scene.begin()?;
    let probe = scene.probe()?;
    let all = many(1001)?;
    let mut away = Vec::new();
    for _ in 0..length.count(20, 2) {
        let (node, settings) = further_peer(&scene, 0, 0)?;
        let greedy = dial_as(&scene.lab, node, &settings)?;
        greedy.announce(&all)?;
        let mut farewell = String::new();
        while let Some(heard) = greedy.hear()? {
            if let Message::Notification(notification) = heard {
                farewell = notification.to_string();
            }
        }
        ensure!(farewell.to_lowercase().contains("maximum number of prefixes"), "it was told: {farewell}");
        scene.lab.until("none of its routes is left", PATIENCE, || Ok(many_in_kernel(&scene.lab)? == 0))?;
        let ended = Instant::now();
        // With less it is welcome when its time is over.
        let modest = dial_as(&scene.lab, node, &settings)?;
        away.push(ended.elapsed());
        modest.announce(all.get(..1000).context("a thousand")?)?;
        scene.lab.until("a thousand are taken", PATIENCE, || Ok(many_in_kernel(&scene.lab)? == 1000))?;
    }
    scene.lab.until("none of its routes is left", PATIENCE, || Ok(many_in_kernel(&scene.lab)? == 0))?;
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let latencies = probe.stop()?;
    let longest = away.iter().max().copied().unwrap_or_default();
    let said = format!(
        "{} times its session ended and its routes went; it was let in again after {} at most (`restart-after` 1); {latencies}",
        away.len(),
        shown(longest)
    );
    scene.finish(said)?.nothing_lost()
}

fn hold_time_3(length: Length) -> Result<Outcome> {
    const PEERS: u16 = 17;
    let mut scene = Scene::start(&Setup { group: "hold-time = 3", ..Setup::default() })?;
    scene.begin()?;
    let remote = SocketAddr::new(HOST_V6.parse()?, 179);
    let (mut keepers, others) = (Vec::new(), many(30_000)?);
    for number in 0..PEERS {
        let (node, settings) = further_peer(&scene, usize::from(number % 3), number)?;
        let own = others.iter().skip(20_000 + usize::from(number) * 100).take(100).copied().collect();
        keepers.push(Keeper::start(node, remote, settings, own, seconds(1))?);
    }
    until("all sessions are up", PATIENCE, || Ok(keepers.iter().all(|keeper| keeper.sessions() == 1)))?;
    let all = many(10_000)?;
    let begun = Instant::now();
    let lasting = length.seconds(120, 7);
    while begun.elapsed() < lasting {
        scene.speaker(1)?.announce(&all)?;
        scene.speaker(1)?.withdraw(&all)?;
        thread::sleep(Duration::from_millis(50));
    }
    let lost: u32 = keepers.iter().map(|keeper| keeper.sessions() - 1).sum();
    ensure!(lost == 0 && scene.flaps([0, 1, 2])? == 0, "{lost} sessions ended: {}", scene.daemon.log());
    drop(keepers);
    scene
        .lab
        .until("the kernel has none of the routes", seconds(40), || Ok(many_in_kernel(&scene.lab)? == 0))?;
    scene.finish(format!("no session lost in {}", shown(lasting)))?.nothing_lost()
}

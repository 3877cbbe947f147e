//! Graceful restart under traffic, RFC 4724 and RFC 8538: our own crash, and what stays and goes while peers come back.
#![cfg(feature = "labs")]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use bgp_wire::{Family, Prefix};
use interop::bird::Bird;
use interop::clean::CGROUPS;
use interop::daemon::{Daemon, k3d};
use interop::faults::inject::{Calls, Injector};
use interop::flows;
use interop::gobgp::{Gobgp, Settings};
use interop::kernel::{gateways, routes_of_protocol, watch_forwarding, watch_routes};
use interop::lab::{HOST_V4, HOST_V6, Lab};
use interop::load::Load;
use interop::speaker::{self, Speaker};
use interop::wait::{PATIENCE, seconds};
use nix::errno::Errno;

/// What the log has of a start over routes of an earlier run.
const LEFTOVERS: &str = "the kernel still forwards by routes of an earlier run";
const ALL_SAID: &str = "all peers have announced their routes again";

/// Three nodes under traffic. `crash` ends the daemon; a service ends while nobody listens, and another one begins; the daemon
/// is started again. Every request is answered, no connection breaks, and the route that is still announced never moves.
fn crash_under_traffic(
    what: &str,
    start: impl FnOnce(&Lab) -> Result<Daemon>,
    crash: impl FnOnce(&Lab, &mut Daemon, &[Gobgp]) -> Result<()>,
) -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let mut daemon = start(&lab)?;
    let nodes = Gobgp::start_all(&lab, &Settings::graceful(), &["2004::1/128", "2004::2/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    lab.expect_all_nodes("2004::2", PATIENCE)?;
    lab.wait_for_http()?;
    let watch = watch_routes(&lab, &lab.host)?;
    // From behind the host: its own connections are hashed anew at any change of any route, whoever makes it.
    let _backends = flows::start_backends(&lab)?;
    let load = Load::start(&mut lab, "2004::1")?;
    crash(&lab, &mut daemon, &nodes)?;
    assert_eq!(gateways(&lab.host, "2004::1")?.len(), 3, "{}", lab.explain());
    // A service ends while nobody listens, and another one begins.
    nodes.iter().try_for_each(|node| node.withdraw("2004::2/128"))?;
    nodes[0].announce("2004::3/128")?;
    let before = daemon.log().len();
    daemon.start_again(&lab)?;
    lab.until("the log has the leftovers", PATIENCE, || Ok(daemon.log_since(before).contains(LEFTOVERS)))?;
    // A leftover goes only when all have said theirs, and not because startup-grace is over.
    lab.expect_gateways("2004::2", &[], seconds(60))?;
    let gone = Instant::now();
    lab.until("the log has it", PATIENCE, || Ok(daemon.log_since(before).contains(ALL_SAID)))?;
    assert!(daemon.logged_last(ALL_SAID)? <= gone, "{}", daemon.log_since(before));
    lab.expect_gateways("2004::3", &[lab.nodes[0].v6()], PATIENCE)?;
    let peers = lab.v6();
    for peer in &peers {
        assert_eq!(daemon.state(peer)?, "established", "{}", daemon.log());
    }
    assert_eq!(gateways(&lab.host, "2004::1")?.len(), 3);
    let cost = load.finish(what)?;
    let changes = watch.changes()?;
    assert!(!changes.iter().any(|line| line.contains("2004::1 ")), "2004::1 moved: {changes:#?}");
    cost.expect_none();
    Ok(())
}

#[test]
fn a_crash_under_traffic_loses_nothing_and_no_leg() -> Result<()> {
    crash_under_traffic("daemon killed and started", Daemon::start_k3d, |_, daemon, _| daemon.crash())
}

/// Threads of the daemon's runtime that carry its tasks; all others of its threads live on for ten seconds without work.
const WORKERS: usize = 2;

/// The daemon, as it is shipped, under a kernel that can be told to refuse it threads: the runtime panics in the task that asks
/// for one.
fn start_without_spare_threads(lab: &Lab, injector: &Injector) -> Result<Daemon> {
    let mut daemon = Daemon::spawn_prepared(lab, &fs::read_to_string(k3d())?, |mut command| {
        Injector::surround(command.env("TOKIO_WORKER_THREADS", WORKERS.to_string()), Calls::Threads);
        Ok(command)
    })?;
    injector.attend(daemon.pid())?;
    daemon.wait_until_ready(lab)?;
    Ok(daemon)
}

/// Has the daemon panic where it asks for a thread, as `provoke` makes it do; it must end at once, by SIGABRT, say why and
/// tell nobody else.
fn panic_by(
    lab: &Lab,
    daemon: &mut Daemon,
    injector: &Injector,
    provoke: impl Fn(&Daemon) -> Result<()>,
) -> Result<()> {
    injector.fail(Errno::EPERM);
    let before = daemon.log().len();
    lab.until("the daemon panics", seconds(60), || {
        if daemon.must_run().is_ok() && runtime_threads(daemon.pid())? == WORKERS {
            provoke(daemon)?;
        }
        Ok(daemon.must_run().is_err())
    })?;
    let ended = daemon.wait(PATIENCE)?;
    let said = daemon.log_since(before);
    assert_eq!(ended.signal(), Some(6), "{ended}: {said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("panicked at") && last.contains("OS can't spawn worker thread"), "{said}");
    for word in ["session down", "NOTIFICATION", "kernel's table"] {
        assert!(!said.contains(word), "{word} in {said}");
    }
    Ok(())
}

fn runtime_threads(pid: i32) -> Result<usize> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
    // One may end between two looks.
    let names = threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    Ok(names.filter(|name| name.starts_with("tokio-r")).count())
}

#[test]
fn a_panic_under_traffic_is_a_crash_that_loses_nothing() -> Result<()> {
    let injector = Injector::default();
    let start = |lab: &Lab| start_without_spare_threads(lab, &injector);
    crash_under_traffic("panic in routing", start, |lab, daemon, nodes| {
        nodes[1].announce("2004::9/128")?;
        lab.expect_gateways("2004::9", &[lab.nodes[1].v6()], PATIENCE)?;
        panic_by(lab, daemon, &injector, |_| {
            // Routing asks for a thread that finds out who it was.
            lab.host.ip("-6 route del 2004::9/128 proto bgp").map(drop)
        })
    })
}

#[test]
fn a_panic_in_any_task_ends_the_process_and_leaves_the_routes() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let injector = Injector::default();
    let mut daemon = start_without_spare_threads(&lab, &injector)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::graceful(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let watch = watch_forwarding(&lab, &lab.host)?;
    // The control socket's task; nobody gets an answer.
    panic_by(&lab, &mut daemon, &injector, |daemon| daemon.ctl_output("doctor").map(drop))?;
    injector.let_through();
    daemon = start_without_spare_threads(&lab, &injector)?;
    let peers = lab.v6();
    daemon.expect_established(&lab, &peers)?;
    // A peer's task, when its session comes up; to the peer it is as if nobody had been there.
    panic_by(&lab, &mut daemon, &injector, |_| {
        drop(Speaker::on(&lab.nodes[0], HOST_V4));
        Ok(())
    })?;
    watch.expect_none(|| lab.explain())?;
    Ok(())
}

/// A host that asks its peer to keep its routes, and is restarted gracefully rather than handed over.
const GRACEFUL: &str = r#"[bgp]
asn = 64513
router-id = "172.50.0.1"
networks = ["2001:db8:100::/48"]
graceful-restart = { mode = "full" }
connect-retry-time = 1

[neighbor."2001:3200:3200::2"]
remote-asn = 64512
import = "all"
export = "all"

[process]
restart = "graceful"
"#;

/// A second node with a service, for the host above.
const SECOND: &str =
    "\n[neighbor.\"2001:3200:3200::3\"]\nremote-asn = 64512\nimport = \"all\"\nexport = \"all\"\n";

/// BIRD keeps routes of a peer that asks for it, unless told otherwise.
const BIRD: &str = r#"log stderr all;
router id 172.50.0.2;
protocol device {}
protocol direct { ipv6; interface "eth0"; }
protocol static { ipv6; route 2001:db9::/64 unreachable; }
filter own { if source = RTS_STATIC then accept; reject; }
protocol bgp host {
  local 2001:3200:3200::2 as 64512;
  neighbor 2001:3200:3200::1 as 64513;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv6 { import all; export filter own; };
}
"#;

/// The same with the service.
fn serving() -> String {
    BIRD.replace("unreachable; }", "unreachable; route 2004::1/128 unreachable; }")
}

/// Whether BIRD has the network that we announce.
fn has_our_network(bird: &Bird) -> bool {
    // Without one, birdc ends with an error.
    bird.ask("show route 2001:db8:100::/48").is_ok_and(|shown| shown.contains("unicast"))
}

/// Waits until the first node has a session again and has announced everything, since the log was so long.
fn expect_back(lab: &Lab, daemon: &Daemon, before: usize) -> Result<()> {
    daemon.expect_established(lab, &[lab.nodes[0].v6()])?;
    lab.until("everything has been said", PATIENCE, || Ok(daemon.log_since(before).contains(ALL_SAID)))?;
    Ok(())
}

#[test]
fn a_restart_may_be_graceful_instead_of_hitless() -> Result<()> {
    let mut lab = Lab::with_nodes(1)?;
    lab.add_service("2004::1")?;
    let mut daemon = Daemon::start_managed(&lab, GRACEFUL)?;
    let bird = Bird::start(&lab, &lab.nodes[0].namespace, &serving())?;
    let keeps_ours = || has_our_network(&bird);
    lab.until("BIRD has our network", PATIENCE, || Ok(keeps_ours()))?;
    lab.until("the kernel has BIRD's networks", PATIENCE, || {
        Ok(routes_of_protocol(&lab.host, "bgp")?.len() == 2)
    })?;
    let _backends = flows::start_backends(&lab)?;
    let load = Load::start(&mut lab, "2004::1")?;
    let watch = watch_forwarding(&lab, &lab.host)?;

    daemon.hand_over()?;
    assert_eq!(daemon.manager()?.names(), [""; 0], "nothing is handed over");
    assert!(daemon.log().contains("graceful restart: stopping"), "{}", daemon.log());
    lab.until("BIRD waits for us", PATIENCE, || {
        Ok(!bird.ask("show protocols host")?.contains("Established"))
    })?;
    assert!(keeps_ours(), "BIRD was told to let go: {}", bird.ask("show protocols all host")?);
    let before = daemon.log().len();
    daemon.start_again(&lab)?;
    lab.until("the log has the leftovers", PATIENCE, || Ok(daemon.log_since(before).contains(LEFTOVERS)))?;
    expect_back(&lab, &daemon, before)?;
    assert!(keeps_ours());
    load.finish("a graceful restart")?.expect_none();
    watch.expect_none(|| lab.explain())?;
    // Without a word is for this restart alone: a stop takes the routes along and says good-bye.
    assert!(daemon.stop()?.success());
    lab.until("BIRD has let go", PATIENCE, || Ok(!keeps_ours()))?;
    assert_eq!(routes_of_protocol(&lab.host, "bgp")?, []);
    Ok(())
}

/// A further peer, of which nothing is taken and much is kept.
const TALKATIVE: &str =
    "\n[neighbor.\"2001:3200:3200::4\"]\nremote-asn = 64512\nmode = \"passive\"\nimport = \"none\"\n";

/// A control group of its own with a limit of memory; goes with this value.
struct Memory {
    dir: PathBuf,
    /// The files of the limit and of what is used: those of cgroups v2, or of v1.
    files: [&'static str; 2],
}

impl Memory {
    fn new(lab: &Lab) -> Result<Self> {
        let name = lab.host.name();
        let [unified, memory] = CGROUPS;
        let (top, files) = match Path::new(unified).join("cgroup.controllers").exists() {
            true => (unified, ["memory.max", "memory.current"]),
            false => (memory, ["memory.limit_in_bytes", "memory.usage_in_bytes"]),
        };
        let dir = Path::new(top).join(name);
        fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
        Ok(Self { dir, files })
    }

    /// No more than `spare` octets beyond what is used now.
    fn limit(&self, spare: u64) -> Result<()> {
        let [limit, used] = self.files.map(|file| self.dir.join(file));
        let used: u64 = fs::read_to_string(&used).context("no memory controller")?.trim().parse()?;
        Ok(fs::write(limit, (used + spare).to_string())?)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Who is still in it holds it; a lab's programs are gone by then.
        if let Err(error) = fs::remove_dir(&self.dir) {
            eprintln!("{}: {error}", self.dir.display());
        }
    }
}

#[test]
fn out_of_memory_is_a_crash_that_leaves_routes_and_comes_back() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let memory = Memory::new(&lab)?;
    let enter = format!("echo $$ > {}/cgroup.procs; exec \"$0\" \"$@\"", memory.dir.display());
    let mut daemon = Daemon::spawn_prepared(&lab, &(GRACEFUL.to_owned() + SECOND + TALKATIVE), |program| {
        let mut command = Command::new("sh");
        command.args(["-c", &enter]).arg(program.get_program()).args(program.get_args());
        Ok(command)
    })?;
    daemon.wait_until_ready(&lab)?;
    let second = serving().replace("172.50.0.2", "172.50.0.3").replace("3200::2", "3200::3");
    let bird = Bird::start(&lab, &lab.nodes[0].namespace, &serving())?;
    let other = Bird::start(&lab, &lab.nodes[1].namespace, &second)?;
    let keep_ours = || has_our_network(&bird) && has_our_network(&other);
    lab.until("both have our network", PATIENCE, || Ok(keep_ours()))?;
    let in_kernel = |lab: &Lab| {
        let legs = [gateways(&lab.host, "2001:db9::/64")?, gateways(&lab.host, "2004::1")?];
        Ok(legs.iter().all(|legs| legs.len() == 2))
    };
    lab.until("the kernel has both networks by both", PATIENCE, || in_kernel(&lab))?;
    let _backends = flows::start_backends(&lab)?;
    let load = Load::start(&mut lab, "2004::1")?;
    let talkative = Speaker::on(&lab.nodes[2], HOST_V6)?;
    let watch = watch_forwarding(&lab, &lab.host)?;

    memory.limit(4 << 20)?;
    for block in 0..4096_u32 {
        let prefixes =
            (0..256).map(|n| format!("2001:{:x}:{:x}::/48", 0xdb9 + (block >> 8), (block & 0xff) << 8 | n));
        let prefixes: Vec<Prefix> = prefixes.map(|text| text.parse()).collect::<Result<_, _>>()?;
        if talkative.announce(&prefixes).is_err() || daemon.must_run().is_err() {
            break;
        }
    }
    let ended = daemon.wait(PATIENCE)?;
    assert_eq!(ended.signal(), Some(9), "{ended}: the kernel kills who has no memory: {}", daemon.log());
    assert!(keep_ours() && in_kernel(&lab)?);
    daemon.write_config(&(GRACEFUL.to_owned() + SECOND))?;
    let before = daemon.log().len();
    daemon.start_again(&lab)?;
    expect_back(&lab, &daemon, before)?;
    assert!(keep_ours());
    load.finish("out of memory, and start")?.expect_none();
    watch.expect_none(|| lab.explain())?;
    Ok(())
}

/// RFC 8538 section 4.1: what is stale already stays over a second restart, and goes with the End-of-RIB as ever.
#[test]
fn a_second_restart_before_the_end_of_rib_takes_no_route() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let daemon = Daemon::start(&lab, &fs::read_to_string(k3d())?)?;
    let node = &lab.nodes[0];
    let settings = speaker::Settings { graceful_restart: true, ..speaker::Settings::cilium(&node.name)? };
    let dial = || node.namespace.inside(|| Speaker::dial(format!("[{HOST_V6}]:179").parse()?, &settings))?;
    let [kept, forgotten]: [Prefix; 2] = ["2004::1/128".parse()?, "2004::2/128".parse()?];
    let session = dial()?;
    session.announce(&[kept, forgotten])?;
    session.end_of_rib(Family::Ipv6Unicast)?;
    lab.until("both are in the kernel", PATIENCE, || Ok(routes_of_protocol(&lab.host, "bgp")?.len() == 2))?;
    let watch = watch_forwarding(&lab, &lab.host)?;
    let stale = |count: usize| {
        lab.until(&format!("{count} are stale"), PATIENCE, || {
            let paths = [kept, forgotten].map(|prefix| daemon.path(&prefix.to_string(), &node.v6()));
            let paths = paths.into_iter().collect::<Result<Vec<_>>>()?;
            Ok(paths.iter().filter(|path| path["stale"] == true).count() == count)
        })
    };
    drop(session);
    stale(2)?;
    let session = dial()?;
    session.announce(&[kept])?;
    stale(1)?;
    drop(session);
    stale(2)?;
    let session = dial()?;
    session.announce(&[kept])?;
    stale(1)?;
    watch.expect_none(|| lab.explain())?;
    session.end_of_rib(Family::Ipv6Unicast)?;
    lab.until("what was announced no more is gone", PATIENCE, || {
        Ok(routes_of_protocol(&lab.host, "bgp")?.len() == 1)
    })?;
    Ok(())
}

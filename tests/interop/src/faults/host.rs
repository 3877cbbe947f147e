//! What happens on the host beside the kernel: disk, log, control socket, metrics, descriptors, configuration, signals.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{FcntlArg, fcntl};

use super::peers::further_peer;
use super::scene::{Setup, config, dial_as, prefixes};
use super::usage::descriptors;
use super::{Fault, Length, Outcome, Scene};
use crate::command::run;
use crate::daemon::Daemon;
use crate::http::asked;
use crate::lab::Lab;
use crate::process::Process;
use crate::programs::binary;
use crate::wait::{PATIENCE, seconds, until};

/// What this file does.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "disk-full",
        what: "the log is on a file system of 16 KiB that is full, level trace",
        run: disk_full,
    },
    Fault { name: "log-stuck", what: "the log is a pipe that nobody reads, level trace", run: log_stuck },
    Fault {
        name: "control-flooded",
        what: "a reader holds 500 connections of the control socket while 8 clients of root ask without pause",
        run: control_flooded,
    },
    Fault {
        name: "metrics-scraped",
        what: "100 clients scrape the metrics without pause",
        run: metrics_scraped,
    },
    Fault {
        name: "no-descriptors",
        what: "the limit of descriptors is lowered to what is open, while 100 connections a second come",
        run: no_descriptors,
    },
    Fault {
        name: "config-garbage",
        what: "the configuration is replaced by noise, half a file, nothing, 64 MiB, a directory, a FIFO, or is gone; SIGHUP each time",
        run: config_garbage,
    },
    Fault {
        name: "sighup-storm",
        what: "SIGHUP a thousand times a second, with two configurations in turn",
        run: sighup_storm,
    },
];

/// A scene whose daemon is started by a shell, which may prepare what it writes into.
fn by_shell(script: impl FnOnce(&Lab) -> Result<String>) -> Result<Scene> {
    let rest = "\n[log]\nlevel = \"trace\"";
    Scene::build(&Setup { rest, ..Setup::default() }, |lab, config| {
        let script = script(lab)?;
        let mut daemon = Daemon::spawn_prepared(lab, config, |command| {
            // Mounts are gone with the process.
            let mut shell = Command::new("unshare");
            shell
                .args(["--mount", "sh", "-c", &script, "sh"])
                .arg(command.get_program())
                .args(command.get_args());
            Ok(shell)
        })?;
        daemon.wait_until_ready(lab)?;
        Ok(daemon)
    })
}

/// Routes come and go and the configuration is read again, so that there is much to be logged; everything must go on.
fn with_much_to_log(mut scene: Scene, length: Length, said: &str) -> Result<Outcome> {
    scene.begin()?;
    let probe = scene.probe()?;
    let begun = Instant::now();
    let lasting = length.seconds(60, 4);
    while begun.elapsed() < lasting {
        scene.daemon.ctl("reload")?;
        scene.daemon.ctl("show summary")?;
        scene.speaker(1)?.announce(&prefixes(&["2004::a/128", "2004::b/128"])?)?;
        scene.speaker(1)?.withdraw(&prefixes(&["2004::a/128"])?)?;
    }
    let latencies = probe.stop()?;
    ensure!(scene.flaps([0, 1, 2])? == 0);
    scene.finish(format!("{said}; no session lost; {latencies}"))?.nothing_lost()
}

fn disk_full(length: Length) -> Result<Outcome> {
    let scene = by_shell(|lab| {
        let full = lab.dir().join("full");
        fs::create_dir_all(&full)?;
        let full = full.display();
        Ok(format!("mount -t tmpfs -o size=16k tmpfs {full} && exec \"$@\" 2>>{full}/log"))
    })?;
    let log = format!("/proc/{}/root{}", scene.daemon.pid(), scene.lab.dir().join("full/log").display());
    scene.lab.until("the disk is full", PATIENCE, || {
        scene.daemon.ctl("reload")?;
        Ok(fs::metadata(&log).with_context(|| log.clone())?.len() > 12 << 10)
    })?;
    with_much_to_log(scene, length, "lines that do not fit are lost")
}

fn log_stuck(length: Length) -> Result<Outcome> {
    let mut held = None;
    let scene = by_shell(|lab| {
        let pipe = lab.dir().join("pipe");
        run(Command::new("mkfifo").arg(&pipe))?;
        let end = File::options().read(true).write(true).open(&pipe)?;
        // As little as can be; the size is the pipe's as long as anybody has it open.
        fcntl(&end, FcntlArg::F_SETPIPE_SZ(4096))?;
        held = Some(end);
        Ok(format!("exec \"$@\" 2<>{}", pipe.display()))
    })?;
    let outcome = with_much_to_log(scene, length, "lines that do not fit are lost")?;
    drop(held);
    Ok(outcome)
}

/// Clients that ask something again and again for so long, and until there have been many answers; how many.
fn answers(
    scene: &Scene,
    clients: usize,
    lasting: Duration,
    ask: impl Fn() -> bool + Send + Sync,
) -> Result<u64> {
    let (over, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let work = || {
        while !over.load(Ordering::Relaxed) {
            count.fetch_add(ask().into(), Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let started = (0..clients).try_for_each(|_| scene.lab.host.inside(|| drop(scope.spawn(work))));
        thread::sleep(lasting);
        let many = || Ok(count.load(Ordering::Relaxed) > 100);
        let answered = started.and_then(|()| until("a hundred are answered", seconds(120), many));
        over.store(true, Ordering::Relaxed);
        answered
    })?;
    Ok(count.into_inner())
}

fn control_flooded(length: Length) -> Result<Outcome> {
    let rest = "\n[control]\nreaders = \"everybody\"";
    let mut scene = Scene::start(&Setup { rest, ..Setup::default() })?;
    scene.begin()?;
    let probe = scene.probe()?;
    let socket = scene.daemon.socket().to_owned();
    // A user who may look has seats of his own; the program must be where he can run it.
    let program = scene.lab.dir().join("lab-node");
    fs::copy(binary("lab-node")?, &program)?;
    let mut hold = Command::new("setpriv");
    hold.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=KILL"]).arg(program);
    hold.arg("hold").arg("--unix").arg(&socket).args(["--count", "500"]);
    let crowd = Process::start("crowd", &mut hold, scene.lab.dir())?;
    scene.lab.until("the crowd is there", PATIENCE, || Ok(crowd.log().contains("held")))?;
    let count = answers(&scene, 8, length.seconds(60, 4), || {
        UnixStream::connect(&socket).is_ok_and(|stream| {
            stream.set_read_timeout(Some(PATIENCE)).is_ok() && asked(stream, "/v1/neighbors")
        })
    })?;
    drop(crowd);
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let latencies = probe.stop()?;
    scene.finish(format!("{count} answers meanwhile; no session lost; {latencies}"))?.nothing_lost()
}

fn metrics_scraped(length: Length) -> Result<Outcome> {
    let rest = "\n[metrics]\nlisten = \"127.0.0.1:9273\"";
    let mut scene = Scene::start(&Setup { rest, ..Setup::default() })?;
    scene.begin()?;
    let probe = scene.probe()?;
    let address: SocketAddr = "127.0.0.1:9273".parse()?;
    let count = answers(&scene, 100, length.seconds(60, 4), || {
        TcpStream::connect_timeout(&address, PATIENCE)
            .is_ok_and(|stream| stream.set_read_timeout(Some(PATIENCE)).is_ok() && asked(stream, "/metrics"))
    })?;
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let latencies = probe.stop()?;
    scene.finish(format!("{count} answers; no session lost; {latencies}"))?.nothing_lost()
}

fn no_descriptors(length: Length) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup::default())?;
    scene.begin()?;
    let probe = scene.probe()?;
    let pid = scene.daemon.pid();
    let limit = |soft: String| {
        run(Command::new("prlimit").arg(format!("--pid={pid}")).arg(format!("--nofile={soft}:")))
    };
    let before = run(Command::new("prlimit").args([
        format!("--pid={pid}").as_str(),
        "--nofile",
        "--raw",
        "--noheadings",
        "--output=SOFT",
    ]))?;
    limit((descriptors(pid)? + 1).to_string())?;
    let node = scene.node(0)?;
    let to = SocketAddr::new(crate::lab::HOST_V6.parse()?, 179);
    let flood = crate::flood::Flood::start(&node.namespace, to, 100, &[node.v6().parse()?])?;
    thread::sleep(length.seconds(30, 3));
    flood.stop()?;
    let open = descriptors(pid)?;
    limit(before.trim().to_owned())?;
    // Whoever comes now is let in.
    let (node, settings) = further_peer(&scene, 0, 1)?;
    drop(dial_as(&scene.lab, node, &settings)?);
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let latencies = probe.stop()?;
    scene
        .finish(format!(
            "no session lost ({open} descriptors open); a new peer is let in afterwards; {latencies}"
        ))?
        .nothing_lost()
}

fn config_garbage(length: Length) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup::default())?;
    scene.begin()?;
    let probe = scene.probe()?;
    let path = scene.daemon.config().to_owned();
    let good = fs::read_to_string(&path)?;
    let mut random = fastrand::Rng::with_seed(6);
    let remove = || fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).context("remove");
    let refused = || -> Result<()> {
        scene.daemon.hang_up()?;
        let end = scene.daemon.ctl_output("reload")?;
        ensure!(!end.status.success(), "it was taken: {}", String::from_utf8_lossy(&end.stdout));
        ensure!(!end.stderr.is_empty(), "it was refused without a word");
        Ok(())
    };
    let rounds = length.count(50, 2);
    let mut forms = 0;
    for _ in 0..rounds {
        let half = good.get(..good.len() / 2).unwrap_or_default().to_owned() + "\n[neighbor.\"";
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(4096).collect();
        for octets in [noise, half.into_bytes(), Vec::new(), vec![b'a'; 64 << 20]] {
            fs::write(&path, octets)?;
            refused()?;
            forms += 1;
        }
        remove()?;
        refused()?;
        fs::create_dir(&path)?;
        refused()?;
        remove()?;
        run(Command::new("mkfifo").arg(&path))?;
        refused()?;
        remove()?;
        forms += 3;
        fs::write(&path, &good)?;
        scene.daemon.ctl("reload")?;
    }
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let latencies = probe.stop()?;
    scene.finish(format!("{forms} times refused whole; no session lost; {latencies}"))?.nothing_lost()
}

fn sighup_storm(length: Length) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup::default())?;
    scene.begin()?;
    let probe = scene.probe()?;
    let list = "\n[prefix-list.services]\nrules = [\"permit 2004::/64 ge 128 le 128\"]";
    let without = config("", "");
    let with = without.replace("import = \"all\"", "import = \"services\"") + list;
    let begun = Instant::now();
    let lasting = length.seconds(60, 4);
    let mut count = 0_u32;
    while begun.elapsed() < lasting {
        if count.is_multiple_of(100) {
            scene.daemon.write_config(if count.is_multiple_of(200) { &with } else { &without })?;
        }
        scene.daemon.hang_up()?;
        count += 1;
        thread::sleep(Duration::from_millis(1));
    }
    scene.daemon.write_config(&with)?;
    scene.daemon.ctl("reload")?;
    ensure!(scene.daemon.ctl("show config")?.contains("services"), "the last one counts");
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let latencies = probe.stop()?;
    scene.finish(format!("{count} signals; no session lost; {latencies}"))?.nothing_lost()
}

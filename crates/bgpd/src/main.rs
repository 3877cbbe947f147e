//! `bgpd-rs`: options, configuration, log, privileges; then the daemon runs.

#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use bgpd_rs::cli::Options;
use bgpd_rs::config::{Config, Sandbox};
use bgpd_rs::sandbox::{Fence, files};
use bgpd_rs::{config, control, crash, daemon, handover, log, privileges};
use clap::{CommandFactory, Parser};
use tracing::{error, info, warn};

/// After so many turns of tasks a worker looks what the sockets have. A turn that reads or writes a part of a table takes 0.2
/// milliseconds, so the runtime's own 61 would keep a session with one change waiting for that many.
const EVENT_INTERVAL: u32 = 2;

/// Huge pages are switched off by its feature `no_thp`, before the first allocation: they are cleared and counted whole, and
/// would be a third of the memory of a whole table, for nothing.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for a configuration with faults, as of sysexits.h's EX_CONFIG.
const EX_CONFIG: u8 = 78;

fn main() -> ExitCode {
    crash::abort_on_panic();
    let options = Options::parse();
    let outcome = run(options);
    let code = outcome.unwrap_or_else(|error| {
        if log::is_started() {
            error!("{error:#}");
        } else {
            say(&format!("bgpd-rs: {error:#}\n"));
        }
        ExitCode::FAILURE
    });
    log::finish();
    code
}

fn run(options: Options) -> anyhow::Result<ExitCode> {
    if let Some(directory) = &options.generate_man {
        clap_mangen::generate_to(Options::command(), directory).context("cannot write the man page")?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(shell) = options.generate_completions {
        clap_complete::generate(shell, &mut Options::command(), "bgpd-rs", &mut std::io::stdout());
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(path) = &options.check {
        return Ok(check(path));
    }
    let loaded = match config::load(&options.config) {
        Ok(loaded) => loaded,
        Err(faults) => {
            say(&faults.render(std::io::stderr().is_terminal()));
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    start_log(options.log.as_deref(), &loaded.config)?;
    for line in loaded.warnings.lines() {
        warn!("{line}");
    }
    let socket = options.control_socket.clone().unwrap_or_else(|| loaded.config.control.socket.clone());
    let user = options.user.clone().or_else(|| loaded.config.process.user.clone());
    control::make_directory(&socket, user.as_deref())?;
    // Names are looked up now: once it runs, the daemon asks no name service.
    let control = &loaded.config.control;
    let rules = control::Rules::look_up(control.group.as_deref(), &control.readers);
    if options.replace {
        handover::join(&socket)?;
    }
    // Before there is a second thread: capabilities belong to threads.
    let settled = privileges::settle(user.as_deref())?;
    for lack in &settled.lacking {
        warn!("{lack}");
    }
    if settled.stays_root {
        warn!("running as root; --user bgpd-rs, or the systemd unit, gives up what is not needed");
    }
    // Before the fence: what the process before has handed over is nobody's file.
    let inherited = handover::take(options.replace, &socket)?;
    // Asked for while the control group that may limit it can be read.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = workers(std::env::var("TOKIO_WORKER_THREADS").ok().as_deref(), processors);
    // It, too, is around this thread and those that it starts.
    let _fence = fence_files(&loaded.config, &options.config, &socket);
    log::write_from_here().context("cannot start the thread that writes the log")?;
    let start =
        daemon::Start { config: loaded.config, config_path: options.config, socket, rules, inherited };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(BLOCKING_AT_MOST)
        .event_interval(EVENT_INTERVAL)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(daemon::run(start))?;
    Ok(ExitCode::SUCCESS)
}

/// What is chosen on the command line stays at a reload.
fn start_log(chosen: Option<&str>, config: &Config) -> anyhow::Result<()> {
    let level = config.log.level.to_string();
    let filter = chosen.unwrap_or(&level);
    let started = if chosen.is_some() { log::start_for_good(filter) } else { log::start(filter) };
    started.map_err(|error| anyhow::anyhow!("the log filter {filter:?} does not work: {error}"))
}

/// More would only wait: what they read and decode goes to routing, which is one thread and takes four times as long
/// for it (`docs/performance.md`). The unit's `TasksMax=` has room for so many, whatever the host has.
const WORKERS_AT_MOST: usize = 16;

/// Threads that read files and ask the kernel for whoever asks us. More questions wait; tokio's own 512 are more than
/// the unit's `TasksMax=`.
const BLOCKING_AT_MOST: usize = 64;

/// So many threads as processors that the process may use, within reason; tokio's own variable overrides it. Routing's
/// thread comes on top: one less here has a session with one change wait for who reads a table.
fn workers(asked: Option<&str>, processors: usize) -> usize {
    let asked = asked.and_then(|text| text.parse().ok()).filter(|asked| *asked > 0);
    asked.unwrap_or(processors.clamp(1, WORKERS_AT_MOST))
}

/// Says something on standard error. Where that is on a full disk, or closed, nobody can be told.
fn say(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}

/// Keeps the process to the files that it goes on to need; lasts as long as the returned value.
fn fence_files(config: &Config, path: &Path, socket: &Path) -> Option<files::Files> {
    if config.process.sandbox != Sandbox::On {
        warn!("process.sandbox is not \"on\": the daemon may use every file that its user may");
        return None;
    }
    let settings =
        config.neighbors.values().map(|n| &n.settings).chain(config.groups.values().map(|g| &g.settings));
    let files = files::restrict(&files::Needs {
        config: path.to_owned(),
        password_files: settings.filter_map(|settings| settings.session.password_file.clone()).collect(),
        socket: socket.to_owned(),
        listen: config.bgp.listen.iter().copied().chain(config.metrics.listen).collect(),
    });
    match &files.fence {
        Fence::Closed => {}
        Fence::Partial => info!(
            "this kernel's Landlock is older than that of Linux 6.12: files are fenced in, signals and perhaps ports to listen at are not"
        ),
        Fence::Open(why) => warn!("files are not fenced in: {why}"),
    }
    Some(files)
}

/// `--check`: every fault and warning of a file.
fn check(path: &Path) -> ExitCode {
    let colour = std::io::stderr().is_terminal();
    match config::load(path) {
        Ok(loaded) => {
            say(&loaded.warnings.render(colour));
            // The exit code says it where standard output takes nothing.
            writeln!(std::io::stdout(), "{}: the configuration is valid", path.display()).unwrap_or_default();
            ExitCode::SUCCESS
        }
        Err(faults) => {
            say(&faults.render(colour));
            ExitCode::from(EX_CONFIG)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_workers_as_are_of_use_or_as_are_asked_for() {
        for (asked, processors, workers) in [
            (None, 1, 1),
            (None, 2, 2),
            (None, 256, WORKERS_AT_MOST),
            (Some("3"), 256, 3),
            (Some("40"), 2, 40),
            (Some("0"), 2, 2),
            (Some("many"), 2, 2),
        ] {
            assert_eq!(super::workers(asked, processors), workers, "{asked:?} {processors}");
        }
    }

    #[test]
    fn the_unit_has_room_for_all_threads() {
        let unit = include_str!("../../../systemd/bgpd-rs.service");
        let room = unit.lines().find_map(|line| line.strip_prefix("TasksMax=")).unwrap();
        // Besides: routing, BFD, netlink, its audit, the log; and what systemd starts for a stop or a reload. Beside a
        // process that hands over there is the next one.
        let one = WORKERS_AT_MOST + BLOCKING_AT_MOST + 24;
        assert!(room.parse::<usize>().unwrap() >= 2 * one, "{room}");
    }
}

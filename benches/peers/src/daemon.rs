//! The daemons under test: who they are, how their configurations are filled in, how they start.
//!
//! Each is configured for the same work: some peers may announce everything and get nothing, others get everything. No
//! filter, no Adj-RIB-In kept aside, nothing logged that the default does not log. The configurations themselves, with
//! what their documentation recommends for speed, are templates in `configs/`.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use interop::command::run;
use interop::namespace::Namespace;
use interop::process::Process;
use interop::programs::{binary, installed};
use interop::service_manager::ServiceManager;
use interop::wait::{seconds, until};
use minijinja::Environment;
use nix::sys::signal::Signal;
use serde::Serialize;

use crate::session::HOLD_TIME;
use crate::usage::{self, Usage};

/// The AS of the daemon under test.
pub(crate) const ASN: u32 = 64999;
/// Its address.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Whom to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Name {
    /// This project's daemon.
    BgpdRs,
    /// Debian's BIRD 2.
    Bird,
    /// Debian's FRR.
    Frr,
    /// Debian's OpenBGPD.
    Openbgpd,
    /// Debian's GoBGP.
    Gobgp,
    /// No daemon: [`crate::relay`].
    Relay,
    /// No daemon: requests to the kernel that were made beforehand.
    Requests,
}

impl Name {
    /// As tables call it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::BgpdRs => "bgpd-rs",
            Self::Bird => "BIRD 2",
            Self::Frr => "FRR",
            Self::Openbgpd => "OpenBGPD",
            Self::Gobgp => "GoBGP",
            Self::Relay => "only read and write",
            Self::Requests => "only requests, made before",
        }
    }

    /// Whether it writes the routes of the kernel by itself. OpenBGPD does so on OpenBSD only, GoBGP asks a zebra.
    pub(crate) const fn writes_the_kernel(self) -> bool {
        matches!(self, Self::BgpdRs | Self::Bird | Self::Frr)
    }

    /// Whether it decides anything. Who does not is a floor of the one work that it knows.
    pub(crate) const fn is_daemon(self) -> bool {
        !matches!(self, Self::Relay | Self::Requests)
    }

    /// Whether its sessions outlive its process.
    pub(crate) const fn hands_over(self) -> bool {
        matches!(self, Self::BgpdRs)
    }

    /// Whether it gives `::1` for a next hop: OpenBGPD 7.7 takes that for its own IPv6 address beside an IPv4 session.
    pub(crate) const fn tells_loopback_hops(self) -> bool {
        matches!(self, Self::Openbgpd)
    }

    /// The package that brings it.
    pub(crate) const fn package(self) -> Option<&'static str> {
        match self {
            Self::BgpdRs | Self::Relay | Self::Requests => None,
            Self::Bird => Some("bird2"),
            Self::Frr => Some("frr"),
            Self::Openbgpd => Some("openbgpd"),
            Self::Gobgp => Some("gobgpd"),
        }
    }
}

/// What one peer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Announces.
    Feeder,
    /// Is announced to.
    Receiver,
    /// Both.
    Both,
}

/// A peer that the daemon expects.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// The daemon's address that it dials.
    pub(crate) local: Ipv4Addr,
    /// Its AS.
    pub(crate) asn: u32,
    /// Whether it announces.
    pub(crate) gives: bool,
    /// Whether it is announced to.
    pub(crate) takes: bool,
}

/// What a configuration is filled in with.
#[derive(Debug, Serialize)]
pub(crate) struct Setting<'a> {
    /// Who the daemon has to do with.
    pub(crate) peers: &'a [Peer],
    /// Whether routes go into the kernel.
    pub(crate) kernel: bool,
    /// Whether equally good paths are used together.
    pub(crate) equal_paths: bool,
}

/// A daemon that runs.
#[derive(Debug)]
pub(crate) struct Daemon {
    processes: Vec<Process>,
    dir: PathBuf,
    manager: Option<ServiceManager>,
}

/// How another process goes on with the sessions of one that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandOver {
    /// It is started beside it: `--replace`.
    Replace,
    /// By the service manager's store: the first one is told and ends, then the next one is started.
    Store,
}

impl Daemon {
    /// Starts one in a directory that is its own.
    pub(crate) fn start(
        name: Name,
        host: &Namespace,
        dir: &Path,
        setting: &Setting<'_>,
        managed: bool,
    ) -> Result<Self> {
        let dir = dir.join(format!("{name:?}"));
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let manager = if managed { Some(ServiceManager::start(&dir)?) } else { None };
        let processes = match name {
            Name::BgpdRs => {
                configure(&dir, CONFIG, include_str!("../configs/bgpd-rs.toml"), setting)?;
                vec![bgpd_rs(host, &dir, manager.as_ref(), None)?]
            }
            Name::Bird => vec![bird(host, &dir, setting)?],
            Name::Frr => frr(host, &dir, setting)?,
            Name::Openbgpd => vec![openbgpd(host, &dir, setting)?],
            Name::Gobgp => vec![gobgp(host, &dir, setting)?],
            Name::Relay => vec![relay(host, &dir, setting)?],
            Name::Requests => bail!("it has no sessions"),
        };
        Ok(Self { processes, dir, manager })
    }

    /// Has another process go on, and shows what both use together while that lasts. Says when the first one was told.
    pub(crate) fn hand_over(
        &mut self,
        host: &Namespace,
        how: HandOver,
        mut used: impl FnMut(Usage),
    ) -> Result<Instant> {
        let begin = Instant::now();
        let manager = self.manager.as_ref();
        let mut both = Vec::new();
        match how {
            HandOver::Replace => both.push(bgpd_rs(host, &self.dir, manager, Some("--replace"))?),
            HandOver::Store => self.processes.iter().try_for_each(|first| {
                first.signal(Signal::SIGUSR2)?;
                first.signal(Signal::SIGTERM)
            })?,
        }
        for mut first in std::mem::take(&mut self.processes) {
            while first.is_running()? {
                // Either may end between two looks.
                let pids = both.iter().chain([&first]).map(Process::pid);
                usage::of(&pids.collect::<Vec<_>>()).map(&mut used).ok();
                thread::sleep(Duration::from_millis(5));
            }
            let status = first.wait(seconds(1))?;
            ensure!(status.success(), "it ended with {status}: {}", interop::process::tail(&first.log(), 5));
        }
        if how == HandOver::Store {
            both.push(bgpd_rs(host, &self.dir, manager, None)?);
        }
        self.processes = both;
        Ok(begin)
    }

    /// Where its configuration and its log are; made anew for each daemon.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it and its children have used.
    pub(crate) fn usage(&self) -> Result<Usage> {
        usage::of(&usage::with_children(self.processes.iter().map(Process::pid)))
    }

    /// Fails when one of its processes has ended.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::must_run)
    }

    /// The end of its logs.
    pub(crate) fn log(&self) -> String {
        self.processes.iter().map(|process| interop::process::tail(&process.log(), 5)).collect()
    }
}

/// Fills in a template, and writes the configuration for the daemon's eyes only.
fn configure(dir: &Path, name: &str, template: &str, setting: &Setting<'_>) -> Result<PathBuf> {
    let mut environment = Environment::new();
    environment.add_global("asn", ASN);
    environment.add_global("address", ADDRESS.to_string());
    environment.add_global("hold_time", HOLD_TIME);
    environment.add_global("dir", dir.display().to_string());
    let text = environment
        .render_str(template, minijinja::value::Serde(setting))
        .with_context(|| format!("configs/{name}"))?;
    let path = dir.join(name);
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(path)
}

/// The file name of this project's configuration.
const CONFIG: &str = "bgpd-rs.toml";

fn bgpd_rs(
    host: &Namespace,
    dir: &Path,
    manager: Option<&ServiceManager>,
    option: Option<&str>,
) -> Result<Process> {
    let mut command = host.command(binary("bgpd-rs")?);
    command.arg("--config").arg(dir.join(CONFIG)).arg("--control-socket").arg(dir.join("control.sock"));
    command.args(option);
    if let Some(manager) = manager {
        command = manager.wrap(&command)?;
    }
    Process::start("bgpd-rs", &mut command, dir)
}

fn bird(host: &Namespace, dir: &Path, setting: &Setting<'_>) -> Result<Process> {
    installed("bird", "bird2")?;
    let config = configure(dir, "bird.conf", include_str!("../configs/bird.conf"), setting)?;
    let mut command = host.command("bird");
    command.arg("-f").arg("-c").arg(config).arg("-s").arg(dir.join("bird.ctl"));
    Process::start("bird", &mut command, dir)
}

/// Octets of the buffer in which zebra gets what the kernel says; the default drops messages when a table changes.
const ZEBRA_BUFFER: &str = "16777216";

fn frr(host: &Namespace, dir: &Path, setting: &Setting<'_>) -> Result<Vec<Process>> {
    installed("/usr/lib/frr/bgpd", "frr")?;
    fs::write(dir.join("zebra.conf"), "")?;
    configure(dir, "bgpd.conf", include_str!("../configs/frr.conf"), setting)?;
    run(Command::new("chown").args(["-R", "frr:frr"]).arg(dir))?;
    let zebra = frr_program(host, "zebra", dir, &["-s", ZEBRA_BUFFER])?;
    until("zebra listens", seconds(10), || Ok(dir.join("zserv.api").exists()))?;
    let bgpd = frr_program(host, "bgpd", dir, if setting.kernel { &[] } else { &["-n"] })?;
    Ok(vec![bgpd, zebra])
}

fn frr_program(host: &Namespace, name: &str, dir: &Path, more: &[&str]) -> Result<Process> {
    let mut command = host.command(format!("/usr/lib/frr/{name}"));
    command.arg("-f").arg(dir.join(format!("{name}.conf")));
    command.arg("-i").arg(dir.join(format!("{name}.pid")));
    command.arg("-z").arg(dir.join("zserv.api")).arg("--vty_socket").arg(dir);
    command.args(["-u", "frr", "-g", "frr", "-P", "0"]).args(more);
    Process::start(name, &mut command, dir)
}

fn openbgpd(host: &Namespace, dir: &Path, setting: &Setting<'_>) -> Result<Process> {
    installed("/usr/sbin/bgpd", "openbgpd")?;
    // It drops to a user of its own inside this directory.
    fs::create_dir_all("/run/openbgpd")?;
    let config = configure(dir, "openbgpd.conf", include_str!("../configs/openbgpd.conf"), setting)?;
    let mut command = host.command("/usr/sbin/bgpd");
    command.args(["-d", "-f"]).arg(config);
    Process::start("openbgpd", &mut command, dir)
}

fn gobgp(host: &Namespace, dir: &Path, setting: &Setting<'_>) -> Result<Process> {
    installed("gobgpd", "gobgpd")?;
    let config = configure(dir, "gobgpd.toml", include_str!("../configs/gobgpd.toml"), setting)?;
    let mut command = host.command("gobgpd");
    command.arg("-f").arg(config).args(["--api-hosts", "127.0.0.1:50051", "--pprof-disable"]);
    Process::start("gobgpd", &mut command, dir)
}

fn relay(host: &Namespace, dir: &Path, setting: &Setting<'_>) -> Result<Process> {
    let takes: Vec<_> = setting.peers.iter().map(|peer| peer.takes.to_string()).collect();
    let mut command = host.command(std::env::current_exe()?);
    Process::start("relay", command.arg("--relay").arg(takes.join(",")), dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_names_every_peer_and_only_takers_take() {
        let dir = std::env::temp_dir().join(format!("peers-bench-templates-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let peer = |last, gives, takes| Peer {
            address: Ipv4Addr::new(10, 77, 0, last),
            local: ADDRESS,
            asn: 65_000 + u32::from(last),
            gives,
            takes,
        };
        let peers = [peer(2, true, false), peer(3, false, true)];
        let setting = Setting { peers: &peers, kernel: true, equal_paths: true };
        let templates = [
            ("bgpd-rs.toml", include_str!("../configs/bgpd-rs.toml"), "export = \"all\""),
            ("bird.conf", include_str!("../configs/bird.conf"), "ipv6 { import none; export all; }"),
            ("frr.conf", include_str!("../configs/frr.conf"), "10.77.0.2 route-map none out"),
            ("openbgpd.conf", include_str!("../configs/openbgpd.conf"), "export none"),
            ("gobgpd.toml", include_str!("../configs/gobgpd.toml"), "\"10.77.0.2/32\""),
        ];
        for (name, template, once_a_family) in templates {
            let path = configure(&dir, name, template, &setting).unwrap();
            let text = fs::read_to_string(path).unwrap();
            for wanted in ["10.77.0.2", "10.77.0.3", "65002", "65003", "64999", once_a_family] {
                assert!(text.contains(wanted), "{name} without {wanted}:\n{text}");
            }
            assert!(!text.contains("{{") && !text.contains("{%"), "{text}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}

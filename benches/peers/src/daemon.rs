//! The daemons under test: configurations, start, kernel or not.
//!
//! Each is configured for the same work: feeders may announce everything and get nothing, receivers get everything. No
//! filter, no Adj-RIB-In kept aside, nothing logged that the default does not log.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use interop::command::run;
use interop::namespace::Namespace;
use interop::process::Process;
use interop::programs::{binary, installed};
use interop::wait::{seconds, until};

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
    /// Debian's GoBGP.
    Gobgp,
}

impl Name {
    /// As tables call it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::BgpdRs => "bgpd-rs",
            Self::Bird => "BIRD 2",
            Self::Frr => "FRR",
            Self::Gobgp => "GoBGP",
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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// Its AS.
    pub(crate) asn: u32,
    /// What it may do.
    pub(crate) role: Role,
}

/// A daemon that runs.
#[derive(Debug)]
pub(crate) struct Daemon {
    processes: Vec<Process>,
}

impl Daemon {
    /// Starts one with these peers.
    pub(crate) fn start(
        name: Name,
        host: &Namespace,
        dir: &Path,
        peers: &[Peer],
        kernel: bool,
    ) -> Result<Self> {
        let dir = dir.join(format!("{name:?}"));
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let processes = match name {
            Name::BgpdRs => bgpd_rs(host, &dir, peers, kernel)?,
            Name::Bird => bird(host, &dir, peers, kernel)?,
            Name::Frr => frr(host, &dir, peers, kernel)?,
            Name::Gobgp => gobgp(host, &dir, peers)?,
        };
        Ok(Self { processes })
    }

    /// What it has used.
    pub(crate) fn usage(&self) -> Result<Usage> {
        usage::of(&self.pids())
    }

    /// The ids of its processes.
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.processes.iter().map(Process::pid).collect()
    }

    /// The end of its logs.
    pub(crate) fn log(&self) -> String {
        self.processes.iter().map(|process| interop::process::tail(&process.log(), 5)).collect()
    }
}

fn write(path: PathBuf, text: &str) -> Result<PathBuf> {
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn bgpd_rs(host: &Namespace, dir: &Path, peers: &[Peer], kernel: bool) -> Result<Vec<Process>> {
    let mut text = format!(
        "[bgp]\nasn = {ASN}\nrouter-id = \"{ADDRESS}\"\nhold-time = {HOLD_TIME}\nlisten = [\"0.0.0.0:179\"]\n\
         [kernel]\ninstall = {kernel}\n"
    );
    for peer in peers {
        write!(text, "[neighbor.\"{}\"]\nremote-asn = {}\nmode = \"passive\"\n", peer.address, peer.asn)?;
        if peer.role != Role::Receiver {
            text.push_str("import = \"all\"\n");
        }
        if peer.role != Role::Feeder {
            text.push_str("export = \"all\"\n");
        }
    }
    let config = write(dir.join("bgpd-rs.toml"), &text)?;
    let mut command = host.command(binary("bgpd-rs")?);
    command.arg("--config").arg(config).arg("--control-socket").arg(dir.join("control.sock"));
    Ok(vec![Process::start("bgpd-rs", &mut command, dir)?])
}

fn bird(host: &Namespace, dir: &Path, peers: &[Peer], kernel: bool) -> Result<Vec<Process>> {
    installed("bird", "bird2")?;
    let mut text = format!("log stderr all;\nrouter id {ADDRESS};\nprotocol device {{ }}\n");
    if kernel {
        for family in ["ipv4", "ipv6"] {
            writeln!(text, "protocol kernel k{family} {{ {family} {{ import none; export all; }}; }}")?;
        }
    }
    for (number, peer) in peers.iter().enumerate() {
        let import = if peer.role == Role::Receiver { "none" } else { "all" };
        let export = if peer.role == Role::Feeder { "none" } else { "all" };
        write!(
            text,
            "protocol bgp p{number} {{ local {ADDRESS} as {ASN}; neighbor {} as {}; passive; hold time {HOLD_TIME};\n\
             ipv4 {{ import {import}; export {export}; }}; ipv6 {{ import {import}; export {export}; }}; }}\n",
            peer.address, peer.asn
        )?;
    }
    let config = write(dir.join("bird.conf"), &text)?;
    let mut command = host.command("bird");
    command.arg("-f").arg("-c").arg(config).arg("-s").arg(dir.join("bird.ctl"));
    Ok(vec![Process::start("bird", &mut command, dir)?])
}

fn frr(host: &Namespace, dir: &Path, peers: &[Peer], kernel: bool) -> Result<Vec<Process>> {
    installed("/usr/lib/frr/bgpd", "frr")?;
    let mut text = format!(
        "router bgp {ASN}\n bgp router-id {ADDRESS}\n no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n \
         timers bgp 300 {HOLD_TIME}\n"
    );
    for peer in peers {
        write!(text, " neighbor {} remote-as {}\n neighbor {0} passive\n", peer.address, peer.asn)?;
    }
    for family in ["ipv4", "ipv6"] {
        writeln!(text, " address-family {family} unicast")?;
        for peer in peers {
            writeln!(text, "  neighbor {} activate", peer.address)?;
            if peer.role == Role::Feeder {
                writeln!(text, "  neighbor {} route-map none out", peer.address)?;
            }
            if peer.role == Role::Receiver {
                writeln!(text, "  neighbor {} route-map none in", peer.address)?;
            }
        }
        text.push_str(" exit-address-family\n");
    }
    text.push_str("exit\nroute-map none deny 10\n");
    write(dir.join("zebra.conf"), "")?;
    write(dir.join("bgpd.conf"), &text)?;
    run(Command::new("chown").args(["-R", "frr:frr"]).arg(dir))?;
    let zebra = frr_program(host, "zebra", dir, &[])?;
    until("zebra listens", seconds(10), || Ok(dir.join("zserv.api").exists()))?;
    let bgpd = frr_program(host, "bgpd", dir, if kernel { &[] } else { &["-n"] })?;
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

fn gobgp(host: &Namespace, dir: &Path, peers: &[Peer]) -> Result<Vec<Process>> {
    installed("gobgpd", "gobgpd")?;
    let mut text = format!("[global.config]\nas = {ASN}\nrouter-id = \"{ADDRESS}\"\n");
    for peer in peers {
        let (import, export) = (peer.role != Role::Receiver, peer.role != Role::Feeder);
        let word = |may: bool| if may { "accept-route" } else { "reject-route" };
        write!(
            text,
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{}\"\npeer-as = {}\n\
             [neighbors.transport.config]\npassive-mode = true\n[neighbors.timers.config]\nhold-time = {HOLD_TIME}\n\
             [neighbors.apply-policy.config]\ndefault-import-policy = \"{}\"\ndefault-export-policy = \"{}\"\n",
            peer.address,
            peer.asn,
            word(import),
            word(export)
        )?;
        for family in ["ipv4-unicast", "ipv6-unicast"] {
            write!(
                text,
                "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\"\n"
            )?;
        }
    }
    let config = write(dir.join("gobgpd.toml"), &text)?;
    let mut command = host.command("gobgpd");
    command.arg("-f").arg(config).args(["--api-hosts", "127.0.0.1:50051"]);
    Ok(vec![Process::start("gobgpd", &mut command, dir)?])
}

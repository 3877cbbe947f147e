//! Debian's FRR (zebra, bgpd, and bfdd where it is wanted) in a namespace, with sockets and files of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::run;
use crate::lab::Lab;
use crate::namespace::Namespace;
use crate::process::Process;
use crate::programs::installed;
use crate::wait::{PATIENCE, until};

/// A running zebra and bgpd. Dropping it ends bgpd first.
#[derive(Debug)]
pub struct Frr {
    bgpd: Process,
    bfdd: Option<Process>,
    zebra: Process,
    namespace: String,
    dir: PathBuf,
}

impl Frr {
    /// Starts both with bgpd's configuration, and waits until `vtysh` gets an answer.
    pub fn start(lab: &Lab, namespace: &Namespace, config: &str) -> Result<Self> {
        Self::start_with(lab, namespace, config, None)
    }

    /// The same with bfdd and its configuration.
    pub fn start_with_bfd(lab: &Lab, namespace: &Namespace, config: &str, bfd: &str) -> Result<Self> {
        Self::start_with(lab, namespace, config, Some(bfd))
    }

    fn start_with(lab: &Lab, namespace: &Namespace, config: &str, bfd: Option<&str>) -> Result<Self> {
        installed("/usr/lib/frr/bgpd", "frr")?;
        let dir = lab.dir().join(format!("frr-{}", namespace.name()));
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        fs::write(dir.join("zebra.conf"), "log stdout informational\n")?;
        fs::write(dir.join("bgpd.conf"), format!("log stdout informational\n{config}"))?;
        fs::write(dir.join("vtysh.conf"), "no service integrated-vtysh-config\n")?;
        fs::write(dir.join("bfdd.conf"), format!("log stdout informational\n{}", bfd.unwrap_or_default()))?;
        run(std::process::Command::new("chown").args(["-R", "frr:frr"]).arg(&dir))?;
        let zebra = daemon(namespace, "zebra", &dir, lab.dir())?;
        until("zebra listens for its clients", PATIENCE, || Ok(dir.join("zserv.api").exists()))?;
        let bfdd = bfd.map(|_| daemon(namespace, "bfdd", &dir, lab.dir())).transpose()?;
        if bfdd.is_some() {
            until("bfdd takes commands", PATIENCE, || Ok(dir.join("bfdd.vty").exists()))?;
        }
        let bgpd = daemon(namespace, "bgpd", &dir, lab.dir())?;
        let mut frr = Self { bgpd, bfdd, zebra, namespace: namespace.name().to_owned(), dir };
        until("FRR's bgpd takes commands", PATIENCE, || {
            frr.zebra.must_run()?;
            frr.bgpd.must_run()?;
            Ok(frr.vtysh("show bgp summary").is_ok())
        })?;
        Ok(frr)
    }

    /// Runs one command of `vtysh`.
    pub fn vtysh(&self, line: &str) -> Result<String> {
        self.vtysh_of("bgpd", &[line])
    }

    /// Runs commands of `vtysh`, one after the other, with this daemon.
    pub fn vtysh_of(&self, daemon: &str, lines: &[&str]) -> Result<String> {
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "vtysh", "--vty_socket"]).arg(&self.dir);
        command.arg("--config_dir").arg(&self.dir).args(["-d", daemon]);
        command.args(lines.iter().flat_map(|line| ["-c", line]));
        run(&mut command)
    }

    /// What its bfdd says of the session with this peer (`show bfd peer … json`).
    pub fn bfd_peer(&self, address: &str) -> Result<serde_json::Value> {
        let printed = self.vtysh_of("bfdd", &["show bfd peers json"])?;
        let all: serde_json::Value = serde_json::from_str(&printed).with_context(|| printed.clone())?;
        let all = all.as_array().cloned().unwrap_or_default();
        Ok(all.into_iter().find(|peer| peer["peer"] == address).unwrap_or_default())
    }

    /// Sends a signal to bgpd and bfdd.
    pub fn signal(&self, signal: nix::sys::signal::Signal) -> Result<()> {
        self.bgpd.signal(signal)?;
        self.bfdd.as_ref().map_or(Ok(()), |bfdd| bfdd.signal(signal))
    }

    /// Runs one command of `vtysh` that answers in JSON.
    pub fn json(&self, line: &str) -> Result<serde_json::Value> {
        let printed = self.vtysh(&format!("{line} json"))?;
        serde_json::from_str(&printed).with_context(|| printed.clone())
    }

    /// The process id of its bgpd. The process is `ip netns exec`, which has become it.
    pub fn bgpd_pid(&self) -> i32 {
        self.bgpd.pid()
    }

    /// The process id of its zebra.
    pub fn zebra_pid(&self) -> i32 {
        self.zebra.pid()
    }

    /// The state of a neighbour (`Established` …).
    pub fn neighbor_state(&self, address: &str) -> Result<String> {
        let all = self.json(&format!("show bgp neighbors {address}"))?;
        Ok(all[address]["bgpState"].as_str().unwrap_or_default().to_owned())
    }
}

fn daemon(namespace: &Namespace, name: &str, dir: &Path, logs: &Path) -> Result<Process> {
    let mut command = namespace.command(format!("/usr/lib/frr/{name}"));
    command.arg("-f").arg(dir.join(format!("{name}.conf")));
    command.arg("-i").arg(dir.join(format!("{name}.pid")));
    command.arg("-z").arg(dir.join("zserv.api"));
    command.arg("--vty_socket").arg(dir);
    command.args(["-u", "frr", "-g", "frr", "-P", "0"]);
    if name == "bfdd" {
        command.arg("--bfdctl").arg(dir.join("bfdd.sock"));
    }
    Process::start(&format!("frr-{name}"), &mut command, logs)
}

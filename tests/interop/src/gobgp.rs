//! Debian's gobgpd on a node, configured as Cilium configures the GoBGP inside its agent.
//!
//! It only dials (no listening socket), has AS 64512, rejects everything it receives by a global import policy, and
//! has the timers of CiliumBGPPeerConfig's defaults: hold 90 s, keepalive 30 s, connect retry 120 s. All nodes have
//! the host's router id unless a lab says otherwise. Routes are injected by the `gobgp` command.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::run;
use crate::lab::{HOST_V4, HOST_V6, Lab, Node};
use crate::namespace::Namespace;
use crate::process::Process;
use crate::programs::installed;
use crate::wait::{PATIENCE, until};

/// Which sessions a node opens to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One session over IPv6.
    V6,
    /// One session over IPv4.
    V4,
    /// One of each.
    Both,
}

/// Which families a node offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv6 unicast alone.
    V6,
    /// IPv4 and IPv6 unicast, Cilium's default.
    Both,
}

/// Whether graceful restart is on, as `gracefulRestart.enabled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GracefulRestart {
    /// The capability is absent.
    Off,
    /// Restart time 120 s, N bit, F bit for every family.
    On,
}

/// How a node's speaker is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The sessions.
    pub transport: Transport,
    /// The families.
    pub families: Families,
    /// Graceful restart.
    pub graceful_restart: GracefulRestart,
    /// Seconds of graceful restart's restart time.
    pub restart_time: u32,
    /// Seconds of the long-lived stale time, RFC 9494; `None`: no such capability.
    pub long_lived: Option<u32>,
    /// The BGP identifier, the same on every node by default.
    pub router_id: String,
    /// The password of TCP MD5.
    pub password: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            transport: Transport::V6,
            families: Families::V6,
            graceful_restart: GracefulRestart::Off,
            restart_time: 120,
            long_lived: None,
            router_id: HOST_V4.to_owned(),
            password: None,
        }
    }
}

impl Settings {
    /// With graceful restart.
    pub fn graceful() -> Self {
        Self { graceful_restart: GracefulRestart::On, ..Self::default() }
    }
}

/// A running gobgpd.
#[derive(Debug)]
pub struct Gobgp {
    process: Process,
    namespace: String,
    node: String,
    config: PathBuf,
    restart: GracefulRestart,
    dir: PathBuf,
}

impl Gobgp {
    /// Starts it on a node and waits until it takes commands. It dials 5 to 9 s later, by its own timer.
    pub fn start(lab: &Lab, node: &Node, settings: &Settings) -> Result<Self> {
        installed("gobgpd", "gobgpd")?;
        let config = lab.dir().join(format!("gobgpd-{}.toml", node.name));
        fs::write(&config, config_text(settings)).with_context(|| config.display().to_string())?;
        let process = spawn(&node.namespace, &node.name, &config, settings.graceful_restart, lab.dir())?;
        let mut speaker = Self {
            process,
            namespace: node.namespace.name().to_owned(),
            node: node.name.clone(),
            config,
            restart: settings.graceful_restart,
            dir: lab.dir().to_owned(),
        };
        speaker.wait_for_api()?;
        Ok(speaker)
    }

    /// Starts one on every node of the lab, all with the same settings, all announcing the same prefixes.
    pub fn start_all(lab: &Lab, settings: &Settings, prefixes: &[&str]) -> Result<Vec<Self>> {
        let mut speakers = Vec::new();
        for node in &lab.nodes {
            let speaker = Self::start(lab, node, settings)?;
            prefixes.iter().try_for_each(|prefix| speaker.announce(prefix))?;
            speakers.push(speaker);
        }
        Ok(speakers)
    }

    /// Announces a prefix with the session's own address as next hop.
    pub fn announce(&self, prefix: &str) -> Result<()> {
        self.cli(&format!("global rib add {prefix} origin igp {}", family_option(prefix)))?;
        Ok(())
    }

    /// Withdraws a prefix.
    pub fn withdraw(&self, prefix: &str) -> Result<()> {
        self.cli(&format!("global rib del {prefix} {}", family_option(prefix)))?;
        Ok(())
    }

    /// Runs `gobgp` on the node.
    pub fn cli(&self, line: &str) -> Result<String> {
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "gobgp"]).args(line.split_whitespace());
        run(&mut command)
    }

    /// How often the session to this host address changed its state, and its state, as `gobgp neighbor -j` says.
    pub fn neighbor(&self, address: &str) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.cli(&format!("neighbor {address} -j"))?)?)
    }

    /// Ends it as a crash of the agent does: the kernel closes its connections by FIN, without a NOTIFICATION.
    pub fn crash(&mut self) -> Result<()> {
        self.process.crash()
    }

    /// Stops it in the middle of whatever it does (SIGSTOP).
    pub fn freeze(&self) -> Result<()> {
        self.process.signal(nix::sys::signal::Signal::SIGSTOP)
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) -> Result<()> {
        self.process.signal(nix::sys::signal::Signal::SIGCONT)
    }

    /// Asks it to end: it sends Cease.
    pub fn terminate(&mut self) -> Result<()> {
        self.process.terminate(PATIENCE)?;
        Ok(())
    }

    /// Starts it again after its end, with the same configuration and no routes.
    pub fn start_again(&mut self, node: &Node) -> Result<()> {
        if node.name != self.node {
            bail!("{} is not {}", node.name, self.node);
        }
        self.process = spawn(&node.namespace, &node.name, &self.config, self.restart, &self.dir)?;
        self.wait_for_api()
    }

    fn wait_for_api(&mut self) -> Result<()> {
        until(&format!("gobgpd on {} takes commands", self.node), PATIENCE, || {
            self.process.must_run()?;
            Ok(self.cli("global").is_ok())
        })?;
        Ok(())
    }

    /// Lets it live on when this value goes.
    pub fn leave(self) {
        self.process.leave();
    }
}

fn spawn(
    namespace: &Namespace,
    node: &str,
    config: &Path,
    restart: GracefulRestart,
    dir: &Path,
) -> Result<Process> {
    // With the node's name as host name, which it tells in its FQDN capability; every step is an exec, the pid stays.
    let mut command = namespace.command("unshare");
    command.args(["--uts", "sh", "-c", "hostname \"$0\" && exec gobgpd \"$@\"", node]);
    command.arg("--config-file").arg(config).args(["--log-plain", "--api-hosts", "127.0.0.1:50051"]);
    if restart == GracefulRestart::On {
        // As Cilium: R and F set in the first OPEN of each process.
        command.arg("--graceful-restart");
    }
    Process::start(&format!("gobgpd-{node}"), &mut command, dir)
}

fn family_option(prefix: &str) -> &'static str {
    if prefix.contains(':') { "-a ipv6" } else { "-a ipv4" }
}

fn config_text(settings: &Settings) -> String {
    let hosts: &[&str] = match settings.transport {
        Transport::V6 => &[HOST_V6],
        Transport::V4 => &[HOST_V4],
        Transport::Both => &[HOST_V6, HOST_V4],
    };
    let neighbors: String = hosts.iter().map(|host| neighbor_text(host, settings)).collect();
    format!(
        r#"[global.config]
as = 64512
router-id = "{}"
port = -1
[global.apply-policy.config]
import-policy-list = ["only-local"]
default-import-policy = "reject-route"
[[policy-definitions]]
name = "only-local"
[[policy-definitions.statements]]
name = "only-local"
[policy-definitions.statements.conditions.bgp-conditions]
route-type = "local"
[policy-definitions.statements.actions]
route-disposition = "accept-route"
{neighbors}"#,
        settings.router_id
    )
}

fn neighbor_text(host: &str, settings: &Settings) -> String {
    let password = settings
        .password
        .as_ref()
        .map(|secret| format!("auth-password = \"{secret}\"\n"))
        .unwrap_or_default();
    let restart = settings.graceful_restart == GracefulRestart::On;
    let names: &[&str] = match settings.families {
        Families::V6 => &["ipv6-unicast"],
        Families::Both => &["ipv6-unicast", "ipv4-unicast"],
    };
    let families: String = names
        .iter()
        .map(|name| {
            format!(
                "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{name}\"\n\
                 [neighbors.afi-safis.mp-graceful-restart.config]\nenabled = {restart}\n\
                 [neighbors.afi-safis.long-lived-graceful-restart.config]\nenabled = {}\nrestart-time = {}\n",
                settings.long_lived.is_some(),
                settings.long_lived.unwrap_or(0)
            )
        })
        .collect();
    format!(
        r#"[[neighbors]]
[neighbors.config]
neighbor-address = "{host}"
peer-as = 64513
{password}[neighbors.timers.config]
connect-retry = 120
hold-time = 90
keepalive-interval = 30
[neighbors.graceful-restart.config]
enabled = {restart}
restart-time = {}
notification-enabled = {restart}
long-lived-enabled = {}
{families}"#,
        settings.restart_time,
        settings.long_lived.is_some()
    )
}

//! bgpd-rs on the host of a lab, and bgpctl asking it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::command::{output, run};
use crate::faults::usage::of_each_thread;
use crate::lab::{CONTROL_SOCKET, Lab};
use crate::namespace::Namespace;
use crate::process::Process;
use crate::programs::binary;
use crate::service_manager::ServiceManager;
use crate::wait::{PATIENCE, until};

/// The configuration of the lab's host as it is shipped.
pub fn k3d() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples/k3d.toml")
}

/// A running bgpd-rs.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    config: PathBuf,
    socket: PathBuf,
    namespace: String,
    privileges: Privileges,
    manager: Option<ServiceManager>,
}

/// As whom the daemon runs.
///
/// The sandbox is around it in each case, as `process.sandbox` is on by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileges {
    /// As the lab does.
    Root,
    /// As `nobody`, with CAP_NET_ADMIN and CAP_NET_BIND_SERVICE alone, as the unit starts it.
    NetworkOnly,
    /// As `nobody`, with CAP_NET_BIND_SERVICE alone: the kernel refuses every change of a route.
    PortOnly,
}

impl Daemon {
    /// Starts the daemon on the lab's host and waits until it answers.
    pub fn start(lab: &Lab, config: &str) -> Result<Self> {
        Self::start_as(lab, config, Privileges::Root)
    }

    /// Starts it with the shipped configuration of the lab's host.
    pub fn start_k3d(lab: &Lab) -> Result<Self> {
        let text = fs::read_to_string(k3d()).with_context(|| k3d().display().to_string())?;
        Self::start(lab, &text)
    }

    /// The same with given privileges.
    pub fn start_as(lab: &Lab, config: &str, privileges: Privileges) -> Result<Self> {
        let path = lab.dir().join("bgpd-rs.toml");
        fs::write(&path, config).with_context(|| path.display().to_string())?;
        Self::start_file(lab, &path, privileges)
    }

    /// Starts it with a configuration file that exists.
    pub fn start_file(lab: &Lab, config: &Path, privileges: Privileges) -> Result<Self> {
        let run = lab.dir().join("run");
        fs::create_dir_all(&run)?;
        if privileges != Privileges::Root {
            crate::command::run(std::process::Command::new("chown").arg("nobody:nogroup").arg(&run))?;
        }
        let socket = lab.dir().join(CONTROL_SOCKET);
        Self::start_with(lab, config, socket, privileges, None)
    }

    fn start_with(
        lab: &Lab,
        config: &Path,
        socket: PathBuf,
        privileges: Privileges,
        manager: Option<ServiceManager>,
    ) -> Result<Self> {
        let process = start(lab, &command(&lab.host, config, &socket, privileges)?, manager.as_ref())?;
        let namespace = lab.host.name().to_owned();
        let mut daemon = Self { process, config: config.to_owned(), socket, namespace, privileges, manager };
        daemon.wait_until_ready(lab)?;
        Ok(daemon)
    }

    /// Starts it by a command that is changed before, by what stands between the lab and the daemon, and does not wait.
    pub fn spawn_prepared(
        lab: &Lab,
        config: &str,
        prepare: impl FnOnce(Command) -> Result<Command>,
    ) -> Result<Self> {
        let path = lab.dir().join("bgpd-rs.toml");
        fs::write(&path, config).with_context(|| path.display().to_string())?;
        fs::create_dir_all(lab.dir().join("run"))?;
        let socket = lab.dir().join(CONTROL_SOCKET);
        let mut command = prepare(command(&lab.host, &path, &socket, Privileges::Root)?)?;
        let process = Process::start("bgpd-rs", &mut command, lab.dir())?;
        let namespace = lab.host.name().to_owned();
        Ok(Self { process, config: path, socket, namespace, privileges: Privileges::Root, manager: None })
    }

    /// Starts another one in a namespace of the lab, under a name of its own.
    pub fn start_in(lab: &Lab, namespace: &Namespace, name: &str, config: &str) -> Result<Self> {
        let dir = lab.dir().join(name);
        fs::create_dir_all(&dir)?;
        let (path, socket) = (dir.join("bgpd-rs.toml"), dir.join("control.sock"));
        fs::write(&path, config).with_context(|| path.display().to_string())?;
        let mut program = command(namespace, &path, &socket, Privileges::Root)?;
        let process = Process::start("bgpd-rs", &mut program, &dir)?;
        let namespace = namespace.name().to_owned();
        let mut daemon =
            Self { process, config: path, socket, namespace, privileges: Privileges::Root, manager: None };
        daemon.wait_until_ready(lab)?;
        Ok(daemon)
    }

    /// Starts it under a service manager that keeps descriptors.
    pub fn start_managed(lab: &Lab, config: &str) -> Result<Self> {
        let path = lab.dir().join("bgpd-rs.toml");
        fs::write(&path, config).with_context(|| path.display().to_string())?;
        fs::create_dir_all(lab.dir().join("run"))?;
        let manager = ServiceManager::start(lab.dir())?;
        Self::start_with(lab, &path, lab.dir().join(CONTROL_SOCKET), Privileges::Root, Some(manager))
    }

    /// The service manager that it runs under.
    pub fn manager(&self) -> Result<&ServiceManager> {
        self.manager.as_ref().context("it runs under no service manager")
    }

    /// The first half of `systemctl restart`: it is told to hand over, then to end, as the unit does.
    pub fn hand_over(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGUSR2)?;
        // As long as the unit waits.
        let status = self.process.terminate(PATIENCE)?;
        anyhow::ensure!(status.success(), "it ended with {status}: {}", self.log());
        Ok(())
    }

    /// The same where both signals wait for the daemon, so that it hears them in any order.
    pub fn hand_over_told_together(&mut self) -> Result<()> {
        self.freeze()?;
        let pid = self.pid();
        until("it stands still", PATIENCE, || {
            Ok(of_each_thread(pid, "State:")?.values().all(|state| state.starts_with('T')))
        })?;
        self.process.signal(Signal::SIGTERM)?;
        self.process.signal(Signal::SIGUSR2)?;
        self.thaw()?;
        let status = self.process.wait(PATIENCE)?;
        anyhow::ensure!(status.success(), "it ended with {status}: {}", self.log());
        Ok(())
    }

    /// `systemctl restart`.
    pub fn restart(&mut self, lab: &Lab) -> Result<()> {
        self.hand_over()?;
        self.start_again(lab)
    }

    /// Starts another process with `--replace` by hand, and waits for the end of the present one.
    pub fn replace(&mut self, lab: &Lab) -> Result<()> {
        let mut command = command(&lab.host, &self.config, &self.socket, self.privileges)?;
        command.arg("--replace");
        let next = start(lab, &command, None)?;
        let mut before = std::mem::replace(&mut self.process, next);
        let status = before.wait(PATIENCE)?;
        anyhow::ensure!(status.success(), "it ended with {status}: {}", self.log());
        self.wait_until_ready(lab)
    }

    /// Starts it again after its end, with the configuration that is in its file now.
    pub fn start_again(&mut self, lab: &Lab) -> Result<()> {
        self.start_again_at_once(lab)?;
        self.wait_until_ready(lab)
    }

    /// Waits until it answers bgpctl.
    pub fn wait_until_ready(&mut self, lab: &Lab) -> Result<()> {
        lab.until("bgpd-rs answers bgpctl", PATIENCE, || {
            self.process.must_run()?;
            Ok(self.json("show summary").is_ok())
        })?;
        Ok(())
    }

    /// Writes another configuration into its file; it takes effect by `bgpctl reload` or [`Daemon::hang_up`].
    pub fn write_config(&self, text: &str) -> Result<()> {
        fs::write(&self.config, text).with_context(|| self.config.display().to_string())
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) -> Result<()> {
        self.process.signal(Signal::SIGHUP)
    }

    /// Stops it in the middle of whatever it does (SIGSTOP).
    pub fn freeze(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Starts it again after its end and does not wait for anything.
    pub fn start_again_at_once(&mut self, lab: &Lab) -> Result<()> {
        let command = command(&lab.host, &self.config, &self.socket, self.privileges)?;
        self.process = start(lab, &command, self.manager.as_ref())?;
        Ok(())
    }

    /// Ends it as a crash or the out-of-memory killer does.
    pub fn crash(&mut self) -> Result<()> {
        self.process.crash()
    }

    /// Waits for its own end.
    pub fn wait(&mut self, limit: Duration) -> Result<std::process::ExitStatus> {
        self.process.wait(limit)
    }

    /// Stops it as systemd does.
    pub fn stop(&mut self) -> Result<std::process::ExitStatus> {
        self.process.terminate(PATIENCE)
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Its log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// What it has logged since its log was so long.
    pub fn log_since(&self, length: usize) -> String {
        self.log().get(length..).unwrap_or_default().to_owned()
    }

    /// When it wrote the last line of its log with these words.
    pub fn logged_last(&self, words: &str) -> Result<Instant> {
        let log = self.log();
        let line = log.lines().rev().find(|line| line.contains(words)).with_context(|| words.to_owned())?;
        // 2026-01-31T23:59:59.123456Z, of this day or the one before.
        let clock = line.get(11..26).with_context(|| line.to_owned())?;
        let digits = [clock.get(..2), clock.get(3..5), clock.get(6..8), clock.get(9..)];
        let mut numbers = [0; 4];
        for (number, text) in numbers.iter_mut().zip(digits) {
            *number = text.unwrap_or_default().parse().with_context(|| line.to_owned())?;
        }
        let [hours, minutes, seconds, micros] = numbers;
        let logged = Duration::from_micros(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros);
        let (now, today) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros());
        let day = 24 * 3600 * 1_000_000;
        let today = Duration::from_micros(u64::try_from(today % day)?);
        let ago = today.checked_sub(logged).unwrap_or(today + Duration::from_secs(24 * 3600) - logged);
        now.checked_sub(ago).context("before this machine started")
    }

    /// Fails if it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        self.process.must_run()
    }

    /// The path of its control socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Runs bgpctl with arguments separated by blanks; it must succeed.
    pub fn ctl(&self, line: &str) -> Result<String> {
        run(&mut self.ctl_command(line)?)
    }

    /// Runs bgpctl and returns everything about its end.
    pub fn ctl_output(&self, line: &str) -> Result<Output> {
        output(&mut self.ctl_command(line)?)
    }

    fn ctl_command(&self, line: &str) -> Result<std::process::Command> {
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(binary("bgpctl")?);
        command.arg("--socket").arg(&self.socket).args(line.split_whitespace());
        Ok(command)
    }

    /// Runs a question of bgpctl with `--json`.
    pub fn json(&self, line: &str) -> Result<Value> {
        let printed = self.ctl(&format!("{line} --json"))?;
        serde_json::from_str(&printed).with_context(|| printed.clone())
    }

    /// What `show neighbors` says about one peer; null when it does not know the address.
    pub fn neighbor(&self, address: &str) -> Result<Value> {
        let reply = self.json("show neighbors")?;
        let all = reply["neighbors"].as_array().cloned().unwrap_or_default();
        Ok(all.into_iter().find(|peer| peer["address"] == address).unwrap_or(Value::Null))
    }

    /// What `show neighbors` counts of a peer in one family, such as `accepted`; 0 while the session is not up.
    pub fn counted(&self, address: &str, family: &str, what: &str) -> Result<u64> {
        let peer = self.neighbor(address)?;
        let families = peer["families"].as_array().cloned().unwrap_or_default();
        let found = families.into_iter().find(|entry| entry["family"] == family).unwrap_or_default();
        Ok(found[what].as_u64().unwrap_or_default())
    }

    /// The session state of a peer, `established` and so on; empty when the peer is not known.
    pub fn state(&self, address: &str) -> Result<String> {
        Ok(self.neighbor(address)?["state"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the sessions with all these peers are up.
    pub fn expect_established(&self, lab: &Lab, addresses: &[String]) -> Result<()> {
        for address in addresses {
            lab.until(&format!("the session with {address} is up"), PATIENCE, || {
                Ok(self.state(address)? == "established")
            })?;
        }
        Ok(())
    }

    /// What `show routes` says about one path of a prefix: that from this peer.
    pub fn path(&self, prefix: &str, peer: &str) -> Result<Value> {
        let reply = self.json(&format!("show routes {prefix}"))?;
        let routes = reply["routes"].as_array().cloned().unwrap_or_default();
        let paths = routes.iter().flat_map(|route| route["paths"].as_array().cloned().unwrap_or_default());
        Ok(paths.into_iter().find(|path| path["peer"] == peer).unwrap_or(Value::Null))
    }

    /// What `show fib` says about a prefix.
    pub fn fib(&self, prefix: &str) -> Result<Value> {
        let reply = self.json("show fib")?;
        let routes = reply["routes"].as_array().cloned().unwrap_or_default();
        Ok(routes.into_iter().find(|route| route["prefix"] == prefix).unwrap_or(Value::Null))
    }

    /// Lets it live on when this value goes.
    pub fn leave(self) {
        self.process.leave();
    }
}

fn start(lab: &Lab, command: &Command, manager: Option<&ServiceManager>) -> Result<Process> {
    let mut command = match manager {
        Some(manager) => manager.wrap(command)?,
        None => {
            let mut same = Command::new(command.get_program());
            same.args(command.get_args());
            same
        }
    };
    Process::start("bgpd-rs", &mut command, lab.dir())
}

fn as_nobody(host: &Namespace, program: &Path, capabilities: &str) -> Command {
    let mut command = host.command("setpriv");
    command.args([
        "--reuid=nobody",
        "--regid=nogroup",
        "--clear-groups",
        "--no-new-privs",
        "--pdeathsig=KILL",
    ]);
    for set in ["inh-caps", "ambient-caps", "bounding-set"] {
        command.arg(format!("--{set}={capabilities}"));
    }
    command.arg(program);
    command
}

fn command(host: &Namespace, config: &Path, socket: &Path, privileges: Privileges) -> Result<Command> {
    let program = binary("bgpd-rs")?;
    let mut command = match privileges {
        Privileges::Root => host.command(program),
        Privileges::NetworkOnly => as_nobody(host, &program, "-all,+net_admin,+net_bind_service"),
        Privileges::PortOnly => as_nobody(host, &program, "-all,+net_bind_service"),
    };
    command.arg("--config").arg(config).arg("--control-socket").arg(socket);
    Ok(command)
}

//! One network namespace: made, entered by commands and threads, removed with everything that still runs in it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::command::{run, words};

/// Every namespace of a lab has a name that starts so, followed by the process id of its owner.
pub const PREFIX: &str = "bglab";

/// A network namespace with its loopback up. Dropping it removes it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes the namespace: no duplicate address detection, no router advertisements, unprivileged ports as usual.
    pub fn create(name: &str) -> Result<Self> {
        run(&mut words(&format!("ip netns add {name}")))?;
        let namespace = Self { name: name.to_owned() };
        namespace.sysctl("net.ipv6.conf.all.accept_dad", "0")?;
        namespace.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        namespace.sysctl("net.ipv6.conf.default.accept_ra", "0")?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Its name, for `ip netns exec NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A program that runs inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a program with arguments separated by blanks inside; it must succeed.
    pub fn run(&self, line: &str) -> Result<String> {
        let mut words = line.split_whitespace();
        run(self.command(words.next().unwrap_or_default()).args(words))
    }

    /// Runs `ip` on this namespace.
    pub fn ip(&self, line: &str) -> Result<String> {
        run(&mut words(&format!("ip -n {} {line}", self.name)))
    }

    /// Runs `ip -j` on this namespace and reads its answer; no output is an empty list.
    pub fn ip_json(&self, line: &str) -> Result<Vec<Value>> {
        let printed = self.ip(&format!("-j {line}"))?;
        if printed.trim().is_empty() {
            return Ok(Vec::new());
        }
        serde_json::from_str(&printed).with_context(|| format!("ip -j {line}: {printed}"))
    }

    /// Sets a kernel variable inside.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        let value = value.to_owned();
        self.inside(move || fs::write(&path, value).with_context(|| path.clone()))?
    }

    /// Reads a kernel variable inside.
    pub fn read_sysctl(&self, key: &str) -> Result<String> {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        let text = self.inside(move || fs::read_to_string(&path).with_context(|| path.clone()))??;
        Ok(text.trim().to_owned())
    }

    /// Calls a function on a thread of its own that has entered the namespace. Sockets made there stay there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = File::open(format!("/run/netns/{}", self.name)).context(self.name.clone())?;
        thread::scope(|scope| {
            let worker = scope.spawn(move || -> Result<T> {
                setns(&file, CloneFlags::CLONE_NEWNET).context("setns")?;
                Ok(work())
            });
            worker.join().map_err(|_| anyhow!("a thread inside {} panicked", self.name))?
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.name) {
            eprintln!("cannot remove namespace {}: {error:#}", self.name);
        }
    }
}

/// Ends by their ids the processes that still run in a namespace, then removes it.
pub fn remove(name: &str) -> Result<()> {
    for pid in run(&mut words(&format!("ip netns pids {name}")))?.split_whitespace() {
        // Gone in between is as good as ended.
        kill(Pid::from_raw(pid.parse()?), Signal::SIGKILL).ok();
    }
    run(&mut words(&format!("ip netns del {name}")))?;
    Ok(())
}

/// The namespaces of labs whose owner no longer lives, or of all labs.
pub fn leftovers(all: bool) -> Result<Vec<String>> {
    let listed = run(&mut words("ip netns list"))?;
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    let ours = names.filter(|name| name.starts_with(PREFIX));
    Ok(ours.filter(|name| all || !owner_lives(name)).map(str::to_owned).collect())
}

/// Whether the process that made this name (`bglab-PID-…`) still runs.
pub(crate) fn owner_lives(name: &str) -> bool {
    let pid = name.split('-').nth(1).unwrap_or_default();
    !pid.is_empty() && fs::exists(format!("/proc/{pid}")).unwrap_or(false)
}

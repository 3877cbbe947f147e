//! A program that runs until it is told to end: its process id, its log, signals by id.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::line;
use crate::wait::until;

static OUTLIVE: AtomicBool = AtomicBool::new(false);

/// From now on programs may outlive the process that starts them (`lab demo --keep`).
pub fn let_processes_outlive() {
    OUTLIVE.store(true, Ordering::Relaxed);
}

/// A running program of the lab. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose output goes to `DIR/NAME.log`. It dies with the thread that started it, unless programs
    /// may outlive it. A change of its user undoes that: `setpriv` has to be told the same again (`--pdeathsig`).
    pub fn start(name: &str, command: &mut Command, dir: &Path) -> Result<Self> {
        if OUTLIVE.load(Ordering::Relaxed) {
            // In a process group of its own: Ctrl-C and the end of the terminal are meant for the demo.
            return Self::start_logged(name, command.process_group(0), dir);
        }
        // SAFETY: prctl is async-signal-safe and touches nothing of the parent.
        unsafe {
            command
                .pre_exec(|| nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(std::io::Error::from));
        }
        Self::start_logged(name, command, dir)
    }

    fn start_logged(name: &str, command: &mut Command, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| log.display().to_string())?;
        let shown = line(command);
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start: {shown}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// What it wrote until now.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Sends a signal to this process.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid()), signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// Asks it to end and waits for that.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let name = self.name.clone();
        until(&format!("{name} ends on SIGTERM"), limit, || Ok(self.child.try_wait()?.is_some()))?;
        Ok(self.child.wait()?)
    }

    /// Waits for its own end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        until(&format!("{name} ends by itself"), limit, || Ok(self.child.try_wait()?.is_some()))?;
        Ok(self.child.wait()?)
    }

    /// Ends it as a crash does.
    pub fn crash(&mut self) -> Result<()> {
        if self.is_running()? {
            self.child.kill()?;
        }
        self.child.wait()?;
        Ok(())
    }

    /// Fails when the program has ended although nobody asked it to.
    pub fn must_run(&mut self) -> Result<()> {
        if !self.is_running()? {
            bail!("{} has ended: {}", self.name, tail(&self.log(), 20));
        }
        Ok(())
    }

    /// Lets it live on when this value goes.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.crash() {
            eprintln!("cannot end {}: {error:#}", self.name);
        }
    }
}

/// The first lines of a text, and how many it has beside them.
pub fn head(text: &str, lines: usize) -> String {
    let mut shown: Vec<_> = text.lines().take(lines).map(str::to_owned).collect();
    let more = text.lines().count() - shown.len();
    if more > 0 {
        shown.push(format!("(and {more} more)"));
    }
    shown.join("\n")
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    let from = all.len().saturating_sub(lines);
    all.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_text_both_ends_can_be_had() {
        assert_eq!(head("a\nb\nc\n", 2), "a\nb\n(and 1 more)");
        assert_eq!(head("a\nb\n", 2), "a\nb");
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
    }
}

//! Debian's BIRD 2 in a namespace.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::command::run;
use crate::lab::Lab;
use crate::namespace::Namespace;
use crate::process::Process;
use crate::programs::installed;
use crate::wait::{PATIENCE, until};

/// A running BIRD.
#[derive(Debug)]
pub struct Bird {
    process: Process,
    namespace: String,
    socket: PathBuf,
}

impl Bird {
    /// Starts it with a configuration and waits until `birdc` gets an answer.
    pub fn start(lab: &Lab, namespace: &Namespace, config: &str) -> Result<Self> {
        installed("bird", "bird2")?;
        let name = format!("bird-{}", namespace.name().rsplit('-').next().unwrap_or_default());
        let file = lab.dir().join(format!("{name}.conf"));
        let socket = lab.dir().join(format!("{name}.ctl"));
        fs::write(&file, config).with_context(|| file.display().to_string())?;
        let mut command = namespace.command("bird");
        command.arg("-f").arg("-c").arg(&file).arg("-s").arg(&socket);
        let process = Process::start(&name, &mut command, lab.dir())?;
        let mut bird = Self { process, namespace: namespace.name().to_owned(), socket };
        until("BIRD takes commands", PATIENCE, || {
            bird.process.must_run()?;
            Ok(bird.ask("show status").is_ok())
        })?;
        Ok(bird)
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: nix::sys::signal::Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Runs one command of `birdc`.
    pub fn ask(&self, line: &str) -> Result<String> {
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "birdc", "-s"]).arg(&self.socket);
        run(command.args(line.split_whitespace()))
    }
}

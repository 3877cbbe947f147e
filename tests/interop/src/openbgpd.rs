//! Debian's OpenBGPD in a namespace. Its `bgpctl` is another program than ours; both are called by their paths.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::command::run;
use crate::lab::Lab;
use crate::namespace::Namespace;
use crate::process::Process;
use crate::programs::installed;
use crate::wait::{PATIENCE, until};

/// A running OpenBGPD.
#[derive(Debug)]
pub struct Openbgpd {
    process: Process,
    namespace: String,
    socket: PathBuf,
}

impl Openbgpd {
    /// Starts it with a configuration and waits until its control program gets an answer.
    pub fn start(lab: &Lab, namespace: &Namespace, config: &str) -> Result<Self> {
        installed("/usr/sbin/bgpd", "openbgpd")?;
        // It drops to a user of its own inside this directory.
        fs::create_dir_all("/run/openbgpd")?;
        let socket = lab.dir().join("openbgpd.sock");
        let file = lab.dir().join("openbgpd.conf");
        let text = format!("socket \"{}\"\n{config}", socket.display());
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        let mut command = namespace.command("/usr/sbin/bgpd");
        command.args(["-d", "-v", "-f"]).arg(&file);
        let process = Process::start("openbgpd", &mut command, lab.dir())?;
        let mut daemon = Self { process, namespace: namespace.name().to_owned(), socket };
        until("OpenBGPD takes commands", PATIENCE, || {
            daemon.process.must_run()?;
            Ok(daemon.ask("show summary").is_ok())
        })?;
        Ok(daemon)
    }

    /// Runs one command of its control program.
    pub fn ask(&self, line: &str) -> Result<String> {
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "/usr/sbin/bgpctl", "-s"]).arg(&self.socket);
        run(command.args(line.split_whitespace()))
    }
}

impl Drop for Openbgpd {
    /// Its parent process ends its children when it is asked to end, not when it is killed.
    fn drop(&mut self) {
        if let Err(error) = self.process.terminate(PATIENCE) {
            eprintln!("OpenBGPD: {error:#}");
        }
    }
}

//! Debian's ExaBGP in a namespace: it announces what its configuration says, and writes what it hears to a file.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::lab::Lab;
use crate::namespace::Namespace;
use crate::process::Process;
use crate::programs::installed;

/// A running ExaBGP.
#[derive(Debug)]
pub struct Exabgp {
    process: Process,
    heard: PathBuf,
}

impl Exabgp {
    /// Starts it with the inside of its `neighbor` section.
    pub fn start(lab: &Lab, namespace: &Namespace, neighbor: &str) -> Result<Self> {
        installed("exabgp", "exabgp")?;
        let heard = lab.dir().join("exabgp-heard.json");
        let file = lab.dir().join("exabgp.conf");
        let text = format!(
            "process listener {{\n  run /bin/sh -c \"cat >> {}\";\n  encoder json;\n}}\n\
             neighbor {neighbor}",
            heard.display()
        );
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        let mut command = namespace.command("env");
        command.args(["exabgp.daemon.user=root", "exabgp.api.cli=false", "exabgp.log.all=false"]);
        command.arg("exabgp").arg(&file);
        let mut process = Process::start("exabgp", &mut command, lab.dir())?;
        process.must_run()?;
        Ok(Self { process, heard })
    }

    /// What it heard until now, one JSON object a line.
    pub fn heard(&mut self) -> Result<String> {
        self.process.must_run()?;
        Ok(fs::read_to_string(&self.heard).unwrap_or_default())
    }
}

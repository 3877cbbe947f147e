//! The configuration: from TOML text to values that cannot be wrong.
//!
//! Road in: [`load`] reads a file; `file` is what was typed, key by key with its place in the text; `check` makes
//! the values of [`model`] and collects every fault, not only the first. Road out: a [`Config`], or [`Faults`] that
//! print like a compiler's. [`diff`] says what a reload changes, as data; only such a diff touches a running daemon.
//!
//! This module opens no socket and reads no clock; apart from the file itself it reads only `password-file`s.

mod check;
pub mod diff;
pub mod fault;
mod file;
pub mod model;
mod report;
mod secret;
mod suggest;
mod view;

use std::path::Path;

use bgp_wire::Asn;
use zeroize::Zeroizing;

pub use fault::{Fault, Faults, Severity};
pub use model::{
    Bgp, Config, Control, GracefulRestart, GracefulRestartMode, Group, Kernel, LimitAction, Log, LogLevel,
    MaximumPrefix, Metrics, Mode, Neighbor, NexthopGroups, Password, Process, Readers, RemoteAsn, Restart,
    Sandbox, Session, Settings, Shutdown, Ttl,
};

use check::READABLE_BY_OTHERS;
use fault::Sink;

/// More than this is no configuration; it bounds what a wrong path can make us read.
const MAX_LEN: u64 = 16 << 20;

/// A configuration that may be used, and the warnings about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// What is probably not meant; never an error.
    pub warnings: Faults,
}

/// Reads and checks the file at `path`.
pub fn load(path: &Path) -> Result<Loaded, Faults> {
    load_for(path, None)
}

/// The same for a daemon that runs: what depends on whether a peer is external is as for the AS that it is in, whatever
/// the file says now.
pub fn load_beside(path: &Path, running: &Config) -> Result<Loaded, Faults> {
    load_for(path, Some(running.bgp.asn))
}

fn load_for(path: &Path, asn: Option<Asn>) -> Result<Loaded, Faults> {
    let shown = path.display().to_string();
    match read(path) {
        Ok((text, mode)) => load_text(&text, &shown, mode, asn),
        Err(error) => {
            let mut sink = Sink::default();
            sink.push(Fault::without_place(format!("{shown} cannot be read: {error}")));
            Err(Faults::new(&shown, "", sink))
        }
    }
}

/// The text, which may hold passwords and is cleared when it goes, and the file's mode.
fn read(path: &Path) -> std::io::Result<(Zeroizing<String>, u32)> {
    use std::io::Read as _;
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

    // A FIFO in its place would hold a running daemon up until somebody writes into it.
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    // All at once: a buffer that grows leaves copies behind.
    let room = usize::try_from(metadata.len().min(MAX_LEN)).unwrap_or(0);
    let mut octets = Vec::with_capacity(room + 1);
    file.take(MAX_LEN + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > MAX_LEN {
        return Err(std::io::Error::other("it has more than 16 MiB"));
    }
    let text = String::from_utf8(octets).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|octet| **octet == b'\n').count() + 1;
        std::io::Error::other(format!("line {line} is not UTF-8 text"))
    })?;
    Ok((Zeroizing::new(text), metadata.mode()))
}

/// Checks `text`; `path` is what reports call it, and relative `password-file`s begin at its directory.
pub fn load_str(text: &str, path: &str) -> Result<Loaded, Faults> {
    load_text(text, path, 0, None)
}

/// The same for a text from a file with these permissions, and for this AS.
fn load_text(text: &str, path: &str, mode: u32, asn: Option<Asn>) -> Result<Loaded, Faults> {
    let mut sink = Sink::default();
    let file = file::read(text, &mut sink);
    if let Some(span) = sink.secrets.first().filter(|_| mode & READABLE_BY_OTHERS != 0) {
        let title = "a password stands in a file that every user of this host can read";
        let remedy = format!("chmod 0640 {path}, with the daemon's group; or `password-file`");
        sink.push(Fault::warning(span.clone(), title).label("no secret").help(remedy));
    }
    let directory = Path::new(path).parent().unwrap_or(Path::new(""));
    let config = check::check(&file, directory, asn, &mut sink);
    let refused = sink.has_errors();
    let faults = Faults::new(path, text, sink);
    match config {
        Some(config) if !refused => Ok(Loaded { config, warnings: faults }),
        _ => Err(faults),
    }
}

#[cfg(test)]
mod tests;

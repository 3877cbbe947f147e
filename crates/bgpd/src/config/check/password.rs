//! TCP MD5 keys: from the file itself or from a file of their own.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::super::fault::{Fault, Sink};
use super::super::file::Peer;
use super::super::model::Password;

/// The password that one level (neighbour or group) gives, if it gives one.
pub(super) fn check(peer: &Peer, directory: &Path, sink: &mut Sink) -> Option<Password> {
    match (&peer.password, &peer.password_file) {
        (None, None) => None,
        (Some(typed), None) => match Password::new(typed.get_ref().0.as_bytes()) {
            Ok(password) => Some(password),
            Err(error) => {
                let fault = Fault::error(typed.span(), format!("`password`: {error}"));
                sink.push(fault.help("leave the key out to have no password"));
                None
            }
        },
        (None, Some(path)) => from_file(path, directory, sink),
        (Some(typed), Some(path)) => {
            let fault = Fault::error(path.span(), "`password` and `password-file` exclude each other");
            sink.push(fault.label("a second source").related(typed.span(), "the first"));
            None
        }
    }
}

fn from_file(typed: &Spanned<PathBuf>, directory: &Path, sink: &mut Sink) -> Option<Password> {
    let path = directory.join(typed.get_ref());
    let fault =
        |why: String| Fault::error(typed.span(), format!("`password-file`: {}: {why}", path.display()));
    let octets = match read(&path) {
        Ok(octets) => octets,
        Err(error) => {
            sink.push(fault(error.to_string()).label("cannot be read"));
            return None;
        }
    };
    let line = octets.strip_suffix(b"\n").unwrap_or(&octets);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let result = if line.contains(&b'\n') {
        Err(fault("has more than one line".to_owned()))
    } else {
        Password::new(line).map_err(|error| fault(error.to_string()))
    };
    result.map_err(|fault| sink.push(fault.label("holds no password"))).ok()
}

/// Reads a little more than a password may have: enough to see that it is too long, whatever the path names.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt as _;

    // A FIFO would make open() wait for its writer.
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("is not a regular file"));
    }
    let mut octets = Vec::new();
    file.take(4096).read_to_end(&mut octets)?;
    Ok(octets)
}

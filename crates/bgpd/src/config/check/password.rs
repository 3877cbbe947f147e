//! TCP MD5 keys: from the file itself or from a file of their own.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use toml::Spanned;
use zeroize::Zeroizing;

use super::super::fault::{Fault, Sink};
use super::super::file::Peer;
use super::super::model::Password;

/// Octets of a password file that are looked at.
const READ_AT_MOST: usize = 4096;
/// The bit of a file's mode that lets everybody read it.
pub(in crate::config) const READABLE_BY_OTHERS: u32 = 0o004;

/// The password that one level (neighbour or group) gives, if it gives one, and the file that it is from.
pub(super) fn check(peer: &Peer, directory: &Path, sink: &mut Sink) -> Option<(Password, Option<PathBuf>)> {
    match (&peer.password, &peer.password_file) {
        (None, None) => None,
        (Some(typed), None) => match Password::new(typed.get_ref().0.as_bytes()) {
            Ok(password) => Some((password, None)),
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

fn from_file(
    typed: &Spanned<PathBuf>,
    directory: &Path,
    sink: &mut Sink,
) -> Option<(Password, Option<PathBuf>)> {
    let path = directory.join(typed.get_ref());
    let fault =
        |why: String| Fault::error(typed.span(), format!("`password-file`: {}: {why}", path.display()));
    let (octets, mode) = match read(&path) {
        Ok(read) => read,
        Err(error) => {
            sink.push(fault(error.to_string()).label("cannot be read").help(
                "the daemon's user must be able to read it; a running daemon reads only the directories that held \
                 passwords at its start",
            ));
            return None;
        }
    };
    if mode & READABLE_BY_OTHERS != 0 {
        let title = format!("`password-file`: {} can be read by every user of this host", path.display());
        let remedy = format!("chmod 0640 {}, with the daemon's group", path.display());
        sink.push(Fault::warning(typed.span(), title).label("holds a password").help(remedy));
    }
    let line = octets.strip_suffix(b"\n").unwrap_or(&octets);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let result = if line.contains(&b'\n') {
        Err(fault("has more than one line".to_owned()))
    } else {
        Password::new(line).map_err(|error| fault(error.to_string()))
    };
    let password = result.map_err(|fault| sink.push(fault.label("holds no password"))).ok()?;
    Some((password, Some(path)))
}

/// Reads a little more than a password may have: enough to see that it is too long, whatever the path names. With the
/// file's mode.
fn read(path: &Path) -> std::io::Result<(Zeroizing<Vec<u8>>, u32)> {
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

    // A FIFO would make open() wait for its writer.
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("is not a regular file"));
    }
    // Read into its final place: a buffer that grows leaves copies behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(READ_AT_MOST + 1));
    file.take(READ_AT_MOST as u64).read_to_end(&mut octets)?;
    Ok((octets, metadata.mode()))
}

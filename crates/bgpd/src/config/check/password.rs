//! TCP MD5 keys: from the file itself or from a file of their own, and who is left without one.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bgp_wire::Prefix;
use toml::Spanned;
use zeroize::Zeroizing;

use super::super::fault::{Fault, Sink, Span};
use super::super::file::Peer;
use super::super::model::{Group, Mode, Neighbor, Password};
use super::peers::Ranges;

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

/// Peers without a password inside a listen range that has one: the kernel knows the range's key for them, and drops
/// what is not signed. A password with a fault is none here, so only a file without errors is looked at.
pub(super) fn unsigned<'a>(
    neighbors: impl Iterator<Item = (&'a Neighbor, &'a Span)>,
    groups: &BTreeMap<String, Group>,
    ranges: &Ranges,
    sink: &mut Sink,
) {
    if sink.has_errors() {
        return;
    }
    let has_password =
        |name: &String| groups.get(name).is_some_and(|group| group.settings.session.password.is_some());
    let (signed, plain): (Vec<_>, Vec<_>) = ranges.iter().partition(|(_, (name, _))| has_password(name));
    for (neighbor, place) in neighbors.filter(|(neighbor, _)| neighbor.settings.session.password.is_none()) {
        let around = signed.iter().find(|(range, _)| range.contains(neighbor.address));
        let fault = around.and_then(|(range, (_, range_place))| {
            let fault = unsigned_neighbor(neighbor, place, range)?;
            Some(fault.related(range_place.clone(), AROUND))
        });
        sink.faults.extend(fault);
    }
    for (range, (_, place)) in plain {
        let around = signed.iter().find(|(other, _)| other.covers(*range));
        if let Some((other, (_, other_place))) = around {
            let title = format!(
                "the listen range {range} has no password, and {other} around it has: the kernel drops every \
                 connection from there"
            );
            let fault = Fault::error(place.clone(), title).label("nobody can connect from there");
            let fault = fault.help("give its group a password as well, or let the ranges be apart");
            sink.push(fault.related(other_place.clone(), AROUND));
        }
    }
}

const AROUND: &str = "its password is for every address inside that has none of its own";

/// As long as we dial, the session can come up all the same.
fn unsigned_neighbor(neighbor: &Neighbor, place: &Span, range: &Prefix) -> Option<Fault> {
    let title = format!(
        "the neighbor {} has no password, and the listen range {range} around it has: the kernel drops its connections",
        neighbor.address
    );
    let fault = match neighbor.settings.session.mode {
        Mode::Passive => Fault::error(place.clone(), title).label("can never connect"),
        Mode::Both => Fault::warning(place.clone(), title).label("only we can connect"),
        Mode::Active => return None,
    };
    let help = "give it a password as well, the range's or its own, or take its address out of the range";
    Some(fault.help(help))
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

//! What can go wrong, what the operator is told, and the exit code that goes with it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bgp_api::{ErrorBody, ErrorCode, SOCKET_ENV};
use nix::unistd::{Gid, Group};

use crate::text::{clean_lines, count};

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The daemon said no.
    Daemon(ErrorBody),
    /// The question was fine and the answer is that there is none.
    NotFound(String),
    /// So many checks of the host are not as they should be.
    Unwell(usize),
    /// The node still carries flows when the time is over; how many, in words.
    Busy(String),
    /// The node is the last leg of routes; which, in words.
    LastLeg(String),
    /// Nobody answers at the socket.
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The daemon took the connection and then said nothing, or not to the end.
    Silent {
        /// The socket.
        socket: PathBuf,
        /// What happened.
        what: String,
    },
    /// The answer is not what this version of bgpctl understands.
    Malformed(String),
    /// Standard output, or a file that should be written.
    Output(io::Error),
}

impl Failure {
    /// The daemon did not answer in time.
    pub(crate) fn late(socket: &Path, timeout: Duration) -> Self {
        Self::Silent {
            socket: socket.to_owned(),
            what: format!("did not answer within {} s", timeout.as_secs_f64()),
        }
    }

    /// The exit code, as documented in the man page.
    fn code(&self) -> u8 {
        match self {
            Self::Daemon(body) if body.code == ErrorCode::NeighborUnknown => 4,
            Self::NotFound(_) => 4,
            Self::Busy(_) => 5,
            Self::LastLeg(_) => 6,
            Self::Daemon(_) | Self::Unwell(_) | Self::Malformed(_) | Self::Output(_) => 1,
            Self::Unreachable { .. } | Self::Silent { .. } => 3,
        }
    }

    /// What is wrong, and what would help.
    fn explain(&self) -> (String, Option<String>) {
        match self {
            Self::Daemon(body) => (body.message.clone(), body.hint.clone()),
            Self::NotFound(what) => (what.clone(), None),
            Self::Busy(what) => (
                what.clone(),
                Some(
                    "it stays drained: wait again, end its flows with --force, or take it back with --undo"
                        .to_owned(),
                ),
            ),
            Self::LastLeg(what) => (
                what.clone(),
                Some(
                    "it stays drained for other routes; --force removes these, --undo takes the drain back"
                        .to_owned(),
                ),
            ),
            Self::Unwell(wrong) => (
                format!("{} not as it should be", count(u64::try_from(*wrong).unwrap_or(u64::MAX), "check")),
                None,
            ),
            Self::Unreachable { socket, error } => unreachable_socket(socket, error),
            Self::Silent { socket, what } => (
                format!("the daemon at {} {what}", socket.display()),
                Some("journalctl -u bgpd-rs -n 50 shows what it is busy with".to_owned()),
            ),
            Self::Malformed(what) => (
                format!("cannot read the daemon's answer: {what}"),
                Some("bgpctl version shows whether both are of the same version".to_owned()),
            ),
            Self::Output(error) => (format!("cannot write: {error}"), None),
        }
    }

    /// Tells the operator and gives the exit code. A reader that has seen enough (`| head`) is no error.
    pub(crate) fn report(self) -> ExitCode {
        if let Self::Output(error) = &self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return ExitCode::SUCCESS;
        }
        let (message, hint) = self.explain();
        let mut text = format!("bgpctl: {}\n", clean_lines(&message));
        if let Some(hint) = hint {
            text.push_str(&format!("  hint: {}\n", clean_lines(&hint)));
        }
        // Without standard error there is still the exit code.
        io::Write::write_all(&mut io::stderr(), text.as_bytes()).unwrap_or_default();
        ExitCode::from(self.code())
    }
}

/// Each way in which a connect fails has its own remedy.
fn unreachable_socket(socket: &Path, error: &io::Error) -> (String, Option<String>) {
    let path = socket.display();
    match error.kind() {
        io::ErrorKind::NotFound => (
            format!("no control socket at {path}: bgpd-rs is not running, or its socket is elsewhere"),
            Some(format!("systemctl status bgpd-rs; or name the socket with --socket PATH or {SOCKET_ENV}")),
        ),
        io::ErrorKind::ConnectionRefused => (
            format!("nobody listens at {path}: bgpd-rs has ended without removing its socket"),
            Some("systemctl status bgpd-rs; journalctl -u bgpd-rs -n 50".to_owned()),
        ),
        io::ErrorKind::PermissionDenied => (
            format!("may not use {path}: permission denied"),
            Some(match group_of(socket) {
                Some(group) => format!(
                    "run it as root, or join the group {group} (`usermod -aG {group} USER`) and log in again"
                ),
                None => {
                    "run it as root; `group` under [control] would let the members of a group in".to_owned()
                }
            }),
        ),
        _ => (format!("cannot reach bgpd-rs at {path}: {error}"), None),
    }
}

/// The group that may use the socket; `None` where it is root's alone, or where one may not even look.
fn group_of(socket: &Path) -> Option<String> {
    let gid = Gid::from_raw(std::fs::metadata(socket).ok()?.gid());
    let by_name = || Some(Group::from_gid(gid).ok()??.name);
    Some(gid).filter(|gid| gid.as_raw() != 0)?;
    Some(by_name().unwrap_or_else(|| gid.to_string()))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

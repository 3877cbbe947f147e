//! `bgpd-rs --replace`: a process takes over from the running one without a service manager.
//!
//! The running one listens at a Unix socket beside its control socket. Whoever connects there and is root or the same user
//! gets the descriptors, and the end of the connection is the end of the old process: ports, netlink and the control
//! socket are free then.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::getuid;
use tokio::net::{UnixListener, UnixStream as TokioStream};
use tracing::{info, warn};

use super::descriptors::{self, memory};
use super::{Handed, store};
use crate::daemon::KERNEL_PATIENCE;
use crate::supervisor::REST_AT_MOST;

/// How long the old process may take to write everything down, a whole table on a busy machine.
const WRITING: Duration = Duration::from_secs(10);
/// How long it may take until its end: as long as all that it waits for on the way.
const PATIENCE: Duration =
    REST_AT_MOST.saturating_add(KERNEL_PATIENCE).saturating_add(store::PATIENCE).saturating_add(WRITING);
/// Only the owner, and root.
const MODE: u32 = 0o600;

/// Where the socket is.
pub(super) fn path(control: &Path) -> PathBuf {
    control.with_extension("handover")
}

/// Binds the socket; there is no other daemon, for the control socket is ours.
///
/// # Errors
/// This process may not write there.
pub(super) fn bind(control: &Path) -> anyhow::Result<UnixListener> {
    let path = path(control);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove the stale {}", path.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let listener =
        UnixListener::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(MODE))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    Ok(listener)
}

/// Waits for a process that may take over, and says which it is.
pub(super) async fn next(listener: &UnixListener) -> (UnixStream, i32) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match admit(stream) {
                Ok(process) => return process,
                Err(error) => warn!("a process that wants to take over is refused: {error:#}"),
            },
            Err(error) => {
                warn!(%error, "a connection to the hand-over socket could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn admit(stream: TokioStream) -> anyhow::Result<(UnixStream, i32)> {
    let who = stream.peer_cred().context("its user is not known")?;
    if who.uid() != 0 && who.uid() != getuid().as_raw() {
        bail!("it is of uid {}, and only root and our own user may", who.uid());
    }
    info!(pid = who.pid(), uid = who.uid(), "a process takes over");
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In another namespace of process ids it has none here, and nobody is 0.
    Ok((stream, who.pid().unwrap_or(0)))
}

/// Gives everything to the process at the other end.
///
/// # Errors
/// It is gone.
pub(super) fn give(stream: &UnixStream, handed: &Handed) -> io::Result<()> {
    descriptors::send(stream, &[memory(|file| handed.state.write(file))?])?;
    descriptors::send(stream, &handed.listeners)?;
    descriptors::send(stream, &handed.sessions)
}

/// Tells the process at the other end why it gets nothing.
pub(super) fn refuse(mut stream: &UnixStream, why: &str) {
    if let Err(error) = stream.write_all(why.as_bytes()) {
        warn!(%error, "the process that wanted to take over is gone");
    }
}

/// The process that listens at the control socket, if one does.
pub(super) fn running(control: &Path) -> Option<i32> {
    let stream = UnixStream::connect(control).ok()?;
    getsockopt(&stream, PeerCredentials).ok().map(|listener| listener.pid())
}

/// What the running process hands over; it has ended when this returns. Empty where none runs.
///
/// # Errors
/// It refuses, or takes too long.
pub(super) fn take(control: &Path) -> anyhow::Result<Vec<OwnedFd>> {
    let path = path(control);
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            info!(path = %path.display(), "nobody to take over from: starting as usual");
            return Ok(Vec::new());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot connect to {}", path.display())),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let (descriptors, octets) =
        descriptors::receive(&stream).context("the running bgpd-rs does not hand over")?;
    if descriptors.is_empty() {
        let why = String::from_utf8_lossy(&octets);
        bail!(
            "the running bgpd-rs does not hand over: {}",
            if why.is_empty() { "it says nothing" } else { &why }
        );
    }
    Ok(descriptors)
}

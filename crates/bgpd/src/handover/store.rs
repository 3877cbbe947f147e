//! The service manager's store of descriptors: systemd.service(5), `FileDescriptorStoreMax=`; sd_notify(3), `FDSTORE=1`.
//!
//! The store keeps what it is given while the unit is restarted and gives it to the next process as `LISTEN_FDS`. It keeps
//! its own copies then as well, and a connection with a copy somewhere does not end when we close it: so they are taken
//! out of the store before anything else is done.

use std::io::{self, Read};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use super::Handed;
use super::descriptors::memory;

const STATE: &str = "bgpd-state";
const LISTENING: &str = "bgpd-listen";
const SESSION: &str = "bgpd-session";
/// How long the service manager may take to read what it was sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a service manager listens. Whether it keeps descriptors, it does not say (before systemd 254).
pub(super) fn exists() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Gives everything to the store and waits until it is there.
///
/// # Errors
/// The service manager is not reached, or does not read.
pub(super) fn give(handed: &Handed) -> io::Result<()> {
    let state = memory(&handed.state.encode()?)?;
    put(STATE, &state)?;
    handed.listeners.iter().try_for_each(|listener| put(LISTENING, listener))?;
    handed.sessions.iter().try_for_each(|session| put(SESSION, session))?;
    barrier()
}

/// `FDPOLL=0`: a connection that breaks meanwhile is given back too, so that its end is seen and said.
fn put(name: &str, descriptor: &OwnedFd) -> io::Result<()> {
    let states = [NotifyState::FdStore, NotifyState::FdName(name), NotifyState::Custom("FDPOLL=0")];
    sd_notify::notify_with_fds(&states, &[descriptor.as_fd()])
}

/// Waits until everything that was sent before has been read: the service manager then closes what comes with this.
fn barrier() -> io::Result<()> {
    let (mut reader, writer) = io::pipe()?;
    sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[writer.as_fd()])?;
    drop(writer);
    let (done, waiting) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut nothing = [0];
        // Whoever waited may have lost its patience.
        done.send(reader.read(&mut nothing)).ok();
    });
    match waiting.recv_timeout(PATIENCE) {
        Ok(read) => read.map(|_| ()),
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the service manager does not read what it is sent"))
        }
    }
}

/// What the service manager has kept for us, taken out of its store; empty without one. Once a process only.
#[expect(unsafe_code, reason = "a service manager gives descriptors by number")]
pub(super) fn take() -> Vec<OwnedFd> {
    let numbers: Vec<_> = match sd_notify::listen_fds() {
        Ok(numbers) => numbers.collect(),
        Err(error) => {
            warn!(%error, "what the service manager has kept cannot be taken");
            return Vec::new();
        }
    };
    if numbers.is_empty() {
        return Vec::new();
    }
    for name in [STATE, LISTENING, SESSION] {
        if let Err(error) = sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]) {
            warn!(name, %error, "the service manager keeps a copy of our connections: they will not end when we close them");
        }
    }
    // SAFETY: LISTEN_PID names this process, so whoever started it has made these descriptors for it, sd_listen_fds(3).
    // This is called once, before anything else could have taken one of them.
    numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect()
}

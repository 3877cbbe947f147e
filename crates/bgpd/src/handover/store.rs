//! The service manager's store of descriptors: systemd.service(5), `FileDescriptorStoreMax=`; sd_notify(3), `FDSTORE=1`.
//!
//! The store keeps what it is given while the unit is restarted and gives it to the next process as `LISTEN_FDS`. It keeps
//! its own copies then as well, and a connection with a copy somewhere does not end when we close it: so they are taken
//! out of the store before anything else is done.

use std::io::{self, Read};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::Duration;

use sd_notify::NotifyState;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::Handed;
use super::descriptors::memory;

const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const STATE: &str = "bgpd-state";
const LISTENING: &str = "bgpd-listen";
const SESSION: &str = "bgpd-session";
/// How long the service manager may take to read what it was sent.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How a service manager is spoken to; a process that was not started by it learns it from the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// `NOTIFY_SOCKET`.
    pub socket: String,
    /// How long it waits for a sign of life; `None` where it does not wait for one.
    pub watchdog: Option<Duration>,
}

/// The service manager that this process is the service of.
pub(super) fn service() -> Option<Service> {
    let socket = std::env::var(NOTIFY_SOCKET).ok()?;
    Some(Service { socket, watchdog: sd_notify::watchdog_enabled() })
}

/// Makes this process the service of the manager that the process before had, unless it has one of its own.
#[expect(unsafe_code, reason = "a service manager is named by the environment, which threads share")]
pub(super) fn adopt(service: &Service) {
    if exists() {
        return;
    }
    // SAFETY: called before there is a second thread, see `main.rs`.
    unsafe {
        std::env::set_var(NOTIFY_SOCKET, &service.socket);
        if let Some(watchdog) = service.watchdog {
            std::env::set_var("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
    }
}

/// Has the service manager follow another process. It does so only for one in the service's control group.
///
/// # Errors
/// The service manager is not reached, or does not read.
pub(super) fn follow(pid: i32) -> io::Result<()> {
    if !exists() {
        return Ok(());
    }
    sd_notify::notify(&[NotifyState::MainPid(u32::try_from(pid).unwrap_or_default())])?;
    barrier()
}

/// Whether a service manager listens. Whether it keeps descriptors, it does not say (before systemd 254).
pub(super) fn exists() -> bool {
    std::env::var_os(NOTIFY_SOCKET).is_some()
}

/// Gives everything to the store and waits until it is there.
///
/// # Errors
/// The service manager is not reached, or does not read.
pub(super) fn give(handed: &Handed) -> io::Result<()> {
    let state = memory(|file| handed.state.write(file))?;
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

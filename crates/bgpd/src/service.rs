//! What the service manager is told: readiness, reload, stop, watchdog (sd_notify(3)).
//!
//! Without a service manager every call does nothing. The watchdog is fed only while the tasks that matter answer,
//! so that a stuck daemon is restarted and a busy one is not.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, warn};

/// Start-up is complete, or a reload: listeners and control socket are open. The kernel may still be read.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "the service manager cannot be told of the reload: no monotonic clock"),
    }
}

/// The daemon is about to stop and may take `longest`.
pub fn stopping(longest: Duration) {
    let micros = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
}

/// One line for `systemctl status`.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// Every core task has answered.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often [`alive`] is due: half of what the service manager waits; `None` where it does not watch.
pub fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "the service manager was not reached");
    }
}

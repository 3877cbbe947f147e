//! A reload that has to be confirmed: without the confirmation the former configuration comes back by itself.
//!
//! The time runs here and not in bgpctl, so that whoever has locked himself out is let in again. It does not outlive the
//! daemon: one that starts reads its file.

use std::time::{Duration, Instant};

use bgp_api::{ConfirmReply, ErrorCode, ErrorReply, EventKind};
use tracing::{info, warn};

use super::Supervisor;
use crate::config::Config;
use crate::service;

/// A configuration on trial.
#[derive(Debug)]
pub(super) struct Trial {
    /// What comes back.
    pub(super) former: Config,
    /// When.
    pub(super) until: Instant,
}

impl Trial {
    pub(super) fn begin(former: Config, patience: Duration) -> Self {
        Self { former, until: Instant::now() + patience }
    }

    fn left_seconds(&self) -> u64 {
        // Rounded up: zero is when it is over.
        self.until
            .saturating_duration_since(Instant::now())
            .as_millis()
            .div_ceil(1000)
            .try_into()
            .unwrap_or(u64::MAX)
    }
}

impl Supervisor {
    /// In how many seconds the former configuration comes back; `None` where nothing is on trial.
    pub(super) fn confirm_seconds(&self) -> Option<u64> {
        self.trial.as_ref().map(Trial::left_seconds)
    }

    /// How many seconds ago it came back; `None`: it has not, or something was loaded since.
    pub(super) fn rolled_back_seconds(&self) -> Option<u64> {
        self.rolled_back.map(|when| when.elapsed().as_secs())
    }

    /// Refuses a reload while another one is on trial: there is one former configuration to go back to.
    pub(super) fn refuse_on_trial(&self) -> Result<(), ErrorReply> {
        let Some(left) = self.confirm_seconds() else { return Ok(()) };
        let text = format!(
            "the last reload waits for its confirmation, {left} s are left; nothing was read and nothing was changed"
        );
        warn!("reload refused: {text}");
        Err(ErrorReply::new(ErrorCode::Conflict, text).with_hint(
            "`bgpctl confirm` keeps what was loaded; without it the former config comes back when the time is over",
        ))
    }

    /// The configuration on trial stays.
    pub(super) fn confirm(&mut self) -> Result<ConfirmReply, ErrorReply> {
        let path = self.config_path.display().to_string();
        let Some(trial) = self.trial.take() else {
            let text = match self.rolled_back {
                Some(when) => format!(
                    "too late: the former config came back {} s ago, and {path} was not loaded again since",
                    when.elapsed().as_secs()
                ),
                None => "no reload waits for a confirmation".to_owned(),
            };
            return Err(ErrorReply::new(ErrorCode::Conflict, text)
                .with_hint("`bgpctl reload --confirm TIME` begins one"));
        };
        let left_seconds = trial.left_seconds();
        info!(left_seconds, "the reload is confirmed; the configuration stays");
        Ok(ConfirmReply { path, left_seconds })
    }

    /// The time is over: back to the former configuration.
    pub(super) async fn roll_back(&mut self) {
        let Some(trial) = self.trial.take() else { return };
        let path = self.config_path.display().to_string();
        warn!(
            file = path,
            "the reload was not confirmed in time: back to the former configuration; the file still has the other one"
        );
        service::reloading();
        // The file is as it was read for the trial, and what it has left for a restart too.
        let pending = std::mem::take(&mut self.needs_restart);
        let reply = self.apply(trial.former).await;
        self.needs_restart = pending;
        self.rolled_back = Some(Instant::now());
        let undone = match reply.changes.as_slice() {
            [] => "nothing was to be undone".to_owned(),
            changes => changes.join("; "),
        };
        self.hub.publish(|| EventKind::ConfigReload {
            applied: true,
            message: format!("rolled back, nobody confirmed: {undone}"),
        });
        service::ready("rolled back, see the log");
    }
}

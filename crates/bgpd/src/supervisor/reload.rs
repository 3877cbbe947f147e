//! Reload: read the file again, and do what the difference says; or refuse it whole and stay as we were.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_api::{ErrorCode, ErrorReply, EventKind, ReloadPlan, ReloadReply};
use bgp_session::Command;
use tracing::{error, info, warn};

use super::Supervisor;
use super::fates::{Fate, changes, fates, needs_restart};
use super::place::Place;
use super::trial::Trial;
use crate::config::diff::{self, Diff, Effect};
use crate::config::{self, Config, Faults, Settings};
use crate::peer::ToPeer;
use crate::routing::{self, Proposal};
use crate::{host, log, service, session_config};

/// What the peer is told when its session is reset for a new configuration.
const CHANGED: &str = "configuration changed";

impl Supervisor {
    /// Reads the file and applies it; the outcome also goes to the log, the metrics and the service manager. With
    /// `patience` it is on trial for so long.
    pub(super) async fn reload(&mut self, patience: Option<Duration>) -> Result<ReloadReply, ErrorReply> {
        self.refuse_on_trial()?;
        service::reloading();
        let path = self.config_path.clone();
        let outcome = match config::load_beside(&path, &self.config) {
            Ok(loaded) => {
                for line in loaded.warnings.lines() {
                    warn!("{line}");
                }
                let former = patience.map(|patience| Trial::begin(self.config.clone(), patience));
                let reply = self.apply(loaded.config).await;
                (self.trial, self.rolled_back) = (former, None);
                if let Some(patience) = patience {
                    info!(
                        seconds = patience.as_secs(),
                        "the configuration is on trial until it is confirmed"
                    );
                }
                Ok(ReloadReply { confirm_seconds: self.confirm_seconds(), ..reply })
            }
            Err(faults) => {
                for line in faults.lines() {
                    error!("{line}");
                }
                error!(path = %path.display(), faults = faults.errors(), "reload refused; the running configuration stays as it was");
                self.last_reload_error = Some(said_to_everybody(&path, &faults));
                Err(ErrorReply::new(ErrorCode::ConfigInvalid, faults.render(false))
                    .with_hint("nothing was changed; put the file right and reload again"))
            }
        };
        self.hub.publish(|| EventKind::ConfigReload {
            applied: outcome.is_ok(),
            message: match &outcome {
                Ok(reply) if reply.changes.is_empty() => "nothing changed".to_owned(),
                Ok(reply) => reply.changes.join("; "),
                Err(_) => self.last_reload_error.clone().unwrap_or_default(),
            },
        });
        service::ready(if outcome.is_ok() { "reloaded" } else { "reload refused, see the log" });
        outcome
    }

    /// Reads the file and says what [`Supervisor::reload`] would do now; changes nothing.
    pub(super) fn plan(&self) -> Result<(ReloadPlan, Proposal), ErrorReply> {
        match config::load_beside(&self.config_path, &self.config) {
            Ok(loaded) => Ok(self.foretell(&loaded.config, &loaded.warnings)),
            Err(faults) => Err(ErrorReply::new(ErrorCode::ConfigInvalid, faults.render(false))
                .with_hint("a reload would be refused, and nothing would change")),
        }
    }

    /// Makes `new` the running configuration, but for what takes effect at a restart: that differs, and is reported, at each
    /// reload until then.
    pub(super) async fn apply(&mut self, new: Config) -> ReloadReply {
        let diff = Diff::between(&self.config, &new);
        let fates = fates(&self.peers, &new, &diff);
        let new = diff::in_force(&self.config, new);
        let old = std::mem::replace(&mut self.config, new);
        self.loaded = Instant::now();
        self.last_reload_error = None;

        self.apply_globals(&diff).await;
        let mut reset = Vec::new();
        for (address, fate) in fates {
            reset.extend(fate.resets().then_some(address));
            match fate {
                // What is configured otherwise now begins anew below, or when it connects.
                Fate::Remove | Fate::Leave | Fate::Adopt => {
                    self.remember_orders(address);
                    self.end_peer(address, Command::Deconfigure).await;
                }
                Fate::Change { change, place } => {
                    let Place { settings, group, interface, range } = place;
                    let Some(entry) = self.peers.get_mut(address) else { continue };
                    let moves = entry.range.is_some() != range.is_some();
                    (entry.group, entry.interface, entry.range) = (group, interface, range);
                    // Whoever is configured by address is dialled, too.
                    if moves || change.effect().is_some() {
                        self.change_settings(address, &settings, change.effect()).await;
                    }
                }
            }
        }
        for address in &diff.neighbors_added {
            if self.peers.get(*address).is_none()
                && let Some(neighbor) = self.config.neighbors.get(address).cloned()
            {
                self.start_neighbor(&neighbor);
            }
        }
        self.start_ordered();
        self.update_keys(&old);
        let changes = changes(&diff);
        for line in &changes {
            info!("reload: {line}");
        }
        self.needs_restart = needs_restart(&diff);
        info!(changes = changes.len(), reset = reset.len(), "configuration reloaded");
        ReloadReply {
            path: self.config_path.display().to_string(),
            changes,
            reset: reset.iter().map(IpAddr::to_string).collect(),
            needs_restart: self.needs_restart.clone(),
            confirm_seconds: None,
        }
    }

    async fn apply_globals(&mut self, diff: &Diff) {
        if !diff.networks_added.is_empty() || !diff.networks_removed.is_empty() {
            self.order(routing::Order::Networks(self.config.bgp.networks.clone())).await;
        }
        if diff.decision {
            self.order(routing::Order::Multipath {
                maximum_paths: self.config.bgp.maximum_paths.into(),
                relax: self.config.bgp.multipath_relax,
            })
            .await;
        }
        if !diff.kernel.is_empty() && self.config.kernel.set_multipath_hash_policy {
            host::set_multipath_hash_policy();
        }
        if let Some(level) = diff.log_level
            && let Err(error) = log::change(&level.to_string())
        {
            warn!(%error, "the log level stays as it was");
        }
    }

    /// Hands new settings to a peer; its session is reset only if the change says so.
    async fn change_settings(&mut self, address: IpAddr, settings: &Arc<Settings>, effect: Option<Effect>) {
        let Some(entry) = self.peers.get_mut(address) else { return };
        let (was_down, is_down) = (
            session_config::shutdown(&entry.settings).is_some(),
            session_config::shutdown(settings).is_some(),
        );
        let other_limit = entry.settings.maximum_prefix != settings.maximum_prefix;
        entry.settings = Arc::clone(settings);
        // Shutting down and starting again are part of the settings themselves.
        if was_down != is_down {
            (entry.shutdown, entry.orders.shutdown) = (is_down, None);
        }
        self.set_bfd(address);
        self.configure(address).await;
        if effect == Some(Effect::Reset) && was_down == is_down {
            self.tell(address, ToPeer::Command(Command::Reset(CHANGED.to_owned()))).await;
        }
        if other_limit {
            self.tell(address, ToPeer::Command(Command::LiftLimit)).await;
        }
    }

    /// Brings the TCP MD5 keys of the listening sockets in line: what is new or different is set, what is gone is removed.
    pub(super) fn update_keys(&self, old: &Config) {
        let (old, new) = (session_config::keys(old), session_config::keys(&self.config));
        for prefix in old.keys().filter(|prefix| !new.contains_key(*prefix)) {
            self.listeners.set_key(*prefix, None);
        }
        for (prefix, key) in new.iter().filter(|(prefix, key)| old.get(prefix) != Some(key)) {
            self.listeners.set_key(*prefix, Some(key));
        }
    }
}

/// What everybody hears of a file that was refused, also who may only look: nothing that stands in it.
fn said_to_everybody(path: &Path, faults: &Faults) -> String {
    let path = path.display();
    let (count, them) = match faults.errors() {
        1 => ("1 fault".to_owned(), "it"),
        n => (format!("{n} faults"), "them"),
    };
    format!("{count} in {path}; `bgpd-rs --check {path}` and the log name {them}")
}

//! What another configuration means for the peers that are there: what a reload does, and what its preview foretells.

use std::net::IpAddr;
use std::sync::Arc;

use bgp_api::ReloadPlan;

use super::Supervisor;
use super::peers::{Entry, Peers};
use super::place::Place;
use crate::config::diff::{Change, Diff, Effect};
use crate::config::{Config, Faults, Settings};
use crate::routing::Proposal;
use crate::session_config;

/// What becomes of one peer; one that stays as it is has none.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It is configured no longer.
    Remove,
    /// No listen range holds it any more, or another group's is the longer one: it may come back as what it is.
    Leave,
    /// A listen range let it in, and now it is configured by address otherwise: it begins anew.
    Adopt,
    /// It has other settings, or is configured by address instead of by a listen range, or the other way round.
    Change {
        /// What differs.
        change: Change,
        /// Where it stands then.
        place: Place,
    },
}

impl Fate {
    /// Whether a session ends, to be opened again.
    pub(super) fn resets(&self) -> bool {
        match self {
            Self::Remove => false,
            Self::Leave | Self::Adopt => true,
            Self::Change { change, .. } => change.effect() == Some(Effect::Reset),
        }
    }
}

/// The fate of every peer that does not simply stay, by address.
pub(super) fn fates(peers: &Peers, new: &Config, diff: &Diff) -> Vec<(IpAddr, Fate)> {
    peers.iter().filter_map(|(address, entry)| Some((address, fate(address, entry, new, diff)?))).collect()
}

fn fate(address: IpAddr, entry: &Entry, new: &Config, diff: &Diff) -> Option<Fate> {
    let was_named = entry.range.is_none();
    let Some(place) = Place::of(new, address) else {
        return Some(if was_named { Fate::Remove } else { Fate::Leave });
    };
    match (was_named, place.range.is_none()) {
        (true, true) => {
            let change = diff.neighbors_changed.get(&address)?.clone();
            Some(Fate::Change { change, place })
        }
        (false, false) if place.group == entry.group => {
            let change = diff.groups_changed.get(place.group.as_ref()?)?.peers.clone();
            change.effect()?;
            Some(Fate::Change { change, place })
        }
        (false, false) => Some(Fate::Leave),
        // Only its entry in the file has come or gone, where all that its session rests on is the same.
        (was_named, _) => {
            let change = Change::of_settings(&entry.settings, &place.settings);
            let stays = change.effect() != Some(Effect::Reset) && entry.interface == place.interface;
            Some(match (stays, was_named) {
                (true, _) => Fate::Change { change, place },
                (false, true) => Fate::Remove,
                (false, false) => Fate::Adopt,
            })
        }
    }
}

impl Supervisor {
    /// What a reload with `new` would do, as far as the peers are concerned, and what routing is to think about.
    pub(super) fn foretell(&self, new: &Config, warnings: &Faults) -> (ReloadPlan, Proposal) {
        let diff = Diff::between(&self.config, new);
        let fates = fates(&self.peers, new, &diff);
        let addresses = |which: fn(&Fate) -> bool| {
            let those = fates.iter().filter(|(_, fate)| which(fate));
            those.map(|(address, _)| address.to_string()).collect::<Vec<_>>()
        };
        let plan = ReloadPlan {
            path: self.config_path.display().to_string(),
            changes: changes(&diff),
            reset: addresses(Fate::resets),
            added: diff.neighbors_added.iter().map(IpAddr::to_string).collect(),
            removed: addresses(|fate| matches!(fate, Fate::Remove)),
            needs_restart: needs_restart(&diff),
            warnings: warnings.lines().map(|line| line.to_string()).collect(),
            confirm_seconds: self.confirm_seconds(),
            ..ReloadPlan::default()
        };
        let peers = fates.iter().filter_map(|(address, fate)| {
            let entry = self.peers.get(*address)?;
            let is_down = |settings: &Settings| session_config::shutdown(settings).is_some();
            let settings = match fate {
                Fate::Remove | Fate::Leave => None,
                Fate::Adopt => Some(Arc::new(new.neighbors.get(address)?.settings.clone())),
                Fate::Change { place, .. } => Some(Arc::clone(&place.settings)),
            };
            // Who is shut down does not come back by itself, and its routes neither.
            let settings = settings.filter(|settings| !is_down(settings) || is_down(&entry.settings));
            Some((entry.id, settings.map(|settings| self.in_force(&settings, &entry.orders))))
        });
        let proposal = Proposal {
            peers: peers.collect(),
            multipath: diff.decision.then(|| (new.bgp.maximum_paths.into(), new.bgp.multipath_relax)),
            networks_added: diff.networks_added.iter().copied().collect(),
            networks_removed: diff.networks_removed.iter().copied().collect(),
        };
        (plan, proposal)
    }
}

/// One sentence per change.
pub(super) fn changes(diff: &Diff) -> Vec<String> {
    diff.to_string().lines().map(str::to_owned).collect()
}

/// One sentence per change that has no effect yet.
pub(super) fn needs_restart(diff: &Diff) -> Vec<String> {
    let words = |key| format!("{key} takes effect when the daemon is restarted");
    diff.restart.iter().map(words).collect()
}

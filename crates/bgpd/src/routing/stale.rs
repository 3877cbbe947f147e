//! When the routes of a restarting peer go: RFC 4724 section 4.2.

use std::collections::BTreeMap;
use std::time::Instant;

use bgp_rib::PeerId;
use bgp_wire::Family;

/// One deadline per peer and family whose routes are stale.
#[derive(Debug, Default)]
pub(super) struct StaleTimers(BTreeMap<(PeerId, Family), Instant>);

impl StaleTimers {
    pub(super) fn start(&mut self, peer: PeerId, family: Family, until: Instant) {
        self.0.insert((peer, family), until);
    }

    pub(super) fn stop(&mut self, peer: PeerId, family: Family) {
        self.0.remove(&(peer, family));
    }

    pub(super) fn is_running(&self, peer: PeerId, family: Family) -> bool {
        self.0.contains_key(&(peer, family))
    }

    /// When the first routes of `peer` go.
    pub(super) fn of(&self, peer: PeerId) -> Option<Instant> {
        Family::ALL.iter().filter_map(|family| self.0.get(&(peer, *family))).min().copied()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// Takes out what is due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(PeerId, Family)> {
        let due: Vec<_> = self.0.iter().filter(|(_, until)| **until <= now).map(|(key, _)| *key).collect();
        for key in &due {
            self.0.remove(key);
        }
        due
    }
}

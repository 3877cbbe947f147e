//! When the routes of a restarting peer go: RFC 4724 section 4.2, RFC 8538 section 4.1.
//!
//! Until the peer is back it has its restart time; then it has until the stale time to announce its routes again.

use std::collections::BTreeMap;
use std::time::Instant;

use bgp_rib::PeerId;
use bgp_session::{Forwarding, PeerRestart};
use bgp_wire::Family;

/// Deadlines of one peer and family whose routes are stale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// For a new session: the restart time that the peer asked for, within the stale time.
    pub(super) restart: Instant,
    /// For its End-of-RIB: the stale time.
    pub(super) stale: Instant,
}

/// Why stale routes of a family go as soon as the peer is back, RFC 4724 section 4.2; `None` where they wait for End-of-RIB.
pub(super) fn lost(restart: Option<&PeerRestart>, family: Family) -> Option<&'static str> {
    match restart.and_then(|restart| restart.forwarding[family]) {
        Some(Forwarding::Preserved) => None,
        // "the Receiving Speaker MUST immediately remove all the stale routes".
        Some(Forwarding::Lost) => Some("the peer did not keep its forwarding state"),
        None => Some("the peer no longer restarts gracefully in this family"),
    }
}

/// The deadlines that run, and whether the peer is back.
#[derive(Debug, Default)]
pub(super) struct StaleTimers(BTreeMap<(PeerId, Family), (Deadlines, bool)>);

fn until((deadlines, back): &(Deadlines, bool)) -> Instant {
    if *back { deadlines.stale } else { deadlines.restart }
}

impl StaleTimers {
    pub(super) fn start(&mut self, peer: PeerId, family: Family, deadlines: Deadlines) {
        self.0.insert((peer, family), (deadlines, false));
    }

    /// The peer has a session again.
    pub(super) fn back(&mut self, peer: PeerId) {
        for family in Family::ALL {
            if let Some((_, back)) = self.0.get_mut(&(peer, family)) {
                *back = true;
            }
        }
    }

    pub(super) fn stop(&mut self, peer: PeerId, family: Family) {
        self.0.remove(&(peer, family));
    }

    pub(super) fn is_running(&self, peer: PeerId, family: Family) -> bool {
        self.0.contains_key(&(peer, family))
    }

    /// When the first routes of `peer` go.
    pub(super) fn of(&self, peer: PeerId) -> Option<Instant> {
        Family::ALL.iter().filter_map(|family| self.0.get(&(peer, *family))).map(until).min()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.values().map(until).min()
    }

    /// Takes out what is due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(PeerId, Family)> {
        let due: Vec<_> =
            self.0.iter().filter(|(_, entry)| until(entry) <= now).map(|(key, _)| *key).collect();
        for key in &due {
            self.0.remove(key);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bgp_wire::PerFamily;

    use super::*;

    #[test]
    fn what_the_peer_did_not_keep_goes_when_it_is_back() {
        let forwarding = PerFamily { ipv4: Some(Forwarding::Lost), ipv6: Some(Forwarding::Preserved) };
        let restart_time = Duration::from_secs(120);
        let kept = PeerRestart { restarted: true, notification: true, restart_time, forwarding };
        let one = PeerRestart { forwarding: PerFamily { ipv4: None, ..forwarding }, ..kept };
        let gone = |restart: Option<&PeerRestart>| Family::ALL.map(|family| lost(restart, family).is_some());
        assert_eq!(gone(Some(&kept)), [true, false], "F is not set for IPv4");
        assert_eq!(gone(Some(&one)), [true, false], "IPv4 is not in the capability");
        assert_eq!(gone(None), [true, true], "no capability at all");
    }

    #[test]
    fn a_peer_that_is_back_in_time_may_take_its_time_with_its_routes() {
        let (peer, other, family) = (PeerId(1), PeerId(2), Family::Ipv6Unicast);
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut timers = StaleTimers::default();
        for id in [peer, other] {
            timers.start(id, family, Deadlines { restart: after(120), stale: after(300) });
        }
        assert_eq!((timers.next_deadline(), timers.of(peer)), (Some(after(120)), Some(after(120))));
        timers.back(peer);
        assert_eq!(timers.of(peer), Some(after(300)));
        assert_eq!(timers.due(after(120)), [(other, family)]);
        assert_eq!(timers.due(after(299)), []);
        assert_eq!(timers.due(after(300)), [(peer, family)]);
        assert!(!timers.is_running(peer, family) && timers.next_deadline().is_none());
    }
}

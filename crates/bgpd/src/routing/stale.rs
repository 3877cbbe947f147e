//! When the routes of a restarting peer go: RFC 4724 section 4.2, RFC 8538 section 4.1, RFC 9494 section 4.2.
//!
//! Until the peer is back it has its restart time, and after that, where both sides want it, the long-lived stale time with
//! its routes as the last choice. Once back it has until the stale time to announce them again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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
    /// For how long its routes stay after `restart`, RFC 9494; zero where they do not.
    pub(super) long_lived: Duration,
    /// The last of all: of several restarts before one End-of-RIB the first one sets it, RFC 8538 section 4.1.
    pub(super) at_last: Instant,
}

/// Why stale routes of a family go as soon as the peer is back, RFC 4724 section 4.2; `None` where they wait for End-of-RIB.
///
/// Of routes that are long-lived stale the long-lived capability says it.
pub(super) fn lost(
    restart: Option<&PeerRestart>,
    family: Family,
    is_long_lived: bool,
) -> Option<&'static str> {
    let forwarding = |restart: &PeerRestart| match is_long_lived {
        true => restart.long_lived[family].map(|long| long.forwarding),
        false => restart.forwarding[family],
    };
    match restart.and_then(forwarding) {
        Some(Forwarding::Preserved) => None,
        // "the Receiving Speaker MUST immediately remove all the stale routes".
        Some(Forwarding::Lost) => Some("the peer did not keep its forwarding state"),
        None => Some("the peer no longer restarts gracefully in this family"),
    }
}

/// Where a restart stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The peer is away, within its restart time.
    Away,
    /// It is away for longer; until then its routes are the last choice.
    LongAway(Instant),
    /// It has a session again, and was away for long.
    Back(bool),
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The routes go.
    Sweep,
    /// The routes become the last choice.
    LongLived,
}

/// The deadlines that run, and where each restart stands.
#[derive(Debug, Default)]
pub(super) struct StaleTimers(BTreeMap<(PeerId, Family), (Deadlines, Phase)>);

fn until((deadlines, phase): &(Deadlines, Phase)) -> Instant {
    let next = match phase {
        Phase::Away => deadlines.restart,
        Phase::LongAway(until) => *until,
        Phase::Back(_) => deadlines.stale,
    };
    next.min(deadlines.at_last)
}

impl StaleTimers {
    pub(super) fn start(&mut self, peer: PeerId, family: Family, deadlines: Deadlines) {
        self.0.insert((peer, family), (deadlines, Phase::Away));
    }

    /// The peer has a session again: it has `stale_time` from now, or what was left of the stale time.
    pub(super) fn back(&mut self, peer: PeerId, stale_time: Duration, now: Instant) {
        for family in Family::ALL {
            if let Some((deadlines, phase)) = self.0.get_mut(&(peer, family)) {
                let was_long = matches!(phase, Phase::LongAway(_) | Phase::Back(true));
                if was_long {
                    deadlines.stale = now + stale_time;
                }
                *phase = Phase::Back(was_long);
            }
        }
    }

    pub(super) fn stop(&mut self, peer: PeerId, family: Family) {
        self.0.remove(&(peer, family));
    }

    /// When the stale routes of a family go at last, whatever comes; `None` where there are none.
    pub(super) fn at_last(&self, peer: PeerId, family: Family) -> Option<Instant> {
        self.0.get(&(peer, family)).map(|(deadlines, _)| deadlines.at_last)
    }

    pub(super) fn is_running(&self, peer: PeerId, family: Family) -> bool {
        self.0.contains_key(&(peer, family))
    }

    /// Whether the routes are the last choice.
    pub(super) fn is_long_lived(&self, peer: PeerId, family: Family) -> bool {
        let entry = self.0.get(&(peer, family));
        matches!(entry, Some((_, Phase::LongAway(_) | Phase::Back(true))))
    }

    /// When the first routes of `peer` go.
    pub(super) fn of(&self, peer: PeerId) -> Option<Instant> {
        let gone = |entry: &(Deadlines, Phase)| match entry {
            (deadlines, Phase::Away) => (deadlines.restart + deadlines.long_lived).min(deadlines.at_last),
            (_, Phase::LongAway(_) | Phase::Back(_)) => until(entry),
        };
        Family::ALL.iter().filter_map(|family| self.0.get(&(peer, *family))).map(gone).min()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.values().map(until).min()
    }

    /// What is due; what goes is taken out.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(PeerId, Family, Due)> {
        let mut due = Vec::new();
        self.0.retain(|(peer, family), entry| {
            if until(entry) > now {
                return true;
            }
            let (deadlines, phase) = entry;
            let over = deadlines.at_last <= now;
            let becomes_long = *phase == Phase::Away && !deadlines.long_lived.is_zero() && !over;
            due.push((*peer, *family, if becomes_long { Due::LongLived } else { Due::Sweep }));
            if becomes_long {
                *phase = Phase::LongAway(deadlines.restart + deadlines.long_lived);
            }
            becomes_long
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use bgp_session::LongLived;
    use bgp_wire::PerFamily;

    use super::*;

    #[test]
    fn what_the_peer_did_not_keep_goes_when_it_is_back() {
        let forwarding = PerFamily { ipv4: Some(Forwarding::Lost), ipv6: Some(Forwarding::Preserved) };
        let restart_time = Duration::from_secs(120);
        let long = LongLived { forwarding: Forwarding::Preserved, stale_time: restart_time };
        let kept = PeerRestart {
            restarted: true,
            notification: true,
            restart_time,
            forwarding,
            long_lived: PerFamily { ipv4: Some(long), ipv6: None },
            takes_long_lived: true,
        };
        let one = PeerRestart { forwarding: PerFamily { ipv4: None, ..forwarding }, ..kept };
        let gone =
            |restart: Option<&PeerRestart>| Family::ALL.map(|family| lost(restart, family, false).is_some());
        assert_eq!(gone(Some(&kept)), [true, false], "F is not set for IPv4");
        assert_eq!(gone(Some(&one)), [true, false], "IPv4 is not in the capability");
        assert_eq!(gone(None), [true, true], "no capability at all");
        let without = PeerRestart { notification: false, ..kept };
        assert_eq!(gone(Some(&without)), [true, false], "a clear N bit takes nothing: RFC 8538 section 4.1");
        let long = Family::ALL.map(|family| lost(Some(&kept), family, true).is_some());
        assert_eq!(long, [false, true], "of long-lived stale routes the long-lived capability says it");
    }

    #[test]
    fn a_peer_that_is_back_in_time_may_take_its_time_with_its_routes() {
        let (peer, other, family) = (PeerId(1), PeerId(2), Family::Ipv6Unicast);
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut timers = StaleTimers::default();
        for id in [peer, other] {
            timers.start(
                id,
                family,
                Deadlines {
                    restart: after(120),
                    stale: after(300),
                    long_lived: Duration::ZERO,
                    at_last: after(300),
                },
            );
        }
        assert_eq!((timers.next_deadline(), timers.of(peer)), (Some(after(120)), Some(after(120))));
        timers.back(peer, Duration::from_secs(300), after(5));
        assert_eq!(timers.of(peer), Some(after(300)));
        assert_eq!(timers.due(after(120)), [(other, family, Due::Sweep)]);
        assert_eq!(timers.due(after(299)), []);
        assert_eq!(timers.due(after(300)), [(peer, family, Due::Sweep)]);
        assert!(!timers.is_running(peer, family) && timers.next_deadline().is_none());
    }

    #[test]
    fn a_peer_that_stays_away_is_the_last_choice_for_its_long_lived_time() {
        let (peer, family) = (PeerId(1), Family::Ipv6Unicast);
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let deadlines = Deadlines {
            restart: after(120),
            stale: after(300),
            long_lived: Duration::from_secs(3600),
            at_last: after(4020),
        };
        let mut timers = StaleTimers::default();
        timers.start(peer, family, deadlines);
        assert_eq!(timers.of(peer), Some(after(3720)), "when they go");
        assert_eq!(timers.next_deadline(), Some(after(120)));
        assert_eq!(timers.due(after(120)), [(peer, family, Due::LongLived)]);
        assert!(timers.is_long_lived(peer, family));
        assert_eq!(timers.due(after(3719)), []);
        // It is back late and has the whole stale time for its routes.
        timers.back(peer, Duration::from_secs(300), after(1000));
        assert_eq!(timers.of(peer), Some(after(1300)));
        timers.start(peer, family, deadlines);
        timers.due(after(120));
        assert_eq!(timers.due(after(3720)), [(peer, family, Due::Sweep)]);
    }

    /// RFC 8538 section 4.1: the stale timer is not set anew by a restart before the End-of-RIB.
    #[test]
    fn a_peer_that_restarts_again_and_again_does_not_keep_its_routes_for_ever() {
        let (peer, family) = (PeerId(1), Family::Ipv6Unicast);
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut timers = StaleTimers::default();
        let mut at_last = None;
        for lost in [0, 100, 200, 290] {
            let deadlines = Deadlines {
                restart: after(lost + 120),
                stale: after(lost + 300),
                long_lived: Duration::ZERO,
                at_last: at_last.unwrap_or(after(lost + 300)),
            };
            timers.start(peer, family, deadlines);
            timers.back(peer, Duration::from_secs(300), after(lost + 5));
            assert_eq!(timers.of(peer), Some(after(300)), "lost after {lost} s");
            at_last = timers.at_last(peer, family);
            assert_eq!(timers.due(after(lost + 9)), []);
        }
        assert_eq!(timers.due(after(300)), [(peer, family, Due::Sweep)]);
    }
}

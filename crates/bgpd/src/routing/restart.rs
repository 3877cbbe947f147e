//! Our own restart, RFC 4724 section 4.1: what the kernel still forwards stays as it is until the peers have said
//! everything again; then routes are selected, and what nobody announced goes, in one step.
//!
//! Without leftovers in the kernel nobody is waited for. Pure: facts and the time are handed in.
//!
//! Ours: the RFC waits for End-of-RIB of peers that restart gracefully and have not restarted themselves. Others are waited
//! for as well, until their first KEEPALIVE after the session came up (it follows what they had to announce): a route that
//! went from three next hops to the one of the first peer that is back would lose flows for nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp_fib::{Leftovers, Via};
use bgp_rib::PeerId;
use bgp_session::{OwnRestart, PeerRestart};
use bgp_wire::{Family, PerFamily};

/// See the module.
#[derive(Debug)]
pub(super) struct Restart {
    started: Instant,
    /// The deferral timer: nobody is waited for any longer.
    until: Instant,
    phase: Phase,
    peers: BTreeMap<PeerId, Known>,
    /// Sessions of the process before whose routes have not come yet; `None` as long as it is not known which of them go on.
    /// Until then nothing ends: what the kernel has may all be theirs.
    coming: Option<usize>,
    /// Those were all that there were: nobody else is waited for.
    complete: bool,
}

#[derive(Debug)]
enum Phase {
    /// What an earlier run left is not known yet.
    Reading,
    /// The kernel forwards by these.
    Deferring(Leftovers),
    /// Everything has been said: routes are selected, then what is left over goes.
    Selecting,
    /// The table is ours.
    Over,
}

/// How long the routes of sessions that go on may take. They are read from memory, but on a busy machine that takes a while,
/// and without them peers would be told the wrong thing.
const ROUTES_AT_MOST: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Known {
    address: IpAddr,
    wait: Wait,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Session,
    /// End-of-RIB of these families.
    EndOfRib(PerFamily<bool>),
    /// The first KEEPALIVE, or End-of-RIB where it comes earlier.
    Keepalive(PerFamily<bool>),
    Nothing,
}

/// What the kernel side knows about a gateway of leftover routes.
pub(super) trait Gateways {
    /// A next hop that has been announced leads to it, or it is at one of these addresses.
    fn is_known(&self, gateway: &Via, peers: &[IpAddr]) -> bool;
    /// It cannot be there any more.
    fn is_gone(&self, gateway: &Via) -> bool;
    /// Announced next hops have been looked up.
    fn have_resolved(&self) -> bool;
}

/// Why the selection begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) after: Duration,
    /// Who had not said everything when the time was over; empty where everybody had.
    pub(super) missing: String,
}

impl Restart {
    /// With `takes_over` the process before has left a state, and [`Restart::take_over`] comes.
    pub(super) fn new(now: Instant, deferral: Duration, takes_over: bool) -> Self {
        Self {
            started: now,
            until: now + deferral,
            phase: Phase::Reading,
            peers: BTreeMap::new(),
            coming: (!takes_over).then_some(0),
            complete: false,
        }
    }

    /// Nothing is selected, announced or put into the kernel yet.
    pub(super) fn defers(&self) -> bool {
        matches!(self.phase, Phase::Reading | Phase::Deferring(_))
    }

    pub(super) fn is_reading(&self) -> bool {
        matches!(self.phase, Phase::Reading)
    }

    pub(super) fn is_selecting(&self) -> bool {
        matches!(self.phase, Phase::Selecting)
    }

    /// What is selected has been handed on.
    pub(super) fn finish(&mut self) {
        self.phase = Phase::Over;
        self.peers.clear();
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        (self.defers() && self.coming.is_some()).then_some(self.until)
    }

    /// The kernel's table has been read. Returns what our OPENs say from now on.
    pub(super) fn has_read(&mut self, found: Leftovers) -> OwnRestart {
        let preserved = PerFamily::from_fn(|family| found.routes[family] > 0);
        let restarted = preserved.ipv4 || preserved.ipv6;
        self.phase = Phase::Deferring(found);
        self.defer_for_a_reason();
        OwnRestart { restarted, preserved }
    }

    /// Nobody is waited for where the kernel has nothing of ours and no session goes on.
    fn defer_for_a_reason(&mut self) {
        if let Phase::Deferring(found) = &self.phase
            && found.routes == PerFamily::default()
            && self.coming == Some(0)
        {
            self.phase = Phase::Selecting;
        }
    }

    /// So many sessions go on from the process before; where they are all that there were, theirs are the routes in the
    /// kernel, and nobody else is waited for.
    pub(super) fn take_over(&mut self, sessions: usize, complete: bool, now: Instant) {
        (self.coming, self.complete) = (Some(sessions), complete);
        if sessions > 0 {
            self.until = self.until.max(now + ROUTES_AT_MOST);
        }
        self.defer_for_a_reason();
    }

    /// The routes of a session that goes on are here; where the peer has not `spoken`, it still may have more to say.
    pub(super) fn restored(&mut self, id: PeerId, spoken: bool) {
        self.has_come();
        if spoken {
            self.set(id, Wait::Nothing);
        }
    }

    /// What the kernel has may be of peers that are still to come. It is not where all sessions of the process before went on
    /// and have brought their routes, though nothing is selected yet.
    pub(super) fn has_orphans(&self) -> bool {
        self.defers() && !(self.complete && self.coming == Some(0))
    }

    /// The routes of a session that was to go on cannot be read: it begins anew, and others may have to be waited for.
    pub(super) fn unreadable(&mut self) {
        self.has_come();
        self.complete = false;
    }

    fn has_come(&mut self) {
        self.coming = self.coming.map(|coming| coming.saturating_sub(1));
    }

    /// There is a peer; one that is kept down is not waited for.
    pub(super) fn knows(&mut self, id: PeerId, address: IpAddr, enabled: bool) {
        if !self.defers() {
            return;
        }
        if enabled {
            self.peers.entry(id).or_insert(Known { address, wait: Wait::Session });
        } else {
            self.peers.remove(&id);
        }
    }

    /// Its session is up in these families.
    pub(super) fn up(&mut self, id: PeerId, families: PerFamily<bool>, restart: Option<&PeerRestart>) {
        // A peer that has restarted as well may be waiting for us: its End-of-RIB may never come.
        let wait = match restart {
            Some(restart) if !restart.restarted => Wait::EndOfRib(families),
            Some(_) | None => Wait::Keepalive(families),
        };
        self.set(id, wait);
    }

    pub(super) fn end_of_rib(&mut self, id: PeerId, family: Family) {
        let Some(known) = self.peers.get_mut(&id) else { return };
        if let Wait::EndOfRib(families) | Wait::Keepalive(families) = &mut known.wait {
            families[family] = false;
            if !families.ipv4 && !families.ipv6 {
                known.wait = Wait::Nothing;
            }
        }
    }

    pub(super) fn first_keepalive(&mut self, id: PeerId) {
        if let Some(known) = self.peers.get_mut(&id)
            && matches!(known.wait, Wait::Keepalive(_))
        {
            known.wait = Wait::Nothing;
        }
    }

    /// The session has ended; who had said everything is not waited for again.
    pub(super) fn down(&mut self, id: PeerId) {
        if let Some(known) = self.peers.get_mut(&id)
            && known.wait != Wait::Nothing
        {
            known.wait = Wait::Session;
        }
    }

    pub(super) fn removed(&mut self, id: PeerId) {
        self.peers.remove(&id);
    }

    fn set(&mut self, id: PeerId, wait: Wait) {
        if let Some(known) = self.peers.get_mut(&id) {
            known.wait = wait;
        }
    }

    /// Ends the deferral where everybody has said everything, or time is over.
    pub(super) fn advance(&mut self, gateways: &impl Gateways, now: Instant) -> Option<Ended> {
        let coming = self.coming.filter(|_| self.defers())?;
        let late = self.until <= now;
        let missing = if self.complete { String::new() } else { self.missing(gateways) };
        if !late && (self.is_reading() || coming > 0 || !missing.is_empty() || !gateways.have_resolved()) {
            return None;
        }
        self.phase = Phase::Selecting;
        Some(Ended { after: now.saturating_duration_since(self.started), missing })
    }

    /// Who is waited for, in words; empty for nobody.
    pub(super) fn missing(&self, gateways: &impl Gateways) -> String {
        let mut missing = Vec::new();
        let mut say = |who: IpAddr, what: &str| missing.push(format!("{who} ({what})"));
        for known in self.peers.values() {
            match known.wait {
                Wait::Session => say(known.address, "no session"),
                Wait::EndOfRib(_) => say(known.address, "no End-of-RIB"),
                Wait::Keepalive(_) => say(known.address, "no KEEPALIVE after its UPDATEs"),
                Wait::Nothing => {}
            }
        }
        let Phase::Deferring(found) = &self.phase else { return missing.join(", ") };
        let here: Vec<IpAddr> = self
            .peers
            .values()
            .filter(|known| known.wait != Wait::Session)
            .map(|known| known.address)
            .collect();
        for gateway in &found.gateways {
            if !gateways.is_known(gateway, &here) && !gateways.is_gone(gateway) {
                say(gateway.gateway, "a next hop in the kernel that no peer has named");
            }
        }
        missing.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bgp_session::Forwarding;

    use super::*;

    const V6: PerFamily<bool> = PerFamily { ipv4: false, ipv6: true };
    const DEFERRAL: Duration = Duration::from_secs(45);

    #[derive(Default)]
    struct Facts {
        known: BTreeSet<IpAddr>,
        gone: BTreeSet<IpAddr>,
        searching: bool,
    }

    impl Gateways for Facts {
        fn is_known(&self, gateway: &Via, peers: &[IpAddr]) -> bool {
            self.known.contains(&gateway.gateway) || peers.contains(&gateway.gateway)
        }

        fn is_gone(&self, gateway: &Via) -> bool {
            self.gone.contains(&gateway.gateway)
        }

        fn have_resolved(&self) -> bool {
            !self.searching
        }
    }

    fn node(n: u8) -> IpAddr {
        IpAddr::from([172, 50, 0, n])
    }

    fn peer(restarted: bool) -> PeerRestart {
        let forwarding = PerFamily { ipv4: None, ipv6: Some(Forwarding::Preserved) };
        PeerRestart {
            restarted,
            notification: true,
            restart_time: Duration::from_secs(120),
            forwarding,
            long_lived: PerFamily::default(),
            takes_long_lived: false,
        }
    }

    fn left_by(nodes: &[u8]) -> Leftovers {
        let gateways = nodes.iter().map(|n| Via { gateway: node(*n), ifindex: 7 }).collect();
        Leftovers { routes: PerFamily { ipv4: 0, ipv6: 1 }, gateways }
    }

    #[test]
    fn a_start_without_leftovers_waits_for_nobody_and_says_so() {
        let mut restart = Restart::new(Instant::now(), DEFERRAL, false);
        assert!(restart.defers(), "nothing is known of the kernel yet");
        let own = restart.has_read(Leftovers::default());
        assert_eq!(own, OwnRestart { restarted: false, preserved: PerFamily::default() });
        assert!(!restart.defers() && restart.is_selecting());
    }

    #[test]
    fn leftovers_stay_until_every_node_has_said_everything() {
        let now = Instant::now();
        let mut restart = Restart::new(now, DEFERRAL, false);
        let mut facts = Facts::default();
        let own = restart.has_read(left_by(&[2, 3, 4]));
        assert_eq!(own, OwnRestart { restarted: true, preserved: V6 }, "F only for what is forwarded");
        // Peers of a listen range are known by their gateways only, until they connect.
        assert_eq!(restart.advance(&facts, now), None);
        for n in [2, 3, 4] {
            restart.knows(PeerId(n.into()), node(n), true);
            restart.up(PeerId(n.into()), V6, (n != 4).then_some(&peer(false)));
        }
        restart.first_keepalive(PeerId(2));
        restart.end_of_rib(PeerId(3), Family::Ipv6Unicast);
        assert_eq!(
            restart.missing(&facts),
            "172.50.0.2 (no End-of-RIB), 172.50.0.4 (no KEEPALIVE after its UPDATEs)"
        );
        restart.end_of_rib(PeerId(2), Family::Ipv6Unicast);
        assert_eq!(restart.advance(&facts, now), None);
        restart.first_keepalive(PeerId(4));
        facts.searching = true;
        assert_eq!(restart.advance(&facts, now), None, "a next hop is being looked for");
        facts.searching = false;
        let ended = restart.advance(&facts, now + Duration::from_secs(3)).unwrap();
        assert_eq!(ended, Ended { after: Duration::from_secs(3), missing: String::new() });
        assert!(restart.is_selecting());
        restart.finish();
        assert!(!restart.is_selecting() && restart.next_deadline().is_none());
    }

    #[test]
    fn routes_of_the_process_before_are_waited_for_and_nobody_else() {
        let now = Instant::now();
        let facts = Facts::default();
        let mut restart = Restart::new(now, Duration::ZERO, true);
        assert!(!restart.has_read(Leftovers::default()).restarted);
        restart.take_over(2, true, now);
        assert!(restart.defers(), "whatever the kernel has");
        for n in [2, 3, 4] {
            restart.knows(PeerId(n.into()), node(n), true);
        }
        for n in [2_u8, 3] {
            assert_eq!(restart.advance(&facts, now), None);
            restart.up(PeerId(n.into()), V6, Some(&peer(false)));
            restart.restored(PeerId(n.into()), true);
        }
        let ended = restart.advance(&facts, now).unwrap();
        assert_eq!(ended.missing, "", "node 4 had no session before");

        let mut restart = Restart::new(now, DEFERRAL, true);
        restart.take_over(1, false, now);
        restart.has_read(left_by(&[2, 3]));
        restart.knows(PeerId(2), node(2), true);
        restart.up(PeerId(2), V6, None);
        restart.restored(PeerId(2), false);
        assert_eq!(
            restart.advance(&facts, now),
            None,
            "one of two sessions began anew, the other one is young"
        );
        assert!(
            restart.missing(&facts).starts_with("172.50.0.2 (no KEEPALIVE"),
            "{}",
            restart.missing(&facts)
        );
        restart.first_keepalive(PeerId(2));
        assert!(restart.missing(&facts).starts_with("172.50.0.3"));
    }

    #[test]
    fn nothing_ends_before_it_is_known_which_sessions_go_on() {
        let now = Instant::now();
        let facts = Facts::default();
        for reads_first in [true, false] {
            let mut restart = Restart::new(now, Duration::ZERO, true);
            assert_eq!((restart.advance(&facts, now), restart.next_deadline()), (None, None));
            if reads_first {
                restart.has_read(left_by(&[2]));
            }
            assert_eq!(restart.advance(&facts, now + DEFERRAL), None, "startup-grace is over");
            assert!(restart.defers() && restart.has_orphans());
            restart.take_over(1, true, now + DEFERRAL);
            if !reads_first {
                restart.has_read(left_by(&[2]));
            }
            assert_eq!(restart.advance(&facts, now + DEFERRAL), None, "its routes are read");
            assert_eq!(restart.next_deadline(), Some(now + DEFERRAL + ROUTES_AT_MOST));
            restart.restored(PeerId(2), true);
            assert!(restart.advance(&facts, now + DEFERRAL).is_some());
        }
    }

    #[test]
    fn a_state_without_sessions_is_a_start_like_any_other() {
        let now = Instant::now();
        for reads_first in [true, false] {
            let mut restart = Restart::new(now, DEFERRAL, true);
            restart.knows(PeerId(2), node(2), true);
            if reads_first {
                restart.has_read(Leftovers::default());
            }
            restart.take_over(0, false, now);
            if !reads_first {
                restart.has_read(Leftovers::default());
            }
            assert!(restart.is_selecting(), "nobody is waited for where the kernel has nothing of ours");
        }
    }

    #[test]
    fn a_process_that_goes_on_at_once_waits_for_nobody_either() {
        let now = Instant::now();
        let mut restart = Restart::new(now, DEFERRAL, true);
        restart.take_over(2, true, now);
        restart.has_read(left_by(&[2, 3]));
        for (n, has_orphans) in [(2_u8, true), (3, false)] {
            restart.knows(PeerId(n.into()), node(n), true);
            restart.up(PeerId(n.into()), V6, Some(&peer(false)));
            // They sent nothing since their sessions came up.
            restart.restored(PeerId(n.into()), false);
            assert_eq!(restart.has_orphans(), has_orphans);
        }
        assert!(restart.defers(), "nothing has been selected, and yet all is known for the next process");

        let mut restart = Restart::new(now, DEFERRAL, true);
        restart.take_over(1, false, now);
        restart.has_read(left_by(&[2, 3]));
        restart.restored(PeerId(2), true);
        assert!(restart.has_orphans(), "one of two sessions began anew");
        restart.advance(&Facts::default(), now + DEFERRAL + ROUTES_AT_MOST);
        assert!(!restart.has_orphans(), "and is waited for no longer");
    }

    #[test]
    fn who_cannot_go_on_after_all_is_waited_for() {
        let now = Instant::now();
        let mut restart = Restart::new(now, DEFERRAL, true);
        restart.take_over(2, true, now);
        restart.has_read(left_by(&[2, 3]));
        for n in [2_u8, 3] {
            restart.knows(PeerId(n.into()), node(n), true);
            restart.up(PeerId(n.into()), V6, None);
        }
        restart.restored(PeerId(2), true);
        restart.unreadable();
        restart.down(PeerId(3));
        assert_eq!(restart.advance(&Facts::default(), now), None);
        assert_eq!(
            restart.missing(&Facts::default()).split(',').next(),
            Some("172.50.0.3 (no session)"),
            "its routes in the kernel stay until it is back"
        );
    }

    #[test]
    fn the_timer_is_the_upper_bound_and_names_who_was_missing() {
        let now = Instant::now();
        let mut restart = Restart::new(now, DEFERRAL, false);
        restart.has_read(left_by(&[2]));
        restart.knows(PeerId(2), node(2), true);
        restart.knows(PeerId(9), node(9), false);
        assert_eq!(restart.next_deadline(), Some(now + DEFERRAL));
        let ended = restart.advance(&Facts::default(), now + DEFERRAL).unwrap();
        assert!(ended.missing.starts_with("172.50.0.2 (no session)"), "{}", ended.missing);
        assert!(!ended.missing.contains("172.50.0.9"), "it is shut down: {}", ended.missing);
    }

    #[test]
    fn a_node_that_is_gone_for_sure_is_not_waited_for() {
        let now = Instant::now();
        let mut restart = Restart::new(now, DEFERRAL, false);
        let mut facts = Facts::default();
        restart.has_read(left_by(&[2, 3]));
        restart.knows(PeerId(2), node(2), true);
        restart.up(PeerId(2), V6, None);
        restart.first_keepalive(PeerId(2));
        assert_eq!(restart.advance(&facts, now), None, "node 3 may come back");
        facts.gone.insert(node(3));
        assert!(restart.advance(&facts, now).is_some());
    }

    #[test]
    fn two_that_restarted_do_not_wait_for_each_other() {
        let now = Instant::now();
        let mut restart = Restart::new(now, DEFERRAL, false);
        restart.has_read(left_by(&[2]));
        restart.knows(PeerId(2), node(2), true);
        restart.up(PeerId(2), V6, Some(&peer(true)));
        restart.first_keepalive(PeerId(2));
        assert!(restart.advance(&Facts::default(), now).is_some());
    }

    #[test]
    fn a_session_that_ends_before_it_has_said_everything_is_waited_for_again() {
        let now = Instant::now();
        let mut restart = Restart::new(now, DEFERRAL, false);
        restart.has_read(left_by(&[2]));
        restart.knows(PeerId(2), node(2), true);
        restart.up(PeerId(2), V6, None);
        restart.down(PeerId(2));
        restart.first_keepalive(PeerId(2));
        assert!(restart.missing(&Facts::default()).contains("no session"));
        restart.up(PeerId(2), V6, None);
        restart.first_keepalive(PeerId(2));
        restart.down(PeerId(2));
        assert_eq!(
            restart.advance(&Facts { known: [node(2)].into(), ..Facts::default() }, now).map(|e| e.missing),
            Some(String::new())
        );
    }
}

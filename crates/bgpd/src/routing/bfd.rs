//! What BFD says of the way to a peer, and what that means for its session and its paths: RFC 5882 sections 3.2, 4.2, 4.3.
//!
//! A way that has failed is out of use at once, whatever the number of routes, and the session ends. One case wants a
//! second look: the BFD of the peer shares the fate of its control plane (its C bit is clear) and its paths would be kept for
//! a graceful restart. Then the node is asked for a sign of life, and only where none comes within [`ANSWER_WITHIN`] its
//! forwarding counts as gone. `docs/decisions/0010-bfd.md` has the reasons.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp_rib::PeerId;
use bgp_session::Command;
use bgp_wire::Family;
use tracing::{debug, info, warn};

use super::Routing;
use crate::bfd::{News, Path};

/// How long a node may take to answer. On a link it takes a fraction of a millisecond; the Detection Time before it was
/// longer by far.
const ANSWER_WITHIN: Duration = Duration::from_millis(50);

/// What is known of the ways to peers.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// Those that are out of use.
    cut: BTreeMap<PeerId, Cut>,
    /// Those that have failed and whose node was asked.
    doubts: BTreeMap<PeerId, Doubt>,
}

#[derive(Debug)]
struct Cut {
    /// Address and link as they were when it failed.
    address: IpAddr,
    link: u32,
    /// Nobody watches it any more, and stale paths are kept: it stays cut until they go or the node answers.
    unwatched: bool,
}

#[derive(Clone, Debug)]
struct Doubt {
    why: String,
    address: IpAddr,
    link: u32,
    /// When it counts as gone; none where it does already, and an answer would bring it back.
    until: Option<Instant>,
}

impl Ways {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.doubts.values().filter_map(|doubt| doubt.until).min()
    }
}

impl Routing {
    pub(super) fn on_bfd(&mut self, news: News, now: Instant) {
        let News { peer, path } = news;
        let Some(id) = self.peers.iter().find(|(_, entry)| entry.address == peer).map(|(id, _)| *id) else {
            return;
        };
        match path {
            Path::Open => self.mend_way(id),
            Path::Unknown => self.on_way_unwatched(id),
            Path::Failed { why, independent } => self.on_way_failed(id, &why, independent, now),
        }
    }

    /// Nobody says any more that the way is cut. Nobody has heard of the node since either, so that stale paths, which wait for
    /// a session or an answer, stay out of use.
    fn on_way_unwatched(&mut self, id: PeerId) {
        match self.ways.cut.get_mut(&id) {
            Some(cut) if self.stale.of(id).is_some() => cut.unwatched = true,
            Some(_) | None => self.mend_way(id),
        }
    }

    fn on_way_failed(&mut self, id: PeerId, why: &str, independent: bool, now: Instant) {
        let Some(entry) = self.peers.get(&id) else { return };
        let (address, is_up, is_stale) = (entry.address, entry.chunks.is_some(), self.stale.of(id).is_some());
        if !is_up && !is_stale {
            debug!(peer = %address, why, "BFD failed and there is no session");
            return;
        }
        let may_stay = !independent && (is_stale || entry.outlives);
        match self.evidence.node(id).map(|node| node.link).filter(|_| may_stay) {
            Some(link) => {
                self.fib.ask(address, link);
                let until = Some(now + ANSWER_WITHIN);
                self.ways.doubts.insert(id, Doubt { why: why.to_owned(), address, link, until });
            }
            None => self.way_lost(id, why, independent, now),
        }
    }

    /// Looks at the nodes that were asked.
    pub(super) fn judge_ways(&mut self, now: Instant) {
        if self.ways.doubts.is_empty() {
            return;
        }
        let mut answered = Vec::new();
        let mut silent = Vec::new();
        for (id, doubt) in &mut self.ways.doubts {
            if self.fib.has_answered(doubt.address, doubt.link) {
                answered.push((*id, doubt.clone()));
            } else if doubt.until.is_some_and(|until| until <= now) {
                doubt.until = None;
                silent.push((*id, doubt.why.clone()));
            }
        }
        for (id, doubt) in answered {
            self.node_answers(id, &doubt, now);
        }
        for (id, why) in silent {
            self.way_lost(id, &format!("{why}, and the node does not answer"), false, now);
        }
    }

    /// BFD has failed and the node is there: whatever speaks with us is at fault, and forwarding goes on without it.
    fn node_answers(&mut self, id: PeerId, doubt: &Doubt, now: Instant) {
        self.mend_way(id);
        let Some(entry) = self.peers.get(&id) else { return };
        let why = &doubt.why;
        info!(peer = %entry.address, why, "BFD failed and the node answers: its paths stay");
        let decision = if entry.chunks.is_some() {
            self.command(id, Command::BfdDown { why: format!("{why}; the node answers"), forwards: true });
            format!("BFD: {why}; the node answers: its session was ended, its paths stay")
        } else {
            format!("BFD: {why}; the node answers: its agent is gone, its paths stay")
        };
        self.evidence.decide(id, decision, now);
    }

    /// Nothing arrives there any more.
    fn way_lost(&mut self, id: PeerId, why: &str, independent: bool, now: Instant) {
        let Some(entry) = self.peers.get(&id) else { return };
        let (address, is_up) = (entry.address, entry.chunks.is_some());
        if let Some(link) = self.evidence.node(id).map(|node| node.link) {
            self.fib.cut(address, link, &format!("BFD: {why}"));
            self.ways.cut.insert(id, Cut { address, link, unwatched: false });
        }
        let decision = if is_up {
            warn!(peer = %address, why, "BFD failed: paths are out of use, the session ends");
            self.command(id, Command::BfdDown { why: why.to_owned(), forwards: false });
            "its session was ended and its paths removed"
        } else if independent {
            warn!(peer = %address, why, "BFD failed: what was kept for a restart goes");
            Family::ALL.iter().for_each(|family| self.sweep_stale(id, *family, "BFD failed"));
            "its stale paths were removed before their time"
        } else {
            warn!(peer = %address, why, "BFD failed: stale paths are out of use until the node answers");
            "its stale paths are out of use until it answers"
        };
        self.evidence.decide(id, format!("BFD: {why}: {decision}"), now);
    }

    /// The way to the peer is open again, or nobody says any more that it is not.
    pub(super) fn mend_way(&mut self, id: PeerId) {
        if let Some(doubt) = self.ways.doubts.remove(&id) {
            self.fib.mend(doubt.address, doubt.link);
        }
        if let Some(Cut { address, link, .. }) = self.ways.cut.remove(&id) {
            self.fib.mend(address, link);
        }
    }

    /// The paths of the peer are gone, for which a way was out of use that nobody watches.
    pub(super) fn mend_unwatched(&mut self, id: PeerId) {
        if self.ways.cut.get(&id).is_some_and(|cut| cut.unwatched) {
            self.mend_way(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use bgp_session::RouteRetention;

    use super::super::tests::{NODE, World, address};
    use super::*;

    /// BFD of the peer has failed and its node does not answer; its paths are stale.
    fn cut() -> World {
        let mut world = World::with_peer_away();
        let (now, path) = (Instant::now(), Path::Failed { why: "silence".to_owned(), independent: false });
        world.routing.on_bfd(News { peer: address(), path }, now);
        world.routing.judge_ways(now + ANSWER_WITHIN);
        assert!(world.routing.ways.cut.contains_key(&NODE));
        world
    }

    fn forget(world: &mut World) {
        world.routing.on_bfd(News { peer: address(), path: Path::Unknown }, Instant::now());
    }

    #[tokio::test]
    async fn stale_paths_of_a_silent_node_stay_out_of_use_when_nobody_watches_it() {
        let mut world = cut();
        forget(&mut world);
        assert!(world.routing.ways.cut.contains_key(&NODE), "nobody has heard of it");
        assert_eq!(world.routes().2, 1);
        world.down(RouteRetention::Remove);
        assert!(world.routing.ways.cut.is_empty(), "others may announce its next hop");
    }

    #[tokio::test]
    async fn a_node_that_nobody_watches_is_back_with_its_session() {
        let mut world = cut();
        forget(&mut world);
        world.up(7);
        assert!(world.routing.ways.cut.is_empty());
    }

    #[tokio::test]
    async fn without_stale_paths_a_way_that_nobody_watches_is_open() {
        let mut world = cut();
        world.down(RouteRetention::Remove);
        assert!(world.routing.ways.cut.contains_key(&NODE), "BFD still says so");
        forget(&mut world);
        assert!(world.routing.ways.cut.is_empty());
    }
}

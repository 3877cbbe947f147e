//! What this host sees of its nodes, and what that means for their sessions: local evidence decides.
//!
//! A node whose bridge port or link is gone, or that does not answer, forwards nothing, whatever graceful restart says.
//! Its paths are out of use at once, for their next hops are (`bgp_fib`). Its session, or what is kept of one, ends when
//! the node stays away for [`RESET_AFTER`]: one that is back before has lost nothing but that time. A node whose agent is
//! gone while the link is there goes on forwarding: its paths stay. Pure: facts and the time are handed in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp_fib::Presence;
use bgp_rib::PeerId;

/// How long a node may be out of sight before its session ends: a port that flaps, a container that is moved.
pub(super) const RESET_AFTER: Duration = Duration::from_secs(3);

/// The nodes of peers on a link.
#[derive(Debug, Default)]
pub(super) struct Evidence(BTreeMap<PeerId, Node>);

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) address: IpAddr,
    /// Interface index of the link on which it was reached.
    pub(super) link: u32,
    sight: Sight,
    /// Its session is lost and its paths stay, but the node had not been seen then: to be said as soon as it is.
    agent_lost: bool,
    /// The last decision, and when it was made.
    pub(super) decided: Option<(String, Instant)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sight {
    /// It may be there; how it is reached, where that is known.
    Here(Option<String>),
    /// Out of sight since, and why.
    Lost(Instant, String),
    /// It was out of sight for too long.
    Gone(Instant, String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its paths are out of use; nothing else yet.
    OutOfSight(String),
    /// Its session ends and its paths go.
    Gone(String),
    /// Its agent is gone, and now the node is seen, this way.
    OnlyAgentGone(String),
    /// It is there again; whether its session had ended.
    Back {
        /// It was out of sight for so long.
        after: Duration,
        /// Its session had ended for it.
        had_gone: bool,
    },
}

impl Evidence {
    /// A session came up over this link: the node is there. Returns it as it was known before.
    pub(super) fn place(&mut self, peer: PeerId, address: IpAddr, link: u32) -> Option<Node> {
        let before = self.0.remove(&peer);
        let decided = before.as_ref().and_then(|node| node.decided.clone());
        self.0.insert(peer, Node { address, link, sight: Sight::Here(None), agent_lost: false, decided });
        before
    }

    pub(super) fn remove(&mut self, peer: PeerId) -> Option<Node> {
        self.0.remove(&peer)
    }

    pub(super) fn node(&self, peer: PeerId) -> Option<&Node> {
        self.0.get(&peer)
    }

    /// The node's session is lost, and its paths stay as long as it is there. How it is seen; where that is not known yet, a
    /// later look says it.
    pub(super) fn agent_gone(&mut self, peer: PeerId) -> Option<&str> {
        let node = self.0.get_mut(&peer)?;
        node.agent_lost = matches!(node.sight, Sight::Here(None));
        node.is_seen()
    }

    /// Looks at every node, as `presence` sees it.
    pub(super) fn look(
        &mut self,
        presence: impl Fn(IpAddr, u32) -> Presence,
        now: Instant,
    ) -> Vec<(PeerId, Verdict)> {
        let mut verdicts = Vec::new();
        for (peer, node) in &mut self.0 {
            if let Some(verdict) = node.observe(presence(node.address, node.link), now) {
                verdicts.push((*peer, verdict));
            }
        }
        verdicts
    }

    /// Nodes that have been out of sight for too long.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(PeerId, Verdict)> {
        let mut verdicts = Vec::new();
        for (peer, node) in &mut self.0 {
            if let Sight::Lost(since, why) = &node.sight
                && *since + RESET_AFTER <= now
            {
                let why = why.clone();
                node.sight = Sight::Gone(*since, why.clone());
                verdicts.push((*peer, Verdict::Gone(why)));
            }
        }
        verdicts
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let lost = self.0.values().filter_map(|node| match &node.sight {
            Sight::Lost(since, _) => Some(*since + RESET_AFTER),
            Sight::Here(_) | Sight::Gone(..) => None,
        });
        lost.min()
    }

    /// Keeps what was decided about a node, for the operator.
    pub(super) fn decide(&mut self, peer: PeerId, words: String, now: Instant) {
        if let Some(node) = self.0.get_mut(&peer) {
            node.decided = Some((words, now));
        }
    }
}

impl Node {
    fn observe(&mut self, presence: Presence, now: Instant) -> Option<Verdict> {
        match (presence, &mut self.sight) {
            // Nothing new: who was out of sight is back only when it is seen.
            (Presence::Unknown, _) => None,
            (Presence::Here(how), Sight::Here(known)) => {
                *known = Some(how.clone());
                std::mem::take(&mut self.agent_lost).then_some(Verdict::OnlyAgentGone(how))
            }
            (Presence::Here(how), Sight::Lost(since, _) | Sight::Gone(since, _)) => {
                let after = now.saturating_duration_since(*since);
                let had_gone = matches!(self.sight, Sight::Gone(..));
                self.sight = Sight::Here(Some(how));
                Some(Verdict::Back { after, had_gone })
            }
            (Presence::Gone(why), Sight::Here(_)) => {
                self.agent_lost = false;
                self.sight = Sight::Lost(now, why.clone());
                Some(Verdict::OutOfSight(why))
            }
            (Presence::Gone(why), Sight::Lost(_, known) | Sight::Gone(_, known)) => {
                *known = why;
                None
            }
        }
    }

    /// Whether the node is seen, and how: what a decision about its agent rests on.
    pub(super) fn is_seen(&self) -> Option<&str> {
        match &self.sight {
            Sight::Here(how) => how.as_deref(),
            Sight::Lost(..) | Sight::Gone(..) => None,
        }
    }

    /// How it stands, in words.
    pub(super) fn words(&self, now: Instant) -> String {
        let since = |at: Instant| now.saturating_duration_since(at).as_secs();
        let sight = match &self.sight {
            Sight::Here(Some(how)) => format!("node is there, {how}"),
            Sight::Here(None) => "node is there".to_owned(),
            Sight::Lost(at, why) => format!("node is out of sight for {} s: {why}", since(*at)),
            Sight::Gone(at, why) => format!("node is gone for {} s: {why}", since(*at)),
        };
        match &self.decided {
            Some((decision, at)) => format!("{sight}; {} s ago: {decision}", since(*at)),
            None => sight,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PeerId = PeerId(1);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn placed() -> (Evidence, Instant) {
        let mut evidence = Evidence::default();
        evidence.place(PEER, IpAddr::from([172, 50, 0, 2]), 7);
        (evidence, Instant::now())
    }

    fn look(evidence: &mut Evidence, presence: &Presence, now: Instant) -> Option<Verdict> {
        evidence.look(|_, _| presence.clone(), now).pop().map(|(_, verdict)| verdict)
    }

    fn down() -> Presence {
        Presence::Gone("veth2 is down".to_owned())
    }

    fn here() -> Presence {
        Presence::Here("on br0, port veth2".to_owned())
    }

    #[test]
    fn a_node_that_stays_away_is_gone_and_said_once() {
        let (mut evidence, now) = placed();
        assert_eq!(look(&mut evidence, &here(), now), None);
        let first = look(&mut evidence, &down(), now);
        assert_eq!(first, Some(Verdict::OutOfSight("veth2 is down".to_owned())));
        assert_eq!(look(&mut evidence, &down(), now + seconds(1)), None, "said already");
        assert_eq!(evidence.next_deadline(), Some(now + RESET_AFTER));
        assert_eq!(evidence.due(now + seconds(2)), []);
        let gone = evidence.due(now + RESET_AFTER);
        assert_eq!(gone, [(PEER, Verdict::Gone("veth2 is down".to_owned()))]);
        assert_eq!((evidence.due(now + seconds(60)), evidence.next_deadline()), (vec![], None));
        let back = look(&mut evidence, &here(), now + seconds(60));
        assert_eq!(back, Some(Verdict::Back { after: seconds(60), had_gone: true }));
    }

    #[test]
    fn one_that_is_back_in_time_keeps_its_session() {
        let (mut evidence, now) = placed();
        look(&mut evidence, &down(), now);
        let back = look(&mut evidence, &here(), now + seconds(2));
        assert_eq!(back, Some(Verdict::Back { after: seconds(2), had_gone: false }));
        assert_eq!(evidence.due(now + seconds(60)), []);
    }

    #[test]
    fn an_agent_that_is_lost_before_its_node_was_seen_is_told_of_when_it_is() {
        let (mut evidence, now) = placed();
        assert_eq!(evidence.agent_gone(PEER), None);
        assert_eq!(look(&mut evidence, &Presence::Unknown, now), None);
        let how = "on br0, port veth2".to_owned();
        assert_eq!(look(&mut evidence, &here(), now), Some(Verdict::OnlyAgentGone(how.clone())));
        assert_eq!(look(&mut evidence, &here(), now), None, "once");
        assert_eq!(evidence.agent_gone(PEER), Some(how.as_str()), "it is known by now");
        assert_eq!(look(&mut evidence, &here(), now), None);
    }

    #[test]
    fn no_news_is_no_evidence() {
        let (mut evidence, now) = placed();
        assert_eq!(look(&mut evidence, &Presence::Unknown, now), None);
        look(&mut evidence, &down(), now);
        assert_eq!(look(&mut evidence, &Presence::Unknown, now + seconds(1)), None, "not seen again");
        assert_eq!(evidence.due(now + RESET_AFTER).len(), 1);
    }

    #[test]
    fn the_operator_reads_what_is_seen_and_what_was_decided() {
        let (mut evidence, now) = placed();
        look(&mut evidence, &here(), now);
        evidence.decide(PEER, "its agent is gone, its paths stay".to_owned(), now);
        let words = evidence.node(PEER).unwrap().words(now + seconds(5));
        assert_eq!(words, "node is there, on br0, port veth2; 5 s ago: its agent is gone, its paths stay");
        assert_eq!(evidence.node(PEER).unwrap().is_seen(), Some("on br0, port veth2"));
        look(&mut evidence, &down(), now + seconds(6));
        assert_eq!(evidence.node(PEER).unwrap().is_seen(), None);
    }
}

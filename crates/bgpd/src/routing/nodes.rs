//! What follows from the evidence about nodes: sessions end, stale paths go, and it is said.

use std::net::IpAddr;
use std::time::Instant;

use bgp_rib::PeerId;
use bgp_session::Command;
use bgp_wire::Family;
use tracing::{info, warn};

use super::Routing;
use super::evidence::{RESET_AFTER, Verdict};
use crate::peer::ToPeer;

impl Routing {
    /// A session came up over this link; the one before may have been over another.
    pub(super) fn take_link(&mut self, id: PeerId, address: IpAddr, link: u32) {
        if let Some(before) = self.evidence.place(id, address, link) {
            self.fib.unwatch_peer(before.address, before.link);
        }
        self.fib.watch_peer(address, link, Instant::now());
        // What is known of it already is evidence as well.
        self.looked_at = None;
    }

    /// The peer is on no link, or no more.
    pub(super) fn leave_link(&mut self, id: PeerId) {
        if let Some(node) = self.evidence.remove(id) {
            self.fib.unwatch_peer(node.address, node.link);
        }
    }

    /// Looks at the nodes where something may have changed, and at the time.
    pub(super) fn judge_nodes(&mut self, now: Instant) {
        // A session that goes on may be here before the kernel has told of its interface.
        if self.restart.is_reading() {
            return;
        }
        let epoch = self.fib.presence_epoch();
        let mut verdicts = Vec::new();
        if self.looked_at != Some(epoch) {
            self.looked_at = Some(epoch);
            let fib = &self.fib;
            verdicts = self.evidence.look(|address, link| fib.presence(address, link), now);
        }
        verdicts.extend(self.evidence.due(now));
        for (peer, verdict) in verdicts {
            self.on_verdict(peer, verdict, now);
        }
    }

    fn on_verdict(&mut self, id: PeerId, verdict: Verdict, now: Instant) {
        let Some(entry) = self.peers.get(&id) else { return };
        let (address, is_up) = (entry.address, entry.chunks.is_some());
        let is_stale = self.stale.of(id).is_some();
        let decision = match verdict {
            Verdict::OutOfSight(why) => {
                let wait = RESET_AFTER.as_secs();
                warn!(peer = %address, why, "the node is out of sight: its paths are out of use, its session ends in {wait} s");
                format!("{why}: its paths are out of use")
            }
            Verdict::Gone(why) if is_up => {
                warn!(peer = %address, why, "the node is gone: its session ends");
                self.command(id, Command::NodeGone(why.clone()));
                format!("{why}: its session was ended and its paths removed")
            }
            Verdict::Gone(why) if is_stale => {
                warn!(peer = %address, why, "the node is gone: what was kept for its restart goes");
                Family::ALL.iter().for_each(|family| self.sweep_stale(id, *family, "the node is gone"));
                format!("{why}: its stale paths were removed before their time")
            }
            Verdict::Gone(why) => format!("{why}: there was no session"),
            Verdict::OnlyAgentGone(how) if is_stale && !is_up => return self.say_agent_gone(id, &how, now),
            Verdict::OnlyAgentGone(_) => return,
            Verdict::Back { after, had_gone } => {
                let what = if had_gone { "it is welcome to a new session" } else { "its session was kept" };
                info!(peer = %address, after = format!("{:.1} s", after.as_secs_f32()), "the node is back in sight: {what}");
                format!("back in sight after {:.1} s: {what}", after.as_secs_f32())
            }
        };
        self.evidence.decide(id, decision, now);
    }

    /// The session is lost and its paths are to stay: whether this host can see that the node goes on forwarding.
    pub(super) fn agent_gone(&mut self, id: PeerId, now: Instant) {
        if let Some(how) = self.evidence.agent_gone(id).map(str::to_owned) {
            self.say_agent_gone(id, &how, now);
        }
    }

    fn say_agent_gone(&mut self, id: PeerId, how: &str, now: Instant) {
        let Some(entry) = self.peers.get(&id) else { return };
        info!(peer = %entry.address, how, "the agent is gone and the node is there: its paths stay");
        self.evidence.decide(id, "its agent is gone, its paths stay".to_owned(), now);
    }

    pub(super) fn command(&self, id: PeerId, command: Command) {
        let Some(entry) = self.peers.get(&id) else { return };
        let inbox = entry.handle.inbox.clone();
        // The peer task may be waiting for room here: routing never waits for it.
        tokio::spawn(async move { drop(inbox.send(ToPeer::Command(command)).await) });
    }
}

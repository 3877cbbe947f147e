//! After every turn: next hops are looked up, prefixes decided, the kernel and the peers given what they can take.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bgp_api::EventKind;
use bgp_fib::{Destination, Fib, Plan, Presence, Via};
use bgp_rib::{PeerId, Watch};
use bgp_session::OwnRestart;
use bgp_wire::{Prefix, ScopedNextHop};
use bytes::BytesMut;
use tracing::{Level, debug, enabled, info, warn};

use super::Routing;
use super::restart::Gateways;
use crate::events::Hub;

/// Prefixes decided in one turn; more would keep other sessions waiting.
pub(super) const DECISIONS: usize = 1024;
/// Forwarding changes handed to the FIB in one turn.
const CHANGES: usize = 1024;
/// Operations handed to the kernel at once.
const OPS: usize = 256;
/// Times that this is done in one turn.
const SUBMISSIONS: usize = 8;
/// Octets of UPDATEs made for one peer at a time: more than one turn takes in, or a peer never catches up with a table.
const CHUNK: usize = 64 * 1024;
/// Octets of UPDATEs made in one turn for peers that have nothing urgent to hear.
const TURN_OUT: usize = 64 * 1024;
/// What a peer gets in any case that has something urgent to hear.
const URGENT: usize = 4096;

impl Routing {
    /// Decides a change that has come alone, and has those told who are to be, before anything else is looked at; whether
    /// there is somebody who has something to write now, and nothing that has come is left. The kernel comes first, where it
    /// is concerned.
    pub(super) fn serve_at_once(&mut self) -> bool {
        let is_starting = self.restart.defers() || self.restart.is_selecting();
        let is_repairing = self.repair.rests() || self.fib.has_reachability_changes();
        if is_starting || is_repairing || self.rib.has_next_hop_changes() {
            return false;
        }
        let asking = self.ready.len();
        self.more = self.rib.decide(DECISIONS);
        if self.fib.config().install && self.rib.has_forwarding_change() {
            let now = Instant::now();
            self.tick(now);
            self.feed_fib(now);
            self.feed_kernel();
        }
        self.feed_peers();
        !self.more && self.ready.len() < asking
    }

    pub(super) fn settle(&mut self) {
        let now = Instant::now();
        self.more = false;
        self.resolve(now);
        if self.repair.rests() {
            // The rest is for the turn after the kernel's answer.
            self.more = true;
            return;
        }
        self.advance_restart(now);
        if !self.restart.defers() {
            self.more |= self.rib.decide(DECISIONS);
            self.feed_fib(now);
            self.end_restart(now);
            // What is not decided yet would be withdrawn from those that have it from an earlier process, and End-of-RIB
            // would have others let go of it.
            if !self.restart.is_selecting() {
                self.feed_peers();
            }
            // A peer that was told BoRR is to be told everything behind it.
            self.more |= self.rib.has_work();
        }
        self.feed_kernel();
        self.take_notices();
        if !self.more {
            self.received = None;
        }
    }

    /// RFC 4724 section 4.1: routes are selected when the peers have said everything again.
    fn advance_restart(&mut self, now: Instant) {
        if self.restart.is_reading() && self.fib.is_ready() {
            let found = self.fib.leftovers();
            let routes = found.routes;
            let own = self.restart.has_read(found);
            self.own_restart.send_replace(Some(own));
            if own.restarted {
                info!(
                    ipv4 = routes.ipv4,
                    ipv6 = routes.ipv6,
                    "the kernel still forwards by routes of an earlier run: they stay until all peers have announced theirs again"
                );
            }
        }
        if let Some(ended) = self.restart.advance(&self.fib, now) {
            let after = ended.after.as_secs_f32();
            if ended.missing.is_empty() {
                info!(after, "all peers have announced their routes again: selection begins");
            } else {
                warn!(
                    after,
                    missing = ended.missing,
                    "startup-grace is over: selection begins without some peers"
                );
            }
        }
    }

    /// What nobody has announced goes when everything that was selected is on its way to the kernel.
    fn end_restart(&mut self, now: Instant) {
        if self.restart.is_selecting() && !self.more {
            self.fib.end_of_startup(now);
            self.restart.finish();
            self.own_restart.send_replace(Some(OwnRestart::default()));
        }
    }

    /// Has new next hops looked up, and tells the RIB what was found, until neither has news for the other.
    pub(super) fn resolve(&mut self, now: Instant) {
        let mut watches = Vec::new();
        self.rib.take_next_hop_changes(&mut watches);
        for (next_hop, watch) in watches {
            match watch {
                Watch::Start => self.fib.watch(next_hop, now),
                Watch::Stop => self.fib.unwatch(next_hop),
            }
        }
        let mut found = Vec::new();
        self.fib.take_reachability_changes(&mut found);
        if found.iter().any(|(_, found)| matches!(found, bgp_fib::Reachability::Unreachable(_))) {
            self.repair();
        } else if !found.is_empty() {
            self.feed_kernel();
        }
        for (next_hop, reachability) in found {
            self.rib.set_reachability(
                next_hop,
                match reachability {
                    bgp_fib::Reachability::Reachable { metric } => {
                        bgp_rib::Reachability::Reachable { metric }
                    }
                    bgp_fib::Reachability::Unreachable(reason) => bgp_rib::Reachability::Unreachable(reason),
                },
            );
        }
    }

    fn feed_fib(&mut self, now: Instant) {
        // The latency that is measured begins on the socket, not here.
        let since = self.received.unwrap_or(now);
        let heard = self.hub.is_heard();
        if !self.fib.config().install && !heard && !enabled!(Level::DEBUG) {
            // Nobody asks which they are.
            self.more |= self.rib.pass_forwarding_changes(CHANGES);
            return;
        }
        for _ in 0..CHANGES {
            // Looked at where it is: a prefix is written in small pieces, and copying it in large ones waits for them.
            let Some((prefix, number, forwarding)) = &self.rib.see_forwarding_change() else { return };
            let (destination, forwarding) = (Destination { prefix: *prefix, number: *number }, *forwarding);
            let next_hops = forwarding.map(|forwarding| forwarding.next_hops.as_slice());
            debug!(%prefix, next_hops = next_hops.map_or(0, <[_]>::len), "best paths changed");
            if heard {
                publish_best(&self.hub, *prefix, next_hops.unwrap_or_default());
            }
            let last = &mut self.last_forwarding[prefix.family()];
            let is_same = match (&*last, forwarding) {
                (Some(last), Some(forwarding)) => Arc::ptr_eq(last, forwarding),
                (Some(_) | None, _) => false,
            };
            if is_same && self.fib.want_as_before(destination, since) {
                continue;
            }
            let shares = forwarding.into_iter().flat_map(|forwarding| forwarding.shares());
            let backup = forwarding.and_then(|forwarding| forwarding.backup);
            self.fib.want_shares(destination, shares, backup, since);
            if forwarding.is_some() {
                *last = forwarding.cloned();
            }
        }
        self.more = true;
    }

    /// Hands the kernel what is to be done; whether that was anything.
    pub(super) fn feed_kernel(&mut self) -> bool {
        for submitted in 0..SUBMISSIONS {
            let mut plan = Plan::default();
            self.fib.plan(OPS, &mut plan);
            if plan.is_empty() {
                return submitted > 0;
            }
            self.kernel.submit(plan);
        }
        self.more = true;
        true
    }

    fn feed_peers(&mut self) {
        let (before, after): (Vec<_>, Vec<_>) = self.ready.iter().partition(|id| **id <= self.served);
        let (urgent, bulk): (Vec<PeerId>, Vec<PeerId>) =
            after.into_iter().chain(before).partition(|id| self.rib.has_urgent_update(*id));
        let mut room = TURN_OUT;
        for id in &urgent {
            let Some(made) = self.feed_peer(*id, CHUNK.min(room).max(URGENT)) else { return };
            room = room.saturating_sub(made);
        }
        for id in &bulk {
            if room == 0 {
                self.more = true;
                return;
            }
            let Some(made) = self.feed_peer(*id, CHUNK.min(room)) else { return };
            if made > 0 {
                self.served = *id;
            }
            room = room.saturating_sub(made);
        }
    }

    /// Makes UPDATEs for a peer that has room; how many octets, or `None` where that was work enough for a turn.
    fn feed_peer(&mut self, id: PeerId, limit: usize) -> Option<usize> {
        let Some(chunks) = self.peers.get(&id).and_then(|entry| entry.chunks.as_ref()) else {
            self.ready.remove(&id);
            return Some(0);
        };
        let mut octets = BytesMut::new();
        // What is left waits in the RIB until the peer has room again and says so.
        let left = self.rib.next_update(id, &mut octets, limit);
        let made = octets.len();
        if made > 0 {
            self.ready.remove(&id);
            // There is room, for the peer has asked; a peer that is gone needs nothing.
            drop(chunks.try_send(octets.freeze()));
        }
        if left && made < limit {
            // The others have the next turn.
            (self.more, self.served) = (true, id);
            return None;
        }
        Some(made)
    }
}

fn publish_best(hub: &Hub, prefix: Prefix, next_hops: &[ScopedNextHop]) {
    hub.publish(|| EventKind::BestChange {
        prefix: prefix.to_string(),
        next_hops: next_hops.iter().map(|hop| hop.next_hop.to_string()).collect(),
    });
}

impl Gateways for Fib {
    fn is_known(&self, gateway: &Via, peers: &[IpAddr]) -> bool {
        self.leads_to(gateway) || peers.iter().any(|address| self.is_at(*address, gateway))
    }

    fn is_gone(&self, gateway: &Via) -> bool {
        matches!(self.presence(gateway.gateway, gateway.ifindex), Presence::Gone(_))
    }

    fn have_resolved(&self) -> bool {
        self.has_resolved()
    }
}

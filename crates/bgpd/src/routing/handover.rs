//! Routes that go to another process, and routes that come from one.
//!
//! Out: everything that peers have sent is taken in, then the Adj-RIBs are written down, and from then on nothing is done.
//! In: until every session that goes on has brought its routes (`restart`) nothing is selected, and neither the kernel nor
//! a peer is told anything; so the first word to either is what differs from before.

use std::time::{Duration, Instant};

use bgp_rib::PeerId;
use bgp_wire::Family;
use tokio::sync::oneshot;
use tracing::warn;

use super::peers::PeerEntry;
use super::settle::DECISIONS;
use super::stale::Deadlines;
use super::{Frozen, Inputs, Part, Routing, Wake};
use crate::tasks::answer;

/// How long the kernel may take to answer what it was asked.
const KERNEL_AT_MOST: Duration = Duration::from_secs(2);

impl Routing {
    pub(super) fn begin_take_over(&mut self, sessions: usize, complete: bool, knows: oneshot::Sender<()>) {
        self.restart.take_over(sessions, complete, Instant::now());
        answer(knows, ());
    }

    pub(super) fn on_restored(&mut self, id: PeerId, part: Part) {
        match part {
            Part::Received(updates) => updates.iter().for_each(|update| self.on_update(id, update)),
            Part::Stale(updates) => {
                for update in &updates {
                    self.note_next_hops(id, update);
                    self.rib.restore_stale(id, update);
                }
            }
            Part::Sent(updates) => updates.iter().for_each(|update| self.rib.restore_sent(id, update)),
            Part::End { refresh, spoken } => {
                for family in Family::ALL {
                    if refresh[family] {
                        self.rib.request_refresh(id, family);
                    }
                    self.bound_stale(id, family);
                }
                self.restart.restored(id, spoken);
            }
            Part::Unreadable => self.restart.unreadable(),
        }
    }

    /// Nobody knows any more how long stale routes of before had left: they begin anew.
    fn bound_stale(&mut self, id: PeerId, family: Family) {
        let stale = self.rib.counters(id).map_or(0, |counters| counters[family].stale);
        let limit = self.peers.get(&id).map(|entry| entry.settings.session.graceful_restart.stale_time);
        if let (1.., Some(limit)) = (stale, limit) {
            let until = Instant::now() + limit;
            self.stale.start(
                id,
                family,
                Deadlines { restart: until, stale: until, long_lived: Duration::ZERO, at_last: until },
            );
            self.stale.back(id, Duration::ZERO, until);
        }
    }

    /// Writes everything down and comes to rest.
    pub(super) async fn freeze(mut self, inputs: &mut Inputs) {
        while let Some(delivery) = inputs.peers.try_next(true) {
            self.take(inputs, Wake::Peer(delivery));
        }
        self.resolve(Instant::now());
        while !self.restart.defers() && self.rib.decide(DECISIONS) {}
        let up = self.peers.iter().filter(|(_, entry)| entry.chunks.is_some());
        let peers =
            up.filter_map(|(id, entry)| Some((entry.address, self.rib.carry(*id)?))).collect::<Vec<_>>();
        for (address, carried) in peers.iter().filter(|(_, carried)| carried.lost > 0) {
            warn!(peer = %address, routes = carried.lost, "routes with attributes too long for a message stay behind");
        }
        let kept =
            |(id, entry): (&PeerId, &PeerEntry)| entry.chunks.is_none() && self.stale.of(*id).is_some();
        let orphans = self.restart.has_orphans() || self.peers.iter().any(kept);
        if let Some(reply) = self.freezing.take() {
            answer(reply, Frozen { peers, orphans, drains: self.drains_to_carry() });
        }
        let answers = async {
            while self.fib.stats().in_flight > 0 {
                let Some(report) = inputs.kernel.next().await else { return };
                self.on_report(report);
            }
        };
        if tokio::time::timeout(KERNEL_AT_MOST, answers).await.is_err() {
            warn!("the kernel has not answered everything; the next process finds out");
        }
    }
}

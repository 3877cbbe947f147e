//! Peers on the link: whether they can still be there, and asking them now and then.
//!
//! The kernel asks a neighbour by itself only when its entry is no longer fresh, 15 to 45 s after the last answer, and
//! then waits another 5 s. Until then a dead node's share of the flows is lost.

use std::net::IpAddr;
use std::time::Instant;

use crate::fib::Fib;
use crate::view::Presence;

impl Fib {
    /// A peer was reached at `address` on the link `ifindex`: it is asked for in intervals
    /// ([`FibConfig::probe_interval`](crate::FibConfig)) until [`Fib::unwatch_peer`].
    pub fn watch_peer(&mut self, address: IpAddr, ifindex: u32, now: Instant) {
        self.now = self.now.max(now);
        if let Some(interval) = self.config.probe_interval {
            self.peer_probes.insert((ifindex, address), now + interval);
        }
    }

    /// Ends what [`Fib::watch_peer`] began.
    pub fn unwatch_peer(&mut self, address: IpAddr, ifindex: u32) {
        self.peer_probes.remove(&(ifindex, address));
    }

    /// Says that nothing arrives at a node, whatever its link and its neighbour entry look like: next hops at its address
    /// are out of use until [`Fib::mend`].
    pub fn cut(&mut self, address: IpAddr, ifindex: u32, why: &str) {
        self.tracker.set_cut(address, ifindex, Some(why.into()));
    }

    /// Takes back what [`Fib::cut`] has said.
    pub fn mend(&mut self, address: IpAddr, ifindex: u32) {
        self.tracker.set_cut(address, ifindex, None);
        self.tracker.cuts.forget_question(&(ifindex, address));
    }

    /// Has a node asked for a sign of life at once, ARP or neighbour discovery.
    pub fn ask(&mut self, address: IpAddr, ifindex: u32) {
        self.tracker.question(address, ifindex);
    }

    /// Whether the node has answered since [`Fib::ask`].
    pub fn has_answered(&self, address: IpAddr, ifindex: u32) -> bool {
        self.tracker.cuts.answered(&(ifindex, address)) == Some(true)
    }

    /// Whether a node that was reached at `address` on the link `ifindex` can still be there.
    pub fn presence(&self, address: IpAddr, ifindex: u32) -> Presence {
        self.tracker.presence(address, ifindex)
    }

    /// A number that is another one whenever [`Fib::presence`] may have changed.
    pub fn presence_epoch(&self) -> u64 {
        self.tracker.moves()
    }

    pub(super) fn probe_peers(&mut self, now: Instant) {
        let Some(interval) = self.config.probe_interval else { return };
        for ((ifindex, address), due) in &mut self.peer_probes {
            if *due <= now {
                *due = now + interval;
                self.tracker.verify(*address, *ifindex);
            }
        }
    }
}

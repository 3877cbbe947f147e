//! Replies to questions about routes, in the words of `bgp_api`.
//!
//! Everything here reads; nothing decides. Long lists come in pages, so that no question keeps routing for long.

mod attributes;
mod fib;
mod impacts;
mod routes;

use std::collections::BTreeMap;
use std::time::Instant;

use bgp_api::{ErrorCode, ErrorReply, FibSize};
use bgp_fib::HopView;
use bgp_rib::PeerId;
use bgp_wire::{Family, PerFamily, Prefix, ScopedNextHop};

use super::kernel::errno_name;
use super::messages::{PeerCounters, Summary};
use super::{Query, Routing};
use crate::tasks::answer;

pub(super) use fib::protocol_name;

impl Routing {
    pub(super) fn on_query(&mut self, query: Query) {
        match query {
            Query::Impacts { proposal, from, reply } => answer(reply, self.impacts(&proposal, from)),
            Query::Summary(reply) => answer(reply, self.summary()),
            Query::Counters(reply) => answer(reply, self.counters()),
            Query::Routes { query, reply } => answer(reply, self.routes_reply(&query)),
            Query::Fib { query, reply } => answer(reply, self.fib_reply(&query)),
            Query::Nexthops(reply) => answer(reply, self.nexthops_reply()),
            Query::Drain { node, addresses, what, reply } => {
                answer(reply, self.drain(&node, addresses, what));
            }
            Query::Drains(reply) => answer(reply, self.drains_reply()),
            Query::Buckets(buckets) => self.fib.observe_buckets(&buckets, Instant::now()),
            Query::Ping(reply) => answer(reply, ()),
        }
    }

    fn summary(&self) -> Summary {
        let stats = self.fib.stats();
        Summary {
            sizes: self.rib.sizes(),
            fib: fib_sizes(&stats),
            nexthops: count(stats.nexthops),
            groups: count(stats.groups),
            in_flight: count(stats.in_flight),
            waiting: count(self.waiting),
            audit: self.fib.audit(),
            repairs: stats.repairs,
            refusal: self.fib.a_refusal(),
            meddling: self.fib.meddling(),
            paused: stats.routes.iter().map(|(_, routes)| count(routes.paused)).sum(),
            errors: self.errors.iter().map(|(errno, times)| (errno_name(*errno), *times)).collect(),
        }
    }

    fn counters(&self) -> Vec<(PeerId, PeerCounters)> {
        let drains = self.drains_reply().nodes;
        self.peers
            .iter()
            .map(|(id, entry)| {
                let address = entry.address.to_string();
                let drain = drains.iter().find(|drain| drain.addresses.contains(&address)).cloned();
                let families = self.rib.counters(*id).unwrap_or_default();
                let node = self.evidence.node(*id).map(|node| node.words(Instant::now()));
                (*id, PeerCounters { families, stale_until: self.stale.of(*id), node, drain })
            })
            .collect()
    }

    /// The peer with this address.
    fn peer_by_address(&self, text: &str) -> Result<PeerId, ErrorReply> {
        let address = text
            .split('%')
            .next()
            .unwrap_or_default()
            .parse()
            .map_err(|_| ErrorReply::new(ErrorCode::BadRequest, format!("{text:?} is no IP address")))?;
        self.peers
            .iter()
            .find(|(_, entry)| entry.address == address)
            .map(|(id, _)| *id)
            .ok_or_else(|| crate::supervisor::unknown(address))
    }

    /// A next hop as the FIB knows it.
    fn hop(&self, next_hop: &ScopedNextHop) -> Option<HopView> {
        self.fib.next_hop(next_hop)
    }

    /// The address of a peer.
    fn peer_address(&self, id: PeerId) -> Option<String> {
        self.peers.get(&id).map(|entry| entry.address.to_string())
    }
}

/// A page of `all`: what comes behind `after`, at most `limit`, and whether there is more. Sorted by prefix.
fn page<T>(all: BTreeMap<Prefix, T>, after: Option<Prefix>, limit: usize) -> (Vec<(Prefix, T)>, bool) {
    let mut behind = all.into_iter().filter(|(prefix, _)| after.is_none_or(|after| *prefix > after));
    let taken: Vec<_> = behind.by_ref().take(limit).collect();
    let more = behind.next().is_some();
    (taken, more)
}

fn parse_prefix(text: &str) -> Result<Prefix, ErrorReply> {
    text.parse().map_err(|error| ErrorReply::new(ErrorCode::BadRequest, format!("{text:?} {error}")))
}

fn parse_family(text: Option<&str>) -> Result<Option<Family>, ErrorReply> {
    let Some(text) = text else { return Ok(None) };
    let found = Family::ALL.into_iter().find(|family| family.to_string() == text);
    found.map(Some).ok_or_else(|| {
        ErrorReply::new(ErrorCode::BadRequest, format!("{text:?} is none of ipv4-unicast, ipv6-unicast"))
    })
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn fib_sizes(stats: &bgp_fib::Stats) -> PerFamily<FibSize> {
    PerFamily::from_fn(|family| {
        let routes = &stats.routes[family];
        FibSize {
            family: family.to_string(),
            installed: count(routes.installed),
            pending: count(routes.pending + routes.leftover + routes.paused),
            removing: count(routes.removing),
            blocked: count(routes.blocked),
            unreachable: count(routes.unresolved),
            failed: count(routes.failed),
        }
    })
}

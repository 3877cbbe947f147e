//! Replies to questions about routes, in the words of `bgp_api`.
//!
//! Everything here reads; nothing decides. What is small is answered at once. A list that goes through a whole table
//! comes in pages, and each page is made in portions (`lists`), so that no question keeps routing for long.

mod attributes;
mod fib;
mod impacts;
mod listing;
mod lists;
mod routes;
mod selection;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use bgp_api::{ErrorCode, ErrorReply, FibQuery, FibReply, FibSize, RouteQuery, RoutesReply};
use bgp_fib::{Fib, HopView};
use bgp_rib::{PeerId, Rib};
use bgp_wire::{Family, PerFamily, Prefix, ScopedNextHop};
use tokio::sync::oneshot;

use super::kernel::errno_name;
use super::messages::{PeerCounters, Summary};
use super::peers::PeerEntry;
use super::{Query, Routing};
use crate::tasks::answer;

pub(super) use fib::protocol_name;
use lists::List;
pub(super) use lists::Lists;

/// What lists are made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Views<'a> {
    rib: &'a Rib,
    fib: &'a Fib,
    peers: &'a BTreeMap<PeerId, PeerEntry>,
}

impl Query {
    /// Nobody waits for the answer any more. What is to be done is done all the same.
    fn is_given_up(&self) -> bool {
        match self {
            Self::Impacts { reply, .. } => reply.is_closed(),
            Self::Summary(reply) => reply.is_closed(),
            Self::Counters(reply) => reply.is_closed(),
            Self::Routes { reply, .. } => reply.is_closed(),
            Self::Fib { reply, .. } => reply.is_closed(),
            Self::Nexthops(reply) => reply.is_closed(),
            Self::Drains(reply) => reply.is_closed(),
            Self::Drain { .. } | Self::Buckets(_) => false,
        }
    }
}

impl Routing {
    pub(super) fn on_query(&mut self, query: Query) {
        if query.is_given_up() {
            return;
        }
        match query {
            Query::Impacts { proposal, from, reply } => answer(reply, self.impacts(&proposal, from)),
            Query::Summary(reply) => answer(reply, self.summary()),
            Query::Counters(reply) => answer(reply, self.counters()),
            Query::Routes { query, reply } => self.on_routes_query(&query, reply),
            Query::Fib { query, reply } => self.on_fib_query(&query, reply),
            Query::Nexthops(reply) => answer(reply, self.views().nexthops_reply()),
            Query::Drain { node, addresses, what, reply } => {
                answer(reply, self.drain(&node, addresses, what));
            }
            Query::Drains(reply) => answer(reply, self.drains_reply()),
            Query::Buckets(buckets) => self.fib.observe_buckets(&buckets, Instant::now()),
        }
    }

    fn on_routes_query(
        &mut self,
        query: &RouteQuery,
        reply: oneshot::Sender<Result<RoutesReply, ErrorReply>>,
    ) {
        match self.views().routes(query) {
            Ok(listing) => self.begin_list(List::Routes(listing, reply)),
            Err(refusal) => answer(reply, Err(refusal)),
        }
    }

    fn on_fib_query(&mut self, query: &FibQuery, reply: oneshot::Sender<Result<FibReply, ErrorReply>>) {
        match self.views().kernel_routes(query) {
            Ok(listing) => self.begin_list(List::Kernel(listing, reply)),
            Err(refusal) => answer(reply, Err(refusal)),
        }
    }

    fn begin_list(&mut self, list: List) {
        // One prefix waits for no tables.
        let list = if list.is_chosen() { list.work(&self.views()) } else { Some(list) };
        list.into_iter().for_each(|list| self.lists.add(list));
    }

    /// Goes on with the lists that somebody waits for. What is left of them is one more reason for another turn.
    pub(super) fn go_on_with_lists(&mut self) {
        let Self { rib, fib, peers, .. } = self;
        let views = Views { rib, fib, peers };
        self.more |= self.lists.work(&views);
    }

    fn views(&self) -> Views<'_> {
        Views { rib: &self.rib, fib: &self.fib, peers: &self.peers }
    }

    /// How the FIB has a prefix.
    pub(super) fn fib_view(&self, prefix: &Prefix) -> Option<bgp_fib::RouteView> {
        self.views().fib_view(prefix)
    }

    /// The address of a peer.
    fn peer_address(&self, id: PeerId) -> Option<String> {
        self.views().peer_address(id)
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
}

impl Views<'_> {
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

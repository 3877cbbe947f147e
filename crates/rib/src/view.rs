//! What an operator is shown: routes with their verdicts, per prefix and per peer, and counters.
//!
//! A view is worked out when it is asked for; nothing on the hot road keeps words or reasons. A whole table is walked
//! through in portions, by prefixes alone, and each is looked at closely by itself: whoever asks need not stop anybody.

use std::fmt;
use std::net::IpAddr;

use bgp_policy::Policy;
use bgp_wire::{Family, NextHop, PathAttributes, PeerKind, PerFamily, Prefix, ScopedNextHop};

use crate::checks;
use crate::column::Cell;
use crate::config::PeerId;
use crate::export::{self, Best};
use crate::group::Group;
use crate::interned::NONE;
use crate::peer::{EndOfRib, Peer};
use crate::reason::{BestReason, Refusal, Unreachable, Verdict};
use crate::rib::Rib;

/// One of the RIBs of RFC 4271 section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichRib {
    /// The Loc-RIB, with every path that is known, usable or not.
    Loc,
    /// What this peer announced, before policy.
    AdjIn(PeerId),
    /// What this peer was told and has not been withdrawn from it, as it holds now.
    AdjOut(PeerId),
}

/// A way through the prefixes of a RIB, gone in portions while routes change.
#[derive(Clone, Copy, Debug)]
pub struct PrefixWalk {
    rib: WhichRib,
    family: Family,
    /// The next id to look at; `None` at the end.
    next: Option<u32>,
}

impl PrefixWalk {
    /// One that has not begun.
    pub fn new(rib: WhichRib, family: Family) -> Self {
        Self { rib, family, next: Some(0) }
    }
}

/// A RIB that is there.
#[derive(Clone, Copy)]
enum Found<'a> {
    Loc,
    AdjIn(&'a Peer),
    AdjOut(&'a Peer),
}

/// One path to a prefix, as received, with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteView {
    /// The destination.
    pub prefix: Prefix,
    /// Who announced it; [`PeerId::LOCAL`] for a network of our own.
    pub peer: PeerId,
    /// Where it points.
    pub next_hop: ScopedNextHop,
    /// The attributes as received.
    pub attributes: PathAttributes,
    /// LOCAL_PREF as the decision takes it.
    pub local_pref: u32,
    /// Kept from before a restart of the peer.
    pub stale: bool,
    /// Its next hop is where packets go when that of the best path is lost.
    pub backup: bool,
    /// How it stands.
    pub verdict: Verdict,
}

/// One route as it was announced to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertisedView {
    /// The destination.
    pub prefix: Prefix,
    /// The next hop as announced.
    pub next_hop: NextHop,
    /// The attributes as announced.
    pub attributes: PathAttributes,
}

/// Counters of one peer and family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Prefixes in the Adj-RIB-In, before policy.
    pub received: u64,
    /// Those that policy and the checks let through.
    pub accepted: u64,
    /// Those that are best or in the multipath set.
    pub used: u64,
    /// Those kept from before a restart of the peer.
    pub stale: u64,
    /// Prefixes announced to the peer.
    pub advertised: u64,
    /// Prefixes whose change the peer has not been told yet.
    pub pending: u64,
    /// Whether our End-of-RIB went out.
    pub end_of_rib_sent: bool,
    /// Whether the peer's came.
    pub end_of_rib_received: bool,
    /// Whether the maximum-prefix limit is exceeded.
    pub limit_exceeded: bool,
}

/// Sizes of the whole RIB, for the summary and the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Prefixes with at least one usable path, IPv4 and IPv6.
    pub prefixes: PerFamily<u64>,
    /// Paths in all Adj-RIBs-In.
    pub paths: PerFamily<u64>,
    /// Distinct attribute sets received.
    pub attribute_sets: u64,
    /// Distinct next hops.
    pub next_hops: u64,
    /// Distinct sets of next hops in use.
    pub forwarding_sets: u64,
    /// Prefixes that wait for a decision.
    pub undecided: PerFamily<u64>,
    /// Prefixes whose change the kernel side has not pulled yet.
    pub pending_forwarding: PerFamily<u64>,
}

/// Why a peer is told no routes of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoExport {
    /// The session does not speak the family.
    NotNegotiated,
    /// An external peer without export policy, RFC 8212 section 3.
    NoExportPolicy,
    /// The export policy is `none`.
    PolicyNone,
    /// We have no address of the family to give as next hop.
    NoNextHop,
}

impl fmt::Display for NoExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotNegotiated => "family not negotiated",
            Self::NoExportPolicy => "no export policy (RFC 8212)",
            Self::PolicyNone => "export policy none",
            Self::NoNextHop => "no address of ours on this session can be the next hop",
        })
    }
}

impl Rib {
    /// All paths to a prefix: the best, then those used beside it, then the rest, each by peer.
    pub fn routes(&self, prefix: Prefix) -> Vec<RouteView> {
        self.number(&prefix).map_or_else(Vec::new, |id| self.paths(prefix, id, None))
    }

    /// The path that a peer announced to a prefix, before policy.
    pub fn received_route(&self, peer: PeerId, prefix: Prefix) -> Option<RouteView> {
        self.paths(prefix, self.number(&prefix)?, Some(peer)).pop()
    }

    /// What a peer was told of a prefix and has not been withdrawn from it, as it holds now.
    pub fn advertised_route(&self, peer: PeerId, prefix: Prefix) -> Option<AdvertisedView> {
        self.advertised_view(self.by_id(peer)?, prefix.family(), self.number(&prefix)?)
    }

    /// How many peers may have announced a prefix, by which a look at it is measured: no fewer than have, at times more.
    pub fn spread(&self, prefix: &Prefix) -> usize {
        let places = |id| self.tables[prefix.family()].entry(id).paths.iter(self.peers.len());
        self.number(prefix).map_or(0, |id| places(id).count())
    }

    /// Whether a RIB has a route to a prefix.
    pub fn has_route(&self, rib: WhichRib, prefix: &Prefix) -> bool {
        let holds = |rib, id| self.holds(rib, prefix.family(), id);
        self.find(rib).zip(self.number(prefix)).is_some_and(|(rib, id)| holds(rib, id))
    }

    /// Hands on the next prefixes of a walk, in no order, and looks at up to `most` for that; at how many, or `None` at
    /// the end. What is there all the time is handed on once; what comes and goes meanwhile, once, twice or not at all.
    pub fn advance(&self, walk: &mut PrefixWalk, most: usize, mut each: impl FnMut(Prefix)) -> Option<usize> {
        let (family, from) = (walk.family, walk.next?);
        let Some(rib) = self.find(walk.rib) else {
            walk.next = None;
            return None;
        };
        let prefixes = &self.tables[family].prefixes;
        if let Found::AdjIn(peer) = rib
            && from == 0
            && peer.families[family].received.len() <= most
        {
            // Who has announced little is asked for that alone, however large the table is.
            let received = &peer.families[family].received;
            received.iter().filter_map(|(id, _)| prefixes.prefix(id)).for_each(each);
            walk.next = None;
            return Some(received.len());
        }
        let (mut looked_at, mut next) = (0, self.next_id(rib, family, from));
        while looked_at < most
            && let Some(id) = next
        {
            looked_at += 1;
            if self.holds(rib, family, id) {
                prefixes.prefix(id).into_iter().for_each(&mut each);
            }
            next = id.checked_add(1).and_then(|id| self.next_id(rib, family, id));
        }
        walk.next = next;
        Some(looked_at)
    }

    /// The number of a prefix among those of its family: small, and the same as long as anything refers to the prefix, which
    /// what the kernel side has pulled last does unless that was nothing.
    pub fn number(&self, prefix: &Prefix) -> Option<u32> {
        self.tables[prefix.family()].prefixes.find(*prefix)
    }

    /// Every prefix of a family that a path, usable or not, is known for; in no order.
    pub fn prefixes(&self, family: Family) -> impl Iterator<Item = Prefix> + '_ {
        let table = &self.tables[family];
        (0..u32::try_from(table.ids()).unwrap_or(u32::MAX))
            .filter(move |id| self.has_path(family, *id))
            .filter_map(|id| table.prefixes.prefix(id))
    }

    /// The longest prefix with a usable path that contains `address`.
    pub fn lookup(&self, address: IpAddr) -> Option<Prefix> {
        let host = Prefix::host(address);
        let table = &self.tables[host.family()];
        (0..=host.len())
            .rev()
            .filter_map(|len| Prefix::new(address, len))
            .find(|prefix| table.prefixes.find(*prefix).is_some_and(|id| table.entry(id).best_set != NONE))
    }

    /// What a peer announced, before policy; in no order.
    pub fn received(&self, id: PeerId, family: Family) -> impl Iterator<Item = RouteView> + '_ {
        self.by_id(id).into_iter().flat_map(move |peer| peer.families[family].received.iter()).filter_map(
            move |(prefix_id, _)| {
                let prefix = self.tables[family].prefixes.prefix(prefix_id)?;
                self.paths(prefix, prefix_id, Some(id)).pop()
            },
        )
    }

    /// What a peer was told and has not been withdrawn from it, as it holds now; in no order.
    pub fn advertised(&self, id: PeerId, family: Family) -> impl Iterator<Item = AdvertisedView> + '_ {
        self.by_id(id).into_iter().flat_map(move |peer| {
            let sent = peer.families[family].out.sent.iter();
            sent.filter_map(move |prefix| self.advertised_view(peer, family, prefix))
        })
    }

    /// Counters of a peer; `None` for one that is not there.
    pub fn counters(&self, id: PeerId) -> Option<PerFamily<Counters>> {
        let peer = self.by_id(id)?;
        Some(PerFamily::from_fn(|family| {
            let state = &peer.families[family];
            Counters {
                received: number(state.received.len()),
                accepted: state.accepted,
                used: state.used,
                stale: state.stale,
                advertised: number(state.out.sent.len()),
                pending: number(state.out.pending.len() + state.out.batch.len()),
                end_of_rib_sent: state.out.end_of_rib == EndOfRib::Sent,
                end_of_rib_received: state.end_of_rib_received,
                limit_exceeded: state.exceeded,
            }
        }))
    }

    /// Why a peer is told nothing in a family; `None` where it is told what its policy permits.
    pub fn no_export(&self, id: PeerId, family: Family) -> Option<NoExport> {
        let settings = &self.by_id(id)?.settings;
        match (&settings.export, settings.kind) {
            _ if !settings.families[family] => Some(NoExport::NotNegotiated),
            (None, PeerKind::External) => Some(NoExport::NoExportPolicy),
            (Some(Policy::None), _) => Some(NoExport::PolicyNone),
            (_, PeerKind::External) if export::own_next_hop(settings, family).is_none() => {
                Some(NoExport::NoNextHop)
            }
            (Some(Policy::All | Policy::PrefixList(_)) | None, _) => None,
        }
    }

    /// Sizes of everything.
    pub fn sizes(&self) -> Sizes {
        let paths = |family: Family| {
            self.peers.iter().flatten().map(|peer| number(peer.families[family].received.len())).sum::<u64>()
                + number(self.tables[family].local.len())
        };
        Sizes {
            prefixes: PerFamily::from_fn(|family| self.tables[family].best),
            paths: PerFamily::from_fn(paths),
            attribute_sets: number(self.sets.len()),
            next_hops: number(self.hops.len()),
            forwarding_sets: number(self.forwardings.len()),
            undecided: PerFamily::from_fn(|family| number(self.tables[family].undecided.len())),
            pending_forwarding: PerFamily::from_fn(|family| number(self.tables[family].untold.len())),
        }
    }

    fn find(&self, rib: WhichRib) -> Option<Found<'_>> {
        Some(match rib {
            WhichRib::Loc => Found::Loc,
            WhichRib::AdjIn(peer) => Found::AdjIn(self.by_id(peer)?),
            WhichRib::AdjOut(peer) => Found::AdjOut(self.by_id(peer)?),
        })
    }

    /// The first id that is not below `id` and that a RIB may have a route for.
    fn next_id(&self, rib: Found<'_>, family: Family, id: u32) -> Option<u32> {
        match rib {
            Found::AdjOut(peer) => peer.families[family].out.sent.next_from(id),
            Found::Loc | Found::AdjIn(_) => Some(id).filter(|id| (*id as usize) < self.tables[family].ids()),
        }
    }

    fn holds(&self, rib: Found<'_>, family: Family, id: u32) -> bool {
        match rib {
            Found::Loc => self.has_path(family, id),
            Found::AdjIn(peer) => !peer.families[family].received.get(id).is_none(),
            Found::AdjOut(peer) => {
                peer.families[family].out.sent.contains(id) && self.outgoing(peer, family, id).is_some()
            }
        }
    }

    fn has_path(&self, family: Family, id: u32) -> bool {
        let table = &self.tables[family];
        let has = |peer: &Peer| !peer.families[family].received.get(id).is_none();
        let mut places = table.entry(id).paths.iter(self.peers.len());
        places.any(|place| self.peer(place).is_some_and(has)) || !table.local.get(id).is_none()
    }

    /// What a peer that was told of a prefix is told now, and among whom.
    fn outgoing(&self, peer: &Peer, family: Family, id: u32) -> Option<(&Group, Best)> {
        let table = &self.tables[family];
        let group = table.groups.get(peer.families[family].out.group?)?.as_deref()?;
        let best = table.entry(id).best(&self.forwardings)?;
        Some((group, group.announced(id, best, self.exports())?))
    }

    fn advertised_view(&self, peer: &Peer, family: Family, id: u32) -> Option<AdvertisedView> {
        if !peer.families[family].out.sent.contains(id) {
            return None;
        }
        let (group, best) = self.outgoing(peer, family, id)?;
        let (attributes, next_hop) = self.exports().values(&group.profile, best)?;
        Some(AdvertisedView { prefix: self.tables[family].prefixes.prefix(id)?, next_hop, attributes })
    }

    /// All paths to a prefix, or what became of the one that is of a certain peer.
    fn paths(&self, prefix: Prefix, id: u32, only: Option<PeerId>) -> Vec<RouteView> {
        let (family, shown) = (prefix.family(), |peer| only.is_none_or(|only| only == peer));
        let mut candidates: Vec<_> = self.local_candidate(family, id).into_iter().collect();
        let mut views = Vec::new();
        for place in self.tables[family].entry(id).paths.iter(self.peers.len()) {
            let Some(peer) = self.peer(place) else { continue };
            let cell = peer.families[family].received.get(id);
            match self.candidate(peer, place, cell) {
                Some(candidate) => candidates.push(candidate),
                None if shown(peer.id) => views.extend(self.unusable(peer, prefix, cell)),
                None => {}
            }
        }
        let selection = self.select(&mut candidates);
        let usable = candidates.iter().enumerate().filter_map(|(at, candidate)| {
            let selection = selection.filter(|_| shown(candidate.peer))?;
            let verdict = match (at, candidate.lost) {
                (0, _) => Verdict::Best(match selection.decided_by {
                    Some(step) => BestReason::DecidedBy(step),
                    None => BestReason::OnlyPath,
                }),
                (_, Some(step)) if at >= selection.used => Verdict::Lost(step),
                _ => Verdict::Multipath,
            };
            let stale =
                self.peer(candidate.place).is_some_and(|p| p.families[family].received.get(id).stale());
            self.view(
                prefix,
                candidate.peer,
                Cell::new(candidate.set).with_stale(stale),
                candidate.local_pref,
                verdict,
            )
        });
        views.splice(0..0, usable);
        let backup = self.hops.key(self.forwardings.backup(self.tables[family].entry(id).forwarding));
        for view in &mut views {
            view.backup = matches!(view.verdict, Verdict::Lost(_)) && backup == Some(view.next_hop);
        }
        views.sort_by_key(|view| {
            (rank(&view.verdict), self.by_id(view.peer).map(|peer| peer.settings.address), view.peer)
        });
        views
    }

    fn unusable(&self, peer: &Peer, prefix: Prefix, cell: Cell) -> Option<RouteView> {
        let set = self.sets.get(cell.set())?;
        let refusal = match checks::refusal_of_policy(&peer.settings, prefix, &set) {
            Some(refusal @ Refusal::NoImportPolicy) => Some(refusal),
            policy => {
                checks::refusal_of_set(&peer.settings, &set, &self.hops, self.config.router_id).or(policy)
            }
        };
        let verdict = match refusal {
            Some(refusal) => Verdict::Refused(refusal),
            None => Verdict::Unreachable(self.hops.unreachable(set.hop).unwrap_or(Unreachable::Unresolved)),
        };
        self.view(prefix, peer.id, cell, checks::local_pref(peer.settings.kind, &set), verdict)
    }

    fn view(
        &self,
        prefix: Prefix,
        peer: PeerId,
        cell: Cell,
        local_pref: u32,
        verdict: Verdict,
    ) -> Option<RouteView> {
        let set = self.sets.get(cell.set())?;
        Some(RouteView {
            prefix,
            peer,
            next_hop: self.hops.key(set.hop)?,
            attributes: set.octets().parse(),
            local_pref,
            stale: cell.stale(),
            backup: false,
            verdict,
        })
    }
}

fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Best(_) => 0,
        Verdict::Multipath => 1,
        Verdict::Lost(_) => 2,
        Verdict::Unreachable(_) => 3,
        Verdict::Refused(_) => 4,
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use bgp_wire::{Asn, RouterId};

    use super::*;
    use crate::config::RibConfig;

    #[test]
    fn a_portion_of_a_walk_looks_at_no_more_than_it_may() {
        let mut rib = Rib::new(RibConfig {
            local_asn: Asn(64513),
            router_id: RouterId::new(1).unwrap(),
            maximum_paths: 1,
            multipath_relax: false,
            backups: false,
            hash_seed: 1,
        });
        let prefix = |number: u32| Prefix::new(std::net::Ipv4Addr::from(number << 8).into(), 24).unwrap();
        (0..1000).for_each(|number| rib.originate(prefix(number)));
        (0..1000).step_by(3).for_each(|number| rib.withdraw_origin(prefix(number)));
        while rib.decide(100) {}
        let mut walk = PrefixWalk::new(WhichRib::Loc, Family::Ipv4Unicast);
        let (mut portions, mut found) = (0, Vec::new());
        loop {
            let before = found.len();
            let Some(looked_at) = rib.advance(&mut walk, 64, |prefix| found.push(prefix)) else { break };
            assert!(looked_at <= 64 && found.len() - before <= looked_at);
            portions += 1;
        }
        assert_eq!((portions, found.len()), (1000_usize.div_ceil(64), 666));
        assert!(found.iter().all(|prefix| rib.has_route(WhichRib::Loc, prefix)));
        assert!(!rib.has_route(WhichRib::Loc, &prefix(0)));
        let mut of_nobody = PrefixWalk::new(WhichRib::AdjIn(PeerId(7)), Family::Ipv4Unicast);
        assert_eq!(rib.advance(&mut of_nobody, 64, |_| ()), None);
    }
}

//! What an operator is shown: routes with their verdicts, per prefix and per peer, and counters.
//!
//! A view is worked out when it is asked for; nothing on the hot road keeps words or reasons.

use std::fmt;
use std::net::IpAddr;

use bgp_policy::Policy;
use bgp_wire::{Family, NextHop, PathAttributes, PeerKind, PerFamily, Prefix, ScopedNextHop};

use crate::checks;
use crate::column::Cell;
use crate::config::PeerId;
use crate::export;
use crate::interned::NONE;
use crate::peer::{EndOfRib, Peer};
use crate::reason::{BestReason, Refusal, Unreachable, Verdict};
use crate::rib::Rib;

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
        self.tables[prefix.family()].prefixes.find(prefix).map_or_else(Vec::new, |id| self.paths(prefix, id))
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
                self.paths(prefix, prefix_id).into_iter().find(|route| route.peer == id)
            },
        )
    }

    /// What a peer was told and has not been withdrawn from it, as it holds now; in no order.
    pub fn advertised(&self, id: PeerId, family: Family) -> impl Iterator<Item = AdvertisedView> + '_ {
        let table = &self.tables[family];
        self.by_id(id).into_iter().flat_map(move |peer| {
            let out = &peer.families[family].out;
            let group = out.group.and_then(|at| table.groups.get(at)?.as_ref());
            out.sent.iter().filter_map(move |prefix| {
                let group = group?;
                let best = table.entry(prefix).best(&self.forwardings)?;
                let best = group.announced(prefix, best, self.exports())?;
                let (attributes, next_hop) = self.exports().values(&group.profile, best)?;
                Some(AdvertisedView { prefix: table.prefixes.prefix(prefix)?, next_hop, attributes })
            })
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

    fn has_path(&self, family: Family, id: u32) -> bool {
        !self.tables[family].local.get(id).is_none()
            || self.peers.iter().flatten().any(|peer| !peer.families[family].received.get(id).is_none())
    }

    fn paths(&self, prefix: Prefix, id: u32) -> Vec<RouteView> {
        let family = prefix.family();
        let mut candidates: Vec<_> = self.local_candidate(family, id).into_iter().collect();
        let mut views = Vec::new();
        for (place, peer) in self.peers.iter().enumerate() {
            let Some(peer) = peer else { continue };
            let cell = peer.families[family].received.get(id);
            match self.candidate(peer, place, cell) {
                Some(candidate) => candidates.push(candidate),
                None => views.extend(self.unusable(peer, prefix, cell)),
            }
        }
        let selection = self.select(&mut candidates);
        let usable = candidates.iter().enumerate().filter_map(|(at, candidate)| {
            let selection = selection?;
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

//! What another configuration would do to routes, in words: the preview of a reload.

use bgp_api::{ImpactKind, RouteImpact};
use bgp_rib::{Impact, MaximumPrefixAction, PeerId, PeerSettings, Position};
use bgp_wire::{Family, ScopedNextHop};

use crate::config::Settings;
use crate::routing::peers::apply_settings;
use crate::routing::{Impacts, Proposal, Routing};
use crate::session_config;

/// Prefixes that one question looks at.
const PORTION: usize = 2048;

impl Routing {
    pub(super) fn impacts(&self, proposal: &Proposal, from: Position) -> Impacts {
        let mut found = Vec::new();
        let next = self.rib.imagine(&self.proposed(proposal), from, PORTION, &mut found);
        let mut routes = Vec::new();
        for impact in &found {
            self.paths_in_words(impact, &mut routes);
            self.exports_in_words(impact, &mut routes);
            if self.fib.config().install {
                routes.extend(kernel_in_words(impact));
            }
        }
        Impacts { routes, next }
    }

    /// The proposal as the RIB takes it. A peer that it does not know has no routes, and nothing becomes of them. One that
    /// would not get a session again, because it is of another AS or announces more than it might, has none either.
    fn proposed(&self, proposal: &Proposal) -> bgp_rib::Proposal {
        let peers = proposal.peers.iter().filter_map(|(id, settings)| {
            let mut now = self.rib.settings(*id)?.clone();
            let asn = now.asn;
            let is_up = self.peers.get(id).is_some_and(|entry| entry.chunks.is_some());
            let then = settings.as_ref().map(|settings| {
                apply_settings(&mut now, settings, is_up);
                for family in Family::ALL {
                    now.families[family] &= settings.session.families[family];
                }
                now
            });
            let admitted = |settings: &Settings| {
                session_config::remote_as(settings.remote_asn).admits(self.rib.local_asn(), asn)
            };
            let admitted = settings.as_ref().is_none_or(|settings| admitted(settings));
            Some((*id, then.filter(|then| admitted && !self.is_too_much(*id, then))))
        });
        bgp_rib::Proposal {
            peers: peers.collect(),
            multipath: proposal.multipath,
            networks_added: proposal.networks_added.clone(),
            networks_removed: proposal.networks_removed.clone(),
        }
    }

    /// Whether a peer has announced more than its session would outlive.
    fn is_too_much(&self, id: PeerId, then: &PeerSettings) -> bool {
        let received = self.rib.counters(id).unwrap_or_default();
        Family::ALL.iter().any(|family| {
            then.families[*family]
                && then.maximum_prefix[*family].is_some_and(|limit| {
                    limit.action != MaximumPrefixAction::Warn
                        && received[*family].received > limit.limit.into()
                })
        })
    }

    fn paths_in_words(&self, impact: &Impact, out: &mut Vec<RouteImpact>) {
        out.extend(impact.accepted.iter().map(|peer| self.of_peer(ImpactKind::Accepted, impact, *peer)));
        out.extend(impact.refused.iter().map(|(peer, why)| RouteImpact {
            detail: Some(why.to_string()),
            ..self.of_peer(ImpactKind::Refused, impact, *peer)
        }));
        out.extend(impact.lost.iter().map(|peer| self.of_peer(ImpactKind::Lost, impact, *peer)));
    }

    fn exports_in_words(&self, impact: &Impact, out: &mut Vec<RouteImpact>) {
        let kinds = [
            (ImpactKind::Announced, &impact.announced),
            (ImpactKind::Withdrawn, &impact.withdrawn),
            (ImpactKind::Reannounced, &impact.reannounced),
        ];
        for (kind, peers) in kinds {
            out.extend(peers.iter().map(|peer| self.of_peer(kind, impact, *peer)));
        }
    }

    fn of_peer(&self, kind: ImpactKind, impact: &Impact, peer: PeerId) -> RouteImpact {
        RouteImpact { kind, prefix: impact.prefix.to_string(), peer: self.peer_address(peer), detail: None }
    }
}

fn kernel_in_words(impact: &Impact) -> Option<RouteImpact> {
    let (now, then) = impact.forwarding.as_ref()?;
    let (kind, detail) = match (now.as_slice(), then.as_slice()) {
        (_, []) => (ImpactKind::Removed, via(now)),
        ([], _) => (ImpactKind::Installed, via(then)),
        (_, _) => (ImpactKind::Changed, format!("{} -> {}", via(now), via(then))),
    };
    Some(RouteImpact { kind, prefix: impact.prefix.to_string(), peer: None, detail: Some(detail) })
}

fn via(shares: &[(ScopedNextHop, u16)]) -> String {
    let equal = shares.iter().all(|(_, weight)| *weight == 1);
    let word = |(hop, weight): &(ScopedNextHop, u16)| match equal {
        true => hop.next_hop.to_string(),
        false => format!("{} weight {weight}", hop.next_hop),
    };
    let words: Vec<_> = shares.iter().map(word).collect();
    format!("via {}", words.join(", "))
}

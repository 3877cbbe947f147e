//! What another configuration would do to routes, worked out without doing it.
//!
//! Reads and changes nothing: paths are judged by the proposed settings from the Adj-RIB-In, prefixes whose paths fare
//! differently are selected again on a copy, and the outcome is compared with what the Loc-RIB and the update groups
//! hold. A walk goes in portions, so that a question about a million routes stops nobody; a change of the RIB between
//! two portions shows in the later one.
//!
//! Ours: a peer whose session would be reset is taken as being back with the routes that it has announced. What changes
//! only inside an announcement is told by the best path and the settings that write it, not octet by octet.

use std::collections::{BTreeMap, BTreeSet};

use bgp_wire::{Asn, Family, PathAttributes, Prefix, ScopedNextHop};
use smallvec::SmallVec;

use crate::checks;
use crate::closing;
use crate::column::Cell;
use crate::config::{PeerId, PeerSettings};
use crate::decision::{self, Multipath};
use crate::export::Best;
use crate::forwarding::{RouteSource, weighed};
use crate::group::Profile;
use crate::peer::Peer;
use crate::reason::Refusal;
use crate::rib::Rib;
use crate::table::Place;

/// A configuration that is thought about. What it does not name stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    /// Peers that would have other settings, or (`None`) would be gone. Session, families and addresses stay the peer's.
    pub peers: BTreeMap<PeerId, Option<PeerSettings>>,
    /// How wide multipath would be, and whether AS_PATHs may differ; `None`: as it is.
    pub multipath: Option<(usize, bool)>,
    /// Networks that would be originated.
    pub networks_added: BTreeSet<Prefix>,
    /// Networks that would be withdrawn.
    pub networks_removed: BTreeSet<Prefix>,
}

/// Next hops in order, each with its share.
pub type Shares = Vec<(ScopedNextHop, u16)>;

/// How far a walk has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    family: Family,
    id: u32,
}

impl Position {
    /// Where a walk begins.
    pub const START: Self = Self { family: Family::Ipv4Unicast, id: 0 };
}

/// What would be different for one prefix; at least one part is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impact {
    /// The prefix.
    pub prefix: Prefix,
    /// Peers whose path would be accepted, which is refused now.
    pub accepted: Vec<PeerId>,
    /// Peers whose path would be refused, which is accepted now, and why.
    pub refused: Vec<(PeerId, Refusal)>,
    /// Peers that would be gone and their path with them.
    pub lost: Vec<PeerId>,
    /// Next hops now and then with their shares, where they differ.
    pub forwarding: Option<(Shares, Shares)>,
    /// Peers that would be told the prefix, and are not now.
    pub announced: Vec<PeerId>,
    /// Peers from which it would be withdrawn.
    pub withdrawn: Vec<PeerId>,
    /// Peers that would be told something else about it.
    pub reannounced: Vec<PeerId>,
}

impl Impact {
    fn none(prefix: Prefix) -> Self {
        Self {
            prefix,
            accepted: Vec::new(),
            refused: Vec::new(),
            lost: Vec::new(),
            forwarding: None,
            announced: Vec::new(),
            withdrawn: Vec::new(),
            reannounced: Vec::new(),
        }
    }

    fn is_none(&self) -> bool {
        *self == Self::none(self.prefix)
    }

    /// Whether the fate of some path is another.
    fn touches_paths(&self) -> bool {
        !self.accepted.is_empty() || !self.refused.is_empty() || !self.lost.is_empty()
    }
}

/// The best path of a prefix; `set` is `None` for a network of our own that is not originated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chosen {
    peer: PeerId,
    set: Option<u32>,
    source: RouteSource,
}

/// What a selection gives.
struct Outcome {
    best: Option<Chosen>,
    shares: Shares,
}

/// How a peer would be written to, family by family of the walk.
struct Target<'a> {
    peer: &'a Peer,
    profile: Option<Profile>,
    /// Whether the same best path would be written otherwise than now.
    rewritten: bool,
}

impl Rib {
    /// Our AS.
    pub fn local_asn(&self) -> Asn {
        self.config.local_asn
    }

    /// The settings of a peer that the RIB knows.
    pub fn settings(&self, id: PeerId) -> Option<&PeerSettings> {
        self.by_id(id).map(|peer| &peer.settings)
    }

    /// Looks at about `budget` prefixes from `from` on and appends what would be different. Where to go on; `None` at the
    /// end.
    pub fn imagine(
        &self,
        proposal: &Proposal,
        from: Position,
        budget: usize,
        out: &mut Vec<Impact>,
    ) -> Option<Position> {
        let Position { family, id: first } = from;
        let targets = self.targets(proposal, family);
        if first == 0 {
            let unknown = |prefix: &&Prefix| {
                prefix.family() == family && self.tables[family].prefixes.find(**prefix).is_none()
            };
            let new = proposal.networks_added.iter().filter(unknown);
            out.extend(new.map(|prefix| self.new_network(*prefix, &targets)));
        }
        let ids = u32::try_from(self.tables[family].ids()).unwrap_or(u32::MAX);
        let end = ids.min(first.saturating_add(u32::try_from(budget).unwrap_or(u32::MAX)));
        for id in first..end {
            if let Some(prefix) = self.tables[family].prefixes.prefix(id) {
                let impact = self.imagine_prefix(proposal, prefix, id, &targets);
                out.extend((!impact.is_none()).then_some(impact));
            }
        }
        match family {
            _ if end < ids => Some(Position { family, id: end }),
            Family::Ipv4Unicast => Some(Position { family: Family::Ipv6Unicast, id: 0 }),
            Family::Ipv6Unicast => None,
        }
    }

    /// Whether some peer's share is another.
    fn weighs_anew(&self, proposal: &Proposal) -> bool {
        let weight = |id: &PeerId| self.settings(*id).and_then(|settings| settings.weight);
        proposal.peers.iter().any(|(id, then)| then.as_ref().is_some_and(|then| then.weight != weight(id)))
    }

    fn targets(&self, proposal: &Proposal, family: Family) -> Vec<Target<'_>> {
        let present = self.peers.iter().flatten().filter(|peer| peer.speaks(family));
        present
            .filter_map(|peer| {
                let settings = match proposal.peers.get(&peer.id) {
                    Some(proposed) => proposed.as_ref()?,
                    None => &peer.settings,
                };
                let profile = Profile::new(settings, family);
                let now = Profile::new(&peer.settings, family);
                let rewritten = match (&profile, now) {
                    (Some(then), Some(now)) => *then != Profile { policy: then.policy.clone(), ..now },
                    (None, _) | (_, None) => false,
                };
                Some(Target { peer, profile, rewritten })
            })
            .collect()
    }

    fn new_network(&self, prefix: Prefix, targets: &[Target<'_>]) -> Impact {
        let best = Chosen { peer: PeerId::LOCAL, set: None, source: RouteSource::Local };
        let told = targets.iter().filter(|target| self.tells(target, prefix, &best));
        Impact { announced: told.map(|target| target.peer.id).collect(), ..Impact::none(prefix) }
    }

    fn imagine_prefix(&self, proposal: &Proposal, prefix: Prefix, id: u32, targets: &[Target<'_>]) -> Impact {
        let family = prefix.family();
        let mut impact = Impact::none(prefix);
        self.judge(proposal, id, &mut impact);
        let now = self.present(family, id);
        let ours = proposal.networks_added.contains(&prefix) || proposal.networks_removed.contains(&prefix);
        let elsewhere = proposal.multipath.is_some() || self.weighs_anew(proposal);
        let then = if impact.touches_paths() || ours || elsewhere {
            let then = self.proposed(proposal, prefix, id);
            if then.shares != now.shares {
                impact.forwarding = Some((now.shares, then.shares));
            }
            then.best
        } else {
            now.best
        };
        self.compare_exports(id, (now.best, then), targets, &mut impact);
        impact
    }

    /// How each path of the prefix would fare.
    fn judge(&self, proposal: &Proposal, id: u32, impact: &mut Impact) {
        let family = impact.prefix.family();
        for (peer, settings) in &proposal.peers {
            let Some(known) = self.by_id(*peer) else { continue };
            let cell = known.families[family].received.get(id);
            if cell.is_none() {
                continue;
            }
            let kept = settings.as_ref().filter(|settings| settings.families[family]);
            match (kept, cell.refused()) {
                (None, false) => impact.lost.push(*peer),
                (None, true) => {}
                (Some(settings), before) => match (before, self.refusal(settings, impact.prefix, cell)) {
                    (true, None) => impact.accepted.push(*peer),
                    (false, Some(why)) => impact.refused.push((*peer, why)),
                    (true, Some(_)) | (false, None) => {}
                },
            }
        }
    }

    fn refusal(&self, settings: &PeerSettings, prefix: Prefix, cell: Cell) -> Option<Refusal> {
        let set = self.sets.get(cell.set())?;
        checks::refusal_of_policy(settings, prefix, &set)
            .or_else(|| checks::refusal_of_set(settings, &set, &self.hops, self.config.router_id))
    }

    /// What the Loc-RIB holds.
    fn present(&self, family: Family, id: u32) -> Outcome {
        let entry = self.tables[family].entry(id);
        // One whose peer is gone is about to be decided again.
        let peer = self.announcer(entry.best_place);
        let best = entry.best(&self.forwardings).zip(peer);
        let best = best.map(|(best, peer)| Chosen { peer, set: Some(best.set), source: best.source });
        let forwarding = self.forwardings.forwarding(entry.forwarding, &self.hops);
        Outcome {
            best,
            shares: forwarding.map(|forwarding| forwarding.shares().collect()).unwrap_or_default(),
        }
    }

    /// What a selection among the paths as they would be gives.
    fn proposed(&self, proposal: &Proposal, prefix: Prefix, id: u32) -> Outcome {
        let family = prefix.family();
        if proposal.networks_added.contains(&prefix) {
            let best = Chosen { peer: PeerId::LOCAL, set: None, source: RouteSource::Local };
            return Outcome { best: Some(best), shares: Vec::new() };
        }
        let mut candidates = Vec::new();
        if !proposal.networks_removed.contains(&prefix) {
            candidates.extend(self.local_candidate(family, id));
        }
        for (place, peer) in self.peers.iter().enumerate() {
            let Some(peer) = peer else { continue };
            let cell = peer.families[family].received.get(id);
            let cell = match proposal.peers.get(&peer.id) {
                None => cell,
                Some(Some(settings)) if settings.families[family] => {
                    cell.with_refused(self.refusal(settings, prefix, cell).is_some())
                }
                Some(_) => Cell::NONE,
            };
            candidates.extend(self.candidate(peer, place, cell));
        }
        let (maximum, relax) =
            proposal.multipath.unwrap_or((self.config.maximum_paths, self.config.multipath_relax));
        let same_path = |a, b| self.sets.same_path(a, b);
        let multipath = Multipath { maximum, same_path: if relax { None } else { Some(&same_path) } };
        let used = decision::select(&mut candidates, &multipath).map_or(0, |selection| selection.used);
        let closing = closing::closing(&candidates, used, &multipath);
        let used = candidates.get(..used).unwrap_or_default();
        let best =
            used.first().map(|best| Chosen { peer: best.peer, set: Some(best.set), source: best.source });
        let forwarded = match best {
            Some(best) if best.source != RouteSource::Local => used,
            Some(_) | None => &[],
        };
        let weights = self.weights_by(forwarded, |path| {
            let proposed = proposal.peers.get(&path.peer).and_then(Option::as_ref);
            proposed.or_else(|| self.settings(path.peer))?.weight
        });
        let mut each: SmallVec<[u16; 4]> =
            if weights.is_empty() { forwarded.iter().map(|_| 1).collect() } else { weights };
        let mut hops: SmallVec<[u32; 4]> = forwarded.iter().map(|path| path.hop).collect();
        closing::append(&closing, &mut hops, &mut each);
        let (hops, weights) = weighed(&hops, &each);
        let weights = weights.iter().copied().chain(std::iter::repeat(1));
        let keys = hops.iter().zip(weights);
        let mut shares: Shares =
            keys.filter_map(|(hop, weight)| Some((self.hops.key(*hop)?, weight))).collect();
        shares.sort_unstable();
        Outcome { best, shares }
    }

    fn compare_exports(
        &self,
        id: u32,
        (now, then): (Option<Chosen>, Option<Chosen>),
        targets: &[Target<'_>],
        impact: &mut Impact,
    ) {
        let prefix = impact.prefix;
        for target in targets {
            let peer = target.peer.id;
            let told = self.told(target.peer, prefix.family(), id);
            let would = then.is_some_and(|best| self.tells(target, prefix, &best));
            match (told, would) {
                (false, true) => impact.announced.push(peer),
                (true, false) => impact.withdrawn.push(peer),
                (true, true) if now != then || target.rewritten => impact.reannounced.push(peer),
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Whether the peer is to have the prefix as things are.
    fn told(&self, peer: &Peer, family: Family, id: u32) -> bool {
        let table = &self.tables[family];
        let (entry, group) = (table.entry(id), peer.families[family].out.group);
        let best =
            entry.best(&self.forwardings).filter(|_| self.announcer(entry.best_place) != Some(peer.id));
        let group = group.and_then(|at| table.groups.get(at)?.as_ref());
        group.zip(best).is_some_and(|(group, best)| group.announced(id, best, self.exports()).is_some())
    }

    /// Who announced a best path, if that peer is still there.
    fn announcer(&self, place: Place) -> Option<PeerId> {
        place.peer().map_or(Some(PeerId::LOCAL), |place| Some(self.peer(place)?.id))
    }

    fn tells(&self, target: &Target<'_>, prefix: Prefix, best: &Chosen) -> bool {
        let Some(profile) = target.profile.as_ref().filter(|_| best.peer != target.peer.id) else {
            return false;
        };
        match best.set {
            Some(set) => self.exports().announces(profile, prefix, Best { set, source: best.source }),
            None => {
                let attributes = PathAttributes::default().to_bytes();
                profile.next_hop.is_some() && profile.policy.accepts(prefix, attributes.as_slice())
            }
        }
    }
}

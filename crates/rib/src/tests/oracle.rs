//! What must come out, computed from everybody's last word alone: no history, no portions, and nothing of the product's
//! decision, checks, policies or export. The order of RFC 4271 section 9.1.2.2 is written down a second time.

use std::collections::{BTreeMap, BTreeSet};

use bgp_wire::attribute::{AsPath, Segment};

use super::*;

/// One peer's last words and settings.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) settings: PeerSettings,
    /// The number of its policies, as [`permits`] knows them.
    pub(super) import: usize,
    pub(super) export: usize,
    pub(super) routes: BTreeMap<Prefix, (PathAttributes, NextHop)>,
}

/// Everybody's last words.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) peers: BTreeMap<u32, Said>,
    pub(super) own: BTreeSet<Prefix>,
    /// Costs of the next hops that can be reached.
    pub(super) reach: BTreeMap<NextHop, u32>,
    pub(super) maximum_paths: usize,
    pub(super) relax: bool,
}

/// What was selected for a prefix: a network of our own, or the peers whose paths are used, the best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selected {
    Own,
    Peers(Vec<u32>),
}

struct Path<'a> {
    peer: u32,
    said: &'a Said,
    attributes: &'a PathAttributes,
    next_hop: NextHop,
}

/// Whether one path takes another one out.
type Beats<'a> = &'a dyn Fn(&Path<'_>, &Path<'_>) -> bool;

impl Path<'_> {
    fn external(&self) -> bool {
        self.said.settings.kind == PeerKind::External
    }

    fn preference(&self) -> u32 {
        match (self.external(), self.attributes.communities.contains(&0xFFFF_0000)) {
            (true, true) => 0,
            (true, false) => 100,
            (false, _) => self.attributes.local_pref.unwrap_or(100),
        }
    }
}

fn numbers(attributes: &PathAttributes) -> Vec<Asn> {
    let segments = attributes.as_path.segments.iter();
    segments
        .flat_map(|segment| match segment {
            Segment::Sequence(asns) => asns.clone(),
            other => panic!("nobody announces {other:?}"),
        })
        .collect()
}

/// None at all, the list of the tests, or everything.
fn permits(number: usize, prefix: Prefix, kind: PeerKind) -> bool {
    let listed = match prefix {
        Prefix::V4(_) => prefix != super::prefix("10.1.0.0/16"),
        Prefix::V6(_) => prefix.to_string().starts_with("2004::"),
    };
    match number {
        0 => kind == PeerKind::Internal,
        1 => listed,
        _ => true,
    }
}

impl World {
    fn usable(&self, prefix: Prefix) -> Vec<Path<'_>> {
        let paths = self.peers.iter().filter_map(|(peer, said)| {
            let (attributes, next_hop) = said.routes.get(&prefix)?;
            let path = numbers(attributes);
            let fit = permits(said.import, prefix, said.settings.kind)
                && !path.contains(&US)
                && (said.settings.kind == PeerKind::Internal || path.first() == Some(&said.settings.asn))
                && self.reach.contains_key(next_hop);
            fit.then_some(Path { peer: *peer, said, attributes, next_hop: *next_hop })
        });
        paths.collect()
    }

    /// The paths that are used, the best first: one is out as soon as another that is still in beats it.
    fn used(&self, prefix: Prefix) -> Vec<Path<'_>> {
        self.used_by(prefix, &|path| path.preference())
    }

    fn used_by(&self, prefix: Prefix, preference: &dyn Fn(&Path<'_>) -> u32) -> Vec<Path<'_>> {
        let mut paths = self.usable(prefix);
        let med = |path: &Path<'_>| path.attributes.med.unwrap_or(0);
        let neighbor = |path: &Path<'_>| numbers(path.attributes).first().copied();
        let beats: [Beats<'_>; 6] = [
            &|a, b| preference(a) > preference(b),
            &|a, b| numbers(a.attributes).len() < numbers(b.attributes).len(),
            &|a, b| (a.attributes.origin as u8) < b.attributes.origin as u8,
            &|a, b| neighbor(a) == neighbor(b) && med(a) < med(b),
            &|a, b| a.external() && !b.external(),
            &|a, b| self.reach.get(&a.next_hop) < self.reach.get(&b.next_hop),
        ];
        for beats in beats {
            let out: Vec<u32> = paths
                .iter()
                .filter(|path| paths.iter().any(|other| beats(other, path)))
                .map(|path| path.peer)
                .collect();
            paths.retain(|path| !out.contains(&path.peer));
        }
        paths
            .sort_by_key(|path| (path.said.settings.router_id.bits(), path.said.settings.address, path.peer));
        if !self.relax
            && let Some(best) = paths.first().map(|path| numbers(path.attributes))
        {
            paths.retain(|path| numbers(path.attributes) == best);
        }
        paths.truncate(self.maximum_paths);
        paths
    }

    /// The Loc-RIB.
    pub(super) fn selected(&self, prefix: Prefix) -> Option<Selected> {
        if self.own.contains(&prefix) {
            return Some(Selected::Own);
        }
        let peers: Vec<u32> = self.used(prefix).into_iter().map(|path| path.peer).collect();
        (!peers.is_empty()).then_some(Selected::Peers(peers))
    }

    /// What the kernel side is told; nothing of networks of our own.
    pub(super) fn wanted(&self, prefix: Prefix) -> BTreeSet<NextHop> {
        if self.own.contains(&prefix) {
            return BTreeSet::new();
        }
        let used = self.used(prefix);
        let key = |path: &Path<'_>| path.peer;
        let is_closing = |path: &&Path<'_>| path.external() && path.preference() == 0;
        let stays = used.iter().any(|path| !is_closing(&path));
        let all = self.used_by(prefix, &|path| if is_closing(&path) { 100 } else { path.preference() });
        // Those that will go keep their flows beside those that are used.
        let beside = stays && used.iter().all(|path| all.iter().any(|other| key(other) == key(path)));
        let used_too = all.iter().filter(|path| beside && is_closing(path));
        used.iter().chain(used_too).map(|path| path.next_hop).collect()
    }

    /// The next hops of which one is the backup; none where there is to be no backup.
    pub(super) fn backups(&self, prefix: Prefix) -> BTreeSet<NextHop> {
        let wanted = self.wanted(prefix);
        if wanted.len() != 1 {
            return BTreeSet::new();
        }
        let all: BTreeSet<NextHop> = self.usable(prefix).into_iter().map(|path| path.next_hop).collect();
        &all - &wanted
    }

    /// What a peer is told of a prefix.
    pub(super) fn told(&self, to: u32, prefix: Prefix) -> Option<(PathAttributes, NextHop)> {
        let peer = self.peers.get(&to)?;
        let external = peer.settings.kind == PeerKind::External;
        let ours = own_address(&peer.settings, prefix.family());
        if !permits(peer.export, prefix, peer.settings.kind) {
            return None;
        }
        let used = self.used(prefix);
        let own = PathAttributes::default();
        let best = if self.own.contains(&prefix) { None } else { Some(used.first()?) };
        let attributes = best.map_or(&own, |best| best.attributes);
        if let Some(best) = best {
            let inside = !external && !best.external();
            let kept_in = external && attributes.communities.contains(&0xFFFF_FF01);
            if best.peer == to || inside || kept_in {
                return None;
            }
        }
        let mut attributes = attributes.clone();
        if external {
            let path = std::iter::once(US).chain(numbers(&attributes)).collect();
            attributes.as_path = AsPath { segments: vec![Segment::Sequence(path)] };
            (attributes.med, attributes.local_pref) = (None, None);
            return Some((attributes, ours?));
        }
        attributes.local_pref = Some(best.map_or(100, Path::preference));
        Some((attributes, best.map(|best| best.next_hop).or(ours)?))
    }
}

/// Our own address as the peer can take it.
fn own_address(settings: &PeerSettings, family: Family) -> Option<NextHop> {
    match (settings.local_address, family) {
        (IpAddr::V6(_), Family::Ipv4Unicast) if !settings.encode.extended_next_hop.ipv4 => None,
        (IpAddr::V4(_), Family::Ipv6Unicast) => None,
        (address, _) => Some(address.into()),
    }
}

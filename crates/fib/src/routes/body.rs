//! What makes two routes of ours for one prefix the same, as a number.
//!
//! Nearly every route points to an object of ours and has the preferred source of the configuration, so the id of the
//! object says it all. What differs (hops inside the route, another source, an object of somebody else) is rare, and each
//! such body is held once.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Range;

use bgp_wire::{Family, PerFamily};
use foldhash::fast::FixedState;

use crate::config::{HOP_IDS, is_our_id};
use crate::kernel::KernelRoute;
use crate::op::RouteTarget;

/// What makes two routes of ours for one prefix the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Body {
    pub(crate) target: RouteTarget,
    pub(crate) preferred_source: Option<IpAddr>,
}

impl Body {
    /// Of a route that the kernel reported.
    pub(crate) fn of(route: &KernelRoute) -> Self {
        let target = match route.nexthop_id {
            Some(id) => RouteTarget::Nexthop(id),
            None => {
                let mut hops = route.hops.clone();
                hops.iter_mut().for_each(|hop| hop.down = false);
                hops.sort_unstable();
                RouteTarget::Hops(hops)
            }
        };
        Self { target, preferred_source: route.preferred_source }
    }
}

/// Names a [`Body`]: an object of ours, or a place in the list of the rare ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BodyId(u32);

/// Numbers of the rare ones; below them is room for what a route packs into the same octets.
const RARE: Range<u32> = 16..HOP_IDS.start;
/// As many rare bodies are held before it is looked which of them are still in use.
const COLLECT_AT: usize = 1024;

impl BodyId {
    pub(super) fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(self) -> u32 {
        self.0
    }

    /// Whether it is no object of ours alone.
    pub(super) fn is_rare(self) -> bool {
        RARE.contains(&self.0)
    }
}

/// All rare bodies, and the sources that make a body one.
#[derive(Debug)]
pub(crate) struct Bodies {
    sources: PerFamily<Option<IpAddr>>,
    ids: HashMap<Body, BodyId, FixedState>,
    rare: HashMap<BodyId, Body, FixedState>,
    next: u32,
    collect_at: usize,
}

impl std::hash::Hash for BodyId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u32(self.0);
    }
}

impl Bodies {
    pub(crate) fn new(sources: PerFamily<Option<IpAddr>>) -> Self {
        let (ids, rare) = (HashMap::default(), HashMap::default());
        Self { sources, ids, rare, next: RARE.start, collect_at: COLLECT_AT }
    }

    /// What a route of `family` to `target` should be.
    pub(crate) fn wanted(&mut self, family: Family, target: &RouteTarget) -> BodyId {
        let preferred_source = self.sources[family];
        self.id_of(family, Body { target: target.clone(), preferred_source })
    }

    /// The id of a body of a route of `family`.
    pub(crate) fn id_of(&mut self, family: Family, body: Body) -> BodyId {
        if let RouteTarget::Nexthop(id) = body.target
            && is_our_id(id)
            && body.preferred_source == self.sources[family]
        {
            return BodyId(id);
        }
        if let Some(id) = self.ids.get(&body) {
            return *id;
        }
        let mut id = BodyId(self.next);
        while self.rare.contains_key(&id) {
            id = next_rare(id);
        }
        self.next = next_rare(id).0;
        self.ids.insert(body.clone(), id);
        self.rare.insert(id, body);
        id
    }

    /// The body of a route of `family`.
    pub(crate) fn get(&self, family: Family, id: BodyId) -> Body {
        match self.rare.get(&id) {
            Some(body) => body.clone(),
            None => Body { target: RouteTarget::Nexthop(id.0), preferred_source: self.sources[family] },
        }
    }

    /// The id of the object that routes with this body point to.
    pub(crate) fn nexthop_id(&self, id: BodyId) -> Option<u32> {
        if !id.is_rare() {
            return Some(id.0);
        }
        match self.rare.get(&id)?.target {
            RouteTarget::Nexthop(id) => Some(id),
            RouteTarget::Hops(_) => None,
        }
    }

    /// The rare bodies with a hop by this link.
    pub(crate) fn by_link(&self, ifindex: u32) -> BTreeSet<BodyId> {
        let by_link = |body: &Body| match &body.target {
            RouteTarget::Hops(hops) => hops.iter().any(|hop| hop.ifindex == ifindex),
            RouteTarget::Nexthop(_) => false,
        };
        self.rare.iter().filter(|(_, body)| by_link(body)).map(|(id, _)| *id).collect()
    }

    /// The bodies of routes that point to one of these objects.
    pub(crate) fn pointing_to(&self, objects: &[u32]) -> BTreeSet<BodyId> {
        let ours = objects.iter().filter(|id| is_our_id(**id));
        let rare = self
            .rare
            .iter()
            .filter(|(_, body)| matches!(&body.target, RouteTarget::Nexthop(id) if objects.contains(id)));
        ours.map(|id| BodyId(*id)).chain(rare.map(|(id, _)| *id)).collect()
    }

    /// So many rare bodies have gathered that [`Bodies::retain`] is due.
    pub(crate) fn is_crowded(&self) -> bool {
        self.rare.len() >= self.collect_at
    }

    /// Forgets the rare bodies that are not among `used`.
    pub(crate) fn retain(&mut self, used: &BTreeSet<BodyId>) {
        self.rare.retain(|id, _| used.contains(id));
        self.ids.retain(|_, id| used.contains(id));
        self.collect_at = COLLECT_AT.max(2 * self.rare.len());
    }
}

fn next_rare(id: BodyId) -> BodyId {
    BodyId(if id.0 + 1 < RARE.end { id.0 + 1 } else { RARE.start })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_ours_is_its_own_number_and_the_rest_is_held_once_while_used() {
        let source: IpAddr = "10.0.0.1".parse().unwrap();
        let mut bodies =
            Bodies::new(PerFamily::from_fn(|family| (family == Family::Ipv4Unicast).then_some(source)));
        let hop = RouteTarget::Nexthop(HOP_IDS.start);
        let plain = bodies.wanted(Family::Ipv4Unicast, &hop);
        assert_eq!(plain, bodies.wanted(Family::Ipv6Unicast, &hop));
        assert_eq!(bodies.get(Family::Ipv4Unicast, plain).preferred_source, Some(source));
        assert_eq!(bodies.get(Family::Ipv6Unicast, plain).preferred_source, None);
        let bare = Body { target: hop, preferred_source: None };
        let rare = bodies.id_of(Family::Ipv4Unicast, bare.clone());
        assert_eq!(rare, bodies.id_of(Family::Ipv4Unicast, bare.clone()));
        assert_eq!(bodies.get(Family::Ipv4Unicast, rare), bare);
        assert_eq!(bodies.nexthop_id(rare), Some(HOP_IDS.start));
        assert_eq!(bodies.pointing_to(&[HOP_IDS.start]), BTreeSet::from([plain, rare]));
        bodies.retain(&BTreeSet::new());
        let other = Body { target: RouteTarget::Hops(Vec::new()), preferred_source: None };
        let other = bodies.id_of(Family::Ipv4Unicast, other);
        assert_eq!(bodies.nexthop_id(other), None);
        assert_eq!(bodies.rare.len(), 1);
    }
}

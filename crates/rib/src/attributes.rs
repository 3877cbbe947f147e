//! Attribute sets as received, each held once with its next hop.
//!
//! The key is the canonical octets of the UPDATE, so a set is interned once for each UPDATE and never parsed twice: what
//! the checks and the selection look at is drawn out when a set is first seen.

use std::hash::BuildHasher;

use bgp_wire::attribute::Origin;
use bgp_wire::{Asn, AttributeBytes, PathAttributes, RouterId, ScopedNextHop};

use crate::interned::Interned;
use crate::next_hops::NextHops;
use crate::seed::Seed;

/// Well-known communities, RFC 1997 and RFC 8326.
pub(crate) const GRACEFUL_SHUTDOWN: u32 = 0xFFFF_0000;
const NO_EXPORT: u32 = 0xFFFF_FF01;
const NO_ADVERTISE: u32 = 0xFFFF_FF02;
const NO_EXPORT_SUBCONFED: u32 = 0xFFFF_FF03;

/// What the checks and the selection look at.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) local_pref: Option<u32>,
    pub(crate) med: u32,
    pub(crate) path_len: u32,
    pub(crate) neighbor_as: Option<Asn>,
    pub(crate) originator: Option<u32>,
    pub(crate) cluster_len: u32,
    pub(crate) origin: Origin,
    /// How often our own AS is in the AS_PATH.
    pub(crate) own_as: u8,
    pub(crate) originator_is_us: bool,
    pub(crate) cluster_is_ours: bool,
    pub(crate) graceful_shutdown: bool,
    /// How far communities let it go.
    pub(crate) scope: Scope,
}

/// How far a route may be announced, RFC 1997.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// To everybody.
    Any,
    /// Not to external peers: NO_EXPORT. NO_EXPORT_SUBCONFED is the same here, since we are in no confederation.
    OwnAs,
    /// To nobody: NO_ADVERTISE.
    Nobody,
}

impl Summary {
    fn new(attributes: &PathAttributes, us: &Us) -> Self {
        let router_id = us.router_id.bits();
        let has = |community| attributes.communities.contains(&community);
        let own_as = attributes.as_path.asns().filter(|asn| *asn == us.asn).count();
        let originator = attributes.originator_id.map(u32::from);
        Self {
            local_pref: attributes.local_pref,
            med: attributes.med.unwrap_or(0),
            path_len: saturated(attributes.as_path.selection_length()),
            neighbor_as: attributes.as_path.neighbor_as(),
            originator,
            cluster_len: saturated(attributes.cluster_list.len()),
            origin: attributes.origin,
            own_as: u8::try_from(own_as).unwrap_or(u8::MAX),
            originator_is_us: originator == Some(router_id),
            cluster_is_ours: attributes.cluster_list.iter().any(|id| u32::from(*id) == router_id),
            graceful_shutdown: has(GRACEFUL_SHUTDOWN),
            scope: if has(NO_ADVERTISE) {
                Scope::Nobody
            } else if has(NO_EXPORT) || has(NO_EXPORT_SUBCONFED) {
                Scope::OwnAs
            } else {
                Scope::Any
            },
        }
    }
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// This speaker, for loop checks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Us {
    pub(crate) asn: Asn,
    pub(crate) router_id: RouterId,
}

/// One set.
#[derive(Debug)]
pub(crate) struct AttributeSet {
    pub(crate) octets: AttributeBytes,
    pub(crate) hop: u32,
    pub(crate) summary: Summary,
}

/// See the module. A set holds its next hop.
#[derive(Debug)]
pub(crate) struct AttributeSets {
    sets: Interned<AttributeSet>,
    seed: Seed,
    us: Us,
}

impl AttributeSets {
    pub(crate) fn new(seed: Seed, us: Us) -> Self {
        Self { sets: Interned::default(), seed, us }
    }

    pub(crate) fn len(&self) -> usize {
        self.sets.len()
    }

    /// The id of this set, with one more holder.
    pub(crate) fn intern(
        &mut self,
        octets: &AttributeBytes,
        next_hop: ScopedNextHop,
        hops: &mut NextHops,
    ) -> u32 {
        let hop = hops.intern(next_hop);
        let hash = self.seed.hash_one((octets, hop));
        if let Some(id) = self.sets.hold_same(hash, |set| set.hop == hop && set.octets == *octets) {
            hops.release(hop);
            return id;
        }
        // Octets of its own: those of the UPDATE would keep the whole read buffer alive.
        let octets = octets.detached();
        let summary = Summary::new(&octets.parse(), &self.us);
        self.sets.add(hash, AttributeSet { octets, hop, summary })
    }

    pub(crate) fn get(&self, id: u32) -> Option<&AttributeSet> {
        self.sets.get(id)
    }

    pub(crate) fn life(&self, id: u32) -> u32 {
        self.sets.life(id)
    }

    pub(crate) fn hold(&mut self, id: u32) {
        self.sets.hold(id, 1);
    }

    pub(crate) fn release(&mut self, id: u32, hops: &mut NextHops) {
        if let Some(set) = self.sets.release(id) {
            hops.release(set.hop);
        }
    }

    /// Whether two sets have equal AS_PATHs.
    pub(crate) fn same_path(&self, a: u32, b: u32) -> bool {
        if a == b {
            return true;
        }
        match (self.get(a), self.get(b)) {
            (Some(a), Some(b)) => a.octets.parse().as_path == b.octets.parse().as_path,
            _ => false,
        }
    }
}

#[cfg(test)]
impl AttributeSets {
    pub(crate) fn holders(&self) -> std::collections::HashMap<u32, u32> {
        self.sets.holders()
    }
}

//! Update groups: peers that are told the same share one Adj-RIB-Out.
//!
//! A group holds one id for each prefix, the attribute set that is announced, so policy runs and a set is rewritten once
//! and not once for each peer. What differs from peer to peer, that a route does not go back to where it came from and
//! what has been sent already, is found when the peer pulls.

use std::hash::BuildHasher;

use bgp_policy::Policy;
use bgp_wire::{AttributeBytes, Family, NextHop, PeerKind, Prefix};

use crate::attributes::{AttributeSets, Scope};
use crate::checks;
use crate::column::Column;
use crate::config::PeerSettings;
use crate::export;
use crate::forwarding::RouteSource;
use crate::interned::{Interned, NONE};
use crate::next_hops::NextHops;
use crate::seed::Seed;

/// What peers of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) kind: PeerKind,
    pub(crate) policy: Policy,
    pub(crate) family: Family,
    /// What we announce as ourselves; `None` where we have no address that fits.
    pub(crate) next_hop: Option<NextHop>,
    pub(crate) next_hop_self: bool,
    /// Next hops of the other AFI may be sent.
    pub(crate) extended_next_hop: bool,
}

impl Profile {
    /// `None` where the peer gets no routes.
    pub(crate) fn new(settings: &PeerSettings, family: Family) -> Option<Self> {
        let policy = checks::export_policy(settings)?;
        let next_hop = export::own_next_hop(settings, family);
        if !settings.families[family] || (next_hop.is_none() && settings.kind == PeerKind::External) {
            return None;
        }
        Some(Self {
            kind: settings.kind,
            policy,
            family,
            next_hop,
            next_hop_self: settings.next_hop_self,
            extended_next_hop: settings.encode.extended_next_hop[family],
        })
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) profile: Profile,
    /// For each prefix the exported set, held.
    pub(crate) cells: Column,
    /// Places of its peers.
    pub(crate) members: Vec<usize>,
    /// For each attribute set its life and the exported set that it becomes, held.
    pub(crate) cache: Vec<Option<Exportable>>,
    /// The next prefix id to look at while a new group is filled; nothing is sent before that is done.
    pub(crate) filling: Option<u32>,
}

/// What a set becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exportable {
    life: u32,
    pub(crate) exported: u32,
}

impl Group {
    pub(crate) fn new(profile: Profile, seed: Seed) -> Self {
        Self { profile, cells: Column::new(seed), members: Vec::new(), cache: Vec::new(), filling: Some(0) }
    }
}

/// An attribute set as it is announced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exported {
    pub(crate) attributes: AttributeBytes,
    pub(crate) next_hop: NextHop,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct ExportedSets {
    pub(crate) sets: Interned<Exported>,
    seed: Seed,
}

impl ExportedSets {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { sets: Interned::default(), seed }
    }

    /// Lets go of sets that a cache held.
    pub(crate) fn forget(&mut self, ids: Vec<u32>) {
        for id in ids {
            self.sets.release(id);
        }
    }

    fn intern(&mut self, exported: Exported) -> u32 {
        let hash = self.seed.hash_one((&exported.attributes, exported.next_hop));
        self.sets.hold_same(hash, |set| *set == exported).unwrap_or_else(|| {
            // What was just written has room to spare behind it.
            let attributes = exported.attributes.detached();
            self.sets.add(hash, Exported { attributes, ..exported })
        })
    }
}

/// What an export looks at.
pub(crate) struct Sources<'a> {
    pub(crate) sets: &'a AttributeSets,
    pub(crate) hops: &'a NextHops,
    pub(crate) exported: &'a mut ExportedSets,
    pub(crate) local_asn: bgp_wire::Asn,
}

/// The best path of a prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Best {
    pub(crate) prefix: Prefix,
    pub(crate) set: u32,
    pub(crate) source: RouteSource,
}

impl Group {
    /// The exported set that `best` becomes, not held for the caller; [`NONE`] where it is not announced.
    pub(crate) fn export(&mut self, best: &Best, from: &mut Sources<'_>) -> u32 {
        let Some(set) = from.sets.get(best.set) else { return NONE };
        let kept_back = match self.profile.kind {
            PeerKind::External => set.summary.scope != Scope::Any,
            // "When a BGP speaker receives an UPDATE message from an internal peer, the receiving BGP speaker SHALL NOT
            // re-distribute the routing information to other internal peers", unless it is a route reflector.
            PeerKind::Internal => set.summary.scope == Scope::Nobody || best.source == RouteSource::Internal,
        };
        if kept_back || !self.profile.policy.accepts(best.prefix, &set.octets) {
            return NONE;
        }
        let (at, life) = (best.set as usize, from.sets.life(best.set));
        if let Some(Some(known)) = self.cache.get(at)
            && known.life == life
        {
            return known.exported;
        }
        let Some(hop) = from.hops.key(set.hop) else { return NONE };
        let route =
            export::Route { attributes: set.octets.parse(), next_hop: hop.next_hop, source: best.source };
        let exported = match export::rewrite(route, &self.profile, from.local_asn) {
            Some((attributes, next_hop)) => {
                from.exported.intern(Exported { attributes: attributes.to_bytes(), next_hop })
            }
            None => NONE,
        };
        if at >= self.cache.len() {
            self.cache.resize(at + 1, None);
        }
        if let Some(place) = self.cache.get_mut(at)
            && let Some(old) = place.replace(Exportable { life, exported })
        {
            from.exported.sets.release(old.exported);
        }
        exported
    }
}

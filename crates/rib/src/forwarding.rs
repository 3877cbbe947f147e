//! What the Loc-RIB tells the kernel side: sets of next hops, each held once.
//!
//! Most prefixes share a few sets, so the Loc-RIB holds an id and a change of next hops is seen by comparing two numbers.

use std::cell::OnceCell;
use std::hash::BuildHasher;
use std::sync::Arc;

use bgp_wire::{PeerKind, ScopedNextHop};
use smallvec::SmallVec;

use crate::interned::{Interned, NONE};
use crate::next_hops::NextHops;
use crate::seed::Seed;

/// Parts of the index: most prefixes share a few sets.
const SHARDS: usize = 16;

/// Where packets to a prefix go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// In order, each once; never empty.
    pub next_hops: Vec<ScopedNextHop>,
    /// The share of each, 1 to 256 in lowest terms, or 0 where it is to keep the flows that it has and get no new ones;
    /// empty where all are equal.
    pub weights: Vec<u16>,
    /// Where the paths come from.
    pub source: RouteSource,
}

impl Forwarding {
    /// Each next hop with its share.
    pub fn shares(&self) -> impl Iterator<Item = (ScopedNextHop, u16)> {
        let weights = self.weights.iter().copied().chain(std::iter::repeat(1));
        self.next_hops.iter().copied().zip(weights)
    }
}

/// Where a path comes from; in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteSource {
    /// A network of our own.
    Local,
    /// An external peer.
    External,
    /// An internal peer.
    Internal,
}

impl RouteSource {
    /// The kind of peer that it is; `None` for a network of our own.
    pub(crate) fn kind(self) -> Option<PeerKind> {
        match self {
            Self::Local => None,
            Self::External => Some(PeerKind::External),
            Self::Internal => Some(PeerKind::Internal),
        }
    }
}

#[derive(Debug)]
struct Set {
    hops: SmallVec<[u32; 4]>,
    /// Of each hop; empty where all are equal.
    weights: SmallVec<[u16; 4]>,
    source: RouteSource,
    /// The same as it is told, made when it is told first.
    told: OnceCell<Arc<Forwarding>>,
}

/// See the module. A set holds its next hops.
#[derive(Debug)]
pub(crate) struct Forwardings {
    sets: Interned<Set>,
    seed: Seed,
    /// The set of one hop that was asked for last. Not held: it is looked at before it is used.
    last: (u32, RouteSource, u32),
}

impl Forwardings {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { sets: Interned::new(SHARDS), seed, last: (NONE, RouteSource::Local, NONE) }
    }

    pub(crate) fn len(&self) -> usize {
        self.sets.len()
    }

    /// [`Forwardings::intern`] for one next hop, which most routes have, and the same as the route before.
    pub(crate) fn intern_one(&mut self, hop: u32, source: RouteSource, table: &mut NextHops) -> u32 {
        let (last_hop, last_source, id) = self.last;
        if (last_hop, last_source) == (hop, source)
            && let Some(set) = self.sets.get(id)
            && set.source == source
            && set.hops.as_slice() == [hop]
        {
            self.sets.hold(id, 1);
            return id;
        }
        let id = self.intern(SmallVec::from_slice(&[hop]), SmallVec::new(), source, table);
        self.last = (hop, source, id);
        id
    }

    /// The id of these next hops in any order and number, with one more holder; none at all is [`NONE`]. `weights` has one
    /// for each, or none where all are equal.
    pub(crate) fn intern(
        &mut self,
        mut hops: SmallVec<[u32; 4]>,
        mut weights: SmallVec<[u16; 4]>,
        source: RouteSource,
        table: &mut NextHops,
    ) -> u32 {
        if hops.is_empty() {
            return NONE;
        }
        if weights.is_empty() {
            hops.sort_unstable();
            hops.dedup();
        } else {
            (hops, weights) = weighed(&hops, &weights);
        }
        let hash = self.seed.hash_one((hops.as_slice(), source));
        let same = |set: &Set| set.hops == hops && set.weights == weights && set.source == source;
        if let Some(id) = self.sets.hold_same(hash, same) {
            return id;
        }
        hops.iter().for_each(|hop| table.hold(*hop));
        self.sets.add(hash, Set { hops, weights, source, told: OnceCell::new() })
    }

    #[inline]
    pub(crate) fn release(&mut self, id: u32, table: &mut NextHops) {
        if id != NONE
            && let Some(set) =
                self.sets.release(id, |set| self.seed.hash_one((set.hops.as_slice(), set.source)))
        {
            set.hops.iter().for_each(|hop| table.release(*hop));
        }
    }

    /// Where the best path comes from that has this set; networks of our own have [`NONE`].
    pub(crate) fn source(&self, id: u32) -> RouteSource {
        self.sets.get(id).map_or(RouteSource::Local, |set| set.source)
    }

    /// The set in full; `None` for [`NONE`].
    pub(crate) fn forwarding(&self, id: u32, table: &NextHops) -> Option<Arc<Forwarding>> {
        let set = self.sets.get(id)?;
        let told = set.told.get_or_init(|| {
            let weights = set.weights.iter().copied().chain(std::iter::repeat(1));
            let keys = set.hops.iter().zip(weights);
            let mut shares: Vec<_> =
                keys.filter_map(|(hop, weight)| Some((table.key(*hop)?, weight))).collect();
            shares.sort_unstable();
            let (next_hops, mut weights): (Vec<_>, Vec<_>) = shares.into_iter().unzip();
            if set.weights.is_empty() {
                weights = Vec::new();
            }
            Arc::new(Forwarding { next_hops, weights, source: set.source })
        });
        Some(Arc::clone(told))
    }
}

/// Sorted, each hop once with the largest of its weights, in lowest terms; without weights where all are equal.
pub(crate) fn weighed(hops: &[u32], weights: &[u16]) -> (SmallVec<[u32; 4]>, SmallVec<[u16; 4]>) {
    let mut shares: SmallVec<[(u32, u16); 4]> = hops.iter().copied().zip(weights.iter().copied()).collect();
    shares.sort_unstable_by_key(|(hop, weight)| (*hop, std::cmp::Reverse(*weight)));
    shares.dedup_by_key(|(hop, _)| *hop);
    let divisor = shares.iter().fold(0, |divisor, (_, weight)| gcd(divisor, *weight)).max(1);
    let hops = shares.iter().map(|(hop, _)| *hop).collect();
    let mut weights: SmallVec<[u16; 4]> = shares.iter().map(|(_, weight)| weight / divisor).collect();
    if weights.iter().all(|weight| *weight == 1) {
        weights.clear();
    }
    (hops, weights)
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
impl Forwardings {
    pub(crate) fn holders(&self) -> std::collections::HashMap<u32, u32> {
        self.sets.holders()
    }
}

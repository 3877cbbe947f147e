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
    /// The next hop of another path, to go by when none of these can be used, until the next decision.
    pub backup: Option<ScopedNextHop>,
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

/// What is selected for a prefix, as ids of next hops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ways {
    pub(crate) hops: SmallVec<[u32; 4]>,
    /// Of each hop; empty where all are equal.
    pub(crate) weights: SmallVec<[u16; 4]>,
    /// [`NONE`] where there is none.
    pub(crate) backup: u32,
    pub(crate) source: RouteSource,
}

#[derive(Debug)]
struct Set {
    ways: Ways,
    /// The same as it is told, made when it is told first.
    told: OnceCell<Arc<Forwarding>>,
}

/// See the module. A set holds its next hops.
#[derive(Debug)]
pub(crate) struct Forwardings {
    sets: Interned<Set>,
    seed: Seed,
    /// Whether a prefix with one next hop is to have a backup.
    backups: bool,
    /// The set of one hop that was asked for last. Not held: it is looked at before it is used.
    last: (u32, RouteSource, u32),
}

impl Forwardings {
    pub(crate) fn new(seed: Seed, backups: bool) -> Self {
        Self { sets: Interned::new(SHARDS), seed, backups, last: (NONE, RouteSource::Local, NONE) }
    }

    pub(crate) fn len(&self) -> usize {
        self.sets.len()
    }

    /// [`Forwardings::intern`] for one next hop, which most routes have, and the same as the route before.
    pub(crate) fn intern_one(&mut self, hop: u32, source: RouteSource, table: &mut NextHops) -> u32 {
        let (last_hop, last_source, id) = self.last;
        if (last_hop, last_source) == (hop, source)
            && let Some(set) = self.sets.get(id)
            && set.ways.source == source
            && set.ways.backup == NONE
            && set.ways.hops.as_slice() == [hop]
        {
            self.sets.hold(id, 1);
            return id;
        }
        let hops = SmallVec::from_slice(&[hop]);
        let id = self.intern(Ways { hops, weights: SmallVec::new(), backup: NONE, source }, table);
        self.last = (hop, source, id);
        id
    }

    /// The id of these ways, next hops in any order and number, with one more holder; none at all is [`NONE`]. `weights`
    /// has one for each, or none where all are equal.
    pub(crate) fn intern(&mut self, mut ways: Ways, table: &mut NextHops) -> u32 {
        if ways.hops.is_empty() {
            return NONE;
        }
        if ways.weights.is_empty() {
            ways.hops.sort_unstable();
            ways.hops.dedup();
        } else {
            (ways.hops, ways.weights) = weighed(&ways.hops, &ways.weights);
        }
        let hash = ways.hash(self.seed);
        if let Some(id) = self.sets.hold_same(hash, |set: &Set| set.ways == ways) {
            return id;
        }
        ways.all().for_each(|hop| table.hold(hop));
        self.sets.add(hash, Set { ways, told: OnceCell::new() })
    }

    /// Whether another path would give these ways the backup that they are to have.
    pub(crate) fn lacks_backup(&self, id: u32) -> bool {
        let lacks = |set: &Set| set.ways.backup == NONE && set.ways.hops.len() == 1;
        self.backups && self.sets.get(id).is_some_and(lacks)
    }

    /// The backup among these ways; [`NONE`] where there is none.
    pub(crate) fn backup(&self, id: u32) -> u32 {
        self.sets.get(id).map_or(NONE, |set| set.ways.backup)
    }

    /// Holds a set, which is held, so many times more.
    pub(crate) fn hold_times(&mut self, id: u32, times: u32) {
        self.sets.hold(id, times);
    }

    #[inline]
    pub(crate) fn release(&mut self, id: u32, table: &mut NextHops) {
        if id != NONE {
            self.let_go(id, table);
        }
    }

    fn let_go(&mut self, id: u32, table: &mut NextHops) {
        if let Some(set) = self.sets.release(id, |set| set.ways.hash(self.seed)) {
            set.ways.all().for_each(|hop| table.release(hop));
        }
    }

    /// Where the best path comes from that has this set; networks of our own have [`NONE`].
    pub(crate) fn source(&self, id: u32) -> RouteSource {
        self.sets.get(id).map_or(RouteSource::Local, |set| set.ways.source)
    }

    /// The set in full; `None` for [`NONE`].
    pub(crate) fn forwarding(&self, id: u32, table: &NextHops) -> Option<&Arc<Forwarding>> {
        let set = self.sets.get(id)?;
        let told = set.told.get_or_init(|| {
            let ways = &set.ways;
            let weights = ways.weights.iter().copied().chain(std::iter::repeat(1));
            let keys = ways.hops.iter().zip(weights);
            let mut shares: Vec<_> =
                keys.filter_map(|(hop, weight)| Some((table.key(*hop)?, weight))).collect();
            shares.sort_unstable();
            let (next_hops, mut weights): (Vec<_>, Vec<_>) = shares.into_iter().unzip();
            if ways.weights.is_empty() {
                weights = Vec::new();
            }
            Arc::new(Forwarding { next_hops, weights, backup: table.key(ways.backup), source: ways.source })
        });
        Some(told)
    }
}

impl Ways {
    fn hash(&self, seed: Seed) -> u64 {
        let hash = seed.hash_one((self.hops.as_slice(), self.backup, self.source));
        // Most have no weights.
        if self.weights.is_empty() { hash } else { seed.hash_one((hash, self.weights.as_slice())) }
    }

    /// Every next hop, that of the backup included.
    fn all(&self) -> impl Iterator<Item = u32> {
        self.hops.iter().copied().chain(Some(self.backup).filter(|backup| *backup != NONE))
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

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    #[test]
    fn weights_are_told_apart_by_the_hash() {
        let weighed = |weight: u16| {
            let weights = smallvec![weight, 1];
            let ways = Ways { hops: smallvec![1, 2], weights, backup: NONE, source: RouteSource::External };
            ways.hash(Seed::new(1))
        };
        let hashes: std::collections::HashSet<u64> = (1..=256).map(weighed).collect();
        assert_eq!(hashes.len(), 256);
    }
}

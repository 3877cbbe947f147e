//! The routes of one family, in slots whose numbers stay.
//!
//! A route takes 32 octets, its key 5 or 17, its place in the index about 10. The index is split into shards: growing one
//! table over a million prefixes would stall for 20 milliseconds. Slots come in chunks for the same reason.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};
use std::net::{Ipv4Addr, Ipv6Addr};

use bgp_wire::{Ipv4Prefix, Ipv6Prefix};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::routes::route::{Flag, NONE, Route};

const CHUNK: usize = 1024;
const SHARDS: usize = 256;

/// A destination in few octets.
pub(super) trait Key: Copy + Eq {
    type Prefix: Copy;

    fn pack(prefix: Self::Prefix) -> Self;
    fn prefix(self) -> Option<Self::Prefix>;
    fn hash(self, seed: &FixedState) -> u64;
}

/// Address and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyV4 {
    octets: [u8; 4],
    len: u8,
}

impl Key for KeyV4 {
    type Prefix = Ipv4Prefix;

    fn pack(prefix: Ipv4Prefix) -> Self {
        Self { octets: prefix.address().octets(), len: prefix.len() }
    }

    fn prefix(self) -> Option<Ipv4Prefix> {
        Ipv4Prefix::new(Ipv4Addr::from(self.octets), self.len)
    }

    fn hash(self, seed: &FixedState) -> u64 {
        let network = u32::from_be_bytes(self.octets).checked_shr(32 - u32::from(self.len)).unwrap_or(0);
        beside_neighbours(hash(seed, (network >> 3, self.len)), network)
    }
}

/// Address and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyV6 {
    octets: [u8; 16],
    len: u8,
}

impl Key for KeyV6 {
    type Prefix = Ipv6Prefix;

    fn pack(prefix: Ipv6Prefix) -> Self {
        Self { octets: prefix.address().octets(), len: prefix.len() }
    }

    fn prefix(self) -> Option<Ipv6Prefix> {
        Ipv6Prefix::new(Ipv6Addr::from(self.octets), self.len)
    }

    fn hash(self, seed: &FixedState) -> u64 {
        let network = u128::from_be_bytes(self.octets).checked_shr(128 - u32::from(self.len)).unwrap_or(0);
        let [.., last] = network.to_be_bytes();
        beside_neighbours(hash(seed, (network >> 3, self.len)), last.into())
    }
}

/// The hash of a network from that of the eight to which it belongs: prefixes that are next to each other come together, so
/// they share a line of the index, where the seven highest bits tell one from another. No more than eight do, however
/// long the prefixes are, so nobody can crowd a place.
fn beside_neighbours(eight: u64, network: u32) -> u64 {
    (eight & !(7 << 57)) | (u64::from(network & 7) << 57)
}

fn hash(seed: &FixedState, value: impl Hash) -> u64 {
    seed.hash_one(value)
}

/// A list that grows without being moved.
#[derive(Debug)]
struct Chunks<T>(Vec<Vec<T>>);

impl<T> Chunks<T> {
    fn get(&self, at: u32) -> Option<&T> {
        let at = usize::try_from(at).ok()?;
        self.0.get(at / CHUNK)?.get(at % CHUNK)
    }

    fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        let at = usize::try_from(at).ok()?;
        self.0.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }

    /// All chunks are full but the last.
    fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * CHUNK + last.len())
    }

    fn push(&mut self, value: T) {
        match self.0.last_mut().filter(|last| last.len() < CHUNK) {
            Some(last) => last.push(value),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(value);
                self.0.push(chunk);
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Table<K> {
    seed: FixedState,
    routes: Chunks<Route>,
    keys: Chunks<K>,
    shards: Box<[HashTable<u32>]>,
    /// The first of the slots to be used again; each names the next.
    free: u32,
    /// Slots to be looked at, each once.
    pub(super) queue: VecDeque<u32>,
    /// Slots whose routes are to be removed; see [`Table::take_removal`].
    pub(super) removals: Vec<u32>,
    chance: u64,
}

impl<K: Key> Table<K> {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed: FixedState::with_seed(seed),
            routes: Chunks(Vec::new()),
            keys: Chunks(Vec::new()),
            shards: std::iter::repeat_with(HashTable::new).take(SHARDS).collect(),
            free: NONE,
            queue: VecDeque::new(),
            removals: Vec::new(),
            chance: seed | 1,
        }
    }

    /// One of the removals, by chance: peers withdraw in whatever order they like, and the kernel's IPv4 table takes five
    /// times as long for sorted removals as for others.
    pub(super) fn take_removal(&mut self) -> Option<u32> {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let count = u64::try_from(self.removals.len()).ok().filter(|count| *count > 0)?;
        let place = usize::try_from((self.chance >> 16) % count).ok()?;
        Some(self.removals.swap_remove(place))
    }

    /// How many slots there are, in use or not.
    pub(super) fn len(&self) -> usize {
        self.routes.len()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Route> {
        self.routes.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Route> {
        self.routes.get_mut(slot)
    }

    pub(super) fn prefix(&self, slot: u32) -> Option<K::Prefix> {
        self.keys.get(slot)?.prefix()
    }

    pub(super) fn find(&self, prefix: K::Prefix) -> Option<u32> {
        let key = K::pack(prefix);
        let hash = key.hash(&self.seed);
        let shard = self.shards.get(shard_of(hash))?;
        shard.find(hash, |slot| self.keys.get(*slot) == Some(&key)).copied()
    }

    /// The slot of a prefix, taken where it has none, and whether that is so. `None` only beyond `limit` slots.
    pub(super) fn find_or_take(&mut self, prefix: K::Prefix, limit: u32) -> Option<(u32, bool)> {
        let key = K::pack(prefix);
        let hash = key.hash(&self.seed);
        let Self { seed, routes, keys, shards, free, .. } = self;
        let shard = shards.get_mut(shard_of(hash))?;
        let hash_of = |slot: &u32| keys.get(*slot).map_or(0, |key| key.hash(seed));
        let vacant = match shard.entry(hash, |slot| keys.get(*slot) == Some(&key), hash_of) {
            Entry::Occupied(entry) => return Some((*entry.get(), false)),
            Entry::Vacant(entry) => entry,
        };
        let slot = match routes.get_mut(*free) {
            Some(route) => {
                let slot = std::mem::replace(free, route.next_free());
                *route = Route::new();
                *keys.get_mut(slot)? = key;
                slot
            }
            None => {
                let slot = u32::try_from(routes.len()).ok().filter(|slot| *slot < limit)?;
                routes.push(Route::new());
                keys.push(key);
                slot
            }
        };
        vacant.insert(slot);
        Some((slot, true))
    }

    /// Ends a slot.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(key) = self.keys.get(slot) else { return };
        let hash = key.hash(&self.seed);
        if let Some(shard) = self.shards.get_mut(shard_of(hash))
            && let Ok(entry) = shard.find_entry(hash, |other| *other == slot)
        {
            entry.remove();
            if let Some(route) = self.routes.get_mut(slot) {
                *route = Route::vacant(std::mem::replace(&mut self.free, slot));
            }
        }
    }

    /// The slots in use.
    pub(super) fn slots(&self) -> impl Iterator<Item = (u32, &Route)> {
        (0_u32..).zip(self.routes.0.iter().flatten()).filter(|(_, route)| route.is(Flag::Used))
    }
}

fn shard_of(hash: u64) -> usize {
    usize::try_from(hash >> 40).unwrap_or(0) % SHARDS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Where hashbrown looks first, and what it compares there.
    fn place_and_tag(prefix: &str) -> (u64, u64) {
        let seed = FixedState::with_seed(7);
        let hash = match prefix.parse().unwrap() {
            bgp_wire::Prefix::V4(prefix) => KeyV4::pack(prefix).hash(&seed),
            bgp_wire::Prefix::V6(prefix) => KeyV6::pack(prefix).hash(&seed),
        };
        (hash & !(0x7f << 57), hash >> 57)
    }

    #[test]
    fn eight_neighbours_share_a_place_and_are_told_apart_there() {
        for family in ["10.0.N.0/24", "2001:db8:N::/48"] {
            let places = |numbers: std::ops::Range<u8>| -> BTreeSet<(u64, u64)> {
                numbers.map(|number| place_and_tag(&family.replace('N', &number.to_string()))).collect()
            };
            let eight = places(0..8);
            assert_eq!(eight.iter().map(|(place, _)| place).collect::<BTreeSet<_>>().len(), 1);
            assert_eq!(eight.len(), 8);
            assert_eq!(places(0..10).iter().map(|(place, _)| place).collect::<BTreeSet<_>>().len(), 2);
        }
        // A longer prefix of the same address is somewhere else, and so is the one that covers everything.
        let all = ["10.0.0.0/24", "10.0.0.0/25", "10.0.0.0/32", "0.0.0.0/0", "::/0", "2001:db8::/128"];
        assert_eq!(all.map(|prefix| place_and_tag(prefix).0).into_iter().collect::<BTreeSet<_>>().len(), 6);
    }
}

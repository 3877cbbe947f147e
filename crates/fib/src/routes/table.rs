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
        hash(seed, (u32::from_be_bytes(self.octets), self.len))
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
        hash(seed, (u128::from_be_bytes(self.octets), self.len))
    }
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
        let shard = self.shards.get(shard_of(hash))?;
        if let Some(slot) = shard.find(hash, |slot| self.keys.get(*slot) == Some(&key)) {
            return Some((*slot, false));
        }
        let slot = match self.routes.get(self.free) {
            Some(free) => {
                let slot = std::mem::replace(&mut self.free, free.next_free());
                *self.routes.get_mut(slot)? = Route::new();
                *self.keys.get_mut(slot)? = key;
                slot
            }
            None => {
                let slot = u32::try_from(self.len()).ok().filter(|slot| *slot < limit)?;
                self.routes.push(Route::new());
                self.keys.push(key);
                slot
            }
        };
        let Self { seed, keys, shards, .. } = self;
        let shard = shards.get_mut(shard_of(hash))?;
        shard.insert_unique(hash, slot, |slot| keys.get(*slot).map_or(0, |key| key.hash(seed)));
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

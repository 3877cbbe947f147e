//! The routes of one family, in slots that stay.
//!
//! A route takes 32 octets, its key 5 or 17. A prefix that is wanted has a number from whoever wants it, which leads to its
//! slot by four octets and no search. What the kernel alone has, and what is not wanted any more and not gone yet, are strays:
//! they are in an index by prefix, split into shards, for growing one table over a million prefixes would stall for 20
//! milliseconds. Slots come in chunks for the same reason.

use std::hash::{BuildHasher, Hash};
use std::net::{Ipv4Addr, Ipv6Addr};

use bgp_wire::{Ipv4Prefix, Ipv6Prefix};
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::routes::route::{Flag, NONE, Route};
use crate::routes::waiting::Waiting;

const CHUNK: usize = 1024;
const SHARDS: usize = 256;
/// Strays of a shard whose room is kept when they are gone.
const FEW: usize = 128;

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
struct Chunks<T> {
    /// All are full but the last.
    chunks: Vec<Vec<T>>,
    len: u32,
}

impl<T> Chunks<T> {
    const EMPTY: Self = Self { chunks: Vec::new(), len: 0 };

    #[inline]
    fn get(&self, at: u32) -> Option<&T> {
        let at = usize::try_from(at).ok()?;
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    #[inline]
    fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        let at = usize::try_from(at).ok()?;
        self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }

    #[inline]
    fn push(&mut self, value: T) {
        self.len += 1;
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(value),
            Some(_) | None => self.open(value),
        }
    }

    /// Begins a chunk.
    #[cold]
    fn open(&mut self, value: T) {
        let mut chunk = Vec::with_capacity(CHUNK);
        chunk.push(value);
        self.chunks.push(chunk);
    }
}

impl Chunks<u32> {
    /// Puts a slot into the place of a number; what was there before. Places that are not there yet are made, without a slot.
    #[inline]
    fn put(&mut self, number: u32, slot: u32) -> u32 {
        // Most numbers that come are the next.
        while self.len < number {
            self.push(NONE);
        }
        match self.get_mut(number) {
            Some(place) => std::mem::replace(place, slot),
            None => {
                self.push(slot);
                NONE
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
    /// The slot of the prefix with a number; [`NONE`] where there is none.
    numbered: Chunks<u32>,
    strays: Strays,
    /// The first of the slots to be used again; each names the next.
    free: u32,
    /// Slots to be looked at, each once.
    pub(super) waiting: Waiting,
    /// Slots whose routes are to be removed; see [`Table::take_removal`].
    pub(super) removals: Vec<u32>,
    chance: u64,
}

impl<K: Key> Table<K> {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed: FixedState::with_seed(seed),
            routes: Chunks::EMPTY,
            keys: Chunks::EMPTY,
            numbered: Chunks::EMPTY,
            strays: Strays::new(),
            free: NONE,
            waiting: Waiting::default(),
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
    pub(super) fn len(&self) -> u32 {
        self.routes.len
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

    /// The slot of a prefix, which has this number if it has one.
    pub(super) fn find(&self, prefix: K::Prefix, number: Option<u32>) -> Option<u32> {
        let key = K::pack(prefix);
        number.and_then(|number| self.with_number(key, number)).or_else(|| self.stray(key))
    }

    /// The slot of a prefix that is wanted under this number, taken where it has none, and whether that is so. `None` only
    /// beyond `limit` slots.
    #[inline]
    pub(super) fn find_or_take(&mut self, prefix: K::Prefix, number: u32, limit: u32) -> Option<(u32, bool)> {
        let key = K::pack(prefix);
        if let Some(slot) = self.with_number(key, number) {
            return Some((slot, false));
        }
        if number >= limit {
            return None;
        }
        let (slot, is_new) = match self.stray(key) {
            Some(slot) => {
                self.strays.remove(key.hash(&self.seed), slot);
                (slot, false)
            }
            None => (self.take(key, limit)?, true),
        };
        let before = self.numbered.put(number, slot);
        if before != NONE {
            // Whoever numbers has not said that it has been given to another prefix.
            self.stray_again(before);
        }
        Some((slot, is_new))
    }

    /// The slot of a prefix that the kernel has, and whether it has been taken for that.
    pub(super) fn find_or_stray(
        &mut self,
        prefix: K::Prefix,
        number: Option<u32>,
        limit: u32,
    ) -> Option<(u32, bool)> {
        if let Some(slot) = self.find(prefix, number) {
            return Some((slot, false));
        }
        let slot = self.take(K::pack(prefix), limit)?;
        self.stray_again(slot);
        Some((slot, true))
    }

    /// The number is that of another prefix from now on; the slot that it had.
    pub(super) fn let_go(&mut self, prefix: K::Prefix, number: u32) -> Option<u32> {
        let slot = self.with_number(K::pack(prefix), number)?;
        if let Some(place) = self.numbered.get_mut(number) {
            *place = NONE;
        }
        self.stray_again(slot);
        Some(slot)
    }

    #[inline]
    fn with_number(&self, key: K, number: u32) -> Option<u32> {
        let slot = *self.numbered.get(number)?;
        (self.keys.get(slot)? == &key).then_some(slot)
    }

    fn stray(&self, key: K) -> Option<u32> {
        if self.strays.is_empty() {
            return None;
        }
        self.strays.find(key.hash(&self.seed), |slot| self.keys.get(slot) == Some(&key))
    }

    /// Has a slot found by its prefix alone.
    fn stray_again(&mut self, slot: u32) {
        if let Some(key) = self.keys.get(slot) {
            self.strays.insert(key.hash(&self.seed), slot);
        }
    }

    /// A slot for a prefix that has none; `None` only beyond `limit` of them.
    #[inline]
    fn take(&mut self, key: K, limit: u32) -> Option<u32> {
        let Some(route) = self.routes.get_mut(self.free) else {
            let slot = Some(self.routes.len).filter(|slot| *slot < limit)?;
            self.routes.push(Route::new());
            self.keys.push(key);
            return Some(slot);
        };
        let slot = std::mem::replace(&mut self.free, route.next_free());
        *route = Route::new();
        *self.keys.get_mut(slot)? = key;
        Some(slot)
    }

    /// Ends the slot of a stray; the route that it had.
    #[inline]
    pub(super) fn remove(&mut self, slot: u32) -> Option<Route> {
        let key = self.keys.get(slot)?;
        if !self.strays.remove(key.hash(&self.seed), slot) {
            return None;
        }
        let route = self.routes.get_mut(slot)?;
        Some(std::mem::replace(route, Route::vacant(std::mem::replace(&mut self.free, slot))))
    }

    /// The slots in use.
    pub(super) fn slots(&self) -> impl Iterator<Item = (u32, &Route)> {
        (0_u32..).zip(self.routes.chunks.iter().flatten()).filter(|(_, route)| route.is(Flag::Used))
    }
}

impl Table<KeyV4> {
    /// Whether a route that the kernel does not have lets those to other prefixes go first. The kernel's IPv4 table is a tree
    /// that is rebuilt where more comes than it was made for, and takes a sixth less time for a whole table where short
    /// prefixes have given it its shape before the long ones come. Host routes are somebody's services: they wait for no table.
    #[inline]
    pub(super) fn gives_way(&self, slot: u32) -> bool {
        self.keys.get(slot).is_some_and(|key| (24..32).contains(&key.len))
    }
}

/// Slots by the hash of their prefix.
#[derive(Debug)]
struct Strays {
    shards: Box<[HashTable<Stray>]>,
    len: usize,
}

/// One of them, with the half of its hash that says where it belongs: growing looks at no key.
#[derive(Clone, Copy, Debug)]
struct Stray {
    hash: u32,
    slot: u32,
}

impl Strays {
    fn new() -> Self {
        Self { shards: std::iter::repeat_with(HashTable::new).take(SHARDS).collect(), len: 0 }
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = upper(hash);
        let is_it = |stray: &Stray| stray.hash == hash && same(stray.slot);
        self.shards.get(shard_of(hash))?.find(whole(hash), is_it).map(|stray| stray.slot)
    }

    fn insert(&mut self, hash: u64, slot: u32) {
        let hash = upper(hash);
        if let Some(shard) = self.shards.get_mut(shard_of(hash)) {
            shard.insert_unique(whole(hash), Stray { hash, slot }, |stray| whole(stray.hash));
            self.len += 1;
        }
    }

    /// Whether it was there.
    fn remove(&mut self, hash: u64, slot: u32) -> bool {
        let hash = upper(hash);
        let Some(shard) = self.shards.get_mut(shard_of(hash)) else { return false };
        let Ok(entry) = shard.find_entry(whole(hash), |stray| stray.slot == slot) else { return false };
        entry.remove();
        if shard.is_empty() && shard.capacity() > FEW {
            *shard = HashTable::new();
        }
        self.len -= 1;
        true
    }
}

/// The half of a hash in which neighbours are told apart.
fn upper(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(0)
}

/// A hash whose lower bits say where to look first, and whose seven highest what is compared there.
fn whole(upper: u32) -> u64 {
    u64::from(upper) << 32 | u64::from(upper)
}

/// By bits that are not among those by which a shard of some thousands is searched.
fn shard_of(upper: u32) -> usize {
    usize::try_from(upper >> 16).unwrap_or(0) % SHARDS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The shard with where hashbrown looks first there, and what it compares.
    fn place_and_tag(prefix: &str) -> (u32, u64) {
        let seed = FixedState::with_seed(7);
        let hash = match prefix.parse().unwrap() {
            bgp_wire::Prefix::V4(prefix) => KeyV4::pack(prefix).hash(&seed),
            bgp_wire::Prefix::V6(prefix) => KeyV6::pack(prefix).hash(&seed),
        };
        (upper(hash) & 0x00ff_ffff, whole(upper(hash)) >> 57)
    }

    fn v4(text: &str) -> Ipv4Prefix {
        let Ok(bgp_wire::Prefix::V4(prefix)) = text.parse() else { panic!("{text} is no IPv4 prefix") };
        prefix
    }

    #[test]
    fn a_prefix_is_found_by_its_number_while_it_is_wanted_and_by_itself_before_and_after() {
        let mut table = Table::<KeyV4>::new(7);
        let (a, b) = (v4("10.0.0.0/8"), v4("10.0.0.0/9"));
        let limit = 5000;
        // Of an earlier run: the kernel has it, and nobody has numbered it.
        assert_eq!(table.find_or_stray(a, None, limit), Some((0, true)));
        assert_eq!(
            (table.find(a, None), table.find(a, Some(3)), table.find(b, None)),
            (Some(0), Some(0), None)
        );
        assert_eq!(table.find_or_take(a, 3, limit), Some((0, false)));
        assert_eq!((table.find(a, Some(3)), table.strays.len), (Some(0), 0));
        assert_eq!(table.find_or_stray(a, Some(3), limit), Some((0, false)));
        assert_eq!(table.find_or_take(b, 2000, limit), Some((1, true)));
        // The number goes to another prefix while the route is still on its way out.
        assert_eq!(table.let_go(b, 3), None, "that is not its number");
        assert_eq!(table.let_go(a, 3), Some(0));
        assert_eq!(table.find_or_take(v4("10.0.0.0/10"), 3, limit), Some((2, true)));
        assert_eq!((table.find(a, None), table.find(a, Some(3))), (Some(0), Some(0)));
        // It is wanted again, under another number, and then gone for good.
        assert_eq!(table.find_or_take(a, 0, limit), Some((0, false)));
        assert!(table.remove(0).is_none(), "a prefix that is wanted keeps its slot");
        assert_eq!(table.let_go(a, 0), Some(0));
        assert!(table.remove(0).is_some());
        assert_eq!((table.find(a, None), table.strays.len), (None, 0));
        assert_eq!(
            table.find_or_take(v4("10.0.0.0/11"), 1, limit),
            Some((0, true)),
            "the slot is used again"
        );
        assert_eq!(table.find_or_take(v4("10.0.0.0/12"), limit, limit), None);
    }

    #[test]
    fn a_number_that_was_given_to_another_prefix_without_a_word_loses_no_route() {
        let mut table = Table::<KeyV4>::new(7);
        let (a, b) = (v4("10.0.0.0/8"), v4("10.0.0.0/9"));
        assert_eq!(table.find_or_take(a, 0, 10), Some((0, true)));
        assert_eq!(table.find_or_take(b, 0, 10), Some((1, true)));
        assert_eq!((table.find(a, None), table.find(b, Some(0))), (Some(0), Some(1)));
    }

    #[test]
    fn eight_neighbours_share_a_place_and_are_told_apart_there() {
        for family in ["10.0.N.0/24", "2001:db8:N::/48"] {
            let places = |numbers: std::ops::Range<u8>| -> BTreeSet<(u32, u64)> {
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

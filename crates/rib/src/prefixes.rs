//! Prefixes of one family under dense ids.
//!
//! An id indexes every column and bit set of the family, so it is small and is used again when nothing refers to it; who
//! refers to it is counted in `table`. Keys are packed: 5 octets for IPv4, 17 for IPv6.

use std::hash::BuildHasher;
use std::net::{Ipv4Addr, Ipv6Addr};

use bgp_wire::update::encode;
use bgp_wire::{Family, Ipv4Prefix, Ipv6Prefix, Prefix};
use bytes::BytesMut;

use crate::index::{self, Index};
use crate::paged::Paged;
use crate::seed::Seed;

/// Parts of the index: of a million prefixes one has a thousand, which grow in microseconds.
const SHARDS: usize = 1024;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) enum Prefixes {
    V4(Keys<PackedV4>),
    V6(Keys<PackedV6>),
}

impl Prefixes {
    pub(crate) fn new(family: Family, seed: Seed) -> Self {
        match family {
            Family::Ipv4Unicast => Self::V4(Keys::new(seed)),
            Family::Ipv6Unicast => Self::V6(Keys::new(seed)),
        }
    }

    /// Ids in use, and those that wait to be used again.
    pub(crate) fn ids(&self) -> usize {
        match self {
            Self::V4(keys) => keys.keys.len(),
            Self::V6(keys) => keys.keys.len(),
        }
    }

    pub(crate) fn find(&self, prefix: Prefix) -> Option<u32> {
        match prefix {
            Prefix::V4(prefix) => Ipv4Prefix::keys(self)?.find(prefix.into()),
            Prefix::V6(prefix) => Ipv6Prefix::keys(self)?.find(prefix.into()),
        }
    }

    /// The id of `prefix`, a new one if it has none, and whether it had none; `None` only for a prefix of the other family.
    #[inline]
    pub(crate) fn insert<D: Destination>(&mut self, prefix: D) -> Option<(u32, bool)> {
        Some(D::keys_mut(self)?.insert(D::Key::from(prefix)))
    }

    pub(crate) fn prefix(&self, id: u32) -> Option<Prefix> {
        match self {
            Self::V4(keys) => keys.keys.get(id as usize)?.prefix().map(Prefix::V4),
            Self::V6(keys) => keys.keys.get(id as usize)?.prefix().map(Prefix::V6),
        }
    }

    /// Whether `id` is, or was last, that of `prefix`.
    #[inline]
    pub(crate) fn is_at<D: Destination>(&self, id: u32, prefix: D) -> bool {
        D::keys(self).is_some_and(|keys| keys.keys.get(id as usize) == Some(&D::Key::from(prefix)))
    }

    /// What an UPDATE says of prefixes, by their ids.
    pub(crate) fn destinations<'a>(&'a self, ids: &'a [u32]) -> Destinations<'a> {
        Destinations { prefixes: self, ids }
    }

    /// Forgets the prefix; its id is used again.
    pub(crate) fn remove(&mut self, id: u32) {
        match self {
            Self::V4(keys) => keys.remove(id),
            Self::V6(keys) => keys.remove(id),
        }
    }
}

/// A prefix of a family that is known where the code is made: nobody has to ask for it.
pub(crate) trait Destination: Copy + Into<Prefix> {
    type Key: Key + From<Self>;

    fn keys(prefixes: &Prefixes) -> Option<&Keys<Self::Key>>;
    fn keys_mut(prefixes: &mut Prefixes) -> Option<&mut Keys<Self::Key>>;
}

impl Destination for Ipv4Prefix {
    type Key = PackedV4;

    #[inline]
    fn keys(prefixes: &Prefixes) -> Option<&Keys<PackedV4>> {
        match prefixes {
            Prefixes::V4(keys) => Some(keys),
            Prefixes::V6(_) => None,
        }
    }

    #[inline]
    fn keys_mut(prefixes: &mut Prefixes) -> Option<&mut Keys<PackedV4>> {
        match prefixes {
            Prefixes::V4(keys) => Some(keys),
            Prefixes::V6(_) => None,
        }
    }
}

impl Destination for Ipv6Prefix {
    type Key = PackedV6;

    #[inline]
    fn keys(prefixes: &Prefixes) -> Option<&Keys<PackedV6>> {
        match prefixes {
            Prefixes::V4(_) => None,
            Prefixes::V6(keys) => Some(keys),
        }
    }

    #[inline]
    fn keys_mut(prefixes: &mut Prefixes) -> Option<&mut Keys<PackedV6>> {
        match prefixes {
            Prefixes::V4(_) => None,
            Prefixes::V6(keys) => Some(keys),
        }
    }
}

/// Prefixes by their ids, as an UPDATE carries them.
pub(crate) struct Destinations<'a> {
    prefixes: &'a Prefixes,
    /// Those that are left.
    ids: &'a [u32],
}

impl Destinations<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl encode::Destinations for Destinations<'_> {
    fn family(&mut self) -> Option<Family> {
        let family = match self.prefixes {
            Prefixes::V4(_) => Family::Ipv4Unicast,
            Prefixes::V6(_) => Family::Ipv6Unicast,
        };
        (!self.ids.is_empty()).then_some(family)
    }

    fn pack(&mut self, add_path: bool, room: usize, out: &mut BytesMut) -> usize {
        let ids = self.ids.iter();
        let packed = match self.prefixes {
            Prefixes::V4(keys) => {
                let keys = ids.filter_map(|id| keys.keys.get(*id as usize)).map(|key| key.parts());
                encode::pack_octets(keys, add_path, room, out)
            }
            Prefixes::V6(keys) => {
                let keys = ids.filter_map(|id| keys.keys.get(*id as usize));
                encode::pack_octets(keys.map(|key| (key.len, key.address)), add_path, room, out)
            }
        };
        self.ids = self.ids.get(packed..).unwrap_or_default();
        packed
    }
}

/// Keys by id, ids by key.
#[derive(Clone, Debug)]
pub(crate) struct Keys<K> {
    seed: Seed,
    index: Index,
    keys: Paged<K>,
    free: Vec<u32>,
}

/// A packed prefix.
pub(crate) trait Key: Copy + Eq {
    /// The hash under which it is found. Eight that are next to each other, with one length, have the same but for the
    /// last three bits of the tag, and so stand in one line: peers tell them together, and then the line is at hand.
    fn hash(&self, seed: Seed) -> u64;
}

impl<K: Key> Keys<K> {
    fn new(seed: Seed) -> Self {
        Self { seed, index: Index::new(SHARDS), keys: Paged::default(), free: Vec::new() }
    }

    #[inline]
    fn find(&self, key: K) -> Option<u32> {
        self.index.find(key.hash(self.seed), |id| self.keys.get(id as usize) == Some(&key))
    }

    /// The id, and whether it is new.
    #[inline]
    fn insert(&mut self, key: K) -> (u32, bool) {
        let hash = key.hash(self.seed);
        if let Some(id) = self.index.find(hash, |id| self.keys.get(id as usize) == Some(&key)) {
            return (id, false);
        }
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(place) = self.keys.get_mut(id as usize) {
                    *place = key;
                }
                id
            }
            None => {
                self.keys.push(key);
                u32::try_from(self.keys.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.index.insert(hash, id);
        (id, true)
    }

    fn remove(&mut self, id: u32) {
        if let Some(key) = self.keys.get(id as usize) {
            self.index.remove(key.hash(self.seed), id);
            self.free.push(id);
        }
    }
}

/// Address and length in 5 octets, where the aligned integers would take 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackedV4([u8; 5]);

impl From<Ipv4Prefix> for PackedV4 {
    fn from(prefix: Ipv4Prefix) -> Self {
        let [a, b, c, d] = prefix.bits().to_be_bytes();
        Self([a, b, c, d, prefix.len()])
    }
}

impl Key for PackedV4 {
    #[inline]
    fn hash(&self, seed: Seed) -> u64 {
        let [a, b, c, d, len] = self.0;
        let bits = u64::from(u32::from_be_bytes([a, b, c, d]));
        let shift = 32 - u32::from(len.min(32));
        let last = bits & SIBLINGS << shift;
        beside(seed.hash_one((bits ^ last) << 8 | u64::from(len)), last >> shift)
    }
}

impl PackedV4 {
    /// Length and address.
    #[inline]
    fn parts(self) -> (u8, [u8; 4]) {
        let [a, b, c, d, len] = self.0;
        (len, [a, b, c, d])
    }

    fn prefix(self) -> Option<Ipv4Prefix> {
        let [a, b, c, d, len] = self.0;
        Ipv4Prefix::new(Ipv4Addr::new(a, b, c, d), len)
    }
}

/// Length and address in 17 octets, where the aligned integers would take 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackedV6 {
    len: u8,
    address: [u8; 16],
}

impl From<Ipv6Prefix> for PackedV6 {
    fn from(prefix: Ipv6Prefix) -> Self {
        Self { len: prefix.len(), address: prefix.bits().to_be_bytes() }
    }
}

impl Key for PackedV6 {
    #[inline]
    fn hash(&self, seed: Seed) -> u64 {
        let bits = u128::from_be_bytes(self.address);
        let shift = 128 - u32::from(self.len.min(128));
        let last = bits & u128::from(SIBLINGS).checked_shl(shift).unwrap_or(0);
        let sibling = u64::try_from(last.checked_shr(shift).unwrap_or(0)).unwrap_or(0);
        beside(seed.hash_one((bits ^ last, self.len)), sibling)
    }
}

/// The last bits of a prefix that do not take part in its hash.
const SIBLINGS: u64 = 7;

/// The hash with these bits of the tag instead of its own; see [`Key::hash`].
#[inline]
fn beside(hash: u64, sibling: u64) -> u64 {
    hash & !(SIBLINGS << index::TAG_SHIFT) | sibling << index::TAG_SHIFT
}

impl PackedV6 {
    fn prefix(self) -> Option<Ipv6Prefix> {
        Ipv6Prefix::new(Ipv6Addr::from(self.address), self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str) -> Ipv4Prefix {
        let Ok(Prefix::V4(prefix)) = text.parse() else { panic!("{text} is no IPv4 prefix") };
        prefix
    }

    fn v6(text: &str) -> Ipv6Prefix {
        let Ok(Prefix::V6(prefix)) = text.parse() else { panic!("{text} is no IPv6 prefix") };
        prefix
    }

    #[test]
    fn ids_are_dense_and_used_again() {
        let texts = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/9", "255.255.255.255/32"];
        let mut table = Prefixes::new(Family::Ipv4Unicast, Seed::new(1));
        for (id, text) in (0u32..).zip(texts) {
            assert_eq!(table.insert(v4(text)), Some((id, true)));
            assert_eq!(table.insert(v4(text)), Some((id, false)));
            assert_eq!(table.find(text.parse().unwrap()), Some(id));
            assert_eq!(table.prefix(id).unwrap().to_string(), text);
        }
        table.remove(1);
        assert_eq!(table.find("10.0.0.0/8".parse().unwrap()), None);
        assert_eq!(table.insert(v4("192.0.2.0/24")), Some((1, true)));
        assert_eq!(table.insert(v4("10.0.0.0/8")), Some((4, true)));
        assert_eq!(table.insert(v6("::/0")), None);
        assert_eq!(table.ids(), 5);
    }

    #[test]
    fn ipv6_survives_the_packing() {
        let mut table = Prefixes::new(Family::Ipv6Unicast, Seed::new(1));
        for text in ["::/0", "2004::1/128", "2001:db8:1:2:3:4:5:6/128", "ffff::/16"] {
            let (id, _) = table.insert(v6(text)).unwrap();
            assert_eq!(table.prefix(id).unwrap().to_string(), text);
        }
    }
}

//! Prefixes of one family under dense ids.
//!
//! An id indexes every column and bit set of the family, so it is small and is used again when nothing refers to it; who
//! refers to it is counted in `table`. Keys are packed: 8 octets for IPv4, 24 for IPv6. The index is split into shards,
//! since growing one table over a million prefixes stalls a single insert for 19 ms.

use std::hash::{BuildHasher, Hash};
use std::net::{Ipv4Addr, Ipv6Addr};

use bgp_wire::{Family, Ipv4Prefix, Ipv6Prefix, Prefix};
use hashbrown::HashTable;

use crate::paged::Paged;
use crate::seed::Seed;

const SHARDS: usize = 256;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) enum Prefixes {
    V4(Index<PackedV4>),
    V6(Index<PackedV6>),
}

impl Prefixes {
    pub(crate) fn new(family: Family, seed: Seed) -> Self {
        match family {
            Family::Ipv4Unicast => Self::V4(Index::new(seed)),
            Family::Ipv6Unicast => Self::V6(Index::new(seed)),
        }
    }

    /// Ids in use, and those that wait to be used again.
    pub(crate) fn ids(&self) -> usize {
        match self {
            Self::V4(index) => index.keys.len(),
            Self::V6(index) => index.keys.len(),
        }
    }

    pub(crate) fn find(&self, prefix: Prefix) -> Option<u32> {
        match (self, prefix) {
            (Self::V4(index), Prefix::V4(prefix)) => index.find(prefix.into()),
            (Self::V6(index), Prefix::V6(prefix)) => index.find(prefix.into()),
            (Self::V4(_), Prefix::V6(_)) | (Self::V6(_), Prefix::V4(_)) => None,
        }
    }

    /// The id of `prefix`, a new one if it has none; `None` only for a prefix of the other family.
    pub(crate) fn insert(&mut self, prefix: Prefix) -> Option<u32> {
        match (self, prefix) {
            (Self::V4(index), Prefix::V4(prefix)) => Some(index.insert(prefix.into())),
            (Self::V6(index), Prefix::V6(prefix)) => Some(index.insert(prefix.into())),
            (Self::V4(_), Prefix::V6(_)) | (Self::V6(_), Prefix::V4(_)) => None,
        }
    }

    pub(crate) fn prefix(&self, id: u32) -> Option<Prefix> {
        match self {
            Self::V4(index) => index.keys.get(id as usize)?.prefix().map(Prefix::V4),
            Self::V6(index) => index.keys.get(id as usize)?.prefix().map(Prefix::V6),
        }
    }

    /// Forgets the prefix; its id is used again.
    pub(crate) fn remove(&mut self, id: u32) {
        match self {
            Self::V4(index) => index.remove(id),
            Self::V6(index) => index.remove(id),
        }
    }
}

/// Keys by id, ids by key.
#[derive(Clone, Debug)]
pub(crate) struct Index<K> {
    seed: Seed,
    shards: Box<[HashTable<u32>]>,
    keys: Paged<K>,
    free: Vec<u32>,
}

impl<K: Copy + Eq + Hash> Index<K> {
    fn new(seed: Seed) -> Self {
        Self {
            seed,
            shards: std::iter::repeat_with(HashTable::new).take(SHARDS).collect(),
            keys: Paged::default(),
            free: Vec::new(),
        }
    }

    fn find(&self, key: K) -> Option<u32> {
        let hash = self.seed.hash_one(key);
        let shard = self.shards.get(shard_of(hash))?;
        shard.find(hash, |id| self.keys.get(*id as usize) == Some(&key)).copied()
    }

    fn insert(&mut self, key: K) -> u32 {
        let Self { seed, shards, keys, free } = self;
        let hash = seed.hash_one(key);
        let Some(shard) = shards.get_mut(shard_of(hash)) else { return u32::MAX };
        if let Some(id) = shard.find(hash, |id| keys.get(*id as usize) == Some(&key)) {
            return *id;
        }
        let id = match free.pop() {
            Some(id) => {
                if let Some(place) = keys.get_mut(id as usize) {
                    *place = key;
                }
                id
            }
            None => {
                keys.push(key);
                u32::try_from(keys.len() - 1).unwrap_or(u32::MAX)
            }
        };
        shard.insert_unique(hash, id, |id| keys.get(*id as usize).map_or(0, |key| seed.hash_one(key)));
        id
    }

    fn remove(&mut self, id: u32) {
        let Some(key) = self.keys.get(id as usize) else { return };
        let hash = self.seed.hash_one(key);
        if let Some(shard) = self.shards.get_mut(shard_of(hash))
            && let Ok(entry) = shard.find_entry(hash, |other| *other == id)
        {
            entry.remove();
            self.free.push(id);
        }
    }
}

fn shard_of(hash: u64) -> usize {
    usize::try_from(hash >> 48).unwrap_or(0) % SHARDS
}

/// Address and length in 8 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PackedV4(u64);

impl From<Ipv4Prefix> for PackedV4 {
    fn from(prefix: Ipv4Prefix) -> Self {
        Self(u64::from(prefix.bits()) << 8 | u64::from(prefix.len()))
    }
}

impl PackedV4 {
    fn prefix(self) -> Option<Ipv4Prefix> {
        let [_, _, _, a, b, c, d, len] = self.0.to_be_bytes();
        Ipv4Prefix::new(Ipv4Addr::new(a, b, c, d), len)
    }
}

/// Address and length in 24 octets, where the aligned integer would take 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PackedV6 {
    high: u64,
    low: u64,
    len: u8,
}

impl From<Ipv6Prefix> for PackedV6 {
    fn from(prefix: Ipv6Prefix) -> Self {
        let [a, b, c, d, e, f, g, h] = prefix.address().segments();
        let join = |parts: [u16; 4]| parts.iter().fold(0, |bits, part| bits << 16 | u64::from(*part));
        Self { high: join([a, b, c, d]), low: join([e, f, g, h]), len: prefix.len() }
    }
}

impl PackedV6 {
    fn prefix(self) -> Option<Ipv6Prefix> {
        let bits = u128::from(self.high) << 64 | u128::from(self.low);
        Ipv6Prefix::new(Ipv6Addr::from(bits), self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_dense_and_used_again() {
        let texts = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/9", "255.255.255.255/32"];
        let mut table = Prefixes::new(Family::Ipv4Unicast, Seed::new(1));
        for (id, text) in (0u32..).zip(texts) {
            assert_eq!(table.insert(text.parse().unwrap()), Some(id));
            assert_eq!(table.find(text.parse().unwrap()), Some(id));
            assert_eq!(table.prefix(id).unwrap().to_string(), text);
        }
        table.remove(1);
        assert_eq!(table.find("10.0.0.0/8".parse().unwrap()), None);
        assert_eq!(table.insert("192.0.2.0/24".parse().unwrap()), Some(1));
        assert_eq!(table.insert("10.0.0.0/8".parse().unwrap()), Some(4));
        assert_eq!(table.insert("::/0".parse().unwrap()), None);
        assert_eq!(table.ids(), 5);
    }

    #[test]
    fn ipv6_survives_the_packing() {
        let mut table = Prefixes::new(Family::Ipv6Unicast, Seed::new(1));
        for text in ["::/0", "2004::1/128", "2001:db8:1:2:3:4:5:6/128", "ffff::/16"] {
            let id = table.insert(text.parse().unwrap()).unwrap();
            assert_eq!(table.prefix(id).unwrap().to_string(), text);
        }
    }
}

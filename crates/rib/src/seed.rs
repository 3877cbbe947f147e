//! How the tables hash: foldhash, of which the process draws all that is not the input, so that a peer cannot choose
//! prefixes or attributes that collide. A secret to begin with is not enough: octets that cancel what they are
//! multiplied by leave nothing of it.

use std::hash::BuildHasher;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed {
    start: u64,
    factors: &'static SharedSeed,
}

impl Seed {
    /// All of it follows from one number. The factors are never given back: a process has one RIB, for as long as it
    /// runs.
    pub(crate) fn new(seed: u64) -> Self {
        Self { start: seed, factors: Box::leak(Box::new(SharedSeed::from_u64(seed))) }
    }
}

impl BuildHasher for Seed {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> FoldHasher<'static> {
        FoldHasher::with_seed(self.start, self.factors)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::Ipv6Addr;

    use bgp_wire::{Ipv6Prefix, NextHop, ScopedNextHop};

    use super::*;
    use crate::prefixes::{Key, PackedV6};

    /// Whether numbers of which a peer chooses the rest have hashes of their own.
    fn are_apart(hash: impl Fn(u64) -> u64) {
        let hashes: HashSet<u64> = (0..1000).map(hash).collect();
        assert_eq!(hashes.len(), 1000);
    }

    /// What cancels the factors that foldhash has where none are drawn.
    #[test]
    fn octets_that_cancel_public_constants_do_not_collide() {
        for seed in [1, 2, 0x5eed].map(Seed::new) {
            are_apart(|number| {
                // Eight that are next to each other share what is hashed of them.
                let address = u128::from(0xc0ac_29b7_c97c_50dd_u64) << 64 | u128::from(number << 3);
                PackedV6::from(Ipv6Prefix::new(Ipv6Addr::from(address), 128).unwrap()).hash(seed)
            });
            are_apart(|number| {
                let cancelling = 0xdd50_7cc9_b729_acc0_u64.to_be_bytes().repeat(4);
                let attributes = [&number.to_be_bytes()[..], &cancelling].concat();
                seed.hash_one((attributes.as_slice(), 1u32))
            });
            are_apart(|number| {
                let address = u128::from(number) << 64 | 0x1709_47b5_b5d5_843f;
                seed.hash_one(ScopedNextHop {
                    next_hop: NextHop::V6(Ipv6Addr::from(address)),
                    interface: None,
                })
            });
        }
    }
}

//! What attribute sets become on their way to the peers of a group: the last of them, for those who come next.
//!
//! Peers of a group are told the same within a short time, and a set is looked at once to be sorted and once to be written.
//! So each is worked out about once, and nothing is kept for a table that everybody has.

use std::hash::BuildHasher;

use bgp_wire::NextHop;
use bgp_wire::attribute::AttributeBuffer;

use crate::export::{Best, Exports};
use crate::group::Profile;
use crate::seed::Seed;

/// Places, a power of two; a set has one place. Ids of sets that come together are close to each other.
const PLACES: usize = 1024;
/// Octets of attributes that have a place at most: so those of a group are some megabytes, whatever peers send.
const LARGE: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(crate) struct Rewritten {
    places: Vec<Option<Outgoing>>,
    /// The last one that is too large for its place.
    large: Option<Outgoing>,
    seed: Seed,
}

/// What a peer gets for a set.
#[derive(Debug)]
pub(crate) struct Outgoing {
    best: Best,
    /// Of the set, so that an id that was used again is not taken for the old one.
    life: u32,
    /// The same where octets and next hop are, and never zero. What differs is taken for the same where the hashes of
    /// two in one batch agree, or those of what comes after each other for a prefix: a chance of 2^-64 for each pair,
    /// as nobody outside knows what they are hashed with. 8,192 sets are 2^25 pairs: who could have a hundred such
    /// batches written a second, nothing like each other, would see it once in 170 years.
    pub(crate) key: u64,
    pub(crate) attributes: AttributeBuffer,
    pub(crate) next_hop: NextHop,
}

impl Outgoing {
    fn is(&self, best: Best, life: u32) -> bool {
        self.best == best && self.life == life
    }
}

impl Rewritten {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { places: Vec::new(), large: None, seed }
    }

    /// What peers of `profile`, which is always the same, get for `best`.
    pub(crate) fn get(&mut self, profile: &Profile, best: Best, from: Exports<'_>) -> Option<&Outgoing> {
        let at = best.set as usize % PLACES;
        if at >= self.places.len() {
            self.places.resize_with(at + 1, || None);
        }
        let life = from.sets.life(best.set);
        let place = self.places.get_mut(at)?;
        if place.as_ref().is_some_and(|known| known.is(best, life)) {
            return place.as_ref();
        }
        if self.large.as_ref().is_some_and(|known| known.is(best, life)) {
            return self.large.as_ref();
        }
        let mut attributes = place.take().map_or_else(AttributeBuffer::default, |old| old.attributes);
        attributes.clear();
        let next_hop = from.write(profile, best, &mut attributes)?;
        let key = self.seed.hash_one((attributes.as_slice(), next_hop)).max(1);
        let place = if attributes.as_slice().octets().len() > LARGE { &mut self.large } else { place };
        Some(place.insert(Outgoing { best, life, key, attributes, next_hop }))
    }
}

#[cfg(test)]
impl Rewritten {
    /// Octets of attributes that are kept.
    pub(crate) fn octets(&self) -> usize {
        let kept = self.places.iter().flatten().chain(&self.large);
        kept.map(|outgoing| outgoing.attributes.as_slice().octets().len()).sum()
    }
}

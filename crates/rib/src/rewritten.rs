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

/// See the module.
#[derive(Debug)]
pub(crate) struct Rewritten {
    places: Vec<Option<Outgoing>>,
    seed: Seed,
}

/// What a peer gets for a set.
#[derive(Debug)]
pub(crate) struct Outgoing {
    best: Best,
    /// Of the set, so that an id that was used again is not taken for the old one.
    life: u32,
    /// Equal where octets and next hop are, and never zero.
    pub(crate) key: u64,
    pub(crate) attributes: AttributeBuffer,
    pub(crate) next_hop: NextHop,
}

impl Rewritten {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { places: Vec::new(), seed }
    }

    /// What peers of `profile`, which is always the same, get for `best`.
    pub(crate) fn get(&mut self, profile: &Profile, best: Best, from: Exports<'_>) -> Option<&Outgoing> {
        let at = best.set as usize % PLACES;
        if at >= self.places.len() {
            self.places.resize_with(at + 1, || None);
        }
        let life = from.sets.life(best.set);
        let place = self.places.get_mut(at)?;
        if place.as_ref().is_none_or(|known| known.best != best || known.life != life) {
            let mut attributes = place.take().map_or_else(AttributeBuffer::default, |old| old.attributes);
            attributes.clear();
            let next_hop = from.write(profile, best, &mut attributes)?;
            let key = self.seed.hash_one((attributes.as_slice(), next_hop)).max(1);
            *place = Some(Outgoing { best, life, key, attributes, next_hop });
        }
        place.as_ref()
    }
}

//! Where a neighbour is behind a bridge: its MAC address was seen at a port, and the port tells whether it can still be
//! there.
//!
//! The bridge itself says nothing when one of its ports goes, and the kernel trusts the neighbour's entry for half a
//! minute or longer. The last port of a MAC address stays known after the bridge has forgotten it, for it forgets all
//! addresses of a port that goes down. A neighbour that was lost is back when it has answered, not when its port is up.

use std::collections::BTreeMap;

use crate::kernel::{FdbEntry, Mac, Neighbor, NeighborState};
use crate::tracking::facts::{Facts, NeighborKey};

/// MAC addresses that are remembered; a bridge to more than that is not a host's.
const PLACES: usize = 16_384;

/// Where a MAC address was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    port: u32,
    /// The port's name, for the time when it is gone.
    name: String,
}

/// What the port of a neighbour tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// No port is known, or it works.
    NothingOdd,
    /// The neighbour cannot be there; why, in words.
    Gone(String),
    /// It was gone and its port works again: it counts when it has answered. Once with the address to ask.
    MayBeBack(Option<Mac>),
}

/// Whether a neighbour that was lost has been asked since its port works again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    No,
    Yes,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Stations {
    /// By bridge and address.
    places: BTreeMap<(u32, Mac), Place>,
    /// Addresses of neighbours, which an entry without an answer no longer has.
    macs: BTreeMap<NeighborKey, Mac>,
    /// Those that were gone and have not answered since.
    lost: BTreeMap<NeighborKey, Asked>,
}

impl Stations {
    /// A bridge has learned an address. Says whether it is somewhere else now.
    pub(crate) fn learned(&mut self, entry: &FdbEntry, facts: &Facts) -> bool {
        let key = (entry.bridge, entry.mac);
        if self.places.len() >= PLACES && !self.places.contains_key(&key) {
            return false;
        }
        let place = Place { port: entry.port, name: facts.link_name(entry.port) };
        let port = place.port;
        self.places.insert(key, place).is_none_or(|old| old.port != port)
    }

    /// A bridge has forgotten an address. It stays known where it is a neighbour's: a port that goes down is emptied first.
    pub(crate) fn unlearned(&mut self, entry: &FdbEntry) {
        let is_neighbor = |((link, _), mac): (&NeighborKey, &Mac)| (*link, *mac) == (entry.bridge, entry.mac);
        if !self.macs.iter().any(is_neighbor) {
            self.places.remove(&(entry.bridge, entry.mac));
        }
    }

    /// A neighbour entry was reported; one that has answered is lost no longer.
    pub(crate) fn note(&mut self, neighbor: &Neighbor, facts: &Facts) {
        let key = (neighbor.ifindex, neighbor.address);
        if let Some(mac) = neighbor.mac.filter(|_| neighbor.state.is_valid()) {
            self.macs.insert(key, mac);
        }
        let answers = match neighbor.state {
            NeighborState::Reachable | NeighborState::Permanent | NeighborState::NoArp => true,
            NeighborState::None
            | NeighborState::Incomplete
            | NeighborState::Stale
            | NeighborState::Delay
            | NeighborState::Probe
            | NeighborState::Failed => false,
        };
        if answers && self.gone(key, facts).is_none() {
            self.lost.remove(&key);
        }
    }

    /// The entry is gone and nobody needs it.
    pub(crate) fn forget(&mut self, key: &NeighborKey) {
        self.macs.remove(key);
        self.lost.remove(key);
    }

    /// A link went down: after that everybody behind it is new.
    pub(crate) fn forget_link(&mut self, ifindex: u32) {
        self.macs.retain(|(link, _), _| *link != ifindex);
        self.lost.retain(|(link, _), _| *link != ifindex);
        self.places.retain(|(bridge, _), _| *bridge != ifindex);
    }

    /// Why the neighbour cannot be there, as far as its bridge port tells.
    pub(crate) fn gone(&self, key: NeighborKey, facts: &Facts) -> Option<String> {
        let place = self.places.get(&(key.0, *self.macs.get(&key)?))?;
        let fault = match facts.links.get(&place.port) {
            None => "is gone",
            Some(link) if link.master != Some(key.0) => "is no longer a port of the bridge",
            Some(link) if !link.admin_up => "is down",
            Some(link) if !link.carrier => "has no carrier",
            Some(_) => return None,
        };
        Some(format!("{}, the bridge port of {}, {fault}", place.name, key.1))
    }

    /// What the port tells of somebody who is needed now.
    pub(crate) fn look_for(&mut self, key: NeighborKey, facts: &Facts) -> Seen {
        if let Some(why) = self.gone(key, facts) {
            self.lost.insert(key, Asked::No);
            return Seen::Gone(why);
        }
        match self.lost.get_mut(&key) {
            None => Seen::NothingOdd,
            Some(Asked::Yes) => Seen::MayBeBack(None),
            Some(asked) => {
                *asked = Asked::Yes;
                Seen::MayBeBack(self.macs.get(&key).copied())
            }
        }
    }

    /// It was gone, and has not answered since.
    pub(crate) fn is_lost(&self, key: &NeighborKey) -> bool {
        self.lost.contains_key(key)
    }

    /// The name of the port behind which it was last seen.
    pub(crate) fn port_of(&self, key: NeighborKey) -> Option<&str> {
        Some(self.places.get(&(key.0, *self.macs.get(&key)?))?.name.as_str())
    }
}

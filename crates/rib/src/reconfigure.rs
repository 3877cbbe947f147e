//! What a reload changes while sessions run: a peer's settings, and how wide multipath may be.

use bgp_wire::Family;

use crate::config::{PeerId, PeerSettings};
use crate::rib::Rib;

impl Rib {
    /// Changes settings of a peer whose session is up: what it announced is judged again from the Adj-RIB-In, and it is
    /// told what changes. What the session has negotiated (families, encoding, addresses) is not to be changed here.
    pub fn update_settings(&mut self, id: PeerId, change: impl FnOnce(&mut PeerSettings)) {
        let Some(place) = self.places.get(&id).copied() else { return };
        let Some(peer) = self.peer_mut(place) else { return };
        let weight = peer.settings.weight;
        change(&mut peer.settings);
        let weighed_anew = weight != peer.settings.weight;
        for family in Family::ALL {
            self.reevaluate(place, family);
            self.change_group(place, family);
            if weighed_anew {
                self.tables[family].mark_all();
            }
        }
    }

    /// Changes how many equally good paths are used and whether their AS_PATHs may differ; every prefix is decided again.
    pub fn set_multipath(&mut self, maximum_paths: usize, relax: bool) {
        self.config.maximum_paths = maximum_paths;
        self.config.multipath_relax = relax;
        for family in Family::ALL {
            self.tables[family].mark_all();
        }
    }
}

//! What a reload changes while sessions run: a peer's settings, and how wide multipath may be.

use bgp_wire::Family;

use crate::config::{PeerId, PeerSettings};
use crate::receive::LimitReached;
use crate::rib::Rib;

impl Rib {
    /// Changes settings of a peer whose session is up: what it announced is judged again from the Adj-RIB-In, and it is
    /// told what changes. What the session has negotiated (families, encoding, addresses) is not to be changed here.
    /// Returns the limits that are new, and reached already.
    pub fn update_settings(
        &mut self,
        id: PeerId,
        change: impl FnOnce(&mut PeerSettings),
    ) -> Vec<LimitReached> {
        let mut reached = Vec::new();
        let Some(place) = self.places.get(&id).copied() else { return reached };
        let Some(peer) = self.peer_mut(place) else { return reached };
        let before = peer.settings.maximum_prefix;
        peer.change(change);
        let limits = peer.settings.maximum_prefix;
        for family in Family::ALL {
            self.reevaluate(place, family);
            self.change_group(place, family);
            if limits[family] != before[family] {
                reached.extend(self.begin_limit(place, family));
            }
        }
        reached
    }

    /// Changes how many equally good paths are used and whether their AS_PATHs may differ; every prefix is decided again.
    pub fn set_multipath(&mut self, maximum_paths: usize, relax: bool) {
        self.config.maximum_paths = maximum_paths;
        self.config.multipath_relax = relax;
        for family in Family::ALL {
            self.tables[family].rescan.add_all();
        }
    }
}

//! Long-lived graceful restart, RFC 9494 section 4.2: a peer that is away for longer than its restart time.
//!
//! Its routes get the community LLGR_STALE where they are stored, in portions. All else follows from the community,
//! which another speaker may have put on a route as well: such a route is the last choice (`decision`), and is told to
//! those peers alone that know what it means (`group`).

use std::ops::Range;

use bgp_wire::Family;
use bgp_wire::iana::community::LLGR_STALE;
use hashbrown::HashMap;

use crate::column::Cell;
use crate::config::PeerId;
use crate::peer::Pace;
use crate::receive::forget_limits;
use crate::rib::Rib;

impl Rib {
    /// The restart time of a peer is over and it is not back: its stale routes become long-lived stale ones, and go where
    /// they carry NO_LLGR. How many are stale; [`Rib::decide`] does the rest.
    pub fn begin_long_lived(&mut self, id: PeerId, family: Family) -> u64 {
        let Some(place) = self.places.get(&id).copied() else { return 0 };
        let stale = self.peer(place).map_or(0, |peer| peer.families[family].stale);
        let aging = &mut self.tables[family].aging;
        aging.retain(|(other, _)| *other != place);
        if stale > 0 {
            aging.push((place, 0));
        }
        stale
    }

    /// The same for some of the prefixes.
    pub(crate) fn make_long_lived(&mut self, place: usize, family: Family, ids: Range<u32>) {
        // What each set becomes, held until the end.
        let mut marked: HashMap<u32, u32, _> = HashMap::with_hasher(self.seed);
        let Some(mut adj) = self.adj_rib_in(place, family) else { return };
        for id in ids {
            let cell = adj.state.received.get(id);
            if !cell.stale() {
                continue;
            }
            match adj.sets.get(cell.set()).map(|set| (set.summary.no_llgr(), set.summary.llgr_stale())) {
                // What carries NO_LLGR is not retained.
                Some((true, _)) | None => adj.replace(id, Cell::NONE, Pace::Bulk),
                Some((false, true)) => {}
                Some((false, false)) => {
                    let set = *marked
                        .entry(cell.set())
                        .or_insert_with(|| adj.sets.with_community(cell.set(), LLGR_STALE, adj.hops));
                    adj.sets.hold(set);
                    adj.replace(id, cell.with_set(set), Pace::Bulk);
                }
            }
        }
        for set in marked.into_values() {
            self.sets.release(set, &mut self.hops);
        }
        if let Some(peer) = self.peer_mut(place) {
            forget_limits(&mut peer.families[family], peer.settings.maximum_prefix[family]);
        }
    }
}

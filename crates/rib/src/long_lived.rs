//! Long-lived graceful restart, RFC 9494 section 4.2: a peer that is away for longer than its restart time.
//!
//! Its routes get the community LLGR_STALE where they are stored. All else follows from the community, which another
//! speaker may have put on a route as well: such a route is the last choice (`decision`), and is told to those peers
//! alone that know what it means (`group`).

use bgp_wire::Family;
use bgp_wire::iana::community::LLGR_STALE;
use hashbrown::HashMap;

use crate::column::Cell;
use crate::config::PeerId;
use crate::peer::Pace;
use crate::rib::Rib;

/// What became of the stale routes of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LongLived {
    /// So many stay, as the last choice.
    pub kept: u64,
    /// So many carried NO_LLGR and are gone.
    pub removed: u64,
}

impl Rib {
    /// The restart time of a peer is over and it is not back: its stale routes become long-lived stale ones, and go where
    /// they carry NO_LLGR.
    pub fn begin_long_lived(&mut self, id: PeerId, family: Family) -> LongLived {
        let mut outcome = LongLived::default();
        let Some(place) = self.places.get(&id).copied() else { return outcome };
        let Some(Some(peer)) = self.peers.get_mut(place) else { return outcome };
        let state = &mut peer.families[family];
        let stale: Vec<(u32, Cell)> = state.received.iter().filter(|(_, cell)| cell.stale()).collect();
        // What each set becomes, held until the end.
        let mut marked: HashMap<u32, u32, _> = HashMap::with_hasher(self.seed);
        let Some(mut adj) = self.adj_rib_in(place, family) else { return outcome };
        for (prefix, cell) in stale {
            match adj.sets.get(cell.set()).map(|set| (set.summary.no_llgr(), set.summary.llgr_stale())) {
                // What carries NO_LLGR is not retained.
                Some((true, _)) | None => {
                    adj.replace(prefix, Cell::NONE, Pace::Bulk);
                    outcome.removed += 1;
                }
                Some((false, true)) => outcome.kept += 1,
                Some((false, false)) => {
                    let set = *marked
                        .entry(cell.set())
                        .or_insert_with(|| adj.sets.with_community(cell.set(), LLGR_STALE, adj.hops));
                    adj.sets.hold(set);
                    let marks = cell.with_set(set);
                    adj.replace(prefix, marks, Pace::Bulk);
                    outcome.kept += 1;
                }
            }
        }
        for set in marked.into_values() {
            self.sets.release(set, &mut self.hops);
        }
        // A policy may look at communities.
        self.reevaluate(place, family);
        outcome
    }
}

//! Route refresh, both ways: RFC 2918 section 4, with the brackets of RFC 7313 section 4.
//!
//! Owns what a request of the peer starts, and what its BoRR and EoRR do to the Adj-RIB-In. The messages of ours are written
//! by `advertise`, so that they come where they belong between the routes.

use bgp_wire::Family;

use crate::config::PeerId;
use crate::peer::PeerOut;
use crate::rib::Rib;
use crate::table::Table;

impl Rib {
    /// The peer asked for our routes again: ROUTE-REFRESH, RFC 2918 section 4. Where brackets were agreed on, the routes
    /// come between BoRR and EoRR, and not before our End-of-RIB: "it MUST NOT send a BoRR ... before it sends the EoR".
    pub fn request_refresh(&mut self, id: PeerId, family: Family) {
        let Some(place) = self.places.get(&id).copied() else { return };
        let Some(Some(peer)) = self.peers.get_mut(place) else { return };
        if !peer.speaks(family) {
            return;
        }
        let out = &mut peer.families[family].out;
        if peer.settings.enhanced_route_refresh {
            out.refresh_due = true;
        } else {
            send_again(out, &self.tables[family]);
        }
    }

    /// BoRR: what the peer has announced in the family is stale until it announces it again, and where nothing has come
    /// again since the last one, it is that already. Whether it counts: one that was not agreed on does not, nor does
    /// one before the End-of-RIB of a peer that restarts gracefully.
    pub fn begin_refresh(&mut self, id: PeerId, family: Family) -> bool {
        let Some(place) = self.places.get(&id).copied() else { return false };
        let Some(peer) = self.peer_mut(place) else { return false };
        let early = peer.settings.graceful_restart && !peer.families[family].end_of_rib_received;
        if !peer.settings.enhanced_route_refresh || !peer.speaks(family) || early {
            return false;
        }
        let state = &mut peer.families[family];
        state.refreshing = true;
        state.mark_stale();
        true
    }

    /// EoRR: what is still stale is gone. Whether it counts: "The BGP speaker MUST ignore any EoRR ... without prior receipt
    /// of the associated BoRR".
    pub fn end_refresh(&mut self, id: PeerId, family: Family) -> bool {
        let Some(place) = self.places.get(&id).copied() else { return false };
        let Some(peer) = self.peer_mut(place) else { return false };
        let refreshing = std::mem::take(&mut peer.families[family].refreshing);
        if refreshing {
            self.sweep_stale(id, family);
        }
        refreshing
    }
}

/// Everything that a peer has waits for it again, whatever is known of what an earlier process told it.
pub(crate) fn send_again(out: &mut PeerOut, table: &Table) {
    out.known.clear();
    out.catch_up(table.ids());
}

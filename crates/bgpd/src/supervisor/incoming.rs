//! Connections that come in: whose they are, and peers that come to be by them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, info, warn};

use super::Supervisor;
use super::peers::Entry;
use bgp_rib::PeerId;
use bgp_wire::Prefix;
use tokio::sync::mpsc;

use crate::config::{Group, Mode, Neighbor, Settings};
use crate::net::Accepted;
use crate::peer::{self, Identity, ToPeer};
use crate::routing::FromPeer;
use crate::session_config;

impl Supervisor {
    /// Starts every neighbour that is configured by address.
    pub(super) async fn start_configured(&mut self) {
        let neighbors: Vec<_> = self.config.neighbors.values().cloned().collect();
        for neighbor in neighbors {
            self.start_neighbor(&neighbor).await;
        }
    }

    /// Starts one neighbour that is configured by address.
    pub(super) async fn start_neighbor(&mut self, neighbor: &Neighbor) {
        let entry = self
            .start_peer(neighbor.address, Arc::new(neighbor.settings.clone()), neighbor.interface.clone())
            .await;
        self.peers.insert(neighbor.address, Entry { group: neighbor.group.clone(), ..entry });
    }

    /// A connection: of a known peer, of one that a listen range lets in, or of nobody.
    pub(super) async fn on_incoming(&mut self, accepted: Accepted) {
        let address = accepted.remote.ip().to_canonical();
        if self.peers.get(address).is_none() && !self.admit(address).await {
            return;
        }
        let Some(entry) = self.peers.get_mut(address) else { return };
        entry.seen = Instant::now();
        let inbox = entry.handle.inbox.clone();
        if let Err(error) = crate::net::prepare(&accepted.stream, &entry.settings.session) {
            warn!(peer = %address, %error, "the connection cannot be set up");
            return;
        }
        // A peer task that does not even take a message is refused the connection, not the supervisor its time.
        if inbox.try_send(ToPeer::Incoming(accepted.stream)).is_err() {
            warn!(peer = %address, "connection refused: the peer's task is too busy");
        }
    }

    /// Lets a peer in that no neighbour entry names; false where no range holds it or its range is full.
    async fn admit(&mut self, address: IpAddr) -> bool {
        let Some((range, group)) = self.range_for(address) else {
            debug!(peer = %address, "connection refused: no neighbour and no listen range has this address");
            self.refused.unknown += 1;
            return false;
        };
        let (name, limit, settings) =
            (group.name.clone(), group.listen_limit, Arc::new(group.settings.clone()));
        if self.peers.dynamic_of(&name) >= usize::try_from(limit).unwrap_or(usize::MAX) {
            let Some(absent) = self.peers.longest_absent(&name) else {
                warn!(peer = %address, group = name, limit, "connection refused: listen-limit is reached");
                self.refused.listen_limit += 1;
                return false;
            };
            self.end_peer(absent, peer::deconfigured()).await;
        }
        info!(peer = %address, group = name, %range, "new peer by listen range");
        let entry = self.start_peer(address, settings, None).await;
        self.peers.insert(address, Entry { group: Some(name), range: Some(range), ..entry });
        true
    }

    /// The longest listen range that holds the address, and its group.
    pub(super) fn range_for(&self, address: IpAddr) -> Option<(Prefix, &Group)> {
        let group = self.config.group_for(address)?;
        let range = group
            .listen_ranges
            .iter()
            .filter(|range| range.contains(address))
            .max_by_key(|range| range.len())?;
        Some((*range, group))
    }

    async fn start_peer(
        &mut self,
        address: IpAddr,
        settings: Arc<Settings>,
        interface: Option<String>,
    ) -> Entry {
        let id = self.peers.next_id();
        let passive = !self.config.neighbors.contains_key(&address);
        let config = session_config::session(
            &self.config.bgp,
            self.router_id,
            self.hostname.as_deref(),
            &settings,
            passive,
        );
        let session = bgp_session::Peer::new(config, crate::random::seed(), Instant::now());
        let dial = session_config::dial(address, interface.as_deref(), &settings);
        let identity = Identity { id, address };
        let handle = peer::spawn(identity, session, dial, self.routing.clone(), self.hub.clone());
        self.tell_settings(id, address, Arc::clone(&settings), handle.inbox.clone()).await;
        if passive && settings.session.mode == Mode::Active {
            warn!(peer = %address, "a listen range needs `mode` passive or both; the peer's connections are taken all the same");
        }
        let shutdown = session_config::shutdown(&settings).is_some();
        Entry { id, handle, settings, group: None, interface, range: None, seen: Instant::now(), shutdown }
    }

    /// Tells routing what applies to a peer; before its task has anything to say.
    pub(super) async fn tell_settings(
        &self,
        peer: PeerId,
        address: IpAddr,
        settings: Arc<Settings>,
        inbox: mpsc::Sender<ToPeer>,
    ) {
        if self.routing.send(FromPeer::Settings { peer, address, settings, inbox }).await.is_err() {
            warn!("the routing task is gone");
        }
    }

    /// Lets peers of listen ranges go that have been away for long.
    pub(super) async fn let_absent_peers_go(&mut self) {
        for address in self.peers.absent(Instant::now()) {
            info!(peer = %address, "forgotten: no session for 10 minutes; it is welcome again any time");
            self.end_peer(address, peer::deconfigured()).await;
        }
    }
}

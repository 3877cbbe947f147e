//! Connections that come in: whose they are, and peers that come to be by them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bgp_session::{Command, PeerConfig};
use nix::net::if_::if_nametoindex;
use tracing::{debug, error, info, warn};

use super::Supervisor;
use super::peers::Entry;
use super::place::range_for;

use crate::config::{Mode, Neighbor, Settings};
use crate::net::Accepted;
use crate::peer::handover::Resumed;
use crate::peer::{self, Beginning, Identity, Links, Start, ToPeer};
use crate::routing::FromPeer;
use crate::session_config;

impl Supervisor {
    /// Starts every neighbour that is configured by address and is not there.
    pub(super) fn start_configured(&mut self) {
        let all = self.config.neighbors.values();
        let missing = all.filter(|neighbor| self.peers.get(neighbor.address).is_none());
        for neighbor in missing.cloned().collect::<Vec<_>>() {
            self.start_neighbor(&neighbor);
        }
        self.start_ordered();
    }

    /// Starts peers of listen ranges for which something is ordered, so that an operator sees it and can take it back before
    /// they connect.
    pub(super) fn start_ordered(&mut self) {
        for address in self.ordered.keys().copied().collect::<Vec<_>>() {
            self.start_in_range(address);
        }
        self.ordered.clear();
    }

    /// Starts one neighbour that is configured by address.
    pub(super) fn start_neighbor(&mut self, neighbor: &Neighbor) {
        let settings = Arc::new(neighbor.settings.clone());
        let entry = self.start_peer(neighbor.address, settings, neighbor.interface.clone(), None);
        self.peers.insert(neighbor.address, Entry { group: neighbor.group.clone(), ..entry });
        self.set_bfd(neighbor.address);
    }

    /// A connection: of a known peer, of one that a listen range lets in, or of nobody.
    pub(super) async fn on_incoming(&mut self, accepted: Accepted) {
        let address = accepted.remote.ip().to_canonical();
        self.replace_if_dead(address).await;
        if self.peers.get(address).is_none() && !self.admit(address).await {
            return;
        }
        let Some(entry) = self.peers.get_mut(address) else { return };
        if !is_at(accepted.interface, entry.interface.as_deref()) {
            debug!(peer = %address, "connection refused: it came by another interface than the peer's");
            self.refused.unknown += 1;
            return;
        }
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

    /// A peer whose task has ended by itself, which only a defect of ours can do, costs that peer its session and no more:
    /// it is taken out, and begins anew.
    async fn replace_if_dead(&mut self, address: IpAddr) {
        let Some(entry) = self.peers.get(address).filter(|entry| entry.handle.inbox.is_closed()) else {
            return;
        };
        error!(peer = %address, "the peer's task has ended by itself; the peer begins anew");
        if self.routing.send_last(FromPeer::Removed { peer: entry.id }).await.is_err() {
            return;
        }
        self.remember_orders(address);
        self.peers.remove(address);
        if let Some(neighbor) = self.config.neighbors.get(&address).cloned() {
            self.start_neighbor(&neighbor);
        }
    }

    /// Lets a peer in that no neighbour entry names; false where no range holds it or its range is full.
    async fn admit(&mut self, address: IpAddr) -> bool {
        let Some((range, group)) = range_for(&self.config, address) else {
            const WHY: &str = "connection refused: no neighbour and no listen range has this address";
            if self.strangers.is_news(address, Instant::now()) {
                info!(peer = %address, "{WHY}");
            } else {
                debug!(peer = %address, "{WHY}");
            }
            self.refused.unknown += 1;
            return false;
        };
        let (name, limit) = (group.name.clone(), group.listen_limit);
        if self.peers.dynamic_of(&name) >= usize::try_from(limit).unwrap_or(usize::MAX) {
            let Some(absent) = self.peers.longest_absent(&name) else {
                warn!(peer = %address, group = name, limit, "connection refused: listen-limit is reached");
                self.refused.listen_limit += 1;
                return false;
            };
            self.end_peer(absent, Command::Deconfigure).await;
        }
        info!(peer = %address, group = name, %range, "new peer by listen range");
        self.start_in_range(address);
        true
    }

    /// Starts a peer that a listen range holds.
    fn start_in_range(&mut self, address: IpAddr) {
        let Some((range, group)) = range_for(&self.config, address) else { return };
        let (name, settings) = (group.name.clone(), Arc::new(group.settings.clone()));
        let entry = self.start_peer(address, settings, None, None);
        self.peers.insert(address, Entry { group: Some(name), range: Some(range), ..entry });
        self.set_bfd(address);
    }

    /// What a peer's session is made with.
    pub(super) fn session_config(&self, address: IpAddr, settings: &Settings) -> PeerConfig {
        let passive = !self.config.neighbors.contains_key(&address);
        session_config::session(
            &self.config.bgp,
            self.router_id,
            self.hostname.as_deref(),
            settings,
            passive,
            self.own_restart(),
        )
    }

    /// Starts a peer anew, or goes on with its session.
    pub(super) fn start_peer(
        &mut self,
        address: IpAddr,
        settings: Arc<Settings>,
        interface: Option<String>,
        goes_on: Option<(bgp_session::Peer, Resumed)>,
    ) -> Entry {
        let id = self.peers.next_id();
        let passive = !self.config.neighbors.contains_key(&address);
        let orders = self.ordered.remove(&address).unwrap_or_default();
        let (session, start) = match goes_on {
            Some((session, resumed)) => (session, Start::GoesOn(Box::new(resumed))),
            None => {
                let config = self.session_config(address, &settings);
                let session = bgp_session::Peer::new(config, crate::random::seed(), Instant::now());
                (session, orders.shutdown.clone().map_or(Start::Anew, Start::Down))
            }
        };
        let dial = session_config::dial(address, interface.as_deref(), &settings);
        let identity = Identity { id, address };
        let links = Links { routing: self.routing.clone(), hub: self.hub.clone() };
        let handle = peer::spawn(
            identity,
            Beginning { session, start, dial, settings: self.in_force(&settings, &orders) },
            links,
        );
        if passive && settings.session.mode == Mode::Active {
            warn!(peer = %address, "a listen range needs `mode` passive or both; the peer's connections are taken all the same");
        }
        let shutdown = session_config::shutdown(&settings).is_some() || orders.shutdown.is_some();
        let seen = Instant::now();
        Entry { id, handle, settings, group: None, interface, range: None, seen, shutdown, orders }
    }

    /// Lets peers of listen ranges go that have been away for long, and replaces peers whose task is dead.
    pub(super) async fn let_absent_peers_go(&mut self) {
        let all: Vec<_> = self.peers.iter().map(|(address, _)| address).collect();
        for address in all {
            self.replace_if_dead(address).await;
        }
        for address in self.peers.absent(Instant::now()) {
            info!(peer = %address, "forgotten: no session for 10 minutes; it is welcome again any time");
            self.end_peer(address, Command::Deconfigure).await;
        }
    }
}

/// Whether the link that a connection came by is the interface of this name. Only a link-local address says by which it came.
pub(super) fn is_at(link: Option<u32>, interface: Option<&str>) -> bool {
    match (link, interface) {
        (Some(link), Some(interface)) => if_nametoindex(interface) == Ok(link),
        (None, _) | (_, None) => true,
    }
}

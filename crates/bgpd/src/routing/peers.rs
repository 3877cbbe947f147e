//! What peer tasks and the supervisor say: sessions up and down, UPDATEs, settings.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use std::vec::IntoIter;

use bgp_policy::Policy;
use bgp_rib::{LimitLevel, LimitReached, MaximumPrefix, MaximumPrefixAction, PeerId, PeerSettings};
use bgp_session::{Command, Exceeded, Negotiated, RouteRetention};
use bgp_wire::route_refresh::{RouteRefresh, Subtype};
use bgp_wire::{Family, PerFamily, Prefix, ScopedNextHop, Update};
use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::stale::{self, Deadlines};
use super::{FromPeer, Order, Routing};
use crate::config::{self, LimitAction, Settings};
use crate::local::LocalEnd;
use crate::log::Allowance;
use crate::peer::{Handle, ToPeer};

/// Octets of NLRI that are taken in before small messages of others go ahead: some hundred routes.
const PORTION: usize = 1024;

/// The export policy of a peer that is away: it must not come into an update group.
const TOLD_NOTHING: Option<Policy> = Some(Policy::None);

/// What routing keeps of a peer.
#[derive(Debug)]
pub(super) struct PeerEntry {
    pub(super) address: IpAddr,
    pub(super) settings: Arc<Settings>,
    /// Its task.
    pub(super) handle: Handle,
    /// Its routes outlive a session that ends by an error, as its graceful restart has it: RFC 8538.
    pub(super) outlives: bool,
    /// The link of the present session, or of the last.
    interface: Option<u32>,
    /// Where encoded UPDATEs of the present session go.
    pub(super) chunks: Option<mpsc::Sender<Bytes>>,
    /// How often its out-of-place ROUTE-REFRESHes may be logged.
    misplaced: Allowance,
}

impl Routing {
    /// Takes a message in; what is left of it where it is long and others should have their turn.
    pub(super) fn on_peer(&mut self, message: FromPeer) -> Option<FromPeer> {
        match message {
            FromPeer::Settings { peer, address, settings, handle } => {
                self.on_settings(peer, address, settings, handle)
            }
            FromPeer::Up { peer, negotiated, local, chunks } => self.on_up(peer, &negotiated, local, chunks),
            FromPeer::Restored { peer, part } => self.on_restored(peer, part),
            FromPeer::Updates { peer, updates, octets, received } => {
                let oldest = self.received.get_or_insert(received);
                *oldest = received.min(*oldest);
                let (updates, octets) = self.on_updates(peer, updates, octets);
                let rest = FromPeer::Updates { peer, updates, octets, received };
                return Some(rest).filter(|_| octets > 0);
            }
            FromPeer::Refresh { peer, refresh } => self.on_refresh(peer, refresh),
            FromPeer::FirstKeepalive { peer } => self.restart.first_keepalive(peer),
            FromPeer::Ready { peer } => {
                self.ready.insert(peer);
            }
            FromPeer::Taken => {}
            FromPeer::Down { peer, retention } => self.on_down(peer, retention),
            FromPeer::Removed { peer } => {
                self.end_session(peer);
                self.restart.removed(peer);
                self.lose_paths(peer);
                self.mend_way(peer);
                self.leave_link(peer);
                self.peers.remove(&peer);
            }
        }
        None
    }

    /// Takes in a portion of the UPDATEs; what is left, and how many octets of NLRI that is.
    fn on_updates(
        &mut self,
        id: PeerId,
        mut updates: IntoIter<Update>,
        octets: usize,
    ) -> (IntoIter<Update>, usize) {
        let mut taken = 0;
        while taken < PORTION
            && let Some(update) = updates.next()
        {
            taken += update.nlri_octets();
            self.on_update(id, &update);
        }
        let left = if updates.len() == 0 { 0 } else { octets.saturating_sub(taken).max(1) };
        (updates, left)
    }

    pub(super) fn on_order(&mut self, order: Order) {
        match order {
            Order::Networks(networks) => self.on_networks(&networks),
            Order::Multipath { maximum_paths, relax } => self.rib.set_multipath(maximum_paths, relax),
            Order::Drains(drains) => self.restore_drains(drains),
            Order::TakeOver { sessions, complete, knows } => self.begin_take_over(sessions, complete, knows),
            Order::Freeze(reply) => self.freezing = Some(reply),
            Order::Stop { keep, reply } => {
                info!("our routes in the kernel {}", if keep { "stay" } else { "are removed" });
                self.fib.leave(keep, Instant::now());
                self.stopping = Some(reply);
            }
        }
    }

    fn on_settings(&mut self, id: PeerId, address: IpAddr, settings: Arc<Settings>, handle: Handle) {
        let before = self.peers.get(&id);
        let chunks = before.and_then(|entry| entry.chunks.clone());
        let (outlives, interface) = before.map_or((false, None), |entry| (entry.outlives, entry.interface));
        let is_up = chunks.is_some();
        // Also of a peer that is away: what is kept of it is judged by them.
        let reached = self.rib.update_settings(id, |rib| apply_settings(rib, &settings, is_up));
        self.restart.knows(id, address, crate::session_config::shutdown(&settings).is_none());
        let misplaced = Allowance::new(Instant::now());
        let entry = PeerEntry { address, settings, handle, outlives, interface, chunks, misplaced };
        self.peers.insert(id, entry);
        for limit in reached.into_iter().filter(|_| is_up) {
            self.on_limit(id, limit);
        }
    }

    fn on_up(&mut self, id: PeerId, negotiated: &Negotiated, local: LocalEnd, chunks: mpsc::Sender<Bytes>) {
        let Some(entry) = self.peers.get_mut(&id) else { return };
        entry.chunks = Some(chunks);
        entry.outlives = negotiated.graceful_restart.as_ref().is_some_and(|peer| {
            let families = peer.families();
            peer.notification && (families.ipv4 || families.ipv6)
        });
        entry.interface = local.interface;
        let ends = negotiated.endpoints;
        let mut settings = PeerSettings::new(
            negotiated.kind,
            negotiated.remote_asn,
            negotiated.remote_router_id,
            ends.remote.ip(),
            ends.local.ip(),
        );
        settings.interface = local.interface;
        settings.next_hop = local.next_hop;
        settings.families = negotiated.families;
        settings.encode = negotiated.encode();
        settings.enhanced_route_refresh = negotiated.enhanced_route_refresh;
        settings.graceful_restart = negotiated.ends_initial_routes();
        settings.long_lived = negotiated.graceful_restart.is_some_and(|peer| peer.takes_long_lived);
        apply_settings(&mut settings, &entry.settings, true);
        let stale_time = entry.settings.session.graceful_restart.stale_time;
        self.rib.add_peer(id, settings);
        self.restart.up(id, negotiated.families, negotiated.graceful_restart.as_ref());
        match local.interface {
            Some(link) => self.take_link(id, ends.remote.ip(), link),
            None => self.leave_link(id),
        }
        // Whoever has a session is reached.
        self.mend_way(id);
        self.stale.back(id, stale_time, Instant::now());
        for family in Family::ALL {
            if self.stale.is_running(id, family)
                && let Some(why) = stale::lost(
                    negotiated.graceful_restart.as_ref(),
                    family,
                    self.stale.is_long_lived(id, family),
                )
            {
                self.sweep_stale(id, family, why);
            }
        }
    }

    pub(super) fn on_update(&mut self, id: PeerId, update: &Update) {
        self.note_next_hops(id, update);
        let received = self.rib.receive_update(id, update);
        for limit in received.limits {
            self.on_limit(id, limit);
        }
        if let Some(family) = update.end_of_rib {
            debug!(?id, %family, "End-of-RIB");
            self.restart.end_of_rib(id, family);
            if self.stale.is_running(id, family) {
                self.sweep_stale(id, family, "End-of-RIB");
            }
        }
    }

    fn on_limit(&mut self, id: PeerId, reached: LimitReached) {
        let Some(entry) = self.peers.get(&id) else { return };
        let LimitReached { family, limit, count, level } = reached;
        match level {
            LimitLevel::Warning => {
                warn!(peer = %entry.address, %family, prefixes = count, limit = limit.limit, "close to maximum-prefix");
            }
            LimitLevel::Exceeded => {
                warn!(peer = %entry.address, %family, limit = limit.limit, action = %limit.action, "maximum-prefix exceeded");
                let restart_after = match entry.settings.maximum_prefix.map(|limit| limit.action) {
                    Some(LimitAction::Restart(after)) => Some(after),
                    Some(LimitAction::Stop) => None,
                    Some(LimitAction::Warn) | None => return,
                };
                let exceeded = Exceeded { family, limit: limit.limit };
                let command = Command::MaximumPrefix { exceeded, restart_after };
                let inbox = entry.handle.inbox.clone();
                // The peer task may be waiting for room here: routing never waits for it.
                tokio::spawn(async move { drop(inbox.send(ToPeer::Command(command)).await) });
            }
        }
    }

    fn on_refresh(&mut self, id: PeerId, refresh: RouteRefresh) {
        let Some(family) = refresh.family.family() else { return };
        let counts = match refresh.subtype {
            Subtype::Request => {
                self.rib.request_refresh(id, family);
                true
            }
            Subtype::Begin => self.rib.begin_refresh(id, family),
            Subtype::End => self.rib.end_refresh(id, family),
            Subtype::Other(_) => false,
        };
        if !counts
            && let Some(entry) = self.peers.get_mut(&id)
            && let Some(unsaid) = entry.misplaced.take(Instant::now())
        {
            let subtype = u8::from(refresh.subtype);
            warn!(peer = %entry.address, %family, subtype, unsaid, "ROUTE-REFRESH ignored: it has no place here (RFC 7313)");
        }
    }

    fn on_down(&mut self, id: PeerId, retention: RouteRetention) {
        let mut at_last = PerFamily::from_fn(|family| self.stale.at_last(id, family));
        self.end_session(id);
        self.restart.down(id);
        match retention {
            RouteRetention::Remove => {
                if let Some(entry) =
                    self.peers.get(&id).filter(|_| at_last.iter().any(|(_, at)| at.is_some()))
                {
                    info!(peer = %entry.address, "what was kept for its restart goes");
                }
                self.lose_paths(id);
            }
            RouteRetention::KeepStale { time, families, long_lived, stale_stays } => {
                // What waits for the rest of a route refresh is stale as well, but of no restart before this one.
                for family in Family::ALL {
                    if !stale_stays && at_last[family].take().is_some() {
                        self.rib.sweep_stale(id, family);
                    }
                }
                self.keep_stale(id, time, families, long_lived, at_last);
            }
        }
        self.say_kept(id);
    }

    /// The paths of a peer are gone. What only it has announced is left at once, by whatever has another next hop; what
    /// becomes of each route is decided afterwards.
    fn lose_paths(&mut self, id: PeerId) {
        let lost = self.announced.end(id);
        if !lost.is_empty() {
            self.fib.give_up(&lost, Instant::now());
            self.repair();
        }
        self.rib.remove_peer(id);
        self.mend_unwatched(id);
    }

    pub(super) fn note_next_hops(&mut self, id: PeerId, update: &Update) {
        let interface = self.peers.get(&id).and_then(|entry| entry.interface);
        for announcement in &update.announced {
            let next_hop = ScopedNextHop { next_hop: announcement.next_hop, interface };
            if self.announced.note(id, next_hop) {
                self.fib.take_back(&next_hop);
            }
        }
    }

    fn keep_stale(
        &mut self,
        id: PeerId,
        time: Duration,
        families: PerFamily<bool>,
        long_lived: PerFamily<Duration>,
        at_last: PerFamily<Option<Instant>>,
    ) {
        let limit = self.peers.get(&id).map(|entry| entry.settings.session.graceful_restart.stale_time);
        let limit = limit.unwrap_or(time);
        let (time, now) = (time.min(limit), Instant::now());
        self.rib.mark_stale(id);
        if let Some(import) = self.rib.settings(id).map(|settings| settings.import.clone()) {
            self.rib.set_policy(id, import, TOLD_NOTHING);
        }
        for family in Family::ALL {
            let long_lived = long_lived[family];
            // RFC 9494 section 4.2: a family of the long-lived capability alone has no restart time.
            let restart = if families[family] { now + time } else { now };
            if families[family] || !long_lived.is_zero() {
                let stale = now + limit;
                let ever = if long_lived.is_zero() { stale } else { restart + long_lived + limit };
                let at_last = at_last[family].unwrap_or(ever);
                self.stale.start(id, family, Deadlines { restart, stale, long_lived, at_last });
            } else {
                self.rib.sweep_stale(id, family);
            }
        }
        if let Some(entry) = self.peers.get(&id) {
            info!(peer = %entry.address, seconds = time.as_secs(), "routes stay, stale, until the peer is back");
        }
        self.agent_gone(id, now);
    }

    pub(super) fn begin_long_lived(&mut self, id: PeerId, family: Family) {
        let routes = self.rib.begin_long_lived(id, family);
        if let Some(entry) = self.peers.get(&id) {
            info!(
                peer = %entry.address, %family, routes,
                "the peer is away for longer than its restart time: its routes are the last choice (RFC 9494)"
            );
        }
    }

    fn end_session(&mut self, id: PeerId) {
        self.ready.remove(&id);
        for family in Family::ALL {
            self.stale.stop(id, family);
        }
        if let Some(entry) = self.peers.get_mut(&id) {
            entry.chunks = None;
        }
    }

    pub(super) fn sweep_stale(&mut self, id: PeerId, family: Family, why: &str) {
        self.stale.stop(id, family);
        self.rib.sweep_stale(id, family);
        if let Some(entry) = self.peers.get(&id) {
            info!(peer = %entry.address, %family, "stale routes removed: {why}");
            if entry.chunks.is_none() && self.stale.of(id).is_none() {
                self.lose_paths(id);
            }
        }
        self.say_kept(id);
    }

    /// The supervisor forgets nobody of whom something is kept.
    fn say_kept(&self, id: PeerId) {
        if let Some(entry) = self.peers.get(&id) {
            entry.handle.kept.store(self.stale.of(id).is_some(), Ordering::Relaxed);
        }
    }

    fn on_networks(&mut self, networks: &[Prefix]) {
        for gone in self.networks.iter().filter(|old| !networks.contains(old)) {
            self.rib.withdraw_origin(*gone);
        }
        for new in networks.iter().filter(|new| !self.networks.contains(new)) {
            self.rib.originate(*new);
        }
        self.networks = networks.to_vec();
    }
}

/// The part of a peer's settings that a reload may change under a running session, or while the peer is away and its routes
/// are kept.
pub(super) fn apply_settings(rib: &mut PeerSettings, settings: &Settings, is_up: bool) {
    rib.import = settings.import.clone();
    rib.export = if is_up { settings.export.clone() } else { TOLD_NOTHING };
    rib.next_hop_self = settings.next_hop_self;
    rib.graceful_shutdown = settings.graceful_shutdown;
    rib.weight = settings.weight;
    rib.allow_own_as = settings.allow_own_as;
    rib.enforce_first_as = settings.enforce_first_as;
    let limit = settings.maximum_prefix.map(maximum_prefix);
    rib.maximum_prefix = PerFamily { ipv4: limit, ipv6: limit };
}

fn maximum_prefix(limit: config::MaximumPrefix) -> MaximumPrefix {
    MaximumPrefix {
        limit: limit.limit,
        action: match limit.action {
            LimitAction::Warn => MaximumPrefixAction::Warn,
            LimitAction::Stop => MaximumPrefixAction::Stop,
            LimitAction::Restart(_) => MaximumPrefixAction::Restart,
        },
        warn_at: Some(limit.warn_at),
    }
}

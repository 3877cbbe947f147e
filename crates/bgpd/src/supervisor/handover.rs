//! All sessions at once: brought to rest for another process, or gone on with from one.
//!
//! At rest: nobody accepts, no peer task reads, what they had read is with routing; then routing writes everything down;
//! then each peer task gives its connection away. Gone on with: each session under the configuration of now. Where the
//! peer would have to be told something else, it is told so by a reset; where the peer is configured no more, it is sent
//! away.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bgp_rib::handover::Carried;
use bgp_session::{Command, Peer, PeerConfig, RemoteAs};
use bgp_wire::{PerFamily, Prefix};
use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::Supervisor;
use super::incoming::is_at;
use super::peers::Entry;
use super::place::Place;
use crate::config::Settings;
use crate::handover::{self, Handed, Inherited, Orders, PeerState, State};
use crate::peer::ToPeer;
use crate::peer::handover::{AtRest, CHANGED, FIRST, Rest, Resumed, Routes, part};
use crate::tasks::answer;
use crate::{bfd, random, routing, session_config};

/// How long peer tasks may take to come to rest; when that is over nothing is handed over and everybody goes on. What they
/// have from a process before may be a whole table that routing has not taken in yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long routing may take to write everything down, which cannot be taken back: after that all sessions are lost, so only
/// peers' hold times and the patience of whoever waits are shorter. A whole table takes under a second of CPU; a machine may
/// have little of that to give.
const FREEZING: Duration = Duration::from_secs(15);
/// The longest that it takes to bring everything to rest; BFD is asked twice.
pub(crate) const REST_AT_MOST: Duration =
    PATIENCE.saturating_add(FREEZING).saturating_add(bfd::PATIENCE.saturating_mul(2));

/// A peer task on its way to rest.
struct Resting {
    address: IpAddr,
    proceed: oneshot::Sender<()>,
    taken: oneshot::Receiver<Option<AtRest>>,
}

impl Supervisor {
    /// Brings everything to rest. `Break`: it is, and this task with it. `Continue`: it was given up before anything was
    /// lost, and everybody goes on.
    pub(super) async fn rest(&mut self, reply: oneshot::Sender<Handed>) -> ControlFlow<()> {
        let listeners = match self.listeners.hand_over() {
            Ok(listeners) => listeners,
            Err(error) => {
                error!(%error, "the listening sockets cannot be handed over");
                return ControlFlow::Continue(());
            }
        };
        // While everybody comes to rest it goes on as ever; what ends last begins first.
        self.bfd.stretch().await;
        let Some(resting) = self.stop_reading().await else {
            self.listeners.go_on();
            self.bfd.go_on().await;
            return ControlFlow::Continue(());
        };
        let Some(frozen) = self.freeze_routing().await else {
            error!("routing does not come to rest; the daemon ends");
            return ControlFlow::Break(());
        };
        let mut handed = Handed {
            state: State {
                program: bgp_api::VERSION.to_owned(),
                keys: session_config::keys(&self.config)
                    .into_keys()
                    .map(|prefix| prefix.to_string())
                    .collect(),
                orphans: frozen.orphans,
                drains: frozen.drains,
                closing: self.closing,
                orders: self.all_ordered(),
                peers: Vec::new(),
                bfd: Vec::new(),
                service: handover::service(),
            },
            listeners,
            sessions: Vec::new(),
        };
        self.take_sessions(resting, frozen.peers.into_iter().collect(), &mut handed).await;
        handed.state.bfd = self.bfd.rest().await;
        info!(sessions = handed.sessions.len(), bfd = handed.state.bfd.len(), "everything is at rest");
        answer(reply, handed);
        ControlFlow::Break(())
    }

    /// Has peer tasks give their sessions away. Where one has broken since routing came to rest, what it has in the kernel
    /// stays for a peer that is still to come.
    async fn take_sessions(
        &self,
        resting: Vec<Resting>,
        mut routes: BTreeMap<IpAddr, Carried>,
        handed: &mut Handed,
    ) {
        for Resting { address, proceed, taken } in resting {
            // A task that has ended has no session.
            proceed.send(()).ok();
            let carried = routes.remove(&address);
            let Ok(Some(at_rest)) = taken.await else {
                handed.state.orphans |= carried.is_some();
                continue;
            };
            let carried = carried.unwrap_or_default();
            let AtRest { session, stream, inbound, outbound } = at_rest;
            let closing = self.peers.get(address).is_some_and(|entry| entry.orders.closing);
            let PerFamily { ipv4: refresh_ipv4, ipv6: refresh_ipv6 } = carried.refresh;
            let routes = carried.into();
            handed.sessions.push(stream.into());
            handed.state.peers.push(PeerState {
                address,
                session,
                refresh_ipv4,
                refresh_ipv6,
                closing,
                inbound,
                outbound,
                routes,
            });
        }
    }

    /// What operators have ordered, for peers that are there or still to come.
    fn all_ordered(&self) -> BTreeMap<IpAddr, Orders> {
        let there = self.peers.iter().filter(|(_, entry)| entry.has_orders());
        let there = there.map(|(address, entry)| (address, entry.orders.clone()));
        self.ordered.clone().into_iter().chain(there).collect()
    }

    /// Has every peer task stop reading and give routing what it has; `None` where one does not.
    async fn stop_reading(&mut self) -> Option<Vec<Resting>> {
        let mut resting = Vec::new();
        let mut waits = Vec::new();
        for (address, entry) in self.peers.iter() {
            let (drained, is_drained) = oneshot::channel();
            let (proceed, may_proceed) = oneshot::channel();
            let (taken, is_taken) = oneshot::channel();
            let rest = Rest { drained, proceed: may_proceed, taken };
            if entry.handle.inbox.send(ToPeer::Rest(rest)).await.is_ok() {
                resting.push(Resting { address, proceed, taken: is_taken });
                waits.push(is_drained);
            }
        }
        let all = async {
            for drained in waits {
                // A task that has ended has nothing more to say.
                drained.await.ok();
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            error!("some peer tasks do not come to rest; nothing is handed over");
            return None;
        }
        Some(resting)
    }

    async fn freeze_routing(&self) -> Option<routing::Frozen> {
        let (reply, frozen) = oneshot::channel();
        self.order(routing::Order::Freeze(reply)).await;
        tokio::time::timeout(FREEZING, frozen).await.ok()?.ok()
    }

    /// Goes on with the sessions of the process before.
    pub(super) async fn take_over(&mut self) {
        let mut inherited = std::mem::take(&mut self.inherited);
        let Some(mut state) = inherited.state.take() else { return };
        let peers: Vec<IpAddr> = state.peers.iter().map(|peer| peer.address).collect();
        self.resume_bfd(std::mem::take(&mut state.bfd), &peers);
        self.remove_keys(&state.keys);
        self.closing = state.closing;
        self.ordered = std::mem::take(&mut state.orders);
        for peer in state.peers.iter().filter(|peer| peer.closing) {
            self.ordered.entry(peer.address).or_default().closing = true;
        }
        let (program, orphans) = (state.program, state.orphans);
        self.order(routing::Order::Drains(state.drains)).await;
        let mut sessions = Vec::new();
        let all = state.peers.len();
        for peer in state.peers {
            if let Some(session) = self.judge(peer, &mut inherited) {
                sessions.push(session);
            }
        }
        let going_on = sessions.iter().filter(|session| session.fate.is_ok()).count();
        let (knows, is_known) = oneshot::channel();
        let complete = going_on == all && !orphans;
        self.order(routing::Order::TakeOver { sessions: going_on, complete, knows }).await;
        if is_known.await.is_err() {
            return;
        }
        for session in sessions {
            self.go_on(session);
        }
        info!(%program, sessions = going_on, begun_anew = all - going_on, "took over from the process before");
    }

    /// Which neighbour or range a session belongs to now, and whether it can go on; `None` where it ends here.
    fn judge(&self, peer: PeerState, inherited: &mut Inherited) -> Option<GoingOn> {
        let address = peer.address;
        let stream = inherited.connection(peer.session.endpoints()).and_then(|stream| {
            let socket = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            socket.map_err(|error| warn!(peer = %address, %error, "the connection cannot be used")).ok()
        });
        let Some(place) = self.place_of(address) else {
            info!(peer = %address, "sent away: it is configured no more");
            if let Some(stream) = stream {
                self.send_away(&peer, stream);
            }
            return None;
        };
        let config = self.session_config(address, &place.settings);
        let link = stream.as_ref().and_then(crate::net::link);
        let fate = fate(&peer, link, &config, &place);
        Some(GoingOn { peer, stream, place, config, fate })
    }

    pub(super) fn place_of(&self, address: IpAddr) -> Option<Place> {
        Place::of(&self.config, address)
    }

    fn go_on(&mut self, session: GoingOn) {
        let GoingOn { peer, stream, place, config, fate } = session;
        let (address, now) = (peer.address, Instant::now());
        let mut outputs = Vec::new();
        let resumed = Peer::resume(config, &peer.session, FIRST, random::seed(), now, &mut outputs);
        let goes_on = match resumed {
            Ok(mut resumed) => {
                let routes = match fate {
                    Ok(()) => Some(Box::new(Routes {
                        kind: peer.session.kind(),
                        streams: peer.routes,
                        refresh: PerFamily { ipv4: peer.refresh_ipv4, ipv6: peer.refresh_ipv6 },
                        spoken: peer.session.has_spoken(),
                    })),
                    Err(End { why, command }) => {
                        info!(peer = %address, "the session begins anew: {why}");
                        resumed.command(command, now, &mut outputs);
                        None
                    }
                };
                self.prepare(address, stream.as_ref(), &place.settings);
                let inbound = BytesMut::from(&peer.inbound[..]);
                Some((resumed, Resumed { outputs, stream, inbound, outbound: peer.outbound, routes }))
            }
            Err(error) => {
                error!(peer = %address, "the session begins anew: {error}");
                None
            }
        };
        let Place { settings, group, interface, range } = place;
        let entry = self.start_peer(address, settings, interface, goes_on);
        self.peers.insert(address, Entry { group, range, ..entry });
        self.set_bfd(address);
    }

    /// Sets what the configuration may have changed on a connection that is up.
    fn prepare(&self, address: IpAddr, stream: Option<&TcpStream>, settings: &Settings) {
        let Some(stream) = stream else { return };
        if let Err(error) = crate::net::prepare(stream, &settings.session) {
            warn!(peer = %address, %error, "the connection cannot be set up");
        }
        if let Err(error) = crate::net::set_password(stream, address, settings.session.password.as_ref()) {
            warn!(peer = %address, %error, "the TCP MD5 key cannot be set");
        }
    }

    /// Says Cease, Peer De-configured, to a peer that no task is for.
    fn send_away(&self, peer: &PeerState, stream: TcpStream) {
        let config = PeerConfig::new(self.config.bgp.asn, self.router_id, RemoteAs::External);
        let (now, mut outputs) = (Instant::now(), Vec::new());
        let resumed = Peer::resume(config, &peer.session, FIRST, random::seed(), now, &mut outputs);
        if let Ok(mut session) = resumed {
            session.command(Command::Deconfigure, now, &mut outputs);
            part(stream, peer.outbound.clone(), outputs);
        }
    }

    /// Removes keys from inherited listening sockets that the configuration no longer has.
    fn remove_keys(&self, keys: &[String]) {
        let present = session_config::keys(&self.config);
        let old = keys.iter().filter_map(|key| key.parse::<Prefix>().ok());
        for prefix in old.filter(|prefix| !present.contains_key(prefix)) {
            self.listeners.set_key(prefix, None);
        }
    }
}

/// A session and what becomes of it.
struct GoingOn {
    peer: PeerState,
    stream: Option<TcpStream>,
    place: Place,
    config: PeerConfig,
    /// It goes on, or why it has to end.
    fate: Result<(), End>,
}

/// Why a session ends, and how the peer is told.
struct End {
    why: String,
    command: Command,
}

/// Whether a session can go on under the configuration of now.
fn fate(peer: &PeerState, link: Option<u32>, config: &PeerConfig, place: &Place) -> Result<(), End> {
    if let Some(reason) = &config.shutdown {
        return Err(End { why: "it is shut down".to_owned(), command: Command::Shutdown(reason.clone()) });
    }
    let misfit = peer.session.fits(config).map_err(|misfit| misfit.to_string());
    let fits = misfit.and_then(|()| moved(peer, link, place).map_or(Ok(()), Err));
    fits.map_err(|why| End { why, command: Command::Reset(CHANGED.to_owned()) })
}

/// Which of the ends of its connection is not where it should be now, over its link.
fn moved(peer: &PeerState, link: Option<u32>, place: &Place) -> Option<String> {
    let local = peer.session.endpoints().local.ip();
    if place.settings.session.local_address.is_some_and(|wanted| wanted != local) {
        return Some("local-address has changed".to_owned());
    }
    (!is_at(link, place.interface.as_deref())).then(|| "interface has changed".to_owned())
}

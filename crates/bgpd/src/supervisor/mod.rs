//! The owner of the peers and of the running configuration.
//!
//! Road in: connections from the listeners, requests of the control socket, signals, reports of routing. Road out:
//! messages to peer tasks, orders to routing, replies. Which connection belongs to whom is decided here (configured
//! address, then the longest listen range); what is done with it is the peer task's.

mod actions;
mod bfd;
mod closing;
mod fates;
mod handover;
mod incoming;
mod peers;
mod place;
mod reload;
mod stop;
mod strangers;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_api::{
    ConfigReply, ConfigState, ConfirmReply, ErrorReply, NeighborAction, PeerTotals, ReloadPlan, ReloadReply,
};
use bgp_session::OwnRestart;
use bgp_wire::{Asn, PerFamily, RouterId};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

pub(crate) use actions::unknown;
pub(crate) use handover::REST_AT_MOST;
pub use peers::PeerInfo;

use self::peers::Peers;
use self::strangers::Strangers;
use self::trial::Trial;
use crate::config::Config;
use crate::events::Hub;
use crate::handover::{Handed, Inherited, Orders};
use crate::listener::Listeners;
use crate::net::Accepted;
use crate::routing;
use crate::tasks::{answer, sleep_until};

/// Requests that may wait; senders wait beyond that.
pub const QUEUE: usize = 256;
/// How often peers of listen ranges that stayed away are let go.
const SWEEP: Duration = Duration::from_secs(30);
/// How long peers wait for the kernel's table to be read.
const READING_AT_MOST: Duration = Duration::from_secs(10);

/// What the supervisor is asked.
#[derive(Debug)]
pub enum Request {
    /// Somebody has connected.
    Incoming(Accepted),
    /// Every peer, for views.
    Peers(oneshot::Sender<Vec<PeerInfo>>),
    /// Peers and configuration, for the summary.
    Summary(oneshot::Sender<Summary>),
    /// The running configuration.
    Config(oneshot::Sender<ConfigReply>),
    /// Something is to be done to a peer.
    Act {
        /// Which; `None`: all.
        address: Option<IpAddr>,
        /// What.
        action: NeighborAction,
        /// Why, for the peer and the log.
        reason: Option<String>,
        /// What was done, in words.
        reply: oneshot::Sender<Result<String, ErrorReply>>,
    },
    /// The configuration file is to be read again.
    Reload {
        /// The former configuration comes back after so long unless [`Request::Confirm`] is heard.
        patience: Option<Duration>,
        /// Where the outcome goes beside the log.
        reply: Option<oneshot::Sender<Result<ReloadReply, ErrorReply>>>,
    },
    /// What would a reload do? What it would do to routes is for routing to say.
    Plan(oneshot::Sender<Result<(ReloadPlan, routing::Proposal), ErrorReply>>),
    /// The reload that is on trial is kept.
    Confirm(oneshot::Sender<Result<ConfirmReply, ErrorReply>>),
    /// Another process goes on: everything comes to rest, and this ends. Without a reply nothing has happened.
    Rest(oneshot::Sender<Handed>),
    /// The daemon ends: every session is closed, the reply comes when all NOTIFICATIONs are on their way. With `keep` the
    /// kernel's routes stay, and who was asked to keep ours is told nothing.
    Stop {
        /// Whether the kernel's routes stay.
        keep: bool,
        /// Told when it is done.
        reply: oneshot::Sender<()>,
    },
    /// Is somebody there?
    Ping(oneshot::Sender<()>),
}

/// The supervisor's part of `bgpctl show summary`.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Our AS.
    pub asn: Asn,
    /// Our BGP Identifier.
    pub router_id: RouterId,
    /// Peers by kind.
    pub peers: PeerTotals,
    /// The configuration.
    pub config: ConfigState,
    /// When it was loaded.
    pub loaded: Instant,
    /// Whether the configuration asks for the hash policy to be set.
    pub set_hash_policy: bool,
    /// Connections that were refused before a session.
    pub refused: Refused,
}

/// Connections that were refused before a session, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Neither a neighbour nor in a listen range.
    pub unknown: u64,
    /// Its listen range is full.
    pub listen_limit: u64,
}

/// Everything the supervisor owns.
#[derive(Debug)]
pub struct Supervisor {
    config: Config,
    config_path: PathBuf,
    loaded: Instant,
    last_reload_error: Option<String>,
    /// What the last reload has left for a restart, one sentence each.
    needs_restart: Vec<String>,
    /// The running configuration has not been confirmed yet.
    trial: Option<Trial>,
    /// When a configuration was taken back because nobody confirmed it; none since the last reload.
    rolled_back: Option<Instant>,
    refused: Refused,
    strangers: Strangers,
    router_id: RouterId,
    hostname: Option<String>,
    peers: Peers,
    /// An operator's command has every peer told that its session will be closed.
    closing: bool,
    /// What operators have ordered for peers that are not there yet.
    ordered: BTreeMap<IpAddr, Orders>,
    listeners: Arc<Listeners>,
    routing: routing::Inlet,
    orders: mpsc::Sender<routing::Order>,
    hub: Hub,
    own_restart: watch::Receiver<Option<OwnRestart>>,
    /// Who watches the ways to peers.
    bfd: crate::bfd::Handle,
    /// Of the process before, until it is taken over.
    inherited: Inherited,
}

/// What [`Supervisor::new`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// The checked configuration.
    pub config: Config,
    /// Its file.
    pub config_path: PathBuf,
    /// Our BGP Identifier, configured or derived.
    pub router_id: RouterId,
    /// Host name for the FQDN capability.
    pub hostname: Option<String>,
    /// The listening sockets.
    pub listeners: Arc<Listeners>,
    /// Where peer tasks send.
    pub routing: routing::Inlet,
    /// Where orders go.
    pub orders: mpsc::Sender<routing::Order>,
    /// Where events go.
    pub hub: Hub,
    /// What OPENs say of our own restart, once routing knows it.
    pub own_restart: watch::Receiver<Option<OwnRestart>>,
    /// Who watches the ways to peers.
    pub bfd: crate::bfd::Handle,
    /// What the process before has handed over.
    pub inherited: Inherited,
}

impl Supervisor {
    /// A supervisor without peers yet.
    pub fn new(parts: Parts) -> Self {
        Self {
            config: parts.config,
            config_path: parts.config_path,
            loaded: Instant::now(),
            last_reload_error: None,
            needs_restart: Vec::new(),
            trial: None,
            rolled_back: None,
            refused: Refused::default(),
            strangers: Strangers::default(),
            router_id: parts.router_id,
            hostname: parts.hostname,
            peers: Peers::default(),
            closing: false,
            ordered: BTreeMap::new(),
            listeners: parts.listeners,
            routing: parts.routing,
            orders: parts.orders,
            hub: parts.hub,
            own_restart: parts.own_restart,
            bfd: parts.bfd,
            inherited: parts.inherited,
        }
    }

    /// Starts the configured peers, then works on requests until told to stop.
    pub async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        self.order(routing::Order::Networks(self.config.bgp.networks.clone())).await;
        self.take_over().await;
        self.wait_for_the_kernel().await;
        self.start_configured();
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                request = requests.recv() => {
                    let Some(request) = request else { return };
                    if self.on_request(request).await.is_break() {
                        return;
                    }
                }
                () = sleep_until(self.trial.as_ref().map(|trial| trial.until)) => self.roll_back().await,
                _ = sweep.tick() => self.let_absent_peers_go().await,
            }
        }
    }

    /// No OPEN goes out before it is known what an earlier run left in the kernel: RFC 4724 section 4.1 has R and F say it.
    async fn wait_for_the_kernel(&mut self) {
        let known = self.own_restart.wait_for(Option::is_some);
        if tokio::time::timeout(READING_AT_MOST, known).await.is_err() {
            warn!(
                "the kernel's table has not been read yet; peers are told that no forwarding was preserved"
            );
        }
    }

    /// What an OPEN says of our own restart.
    fn own_restart(&self) -> OwnRestart {
        let unknown = OwnRestart { restarted: false, preserved: PerFamily::default() };
        self.own_restart.borrow().unwrap_or(unknown)
    }

    /// `Break`: that was the last one.
    async fn on_request(&mut self, request: Request) -> ControlFlow<()> {
        match request {
            Request::Incoming(accepted) => self.on_incoming(accepted).await,
            Request::Peers(reply) => answer(reply, self.peers.infos(self.closing)),
            Request::Summary(reply) => answer(reply, self.summary()),
            Request::Config(reply) => answer(reply, self.config_reply()),
            Request::Act { address, action, reason, reply } => {
                let outcome = self.act(address, action, reason).await;
                answer(reply, outcome);
            }
            Request::Plan(reply) => answer(reply, self.plan()),
            Request::Confirm(reply) => answer(reply, self.confirm()),
            Request::Reload { patience, reply } => {
                let outcome = self.reload(patience).await;
                if let Some(reply) = reply {
                    answer(reply, outcome);
                }
            }
            Request::Ping(reply) => answer(reply, ()),
            Request::Rest(reply) => return self.rest(reply).await,
            Request::Stop { keep, reply } => {
                self.stop(keep).await;
                answer(reply, ());
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn summary(&self) -> Summary {
        Summary {
            asn: self.config.bgp.asn,
            router_id: self.router_id,
            peers: PeerTotals {
                groups: u64::try_from(self.config.groups.len()).unwrap_or(u64::MAX),
                ..self.peers.totals()
            },
            config: ConfigState {
                path: self.config_path.display().to_string(),
                loaded_seconds: self.loaded.elapsed().as_secs(),
                last_reload_error: self.last_reload_error.clone(),
                confirm_seconds: self.confirm_seconds(),
                rolled_back_seconds: self.rolled_back_seconds(),
                needs_restart: self.needs_restart.clone(),
            },
            loaded: self.loaded,
            set_hash_policy: self.config.kernel.set_multipath_hash_policy,
            refused: self.refused,
        }
    }

    fn config_reply(&self) -> ConfigReply {
        ConfigReply {
            path: self.config_path.display().to_string(),
            loaded_seconds: self.loaded.elapsed().as_secs(),
            confirm_seconds: self.confirm_seconds(),
            rolled_back_seconds: self.rolled_back_seconds(),
            toml: self.config.to_toml(),
            config: self.config.to_json(),
        }
    }

    /// Orders to routing; routing ends only with the daemon.
    async fn order(&self, order: routing::Order) {
        if self.orders.send(order).await.is_err() {
            warn!("the routing task is gone");
        }
    }
}

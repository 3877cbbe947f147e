//! What routing is told and asked.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_api::{
    DrainReply, ErrorReply, FibQuery, FibReply, NexthopsReply, RouteImpact, RouteQuery, RoutesReply,
};
use bgp_rib::handover::Carried;
use bgp_rib::{Counters, PeerId, Position, Sizes};
use bgp_session::{Negotiated, RouteRetention};
use bgp_wire::route_refresh::RouteRefresh;
use bgp_wire::{PerFamily, Prefix, Update};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::config::Settings;
use crate::local::LocalEnd;
use crate::peer::Handle;

/// A message of a peer task.
#[derive(Debug)]
pub enum FromPeer {
    /// There is a peer, or its settings have changed.
    Settings {
        /// Which peer.
        peer: PeerId,
        /// Its address.
        address: IpAddr,
        /// What applies to it.
        settings: Arc<Settings>,
        /// Where its task is reached.
        handle: Handle,
    },
    /// The session is Established.
    Up {
        /// Which peer.
        peer: PeerId,
        /// What was agreed.
        negotiated: Box<Negotiated>,
        /// Our end of the connection.
        local: LocalEnd,
        /// Where encoded UPDATEs go, one buffer at a time.
        chunks: mpsc::Sender<Bytes>,
    },
    /// The session goes on from the process before, and this is a part of its Adj-RIBs.
    Restored {
        /// Which peer.
        peer: PeerId,
        /// The next part.
        part: Part,
    },
    /// The peer has sent UPDATEs.
    Updates {
        /// Which peer.
        peer: PeerId,
        /// In the order received, those that are not taken in yet.
        updates: std::vec::IntoIter<Update>,
        /// Octets of NLRI in them.
        octets: usize,
        /// When the first of them was read.
        received: Instant,
    },
    /// The peer wants our routes again, or brackets its own.
    Refresh {
        /// Which peer.
        peer: PeerId,
        /// What it sent.
        refresh: RouteRefresh,
    },
    /// The peer's first KEEPALIVE of the session came.
    FirstKeepalive {
        /// Which peer.
        peer: PeerId,
    },
    /// The connection can take another buffer of UPDATEs.
    Ready {
        /// Which peer.
        peer: PeerId,
    },
    /// A buffer of UPDATEs is taken, and there is no room for another.
    Taken,
    /// The session has ended; or there is none, and what is kept of the last is to go.
    Down {
        /// Which peer.
        peer: PeerId,
        /// What becomes of its routes.
        retention: RouteRetention,
    },
    /// The peer is no more.
    Removed {
        /// Which peer.
        peer: PeerId,
    },
}

impl FromPeer {
    /// Whether it is a part of the Adj-RIBs of before.
    pub fn is_part(&self) -> bool {
        matches!(self, Self::Restored { .. })
    }
}

/// A part of the Adj-RIBs that the process before had of a peer; they come in this order.
#[derive(Debug)]
pub enum Part {
    /// What the peer has announced.
    Received(Vec<Update>),
    /// What it has not announced again since a restart of its own, or a refresh.
    Stale(Vec<Update>),
    /// What it was told.
    Sent(Vec<Update>),
    /// That was all.
    End {
        /// It waits for our routes.
        refresh: PerFamily<bool>,
        /// What the peer had to announce at once it has announced.
        spoken: bool,
    },
    /// The rest cannot be read, and the session ends.
    Unreadable,
}

impl Part {
    /// Octets of NLRI in it.
    pub fn nlri_octets(&self) -> usize {
        match self {
            Self::Received(updates) | Self::Stale(updates) | Self::Sent(updates) => {
                updates.iter().map(Update::nlri_octets).sum()
            }
            Self::End { .. } | Self::Unreadable => 0,
        }
    }
}

/// An order of the supervisor.
#[derive(Debug)]
pub enum Order {
    /// How many equally good paths are used, and whether their AS_PATHs may differ.
    Multipath {
        /// At most so many.
        maximum_paths: usize,
        /// They may.
        relax: bool,
    },
    /// The networks that we originate.
    Networks(Vec<Prefix>),
    /// Nodes that were drained in the process before.
    Drains(Vec<DrainState>),
    /// So many sessions go on from the process before: nothing is selected before their routes are all there.
    TakeOver {
        /// How many.
        sessions: usize,
        /// Those are all that there were: nobody else is waited for.
        complete: bool,
        /// Told when it is known.
        knows: oneshot::Sender<()>,
    },
    /// Another process goes on: everything that peers have sent is taken in, and nothing is done any more after the reply.
    Freeze(oneshot::Sender<Frozen>),
    /// The daemon ends: the kernel is left, with our routes or without, then the reply comes.
    Stop {
        /// Whether our routes stay.
        keep: bool,
        /// Told when it is done.
        reply: oneshot::Sender<()>,
    },
}

/// A configuration that is thought about, as far as routes depend on it.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    /// Peers that would have other settings, or be gone.
    pub peers: Vec<(PeerId, Option<Arc<Settings>>)>,
    /// How many paths would be used together, and whether their AS_PATHs might differ, where that changes.
    pub multipath: Option<(usize, bool)>,
    /// Networks that would be originated.
    pub networks_added: BTreeSet<Prefix>,
    /// Networks that would be withdrawn.
    pub networks_removed: BTreeSet<Prefix>,
}

/// A portion of what a [`Proposal`] would do.
#[derive(Debug)]
pub struct Impacts {
    /// One entry for each route and way in which it would change.
    pub routes: Vec<RouteImpact>,
    /// Where to go on; `None` at the end.
    pub next: Option<Position>,
}

/// What routing knows, for another process.
#[derive(Debug)]
pub struct Frozen {
    /// The Adj-RIBs of each peer that is up.
    pub peers: Vec<(IpAddr, Carried)>,
    /// The kernel may have routes besides theirs that are to stay.
    pub orphans: bool,
    /// Nodes that are drained.
    pub drains: Vec<DrainState>,
}

/// A question. Each is answered at once, but for lists, which are made in portions.
#[derive(Debug)]
pub enum Query {
    /// What a configuration would do to some of the routes.
    Impacts {
        /// The configuration.
        proposal: Arc<Proposal>,
        /// Where to begin.
        from: Position,
        /// The answer.
        reply: oneshot::Sender<Impacts>,
    },
    /// Sizes and counts.
    Summary(oneshot::Sender<Summary>),
    /// Counters of every peer.
    Counters(oneshot::Sender<Vec<(PeerId, PeerCounters)>>),
    /// Loc-RIB, or one peer's Adj-RIB-In or Adj-RIB-Out.
    Routes {
        /// Which.
        query: RouteQuery,
        /// The answer.
        reply: oneshot::Sender<Result<RoutesReply, ErrorReply>>,
    },
    /// Kernel routes.
    Fib {
        /// Which.
        query: FibQuery,
        /// The answer.
        reply: oneshot::Sender<Result<FibReply, ErrorReply>>,
    },
    /// Next hops and groups.
    Nexthops(oneshot::Sender<NexthopsReply>),
    /// Has a node drained, or takes that back. Not a question, but the operator waits for the answer.
    Drain {
        /// Under which name.
        node: String,
        /// What is known of its addresses.
        addresses: BTreeSet<IpAddr>,
        /// What is to be done.
        what: DrainWhat,
        /// What was done, and how far the node is.
        reply: oneshot::Sender<DrainReply>,
    },
    /// The nodes that are drained.
    Drains(oneshot::Sender<DrainReply>),
    /// Who has which bucket of the kernel's groups: group, next-hop object, and for how long no packet has used it.
    Buckets(Vec<(u32, u32, Duration)>),
}

/// What is to be done about a node's flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainWhat {
    /// New ones go elsewhere.
    Begin {
        /// For how long no packet may have used a bucket that counts as free; `None`: as configured.
        idle: Option<Duration>,
    },
    /// All of them do, at once.
    Force,
    /// It takes them again.
    Undo,
}

/// A drained node on its way to another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainState {
    /// Its name.
    pub node: String,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// It carries no flow.
    #[serde(default)]
    pub drained: bool,
    /// By force.
    #[serde(default)]
    pub force: bool,
    /// For how many seconds no packet may have used a bucket that counts as free.
    #[serde(default)]
    pub idle_seconds: Option<u64>,
}

/// Routing's part of `bgpctl show summary`.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Of the RIB.
    pub sizes: Sizes,
    /// Of the FIB, per family.
    pub fib: PerFamily<bgp_api::FibSize>,
    /// Kernel nexthop objects of ours.
    pub nexthops: u64,
    /// Kernel groups of ours.
    pub groups: u64,
    /// Operations that the kernel has not answered yet.
    pub in_flight: u64,
    /// Messages of peers that wait for routing.
    pub waiting: u64,
    /// Refusals of the kernel by the name of the error.
    pub errors: Vec<(String, u64)>,
    /// How the audits of the kernel's routes stand.
    pub audit: bgp_fib::AuditView,
    /// Times something of ours was put back after somebody had removed or changed it.
    pub repairs: u64,
    /// Who has done that, the last deeds of each kind.
    pub meddling: Vec<bgp_fib::Meddling>,
    /// Of the routes that the kernel refuses one, what it said, and when it is tried again.
    pub refusal: Option<(Prefix, bgp_fib::KernelError)>,
    /// Routes that are left alone for a while, for somebody keeps undoing them.
    pub paused: u64,
}

/// Counters of one peer.
#[derive(Clone, Debug)]
pub struct PeerCounters {
    /// Per family.
    pub families: PerFamily<Counters>,
    /// When routes kept from before a restart are removed.
    pub stale_until: Option<Instant>,
    /// What this host sees of the peer's node and what was decided from it, in words; `None` off the link.
    pub node: Option<String>,
    /// How far its node is, where that is drained.
    pub drain: Option<bgp_api::Drain>,
}

//! What operators and the RIB are shown.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_wire::{PerFamily, Prefix, ScopedNextHop};

use crate::config::GroupKind;
use crate::fib::{Differences, Meddling, Subject};
use crate::kernel::{KernelError, Requester};
use crate::routes::{Stage, Walk};

/// Whether a next hop can be used, as the RIB wants to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// Usable.
    Reachable {
        /// Metric of the route that leads to it; 0 where it is on a connected link.
        metric: u32,
    },
    /// Not usable, with the reason in words.
    Unreachable(Arc<str>),
}

/// Whether a node can be where it was, as far as this host can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nothing tells.
    Unknown,
    /// Its link works and its neighbour entry is valid; in words.
    Here(String),
    /// It cannot be there, or does not answer; why, in words.
    Gone(String),
}

/// A gateway on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Via {
    /// Address of the neighbour.
    pub gateway: IpAddr,
    /// Interface index.
    pub ifindex: u32,
}

/// How far a wanted route has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteState {
    /// The kernel has what is wanted.
    Installed,
    /// The operation is on its way.
    Pending,
    /// None of its next hops can be used; in words.
    Unresolved(Arc<str>),
    /// Another protocol has a route for the prefix with our metric; it stays, and ours waits until it goes.
    Blocked {
        /// `rtm_protocol` of that route.
        protocol: u8,
    },
    /// The kernel refused; tried again at `retry_at` or when something changes.
    Failed {
        /// What it said.
        error: KernelError,
        /// The next try.
        retry_at: Instant,
    },
    /// Somebody keeps removing or changing the route; put back at `until`.
    Paused {
        /// The next try.
        until: Instant,
    },
    /// Found at start and not (yet) wanted: removed at the end of the start-up phase.
    Leftover,
    /// No longer wanted, removal on its way.
    Removing,
}

/// A [`RouteState`] without its reasons, which is found in no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// [`RouteState::Installed`].
    Installed,
    /// [`RouteState::Pending`].
    Pending,
    /// [`RouteState::Unresolved`].
    Unresolved,
    /// [`RouteState::Blocked`].
    Blocked,
    /// [`RouteState::Failed`].
    Failed,
    /// [`RouteState::Paused`].
    Paused,
    /// [`RouteState::Leftover`].
    Leftover,
    /// [`RouteState::Removing`].
    Removing,
}

impl RouteState {
    /// Which it is.
    pub fn progress(&self) -> Progress {
        match self {
            Self::Installed => Progress::Installed,
            Self::Pending => Progress::Pending,
            Self::Unresolved(_) => Progress::Unresolved,
            Self::Blocked { .. } => Progress::Blocked,
            Self::Failed { .. } => Progress::Failed,
            Self::Paused { .. } => Progress::Paused,
            Self::Leftover => Progress::Leftover,
            Self::Removing => Progress::Removing,
        }
    }
}

impl From<Stage> for Progress {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Installed => Self::Installed,
            Stage::Pending => Self::Pending,
            Stage::Unresolved => Self::Unresolved,
            Stage::Blocked => Self::Blocked,
            Stage::Failed => Self::Failed,
            Stage::Paused => Self::Paused,
            Stage::Leftover => Self::Leftover,
            Stage::Removing => Self::Removing,
        }
    }
}

/// A way through all routes that there are at its beginning, gone in portions while they change.
#[derive(Debug)]
pub struct RouteWalk(pub(crate) Walk);

/// One prefix as wanted and as installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteView {
    /// Destination.
    pub prefix: Prefix,
    /// Next hops that the RIB wants; empty for leftovers and removals.
    pub wanted: Vec<ScopedNextHop>,
    /// The gateways that these came to, each once.
    pub via: Vec<Via>,
    /// The next hop that takes over when none of the wanted ones can be used. It does so now where its gateway is among
    /// `via`.
    pub backup: Option<ScopedNextHop>,
    /// Of these: gateways that take no share yet, see [`Joining`].
    pub joining: Option<Joining>,
    /// How far it has come.
    pub state: RouteState,
    /// `nhid` of the route in the kernel.
    pub nexthop_id: Option<u32>,
    /// How often it was put back after somebody removed or changed it.
    pub repairs: u32,
    /// Who did so last, where the kernel said it.
    pub undone_by: Option<Arc<Requester>>,
}

/// Gateways that take their share of a group later, for the kernel cannot tell yet which buckets are in use and a flow could
/// lose its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joining {
    /// Who.
    pub via: Vec<Via>,
    /// When; later where more routes come to use the group before.
    pub until: Instant,
}

/// One next hop that is watched or used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopView {
    /// As the RIB names it.
    pub next_hop: ScopedNextHop,
    /// Whether it can be used.
    pub reachability: Reachability,
    /// What it came to.
    pub via: Option<Via>,
    /// Name of the link.
    pub interface: Option<String>,
    /// How, in words: `on link`, `by 10.0.0.0/8`, `::ffff:172.50.0.2 is 2001:db8::2 (same MAC 02:42:… on br-x)`.
    pub how: String,
    /// Id of its next-hop object in the kernel.
    pub nexthop_id: Option<u32>,
    /// What the kernel said to that object, if it refused.
    pub error: Option<KernelError>,
}

/// One group in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// Its id.
    pub id: u32,
    /// What it is.
    pub kind: GroupKind,
    /// Its members: ids of next-hop objects, with their weights.
    pub members: Vec<(u32, u16)>,
    /// Of these: the one that carries no flow until the other is lost.
    pub backup: Option<u32>,
    /// Who joins later.
    pub joining: Option<Joining>,
    /// How many prefixes point to it.
    pub prefixes: usize,
}

/// One node that is drained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainView {
    /// The name under which it was ordered.
    pub node: Arc<str>,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Its legs went without regard to flows and routes.
    pub forced: bool,
    /// For how long no packet may have used a bucket that counts as free.
    pub idle: Duration,
    /// When it was ordered.
    pub since: Instant,
    /// It carries no flow any more, since; `None` while it may.
    pub drained: Option<Instant>,
    /// Groups in the kernel that have a leg to it.
    pub groups: usize,
    /// Its buckets in all groups at the last look; `None` before the first.
    pub buckets: Option<usize>,
    /// Of them: those that a packet has used within the idle timer.
    pub in_use: Option<usize>,
    /// How long before that look one of them was used last.
    pub last_used: Option<Duration>,
    /// Routes in the kernel that have no leg but to nodes that are drained.
    pub last_leg_routes: u32,
    /// The first few of these.
    pub last_leg_prefixes: Vec<Prefix>,
}

/// How many prefixes are in each [`RouteState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RouteCounts {
    /// [`RouteState::Installed`].
    pub installed: usize,
    /// [`RouteState::Pending`].
    pub pending: usize,
    /// [`RouteState::Blocked`].
    pub blocked: usize,
    /// [`RouteState::Failed`].
    pub failed: usize,
    /// [`RouteState::Paused`].
    pub paused: usize,
    /// [`RouteState::Unresolved`].
    pub unresolved: usize,
    /// [`RouteState::Leftover`].
    pub leftover: usize,
    /// [`RouteState::Removing`].
    pub removing: usize,
}

/// Counts for metrics and the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stats {
    /// Prefixes of each family.
    pub routes: PerFamily<RouteCounts>,
    /// Next-hop objects of ours in the kernel.
    pub nexthops: usize,
    /// Groups of ours in the kernel.
    pub groups: usize,
    /// Operations given out and not yet answered.
    pub in_flight: usize,
    /// Prefixes whose next operation waits to be taken.
    pub queued: usize,
    /// Times a route was put back after somebody removed or changed it.
    pub repairs: u64,
    /// Operations that the kernel refused.
    pub errors: u64,
}

/// A prefix has reached what was wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Destination.
    pub prefix: Prefix,
    /// When it was wanted; the difference to now is the latency of the kernel side.
    pub wanted_at: Instant,
}

/// The prefixes that have reached what was wanted of them, of many operations at a time.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    /// Which ones; empty where nobody asks for them.
    pub prefixes: Vec<Prefix>,
    /// When they were wanted. Those that follow each other and were wanted at the same time count once.
    pub wanted_at: Vec<Instant>,
    pub(crate) named: bool,
    last: Option<u32>,
}

impl Arrivals {
    /// With the prefixes.
    pub fn with_names() -> Self {
        Self { named: true, ..Self::default() }
    }

    /// Whether the one before was wanted at another time.
    #[inline]
    pub(crate) fn is_new(&mut self, stamp: u32) -> bool {
        self.last.replace(stamp) != Some(stamp)
    }
}

/// Something that belongs into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Another protocol's route is in the way.
    Blocked {
        /// Destination.
        prefix: Prefix,
        /// Whose.
        protocol: u8,
    },
    /// The kernel refused the route.
    Failed {
        /// Destination.
        prefix: Prefix,
        /// What it said.
        error: KernelError,
    },
    /// The kernel refused a next-hop object or group.
    NexthopFailed {
        /// Its id.
        id: u32,
        /// What it said.
        error: KernelError,
    },
    /// Somebody removed or changed what is ours; it is put back.
    Undone(Meddling),
    /// Somebody keeps doing so; we pause.
    Paused {
        /// Destination.
        prefix: Prefix,
        /// The next try.
        until: Instant,
    },
    /// An IPv4-mapped next hop was resolved, or resolved differently.
    Mapped {
        /// In words: `::ffff:172.50.0.2 is 2001:db8::2 (same MAC 02:42:… on br-x)`.
        how: String,
    },
    /// A next hop can no longer be used, or can again.
    NextHop {
        /// Which.
        next_hop: ScopedNextHop,
        /// How it is now.
        reachability: Reachability,
        /// Nothing was known of it before: a route has come that uses it.
        first: bool,
    },
    /// This kernel has no next-hop objects; routes carry their hops themselves.
    NoNexthopObjects,
    /// Own routes found at start.
    Found {
        /// How many.
        routes: usize,
        /// How many next-hop objects and groups.
        nexthops: usize,
    },
    /// Leftovers removed at the end of the start-up phase.
    Swept {
        /// How many routes.
        routes: usize,
    },
    /// A node that was to be drained carries no flow any more.
    NodeDrained {
        /// Its name.
        node: String,
        /// How long that took.
        after: Duration,
    },
    /// A node that carried no flow is the last leg of a route, and so carries flows again.
    NodeNeeded {
        /// Its name.
        node: String,
    },
    /// Reports were lost; everything is read again.
    Resync,
    /// The kernel's routes have been read back at leisure.
    Audited {
        /// Routes of ours that it has shown.
        routes: usize,
        /// From the question to the last comparison.
        took: Duration,
    },
    /// The kernel was not as it had acknowledged, and nothing had told of it; it is put right.
    Differ {
        /// How often, in which way.
        found: Differences,
        /// The first of them.
        examples: Vec<Subject>,
    },
}

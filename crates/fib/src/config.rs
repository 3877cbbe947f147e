//! What the operator chooses about the kernel's table, and the numbers by which we know our own objects.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use bgp_wire::PerFamily;

/// `RTPROT_BGP`.
pub const PROTOCOL_BGP: u8 = 186;
/// `RT_TABLE_MAIN`, in which next hops are resolved.
pub const MAIN_TABLE: u32 = 254;
/// Ids of our next-hop objects. A group can never become a hop of the same id, so the ranges are apart; both begin with
/// the protocol number, so that `ip nexthop` shows whose they are.
pub const HOP_IDS: Range<u32> = 186_000_001..186_500_000;
/// Ids of our groups.
pub const GROUP_IDS: Range<u32> = 186_500_001..187_000_000;

/// Whether an object with this id is ours, unless somebody else has taken it.
pub(crate) fn is_our_id(id: u32) -> bool {
    HOP_IDS.contains(&id) || GROUP_IDS.contains(&id)
}

/// How a group of the kernel spreads flows over its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// `NEXTHOP_GRP_TYPE_MPATH`: ranges of the hash, dealt anew over all members at every change. For kernels before 5.13.
    HashThreshold,
    /// `NEXTHOP_GRP_TYPE_RES`: buckets, each of which stays with its member while that is there and flows use it.
    Resilient(Resilient),
}

/// What a resilient group is made with. The kernel changes the timers of a group in place, never the buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resilient {
    /// `NHA_RES_GROUP_BUCKETS`, at least 1.
    pub buckets: u16,
    /// `NHA_RES_GROUP_IDLE_TIMER`, seconds: a bucket without a packet for so long is free for another member.
    pub idle_timer: u32,
    /// `NHA_RES_GROUP_UNBALANCED_TIMER`, seconds: after so long out of balance buckets move although they are in use; 0 is
    /// never.
    pub unbalanced_timer: u32,
}

impl Resilient {
    /// With more buckets than this, weight 1 beside a single 256 is due some: a leg that drains would keep them.
    pub const FEW_BUCKETS: u16 = 128;
}

impl Default for Resilient {
    fn default() -> Self {
        Self { buckets: Self::FEW_BUCKETS, idle_timer: 60, unbalanced_timer: 0 }
    }
}

impl GroupKind {
    /// How many buckets; `None` for a group without.
    pub(crate) fn buckets(self) -> Option<u16> {
        match self {
            Self::HashThreshold => None,
            Self::Resilient(resilient) => Some(resilient.buckets),
        }
    }

    /// The same with as many buckets as `other`, where both have some.
    pub(crate) fn with_buckets_of(self, other: Self) -> Self {
        match (self, other) {
            (Self::Resilient(resilient), Self::Resilient(Resilient { buckets, .. })) => {
                Self::Resilient(Resilient { buckets, ..resilient })
            }
            (Self::Resilient(_), Self::HashThreshold) | (Self::HashThreshold, _) => self,
        }
    }

    /// The same without buckets that are moved although they are in use, and perhaps with another idle timer.
    pub(crate) fn patient(self, idle_timer: Option<u32>) -> Self {
        match self {
            Self::HashThreshold => self,
            Self::Resilient(Resilient { buckets, idle_timer: usual, .. }) => {
                let idle_timer = idle_timer.unwrap_or(usual);
                Self::Resilient(Resilient { buckets, idle_timer, unbalanced_timer: 0 })
            }
        }
    }

    /// How long a group that has just been made cannot know which of its buckets are in use.
    pub(crate) fn blind(self) -> Duration {
        match self {
            Self::HashThreshold => Duration::ZERO,
            Self::Resilient(resilient) => Duration::from_secs(resilient.idle_timer.into()),
        }
    }
}

/// Settings of the [`Fib`](crate::Fib).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FibConfig {
    /// Whether routes are put into the kernel; next hops are looked up either way.
    pub install: bool,
    /// Table of our routes.
    pub table: u32,
    /// Metric (priority) of our routes; part of what makes a route ours.
    pub metric: u32,
    /// Protocol number of our routes and next-hop objects.
    pub protocol: u8,
    /// Source address for traffic that this host itself sends by our routes.
    pub preferred_source: PerFamily<Option<IpAddr>>,
    /// Whether `::ffff:a.b.c.d` is turned into the real IPv6 address of that node.
    pub resolve_mapped_next_hops: bool,
    /// What the groups are made as. Whether the kernel has resilient ones is for the caller to find out.
    pub groups: GroupKind,
    /// Whether groups found at start are used whatever their number of buckets. Otherwise their routes move, and with them
    /// flows, to groups that have as many as `groups` says.
    pub keep_buckets: bool,
    /// The largest weight of a member of a group that the kernel takes: 256, or 65535 from Linux 6.12 on.
    pub largest_weight: u16,
    /// How long own routes found at start are kept while nobody wants them; `None`: until
    /// [`Fib::end_of_startup`](crate::Fib::end_of_startup).
    pub startup_grace: Option<Duration>,
    /// How long after an audit the next one begins; `None`: the kernel's routes are read back only after reports were lost
    /// or an answer leaves a doubt.
    pub audit_interval: Option<Duration>,
    /// How often a peer on the link is asked for by neighbour discovery or ARP; `None`: only by the kernel itself.
    pub probe_interval: Option<Duration>,
    /// Seed of the index of prefixes, which peers choose: to be drawn at random where peers are not friends.
    pub hash_seed: u64,
}

impl Default for FibConfig {
    fn default() -> Self {
        Self {
            install: true,
            table: MAIN_TABLE,
            metric: 20,
            protocol: PROTOCOL_BGP,
            preferred_source: PerFamily::default(),
            resolve_mapped_next_hops: true,
            groups: GroupKind::Resilient(Resilient::default()),
            keep_buckets: false,
            largest_weight: 256,
            startup_grace: Some(Duration::from_secs(45)),
            audit_interval: Some(Duration::from_secs(300)),
            probe_interval: None,
            hash_seed: 0,
        }
    }
}

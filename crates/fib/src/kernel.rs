//! What the kernel has, in our words: links, addresses, neighbours, routes, next-hop objects, and its refusals.
//!
//! These are values read from netlink; `bgp-netlink` fills them, nobody here encodes them.

use std::fmt;
use std::net::IpAddr;

use bgp_wire::Prefix;

use crate::config::GroupKind;

/// A link-layer address of six octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// An interface (`RTM_NEWLINK`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Interface index.
    pub ifindex: u32,
    /// Name.
    pub name: String,
    /// `IFF_UP`: the administrator wants it up.
    pub admin_up: bool,
    /// `IFF_LOWER_UP`: there is carrier.
    pub carrier: bool,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
    /// `IFLA_ADDRESS` where it has six octets.
    pub mac: Option<Mac>,
    /// `IFLA_MASTER`: the bridge or bond that it is a port of.
    pub master: Option<u32>,
}

/// An address of this host (`RTM_NEWADDR`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Interface index.
    pub ifindex: u32,
    /// The address, host bits kept (`IFA_LOCAL`, else `IFA_ADDRESS`).
    pub address: IpAddr,
    /// Prefix length.
    pub prefix_len: u8,
    /// `IFA_F_TENTATIVE` or `IFA_F_DADFAILED`: not usable (yet).
    pub tentative: bool,
}

/// State of a neighbour entry (`NUD_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeighborState {
    /// `NUD_NONE` or a state that has no meaning here.
    None,
    /// First resolution is under way.
    Incomplete,
    /// Confirmed a moment ago.
    Reachable,
    /// Confirmed some time ago.
    Stale,
    /// About to be probed.
    Delay,
    /// Being probed.
    Probe,
    /// Did not answer.
    Failed,
    /// `NUD_PERMANENT`: set by the administrator.
    Permanent,
    /// `NUD_NOARP`: a link without resolution.
    NoArp,
}

impl NeighborState {
    /// Whether the kernel holds the link-layer address for good.
    pub fn is_valid(self) -> bool {
        match self {
            Self::Reachable | Self::Stale | Self::Delay | Self::Probe | Self::Permanent | Self::NoArp => true,
            Self::None | Self::Incomplete | Self::Failed => false,
        }
    }
}

/// A neighbour entry (`RTM_NEWNEIGH`), IPv4 (ARP) or IPv6 (neighbour discovery).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// Interface index.
    pub ifindex: u32,
    /// Its network address.
    pub address: IpAddr,
    /// `NDA_LLADDR` where it has six octets.
    pub mac: Option<Mac>,
    /// `ndm_state`.
    pub state: NeighborState,
}

/// A bridge has learned where a station is (`RTM_NEWNEIGH` of family `AF_BRIDGE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdbEntry {
    /// `NDA_MASTER`: interface index of the bridge.
    pub bridge: u32,
    /// `NDA_LLADDR`: the station.
    pub mac: Mac,
    /// Interface index of the port behind which it is.
    pub port: u32,
}

/// What a route does with a packet (`rtm_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteKind {
    /// Sends it on.
    Unicast,
    /// Drops it: blackhole, unreachable, prohibit, throw.
    Reject,
    /// Local, broadcast, multicast, anycast, nat: no road for a next hop.
    Other,
}

/// One way of a route that carries its next hops itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelHop {
    /// `RTA_GATEWAY` or `RTA_VIA`; `None` on a connected route.
    pub gateway: Option<IpAddr>,
    /// `RTA_OIF` or `rtnh_ifindex`; 0 where there is none.
    pub ifindex: u32,
    /// 1 to 256.
    pub weight: u16,
    /// `RTNH_F_DEAD` or `RTNH_F_LINKDOWN`.
    pub down: bool,
}

/// A route (`RTM_NEWROUTE`), of whatever table and protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRoute {
    /// Destination.
    pub prefix: Prefix,
    /// `RTA_TABLE`.
    pub table: u32,
    /// `rtm_protocol`.
    pub protocol: u8,
    /// `RTA_PRIORITY`, 0 where absent.
    pub metric: u32,
    /// What it does.
    pub kind: RouteKind,
    /// `RTA_PREFSRC`.
    pub preferred_source: Option<IpAddr>,
    /// `RTA_NH_ID`.
    pub nexthop_id: Option<u32>,
    /// The hops as reported: of the route itself, or (in compat mode) those behind the id.
    pub hops: Vec<KernelHop>,
}

/// A next-hop object (`RTM_NEWNEXTHOP`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelNexthop {
    /// `NHA_ID`.
    pub id: u32,
    /// `nh_protocol`.
    pub protocol: u8,
    /// `NHA_GATEWAY`.
    pub gateway: Option<IpAddr>,
    /// `NHA_OIF`.
    pub ifindex: Option<u32>,
    /// `RTNH_F_ONLINK`.
    pub onlink: bool,
    /// `NHA_GROUP`: id and weight (1 to 65536) of each member; empty for what is no group.
    pub members: Vec<(u32, u32)>,
    /// `NHA_GROUP_TYPE` and `NHA_RES_GROUP`; of no meaning for what is no group.
    pub kind: GroupKind,
}

/// Who asked the kernel for a change, as its notification of it tells (`nlmsg_pid`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requester {
    /// The netlink port; 0 is the kernel itself. A process's first socket has the number of the process, further ones have
    /// numbers above `i32::MAX`.
    pub port: u32,
    /// The name of the process, where it still ran and may be seen.
    pub process: Option<String>,
}

impl Requester {
    /// Whether the port is the number of a process.
    pub fn is_process(&self) -> bool {
        self.port > 0 && i32::try_from(self.port).is_ok()
    }

    /// Process 1. systemd opens netlink sockets for its services, which keep its number.
    pub fn is_init(&self) -> bool {
        self.port == 1
    }

    /// Whether it is the same program, though it may be another process of it.
    pub fn is_like(&self, other: &Self) -> bool {
        match (&self.process, &other.process) {
            (Some(one), Some(other)) => one == other,
            (None, None) if self.is_init() || other.is_init() => self.port == other.port,
            (None, None) => self.port == other.port || self.is_process() && other.is_process(),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl fmt::Display for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some(name) => write!(f, "{name} (process {})", self.port),
            None if self.port == 0 => f.write_str("the kernel itself"),
            None if self.is_process() => write!(f, "process {}, which has ended or is hidden", self.port),
            None => write!(f, "one of several netlink sockets of a process (port {})", self.port),
        }
    }
}

/// The kernel's refusal of one operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct KernelError {
    /// Positive errno.
    pub errno: i32,
    /// The text of the extended acknowledgement.
    pub message: Option<String>,
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.errno {
            errno::EPERM => "operation not permitted",
            errno::ENOENT => "no such object",
            errno::ESRCH => "no such route",
            errno::ENOMEM => "out of memory",
            errno::EEXIST => "exists already",
            errno::EACCES => "permission denied",
            errno::ENODEV => "no such interface",
            errno::EINVAL => "invalid argument",
            errno::ENOSPC => "no room left",
            errno::EADDRNOTAVAIL => "no such address here",
            errno::EOPNOTSUPP => "not supported by this kernel",
            errno::ENETDOWN => "interface is down",
            errno::ENETUNREACH => "network is unreachable",
            errno::ENOBUFS => "no buffer space",
            errno::ETIMEDOUT => "no answer in time",
            errno::EHOSTUNREACH => "no route to host",
            _ => "error",
        };
        match &self.message {
            Some(message) => write!(f, "{name} (errno {}): {message}", self.errno),
            None => write!(f, "{name} (errno {})", self.errno),
        }
    }
}

/// The errno values that we tell apart (Linux, all architectures that Rust's tier 1 has).
pub(crate) mod errno {
    pub(crate) const EPERM: i32 = 1;
    pub(crate) const ENOENT: i32 = 2;
    pub(crate) const ESRCH: i32 = 3;
    pub(crate) const EINTR: i32 = 4;
    pub(crate) const EAGAIN: i32 = 11;
    pub(crate) const ENOMEM: i32 = 12;
    pub(crate) const EEXIST: i32 = 17;
    pub(crate) const EACCES: i32 = 13;
    pub(crate) const ENODEV: i32 = 19;
    pub(crate) const EINVAL: i32 = 22;
    pub(crate) const ENOSPC: i32 = 28;
    pub(crate) const EOPNOTSUPP: i32 = 95;
    pub(crate) const EADDRNOTAVAIL: i32 = 99;
    pub(crate) const ENETDOWN: i32 = 100;
    pub(crate) const ENETUNREACH: i32 = 101;
    pub(crate) const ENOBUFS: i32 = 105;
    pub(crate) const ETIMEDOUT: i32 = 110;
    pub(crate) const EHOSTUNREACH: i32 = 113;
    pub(crate) const ECANCELED: i32 = 125;
}

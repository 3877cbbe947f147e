//! What the kernel is to do: one value per netlink request.
//!
//! Operations reach the kernel in the order in which they were given out.

use std::net::IpAddr;

use bgp_wire::Prefix;

use crate::config::GroupKind;
use crate::event::Kind;
use crate::kernel::{KernelHop, Mac};

/// Names one operation until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// A next-hop object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NexthopSpec {
    /// Its id.
    pub id: u32,
    /// `nh_protocol`.
    pub protocol: u8,
    /// `NHA_GATEWAY`; the header's family is the family of this address.
    pub gateway: IpAddr,
    /// `NHA_OIF`.
    pub ifindex: u32,
    /// `RTNH_F_ONLINK`.
    pub onlink: bool,
}

/// A next-hop group (the header's family is `AF_UNSPEC`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSpec {
    /// Its id.
    pub id: u32,
    /// `nh_protocol`.
    pub protocol: u8,
    /// `NHA_GROUP_TYPE`, and for a resilient one `NHA_RES_GROUP`.
    pub kind: GroupKind,
    /// Id and weight (from 1, up to what the kernel takes) of each member, by ascending id, each once.
    pub members: Vec<(u32, u16)>,
}

/// Where a route points.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RouteTarget {
    /// `RTA_NH_ID`: a next-hop object or a group.
    Nexthop(u32),
    /// The hops inside the route (`RTA_GATEWAY`/`RTA_VIA`, or `RTA_MULTIPATH`), for kernels without next-hop objects.
    Hops(Vec<KernelHop>),
}

/// A unicast route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// Destination.
    pub prefix: Prefix,
    /// `RTA_TABLE`.
    pub table: u32,
    /// `rtm_protocol`.
    pub protocol: u8,
    /// `RTA_PRIORITY`.
    pub metric: u32,
    /// `RTA_PREFSRC`.
    pub preferred_source: Option<IpAddr>,
    /// Where it points.
    pub target: RouteTarget,
}

/// One request to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// `RTM_NEWNEXTHOP` with `NLM_F_CREATE | NLM_F_EXCL`.
    NexthopAdd(NexthopSpec),
    /// `RTM_NEWNEXTHOP` with `NLM_F_CREATE | NLM_F_REPLACE`.
    NexthopReplace(NexthopSpec),
    /// `RTM_DELNEXTHOP` of a hop; protocol, scope and flags of the header are zero.
    NexthopDel {
        /// Its id.
        id: u32,
    },
    /// A group by `RTM_NEWNEXTHOP` with `NLM_F_CREATE | NLM_F_EXCL`.
    GroupAdd(GroupSpec),
    /// A group by `RTM_NEWNEXTHOP` with `NLM_F_REPLACE` alone: its routes follow in place. `ENOENT` where it is gone, for
    /// then its routes are as well.
    GroupReplace(GroupSpec),
    /// `RTM_DELNEXTHOP` of a group.
    GroupDel {
        /// Its id.
        id: u32,
    },
    /// `RTM_NEWROUTE` with `NLM_F_CREATE | NLM_F_EXCL`.
    RouteAdd(RouteSpec),
    /// `RTM_NEWROUTE` with `NLM_F_CREATE | NLM_F_REPLACE`.
    RouteReplace(RouteSpec),
    /// `RTM_DELROUTE` with prefix, table, protocol and metric, and with the target where it is given: of two routes of
    /// ours only that one goes.
    RouteDel {
        /// Destination.
        prefix: Prefix,
        /// `RTA_TABLE`.
        table: u32,
        /// `rtm_protocol`: the kernel then refuses to delete another protocol's route.
        protocol: u8,
        /// `RTA_PRIORITY`.
        metric: u32,
        /// `RTA_NH_ID`, or the hops.
        target: Option<RouteTarget>,
    },
    /// `RTM_NEWNEIGH` with `NTF_USE` (`NLM_F_CREATE`, state `NUD_NONE`): the kernel resolves or re-verifies the neighbour.
    Probe {
        /// Interface index.
        ifindex: u32,
        /// Whom to ask.
        address: IpAddr,
    },
    /// `RTM_NEWNEIGH` with `NLM_F_REPLACE` (no `CREATE`), `NDA_LLADDR` and state `NUD_PROBE`: an entry that the kernel still
    /// trusts is asked for at once, so that a node behind a dead bridge port is found in seconds. `ENOENT` is harmless.
    Verify {
        /// Interface index.
        ifindex: u32,
        /// Whom to ask.
        address: IpAddr,
        /// The address that the entry has.
        mac: Mac,
    },
    /// Read this table again; answered (`confirm`) when its `DumpEnd` has been reported, or with the error.
    Dump(Kind),
    /// Read the routes again at leisure, beside the operations that follow: [`AuditStart`](crate::Event::AuditStart), the
    /// entries, [`AuditEnd`](crate::Event::AuditEnd), then the answer. A dump of routes ends it with an error.
    Audit,
}

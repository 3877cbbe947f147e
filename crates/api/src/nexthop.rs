//! `GET /v1/nexthops`: every next hop that a route uses, how it was resolved, and the kernel objects made of it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Reply to `GET /v1/nexthops`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NexthopsReply {
    /// By address, IPv4 before IPv6.
    pub nexthops: Vec<Nexthop>,
    /// By kernel id.
    pub groups: Vec<NexthopGroup>,
}

/// One tracked next hop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nexthop {
    /// As it came in the routes, with `%interface` if link-local.
    pub next_hop: String,
    /// Whether traffic can go there.
    pub state: NexthopState,
    /// How it was resolved; `null` if it was not.
    pub kind: Option<NexthopKind>,
    /// The same in words: `on-link via dev br-455d8ca1d613`, `recursive via 10.0.0.1 dev eth0 (10.0.0.0/8)`,
    /// `mapped 172.50.0.2 is 2001:3200:3200::2 on br-455d8ca1d613: same MAC 02:42:ac:32:00:02, answered a probe`,
    /// or why there is no way: `no route`, `link br-455d8ca1d613 is down`, `neighbour does not answer (FAILED)`.
    pub resolution: String,
    /// The address that the kernel sends to.
    pub gateway: Option<String>,
    /// The interface.
    pub interface: Option<String>,
    /// The kernel's nexthop object.
    pub kernel_id: Option<u32>,
    /// Paths in the RIB that use it, if that is counted.
    pub paths: Option<u64>,
    /// For how long it is in this state, if that is kept.
    pub since_seconds: Option<u64>,
    /// What the kernel said, if it refused the object.
    pub error: Option<String>,
    /// `draining NODE` or `drained NODE`, where it gets no new flows; `null`: it is used.
    #[serde(default)]
    pub drain: Option<String>,
}

/// Whether a next hop can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NexthopState {
    /// Yes.
    Reachable,
    /// No.
    Unreachable,
    /// Being found out.
    #[default]
    Resolving,
    /// A word of a later daemon.
    #[serde(other)]
    Unknown,
}

impl NexthopState {
    /// The word that is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reachable => "reachable",
            Self::Unreachable => "unreachable",
            Self::Resolving => "resolving",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for NexthopState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a next hop was resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NexthopKind {
    /// It is a neighbour on a connected network.
    OnLink,
    /// It lies behind another gateway.
    Recursive,
    /// An IPv4-mapped address, resolved to the node's real IPv6 address.
    Mapped,
    /// A word of a later daemon.
    #[serde(other)]
    Unknown,
}

impl NexthopKind {
    /// The word that is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnLink => "on-link",
            Self::Recursive => "recursive",
            Self::Mapped => "mapped",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for NexthopKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One nexthop group in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NexthopGroup {
    /// Its id.
    pub kernel_id: u32,
    /// Its members.
    pub members: Vec<GroupMember>,
    /// Next hops that join later: flows that use the others must have shown themselves first.
    #[serde(default)]
    pub joining: Vec<JoiningMember>,
    /// Kernel routes that use it.
    pub routes: u64,
    /// `resilient` or `hash-threshold`.
    pub algorithm: Option<String>,
    /// Of a resilient group: how many buckets it has.
    pub buckets: Option<u32>,
    /// For how long no packet may have used a bucket that is to go to another member.
    pub idle_timer_seconds: Option<u32>,
    /// After how long out of balance buckets move although they are in use; 0 is never.
    pub unbalanced_timer_seconds: Option<u32>,
    /// How many buckets have moved to another member with the last change of the members and since.
    pub moved: Option<u32>,
}

/// A member that a group is still without.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoiningMember {
    /// The next hop.
    pub next_hop: String,
    /// When it joins; later where more routes come to use the group before.
    pub in_seconds: u64,
}

/// One member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// The kernel's nexthop object.
    pub kernel_id: u32,
    /// The next hop behind it.
    pub next_hop: String,
    /// Its share.
    pub weight: u32,
    /// It carries no flow until the other member is lost.
    #[serde(default)]
    pub backup: bool,
    /// Of a resilient group: how many buckets it has.
    pub buckets: Option<u32>,
    /// Of them: those that no packet has used for the idle timer.
    pub idle_buckets: Option<u32>,
    /// How long its bucket that was used last has been idle, in milliseconds.
    pub idle_min_ms: Option<u64>,
    /// How long the one that was used least recently has been.
    pub idle_max_ms: Option<u64>,
}

//! `GET /v1/routes`: prefixes, their paths, and for each path why it is used or not.
//!
//! One shape serves three tables. Without a peer it is the Loc-RIB with all candidates; with `received` it is one peer's
//! Adj-RIB-In before policy; with `advertised` one peer's Adj-RIB-Out, with the attributes as they were sent.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fib::FibRoute;

/// Query of `GET /v1/routes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteQuery {
    /// `2004::1/128`: exactly this prefix. `2004::1`: the longest prefix that contains the address.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Also everything inside `prefix`, which has its length then.
    #[serde(default)]
    pub longer: bool,
    /// What this neighbour announced to us. Not together with `advertised`.
    #[serde(default)]
    pub received: Option<String>,
    /// What we announced to this neighbour.
    #[serde(default)]
    pub advertised: Option<String>,
    /// `ipv4-unicast` or `ipv6-unicast`; without it both.
    #[serde(default)]
    pub family: Option<String>,
    /// At most this many prefixes; without it the daemon's own limit, [`RouteQuery::DEFAULT_LIMIT`].
    #[serde(default)]
    pub limit: Option<usize>,
    /// Only prefixes behind this one in the order of the reply: the last prefix of the page before.
    #[serde(default)]
    pub after: Option<String>,
}

impl RouteQuery {
    /// Prefixes in one reply where the query has no limit; also the highest limit that is granted.
    pub const DEFAULT_LIMIT: usize = 10_000;

    /// The path with this query.
    pub fn to_path(&self) -> String {
        let limit = self.limit.map(|limit| limit.to_string());
        crate::path::with_query(
            crate::path::ROUTES,
            &[
                ("prefix", self.prefix.as_deref()),
                ("longer", self.longer.then_some("true")),
                ("received", self.received.as_deref()),
                ("advertised", self.advertised.as_deref()),
                ("family", self.family.as_deref()),
                ("limit", limit.as_deref()),
                ("after", self.after.as_deref()),
            ],
        )
    }
}

/// Reply to `GET /v1/routes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutesReply {
    /// By prefix, IPv4 before IPv6.
    pub routes: Vec<Route>,
    /// How many prefixes the query has without its limit, if that is known cheaply.
    pub total: Option<u64>,
    /// Whether there are more behind the last one; ask again with `after`.
    pub more: bool,
}

/// One prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The destination, e.g. `2004::1/128`.
    pub prefix: String,
    /// Its family.
    pub family: String,
    /// How it stands in the kernel; `null` where it is installed, or not wanted.
    #[serde(default)]
    pub kernel: Option<FibRoute>,
    /// Best first, then the other multipaths, then the rest, each by peer address.
    pub paths: Vec<Path>,
}

/// One way to a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// The neighbour that announced it; `null` for a network of our own.
    pub peer: Option<String>,
    /// How it stands.
    pub status: PathStatus,
    /// Why, in words: `the only path`, `lowest router id of 3 equal paths`, `longer AS path (3 instead of 1)`,
    /// `refused by import policy services`, `next hop unreachable: no route`.
    pub reason: String,
    /// Kept from before a restart of the peer.
    pub stale: bool,
    /// It carries LLGR_STALE, RFC 9494: nobody has confirmed it for longer than a restart takes, and it is the last choice.
    #[serde(default)]
    pub long_lived_stale: bool,
    /// Where packets go when the next hop of the best path is lost.
    #[serde(default)]
    pub backup: bool,
    /// Age of its last change, if that is kept.
    pub age_seconds: Option<u64>,
    /// NEXT_HOP as announced.
    pub next_hop: Option<String>,
    /// Where that goes, e.g. `2001:3200:3200::2 dev br-455d8ca1d613`; `null` if unreachable.
    pub resolved: Option<String>,
    /// Path attributes.
    pub attributes: Attributes,
}

/// How a path stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathStatus {
    /// The one that is announced on, and first in forwarding.
    Best,
    /// As good as the best, and used beside it.
    Multipath,
    /// Usable, and not used.
    #[default]
    Candidate,
    /// Policy, a loop, or a check refuses it.
    Rejected,
    /// Its next hop cannot be reached.
    Unreachable,
    /// In an Adj-RIB-Out: sent to the peer.
    Advertised,
    /// A word of a later daemon.
    #[serde(other)]
    Unknown,
}

impl PathStatus {
    /// The word that is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Multipath => "multipath",
            Self::Candidate => "candidate",
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
            Self::Advertised => "advertised",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for PathStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Path attributes, each as it is usually written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// `igp`, `egp` or `incomplete`.
    pub origin: String,
    /// AS numbers by spaces, sets in braces; empty for a route of our own AS.
    pub as_path: String,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF, received or set.
    pub local_pref: Option<u32>,
    /// `64512:100`, well-known ones by name.
    #[serde(default)]
    pub communities: Vec<String>,
    /// Extended communities, also those of RFC 5701.
    #[serde(default)]
    pub extended_communities: Vec<String>,
    /// `64512:1:2`, RFC 8092.
    #[serde(default)]
    pub large_communities: Vec<String>,
    /// ATOMIC_AGGREGATE.
    #[serde(default)]
    pub atomic_aggregate: bool,
    /// `AS address`.
    pub aggregator: Option<String>,
    /// ORIGINATOR_ID, RFC 4456.
    pub originator_id: Option<String>,
    /// CLUSTER_LIST, RFC 4456.
    #[serde(default)]
    pub cluster_list: Vec<String>,
    /// AIGP, RFC 7311.
    pub aigp: Option<u64>,
    /// Only to Customer, RFC 9234.
    pub otc: Option<u32>,
    /// Others that are carried on, e.g. `attribute 99, 12 octets, partial`.
    #[serde(default)]
    pub other: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_becomes_the_path_that_asks_for_it() {
        let query = RouteQuery {
            prefix: Some("2004::/64".to_owned()),
            longer: true,
            received: Some("172.50.0.2".to_owned()),
            limit: Some(10),
            ..RouteQuery::default()
        };
        assert_eq!(query.to_path(), "/v1/routes?prefix=2004::%2F64&longer=true&received=172.50.0.2&limit=10");
    }
}

//! `GET` and `POST /v1/drain`: nodes that are to carry no new flows, and how far they are.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The body of a POST to [`crate::path::DRAIN`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// The node: an address, the description or the host name of one of its neighbours.
    pub node: String,
    /// The node takes flows again.
    #[serde(default)]
    pub undo: bool,
    /// While it is drained a bucket is free that no packet has used for so many seconds; `null`: as configured.
    #[serde(default)]
    pub idle_seconds: Option<u32>,
    /// Its legs go at once, also where flows use them and where they are the last of a route.
    #[serde(default)]
    pub force: bool,
}

/// Reply to both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainReply {
    /// To `GET`: every node that is drained, by name. To `POST`: the node, unless it was undone.
    pub nodes: Vec<Drain>,
    /// To `POST`: what was done, one sentence.
    #[serde(default)]
    pub message: Option<String>,
}

/// One node that is drained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Its name: the host name, else the description, else the address of its neighbour.
    pub node: String,
    /// The addresses of its neighbours.
    pub addresses: Vec<String>,
    /// How far it is.
    pub state: DrainState,
    /// Its legs were taken out without regard to flows and routes.
    pub forced: bool,
    /// When it was ordered, in seconds ago.
    pub since_seconds: u64,
    /// For how long it has carried no flow; `null` while it may.
    pub drained_seconds: Option<u64>,
    /// Groups in the kernel that have a leg to it.
    pub groups: u64,
    /// Its buckets in all groups; `null` before they were read first, and where groups are not resilient.
    pub buckets: Option<u64>,
    /// Of them: those that a packet has used within the idle timer. Each holds one flow or more.
    pub buckets_in_use: Option<u64>,
    /// When one of them was used last, in milliseconds before they were read.
    pub last_used_ms: Option<u64>,
    /// For how long no packet may have used a bucket that counts as free; `null` where groups are not resilient.
    pub idle_timer_seconds: Option<u32>,
    /// Kernel routes that have no other leg: they keep this one, and the node does not become free, unless by force.
    pub last_leg_routes: u64,
    /// The first few of these.
    pub last_leg_prefixes: Vec<String>,
}

/// How far a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrainState {
    /// New flows go elsewhere; those that it has end on it.
    #[default]
    Draining,
    /// It carries no flow; its legs are out.
    Drained,
    /// A word of a later daemon.
    #[serde(other)]
    Unknown,
}

impl DrainState {
    /// The word that is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for DrainState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Drain {
    /// How far it is, in words.
    pub fn words(&self) -> String {
        let mut words = match (self.drained_seconds, self.buckets_in_use) {
            (Some(ago), _) if self.forced => format!("drained by force {ago} s ago"),
            (Some(ago), _) => format!("drained, carries no flow for {ago} s"),
            (None, Some(in_use)) => {
                let buckets = self.buckets.unwrap_or(in_use);
                format!("draining for {} s, {in_use} of its {buckets} buckets in use", self.since_seconds)
            }
            (None, None) => format!("draining for {} s", self.since_seconds),
        };
        if self.last_leg_routes > 0 {
            words.push_str(&format!(", the last leg of {} routes", self.last_leg_routes));
        }
        words
    }
}

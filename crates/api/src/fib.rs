//! `GET /v1/fib`: what the kernel should have, whether it has it, and what it said if not.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Query of `GET /v1/fib`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FibQuery {
    /// Exactly this prefix.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Only routes in this state.
    #[serde(default)]
    pub state: Option<FibState>,
    /// At most this many; without it [`crate::RouteQuery::DEFAULT_LIMIT`].
    #[serde(default)]
    pub limit: Option<usize>,
    /// Only prefixes behind this one: the last prefix of the page before.
    #[serde(default)]
    pub after: Option<String>,
}

impl FibQuery {
    /// The path with this query.
    pub fn to_path(&self) -> String {
        let limit = self.limit.map(|limit| limit.to_string());
        crate::path::with_query(
            crate::path::FIB,
            &[
                ("prefix", self.prefix.as_deref()),
                ("state", self.state.map(FibState::as_str)),
                ("limit", limit.as_deref()),
                ("after", self.after.as_deref()),
            ],
        )
    }
}

/// Reply to `GET /v1/fib`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FibReply {
    /// The kernel's table, e.g. 254.
    pub table: u32,
    /// The metric (priority) of our routes, e.g. 20.
    pub metric: u32,
    /// The protocol number of our routes, e.g. 186 (`bgp`).
    pub protocol: u8,
    /// By prefix, IPv4 before IPv6.
    pub routes: Vec<FibRoute>,
    /// How many routes the query has without its limit.
    pub total: Option<u64>,
    /// Whether there are more behind the last one; ask again with `after`.
    pub more: bool,
}

/// One wanted or still present kernel route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FibRoute {
    /// The destination.
    pub prefix: String,
    /// Its family.
    pub family: String,
    /// How it stands.
    pub state: FibState,
    /// For how long it is in this state, if that is kept.
    pub since_seconds: Option<u64>,
    /// What it should go through; empty while it is being removed.
    pub next_hops: Vec<FibNextHop>,
    /// The kernel's nexthop object or group behind it.
    pub nhid: Option<u32>,
    /// Why it is not installed, e.g. `route of protocol static, metric 20 is in the way`,
    /// `RTM_NEWROUTE: No route to host (errno 113)`.
    pub error: Option<String>,
    /// The kernel's error number behind `error`, if the kernel said no.
    pub errno: Option<i32>,
    /// When it is tried again whatever happens.
    #[serde(default)]
    pub retry_seconds: Option<u64>,
    /// When it is tried again before, e.g. `when a link, an address or a next-hop object of this host changes`.
    #[serde(default)]
    pub cure: Option<String>,
    /// How often it was put back after somebody removed or changed it.
    #[serde(default)]
    pub repairs: u64,
    /// Who did so last, as far as the kernel said it, e.g. `zebra (process 812)`.
    #[serde(default)]
    pub undone_by: Option<String>,
}

impl FibRoute {
    /// What is in its way, and when it is tried again; `None` where nothing is.
    pub fn trouble(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        let after = self.retry_seconds.map(|seconds| format!("within {seconds} s"));
        let times: Vec<String> = after.into_iter().chain(self.cure.clone()).collect();
        Some(if times.is_empty() {
            error.clone()
        } else {
            format!("{error}; tried again {}", times.join(", or "))
        })
    }
}

/// One leg of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FibNextHop {
    /// The next hop of the BGP route.
    pub next_hop: String,
    /// The address that the kernel sends to; `null` if unreachable.
    pub gateway: Option<String>,
    /// The interface.
    pub interface: Option<String>,
    /// The leg's own kernel nexthop object.
    pub nhid: Option<u32>,
    /// It carries no flow until the leg before it is lost.
    #[serde(default)]
    pub backup: bool,
    /// Why this leg is left out; `null` if it is in.
    pub left_out: Option<String>,
}

/// How a kernel route stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FibState {
    /// In the kernel as wanted.
    Installed,
    /// Asked of the kernel, not confirmed yet.
    #[default]
    Pending,
    /// Being taken out.
    Removing,
    /// Somebody else's route has the same prefix and metric; it stays theirs.
    Blocked,
    /// No next hop can be reached.
    Unreachable,
    /// The kernel refused; it is tried again.
    Failed,
    /// A word of a later daemon.
    #[serde(other)]
    Unknown,
}

impl FibState {
    /// Every state that the daemon uses.
    pub const ALL: [Self; 6] =
        [Self::Installed, Self::Pending, Self::Removing, Self::Blocked, Self::Unreachable, Self::Failed];

    /// The word that is shown, and the `state` label of the metric `bgpd_fib_routes`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Pending => "pending",
            Self::Removing => "removing",
            Self::Blocked => "blocked",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for FibState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

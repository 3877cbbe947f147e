//! `GET /v1/summary` and `GET /v1/version`: the daemon on one screen, with what is wrong with the host and its remedy.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Reply to `GET /v1/version`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionReply {
    /// Version of the daemon, e.g. `0.1.0`.
    pub version: String,
    /// Versions of this interface that it speaks, e.g. `["v1"]`.
    pub api: Vec<String>,
}

/// Reply to `GET /v1/summary`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Our BGP identifier.
    pub router_id: String,
    /// Our AS.
    pub local_as: u32,
    /// Version of the daemon.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Age of the process.
    pub uptime_seconds: u64,
    /// Peers by kind.
    pub peers: PeerTotals,
    /// Loc-RIB per family, IPv4 first.
    pub rib: Vec<RibSize>,
    /// Kernel routes per family, IPv4 first.
    pub fib: Vec<FibSize>,
    /// Kernel nexthop objects that we own.
    pub kernel_nexthops: u64,
    /// Kernel nexthop groups that we own.
    pub kernel_groups: u64,
    /// The config's file and the last reload.
    pub config: ConfigState,
    /// What the daemon checked on the host.
    pub checks: Vec<HostCheck>,
    /// What the process takes.
    pub memory: Memory,
}

/// How many peers there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerTotals {
    /// All that are known now.
    pub total: u64,
    /// Those that are up.
    pub established: u64,
    /// Those that a listen range let in.
    pub dynamic: u64,
    /// Those that are shut down.
    pub shutdown: u64,
    /// Peer groups.
    pub groups: u64,
}

/// The Loc-RIB of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RibSize {
    /// Family.
    pub family: String,
    /// Prefixes with at least one usable path.
    pub prefixes: u64,
    /// Paths over all peers.
    pub paths: u64,
    /// Prefixes that have a best path: the same ones.
    pub best: u64,
}

/// The kernel's side of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FibSize {
    /// Family.
    pub family: String,
    /// In the kernel as wanted.
    pub installed: u64,
    /// Asked of the kernel, not confirmed yet.
    pub pending: u64,
    /// Being taken out.
    #[serde(default)]
    pub removing: u64,
    /// Another protocol owns the same route.
    pub blocked: u64,
    /// No next hop can be reached.
    #[serde(default)]
    pub unreachable: u64,
    /// The kernel refused.
    pub failed: u64,
}

/// Where the config came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigState {
    /// The file.
    pub path: String,
    /// Age of the config that is in force.
    pub loaded_seconds: u64,
    /// That the last reload was refused, for how many faults, and what names them: who may only look is told nothing
    /// that stands in the file. `null` if it was not refused.
    pub last_reload_error: Option<String>,
    /// As [`crate::ConfigReply::confirm_seconds`].
    #[serde(default)]
    pub confirm_seconds: Option<u64>,
    /// As [`crate::ConfigReply::rolled_back_seconds`].
    #[serde(default)]
    pub rolled_back_seconds: Option<u64>,
    /// As [`crate::ReloadReply::needs_restart`], of the last reload: the file says it and it is not in force.
    #[serde(default)]
    pub needs_restart: Vec<String>,
}

/// One thing about the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCheck {
    /// A short name, also the label of the metric `bgpd_host_check`, e.g. `ipv6-multipath-hash-policy`.
    pub name: String,
    /// How it stands.
    pub state: CheckState,
    /// What was found, e.g. `net.ipv6.fib_multipath_hash_policy is 0: connections of this host all take one next hop`.
    pub message: String,
    /// A command or config line that puts it right; `null` where nothing is wrong.
    pub remedy: Option<String>,
}

/// Reply to `GET /v1/doctor`: what of the host spoils what the routes promise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorReply {
    /// Whether every check is as it should be.
    pub healthy: bool,
    /// Each of them.
    pub checks: Vec<HostCheck>,
}

/// How a check stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Works, not as well as it could.
    #[default]
    Warning,
    /// Does not work.
    Failed,
    /// A word of a later daemon.
    #[serde(other)]
    Unknown,
}

impl CheckState {
    /// The word that is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for CheckState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident set in octets.
    pub resident_bytes: u64,
    /// What the RIB takes of it, if it is counted.
    pub rib_bytes: Option<u64>,
    /// Distinct sets of path attributes.
    pub attribute_sets: u64,
}

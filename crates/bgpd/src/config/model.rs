//! The checked configuration: what the daemon is handed.
//!
//! Owns the values and their defaults' meaning. Every neighbour is fully resolved: what it did not say itself comes
//! from its peer group, then from `[bgp]`, then from the built-in default. How text becomes these values is `check`.

mod password;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bgp_policy::{Policy, PrefixList};
use bgp_session::SendHold;
use bgp_wire::open::HoldTime;
use bgp_wire::{Asn, PerFamily, Prefix, RouterId};

pub use password::{Password, PasswordError};

/// Everything that the file says, with defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[bgp]`.
    pub bgp: Bgp,
    /// `[neighbor."ADDRESS"]`, resolved.
    pub neighbors: BTreeMap<IpAddr, Neighbor>,
    /// Those `[peer-group.NAME]` that have listen ranges, resolved. A group without is part of its neighbours.
    pub groups: BTreeMap<String, Group>,
    /// `[prefix-list.NAME]`.
    pub prefix_lists: BTreeMap<String, Arc<PrefixList>>,
    /// `[kernel]`.
    pub kernel: Kernel,
    /// `[control]`.
    pub control: Control,
    /// `[metrics]`.
    pub metrics: Metrics,
    /// `[log]`.
    pub log: Log,
    /// `[process]`.
    pub process: Process,
}

impl Config {
    /// The group whose settings a peer gets that connects from `address` without being configured as a neighbour:
    /// the one with the longest listen range around the address.
    pub fn group_for(&self, address: IpAddr) -> Option<&Group> {
        self.groups
            .values()
            .flat_map(|group| group.listen_ranges.iter().map(move |range| (range, group)))
            .filter(|(range, _)| range.contains(address))
            .max_by_key(|(range, _)| range.len())
            .map(|(_, group)| group)
    }
}

/// `[bgp]`: this speaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bgp {
    /// Our AS.
    pub asn: Asn,
    /// Our BGP Identifier; absent: the daemon derives one from the host's addresses.
    pub router_id: Option<RouterId>,
    /// Where we listen.
    pub listen: Vec<SocketAddr>,
    /// Widest multipath set, 1 for none.
    pub maximum_paths: u16,
    /// Whether routes with different AS_PATHs of equal length form one multipath set.
    pub multipath_relax: bool,
    /// Prefixes we originate, without duplicates.
    pub networks: Vec<Prefix>,
}

/// A neighbour configured by its address.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbor {
    /// Its address.
    pub address: IpAddr,
    /// The interface it is on; always there for a link-local address.
    pub interface: Option<String>,
    /// The peer group it takes settings from.
    pub group: Option<String>,
    /// All that applies to it.
    pub settings: Settings,
}

/// A peer group: settings that neighbours share, and who may connect without being configured by address.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Whoever connects from inside one of these is accepted with the group's settings.
    pub listen_ranges: Vec<Prefix>,
    /// How many peers at a time the listen ranges admit.
    pub listen_limit: u32,
    /// All that applies to a peer accepted by listen range.
    pub settings: Settings,
}

/// Everything that applies to one peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Free text, shown and logged.
    pub description: Option<String>,
    /// Which AS the peer must be in.
    pub remote_asn: RemoteAsn,
    /// What the session machine and its sockets need.
    pub session: Session,
    /// Which routes are taken. `None`: nothing was said; RFC 8212 then refuses all of an external peer.
    pub import: Option<Policy>,
    /// Which routes are given. `None`: nothing was said; RFC 8212 then gives nothing to an external peer.
    pub export: Option<Policy>,
    /// Limit on received prefixes, for each family by itself.
    pub maximum_prefix: Option<MaximumPrefix>,
    /// How often our own AS may occur in a received AS_PATH.
    pub allow_own_as: u8,
    /// Whether an external peer's AS must be the first in the AS_PATHs it sends.
    pub enforce_first_as: bool,
    /// Whether routes given to an internal peer carry our address as next hop.
    pub next_hop_self: bool,
    /// Whether what it is told has GRACEFUL_SHUTDOWN, RFC 8326.
    pub graceful_shutdown: bool,
    /// Its share in multipath routes; `None`: what its routes say, else an equal one.
    pub weight: Option<u16>,
    /// What its BFD session is made with; `None`: there is none.
    pub bfd: Option<bgp_bfd::Config>,
}

/// Which AS a peer must be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAsn {
    /// This one.
    Exactly(Asn),
    /// Any but ours.
    External,
    /// Ours.
    Internal,
}

impl RemoteAsn {
    /// Whether the peer is in another AS than `local`.
    pub fn is_external(self, local: Asn) -> bool {
        match self {
            Self::Exactly(asn) => asn != local,
            Self::External => true,
            Self::Internal => false,
        }
    }

    /// Whether a peer that says `asn` in its OPEN is the right one.
    pub fn admits(self, asn: Asn, local: Asn) -> bool {
        match self {
            Self::Exactly(expected) => asn == expected,
            Self::External => asn != local,
            Self::Internal => asn == local,
        }
    }
}

/// What the session machine and its sockets need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Which families are offered.
    pub families: PerFamily<bool>,
    /// Who may open the connection.
    pub mode: Mode,
    /// The peer's port when we dial.
    pub port: u16,
    /// The address we dial from and are reached at.
    pub local_address: Option<IpAddr>,
    /// How far away the peer may be.
    pub ttl: Ttl,
    /// TCP MD5 signature key, RFC 2385.
    pub password: Option<Password>,
    /// The file that it is read from; `None` where it stands in the configuration.
    pub password_file: Option<PathBuf>,
    /// The hold time that we propose.
    pub hold_time: HoldTime,
    /// Seconds between KEEPALIVEs; `None`: a third of the negotiated hold time.
    pub keepalive: Option<u16>,
    /// Between two attempts to connect.
    pub connect_retry: Duration,
    /// How long the peer may take nothing before the session ends.
    pub send_hold: SendHold,
    /// How long octets that we sent may wait for their acknowledgement; `None`: as long as the kernel says.
    pub tcp_user_timeout: Option<Duration>,
    /// RFC 4724.
    pub graceful_restart: GracefulRestart,
    /// Whether it is kept down.
    pub shutdown: Shutdown,
}

/// Whether a peer is kept down by configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// It is not.
    No,
    /// It is, and the peer is told why (RFC 9003) if a reason was given.
    Yes {
        /// At most 255 octets.
        reason: Option<String>,
    },
}

/// Who may open the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Either side.
    Both,
    /// We dial and accept nothing.
    Active,
    /// We wait for the peer.
    Passive,
}

/// How far away a peer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// Directly connected: packets leave with a TTL of 1.
    Direct,
    /// At most so many hops: packets leave with this TTL. Internal peers have 255.
    Multihop(u8),
    /// GTSM, RFC 5082: packets leave with 255 and must arrive with at least `256 - hops`.
    Security {
        /// Hops between us, 1 for a direct link.
        hops: u8,
    },
}

/// Limit on received prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaximumPrefix {
    /// The most that one family may hold.
    pub limit: u32,
    /// Percentage of the limit at which a warning is logged.
    pub warn_at: u8,
    /// What exceeding it means.
    pub action: LimitAction,
}

/// What exceeding `maximum-prefix` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitAction {
    /// A warning, nothing else.
    Warn,
    /// The session ends and stays down until somebody starts it.
    Stop,
    /// The session ends and is tried again after this time.
    Restart(Duration),
}

/// RFC 4724 with RFC 8538.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// Which part we play.
    pub mode: GracefulRestartMode,
    /// How long we ask peers to keep our routes while we restart.
    pub restart_time: u16,
    /// The longest that we keep the routes of a restarting peer, whatever it asks for.
    pub stale_time: Duration,
    /// How long routes stay after the restart time, as the last choice: RFC 9494. Zero: they do not.
    pub long_lived_stale_time: Duration,
}

/// Which part we play in RFC 4724.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GracefulRestartMode {
    /// The capability is not offered.
    Off,
    /// We keep the routes of a restarting peer.
    Helper,
    /// We also ask peers to keep ours.
    Full,
}

/// `[kernel]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Whether routes are installed at all.
    pub install: bool,
    /// Routing table.
    pub table: u32,
    /// Route metric.
    pub metric: u32,
    /// Preferred source of IPv4 routes.
    pub preferred_source_ipv4: Option<Ipv4Addr>,
    /// Preferred source of IPv6 routes.
    pub preferred_source_ipv6: Option<Ipv6Addr>,
    /// Whether a next hop such as `::ffff:172.50.0.2` is resolved to the neighbour's real IPv6 address.
    pub resolve_mapped_next_hops: bool,
    /// Whether our routes stay in the kernel when the daemon stops.
    pub keep_routes_on_stop: bool,
    /// How long our own routes found at start stay while nobody announces them.
    pub startup_grace: Duration,
    /// How often a peer on the link is asked for by neighbour discovery or ARP; `None`: only by the kernel itself.
    pub neighbor_probe_interval: Option<Duration>,
    /// How long after an audit of the kernel's routes the next one begins; `None`: there are none.
    pub audit_interval: Option<Duration>,
    /// Whether `fib_multipath_hash_policy` is set to 1 where it is 0.
    pub set_multipath_hash_policy: bool,
    /// Whether routes with one next hop get a backup, known to the kernel before it is needed.
    pub nexthop_backup: bool,
    /// What kind of next-hop groups is made.
    pub nexthop_groups: NexthopGroups,
    /// What a resilient one is made with.
    pub resilient: bgp_fib::Resilient,
    /// Whether groups that the kernel has from an earlier run keep their number of buckets: none was chosen.
    pub keep_buckets: bool,
}

/// What kind of next-hop groups is made where the kernel has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NexthopGroups {
    /// Flows stay with their member while that is there.
    Resilient,
    /// Every change of the members deals all flows anew.
    Plain,
}

impl NexthopGroups {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resilient => "resilient",
            Self::Plain => "plain",
        }
    }
}

/// `[control]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The Unix socket of bgpctl.
    pub socket: PathBuf,
    /// Whose members may use it beside root and the daemon's own user.
    pub group: Option<String>,
    /// Who else may look.
    pub readers: Readers,
}

/// Who may look at the daemon without being allowed to change anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Readers {
    /// Only those who may change, too.
    #[default]
    Nobody,
    /// Every user of the host.
    Everybody,
    /// Members of this group.
    Group(String),
}

/// `[metrics]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Where Prometheus scrapes; `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important level that is logged.
    pub level: LogLevel,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `[process]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The user to become when started as root.
    pub user: Option<String>,
    /// Whether the process is fenced in.
    pub sandbox: Sandbox,
    /// What a restart does with the sessions.
    pub restart: Restart,
}

/// Whether the kernel keeps the process to the files and system calls that it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// It does.
    #[default]
    On,
    /// System calls that would be refused are made and logged by the kernel; files are as without.
    Log,
    /// It does not.
    Off,
}

/// What becomes of sessions when the daemon is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// The next process goes on with them.
    Hitless,
    /// They end without a word and the kernel's routes stay: peers and kernel go on as after a crash, RFC 4724.
    Graceful,
    /// They end, as at a stop.
    Cold,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hitless => "hitless",
            Self::Graceful => "graceful",
            Self::Cold => "cold",
        })
    }
}

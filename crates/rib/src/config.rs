//! What the RIB is told: about this speaker once, about each peer when its session comes up.

use std::fmt;
use std::net::IpAddr;

use bgp_policy::Policy;
use bgp_wire::{Asn, EncodeContext, NextHop, PeerKind, PerFamily, RouterId};

/// Names a peer; the daemon chooses the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

impl PeerId {
    /// This speaker itself, as the origin of its own networks. No peer may have it.
    pub const LOCAL: Self = Self(u32::MAX);
}

/// What holds for all peers.
#[derive(Clone, Debug)]
pub struct RibConfig {
    /// Our AS.
    pub local_asn: Asn,
    /// Our BGP Identifier; also our CLUSTER_ID, RFC 4456 section 7.
    pub router_id: RouterId,
    /// How many equally good paths are used at a time; zero counts as one.
    pub maximum_paths: usize,
    /// Whether equally good paths may differ in their AS_PATHs (not in the length). Without it the AS_PATHs must be equal.
    pub multipath_relax: bool,
    /// Whether the kernel side is told a backup for prefixes that have one next hop.
    pub backups: bool,
    /// Drawn at random by the process; everything about a hash but its input follows from it. Whoever chooses prefixes,
    /// attributes or next hops must not be able to choose collisions.
    pub hash_seed: u64,
}

/// What holds for one peer while its session is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// Whether it is in another AS.
    pub kind: PeerKind,
    /// Its AS.
    pub asn: Asn,
    /// Its BGP Identifier; need not differ from ours or another peer's (RFC 6286).
    pub router_id: RouterId,
    /// Its address, the last tie-break.
    pub address: IpAddr,
    /// Our address on the session.
    pub local_address: IpAddr,
    /// Interface index of the session where it runs over a directly connected link. Part of each next hop that the peer
    /// announces.
    pub interface: Option<u32>,
    /// Families negotiated.
    pub families: PerFamily<bool>,
    /// How to write UPDATEs for it.
    pub encode: EncodeContext,
    /// What it may tell us. `None`: an external peer tells nothing (RFC 8212), an internal one everything.
    pub import: Option<Policy>,
    /// What we tell it. `None`: an external peer gets nothing (RFC 8212), an internal one everything.
    pub export: Option<Policy>,
    /// What we announce as ourselves, where it is not [`PeerSettings::local_address`]: for IPv6 over an IPv4 session, or
    /// with a link-local address beside the global one.
    pub next_hop: PerFamily<Option<NextHop>>,
    /// Announce ourselves as next hop to an internal peer also for routes of external peers. External peers always get
    /// our own address.
    pub next_hop_self: bool,
    /// The session will be closed: what we announce has GRACEFUL_SHUTDOWN, and LOCAL_PREF 0 for an internal peer, so that it
    /// finds other ways before, RFC 8326 section 4.1.
    pub graceful_shutdown: bool,
    /// The share of its paths in multipath sets, 1 to 256; `None`: what the paths say, else equal shares.
    pub weight: Option<u16>,
    /// How often our own AS may be in an AS_PATH that it sends.
    pub allow_own_as: u8,
    /// Refuse routes of an external peer whose AS_PATH does not begin with its AS, RFC 4271 section 6.3. Off for route
    /// servers.
    pub enforce_first_as: bool,
    /// At most so many prefixes.
    pub maximum_prefix: PerFamily<Option<MaximumPrefix>>,
    /// A route refresh is bracketed, in both directions: RFC 7313.
    pub enhanced_route_refresh: bool,
    /// The peer ends its initial routes by End-of-RIB, having sent the Graceful Restart capability.
    pub graceful_restart: bool,
    /// It has sent the Long-Lived Graceful Restart capability: routes with LLGR_STALE are announced to it.
    pub long_lived: bool,
}

impl PeerSettings {
    /// Settings with the usual defaults: both families, no policy, first AS enforced, no limits.
    pub fn new(
        kind: PeerKind,
        asn: Asn,
        router_id: RouterId,
        address: IpAddr,
        local_address: IpAddr,
    ) -> Self {
        Self {
            kind,
            asn,
            router_id,
            address,
            local_address,
            interface: None,
            families: PerFamily { ipv4: true, ipv6: true },
            encode: EncodeContext::default(),
            import: None,
            export: None,
            next_hop: PerFamily::default(),
            next_hop_self: false,
            graceful_shutdown: false,
            weight: None,
            allow_own_as: 0,
            enforce_first_as: true,
            maximum_prefix: PerFamily::default(),
            enhanced_route_refresh: false,
            graceful_restart: false,
            long_lived: false,
        }
    }
}

/// A limit on the prefixes in an Adj-RIB-In, counted before policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaximumPrefix {
    /// At most this many.
    pub limit: u32,
    /// What the daemon does with a peer that sends more.
    pub action: MaximumPrefixAction,
    /// Percent of `limit` from which on the operator is warned.
    pub warn_at: Option<u8>,
}

impl MaximumPrefix {
    /// How many prefixes bring the warning.
    pub(crate) fn warning_level(&self) -> Option<u32> {
        let percent = u64::from(self.warn_at?);
        u32::try_from(u64::from(self.limit).saturating_mul(percent).div_ceil(100)).ok()
    }
}

/// What becomes of a peer that exceeds its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaximumPrefixAction {
    /// It is said, and the routes are taken.
    Warn,
    /// The session ends and stays down. Prefixes over the limit are not stored.
    Stop,
    /// The session ends and comes back later. Prefixes over the limit are not stored.
    Restart,
}

impl fmt::Display for MaximumPrefixAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warn => "warn",
            Self::Stop => "stop",
            Self::Restart => "restart",
        })
    }
}

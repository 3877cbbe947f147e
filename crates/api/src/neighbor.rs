//! `GET /v1/neighbors`: every peer, its session, and for one that is not up why and when it tries next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an external peer without import policy is told about, RFC 8212 section 3. For [`PolicyText::note`] and the log.
pub const NO_IMPORT_POLICY: &str = "no import policy: nothing is accepted from this external peer (RFC 8212); \
                                    import = \"all\" accepts every route";

/// The same for the export side.
pub const NO_EXPORT_POLICY: &str = "no export policy: nothing is announced to this external peer (RFC 8212); \
                                    export = \"all\" announces every route";

/// Query of `GET /v1/neighbors`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighborQuery {
    /// Only this neighbour.
    #[serde(default)]
    pub address: Option<String>,
}

/// Reply to `GET /v1/neighbors`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighborsReply {
    /// By address, IPv4 before IPv6.
    pub neighbors: Vec<Neighbor>,
}

/// One peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbor {
    /// Its address, with `%interface` if link-local and the config names it; routes and events have it without.
    pub address: String,
    /// The peer group that it takes its settings from.
    pub group: Option<String>,
    /// The description from the config.
    pub description: Option<String>,
    /// Whether it is of another AS.
    pub kind: PeerKind,
    /// The listen range that let it in, e.g. `2001:3200:3200::/64`; `null` for a peer configured by address.
    pub listen_range: Option<String>,
    /// Our AS towards it.
    pub local_as: u32,
    /// Its AS; `null` while nothing but "external" is known.
    pub remote_as: Option<u32>,
    /// State of RFC 4271 section 8.2.2.
    pub state: SessionState,
    /// For how long it is up, or down; `null` if it has never been up.
    pub since_seconds: Option<u64>,
    /// Times that an established session ended.
    pub flaps: u64,
    /// Why the last session or attempt ended; stays while the session is up.
    pub last_down: Option<LastDown>,
    /// When we dial next; `null` while up, connecting, shut down, or where only the peer dials.
    pub next_attempt_seconds: Option<u64>,
    /// What happens next, in words, while it is not up, e.g. `next attempt in 12 s`, `waits for the peer to dial`,
    /// `shut down: maintenance`.
    pub next_step: Option<String>,
    /// Addresses, ports and how the TCP connection is protected.
    pub transport: Transport,
    /// What both sides agreed on, while Established.
    pub negotiated: Option<Negotiated>,
    /// What was counted on the wire since the daemon's start.
    pub messages: Messages,
    /// The families, IPv4 first; those that are configured or that the peer offered.
    pub families: Vec<NeighborFamily>,
    /// What each side announced in OPEN; empty before the first OPEN.
    pub capabilities: Vec<Capability>,
    /// Graceful restart, where either side speaks it.
    pub graceful_restart: Option<GracefulRestart>,
    /// What the host sees of the node (bridge port, neighbour entry), and what was decided from it last, in words; `null`
    /// for a peer that is not on a link of this host, or has not been up.
    #[serde(default)]
    pub node: Option<String>,
    /// How far its node is that is being drained, in words; `null`: it is not.
    #[serde(default)]
    pub drain: Option<String>,
    /// Who has it told by GRACEFUL_SHUTDOWN (RFC 8326) that its session will be closed: `ordered by bgpctl` or `by the
    /// configuration`; `null`: nobody.
    #[serde(default)]
    pub graceful_shutdown: Option<String>,
    /// Its BFD session, where it has one.
    #[serde(default)]
    pub bfd: Option<crate::BfdSession>,
    /// Import and export policy in words.
    pub policy: PolicyView,
    /// What an operator should look at, one sentence each; what policy has to say stands in its note, not here.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Another AS or ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerKind {
    /// eBGP.
    #[default]
    External,
    /// iBGP.
    Internal,
    /// A word of a later daemon.
    #[serde(other)]
    Unknown,
}

/// The states of RFC 4271 section 8.2.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// Refuses connections, or waits before the next attempt.
    #[default]
    Idle,
    /// Dials.
    Connect,
    /// Listens, and will dial when the connect-retry timer ends.
    Active,
    /// Our OPEN is out.
    OpenSent,
    /// Theirs is accepted.
    OpenConfirm,
    /// Up.
    Established,
    /// A word of a later daemon.
    #[serde(other)]
    Unknown,
}

impl SessionState {
    /// The six states, in the order of the RFC.
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::Connect, Self::Active, Self::OpenSent, Self::OpenConfirm, Self::Established];

    /// The name as the RFC writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Connect => "Connect",
            Self::Active => "Active",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The end of a session or of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDown {
    /// In words, e.g. `peer closed the connection without a NOTIFICATION`.
    pub reason: String,
    /// How long ago.
    pub seconds_ago: u64,
}

/// Below BGP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transport {
    /// Our end of the connection.
    pub local: Option<Endpoint>,
    /// The peer's end.
    pub remote: Option<Endpoint>,
    /// The interface that the peer is on, if it is directly connected.
    pub interface: Option<String>,
    /// Who dials: `both`, `active` (we), `passive` (the peer).
    pub mode: String,
    /// Whether TCP MD5 (RFC 2385) is on.
    pub md5: bool,
    /// `ttl 1`, `multihop 4`, `ttl security: 1 hop`.
    pub ttl: String,
}

/// An address with a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address.
    pub address: String,
    /// TCP port.
    pub port: u16,
}

/// What two OPENs come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Negotiated {
    /// The peer's BGP identifier.
    pub router_id: String,
    /// The peer's host name, from its FQDN capability.
    pub hostname: Option<String>,
    /// Hold time in seconds; 0 is off.
    pub hold_seconds: u16,
    /// Keepalive interval in seconds; 0 is off.
    pub keepalive_seconds: u16,
    /// What is left of the hold timer.
    pub hold_left_seconds: Option<u64>,
    /// AS numbers of four octets (RFC 6793).
    pub four_octet_as: bool,
    /// Messages of up to 65535 octets (RFC 8654).
    pub extended_message: bool,
    /// Route refresh (RFC 2918).
    pub route_refresh: bool,
    /// IPv4 routes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
}

/// Counters in both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    /// From the peer.
    pub received: MessageCounts,
    /// To the peer.
    pub sent: MessageCounts,
    /// Age of the last message received.
    pub last_received_seconds: Option<u64>,
    /// Octets received and not yet worked on.
    pub queued_in_bytes: u64,
    /// Octets that wait to be written to the peer.
    pub queued_out_bytes: u64,
    /// UPDATEs of the peer with a fault, whatever it cost (RFC 7606); the log has the first of them whole.
    #[serde(default)]
    pub malformed_updates: u64,
}

/// Messages by type, RFC 4271 section 4.1 and RFC 2918.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageCounts {
    /// OPEN.
    pub open: u64,
    /// UPDATE.
    pub update: u64,
    /// NOTIFICATION.
    pub notification: u64,
    /// KEEPALIVE.
    pub keepalive: u64,
    /// ROUTE-REFRESH.
    pub route_refresh: u64,
    /// Octets of all of them.
    pub bytes: u64,
}

impl MessageCounts {
    /// All messages.
    pub fn total(&self) -> u64 {
        [self.open, self.update, self.notification, self.keepalive, self.route_refresh]
            .iter()
            .fold(0, |sum, count| u64::saturating_add(sum, *count))
    }
}

/// One family of one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighborFamily {
    /// `ipv4-unicast` or `ipv6-unicast`.
    pub family: String,
    /// Whether it is in use on the session.
    pub negotiated: bool,
    /// Why not, e.g. `peer did not offer ipv4-unicast`, `not configured here`; `null` while there is no session.
    pub not_negotiated_because: Option<String>,
    /// Prefixes that the peer announced (Adj-RIB-In, before policy).
    pub received: u64,
    /// Those that policy and the checks let through.
    pub accepted: u64,
    /// Those that are best or in the multipath set.
    pub best: u64,
    /// Prefixes that we announced to it (Adj-RIB-Out).
    pub advertised: u64,
    /// Prefixes kept from before a restart of the peer (RFC 4724).
    pub stale: u64,
    /// Prefixes whose change has not been written to the peer yet.
    pub pending_out: u64,
    /// Whether its End-of-RIB came.
    pub end_of_rib_received: bool,
    /// Whether ours went out.
    pub end_of_rib_sent: bool,
    /// The limit, if there is one.
    pub maximum_prefix: Option<MaximumPrefix>,
}

/// The limit on received prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaximumPrefix {
    /// At most this many.
    pub limit: u64,
    /// `warn`, `stop` or `restart`.
    pub action: String,
    /// Whether it is exceeded now.
    pub exceeded: bool,
}

/// One capability and which side announced it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Its name in words, e.g. `multiprotocol ipv6-unicast`, `extended next hop`, `unknown (code 128)`.
    pub name: String,
    /// What we announced: `yes` or its value in words; `null` if we did not.
    pub local: Option<String>,
    /// What the peer announced.
    pub remote: Option<String>,
}

/// Graceful restart, RFC 4724 and RFC 8538.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GracefulRestart {
    /// The restart time that the peer announced, in seconds.
    pub peer_restart_seconds: Option<u16>,
    /// Its R bit: it has just restarted.
    pub peer_restarted: bool,
    /// Both sides set the N bit: routes also stay over a NOTIFICATION.
    pub notification: bool,
    /// Families whose forwarding state the peer kept (F bit).
    pub peer_forwarding_kept: Vec<String>,
    /// While its routes are stale: when they are removed.
    pub stale_removed_in_seconds: Option<u64>,
}

/// Both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// What it may tell us.
    pub import: PolicyText,
    /// What we tell it.
    pub export: PolicyText,
}

/// One policy in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyText {
    /// `all`, `none`, `prefix-list NAME` or `not set`.
    pub policy: String,
    /// A sentence for an operator: [`NO_IMPORT_POLICY`] or [`NO_EXPORT_POLICY`] where RFC 8212 holds.
    pub note: Option<String>,
}

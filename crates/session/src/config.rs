//! What the operator says about one peer: the session attributes of RFC 4271 section 8.1.1.
//!
//! Owns the values that a [`Peer`](crate::Peer) is made with. Addresses, passwords, TTL and listen ranges are the
//! daemon's: a session is handed connections that have passed all of these.

use std::fmt;
use std::time::Duration;

use bgp_wire::open::HoldTime;
use bgp_wire::{Asn, PerFamily, RouterId};

/// Everything a session needs to know before its peer has said a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// Our AS.
    pub local_asn: Asn,
    /// Our BGP Identifier.
    pub router_id: RouterId,
    /// The AS that the peer must have.
    pub remote_as: RemoteAs,
    /// Who dials.
    pub mode: Mode,
    /// The hold time that we propose.
    pub hold_time: HoldTime,
    /// Time between keepalives; `None`, and whatever is longer, is a third of the negotiated hold time.
    pub keepalive: Option<Duration>,
    /// The longest pause between two dials, ConnectRetryTime of RFC 4271 section 8; shorter ones, from a second
    /// on, come first.
    pub connect_retry: Duration,
    /// How long the peer may leave our octets untaken, RFC 9687.
    pub send_hold: SendHold,
    /// Families that we offer.
    pub families: PerFamily<bool>,
    /// What we say about graceful restart.
    pub graceful_restart: GracefulRestartMode,
    /// How long we keep routes of a peer that is away for longer than its restart time, at most, and ask peers to keep
    /// ours: RFC 9494. Zero: not at all, and the capability is not sent.
    pub long_lived_stale_time: Duration,
    /// Whether we have just restarted ourselves, and what became of our forwarding.
    pub own_restart: OwnRestart,
    /// Host name for the FQDN capability; absent: the capability is not sent.
    pub hostname: Option<String>,
    /// Administratively down from the start, with the reason that the peer is told.
    pub shutdown: Option<String>,
}

impl PeerConfig {
    /// A peer with hold time 90, connect retry 60 s, both families, dialling and accepting, graceful restart as a helper.
    pub fn new(local_asn: Asn, router_id: RouterId, remote_as: RemoteAs) -> Self {
        Self {
            local_asn,
            router_id,
            remote_as,
            mode: Mode::Both,
            hold_time: HoldTime::new(90).unwrap_or(HoldTime::Off),
            keepalive: None,
            connect_retry: Duration::from_secs(60),
            send_hold: SendHold::Recommended,
            families: PerFamily { ipv4: true, ipv6: true },
            graceful_restart: GracefulRestartMode::Helper,
            long_lived_stale_time: Duration::ZERO,
            own_restart: OwnRestart::default(),
            hostname: None,
            shutdown: None,
        }
    }
}

/// How long a peer may leave our octets untaken before its session ends, RFC 9687.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendHold {
    /// 8 minutes or twice the negotiated hold time, whichever is longer (section 3); for ever where that is off.
    Recommended,
    /// So long, whatever the hold time is.
    After(Duration),
    /// For ever.
    Off,
}

impl SendHold {
    /// The time, under the negotiated hold time.
    pub(crate) fn time(self, hold: Option<Duration>) -> Option<Duration> {
        const LEAST: Duration = Duration::from_secs(8 * 60);
        match self {
            Self::Recommended => hold.map(|hold| (hold * 2).max(LEAST)),
            Self::After(time) => Some(time),
            Self::Off => None,
        }
    }
}

/// When a changed configuration counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// It does already.
    AtOnce,
    /// The session there is was negotiated under the old one: it counts from the next session on. Who cannot wait
    /// resets the peer.
    NextSession,
}

/// The AS that a peer must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAs {
    /// This one.
    Exact(Asn),
    /// Any but ours.
    External,
    /// Ours.
    Internal,
}

impl RemoteAs {
    /// May a peer of AS `remote` come up where ours is `local`? AS 0 never may, RFC 7607 section 2.
    pub fn admits(self, local: Asn, remote: Asn) -> bool {
        remote != Asn::ZERO
            && match self {
                Self::Exact(asn) => remote == asn,
                Self::External => remote != local,
                Self::Internal => remote == local,
            }
    }
}

impl fmt::Display for RemoteAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(asn) => write!(f, "AS {asn}"),
            Self::External => f.write_str("any external AS"),
            Self::Internal => f.write_str("our own AS"),
        }
    }
}

/// Who dials, PassiveTcpEstablishment of RFC 4271 section 8.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// We dial and accept.
    Both,
    /// We dial; connections of the peer are refused.
    Active,
    /// We wait for the peer.
    Passive,
}

impl Mode {
    /// Do we dial?
    pub fn dials(self) -> bool {
        match self {
            Self::Both | Self::Active => true,
            Self::Passive => false,
        }
    }

    /// Do we accept?
    pub fn accepts(self) -> bool {
        match self {
            Self::Both | Self::Passive => true,
            Self::Active => false,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Both => "both",
            Self::Active => "active",
            Self::Passive => "passive",
        })
    }
}

/// What our OPEN says about graceful restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GracefulRestartMode {
    /// No capability: a lost session takes its routes with it, at both ends.
    Off,
    /// We keep the peer's routes while it restarts. RFC 4724 section 3 has a form for exactly this: the capability
    /// without a family. Restart time 0 goes with it, for there is nothing of ours that a peer could keep.
    Helper,
    /// We keep forwarding while we are away ourselves, for `restart_time`, in `families`.
    Restarter {
        /// How long the peer may keep our routes.
        restart_time: Duration,
        /// Families whose forwarding state outlives us.
        families: PerFamily<bool>,
    },
}

/// R and F of our Graceful Restart capability, RFC 4724 section 4.1: both are to be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnRestart {
    /// R: we are just back and wait for the End-of-RIB of our peers; they need not wait for ours.
    pub restarted: bool,
    /// F: the family was forwarded while we were away, and still is.
    pub preserved: PerFamily<bool>,
}

impl Default for OwnRestart {
    /// Of a speaker that runs: if a session ends now, forwarding goes on.
    fn default() -> Self {
        Self { restarted: false, preserved: PerFamily { ipv4: true, ipv6: true } }
    }
}

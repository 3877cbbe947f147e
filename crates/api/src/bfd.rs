//! `GET /v1/bfd`: the BFD sessions, RFC 5880, and what arrived and did nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Reply to `GET /v1/bfd`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdReply {
    /// By address, IPv4 before IPv6.
    pub sessions: Vec<BfdSession>,
    /// Datagrams that were dropped, by reason, since the daemon's start; those that the kernel drops for their TTL are not
    /// among them.
    pub dropped: BTreeMap<String, u64>,
}

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdSession {
    /// The neighbour, with `%interface` if link-local and the config names it.
    pub peer: String,
    /// The address of ours that packets leave from; `null` while the kernel chooses.
    pub local: Option<String>,
    /// Our state.
    pub state: BfdState,
    /// For how long.
    pub since_seconds: u64,
    /// Why our state changed last, as the RFC names it: `none`, `detection time expired`, ...
    pub diagnostic: String,
    /// What the peer says of itself; `null` while it is not heard.
    pub remote: Option<BfdRemote>,
    /// The discriminator by which the peer knows the session.
    pub local_discriminator: u32,
    /// Between two packets of ours, in microseconds, before up to a quarter is taken off.
    pub transmit_interval_us: u64,
    /// Nothing may come for so long, in microseconds; `null` while the peer is not heard.
    pub detection_time_us: Option<u64>,
    /// So many packets of ours may be missed.
    pub multiplier: u8,
    /// New intervals wait for the peer's confirmation.
    pub polling: bool,
    /// Why it failed last.
    pub last_failure: Option<BfdFailure>,
    /// How often it came up.
    pub ups: u64,
    /// How often it failed, since the session was made.
    pub failures: u64,
    /// Packets that went out.
    pub sent: u64,
    /// Packets that came.
    pub received: u64,
    /// Packets that could not be sent.
    pub send_errors: u64,
    /// What is in the way of it, in words; `null` where nothing is.
    pub trouble: Option<String>,
}

/// What the other end says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdRemote {
    /// Its state.
    pub state: BfdState,
    /// Why its state changed last.
    pub diagnostic: String,
    /// Its discriminator.
    pub discriminator: u32,
    /// It sends no faster, in microseconds.
    pub min_tx_us: u64,
    /// It takes no faster, in microseconds.
    pub min_rx_us: u64,
    /// So many packets of its may be missed.
    pub multiplier: u8,
    /// Whether its BFD goes on when its control plane does not: the C bit.
    pub control_plane_independent: bool,
}

/// The end of a session that was Up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdFailure {
    /// In words.
    pub reason: String,
    /// How long ago.
    pub seconds_ago: u64,
}

/// The states of RFC 5880 section 6.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BfdState {
    /// Somebody holds it down.
    AdminDown,
    /// Nothing was heard, or it failed.
    #[default]
    Down,
    /// The other end was heard, and does not say that it hears us.
    Init,
    /// Both ends hear each other.
    Up,
    /// A word of a later daemon.
    #[serde(other)]
    Unknown,
}

impl BfdState {
    /// As the RFC writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for BfdState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

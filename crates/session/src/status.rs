//! How a peer is doing, for `show neighbors`: the state and, where it is not up, why in words and what comes next.
//!
//! Owns the picture, taken at one moment; nothing in a session depends on it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::config::Mode;
use crate::connection::ConnectionId;
use crate::counters::Counters;
use crate::negotiated::Negotiated;
use crate::output::DownReason;

/// A state by name, RFC 4271 section 8.2.2; the order is the way to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateName {
    /// Stopped; connections are refused.
    Idle,
    /// Waiting, for the peer or for the next dial.
    Active,
    /// A dial is under way.
    Connect,
    /// Connected, our OPEN is out.
    OpenSent,
    /// OPENs agree, a KEEPALIVE is awaited.
    OpenConfirm,
    /// Routes flow.
    Established,
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "Idle",
            Self::Active => "Active",
            Self::Connect => "Connect",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        })
    }
}

/// How a peer is doing.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The state, of the connection that has come furthest where there are two.
    pub state: StateName,
    /// Since when.
    pub since: Instant,
    /// Who dials.
    pub mode: Mode,
    /// What the peer waits for.
    pub waiting: Waiting,
    /// The connections there are, the session's first.
    pub connections: Vec<ConnectionId>,
    /// What both ends agreed on, from OpenConfirm on.
    pub negotiated: Option<Negotiated>,
    /// The last thing that went wrong, a dial that failed included, and when.
    pub last_failure: Option<(String, Instant)>,
    /// Why the last session ended, and when.
    pub last_down: Option<(DownReason, Instant)>,
    /// When the session ends unless the peer is heard.
    pub hold_expires: Option<Instant>,
    /// When the next KEEPALIVE goes out.
    pub keepalive_due: Option<Instant>,
    /// When the next dial or restart is due.
    pub next_attempt: Option<Instant>,
    /// How often a session was Established.
    pub sessions: u64,
    /// Messages.
    pub counters: Counters,
}

/// What a peer waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing: it is up.
    Nothing,
    /// `start` has not been called.
    Start,
    /// The operator, who shut it down with this reason.
    Operator(String),
    /// The operator, or the restart time where there is one: it announced too much.
    Prefixes(String),
    /// The peer, for we do not dial.
    PeerToDial,
    /// The next dial, or the peer where we accept.
    NextDial,
    /// The answer to our SYN.
    DialAnswer,
    /// The peer's OPEN.
    Open,
    /// The peer's KEEPALIVE.
    Keepalive,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("up"),
            Self::Start => f.write_str("not started"),
            Self::Operator(reason) if reason.is_empty() => f.write_str("administratively shut down"),
            Self::Operator(reason) => write!(f, "administratively shut down: {reason}"),
            Self::Prefixes(detail) => write!(f, "stopped by maximum-prefix: {detail}"),
            Self::PeerToDial => f.write_str("waiting for the peer to connect"),
            Self::NextDial => f.write_str("waiting before the next dial"),
            Self::DialAnswer => f.write_str("dialling"),
            Self::Open => f.write_str("connected, waiting for the peer's OPEN"),
            Self::Keepalive => f.write_str("OPENs agree, waiting for the peer's KEEPALIVE"),
        }
    }
}

impl Status {
    /// Why the peer is not up and when it tries next, in words; `None` where it is up.
    ///
    /// `waiting before the next dial; last: connection refused; next dial in 41s`
    pub fn why_not_up(&self, now: Instant) -> Option<String> {
        if self.state == StateName::Established {
            return None;
        }
        let mut words = self.waiting.to_string();
        if let Some((reason, _)) = &self.last_failure {
            words.push_str("; last: ");
            words.push_str(reason);
        }
        if let Some(at) = self.next_attempt {
            let what = if self.state == StateName::Idle { "restart" } else { "next dial" };
            let left = at.saturating_duration_since(now) + Duration::from_millis(999);
            words.push_str(&format!("; {what} in {}s", left.as_secs()));
        }
        Some(words)
    }
}

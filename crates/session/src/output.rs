//! What a session wants done: RFC 4271 section 8's actions as data.
//!
//! Owns [`Output`] and the reasons in words that come with it. Who carries them out, and when, is the daemon's; a
//! session goes on as if they were done.

use std::fmt;
use std::time::{Duration, Instant};

use bgp_wire::iana::error;
use bgp_wire::notification::{CeaseCode, Notification};
use bgp_wire::route_refresh::RouteRefresh;
use bgp_wire::{Family, PerFamily, Update};
use bytes::{BufMut, Bytes, BytesMut};

use crate::connection::{ConnectionId, Direction};
use crate::negotiated::Negotiated;
use crate::status::StateName;

/// One thing to do, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a TCP connection to the peer; answer with `connected` or `dial_failed`.
    Dial,
    /// Forget the dial under way; no answer is due. One that comes nevertheless is closed.
    AbortDial,
    /// Write these octets, after whatever waits already.
    Send(ConnectionId, Bytes),
    /// Close the connection once what was sent before has gone out, or cannot go; `closed` need not be reported.
    Close(ConnectionId),
    /// The session is Established: routes may flow.
    Up(Box<Negotiated>),
    /// The peer's routes changed.
    Update(Update),
    /// The peer asks for our routes again, RFC 2918, or brackets its own, RFC 7313.
    Refresh(RouteRefresh),
    /// The peer's first KEEPALIVE of the session has come: where there is no End-of-RIB, it says that what the peer had to
    /// announce at once has been announced.
    FirstKeepalive,
    /// The Established session is over.
    Down(Down),
    /// Something that an operator may want to read.
    Note(Note),
}

/// The end of an Established session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// Why.
    pub reason: DownReason,
    /// What becomes of the peer's routes.
    pub retention: RouteRetention,
    /// When we dial again; `None` where we wait for the peer or the operator.
    pub next_attempt: Option<Instant>,
    /// How long the session was Established.
    pub lasted: Duration,
}

/// What becomes of the routes of a peer whose session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteRetention {
    /// They go at once.
    Remove,
    /// RFC 4724 section 4.2: those of `families` stay, marked stale, until the peer has announced them again or
    /// `time` is over without a new session; those of other families go.
    KeepStale {
        /// The Restart Time that the peer asked for.
        time: Duration,
        /// The families in the peer's Graceful Restart capability.
        families: PerFamily<bool>,
        /// How long those that are not announced again by then stay longer, as the last choice, RFC 9494 section 4.2; zero
        /// for families where they do not.
        long_lived: PerFamily<Duration>,
        /// What was stale before this session already, and was not announced again in it, stays as well, for the time that it
        /// had: RFC 8538 section 4.1. Otherwise it goes, RFC 4724 section 4.2.
        stale_stays: bool,
    },
}

/// Why a connection or session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// The peer said so.
    Received(Notification),
    /// We said so: its message was wrong, or a timer of ours ran out.
    Sent(Notification),
    /// As [`DownReason::Sent`], with what exactly was wrong.
    Fault {
        /// What the peer was told.
        notification: Notification,
        /// What was wrong, in words.
        detail: String,
    },
    /// The TCP connection ended without a NOTIFICATION.
    ConnectionClosed(String),
    /// RFC 9687: the peer has not taken a single octet for the send hold time.
    SendHoldTimerExpired,
    /// The peer completed a new connection while this session seemed alive: it had lost its side of it.
    Replaced,
    /// The operator, with the reason for the peer.
    Shutdown(String),
    /// The operator reset the session.
    Reset(String),
    /// The peer was taken out of the configuration.
    Deconfigured,
    /// The peer announced more prefixes than it may.
    MaximumPrefix(Exceeded),
    /// We are about to be restarted, and the peer is to keep our routes meanwhile.
    Leaving,
    /// This host sees that the peer's node is not there any more; why, in words.
    NodeGone(String),
    /// BFD says that the way to the peer is cut.
    BfdDown {
        /// Why, in words.
        why: String,
        /// The node is there all the same: only what speaks with us has failed.
        forwards: bool,
    },
}

/// More prefixes than maximum-prefix allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Of which family.
    pub family: Family,
    /// How many it may be.
    pub limit: u32,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} prefixes of {}", self.limit, self.family)
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received(notification) => write!(f, "the peer sent {notification}"),
            Self::Sent(notification) => write!(f, "we sent {notification}"),
            Self::Fault { notification, detail } => write!(f, "we sent {notification}: {detail}"),
            Self::ConnectionClosed(reason) => write!(f, "connection lost: {reason}"),
            Self::SendHoldTimerExpired => f.write_str("the peer stopped reading: send hold timer expired"),
            Self::Replaced => f.write_str("the peer opened a new connection in its place"),
            Self::Shutdown(reason) if reason.is_empty() => f.write_str("administratively shut down"),
            Self::Shutdown(reason) => write!(f, "administratively shut down: {reason}"),
            Self::Reset(reason) if reason.is_empty() => f.write_str("reset by the operator"),
            Self::Reset(reason) => write!(f, "reset by the operator: {reason}"),
            Self::Deconfigured => f.write_str("peer removed from the configuration"),
            Self::MaximumPrefix(exceeded) => write!(f, "maximum-prefix: {exceeded}"),
            Self::Leaving => f.write_str("this daemon restarts"),
            Self::NodeGone(why) => write!(f, "the node is gone: {why}"),
            Self::BfdDown { why, .. } => write!(f, "BFD down: {why}"),
        }
    }
}

impl DownReason {
    /// The NOTIFICATION that goes out for it, if one does.
    pub(crate) fn farewell(&self) -> Option<Notification> {
        match self {
            Self::Received(_) | Self::ConnectionClosed(_) | Self::Replaced | Self::Leaving => None,
            // Nobody would hear it.
            Self::NodeGone(_) => None,
            // RFC 9384 section 3; it reaches a peer whose BFD alone has failed.
            Self::BfdDown { .. } => Some(Notification::cease(CeaseCode::BfdDown, None)),
            Self::Sent(notification) | Self::Fault { notification, .. } => Some(notification.clone()),
            // RFC 9687 section 5 lets us try, for the peer's log; nobody waits for it to get through.
            Self::SendHoldTimerExpired => Some(Notification::send_hold_timer_expired()),
            Self::Shutdown(reason) => {
                Some(Notification::cease(CeaseCode::AdministrativeShutdown, text(reason)))
            }
            Self::Reset(reason) => Some(Notification::cease(CeaseCode::AdministrativeReset, text(reason))),
            Self::Deconfigured => Some(Notification::cease(CeaseCode::PeerDeconfigured, None)),
            Self::MaximumPrefix(exceeded) => Some(exceeded.notification()),
        }
    }

    /// The operator's doing, or a way that is cut: there is nothing that graceful restart should bridge, and RFC 8538
    /// section 5 has us say so by a Hard Reset.
    pub(crate) fn is_hard(&self) -> bool {
        match self {
            Self::Shutdown(_) | Self::Reset(_) | Self::Deconfigured | Self::MaximumPrefix(_) => true,
            Self::BfdDown { forwards, .. } => !forwards,
            Self::Received(_)
            | Self::Sent(_)
            | Self::Fault { .. }
            | Self::ConnectionClosed(_)
            | Self::SendHoldTimerExpired
            | Self::Replaced
            | Self::NodeGone(_)
            | Self::Leaving => false,
        }
    }

    /// The error at the bottom of it, whoever said it; inside a Hard Reset the one that it carries.
    pub(crate) fn error(&self) -> Option<(u8, u8)> {
        let notification = match self {
            Self::Received(notification) => notification,
            Self::Sent(notification) | Self::Fault { notification, .. } => notification,
            Self::ConnectionClosed(_)
            | Self::SendHoldTimerExpired
            | Self::Replaced
            | Self::Shutdown(_)
            | Self::Reset(_)
            | Self::Deconfigured
            | Self::MaximumPrefix(_)
            | Self::NodeGone(_)
            | Self::BfdDown { .. }
            | Self::Leaving => return None,
        };
        let inner = notification.hard_reset_reason();
        let error = inner.as_ref().unwrap_or(notification);
        Some((error.code, error.subcode))
    }

    /// Every word of [`DownReason::label`].
    pub const LABELS: [&'static str; 13] = [
        "bfd-down",
        "connection-closed",
        "deconfigured",
        "hold-timer-expired",
        "leaving",
        "maximum-prefix",
        "node-gone",
        "notification-received",
        "notification-sent",
        "replaced",
        "reset",
        "send-hold-timer-expired",
        "shutdown",
    ];

    /// A short word of a closed set, for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Received(_) => "notification-received",
            Self::Sent(notification) if *notification == Notification::hold_timer_expired() => {
                "hold-timer-expired"
            }
            Self::Sent(_) | Self::Fault { .. } => "notification-sent",
            Self::ConnectionClosed(_) => "connection-closed",
            Self::SendHoldTimerExpired => "send-hold-timer-expired",
            Self::Replaced => "replaced",
            Self::Shutdown(_) => "shutdown",
            Self::Reset(_) => "reset",
            Self::Deconfigured => "deconfigured",
            Self::MaximumPrefix(_) => "maximum-prefix",
            Self::Leaving => "leaving",
            Self::NodeGone(_) => "node-gone",
            Self::BfdDown { .. } => "bfd-down",
        }
    }
}

fn text(reason: &str) -> Option<&str> {
    (!reason.is_empty()).then_some(reason)
}

impl Exceeded {
    /// RFC 4486 section 4: the family and the limit may go along.
    fn notification(self) -> Notification {
        let code = self.family.code();
        let mut data = BytesMut::with_capacity(7);
        data.put_u16(code.afi);
        data.put_u8(code.safi);
        data.put_u32(self.limit);
        Notification { code: error::CEASE, subcode: CeaseCode::MaximumPrefixes as u8, data: data.freeze() }
    }
}

/// Something that an operator may want to read; the daemon logs it and `bgpctl monitor` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The peer's state, as `show neighbors` names it, changed.
    State {
        /// Before.
        from: StateName,
        /// After.
        to: StateName,
    },
    /// A dial did not work out: normal where the peer only dials itself.
    DialFailed {
        /// Why, in words.
        reason: String,
        /// When we try again.
        next_attempt: Option<Instant>,
    },
    /// A connection was not taken.
    Refused {
        /// Which.
        connection: ConnectionId,
        /// Why, in words.
        reason: String,
    },
    /// A connection ended before it was a session.
    Failed {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: DownReason,
        /// When we dial again.
        next_attempt: Option<Instant>,
    },
    /// RFC 4271 section 6.8: two connections met, this one was given up.
    Collision {
        /// The one that was closed.
        closed: ConnectionId,
        /// Who had opened it.
        direction: Direction,
    },
    /// An UPDATE of the peer was not as it should be.
    Malformed(Box<Malformed>),
}

/// What is needed to find out who made an UPDATE wrong, RFC 7606 section 6: it comes before what the message meant in
/// spite of it, or before the end of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The message behind its header, whole.
    pub body: Bytes,
    /// What was made of it, with the faults of its attributes; `None` where it costs the session.
    pub update: Option<Update>,
}

//! One TCP connection as a session knows it: a number, a direction, two addresses, and what is left of a message.
//!
//! Owns the framer and the send hold deadline (RFC 9687), which live as long as the connection, through OpenSent,
//! OpenConfirm and Established. The socket is the daemon's.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bgp_wire::framer::Framer;

/// The daemon's name for a TCP connection; never used twice for one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// We dialled: Tcp_CR_Acked of RFC 4271 section 8.1.4.
    Outgoing,
    /// The peer dialled: TcpConnectionConfirmed.
    Incoming,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Outgoing => "outgoing",
            Self::Incoming => "incoming",
        })
    }
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoints {
    /// Ours.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

/// A connection with what belongs to it alone.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) direction: Direction,
    pub(crate) endpoints: Endpoints,
    /// When it was there.
    pub(crate) opened: Instant,
    pub(crate) framer: Framer,
    /// SendHoldTimer, RFC 9687: runs only while the peer leaves octets of ours untaken.
    pub(crate) send_hold: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, direction: Direction, endpoints: Endpoints, now: Instant) -> Self {
        Self { id, direction, endpoints, opened: now, framer: Framer::new(), send_hold: None }
    }

    /// The peer leaves our octets untaken: they may wait for `time`, without an end where there is none.
    pub(crate) fn blocked(&mut self, time: Option<Duration>, now: Instant) {
        if let (None, Some(time)) = (self.send_hold, time) {
            self.send_hold = Some(now + time);
        }
    }
}

//! Connections: two in-order streams of octets with delay and a bounded window, that can be lost at one end or at both.

use std::collections::VecDeque;
use std::time::Instant;

use bgp_session::ConnectionId;
use bytes::{Bytes, BytesMut};

/// What travels.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Data(Bytes),
    /// The sender has closed in order.
    End,
    /// The sender knows nothing of the connection.
    Reset,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Waits in the sender.
    pub(crate) outbound: BytesMut,
    /// On the way.
    pub(crate) flight: VecDeque<(Instant, Item)>,
    pub(crate) flight_len: usize,
    /// With the receiver, not read yet.
    pub(crate) arrived: BytesMut,
    /// A slow reader rests until then, and somebody will wake it.
    pub(crate) rests_until: Option<Instant>,
    /// The stream ends behind what has arrived.
    pub(crate) ended: Option<&'static str>,
}

impl Stream {
    /// Octets that fit.
    pub(crate) fn room(&self, window: usize) -> usize {
        window.saturating_sub(self.flight_len + self.arrived.len())
    }
}

/// A connection over a link. The first of each pair is the end of the link's first side.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) link: usize,
    /// How each side's session calls it; `None` where that side has let go of it.
    pub(crate) ids: [Option<ConnectionId>; 2],
    /// The side's kernel has accepted, its process has not heard of it.
    pub(crate) accepting: [bool; 2],
    /// By sender.
    pub(crate) streams: [Stream; 2],
}

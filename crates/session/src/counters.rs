//! How many messages of each type went over the connections of a peer, as `show neighbors` and the metrics tell.

use serde::{Deserialize, Serialize};

/// Both ways, since the peer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// From the peer; what could not be decoded is not in here.
    pub received: MessageCounts,
    /// To the peer.
    pub sent: MessageCounts,
    /// Octets of those in `received`, headers included.
    pub received_octets: MessageCounts,
    /// Octets of those in `sent`.
    pub sent_octets: MessageCounts,
    /// UPDATEs of the peer with a fault, whatever it cost, RFC 7606.
    pub malformed_updates: u64,
}

impl Counters {
    pub(crate) fn received(&mut self, kind: MessageKind, octets: usize) {
        self.received.add(kind, 1);
        self.received_octets.add(kind, count(octets));
    }

    pub(crate) fn sent(&mut self, kind: MessageKind, n: u64, octets: usize) {
        self.sent.add(kind, n);
        self.sent_octets.add(kind, count(octets));
    }
}

fn count(octets: usize) -> u64 {
    u64::try_from(octets).unwrap_or(u64::MAX)
}

/// Messages by type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageCounts {
    /// OPEN.
    pub open: u64,
    /// UPDATE, End-of-RIB among them.
    pub update: u64,
    /// NOTIFICATION.
    pub notification: u64,
    /// KEEPALIVE.
    pub keepalive: u64,
    /// ROUTE-REFRESH.
    pub route_refresh: u64,
}

/// A message type, RFC 4271 section 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// OPEN.
    Open,
    /// UPDATE.
    Update,
    /// NOTIFICATION.
    Notification,
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH.
    RouteRefresh,
}

impl MessageCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.open + self.update + self.notification + self.keepalive + self.route_refresh
    }

    fn add(&mut self, kind: MessageKind, n: u64) {
        let count = match kind {
            MessageKind::Open => &mut self.open,
            MessageKind::Update => &mut self.update,
            MessageKind::Notification => &mut self.notification,
            MessageKind::Keepalive => &mut self.keepalive,
            MessageKind::RouteRefresh => &mut self.route_refresh,
        };
        *count = count.saturating_add(n);
    }
}

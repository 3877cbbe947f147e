//! What `bgpctl monitor` shows: events as they happen, to whoever listens.
//!
//! A slow listener loses events and is told how many; it never slows the daemon down.

use bgp_api::{Event, EventKind};
use tokio::sync::broadcast;

/// Events that a listener may lag behind before it loses some.
const BACKLOG: usize = 4096;

/// Where events are published; cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub(broadcast::Sender<Event>);

impl Default for Hub {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl Hub {
    /// Publishes what `make` makes, with the time; it is not even made while nobody listens.
    pub fn publish(&self, make: impl FnOnce() -> EventKind) {
        if self.is_heard() {
            // An error means that the last listener has just gone.
            drop(self.0.send(now(make())));
        }
    }

    /// Whether somebody listens; who has much to publish asks once.
    pub fn is_heard(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Starts to listen.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}

/// An event of this moment.
pub fn now(kind: EventKind) -> Event {
    Event { time: format!("{:.3}", jiff::Timestamp::now()), kind }
}

//! Active: RFC 4271 section 8.2.2. Waiting for the peer's connection and, where we dial, for the next dial.

use std::time::Instant;

use super::{Context, Event, OpenSent, State, Stop};

/// Nothing is there but, maybe, a time.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    /// ConnectRetryTimer: when we dial; never where the peer has to.
    pub(crate) next_dial: Option<Instant>,
}

impl Active {
    pub(crate) fn on(self, event: Event, cx: &mut Context<'_>) -> State {
        match event {
            Event::ConnectRetryTimerExpired => cx.acquire(),
            // The peer is here: whatever kept us from dialling is no reason to make it wait.
            Event::Connected(connection) => OpenSent::enter(connection, cx),
            Event::Stop(stop) => self.stop(&stop, cx),
            // "The start events (Events 1, 3-7) are ignored in the Active state." The others need a connection, or
            // belong to states that have one.
            Event::Start
            | Event::HoldTimerExpired
            | Event::KeepaliveTimerExpired
            | Event::IdleHoldTimerExpired
            | Event::SendHoldTimerExpired
            | Event::DialFailed(_)
            | Event::ConnectionClosed(_)
            | Event::Open(_)
            | Event::Fault(..)
            | Event::CollisionLost
            | Event::Replaced
            | Event::Notification(_)
            | Event::Keepalive
            | Event::Update(_)
            | Event::RouteRefresh(_) => State::Active(self),
        }
    }

    /// A reset here is an operator who does not want to wait for the next dial.
    fn stop(self, stop: &Stop, cx: &mut Context<'_>) -> State {
        match stop {
            Stop::Reset(_) => {
                cx.pace.forgive();
                cx.acquire()
            }
            // There is nothing to end, and whoever is back dials or is dialled as before.
            Stop::NodeGone(_) | Stop::BfdDown { .. } => State::Active(self),
            Stop::Shutdown(_) | Stop::Deconfigured | Stop::Leaving | Stop::MaximumPrefix(..) => {
                cx.stopped(stop)
            }
        }
    }
}

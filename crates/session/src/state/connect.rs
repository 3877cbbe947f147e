//! Connect: RFC 4271 section 8.2.2. Our SYN is out; a connection of the peer is taken beside it, see `collision`.

use std::time::{Duration, Instant};

use super::{Active, Context, Event, OpenSent, State};
use crate::output::{Note, Output};

/// Ours: how long a dial may take. ConnectRetryTime would do by the RFC, but TCP repeats a lost SYN ever more
/// slowly, so a new dial finds a peer that has just come back sooner than an old one.
const DIAL_TIME: Duration = Duration::from_secs(10);

/// A dial is under way.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    /// ConnectRetryTimer: when this dial has taken too long.
    pub(crate) give_up: Instant,
}

impl Connect {
    /// Dials.
    pub(super) fn dial(cx: &mut Context<'_>) -> State {
        cx.out.push(Output::Dial);
        State::Connect(Self { give_up: cx.now + cx.config.connect_retry.min(DIAL_TIME) })
    }

    pub(crate) fn on(self, event: Event, cx: &mut Context<'_>) -> State {
        match event {
            Event::Connected(connection) => OpenSent::enter(connection, cx),
            Event::DialFailed(reason) => self.failed(reason, cx),
            // "drops the TCP connection, restarts the ConnectRetryTimer, ... initiates a TCP connection to the
            // other BGP peer, ... and stays in the Connect state."
            Event::ConnectRetryTimerExpired => {
                cx.out.push(Output::AbortDial);
                cx.record.last_failure = Some(("no answer to our dial".to_owned(), cx.now));
                Self::dial(cx)
            }
            Event::Stop(stop) => {
                cx.out.push(Output::AbortDial);
                cx.stopped(&stop)
            }
            Event::CollisionLost => {
                cx.out.push(Output::AbortDial);
                State::Active(Active { next_dial: None })
            }
            // "The start events (Events 1, 3-7) are ignored in the Connect state." The others need a connection, or
            // belong to states that have one.
            Event::Start
            | Event::HoldTimerExpired
            | Event::KeepaliveTimerExpired
            | Event::IdleHoldTimerExpired
            | Event::SendHoldTimerExpired
            | Event::ConnectionClosed(_)
            | Event::Open(_)
            | Event::Fault(..)
            | Event::Replaced
            | Event::Notification(_)
            | Event::Keepalive
            | Event::Update(_)
            | Event::RouteRefresh(_) => State::Connect(self),
        }
    }

    /// A refusal is what a peer that only dials answers: noted, and tried again after a while that grows.
    fn failed(self, reason: String, cx: &mut Context<'_>) -> State {
        let pause = cx.pace.after_dial(cx.config);
        let next_dial = cx.in_a(pause);
        cx.record.last_failure = Some((format!("dial failed: {reason}"), cx.now));
        cx.out.push(Output::Note(Note::DialFailed { reason, next_attempt: next_dial }));
        State::Active(Active { next_dial })
    }
}

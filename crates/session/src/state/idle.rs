//! Idle: RFC 4271 section 8.2.2. Stopped by the operator or by maximum-prefix; connections are refused.

use std::time::Instant;

use bgp_wire::notification::Notification;

use super::{Context, Event, State, Stop};
use crate::connection::Connection;
use crate::counters::MessageKind;
use crate::output::{DownReason, Exceeded, Note, Output};

/// Nothing is known but why.
#[derive(Clone, Debug)]
pub(crate) struct Idle {
    pub(crate) cause: IdleCause,
    /// IdleHoldTimer: when we start again by ourselves.
    pub(crate) until: Option<Instant>,
}

/// Why a peer is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdleCause {
    NotStarted,
    Shutdown(String),
    Deconfigured,
    Leaving,
    MaximumPrefix(Exceeded),
}

impl Idle {
    pub(crate) fn on(self, event: Event, cx: &mut Context<'_>) -> State {
        match event {
            Event::Start | Event::IdleHoldTimerExpired => {
                cx.pace.forgive();
                cx.acquire()
            }
            Event::Stop(stop) => self.stop(&stop, cx),
            Event::Connected(connection) => self.refuse(&connection, cx),
            // "Any other event (Events 9-12, 15-28) received in the Idle state does not cause change in the state".
            Event::ConnectRetryTimerExpired
            | Event::HoldTimerExpired
            | Event::KeepaliveTimerExpired
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
            | Event::RouteRefresh(_) => State::Idle(self),
        }
    }

    /// A stop while stopped changes the reason; a reset lifts what maximum-prefix did, not what the operator did.
    fn stop(self, stop: &Stop, cx: &mut Context<'_>) -> State {
        match (stop, &self.cause) {
            (Stop::Reset(_), IdleCause::MaximumPrefix(_)) => cx.acquire(),
            (Stop::Reset(_) | Stop::NodeGone(_) | Stop::BfdDown { .. } | Stop::MaximumPrefix(..), _) => {
                State::Idle(self)
            }
            (Stop::Shutdown(_) | Stop::Deconfigured | Stop::Leaving, _) => cx.stopped(stop),
        }
    }

    /// "In this state, BGP FSM refuses all incoming BGP connections for this peer." The peer is told why, where it
    /// is for long; before a start and after leaving it is to come again soon.
    fn refuse(self, connection: &Connection, cx: &mut Context<'_>) -> State {
        if let Some(notification) = self.cause.refusal() {
            cx.send(connection.id, MessageKind::Notification, notification.encode());
        }
        cx.out.push(Output::Close(connection.id));
        let reason = self.cause.words();
        cx.out.push(Output::Note(Note::Refused { connection: connection.id, reason }));
        State::Idle(self)
    }
}

impl IdleCause {
    fn refusal(&self) -> Option<Notification> {
        match self {
            Self::Shutdown(reason) => DownReason::Shutdown(reason.clone()).farewell(),
            Self::Deconfigured => DownReason::Deconfigured.farewell(),
            Self::MaximumPrefix(exceeded) => DownReason::MaximumPrefix(*exceeded).farewell(),
            Self::NotStarted | Self::Leaving => None,
        }
    }

    pub(crate) fn words(&self) -> String {
        match self {
            Self::NotStarted => "not started".to_owned(),
            Self::Shutdown(reason) => DownReason::Shutdown(reason.clone()).to_string(),
            Self::Deconfigured => DownReason::Deconfigured.to_string(),
            Self::Leaving => DownReason::Leaving.to_string(),
            Self::MaximumPrefix(exceeded) => DownReason::MaximumPrefix(*exceeded).to_string(),
        }
    }
}

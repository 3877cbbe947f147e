//! The states and events of RFC 4271 section 8, and what a state may use while it handles an event.
//!
//! Owns the two enums and [`Context`], the shared ways to end a connection. Each state has a file; what two
//! connections of one peer mean for each other is `collision`.
//!
//! Ours: there is no way back to Idle but the operator's and maximum-prefix's. Where RFC 4271 goes to Idle and
//! waits for an automatic start, a machine here goes to Active, with the next dial as far away as the cause asks
//! for. So a peer that dials is never refused because of a back-off of ours.

use std::time::{Duration, Instant};

use bgp_wire::message;
use bgp_wire::notification::Notification;
use bgp_wire::open::Open;
use bgp_wire::route_refresh::RouteRefresh;
use bgp_wire::update::Update;
use bytes::Bytes;

use crate::collision::Other;
use crate::config::PeerConfig;
use crate::connection::{Connection, ConnectionId};
use crate::counters::{Counters, MessageKind};
use crate::negotiated::Negotiated;
use crate::output::{Down, DownReason, Exceeded, Note, Output};
use crate::pace::Pace;
use crate::status::StateName;

mod active;
mod connect;
mod established;
mod idle;
mod open_confirm;
mod open_sent;
#[cfg(test)]
mod table;

pub(crate) use active::Active;
pub(crate) use connect::Connect;
pub(crate) use established::Established;
pub(crate) use idle::{Idle, IdleCause};
pub(crate) use open_confirm::OpenConfirm;
pub(crate) use open_sent::OpenSent;

/// Where the state machine of one connection is.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Idle(Idle),
    Connect(Connect),
    Active(Active),
    OpenSent(OpenSent),
    OpenConfirm(OpenConfirm),
    Established(Established),
}

/// What can happen, with the numbers of RFC 4271 section 8.1.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// 1, 3 to 7: the configuration says whether we dial.
    Start,
    /// 2 and 8.
    Stop(Stop),
    /// 9.
    ConnectRetryTimerExpired,
    /// 10.
    HoldTimerExpired,
    /// 11.
    KeepaliveTimerExpired,
    /// 13: the time after which maximum-prefix lets a peer try again.
    IdleHoldTimerExpired,
    /// 16 and 17.
    Connected(Connection),
    /// 18, of a dial.
    DialFailed(String),
    /// 18, of a connection.
    ConnectionClosed(String),
    /// 19.
    Open(Open),
    /// 21, 22 and 28: a message that costs the session.
    Fault(Notification, String),
    /// 23: another connection of this peer was chosen.
    CollisionLost,
    /// Of an Established session: the peer completed a new connection, so it has lost this one.
    Replaced,
    /// 24 and 25.
    Notification(Notification),
    /// 26.
    Keepalive,
    /// 27.
    Update(Update),
    /// RFC 2918 section 3.
    RouteRefresh(RouteRefresh),
    /// 29, RFC 9687 section 4.2.
    SendHoldTimerExpired,
}

/// A timer that runs. Not the event that its end is: that one has room for an UPDATE, and timers are looked at after every
/// message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// For event 10.
    ConnectRetry,
    /// For event 11.
    Hold,
    /// For event 12.
    Keepalive,
    /// For event 13.
    IdleHold,
    /// For event 29.
    SendHold,
}

impl From<Timer> for Event {
    fn from(timer: Timer) -> Self {
        match timer {
            Timer::ConnectRetry => Self::ConnectRetryTimerExpired,
            Timer::Hold => Self::HoldTimerExpired,
            Timer::Keepalive => Self::KeepaliveTimerExpired,
            Timer::IdleHold => Self::IdleHoldTimerExpired,
            Timer::SendHold => Self::SendHoldTimerExpired,
        }
    }
}

/// Why a peer is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Stay down until told otherwise.
    Shutdown(String),
    /// Down, and up again.
    Reset(String),
    /// The peer is about to be forgotten.
    Deconfigured,
    /// We are about to be restarted: no NOTIFICATION.
    Leaving,
    /// The peer's node is not there any more; back as soon as it is.
    NodeGone(String),
    /// BFD says that the way to the peer is cut; back as soon as the peer is.
    BfdDown {
        why: String,
        /// The node is there all the same.
        forwards: bool,
    },
    /// AutomaticStop: too many prefixes; up again after the time, if there is one.
    MaximumPrefix(Exceeded, Option<Duration>),
}

impl Stop {
    /// What the session's end is called.
    fn reason(&self) -> DownReason {
        match self {
            Self::Shutdown(reason) => DownReason::Shutdown(reason.clone()),
            Self::Reset(reason) => DownReason::Reset(reason.clone()),
            Self::Deconfigured => DownReason::Deconfigured,
            Self::Leaving => DownReason::Leaving,
            Self::NodeGone(why) => DownReason::NodeGone(why.clone()),
            Self::BfdDown { why, forwards } => DownReason::BfdDown { why: why.clone(), forwards: *forwards },
            Self::MaximumPrefix(exceeded, _) => DownReason::MaximumPrefix(*exceeded),
        }
    }
}

/// What a state may use while it handles an event.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a PeerConfig,
    pub(crate) now: Instant,
    /// Does this machine dial? The main one does, where the configuration has us dial.
    pub(crate) dials: bool,
    /// The peer's other connection, as far as it matters for this one.
    pub(crate) other: Option<Other>,
    /// Set by a state that wins against `other`.
    pub(crate) give_up_other: bool,
    pub(crate) pace: &'a mut Pace,
    pub(crate) record: &'a mut Record,
    pub(crate) out: &'a mut Vec<Output>,
}

/// What a peer remembers beyond its states.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) counters: Counters,
    pub(crate) sessions: u64,
    pub(crate) last_failure: Option<(String, Instant)>,
    pub(crate) last_down: Option<(DownReason, Instant)>,
}

impl State {
    /// What `event` makes of a state.
    pub(crate) fn on(self, event: Event, cx: &mut Context<'_>) -> Self {
        match self {
            Self::Idle(state) => state.on(event, cx),
            Self::Connect(state) => state.on(event, cx),
            Self::Active(state) => state.on(event, cx),
            Self::OpenSent(state) => state.on(event, cx),
            Self::OpenConfirm(state) => state.on(event, cx),
            Self::Established(state) => state.on(event, cx),
        }
    }

    pub(crate) fn name(&self) -> StateName {
        match self {
            Self::Idle(_) => StateName::Idle,
            Self::Connect(_) => StateName::Connect,
            Self::Active(_) => StateName::Active,
            Self::OpenSent(_) => StateName::OpenSent,
            Self::OpenConfirm(_) => StateName::OpenConfirm,
            Self::Established(_) => StateName::Established,
        }
    }

    pub(crate) fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Idle(_) | Self::Connect(_) | Self::Active(_) => None,
            Self::OpenSent(state) => Some(&state.connection),
            Self::OpenConfirm(state) => Some(&state.connection),
            Self::Established(state) => Some(&state.connection),
        }
    }

    pub(crate) fn connection_mut(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Idle(_) | Self::Connect(_) | Self::Active(_) => None,
            Self::OpenSent(state) => Some(&mut state.connection),
            Self::OpenConfirm(state) => Some(&mut state.connection),
            Self::Established(state) => Some(&mut state.connection),
        }
    }

    pub(crate) fn negotiated(&self) -> Option<&Negotiated> {
        match self {
            Self::Idle(_) | Self::Connect(_) | Self::Active(_) | Self::OpenSent(_) => None,
            Self::OpenConfirm(state) => Some(&state.negotiated),
            Self::Established(state) => Some(&state.negotiated),
        }
    }

    /// The timers of this state, each with its end.
    pub(crate) fn timers(&self) -> impl Iterator<Item = (Instant, Timer)> {
        let timers = match self {
            Self::Idle(state) => [state.until.map(|at| (at, Timer::IdleHold)), None, None],
            Self::Connect(state) => [Some((state.give_up, Timer::ConnectRetry)), None, None],
            Self::Active(state) => [state.next_dial.map(|at| (at, Timer::ConnectRetry)), None, None],
            Self::OpenSent(state) => [Some((state.hold, Timer::Hold)), None, None],
            Self::OpenConfirm(state) => state.timers.running(&state.connection),
            Self::Established(state) => state.timers.running(&state.connection),
        };
        timers.into_iter().flatten()
    }

    /// When this state dials or starts again.
    pub(crate) fn next_attempt(&self) -> Option<Instant> {
        match self {
            Self::Idle(state) => state.until,
            Self::Active(state) => state.next_dial,
            Self::Connect(_) | Self::OpenSent(_) | Self::OpenConfirm(_) | Self::Established(_) => None,
        }
    }
}

/// RFC 4271 section 4.4.
const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(1);

/// HoldTimer and KeepaliveTimer of a connection whose OPENs agree; neither runs where the hold time is off.
#[derive(Clone, Debug)]
pub(crate) struct Timers {
    pub(crate) hold: Option<Instant>,
    pub(crate) keepalive: Option<Instant>,
}

impl Timers {
    fn start(negotiated: &Negotiated, cx: &mut Context<'_>) -> Self {
        let mut timers = Self { hold: None, keepalive: None };
        timers.heard(negotiated, cx.now);
        timers.spoke(negotiated, cx.pace, cx.now);
        timers
    }

    /// KEEPALIVE or UPDATE came: the hold timer begins anew.
    pub(crate) fn heard(&mut self, negotiated: &Negotiated, now: Instant) {
        self.hold = negotiated.hold().map(|hold| now + hold);
    }

    /// KEEPALIVE or UPDATE went: the keepalive timer begins anew, with jitter.
    pub(crate) fn spoke(&mut self, negotiated: &Negotiated, pace: &mut Pace, now: Instant) {
        // "KEEPALIVE messages MUST NOT be sent more frequently than one per second", RFC 4271 section 4.4: jitter may
        // not bring them below that where the hold time is three seconds.
        self.keepalive = negotiated.keepalive.map(|time| now + pace.jittered(time).max(SHORTEST_KEEPALIVE));
    }

    fn running(&self, connection: &Connection) -> [Option<(Instant, Timer)>; 3] {
        [
            self.hold.map(|at| (at, Timer::Hold)),
            connection.send_hold.map(|at| (at, Timer::SendHold)),
            self.keepalive.map(|at| (at, Timer::Keepalive)),
        ]
    }
}

impl Context<'_> {
    fn send(&mut self, connection: ConnectionId, kind: MessageKind, octets: Bytes) {
        self.record.counters.sent(kind, 1, octets.len());
        self.out.push(Output::Send(connection, octets));
    }

    fn send_keepalive(&mut self, connection: ConnectionId) {
        self.send(connection, MessageKind::Keepalive, message::keepalive());
    }

    /// Says good-bye as the reason asks for, and closes.
    fn close(&mut self, connection: ConnectionId, reason: &DownReason, negotiated: Option<&Negotiated>) {
        if let Some(plain) = reason.farewell() {
            let both_n = negotiated.and_then(|n| n.graceful_restart).is_some_and(|peer| peer.notification);
            let hard = reason.is_hard() && both_n;
            let notification = if hard { Notification::hard_reset(&plain) } else { plain };
            self.send(connection, MessageKind::Notification, notification.encode());
        }
        self.out.push(Output::Close(connection));
    }

    /// A connection ends before it was a session.
    fn fail(&mut self, connection: &Connection, reason: DownReason) -> State {
        let pause = self.pace.after_failure(self.config, &reason);
        let next_dial = self.in_a(pause);
        self.give_up(connection, reason, next_dial);
        State::Active(Active { next_dial })
    }

    /// A connection that was no session is stopped.
    fn stop(&mut self, connection: &Connection, stop: Stop) -> State {
        let next = self.stopped(&stop);
        self.give_up(connection, stop.reason(), next.next_attempt());
        next
    }

    fn give_up(&mut self, connection: &Connection, reason: DownReason, next_attempt: Option<Instant>) {
        self.close(connection.id, &reason, None);
        self.record.last_failure = Some((reason.to_string(), self.now));
        self.out.push(Output::Note(Note::Failed { connection: connection.id, reason, next_attempt }));
    }

    /// The other connection was chosen: this one ends as RFC 4271 section 6.8 says, and nothing is tried again for it.
    fn yield_to_other(&mut self, connection: &Connection) -> State {
        let cease = Notification::cease(bgp_wire::notification::CeaseCode::ConnectionCollision, None);
        self.close(connection.id, &DownReason::Sent(cease), None);
        let (closed, direction) = (connection.id, connection.direction);
        self.out.push(Output::Note(Note::Collision { closed, direction }));
        State::Active(Active { next_dial: None })
    }

    /// Where a stop leads to.
    fn stopped(&mut self, stop: &Stop) -> State {
        let (cause, until) = match stop {
            Stop::Reset(_) | Stop::NodeGone(_) | Stop::BfdDown { .. } => {
                self.pace.forgive();
                let pause = self.pace.after_dial(self.config);
                let next_dial = self.in_a(pause);
                return State::Active(Active { next_dial });
            }
            Stop::Shutdown(reason) => (IdleCause::Shutdown(reason.clone()), None),
            Stop::Deconfigured => (IdleCause::Deconfigured, None),
            Stop::Leaving => (IdleCause::Leaving, None),
            Stop::MaximumPrefix(exceeded, after) => {
                (IdleCause::MaximumPrefix(*exceeded), after.map(|after| self.now + after))
            }
        };
        State::Idle(Idle { cause, until })
    }

    /// Into Connect or Active, as the configuration says.
    fn acquire(&mut self) -> State {
        if self.dials { Connect::dial(self) } else { State::Active(Active { next_dial: None }) }
    }

    /// When the next dial is due after this pause, if we dial at all.
    fn in_a(&self, pause: Duration) -> Option<Instant> {
        self.dials.then_some(self.now + pause)
    }

    /// The session is over: `next` says where to.
    fn down(&mut self, session: &Established, reason: DownReason, next_attempt: Option<Instant>) {
        self.close(session.connection.id, &reason, Some(&session.negotiated));
        let retention =
            crate::graceful_restart::retention(session.negotiated.graceful_restart.as_ref(), &reason);
        let lasted = self.now.saturating_duration_since(session.since);
        self.record.last_failure = Some((reason.to_string(), self.now));
        self.record.last_down = Some((reason.clone(), self.now));
        self.out.push(Output::Down(Down { reason, retention, next_attempt, lasted }));
    }
}

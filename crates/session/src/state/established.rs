//! Established: RFC 4271 section 8.2.2. Routes flow.

use std::time::Instant;

use bgp_wire::iana::message;
use bgp_wire::notification::Notification;
use bgp_wire::route_refresh::RouteRefresh;
use bgp_wire::update::Update;

use super::{Active, Context, Event, OpenConfirm, State, Stop, Timers};
use crate::connection::Connection;
use crate::negotiated::Negotiated;
use crate::output::{DownReason, Output};

/// A session.
#[derive(Clone, Debug)]
pub(crate) struct Established {
    pub(crate) connection: Connection,
    pub(crate) negotiated: Box<Negotiated>,
    pub(crate) timers: Timers,
    pub(crate) since: Instant,
    /// A KEEPALIVE has come since.
    pub(crate) kept_alive: bool,
}

impl Established {
    /// The peer's KEEPALIVE came.
    pub(super) fn enter(confirmed: OpenConfirm, cx: &mut Context<'_>) -> State {
        let OpenConfirm { connection, negotiated, mut timers } = confirmed;
        timers.heard(&negotiated, cx.now);
        cx.record.sessions = cx.record.sessions.saturating_add(1);
        cx.out.push(Output::Up(negotiated.clone()));
        State::Established(Self { connection, negotiated, timers, since: cx.now, kept_alive: false })
    }

    pub(crate) fn on(mut self, event: Event, cx: &mut Context<'_>) -> State {
        match event {
            Event::Update(update) => {
                self.on_update(update, cx.now, cx.out);
                State::Established(self)
            }
            Event::Keepalive => {
                self.timers.heard(&self.negotiated, cx.now);
                if !std::mem::replace(&mut self.kept_alive, true) {
                    cx.out.push(Output::FirstKeepalive);
                }
                State::Established(self)
            }
            Event::RouteRefresh(refresh) => self.refresh(refresh, cx),
            Event::KeepaliveTimerExpired => {
                cx.send_keepalive(self.connection.id);
                self.timers.spoke(&self.negotiated, cx.pace, cx.now);
                State::Established(self)
            }
            Event::HoldTimerExpired => self.lose(DownReason::Sent(Notification::hold_timer_expired()), cx),
            Event::SendHoldTimerExpired => self.lose(DownReason::SendHoldTimerExpired, cx),
            Event::ConnectionClosed(reason) => self.lose(DownReason::ConnectionClosed(reason), cx),
            Event::Fault(notification, detail) => self.lose(DownReason::Fault { notification, detail }, cx),
            Event::Notification(notification) => self.lose(DownReason::Received(notification), cx),
            Event::Stop(stop) => self.stop(&stop, cx),
            Event::Replaced => {
                cx.down(&self, DownReason::Replaced, None);
                State::Active(Active { next_dial: None })
            }
            // RFC 6608 section 4.
            Event::Open(_) => {
                self.lose(DownReason::Sent(Notification::unexpected_in_established(message::OPEN)), cx)
            }
            // "Any Start event (Events 1, 3-7) is ignored in the Established state." The timers do not run here; a
            // second connection is a machine of its own, and loses every collision until the peer completes it.
            Event::Start
            | Event::ConnectRetryTimerExpired
            | Event::IdleHoldTimerExpired
            | Event::Connected(_)
            | Event::DialFailed(_)
            | Event::CollisionLost => State::Established(self),
        }
    }

    /// The hot road: no transition, nothing moves.
    pub(crate) fn on_update(&mut self, update: Update, now: Instant, out: &mut Vec<Output>) {
        self.timers.heard(&self.negotiated, now);
        out.push(Output::Update(update));
    }

    /// A request for a family that is not spoken is ignored, RFC 2918 section 4.
    fn refresh(self, refresh: RouteRefresh, cx: &mut Context<'_>) -> State {
        let negotiated = refresh.family.family().is_some_and(|family| self.negotiated.families[family]);
        if negotiated {
            cx.out.push(Output::Refresh(refresh));
        }
        State::Established(self)
    }

    fn lose(self, reason: DownReason, cx: &mut Context<'_>) -> State {
        let lasted = cx.now.saturating_duration_since(self.since);
        let pause = cx.pace.after_session(cx.config, &reason, lasted);
        let next_dial = cx.in_a(pause);
        cx.down(&self, reason, next_dial);
        State::Active(Active { next_dial })
    }

    fn stop(self, stop: &Stop, cx: &mut Context<'_>) -> State {
        let next = cx.stopped(stop);
        cx.down(&self, stop.reason(), next.next_attempt());
        next
    }
}

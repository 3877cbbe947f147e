//! OpenConfirm: RFC 4271 section 8.2.2. The OPENs agree, our KEEPALIVE is out, the peer's is awaited.

use bgp_wire::iana::message;
use bgp_wire::notification::Notification;

use super::open_sent::LARGE_HOLD;
use super::{Context, Established, Event, State, Timers};
use crate::connection::Connection;
use crate::negotiated::Negotiated;
use crate::output::DownReason;

/// A connection of which everything is known, but not yet that the peer agrees.
#[derive(Clone, Debug)]
pub(crate) struct OpenConfirm {
    pub(crate) connection: Connection,
    pub(crate) negotiated: Box<Negotiated>,
    pub(crate) timers: Timers,
}

impl OpenConfirm {
    /// Answers the OPEN with a KEEPALIVE.
    pub(super) fn enter(mut connection: Connection, negotiated: Negotiated, cx: &mut Context<'_>) -> State {
        cx.send_keepalive(connection.id);
        // Our OPEN offers Extended Messages, so the peer may send them whatever its own says: RFC 8654 section 4.
        connection.framer.allow_extended();
        let mut timers = Timers::start(&negotiated, cx);
        // Ours: with the hold timer negotiated away, a peer that falls silent here would be waited for without end.
        timers.hold = timers.hold.or(Some(cx.now + LARGE_HOLD));
        State::OpenConfirm(Self { connection, negotiated: Box::new(negotiated), timers })
    }

    pub(crate) fn on(mut self, event: Event, cx: &mut Context<'_>) -> State {
        match event {
            Event::Keepalive => Established::enter(self, cx),
            Event::KeepaliveTimerExpired => {
                cx.send_keepalive(self.connection.id);
                self.timers.spoke(&self.negotiated, cx.pace, cx.now);
                State::OpenConfirm(self)
            }
            Event::Stop(stop) => cx.stop(&self.connection, stop),
            Event::HoldTimerExpired => self.fail(DownReason::Sent(Notification::hold_timer_expired()), cx),
            Event::SendHoldTimerExpired => self.fail(DownReason::SendHoldTimerExpired, cx),
            Event::ConnectionClosed(reason) => self.fail(DownReason::ConnectionClosed(reason), cx),
            Event::Fault(notification, detail) => self.fail(DownReason::Fault { notification, detail }, cx),
            Event::Notification(notification) => self.fail(DownReason::Received(notification), cx),
            Event::CollisionLost => cx.yield_to_other(&self.connection),
            // RFC 6608 section 4: a message that does not belong here, by its type. RFC 4271 lets a second OPEN of
            // the same connection run into collision detection; a connection cannot collide with itself.
            Event::Open(_) => self.unexpected(message::OPEN, cx),
            Event::Update(_) => self.unexpected(message::UPDATE, cx),
            Event::RouteRefresh(_) => self.unexpected(message::ROUTE_REFRESH, cx),
            // "Any start event (Events 1, 3-7) is ignored in the OpenConfirm state." The timers do not run here; a
            // second connection is a machine of its own.
            Event::Start
            | Event::ConnectRetryTimerExpired
            | Event::IdleHoldTimerExpired
            | Event::Connected(_)
            | Event::DialFailed(_)
            | Event::Replaced => State::OpenConfirm(self),
        }
    }

    fn unexpected(self, kind: u8, cx: &mut Context<'_>) -> State {
        self.fail(DownReason::Sent(Notification::unexpected_in_open_confirm(kind)), cx)
    }

    fn fail(self, reason: DownReason, cx: &mut Context<'_>) -> State {
        cx.fail(&self.connection, reason)
    }
}

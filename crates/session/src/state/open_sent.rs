//! OpenSent: RFC 4271 section 8.2.2. Connected, our OPEN is out, the peer's is awaited.

use std::time::{Duration, Instant};

use bgp_wire::iana::message;
use bgp_wire::notification::Notification;
use bgp_wire::open::Open;

use super::{Context, Event, OpenConfirm, State};
use crate::collision::{self, Verdict};
use crate::connection::Connection;
use crate::counters::MessageKind;
use crate::negotiated::{self, Negotiated, Origin, Refusal};
use crate::output::DownReason;

/// "sets the HoldTimer to a large value ... A HoldTimer value of 4 minutes is suggested", RFC 4271 section 8.2.2.
pub(crate) const LARGE_HOLD: Duration = Duration::from_secs(4 * 60);

/// A connection of which only its ends are known.
#[derive(Clone, Debug)]
pub(crate) struct OpenSent {
    pub(crate) connection: Connection,
    pub(crate) hold: Instant,
}

impl OpenSent {
    /// Sends our OPEN.
    pub(super) fn enter(connection: Connection, cx: &mut Context<'_>) -> State {
        cx.send(connection.id, MessageKind::Open, negotiated::our_open(cx.config).encode());
        State::OpenSent(Self { connection, hold: cx.now + LARGE_HOLD })
    }

    pub(crate) fn on(self, event: Event, cx: &mut Context<'_>) -> State {
        match event {
            Event::Open(open) => self.open(open, cx),
            Event::Stop(stop) => cx.stop(&self.connection, stop),
            Event::HoldTimerExpired => self.fail(DownReason::Sent(Notification::hold_timer_expired()), cx),
            Event::SendHoldTimerExpired => self.fail(DownReason::SendHoldTimerExpired, cx),
            Event::ConnectionClosed(reason) => self.fail(DownReason::ConnectionClosed(reason), cx),
            Event::Fault(notification, detail) => self.fail(DownReason::Fault { notification, detail }, cx),
            Event::Notification(notification) => self.fail(DownReason::Received(notification), cx),
            Event::CollisionLost => cx.yield_to_other(&self.connection),
            // RFC 6608 section 4: a message that does not belong here, by its type.
            Event::Keepalive => self.unexpected(message::KEEPALIVE, cx),
            Event::Update(_) => self.unexpected(message::UPDATE, cx),
            Event::RouteRefresh(_) => self.unexpected(message::ROUTE_REFRESH, cx),
            // "The start events (Events 1, 3-7) are ignored in the OpenSent state." The timers do not run here; a
            // second connection is a machine of its own.
            Event::Start
            | Event::ConnectRetryTimerExpired
            | Event::KeepaliveTimerExpired
            | Event::IdleHoldTimerExpired
            | Event::Connected(_)
            | Event::DialFailed(_)
            | Event::Replaced => State::OpenSent(self),
        }
    }

    fn open(self, open: Open, cx: &mut Context<'_>) -> State {
        let Connection { id, direction, endpoints, .. } = self.connection;
        match negotiated::negotiate(cx.config, open, Origin { id, direction, endpoints }) {
            Ok(negotiated) => self.agreed(negotiated, cx),
            Err(Refusal { notification, detail }) => {
                self.fail(DownReason::Fault { notification, detail }, cx)
            }
        }
    }

    /// The OPEN is good; RFC 4271 section 6.8 asks whether it is the one.
    fn agreed(self, negotiated: Negotiated, cx: &mut Context<'_>) -> State {
        match collision::judge(cx.config, &negotiated, self.connection.opened, cx.other) {
            Verdict::Both => OpenConfirm::enter(self.connection, negotiated, cx),
            Verdict::This => {
                cx.give_up_other = true;
                OpenConfirm::enter(self.connection, negotiated, cx)
            }
            Verdict::Other => cx.yield_to_other(&self.connection),
        }
    }

    fn unexpected(self, kind: u8, cx: &mut Context<'_>) -> State {
        self.fail(DownReason::Sent(Notification::unexpected_in_open_sent(kind)), cx)
    }

    fn fail(self, reason: DownReason, cx: &mut Context<'_>) -> State {
        cx.fail(&self.connection, reason)
    }
}

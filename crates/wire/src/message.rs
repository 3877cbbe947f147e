//! The five messages of BGP: RFC 4271 section 4, ROUTE-REFRESH of RFC 2918.
//!
//! Owns the choice by type and the one place where a fault of a peer becomes a NOTIFICATION.

use crate::context::DecodeContext;
use crate::framer::{Frame, HEADER_LEN, HeaderFault};
use crate::iana::message as kind;
use crate::notification::Notification;
use crate::open::{Open, OpenFault};
use crate::route_refresh::{RouteRefresh, RouteRefreshFault};
use crate::update::{self, Update, UpdateFault};

pub use crate::framer::keepalive;

/// One message, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// OPEN.
    Open(Open),
    /// UPDATE.
    Update(Update),
    /// NOTIFICATION.
    Notification(Notification),
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH.
    RouteRefresh(RouteRefresh),
}

/// What is wrong with a message so that the session has to end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    /// Of the header, RFC 4271 section 6.1.
    #[error("message header: {0}")]
    Header(#[from] HeaderFault),
    /// Of an OPEN, RFC 4271 section 6.2.
    #[error("OPEN: {0}")]
    Open(#[from] OpenFault),
    /// Of an UPDATE, RFC 7606 "session reset".
    #[error("UPDATE: {0}")]
    Update(#[from] UpdateFault),
    /// Of a ROUTE-REFRESH, RFC 7313 section 5.
    #[error("ROUTE-REFRESH: {0}")]
    RouteRefresh(#[from] RouteRefreshFault),
}

impl From<MessageFault> for Notification {
    fn from(fault: MessageFault) -> Self {
        match fault {
            MessageFault::Header(fault) => fault.into(),
            MessageFault::Open(fault) => fault.into(),
            MessageFault::Update(fault) => fault.into(),
            MessageFault::RouteRefresh(fault) => fault.into(),
        }
    }
}

/// Decodes one message.
pub fn decode(frame: &Frame, cx: &DecodeContext) -> Result<Message, MessageFault> {
    match frame.kind {
        kind::OPEN => Ok(Message::Open(Open::decode(&frame.body)?)),
        kind::UPDATE => Ok(Message::Update(update::decode(&frame.body, cx)?)),
        kind::NOTIFICATION => match Notification::decode(&frame.body) {
            Some(notification) => Ok(Message::Notification(notification)),
            None => Err(bad_length(frame)),
        },
        kind::KEEPALIVE if frame.body.is_empty() => Ok(Message::Keepalive),
        kind::KEEPALIVE => Err(bad_length(frame)),
        kind::ROUTE_REFRESH => {
            Ok(Message::RouteRefresh(RouteRefresh::decode(&frame.body, cx.enhanced_route_refresh)?))
        }
        unknown => Err(HeaderFault::Type(unknown).into()),
    }
}

fn bad_length(frame: &Frame) -> MessageFault {
    let length = frame.body.len().saturating_add(HEADER_LEN);
    HeaderFault::Length(u16::try_from(length).unwrap_or(u16::MAX)).into()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn decoded(kind: u8, body: &'static [u8]) -> Result<Message, (u8, u8)> {
        let frame = Frame { kind, body: Bytes::from_static(body) };
        decode(&frame, &DecodeContext::default()).map_err(|fault| {
            assert!(!fault.to_string().is_empty());
            let notification = Notification::from(fault);
            (notification.code, notification.subcode)
        })
    }

    #[test]
    fn the_type_chooses_and_frames_of_other_making_are_refused() {
        assert_eq!(decoded(4, &[]), Ok(Message::Keepalive));
        assert_eq!(decoded(4, &[1]), Err((1, 2)));
        assert_eq!(decoded(3, &[6]), Err((1, 2)));
        assert_eq!(decoded(9, &[]), Err((1, 3)));
        assert_eq!(decoded(1, &[]), Err((2, 0)));
        assert_eq!(decoded(2, &[0]), Err((3, 1)));
        assert_eq!(decoded(5, &[0, 1]), Err((1, 2)));
        assert_eq!(decoded(5, &[0, 1, 2]), Err((7, 1)));
        assert!(matches!(decoded(3, &[6, 2]), Ok(Message::Notification(_))));
    }
}

//! What comes of the octets of one message.

use bgp_wire::{DecodeContext, Framer, Message, Next, Notification, message};
use bytes::BytesMut;

/// What is made of a stream of octets that holds one message.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Message(Message),
    Fault(Notification),
    /// The stream ends before the message does, or the message is ignored.
    Nothing,
}

impl Outcome {
    /// What the codec makes of it.
    pub(crate) fn of(octets: &[u8], extended: bool, context: &DecodeContext) -> Self {
        match first_frame(octets, extended) {
            Next::Wait => Self::Nothing,
            Next::Fault(fault) => Self::Fault(fault.into()),
            Next::Message(frame) => match message::decode(&frame, context) {
                Ok(message) => Self::Message(message),
                Err(fault) => Self::Fault(fault.into()),
            },
        }
    }
}

pub(crate) fn first_frame(octets: &[u8], extended: bool) -> Next {
    let mut framer = Framer::new();
    if extended {
        framer.allow_extended();
    }
    framer.next(&mut BytesMut::from(octets))
}

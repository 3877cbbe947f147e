//! The message header and the cutting of a stream into messages: RFC 4271 section 4.1 and 6.1, RFC 8654.
//!
//! Owns marker, length and type. What is in a body is `message`.

use bytes::{Buf, Bytes, BytesMut};

use crate::context::{MAX_EXTENDED_MESSAGE, MAX_MESSAGE};
use crate::iana::message;

/// Octets of marker, length and type.
pub const HEADER_LEN: usize = 19;

/// Cuts what a connection delivers into messages.
#[derive(Clone, Debug)]
pub struct Framer {
    max_len: usize,
}

/// One message, its header checked and removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Message type, `iana::message`.
    pub kind: u8,
    /// What follows the header.
    pub body: Bytes,
}

/// What the stream has to offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// More octets are needed.
    Wait,
    /// A whole message, taken out of the buffer.
    Message(Frame),
    /// The stream is broken and stays so; nothing is taken out.
    Fault(HeaderFault),
}

/// Why a header is none, RFC 4271 section 6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HeaderFault {
    /// The marker is not all ones.
    #[error("the marker is not all ones")]
    Marker,
    /// The length is out of bounds, in general or for this type.
    #[error("the message length {0} is out of bounds")]
    Length(u16),
    /// No message type of ours.
    #[error("the message type {0} is unknown")]
    Type(u8),
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer {
    /// Takes messages of up to 4096 octets.
    pub fn new() -> Self {
        Self { max_len: MAX_MESSAGE }
    }

    /// From now on up to 65535 octets where RFC 8654 section 4 allows it: not for OPEN and KEEPALIVE.
    pub fn allow_extended(&mut self) {
        self.max_len = MAX_EXTENDED_MESSAGE;
    }

    /// The next message of `stream`; call until [`Next::Wait`].
    pub fn next(&self, stream: &mut BytesMut) -> Next {
        let Some((header, _)) = stream.split_first_chunk::<HEADER_LEN>() else {
            return Next::Wait;
        };
        let [marker @ .., high, low, kind] = header;
        let (length, kind) = (u16::from_be_bytes([*high, *low]), *kind);
        if let Err(fault) = self.check(marker, length, kind) {
            return Next::Fault(fault);
        }
        let length = usize::from(length);
        if stream.len() < length {
            stream.reserve(length.saturating_sub(stream.len()));
            return Next::Wait;
        }
        let mut body = stream.split_to(length).freeze();
        body.advance(HEADER_LEN);
        Next::Message(Frame { kind, body })
    }

    fn check(&self, marker: &[u8; 16], length: u16, kind: u8) -> Result<(), HeaderFault> {
        if *marker != [0xff; 16] {
            return Err(HeaderFault::Marker);
        }
        let len = usize::from(length);
        if len < HEADER_LEN || len > self.max_len {
            return Err(HeaderFault::Length(length));
        }
        // "If the Type field of the message header is not recognized, then the Error Subcode MUST be set to Bad
        // Message Type." The bounds of a type can only be told after it.
        let (min, max) = match kind {
            message::OPEN => (29, MAX_MESSAGE),
            message::UPDATE => (23, self.max_len),
            message::NOTIFICATION => (21, self.max_len),
            message::KEEPALIVE => (HEADER_LEN, HEADER_LEN),
            message::ROUTE_REFRESH => (23, self.max_len),
            unknown => return Err(HeaderFault::Type(unknown)),
        };
        if len < min || len > max { Err(HeaderFault::Length(length)) } else { Ok(()) }
    }
}

/// Starts a message in `out` and returns where; [`finish`] sets its length.
pub(crate) fn begin(out: &mut BytesMut, kind: u8) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0xff; 16]);
    out.extend_from_slice(&[0, 0, kind]);
    start
}

/// Writes the length of the message that [`begin`] started at `start`.
pub(crate) fn finish(out: &mut BytesMut, start: usize) {
    let length = u16::try_from(out.len().saturating_sub(start)).unwrap_or(u16::MAX);
    put_u16_at(out, start.saturating_add(16), length);
}

/// Overwrites two octets at `at`.
pub(crate) fn put_u16_at(out: &mut BytesMut, at: usize, value: u16) {
    if let Some(place) = out.get_mut(at..at.saturating_add(2)) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// A whole message with this body.
pub(crate) fn whole(kind: u8, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(128);
    let start = begin(&mut out, kind);
    body(&mut out);
    finish(&mut out, start);
    out.freeze()
}

/// KEEPALIVE, RFC 4271 section 4.4.
pub fn keepalive() -> Bytes {
    whole(message::KEEPALIVE, |_| {})
}

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
            // RFC 7313 section 5 answers some that are too short by another error: `route_refresh` says which.
            message::ROUTE_REFRESH => (HEADER_LEN, self.max_len),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(length: u16, kind: u8) -> Vec<u8> {
        let mut octets = vec![0xff; 16];
        octets.extend(length.to_be_bytes());
        octets.push(kind);
        octets
    }

    fn next(framer: &Framer, octets: &[u8]) -> Next {
        framer.next(&mut BytesMut::from(octets))
    }

    #[test]
    fn marker_comes_before_length_and_length_before_type() {
        let framer = Framer::new();
        let mut broken = header(5, 9);
        broken[3] = 0;
        assert_eq!(next(&framer, &broken), Next::Fault(HeaderFault::Marker));
        assert_eq!(next(&framer, &header(5, 9)), Next::Fault(HeaderFault::Length(5)));
        assert_eq!(next(&framer, &header(19, 9)), Next::Fault(HeaderFault::Type(9)));
        assert_eq!(next(&framer, &header(19, 0)), Next::Fault(HeaderFault::Type(0)));
    }

    #[test]
    fn each_type_has_its_bounds() {
        let mut extended = Framer::new();
        extended.allow_extended();
        let short = Framer::new();
        let takes = |framer: &Framer, length, kind| next(framer, &header(length, kind)) == Next::Wait;
        for (kind, min) in [(message::OPEN, 29), (message::UPDATE, 23), (message::NOTIFICATION, 21)] {
            assert!(takes(&short, min, kind) && !takes(&short, min - 1, kind), "type {kind}");
            assert!(takes(&short, 4096, kind) && !takes(&short, 4097, kind), "type {kind}");
        }
        assert!(takes(&extended, 65535, message::UPDATE) && takes(&extended, 65535, message::NOTIFICATION));
        assert!(!takes(&extended, 4097, message::OPEN));
        assert_eq!(next(&extended, &header(20, message::KEEPALIVE)), Next::Fault(HeaderFault::Length(20)));
        assert!(matches!(next(&extended, &header(19, message::KEEPALIVE)), Next::Message(_)));
    }

    #[test]
    fn a_fault_stays_and_takes_nothing() {
        let mut stream = BytesMut::from(&header(18, 4)[..]);
        for _ in 0..2 {
            assert_eq!(Framer::new().next(&mut stream), Next::Fault(HeaderFault::Length(18)));
        }
        assert_eq!(stream.len(), 19);
    }

    /// Everything that a framer says to a stream that comes in pieces.
    fn run(stream: &[u8], cuts: &[usize]) -> Vec<Next> {
        let (framer, mut buffer, mut said) = (Framer::new(), BytesMut::new(), Vec::new());
        let mut from = 0;
        for to in cuts.iter().map(|cut| cut % (stream.len() + 1)).chain([stream.len()]) {
            let to = to.max(from);
            buffer.extend_from_slice(&stream[from..to]);
            from = to;
            loop {
                match framer.next(&mut buffer) {
                    Next::Wait => break,
                    Next::Fault(fault) => return said.into_iter().chain([Next::Fault(fault)]).collect(),
                    message @ Next::Message(_) => said.push(message),
                }
            }
        }
        said
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(
            bodies in prop::collection::vec((2_u8..=5, prop::collection::vec(any::<u8>(), 0..40)), 0..6),
            mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            garbage in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            let mut stream = Vec::new();
            for (kind, body) in &bodies {
                stream.extend_from_slice(&whole(*kind, |out| out.extend_from_slice(body)));
            }
            stream.extend(garbage);
            let mut at: Vec<usize> = cuts.drain(..).map(|cut| cut.index(stream.len() + 1)).collect();
            at.sort_unstable();
            prop_assert_eq!(run(&stream, &at), run(&stream, &[]));
        }
    }
}

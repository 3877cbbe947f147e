//! Netlink framing: messages in a datagram, attributes in a message, both ways.
//!
//! Reading tolerates what it does not know and stops at the first length that does not fit; writing lays fixed
//! structures into one reused buffer without an allocation. What the attributes mean is `encode`, `decode` and
//! `answer`.

use netlink_packet_core::{NetlinkBuffer, NlasIterator};

/// Octets of an attribute header.
const ATTRIBUTE_HEADER_LEN: usize = 4;
/// The kind of an attribute without its flags (nested, network byte order).
const KIND_MASK: u16 = 0x3fff;

/// What is read of a message header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// `nlmsg_pid`: in a notification, the port of whoever asked for the change. Not written: the kernel knows us.
    pub(crate) port: u32,
}

/// The messages of one datagram.
pub(crate) struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    pub(crate) fn new(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = (Header, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let message = NetlinkBuffer::new_checked(self.0).ok()?;
        let header = Header {
            kind: message.message_type(),
            flags: message.flags(),
            sequence: message.sequence_number(),
            port: message.port_number(),
        };
        let payload = message.payload();
        let whole = usize::try_from(message.length()).ok()?;
        self.0 = self.0.get(whole.next_multiple_of(4)..).unwrap_or_default();
        Some((header, payload))
    }
}

/// The attributes in `octets`: kind without flags, and value. Ends at the first that does not fit.
pub(crate) fn attributes(octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(octets).map_while(|nla| {
        let nla = nla.ok()?;
        let (kind, len) = (nla.kind() & KIND_MASK, usize::from(nla.length()));
        nla.into_inner().get(ATTRIBUTE_HEADER_LEN..len).map(|value| (kind, value))
    })
}

/// A native-endian number at `offset`.
pub(crate) fn u32_at(octets: &[u8], offset: usize) -> Option<u32> {
    let four = octets.get(offset..offset + 4)?;
    four.try_into().ok().map(u32::from_ne_bytes)
}

/// A native-endian number at `offset`.
pub(crate) fn u64_at(octets: &[u8], offset: usize) -> Option<u64> {
    let eight = octets.get(offset..offset + 8)?;
    eight.try_into().ok().map(u64::from_ne_bytes)
}

/// A native-endian number at `offset`.
pub(crate) fn u16_at(octets: &[u8], offset: usize) -> Option<u16> {
    let two = octets.get(offset..offset + 2)?;
    two.try_into().ok().map(u16::from_ne_bytes)
}

/// Writes one message at the end of a buffer that holds a batch.
///
/// The length is filled in by [`Writer::finish`]; a writer that is dropped without it leaves a message of length
/// zero, at which the kernel would stop reading: hence `must_use`.
#[must_use = "a message without its length is none"]
pub(crate) struct Writer<'a> {
    buffer: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Writer<'a> {
    /// Starts a message with the fixed header that its type asks for.
    #[inline]
    pub(crate) fn new(buffer: &'a mut Vec<u8>, header: Header, fixed: &[u8]) -> Self {
        let start = buffer.len();
        let ([a, b], [c, d]) = (header.kind.to_ne_bytes(), header.flags.to_ne_bytes());
        let [e, f, g, h] = header.sequence.to_ne_bytes();
        buffer.extend_from_slice(&[0, 0, 0, 0, a, b, c, d, e, f, g, h, 0, 0, 0, 0]);
        buffer.extend_from_slice(fixed);
        let mut writer = Self { buffer, start };
        writer.pad(fixed.len());
        writer
    }

    /// Appends an attribute.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        let start = self.open(kind);
        self.buffer.extend_from_slice(value);
        self.close(start);
    }

    /// Appends an attribute of a length that is known when this is compiled, as those of a route are: there may be a million
    /// of them.
    #[inline]
    pub(crate) fn put_array<const N: usize>(&mut self, kind: u16, value: &[u8; N]) {
        let len = u16::try_from(ATTRIBUTE_HEADER_LEN + N).unwrap_or(u16::MAX);
        let ([a, b], [c, d]) = (len.to_ne_bytes(), kind.to_ne_bytes());
        self.buffer.extend_from_slice(&[a, b, c, d]);
        self.buffer.extend_from_slice(value);
        self.pad(N);
    }

    /// Appends an attribute that is a number.
    #[inline]
    pub(crate) fn put_u32(&mut self, kind: u16, value: u32) {
        self.put_array(kind, &value.to_ne_bytes());
    }

    /// Appends an attribute that `write` fills with structures or attributes of its own.
    pub(crate) fn put_with(&mut self, kind: u16, write: impl FnOnce(&mut Self)) {
        let start = self.open(kind);
        write(self);
        self.close(start);
    }

    /// Appends octets as they are, for structures inside an attribute.
    pub(crate) fn raw(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// Appends a structure whose first two octets are its own length (`struct rtnexthop`).
    pub(crate) fn measured(&mut self, write: impl FnOnce(&mut Self)) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; 2]);
        write(self);
        self.set_u16(start, self.buffer.len() - start);
    }

    /// Fills in the length.
    pub(crate) fn finish(self) {
        let len = self.buffer.len() - self.start;
        // A message is a few hundred octets, at most some ten thousand for the widest group.
        let len = u32::try_from(len).unwrap_or(0);
        if let Some(field) = self.buffer.get_mut(self.start..self.start + 4) {
            field.copy_from_slice(&len.to_ne_bytes());
        }
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; 2]);
        self.buffer.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        let len = self.buffer.len() - start;
        self.set_u16(start, len);
        self.pad(len);
    }

    fn set_u16(&mut self, at: usize, value: usize) {
        let value = u16::try_from(value).unwrap_or(u16::MAX);
        if let Some(field) = self.buffer.get_mut(at..at + 2) {
            field.copy_from_slice(&value.to_ne_bytes());
        }
    }

    /// Everything begins at a multiple of four octets, so what ends here is padded by its own length.
    #[inline]
    fn pad(&mut self, len: usize) {
        for _ in len..len.next_multiple_of(4) {
            self.buffer.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_message_by_message() {
        let mut buffer = Vec::new();
        for sequence in [7, 8] {
            let header = Header { kind: 24, flags: 5, sequence, port: 0 };
            let mut message = Writer::new(&mut buffer, header, &[2, 24, 0]);
            message.put(1, &[10, 0, 0]);
            message.put_with(22, |inner| inner.put_u32(3, 99));
            message.finish();
        }
        let read: Vec<_> = Messages::new(&buffer).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].0, Header { kind: 24, flags: 5, sequence: 8, port: 0 });
        let inside: Vec<_> = attributes(&read[0].1[4..]).collect();
        assert_eq!(inside[0], (1, &[10, 0, 0][..]));
        assert_eq!(attributes(inside[1].1).collect::<Vec<_>>(), [(3, &99u32.to_ne_bytes()[..])]);
    }

    #[test]
    fn truncated_octets_end_the_reading_and_nothing_else() {
        let mut buffer = Vec::new();
        let header = Header { kind: 24, flags: 0, sequence: 1, port: 0 };
        let mut message = Writer::new(&mut buffer, header, &[0; 4]);
        message.put(1, &[1, 2, 3, 4]);
        message.finish();
        for len in 0..buffer.len() {
            assert_eq!(Messages::new(&buffer[..len]).count(), 0);
            assert!(attributes(&buffer[20..len.max(20)]).count() <= 1);
        }
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0, "shorter than its own header");
    }
}

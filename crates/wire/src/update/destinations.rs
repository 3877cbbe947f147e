//! What a message is filled up with: prefixes one behind the other, while they fit.
//!
//! They come as values, or as whoever has a table of them keeps them: as length and address, which are copied and nothing
//! else. Where in the message they stand is `encode`'s.

use std::iter::Peekable;

use bytes::{BufMut, BytesMut};

use super::nlri::{self, NlriEntry};
use crate::family::Family;

/// Destinations that wait to be packed.
pub trait Destinations {
    /// The family of the next; `None` where nothing is left.
    fn family(&mut self) -> Option<Family>;

    /// Appends those that are next to `out`, with path identifiers where `add_path`, while they fit into `room` octets and
    /// are of one family; how many.
    fn pack(&mut self, add_path: bool, room: usize, out: &mut BytesMut) -> usize;
}

impl<I: Iterator<Item = NlriEntry>> Destinations for Peekable<I> {
    fn family(&mut self) -> Option<Family> {
        self.peek().map(|entry| entry.prefix.family())
    }

    fn pack(&mut self, add_path: bool, mut room: usize, out: &mut BytesMut) -> usize {
        let Some(family) = self.family() else { return 0 };
        let mut packed = 0usize;
        while let Some(entry) = self
            .next_if(|entry| entry.prefix.family() == family && nlri::encoded_len(entry, add_path) <= room)
        {
            room = room.saturating_sub(nlri::encoded_len(&entry, add_path));
            nlri::put(out, &entry, add_path);
            packed = packed.saturating_add(1);
        }
        packed
    }
}

/// [`Destinations::pack`] for lengths in bits with addresses of `N` octets, whose host bits are zero.
#[inline]
pub fn pack_octets<const N: usize>(
    entries: impl Iterator<Item = (u8, [u8; N])>,
    add_path: bool,
    mut room: usize,
    out: &mut BytesMut,
) -> usize {
    // Appending to the message costs more than the few octets of a prefix, so they are collected.
    let mut chunk = [0u8; 256];
    let (mut at, mut packed) = (0usize, 0usize);
    let before = if add_path { 4 } else { 0usize };
    for (len, address) in entries {
        let size = usize::from(len.div_ceil(8)).saturating_add(before).saturating_add(1);
        if size > room {
            break;
        }
        room = room.saturating_sub(size);
        if at.saturating_add(N).saturating_add(5) > chunk.len() {
            out.put_slice(chunk.get(..at).unwrap_or_default());
            at = 0;
        }
        // RFC 7911: there is one path of each, which has the identifier 0.
        if add_path && let Some(id) = chunk.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *id = [0u8; 4];
        }
        let place = chunk.get_mut(at.saturating_add(before)..).and_then(<[u8]>::split_first_mut);
        if let Some((first, rest)) = place
            && let Some(front) = rest.first_chunk_mut()
        {
            // What is behind the length is written over by the next.
            (*first, *front) = (len, address);
        }
        at = at.saturating_add(size);
        packed = packed.saturating_add(1);
    }
    out.put_slice(chunk.get(..at).unwrap_or_default());
    packed
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::prefix::Prefix;
    use crate::testing;

    proptest! {
        #[test]
        fn octets_are_packed_as_values_are(
            entries in vec(testing::entry(Family::Ipv4Unicast), 0..200),
            six in vec(testing::entry(Family::Ipv6Unicast), 0..200),
            add_path: bool,
            room in 0usize..1500,
        ) {
            for entries in [entries, six] {
                let prefixes: Vec<Prefix> = entries.iter().map(|entry| entry.prefix).collect();
                let (mut expected, mut found) = (BytesMut::new(), BytesMut::new());
                let mut values = prefixes.iter().copied().map(NlriEntry::from).peekable();
                let count = values.pack(add_path, room, &mut expected);
                let four = prefixes.iter().filter_map(|prefix| match prefix {
                    Prefix::V4(prefix) => Some((prefix.len(), prefix.address().octets())),
                    Prefix::V6(_) => None,
                });
                let six = prefixes.iter().filter_map(|prefix| match prefix {
                    Prefix::V4(_) => None,
                    Prefix::V6(prefix) => Some((prefix.len(), prefix.address().octets())),
                });
                let packed = pack_octets(four, add_path, room, &mut found);
                prop_assert_eq!(packed.saturating_add(pack_octets(six, add_path, room, &mut found)), count);
                prop_assert_eq!(found, expected);
            }
        }
    }
}

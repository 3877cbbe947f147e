//! UPDATE streams as the load: read from a file or made up, and written out as a given feeder would send them.
//!
//! A stream is whole UPDATE messages. Each becomes a [`Piece`]: one attribute set and its prefixes. A feeder's octets
//! are made before the clock starts, so that sending is nothing but writing. Takes streams with one AS_SEQUENCE a path,
//! without add-path; this is a generator's output, not a peer's.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, bail, ensure};

/// Octets of a message header.
pub(crate) const HEADER: usize = 19;
const LONGEST: usize = 4096;

/// One destination: family, address, length in one number.
pub(crate) type Key = u128;

/// Prefixes of one family with one attribute set, or withdrawn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    /// IPv6 unicast; else IPv4.
    pub(crate) v6: bool,
    /// Without attributes.
    pub(crate) withdrawn: bool,
    /// ORIGIN's value.
    pub(crate) origin: u8,
    /// AS_PATH, the sender first.
    pub(crate) path: Vec<u32>,
    /// The other attributes but next hops, as they are on the wire.
    pub(crate) others: Vec<u8>,
    /// As on the wire.
    pub(crate) nlri: Vec<u8>,
}

/// Who sends a stream.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// Its AS, first in every path.
    pub(crate) asn: u32,
    /// How often its AS is there.
    pub(crate) times: usize,
    /// NEXT_HOP.
    pub(crate) v4: Ipv4Addr,
    /// The next hop of IPv6 routes.
    pub(crate) v6: Ipv6Addr,
}

/// Splits a stream of whole messages.
pub(crate) fn messages(mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_be_bytes([*octets.get(16)?, *octets.get(17)?])).max(HEADER);
        let message = octets.get(..length)?;
        octets = octets.get(length..)?;
        Some(message)
    })
}

/// The prefixes of an NLRI field, each with its octets.
pub(crate) fn prefixes(v6: bool, mut nlri: &[u8]) -> impl Iterator<Item = (Key, &[u8])> {
    std::iter::from_fn(move || {
        let bits = *nlri.first()?;
        let octets = nlri.get(..1 + usize::from(bits).div_ceil(8))?;
        nlri = nlri.get(octets.len()..)?;
        let mut address = [0; 16];
        address.get_mut(..octets.len() - 1)?.copy_from_slice(octets.get(1..)?);
        // Lengths and families are told apart in the low octets: no table has prefixes longer than /112 there.
        let key = u128::from_be_bytes(address) ^ (u128::from(bits) << 1) ^ u128::from(v6);
        Some((key, octets))
    })
}

/// What one UPDATE says: its attributes one by one, and prefixes of at most one family each way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts<'a> {
    /// Withdrawn, with the family.
    pub(crate) withdrawn: Option<(bool, &'a [u8])>,
    /// Announced, with the family.
    pub(crate) announced: Option<(bool, &'a [u8])>,
    /// All path attributes.
    pub(crate) attributes: &'a [u8],
}

/// Takes an UPDATE apart.
pub(crate) fn parts(message: &[u8]) -> Option<Parts<'_>> {
    let body = message.get(HEADER..)?;
    let (withdrawn, rest) = sized(body)?;
    let (attributes, nlri) = sized(rest)?;
    let mut parts = Parts { attributes, ..Parts::default() };
    if !withdrawn.is_empty() {
        parts.withdrawn = Some((false, withdrawn));
    }
    if !nlri.is_empty() {
        parts.announced = Some((false, nlri));
    }
    for (code, _, value) in each(attributes) {
        match code {
            14 => {
                let hop = usize::from(*value.get(3)?);
                parts.announced = Some((true, value.get(5 + hop..)?));
            }
            15 if value.len() > 3 => parts.withdrawn = Some((true, value.get(3..)?)),
            _ => {}
        }
    }
    Some(parts)
}

/// Attributes: code, whole octets, value.
pub(crate) fn each(mut attributes: &[u8]) -> impl Iterator<Item = (u8, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let [flags, code, first, ..] = *attributes else { return None };
        let (head, length) = if flags & 0x10 == 0 {
            (3, usize::from(first))
        } else {
            (4, usize::from(u16::from_be_bytes([first, *attributes.get(3)?])))
        };
        let whole = attributes.get(..head + length)?;
        attributes = attributes.get(head + length..)?;
        Some((code, whole, whole.get(head..)?))
    })
}

fn sized(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// The ASNs of an AS_PATH of four-octet sequences.
pub(crate) fn path(mut value: &[u8]) -> Vec<u32> {
    let mut path = Vec::new();
    while let [_, count, rest @ ..] = value {
        let (asns, after) = rest.split_at(usize::from(*count) * 4);
        path.extend(asns.as_chunks::<4>().0.iter().map(|asn| u32::from_be_bytes(*asn)));
        value = after;
    }
    path
}

/// Reads a stream; at most so many prefixes of each family.
pub(crate) fn read(octets: &[u8], v4: usize, v6: usize) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut left = [v4, v6];
    for message in messages(octets) {
        let parts = parts(message).context("an UPDATE that cannot be read")?;
        let mut piece = Piece::default();
        for (code, whole, value) in each(parts.attributes) {
            match code {
                1 => piece.origin = value.first().copied().unwrap_or_default(),
                2 => piece.path = path(value),
                3 | 14 | 15 => {}
                8 => attribute(0xc0, 8, &common_communities(value), &mut piece.others),
                _ => piece.others.extend_from_slice(whole),
            }
        }
        for (withdrawn, said) in [(true, parts.withdrawn), (false, parts.announced)] {
            let Some((v6, nlri)) = said else { continue };
            let room = &mut left[usize::from(v6)];
            let mut piece = Piece { v6, withdrawn, ..piece.clone() };
            for (_, octets) in prefixes(v6, nlri).take(*room) {
                piece.nlri.extend_from_slice(octets);
                *room -= usize::from(!withdrawn);
            }
            if !piece.nlri.is_empty() {
                pieces.push(piece);
            }
        }
    }
    ensure!(!pieces.is_empty(), "the stream has no routes");
    Ok(pieces)
}

/// Communities without the well-known ones (RFC 1997): NO_EXPORT would keep a route from the receiver.
fn common_communities(value: &[u8]) -> Vec<u8> {
    value
        .chunks_exact(4)
        .filter(|community| !community.starts_with(&[0xff, 0xff]))
        .flatten()
        .copied()
        .collect()
}

/// Writes pieces as a sender would, with an End-of-RIB of both families behind them.
pub(crate) fn write(pieces: &[Piece], sender: &Sender) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(pieces.len() * 160);
    for piece in pieces {
        write_piece(piece, sender, &mut out)?;
    }
    finish(&[0, 0, 0, 0], &mut out);
    finish(&[0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1], &mut out);
    Ok(out)
}

fn write_piece(piece: &Piece, sender: &Sender, out: &mut Vec<u8>) -> Result<()> {
    let attributes = if piece.withdrawn { Vec::new() } else { attributes(piece, sender) };
    let room = LONGEST - HEADER - 4 - attributes.len() - 32;
    if attributes.len() > LONGEST / 2 {
        bail!("an attribute set of {} octets", attributes.len());
    }
    let mut from = 0;
    let mut to = 0;
    let cut = |from: usize, to: usize, out: &mut Vec<u8>| {
        finish(&body(piece, sender, &attributes, piece.nlri.get(from..to).unwrap_or_default()), out);
    };
    for (_, octets) in prefixes(piece.v6, &piece.nlri) {
        if to + octets.len() - from > room {
            cut(from, to, out);
            from = to;
        }
        to += octets.len();
    }
    cut(from, to, out);
    Ok(())
}

fn attributes(piece: &Piece, sender: &Sender) -> Vec<u8> {
    let mut out = vec![0x40, 1, 1, piece.origin];
    let path: Vec<u32> = std::iter::repeat_n(sender.asn, sender.times)
        .chain(piece.path.iter().skip(1).copied().filter(|asn| *asn != sender.asn))
        .take(255)
        .collect();
    let mut segment = vec![2, path.len().to_le_bytes()[0]];
    segment.extend(path.iter().flat_map(|asn| asn.to_be_bytes()));
    attribute(0x40, 2, &segment, &mut out);
    if !piece.v6 {
        attribute(0x40, 3, &sender.v4.octets(), &mut out);
    }
    out.extend_from_slice(&piece.others);
    out
}

fn body(piece: &Piece, sender: &Sender, attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let mut all = attributes.to_vec();
    match (piece.v6, piece.withdrawn) {
        (true, false) => {
            let mut value = vec![0, 2, 1, 16];
            value.extend_from_slice(&sender.v6.octets());
            value.push(0);
            value.extend_from_slice(nlri);
            attribute(0x80, 14, &value, &mut all);
        }
        (true, true) => attribute(0x80, 15, &[&[0, 2, 1], nlri].concat(), &mut all),
        (false, _) => {}
    }
    let (withdrawn, announced) = match (piece.v6, piece.withdrawn) {
        (false, true) => (nlri, &[][..]),
        (false, false) => (&[][..], nlri),
        (true, _) => (&[][..], &[][..]),
    };
    [&length(withdrawn)[..], withdrawn, &length(&all), &all, announced].concat()
}

/// Puts a header before a value; nothing for an empty one.
pub(crate) fn attribute(flags: u8, code: u8, value: &[u8], out: &mut Vec<u8>) {
    if value.is_empty() {
        return;
    }
    match u8::try_from(value.len()) {
        Ok(short) => out.extend_from_slice(&[flags, code, short]),
        Err(_) => out.extend_from_slice(&[&[flags | 0x10, code][..], &length(value)].concat()),
    }
    out.extend_from_slice(value);
}

fn length(octets: &[u8]) -> [u8; 2] {
    u16::try_from(octets.len()).unwrap_or(u16::MAX).to_be_bytes()
}

/// Puts an UPDATE's header before its body.
pub(crate) fn finish(body: &[u8], out: &mut Vec<u8>) {
    message(2, body, out);
}

/// Puts a header before a body.
pub(crate) fn message(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(HEADER + body.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&[0xff; 16]);
    out.extend_from_slice(&length.to_be_bytes());
    out.push(kind);
    out.extend_from_slice(body);
}

/// How many prefixes are announced in pieces.
pub(crate) fn count(pieces: &[Piece]) -> [usize; 2] {
    let mut counts = [0; 2];
    for piece in pieces.iter().filter(|piece| !piece.withdrawn) {
        counts[usize::from(piece.v6)] += prefixes(piece.v6, &piece.nlri).count();
    }
    counts
}

/// A table without anybody's data: lengths and attribute sharing like the Internet's, everything else made up.
pub(crate) fn synthetic(v4: usize, v6: usize) -> Vec<Piece> {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut pieces = Vec::new();
    for (is_v6, count) in [(false, v4), (true, v6)] {
        let mut made = 0;
        while made < count {
            let path: Vec<u32> = (0..3 + next() % 4).map(|_| 1000 + (next() % 60_000) as u32).collect();
            let mut others = Vec::new();
            if next() % 3 > 0 {
                let communities: Vec<u8> = (0..1 + next() % 5).flat_map(|_| next().to_be_bytes()).collect();
                attribute(
                    0xc0,
                    8,
                    communities.get(..communities.len() / 2 / 4 * 4).unwrap_or_default(),
                    &mut others,
                );
            }
            let mut piece = Piece { v6: is_v6, path, others, ..Piece::default() };
            for _ in 0..(1 + next() % 9).min((count - made) as u64) {
                // Every number one prefix: neighbours in order, as a table has them.
                let number = made as u64;
                let octets = if is_v6 {
                    [&[48][..], &(0x2001_0000_0000_u64 + number).to_be_bytes()[2..]].concat()
                } else {
                    [&[24][..], &(0x0b_0000 + number).to_be_bytes()[5..]].concat()
                };
                piece.nlri.extend_from_slice(&octets);
                made += 1;
            }
            pieces.push(piece);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        let pieces = synthetic(5000, 700);
        let sender = Sender { asn: 65101, times: 2, v4: Ipv4Addr::LOCALHOST, v6: Ipv6Addr::LOCALHOST };
        let octets = write(&pieces, &sender).unwrap();
        let again = read(&octets, usize::MAX, usize::MAX).unwrap();
        assert_eq!(count(&again), [5000, 700]);
        assert_eq!(again.len(), pieces.len());
        for (one, other) in pieces.iter().zip(&again) {
            assert_eq!((one.v6, &one.nlri, &one.others), (other.v6, &other.nlri, &other.others));
            assert_eq!(other.path.get(..2), Some(&[65101, 65101][..]));
            assert_eq!(one.path.get(1..), other.path.get(2..));
        }
    }

    #[test]
    fn a_set_with_many_prefixes_is_split_into_whole_messages() {
        let nlri = (0..3000_u32).flat_map(|n| [&[24][..], &n.to_be_bytes()[1..]].concat()).collect();
        let piece = Piece { path: vec![1], nlri, ..Piece::default() };
        let sender = Sender { asn: 65101, times: 1, v4: Ipv4Addr::LOCALHOST, v6: Ipv6Addr::LOCALHOST };
        let octets = write(&[piece], &sender).unwrap();
        assert!(messages(&octets).all(|message| message.len() <= LONGEST));
        assert_eq!(messages(&octets).map(<[u8]>::len).sum::<usize>(), octets.len());
        assert_eq!(count(&read(&octets, usize::MAX, 0).unwrap()), [3000, 0]);
    }
}

//! AS_PATH: RFC 4271 section 5.1.2, four octets a number since RFC 6793, confederation segments of RFC 5065.
//!
//! Owns value, check, decoding, encoding and text form. What AS4_PATH adds for peers of two octets is `as4`; whether a
//! peer may send confederation segments or our own number is for those who know the peer.

use std::fmt;

use bytes::{BufMut, BytesMut};
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::be_u8;

use crate::asn::Asn;
use crate::context::DecodeContext;
use crate::read::Parsed;

/// The autonomous systems that a route has passed.
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash)]
pub struct AsPath {
    /// As sent, nearest first.
    pub segments: Vec<Segment>,
}

/// A run of autonomous systems.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Type 1: unordered.
    Set(Vec<Asn>),
    /// Type 2: ordered.
    Sequence(Vec<Asn>),
    /// Type 3, RFC 5065: ordered, inside a confederation.
    ConfedSequence(Vec<Asn>),
    /// Type 4, RFC 5065: unordered, inside a confederation.
    ConfedSet(Vec<Asn>),
}

impl AsPath {
    /// Length for route selection, RFC 4271 section 9.1.2.2 a): a set counts one, confederation segments nothing.
    pub fn selection_length(&self) -> usize {
        self.segments
            .iter()
            .map(|segment| match segment {
                Segment::Set(_) => 1,
                Segment::Sequence(asns) => asns.len(),
                Segment::ConfedSequence(_) | Segment::ConfedSet(_) => 0,
            })
            .sum()
    }

    /// The neighbouring AS: first of the first sequence outside a confederation, RFC 4271 section 9.1.2.2 c).
    pub fn neighbor_as(&self) -> Option<Asn> {
        self.segments.iter().find(|segment| !segment.is_confederation()).and_then(|segment| match segment {
            Segment::Sequence(asns) => asns.first().copied(),
            Segment::Set(_) | Segment::ConfedSequence(_) | Segment::ConfedSet(_) => None,
        })
    }

    /// Every number in the path, in the order sent.
    pub fn asns(&self) -> impl Iterator<Item = Asn> + '_ {
        self.segments.iter().flat_map(|segment| segment.asns().iter().copied())
    }

    /// Whether there are segments of a confederation, which RFC 5065 section 5 allows only inside of one.
    pub fn has_confederation(&self) -> bool {
        self.segments.iter().any(Segment::is_confederation)
    }

    /// A path of one sequence; empty where `asns` is.
    pub fn sequence(asns: impl IntoIterator<Item = Asn>) -> Self {
        let asns: Vec<Asn> = asns.into_iter().collect();
        Self { segments: if asns.is_empty() { Vec::new() } else { vec![Segment::Sequence(asns)] } }
    }

    /// The path with `asn` put before it, RFC 4271 section 5.1.2 b): in the first sequence while that has room.
    pub fn prepend(&mut self, asn: Asn) {
        match self.segments.first_mut() {
            Some(Segment::Sequence(asns)) if asns.len() < SEGMENT_MAX => asns.insert(0, asn),
            Some(_) | None => self.segments.insert(0, Segment::Sequence(vec![asn])),
        }
    }

    /// Decodes a value that [`check`] has found good, or as much of it as is.
    pub(super) fn decode(value: &[u8], width: Width) -> Self {
        let mut segments = Vec::new();
        let mut rest = value;
        while let Ok((after, (kind, octets))) = segment(width, rest) {
            let asns = numbers(octets, width).collect();
            segments.push(match kind {
                1 => Segment::Set(asns),
                2 => Segment::Sequence(asns),
                3 => Segment::ConfedSequence(asns),
                _ => Segment::ConfedSet(asns),
            });
            rest = after;
        }
        Self { segments }
    }

    /// Octets that [`AsPath::put`] takes.
    pub(super) fn encoded_len(&self, width: Width) -> usize {
        self.parts().map(|(_, asns)| asns.len().saturating_mul(width.octets()).saturating_add(2)).sum()
    }

    /// Appends the value.
    pub(super) fn put(&self, out: &mut BytesMut, width: Width) {
        for (kind, asns) in self.parts() {
            out.put_u8(kind);
            out.put_u8(u8::try_from(asns.len()).unwrap_or(u8::MAX));
            for asn in asns {
                match width {
                    Width::Two => out.put_u16(asn.two_octets()),
                    Width::Four => out.put_u32(asn.0),
                }
            }
        }
    }

    /// Type and numbers of each segment as the wire has them: at most 255, never none.
    fn parts(&self) -> impl Iterator<Item = (u8, &[Asn])> {
        self.segments.iter().flat_map(|segment| {
            let kind = segment.kind();
            segment.asns().chunks(SEGMENT_MAX).map(move |asns| (kind, asns))
        })
    }
}

/// Most numbers in one segment.
const SEGMENT_MAX: usize = 255;

impl Segment {
    /// Whether it does not leave a confederation, RFC 5065.
    pub fn is_confederation(&self) -> bool {
        matches!(self, Self::ConfedSequence(_) | Self::ConfedSet(_))
    }

    /// The numbers, in the order sent.
    pub fn asns(&self) -> &[Asn] {
        match self {
            Self::Set(asns) | Self::Sequence(asns) | Self::ConfedSequence(asns) | Self::ConfedSet(asns) => {
                asns
            }
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Set(_) => 1,
            Self::Sequence(_) => 2,
            Self::ConfedSequence(_) => 3,
            Self::ConfedSet(_) => 4,
        }
    }
}

/// Octets of one AS number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Two,
    Four,
}

impl Width {
    pub(super) fn of(cx: &DecodeContext) -> Self {
        if cx.four_octet_as { Self::Four } else { Self::Two }
    }

    fn octets(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// Type and numbers (four octets each) of every segment of a checked AS_PATH, without values being made of them.
pub fn segments(value: &[u8]) -> impl Iterator<Item = (SegmentKind, &[[u8; 4]])> {
    let mut rest = value;
    std::iter::from_fn(move || {
        let (after, (kind, octets)) = segment(Width::Four, rest).ok()?;
        rest = after;
        Some((SegmentKind::of(kind), octets.as_chunks().0))
    })
}

/// Type of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// AS_SET.
    Set,
    /// AS_SEQUENCE.
    Sequence,
    /// One of the two of a confederation, RFC 5065.
    Confederation,
}

impl SegmentKind {
    fn of(kind: u8) -> Self {
        match kind {
            1 => Self::Set,
            2 => Self::Sequence,
            _ => Self::Confederation,
        }
    }
}

/// Whether a value is an AS_PATH, RFC 7606 section 7.2 and RFC 7607 section 2.
pub(super) fn check(value: &[u8], cx: &DecodeContext) -> Result<(), &'static str> {
    check_width(value, Width::of(cx))
}

/// As [`check`], with numbers of that many octets.
pub(super) fn check_width(value: &[u8], width: Width) -> Result<(), &'static str> {
    let mut rest = value;
    while let [kind, tail @ ..] = rest {
        if !(1..=4).contains(kind) {
            return Err("AS_PATH has a segment of unknown type");
        }
        if tail.first() == Some(&0) {
            return Err("AS_PATH has a segment without numbers");
        }
        let (after, (_, octets)) =
            segment(width, rest).map_err(|_| "AS_PATH has a segment that overruns the attribute")?;
        // "An UPDATE message that contains the AS number of zero in the AS_PATH or AGGREGATOR attribute MUST be considered
        // as malformed". RFC 7607 section 2.
        if numbers(octets, width).any(|asn| asn == Asn::ZERO) {
            return Err("AS_PATH contains AS 0");
        }
        rest = after;
    }
    Ok(())
}

/// One segment: type, number of numbers, numbers.
fn segment(width: Width, input: &[u8]) -> Parsed<'_, (u8, &[u8])> {
    let (input, (kind, count)) = (be_u8, be_u8).parse(input)?;
    let (rest, octets) = take(usize::from(count).saturating_mul(width.octets())).parse(input)?;
    Ok((rest, (kind, octets)))
}

fn numbers(octets: &[u8], width: Width) -> impl Iterator<Item = Asn> + '_ {
    octets
        .chunks_exact(width.octets())
        .map(|octets| Asn(octets.iter().fold(0, |number, octet| (number << 8) | u32::from(*octet))))
}

impl fmt::Display for AsPath {
    /// `65001 65002 {1,2} (3 4) [5,6]`: sets in braces, those of a confederation in round and square brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            let (open, between, close) = match segment {
                Segment::Sequence(_) => ("", " ", ""),
                Segment::Set(_) => ("{", ",", "}"),
                Segment::ConfedSequence(_) => ("(", " ", ")"),
                Segment::ConfedSet(_) => ("[", ",", "]"),
            };
            f.write_str(open)?;
            for (index, asn) in segment.asns().iter().enumerate() {
                if index > 0 {
                    f.write_str(between)?;
                }
                write!(f, "{asn}")?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(segments: &[Segment]) -> AsPath {
        AsPath { segments: segments.to_vec() }
    }

    fn asns(range: std::ops::Range<u32>) -> Vec<Asn> {
        range.map(Asn).collect()
    }

    #[test]
    fn a_value_is_checked_to_its_last_octet() {
        let two = |value: &[u8]| check_width(value, Width::Two).is_ok();
        assert!(two(&[]) && two(&[2, 1, 0, 1]) && two(&[4, 1, 0, 1, 1, 1, 0, 2]));
        assert!(!two(&[2]) && !two(&[2, 1, 0]) && !two(&[2, 2, 0, 1]), "a segment that overruns");
        assert!(!two(&[2, 0]) && !two(&[2, 0, 2, 1, 0, 1]), "a segment of none");
        assert!(!two(&[0, 1, 0, 1]) && !two(&[5, 1, 0, 1]), "a segment of unknown type");
        assert!(!two(&[2, 2, 0, 1, 0, 0]) && !two(&[3, 1, 0, 0]), "AS 0");
        assert!(check_width(&[2, 1, 0, 1, 0, 0], Width::Four).is_ok());
        assert!(check_width(&[2, 1, 0, 1], Width::Four).is_err());
    }

    #[test]
    fn long_sequences_are_split_and_mean_the_same() {
        let long = AsPath::sequence(asns(1..600));
        let mut out = BytesMut::new();
        long.put(&mut out, Width::Four);
        assert_eq!(out.len(), long.encoded_len(Width::Four));
        assert!(check_width(&out, Width::Four).is_ok());
        let again = AsPath::decode(&out, Width::Four);
        assert_eq!(again.segments.len(), 3);
        assert_eq!((again.selection_length(), again.to_string()), (599, long.to_string()));
    }

    #[test]
    fn a_set_counts_one_and_a_confederation_nothing() {
        let mixed = path(&[
            Segment::ConfedSequence(asns(1..3)),
            Segment::ConfedSet(asns(3..5)),
            Segment::Sequence(asns(5..7)),
            Segment::Set(asns(7..10)),
        ]);
        assert_eq!(mixed.to_string(), "(1 2) [3,4] 5 6 {7,8,9}");
        assert_eq!((mixed.selection_length(), mixed.neighbor_as()), (3, Some(Asn(5))));
        assert!(mixed.has_confederation() && !AsPath::default().has_confederation());
        assert_eq!(path(&[Segment::Set(asns(1..3))]).neighbor_as(), None);
    }

    #[test]
    fn our_number_goes_into_the_first_sequence_or_a_new_one() {
        let mut short = AsPath::default();
        short.prepend(Asn(2));
        short.prepend(Asn(1));
        assert_eq!(short, AsPath::sequence(asns(1..3)));
        let mut set = path(&[Segment::Set(asns(5..7))]);
        set.prepend(Asn(1));
        assert_eq!(set.to_string(), "1 {5,6}");
        let mut full = AsPath::sequence(asns(1..256));
        full.prepend(Asn(9));
        assert_eq!(full.segments.len(), 2);
    }
}

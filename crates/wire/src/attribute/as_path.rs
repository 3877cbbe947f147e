//! AS_PATH: RFC 4271 section 5.1.2, four octets a number since RFC 6793, confederation segments of RFC 5065.

use crate::asn::Asn;

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
        self.segments
            .iter()
            .find(|segment| !matches!(segment, Segment::ConfedSequence(_) | Segment::ConfedSet(_)))
            .and_then(|segment| match segment {
                Segment::Sequence(asns) => asns.first().copied(),
                Segment::Set(_) | Segment::ConfedSequence(_) | Segment::ConfedSet(_) => None,
            })
    }

    /// Every number in the path, in the order sent.
    pub fn asns(&self) -> impl Iterator<Item = Asn> + '_ {
        self.segments.iter().flat_map(|segment| match segment {
            Segment::Set(asns)
            | Segment::Sequence(asns)
            | Segment::ConfedSequence(asns)
            | Segment::ConfedSet(asns) => asns.iter().copied(),
        })
    }
}

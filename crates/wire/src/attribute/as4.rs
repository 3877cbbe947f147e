//! AS4_PATH and AS4_AGGREGATOR: what a peer of two-octet AS numbers carries of the longer ones, RFC 6793 section 4.2.
//!
//! Owns their checks, the merge on the way in and the split on the way out. No such attribute remains after decoding.

use std::cmp::Ordering;

use super::aggregator::Aggregator;
use super::as_path::{self, AsPath, Segment, Width};
use crate::asn::Asn;
use crate::context::DecodeContext;

/// Whether a value is an AS4_PATH, RFC 6793 section 6.
pub(super) fn check_path(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("AS4_PATH is too short for an AS number");
    }
    as_path::check_width(value, Width::Four).map_err(|_| "AS4_PATH is malformed")
}

/// Whether a value is an AS4_AGGREGATOR, RFC 6793 section 6.
pub(super) fn check_aggregator(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    match value {
        [0, 0, 0, 0, _, _, _, _] => Err("AS4_AGGREGATOR contains AS 0"),
        [_, _, _, _, _, _, _, _] => Ok(()),
        _ => Err("AS4_AGGREGATOR has not 8 octets"),
    }
}

/// AS_PATH and AGGREGATOR as they would be without the peer's limit, RFC 6793 section 4.2.3.
pub(super) fn merge(
    path: AsPath,
    aggregator: Option<Aggregator>,
    as4_path: Option<AsPath>,
    as4_aggregator: Option<Aggregator>,
) -> (AsPath, Option<Aggregator>) {
    // "If the AS number in the AGGREGATOR attribute is not AS_TRANS, then the AS4_AGGREGATOR attribute and the AS4_PATH
    // attribute SHALL be ignored".
    if as4_aggregator.is_some() && aggregator.is_some_and(|a| a.asn != Asn::TRANS) {
        return (path, aggregator);
    }
    let aggregator = aggregator.map(|two| as4_aggregator.unwrap_or(two));
    match as4_path {
        Some(four) => (merge_paths(path, four), aggregator),
        None => (path, aggregator),
    }
}

fn merge_paths(mut path: AsPath, mut four: AsPath) -> AsPath {
    // "the AS_CONFED_SEQUENCE and AS_CONFED_SET path segments ... MUST be discarded" from AS4_PATH. RFC 6793 section 6.
    four.segments.retain(|segment| matches!(segment, Segment::Set(_) | Segment::Sequence(_)));
    let surplus = match path.selection_length().cmp(&four.selection_length()) {
        // "If the number of AS numbers in the AS_PATH attribute is less than the number of AS numbers in the AS4_PATH
        // attribute, then the AS4_PATH attribute SHALL be ignored".
        Ordering::Less => return path,
        Ordering::Equal => 0,
        Ordering::Greater => path.selection_length().saturating_sub(four.selection_length()),
    };
    keep_leading(&mut path.segments, surplus);
    join(&mut path.segments, four.segments);
    path
}

/// Keeps as many leading segments and numbers as count `surplus`, and the confederation segments before and among them: "a
/// valid AS_CONFED_SEQUENCE or AS_CONFED_SET path segment SHALL be prepended if it is either the leading path segment or is
/// adjacent to a path segment that is prepended." RFC 6793 section 4.2.3.
fn keep_leading(segments: &mut Vec<Segment>, mut surplus: usize) {
    let mut kept = 0;
    for segment in segments.iter_mut() {
        match segment {
            Segment::ConfedSequence(_) | Segment::ConfedSet(_) => {}
            Segment::Set(_) | Segment::Sequence(_) if surplus == 0 => break,
            Segment::Set(_) => surplus = surplus.saturating_sub(1),
            Segment::Sequence(asns) if asns.len() > surplus => {
                asns.truncate(surplus);
                kept += 1;
                // What follows stands beside the part of it that AS4_PATH replaces.
                break;
            }
            Segment::Sequence(asns) => surplus = surplus.saturating_sub(asns.len()),
        }
        kept += 1;
    }
    segments.truncate(kept);
}

/// Appends `tail`; two sequences that meet become one, so that a path looks the same whichever way it came.
fn join(segments: &mut Vec<Segment>, tail: Vec<Segment>) {
    let mut tail = tail.into_iter().peekable();
    if let (Some(Segment::Sequence(front)), Some(Segment::Sequence(back))) =
        (segments.last_mut(), tail.peek())
    {
        front.extend_from_slice(back);
        tail.next();
    }
    segments.extend(tail);
}

/// The AS4_PATH that a peer of two octets needs beside AS_PATH, RFC 6793 section 4.2.2: none where every number fits.
pub(super) fn split_path(path: &AsPath) -> Option<AsPath> {
    if path.asns().all(|asn| u16::try_from(asn.0).is_ok()) {
        return None;
    }
    let outside = |segment: &&Segment| matches!(segment, Segment::Set(_) | Segment::Sequence(_));
    let segments: Vec<Segment> = path.segments.iter().filter(outside).cloned().collect();
    (!segments.is_empty()).then_some(AsPath { segments })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(asns: &[u32]) -> Segment {
        Segment::Sequence(asns.iter().copied().map(Asn).collect())
    }

    fn path(segments: &[Segment]) -> AsPath {
        AsPath { segments: segments.to_vec() }
    }

    fn merged(two: &AsPath, four: &AsPath) -> String {
        merge(two.clone(), None, Some(four.clone()), None).0.to_string()
    }

    #[test]
    fn the_longer_numbers_replace_the_tail() {
        let two = path(&[seq(&[200, 1, 23456, 23456])]);
        assert_eq!(merged(&two, &path(&[seq(&[1, 222_222, 333_333])])), "200 1 222222 333333");
        assert_eq!(merged(&two, &path(&[seq(&[9, 1, 222_222, 333_333])])), "9 1 222222 333333");
    }

    #[test]
    fn a_longer_as4_path_is_ignored() {
        assert_eq!(merged(&path(&[seq(&[65001])]), &path(&[seq(&[100, 300])])), "65001");
    }

    #[test]
    fn a_set_counts_one_and_confederation_segments_nothing() {
        let confed = Segment::ConfedSequence(vec![Asn(64900)]);
        let set = Segment::Set(vec![Asn(1), Asn(23456)]);
        let two = path(&[confed.clone(), seq(&[7]), set]);
        let four = path(&[Segment::Set(vec![Asn(1), Asn(70000)])]);
        assert_eq!(merged(&two, &four), "(64900) 7 {1,70000}");
        assert_eq!(merged(&path(&[seq(&[7, 23456])]), &path(&[confed.clone(), seq(&[70000])])), "7 70000");
        let (whole, cut) = (seq(&[7]), seq(&[7, 23456]));
        let behind = |front| path(&[front, confed.clone(), seq(&[23456])]);
        assert_eq!(merged(&behind(whole), &path(&[seq(&[70000])])), "7 (64900) 70000");
        assert_eq!(merged(&behind(cut), &path(&[seq(&[70000, 80000])])), "7 70000 80000", "not beside the 7");
    }

    #[test]
    fn an_aggregator_that_fits_two_octets_disables_both() {
        let router = std::net::Ipv4Addr::LOCALHOST;
        let at = |asn| Some(Aggregator { asn: Asn(asn), router });
        let (two, four) = (path(&[seq(&[23456])]), path(&[seq(&[70000])]));
        let (kept, aggregator) = merge(two.clone(), at(5), Some(four.clone()), at(70000));
        assert_eq!((kept, aggregator), (two.clone(), at(5)));
        assert_eq!(merge(two, at(23456), Some(four.clone()), at(70000)), (four, at(70000)));
    }

    #[test]
    fn only_long_numbers_need_an_as4_path() {
        assert_eq!(split_path(&path(&[seq(&[1, 65535])])), None);
        let confed = Segment::ConfedSequence(vec![Asn(64900)]);
        assert_eq!(split_path(&path(&[confed, seq(&[1, 65536])])), Some(path(&[seq(&[1, 65536])])));
    }
}

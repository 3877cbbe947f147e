//! AIGP, the accumulated IGP metric: RFC 7311 section 3.
//!
//! Owns the TLVs inside the attribute. Only the first AIGP TLV counts; TLVs of other types are skipped.

use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16};

use crate::context::DecodeContext;
use crate::read::Parsed;

/// Type of the TLV that holds the metric.
pub(super) const TYPE: u8 = 1;
/// Its length, which counts type and length too.
pub(super) const LENGTH: u16 = 11;

/// Type and value of one TLV.
fn tlv(input: &[u8]) -> Parsed<'_, (u8, &[u8])> {
    let (input, (kind, length)) = (be_u8, be_u16).parse(input)?;
    let Some(length) = length.checked_sub(3) else {
        return Err(nom::Err::Failure(()));
    };
    let (rest, value) = take(length).parse(input)?;
    Ok((rest, (kind, value)))
}

/// RFC 7311 section 3; RFC 7606 section 4 has no attribute without a value that is not said to have none.
pub(super) fn check(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("AIGP is empty");
    }
    let mut rest = value;
    while !rest.is_empty() {
        let (after, (kind, value)) = tlv(rest).map_err(|_| "AIGP has a TLV that does not fit")?;
        if kind == TYPE && value.len() != 8 {
            return Err("AIGP has a metric of other than 8 octets");
        }
        rest = after;
    }
    // "If an AIGP attribute is received and its first AIGP TLV contains the maximum value 0xffffffffffffffff, the attribute
    // SHOULD be considered to be malformed and SHOULD be discarded". RFC 7311 section 3.2.
    match decode(value) {
        Some(u64::MAX) => Err("AIGP has the largest metric, which stands for none"),
        Some(_) | None => Ok(()),
    }
}

/// The metric, if there is one.
pub(super) fn decode(value: &[u8]) -> Option<u64> {
    let mut rest = value;
    while let Ok((after, (kind, value))) = tlv(rest) {
        if kind == TYPE {
            return value.first_chunk::<8>().map(|octets| u64::from_be_bytes(*octets));
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &[u8]) -> bool {
        super::check(value, &DecodeContext::default()).is_ok()
    }

    #[test]
    fn tlvs_are_read_to_the_end() {
        let metric = [1, 0, 11, 0, 0, 0, 0, 0, 0, 1, 2];
        assert!(check(&metric));
        assert_eq!(decode(&metric), Some(258));
        let behind_another = [&[7, 0, 4, 9][..], &metric, &[1, 0, 11], &[9; 8]].concat();
        assert!(check(&behind_another));
        assert_eq!(decode(&behind_another), Some(258), "the first one counts");
        assert_eq!(decode(&[7, 0, 4, 9]), None);
        let largest = [&[1, 0, 11][..], &[0xff; 8]].concat();
        assert!(!check(&largest) && !check(&[&[7, 0, 4, 9][..], &largest].concat()));
        assert!(check(&[&metric[..], &largest].concat()), "the second one does not count");
        for bad in [
            &[][..],
            &[1],
            &[1, 0, 2],
            &[1, 0, 3],
            &[1, 0, 11, 0],
            &[7, 0, 9, 1],
            &[1, 0, 10, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(!check(bad), "{bad:?}");
        }
    }
}

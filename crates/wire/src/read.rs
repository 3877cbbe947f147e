//! The few nom parsers that more than one file needs.

use bytes::Bytes;
use nom::IResult;

/// What remains and what was read. No error carries a reason: what a failure means is known where it is caught.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

/// `part` as a share of `whole`, of which it is a slice.
pub(crate) fn share(whole: &Bytes, part: &[u8]) -> Bytes {
    if part.is_empty() { Bytes::new() } else { whole.slice_ref(part) }
}

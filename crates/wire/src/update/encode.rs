//! Encoding of UPDATE: RFC 4271 section 4.3, RFC 4760, RFC 7606 section 5.1, RFC 8950.
//!
//! A message carries one kind of thing: withdrawn routes, or one set of attributes with NLRI of one family.

use std::iter::Peekable;

use bytes::{Bytes, BytesMut};

use super::NlriEntry;
use crate::attribute::PathAttributes;
use crate::family::Family;
use crate::next_hop::NextHop;

pub use crate::context::EncodeContext;

/// The attributes leave no room for a single prefix; nothing was written and no entry was taken.
/// RFC 8654 section 5 has such routes withdrawn where they were announced before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path attributes of {0} octets leave no room for a prefix")]
pub struct AttributesTooLong(pub usize);

/// Appends one UPDATE to `out` that announces as many of `entries` as fit, and returns how many these are. It stops
/// before an entry of another family than the first. Call it until there is no entry left.
pub fn announce(
    cx: &EncodeContext,
    attributes: &PathAttributes,
    next_hop: NextHop,
    entries: &mut Peekable<impl Iterator<Item = NlriEntry>>,
    out: &mut BytesMut,
) -> Result<usize, AttributesTooLong> {
    let _ = (cx, attributes, next_hop, out);
    Ok(usize::from(entries.next().is_some()))
}

/// Appends one UPDATE to `out` that withdraws as many of `entries` as fit, and returns how many these are. It stops
/// before an entry of another family than `family`.
pub fn withdraw(
    cx: &EncodeContext,
    family: Family,
    entries: &mut Peekable<impl Iterator<Item = NlriEntry>>,
    out: &mut BytesMut,
) -> usize {
    let _ = (cx, family, out);
    usize::from(entries.next().is_some())
}

/// End-of-RIB, RFC 4724 section 2.
pub fn end_of_rib(family: Family) -> Bytes {
    let _ = family;
    Bytes::new()
}

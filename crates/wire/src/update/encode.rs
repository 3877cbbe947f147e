//! Encoding of UPDATE: RFC 4271 section 4.3, RFC 4760, RFC 7606 section 5.1, RFC 8950.
//!
//! A message carries one kind of thing: withdrawn routes, or one set of attributes with NLRI of one family. Owns the
//! packing: each message takes as many destinations as its length allows. What is announced to whom is the RIB's.

use std::iter::Peekable;

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use super::NlriEntry;
use crate::attribute::flags;
use crate::attribute::write::Reader;
use crate::attribute::{AttributeSlice, PathAttributes};
use crate::family::Family;
use crate::framer::{self, HEADER_LEN};
use crate::iana::{attribute as code, message};
use crate::next_hop::NextHop;

pub use super::destinations::{Destinations, pack_octets};
pub use crate::context::EncodeContext;

/// Flags of the two attributes with NLRI; always with a length of two octets, which is written last.
const MP_FLAGS: u8 = flags::OPTIONAL | flags::EXTENDED;
/// Header, and the lengths of withdrawn routes and attributes.
const FIXED_LEN: usize = HEADER_LEN + 2 + 2;

/// The attributes leave no room for a single prefix; nothing was written and no entry was taken.
/// RFC 8654 section 5 has such routes withdrawn where they were announced before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path attributes of {0} octets leave no room for a prefix")]
pub struct AttributesTooLong(pub usize);

/// Appends one UPDATE to `out` that announces as many of `entries` as fit, and returns how many these are. It stops
/// before an entry of another family than the first. Call it until there is no entry left.
///
/// IPv4 prefixes with [`NextHop::V4`] stand in the classic fields, everything else in MP_REACH_NLRI; an IPv4 next hop
/// of IPv6 prefixes is written as `::ffff:a.b.c.d`.
pub fn announce(
    cx: &EncodeContext,
    attributes: &PathAttributes,
    next_hop: NextHop,
    entries: &mut Peekable<impl Iterator<Item = NlriEntry>>,
    out: &mut BytesMut,
) -> Result<usize, AttributesTooLong> {
    write(cx, |others, reader| attributes.put(others, reader), next_hop, entries, out)
}

/// [`announce`] for a set that is there as octets.
pub fn announce_octets(
    cx: &EncodeContext,
    attributes: AttributeSlice<'_>,
    next_hop: NextHop,
    entries: &mut impl Destinations,
    out: &mut BytesMut,
) -> Result<usize, AttributesTooLong> {
    write(cx, |others, reader| attributes.put(others, reader), next_hop, entries, out)
}

fn write(
    cx: &EncodeContext,
    put: impl FnOnce(&mut BytesMut, Reader),
    next_hop: NextHop,
    entries: &mut impl Destinations,
    out: &mut BytesMut,
) -> Result<usize, AttributesTooLong> {
    let Some(family) = entries.family() else {
        return Ok(0);
    };
    let classic = match (family, next_hop) {
        (Family::Ipv4Unicast, NextHop::V4(address)) => Some(address),
        (Family::Ipv4Unicast | Family::Ipv6Unicast, _) => None,
    };
    let start = begin(out);
    let attributes = out.len();
    put(out, Reader::Peer { four_octet_as: cx.four_octet_as, next_hop: classic });
    let attributes_len = out.len().saturating_sub(attributes);
    let packed = if classic.is_some() {
        set_attributes_len(out, start);
        let room = cx.max_len.saturating_sub(out.len().saturating_sub(start));
        entries.pack(cx.add_path[family], room, out)
    } else {
        // How long they are had to be known; they stand behind the NLRI.
        let others: SmallVec<[u8; 512]> = out.get(attributes..).unwrap_or_default().into();
        out.truncate(attributes);
        let mp = begin_mp(out, code::MP_REACH_NLRI, family);
        put_next_hop(out, next_hop);
        out.put_u8(0);
        let taken = out.len().saturating_sub(start).saturating_add(others.len());
        let packed = entries.pack(cx.add_path[family], cx.max_len.saturating_sub(taken), out);
        finish_mp(out, mp);
        out.put_slice(&others);
        set_attributes_len(out, start);
        packed
    };
    if packed == 0 {
        out.truncate(start);
        return Err(AttributesTooLong(attributes_len));
    }
    framer::finish(out, start);
    Ok(packed)
}

/// Appends one UPDATE to `out` that withdraws as many of `entries` as fit, and returns how many these are. It stops
/// before an entry of another family than `family`.
pub fn withdraw(
    cx: &EncodeContext,
    family: Family,
    entries: &mut impl Destinations,
    out: &mut BytesMut,
) -> usize {
    if entries.family() != Some(family) {
        return 0;
    }
    let start = begin(out);
    let add_path = cx.add_path[family];
    let packed = match family {
        Family::Ipv4Unicast => {
            // The length of the attributes comes behind the withdrawn routes here.
            out.truncate(start.saturating_add(FIXED_LEN).saturating_sub(2));
            let packed = entries.pack(add_path, cx.max_len.saturating_sub(FIXED_LEN), out);
            let behind = start.saturating_add(FIXED_LEN).saturating_sub(2);
            set_len(out, behind.saturating_sub(2), behind);
            out.put_u16(0);
            packed
        }
        Family::Ipv6Unicast => {
            let mp = begin_mp(out, code::MP_UNREACH_NLRI, family);
            let taken = out.len().saturating_sub(start);
            let packed = entries.pack(add_path, cx.max_len.saturating_sub(taken), out);
            finish_mp(out, mp);
            set_attributes_len(out, start);
            packed
        }
    };
    if packed == 0 {
        out.truncate(start);
    } else {
        framer::finish(out, start);
    }
    packed
}

/// End-of-RIB, RFC 4724 section 2.
pub fn end_of_rib(family: Family) -> Bytes {
    let mut out = BytesMut::with_capacity(32);
    let start = begin(&mut out);
    if family != Family::Ipv4Unicast {
        let mp = begin_mp(&mut out, code::MP_UNREACH_NLRI, family);
        finish_mp(&mut out, mp);
        set_attributes_len(&mut out, start);
    }
    framer::finish(&mut out, start);
    out.freeze()
}

/// Starts an UPDATE without withdrawn routes and attributes.
fn begin(out: &mut BytesMut) -> usize {
    let start = framer::begin(out, message::UPDATE);
    out.put_u32(0);
    start
}

fn set_attributes_len(out: &mut BytesMut, start: usize) {
    let behind = start.saturating_add(FIXED_LEN);
    set_len(out, behind.saturating_sub(2), behind);
}

/// Writes at `place` how many octets there are from `from` on.
fn set_len(out: &mut BytesMut, place: usize, from: usize) {
    let length = u16::try_from(out.len().saturating_sub(from)).unwrap_or(u16::MAX);
    framer::put_u16_at(out, place, length);
}

/// Starts MP_REACH_NLRI or MP_UNREACH_NLRI and returns where its value begins.
/// "The MP_REACH_NLRI or MP_UNREACH_NLRI attribute (if present) SHALL be encoded as the very first path attribute".
fn begin_mp(out: &mut BytesMut, code: u8, family: Family) -> usize {
    out.put_slice(&[MP_FLAGS, code, 0, 0]);
    let value = out.len();
    out.put_u16(family.code().afi);
    out.put_u8(family.code().safi);
    value
}

fn finish_mp(out: &mut BytesMut, value: usize) {
    set_len(out, value.saturating_sub(2), value);
}

fn put_next_hop(out: &mut BytesMut, next_hop: NextHop) {
    match next_hop {
        NextHop::V4(address) => {
            out.put_u8(16);
            out.put_slice(&address.to_ipv6_mapped().octets());
        }
        NextHop::V6(address) => {
            out.put_u8(16);
            out.put_slice(&address.octets());
        }
        NextHop::V6WithLinkLocal(global, link_local) => {
            out.put_u8(32);
            out.put_slice(&global.octets());
            out.put_slice(&link_local.octets());
        }
    }
}

#[cfg(test)]
mod tests;

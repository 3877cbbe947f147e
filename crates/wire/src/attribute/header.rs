//! The frame of a path attribute: flags, type code, length; RFC 4271 section 4.3.
//!
//! Owns the walk from one attribute to the next. What a value means is each attribute's own file.

use bytes::{BufMut, BytesMut};

use crate::read::Parsed;

/// Attribute flags, RFC 4271 section 4.3.
pub mod flags {
    /// Not well-known.
    pub const OPTIONAL: u8 = 0x80;
    /// Passed on also where it is unknown.
    pub const TRANSITIVE: u8 = 0x40;
    /// Somebody on the way did not know it.
    pub const PARTIAL: u8 = 0x20;
    /// The length has two octets.
    pub const EXTENDED: u8 = 0x10;
}

/// One attribute as octets.
#[derive(Clone, Copy, Debug)]
pub struct RawAttribute<'a> {
    /// Attribute flags as sent.
    pub flags: u8,
    /// Attribute type code.
    pub code: u8,
    /// The value.
    pub value: &'a [u8],
    /// Header and value.
    pub octets: &'a [u8],
}

/// The next attribute of a list: flags, type code, a length of one octet or two, the value. By hand, since every attribute
/// of a table passes here several times.
#[inline]
pub(crate) fn attribute(input: &[u8]) -> Parsed<'_, RawAttribute<'_>> {
    let truncated = || nom::Err::Error(());
    let (flags, code, header, length) = match input {
        [flags, code, high, low, ..] if flags & flags::EXTENDED != 0 => {
            (*flags, *code, 4, u16::from_be_bytes([*high, *low]))
        }
        [flags, code, length, ..] if flags & flags::EXTENDED == 0 => (*flags, *code, 3, u16::from(*length)),
        _ => return Err(truncated()),
    };
    let end = usize::from(length).saturating_add(header);
    let (octets, rest) = input.split_at_checked(end).ok_or_else(truncated)?;
    let value = octets.get(header..).unwrap_or_default();
    Ok((rest, RawAttribute { flags, code, value, octets }))
}

/// Of the flags of an attribute that was found well formed those that mean something. "The lower-order four bits ... MUST be
/// zero when sent and MUST be ignored when received", and Partial is zero but for optional transitive attributes: RFC 4271
/// section 4.3.
#[inline]
pub(super) const fn meant(flags: u8) -> u8 {
    let transitive = flags & (flags::OPTIONAL | flags::TRANSITIVE) == flags::OPTIONAL | flags::TRANSITIVE;
    flags & if transitive { 0xf0 } else { 0xf0 & !flags::PARTIAL }
}

/// Appends an attribute header; the length has two octets where it needs them or `flags` has them so.
pub(super) fn put(out: &mut BytesMut, flags: u8, code: u8, length: usize) {
    match u8::try_from(length) {
        Ok(short) if flags & flags::EXTENDED == 0 => out.put_slice(&[flags, code, short]),
        Ok(_) | Err(_) => {
            out.put_slice(&[flags | flags::EXTENDED, code]);
            out.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
        }
    }
}

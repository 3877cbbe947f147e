//! The frame of a path attribute: flags, type code, length; RFC 4271 section 4.3.
//!
//! Owns the walk from one attribute to the next. What a value means is each attribute's own file.

use bytes::{BufMut, BytesMut};
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16};

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

/// Flags and type code, with the length that follows them.
fn header(input: &[u8]) -> Parsed<'_, (u8, u8, u16)> {
    let (input, (flags, code)) = (be_u8, be_u8).parse(input)?;
    let (input, length) = if flags & flags::EXTENDED == 0 {
        be_u8.map(u16::from).parse(input)?
    } else {
        be_u16.parse(input)?
    };
    Ok((input, (flags, code, length)))
}

/// The next attribute of a list.
pub(crate) fn attribute(input: &[u8]) -> Parsed<'_, RawAttribute<'_>> {
    let (behind, (flags, code, length)) = header(input)?;
    let (rest, value) = take(length).parse(behind)?;
    let octets = input.get(..input.len().saturating_sub(rest.len())).unwrap_or(input);
    Ok((rest, RawAttribute { flags, code, value, octets }))
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

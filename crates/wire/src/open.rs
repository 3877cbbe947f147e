//! OPEN: RFC 4271 section 4.2, capabilities of RFC 5492, extended optional parameters of RFC 9072.
//!
//! Owns decoding, encoding and the faults of an OPEN. Whether this peer may have this AS is the session's question.

use bytes::{BufMut, Bytes, BytesMut};
use nom::multi::length_data;
use nom::number::complete::{be_u8, be_u16, be_u32};
use nom::{Parser, ToUsize};

use crate::asn::Asn;
use crate::capability::Capability;
use crate::framer;
use crate::iana::message;
use crate::read::Parsed;
use crate::router_id::RouterId;

/// Hold Time, RFC 4271 section 4.2: off, or three seconds and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldTime {
    /// No keepalives and no hold timer.
    Off,
    /// At least 3.
    Seconds(std::num::NonZeroU16),
}

impl HoldTime {
    /// `None` for 1 and 2, which RFC 4271 section 6.2 forbids.
    pub fn new(seconds: u16) -> Option<Self> {
        match std::num::NonZeroU16::new(seconds) {
            None => Some(Self::Off),
            Some(value) if seconds >= 3 => Some(Self::Seconds(value)),
            Some(_) => None,
        }
    }

    /// Seconds, zero for off.
    pub fn as_secs(self) -> u16 {
        match self {
            Self::Off => 0,
            Self::Seconds(seconds) => seconds.get(),
        }
    }
}

/// A decoded OPEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The sender's AS: from the four-octet capability where it is there, RFC 6793 section 4.1.
    pub asn: Asn,
    /// The hold time that the sender proposes.
    pub hold_time: HoldTime,
    /// The sender's BGP Identifier.
    pub router_id: RouterId,
    /// In the order sent.
    pub capabilities: Vec<Capability>,
}

/// What is wrong with an OPEN, RFC 4271 section 6.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OpenFault {
    /// Parameters or capabilities do not fit into their lengths.
    #[error("{0}")]
    Malformed(&'static str),
    /// Not version 4.
    #[error("BGP version {0} is not supported")]
    Version(u8),
    /// AS 0, RFC 7607.
    #[error("AS 0 must not be used")]
    ZeroAs,
    /// Identifier 0.0.0.0.
    #[error("0.0.0.0 is no BGP Identifier")]
    RouterId,
    /// A parameter that is no capability.
    #[error("optional parameter {0} is not supported")]
    OptionalParameter(u8),
    /// One or two seconds.
    #[error("a hold time of {0} s is not acceptable")]
    HoldTime(u16),
}

/// The one version there is.
const VERSION: u8 = 4;
/// Optional parameter type of capabilities, RFC 5492 section 4.
const CAPABILITIES: u8 = 2;
/// RFC 9072 section 2: stands for type and length where lengths have two octets.
const EXTENDED: u8 = 255;

/// The fixed part.
struct Fixed {
    version: u8,
    asn: u16,
    hold_time: u16,
    router_id: u32,
}

fn fixed(input: &[u8]) -> Parsed<'_, Fixed> {
    (be_u8, be_u16, be_u16, be_u32)
        .map(|(version, asn, hold_time, router_id)| Fixed { version, asn, hold_time, router_id })
        .parse(input)
}

impl Open {
    /// Decodes a body. Faults come in the order of the fields.
    pub fn decode(body: &Bytes) -> Result<Self, OpenFault> {
        let (rest, fixed) = fixed(body).map_err(|_| OpenFault::Malformed("it ends within its fixed part"))?;
        if fixed.version != VERSION {
            return Err(OpenFault::Version(fixed.version));
        }
        if fixed.asn == 0 {
            return Err(OpenFault::ZeroAs);
        }
        let hold_time = HoldTime::new(fixed.hold_time).ok_or(OpenFault::HoldTime(fixed.hold_time))?;
        let router_id = RouterId::new(fixed.router_id).ok_or(OpenFault::RouterId)?;
        let capabilities = parameters(rest, body)?;
        let four_octets = capabilities.iter().find_map(|capability| match capability {
            Capability::FourOctetAs(asn) => Some(*asn),
            _ => None,
        });
        let asn = four_octets.unwrap_or(Asn(fixed.asn.into()));
        if asn == Asn::ZERO {
            return Err(OpenFault::ZeroAs);
        }
        Ok(Self { asn, hold_time, router_id, capabilities })
    }

    /// The whole message: capabilities in one optional parameter, of RFC 9072 where they are too long for another.
    pub fn encode(&self) -> Bytes {
        let mut capabilities = BytesMut::new();
        self.capabilities.iter().for_each(|capability| capability.put(&mut capabilities));
        framer::whole(message::OPEN, |out| {
            out.put_u8(VERSION);
            out.put_u16(self.asn.two_octets());
            out.put_u16(self.hold_time.as_secs());
            out.put_u32(self.router_id.bits());
            match (u8::try_from(capabilities.len()), u8::try_from(capabilities.len().saturating_add(2))) {
                (Ok(0), _) => out.put_u8(0),
                (Ok(length), Ok(parameters)) if parameters < EXTENDED => {
                    out.put_slice(&[parameters, CAPABILITIES, length]);
                }
                _ => {
                    let length = u16::try_from(capabilities.len()).unwrap_or(u16::MAX);
                    out.put_slice(&[EXTENDED, EXTENDED]);
                    out.put_u16(length.saturating_add(3));
                    out.put_u8(CAPABILITIES);
                    out.put_u16(length);
                }
            }
            out.put_slice(&capabilities);
        })
    }
}

/// The capabilities of all optional parameters.
fn parameters(input: &[u8], body: &Bytes) -> Result<Vec<Capability>, OpenFault> {
    let (mut rest, extended) = match input {
        // "If the value of the "Non-Ext OP Type" field is 255", the length before it is not looked at. RFC 9072 section 2.
        [length, EXTENDED, tail @ ..] if *length > 0 => (section(length_data(be_u16), tail)?, true),
        _ => (section(length_data(be_u8), input)?, false),
    };
    let mut capabilities = Vec::new();
    while !rest.is_empty() {
        let parsed = if extended { parameter(be_u16, rest) } else { parameter(be_u8, rest) };
        let (after, (kind, value)) =
            parsed.map_err(|_| OpenFault::Malformed("an optional parameter overruns its length"))?;
        if kind != CAPABILITIES {
            return Err(OpenFault::OptionalParameter(kind));
        }
        Capability::decode_all(value, body, &mut capabilities)
            .ok_or(OpenFault::Malformed("a capability overruns its parameter"))?;
        rest = after;
    }
    Ok(capabilities)
}

/// All that is left of a body.
fn section<'a>(
    mut parser: impl Parser<&'a [u8], Output = &'a [u8], Error = ()>,
    input: &'a [u8],
) -> Result<&'a [u8], OpenFault> {
    match parser.parse(input) {
        Ok(([], octets)) => Ok(octets),
        Ok(_) | Err(_) => Err(OpenFault::Malformed("the length of the optional parameters does not fit")),
    }
}

/// One parameter: type and value, its length read by `length`.
fn parameter<'a, N: ToUsize>(
    length: impl Parser<&'a [u8], Output = N, Error = ()>,
    input: &'a [u8],
) -> Parsed<'a, (u8, &'a [u8])> {
    (be_u8, length_data(length)).parse(input)
}

#[cfg(test)]
mod tests;

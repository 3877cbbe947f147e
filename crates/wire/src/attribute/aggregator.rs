//! ATOMIC_AGGREGATE and AGGREGATOR: RFC 4271 section 5.1.6 and 5.1.7.

use std::fmt;
use std::net::Ipv4Addr;

use crate::asn::Asn;
use crate::context::DecodeContext;

/// Who formed an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Aggregator {
    /// Its autonomous system.
    pub asn: Asn,
    /// Its BGP Identifier.
    pub router: Ipv4Addr,
}

impl Aggregator {
    /// From 6 or 8 octets.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        match *value {
            [a, b, r0, r1, r2, r3] => Some(Self {
                asn: Asn(u32::from(u16::from_be_bytes([a, b]))),
                router: Ipv4Addr::new(r0, r1, r2, r3),
            }),
            [a, b, c, d, r0, r1, r2, r3] => Some(Self {
                asn: Asn(u32::from_be_bytes([a, b, c, d])),
                router: Ipv4Addr::new(r0, r1, r2, r3),
            }),
            _ => None,
        }
    }
}

/// RFC 7606 section 7.7 and RFC 7607 section 2.
pub(super) fn check(value: &[u8], cx: &DecodeContext) -> Result<(), &'static str> {
    let length = if cx.four_octet_as { 8 } else { 6 };
    if value.len() != length {
        return Err("AGGREGATOR has not the length that the width of AS numbers asks for");
    }
    match Aggregator::decode(value) {
        Some(aggregator) if aggregator.asn != Asn::ZERO => Ok(()),
        Some(_) | None => Err("AGGREGATOR contains AS 0"),
    }
}

/// RFC 7606 section 7.6.
pub(super) fn check_atomic(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    if value.is_empty() { Ok(()) } else { Err("ATOMIC_AGGREGATE is not empty") }
}

impl fmt::Display for Aggregator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.asn, self.router)
    }
}

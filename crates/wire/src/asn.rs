//! Autonomous system numbers: RFC 4271 section 4.2, four octets since RFC 6793.
//!
//! Owns the value and its text form (asplain, RFC 5396); how a path carries it is `attribute::as_path`.

use std::fmt;
use std::str::FromStr;

/// An autonomous system number of four octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Asn(pub u32);

impl Asn {
    /// Stands in for a number of four octets where a peer takes only two, RFC 6793 section 3.
    pub const TRANS: Self = Self(23456);
    /// Reserved; no speaker may use it, RFC 7607.
    pub const ZERO: Self = Self(0);

    /// The number as a peer without four-octet support takes it: itself, or AS_TRANS.
    pub fn two_octets(self) -> u16 {
        u16::try_from(self.0).unwrap_or(23456)
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Asn {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

//! ORIGIN: RFC 4271 section 5.1.1.

use std::fmt;

use crate::context::DecodeContext;

/// ORIGIN; the order is the preference of RFC 4271 section 9.1.2.2 c).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Origin {
    /// Interior to the originating AS.
    #[default]
    Igp,
    /// Learned by EGP.
    Egp,
    /// Learned by other means.
    Incomplete,
}

impl Origin {
    /// `None` over 2.
    pub fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            0 => Some(Self::Igp),
            1 => Some(Self::Egp),
            2 => Some(Self::Incomplete),
            _ => None,
        }
    }

    pub(super) fn octet(self) -> u8 {
        match self {
            Self::Igp => 0,
            Self::Egp => 1,
            Self::Incomplete => 2,
        }
    }
}

/// RFC 7606 section 7.1.
pub(super) fn check(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    match value {
        [octet] if Origin::from_octet(*octet).is_some() => Ok(()),
        [_] => Err("ORIGIN has an undefined value"),
        _ => Err("ORIGIN has not 1 octet"),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Igp => "igp",
            Self::Egp => "egp",
            Self::Incomplete => "incomplete",
        })
    }
}

//! Destinations: an address masked to a length, RFC 4271 section 4.3.
//!
//! A prefix that exists is valid: its length fits the family and its host bits are zero. How NLRI carries one is
//! `update::nlri`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::family::Family;

/// An IPv4 destination, masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv4Prefix {
    bits: u32,
    len: u8,
}

impl Ipv4Prefix {
    /// Masks `address` to `len`; `None` where `len` is over 32.
    pub fn new(address: Ipv4Addr, len: u8) -> Option<Self> {
        let mask = match len {
            0 => 0,
            1..=32 => u32::MAX << (32 - u32::from(len)),
            _ => return None,
        };
        Some(Self { bits: u32::from(address) & mask, len })
    }

    /// The network address.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::from(self.bits)
    }

    /// The network address in host order.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// The prefix length.
    #[expect(clippy::len_without_is_empty, reason = "the length of a prefix, not of a collection")]
    pub fn len(self) -> u8 {
        self.len
    }
}

/// An IPv6 destination, masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv6Prefix {
    bits: u128,
    len: u8,
}

impl Ipv6Prefix {
    /// Masks `address` to `len`; `None` where `len` is over 128.
    pub fn new(address: Ipv6Addr, len: u8) -> Option<Self> {
        let mask = match len {
            0 => 0,
            1..=128 => u128::MAX << (128 - u32::from(len)),
            _ => return None,
        };
        Some(Self { bits: u128::from(address) & mask, len })
    }

    /// The network address.
    pub fn address(self) -> Ipv6Addr {
        Ipv6Addr::from(self.bits)
    }

    /// The network address in host order.
    pub fn bits(self) -> u128 {
        self.bits
    }

    /// The prefix length.
    #[expect(clippy::len_without_is_empty, reason = "the length of a prefix, not of a collection")]
    pub fn len(self) -> u8 {
        self.len
    }
}

/// A destination of either family; IPv4 sorts before IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prefix {
    /// IPv4 unicast.
    V4(Ipv4Prefix),
    /// IPv6 unicast.
    V6(Ipv6Prefix),
}

impl Prefix {
    /// Masks `address` to `len`; `None` where `len` does not fit the family.
    pub fn new(address: IpAddr, len: u8) -> Option<Self> {
        match address {
            IpAddr::V4(v4) => Ipv4Prefix::new(v4, len).map(Self::V4),
            IpAddr::V6(v6) => Ipv6Prefix::new(v6, len).map(Self::V6),
        }
    }

    /// The prefix that holds this one address.
    pub fn host(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::V4(Ipv4Prefix { bits: v4.into(), len: 32 }),
            IpAddr::V6(v6) => Self::V6(Ipv6Prefix { bits: v6.into(), len: 128 }),
        }
    }

    /// The family that carries it.
    pub fn family(self) -> Family {
        match self {
            Self::V4(_) => Family::Ipv4Unicast,
            Self::V6(_) => Family::Ipv6Unicast,
        }
    }

    /// The network address.
    pub fn address(self) -> IpAddr {
        match self {
            Self::V4(prefix) => prefix.address().into(),
            Self::V6(prefix) => prefix.address().into(),
        }
    }

    /// The prefix length.
    #[expect(clippy::len_without_is_empty, reason = "the length of a prefix, not of a collection")]
    pub fn len(self) -> u8 {
        match self {
            Self::V4(prefix) => prefix.len,
            Self::V6(prefix) => prefix.len,
        }
    }

    /// Whether `other` is this prefix or lies inside it.
    pub fn covers(self, other: Self) -> bool {
        self.len() <= other.len() && Self::new(other.address(), self.len()) == Some(self)
    }

    /// Whether `address` lies inside.
    pub fn contains(self, address: IpAddr) -> bool {
        self.covers(Self::host(address))
    }
}

impl From<Ipv4Prefix> for Prefix {
    fn from(prefix: Ipv4Prefix) -> Self {
        Self::V4(prefix)
    }
}

impl From<Ipv6Prefix> for Prefix {
    fn from(prefix: Ipv6Prefix) -> Self {
        Self::V6(prefix)
    }
}

impl fmt::Display for Ipv4Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.len)
    }
}

impl fmt::Display for Ipv6Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.len)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(prefix) => prefix.fmt(f),
            Self::V6(prefix) => prefix.fmt(f),
        }
    }
}

/// Why a text is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The part before the slash is no address.
    #[error("is not an IPv4 or IPv6 address")]
    Address,
    /// The part after the slash is no length of this family.
    #[error("has a prefix length that is not a number from 0 to {0}")]
    Length(u8),
    /// There are bits set behind the length.
    #[error("has host bits set; the network is {0}")]
    HostBits(Prefix),
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// `address/length`; a bare address is the host prefix. Host bits must be zero.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let Some((address, len)) = text.split_once('/') else {
            return text.parse().map(Self::host).map_err(|_| PrefixError::Address);
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address)?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let prefix =
            len.parse().ok().and_then(|len| Self::new(address, len)).ok_or(PrefixError::Length(max))?;
        if prefix.address() == address { Ok(prefix) } else { Err(PrefixError::HostBits(prefix)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_round_trip_and_bad_ones_say_why() {
        for text in ["0.0.0.0/0", "10.1.0.0/16", "255.255.255.255/32", "::/0", "2004::1/128", "2001:db8::/33"]
        {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), text);
        }
        assert_eq!("2004::1".parse::<Prefix>().unwrap().to_string(), "2004::1/128");
        assert_eq!(
            "10.0.0.1/8".parse::<Prefix>().unwrap_err().to_string(),
            "has host bits set; the network is 10.0.0.0/8"
        );
        assert_eq!("10.0.0.0/33".parse::<Prefix>(), Err(PrefixError::Length(32)));
        assert_eq!("x/3".parse::<Prefix>(), Err(PrefixError::Address));
    }

    #[test]
    fn covering_follows_the_bits() {
        let p = |text: &str| text.parse::<Prefix>().unwrap();
        assert!(p("::/0").covers(p("2004::1/128")));
        assert!(p("2004::/64").contains("2004::ffff".parse().unwrap()));
        assert!(!p("2004::/64").covers(p("2004::/63")));
        assert!(!p("0.0.0.0/0").covers(p("::/0")));
    }
}

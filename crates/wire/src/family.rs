//! Address families: AFI and SAFI, RFC 4760 section 3.
//!
//! [`Family`] is what this speaker carries; [`FamilyCode`] is any pair that a peer may name.

use std::fmt;
use std::ops::{Index, IndexMut};

/// A family that this speaker carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4Unicast,
    /// AFI 2, SAFI 1.
    Ipv6Unicast,
}

impl Family {
    /// Every family, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::Ipv4Unicast, Self::Ipv6Unicast];

    /// The pair on the wire.
    pub const fn code(self) -> FamilyCode {
        match self {
            Self::Ipv4Unicast => FamilyCode { afi: 1, safi: 1 },
            Self::Ipv6Unicast => FamilyCode { afi: 2, safi: 1 },
        }
    }

    /// Length of an address in bits: 32 or 128.
    pub const fn address_bits(self) -> u8 {
        match self {
            Self::Ipv4Unicast => 32,
            Self::Ipv6Unicast => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ipv4Unicast => "ipv4-unicast",
            Self::Ipv6Unicast => "ipv6-unicast",
        })
    }
}

/// AFI and SAFI as a peer sent them, known or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FamilyCode {
    /// Address Family Identifier.
    pub afi: u16,
    /// Subsequent Address Family Identifier.
    pub safi: u8,
}

impl FamilyCode {
    /// The family behind the pair, if this speaker carries it.
    pub fn family(self) -> Option<Family> {
        Family::ALL.into_iter().find(|family| family.code() == self)
    }
}

impl fmt::Display for FamilyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family() {
            Some(family) => family.fmt(f),
            None => write!(f, "afi {} safi {}", self.afi, self.safi),
        }
    }
}

/// One value for each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub struct PerFamily<T> {
    /// The value for [`Family::Ipv4Unicast`].
    pub ipv4: T,
    /// The value for [`Family::Ipv6Unicast`].
    pub ipv6: T,
}

impl<T> PerFamily<T> {
    /// A value per family, made by `make`.
    pub fn from_fn(mut make: impl FnMut(Family) -> T) -> Self {
        Self { ipv4: make(Family::Ipv4Unicast), ipv6: make(Family::Ipv6Unicast) }
    }

    /// Each family with its value.
    pub fn iter(&self) -> impl Iterator<Item = (Family, &T)> {
        [(Family::Ipv4Unicast, &self.ipv4), (Family::Ipv6Unicast, &self.ipv6)].into_iter()
    }
}

impl<T> Index<Family> for PerFamily<T> {
    type Output = T;

    fn index(&self, family: Family) -> &T {
        match family {
            Family::Ipv4Unicast => &self.ipv4,
            Family::Ipv6Unicast => &self.ipv6,
        }
    }
}

impl<T> IndexMut<Family> for PerFamily<T> {
    fn index_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::Ipv4Unicast => &mut self.ipv4,
            Family::Ipv6Unicast => &mut self.ipv6,
        }
    }
}

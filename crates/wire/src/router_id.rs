//! The BGP Identifier: RFC 4271 section 4.2, any value but zero since RFC 6286 section 2.1.

use std::fmt;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;

/// A BGP Identifier. Two speakers of different autonomous systems may have the same one (RFC 6286).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId(NonZeroU32);

impl RouterId {
    /// `None` for zero, which RFC 6286 section 2.1 forbids.
    pub fn new(bits: u32) -> Option<Self> {
        NonZeroU32::new(bits).map(Self)
    }

    /// The four octets as an unsigned integer in host order, as collision and tie-break compare them.
    pub fn bits(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<Ipv4Addr> for RouterId {
    type Error = ZeroRouterId;

    fn try_from(address: Ipv4Addr) -> Result<Self, ZeroRouterId> {
        Self::new(u32::from(address)).ok_or(ZeroRouterId)
    }
}

/// 0.0.0.0 was given as a BGP Identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("0.0.0.0 is no BGP Identifier (RFC 6286 section 2.1)")]
pub struct ZeroRouterId;

impl fmt::Display for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ipv4Addr::from(self.0.get()).fmt(f)
    }
}

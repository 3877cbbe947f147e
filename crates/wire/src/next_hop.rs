//! Next hops: NEXT_HOP (RFC 4271 section 5.1.3) and the next hop of MP_REACH_NLRI (RFC 4760, RFC 2545, RFC 8950).
//!
//! After decoding there is one kind of next hop, whichever attribute carried it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a route points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// 4 octets.
    V4(Ipv4Addr),
    /// 16 octets; a link-local address is possible where the peer has sent nothing else.
    V6(Ipv6Addr),
    /// 32 octets: the global address, then the link-local one on the shared link, RFC 2545 section 3.
    V6WithLinkLocal(Ipv6Addr, Ipv6Addr),
}

impl NextHop {
    /// The address that is compared and shown: the global one where there are two.
    pub fn address(self) -> IpAddr {
        match self {
            Self::V4(address) => address.into(),
            Self::V6(address) | Self::V6WithLinkLocal(address, _) => address.into(),
        }
    }

    /// The link-local address of the 32-octet form.
    pub fn link_local(self) -> Option<Ipv6Addr> {
        match self {
            Self::V6WithLinkLocal(_, link_local) => Some(link_local),
            Self::V4(_) | Self::V6(_) => None,
        }
    }

    /// The IPv4 address inside `::ffff:a.b.c.d`, which GoBGP sends for IPv6 routes over an IPv4 session.
    pub fn mapped_ipv4(self) -> Option<Ipv4Addr> {
        match self {
            Self::V6(address) | Self::V6WithLinkLocal(address, _) => address.to_ipv4_mapped(),
            Self::V4(_) => None,
        }
    }
}

impl From<IpAddr> for NextHop {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => Self::V6(v6),
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => address.fmt(f),
            Self::V6WithLinkLocal(global, link_local) => write!(f, "{global} ({link_local})"),
        }
    }
}

/// A next hop with the link on which it was learned: a link-local address means nothing without one (RFC 4007).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopedNextHop {
    /// The address or addresses.
    pub next_hop: NextHop,
    /// Interface index of the session over which it came, where the session is on a directly connected link.
    pub interface: Option<u32>,
}

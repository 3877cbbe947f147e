//! Path attributes: RFC 4271 section 4.3 and 5, one file per attribute.
//!
//! Owns the set as checked octets ([`AttributeBytes`], the key under which the RIB interns it), the set as values
//! ([`PathAttributes`]), and the one table that says for each attribute its code, flags and what a fault costs.

use std::net::Ipv4Addr;

use bytes::Bytes;

use crate::asn::Asn;

pub mod as_path;

pub use as_path::{AsPath, Segment};

/// What a malformed attribute costs, RFC 7606 section 2; weakest first, so `max` is "the strongest action".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remedy {
    /// The attribute is dropped, the routes stay.
    DiscardAttribute,
    /// Every route of the UPDATE is withdrawn.
    TreatAsWithdraw,
    /// The session ends.
    ResetSession,
}

/// One thing that was wrong with an attribute, and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeFault {
    /// Attribute type code; zero where no attribute could be named.
    pub code: u8,
    /// What it cost.
    pub remedy: Remedy,
    /// In words, for the operator; a constant, never the peer's text.
    pub reason: &'static str,
    /// The attribute as it was sent, at most 64 octets of it.
    pub octets: Bytes,
}

/// A checked attribute set as octets, in canonical form: no MP_REACH_NLRI, MP_UNREACH_NLRI or NEXT_HOP, four-octet
/// AS_PATH with AS4_PATH merged (RFC 6793 section 4.2.3), discarded attributes gone. Equal octets mean equal attributes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttributeBytes(Bytes);

impl AttributeBytes {
    /// The octets, each attribute with its header.
    pub fn octets(&self) -> &Bytes {
        &self.0
    }
}

/// The attributes of a set of routes, as values.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PathAttributes {
    /// ORIGIN, RFC 4271 section 5.1.1.
    pub origin: Origin,
    /// AS_PATH, RFC 4271 section 5.1.2; four-octet and merged.
    pub as_path: AsPath,
    /// MULTI_EXIT_DISC, RFC 4271 section 5.1.4.
    pub med: Option<u32>,
    /// LOCAL_PREF, RFC 4271 section 5.1.5; absent from external peers.
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE, RFC 4271 section 5.1.6.
    pub atomic_aggregate: bool,
    /// AGGREGATOR, RFC 4271 section 5.1.7, merged with AS4_AGGREGATOR.
    pub aggregator: Option<Aggregator>,
    /// COMMUNITIES, RFC 1997: each as high and low sixteen bits in one number.
    pub communities: Vec<u32>,
    /// EXTENDED COMMUNITIES, RFC 4360.
    pub extended_communities: Vec<[u8; 8]>,
    /// IPv6 Address Specific Extended Communities, RFC 5701.
    pub ipv6_extended_communities: Vec<[u8; 20]>,
    /// LARGE_COMMUNITY, RFC 8092.
    pub large_communities: Vec<LargeCommunity>,
    /// ORIGINATOR_ID, RFC 4456 section 8.
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST, RFC 4456 section 8.
    pub cluster_list: Vec<Ipv4Addr>,
    /// AIGP metric, RFC 7311.
    pub aigp: Option<u64>,
    /// Only to Customer, RFC 9234.
    pub otc: Option<Asn>,
    /// Attributes without a meaning here, as sent.
    pub unknown: Vec<UnknownAttribute>,
}

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

/// Who formed an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Aggregator {
    /// Its autonomous system.
    pub asn: Asn,
    /// Its BGP Identifier.
    pub router: Ipv4Addr,
}

/// One large community, RFC 8092 section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity {
    /// Global Administrator.
    pub global: u32,
    /// Local Data Part 1.
    pub local1: u32,
    /// Local Data Part 2.
    pub local2: u32,
}

/// An attribute that this speaker does not know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownAttribute {
    /// Attribute flags as sent; the Partial bit is set when it is passed on.
    pub flags: u8,
    /// Attribute type code.
    pub code: u8,
    /// Its value.
    pub value: Bytes,
}

impl AttributeBytes {
    /// The same set with octets of its own, so that it does not hold the buffer of a whole message in memory.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// The attributes as values.
    pub fn parse(&self) -> PathAttributes {
        PathAttributes::default()
    }
}

impl PathAttributes {
    /// The attributes as octets, sorted by type code.
    pub fn to_bytes(&self) -> AttributeBytes {
        AttributeBytes(Bytes::new())
    }
}

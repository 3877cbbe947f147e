//! A set of path attributes: as checked octets and as values.
//!
//! Owns both types and the road from octets to values; the road back is `write`. Octets get checked by `scan` only.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use bytes::Bytes;

use super::aggregator::Aggregator;
use super::aigp;
use super::as_path::{AsPath, Width};
use super::communities::LargeCommunity;
use super::header::{self, RawAttribute, flags};
use super::origin::Origin;
use super::{Class, rule};
use crate::asn::Asn;
use crate::iana::attribute as code;

/// A checked attribute set as octets, in canonical form: no MP_REACH_NLRI, MP_UNREACH_NLRI or NEXT_HOP, four-octet
/// AS_PATH with AS4_PATH merged (RFC 6793 section 4.2.3), discarded attributes gone, type codes in ascending order, no flag
/// set that means nothing. Equal octets mean equal attributes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttributeBytes(Bytes);

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
    /// Type codes of optional transitive attributes among those above that came with Partial: somebody on the way did not
    /// know them, and that is never taken back (RFC 4271 section 5). In ascending order.
    pub partial: Vec<u8>,
}

/// An attribute that this speaker does not know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownAttribute {
    /// Attribute flags, as far as they mean something; the Partial bit is set when it is passed on.
    pub flags: u8,
    /// Attribute type code.
    pub code: u8,
    /// Its value.
    pub value: Bytes,
}

impl AttributeBytes {
    pub(super) fn new(octets: Bytes) -> Self {
        Self(octets)
    }

    /// The octets, each attribute with its header.
    pub fn octets(&self) -> &Bytes {
        &self.0
    }

    /// The set, borrowed.
    pub fn as_slice(&self) -> AttributeSlice<'_> {
        AttributeSlice(&self.0)
    }

    /// The attributes as values.
    pub fn parse(&self) -> PathAttributes {
        self.as_slice().parse()
    }
}

/// [`AttributeBytes`] borrowed, from whoever holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttributeSlice<'a>(&'a [u8]);

impl<'a> AttributeSlice<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// What [`AttributeSlice::octets`] gave, from wherever it was kept. Other octets are a set as well, of what of them can
    /// be read as attributes.
    pub fn of_octets(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// The octets, each attribute with its header.
    pub fn octets(self) -> &'a [u8] {
        self.0
    }

    /// The same set in memory of its own, so that it does not keep the buffer of a whole message.
    pub fn to_stored(self) -> StoredAttributes {
        StoredAttributes(self.0.into())
    }

    /// Each attribute as octets, in the order of the set.
    pub fn iter(self) -> impl Iterator<Item = RawAttribute<'a>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (after, attribute) = header::attribute(rest).ok()?;
            rest = after;
            Some(attribute)
        })
    }

    /// The attributes as values.
    pub fn parse(self) -> PathAttributes {
        let mut attributes = PathAttributes::default();
        self.iter().for_each(|attribute| attributes.fill(&attribute));
        attributes.partial.sort_unstable();
        attributes
    }
}

/// [`AttributeBytes`] for keeping: no larger than they have to be, and shared with nobody.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredAttributes(Box<[u8]>);

impl StoredAttributes {
    /// The set, borrowed.
    pub fn as_slice(&self) -> AttributeSlice<'_> {
        AttributeSlice(&self.0)
    }
}

impl PathAttributes {
    fn fill(&mut self, attribute: &RawAttribute<'_>) {
        let value = attribute.value;
        let known = rule(attribute.code).is_some_and(|rule| rule.class == Class::OptionalTransitive);
        if known && attribute.flags & flags::PARTIAL != 0 {
            self.partial.push(attribute.code);
        }
        match attribute.code {
            code::ORIGIN => self.origin = one(value).and_then(Origin::from_octet).unwrap_or_default(),
            code::AS_PATH => self.as_path = AsPath::decode(value, Width::Four),
            code::MED => self.med = number(value),
            code::LOCAL_PREF => self.local_pref = number(value),
            code::ATOMIC_AGGREGATE => self.atomic_aggregate = true,
            code::AGGREGATOR => self.aggregator = Aggregator::decode(value),
            code::COMMUNITIES => self.communities = list(value, u32::from_be_bytes),
            code::ORIGINATOR_ID => self.originator_id = number(value).map(Ipv4Addr::from),
            code::CLUSTER_LIST => self.cluster_list = list(value, <Ipv4Addr as From<[u8; 4]>>::from),
            code::EXTENDED_COMMUNITIES => self.extended_communities = list(value, |octets| octets),
            code::IPV6_EXTENDED_COMMUNITIES => self.ipv6_extended_communities = list(value, |octets| octets),
            code::AIGP => self.aigp = aigp::decode(value),
            code::LARGE_COMMUNITY => {
                self.large_communities = distinct(list(value, LargeCommunity::from_octets));
            }
            code::OTC => self.otc = number(value).map(Asn),
            _ => self.unknown.push(UnknownAttribute {
                flags: attribute.flags,
                code: attribute.code,
                value: Bytes::copy_from_slice(value),
            }),
        }
    }
}

fn one(value: &[u8]) -> Option<u8> {
    value.first().copied()
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|octets| u32::from_be_bytes(*octets))
}

fn list<const N: usize, T>(value: &[u8], make: impl Fn([u8; N]) -> T) -> Vec<T> {
    value.as_chunks().0.iter().map(|octets| make(*octets)).collect()
}

/// A large community that occurs again says nothing new and is not passed on, RFC 8092 section 3.
fn distinct(mut communities: Vec<LargeCommunity>) -> Vec<LargeCommunity> {
    if communities.len() > 1 {
        let mut seen = HashSet::with_capacity(communities.len());
        communities.retain(|community| seen.insert(*community));
    }
    communities
}

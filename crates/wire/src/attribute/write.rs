//! Path attributes from values to octets.
//!
//! Owns the order, by type code as RFC 4271 section 5 asks for, and what a peer of two-octet AS numbers gets instead.
//! Whatever makes an [`AttributeBytes`] has it in that order, so that what is passed on is in order where it is copied.

use std::net::Ipv4Addr;

use bytes::{BufMut, BytesMut};
use smallvec::SmallVec;

use super::aggregator::Aggregator;
use super::as_path::{AsPath, Width};
use super::header::{self, RawAttribute, flags};
use super::set::{AttributeBytes, AttributeSlice, PathAttributes, UnknownAttribute};
use super::{aigp, as4};
use crate::asn::Asn;
use crate::iana::attribute as code;

const WELL_KNOWN: u8 = flags::TRANSITIVE;
const NON_TRANSITIVE: u8 = flags::OPTIONAL;
const TRANSITIVE: u8 = flags::OPTIONAL | flags::TRANSITIVE;

/// For whom attributes are written.
#[derive(Clone, Copy)]
pub(crate) enum Reader {
    /// For us, as [`AttributeBytes`].
    Ourselves,
    /// For a peer: unknown attributes that are not transitive stay here, the others get Partial.
    Peer { four_octet_as: bool, next_hop: Option<Ipv4Addr> },
}

impl PathAttributes {
    /// The attributes as octets, sorted by type code.
    pub fn to_bytes(&self) -> AttributeBytes {
        let mut out = BytesMut::with_capacity(128);
        self.put(&mut out, Reader::Ourselves);
        AttributeBytes::new(out.freeze())
    }

    /// Appends the attributes as `reader` is to get them.
    pub(crate) fn put(&self, out: &mut BytesMut, reader: Reader) {
        let (width, next_hop) = match reader {
            Reader::Ourselves => (Width::Four, None),
            Reader::Peer { four_octet_as: true, next_hop } => (Width::Four, next_hop),
            Reader::Peer { four_octet_as: false, next_hop } => (Width::Two, next_hop),
        };
        let start = out.len();
        header::put(out, WELL_KNOWN, code::ORIGIN, 1);
        out.put_u8(self.origin.octet());
        put_path(out, WELL_KNOWN, code::AS_PATH, &self.as_path, width);
        put_number(out, WELL_KNOWN, code::NEXT_HOP, next_hop.map(u32::from));
        put_number(out, NON_TRANSITIVE, code::MED, self.med);
        put_number(out, WELL_KNOWN, code::LOCAL_PREF, self.local_pref);
        if self.atomic_aggregate {
            header::put(out, WELL_KNOWN, code::ATOMIC_AGGREGATE, 0);
        }
        if let Some(aggregator) = self.aggregator {
            put_aggregator(out, self.transitive(code::AGGREGATOR), aggregator, width);
        }
        put_list(
            out,
            self.transitive(code::COMMUNITIES),
            code::COMMUNITIES,
            self.communities.iter().map(|c| c.to_be_bytes()),
        );
        self.put_reflection(out);
        let extended = self.extended_communities.iter().copied();
        put_list(out, self.transitive(code::EXTENDED_COMMUNITIES), code::EXTENDED_COMMUNITIES, extended);
        if width == Width::Two {
            self.put_as4(out);
        }
        let ipv6 = self.ipv6_extended_communities.iter().copied();
        let flags = self.transitive(code::IPV6_EXTENDED_COMMUNITIES);
        put_list(out, flags, code::IPV6_EXTENDED_COMMUNITIES, ipv6);
        self.put_aigp(out);
        let large = self.large_communities.iter().flat_map(|c| [c.global, c.local1, c.local2]);
        let flags = self.transitive(code::LARGE_COMMUNITY);
        put_list(out, flags, code::LARGE_COMMUNITY, large.map(u32::to_be_bytes));
        put_number(out, self.transitive(code::OTC), code::OTC, self.otc.map(|asn| asn.0));
        if !self.unknown.is_empty() {
            self.unknown.iter().for_each(|attribute| put_unknown(out, attribute, reader));
            let unordered = out.split_off(start);
            out.put(in_order(&unordered));
        }
    }

    /// Flags of an optional transitive attribute: Partial stays where somebody has set it.
    fn transitive(&self, code: u8) -> u8 {
        if self.partial.contains(&code) { TRANSITIVE | flags::PARTIAL } else { TRANSITIVE }
    }

    fn put_reflection(&self, out: &mut BytesMut) {
        put_number(out, NON_TRANSITIVE, code::ORIGINATOR_ID, self.originator_id.map(u32::from));
        put_list(out, NON_TRANSITIVE, code::CLUSTER_LIST, self.cluster_list.iter().map(Ipv4Addr::octets));
    }

    fn put_as4(&self, out: &mut BytesMut) {
        if let Some(path) = as4::split_path(&self.as_path) {
            put_path(out, TRANSITIVE, code::AS4_PATH, &path, Width::Four);
        }
        // "the AS4_AGGREGATOR attribute ... only if the AS number in AGGREGATOR cannot be represented by two octets".
        if let Some(aggregator) = self.aggregator.filter(|a| u16::try_from(a.asn.0).is_err()) {
            header::put(out, TRANSITIVE, code::AS4_AGGREGATOR, 8);
            out.put_u32(aggregator.asn.0);
            out.put_slice(&aggregator.router.octets());
        }
    }

    fn put_aigp(&self, out: &mut BytesMut) {
        if let Some(metric) = self.aigp {
            header::put(out, NON_TRANSITIVE, code::AIGP, usize::from(aigp::LENGTH));
            out.put_u8(aigp::TYPE);
            out.put_u16(aigp::LENGTH);
            out.put_u64(metric);
        }
    }
}

impl AttributeSlice<'_> {
    /// The same as [`PathAttributes::put`] of what these octets say. They are copied where the reader takes them as they
    /// are, without making values of them: a table is announced once for each peer.
    pub(crate) fn put(self, out: &mut BytesMut, reader: Reader) {
        let Reader::Peer { four_octet_as: true, mut next_hop } = reader else {
            return self.parse().put(out, reader);
        };
        for attribute in self.iter() {
            if attribute.code > code::NEXT_HOP {
                put_number(out, WELL_KNOWN, code::NEXT_HOP, next_hop.take().map(u32::from));
            }
            if is_known(attribute.code) {
                out.put_slice(attribute.octets);
            } else if attribute.flags & flags::TRANSITIVE != 0 {
                header::put(out, attribute.flags | flags::PARTIAL, attribute.code, attribute.value.len());
                out.put_slice(attribute.value);
            }
        }
        put_number(out, WELL_KNOWN, code::NEXT_HOP, next_hop.map(u32::from));
    }
}

/// An attribute set that is put together attribute by attribute, in a buffer that is used again. What goes in comes from
/// checked sets, so that what comes out is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeBuffer(BytesMut);

impl AttributeBuffer {
    /// Forgets what is in it, and keeps the room.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The set so far.
    pub fn as_slice(&self) -> AttributeSlice<'_> {
        AttributeSlice::new(&self.0)
    }

    /// Adds an attribute as it is.
    pub fn copy(&mut self, attribute: &RawAttribute<'_>) {
        self.0.put_slice(attribute.octets);
    }

    /// Adds all attributes of a set as they are.
    pub fn copy_all(&mut self, set: AttributeSlice<'_>) {
        self.0.put_slice(set.octets());
    }

    /// Adds all attributes of a set, in order of their codes.
    pub fn put(&mut self, attributes: &PathAttributes) {
        attributes.put(&mut self.0, Reader::Ourselves);
    }

    /// Adds LOCAL_PREF.
    pub fn put_local_pref(&mut self, preference: u32) {
        put_number(&mut self.0, WELL_KNOWN, code::LOCAL_PREF, Some(preference));
    }

    /// Adds an AS_PATH, which was `value`, with `asn` in front: RFC 4271 section 5.1.2 b), as [`AsPath::prepend`] does.
    pub fn put_path_behind(&mut self, asn: Asn, value: &[u8]) {
        const SEQUENCE: u8 = 2;
        let (numbers, rest) = match value {
            [SEQUENCE, count @ ..=254, rest @ ..] => (*count + 1, rest),
            _ => (1, value),
        };
        let length = rest.len().saturating_add(6);
        header::put(&mut self.0, WELL_KNOWN, code::AS_PATH, length);
        self.0.put_slice(&[SEQUENCE, numbers]);
        self.0.put_u32(asn.0);
        self.0.put_slice(rest);
    }
}

/// Whether [`PathAttributes`] has a field for it.
fn is_known(code: u8) -> bool {
    matches!(
        code,
        code::ORIGIN
            | code::AS_PATH
            | code::MED
            | code::LOCAL_PREF
            | code::ATOMIC_AGGREGATE
            | code::AGGREGATOR
            | code::COMMUNITIES
            | code::ORIGINATOR_ID
            | code::CLUSTER_LIST
            | code::EXTENDED_COMMUNITIES
            | code::IPV6_EXTENDED_COMMUNITIES
            | code::AIGP
            | code::LARGE_COMMUNITY
            | code::OTC
    )
}

fn put_path(out: &mut BytesMut, flags: u8, code: u8, path: &AsPath, width: Width) {
    header::put(out, flags, code, path.encoded_len(width));
    path.put(out, width);
}

fn put_number(out: &mut BytesMut, flags: u8, code: u8, number: Option<u32>) {
    if let Some(number) = number {
        header::put(out, flags, code, 4);
        out.put_u32(number);
    }
}

fn put_aggregator(out: &mut BytesMut, flags: u8, aggregator: Aggregator, width: Width) {
    match width {
        Width::Two => {
            header::put(out, flags, code::AGGREGATOR, 6);
            out.put_u16(aggregator.asn.two_octets());
        }
        Width::Four => {
            header::put(out, flags, code::AGGREGATOR, 8);
            out.put_u32(aggregator.asn.0);
        }
    }
    out.put_slice(&aggregator.router.octets());
}

/// Appends a list, or nothing where it is empty: RFC 7606 takes an empty list for malformed.
fn put_list<const N: usize>(
    out: &mut BytesMut,
    flags: u8,
    code: u8,
    items: impl Iterator<Item = [u8; N]> + Clone,
) {
    let count = items.clone().count();
    if count > 0 {
        header::put(out, flags, code, count.saturating_mul(N));
        items.for_each(|item| out.put_slice(&item));
    }
}

fn put_unknown(out: &mut BytesMut, attribute: &UnknownAttribute, reader: Reader) {
    let flags = match reader {
        Reader::Ourselves => attribute.flags,
        // "If an optional transitive attribute is unrecognized, the Partial bit ... is set to 1, and the attribute is
        // retained for propagation". RFC 4271 section 5.
        Reader::Peer { .. } if attribute.flags & flags::TRANSITIVE != 0 => attribute.flags | flags::PARTIAL,
        Reader::Peer { .. } => return,
    };
    header::put(out, flags, attribute.code, attribute.value.len());
    out.put_slice(&attribute.value);
}

/// The attributes of a list in ascending order of their codes, each with those of its flags that mean something.
pub(super) fn in_order(list: &[u8]) -> BytesMut {
    let mut attributes: SmallVec<[_; 16]> = AttributeSlice::new(list).iter().collect();
    attributes.sort_unstable_by_key(|attribute| attribute.code);
    let mut out = BytesMut::with_capacity(list.len());
    for RawAttribute { flags, code, value, .. } in attributes {
        header::put(&mut out, header::meant(flags), code, value.len());
        out.put_slice(value);
    }
    out
}

/// The attributes that the merge of RFC 6793 section 4.2.3 writes anew.
pub(super) fn put_merged(out: &mut BytesMut, path: &AsPath, aggregator: Option<(u8, Aggregator)>) {
    put_path(out, WELL_KNOWN, code::AS_PATH, path, Width::Four);
    if let Some((partial, aggregator)) = aggregator {
        put_aggregator(out, TRANSITIVE | partial & flags::PARTIAL, aggregator, Width::Four);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    fn codes(mut octets: &[u8]) -> Vec<u8> {
        let mut codes = Vec::new();
        while let Ok((rest, attribute)) = header::attribute(octets) {
            codes.push(attribute.code);
            octets = rest;
        }
        codes
    }

    proptest! {
        #[test]
        fn values_survive_octets(attributes in testing::attributes()) {
            let octets = attributes.to_bytes();
            prop_assert_eq!(octets.parse().to_bytes(), octets.clone());
            prop_assert!(codes(octets.octets()).is_sorted_by(|a, b| a < b));
            let mut again = octets.as_slice().to_stored().as_slice().parse();
            // Sequences of more than 255 numbers come back in parts.
            prop_assert_eq!(again.as_path.to_string(), attributes.as_path.to_string());
            again.as_path = attributes.as_path.clone();
            prop_assert_eq!(again, attributes);
        }
    }

    proptest! {
        #[test]
        fn octets_are_written_as_their_values_are(
            attributes in testing::attributes(),
            four_octet_as: bool,
            next_hop in proptest::option::of(any::<Ipv4Addr>()),
        ) {
            let octets = attributes.to_bytes();
            for reader in [Reader::Ourselves, Reader::Peer { four_octet_as, next_hop }] {
                let (mut copied, mut made) = (BytesMut::new(), BytesMut::new());
                octets.as_slice().put(&mut copied, reader);
                octets.parse().put(&mut made, reader);
                prop_assert_eq!(copied, made);
            }
        }
    }

    proptest! {
        #[test]
        fn a_path_gets_a_number_in_front_as_its_value_does(attributes in testing::attributes(), asn: u32) {
            let octets = attributes.to_bytes();
            let mut buffer = AttributeBuffer::default();
            for attribute in octets.as_slice().iter() {
                if attribute.code == code::AS_PATH {
                    buffer.put_path_behind(Asn(asn), attribute.value);
                } else {
                    buffer.copy(&attribute);
                }
            }
            let mut expected = octets.parse();
            expected.as_path.prepend(Asn(asn));
            prop_assert_eq!(buffer.as_slice().parse(), expected);
        }
    }

    #[test]
    fn a_peer_gets_transitive_unknown_attributes_as_partial_and_no_others() {
        let unknown = |flags, code| UnknownAttribute { flags, code, value: vec![1].into() };
        let attributes = PathAttributes {
            unknown: vec![unknown(0xc0, 99), unknown(0x80, 100)],
            ..PathAttributes::default()
        };
        let mut out = BytesMut::new();
        attributes.put(&mut out, Reader::Peer { four_octet_as: true, next_hop: None });
        assert_eq!(out[..], [0x40, 1, 1, 0, 0x40, 2, 0, 0xe0, 99, 1, 1]);
        assert_eq!(codes(attributes.to_bytes().octets()), [1, 2, 99, 100]);
    }
}

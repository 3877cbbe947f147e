//! Communities of all four kinds: RFC 1997, RFC 4360, RFC 5701, RFC 8092.
//!
//! Owns their lengths and the text form of a large one. What a community asks for is policy.

use std::fmt;

use crate::context::DecodeContext;

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

impl LargeCommunity {
    /// Octets of one.
    pub const LEN: usize = 12;

    pub(super) fn from_octets(octets: [u8; 12]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = octets;
        Self {
            global: u32::from_be_bytes([a, b, c, d]),
            local1: u32::from_be_bytes([e, f, g, h]),
            local2: u32::from_be_bytes([i, j, k, l]),
        }
    }
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

/// The link bandwidth that an extended community tells, in octets a second: draft-ietf-idr-link-bandwidth section 2, of
/// both forms, transitive and not. `None` for other communities, and for what is no positive number.
pub fn link_bandwidth(community: [u8; 8]) -> Option<f32> {
    const TWO_OCTET_AS: u8 = 0x00;
    const NON_TRANSITIVE: u8 = 0x40;
    const LINK_BANDWIDTH: u8 = 0x04;
    match community {
        [TWO_OCTET_AS | NON_TRANSITIVE, LINK_BANDWIDTH, _, _, a, b, c, d] => {
            let bandwidth = f32::from_be_bytes([a, b, c, d]);
            (bandwidth.is_finite() && bandwidth > 0.0).then_some(bandwidth)
        }
        _ => None,
    }
}

/// RFC 7606 section 7.8.
pub(super) fn check(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    multiple_of(4, value).ok_or("COMMUNITIES has not a non-zero multiple of 4 octets")
}

/// RFC 7606 section 7.14.
pub(super) fn check_extended(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    multiple_of(8, value).ok_or("EXTENDED COMMUNITIES has not a non-zero multiple of 8 octets")
}

/// RFC 7606 section 7.15.
pub(super) fn check_ipv6_extended(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    multiple_of(20, value).ok_or("IPv6 EXTENDED COMMUNITIES has not a non-zero multiple of 20 octets")
}

/// RFC 8092 section 6.
pub(super) fn check_large(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    multiple_of(12, value).ok_or("LARGE_COMMUNITY has not a non-zero multiple of 12 octets")
}

fn multiple_of(unit: usize, value: &[u8]) -> Option<()> {
    (!value.is_empty() && value.len().is_multiple_of(unit)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8092 section 5.
    #[test]
    fn a_large_community_reads_as_three_numbers() {
        let community = LargeCommunity { global: u32::MAX, local1: 0, local2: 7 };
        assert_eq!(community.to_string(), "4294967295:0:7");
    }

    #[test]
    fn both_forms_of_link_bandwidth_are_read_and_nonsense_is_not() {
        let of = |kind, subtype, value: f32| {
            let [a, b, c, d] = value.to_be_bytes();
            link_bandwidth([kind, subtype, 0xfc, 0x01, a, b, c, d])
        };
        assert_eq!(of(0x40, 4, 1.25e9), Some(1.25e9));
        assert_eq!(of(0x00, 4, 125_000.0), Some(125_000.0));
        for (kind, subtype) in [(0x01, 4), (0x40, 2), (0x41, 4)] {
            assert_eq!(of(kind, subtype, 1.0), None);
        }
        for value in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert_eq!(of(0x40, 4, value), None);
        }
    }
}

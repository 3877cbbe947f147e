//! Tests of OPEN: faults in the order of the fields, both kinds of optional parameters, round trips.

use proptest::prelude::*;

use super::*;
use crate::testing;

fn decode(octets: &[u8]) -> Result<Open, OpenFault> {
    Open::decode(&Bytes::copy_from_slice(octets))
}

/// Version 4, AS 65001, hold time 90, identifier 10.0.0.1, then `rest`.
fn with(rest: &[u8]) -> Result<Open, OpenFault> {
    decode(&[&[4, 0xfd, 0xe9, 0, 90, 10, 0, 0, 1], rest].concat())
}

#[test]
fn faults_come_in_the_order_of_the_fields() {
    let fault = |octets: &[u8]| decode(octets).unwrap_err();
    assert_eq!(fault(&[5, 0, 0, 0, 1, 0, 0, 0, 0, 9]), OpenFault::Version(5));
    assert_eq!(fault(&[4, 0, 0, 0, 1, 0, 0, 0, 0, 9]), OpenFault::ZeroAs);
    assert_eq!(fault(&[4, 0, 1, 0, 1, 0, 0, 0, 0, 9]), OpenFault::HoldTime(1));
    assert_eq!(fault(&[4, 0, 1, 0, 2, 0, 0, 0, 0, 9]), OpenFault::HoldTime(2));
    assert_eq!(fault(&[4, 0, 1, 0, 3, 0, 0, 0, 0, 9]), OpenFault::RouterId);
    assert!(matches!(fault(&[4, 0, 1, 0, 0, 0, 0, 0, 1, 9]), OpenFault::Malformed(_)));
    assert!(matches!(fault(&[4, 0, 1]), OpenFault::Malformed(_)));
}

/// RFC 6286 section 2.1: four octets that are no address of anybody.
#[test]
fn any_number_but_zero_is_an_identifier() {
    let of = |identifier: u32| {
        let octets = [&[4, 0xfd, 0xe9, 0, 90][..], &identifier.to_be_bytes(), &[0]].concat();
        decode(&octets).map(|open| open.router_id.bits())
    };
    for identifier in [1, 0x7f00_0001, 0xe000_0001, u32::MAX] {
        assert_eq!(of(identifier), Ok(identifier));
    }
    assert_eq!(of(0), Err(OpenFault::RouterId));
}

#[test]
fn parameters_and_capabilities_fit_into_their_lengths() {
    for bad in [
        &[][..],
        &[1],
        &[2, 2],
        &[0, 0],
        &[2, 2, 1],
        &[4, 2, 2, 2, 1],
        &[3, 2, 1, 2],
        &[255, 255, 0],
        &[255, 255, 0, 9, 2, 0, 0],
        &[255, 255, 0, 1, 2],
        &[1, 255],
    ] {
        assert!(matches!(with(bad), Err(OpenFault::Malformed(_))), "{bad:?}");
    }
    assert_eq!(with(&[2, 1, 0]), Err(OpenFault::OptionalParameter(1)));
    assert_eq!(with(&[0]).unwrap().capabilities, []);
}

#[test]
fn the_four_octet_number_is_the_senders() {
    let open = with(&[8, 2, 6, 65, 4, 0, 1, 0, 0]).unwrap();
    assert_eq!(open.asn, Asn(65536));
    assert_eq!(with(&[8, 2, 6, 65, 4, 0, 0, 0, 0]), Err(OpenFault::ZeroAs));
    assert_eq!(open.encode()[20..22], [0x5b, 0xa0], "AS_TRANS, RFC 6793 section 4.2.1");
    let odd = with(&[4, 2, 2, 65, 0]).unwrap();
    assert_eq!(odd.asn, Asn(65001), "a capability that does not parse says nothing");
    assert_eq!(odd.capabilities, [Capability::Unknown { code: 65, value: Bytes::new() }]);
}

#[test]
fn extended_parameters_are_read_whatever_the_length_before_them() {
    for length in [1, 254, 255] {
        let open = with(&[length, 255, 0, 5, 2, 0, 2, 2, 0]).unwrap();
        assert_eq!(open.capabilities, [Capability::RouteRefresh]);
    }
    let several = with(&[8, 2, 2, 2, 0, 2, 2, 70, 0]).unwrap();
    assert_eq!(several.capabilities, [Capability::RouteRefresh, Capability::EnhancedRouteRefresh]);
    let together = with(&[6, 2, 4, 2, 0, 70, 0]).unwrap();
    assert_eq!(together.capabilities, several.capabilities, "in one parameter or in two");
    let late = [[6, 2, 2, 2, 0, 255, 0].as_slice(), &[255, 255, 0, 8, 2, 0, 2, 2, 0, 255, 0, 0]];
    for bytes in late {
        assert_eq!(with(bytes), Err(OpenFault::OptionalParameter(255)), "RFC 9072 section 3");
    }
}

/// RFC 9072 section 2: both octets before the long form are 255.
#[test]
fn the_long_form_is_for_what_the_short_one_does_not_hold() {
    let open = |count| {
        let capability = Capability::Unknown { code: 200, value: vec![7; 40].into() };
        let capabilities = vec![capability; count];
        Open { capabilities, ..with(&[0]).unwrap() }
    };
    for (count, start) in [(1, &[44, 2, 42][..]), (6, &[254, 2, 252]), (7, &[255, 255, 1, 41, 2, 1, 38])] {
        let encoded = open(count).encode();
        assert_eq!(encoded[28..28 + start.len()], *start, "{count} capabilities");
        assert_eq!(Open::decode(&encoded.slice(19..)), Ok(open(count)));
    }
}

proptest! {
    #[test]
    fn round_trip(open in testing::open()) {
        let encoded = open.encode();
        prop_assert_eq!(usize::from(u16::from_be_bytes([encoded[16], encoded[17]])), encoded.len());
        prop_assert_eq!(Open::decode(&encoded.slice(19..)), Ok(open));
    }

    #[test]
    fn no_octets_do_harm(octets in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(open) = with(&octets) {
            let again = decode(&open.encode()[19..]).unwrap();
            prop_assert_eq!(again.capabilities.len(), open.capabilities.len());
        }
    }
}

//! Tests of decoding: each fault and its cost, by peer; what outweighs what; what stays a view.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::attribute::{Class, LargeCommunity, Origin, TABLE};
use crate::context::PeerKind;

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 10, 0, 0, 2];
const NLRI: &[u8] = &[24, 192, 0, 2];
const REACH: &[u8] =
    &[0x80, 14, 23, 0, 2, 1, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 8, 0x20];
/// Octets of its NLRI.
const NLRI_OF_REACH: usize = 2;
const UNREACH: &[u8] = &[0x80, 15, 5, 0, 2, 1, 8, 0x30];

fn body(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Bytes {
    let attributes = attributes.concat();
    let length = |octets: &[u8]| u16::try_from(octets.len()).unwrap().to_be_bytes();
    [&length(withdrawn)[..], withdrawn, &length(&attributes), &attributes, nlri].concat().into()
}

fn from(peer: PeerKind) -> DecodeContext {
    DecodeContext { peer, ..DecodeContext::default() }
}

fn external(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Result<Update, UpdateFault> {
    decode(&body(withdrawn, attributes, nlri), &from(PeerKind::External))
}

/// The route of [`NLRI`] with one more attribute: what that attribute costs.
fn cost(attribute: &[u8], peer: PeerKind) -> Option<Remedy> {
    match decode(&body(&[], &[ORIGIN, AS_PATH, NEXT_HOP, attribute], NLRI), &from(peer)) {
        Err(_) => Some(Remedy::ResetSession),
        Ok(update) => {
            let cost = update.faults.iter().map(|fault| fault.remedy).max();
            let withdrawn = cost >= Some(Remedy::TreatAsWithdraw);
            assert_eq!(
                (update.withdrawn.len(), update.announced.len()),
                (usize::from(withdrawn), usize::from(!withdrawn))
            );
            assert_eq!(update.attributes.is_some(), !withdrawn);
            let nlri =
                update.withdrawn.iter().chain(update.announced.iter().map(|announced| &announced.nlri));
            assert!(nlri.map(|nlri| &nlri.octets()[..]).eq([NLRI]), "RFC 7606 section 4: where they begin");
            if cost == Some(Remedy::DiscardAttribute) {
                assert_eq!(update.attributes.unwrap().octets()[..], [ORIGIN, AS_PATH].concat(), "discarded");
            }
            cost
        }
    }
}

/// Attribute, its cost from an external peer, from an internal one, the clause.
type Case = (&'static [u8], Option<Remedy>, Option<Remedy>, &'static str);

#[test]
fn each_fault_costs_what_its_clause_says() {
    use Remedy::{DiscardAttribute as Discard, ResetSession as Reset, TreatAsWithdraw as Withdraw};
    let table: [Case; 40] = [
        (&[0x80, 4, 3, 0, 0, 1], Some(Withdraw), Some(Withdraw), "RFC 7606 section 7.4"),
        (&[0x40, 5, 3, 0, 0, 1], Some(Discard), Some(Withdraw), "RFC 7606 section 7.5"),
        (&[0x40, 5, 4, 0, 0, 0, 1], None, None, "RFC 7606 section 7.5, well formed"),
        (&[0x40, 6, 1, 0], Some(Discard), Some(Discard), "RFC 7606 section 7.6"),
        (&[0xc0, 7, 6, 0, 1, 1, 2, 3, 4], Some(Discard), Some(Discard), "RFC 7606 section 7.7"),
        (&[0xc0, 7, 8, 0, 0, 0, 0, 1, 2, 3, 4], Some(Discard), Some(Discard), "RFC 7607 section 2"),
        (&[0xc0, 8, 0], Some(Withdraw), Some(Withdraw), "RFC 7606 section 7.8"),
        (&[0xc0, 8, 3, 0, 0, 1], Some(Withdraw), Some(Withdraw), "RFC 7606 section 7.8"),
        (&[0x80, 9, 3, 0, 0, 1], Some(Discard), Some(Withdraw), "RFC 7606 section 7.9"),
        (&[0x80, 10, 0], Some(Discard), Some(Withdraw), "RFC 7606 section 7.10"),
        (&[0x80, 10, 5, 1, 2, 3, 4, 5], Some(Discard), Some(Withdraw), "RFC 7606 section 7.10"),
        (&[0x80, 14, 4, 0, 2, 1, 16], Some(Reset), Some(Reset), "RFC 7606 section 7.11"),
        (&[0x80, 14, 9, 0, 2, 1, 4, 1, 2, 3, 4, 0], Some(Reset), Some(Reset), "RFC 7606 section 7.11"),
        (&[0x80, 14, 3, 0, 2, 1], Some(Reset), Some(Reset), "RFC 7606 section 7.11"),
        (&[0x80, 15, 2, 0, 2], Some(Reset), Some(Reset), "RFC 7606 section 7.12"),
        (&[0x80, 15, 4, 0, 2, 1, 129], Some(Reset), Some(Reset), "RFC 7606 section 5.3"),
        (&[0x80, 15, 5, 0, 2, 1, 16, 1], Some(Reset), Some(Reset), "RFC 7606 section 5.3"),
        (&[0xc0, 16, 4, 0, 0, 0, 1], Some(Withdraw), Some(Withdraw), "RFC 7606 section 7.14"),
        (&[0xc0, 16, 0], Some(Withdraw), Some(Withdraw), "RFC 7606 section 7.14"),
        (&[0xc0, 17, 0], Some(Discard), Some(Discard), "RFC 6793 section 6, too short for one AS number"),
        (&[0xc0, 17, 3, 2, 1, 0], Some(Discard), Some(Discard), "RFC 6793 section 6"),
        (&[0xc0, 17, 6, 2, 1, 0, 0, 0, 9], None, None, "RFC 6793 section 4.1, well formed"),
        (&[0xc0, 18, 6, 0, 1, 1, 2, 3, 4], Some(Discard), Some(Discard), "RFC 6793 section 6"),
        (&[0xc0, 25, 8, 0, 0, 0, 0, 0, 0, 0, 0], Some(Withdraw), Some(Withdraw), "RFC 7606 section 7.15"),
        (&[0xc0, 25, 0], Some(Withdraw), Some(Withdraw), "RFC 7606 section 7.15"),
        (&[0x80, 26, 3, 1, 0, 11], Some(Discard), Some(Discard), "RFC 7311 section 3"),
        (
            &[0xc0, 26, 11, 1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 1],
            Some(Discard),
            Some(Discard),
            "RFC 7311 section 3",
        ),
        (&[0xc0, 32, 4, 0, 0, 0, 1], Some(Withdraw), Some(Withdraw), "RFC 8092 section 6"),
        (&[0xc0, 32, 0], Some(Withdraw), Some(Withdraw), "RFC 8092 section 6"),
        (&[0xc0, 35, 3, 0, 0, 1], Some(Withdraw), Some(Withdraw), "RFC 9234 section 5"),
        (&[0xc0, 4, 4, 0, 0, 0, 1], Some(Withdraw), Some(Withdraw), "RFC 7606 section 3 (c)"),
        (&[0x80, 8, 4, 0, 0, 0, 1], Some(Withdraw), Some(Withdraw), "RFC 7606 section 3 (c)"),
        (&[0xc0, 5, 4, 0, 0, 0, 1], Some(Withdraw), Some(Withdraw), "RFC 7606 section 3 (c)"),
        (&[0x60, 6, 0], Some(Withdraw), Some(Withdraw), "RFC 4271 section 4.3, Partial"),
        (ORIGIN, Some(Discard), Some(Discard), "RFC 7606 section 3 (g)"),
        (&[0x40, 99, 0], Some(Reset), Some(Reset), "RFC 4271 section 6.3"),
        (&[0x80, 99, 0], None, None, "RFC 4271 section 5, not transitive"),
        (&[0xc0, 99, 1, 7], None, None, "RFC 4271 section 5, transitive"),
        (&[0x80, 4, 9, 1], Some(Withdraw), Some(Withdraw), "RFC 7606 section 4"),
        (&[0x80, 15, 9, 0], Some(Reset), Some(Reset), "RFC 7606 section 3 (j)"),
    ];
    for (attribute, external, internal, clause) in table {
        assert_eq!(cost(attribute, PeerKind::External), external, "external, {clause}: {attribute:?}");
        assert_eq!(cost(attribute, PeerKind::Internal), internal, "internal, {clause}: {attribute:?}");
    }
}

/// RFC 7606 section 7.5, 7.9 and 7.10, RFC 6793 section 4.1, RFC 7311 section 3.1: well formed, and still not for everybody.
#[test]
fn what_this_peer_may_not_send_is_gone() {
    let local_pref = &[0x40, 5, 4, 0, 0, 0, 1][..];
    let originator = &[0x80, 9, 4, 192, 0, 2, 1][..];
    let cluster_list = &[0x80, 10, 4, 192, 0, 2, 1][..];
    let as4_path = &[0xc0, 17, 6, 2, 1, 0, 0, 0xfd, 0xe9][..];
    let as4_aggregator = &[0xc0, 18, 8, 0, 0, 0xfd, 0xe9, 192, 0, 2, 1][..];
    let aigp = &[0x80, 26, 11, 1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 1][..];
    let optional = [local_pref, originator, cluster_list, as4_path, as4_aggregator, aigp];
    let message = body(&[], &[&[ORIGIN, AS_PATH, NEXT_HOP][..], &optional].concat(), NLRI);
    let left = |peer| decode(&message, &from(peer)).unwrap().attributes.unwrap().octets().to_vec();
    assert_eq!(left(PeerKind::External), [ORIGIN, AS_PATH].concat());
    let internal = [ORIGIN, AS_PATH, local_pref, originator, cluster_list, aigp].concat();
    assert_eq!(left(PeerKind::Internal), internal);
}

/// RFC 7606 section 4: of the attributes that are known, two alone may be without a value.
#[test]
fn an_attribute_that_is_known_has_a_value() {
    for rule in &TABLE {
        let flags = match rule.class {
            Class::WellKnown => 0x40,
            Class::OptionalNonTransitive => 0x80,
            Class::OptionalTransitive => 0xc0,
        };
        let empty = &[flags, rule.code, 0][..];
        let mut attributes = vec![ORIGIN, AS_PATH, NEXT_HOP];
        attributes.retain(|attribute| attribute[1] != rule.code);
        attributes.push(empty);
        let decoded = decode(&body(&[], &attributes, NLRI), &from(PeerKind::Internal));
        let is_good = decoded.is_ok_and(|update| update.faults.is_empty());
        assert_eq!(is_good, matches!(rule.code, code::AS_PATH | code::ATOMIC_AGGREGATE), "{}", rule.name);
    }
    assert_eq!(cost(&[0xc0, 99, 0], PeerKind::External), None, "nobody knows whether it may");
}

/// RFC 7606 section 7.1.
#[test]
fn origin_is_one_octet_of_0_to_2() {
    let is_good = |origin: &[u8]| {
        let update = external(&[], &[origin, AS_PATH, NEXT_HOP], NLRI).unwrap();
        assert_eq!(update.withdrawn.len() + update.announced.len(), 1);
        update.withdrawn.is_empty()
    };
    for value in 0..=u8::MAX {
        assert_eq!(is_good(&[0x40, 1, 1, value]), value <= 2, "{value}");
    }
    assert!(!is_good(&[0x40, 1, 0]) && !is_good(&[0x40, 1, 2, 0, 0]));
}

/// RFC 7606 section 7.7.
#[test]
fn an_aggregator_is_as_long_as_the_numbers_that_were_agreed_on() {
    let two = (&[0x40, 2, 4, 2, 1, 0xfd, 0xe9][..], &[0xc0, 7, 6, 0, 9, 10, 0, 0, 1][..]);
    let four = (AS_PATH, &[0xc0, 7, 8, 0, 0, 0, 9, 10, 0, 0, 1][..]);
    for (four_octet_as, (path, right), (_, wrong)) in [(false, two, four), (true, four, two)] {
        let cx = DecodeContext { four_octet_as, ..DecodeContext::default() };
        let of = |aggregator| {
            let update = decode(&body(&[], &[ORIGIN, path, NEXT_HOP, aggregator], NLRI), &cx).unwrap();
            (update.faults.len(), update.attributes.unwrap().parse().aggregator.map(|found| found.asn.0))
        };
        assert_eq!((of(right), of(wrong)), ((0, Some(9)), (1, None)), "four octets: {four_octet_as}");
    }
}

/// RFC 4271 section 5: Traffic Engineering (24) goes as any optional attribute that is not transitive, ATTR_SET (128) stays
/// as any that is, and so does a community of a type that nobody knows.
#[test]
fn what_is_not_known_stays_where_it_is_transitive() {
    let community = &[0xc0, 16, 8, 0x3f, 0x99, 1, 2, 3, 4, 5, 6][..];
    let traffic_engineering = &[0x80, 24, 4, 1, 2, 3, 4][..];
    let attr_set = &[0xc0, 128, 8, 0, 0, 0xfd, 0xe9, 0x40, 1, 1, 0][..];
    let attributes = [ORIGIN, AS_PATH, NEXT_HOP, community, traffic_engineering, attr_set];
    let update = external(&[], &attributes, NLRI).unwrap();
    assert_eq!(update.faults, []);
    assert_eq!(update.attributes.unwrap().octets()[..], [ORIGIN, AS_PATH, community, attr_set].concat());
}

/// RFC 7606 section 3 (g).
#[test]
fn of_what_occurs_again_the_first_counts() {
    let update = external(&[], &[ORIGIN, &[0x40, 1, 1, 2], AS_PATH, NEXT_HOP], NLRI).unwrap();
    assert_eq!((update.attributes.unwrap().parse().origin, update.faults.len()), (Origin::Igp, 1));
    for twice in [[REACH, ORIGIN, AS_PATH, REACH], [ORIGIN, AS_PATH, UNREACH, UNREACH]] {
        let fault = external(&[], &twice, &[]).unwrap_err();
        assert_eq!(fault.kind, UpdateFaultKind::MalformedAttributeList, "no prefix is certain");
    }
}

/// RFC 4760 section 3: beside MP_REACH_NLRI alone, a receiver "SHOULD ignore this attribute".
#[test]
fn next_hop_is_that_of_the_classic_field() {
    let with = |attributes: &[&[u8]], nlri| external(&[], attributes, nlri).unwrap();
    assert_eq!(with(&[REACH, ORIGIN, AS_PATH, NEXT_HOP], &[]), with(&[REACH, ORIGIN, AS_PATH], &[]));
    let both = with(&[REACH, ORIGIN, AS_PATH, NEXT_HOP], NLRI);
    let hops =
        both.announced.iter().map(|announced| (announced.nlri.family(), announced.next_hop.to_string()));
    let expected = [(Family::Ipv4Unicast, "10.0.0.2"), (Family::Ipv6Unicast, "2001:db8::1")];
    assert!(hops.eq(expected.map(|(family, hop)| (family, hop.to_owned()))), "{both:?}");
}

/// RFC 4271 section 4.3 and 5: what is passed on is in order, and has no flag that means nothing, however it came.
#[test]
fn a_set_is_in_order_and_has_only_flags_that_mean_something() {
    let odd: [&[u8]; 5] = [
        &[0xc3, 99, 1, 7],
        &[0xef, 8, 4, 0, 1, 0, 2],
        &[0x8f, 4, 4, 0, 0, 0, 1],
        &[0x48, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9],
        &[0x41, 1, 1, 0],
    ];
    let plain: [&[u8]; 3] = [&[0x80, 4, 4, 0, 0, 0, 1], &[0xe0, 8, 4, 0, 1, 0, 2], &[0xc0, 99, 1, 7]];
    let plain = [&[ORIGIN, AS_PATH][..], &plain].concat().concat();
    let mut attributes = [&[NEXT_HOP][..], &odd].concat();
    for _ in 0..attributes.len() {
        attributes.rotate_left(1);
        let set = external(&[], &attributes, NLRI).unwrap().attributes.unwrap();
        assert_eq!(set.octets()[..], plain, "{attributes:?}");
    }
    // Of short AS numbers, so that the AS_PATH is written anew.
    let cx = DecodeContext { four_octet_as: false, ..DecodeContext::default() };
    let short = [&[NEXT_HOP, odd[0], odd[1], odd[2], &[0x40, 2, 4, 2, 1, 0xfd, 0xe9], odd[4]][..]].concat();
    let set = decode(&body(&[], &short, NLRI), &cx).unwrap().attributes.unwrap();
    assert_eq!(set.octets()[..], plain);
}

/// RFC 4271 section 4.3: "For well-known attributes and for optional non-transitive attributes, the Partial bit MUST be set
/// to 0." What a wrong flag costs is RFC 7606 section 3 (c).
#[test]
fn partial_is_for_what_is_optional_and_transitive() {
    for odd in [&[0x60, 1, 1, 0][..], &[0xa0, 4, 4, 0, 0, 0, 1]] {
        let rest: Vec<&[u8]> =
            [ORIGIN, AS_PATH, NEXT_HOP].into_iter().filter(|one| one[1] != odd[1]).collect();
        let update = external(&[], &[&rest[..], &[odd]].concat(), NLRI).unwrap();
        let faults: Vec<_> = update.faults.iter().map(|fault| (fault.code, fault.remedy)).collect();
        assert_eq!(faults, [(odd[1], Remedy::TreatAsWithdraw)]);
        assert_eq!(update.withdrawn[0].octets()[..], *NLRI);
    }
}

/// RFC 7606 section 4: "insufficient data to encode a single minimum-sized path attribute" is no attribute, though its second
/// octet be the type of one.
#[test]
fn octets_that_are_too_few_for_an_attribute_have_no_type() {
    for rest in [&[0x80][..], &[0x80, 14], &[0x80, 15], &[0x90, 14, 0], &[0x90, 15, 0]] {
        let update = external(&[], &[ORIGIN, AS_PATH, NEXT_HOP, rest], NLRI).unwrap();
        let faults: Vec<_> = update.faults.iter().map(|fault| (fault.code, fault.remedy)).collect();
        let named = rest.get(1).copied().unwrap_or(0);
        assert_eq!(faults, [(named, Remedy::TreatAsWithdraw)], "{rest:?}");
        assert_eq!(update.withdrawn[0].octets()[..], *NLRI);
    }
    for whole in [&[0x80, 14, 1][..], &[0x80, 15, 1], &[0x90, 14, 0, 1], &[0x90, 15, 1, 0]] {
        assert!(external(&[], &[ORIGIN, AS_PATH, NEXT_HOP, whole], NLRI).is_err(), "{whole:?} overruns");
    }
}

#[test]
fn what_is_mandatory_is_missed() {
    for left_out in 0..3 {
        let mut attributes = vec![ORIGIN, AS_PATH, NEXT_HOP];
        attributes.remove(left_out);
        let update = external(&[], &attributes, NLRI).unwrap();
        let fault = &update.faults[0];
        assert_eq!((usize::from(fault.code), fault.remedy), (left_out + 1, Remedy::TreatAsWithdraw));
        assert_eq!(update.withdrawn[0].octets()[..], *NLRI);
    }
    let update = external(&[], &[REACH, ORIGIN, AS_PATH], &[]).unwrap();
    assert_eq!(
        (update.announced.len(), update.faults.len()),
        (1, 0),
        "NEXT_HOP belongs to the classic field"
    );
    let foreign = &[0x80, 14, 8, 0, 1, 128, 2, 9, 9, 0, 255][..];
    let update = external(&[], &[foreign], &[]).unwrap();
    let missed: Vec<u8> = update.faults.iter().map(|fault| fault.code).collect();
    assert_eq!(missed, [1, 2], "whichever family it is that is announced");
    assert!(external(&[8, 10], &[], &[]).unwrap().faults.is_empty(), "who withdraws needs no attributes");
    let idle = external(&[], &[ORIGIN, AS_PATH, NEXT_HOP], &[]).unwrap();
    assert_eq!((idle.announced.len(), idle.faults.len()), (0, 0), "attributes without NLRI are no fault");
}

#[test]
fn treat_as_withdraw_lists_every_prefix() {
    let bad = &[0x40, 1, 1, 9][..];
    let update = external(&[8, 10], &[UNREACH, bad, AS_PATH, NEXT_HOP, REACH], NLRI).unwrap();
    let prefixes: Vec<String> = update.withdrawn.iter().flatten().map(|e| e.prefix.to_string()).collect();
    assert_eq!(prefixes, ["10.0.0.0/8", "3000::/8", "192.0.2.0/24", "2000::/8"]);
    assert_eq!((update.announced.len(), update.attributes), (0, None));
}

#[test]
fn the_stronger_remedy_wins_and_a_reset_beats_all() {
    let discard = &[0x40, 6, 1, 0][..];
    let withdraw = &[0x80, 4, 1, 0][..];
    let update = external(&[], &[ORIGIN, AS_PATH, NEXT_HOP, discard, withdraw], NLRI).unwrap();
    assert_eq!((update.withdrawn.len(), update.faults.len()), (1, 2));
    let fault = external(&[], &[ORIGIN, AS_PATH, NEXT_HOP, withdraw], &[33]).unwrap_err();
    assert_eq!(fault.kind, UpdateFaultKind::InvalidNetworkField);
    let fault = external(&[33], &[&[0x40, 99, 0]], &[]).unwrap_err();
    assert_eq!(fault.kind, UpdateFaultKind::InvalidNetworkField, "in the order of the message");
    let fault = external(&[], &[REACH, ORIGIN, AS_PATH, REACH], &[]).unwrap_err();
    assert_eq!(fault.kind, UpdateFaultKind::MalformedAttributeList, "RFC 7606 section 3 (g)");
    let fault = external(&[], &[ORIGIN, &[0x40, 99, 2, 1, 2]], &[]).unwrap_err();
    assert_eq!((fault.kind as u8, &fault.octets[..]), (2, &[0x40, 99, 2, 1, 2][..]));
}

#[test]
fn without_reachable_nlri_a_fault_resets() {
    let bad = &[0x40, 1, 1, 9][..];
    assert!(external(&[8, 10], &[bad, AS_PATH], &[]).is_err(), "RFC 7606 section 5.2");
    assert!(external(&[8, 10], &[ORIGIN, &[0x40, 6, 1, 0]], &[]).is_ok(), "a discard does not");
}

/// RFC 7606 section 3 (a) leaves subcode and data of a reset to RFC 4271 section 6.3.
#[test]
fn a_reset_says_what_was_wrong() {
    use UpdateFaultKind::{
        AttributeFlags, AttributeLength, InvalidOrigin, MalformedAsPath, MalformedAttributeList,
        OptionalAttribute,
    };
    let long = [&[0xd0, 8, 1, 1][..], &[7; 257]].concat();
    let table: [(&[u8], _, bool); 11] = [
        (&[0x40, 1, 1, 9], InvalidOrigin, true),
        (&[0x40, 1, 2, 0, 0], AttributeLength, true),
        (&[0xc0, 1, 1, 0], AttributeFlags, true),
        (&[0x40, 2, 2, 9, 0], MalformedAsPath, false),
        (&[0x40, 3, 3, 1, 2, 3], AttributeLength, true),
        (&[0x80, 4, 1, 0], AttributeLength, true),
        (&[0xc0, 16, 1, 0], OptionalAttribute, true),
        (&long, OptionalAttribute, true),
        (&[0x80, 14, 3, 0, 2, 1], OptionalAttribute, true),
        (&[0x80, 15, 2, 0, 2], OptionalAttribute, true),
        (&[0x80, 4, 9, 0], MalformedAttributeList, false),
    ];
    for (attribute, kind, has_data) in table {
        let fault = external(&[8, 10], &[attribute], &[]).unwrap_err();
        let data = if has_data { attribute } else { &[] };
        assert_eq!((fault.kind, &fault.octets[..]), (kind, data), "{attribute:?}");
    }
}

/// RFC 6793 section 4.2.3: a path is the whole path or none.
#[test]
fn a_path_that_four_octets_have_no_room_for_is_malformed() {
    let message = |segments: usize| {
        let segment = [&[2, 255][..], &[1; 510]].concat().repeat(segments);
        let length = u16::try_from(segment.len()).unwrap().to_be_bytes();
        let path = [&[0x50, 2][..], &length, &segment].concat();
        body(&[], &[ORIGIN, &path, NEXT_HOP], NLRI)
    };
    let cx = DecodeContext { four_octet_as: false, ..DecodeContext::default() };
    let fits = decode(&message(64), &cx).unwrap();
    let path = fits.attributes.unwrap().parse().as_path;
    assert_eq!((path.asns().count(), fits.faults.len()), (64 * 255, 0));
    let update = decode(&message(65), &cx).unwrap();
    assert_eq!((update.withdrawn.len(), update.announced.len()), (1, 0));
    assert_eq!((update.faults[0].code, update.faults[0].remedy), (2, Remedy::TreatAsWithdraw));
}

/// RFC 7606 section 5.3: flags other than those of RFC 4760 make the attribute one of which no prefix is certain.
#[test]
fn flags_of_attributes_with_nlri_cost_the_session() {
    for flags in [0, 0x40, 0xc0] {
        for (attribute, others) in [(UNREACH, &[][..]), (REACH, &[ORIGIN, AS_PATH])] {
            let mut attribute = attribute.to_vec();
            attribute[0] = flags;
            let fault = external(&[], &[&[&attribute[..]][..], others].concat(), &[]).unwrap_err();
            assert_eq!((fault.kind, &fault.octets[..]), (UpdateFaultKind::OptionalAttribute, &attribute[..]));
            // Of a family that is ignored anyway, the flags are an attribute's like any other.
            attribute[5] = 128;
            let update = external(&[], &[&attribute, ORIGIN, AS_PATH, NEXT_HOP], NLRI).unwrap();
            assert_eq!((update.withdrawn.len(), update.faults[0].remedy), (1, Remedy::TreatAsWithdraw));
        }
    }
    let partial = external(&[], &[&[0xa0, 15, 5, 0, 2, 1, 8, 0x30]], &[]).unwrap();
    assert_eq!((partial.withdrawn.len(), partial.faults.len()), (1, 0), "Partial says nothing");
}

#[test]
fn sections_that_do_not_fit_reset() {
    for octets in [&[][..], &[0], &[0, 0], &[0, 0, 0], &[0, 1, 0, 0], &[0, 0, 0, 1], &[0xff, 0xff, 0, 0]] {
        let fault = decode(&Bytes::copy_from_slice(octets), &DecodeContext::default()).unwrap_err();
        assert_eq!(fault.kind, UpdateFaultKind::MalformedAttributeList, "{octets:?}");
    }
}

#[test]
fn end_of_rib_is_for_families_that_are_spoken() {
    let mut cx = DecodeContext::default();
    let empty = body(&[], &[], &[]);
    let ipv6 = body(&[], &[&[0x80, 15, 3, 0, 2, 1]], &[]);
    let other = body(&[], &[&[0x80, 15, 3, 0, 1, 128]], &[]);
    let end = |body: &Bytes, cx: &DecodeContext| decode(body, cx).unwrap().end_of_rib;
    assert_eq!(end(&empty, &cx), Some(Family::Ipv4Unicast));
    assert_eq!(end(&ipv6, &cx), Some(Family::Ipv6Unicast));
    assert_eq!(end(&other, &cx), None);
    cx.families.ipv4 = false;
    assert_eq!(end(&empty, &cx), None);
    let busy = body(&[8, 10], &[&[0x80, 15, 3, 0, 2, 1]], &[]);
    assert_eq!(end(&busy, &DecodeContext::default()), None);
}

#[test]
fn families_that_are_not_spoken_do_no_harm() {
    let vpn = &[0x80, 14, 8, 0, 1, 128, 2, 9, 9, 0, 255][..];
    let update = external(&[], &[vpn, ORIGIN, AS_PATH, NEXT_HOP], NLRI).unwrap();
    assert_eq!((update.announced.len(), update.faults.len()), (1, 0));
    let mut cx = DecodeContext::default();
    cx.families.ipv6 = false;
    let update = decode(&body(&[], &[UNREACH, REACH, ORIGIN, AS_PATH], &[]), &cx).unwrap();
    assert_eq!(update, Update::default());
    cx.families.ipv4 = false;
    let update = decode(&body(&[8, 10], &[ORIGIN, AS_PATH, NEXT_HOP], NLRI), &cx).unwrap();
    assert_eq!(update, Update::default());
}

/// MP_REACH_NLRI of 10.0.0.0/8 with this next hop.
fn ipv4_reach(next_hop: &[u8]) -> Vec<u8> {
    let length = u8::try_from(next_hop.len()).unwrap();
    [&[0x80, 14, length + 7, 0, 1, 1, length][..], next_hop, &[0, 8, 10]].concat()
}

#[test]
fn ipv4_routes_may_have_ipv6_next_hops_where_that_was_agreed() {
    let mut cx = DecodeContext::default();
    let global = [0x20; 16];
    let message = body(&[], &[&ipv4_reach(&global), ORIGIN, AS_PATH], &[]);
    assert_eq!(decode(&message, &cx).unwrap().announced[0].next_hop, NextHop::V6(global.into()));
    cx.extended_next_hop.ipv4 = false;
    let update = decode(&message, &cx).unwrap();
    assert_eq!((update.withdrawn.len(), update.faults[0].remedy), (1, Remedy::TreatAsWithdraw));
    let classic = body(&[], &[&ipv4_reach(&[1, 2, 3, 4]), ORIGIN, AS_PATH], &[]);
    assert_eq!(decode(&classic, &cx).unwrap().announced[0].next_hop, NextHop::V4([1, 2, 3, 4].into()));
    let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    let pair = body(&[], &[&ipv4_reach(&[global, link_local].concat()), ORIGIN, AS_PATH], &[]);
    assert_eq!(decode(&pair, &cx).unwrap().faults[0].remedy, Remedy::TreatAsWithdraw);
    let expected = NextHop::V6WithLinkLocal(global.into(), link_local.into());
    assert_eq!(decode(&pair, &DecodeContext::default()).unwrap().announced[0].next_hop, expected);
    for length in [0, 5, 15, 17, 24] {
        let odd = body(&[], &[&ipv4_reach(&vec![9; length]), ORIGIN, AS_PATH], &[]);
        assert!(decode(&odd, &DecodeContext::default()).is_err(), "{length} octets");
    }
}

#[test]
fn a_set_without_holes_is_a_view_of_the_message() {
    let view = |attributes: &[&[u8]], nlri: &[u8]| {
        let message = body(&[], attributes, nlri);
        let set = decode(&message, &DecodeContext::default()).unwrap().attributes.unwrap();
        let range = message.as_ptr_range();
        (range.contains(&set.octets().as_ptr()), set.octets().to_vec())
    };
    let expected = [ORIGIN, AS_PATH].concat();
    assert_eq!(view(&[ORIGIN, AS_PATH, REACH], &[]), (true, expected.clone()), "as Cilium sends IPv6");
    assert_eq!(view(&[REACH, ORIGIN, AS_PATH], &[]), (true, expected.clone()));
    assert_eq!(view(&[ORIGIN, AS_PATH, NEXT_HOP], NLRI), (true, expected.clone()), "and IPv4");
    assert_eq!(view(&[ORIGIN, NEXT_HOP, AS_PATH], NLRI), (false, expected));
}

/// RFC 4271 section 5: "it MUST NOT be set back to 0 by the current AS".
#[test]
fn partial_stays_for_whoever_reads_the_route_next() {
    let communities = &[0xe0, 8, 4, 0, 1, 0, 2][..];
    let large = &[0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..];
    let unknown = &[0xe0, 99, 1, 7][..];
    for (four_octet_as, path, aggregator) in [
        (true, AS_PATH, &[0xe0, 7, 8, 0, 1, 0, 9, 10, 0, 0, 1][..]),
        (false, &[0x40, 2, 4, 2, 1, 0xfd, 0xe9], &[0xe0, 7, 6, 0, 9, 10, 0, 0, 1]),
    ] {
        let cx = DecodeContext { four_octet_as, ..DecodeContext::default() };
        let message = body(&[], &[ORIGIN, path, NEXT_HOP, aggregator, communities, large, unknown], NLRI);
        let set = decode(&message, &cx).unwrap().attributes.unwrap().parse();
        let turned = body(&[], &[unknown, large, communities, aggregator, NEXT_HOP, path, ORIGIN], NLRI);
        let turned = decode(&turned, &cx).unwrap().attributes.unwrap().parse();
        assert_eq!(turned, set, "whatever the order");
        let mut written = bytes::BytesMut::new();
        let reader = crate::attribute::write::Reader::Peer { four_octet_as: true, next_hop: None };
        set.put(&mut written, reader);
        let mut flags = Vec::new();
        let mut rest: &[u8] = &written;
        while let [flag, code, length, tail @ ..] = rest {
            flags.push((*code, *flag));
            rest = &tail[usize::from(*length)..];
        }
        assert_eq!(flags, [(1, 0x40), (2, 0x40), (7, 0xe0), (8, 0xe0), (32, 0xc0), (99, 0xe0)]);
    }
}

/// RFC 8092 section 3: what occurs again is removed, and the order of the others stays.
#[test]
fn a_large_community_counts_once() {
    let community = |last: u8| [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, last];
    let large = [&[0xc0, 32, 48][..], &community(5), &community(4), &community(5), &community(4)].concat();
    let update = external(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &large], NLRI).unwrap();
    let values = update.attributes.unwrap().parse().large_communities;
    assert_eq!(values, [5, 4].map(|local2| LargeCommunity { global: 1, local1: 2, local2 }));
}

/// RFC 8092 section 6: such a number is no error.
#[test]
fn a_large_community_may_begin_with_a_reserved_number() {
    for global in [0, 0xffff, u32::MAX] {
        let large = [&[0xc0, 32, 12][..], &global.to_be_bytes(), &[0; 8]].concat();
        let update = external(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &large], NLRI).unwrap();
        assert_eq!(
            (update.faults.len(), update.attributes.unwrap().parse().large_communities[0].global),
            (0, global)
        );
    }
}

/// RFC 4760 section 3.
#[test]
fn the_reserved_octet_of_mp_reach_means_nothing() {
    let mut reach = REACH.to_vec();
    let at = reach.len() - NLRI_OF_REACH - 1;
    assert_eq!(std::mem::replace(&mut reach[at], 7), 0);
    let with = |reach: &[u8]| external(&[], &[reach, ORIGIN, AS_PATH], &[]).unwrap();
    assert_eq!(with(&reach), with(REACH));
    assert_eq!(with(REACH).announced.len(), 1);
}

#[test]
fn a_fault_keeps_at_most_64_octets() {
    let long = [&[0xd0, 8, 1, 1][..], &[7; 257]].concat();
    let update = external(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &long], NLRI).unwrap();
    assert_eq!((update.faults[0].octets.len(), &update.faults[0].octets[..4]), (64, &long[..4]));
}

#[test]
fn odd_pairs_of_next_hops_are_put_right() {
    let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    let global = [0x20; 16];
    let of = |pair: [[u8; 16]; 2]| {
        let message = body(&[], &[&ipv4_reach(&pair.concat()), ORIGIN, AS_PATH], &[]);
        decode(&message, &DecodeContext::default()).unwrap().announced[0].next_hop
    };
    assert_eq!(of([global, link_local]), NextHop::V6WithLinkLocal(global.into(), link_local.into()));
    assert_eq!(of([[0; 16], link_local]), NextHop::V6(link_local.into()));
    assert_eq!(of([link_local, link_local]), NextHop::V6(link_local.into()));
    assert_eq!(of([global, global]), NextHop::V6(global.into()));
    let alone = body(&[], &[&ipv4_reach(&link_local), ORIGIN, AS_PATH], &[]);
    let alone = decode(&alone, &DecodeContext::default()).unwrap().announced[0].next_hop;
    assert_eq!(alone, NextHop::V6(link_local.into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the octets are: an answer, and one that keeps its promises.
    #[test]
    fn any_octets_get_an_answer_that_holds(
        pieces in vec(prop_oneof![
            Just(ORIGIN.to_vec()), Just(AS_PATH.to_vec()), Just(NEXT_HOP.to_vec()), Just(REACH.to_vec()),
            Just(UNREACH.to_vec()),
            (any::<u8>(), 0_u8..40, vec(any::<u8>(), 0..24)).prop_map(|(flags, code, value)| {
                [&[flags & 0xef, code, u8::try_from(value.len()).unwrap()][..], &value].concat()
            }),
            vec(any::<u8>(), 0..6),
        ], 0..7),
        nlri in prop_oneof![Just(NLRI.to_vec()), Just(Vec::new()), vec(any::<u8>(), 0..9)],
        (four_octet_as, add_path, internal) in any::<(bool, bool, bool)>(),
    ) {
        let cx = DecodeContext {
            four_octet_as,
            add_path: crate::PerFamily { ipv4: add_path, ipv6: add_path },
            peer: if internal { PeerKind::Internal } else { PeerKind::External },
            ..DecodeContext::default()
        };
        let attributes: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        if let Ok(update) = decode(&body(&[], &attributes, &nlri), &cx) {
            prop_assert_eq!(update.attributes.is_some(), !update.announced.is_empty());
            prop_assert!(update.announced.iter().all(|a| !a.nlri.is_empty()));
            let gone = update.faults.iter().any(|fault| fault.remedy == Remedy::TreatAsWithdraw);
            prop_assert!(!gone || update.announced.is_empty());
            prop_assert!(update.faults.iter().all(|fault| fault.remedy != Remedy::ResetSession));
            if let Some(set) = update.attributes {
                let values = set.parse();
                prop_assert!(internal || values.local_pref.is_none());
                prop_assert_eq!(values.to_bytes().parse(), values);
                let attributes: Vec<_> = set.as_slice().iter().map(|found| (found.code, found.flags)).collect();
                prop_assert!(attributes.is_sorted_by(|a, b| a.0 < b.0), "{:?}", attributes);
                prop_assert!(attributes.iter().all(|(_, flags)| flags & 0x0f == 0), "{:?}", attributes);
            }
        }
    }
}

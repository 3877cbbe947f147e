//! Tests of encoding: what was said is read again, and messages are as full as they may be.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::attribute::{AsPath, Class, flags, rule};
use crate::context::{DecodeContext, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, PeerKind};
use crate::framer::{Framer, Next};
use crate::{Asn, Message, PerFamily, Prefix, Update, testing};

/// Flags and code of each attribute of an UPDATE, as they were written.
fn written(body: &[u8]) -> Vec<(u8, u8)> {
    let section = |octets: &[u8]| {
        let (length, rest) = octets.split_first_chunk().unwrap();
        let (section, rest) = rest.split_at(u16::from_be_bytes(*length).into());
        (section.to_vec(), rest.to_vec())
    };
    let (mut rest, _) = section(&section(body).1);
    let mut attributes = Vec::new();
    while let [flags, code, value @ ..] = &rest[..] {
        attributes.push((*flags, *code));
        rest = match (flags & flags::EXTENDED, value) {
            (0, [length, value @ ..]) => value[usize::from(*length)..].to_vec(),
            _ => section(value).1,
        };
    }
    attributes
}

/// What holds of the attributes of every UPDATE that we send.
fn check_attributes(attributes: &[(u8, u8)], four_octet_as: bool) {
    let mut codes: Vec<u8> = attributes.iter().map(|(_, code)| *code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), attributes.len(), "RFC 4271 section 5: none occurs twice");
    let has = |code| codes.contains(&code);
    assert!(!(has(code::NEXT_HOP) && has(code::MP_REACH_NLRI)), "RFC 4760 section 3");
    let has_as4 = has(code::AS4_PATH) || has(code::AS4_AGGREGATOR);
    assert!(!(four_octet_as && has_as4), "RFC 6793 section 4.1");
    for (flags, code) in attributes {
        let expected = match rule(*code).map(|rule| rule.class) {
            Some(Class::WellKnown) => flags::TRANSITIVE,
            Some(Class::OptionalNonTransitive) => flags::OPTIONAL,
            Some(Class::OptionalTransitive) => flags::OPTIONAL | flags::TRANSITIVE | flags & flags::PARTIAL,
            None => flags::OPTIONAL | flags::TRANSITIVE | flags::PARTIAL,
        };
        assert_eq!(flags & !flags::EXTENDED, expected, "RFC 4271 section 4.3, attribute {code}");
    }
}

/// Every UPDATE in a stream, each no longer than `max_len`.
fn read(mut stream: BytesMut, cx: &DecodeContext, max_len: usize) -> Vec<Update> {
    let mut framer = Framer::new();
    framer.allow_extended();
    let mut updates = Vec::new();
    while let Next::Message(frame) = framer.next(&mut stream) {
        assert!(frame.body.len() + HEADER_LEN <= max_len);
        check_attributes(&written(&frame.body), cx.four_octet_as);
        match crate::message::decode(&frame, cx).unwrap() {
            Message::Update(update) => updates.push(update),
            other => panic!("{other:?}"),
        }
    }
    assert!(stream.is_empty());
    updates
}

fn internal(four_octet_as: bool, add_path: bool) -> DecodeContext {
    let add_path = PerFamily { ipv4: add_path, ipv6: add_path };
    DecodeContext { four_octet_as, add_path, peer: PeerKind::Internal, ..DecodeContext::default() }
}

fn sending(four_octet_as: bool, add_path: bool, max_len: usize) -> EncodeContext {
    let add_path = PerFamily { ipv4: add_path, ipv6: add_path };
    EncodeContext { four_octet_as, add_path, max_len, ..EncodeContext::default() }
}

fn without_id(entry: &NlriEntry, add_path: bool) -> NlriEntry {
    NlriEntry { path_id: if add_path { entry.path_id } else { 0 }, ..*entry }
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4Unicast), Just(Family::Ipv6Unicast)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn announcements_are_read_as_said(
        (next_hop, entries) in family().prop_flat_map(|f| (testing::next_hop(f), vec(testing::entry(f), 1..900))),
        attributes in testing::attributes(),
        four_octet_as: bool,
        add_path: bool,
        extended: bool,
    ) {
        let max_len = if extended { MAX_EXTENDED_MESSAGE } else { MAX_MESSAGE };
        let cx = sending(four_octet_as, add_path, max_len);
        let (mut out, mut left) = (BytesMut::new(), entries.iter().copied().peekable());
        while left.peek().is_some() {
            if announce(&cx, &attributes, next_hop, &mut left, &mut out).is_err() {
                // Only attributes that fill a message by themselves may be refused.
                prop_assert!(attributes.to_bytes().octets().len() > max_len / 4);
                prop_assert!(out.is_empty());
                return Ok(());
            }
        }
        let updates = read(out, &internal(four_octet_as, add_path), max_len);
        let mut expected = attributes.clone();
        expected.unknown.iter_mut().for_each(|unknown| unknown.flags |= flags::PARTIAL);
        for update in &updates {
            prop_assert_eq!(&update.faults, &[]);
            prop_assert!(update.withdrawn.is_empty());
            prop_assert_eq!(update.announced.len(), 1);
            prop_assert!(update.announced.iter().all(|a| a.next_hop == next_hop));
            let got = update.attributes.as_ref().unwrap().parse();
            if four_octet_as {
                prop_assert_eq!(&got, &expected);
            }
            prop_assert_eq!(got.aggregator, expected.aggregator);
        }
        let got: Vec<NlriEntry> = updates.iter().flat_map(|u| &u.announced).flat_map(|a| &a.nlri).collect();
        let said: Vec<NlriEntry> = entries.iter().map(|entry| without_id(entry, add_path)).collect();
        prop_assert_eq!(got, said);
    }

    #[test]
    fn withdrawals_are_read_as_said(
        (family, entries) in family().prop_flat_map(|f| (Just(f), vec(testing::entry(f), 1..900))),
        add_path: bool,
    ) {
        let cx = sending(true, add_path, MAX_MESSAGE);
        let (mut out, mut left) = (BytesMut::new(), entries.iter().copied().peekable());
        while left.peek().is_some() {
            prop_assert!(withdraw(&cx, family, &mut left, &mut out) > 0);
        }
        let updates = read(out, &internal(true, add_path), MAX_MESSAGE);
        prop_assert!(updates.iter().all(|u| u.announced.is_empty() && u.end_of_rib.is_none()));
        let got: Vec<NlriEntry> = updates.iter().flat_map(|u| &u.withdrawn).flatten().collect();
        let said: Vec<NlriEntry> = entries.iter().map(|entry| without_id(entry, add_path)).collect();
        prop_assert_eq!(got, said);
    }

    /// Without confederations, and with paths of one sequence, the merge gives back what was split.
    #[test]
    fn long_numbers_pass_a_peer_of_short_ones(asns in vec(1..=u32::MAX, 0..700)) {
        let path = AsPath::sequence(asns.into_iter().map(Asn));
        let attributes = PathAttributes { as_path: path.clone(), ..PathAttributes::default() };
        let mut out = BytesMut::new();
        let mut entries = [NlriEntry::from("10.0.0.0/8".parse::<Prefix>().unwrap())].into_iter().peekable();
        let next_hop = NextHop::V4([10, 0, 0, 1].into());
        announce(&sending(false, false, MAX_EXTENDED_MESSAGE), &attributes, next_hop, &mut entries, &mut out).unwrap();
        let updates = read(out, &internal(false, false), MAX_EXTENDED_MESSAGE);
        let got = updates[0].attributes.as_ref().unwrap().parse().as_path;
        prop_assert!(got.asns().eq(path.asns()));
    }
}

/// `count` host routes.
fn hosts(family: Family, count: u32) -> impl Iterator<Item = NlriEntry> {
    (0..count).map(move |n| {
        NlriEntry::from(Prefix::host(match family {
            Family::Ipv4Unicast => std::net::Ipv4Addr::from(0x0a00_0000 + n).into(),
            Family::Ipv6Unicast => std::net::Ipv6Addr::from(0x2004 << 112 | u128::from(n)).into(),
        }))
    })
}

fn plain() -> PathAttributes {
    PathAttributes { as_path: AsPath::sequence([Asn(64512)]), ..PathAttributes::default() }
}

#[test]
fn messages_are_as_full_as_they_may_be() {
    for (family, next_hop, width) in [
        (Family::Ipv4Unicast, NextHop::V4([10, 0, 0, 1].into()), 5),
        (Family::Ipv4Unicast, NextHop::V6("2001:db8::1".parse().unwrap()), 5),
        (Family::Ipv6Unicast, NextHop::V6("2001:db8::1".parse().unwrap()), 17),
    ] {
        for max_len in [MAX_MESSAGE, MAX_EXTENDED_MESSAGE] {
            let (mut out, mut left) = (BytesMut::new(), hosts(family, 20_000).peekable());
            let packed =
                announce(&sending(true, false, max_len), &plain(), next_hop, &mut left, &mut out).unwrap();
            assert!(left.peek().is_none() || out.len() + width > max_len, "{} of {max_len}", out.len());
            assert_eq!(packed + left.count(), 20_000);
            let (mut out, mut left) = (BytesMut::new(), hosts(family, 20_000).peekable());
            let packed = withdraw(&sending(true, false, max_len), family, &mut left, &mut out);
            assert!(left.peek().is_none() || out.len() + width > max_len, "{} of {max_len}", out.len());
            assert_eq!(packed + left.count(), 20_000);
        }
    }
}

#[test]
fn a_message_of_one_family_stops_before_the_other() {
    let mixed = || hosts(Family::Ipv6Unicast, 2).chain(hosts(Family::Ipv4Unicast, 3)).peekable();
    let (mut entries, mut out) = (mixed(), BytesMut::new());
    let next_hop = NextHop::V6("2001:db8::1".parse().unwrap());
    let cx = EncodeContext::default();
    assert_eq!(announce(&cx, &plain(), next_hop, &mut entries, &mut out), Ok(2));
    assert_eq!(announce(&cx, &plain(), next_hop, &mut entries, &mut out), Ok(3));
    assert_eq!(announce(&cx, &plain(), next_hop, &mut entries, &mut out), Ok(0));
    assert_eq!(withdraw(&cx, Family::Ipv4Unicast, &mut mixed(), &mut out), 0);
    let updates = read(out, &internal(true, false), MAX_MESSAGE);
    assert_eq!(updates.len(), 2, "what holds nothing is not sent");
}

#[test]
fn attributes_that_leave_no_room_are_refused_and_leave_no_trace() {
    let communities = (0..1010).collect();
    let attributes = PathAttributes { communities, ..plain() };
    for family in Family::ALL {
        let (mut entries, mut out) = (hosts(family, 1).peekable(), BytesMut::from(&b"before"[..]));
        let next_hop = NextHop::V6("2001:db8::1".parse().unwrap());
        let refused = announce(&EncodeContext::default(), &attributes, next_hop, &mut entries, &mut out);
        assert!(matches!(refused, Err(AttributesTooLong(n)) if n > 4040));
        assert_eq!((&out[..], entries.count()), (&b"before"[..], 1));
    }
}

#[test]
fn an_ipv4_next_hop_of_ipv6_routes_is_mapped() {
    let (mut entries, mut out) = (hosts(Family::Ipv6Unicast, 1).peekable(), BytesMut::new());
    let next_hop = NextHop::V4([172, 50, 0, 2].into());
    announce(&EncodeContext::default(), &plain(), next_hop, &mut entries, &mut out).unwrap();
    let updates = read(out, &internal(true, false), MAX_MESSAGE);
    assert_eq!(updates[0].announced[0].next_hop.mapped_ipv4(), Some([172, 50, 0, 2].into()));
}

#[test]
fn end_of_rib_is_read_as_such() {
    for family in Family::ALL {
        let updates = read(BytesMut::from(&end_of_rib(family)[..]), &internal(true, false), MAX_MESSAGE);
        assert_eq!(updates, [Update { end_of_rib: Some(family), ..Update::default() }]);
    }
    assert_eq!(end_of_rib(Family::Ipv4Unicast).len(), 23);
}

#[test]
fn attributes_with_nlri_come_first() {
    let (mut entries, mut out) = (hosts(Family::Ipv6Unicast, 1).peekable(), BytesMut::new());
    let next_hop = NextHop::V6("2001:db8::1".parse().unwrap());
    announce(&EncodeContext::default(), &plain(), next_hop, &mut entries, &mut out).unwrap();
    assert_eq!(out[FIXED_LEN..FIXED_LEN + 2], [0x90, 14], "RFC 7606 section 5.1");
    // Behind its header, the family, and a next hop of 16 octets.
    assert_eq!(out[FIXED_LEN + 4..][..4], [0, 2, 1, 16]);
    assert_eq!(out[FIXED_LEN + 4..][20], 0, "RFC 4760 section 3: reserved");
    let (mut entries, mut out) = (hosts(Family::Ipv6Unicast, 1).peekable(), BytesMut::new());
    withdraw(&EncodeContext::default(), Family::Ipv6Unicast, &mut entries, &mut out);
    assert_eq!(out[FIXED_LEN..FIXED_LEN + 2], [0x90, 15]);
}

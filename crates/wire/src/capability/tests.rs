//! Tests of capabilities: the octets of each, and what is kept where a value does not parse.

use super::*;

fn decode(octets: &'static [u8]) -> Vec<Capability> {
    let (body, mut capabilities) = (Bytes::from_static(octets), Vec::new());
    Capability::decode_all(&body, &body, &mut capabilities).unwrap();
    capabilities
}

fn encode(capability: &Capability) -> Vec<u8> {
    let mut out = BytesMut::new();
    capability.put(&mut out);
    out.to_vec()
}

const IPV6: FamilyCode = FamilyCode { afi: 2, safi: 1 };

#[test]
fn each_has_its_octets() {
    let restart = GracefulRestart {
        restarted: true,
        notification: true,
        restart_time: 120,
        families: vec![(IPV6, true), (FamilyCode { afi: 1, safi: 1 }, false)],
    };
    let next_hop = ExtendedNextHop { family: FamilyCode { afi: 1, safi: 1 }, next_hop_afi: 2 };
    let long = LongLived { family: IPV6, forwarding: true, stale_time: 86_400 };
    for (capability, octets) in [
        (Capability::Multiprotocol(IPV6), &[1, 4, 0, 2, 0, 1][..]),
        (Capability::RouteRefresh, &[2, 0]),
        (Capability::ExtendedNextHop(vec![next_hop]), &[5, 6, 0, 1, 0, 1, 0, 2]),
        (Capability::ExtendedMessage, &[6, 0]),
        (Capability::GracefulRestart(restart), &[64, 10, 0xc0, 120, 0, 2, 1, 0x80, 0, 1, 1, 0]),
        (Capability::FourOctetAs(Asn(65536)), &[65, 4, 0, 1, 0, 0]),
        (Capability::AddPath(vec![AddPath { family: IPV6, mode: 3 }]), &[69, 4, 0, 2, 1, 3]),
        (Capability::EnhancedRouteRefresh, &[70, 0]),
        (Capability::LongLivedGracefulRestart(vec![long]), &[71, 7, 0, 2, 1, 0x80, 1, 0x51, 0x80]),
        (Capability::LongLivedGracefulRestart(Vec::new()), &[71, 0]),
        (Capability::Fqdn { host: "r1".into(), domain: "x".into() }, &[73, 5, 2, b'r', b'1', 1, b'x']),
        (Capability::Unknown { code: 128, value: Bytes::from_static(&[1]) }, &[128, 1, 1]),
    ] {
        assert_eq!(encode(&capability), octets);
        assert_eq!(decode(octets.to_vec().leak()), [capability]);
    }
}

/// RFC 4724 section 3 and RFC 4760 section 8.
#[test]
fn reserved_bits_mean_nothing() {
    let restart =
        GracefulRestart { restart_time: 120, families: vec![(IPV6, false)], ..GracefulRestart::default() };
    assert_eq!(decode(&[64, 6, 0x30, 120, 0, 2, 1, 0x7f]), [Capability::GracefulRestart(restart)]);
    assert_eq!(decode(&[1, 4, 0, 2, 9, 1]), [Capability::Multiprotocol(IPV6)]);
    for (odd, plain) in [
        (&[64, 6, 0x30, 120, 0, 2, 1, 0x7f][..], &[64, 6, 0, 120, 0, 2, 1, 0][..]),
        (&[1, 4, 0, 2, 9, 1], &[1, 4, 0, 2, 0, 1]),
    ] {
        assert_eq!(encode(&decode(odd)[0]), plain, "we send zeroes");
    }
}

#[test]
fn a_value_that_does_not_parse_is_kept() {
    for octets in [
        &[1, 3, 0, 2, 1][..],
        &[2, 1, 0],
        &[5, 5, 0, 1, 0, 1, 0],
        &[5, 6, 0, 1, 4, 1, 0, 2],
        &[6, 1, 0],
        &[64, 1, 0],
        &[64, 5, 0, 120, 0, 2, 1],
        &[65, 3, 0, 0, 1],
        &[69, 3, 0, 1, 1],
        &[71, 6, 0, 2, 1, 0, 0, 0],
        &[73, 2, 5, b'a'],
    ] {
        let [Capability::Unknown { code, value }] = &decode(octets)[..] else { panic!("{octets:?}") };
        assert_eq!((*code, &value[..]), (octets[0], &octets[2..]));
    }
}

#[test]
fn a_name_that_is_not_utf8_is_shown_and_long_ones_are_cut() {
    let odd = decode(&[73, 4, 2, 0xff, b'a', 0]);
    assert_eq!(odd, [Capability::Fqdn { host: "\u{fffd}a".into(), domain: String::new() }]);
    let long = Capability::Fqdn { host: "h".repeat(300), domain: "d".repeat(9) };
    let octets = encode(&long);
    assert_eq!(octets.len(), 2 + 255);
    assert_eq!(decode(octets.leak()), [Capability::Fqdn { host: "h".repeat(253), domain: String::new() }]);
}

#[test]
fn long_lists_are_cut_to_whole_entries() {
    let many = Capability::AddPath(vec![AddPath { family: IPV6, mode: 1 }; 100]);
    let [Capability::AddPath(kept)] = &decode(encode(&many).leak())[..] else { panic!("kept as a list") };
    assert_eq!(kept.len(), 63);
    let restart = GracefulRestart { families: vec![(IPV6, true); 100], ..GracefulRestart::default() };
    let [Capability::GracefulRestart(kept)] =
        &decode(encode(&Capability::GracefulRestart(restart)).leak())[..]
    else {
        panic!("kept as a list")
    };
    assert_eq!(kept.families.len(), 63);
}

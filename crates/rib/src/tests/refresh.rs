//! Route refresh with brackets, RFC 7313 section 4: when ours come, and which of the peer's count.

use bgp_policy::Policy;
use bgp_wire::route_refresh::Subtype;

use super::*;

const PEER: PeerId = PeerId(1);

/// A peer that brackets, with what it is sent.
fn peer() -> PeerSettings {
    PeerSettings { export: Some(Policy::All), enhanced_route_refresh: true, ..external(1, "172.50.0.2") }
}

/// Subtypes with how many announcements and ends came before each.
fn brackets(receiver: &Receiver) -> Vec<(Subtype, usize)> {
    let family = Family::Ipv4Unicast.code();
    receiver
        .brackets
        .iter()
        .map(|(bracket, before)| {
            assert_eq!(bracket.family, family);
            (bracket.subtype, *before)
        })
        .collect()
}

#[test]
fn what_a_peer_asks_for_again_comes_in_brackets() {
    let mut rib = Rib::new(config());
    rib.add_peer(PEER, peer());
    rib.originate(prefix("10.0.0.0/8"));
    settle(&mut rib);
    let mut receiver = Receiver::default();
    receiver.pull_all(&mut rib, PEER, 4096);
    assert_eq!((receiver.taken, brackets(&receiver)), (3, vec![]), "one route, two ends");
    rib.request_refresh(PEER, Family::Ipv4Unicast);
    assert!(rib.has_update(PEER));
    // One message at a time.
    receiver.pull_all(&mut rib, PEER, 1);
    assert_eq!(brackets(&receiver), [(Subtype::Begin, 3), (Subtype::End, 4)]);

    rib.withdraw_origin(prefix("10.0.0.0/8"));
    settle(&mut rib);
    rib.request_refresh(PEER, Family::Ipv4Unicast);
    receiver.pull_all(&mut rib, PEER, 4096);
    let expected = [(Subtype::Begin, 4), (Subtype::End, 4)];
    assert_eq!(brackets(&receiver)[2..], expected, "also where nothing is announced");
    assert_eq!(receiver.prefixes(), [""; 0]);
    holders::check(&rib);
}

#[test]
fn a_refresh_begins_after_the_end_of_rib_and_a_second_one_after_the_first() {
    let mut rib = Rib::new(config());
    rib.add_peer(PEER, peer());
    rib.originate(prefix("10.0.0.0/8"));
    settle(&mut rib);
    rib.request_refresh(PEER, Family::Ipv4Unicast);
    let mut receiver = Receiver::default();
    receiver.pull_all(&mut rib, PEER, 1);
    // The route, the end of IPv6, that of IPv4, BoRR, the route, EoRR.
    assert_eq!((receiver.taken, brackets(&receiver)), (4, vec![(Subtype::Begin, 3), (Subtype::End, 4)]));

    rib.request_refresh(PEER, Family::Ipv4Unicast);
    let mut out = BytesMut::new();
    assert!(!rib.next_update(PEER, &mut out, 1) && !out.is_empty(), "BoRR is out, and nothing else yet");
    rib.request_refresh(PEER, Family::Ipv4Unicast);
    receiver.read(&mut out);
    receiver.pull_all(&mut rib, PEER, 1);
    let again = [(Subtype::Begin, 4), (Subtype::End, 5), (Subtype::Begin, 5), (Subtype::End, 6)];
    assert_eq!(brackets(&receiver)[2..], again);
}

#[test]
fn brackets_of_a_peer_count_where_they_have_a_place() {
    let family = Family::Ipv6Unicast;
    let (hop, text) = ("2001:3200:3200::2", "2004::1/128");
    let route = announce(&path(&[1]), hop, &[text]);
    let there = |rib: &Rib| rib.routes(prefix(text)).len();
    let mut settings = PeerSettings { graceful_restart: true, ..external(1, hop) };
    let mut rib = Rib::new(config());
    rib.add_peer(PEER, settings.clone());
    rib.receive_update(PEER, &end_of_rib(family));
    assert!(!rib.begin_refresh(PEER, family), "not agreed on");

    settings.enhanced_route_refresh = true;
    rib.add_peer(PEER, settings.clone());
    rib.receive_update(PEER, &route);
    assert!(!rib.begin_refresh(PEER, family), "before End-of-RIB");
    rib.mark_stale(PEER);
    rib.add_peer(PEER, settings);
    assert!(!rib.end_refresh(PEER, family), "without BoRR");
    assert_eq!(there(&rib), 1, "stale routes wait for End-of-RIB");
    rib.receive_update(PEER, &route);
    rib.receive_update(PEER, &end_of_rib(family));

    assert!(rib.begin_refresh(PEER, family));
    rib.receive_update(PEER, &end_of_rib(family));
    assert_eq!(there(&rib), 1, "the refresh has not ended");
    assert!(rib.end_refresh(PEER, family));
    settle(&mut rib);
    assert_eq!(there(&rib), 0);
    assert!(!rib.end_refresh(PEER, family), "once");
    holders::check(&rib);
}

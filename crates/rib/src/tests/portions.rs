//! What concerns much of a table is begun at once and done in portions.

use bgp_wire::iana::community::LLGR_STALE;

use super::*;

const PEER: PeerId = PeerId(2);
const NODE: &str = "2001:3200:3200::2";
const FAMILY: Family = Family::Ipv6Unicast;
const ROUTES: u32 = 1000;

fn settings() -> PeerSettings {
    PeerSettings { enhanced_route_refresh: true, ..external(64512, NODE) }
}

fn say(rib: &mut Rib, numbers: std::ops::Range<u32>) {
    let texts: Vec<String> = numbers.map(|number| format!("2004::{number:x}/128")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    rib.receive_update(PEER, &announce(&path(&[64512]), NODE, &texts));
}

/// A peer whose routes are all in use.
fn settled() -> Rib {
    let mut rib = Rib::new(config());
    rib.add_peer(PEER, settings());
    say(&mut rib, 0..ROUTES);
    reachable(&mut rib, &[NODE]);
    settle(&mut rib);
    assert_eq!(rib.sizes().prefixes.ipv6, u64::from(ROUTES));
    rib
}

/// How many routes carry LLGR_STALE.
fn long_lived(rib: &Rib) -> usize {
    rib.received(PEER, FAMILY).filter(|route| route.attributes.communities.contains(&LLGR_STALE)).count()
}

#[test]
fn what_did_not_come_again_goes_in_portions() {
    let mut rib = settled();
    rib.mark_stale(PEER);
    rib.add_peer(PEER, settings());
    say(&mut rib, 0..400);
    rib.receive_update(PEER, &end_of_rib(FAMILY));
    let counters = rib.counters(PEER).unwrap().ipv6;
    assert_eq!((counters.received, counters.accepted, counters.used, counters.stale), (400, 400, 400, 0));
    assert_eq!(rib.sizes().undecided.ipv6, 0);
    holders::check(&rib);
    rib.decide(100);
    assert!(rib.sizes().prefixes.ipv6 >= 900);
    // One of those that are still to go is announced again.
    say(&mut rib, 999..1000);
    settle(&mut rib);
    assert_eq!(rib.sizes().prefixes.ipv6, 401);
    holders::check(&rib);
}

#[test]
fn stale_routes_become_the_last_choice_in_portions() {
    let mut rib = settled();
    rib.mark_stale(PEER);
    assert_eq!(rib.begin_long_lived(PEER, FAMILY), u64::from(ROUTES));
    assert_eq!((long_lived(&rib), rib.sizes().undecided.ipv6), (0, 0));
    rib.decide(100);
    assert_eq!(long_lived(&rib), 50);
    // It is back for a moment; what is stale then is no older than that.
    rib.add_peer(PEER, settings());
    say(&mut rib, 900..1000);
    rib.mark_stale(PEER);
    settle(&mut rib);
    assert_eq!(long_lived(&rib), 50);
    rib.begin_long_lived(PEER, FAMILY);
    settle(&mut rib);
    assert_eq!(long_lived(&rib), 1000);
    holders::check(&rib);
    rib.remove_peer(PEER);
    settle(&mut rib);
    while rib.next_forwarding_change().is_some() {}
    holders::check_empty(&mut rib);
}

#[test]
fn all_prefixes_are_decided_again_in_portions() {
    let mut rib = settled();
    rib.set_multipath(1, false);
    assert_eq!(rib.sizes().undecided.ipv6, 0);
    assert!(rib.has_work());
    for _ in 0..10 {
        assert!(rib.decide(20));
        assert!(rib.sizes().undecided.ipv6 < 20);
    }
    settle(&mut rib);
    assert!(!rib.has_work());
}

#[test]
fn a_refresh_that_begins_again_before_anything_came_looks_at_nothing() {
    let mut rib = settled();
    let stale = |rib: &Rib| rib.received(PEER, FAMILY).filter(|route| route.stale).count();
    assert!(rib.begin_refresh(PEER, FAMILY));
    assert_eq!(stale(&rib), 1000);
    // Behind its back: who looks at it sees that.
    let peer = rib.peers.iter_mut().flatten().next().unwrap();
    let received = &mut peer.families[FAMILY].received;
    let ids: Vec<u32> = received.iter().map(|(id, _)| id).collect();
    ids.into_iter().for_each(|id| assert!(received.change(id, |cell| cell.with_stale(false)).stale()));
    assert!(rib.begin_refresh(PEER, FAMILY));
    assert_eq!(stale(&rib), 0);
}

#[test]
fn a_refresh_that_begins_again_makes_stale_what_has_come_meanwhile() {
    let mut rib = settled();
    assert!(rib.begin_refresh(PEER, FAMILY));
    say(&mut rib, 0..500);
    assert!(rib.begin_refresh(PEER, FAMILY));
    say(&mut rib, 400..600);
    assert!(rib.end_refresh(PEER, FAMILY));
    settle(&mut rib);
    assert_eq!(rib.counters(PEER).unwrap().ipv6.received, 200);
    holders::check(&rib);
}

//! RFC 4271 section 6.8 with RFC 6286: two of ours dial each other, whichever opens first and whatever the network
//! does.

use std::time::Duration;

use bgp_session::{ConnectionId, Direction, Mode, PeerConfig, RemoteAs, StateName};
use bgp_wire::message;
use bgp_wire::notification::{CeaseCode, Notification};
use bgp_wire::open::Open;
use bgp_wire::{Asn, RouterId};
use proptest::prelude::*;

use crate::hand::{Hand, config, open, open_of, router_id};
use crate::sim::Sim;

fn speakers(identifiers: [u32; 2], asns: [u32; 2]) -> [PeerConfig; 2] {
    [0, 1].map(|side| {
        let identifier = RouterId::new(identifiers[side]).unwrap();
        PeerConfig::new(Asn(asns[side]), identifier, RemoteAs::Exact(Asn(asns[1 - side])))
    })
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// One session each, over the same connection, no session before it, and no second dial needed for it.
    #[test]
    fn both_ends_keep_the_same_connection(
        seed: u64,
        identifiers in prop_oneof![Just([1u32, 2]), Just([2, 1]), Just([7, 7])],
        asns in prop_oneof![Just([1u32, 2]), Just([2, 1])],
        delay in 0u64..10,
        jitter in 0u64..40,
        offset in 0u64..120,
    ) {
        let [first, second] = speakers(identifiers, asns);
        // The second one dials later, and not at all where it was found before.
        let waits = PeerConfig { mode: Mode::Passive, ..second.clone() };
        let mut sim = Sim::new([first, waits], seed);
        sim.delay = millis(delay);
        sim.jitter = millis(jitter);
        sim.start_both();
        sim.run(millis(offset));
        sim.with(1, |peer, now, out| { peer.set_config(second, now, out); });
        // Ten ways across the network: less than the shortest pause between two dials.
        sim.run(millis(500));
        let [a, b] = &sim.sides;
        prop_assert!(a.session().is_some(), "{:?} {:?}", a.peer.status(), b.peer.status());
        prop_assert_eq!(a.session(), b.session());
        prop_assert_eq!([a.ups.len(), b.ups.len()], [1, 1], "flapped: {:?} {:?}", a.downs, b.downs);
    }
}

/// The first one's OPEN on its own, weak connection is on the way for longer than the whole handshake on the strong one,
/// with a KEEPALIVE and at last a Cease behind it. It must not replace the session, which the Cease would leave nobody with.
#[test]
fn a_weak_connection_older_than_the_session_does_not_replace_it() {
    let [first, second] = speakers([1, 2], [1, 2]);
    let waits = PeerConfig { mode: Mode::Passive, ..second.clone() };
    let mut sim = Sim::new([first, waits], 8_659_618_395_289_199_008);
    (sim.delay, sim.jitter) = (millis(1), millis(38));
    sim.start_both();
    sim.run(millis(9));
    sim.with(1, |peer, now, out| {
        peer.set_config(second, now, out);
    });
    sim.run(millis(500));
    let [a, b] = &sim.sides;
    assert!(a.session().is_some() && a.session() == b.session(), "{:?} {:?}", a.downs, b.downs);
    assert_eq!([a.ups.len(), b.ups.len()], [1, 1], "flapped: {:?} {:?}", a.downs, b.downs);
}

/// Both dial at the same moment over a symmetric network: the stronger one's connection is it.
#[test]
fn simultaneous_dials() {
    for (identifiers, asns, strong) in
        [([1, 2], [9, 8], 1), ([2, 1], [8, 9], 0), ([7, 7], [8, 9], 1), ([7, 7], [9, 8], 0)]
    {
        let mut sim = Sim::new(speakers(identifiers, asns), 1);
        sim.start_both();
        sim.run(millis(100));
        let direction = |side: usize| sim.sides[side].ups[0].direction;
        assert_eq!(direction(strong), Direction::Outgoing, "{identifiers:?} {asns:?}");
        assert_eq!(direction(1 - strong), Direction::Incoming);
        assert_eq!(sim.sides[0].session(), sim.sides[1].session());
    }
}

fn pair(ours: u8) -> (Hand, ConnectionId, ConnectionId) {
    let mut hand = Hand::new(PeerConfig { router_id: router_id(ours), ..config() });
    let dialled = hand.connect(Direction::Outgoing);
    let accepted = hand.connect(Direction::Incoming);
    hand.take();
    (hand, dialled, accepted)
}

fn peer_open() -> Open {
    Open { router_id: router_id(5), ..open() }
}

fn collision() -> Option<Notification> {
    Some(Notification::cease(CeaseCode::ConnectionCollision, None))
}

#[test]
fn the_stronger_one_decides_on_the_first_open() {
    for on_dialled in [true, false] {
        let (mut hand, dialled, accepted) = pair(9);
        hand.say(if on_dialled { dialled } else { accepted }, &peer_open().encode());
        assert_eq!(hand.peer.status().connections, [dialled]);
        assert_eq!(hand.take_notification(), collision());
    }
}

#[test]
fn the_weaker_one_follows_the_open_on_the_strong_connection() {
    let (mut hand, dialled, accepted) = pair(2);
    hand.say(dialled, &peer_open().encode());
    assert_eq!(hand.peer.status().connections, [dialled, accepted]);
    assert_eq!(hand.take_notification(), None);
    hand.say(accepted, &peer_open().encode());
    assert_eq!(hand.peer.status().connections, [accepted]);
    assert_eq!(hand.take_notification(), collision());
}

/// The peer has not heard our OPEN yet when it dials: the connection that is agreed on already stays.
#[test]
fn a_late_weak_connection_is_closed() {
    let mut hand = Hand::new(PeerConfig { router_id: router_id(9), ..config() });
    let dialled = hand.connect(Direction::Outgoing);
    hand.say(dialled, &peer_open().encode());
    let accepted = hand.connect(Direction::Incoming);
    hand.take();
    hand.say(accepted, &peer_open().encode());
    assert_eq!(hand.take_notification(), collision());
    assert_eq!(hand.peer.status().connections, [dialled]);
}

#[test]
fn equal_identifiers_are_decided_by_the_larger_as() {
    // Ours is 64513, the node's 64512.
    let (mut hand, dialled, accepted) = pair(1);
    hand.say(accepted, &open().encode());
    assert_eq!(hand.peer.status().connections, [dialled]);
}

/// A node that was powered off and is back: no hold time is waited for.
#[test]
fn a_completed_new_connection_replaces_the_session() {
    let (mut hand, old) = Hand::established(PeerConfig { mode: Mode::Passive, ..config() }, &open());
    hand.pass(millis(5000));
    hand.take();
    let new = hand.connect(Direction::Incoming);
    hand.say(new, &open().encode());
    assert_eq!(hand.peer.status().connections, [old, new], "an OPEN alone costs the session nothing");
    assert_eq!(hand.take_down(), None);
    hand.say(new, &message::keepalive());
    assert_eq!(hand.peer.status().connections, [new]);
    assert_eq!(hand.peer.status().since, hand.now);
    assert_eq!(hand.take_down().unwrap().lasted, millis(5000));
    assert_eq!(hand.state(), StateName::Established);
}

#[test]
fn a_stray_connection_costs_a_session_nothing() {
    let (mut hand, session) = Hand::established(config(), &open());
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n12345"[..], &[0xff; 64], &open_of(Asn(7)).encode()] {
        let stray = hand.connect(Direction::Incoming);
        hand.say(stray, garbage);
        assert_eq!(hand.peer.status().connections, [session]);
    }
    assert_eq!(hand.take_down(), None);
}

/// A peer that gave up one connection and dials again is not made to wait for the first one's end.
#[test]
fn the_peers_newer_connection_is_the_one() {
    let mut hand = Hand::new(PeerConfig { mode: Mode::Passive, ..config() });
    let first = hand.connect(Direction::Incoming);
    let second = hand.connect(Direction::Incoming);
    assert_eq!(hand.peer.status().connections, [second]);
    hand.say(first, &open().encode());
    hand.say(second, &open().encode());
    hand.say(second, &message::keepalive());
    assert_eq!(hand.negotiated().connection, second);
}

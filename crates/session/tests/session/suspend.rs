//! A session at rest: what another process makes of it, and what is no session.

use std::time::Duration;

use bgp_session::{
    ConnectionId, GracefulRestartMode, MessageKind, Misfit, Negotiated, Output, OwnRestart, Peer, PeerConfig,
    RemoteAs, StateName, Suspended,
};
use bgp_wire::capability::{Capability, ExtendedNextHop, GracefulRestart};
use bgp_wire::open::{HoldTime, Open};
use bgp_wire::{Asn, Family, PerFamily, message};
use bytes::BytesMut;
use proptest::prelude::*;

use crate::hand::{Hand, OURS, THEIRS, config, open, router_id};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What crosses from process to process.
fn carried(suspended: &Suspended) -> Suspended {
    serde_json::from_slice(&serde_json::to_vec(suspended).unwrap()).unwrap()
}

/// The same peer in another process.
fn resumed(hand: &Hand, config: PeerConfig, id: ConnectionId) -> (Peer, Vec<Output>) {
    let suspended = carried(&hand.peer.suspend(hand.now).unwrap());
    let mut out = Vec::new();
    let peer = Peer::resume(config, &suspended, id, 7, hand.now, &mut out).unwrap();
    (peer, out)
}

#[test]
fn a_session_goes_on_with_its_timers_its_age_and_its_counts() {
    let (mut hand, id) = Hand::established(config(), &open());
    hand.pass(secs(25));
    hand.say(id, &message::keepalive());
    hand.pass(secs(40));
    hand.peer.note_sent(MessageKind::Update, 3, 300, hand.now);
    let before = hand.peer.status();
    let (mut peer, out) = resumed(&hand, config(), id);
    let [Output::Up(negotiated)] = &out[..] else { panic!("{out:?}") };
    assert_eq!(before.negotiated.as_ref(), Some(negotiated.as_ref()));
    let after = peer.status();
    assert_eq!((after.state, after.since), (StateName::Established, before.since));
    assert_eq!((after.counters, after.sessions), (before.counters, before.sessions));
    assert_eq!(after.hold_expires, Some(hand.now + secs(50)), "40 of 90 seconds are over");
    assert_eq!(after.keepalive_due, Some(hand.now + secs(1)), "the peer hears of us soon");

    let mut out = Vec::new();
    peer.receive(id, &mut BytesMut::from(&message::keepalive()[..]), hand.now, &mut out);
    assert_eq!(peer.status().hold_expires, Some(hand.now + secs(90)));
    peer.tick(hand.now + secs(1), &mut out);
    assert_eq!(out, [Output::Send(id, message::keepalive())]);
    out.clear();
    // Of two timers that are over the earlier one comes first.
    peer.tick(hand.now + secs(90), &mut out);
    peer.tick(hand.now + secs(90), &mut out);
    let downs = out.iter().filter(|output| matches!(output, Output::Down(_))).count();
    assert_eq!(downs, 1, "the hold timer runs on: {out:?}");
}

#[test]
fn only_a_session_can_be_suspended() {
    let mut hand = Hand::new(config());
    assert_eq!(hand.peer.suspend(hand.now), None);
    let id = hand.connect(bgp_session::Direction::Incoming);
    hand.say(id, &open().encode());
    assert_eq!(hand.state(), StateName::OpenConfirm);
    assert_eq!(hand.peer.suspend(hand.now), None);
}

#[test]
fn a_blocked_peer_stays_blocked_and_long_messages_stay_allowed() {
    let extended =
        Open { capabilities: [open().capabilities, vec![Capability::ExtendedMessage]].concat(), ..open() };
    let (mut hand, id) = Hand::established(config(), &extended);
    hand.peer.send_blocked(id, hand.now);
    hand.pass(secs(10));
    hand.say(id, &message::keepalive());
    let (mut peer, mut out) = resumed(&hand, config(), id);
    out.clear();
    let mut long = vec![0xff; 16];
    long.extend([0xff, 0xff, 2, 0, 0, 0, 0]);
    peer.receive(id, &mut BytesMut::from(&long[..]), hand.now, &mut out);
    assert_eq!(out, [], "a message of 65535 octets is waited for");
    let mut at = hand.now;
    while peer.status().state == StateName::Established && at < hand.now + secs(1000) {
        at = peer.next_deadline().unwrap();
        peer.receive(id, &mut BytesMut::from(&message::keepalive()[..]), at, &mut out);
        peer.tick(at, &mut out);
    }
    assert_eq!(at, hand.now + secs(8 * 60 - 10), "RFC 9687: eight minutes since the peer stopped reading");
}

#[test]
fn what_the_peer_was_told_must_still_hold() {
    let (hand, _) = Hand::established(config(), &open());
    let suspended = carried(&hand.peer.suspend(hand.now).unwrap());
    let restarter = |restarted| PeerConfig {
        graceful_restart: GracefulRestartMode::Restarter {
            restart_time: secs(120),
            families: PerFamily { ipv4: true, ipv6: true },
        },
        own_restart: OwnRestart { restarted, ..OwnRestart::default() },
        ..config()
    };
    let cases = [
        (PeerConfig { connect_retry: secs(5), keepalive: Some(secs(2)), ..config() }, Ok(())),
        (PeerConfig { hostname: Some("other".to_owned()), ..config() }, Ok(())),
        (PeerConfig { remote_as: RemoteAs::External, ..config() }, Ok(())),
        (PeerConfig { local_asn: Asn(9), ..config() }, Err(Misfit::Identity)),
        (PeerConfig { router_id: router_id(9), ..config() }, Err(Misfit::Identity)),
        (PeerConfig { remote_as: RemoteAs::Exact(Asn(9)), ..config() }, Err(Misfit::RemoteAs)),
        (PeerConfig { hold_time: HoldTime::new(30).unwrap(), ..config() }, Err(Misfit::HoldTime)),
        (PeerConfig { families: PerFamily { ipv4: false, ipv6: true }, ..config() }, Err(Misfit::Families)),
        (PeerConfig { graceful_restart: GracefulRestartMode::Off, ..config() }, Err(Misfit::GracefulRestart)),
        (restarter(false), Err(Misfit::GracefulRestart)),
    ];
    for (config, expected) in cases {
        assert_eq!(suspended.fits(&config), expected, "{config:?}");
    }
    let (hand, _) = Hand::established(restarter(true), &open());
    let suspended = carried(&hand.peer.suspend(hand.now).unwrap());
    assert_eq!(suspended.fits(&restarter(false)), Ok(()), "R is of the past");
}

fn capability() -> impl Strategy<Value = Capability> {
    let restart = (any::<bool>(), any::<bool>(), 0u16..4096, any::<bool>()).prop_map(|(r, n, time, f)| {
        Capability::GracefulRestart(GracefulRestart {
            restarted: r,
            notification: n,
            restart_time: time,
            families: vec![(Family::Ipv6Unicast.code(), f)],
        })
    });
    let next_hop = ExtendedNextHop { family: Family::Ipv4Unicast.code(), next_hop_afi: 2 };
    prop_oneof![
        Just(Capability::RouteRefresh),
        Just(Capability::EnhancedRouteRefresh),
        Just(Capability::ExtendedMessage),
        Just(Capability::Multiprotocol(Family::Ipv4Unicast.code())),
        Just(Capability::ExtendedNextHop(vec![next_hop])),
        restart,
        "[a-z]{1,20}".prop_map(|host| Capability::Fqdn { host, domain: String::new() }),
    ]
}

fn opens() -> impl Strategy<Value = Open> {
    let asn = prop_oneof![Just(OURS), Just(THEIRS), (1u32..u32::MAX).prop_map(Asn)];
    let hold = prop_oneof![Just(0u16), Just(3), Just(30), Just(65_535)];
    (asn, hold, prop::collection::vec(capability(), 0..6)).prop_map(|(asn, hold, more)| {
        let mut capabilities = vec![Capability::Multiprotocol(Family::Ipv6Unicast.code())];
        capabilities.extend(more);
        capabilities.push(Capability::FourOctetAs(asn));
        Open { asn, hold_time: HoldTime::new(hold).unwrap(), router_id: router_id(7), capabilities }
    })
}

/// One number of a document becomes another one.
fn spoil(value: &mut serde_json::Value, which: &mut usize, with: u64) {
    match value {
        serde_json::Value::Number(number) => {
            if *which == 0 {
                *number = with.into();
            }
            *which = which.wrapping_sub(1);
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(|value| spoil(value, which, with)),
        serde_json::Value::Object(fields) => {
            fields.values_mut().for_each(|value| spoil(value, which, with));
        }
        _ => {}
    }
}

/// RFC 8654 section 4: our OPEN has offered long messages, whatever the peer's own says.
#[test]
fn long_messages_go_on_being_read() {
    let (hand, id) = Hand::established(config(), &open());
    assert!(!hand.negotiated().extended_message);
    let (mut peer, _) = resumed(&hand, config(), id);
    let withdrawn = [8, 10].repeat(2500);
    let mut long = vec![0xff; 16];
    long.extend_from_slice(&u16::try_from(23 + withdrawn.len()).unwrap().to_be_bytes());
    long.push(2);
    long.extend_from_slice(&u16::try_from(withdrawn.len()).unwrap().to_be_bytes());
    long.extend_from_slice(&withdrawn);
    long.extend_from_slice(&[0, 0]);
    let mut out = Vec::new();
    peer.receive(id, &mut BytesMut::from(&long[..]), hand.now, &mut out);
    assert!(matches!(&out[..], [Output::Update(_)]), "{out:?}");
}

proptest! {
    #[test]
    fn what_was_agreed_on_is_the_same_afterwards(open in opens()) {
        let remote_as = if open.asn == OURS { RemoteAs::Internal } else { RemoteAs::External };
        let config = PeerConfig { remote_as, ..config() };
        let (hand, id) = Hand::established(config.clone(), &open);
        let before: Negotiated = hand.negotiated();
        let suspended = hand.peer.suspend(hand.now).unwrap();
        prop_assert_eq!(&carried(&suspended), &suspended);
        prop_assert_eq!(suspended.fits(&config), Ok(()));
        let (peer, _) = resumed(&hand, config, id);
        prop_assert_eq!(peer.status().negotiated, Some(before));
    }

    #[test]
    fn what_is_no_session_is_refused_and_never_panics(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(serde_json::from_slice::<Suspended>(&octets).is_err());
    }

    #[test]
    fn a_spoiled_number_never_panics(which in 0usize..120, with in any::<u64>()) {
        let (hand, id) = Hand::established(config(), &open());
        let mut value = serde_json::to_value(hand.peer.suspend(hand.now).unwrap()).unwrap();
        let mut which = which;
        spoil(&mut value, &mut which, with);
        if let Ok(suspended) = serde_json::from_value::<Suspended>(value) {
            let mut out = Vec::new();
            // Whatever it says, it is a session or it is refused.
            if let Ok(mut peer) = Peer::resume(config(), &suspended, id, 7, hand.now, &mut out) {
                prop_assert_eq!(peer.status().state, StateName::Established);
                peer.tick(hand.now + secs(3600 * 48), &mut out);
            }
        }
    }
}

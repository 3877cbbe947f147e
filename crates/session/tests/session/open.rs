//! OPENs: what we send, what we make of the peer's, and what a wrong one costs. RFC 4271 section 6.2.

use std::time::Duration;

use bgp_session::{
    ConnectionId, Direction, DownReason, Endpoints, Forwarding, GracefulRestartMode, LongLived, Mode,
    Negotiated, Output, OwnRestart, PeerConfig, RemoteAs, RouteRetention, StateName,
};
use bgp_wire::capability::{Capability, ExtendedNextHop, GracefulRestart, LongLived as LongLivedEntry};
use bgp_wire::message::{self, Message};
use bgp_wire::notification::Notification;
use bgp_wire::open::{HoldTime, Open};
use bgp_wire::route_refresh::{RouteRefresh, Subtype};
use bgp_wire::{Asn, Family, FamilyCode, PerFamily};

use crate::hand::{Hand, OURS, THEIRS, config, open, open_of, read, router_id};

const BOTH: PerFamily<bool> = PerFamily { ipv4: true, ipv6: true };

fn our_open(config: PeerConfig) -> Open {
    let mut hand = Hand::new(config);
    hand.connect(Direction::Incoming);
    match hand.take_sent().into_iter().next() {
        Some(Message::Open(open)) => open,
        other => panic!("{other:?}"),
    }
}

fn negotiated(config: PeerConfig, open: &Open) -> Negotiated {
    Hand::established(config, open).0.negotiated()
}

/// What an OPEN costs that is not accepted.
fn refused(config: PeerConfig, open: &Open) -> (Notification, String) {
    let mut hand = Hand::new(PeerConfig { mode: Mode::Passive, ..config });
    let id = hand.connect(Direction::Incoming);
    hand.take();
    hand.say(id, &open.encode());
    assert_eq!(hand.state(), StateName::Active);
    (hand.take_notification().unwrap(), hand.peer.status().last_failure.unwrap().0)
}

fn with(capabilities: Vec<Capability>) -> Open {
    Open { capabilities, ..open() }
}

#[test]
fn ours_says_everything_that_we_can() {
    let sent = our_open(PeerConfig { hostname: Some("host".to_owned()), ..config() });
    assert_eq!((sent.asn, sent.router_id, sent.hold_time), (OURS, router_id(1), HoldTime::new(90).unwrap()));
    let ipv4 = Family::Ipv4Unicast.code();
    assert_eq!(
        sent.capabilities,
        [
            Capability::Multiprotocol(ipv4),
            Capability::Multiprotocol(Family::Ipv6Unicast.code()),
            Capability::RouteRefresh,
            Capability::ExtendedNextHop(vec![ExtendedNextHop { family: ipv4, next_hop_afi: 2 }]),
            Capability::ExtendedMessage,
            // A helper: no family, no time, RFC 4724 section 3.
            Capability::GracefulRestart(GracefulRestart { notification: true, ..GracefulRestart::default() }),
            Capability::FourOctetAs(OURS),
            Capability::EnhancedRouteRefresh,
            Capability::Fqdn { host: "host".to_owned(), domain: String::new() },
        ]
    );
}

/// RFC 4271 section 4.2: "the same for every local interface and BGP peer".
#[test]
fn our_identifier_is_the_same_on_every_connection() {
    let mut hand = Hand::new(config());
    let ways = [
        (Direction::Outgoing, "172.50.0.1:41000", "172.50.0.2:179"),
        (Direction::Incoming, "[2001:db8::1]:179", "[2001:db8::2]:41000"),
        (Direction::Incoming, "192.0.2.1:179", "192.0.2.2:41000"),
    ];
    for (number, (direction, local, remote)) in (1..).zip(ways) {
        let endpoints = Endpoints { local: local.parse().unwrap(), remote: remote.parse().unwrap() };
        hand.peer.connected(ConnectionId(number), direction, endpoints, hand.now, &mut hand.out);
        let sent = hand.take_sent();
        let ours =
            |message: &Message| matches!(message, Message::Open(open) if open.router_id == router_id(1));
        assert!(sent.iter().any(ours), "over {local}: {sent:?}");
    }
    let other = PeerConfig::new(OURS, router_id(1), RemoteAs::Internal);
    assert_eq!(our_open(other).router_id, router_id(1));
}

#[test]
fn ours_says_no_more_than_is_configured() {
    let families = PerFamily { ipv4: false, ipv6: true };
    let sent = our_open(PeerConfig { families, graceful_restart: GracefulRestartMode::Off, ..config() });
    let absent = |capability: &Capability| {
        matches!(
            capability,
            Capability::ExtendedNextHop(_) | Capability::GracefulRestart(_) | Capability::Fqdn { .. }
        ) || *capability == Capability::Multiprotocol(Family::Ipv4Unicast.code())
    };
    assert!(!sent.capabilities.iter().any(absent), "{:?}", sent.capabilities);
}

#[test]
fn a_large_as_number_of_ours() {
    let large = Asn(4_200_000_000);
    assert_eq!(our_open(PeerConfig { local_asn: large, ..config() }).asn, large);
}

#[test]
fn long_lived_graceful_restart_of_the_peer() {
    let long = |family: Family, forwarding, stale_time| LongLivedEntry {
        family: family.code(),
        forwarding,
        stale_time,
    };
    let entries = vec![long(Family::Ipv6Unicast, true, 7200), long(Family::Ipv4Unicast, false, 60)];
    let restart = GracefulRestart { restart_time: 5, notification: true, ..GracefulRestart::default() };
    let families =
        [Family::Ipv4Unicast, Family::Ipv6Unicast].map(|family| Capability::Multiprotocol(family.code()));
    let theirs = with(
        families
            .iter()
            .cloned()
            .chain([
                Capability::LongLivedGracefulRestart(entries.clone()),
                Capability::GracefulRestart(restart),
            ])
            .collect(),
    );
    let allows = PeerConfig { long_lived_stale_time: Duration::from_secs(3600), ..config() };
    let (mut hand, id) = Hand::established(allows.clone(), &theirs);
    let negotiated = hand.negotiated().graceful_restart.unwrap();
    let kept = LongLived { forwarding: Forwarding::Preserved, stale_time: Duration::from_secs(3600) };
    assert_eq!(negotiated.long_lived.ipv6, Some(kept), "as the peer asks, within what we allow");
    assert_eq!(negotiated.long_lived.ipv4.map(|long| long.forwarding), Some(Forwarding::Lost));
    assert!(negotiated.takes_long_lived);
    hand.take();
    hand.close(id);
    let RouteRetention::KeepStale { long_lived, .. } = hand.take_down().unwrap().retention else { panic!() };
    assert_eq!(long_lived.ipv4, Duration::from_secs(60));

    // Not without graceful restart, and not where we do not want it.
    let alone =
        with(families.iter().cloned().chain([Capability::LongLivedGracefulRestart(entries)]).collect());
    assert_eq!(Hand::established(allows.clone(), &alone).0.negotiated().graceful_restart, None);
    let restart = Hand::established(config(), &theirs).0.negotiated().graceful_restart.unwrap();
    assert_eq!((restart.long_lived, restart.takes_long_lived), (PerFamily::default(), false));

    // Ours goes out as ours of graceful restart does.
    let sent = our_open(allows.clone());
    assert!(sent.capabilities.contains(&Capability::LongLivedGracefulRestart(Vec::new())), "a helper");
    let full = GracefulRestartMode::Restarter { restart_time: Duration::from_secs(60), families: BOTH };
    let sent = our_open(PeerConfig { graceful_restart: full, ..allows.clone() });
    let expected = vec![long(Family::Ipv4Unicast, true, 3600), long(Family::Ipv6Unicast, true, 3600)];
    assert!(sent.capabilities.contains(&Capability::LongLivedGracefulRestart(expected)));
    let off = our_open(PeerConfig { graceful_restart: GracefulRestartMode::Off, ..allows });
    assert!(!off.capabilities.iter().any(|c| matches!(c, Capability::LongLivedGracefulRestart(_))));
}

#[test]
fn r_is_for_the_first_session_after_a_restart() {
    let own_restart = OwnRestart { restarted: true, preserved: PerFamily { ipv4: false, ipv6: true } };
    let graceful_restart =
        GracefulRestartMode::Restarter { restart_time: Duration::from_secs(60), families: BOTH };
    let config = PeerConfig { own_restart, graceful_restart, ..config() };
    let (mut hand, id) = Hand::established(config, &open());
    assert_eq!(hand.peer.config().own_restart, OwnRestart::default(), "what is forwarded now, stays");
    hand.close(id);
    assert_eq!(hand.peer.config().own_restart, OwnRestart::default());
}

#[test]
fn a_restarter_says_what_it_keeps() {
    let restarter =
        GracefulRestartMode::Restarter { restart_time: Duration::from_secs(100_000), families: BOTH };
    let own_restart = OwnRestart { restarted: true, preserved: PerFamily { ipv4: false, ipv6: true } };
    let after_a_reset = our_open(PeerConfig { graceful_restart: restarter, ..config() });
    let everything = vec![(Family::Ipv4Unicast.code(), true), (Family::Ipv6Unicast.code(), true)];
    let kept = |capability: &Capability| matches!(capability, Capability::GracefulRestart(sent) if !sent.restarted && sent.families == everything);
    assert!(after_a_reset.capabilities.iter().any(kept), "{:?}", after_a_reset.capabilities);
    let sent = our_open(PeerConfig { graceful_restart: restarter, own_restart, ..config() });
    let expected = GracefulRestart {
        restarted: true,
        notification: true,
        restart_time: 4095,
        families: vec![(Family::Ipv4Unicast.code(), false), (Family::Ipv6Unicast.code(), true)],
    };
    assert!(sent.capabilities.contains(&Capability::GracefulRestart(expected)));
}

#[test]
fn a_node_as_cilium_configures_it() {
    let theirs = with(vec![
        Capability::RouteRefresh,
        Capability::Fqdn { host: "k3d-cilium-server-0".to_owned(), domain: String::new() },
        Capability::Multiprotocol(Family::Ipv6Unicast.code()),
        Capability::FourOctetAs(THEIRS),
    ]);
    let session = negotiated(config(), &theirs);
    assert_eq!(
        (session.remote_asn, session.remote_router_id),
        (THEIRS, router_id(1)),
        "our own identifier, RFC 6286"
    );
    assert_eq!(session.families, PerFamily { ipv4: false, ipv6: true });
    assert_eq!(session.fqdn.as_deref(), Some("k3d-cilium-server-0"));
    assert!(session.four_octet_as && session.route_refresh);
    assert!(!session.extended_message && !session.enhanced_route_refresh && !session.extended_next_hop.ipv4);
    assert_eq!(session.encode().max_len, 4096);
    assert_eq!(session.graceful_restart, None);
}

#[test]
fn capabilities_of_both() {
    let ipv4 = Family::Ipv4Unicast.code();
    let theirs = with(vec![
        Capability::Multiprotocol(ipv4),
        Capability::Multiprotocol(FamilyCode { afi: 1, safi: 128 }),
        Capability::ExtendedNextHop(vec![ExtendedNextHop { family: ipv4, next_hop_afi: 2 }]),
        Capability::ExtendedMessage,
        Capability::EnhancedRouteRefresh,
        Capability::Fqdn { host: "a".to_owned(), domain: "example".to_owned() },
    ]);
    let session = negotiated(config(), &theirs);
    assert_eq!(session.families, PerFamily { ipv4: true, ipv6: false });
    assert_eq!(session.extended_next_hop, PerFamily { ipv4: true, ipv6: false });
    assert_eq!(session.encode().max_len, 65535);
    assert_eq!(session.fqdn.as_deref(), Some("a.example"));
    assert!(session.enhanced_route_refresh && !session.four_octet_as && !session.route_refresh);
}

#[test]
fn a_peer_without_capabilities_speaks_ipv4() {
    assert_eq!(negotiated(config(), &with(Vec::new())).families, PerFamily { ipv4: true, ipv6: false });
}

#[test]
fn the_smaller_hold_time_counts() {
    for (ours, theirs, both) in [(90, 30, 30), (30, 90, 30), (0, 90, 0), (90, 0, 0)] {
        let hold = |seconds| HoldTime::new(seconds).unwrap();
        let config = PeerConfig { hold_time: hold(ours), ..config() };
        let session = negotiated(config, &Open { hold_time: hold(theirs), ..open() });
        assert_eq!(session.hold_time, hold(both));
    }
}

#[test]
fn graceful_restart_of_the_peer() {
    let theirs = with(vec![
        Capability::Multiprotocol(Family::Ipv4Unicast.code()),
        Capability::Multiprotocol(Family::Ipv6Unicast.code()),
        Capability::GracefulRestart(GracefulRestart {
            restarted: true,
            notification: true,
            restart_time: 120,
            families: vec![(Family::Ipv6Unicast.code(), true), (Family::Ipv4Unicast.code(), false)],
        }),
    ]);
    let restart = negotiated(config(), &theirs).graceful_restart.unwrap();
    assert!(restart.restarted && restart.notification);
    assert_eq!(restart.restart_time, Duration::from_secs(120));
    assert_eq!(restart.forwarding.ipv4, Some(Forwarding::Lost));
    assert_eq!(restart.forwarding.ipv6, Some(Forwarding::Preserved));
    let off = PeerConfig { graceful_restart: GracefulRestartMode::Off, ..config() };
    assert_eq!(negotiated(off.clone(), &theirs).graceful_restart, None);
    assert!(
        negotiated(off.clone(), &theirs).ends_initial_routes(),
        "RFC 7313 section 4: whatever we make of it"
    );
    assert!(!negotiated(off, &open()).ends_initial_routes());
}

#[test]
fn a_wrong_as_is_refused() {
    for (remote_as, asn) in
        [(RemoteAs::Exact(THEIRS), Asn(7)), (RemoteAs::External, OURS), (RemoteAs::Internal, THEIRS)]
    {
        let (notification, why) =
            refused(PeerConfig { remote_as, ..config() }, &Open { router_id: router_id(7), ..open_of(asn) });
        assert_eq!(notification, Notification::bad_peer_as());
        assert!(
            why.contains(&format!("the peer is AS {asn}")) && why.contains(&remote_as.to_string()),
            "{why}"
        );
    }
}

#[test]
fn the_right_as_is_accepted() {
    for (remote_as, asn) in
        [(RemoteAs::External, THEIRS), (RemoteAs::Internal, OURS), (RemoteAs::Exact(OURS), OURS)]
    {
        let theirs = Open { router_id: router_id(7), ..open_of(asn) };
        assert_eq!(negotiated(PeerConfig { remote_as, ..config() }, &theirs).remote_asn, asn);
    }
}

#[test]
fn an_internal_peer_with_our_identifier_is_refused() {
    let config = PeerConfig { remote_as: RemoteAs::Internal, ..config() };
    let (notification, _) = refused(config, &open_of(OURS));
    assert_eq!(notification, Notification::bad_bgp_identifier());
}

/// RFC 5492 section 3: the data lists what the peer would have to support.
#[test]
fn no_common_family() {
    let families = PerFamily { ipv4: true, ipv6: false };
    let (notification, why) = refused(PeerConfig { families, ..config() }, &open());
    assert_eq!((notification.code, notification.subcode), (2, 7));
    assert_eq!(notification.data[..], [1, 4, 0, 1, 0, 1]);
    assert!(why.contains("we offer ipv4-unicast, the peer ipv6-unicast"), "{why}");
}

/// Code, subcode and data of a NOTIFICATION.
type Words = (u8, u8, &'static [u8]);

/// The NOTIFICATION that octets are answered with; the connection ends right after it.
fn last_words(hand: &mut Hand, id: ConnectionId, octets: &[u8]) -> (u8, u8, Vec<u8>) {
    hand.take();
    hand.say(id, octets);
    let outputs = hand.take();
    let [Output::Send(_, said), Output::Close(closed), ..] = &outputs[..] else { panic!("{outputs:?}") };
    let (Message::Notification(said), true) = (read(said), *closed == id) else { panic!("{outputs:?}") };
    (said.code, said.subcode, said.data.to_vec())
}

/// RFC 4271 section 6.1, in OpenSent and in Established. A NOTIFICATION that is too short is among what it lists, whatever
/// section 6.4 says of errors in one.
#[test]
fn broken_headers() {
    let header = |length: u16, kind: u8| [&[0xff; 16][..], &length.to_be_bytes(), &[kind]].concat();
    let mut unmarked = header(19, 4);
    unmarked[7] = 0xfe;
    let cases: [(Vec<u8>, Words); 9] = [
        (unmarked, (1, 1, &[])),
        (header(18, 4), (1, 2, &[0, 18])),
        (header(4097, 1), (1, 2, &[16, 1])),
        (header(28, 1), (1, 2, &[0, 28])),
        (header(22, 2), (1, 2, &[0, 22])),
        (header(20, 3), (1, 2, &[0, 20])),
        (header(20, 4), (1, 2, &[0, 20])),
        (header(19, 0), (1, 3, &[0])),
        (header(19, 9), (1, 3, &[9])),
    ];
    for (octets, (code, subcode, data)) in cases {
        let mut hand = Hand::new(config());
        let connection = hand.connect(Direction::Incoming);
        let (mut session, established) = Hand::established(config(), &open());
        for (hand, id) in [(&mut hand, connection), (&mut session, established)] {
            assert_eq!(last_words(hand, id, &octets), (code, subcode, data.to_vec()), "{:?}", &octets[16..]);
        }
    }
}

/// What cannot be read as an OPEN: the octets of a good one with a few changed.
#[test]
fn malformed_opens() {
    let good = open().encode();
    type Changes = &'static [(usize, u8)];
    let cases: [(Changes, Words); 6] = [
        (&[(19, 3)], (2, 1, &[0, 4])),
        (&[(22, 0), (23, 1)], (2, 6, &[])),
        (&[(22, 0), (23, 2)], (2, 6, &[])),
        (&[(24, 0), (25, 0), (26, 0), (27, 0)], (2, 3, &[])),
        (&[(29, 1)], (2, 4, &[])),
        (&[(28, 200)], (2, 0, &[])),
    ];
    for (changes, (code, subcode, data)) in cases {
        let mut octets = good.to_vec();
        for (at, value) in changes {
            octets[*at] = *value;
        }
        let mut hand = Hand::new(config());
        let id = hand.connect(Direction::Incoming);
        assert_eq!(last_words(&mut hand, id, &octets), (code, subcode, data.to_vec()), "{changes:?}");
    }
}

/// RFC 4271 section 6.4: an unknown code or subcode, or data that cannot be read, ends the connection without a word.
#[test]
fn no_error_in_a_notification_is_answered() {
    let odd = |code, subcode, data: &'static [u8]| Notification { code, subcode, data: data.into() }.encode();
    let odd = [odd(0, 0, &[]), odd(99, 77, &[]), odd(2, 200, &[]), odd(6, 2, &[9, b'a']), odd(6, 9, &[6])];
    let states = [StateName::OpenSent, StateName::OpenConfirm, StateName::Established];
    for (octets, (heard, state)) in
        odd.iter().flat_map(|odd| states.iter().enumerate().map(move |at| (odd, at)))
    {
        let mut hand = Hand::new(config());
        let id = hand.connect(Direction::Incoming);
        for message in [open().encode(), message::keepalive()].iter().take(heard) {
            hand.say(id, message);
        }
        assert!(hand.peer.status().connections == [id] && hand.peer.status().state == *state);
        hand.take();
        hand.say(id, octets);
        let outputs = hand.take();
        assert!(outputs.contains(&Output::Close(id)), "{state}: {outputs:?}");
        assert!(!outputs.iter().any(|output| matches!(output, Output::Send(..))), "{state}: {outputs:?}");
    }
}

/// RFC 6608: the subcode names the state, the data the message.
#[test]
fn messages_out_of_place() {
    let fsm_error = |subcode, kind: u8| Notification { code: 5, subcode, data: vec![kind].into() };
    let update = bgp_wire::update::encode::end_of_rib(Family::Ipv4Unicast);
    let mut hand = Hand::new(config());
    let id = hand.connect(Direction::Incoming);
    hand.take();
    hand.say(id, &update);
    assert_eq!(hand.take_notification(), Some(fsm_error(1, 2)));

    let id = hand.connect(Direction::Incoming);
    hand.say(id, &open().encode());
    hand.take();
    hand.say(id, &update);
    assert_eq!(hand.take_notification(), Some(fsm_error(2, 2)));

    let id = hand.complete(&open());
    hand.take();
    hand.say(id, &open().encode());
    let expected = fsm_error(3, 1);
    assert_eq!(hand.take_down().map(|down| down.reason), Some(DownReason::Sent(expected)));
}

/// RFC 4271 section 8.2.2: what is in it does not matter.
#[test]
fn messages_out_of_place_that_cannot_be_read() {
    let message = |kind: u8, body: &[u8]| {
        let length = u8::try_from(19 + body.len()).unwrap();
        [&[0xff; 16][..], &[0, length, kind], body].concat()
    };
    let (update, refresh) = (message(2, &[0, 9, 0, 0]), message(5, &[0, 1, 1]));
    let malformed = Capability::EnhancedRouteRefresh;
    let theirs = Open { capabilities: [open().capabilities, vec![malformed]].concat(), ..open() };
    for (octets, kind) in [(&update, 2), (&refresh, 5)] {
        let mut hand = Hand::new(config());
        let id = hand.connect(Direction::Incoming);
        hand.take();
        hand.say(id, octets);
        assert_eq!(hand.take_notification(), Some(Notification::unexpected_in_open_sent(kind)));
        let id = hand.connect(Direction::Incoming);
        hand.say(id, &theirs.encode());
        hand.take();
        hand.say(id, octets);
        assert_eq!(hand.take_notification(), Some(Notification::unexpected_in_open_confirm(kind)));
    }
    let (mut hand, id) = Hand::established(config(), &theirs);
    hand.say(id, &message(1, &[4, 0, 0, 0, 90, 1, 2, 3, 4, 0]));
    assert_eq!(hand.take_notification(), Some(Notification::unexpected_in_established(1)));
    let (mut hand, id) = Hand::established(config(), &theirs);
    hand.say(id, &refresh);
    assert_eq!(hand.take_notification().map(|n| (n.code, n.subcode)), Some((7, 1)), "here it has its place");
}

/// RFC 7313 section 5: who has not sent the capability knows no subtypes.
#[test]
fn a_refresh_of_a_peer_without_subtypes_is_a_plain_one() {
    let family = Family::Ipv6Unicast.code();
    let begin = RouteRefresh { family, subtype: Subtype::Begin };
    for enhanced in [false, true] {
        let mut theirs = open();
        theirs.capabilities.extend(enhanced.then_some(Capability::EnhancedRouteRefresh));
        let (mut hand, id) = Hand::established(config(), &theirs);
        hand.take();
        hand.say(id, &begin.encode());
        let subtype = if enhanced { Subtype::Begin } else { Subtype::Request };
        assert_eq!(hand.take(), [Output::Refresh(RouteRefresh { family, subtype })]);
    }
}

/// RFC 8654 section 4: we always offer long messages, so they may come whatever the peer's OPEN says, but not before it.
#[test]
fn extended_messages() {
    let long = |length: u16| {
        let mut octets = vec![0xff; 16];
        octets.extend_from_slice(&length.to_be_bytes());
        octets.extend_from_slice(&[3, 6, 4]);
        octets.resize(usize::from(length), 0);
        octets
    };
    for extended in [true, false] {
        let mut theirs = open();
        if extended {
            theirs.capabilities.push(Capability::ExtendedMessage);
        }
        let (mut hand, id) = Hand::established(config(), &theirs);
        assert_eq!(hand.negotiated().encode().max_len, if extended { 65535 } else { 4096 });
        hand.say(id, &long(5000));
        let reason = hand.take_down().unwrap().reason.to_string();
        assert!(reason.starts_with("the peer sent"), "{reason}");
    }
    let mut hand = Hand::new(config());
    let id = hand.connect(Direction::Incoming);
    hand.take();
    hand.say(id, &long(5000));
    assert_eq!(hand.take_notification(), Some(Notification::bad_message_length(5000)));
}

/// RFC 7313 section 5: it is ignored, and the session stays.
#[test]
fn a_refresh_of_a_subtype_that_nobody_knows_costs_nothing() {
    let mut theirs = open();
    theirs.capabilities.push(Capability::EnhancedRouteRefresh);
    let (mut hand, id) = Hand::established(config(), &theirs);
    hand.take();
    for octet in 3..=u8::MAX {
        let refresh = RouteRefresh { family: Family::Ipv6Unicast.code(), subtype: octet.into() };
        hand.say(id, &refresh.encode());
        assert_eq!(hand.take(), [Output::Refresh(refresh)], "nothing is sent, and it is no request");
    }
    assert_eq!(hand.state(), StateName::Established);
}

/// RFC 2918 section 4: only what was agreed on is asked for.
#[test]
fn a_refresh_of_a_family_that_is_not_spoken_is_ignored() {
    let refresh = |code| RouteRefresh { family: code, subtype: Subtype::Request };
    let (mut hand, id) = Hand::established(config(), &open());
    hand.take();
    let multicast = FamilyCode { afi: 2, safi: 2 };
    for code in [Family::Ipv4Unicast.code(), multicast] {
        hand.say(id, &refresh(code).encode());
    }
    assert_eq!(hand.take(), []);
    let spoken = refresh(Family::Ipv6Unicast.code());
    hand.say(id, &spoken.encode());
    assert_eq!(hand.take(), [Output::Refresh(spoken)]);
    assert_eq!(hand.state(), StateName::Established);
}

/// RFC 5492 section 3 and RFC 4724 section 3: what we do not know costs nothing, and of two instances the last counts.
#[test]
fn unknown_and_repeated_capabilities_cost_nothing() {
    let restart = |restart_time| {
        Capability::GracefulRestart(GracefulRestart {
            restart_time,
            families: vec![(Family::Ipv6Unicast.code(), true)],
            ..GracefulRestart::default()
        })
    };
    let mut theirs = open();
    theirs.capabilities.push(Capability::Unknown { code: 200, value: vec![1, 2, 3].into() });
    theirs.capabilities.extend([restart(10), Capability::RouteRefresh, restart(20)]);
    let entry = ExtendedNextHop { family: Family::Ipv4Unicast.code(), next_hop_afi: 2 };
    theirs.capabilities.push(Capability::ExtendedNextHop(vec![entry]));
    let session = negotiated(config(), &theirs);
    assert_eq!(session.graceful_restart.unwrap().restart_time, Duration::from_secs(20));
    assert_eq!(session.families, PerFamily { ipv4: false, ipv6: true });
    assert!(!session.extended_next_hop.ipv4, "of a family that is not spoken");
}

#[test]
fn octets_may_come_in_any_pieces() {
    let stream: Vec<u8> = [open().encode(), message::keepalive(), message::keepalive()].concat();
    let mut hand = Hand::new(config());
    let id = hand.connect(Direction::Incoming);
    let mut buffer = bytes::BytesMut::new();
    for octet in stream {
        buffer.extend_from_slice(&[octet]);
        hand.peer.receive(id, &mut buffer, hand.now, &mut hand.out);
    }
    assert_eq!(hand.state(), StateName::Established);
    assert_eq!(hand.peer.status().counters.received.keepalive, 2);
}

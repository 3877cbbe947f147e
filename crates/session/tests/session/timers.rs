//! The timers to the millisecond: hold, keepalive, connect retry, send hold, idle hold.

use std::time::Duration;

use bgp_session::{
    Command, Direction, DownReason, Exceeded, MessageKind, Mode, Output, PeerConfig, RouteRetention,
    SendHold, StateName,
};
use bgp_wire::message::{self, Message};
use bgp_wire::notification::{CeaseCode, Notification};
use bgp_wire::open::{HoldTime, Open};
use bgp_wire::{Asn, Family, PerFamily};

use crate::hand::{Hand, config, endpoints, open, open_of};

const MILLI: Duration = Duration::from_millis(1);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn passive() -> PeerConfig {
    PeerConfig { mode: Mode::Passive, ..config() }
}

fn keepalives(hand: &mut Hand) -> usize {
    hand.take_sent().iter().filter(|message| matches!(message, Message::Keepalive)).count()
}

#[test]
fn hold_timer() {
    let (mut hand, id) =
        Hand::established(passive(), &Open { hold_time: HoldTime::new(9).unwrap(), ..open() });
    hand.pass(secs(8));
    hand.say(id, &message::keepalive());
    hand.pass(secs(9) - MILLI);
    assert_eq!(hand.state(), StateName::Established);
    hand.take();
    hand.pass(MILLI);
    assert_eq!(hand.state(), StateName::Active);
    let expired = Notification::hold_timer_expired();
    let [Output::Send(_, octets), Output::Close(closed), Output::Down(down), ..] = &hand.take()[..] else {
        panic!()
    };
    assert_eq!(*octets, expired.encode());
    assert_eq!(*closed, id);
    assert_eq!(down.reason, DownReason::Sent(expired));
    assert_eq!(down.lasted, secs(17));
}

#[test]
fn an_update_is_as_good_as_a_keepalive() {
    let (mut hand, id) = Hand::established(passive(), &open());
    for heard in [bgp_wire::update::encode::end_of_rib(Family::Ipv6Unicast), message::keepalive()] {
        hand.pass(secs(89));
        hand.say(id, &heard);
    }
    hand.pass(secs(90) - MILLI);
    assert_eq!(hand.state(), StateName::Established);
    hand.pass(MILLI);
    assert_eq!(hand.state(), StateName::Active);
}

#[test]
fn hold_timer_before_the_session() {
    let mut hand = Hand::new(passive());
    let id = hand.connect(Direction::Incoming);
    assert_eq!(hand.due(), Some(secs(240)));
    hand.say(id, &open().encode());
    hand.pass(secs(90) - MILLI);
    assert_eq!(hand.state(), StateName::OpenConfirm);
    hand.pass(MILLI);
    assert_eq!(hand.state(), StateName::Active);
    // Without a hold time, a silent peer is not waited for without end.
    let id = hand.connect(Direction::Incoming);
    hand.say(id, &Open { hold_time: HoldTime::Off, ..open() }.encode());
    assert_eq!(hand.due(), Some(secs(240)));
}

#[test]
fn keepalives_come_at_a_third_of_the_hold_time_less_jitter() {
    let (mut hand, id) = Hand::established(passive(), &open());
    hand.take();
    let mut seen = Vec::new();
    for _ in 0..50 {
        let due = hand.due().unwrap();
        assert!((22_500..=30_000).contains(&due.as_millis()), "{due:?}");
        seen.push(due.as_millis());
        hand.pass(due - MILLI);
        assert_eq!(keepalives(&mut hand), 0);
        hand.pass(MILLI);
        assert_eq!(keepalives(&mut hand), 1);
        hand.say(id, &message::keepalive());
    }
    // All over the quarter, and not twice the same.
    let quarters = [22_500, 24_375, 26_250, 28_125, 30_001];
    for ends in quarters.windows(2) {
        assert!(seen.iter().any(|due| (ends[0]..ends[1]).contains(due)), "none in {ends:?}: {seen:?}");
    }
    assert!(seen.windows(2).all(|two| two[0] != two[1]), "{seen:?}");
}

/// RFC 4271 section 4.4: not more often than once a second, jitter or not.
#[test]
fn the_shortest_hold_time_brings_one_keepalive_a_second() {
    let hold_time = HoldTime::new(3).unwrap();
    let (mut hand, id) = Hand::established(passive(), &Open { hold_time, ..open() });
    hand.take();
    for _ in 0..20 {
        assert_eq!(hand.due(), Some(secs(1)));
        hand.pass(secs(1));
        assert_eq!(keepalives(&mut hand), 1);
        hand.say(id, &message::keepalive());
    }
}

#[test]
fn an_update_of_ours_puts_the_keepalive_off() {
    let (mut hand, _) = Hand::established(passive(), &open());
    hand.pass(secs(20));
    hand.take();
    hand.peer.note_sent(MessageKind::Update, 3, 90, hand.now);
    hand.pass(secs(22));
    assert_eq!(keepalives(&mut hand), 0);
    assert_eq!(hand.peer.status().counters.sent.update, 3);
}

#[test]
fn a_configured_keepalive_time_counts_where_it_is_shorter() {
    for (configured, expected) in [(5, 5), (100, 30)] {
        let config = PeerConfig { keepalive: Some(secs(configured)), ..passive() };
        let (hand, _) = Hand::established(config, &open());
        assert_eq!(hand.negotiated().keepalive, Some(secs(expected)));
    }
}

#[test]
fn no_timers_where_the_hold_time_is_off() {
    let (mut hand, id) = Hand::established(passive(), &Open { hold_time: HoldTime::Off, ..open() });
    assert_eq!(hand.due(), None);
    hand.peer.send_blocked(id, hand.now);
    assert_eq!(hand.due(), None);
}

/// 8 minutes or twice the hold time, whichever is longer: RFC 9687 section 6. What ends with it: sections 4.3 and 5.
#[test]
fn send_hold_timer() {
    for (hold, expected) in [(90, 480), (3600, 7200)] {
        let hold_time = HoldTime::new(hold).unwrap();
        let (mut hand, id) =
            Hand::established(PeerConfig { hold_time, ..config() }, &Open { hold_time, ..open() });
        hand.pass(secs(1));
        hand.peer.send_blocked(id, hand.now);
        let blocked = hand.now;
        hand.pass(secs(2));
        // The peer takes some, but more waits: the timer begins anew; saying again that it waits changes nothing.
        hand.peer.sent(id);
        hand.peer.send_blocked(id, hand.now);
        for _ in 0..(expected - 1) {
            hand.pass(secs(1));
            hand.say(id, &message::keepalive());
            hand.peer.send_blocked(id, hand.now);
        }
        hand.pass(secs(1) - MILLI);
        assert_eq!(hand.state(), StateName::Established);
        hand.take();
        hand.pass(MILLI);
        assert_eq!(hand.now, blocked + secs(2 + expected));
        let outputs = hand.take();
        let [Output::Send(_, said), Output::Close(closed), Output::Down(down), ..] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        assert_eq!((said, *closed), (&Notification::send_hold_timer_expired().encode(), id));
        assert_eq!(
            (&down.reason, down.retention),
            (&DownReason::SendHoldTimerExpired, RouteRetention::Remove)
        );
        let next = down.next_attempt.unwrap() - hand.now;
        assert!(next >= secs(1) * 3 / 4 && next <= secs(1), "{next:?}");
        let why = hand.peer.status().last_failure.unwrap().0;
        assert!(why.contains("send hold timer expired"), "what is logged and shown: {why}");
    }
}

#[test]
fn a_configured_send_hold_time_counts_whatever_the_hold_time_is() {
    for hold_time in [HoldTime::Off, HoldTime::new(90).unwrap()] {
        let config = PeerConfig { send_hold: SendHold::After(secs(100)), hold_time, ..passive() };
        let (mut hand, id) = Hand::established(config, &Open { hold_time, ..open() });
        hand.peer.send_blocked(id, hand.now);
        hand.pass(secs(80));
        hand.say(id, &message::keepalive());
        hand.pass(secs(20) - MILLI);
        assert_eq!(hand.state(), StateName::Established);
        hand.take();
        hand.pass(MILLI);
        assert_eq!(hand.take_down().unwrap().reason, DownReason::SendHoldTimerExpired);
    }
    let config = PeerConfig { send_hold: SendHold::Off, ..passive() };
    let (mut hand, id) = Hand::established(config, &open());
    hand.peer.send_blocked(id, hand.now);
    for _ in 0..100 {
        hand.pass(secs(60));
        hand.say(id, &message::keepalive());
    }
    assert_eq!(hand.state(), StateName::Established);
}

#[test]
fn a_peer_that_reads_again_stops_the_send_hold_timer() {
    let (mut hand, id) = Hand::established(passive(), &open());
    hand.peer.send_blocked(id, hand.now);
    hand.peer.sent(id);
    for _ in 0..20 {
        hand.pass(secs(60));
        hand.say(id, &message::keepalive());
    }
    assert_eq!(hand.state(), StateName::Established);
}

#[test]
fn dials_that_fail_are_repeated_ever_more_slowly() {
    let mut hand = Hand::new(config());
    assert!(hand.take().contains(&Output::Dial));
    let mut shortened = Vec::new();
    for most in [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
        hand.refuse_dial();
        assert_eq!(hand.state(), StateName::Active);
        let pause = hand.due().unwrap();
        assert!((most * 3 / 4..=most).contains(&pause.as_millis()), "{pause:?} of {most}");
        shortened.push(most - pause.as_millis());
        hand.take();
        hand.pass(pause - MILLI);
        assert_eq!(hand.take(), []);
        hand.pass(MILLI);
        assert!(hand.take().contains(&Output::Dial));
    }
    assert!(shortened.iter().filter(|by| **by > 0).count() > 5, "RFC 4271 section 10: {shortened:?}");
}

#[test]
fn a_dial_without_an_answer_is_made_anew() {
    let mut hand = Hand::new(config());
    hand.take();
    hand.pass(secs(10) - MILLI);
    assert_eq!(hand.take(), []);
    hand.pass(MILLI);
    assert_eq!(hand.take(), [Output::AbortDial, Output::Dial]);
}

/// What needs somebody's hand is not tried every second; what may heal by itself is.
#[test]
fn the_pause_after_a_session_is_as_long_as_its_cause() {
    let cases = [
        (Notification::cease(CeaseCode::AdministrativeReset, None), 1),
        (Notification::cease(CeaseCode::OtherConfigurationChange, None), 1),
        (Notification::hold_timer_expired(), 1),
        (Notification::cease(CeaseCode::AdministrativeShutdown, Some("bye")), 60),
        (Notification::cease(CeaseCode::PeerDeconfigured, None), 60),
        (Notification::cease(CeaseCode::MaximumPrefixes, None), 60),
        (Notification::hard_reset(&Notification::cease(CeaseCode::PeerDeconfigured, None)), 60),
        (Notification::hard_reset(&Notification::cease(CeaseCode::AdministrativeReset, None)), 1),
    ];
    for (notification, most) in cases {
        let (mut hand, id) = Hand::established(config(), &open());
        hand.pass(secs(61));
        hand.say(id, &notification.encode());
        let next = hand.take_down().unwrap().next_attempt.unwrap() - hand.now;
        assert!(next <= secs(most) && next >= secs(most) * 3 / 4, "{notification}: {next:?}");
        assert_eq!(hand.due(), Some(next));
    }
    // An OPEN that one of both does not take, before there is a session.
    let ipv4 = PeerConfig { families: PerFamily { ipv4: true, ipv6: false }, ..config() };
    for (config, answer) in [
        (config(), Notification::unsupported_capability(vec![1, 4, 0, 1, 0, 1].into()).encode()),
        (config(), Notification::bad_peer_as().encode()),
        (ipv4, open().encode()),
        (config(), open_of(Asn(7)).encode()),
    ] {
        let mut hand = Hand::new(config);
        let id = hand.connect(Direction::Outgoing);
        hand.say(id, &answer);
        assert_eq!(hand.state(), StateName::Active);
        let next = hand.due().unwrap();
        assert!(next <= secs(60) && next >= secs(45), "{next:?}");
    }
}

/// Sessions that fall right after they came up are not dialled for every second; one that lasted is forgiven.
#[test]
fn short_sessions_count_as_failures() {
    let mut hand = Hand::new(config());
    let mut pauses = Vec::new();
    for lasts in [1, 1, 1, 1, 60] {
        let id = hand.complete(&open());
        hand.pass(secs(lasts));
        hand.close(id);
        pauses.push(hand.due().unwrap().as_secs_f32().ceil());
    }
    assert!(pauses[0] <= 1.0 && pauses[3] >= 6.0 && pauses[4] <= 1.0, "{pauses:?}");
}

#[test]
fn maximum_prefix_with_and_without_a_way_back() {
    let exceeded = Exceeded { family: Family::Ipv6Unicast, limit: 100 };
    let (mut hand, _) = Hand::established(passive(), &open());
    hand.take();
    hand.command(Command::MaximumPrefix { exceeded, restart_after: Some(secs(300)) });
    let notification = hand.take_notification().unwrap();
    assert_eq!((notification.code, notification.subcode), (6, 1));
    assert_eq!(notification.data[..], [0, 2, 1, 0, 0, 0, 100]);
    assert_eq!(hand.due(), Some(secs(300)));
    let refused = hand.connect(Direction::Incoming);
    assert!(hand.take().contains(&Output::Close(refused)));
    hand.pass(secs(300));
    hand.complete(&open());
    hand.command(Command::MaximumPrefix { exceeded, restart_after: None });
    assert_eq!(hand.due(), None);
    assert_eq!(hand.state(), StateName::Idle);
    hand.command(Command::Start);
    hand.complete(&open());
}

#[test]
fn another_limit_lets_in_who_was_over_the_last_one_and_nobody_else() {
    let exceeded = Exceeded { family: Family::Ipv6Unicast, limit: 100 };
    let (mut hand, _) = Hand::established(passive(), &open());
    hand.command(Command::LiftLimit);
    assert_eq!(hand.state(), StateName::Established);
    hand.command(Command::MaximumPrefix { exceeded, restart_after: None });
    hand.command(Command::LiftLimit);
    assert_eq!(hand.state(), StateName::Active);
    hand.complete(&open());
    hand.command(Command::Shutdown(String::new()));
    hand.command(Command::LiftLimit);
    assert_eq!(hand.state(), StateName::Idle);
}

/// Neither a dial nor a back-off of ours keeps a peer out: a connection of its own is taken at once.
#[test]
fn a_peer_that_dials_is_taken_while_we_dial_and_during_any_pause() {
    let mut hand = Hand::new(config());
    assert!(hand.take().contains(&Output::Dial) && hand.state() == StateName::Connect);
    hand.complete(&open());
    assert_eq!(hand.negotiated().direction, Direction::Incoming);
    assert!(hand.take().contains(&Output::AbortDial));

    let mut hand = Hand::new(config());
    for _ in 0..8 {
        hand.refuse_dial();
        hand.pass(hand.due().unwrap());
    }
    hand.refuse_dial();
    assert!(hand.due().unwrap() > secs(40));
    hand.complete(&open());
    assert_eq!(hand.negotiated().endpoints, endpoints());
}

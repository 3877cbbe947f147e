//! What happens to sessions: peers that only dial, hosts that reboot, cuts, operators, graceful restart.

use std::time::Duration;

use bgp_session::{
    Command, Direction, DownReason, Exceeded, GracefulRestartMode, Mode, Note, Output, PeerConfig, RemoteAs,
    RouteRetention, StateName, Takes,
};
use bgp_wire::capability::{Capability, GracefulRestart};
use bgp_wire::notification::{CeaseCode, Notification};
use bgp_wire::open::Open;
use bgp_wire::{Family, PerFamily};

use crate::hand::{Hand, OURS, THEIRS, config, open, router_id};
use crate::sim::Sim;

const HOST: usize = 0;
const NODE: usize = 1;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The host in its mode, and a node that dials and does not listen.
fn lab(host: Mode) -> Sim {
    let node = PeerConfig::new(THEIRS, router_id(1), RemoteAs::Exact(OURS));
    let configs = [PeerConfig { mode: host, ..config() }, PeerConfig { mode: Mode::Active, ..node }];
    let mut sim = Sim::new(configs, 3);
    sim.sides[NODE].listens = false;
    sim
}

fn up(sim: &Sim) -> bool {
    sim.sides[HOST].session().is_some() && sim.sides[HOST].session() == sim.sides[NODE].session()
}

#[test]
fn a_node_that_only_dials_is_up_at_once() {
    for mode in [Mode::Passive, Mode::Both] {
        let mut sim = lab(mode);
        sim.start(HOST);
        sim.run(secs(1000));
        assert!(sim.sides[HOST].downs.is_empty() && sim.sides[HOST].ups.is_empty());
        sim.start(NODE);
        sim.run(Duration::from_millis(100));
        assert!(up(&sim), "{mode}");
    }
}

#[test]
fn an_agent_that_dies_is_back_at_its_next_dial() {
    let mut sim = lab(Mode::Both);
    sim.start(HOST);
    sim.start(NODE);
    sim.run(secs(100));
    sim.kill(NODE);
    sim.run(Duration::from_millis(100));
    assert!(up(&sim));
    let reasons: Vec<&str> = sim.sides[HOST].downs.iter().map(|down| down.reason.label()).collect();
    assert_eq!(reasons, ["connection-closed"]);
}

#[test]
fn a_node_that_loses_power_is_back_at_its_next_dial() {
    for mode in [Mode::Passive, Mode::Both] {
        let mut sim = lab(mode);
        sim.start(HOST);
        sim.start(NODE);
        sim.run(secs(100));
        sim.reboot(NODE);
        sim.run(Duration::from_millis(100));
        assert!(up(&sim), "{mode}");
        assert_eq!(sim.sides[HOST].downs[0].reason, DownReason::Replaced);
    }
}

#[test]
fn a_cut_shorter_than_the_hold_time_costs_nothing() {
    let mut sim = lab(Mode::Both);
    sim.start(HOST);
    sim.start(NODE);
    sim.run(secs(100));
    sim.cut();
    sim.run(secs(50));
    sim.heal();
    sim.run(secs(500));
    assert!(up(&sim) && sim.sides[HOST].downs.is_empty() && sim.sides[NODE].downs.is_empty());
}

#[test]
fn a_long_cut_ends_the_session_and_both_come_back() {
    let mut sim = Sim::new([config(), PeerConfig::new(THEIRS, router_id(1), RemoteAs::Exact(OURS))], 9);
    sim.start(HOST);
    sim.start(NODE);
    sim.run(secs(100));
    sim.cut();
    sim.run(secs(600));
    assert!(sim.sides.iter().all(|side| side.state() == StateName::Connect));
    assert!(
        sim.sides
            .iter()
            .all(|side| side.downs[0].reason == DownReason::Sent(Notification::hold_timer_expired()))
    );
    sim.heal();
    sim.run(secs(11));
    assert!(up(&sim));
}

#[test]
fn an_operator_ends_and_starts_a_session_with_a_reason() {
    let mut sim = lab(Mode::Both);
    sim.start(HOST);
    sim.start(NODE);
    sim.run(secs(1));
    sim.with(HOST, |peer, now, out| peer.command(Command::Shutdown("disk is full".to_owned()), now, out));
    sim.run(secs(300));
    let heard = sim.sides[NODE].downs[0].reason.to_string();
    assert!(heard.contains("Administrative Shutdown") && heard.contains("disk is full"), "{heard}");
    assert_eq!(sim.sides[HOST].state(), StateName::Idle);
    let status = sim.sides[HOST].peer.status();
    assert!(status.why_not_up(sim.now).unwrap().starts_with("administratively shut down: disk is full"));
    let told = sim.sides[NODE].peer.status().why_not_up(sim.now).unwrap();
    assert!(told.contains("disk is full") && told.contains("next dial in"), "{told}");
    assert!(sim.sides[HOST].notes.iter().any(|note| matches!(note, Note::Refused { .. })));
    sim.with(HOST, |peer, now, out| peer.command(Command::Start, now, out));
    sim.run(secs(61));
    assert!(up(&sim));
}

#[test]
fn a_reset_comes_back_by_itself() {
    let mut sim = Sim::new([config(), PeerConfig::new(THEIRS, router_id(1), RemoteAs::Exact(OURS))], 5);
    sim.start(HOST);
    sim.start(NODE);
    sim.run(secs(1));
    sim.with(HOST, |peer, now, out| peer.command(Command::Reset("new filter".to_owned()), now, out));
    sim.run(secs(2));
    assert!(up(&sim));
    assert_eq!(sim.sides[HOST].ups.len(), 2);
}

#[test]
fn a_peer_that_is_configured_down_stays_down_until_started() {
    let mut hand = Hand::new(PeerConfig { shutdown: Some("later".to_owned()), ..config() });
    assert_eq!(hand.take(), []);
    let id = hand.connect(Direction::Incoming);
    let outputs = hand.take();
    assert!(outputs.contains(&Output::Close(id)));
    let refusal = Notification::cease(CeaseCode::AdministrativeShutdown, Some("later"));
    assert!(outputs.contains(&Output::Send(id, refusal.encode())));
    let up = PeerConfig { shutdown: None, ..hand.peer.config().clone() };
    assert_eq!(hand.peer.set_config(up, hand.now, &mut hand.out), Takes::AtOnce);
    hand.complete(&open());
}

#[test]
fn an_active_peer_is_not_taken_when_it_dials() {
    let mut hand = Hand::new(PeerConfig { mode: Mode::Active, ..config() });
    hand.refuse_dial();
    let id = hand.connect(Direction::Incoming);
    let outputs = hand.take();
    let refusal = Notification::cease(CeaseCode::ConnectionRejected, None);
    assert!(outputs.contains(&Output::Send(id, refusal.encode())) && outputs.contains(&Output::Close(id)));
    assert_eq!(hand.state(), StateName::Active);
}

#[test]
fn a_changed_configuration_says_when_it_counts() {
    let (mut hand, _) = Hand::established(config(), &open());
    let slower = PeerConfig { connect_retry: secs(5), ..config() };
    assert_eq!(hand.peer.set_config(slower.clone(), hand.now, &mut hand.out), Takes::AtOnce);
    let named = PeerConfig { hostname: Some("host".to_owned()), ..slower };
    assert_eq!(hand.peer.set_config(named, hand.now, &mut hand.out), Takes::NextSession);
    assert_eq!(hand.state(), StateName::Established);
}

#[test]
fn a_mode_that_changes_is_acted_on() {
    let mut hand = Hand::new(PeerConfig { mode: Mode::Passive, ..config() });
    assert_eq!(hand.due(), None);
    hand.peer.set_config(config(), hand.now, &mut hand.out);
    hand.pass(Duration::ZERO);
    assert!(hand.take().contains(&Output::Dial));
    hand.peer.set_config(PeerConfig { mode: Mode::Passive, ..config() }, hand.now, &mut hand.out);
    assert!(hand.take().contains(&Output::AbortDial));
    assert_eq!((hand.state(), hand.due()), (StateName::Active, None));
}

/// The one line that `show neighbors` has for a peer that is not up.
#[test]
fn the_status_says_why_and_when() {
    let mut hand = Hand::new(config());
    let why = |hand: &Hand| hand.peer.status().why_not_up(hand.now).unwrap();
    assert_eq!(why(&hand), "dialling");
    hand.refuse_dial();
    assert_eq!(
        why(&hand),
        "waiting before the next dial; last: dial failed: Connection refused; next dial in 1s"
    );
    let id = hand.connect(Direction::Incoming);
    assert!(why(&hand).starts_with("connected, waiting for the peer's OPEN"));
    hand.say(id, &open().encode());
    assert!(why(&hand).starts_with("OPENs agree, waiting for the peer's KEEPALIVE"));
    hand.close(id);
    assert!(why(&hand).contains("last: connection lost: connection reset by peer; next dial in "));
    hand.complete(&open());
    assert_eq!(hand.peer.status().why_not_up(hand.now), None);
    let passive = Hand::new(PeerConfig { mode: Mode::Passive, ..config() });
    assert_eq!(why(&passive), "waiting for the peer to connect");
}

fn restarting(notification: bool) -> Open {
    let mut theirs = open();
    theirs.capabilities.push(Capability::GracefulRestart(GracefulRestart {
        restarted: false,
        notification,
        restart_time: 120,
        families: vec![(Family::Ipv6Unicast.code(), true)],
    }));
    theirs
}

/// What is kept for a peer that has set N, or not.
const fn kept(notification: bool) -> RouteRetention {
    RouteRetention::KeepStale {
        long_lived: PerFamily { ipv4: Duration::ZERO, ipv6: Duration::ZERO },
        time: Duration::from_secs(120),
        families: PerFamily { ipv4: false, ipv6: true },
        stale_stays: notification,
    }
}
const KEPT: RouteRetention = kept(true);

/// RFC 4724 section 4.2: only a session that ended without a NOTIFICATION.
#[test]
fn graceful_restart_keeps_routes_when_the_connection_is_lost() {
    let (mut hand, id) = Hand::established(config(), &restarting(false));
    hand.close(id);
    assert_eq!(hand.take_down().unwrap().retention, kept(false));

    let (mut hand, id) = Hand::established(config(), &restarting(false));
    hand.say(id, &Notification::cease(CeaseCode::AdministrativeReset, None).encode());
    assert_eq!(hand.take_down().unwrap().retention, RouteRetention::Remove);

    let (mut hand, _) = Hand::established(config(), &restarting(false));
    hand.pass(secs(90));
    assert_eq!(hand.take_down().unwrap().retention, RouteRetention::Remove);
}

/// RFC 8538 section 4: with N of both sides, NOTIFICATIONs and the hold timer too.
#[test]
fn the_n_bit_keeps_routes_after_notifications() {
    let removed = RouteRetention::Remove;
    let leaving = Notification::cease(CeaseCode::PeerDeconfigured, None);
    for (notification, retention) in [
        (Notification::cease(CeaseCode::AdministrativeReset, None), KEPT),
        (Notification::hold_timer_expired(), KEPT),
        (Notification::hard_reset(&Notification::cease(CeaseCode::AdministrativeReset, None)), removed),
        (Notification::cease(CeaseCode::AdministrativeShutdown, None), removed),
        (leaving, removed),
    ] {
        let (mut hand, id) = Hand::established(config(), &restarting(true));
        hand.say(id, &notification.encode());
        assert_eq!(hand.take_down().unwrap().retention, retention, "{notification}");
    }
    let (mut hand, _) = Hand::established(config(), &restarting(true));
    hand.pass(secs(90));
    assert_eq!(hand.take_down().unwrap().retention, KEPT);
}

#[test]
fn a_new_connection_of_a_restarted_peer_keeps_its_routes() {
    let (mut hand, _) = Hand::established(config(), &restarting(true));
    hand.complete(&restarting(true));
    let down = hand.take_down().unwrap();
    assert_eq!((down.reason, down.retention), (DownReason::Replaced, KEPT));
}

/// The operator's word is final, and so is a limit: nothing is kept here, and a Hard Reset has the peer keep nothing either.
/// RFC 8538 sections 3 and 5: it is for peers that have sent N.
#[test]
fn what_is_to_leave_nothing_is_a_hard_reset_for_a_peer_that_has_sent_n() {
    let exceeded = Exceeded { family: Family::Ipv6Unicast, limit: 100 };
    let maximum_prefix = Notification { code: 6, subcode: 1, data: vec![0, 2, 1, 0, 0, 0, 100].into() };
    for (command, reason) in [
        (
            Command::Shutdown("bye".to_owned()),
            Notification::cease(CeaseCode::AdministrativeShutdown, Some("bye")),
        ),
        (Command::Reset("bye".to_owned()), Notification::cease(CeaseCode::AdministrativeReset, Some("bye"))),
        (Command::Deconfigure, Notification::cease(CeaseCode::PeerDeconfigured, None)),
        (Command::MaximumPrefix { exceeded, restart_after: None }, maximum_prefix),
    ] {
        let hard = Notification::hard_reset(&reason);
        for (theirs, said) in [(restarting(true), &hard), (restarting(false), &reason), (open(), &reason)] {
            let (mut hand, id) = Hand::established(config(), &theirs);
            hand.take();
            hand.command(command.clone());
            let outputs = hand.take();
            let [Output::Send(_, octets), Output::Close(closed), Output::Down(down), ..] = &outputs[..]
            else {
                panic!("{outputs:?}")
            };
            assert_eq!((octets, *closed), (&said.encode(), id), "{reason}");
            assert_eq!(down.retention, RouteRetention::Remove);
        }
    }
}

#[test]
fn leaving_for_a_restart_says_nothing() {
    let restarter = GracefulRestartMode::Restarter {
        restart_time: secs(60),
        families: PerFamily { ipv4: true, ipv6: true },
    };
    let (mut hand, id) =
        Hand::established(PeerConfig { graceful_restart: restarter, ..config() }, &restarting(true));
    hand.take();
    hand.command(Command::Leave);
    assert!(matches!(hand.take()[..], [Output::Close(closed), Output::Down(_), ..] if closed == id));
}

//! Whatever happens, in whatever order: nothing panics, nothing leaks, nobody is stuck.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bgp_session::{
    Command, ConnectionId, Direction, Exceeded, Mode, Output, Peer, PeerConfig, StateName, Waiting,
};
use bgp_wire::message;
use bgp_wire::notification::{CeaseCode, Notification};
use bgp_wire::open::{HoldTime, Open};
use bgp_wire::{Asn, Family};
use bytes::BytesMut;
use proptest::prelude::*;

use crate::hand::{config, endpoints, open, open_of, router_id};

#[derive(Clone, Debug)]
enum Step {
    Command(Command),
    Connected(Direction),
    DialFailed,
    /// To one of the open connections.
    Say(usize, Vec<u8>),
    Closed(usize),
    Sent(usize),
    Blocked(usize),
    Pass(u32),
    Mode(Mode),
}

fn said() -> impl Strategy<Value = Vec<u8>> {
    let good = |last: u8, hold: u16| {
        Open { router_id: router_id(last), hold_time: HoldTime::new(hold).unwrap(), ..open() }
            .encode()
            .to_vec()
    };
    prop_oneof![
        6 => (1u8..4, prop_oneof![Just(0u16), Just(3), Just(90)]).prop_map(move |(last, hold)| good(last, hold)),
        1 => Just(open_of(Asn(7)).encode().to_vec()),
        8 => Just(message::keepalive().to_vec()),
        2 => Just(bgp_wire::update::encode::end_of_rib(Family::Ipv6Unicast).to_vec()),
        1 => Just(Notification::cease(CeaseCode::AdministrativeReset, None).encode().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => Just(vec![0xff; 17]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let exceeded = Exceeded { family: Family::Ipv4Unicast, limit: 1 };
    let command = prop_oneof![
        4 => Just(Command::Start),
        1 => Just(Command::Shutdown("x".to_owned())),
        1 => Just(Command::Reset(String::new())),
        1 => Just(Command::MaximumPrefix { exceeded, restart_after: Some(Duration::from_secs(9)) }),
        1 => Just(Command::MaximumPrefix { exceeded, restart_after: None }),
        1 => Just(Command::Leave),
        1 => Just(Command::NodeGone("veth2 is down".to_owned())),
    ];
    prop_oneof![
        2 => command.prop_map(Step::Command),
        6 => prop_oneof![Just(Direction::Incoming), Just(Direction::Outgoing)].prop_map(Step::Connected),
        2 => Just(Step::DialFailed),
        16 => (any::<usize>(), said()).prop_map(|(which, octets)| Step::Say(which, octets)),
        2 => any::<usize>().prop_map(Step::Closed),
        1 => any::<usize>().prop_map(Step::Sent),
        1 => any::<usize>().prop_map(Step::Blocked),
        6 => (0u32..700_000).prop_map(Step::Pass),
        1 => prop_oneof![Just(Mode::Both), Just(Mode::Active), Just(Mode::Passive)].prop_map(Step::Mode),
    ]
}

/// The daemon's side of the bargain, and the laws.
struct World {
    peer: Peer,
    now: Instant,
    next_id: u64,
    open: Vec<ConnectionId>,
    dialling: bool,
    up: Option<ConnectionId>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let peer = Peer::new(config(), 1, now);
        Self { peer, now, next_id: 0, open: Vec::new(), dialling: false, up: None }
    }

    fn pick(&self, which: usize) -> Option<ConnectionId> {
        self.open.get(which.checked_rem(self.open.len())?).copied()
    }

    fn step(&mut self, step: Step) {
        let mut out = Vec::new();
        let (peer, now) = (&mut self.peer, self.now);
        match step {
            Step::Command(command) => peer.command(command, now, &mut out),
            Step::Connected(direction) => {
                if direction == Direction::Outgoing {
                    // An answer that nobody waits for may still come: the dial was given up a moment ago.
                    self.dialling = false;
                }
                self.next_id += 1;
                let id = ConnectionId(self.next_id);
                self.open.push(id);
                peer.connected(id, direction, endpoints(), now, &mut out);
            }
            Step::DialFailed if self.dialling => {
                self.dialling = false;
                peer.dial_failed("refused", now, &mut out);
            }
            Step::DialFailed => {}
            Step::Say(which, octets) => {
                let id = self.pick(which).unwrap_or(ConnectionId(0));
                self.peer.receive(id, &mut BytesMut::from(&octets[..]), now, &mut out);
            }
            Step::Closed(which) => {
                if let Some(id) = self.pick(which) {
                    self.open.retain(|open| *open != id);
                    self.peer.closed(id, "reset", now, &mut out);
                    out.retain(|output| *output != Output::Close(id));
                }
            }
            Step::Sent(which) => {
                let id = self.pick(which).unwrap_or(ConnectionId(0));
                self.peer.sent(id);
            }
            Step::Blocked(which) => {
                let id = self.pick(which).unwrap_or(ConnectionId(0));
                self.peer.send_blocked(id, now);
            }
            Step::Pass(millis) => return self.pass(Duration::from_millis(millis.into())),
            Step::Mode(mode) => {
                let config = PeerConfig { mode, ..peer.config().clone() };
                peer.set_config(config, now, &mut out);
            }
        }
        self.check(out);
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut ticks = 0;
        while let Some(at) = self.peer.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            let mut out = Vec::new();
            self.peer.tick(self.now, &mut out);
            self.check(out);
            ticks += 1;
            assert!(ticks < 20_000, "timers run wild");
        }
        self.now = until;
    }

    fn check(&mut self, out: Vec<Output>) {
        assert!(out.len() <= 24, "{} outputs of one step", out.len());
        for output in out {
            match output {
                Output::Dial => {
                    assert!(!self.dialling, "two dials");
                    self.dialling = true;
                }
                Output::AbortDial => self.dialling = false,
                Output::Send(id, _) => assert!(self.open.contains(&id), "sent on {id}"),
                Output::Close(id) => {
                    assert!(self.open.contains(&id), "closed {id} twice");
                    self.open.retain(|open| *open != id);
                }
                Output::Up(negotiated) => {
                    assert_eq!(self.up.replace(negotiated.connection), None, "two sessions");
                }
                Output::Down(_) => assert!(self.up.take().is_some(), "down without a session"),
                Output::Update(_) | Output::Refresh(_) | Output::FirstKeepalive => {
                    assert!(self.up.is_some(), "routes without a session")
                }
                Output::Note(_) => {}
            }
        }
        let status = self.peer.status();
        let known: HashSet<ConnectionId> = status.connections.iter().copied().collect();
        let open: HashSet<ConnectionId> = self.open.iter().copied().collect();
        assert_eq!(known, open, "a connection leaked");
        assert!(known.len() <= 2);
        assert_eq!(self.up.is_some(), status.state == StateName::Established);
        assert!(self.has_a_way_out(), "stuck: {status:?}");
    }

    /// A timer, the peer or the operator: somebody can move every state.
    fn has_a_way_out(&self) -> bool {
        let status = self.peer.status();
        self.peer.next_deadline().is_some()
            || match status.waiting {
                Waiting::Start | Waiting::Operator(_) | Waiting::Prefixes(_) => true,
                Waiting::PeerToDial => status.mode.accepts(),
                Waiting::Nothing => status.negotiated.unwrap().hold_time == HoldTime::Off,
                Waiting::NextDial | Waiting::DialAnswer | Waiting::Open | Waiting::Keepalive => false,
            }
    }

    /// From wherever it is, the peer comes up when the operator and the other end want it to.
    fn comes_up(mut self) {
        self.step(Step::Mode(Mode::Both));
        self.step(Step::Command(Command::Start));
        self.step(Step::Connected(Direction::Incoming));
        let id = ConnectionId(self.next_id);
        // A larger identifier than ours: its connection is the strong one.
        let theirs = Open { router_id: router_id(200), ..open() }.encode();
        let which = self.open.iter().position(|open| *open == id).unwrap();
        self.step(Step::Say(which, theirs.to_vec()));
        let which = self.open.iter().position(|open| *open == id).unwrap();
        self.step(Step::Say(which, message::keepalive().to_vec()));
        assert_eq!(self.up, Some(id));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_events_in_any_order(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.comes_up();
    }

    #[test]
    fn any_octets(octets in prop::collection::vec(any::<u8>(), 0..300), marker: bool, cut in 0usize..300, stage in 0u8..3) {
        let mut octets = octets;
        if marker {
            // Past the header more often than chance would have it.
            octets.splice(0..0, [0xff; 16]);
        }
        let run = |pieces: &[&[u8]]| {
            let mut world = World::new();
            world.step(Step::Command(Command::Start));
            world.step(Step::Connected(Direction::Incoming));
            for said in [open().encode(), message::keepalive()].iter().take(stage.into()) {
                world.step(Step::Say(0, said.to_vec()));
            }
            let mut buffer = BytesMut::new();
            let mut out = Vec::new();
            for piece in pieces {
                buffer.extend_from_slice(piece);
                world.peer.receive(ConnectionId(1), &mut buffer, world.now, &mut out);
            }
            world.check(out);
            (world.peer.status().state, world.peer.status().counters)
        };
        let (first, rest) = octets.split_at(cut.min(octets.len()));
        prop_assert_eq!(run(&[&octets]), run(&[first, rest]));
    }
}

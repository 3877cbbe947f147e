//! The daemon's side of the bargain with a [`Peer`], and the laws that hold whatever happens.
//!
//! A [`Step`] is anything that the daemon, the network or the operator can do. Used by the property tests and, by its
//! path, by the fuzz target `session`; so it knows nothing of either.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bgp_session::{
    Command, ConnectionId, Direction, Endpoints, Mode, Output, Peer, PeerConfig, StateName, Waiting,
};
use bgp_wire::message;
use bgp_wire::open::HoldTime;
use bytes::BytesMut;

/// What can happen.
#[derive(Clone, Debug)]
pub enum Step {
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
    /// By the configuration, with a reason; and up again.
    Shutdown(Option<String>),
    /// What else of the configuration timers are made of; seconds.
    Times {
        hold_time: HoldTime,
        connect_retry: u16,
    },
}

/// The daemon's side of the bargain, and the laws.
pub struct World {
    pub peer: Peer,
    pub now: Instant,
    endpoints: Endpoints,
    next_id: u64,
    open: Vec<ConnectionId>,
    /// What each connection has delivered and nobody has taken yet.
    waiting: HashMap<ConnectionId, BytesMut>,
    dialling: bool,
    up: Option<ConnectionId>,
    /// A socket has taken nothing at some time since the last session.
    blocked: bool,
}

impl World {
    pub fn new(config: PeerConfig, endpoints: Endpoints) -> Self {
        let now = Instant::now();
        Self {
            peer: Peer::new(config, 1, now),
            now,
            endpoints,
            next_id: 0,
            open: Vec::new(),
            waiting: HashMap::new(),
            dialling: false,
            up: None,
            blocked: false,
        }
    }

    fn pick(&self, which: usize) -> Option<ConnectionId> {
        self.open.get(which.checked_rem(self.open.len())?).copied()
    }

    pub fn step(&mut self, step: Step) {
        let mut out = Vec::new();
        let mut said = 0;
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
                peer.connected(id, direction, self.endpoints, now, &mut out);
            }
            Step::DialFailed if self.dialling => {
                self.dialling = false;
                peer.dial_failed("refused", now, &mut out);
            }
            Step::DialFailed => {}
            Step::Say(which, octets) => {
                let id = self.pick(which).unwrap_or(ConnectionId(0));
                said = octets.len();
                let waiting = self.waiting.entry(id).or_default();
                waiting.extend_from_slice(&octets);
                self.peer.receive(id, waiting, now, &mut out);
                assert!(waiting.len() < usize::from(u16::MAX), "octets pile up");
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
                self.blocked = true;
                let id = self.pick(which).unwrap_or(ConnectionId(0));
                self.peer.send_blocked(id, now);
            }
            Step::Pass(millis) => return self.pass(Duration::from_millis(millis.into())),
            Step::Mode(mode) => {
                let config = PeerConfig { mode, ..peer.config().clone() };
                peer.set_config(config, now, &mut out);
            }
            Step::Shutdown(shutdown) => {
                let config = PeerConfig { shutdown, ..peer.config().clone() };
                peer.set_config(config, now, &mut out);
            }
            Step::Times { hold_time, connect_retry } => {
                let connect_retry = Duration::from_secs(connect_retry.into());
                let config = PeerConfig { hold_time, connect_retry, ..peer.config().clone() };
                peer.set_config(config, now, &mut out);
            }
        }
        self.check(out, said);
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut ticks = 0;
        while let Some(at) = self.peer.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            let mut out = Vec::new();
            self.peer.tick(self.now, &mut out);
            self.check(out, 0);
            ticks += 1;
            assert!(ticks < 20_000, "timers run wild");
        }
        self.now = until;
    }

    /// The laws, after a step in which the peer said so many octets.
    pub fn check(&mut self, out: Vec<Output>, said: usize) {
        assert!(out.len() <= 24 + said / 19, "{} outputs of one step", out.len());
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
                Output::Down(_) => {
                    assert!(self.up.take().is_some(), "down without a session");
                    self.blocked = false;
                }
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
        assert!(self.has_its_timers_alone(), "a timer leaked: {:?} in {status:?}", self.peer.next_deadline());
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

    /// What is stopped or waits for others has no timer; a session has none but its own.
    fn has_its_timers_alone(&self) -> bool {
        let status = self.peer.status();
        let deadline = self.peer.next_deadline();
        match status.waiting {
            Waiting::Start | Waiting::Operator(_) | Waiting::PeerToDial => {
                deadline.is_none() && status.connections.is_empty()
            }
            Waiting::Prefixes(_) => deadline == status.next_attempt && status.connections.is_empty(),
            Waiting::NextDial => deadline == status.next_attempt && deadline.is_some(),
            // Another connection may wait for its OPEN, and a socket that takes nothing for the send hold timer.
            Waiting::Nothing if status.connections.len() == 1 && !self.blocked => {
                deadline == [status.hold_expires, status.keepalive_due].into_iter().flatten().min()
            }
            Waiting::Nothing | Waiting::DialAnswer | Waiting::Open | Waiting::Keepalive => true,
        }
    }

    /// From wherever it is, the peer comes up when the operator and the other end want it to.
    /// `theirs` is an OPEN that the configuration admits, with a larger identifier than ours: its connection is the strong
    /// one.
    pub fn comes_up(mut self, theirs: &[u8]) {
        self.step(Step::Mode(Mode::Both));
        self.step(Step::Command(Command::Start));
        self.step(Step::Connected(Direction::Incoming));
        let id = ConnectionId(self.next_id);
        let which = self.open.iter().position(|open| *open == id).unwrap();
        self.step(Step::Say(which, theirs.to_vec()));
        let which = self.open.iter().position(|open| *open == id).unwrap();
        self.step(Step::Say(which, message::keepalive().to_vec()));
        assert_eq!(self.up, Some(id));
    }
}

//! Two peers back to back over a network that delays, refuses, loses and is cut, in virtual time.
//!
//! Each direction of a connection keeps its order, two connections keep none. A host that does not know a
//! connection answers what comes over it with a reset, as a kernel does. Whatever a peer puts out is checked on the
//! way: one session at most, Up and Down in turn, nothing sent on a connection that is closed, one dial at a time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bgp_session::{
    ConnectionId, Direction, Down, Endpoints, Negotiated, Note, Output, Peer, PeerConfig, StateName,
};
use bytes::{Bytes, BytesMut};

pub(crate) struct Sim {
    pub(crate) now: Instant,
    pub(crate) sides: [Side; 2],
    /// One way, at least.
    pub(crate) delay: Duration,
    /// What comes on top at most, by chance.
    pub(crate) jitter: Duration,
    queue: BTreeMap<(Instant, u64), (usize, Arrival)>,
    sequence: u64,
    connections: HashMap<ConnectionId, Tcp>,
    cut: bool,
    /// What was sent while the network was cut; TCP repeats it.
    backlog: Vec<(usize, Arrival)>,
    random: u64,
}

pub(crate) struct Side {
    pub(crate) peer: Peer,
    /// Is its port open, once it has started?
    pub(crate) listens: bool,
    started: bool,
    pub(crate) ups: Vec<Negotiated>,
    pub(crate) downs: Vec<Down>,
    pub(crate) notes: Vec<Note>,
    buffers: HashMap<ConnectionId, BytesMut>,
    open: HashSet<ConnectionId>,
    dial: Option<ConnectionId>,
}

struct Tcp {
    dialler: usize,
    /// When the last thing sent to each side arrives.
    order: [Instant; 2],
}

#[derive(Debug)]
enum Arrival {
    Dialled(ConnectionId),
    Accepted(ConnectionId),
    Refused(ConnectionId),
    Data(ConnectionId, Bytes),
    End(ConnectionId, &'static str),
}

impl Side {
    fn new(config: PeerConfig, seed: u64, now: Instant) -> Self {
        Self {
            peer: Peer::new(config, seed, now),
            listens: true,
            started: false,
            ups: Vec::new(),
            downs: Vec::new(),
            notes: Vec::new(),
            buffers: HashMap::new(),
            open: HashSet::new(),
            dial: None,
        }
    }

    pub(crate) fn state(&self) -> StateName {
        self.peer.status().state
    }

    /// The connection of the session, if there is one.
    pub(crate) fn session(&self) -> Option<ConnectionId> {
        let status = self.peer.status();
        (status.state == StateName::Established).then(|| status.negotiated.unwrap().connection)
    }
}

impl Sim {
    pub(crate) fn new(configs: [PeerConfig; 2], seed: u64) -> Self {
        let now = Instant::now();
        let [a, b] = configs;
        Self {
            now,
            sides: [Side::new(a, seed, now), Side::new(b, !seed, now)],
            delay: Duration::from_millis(1),
            jitter: Duration::ZERO,
            queue: BTreeMap::new(),
            sequence: 0,
            connections: HashMap::new(),
            cut: false,
            backlog: Vec::new(),
            random: seed,
        }
    }

    pub(crate) fn start(&mut self, side: usize) {
        self.sides[side].started = true;
        self.with(side, |peer, now, out| peer.start(now, out));
    }

    /// Both at the same moment: no dial finds a closed port.
    pub(crate) fn start_both(&mut self) {
        self.sides.iter_mut().for_each(|side| side.started = true);
        self.start(0);
        self.start(1);
    }

    pub(crate) fn with(&mut self, side: usize, act: impl FnOnce(&mut Peer, Instant, &mut Vec<Output>)) {
        let mut out = Vec::new();
        act(&mut self.sides[side].peer, self.now, &mut out);
        for output in out {
            self.carry_out(side, output);
        }
    }

    /// Runs for a while.
    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(next) = self.next_time().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            let due = self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= self.now);
            if due {
                let (_, (side, arrival)) = self.queue.pop_first().unwrap();
                self.arrive(side, arrival);
            } else {
                for side in [0, 1] {
                    self.with(side, |peer, now, out| peer.tick(now, out));
                }
            }
        }
        self.now = until;
    }

    /// The host loses power and is back at once, knowing nothing.
    pub(crate) fn reboot(&mut self, side: usize) {
        let config = self.sides[side].peer.config().clone();
        self.random = self.random.wrapping_add(7);
        self.sides[side] = Side::new(config, self.random, self.now);
        self.start(side);
    }

    /// The process dies: its kernel ends every connection, without a NOTIFICATION.
    pub(crate) fn kill(&mut self, side: usize) {
        for id in self.sides[side].open.clone() {
            self.send(side, id, Arrival::End(id, "closed by the peer"));
        }
        self.reboot(side);
    }

    pub(crate) fn cut(&mut self) {
        self.cut = true;
    }

    pub(crate) fn heal(&mut self) {
        self.cut = false;
        for (to, arrival) in std::mem::take(&mut self.backlog) {
            self.queue_for(to, arrival);
        }
    }

    fn next_time(&self) -> Option<Instant> {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timers = self.sides.iter().filter_map(|side| side.peer.next_deadline());
        timers.chain(queued).min()
    }

    fn carry_out(&mut self, side: usize, output: Output) {
        match output {
            Output::Dial => self.dial(side),
            Output::AbortDial => assert!(self.sides[side].dial.take().is_some(), "no dial to abort"),
            Output::Send(id, octets) => {
                assert!(self.sides[side].open.contains(&id), "sent on {id}, which is closed");
                self.send(side, id, Arrival::Data(id, octets));
            }
            Output::Close(id) => {
                if self.sides[side].open.remove(&id) {
                    self.send(side, id, Arrival::End(id, "closed by the peer"));
                }
            }
            Output::Up(negotiated) => {
                let this = &mut self.sides[side];
                assert_eq!(this.ups.len(), this.downs.len(), "two sessions");
                this.ups.push(*negotiated);
            }
            Output::Down(down) => {
                let this = &mut self.sides[side];
                this.downs.push(down);
                assert_eq!(this.ups.len(), this.downs.len(), "down without a session");
            }
            Output::Note(note) => self.sides[side].notes.push(note),
            Output::Update(_) | Output::Refresh(_) | Output::FirstKeepalive => {}
        }
    }

    fn dial(&mut self, side: usize) {
        self.sequence += 1;
        let id = ConnectionId(self.sequence);
        assert!(self.sides[side].dial.replace(id).is_none(), "two dials");
        self.connections.insert(id, Tcp { dialler: side, order: [self.now; 2] });
        if self.cut {
            return;
        }
        let answer = self.now + self.way() + self.way();
        let other = &self.sides[1 - side];
        if other.listens && other.started {
            self.push(answer, side, Arrival::Dialled(id));
            let acknowledged = answer + self.way();
            self.push(acknowledged, 1 - side, Arrival::Accepted(id));
        } else {
            self.push(answer, side, Arrival::Refused(id));
        }
    }

    fn send(&mut self, from: usize, id: ConnectionId, arrival: Arrival) {
        if self.cut {
            self.backlog.push((1 - from, arrival));
        } else {
            assert!(self.connections.contains_key(&id));
            self.queue_for(1 - from, arrival);
        }
    }

    fn queue_for(&mut self, to: usize, arrival: Arrival) {
        let at = self.now + self.way();
        self.push(at, to, arrival);
    }

    /// Later than everything that was sent this way over the same connection.
    fn push(&mut self, at: Instant, to: usize, arrival: Arrival) {
        let (Arrival::Dialled(id) | Arrival::Accepted(id) | Arrival::Refused(id)) = arrival else {
            let (Arrival::Data(id, _) | Arrival::End(id, _)) = &arrival else { unreachable!() };
            let tcp = self.connections.get_mut(id).unwrap();
            tcp.order[to] = tcp.order[to].max(at);
            let at = tcp.order[to];
            return self.insert(at, to, arrival);
        };
        self.connections.get_mut(&id).unwrap().order[to] = at;
        self.insert(at, to, arrival);
    }

    fn insert(&mut self, at: Instant, to: usize, arrival: Arrival) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), (to, arrival));
    }

    fn arrive(&mut self, side: usize, arrival: Arrival) {
        if self.cut {
            return self.backlog.push((side, arrival));
        }
        let this = &mut self.sides[side];
        match arrival {
            Arrival::Dialled(id) => self.dialled(side, id),
            Arrival::Accepted(id) => {
                this.open.insert(id);
                self.connected(side, id, Direction::Incoming);
            }
            Arrival::Refused(id) => {
                if this.dial == Some(id) {
                    this.dial = None;
                    self.with(side, |peer, now, out| peer.dial_failed("connection refused", now, out));
                }
            }
            Arrival::Data(id, octets) => {
                if !this.open.contains(&id) {
                    return self.send(side, id, Arrival::End(id, "connection reset"));
                }
                let mut buffer = this.buffers.remove(&id).unwrap_or_default();
                buffer.extend_from_slice(&octets);
                self.with(side, |peer, now, out| peer.receive(id, &mut buffer, now, out));
                self.sides[side].buffers.insert(id, buffer);
            }
            Arrival::End(id, reason) => {
                if this.open.remove(&id) {
                    self.with(side, |peer, now, out| peer.closed(id, reason, now, out));
                }
            }
        }
    }

    /// The handshake is done. Where the dial was given up meanwhile, the daemon may not have noticed yet.
    fn dialled(&mut self, side: usize, id: ConnectionId) {
        let wanted = self.sides[side].dial == Some(id);
        self.sides[side].open.insert(id);
        if wanted {
            self.sides[side].dial = None;
        }
        if wanted || self.chance(2) == 0 {
            self.connected(side, id, Direction::Outgoing);
        } else {
            self.carry_out(side, Output::Close(id));
        }
    }

    fn connected(&mut self, side: usize, id: ConnectionId, direction: Direction) {
        let port = |of: usize| if self.connections[&id].dialler == of { 40000 } else { 179 };
        let address = |of: usize| ([172, 50, 0, u8::try_from(of).unwrap() + 1], port(of)).into();
        let endpoints = Endpoints { local: address(side), remote: address(1 - side) };
        self.with(side, |peer, now, out| peer.connected(id, direction, endpoints, now, out));
    }

    fn way(&mut self) -> Duration {
        let jitter = u64::try_from(self.jitter.as_micros()).unwrap();
        self.delay + Duration::from_micros(self.chance(jitter + 1))
    }

    fn chance(&mut self, among: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % among
    }
}

//! Two peers, the connections between them, and what can happen next.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bgp_wire::open::HoldTime;
use bgp_wire::{Asn, RouterId};
use bytes::{Bytes, BytesMut};

use crate::config::{GracefulRestartMode, Mode, PeerConfig, RemoteAs, SendHold};
use crate::connection::{ConnectionId, Direction, Endpoints};
use crate::output::Output;
use crate::peer::{Command, Peer};
use crate::status::{StateName, Waiting};

/// Something that happens, to a side or on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The first start of a process, or the end of a shutdown.
    Start(usize),
    Shutdown(usize),
    Reset(usize),
    /// The next deadline of a side comes.
    Deadline(usize),
    /// What is first in line for a side on a connection arrives.
    Deliver(usize, ConnectionId),
    /// Nobody listens: the dial fails.
    Refuse(ConnectionId),
    /// Both ends lose the connection and are told.
    Cut(ConnectionId),
    /// What is in line for a side never arrives, and it is told nothing: half of the connection is gone.
    Forget(usize, ConnectionId),
    /// A side loses everything that it knows, and is back.
    PowerOff(usize),
}

/// What is on its way to a side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    /// The dial has succeeded.
    Dialled,
    /// The other side has dialled.
    Accepted,
    /// The dial has failed.
    Refused,
    Message(Bytes),
    /// FIN or RST.
    End,
}

/// One TCP connection.
#[derive(Clone, Debug)]
pub(super) struct Tcp {
    pub(super) dialler: usize,
    pub(super) line: [VecDeque<Item>; 2],
    /// Which side has it open, as far as that side's peer knows.
    pub(super) open: [bool; 2],
}

#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) peer: Peer,
    pub(super) now: Instant,
    pub(super) started: bool,
    pub(super) dial: Option<ConnectionId>,
    pub(super) up: Option<ConnectionId>,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) sides: [Side; 2],
    pub(super) connections: BTreeMap<ConnectionId, Tcp>,
    /// Deadlines, faults and commands that may come yet.
    pub(super) left: u8,
    modes: [Mode; 2],
    next: u64,
    /// In quiet times: how long the session has to last yet.
    lasting: Option<Duration>,
}

/// So long a session has to last in quiet times: several hold times.
const LASTS: Duration = Duration::from_secs(10);

/// Times of whole seconds and without back-off, so that few states differ by their timers alone.
fn config(side: usize, mode: Mode) -> PeerConfig {
    let id = |last| RouterId::new(u32::from_be_bytes([10, 0, 0, last])).unwrap();
    let (ours, theirs, id) =
        if side == 0 { (Asn(64513), Asn(64512), id(1)) } else { (Asn(64512), Asn(64513), id(2)) };
    PeerConfig {
        mode,
        hold_time: HoldTime::new(3).unwrap(),
        keepalive: Some(Duration::from_secs(1)),
        connect_retry: Duration::from_secs(1),
        send_hold: SendHold::Off,
        graceful_restart: GracefulRestartMode::Off,
        ..PeerConfig::new(ours, id, RemoteAs::Exact(theirs))
    }
}

#[expect(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
fn beginning() -> Instant {
    Instant::now()
}

fn endpoints() -> Endpoints {
    let address = |last, port| std::net::SocketAddr::from(([10, 0, 0, last], port));
    Endpoints { local: address(1, 179), remote: address(2, 40000) }
}

impl World {
    pub(super) fn new(modes: [Mode; 2], left: u8) -> Self {
        let now = beginning();
        let side = |side: usize| Side {
            peer: Peer::new(config(side, modes[side]), side as u64, now),
            now,
            started: false,
            dial: None,
            up: None,
        };
        let sides = [side(0), side(1)];
        Self { sides, connections: BTreeMap::new(), left, modes, next: 1, lasting: None }
    }

    /// All that can happen next.
    pub(super) fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (side, this) in self.sides.iter().enumerate() {
            let waiting = this.peer.status().waiting;
            if matches!(waiting, Waiting::Start | Waiting::Operator(_)) {
                actions.push(Action::Start(side));
            } else if self.left > 0 {
                actions.extend([Action::Shutdown(side), Action::Reset(side)]);
            }
            if self.left > 0 && this.peer.next_deadline().is_some() {
                actions.push(Action::Deadline(side));
            }
            if self.left > 0 && this.started {
                actions.push(Action::PowerOff(side));
            }
        }
        for (id, tcp) in &self.connections {
            actions.extend(tcp.actions(*id, self.left > 0));
        }
        actions
    }

    /// Does it; an error is a law that is broken.
    pub(super) fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Start(side) => {
                self.sides[side].started = true;
                self.with(side, |peer, now, out| peer.command(Command::Start, now, out))
            }
            Action::Shutdown(side) => {
                self.left -= 1;
                self.with(side, |peer, now, out| peer.command(Command::Shutdown(String::new()), now, out))
            }
            Action::Reset(side) => {
                self.left -= 1;
                self.with(side, |peer, now, out| peer.command(Command::Reset(String::new()), now, out))
            }
            Action::Deadline(side) => self.deadline(side),
            Action::Deliver(side, id) => self.deliver(side, id),
            Action::Refuse(id) => {
                self.left -= 1;
                self.with_tcp(id, |tcp| {
                    tcp.line = [VecDeque::new(), VecDeque::new()];
                    tcp.line[tcp.dialler].push_back(Item::Refused);
                })
            }
            Action::Cut(id) => {
                self.left -= 1;
                self.with_tcp(id, |tcp| {
                    for side in [0, 1] {
                        tcp.line[side].clear();
                        if tcp.open[side] {
                            tcp.line[side].push_back(Item::End);
                        }
                    }
                })
            }
            Action::Forget(side, id) => {
                self.left -= 1;
                self.with_tcp(id, |tcp| tcp.line[side].clear())
            }
            Action::PowerOff(side) => self.power_off(side),
        }
    }

    fn deadline(&mut self, side: usize) -> Result<(), String> {
        self.left = self.left.saturating_sub(1);
        let before = self.sides[side].now;
        let at = self.sides[side].peer.next_deadline().ok_or("no deadline")?.max(before);
        self.sides[side].now = at;
        if let Some(lasting) = &mut self.lasting {
            // In quiet times both clocks go alike.
            *lasting = lasting.saturating_sub(at - before);
            self.sides[1 - side].now += at - before;
        }
        self.with(side, |peer, now, out| peer.tick(now, out))
    }

    fn power_off(&mut self, side: usize) -> Result<(), String> {
        self.left -= 1;
        let now = self.sides[side].now;
        let peer = Peer::new(config(side, self.modes[side]), side as u64, now);
        self.sides[side] = Side { peer, now, started: false, dial: None, up: None };
        for tcp in self.connections.values_mut() {
            tcp.open[side] = false;
            // A SYN that is on its way finds the host that is back; all else belongs to what it has forgotten.
            let dialled = tcp.line[side].front() == Some(&Item::Accepted);
            tcp.line[side].truncate(usize::from(dialled));
        }
        self.tidy();
        Ok(())
    }

    fn deliver(&mut self, side: usize, id: ConnectionId) -> Result<(), String> {
        let tcp = self.connections.get_mut(&id).ok_or("no connection")?;
        let item = tcp.line[side].pop_front().ok_or("nothing in line")?;
        match item {
            Item::Dialled => {
                tcp.open[side] = true;
                self.sides[side].dial = None;
                self.with(side, |peer, now, out| {
                    peer.connected(id, Direction::Outgoing, endpoints(), now, out);
                })
            }
            Item::Refused => {
                self.sides[side].dial = None;
                self.with(side, |peer, now, out| peer.dial_failed("refused", now, out))
            }
            Item::Accepted => {
                tcp.open[side] = true;
                self.with(side, |peer, now, out| {
                    peer.connected(id, Direction::Incoming, endpoints(), now, out);
                })
            }
            Item::Message(octets) if tcp.open[side] => self.with(side, |peer, now, out| {
                peer.receive(id, &mut BytesMut::from(&octets[..]), now, out);
            }),
            Item::End if tcp.open[side] => {
                tcp.line[side].clear();
                // The peer closes what has ended, too.
                self.with(side, |peer, now, out| peer.closed(id, "reset", now, out))
            }
            Item::End => {
                self.tidy();
                Ok(())
            }
            // What nobody has open is answered by the kernel.
            Item::Message(_) => {
                tcp.line[side].clear();
                if tcp.open[1 - side] && !tcp.line[1 - side].contains(&Item::End) {
                    tcp.line[1 - side].push_back(Item::End);
                }
                self.tidy();
                Ok(())
            }
        }
    }

    fn with_tcp(&mut self, id: ConnectionId, change: impl FnOnce(&mut Tcp)) -> Result<(), String> {
        change(self.connections.get_mut(&id).ok_or("no connection")?);
        self.tidy();
        Ok(())
    }

    /// Lets a side do something, and carries out what it wants.
    fn with(
        &mut self,
        side: usize,
        act: impl FnOnce(&mut Peer, Instant, &mut Vec<Output>),
    ) -> Result<(), String> {
        let mut out = Vec::new();
        let now = self.sides[side].now;
        act(&mut self.sides[side].peer, now, &mut out);
        for output in out {
            self.carry_out(side, output)?;
        }
        self.tidy();
        Ok(())
    }

    fn carry_out(&mut self, side: usize, output: Output) -> Result<(), String> {
        match output {
            Output::Dial => {
                let id = ConnectionId(self.next);
                self.next += 1;
                if self.sides[side].dial.replace(id).is_some() {
                    return Err("two dials at a time".to_owned());
                }
                let mut line = [VecDeque::from([Item::Accepted]), VecDeque::from([Item::Accepted])];
                line[side] = VecDeque::from([Item::Dialled]);
                self.connections.insert(id, Tcp { dialler: side, line, open: [false; 2] });
            }
            Output::AbortDial => {
                let id = self.sides[side].dial.take().ok_or("no dial to give up")?;
                self.close(side, id);
            }
            Output::Send(id, octets) => {
                let tcp = self.connections.get_mut(&id).filter(|tcp| tcp.open[side]);
                let tcp = tcp.ok_or("sends on a connection that is closed")?;
                tcp.line[1 - side].push_back(Item::Message(octets));
            }
            Output::Close(id) => {
                if !self.connections.get(&id).is_some_and(|tcp| tcp.open[side]) {
                    return Err(format!("closes {id}, which is closed"));
                }
                self.close(side, id);
            }
            Output::Up(negotiated) => {
                if self.sides[side].up.replace(negotiated.connection).is_some() {
                    return Err("two sessions at a time".to_owned());
                }
            }
            Output::Down(_) => {
                self.sides[side].up.take().ok_or("the end of no session")?;
            }
            Output::Update(_) | Output::Refresh(_) => return Err("nobody has sent routes".to_owned()),
            Output::FirstKeepalive | Output::Note(_) => {}
        }
        Ok(())
    }

    fn close(&mut self, side: usize, id: ConnectionId) {
        if let Some(tcp) = self.connections.get_mut(&id) {
            tcp.open[side] = false;
            tcp.line[side].clear();
            tcp.line[1 - side].push_back(Item::End);
        }
    }

    /// A connection that neither side has open, and over which nothing is on its way, is forgotten.
    fn tidy(&mut self) {
        self.connections.retain(|_, tcp| {
            tcp.open != [false; 2] || tcp.line.iter().flatten().any(|item| *item != Item::End)
        });
    }

    /// What is left of the time that a session has to last, in whole seconds.
    pub(super) fn lasting(&self) -> Option<u64> {
        self.lasting.map(|left| left.as_secs())
    }

    /// The laws of every state.
    pub(super) fn check(&self) -> Result<(), String> {
        for (side, this) in self.sides.iter().enumerate() {
            let status = this.peer.status();
            let known = |id: &&ConnectionId| self.connections.get(id).is_some_and(|tcp| tcp.open[side]);
            let open = self.connections.values().filter(|tcp| tcp.open[side]).count();
            if status.connections.iter().filter(known).count() != open || status.connections.len() != open {
                return Err(format!("side {side} has {open} connections and knows {:?}", status.connections));
            }
            if open > 2 {
                return Err(format!("side {side} has {open} connections"));
            }
            if this.up.is_some() != (status.state == StateName::Established) {
                return Err(format!("side {side} is {} with a session {:?}", status.state, this.up));
            }
            let deadline = this.peer.next_deadline().is_some();
            match status.waiting {
                Waiting::Start | Waiting::Operator(_) if deadline || open > 0 || this.dial.is_some() => {
                    return Err(format!("side {side} is stopped, and a timer or a connection is left"));
                }
                Waiting::Start | Waiting::Operator(_) | Waiting::Prefixes(_) => {}
                Waiting::PeerToDial if this.peer.config().mode.accepts() => {}
                Waiting::Nothing
                | Waiting::PeerToDial
                | Waiting::NextDial
                | Waiting::DialAnswer
                | Waiting::Open
                | Waiting::Keepalive => {
                    if !deadline {
                        return Err(format!("side {side} has no way out: {status:?}"));
                    }
                }
            }
        }
        self.agree()
    }

    /// With nothing on its way, two sessions are one.
    fn agree(&self) -> Result<(), String> {
        let quiet = self.connections.values().all(|tcp| tcp.line.iter().all(VecDeque::is_empty));
        let whole = self.connections.values().all(|tcp| tcp.open == [true; 2]);
        match [self.sides[0].up, self.sides[1].up] {
            [Some(one), Some(other)] if quiet && whole && one != other => {
                Err(format!("one session is over {one}, the other over {other}"))
            }
            _ => Ok(()),
        }
    }

    /// No more faults, no more commands; who was stopped is started, and time goes on without an end.
    pub(super) fn calm(&mut self) {
        self.left = 0;
        self.lasting = Some(LASTS);
    }

    /// Both are Established on one connection, and have been for long enough.
    pub(super) fn is_settled(&mut self) -> bool {
        let together = self.sides[0].up.is_some() && self.sides[0].up == self.sides[1].up;
        if !together {
            self.lasting = Some(LASTS);
        }
        self.lasting == Some(Duration::ZERO)
    }

    /// Starts first, then what is on its way, then the side whose deadline is nearer.
    pub(super) fn next_quiet_action(&self) -> Option<Action> {
        let stopped = |side: &usize| {
            matches!(self.sides[*side].peer.status().waiting, Waiting::Start | Waiting::Operator(_))
        };
        if let Some(side) = [0, 1].into_iter().find(stopped) {
            return Some(Action::Start(side));
        }
        let waits = |(id, tcp): (&ConnectionId, &Tcp)| {
            [0, 1].into_iter().find(|side| !tcp.line[*side].is_empty()).map(|side| Action::Deliver(side, *id))
        };
        self.connections.iter().find_map(waits).or_else(|| {
            let left = |side: usize| {
                let this = &self.sides[side];
                this.peer.next_deadline().map(|at| at.saturating_duration_since(this.now))
            };
            let due = [0, 1].into_iter().filter_map(|side| left(side).map(|left| (left, side)));
            due.min().map(|(_, side)| Action::Deadline(side))
        })
    }
}

impl Tcp {
    fn actions(&self, id: ConnectionId, faults: bool) -> Vec<Action> {
        let mut actions: Vec<Action> = [0, 1]
            .into_iter()
            .filter(|side| !self.line[*side].is_empty())
            .map(|side| Action::Deliver(side, id))
            .collect();
        let fresh = self.line[self.dialler].front() == Some(&Item::Dialled)
            && self.line[1 - self.dialler].front() == Some(&Item::Accepted);
        if faults && fresh {
            actions.push(Action::Refuse(id));
        } else if faults && self.open == [true; 2] {
            actions.push(Action::Cut(id));
        }
        // Data alone is never lost: TCP repeats it. With the end of the other side behind it, it is.
        let lost = |side: &usize| self.open[*side] && self.line[*side].back() == Some(&Item::End);
        if faults {
            actions.extend([0, 1].into_iter().filter(lost).map(|side| Action::Forget(side, id)));
        }
        actions
    }
}

//! One peer: what the daemon talks to.
//!
//! Owns the calls, what they mean as events, and the cutting of a stream into messages. The two machines behind
//! them, and what they are to each other, are `machines`.

use std::time::Instant;

use bgp_wire::context::DecodeContext;
use bgp_wire::framer::{Frame, HEADER_LEN, Next};
use bgp_wire::iana::message as kind;
use bgp_wire::message::{self, Message, MessageFault};
use bgp_wire::notification::Notification;
use bgp_wire::update::{self, Update};
use bytes::{Bytes, BytesMut};

use crate::config::{PeerConfig, Takes};
use crate::connection::{Connection, ConnectionId, Direction, Endpoints};
use crate::counters::MessageKind;
use crate::negotiated::Negotiated;
use crate::output::{Exceeded, Malformed, Note, Output};
use crate::pace::Pace;
use crate::state::{Event, Idle, IdleCause, Record, State, Stop};
use crate::status::StateName;

mod machines;
mod status;

pub(crate) use machines::Slot;

/// What the operator and the RIB want of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Up again, after a shutdown or a maximum-prefix stop.
    Start,
    /// Down, with a reason for the peer (RFC 9003; empty: none), until told otherwise.
    Shutdown(String),
    /// Down and up again, with a reason for the peer.
    Reset(String),
    /// Down, for the peer is about to be dropped.
    Deconfigure,
    /// Down without a NOTIFICATION, for the daemon restarts and the peer is to keep our routes (RFC 4724 section 4.1).
    Leave,
    /// Down, for the peer's node is not there any more (why, in words); up again as soon as it is back.
    NodeGone(String),
    /// Down with Cease, BFD Down (RFC 9384), for BFD says that the way to the peer is cut (why, in words); up again as soon
    /// as the peer can be reached.
    BfdDown {
        /// Why, in words.
        why: String,
        /// The node is there all the same: only what speaks with us has failed.
        forwards: bool,
    },
    /// Up again, where the peer was stopped because it had announced too much: the limit is another one.
    LiftLimit,
    /// Down, for the peer has announced too much; up again after the time, where there is one.
    MaximumPrefix {
        /// What was exceeded.
        exceeded: Exceeded,
        /// When the peer may try again.
        restart_after: Option<std::time::Duration>,
    },
}

/// One peer.
#[derive(Clone, Debug)]
pub struct Peer {
    pub(crate) config: PeerConfig,
    pub(crate) pace: Pace,
    pub(crate) record: Record,
    pub(crate) main: State,
    pub(crate) rival: Option<State>,
    pub(crate) shown: (StateName, Instant),
}

impl Peer {
    /// A peer that does nothing until [`Peer::start`]. `seed` is for jitter: different for each peer.
    pub fn new(config: PeerConfig, seed: u64, now: Instant) -> Self {
        let cause = match &config.shutdown {
            Some(reason) => IdleCause::Shutdown(reason.clone()),
            None => IdleCause::NotStarted,
        };
        Self {
            config,
            pace: Pace::new(seed),
            record: Record::default(),
            main: State::Idle(Idle { cause, until: None }),
            rival: None,
            shown: (StateName::Idle, now),
        }
    }

    /// Dials, waits for the peer, or both; nothing where the configuration has the peer shut down.
    pub fn start(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.config.shutdown.is_none() {
            self.command(Command::Start, now, out);
        }
    }

    /// What the operator wants.
    pub fn command(&mut self, command: Command, now: Instant, out: &mut Vec<Output>) {
        let stop = match command {
            Command::Start => {
                self.step(Slot::Main, Event::Start, now, out);
                return self.settle(now, out);
            }
            Command::LiftLimit => {
                if matches!(&self.main, State::Idle(Idle { cause: IdleCause::MaximumPrefix(_), .. })) {
                    self.step(Slot::Main, Event::Start, now, out);
                }
                return self.settle(now, out);
            }
            Command::Shutdown(reason) => Stop::Shutdown(reason),
            Command::Reset(reason) => Stop::Reset(reason),
            Command::Deconfigure => Stop::Deconfigured,
            Command::Leave => Stop::Leaving,
            Command::NodeGone(why) => Stop::NodeGone(why),
            Command::BfdDown { why, forwards } => Stop::BfdDown { why, forwards },
            Command::MaximumPrefix { exceeded, restart_after } => {
                Stop::MaximumPrefix(exceeded, restart_after)
            }
        };
        self.step(Slot::Rival, Event::Stop(stop.clone()), now, out);
        self.rival = None;
        self.step(Slot::Main, Event::Stop(stop), now, out);
        self.settle(now, out);
    }

    /// Another configuration: who dials and whether the peer is shut down count at once, the rest from the next
    /// OPEN on.
    pub fn set_config(&mut self, config: PeerConfig, now: Instant, out: &mut Vec<Output>) -> Takes {
        let old = std::mem::replace(&mut self.config, config);
        match (old.shutdown.is_some(), self.config.shutdown.clone()) {
            (_, Some(reason)) if old.shutdown.as_ref() != Some(&reason) => {
                self.command(Command::Shutdown(reason), now, out);
            }
            (true, None) => self.command(Command::Start, now, out),
            (true | false, _) if old.mode != self.config.mode => self.change_mode(now, out),
            (true | false, _) => {}
        }
        let kept = PeerConfig {
            mode: old.mode,
            connect_retry: old.connect_retry,
            send_hold: old.send_hold,
            shutdown: old.shutdown.clone(),
            ..self.config.clone()
        };
        if kept == old || self.main.connection().is_none() { Takes::AtOnce } else { Takes::NextSession }
    }

    /// What waits, waits as the new mode has it; connections stay.
    fn change_mode(&mut self, now: Instant, out: &mut Vec<Output>) {
        let next_dial = self.config.mode.dials().then_some(now);
        match &mut self.main {
            State::Active(active) => active.next_dial = next_dial,
            State::Connect(_) if !self.config.mode.dials() => {
                self.step(Slot::Main, Event::CollisionLost, now, out);
            }
            State::Connect(_)
            | State::Idle(_)
            | State::OpenSent(_)
            | State::OpenConfirm(_)
            | State::Established(_) => {}
        }
        self.settle(now, out);
    }

    /// The configuration.
    pub fn config(&self) -> &PeerConfig {
        &self.config
    }

    /// A TCP connection is there: the one that was dialled, or one from the peer.
    pub fn connected(
        &mut self,
        id: ConnectionId,
        direction: Direction,
        endpoints: Endpoints,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let connection = Connection::new(id, direction, endpoints, now);
        match direction {
            Direction::Outgoing => self.dialled(connection, now, out),
            Direction::Incoming => self.accept(connection, now, out),
        }
        self.settle(now, out);
    }

    /// The dial came to nothing.
    pub fn dial_failed(&mut self, reason: &str, now: Instant, out: &mut Vec<Output>) {
        self.step(Slot::Main, Event::DialFailed(reason.to_owned()), now, out);
        self.settle(now, out);
    }

    /// Octets came: takes whole messages out of `octets` and leaves what is not whole yet. Outputs are bounded by the
    /// octets given.
    pub fn receive(&mut self, id: ConnectionId, octets: &mut BytesMut, now: Instant, out: &mut Vec<Output>) {
        while let Some(slot) = self.slot(id) {
            let event = match self.next_frame(slot, octets) {
                Next::Wait => return,
                // The hot road: no event, for nothing but routes can change.
                Next::Message(frame) if frame.kind == kind::UPDATE && self.is_session(slot) => {
                    match self.update(&frame, now, out) {
                        Ok(()) => continue,
                        Err(fault) => fault_event(fault),
                    }
                }
                Next::Message(frame) => self.event(slot, &frame),
                Next::Fault(fault) => fault_event(fault.into()),
            };
            self.handle(slot, event, now, out);
            self.settle(now, out);
        }
        // Nobody reads on from a connection that is closed.
        octets.clear();
    }

    /// The connection has ended by itself, with the words of the system for it.
    pub fn closed(&mut self, id: ConnectionId, reason: &str, now: Instant, out: &mut Vec<Output>) {
        if let Some(slot) = self.slot(id) {
            self.step(slot, Event::ConnectionClosed(reason.to_owned()), now, out);
            self.settle(now, out);
        }
    }

    /// The socket took octets: the send hold timer stops (RFC 9687). Where octets still wait, say
    /// [`Peer::send_blocked`] after it.
    pub fn sent(&mut self, id: ConnectionId) {
        if let Some(connection) = self.machine(id).and_then(State::connection_mut) {
            connection.send_hold = None;
        }
    }

    /// Octets wait and the socket takes none: the send hold timer runs, if it does not already.
    pub fn send_blocked(&mut self, id: ConnectionId, now: Instant) {
        let send_hold = self.config.send_hold;
        if let Some(machine) = self.machine(id) {
            let hold = machine.negotiated().and_then(Negotiated::hold);
            if let Some(connection) = machine.connection_mut() {
                connection.blocked(send_hold.time(hold), now);
            }
        }
    }

    /// The caller has written `n` messages of its own, of so many octets, to the session: they count, and an UPDATE does
    /// for a KEEPALIVE.
    pub fn note_sent(&mut self, kind: MessageKind, n: u64, octets: usize, now: Instant) {
        self.record.counters.sent(kind, n, octets);
        if let (MessageKind::Update, State::Established(session)) = (kind, &mut self.main) {
            session.timers.spoke(&session.negotiated, &mut self.pace, now);
        }
    }

    /// Time has passed. What was received before `now` is to be handed in first, or a hold timer may end a session
    /// whose KEEPALIVE lies in a buffer.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        for slot in [Slot::Rival, Slot::Main] {
            if let Some(event) = self.due(slot, now) {
                self.step(slot, event, now, out);
            }
        }
        self.settle(now, out);
    }

    /// When [`Peer::tick`] has something to do; at or before that time it has nothing to do earlier.
    pub fn next_deadline(&self) -> Option<Instant> {
        let machines = [Some(&self.main), self.rival.as_ref()];
        machines.into_iter().flatten().flat_map(State::timers).map(|(at, _)| at).min()
    }

    fn next_frame(&mut self, slot: Slot, octets: &mut BytesMut) -> Next {
        let connection = self.at(slot).and_then(State::connection);
        connection.map_or(Next::Wait, |connection| connection.framer.next(octets))
    }

    /// A message as an event.
    fn event(&mut self, slot: Slot, frame: &Frame) -> Event {
        let negotiated = self.at(slot).and_then(State::negotiated);
        let cx = negotiated.map_or_else(DecodeContext::default, Negotiated::decode);
        let (kind, event) = match message::decode(frame, &cx) {
            Ok(Message::Open(open)) => (MessageKind::Open, Event::Open(open)),
            Ok(Message::Update(update)) => (MessageKind::Update, Event::Update(update)),
            Ok(Message::Notification(n)) => (MessageKind::Notification, Event::Notification(n)),
            Ok(Message::Keepalive) => (MessageKind::Keepalive, Event::Keepalive),
            Ok(Message::RouteRefresh(refresh)) => (MessageKind::RouteRefresh, Event::RouteRefresh(refresh)),
            Err(fault) => {
                let state = self.at(slot);
                let unexpected = state.and_then(|state| out_of_place(state, frame.kind));
                return unexpected.unwrap_or_else(|| fault_event(fault));
            }
        };
        self.count(kind, frame);
        event
    }

    /// An UPDATE of the session.
    fn update(&mut self, frame: &Frame, now: Instant, out: &mut Vec<Output>) -> Result<(), MessageFault> {
        let State::Established(session) = &self.main else { return Ok(()) };
        let cx = session.negotiated.decode();
        let update = self.decode_update(frame, &cx, out)?;
        self.count(MessageKind::Update, frame);
        if let State::Established(session) = &mut self.main {
            session.on_update(update, now, out);
        }
        Ok(())
    }

    /// One that is malformed is noted, before what it means.
    fn decode_update(
        &mut self,
        frame: &Frame,
        cx: &DecodeContext,
        out: &mut Vec<Output>,
    ) -> Result<Update, MessageFault> {
        let decoded = update::decode(&frame.body, cx);
        match &decoded {
            Ok(update) if update.faults.is_empty() => {}
            Ok(update) => self.malformed(frame.body.clone(), Some(update.clone()), out),
            Err(_) => self.malformed(frame.body.clone(), None, out),
        }
        Ok(decoded?)
    }

    fn count(&mut self, kind: MessageKind, frame: &Frame) {
        self.record.counters.received(kind, frame.body.len().saturating_add(HEADER_LEN));
    }

    fn malformed(&mut self, body: Bytes, update: Option<Update>, out: &mut Vec<Output>) {
        let count = &mut self.record.counters.malformed_updates;
        *count = count.saturating_add(1);
        out.push(Output::Note(Note::Malformed(Box::new(Malformed { body, update }))));
    }

    /// A KEEPALIVE that completes a rival ends the session that the peer has lost: Down comes before Up.
    fn handle(&mut self, slot: Slot, event: Event, now: Instant, out: &mut Vec<Output>) {
        let completes = matches!((&event, self.at(slot)), (Event::Keepalive, Some(State::OpenConfirm(_))));
        if slot == Slot::Rival && completes && self.is_session(Slot::Main) {
            self.step(Slot::Main, Event::Replaced, now, out);
            self.shown.1 = now;
        }
        self.step(slot, event, now, out);
    }

    fn is_session(&self, slot: Slot) -> bool {
        matches!(self.at(slot), Some(State::Established(_)))
    }
}

/// For the table of states, whose events have no octets.
#[cfg(test)]
impl Peer {
    pub(crate) fn machines(&self) -> (&State, Option<&State>) {
        (&self.main, self.rival.as_ref())
    }

    pub(crate) fn deliver(&mut self, slot: Slot, event: Event, now: Instant, out: &mut Vec<Output>) {
        self.handle(slot, event, now, out);
        self.settle(now, out);
    }
}

/// What a message costs that cannot be read and has no place in `state` either: RFC 4271 section 8.2.2 answers event 28 in
/// OpenSent and OpenConfirm, and event 22 in Established, by Finite State Machine Error, with the subcodes of RFC 6608.
fn out_of_place(state: &State, kind: u8) -> Option<Event> {
    let of_a_session = matches!(kind, kind::UPDATE | kind::ROUTE_REFRESH);
    let unexpected = match state {
        State::OpenSent(_) => of_a_session.then(|| Notification::unexpected_in_open_sent(kind)),
        State::OpenConfirm(_) => of_a_session.then(|| Notification::unexpected_in_open_confirm(kind)),
        State::Established(_) => (kind == kind::OPEN).then(|| Notification::unexpected_in_established(kind)),
        State::Idle(_) | State::Connect(_) | State::Active(_) => None,
    };
    unexpected
        .map(|notification| Event::Fault(notification, "the message has no place in this state".to_owned()))
}

fn fault_event(fault: MessageFault) -> Event {
    let detail = fault.to_string();
    Event::Fault(fault.into(), detail)
}

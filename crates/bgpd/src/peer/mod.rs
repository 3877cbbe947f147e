//! One task a peer: its sockets, its timers, and the one `bgp_session::Peer` that decides.
//!
//! Road in: octets from the connections go to the session; what it puts out is carried out here. The UPDATEs of one read
//! travel to routing together; while they wait for room there, nothing more is read, and TCP slows the peer down.
//! Road out: when the connection can take more, routing is told so and answers with one buffer of encoded UPDATEs.
//! Knows no protocol: no message is looked into here.

mod connection;
pub mod handover;
mod malformed;
mod messages;
mod outputs;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Instant;

use bgp_session::{Command, ConnectionId, Direction, Endpoints, MessageKind, Output, Peer};
use bgp_wire::Update;
use bgp_wire::framer::HEADER_LEN;
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tracing::{Instrument, Span, debug, info_span};

pub use messages::{Closing, Configure, Identity, PeerStatus, ToPeer};

use self::connection::{Connection, Read, Ready, ready};
use self::handover::{Restoring, Resumed};
use crate::config::Settings;
use crate::events::Hub;
use crate::handover::plain;
use crate::local::{LocalEnd, LookUp};
use crate::log::Allowance;
use crate::net::{DialOptions, dial};
use crate::routing::{FromPeer, Gone, Inlet, Lane, Permit, Unsent};
use crate::tasks::Alarm;

/// Messages that may wait for a peer task; senders wait beyond that.
const INBOX: usize = 32;
/// So many outputs of a session are no table.
const FEW: usize = 4;
/// Octets of one read that are work for longer than others should wait.
const LONG_READ: usize = 8 * 1024;
/// Octets that may wait for the socket before routing is asked for no more. What is urgent waits behind them.
const BACKLOG: usize = 64 * 1024;

/// A dial under way.
type Dial = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// What the supervisor keeps of a peer task.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Where messages go.
    pub inbox: mpsc::Sender<ToPeer>,
    /// Whether the session is Established; read by the supervisor to choose whom a full listen range lets go.
    pub established: Arc<AtomicBool>,
    /// Whether routes outlive the session: the task says so when the session ends, routing takes it back when they are gone.
    pub kept: Arc<AtomicBool>,
}

/// Whom a peer task speaks with.
#[derive(Clone, Debug)]
pub struct Links {
    /// Where UPDATEs go.
    pub routing: Inlet,
    /// Where events go.
    pub hub: Hub,
}

/// What a peer task begins with.
#[derive(Debug)]
pub struct Beginning {
    /// The session.
    pub session: Peer,
    /// What becomes of it first.
    pub start: Start,
    /// How it dials.
    pub dial: DialOptions,
    /// For routing.
    pub settings: Arc<Settings>,
}

/// How the session begins.
#[derive(Debug)]
pub enum Start {
    /// As its configuration says.
    Anew,
    /// It is kept down by an operator's command, for this reason.
    Down(String),
    /// It goes on from the process before.
    GoesOn(Box<Resumed>),
}

/// Starts the task of a peer. The first thing that routing hears of it are its settings.
pub fn spawn(identity: Identity, beginning: Beginning, links: Links) -> Handle {
    let Beginning { session, start, dial: dial_options, settings } = beginning;
    let (inbox, messages) = mpsc::channel(INBOX);
    let handle = Handle {
        inbox,
        established: Arc::new(AtomicBool::new(false)),
        kept: Arc::new(AtomicBool::new(false)),
    };
    let mut task = Task {
        handle: handle.clone(),
        span: info_span!("peer", peer = %identity.address),
        identity,
        session,
        dial_options,
        routing: links.routing.lane(),
        hub: links.hub,
        connections: Vec::new(),
        next_connection: 0,
        closing: Closing::new(),
        dial: None,
        outputs: Vec::new(),
        pending: VecDeque::new(),
        batch: Vec::new(),
        batch_octets: 0,
        received_at: None,
        bytes_in: 0,
        bytes_out: 0,
        last_received: None,
        malformed: Allowance::new(std::time::Instant::now()),
        downs: BTreeMap::new(),
        established: None,
        chunks: None,
        credit: false,
        answers: false,
        own_end: None,
        restoring: None,
        alarm: Alarm::default(),
    };
    task.pending.push_back(task.settings_message(settings));
    tokio::spawn(task.run(messages, start));
    handle
}

/// Everything that one peer needs.
struct Task {
    handle: Handle,
    /// What is logged of this peer is logged in here. It is entered where there may be something to log: to do so for each
    /// UPDATE would be a tenth of what one takes.
    span: Span,
    identity: Identity,
    session: Peer,
    dial_options: DialOptions,
    routing: Lane,
    hub: Hub,
    /// At most two: RFC 4271 section 6.8 lets one of them survive.
    connections: Vec<Connection>,
    next_connection: u64,
    closing: Closing,
    dial: Option<Dial>,
    /// What the session wants done; lent to it, emptied after each call.
    outputs: Vec<Output>,
    /// For routing, in order; while it is not empty, nothing is read.
    pending: VecDeque<FromPeer>,
    /// UPDATEs not yet in `pending`.
    batch: Vec<Update>,
    /// Octets of NLRI in them.
    batch_octets: usize,
    /// When the first of `batch` was read.
    received_at: Option<Instant>,
    bytes_in: u64,
    bytes_out: u64,
    last_received: Option<Instant>,
    /// How often its malformed UPDATEs may be logged.
    malformed: Allowance,
    /// Ends of established sessions by reason, for the metrics.
    downs: BTreeMap<&'static str, u64>,
    /// The connection of the present session.
    established: Option<ConnectionId>,
    /// Encoded UPDATEs of the present session, from routing.
    chunks: Option<mpsc::Receiver<Bytes>>,
    /// Routing has been told that there is room.
    credit: bool,
    /// Routing has given something and has not been told that it is taken.
    answers: bool,
    /// Our end of the session that is just up is being looked up; nothing goes to routing before it is known.
    own_end: Option<LookUp>,
    /// Adj-RIBs of the process before that routing does not have yet; its next part is in `pending`.
    restoring: Option<Restoring>,
    /// For the session's deadline.
    alarm: Alarm,
}

/// What woke the task.
enum Wake {
    Message(Option<ToPeer>),
    Socket(ConnectionId, Ready),
    Dialled(io::Result<TcpStream>),
    Chunk(Option<Bytes>),
    /// It has taken a message, which may have been a part of the Adj-RIBs of before.
    RoutingHasRoom {
        part: bool,
    },
    OwnEnd(LocalEnd),
    Deadline,
}

impl Task {
    async fn run(mut self, mut messages: mpsc::Receiver<ToPeer>, start: Start) {
        self.span.clone().in_scope(|| match start {
            Start::Anew => self.with_session(|session, now, outputs| session.start(now, outputs)),
            Start::Down(reason) => {
                let command = Command::Shutdown(reason);
                self.with_session(|session, now, outputs| session.command(command, now, outputs));
            }
            Start::GoesOn(resumed) => self.go_on(*resumed),
        });
        loop {
            let wake = self.wait(&mut messages).await;
            let mut yielding = false;
            match wake {
                Wake::Message(None) => break,
                Wake::Message(Some(message)) => {
                    let span = self.span.clone();
                    if self.on_message(message).instrument(span).await.is_break() {
                        break;
                    }
                }
                Wake::Socket(id, Ready::Read) => {
                    // A peer with a table to tell always has more; others that share the worker have their turn.
                    yielding = self.on_readable(id) > LONG_READ;
                }
                Wake::Socket(id, Ready::Write) => self.on_writable(id),
                Wake::Dialled(result) => self.on_dialled(result),
                Wake::Chunk(chunk) => self.on_chunk(chunk),
                Wake::RoutingHasRoom { part } => {
                    self.read_on(part);
                    yielding = part;
                }
                Wake::OwnEnd(local) => self.on_own_end(local),
                Wake::Deadline => self.on_deadline(),
            }
            self.write_all();
            self.ask_for_updates();
            if !self.hand_over() {
                break;
            }
            if yielding {
                tokio::task::yield_now().await;
            }
        }
        self.handle.established.store(false, Ordering::Relaxed);
        debug!(parent: &self.span, "peer task ends");
    }

    async fn wait(&mut self, messages: &mut mpsc::Receiver<ToPeer>) -> Wake {
        let deadline = self.session.next_deadline();
        let blocked = !self.pending.is_empty();
        let (lane, next) = (&self.routing, self.pending.front().filter(|_| self.own_end.is_none()));
        tokio::select! {
            biased;
            (id, what) = once_woken(ready(&self.connections, !blocked)) => Wake::Socket(id, what),
            message = messages.recv() => Wake::Message(message),
            () = self.alarm.ring(deadline) => Wake::Deadline,
            local = looked_up(&mut self.own_end) => Wake::OwnEnd(local),
            permit = room_for(lane, next) => {
                let mut part = false;
                if let (Ok(permit), Some(message)) = (permit, self.pending.pop_front()) {
                    part = message.is_part();
                    permit.send(message);
                }
                Wake::RoutingHasRoom { part }
            }
            result = poll_dial(&mut self.dial) => {
                self.dial = None;
                Wake::Dialled(result)
            }
            chunk = next_chunk(&mut self.chunks) => Wake::Chunk(chunk),
            (id, what) = ready(&self.connections, !blocked) => Wake::Socket(id, what),
        }
    }

    /// Calls the session with the time and an empty buffer, then carries out what it wants.
    fn with_session(&mut self, call: impl FnOnce(&mut Peer, Instant, &mut Vec<Output>)) {
        let mut outputs = std::mem::take(&mut self.outputs);
        call(&mut self.session, Instant::now(), &mut outputs);
        if outputs.len() > FEW {
            self.batch.reserve(outputs.len());
        }
        for output in outputs.drain(..) {
            self.carry_out(output);
        }
        self.outputs = outputs;
    }

    /// What has arrived counts before the time that has passed: a KEEPALIVE that waits in the socket, because routing had no
    /// room for what came before it, must not lose against the hold timer.
    fn on_deadline(&mut self) {
        let ids: Vec<_> = self.connections.iter().map(|connection| connection.id).collect();
        for id in ids {
            self.on_readable(id);
        }
        self.with_session(|session, now, outputs| session.tick(now, outputs));
    }

    /// Reads once; how many octets.
    fn on_readable(&mut self, id: ConnectionId) -> usize {
        let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) else {
            return 0;
        };
        match connection.read() {
            Ok(Read::Nothing) => {}
            Ok(Read::Octets(count)) => {
                self.bytes_in += count as u64;
                self.last_received = Some(Instant::now());
                // Lent out so that the session can be called while the connection stays in the list.
                let mut inbound = std::mem::take(&mut connection.inbound);
                self.received_at.get_or_insert_with(Instant::now);
                self.with_session(|session, now, outputs| session.receive(id, &mut inbound, now, outputs));
                if let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) {
                    connection.inbound = inbound;
                }
                self.flush_batch();
                return count;
            }
            Ok(Read::End) => self.on_lost(id, "the peer closed the connection"),
            Err(error) => self.on_lost(id, &error.to_string()),
        }
        0
    }

    fn on_writable(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) else {
            return;
        };
        match connection.write() {
            Ok(written) => {
                let waits = connection.backlog() > 0;
                self.bytes_out += written as u64;
                if written > 0 {
                    self.session.sent(id);
                }
                if waits {
                    self.session.send_blocked(id, Instant::now());
                }
            }
            Err(error) => self.on_lost(id, &error.to_string()),
        }
    }

    fn on_lost(&mut self, id: ConnectionId, reason: &str) {
        self.connections.retain(|connection| connection.id != id);
        self.with_session(|session, now, outputs| session.closed(id, reason, now, outputs));
    }

    fn on_dialled(&mut self, result: io::Result<TcpStream>) {
        let _said_of = self.span.clone().entered();
        match result {
            Ok(stream) => self.take_connection(stream, Direction::Outgoing),
            Err(error) => {
                self.with_session(|session, now, outputs| {
                    session.dial_failed(&error.to_string(), now, outputs)
                });
            }
        }
    }

    /// Gives a new connection to the session.
    fn take_connection(&mut self, stream: TcpStream, direction: Direction) {
        let endpoints = match (stream.local_addr(), stream.peer_addr()) {
            (Ok(local), Ok(remote)) => Endpoints { local: plain(local), remote: plain(remote) },
            (Err(error), _) | (_, Err(error)) => {
                debug!(%error, "a connection was gone before it could be used");
                if direction == Direction::Outgoing {
                    self.with_session(|session, now, out| session.dial_failed(&error.to_string(), now, out));
                }
                return;
            }
        };
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.connections.push(Connection::new(id, stream));
        self.with_session(|session, now, outputs| session.connected(id, direction, endpoints, now, outputs));
    }

    fn on_chunk(&mut self, chunk: Option<Bytes>) {
        self.credit = false;
        self.answers = chunk.is_some();
        let Some(chunk) = chunk else {
            self.chunks = None;
            return;
        };
        let Some(id) = self.established else { return };
        self.session.note_sent(MessageKind::Update, messages_in(&chunk), chunk.len(), Instant::now());
        self.queue(id, chunk);
    }

    /// Puts octets behind those that wait. They are written by [`Task::write_all`] and not here: a write that fails ends
    /// the session, and that must not come between two outputs of the session.
    fn queue(&mut self, id: ConnectionId, octets: Bytes) {
        if let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) {
            connection.queue(octets);
        }
    }

    /// Writes what the sockets take now.
    fn write_all(&mut self) {
        let mut at = 0;
        // One that is lost in between moves the next into its place, and that is written when the socket is looked at.
        while let Some(connection) = self.connections.get(at) {
            let (id, waits) = (connection.id, connection.backlog() > 0);
            at += 1;
            if waits {
                self.on_writable(id);
            }
        }
    }

    /// Tells routing that there is room, once until it has answered; where there is none, only that what it gave is taken.
    fn ask_for_updates(&mut self) {
        if self.credit || self.chunks.is_none() {
            return;
        }
        let backlog: usize = self.connections.iter().map(Connection::backlog).sum();
        let answers = std::mem::take(&mut self.answers);
        if backlog < BACKLOG {
            self.credit = true;
            self.pending.push_back(FromPeer::Ready { peer: self.identity.id });
        } else if answers {
            self.pending.push_back(FromPeer::Taken);
        }
    }

    /// What applies to the peer, for routing.
    fn settings_message(&self, settings: Arc<Settings>) -> FromPeer {
        FromPeer::Settings {
            peer: self.identity.id,
            address: self.identity.address,
            settings,
            handle: self.handle.clone(),
        }
    }

    /// Moves collected UPDATEs behind what waits for routing.
    fn flush_batch(&mut self) {
        let received = self.received_at.take().unwrap_or_else(Instant::now);
        if !self.batch.is_empty() {
            let updates = std::mem::take(&mut self.batch).into_iter();
            let octets = std::mem::take(&mut self.batch_octets);
            self.pending.push_back(FromPeer::Updates { peer: self.identity.id, updates, octets, received });
        }
    }

    /// Gives routing what it has room for now; false where routing is gone and the daemon ends.
    fn hand_over(&mut self) -> bool {
        if self.own_end.is_some() {
            return true;
        }
        while let Some(message) = self.pending.pop_front() {
            let is_part = message.is_part();
            match self.routing.try_reserve(&message) {
                Ok(permit) => permit.send(message),
                Err(unsent) => {
                    self.pending.push_front(message);
                    return unsent == Unsent::NoRoom;
                }
            }
            self.read_on(is_part);
            if is_part {
                return true;
            }
        }
        true
    }

    /// Gives routing all that waits for it, and all of the Adj-RIBs of before.
    async fn give_all(&mut self) -> Result<(), Gone> {
        while let Some(message) = self.pending.pop_front() {
            let room = self.routing.reserve(&message).await?;
            let is_part = message.is_part();
            room.send(message);
            self.read_on(is_part);
        }
        Ok(())
    }

    /// Behind a part of the Adj-RIBs of before comes the next, ahead of whatever else waits.
    fn read_on(&mut self, was_part: bool) {
        if was_part && let Some(part) = self.next_part() {
            self.pending.push_front(part);
        }
    }
}

/// Has a future wait until the task has gone to sleep and is woken. All others had nothing then: whoever is woken by this one
/// need not ask them again.
async fn once_woken<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut slept) = (pin!(future), false);
    poll_fn(|context| match std::mem::replace(&mut slept, true) {
        true => future.as_mut().poll(context),
        false => Poll::Pending,
    })
    .await
}

/// How many messages a buffer of whole messages holds.
fn messages_in(mut octets: &[u8]) -> u64 {
    let mut count = 0;
    while let Some([.., high, low, _]) = octets.first_chunk::<HEADER_LEN>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).max(HEADER_LEN);
        octets = octets.get(length..).unwrap_or_default();
        count += 1;
    }
    count
}

async fn poll_dial(dial: &mut Option<Dial>) -> io::Result<TcpStream> {
    match dial {
        Some(dial) => dial.await,
        None => std::future::pending().await,
    }
}

async fn looked_up(own_end: &mut Option<LookUp>) -> LocalEnd {
    match own_end {
        Some(look_up) => look_up.await,
        None => std::future::pending().await,
    }
}

/// Room for the message that is to go next; never where there is none.
async fn room_for<'a>(lane: &'a Lane, next: Option<&FromPeer>) -> Result<Permit<'a>, Gone> {
    match next {
        Some(message) => lane.reserve(message).await,
        None => std::future::pending().await,
    }
}

async fn next_chunk(chunks: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    match chunks {
        Some(chunks) => chunks.recv().await,
        None => std::future::pending().await,
    }
}

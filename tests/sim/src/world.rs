//! The event loop: virtual time, the network between the speakers, and their peers' tasks.
//!
//! One event at a time, in the order of time and then of making. Nothing here waits and nothing is left to chance but
//! what the seed says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bgp_session::{ConnectionId, Direction, Endpoints, GracefulRestartMode, MessageKind, Output, Peer};
use bgp_session::{PeerConfig, RemoteAs, RouteRetention};
use bgp_wire::framer::HEADER_LEN;
use bgp_wire::open::HoldTime;
use bgp_wire::{Nlri, Update};
use bytes::{Bytes, BytesMut};

use crate::network::{Connection, Item};
use crate::node::{Budgets, Entry, Feeder, Message, Node, PeerTask, new_fib, new_kernel, new_rib};
use crate::plan::Plan;
use crate::random::Random;
use crate::script::Act;

/// What happens at a time.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Arrive { connection: usize, from: usize },
    Read { connection: usize, side: usize },
    Write { connection: usize, side: usize },
    Dialled { node: usize, peer: usize, dial: u64 },
    TimedOut { node: usize, peer: usize, dial: u64 },
    Incoming { connection: usize, side: usize },
    Tick { node: usize, peer: usize },
    Turn { node: usize },
    Kernel { node: usize },
    Act(Act),
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) random: Random,
    pub(crate) plan: Plan,
    pub(crate) nodes: Vec<Node>,
    pub(crate) connections: Vec<Connection>,
    events: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    /// What went wrong, said once the run is judged.
    pub(crate) faults: Vec<String>,
    pub(crate) trace: bool,
    pub(crate) start: Instant,
    /// Events so far.
    pub(crate) steps: u64,
}

impl World {
    pub(crate) fn new(plan: Plan, mut random: Random, start: Instant, trace: bool) -> Self {
        let count = plan.nodes.len();
        let nodes = (0..count).map(|at| new_node(&plan, at, count, &mut random, start)).collect();
        let mut world = Self {
            now: start,
            random,
            plan,
            nodes,
            connections: Vec::new(),
            events: BTreeMap::new(),
            sequence: 0,
            faults: Vec::new(),
            trace,
            start,
            steps: 0,
        };
        for node in 0..count {
            let wait = world.random.millis(0, 500);
            world.at(wait, Event::Act(Act::Boot { node, restarted: false }));
        }
        world
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Has `event` happen after `wait`.
    pub(crate) fn at(&mut self, wait: Duration, event: Event) {
        let number = self.number();
        self.events.insert((self.now + wait, number), event);
    }

    pub(crate) fn fault(&mut self, text: String) {
        let at = self.now - self.start;
        self.faults.push(format!("{at:?}: {text}"));
    }

    /// Runs until `end`.
    pub(crate) fn run_until(&mut self, end: Instant) {
        while let Some((&(time, number), _)) = self.events.first_key_value() {
            if time > end {
                break;
            }
            let Some(event) = self.events.remove(&(time, number)) else { break };
            self.now = self.now.max(time);
            self.steps += 1;
            self.happen(event);
        }
        self.now = self.now.max(end);
    }

    fn happen(&mut self, event: Event) {
        if self.trace {
            println!("{:?} {event:?}", self.now - self.start);
        }
        if let Some(node) = self.node_of(&event) {
            if let Some(until) = self.nodes[node].frozen_until.filter(|until| *until > self.now) {
                let wait = until - self.now;
                return self.at(wait, event);
            }
            if !self.nodes[node].alive {
                return;
            }
        }
        match event {
            Event::Arrive { connection, from } => self.arrive(connection, from),
            Event::Read { connection, side } => self.read(connection, side),
            Event::Write { connection, side } => self.write(connection, side),
            Event::Dialled { node, peer, dial } => self.dialled(node, peer, dial),
            Event::TimedOut { node, peer, dial } => self.dial_fails(node, peer, dial, "timed out"),
            Event::Incoming { connection, side } => self.incoming(connection, side),
            Event::Tick { node, peer } => self.tick(node, peer),
            Event::Turn { node } => self.turn(node),
            Event::Kernel { node } => self.kernel(node),
            Event::Act(act) => self.act(act),
        }
    }

    /// Whose process an event needs; the network and the script need none.
    fn node_of(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Read { connection, side }
            | Event::Write { connection, side }
            | Event::Incoming { connection, side } => {
                Some(self.plan.links[self.connections[*connection].link].ends[*side].node)
            }
            Event::Dialled { node, .. }
            | Event::TimedOut { node, .. }
            | Event::Tick { node, .. }
            | Event::Turn { node } => Some(*node),
            Event::Arrive { .. } | Event::Kernel { .. } | Event::Act(_) => None,
        }
    }

    // ---- the network ----

    fn arrive(&mut self, connection: usize, from: usize) {
        let link = self.connections[connection].link;
        let to = 1 - from;
        if !self.plan.links[link].up {
            // TCP sends it again and again, until the link is back.
            return self.at(Duration::from_millis(700), Event::Arrive { connection, from });
        }
        let here = &mut self.connections[connection];
        let held = here.ids[to].is_some() || here.accepting[to];
        let stream = &mut here.streams[from];
        let Some((due, _)) = stream.flight.front() else { return };
        if *due > self.now {
            return;
        }
        let Some((_, item)) = stream.flight.pop_front() else { return };
        match item {
            Item::Data(octets) => {
                stream.flight_len -= octets.len();
                if held {
                    stream.arrived.extend_from_slice(&octets);
                } else if here.ids[from].is_some() {
                    // Nobody is there: RST.
                    self.send_item(connection, to, Item::Reset);
                }
            }
            Item::End => stream.ended = Some("the peer closed the connection"),
            Item::Reset => {
                stream.arrived.clear();
                stream.ended = Some("connection reset by peer");
            }
        }
        if held {
            self.at(Duration::ZERO, Event::Read { connection, side: to });
        }
    }

    /// Puts something on its way behind what is on its way already.
    pub(crate) fn send_item(&mut self, connection: usize, from: usize, item: Item) {
        let (low, high) = self.plan.links[self.connections[connection].link].delay;
        let due = self.now + self.random.millis(low, high);
        let stream = &mut self.connections[connection].streams[from];
        let due = stream.flight.back().map_or(due, |(last, _)| due.max(*last));
        if let Item::Data(octets) = &item {
            stream.flight_len += octets.len();
        }
        stream.flight.push_back((due, item));
        let wait = due - self.now;
        self.at(wait, Event::Arrive { connection, from });
    }

    /// Moves what fits from a process into the network; how much, and whether anything still waits.
    fn flush(&mut self, connection: usize, side: usize) -> (usize, bool) {
        let here = &mut self.connections[connection];
        let room = here.streams[side].room(self.plan.links[here.link].window);
        let outbound = &mut here.streams[side].outbound;
        let octets = outbound.split_to(room.min(outbound.len())).freeze();
        let waits = !outbound.is_empty();
        let count = octets.len();
        if count > 0 {
            self.send_item(connection, side, Item::Data(octets));
        }
        (count, waits)
    }

    fn write(&mut self, connection: usize, side: usize) {
        let Some((node, peer)) = self.owner(connection, side) else { return };
        self.write_one(node, peer, connection, side);
        self.pump(node, peer);
    }

    fn write_one(&mut self, node: usize, peer: usize, connection: usize, side: usize) {
        let Some(id) = self.connections[connection].ids[side] else { return };
        let (written, waits) = self.flush(connection, side);
        let now = self.clock(node);
        let session = &mut self.nodes[node].peers[peer].session;
        if written > 0 {
            session.sent(id);
        }
        if waits {
            session.send_blocked(id, now);
        }
    }

    /// Whose the end of a connection is.
    pub(crate) fn owner(&self, connection: usize, side: usize) -> Option<(usize, usize)> {
        let here = &self.connections[connection];
        here.ids[side]?;
        let node = self.plan.links[here.link].ends[side].node;
        let peer = self.nodes[node].peers.iter().position(|peer| peer.link == here.link)?;
        Some((node, peer))
    }

    fn read(&mut self, connection: usize, side: usize) {
        let Some((node, peer)) = self.owner(connection, side) else { return };
        let Some(id) = self.connections[connection].ids[side] else { return };
        if !self.nodes[node].peers[peer].pending.is_empty() {
            // Read again when routing has taken what waits.
            return;
        }
        let slow = self.nodes[node].slow;
        let limit = slow.map_or(self.nodes[node].budgets.read, |(octets, _)| octets);
        let from = 1 - side;
        let stream = &mut self.connections[connection].streams[from];
        if slow.is_some() && stream.rests_until.is_some_and(|until| until > self.now) {
            return;
        }
        stream.rests_until = None;
        let mut octets = stream.arrived.split_to(limit.min(stream.arrived.len()));
        let more = !stream.arrived.is_empty();
        if octets.is_empty() {
            if let Some(reason) = stream.ended {
                self.lost(node, peer, id, connection, side, reason);
            }
            return;
        }
        self.at(Duration::ZERO, Event::Write { connection, side: from });
        let mut inbound = self.nodes[node].peers[peer].inbound(id);
        inbound.unsplit(octets.split());
        self.with_session(node, peer, |session, now, out| session.receive(id, &mut inbound, now, out));
        self.nodes[node].peers[peer].keep_inbound(id, inbound);
        self.flush_batch(node, peer);
        let wait = slow.map_or(Duration::ZERO, |(_, pause)| Duration::from_millis(pause as u64));
        let stream = &mut self.connections[connection].streams[from];
        stream.rests_until = slow.map(|_| self.now + wait);
        if more || stream.ended.is_some() || slow.is_some() {
            self.at(wait, Event::Read { connection, side });
        }
        self.pump(node, peer);
    }

    pub(crate) fn lost(
        &mut self,
        node: usize,
        peer: usize,
        id: ConnectionId,
        connection: usize,
        side: usize,
        why: &str,
    ) {
        self.forget(node, peer, connection, side);
        self.with_session(node, peer, |session, now, out| session.closed(id, why, now, out));
        self.pump(node, peer);
    }

    fn forget(&mut self, node: usize, peer: usize, connection: usize, side: usize) {
        self.connections[connection].ids[side] = None;
        self.connections[connection].streams[1 - side].arrived.clear();
        let task = &mut self.nodes[node].peers[peer];
        task.connections.retain(|(_, at)| *at != connection);
    }

    // ---- dials ----

    fn dialled(&mut self, node: usize, peer: usize, dial: u64) {
        let task = &self.nodes[node].peers[peer];
        if task.dial != Some(dial) {
            return;
        }
        let (link, side) = (task.link, task.side);
        if !self.plan.links[link].up {
            let wait = self.random.millis(1_000, 20_000);
            return self.at(wait, Event::TimedOut { node, peer, dial });
        }
        let other = self.plan.links[link].ends[1 - side].node;
        if !self.nodes[other].alive {
            return self.dial_fails(node, peer, dial, "connection refused");
        }
        self.nodes[node].peers[peer].dial = None;
        let connection = self.connections.len();
        let streams = Default::default();
        let accepting = [side == 1, side == 0];
        self.connections.push(Connection { link, ids: [None, None], accepting, streams });
        // The other end's kernel has accepted; its process hears of it in its own time.
        let wait = self.random.millis(0, 30);
        self.at(wait, Event::Incoming { connection, side: 1 - side });
        self.take_connection(node, peer, connection, side, Direction::Outgoing);
    }

    fn dial_fails(&mut self, node: usize, peer: usize, dial: u64, why: &str) {
        if self.nodes[node].peers.get(peer).is_none_or(|task| task.dial != Some(dial)) {
            return;
        }
        self.nodes[node].peers[peer].dial = None;
        self.with_session(node, peer, |session, now, out| session.dial_failed(why, now, out));
        self.pump(node, peer);
    }

    fn incoming(&mut self, connection: usize, side: usize) {
        if !std::mem::take(&mut self.connections[connection].accepting[side]) {
            return;
        }
        let link = self.connections[connection].link;
        let node = self.plan.links[link].ends[side].node;
        let Some(peer) = self.nodes[node].peers.iter().position(|peer| peer.link == link) else { return };
        self.take_connection(node, peer, connection, side, Direction::Incoming);
        self.at(Duration::ZERO, Event::Read { connection, side });
    }

    fn take_connection(
        &mut self,
        node: usize,
        peer: usize,
        connection: usize,
        side: usize,
        direction: Direction,
    ) {
        let link = self.connections[connection].link;
        let socket = |side, dialler| {
            let port = if dialler { 40_000 + (connection % 20_000) as u16 } else { 179 };
            std::net::SocketAddr::new(self.plan.address(link, side), port)
        };
        let outgoing = direction == Direction::Outgoing;
        let endpoints = Endpoints { local: socket(side, outgoing), remote: socket(1 - side, !outgoing) };
        let task = &mut self.nodes[node].peers[peer];
        let id = ConnectionId(task.next_connection);
        task.next_connection += 1;
        task.connections.push((id, connection));
        self.connections[connection].ids[side] = Some(id);
        self.with_session(node, peer, |session, now, out| {
            session.connected(id, direction, endpoints, now, out)
        });
        self.pump(node, peer);
    }

    /// What time it is for a speaker.
    pub(crate) fn clock(&self, node: usize) -> Instant {
        self.now + self.nodes[node].ahead
    }

    // ---- a peer's task ----

    pub(crate) fn tick(&mut self, node: usize, peer: usize) {
        let Some(task) = self.nodes[node].peers.get_mut(peer) else { return };
        // One that has been overtaken by an earlier one is not followed up.
        if task.tick_at.is_none_or(|at| at > self.now) {
            return;
        }
        task.tick_at = None;
        let now = self.now + self.nodes[node].ahead;
        let task = &self.nodes[node].peers[peer];
        if task.session.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.with_session(node, peer, |session, now, out| session.tick(now, out));
        }
        self.pump(node, peer);
    }

    /// Calls the session and carries out what it wants.
    pub(crate) fn with_session(
        &mut self,
        node: usize,
        peer: usize,
        call: impl FnOnce(&mut Peer, Instant, &mut Vec<Output>),
    ) {
        let mut outputs = Vec::new();
        let now = self.clock(node);
        call(&mut self.nodes[node].peers[peer].session, now, &mut outputs);
        for output in outputs {
            self.carry_out(node, peer, output);
        }
    }

    fn carry_out(&mut self, node: usize, peer: usize, output: Output) {
        match output {
            Output::Dial => {
                let dial = self.number();
                self.nodes[node].peers[peer].dial = Some(dial);
                let wait = self.random.millis(0, 60);
                self.at(wait, Event::Dialled { node, peer, dial });
            }
            Output::AbortDial => self.nodes[node].peers[peer].dial = None,
            Output::Send(id, octets) => self.queue(node, peer, id, &octets),
            Output::Close(id) => {
                if let Some(connection) = self.nodes[node].peers[peer].connection(id) {
                    let side = self.nodes[node].peers[peer].side;
                    self.flush(connection, side);
                    self.connections[connection].streams[side].outbound.clear();
                    self.send_item(connection, side, Item::End);
                    self.forget(node, peer, connection, side);
                }
            }
            Output::Up(negotiated) => {
                let channel = self.number();
                self.flush_batch(node, peer);
                let task = &mut self.nodes[node].peers[peer];
                task.established = Some(negotiated.connection);
                task.channel = Some(channel);
                (task.chunk, task.credit) = (None, false);
                task.replay.clear();
                task.ends.clear();
                task.pending.push_back(Message::Up(negotiated, channel));
            }
            Output::Update(update) => {
                self.replay(node, peer, &update);
                self.nodes[node].peers[peer].batch.push(update);
                if self.nodes[node].peers[peer].batch.len() >= self.nodes[node].budgets.batch {
                    self.flush_batch(node, peer);
                }
            }
            Output::Refresh(refresh) => {
                self.flush_batch(node, peer);
                self.nodes[node].peers[peer].pending.push_back(Message::Refresh(refresh));
            }
            Output::Down(down) => {
                if self.trace {
                    println!("{:?} node {node} peer {peer} down: {}", self.now - self.start, down.reason);
                }
                self.flush_batch(node, peer);
                let task = &mut self.nodes[node].peers[peer];
                task.established = None;
                (task.channel, task.chunk, task.credit) = (None, None, false);
                task.pending.push_back(Message::Down(down.retention));
                let kept = matches!(down.retention, RouteRetention::KeepStale { .. });
                if !kept {
                    task.replay.clear();
                }
            }
            Output::FirstKeepalive | Output::Note(_) => {}
        }
    }

    /// What a listener on the wire would make of an UPDATE; a speaker of ours sends no nonsense.
    fn replay(&mut self, node: usize, peer: usize, update: &Update) {
        let task = &self.nodes[node].peers[peer];
        let feeder = self.plan.nodes[self.plan.links[task.link].ends[1 - task.side].node].feeder;
        let mut faults: Vec<String> = update.faults.iter().map(|fault| fault.reason.to_owned()).collect();
        let task = &mut self.nodes[node].peers[peer];
        for entry in update.withdrawn.iter().flat_map(Nlri::iter) {
            if task.replay.remove(&entry.prefix).is_none() && !feeder {
                faults.push(format!("{} withdrawn, which was not announced", entry.prefix));
            }
        }
        for announcement in &update.announced {
            let attributes = update.attributes.as_ref().map(|octets| octets.parse()).unwrap_or_default();
            for entry in announcement.nlri.iter() {
                task.replay.insert(entry.prefix, (attributes.clone(), announcement.next_hop));
            }
        }
        if let Some(family) = update.end_of_rib
            && !task.ends.insert(family)
            && !feeder
        {
            faults.push(format!("a second End-of-RIB for {family}"));
        }
        for fault in faults {
            self.fault(format!("UPDATE to node {node}, peer {peer}: {fault}"));
        }
    }

    fn flush_batch(&mut self, node: usize, peer: usize) {
        let task = &mut self.nodes[node].peers[peer];
        if !task.batch.is_empty() {
            let batch = std::mem::take(&mut task.batch);
            task.pending.push_back(Message::Updates(batch));
        }
    }

    pub(crate) fn queue(&mut self, node: usize, peer: usize, id: ConnectionId, octets: &[u8]) {
        let task = &self.nodes[node].peers[peer];
        let side = task.side;
        if let Some(connection) = task.connection(id) {
            self.connections[connection].streams[side].outbound.extend_from_slice(octets);
        }
    }

    /// What a peer task does after every event: takes UPDATEs, writes, asks for more, hands over to routing, sets its timer.
    pub(crate) fn pump(&mut self, node: usize, peer: usize) {
        self.take_chunk(node, peer);
        let task = &self.nodes[node].peers[peer];
        let side = task.side;
        for (_, connection) in task.connections.clone() {
            if !self.connections[connection].streams[side].outbound.is_empty() {
                self.write_one(node, peer, connection, side);
            }
        }
        self.ask_for_updates(node, peer);
        self.hand_over(node, peer);
        let clock = self.clock(node);
        let task = &mut self.nodes[node].peers[peer];
        if let Some(deadline) = task.session.next_deadline() {
            let wait = deadline.saturating_duration_since(clock);
            let at = self.now + wait;
            if task.tick_at.is_none_or(|earlier| earlier > at) {
                task.tick_at = Some(at);
                self.at(wait, Event::Tick { node, peer });
            }
        }
    }

    fn take_chunk(&mut self, node: usize, peer: usize) {
        let now = self.clock(node);
        let task = &mut self.nodes[node].peers[peer];
        let Some(chunk) = task.chunk.take() else { return };
        task.credit = false;
        let Some(id) = task.established else { return };
        task.session.note_sent(MessageKind::Update, messages_in(&chunk), chunk.len(), now);
        self.queue(node, peer, id, &chunk);
    }

    fn ask_for_updates(&mut self, node: usize, peer: usize) {
        let limit = self.nodes[node].budgets.backlog;
        let task = &mut self.nodes[node].peers[peer];
        if task.credit || task.channel.is_none() {
            return;
        }
        let (side, connections) = (task.side, &self.connections);
        let waits = |(_, at): &(ConnectionId, usize)| connections[*at].streams[side].outbound.len();
        let backlog: usize = task.connections.iter().map(waits).sum();
        if backlog < limit {
            task.credit = true;
            task.pending.push_back(Message::Ready);
        }
    }

    pub(crate) fn hand_over(&mut self, node: usize, peer: usize) {
        let room = self.nodes[node].budgets.queue;
        let here = &mut self.nodes[node];
        let mut moved = false;
        while here.queue.len() < room {
            let Some(message) = here.peers[peer].pending.pop_front() else { break };
            here.queue.push_back((peer, message));
            moved = true;
        }
        if moved {
            let wait = self.random.millis(0, 5);
            self.turn_in(node, wait);
            let task = &self.nodes[node].peers[peer];
            if task.pending.is_empty() {
                let side = task.side;
                for (_, connection) in task.connections.clone() {
                    self.at(Duration::ZERO, Event::Read { connection, side });
                }
            }
        }
    }

    // ---- starting ----

    /// A speaker's process begins.
    pub(crate) fn boot(&mut self, node: usize, restarted: bool) {
        let hash_seed = self.random.next();
        let plan = self.plan.clone();
        let links: Vec<(usize, usize)> = plan.links_of(node).collect();
        let here = &mut self.nodes[node];
        here.alive = true;
        here.rib = new_rib(&plan.nodes[node], hash_seed);
        here.fib = new_fib(self.now + here.ahead);
        here.queue.clear();
        here.ready.clear();
        here.stale.clear();
        here.ops.clear();
        here.answers.clear();
        here.in_flight = 0;
        here.kernel.events.clear();
        here.feeder = Feeder::default();
        here.turn_at = None;
        here.entries = links.iter().map(|_| Entry::default()).collect();
        here.peers = Vec::new();
        for network in &plan.nodes[node].networks {
            here.rib.originate(*network);
        }
        for (link, side) in links {
            let session =
                Peer::new(session_config(&plan, link, side, restarted), self.random.next(), self.clock(node));
            self.nodes[node].peers.push(PeerTask::new(link, side, session));
        }
        for peer in 0..self.nodes[node].peers.len() {
            self.with_session(node, peer, |session, now, out| session.start(now, out));
            self.pump(node, peer);
        }
        self.turn_in(node, Duration::ZERO);
    }
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

fn session_config(plan: &Plan, link: usize, side: usize, restarted: bool) -> PeerConfig {
    let (end, other) = (&plan.links[link].ends[side], &plan.links[link].ends[1 - side]);
    let (us, them) = (&plan.nodes[end.node], &plan.nodes[other.node]);
    let mut config = PeerConfig::new(us.asn, us.router_id, RemoteAs::Exact(them.asn));
    config.mode = end.mode;
    config.hold_time = HoldTime::new(end.hold).unwrap_or(HoldTime::Off);
    config.connect_retry = Duration::from_secs(20);
    config.graceful_restart = match us.restarter {
        None => GracefulRestartMode::Helper,
        Some(seconds) => GracefulRestartMode::Restarter {
            restart_time: Duration::from_secs(seconds),
            families: config.families,
        },
    };
    config.own_restart.restarted = restarted;
    // Half of them know RFC 9494.
    config.long_lived_stale_time = Duration::from_secs(u64::from(us.router_id.bits() % 2) * 25);
    config
}

fn new_node(plan: &Plan, at: usize, count: usize, random: &mut Random, now: Instant) -> Node {
    let tight = random.chance(50);
    let mut budget = |low: usize, high: usize| if tight { random.between(low, low * 4) } else { high };
    let budgets = Budgets {
        turn: budget(1, 64),
        queue: budget(1, 256),
        decisions: budget(2, 2048),
        changes: budget(1, 4096),
        ops: budget(1, 256),
        in_flight: budget(2, 4096),
        chunk: budget(30, 65_536),
        backlog: budget(100, 262_144),
        batch: budget(1, 512),
        read: budget(20, 65_536),
    };
    Node {
        alive: false,
        frozen_until: None,
        ahead: Duration::ZERO,
        slow: None,
        peers: Vec::new(),
        budgets,
        queue: Default::default(),
        entries: Vec::new(),
        rib: new_rib(&plan.nodes[at], 1),
        fib: new_fib(now),
        feeder: Feeder::default(),
        stale: BTreeMap::new(),
        ready: Default::default(),
        turn_at: None,
        kernel: new_kernel(at, &plan.nodes[at], count),
        ops: Default::default(),
        kernel_busy: false,
        in_flight: 0,
        answers: Default::default(),
    }
}

impl PeerTask {
    fn new(link: usize, side: usize, session: Peer) -> Self {
        Self {
            link,
            side,
            session,
            connections: Vec::new(),
            next_connection: 0,
            dial: None,
            inbound: BTreeMap::new(),
            pending: Default::default(),
            batch: Vec::new(),
            established: None,
            channel: None,
            chunk: None,
            credit: false,
            tick_at: None,
            replay: BTreeMap::new(),
            ends: Default::default(),
        }
    }

    fn connection(&self, id: ConnectionId) -> Option<usize> {
        self.connections.iter().find(|(own, _)| *own == id).map(|(_, at)| *at)
    }

    fn inbound(&mut self, id: ConnectionId) -> BytesMut {
        self.inbound.remove(&id).unwrap_or_default()
    }

    fn keep_inbound(&mut self, id: ConnectionId, octets: BytesMut) {
        if self.connection(id).is_some() {
            self.inbound.insert(id, octets);
        }
    }
}

/// A chunk for a session that may be gone by now.
pub(crate) fn give(task: &mut PeerTask, channel: u64, octets: Bytes) {
    if task.channel == Some(channel) {
        task.chunk = Some(octets);
    }
}

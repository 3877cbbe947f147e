//! The other end by hand: what a test says for the peer, and what it reads of ours.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bgp_session::{
    Command, ConnectionId, Direction, Down, Endpoints, Negotiated, Output, Peer, PeerConfig, RemoteAs,
    StateName,
};
use bgp_wire::capability::Capability;
use bgp_wire::context::DecodeContext;
use bgp_wire::framer::{Framer, Next};
use bgp_wire::message::{self, Message};
use bgp_wire::notification::Notification;
use bgp_wire::open::{HoldTime, Open};
use bgp_wire::{Asn, Family, RouterId};
use bytes::{Bytes, BytesMut};

pub(crate) const OURS: Asn = Asn(64513);
pub(crate) const THEIRS: Asn = Asn(64512);

pub(crate) fn router_id(last: u8) -> RouterId {
    RouterId::new(u32::from_be_bytes([172, 50, 0, last])).unwrap()
}

/// The lab's host.
pub(crate) fn config() -> PeerConfig {
    PeerConfig::new(OURS, router_id(1), RemoteAs::Exact(THEIRS))
}

/// A node's OPEN: the host's own identifier, hold time 90.
pub(crate) fn open() -> Open {
    open_of(THEIRS)
}

/// The same from another AS.
pub(crate) fn open_of(asn: Asn) -> Open {
    Open {
        asn,
        hold_time: HoldTime::new(90).unwrap(),
        router_id: router_id(1),
        capabilities: vec![
            Capability::RouteRefresh,
            Capability::Multiprotocol(Family::Ipv6Unicast.code()),
            Capability::FourOctetAs(asn),
        ],
    }
}

pub(crate) fn endpoints() -> Endpoints {
    let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
    Endpoints { local: address("[2001:3200:3200::1]:179"), remote: address("[2001:3200:3200::2]:41000") }
}

/// One peer of ours and its clock.
pub(crate) struct Hand {
    pub(crate) peer: Peer,
    pub(crate) now: Instant,
    pub(crate) out: Vec<Output>,
    next_id: u64,
}

impl Hand {
    pub(crate) fn new(config: PeerConfig) -> Self {
        let now = Instant::now();
        let mut out = Vec::new();
        let mut peer = Peer::new(config, 42, now);
        peer.start(now, &mut out);
        Self { peer, now, out, next_id: 0 }
    }

    /// A session over a connection that the peer opened.
    pub(crate) fn established(config: PeerConfig, open: &Open) -> (Self, ConnectionId) {
        let mut hand = Self::new(config);
        let id = hand.complete(open);
        (hand, id)
    }

    pub(crate) fn complete(&mut self, open: &Open) -> ConnectionId {
        let id = self.connect(Direction::Incoming);
        self.say(id, &open.encode());
        self.say(id, &message::keepalive());
        assert_eq!(self.state(), StateName::Established);
        id
    }

    pub(crate) fn connect(&mut self, direction: Direction) -> ConnectionId {
        self.next_id += 1;
        let id = ConnectionId(self.next_id);
        self.peer.connected(id, direction, endpoints(), self.now, &mut self.out);
        id
    }

    pub(crate) fn say(&mut self, id: ConnectionId, octets: &[u8]) {
        self.peer.receive(id, &mut BytesMut::from(octets), self.now, &mut self.out);
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.peer.command(command, self.now, &mut self.out);
    }

    pub(crate) fn close(&mut self, id: ConnectionId) {
        self.peer.closed(id, "connection reset by peer", self.now, &mut self.out);
    }

    pub(crate) fn refuse_dial(&mut self) {
        self.peer.dial_failed("Connection refused", self.now, &mut self.out);
    }

    /// Lets the time pass, deadline by deadline.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(deadline) = self.peer.next_deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.peer.tick(self.now, &mut self.out);
        }
        self.now = until;
    }

    pub(crate) fn state(&self) -> StateName {
        self.peer.status().state
    }

    /// How long until the peer wants the clock.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.peer.next_deadline().map(|at| at.saturating_duration_since(self.now))
    }

    /// The outputs since the last time.
    pub(crate) fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    /// The messages among the outputs since the last time.
    pub(crate) fn take_sent(&mut self) -> Vec<Message> {
        self.take().iter().filter_map(sent).map(|octets| read(&octets)).collect()
    }

    pub(crate) fn take_notification(&mut self) -> Option<Notification> {
        self.take_sent().into_iter().find_map(|message| match message {
            Message::Notification(notification) => Some(notification),
            Message::Open(_) | Message::Update(_) | Message::Keepalive | Message::RouteRefresh(_) => None,
        })
    }

    pub(crate) fn take_down(&mut self) -> Option<Down> {
        self.take().into_iter().find_map(|output| match output {
            Output::Down(down) => Some(down),
            _ => None,
        })
    }

    pub(crate) fn negotiated(&self) -> Negotiated {
        self.peer.status().negotiated.unwrap()
    }
}

fn sent(output: &Output) -> Option<Bytes> {
    match output {
        Output::Send(_, octets) => Some(octets.clone()),
        _ => None,
    }
}

/// What a whole message says.
pub(crate) fn read(octets: &Bytes) -> Message {
    let mut stream = BytesMut::from(&octets[..]);
    let mut framer = Framer::new();
    framer.allow_extended();
    let Next::Message(frame) = framer.next(&mut stream) else { panic!("not a message: {octets:?}") };
    assert!(stream.is_empty());
    message::decode(&frame, &DecodeContext::default()).unwrap()
}

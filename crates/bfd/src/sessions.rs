//! All sessions of a speaker, and whose a packet is: RFC 5880 sections 6.3 and 6.8.6, RFC 5881 sections 3 and 5.
//!
//! One session a peer, known by the peer's address. Their number is that of the peers that the daemon asked for: nothing
//! that arrives makes a session.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::packet::{ControlPacket, Discriminator, PacketFault, TTL};
use crate::random::Random;
use crate::session::{Change, Config, Session, SessionOutput, Status, Suspended};

/// Whom a session is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// The only interface that its packets may come by, where it is bound to one; a link-local peer is.
    pub interface: Option<u32>,
}

/// What the kernel says of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it.
    pub source: IpAddr,
    /// Index of the interface that it came by.
    pub interface: u32,
    /// Its TTL or hop limit.
    pub ttl: u8,
}

/// Why a datagram did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// It has passed a router, RFC 5881 section 5.
    #[error("it came with TTL {0} instead of 255")]
    Ttl(u8),
    /// It is no packet that counts.
    #[error(transparent)]
    Fault(#[from] PacketFault),
    /// It names a session that there is not.
    #[error("no session of ours has the discriminator {0}")]
    UnknownSession(Discriminator),
    /// It names no session, and there is none with its sender.
    #[error("no session is with its sender")]
    UnknownSender,
    /// It names a session that is with somebody else, or by another interface.
    #[error("its session is with somebody else, or by another interface")]
    WrongSender,
}

impl Dropped {
    /// A short word of a closed set, for metrics: these, and those of [`PacketFault::LABELS`].
    pub const LABELS: [&'static str; 4] = ["ttl", "unknown-sender", "unknown-session", "wrong-sender"];

    /// The word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ttl(_) => "ttl",
            Self::Fault(fault) => fault.label(),
            Self::UnknownSession(_) => "unknown-session",
            Self::UnknownSender => "unknown-sender",
            Self::WrongSender => "wrong-sender",
        }
    }
}

/// One thing to do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this packet to the peer at once.
    Send(IpAddr, ControlPacket),
    /// The session with the peer has another state.
    Changed(IpAddr, Change),
    /// The session that was removed has said its last.
    Ended(IpAddr),
}

#[derive(Debug)]
struct Entry {
    peer: Peer,
    session: Session,
    /// Its place in the list of deadlines.
    deadline: Option<Instant>,
    /// It was removed, and still tells the other end so.
    parting: bool,
}

/// The sessions.
#[derive(Debug)]
pub struct Sessions {
    entries: BTreeMap<IpAddr, Entry>,
    by_discriminator: BTreeMap<Discriminator, IpAddr>,
    deadlines: BTreeSet<(Instant, IpAddr)>,
    random: Random,
    /// Lent to the sessions.
    outputs: Vec<SessionOutput>,
}

impl Sessions {
    /// None yet. `seed` makes discriminators that nobody can guess, and jitter.
    pub fn new(seed: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_discriminator: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            random: Random::new(seed),
            outputs: Vec::new(),
        }
    }

    /// Has a session with `peer`: a new one, or the present one under this configuration, Up or not.
    pub fn set(&mut self, peer: Peer, config: Config, now: Instant, out: &mut Vec<Output>) {
        if self.entries.get(&peer.address).is_some_and(|entry| entry.peer != peer) {
            self.drop_entry(peer.address);
        }
        if let Some(entry) = self.entries.get_mut(&peer.address) {
            // First of all: a passive session has nothing to do now, and would have said its last.
            entry.parting = false;
            self.with(peer.address, out, |session, out| {
                session.enable(now, out);
                session.set_config(config, now, out);
            });
        } else {
            let (discriminator, seed) = (self.free_discriminator(), self.random.next());
            self.insert(peer, Session::new(config, discriminator, seed, now));
            self.with(peer.address, out, |session, out| session.tick(now, out));
        }
    }

    /// Goes on with a session of the process before; it begins anew where its discriminator is taken.
    pub fn resume(
        &mut self,
        peer: Peer,
        config: Config,
        rest: &Suspended,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let is_free = !self.by_discriminator.contains_key(&rest.discriminator());
        if !is_free || self.entries.contains_key(&peer.address) {
            return self.set(peer, config, now, out);
        }
        let seed = self.random.next();
        let mut outputs = std::mem::take(&mut self.outputs);
        let session = Session::resume(config, rest, seed, now, &mut outputs);
        out.extend(outputs.drain(..).map(|output| addressed(peer.address, output)));
        self.outputs = outputs;
        self.insert(peer, session);
    }

    /// Ends the session with this peer: it is told AdminDown for its Detection Time, then [`Output::Ended`] comes.
    pub fn remove(&mut self, address: IpAddr, now: Instant, out: &mut Vec<Output>) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.parting = true;
            self.with(address, out, |session, out| session.disable(now, out));
        }
    }

    /// Takes the payload of a datagram in.
    ///
    /// # Errors
    /// It is for nobody, or it must not count.
    pub fn receive(
        &mut self,
        payload: &[u8],
        arrival: Arrival,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Result<IpAddr, Dropped> {
        // RFC 5881 section 5: "received BFD Control packets that are demultiplexed to the session MUST be discarded if the
        // received TTL or Hop Limit is not equal to 255". Before anything else it is the cheapest check.
        if arrival.ttl != TTL {
            return Err(Dropped::Ttl(arrival.ttl));
        }
        let packet = ControlPacket::decode(payload)?;
        let address = self.select(&packet, arrival)?;
        self.with(address, out, |session, out| session.receive(&packet, now, out));
        Ok(address)
    }

    /// Whose a packet is. With a discriminator of ours it has to come from where the session is, too.
    ///
    /// Ours: RFC 5880 section 6.8.6 has the discriminator decide alone. Whoever has seen a packet of ours knows it; over a
    /// single hop the peer has one address and one interface.
    fn select(&self, packet: &ControlPacket, arrival: Arrival) -> Result<IpAddr, Dropped> {
        let from_here = |entry: &Entry| {
            entry.peer.address == arrival.source
                && entry.peer.interface.is_none_or(|interface| interface == arrival.interface)
        };
        match packet.your_discriminator {
            Some(discriminator) => {
                let unknown = Dropped::UnknownSession(discriminator);
                let address = self.by_discriminator.get(&discriminator).ok_or(unknown)?;
                let is_right = self.entries.get(address).is_some_and(from_here);
                if is_right { Ok(*address) } else { Err(Dropped::WrongSender) }
            }
            // RFC 5881 section 3: "demultiplexed [...] based on the source address, and possibly the interface".
            None => match self.entries.get(&arrival.source) {
                Some(entry) if from_here(entry) => Ok(arrival.source),
                Some(_) => Err(Dropped::WrongSender),
                None => Err(Dropped::UnknownSender),
            },
        }
    }

    /// Works on what is due.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some((_, address)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.with(address, out, |session, out| session.tick(now, out));
        }
    }

    /// When [`Sessions::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Has every session that is Up ask its peer to wait for so long: [`Session::stretch`].
    pub fn stretch(&mut self, detection_time: Duration, now: Instant, out: &mut Vec<Output>) {
        let all: Vec<IpAddr> = self.entries.keys().copied().collect();
        for address in all {
            self.with(address, out, |session, out| session.stretch(detection_time, now, out));
        }
    }

    /// Whether every peer has confirmed the intervals that it was told last.
    pub fn are_agreed(&self) -> bool {
        self.entries.values().all(|entry| entry.session.is_agreed())
    }

    /// Those that are Up, for another process; nothing is to be done with them here any more but to send what goes out.
    pub fn suspend(&mut self, now: Instant, out: &mut Vec<Output>) -> Vec<(IpAddr, Suspended)> {
        let mut resting = Vec::new();
        let all: Vec<IpAddr> = self.entries.keys().copied().collect();
        for address in all {
            let mut rest = None;
            self.with(address, out, |session, out| rest = session.suspend(now, out));
            resting.extend(rest.map(|rest| (address, rest)));
        }
        resting
    }

    /// How every session stands that was not removed.
    pub fn status(&self) -> impl Iterator<Item = (Peer, Status)> {
        let present = self.entries.values().filter(|entry| !entry.parting);
        present.map(|entry| (entry.peer, entry.session.status()))
    }

    /// How many there are, those that were removed and still say so among them.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Calls a session, passes its outputs on, and enters its new deadline.
    fn with(
        &mut self,
        address: IpAddr,
        out: &mut Vec<Output>,
        call: impl FnOnce(&mut Session, &mut Vec<SessionOutput>),
    ) {
        let Some(entry) = self.entries.get_mut(&address) else { return };
        let mut outputs = std::mem::take(&mut self.outputs);
        call(&mut entry.session, &mut outputs);
        out.extend(outputs.drain(..).map(|output| addressed(address, output)));
        self.outputs = outputs;
        let deadline = entry.session.next_deadline();
        if entry.deadline != deadline {
            if let Some(old) = std::mem::replace(&mut entry.deadline, deadline) {
                self.deadlines.remove(&(old, address));
            }
            self.deadlines.extend(deadline.map(|at| (at, address)));
        }
        if entry.parting && deadline.is_none() {
            self.drop_entry(address);
            out.push(Output::Ended(address));
        }
    }

    fn insert(&mut self, peer: Peer, session: Session) {
        let deadline = session.next_deadline();
        self.by_discriminator.insert(session.discriminator(), peer.address);
        self.deadlines.extend(deadline.map(|at| (at, peer.address)));
        self.entries.insert(peer.address, Entry { peer, session, deadline, parting: false });
    }

    fn drop_entry(&mut self, address: IpAddr) {
        if let Some(entry) = self.entries.remove(&address) {
            self.by_discriminator.remove(&entry.session.discriminator());
            if let Some(at) = entry.deadline {
                self.deadlines.remove(&(at, address));
            }
        }
    }

    /// RFC 5880 section 6.8.1: unique, and "SHOULD be set to a random (but still unique) value to improve security".
    fn free_discriminator(&mut self) -> Discriminator {
        loop {
            if let Some(number) = NonZeroU32::new(self.random.next_u32())
                && !self.by_discriminator.contains_key(&Discriminator(number))
            {
                return Discriminator(number);
            }
        }
    }
}

fn addressed(address: IpAddr, output: SessionOutput) -> Output {
    match output {
        SessionOutput::Send(packet) => Output::Send(address, packet),
        SessionOutput::Changed(change) => Output::Changed(address, change),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
mod tests {
    use super::*;
    use crate::state::State;

    const NODE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 50, 0, 2));
    const LINK_LOCAL: &str = "fe80::2";

    fn arrival(source: IpAddr) -> Arrival {
        Arrival { source, interface: 7, ttl: 255 }
    }

    fn peer(address: IpAddr) -> Peer {
        Peer { address, interface: None }
    }

    fn first_packet(out: &[Output]) -> ControlPacket {
        let sent = out.iter().find_map(|output| match output {
            Output::Send(_, packet) => Some(*packet),
            Output::Changed(..) | Output::Ended(_) => None,
        });
        sent.unwrap()
    }

    /// What another speaker sends to a session that has sent `ours`.
    fn answer(ours: &ControlPacket, state: State) -> ControlPacket {
        ControlPacket {
            state,
            my_discriminator: Discriminator(NonZeroU32::new(99).unwrap()),
            your_discriminator: Some(ours.my_discriminator),
            desired_min_tx: Duration::from_millis(300),
            ..*ours
        }
    }

    #[test]
    fn a_packet_finds_its_session_by_discriminator_and_only_from_its_peer() {
        let (mut sessions, now, mut out) = (Sessions::new(1), Instant::now(), Vec::new());
        sessions.set(peer(NODE), Config::default(), now, &mut out);
        let ours = first_packet(&out);
        let theirs = answer(&ours, State::Init);
        let mut receive = |packet: &ControlPacket, arrival| {
            sessions.receive(&packet.encode(), arrival, now, &mut Vec::new())
        };
        let elsewhere = IpAddr::from([172, 50, 0, 3]);
        assert_eq!(receive(&theirs, Arrival { ttl: 254, ..arrival(NODE) }), Err(Dropped::Ttl(254)));
        assert_eq!(receive(&theirs, arrival(elsewhere)), Err(Dropped::WrongSender));
        let unknown = Discriminator(NonZeroU32::new(5).unwrap());
        let other = ControlPacket { your_discriminator: Some(unknown), ..theirs };
        assert_eq!(receive(&other, arrival(NODE)), Err(Dropped::UnknownSession(unknown)));
        let first = ControlPacket { your_discriminator: None, state: State::Down, ..theirs };
        assert_eq!(receive(&first, arrival(elsewhere)), Err(Dropped::UnknownSender));
        assert_eq!(receive(&first, arrival(NODE)), Ok(NODE));
        assert_eq!(receive(&theirs, arrival(NODE)), Ok(NODE));
        let (_, status) = sessions.status().next().unwrap();
        assert_eq!(
            (status.state, status.counters.received),
            (State::Up, 2),
            "what was dropped does not count"
        );
    }

    /// RFC 5880 section 6.8.1, also where a session of the process before has the number that comes next.
    #[test]
    fn no_two_sessions_have_one_discriminator() {
        let (mut before, now, mut out) = (Sessions::new(1), Instant::now(), Vec::new());
        before.set(peer(NODE), Config::default(), now, &mut out);
        let theirs = answer(&first_packet(&out), State::Init);
        before.receive(&theirs.encode(), arrival(NODE), now, &mut out).unwrap();
        let (_, rest) = before.suspend(now, &mut out).pop().unwrap();
        // Those of a session that goes on and of a new one.
        let discriminators = |rest: &Suspended| {
            let (mut sessions, mut out) = (Sessions::new(7), Vec::new());
            sessions.resume(peer(NODE), Config::default(), rest, now, &mut out);
            let resumed = first_packet(&out).my_discriminator;
            out.clear();
            sessions.set(peer(IpAddr::from([172, 50, 0, 3])), Config::default(), now, &mut out);
            (resumed, first_packet(&out).my_discriminator)
        };
        let (_, next) = discriminators(&rest);
        let mut taken = serde_json::to_value(&rest).unwrap();
        taken["local"] = serde_json::to_value(next).unwrap();
        let (resumed, new) = discriminators(&serde_json::from_value(taken).unwrap());
        assert!(resumed == next && new != next, "{resumed} {new}");
    }

    #[test]
    fn a_link_local_peer_is_one_on_its_link() {
        let (mut sessions, now, mut out) = (Sessions::new(1), Instant::now(), Vec::new());
        let address: IpAddr = LINK_LOCAL.parse().unwrap();
        sessions.set(Peer { address, interface: Some(7) }, Config::default(), now, &mut out);
        let first = ControlPacket { your_discriminator: None, ..answer(&first_packet(&out), State::Down) };
        let octets = first.encode();
        let other_link = Arrival { interface: 8, ..arrival(address) };
        assert_eq!(sessions.receive(&octets, other_link, now, &mut out), Err(Dropped::WrongSender));
        assert_eq!(sessions.receive(&octets, arrival(address), now, &mut out), Ok(address));
    }

    #[test]
    fn one_that_is_removed_says_so_for_the_detection_time_and_ends() {
        let (mut sessions, now, mut out) = (Sessions::new(1), Instant::now(), Vec::new());
        sessions.set(peer(NODE), Config::default(), now, &mut out);
        out.clear();
        sessions.remove(NODE, now, &mut out);
        assert_eq!(first_packet(&out).state, State::AdminDown);
        assert_eq!((sessions.status().count(), sessions.len()), (0, 1));
        let mut ended = None;
        while let Some(at) = sessions.next_deadline() {
            out.clear();
            sessions.tick(at, &mut out);
            ended = Some(at);
            assert!(at < now + Duration::from_secs(4));
        }
        assert_eq!(out.last(), Some(&Output::Ended(NODE)));
        assert!(ended.is_some() && sessions.is_empty());
    }

    #[test]
    fn one_that_is_wanted_again_while_it_parts_stays_also_where_it_only_waits() {
        let (mut sessions, now, mut out) = (Sessions::new(1), Instant::now(), Vec::new());
        let passive = Config { passive: true, ..Config::default() };
        sessions.set(peer(NODE), passive, now, &mut out);
        let mut node = Sessions::new(2);
        node.set(peer(IpAddr::from([172, 50, 0, 1])), Config::default(), now, &mut out);
        let first = first_packet(&out);
        sessions.receive(&first.encode(), arrival(NODE), now, &mut out).unwrap();
        sessions.remove(NODE, now, &mut out);
        out.clear();
        sessions.set(peer(NODE), passive, now + Duration::from_millis(100), &mut out);
        assert!(!out.contains(&Output::Ended(NODE)), "{out:?}");
        assert_eq!(sessions.status().count(), 1);
        let again = now + Duration::from_secs(60);
        assert_eq!(sessions.receive(&first.encode(), arrival(NODE), again, &mut out), Ok(NODE));
    }

    /// Found by fuzzing: the last packets were due, and their time over, when somebody looked.
    #[test]
    fn one_that_is_removed_ends_also_where_nobody_looked_in_time() {
        let (mut sessions, now, mut out) = (Sessions::new(1), Instant::now(), Vec::new());
        sessions.set(peer(NODE), Config::default(), now, &mut out);
        sessions.remove(NODE, now, &mut out);
        out.clear();
        sessions.tick(now + Duration::from_secs(60), &mut out);
        assert_eq!(out, [Output::Ended(NODE)]);
    }

    #[test]
    fn a_session_that_goes_on_is_up_and_polls() {
        let (mut sessions, now, mut out) = (Sessions::new(1), Instant::now(), Vec::new());
        sessions.set(peer(NODE), Config::default(), now, &mut out);
        let theirs = answer(&first_packet(&out), State::Init);
        sessions.receive(&theirs.encode(), arrival(NODE), now, &mut out).unwrap();
        let rest = sessions.suspend(now, &mut out);
        let text = serde_json::to_string(&rest).unwrap();
        let rest: Vec<(IpAddr, Suspended)> = serde_json::from_str(&text).unwrap();
        let mut next = Sessions::new(2);
        let later = now + Duration::from_millis(500);
        out.clear();
        for (address, rest) in &rest {
            next.resume(peer(*address), Config::default(), rest, later, &mut out);
        }
        let packet = first_packet(&out);
        assert_eq!((packet.state, packet.poll), (State::Up, true));
        assert_eq!(packet.my_discriminator, theirs.your_discriminator.unwrap());
        assert_eq!(packet.your_discriminator, Some(theirs.my_discriminator));
        let up = answer(&packet, State::Up);
        let done = ControlPacket { is_final: true, poll: false, ..up };
        next.receive(&done.encode(), arrival(NODE), later, &mut out).unwrap();
        assert!(next.are_agreed());
        assert_eq!(next.status().next().unwrap().1.state, State::Up);
    }
}

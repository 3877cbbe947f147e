//! The machine as a table, `tests/golden/fsm.md`: every event in every state, and on either of two connections that meet.
//!
//! `UPDATE_GOLDEN=1` writes the file; without it, a difference fails.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bgp_wire::capability::Capability;
use bgp_wire::iana::message as kind;
use bgp_wire::notification::{CeaseCode, Notification};
use bgp_wire::open::{HoldTime, Open};
use bgp_wire::route_refresh::{RouteRefresh, Subtype};
use bgp_wire::{Asn, Family, RouterId, Update};
use bytes::Bytes;

use super::{Event, State, Stop};
use crate::config::{Mode, PeerConfig, RemoteAs};
use crate::connection::{Connection, ConnectionId, Direction, Endpoints};
use crate::output::{Exceeded, Note, Output, RouteRetention};
use crate::peer::{Command, Peer, Slot};

const OURS: Asn = Asn(64513);
const THEIRS: Asn = Asn(64512);
const CONFIGURED: ConnectionId = ConnectionId(1);
const SECOND: ConnectionId = ConnectionId(2);
const THIRD: ConnectionId = ConnectionId(7);

fn router_id(bits: u32) -> RouterId {
    RouterId::new(bits).unwrap()
}

fn config() -> PeerConfig {
    PeerConfig::new(OURS, router_id(9), RemoteAs::Exact(THEIRS))
}

fn open(identifier: u32) -> Open {
    Open {
        asn: THEIRS,
        hold_time: HoldTime::new(90).unwrap(),
        router_id: router_id(identifier),
        capabilities: vec![
            Capability::Multiprotocol(Family::Ipv6Unicast.code()),
            Capability::FourOctetAs(THEIRS),
        ],
    }
}

fn endpoints() -> Endpoints {
    Endpoints { local: "[2001:db8::1]:179".parse().unwrap(), remote: "[2001:db8::2]:40000".parse().unwrap() }
}

fn exceeded() -> Exceeded {
    Exceeded { family: Family::Ipv6Unicast, limit: 10 }
}

/// Every event, once for each way in which it can be meant.
#[expect(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
fn events() -> Vec<Event> {
    let incoming = Connection::new(THIRD, Direction::Incoming, endpoints(), Instant::now());
    vec![
        Event::Start,
        Event::Stop(Stop::Shutdown("maintenance".to_owned())),
        Event::Stop(Stop::Reset(String::new())),
        Event::Stop(Stop::Deconfigured),
        Event::Stop(Stop::Leaving),
        Event::Stop(Stop::NodeGone("veth2 is down".to_owned())),
        Event::Stop(Stop::BfdDown { why: "no packet for 900 ms".to_owned(), forwards: false }),
        Event::Stop(Stop::MaximumPrefix(exceeded(), Some(Duration::from_secs(300)))),
        Event::ConnectRetryTimerExpired,
        Event::HoldTimerExpired,
        Event::KeepaliveTimerExpired,
        Event::IdleHoldTimerExpired,
        Event::SendHoldTimerExpired,
        Event::Connected(incoming),
        Event::DialFailed("connection refused".to_owned()),
        Event::ConnectionClosed("closed by the peer".to_owned()),
        Event::Open(open(5)),
        Event::Open(Open { asn: Asn(7), ..open(5) }),
        Event::Fault(Notification::connection_not_synchronized(), "bad marker".to_owned()),
        Event::CollisionLost,
        Event::Replaced,
        Event::Notification(Notification::cease(CeaseCode::AdministrativeReset, None)),
        Event::Notification(Notification::cease(CeaseCode::AdministrativeShutdown, None)),
        Event::Keepalive,
        Event::Update(Update::default()),
        Event::RouteRefresh(RouteRefresh { family: Family::Ipv6Unicast.code(), subtype: Subtype::Request }),
    ]
}

/// A name for each row; a new event does not compile without one.
fn name(event: &Event) -> String {
    match event {
        Event::Start => "1 Start".to_owned(),
        Event::Stop(stop) => match stop {
            Stop::Shutdown(_) => "2 Stop: shutdown".to_owned(),
            Stop::Reset(_) => "2 Stop: reset".to_owned(),
            Stop::Deconfigured => "2 Stop: peer removed".to_owned(),
            Stop::Leaving => "2 Stop: daemon restarts".to_owned(),
            Stop::NodeGone(_) => "2 Stop: node gone".to_owned(),
            Stop::BfdDown { .. } => "2 Stop: BFD down".to_owned(),
            Stop::MaximumPrefix(..) => "8 Stop: maximum-prefix".to_owned(),
        },
        Event::ConnectRetryTimerExpired => "9 connect retry timer".to_owned(),
        Event::HoldTimerExpired => "10 hold timer".to_owned(),
        Event::KeepaliveTimerExpired => "11 keepalive timer".to_owned(),
        Event::IdleHoldTimerExpired => "13 idle hold timer".to_owned(),
        Event::Connected(_) => "16, 17 connected".to_owned(),
        Event::DialFailed(_) => "18 dial failed".to_owned(),
        Event::ConnectionClosed(_) => "18 connection closed".to_owned(),
        Event::Open(open) if open.asn == THEIRS => "19 OPEN".to_owned(),
        Event::Open(_) => "19 OPEN of a wrong AS".to_owned(),
        Event::Fault(..) => "21, 22, 28 malformed message".to_owned(),
        Event::CollisionLost => "23 collision lost".to_owned(),
        Event::Replaced => "23 replaced by a new session".to_owned(),
        Event::Notification(notification) => format!("24, 25 NOTIFICATION {notification}"),
        Event::Keepalive => "26 KEEPALIVE".to_owned(),
        Event::Update(_) => "27 UPDATE".to_owned(),
        Event::RouteRefresh(_) => "ROUTE-REFRESH".to_owned(),
        Event::SendHoldTimerExpired => "29 send hold timer".to_owned(),
    }
}

fn message(octets: &Bytes) -> String {
    let kind = octets.get(18).copied();
    match kind {
        Some(kind::OPEN) => "OPEN".to_owned(),
        Some(kind::KEEPALIVE) => "KEEPALIVE".to_owned(),
        Some(kind::NOTIFICATION) => Notification::decode(&octets.slice(19..)).unwrap().to_string(),
        other => format!("{other:?}"),
    }
}

fn action(output: &Output) -> Option<String> {
    Some(match output {
        Output::Dial => "dial".to_owned(),
        Output::AbortDial => "abort the dial".to_owned(),
        Output::Send(id, octets) => format!("send {} on {id}", message(octets)),
        Output::Close(id) => format!("close {id}"),
        Output::Up(negotiated) => format!("UP on {}", negotiated.connection),
        Output::Update(_) => "hand on the UPDATE".to_owned(),
        Output::Refresh(_) => "hand on the request".to_owned(),
        Output::FirstKeepalive => "hand on that it is the first".to_owned(),
        Output::Down(down) => match down.retention {
            RouteRetention::Remove => format!("DOWN: {}", down.reason),
            RouteRetention::KeepStale { .. } => format!("DOWN, routes kept: {}", down.reason),
        },
        Output::Note(Note::State { .. } | Note::Failed { .. }) => return None,
        Output::Note(Note::DialFailed { .. }) => "note the failure".to_owned(),
        Output::Note(Note::Refused { .. }) => "note the refusal".to_owned(),
        Output::Note(Note::Collision { .. }) => "note the collision".to_owned(),
        Output::Note(Note::Malformed(_)) => "note the malformed UPDATE".to_owned(),
    })
}

fn machine(state: &State, now: Instant) -> String {
    let secs = |at: Instant| at.saturating_duration_since(now).as_secs_f32().ceil();
    match state {
        State::Idle(idle) => match idle.until {
            Some(until) => format!("Idle for {} s: {}", secs(until), idle.cause.words()),
            None => format!("Idle: {}", idle.cause.words()),
        },
        State::Active(active) => match active.next_dial {
            Some(at) => format!("Active, dial within {} s", secs(at)),
            None => "Active, no dial".to_owned(),
        },
        State::Connect(_) => "Connect".to_owned(),
        State::OpenSent(_) | State::OpenConfirm(_) | State::Established(_) => {
            let connection = state.connection().unwrap();
            format!("{} {} {}", state.name(), connection.direction, connection.id)
        }
    }
}

fn shape(peer: &Peer, now: Instant) -> String {
    let (main, rival) = peer.machines();
    let main = machine(main, now);
    rival.map_or(main.clone(), |rival| format!("{main}; {}", machine(rival, now)))
}

fn row(text: &mut String, event: &str, before: &str, peer: &Peer, out: &[Output], now: Instant) {
    let after = shape(peer, now);
    let after = if after == before { "same".to_owned() } else { after };
    let actions: Vec<String> = out.iter().filter_map(action).collect();
    let actions = if actions.is_empty() { "nothing".to_owned() } else { actions.join(", ") };
    writeln!(text, "| {event} | {after} | {actions} |").unwrap();
}

struct Builder {
    peer: Peer,
    now: Instant,
    out: Vec<Output>,
}

impl Builder {
    #[expect(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
    fn not_started(config: PeerConfig) -> Self {
        let now = Instant::now();
        Self { peer: Peer::new(config, 1, now), now, out: Vec::new() }
    }

    fn new(config: PeerConfig) -> Self {
        let mut builder = Self::not_started(config);
        builder.peer.start(builder.now, &mut builder.out);
        builder
    }

    fn main(mut self, event: Event) -> Self {
        self.peer.deliver(Slot::Main, event, self.now, &mut self.out);
        self
    }

    fn rival(mut self, event: Event) -> Self {
        self.peer.deliver(Slot::Rival, event, self.now, &mut self.out);
        self
    }

    fn connected(mut self, id: ConnectionId, direction: Direction) -> Self {
        self.peer.connected(id, direction, endpoints(), self.now, &mut self.out);
        self
    }
}

fn states() -> Vec<(&'static str, Builder)> {
    let passive = || PeerConfig { mode: Mode::Passive, ..config() };
    let stop = Stop::MaximumPrefix(exceeded(), Some(Duration::from_secs(300)));
    let open_sent = || Builder::new(config()).connected(CONFIGURED, Direction::Outgoing);
    let confirm = || open_sent().main(Event::Open(open(5)));
    vec![
        ("Idle, not started", Builder::not_started(config())),
        ("Idle, removed", Builder::new(config()).main(Event::Stop(Stop::Deconfigured))),
        ("Idle, the daemon restarts", Builder::new(config()).main(Event::Stop(Stop::Leaving))),
        ("Idle, shut down", Builder::new(PeerConfig { shutdown: Some("closed".to_owned()), ..config() })),
        ("Idle, stopped by maximum-prefix", Builder::new(config()).main(Event::Stop(stop))),
        ("Connect", Builder::new(config())),
        ("Active, a dial is due", Builder::new(config()).main(Event::DialFailed("refused".to_owned()))),
        ("Active, the peer has to dial", Builder::new(passive())),
        ("OpenSent", open_sent()),
        ("OpenConfirm", confirm()),
        ("Established", confirm().main(Event::Keepalive)),
    ]
}

/// Both connections are there; `identifier` makes the peer the weaker (5) or the stronger one (12).
fn meetings(identifier: u32) -> Vec<(&'static str, Builder)> {
    let dialling = || Builder::new(config()).connected(SECOND, Direction::Incoming);
    let both = || {
        Builder::new(config())
            .connected(CONFIGURED, Direction::Outgoing)
            .connected(SECOND, Direction::Incoming)
    };
    let session = |direction| {
        let first = match direction {
            Direction::Outgoing => Builder::new(config()),
            Direction::Incoming => Builder::new(PeerConfig { mode: Mode::Passive, ..config() }),
        };
        let session =
            first.connected(CONFIGURED, direction).main(Event::Open(open(identifier))).main(Event::Keepalive);
        session.connected(SECOND, Direction::Incoming)
    };
    vec![
        ("our dial is under way, the peer has connected", dialling()),
        ("both in OpenSent", both()),
        ("a session that we opened, a new connection", session(Direction::Outgoing)),
        ("a session that the peer opened, a new connection", session(Direction::Incoming)),
        (
            "a session, a new connection in OpenConfirm",
            session(Direction::Incoming).rival(Event::Open(open(identifier))),
        ),
    ]
}

/// What can come while there are two connections, by its name.
enum Delivery {
    /// To both, as an operator's command does.
    Command(Command),
    /// A third connection.
    Third(Direction),
    To(Slot, Event),
}

fn deliveries(identifier: u32) -> Vec<(String, Delivery)> {
    let mut deliveries = Vec::new();
    for event in events() {
        let name = name(&event);
        if let Some(command) = command(&event) {
            deliveries.push((name, Delivery::Command(command)));
            continue;
        }
        if matches!(event, Event::Connected(_)) {
            for direction in [Direction::Outgoing, Direction::Incoming] {
                deliveries.push((format!("{name}, a third one, {direction}"), Delivery::Third(direction)));
            }
            continue;
        }
        for (slot, which) in [(Slot::Main, "first"), (Slot::Rival, "second")] {
            let mut event = event.clone();
            if let Event::Open(theirs) = &mut event {
                theirs.router_id = router_id(identifier);
            }
            deliveries.push((format!("{name}, on the {which}"), Delivery::To(slot, event)));
        }
    }
    deliveries
}

/// What an operator or the RIB says for it to happen.
fn command(event: &Event) -> Option<Command> {
    if matches!(event, Event::Start) {
        return Some(Command::Start);
    }
    let Event::Stop(stop) = event else { return None };
    Some(match stop.clone() {
        Stop::Shutdown(reason) => Command::Shutdown(reason),
        Stop::Reset(reason) => Command::Reset(reason),
        Stop::Deconfigured => Command::Deconfigure,
        Stop::Leaving => Command::Leave,
        Stop::NodeGone(why) => Command::NodeGone(why),
        Stop::BfdDown { why, forwards } => Command::BfdDown { why, forwards },
        Stop::MaximumPrefix(exceeded, restart_after) => Command::MaximumPrefix { exceeded, restart_after },
    })
}

const HEAD: &str = "| event | then | does |\n| --- | --- | --- |\n";

fn table() -> String {
    let mut text = String::from(
        "# The session state machine\n\nWritten by a test of the session crate (`UPDATE_GOLDEN=1 cargo test -p bgp-session table`), \
         which also fails when this is not what the code does. Numbers are those of RFC 4271 section 8.1. We are AS 64513 with \
         identifier 0.0.0.9, dial and accept; the peer is AS 64512.\n",
    );
    for (title, _) in states() {
        write!(text, "\n## {title}\n\n{HEAD}").unwrap();
        for event in events() {
            let (_, mut builder) = states().into_iter().find(|(name, _)| *name == title).unwrap();
            let before = shape(&builder.peer, builder.now);
            let name = name(&event);
            builder.out.clear();
            builder.peer.deliver(Slot::Main, event, builder.now, &mut builder.out);
            row(&mut text, &name, &before, &builder.peer, &builder.out, builder.now);
        }
    }
    for (identifier, who) in [(5, "weaker"), (12, "stronger")] {
        for (index, (title, start)) in meetings(identifier).into_iter().enumerate() {
            let before = shape(&start.peer, start.now);
            write!(text, "\n## Two connections, a {who} peer: {title}\n\nFrom `{before}`.\n\n{HEAD}")
                .unwrap();
            let mut nothing = Vec::new();
            for (name, delivery) in deliveries(identifier) {
                let (_, mut builder) = meetings(identifier).into_iter().nth(index).unwrap();
                builder.out.clear();
                let (peer, now, out) = (&mut builder.peer, builder.now, &mut builder.out);
                match delivery {
                    Delivery::Command(command) => peer.command(command, now, out),
                    Delivery::Third(direction) => peer.connected(THIRD, direction, endpoints(), now, out),
                    Delivery::To(slot, event) => peer.deliver(slot, event, now, out),
                }
                let mut this = String::new();
                row(&mut this, &name, &before, &builder.peer, &builder.out, builder.now);
                if this == format!("| {name} | same | nothing |\n") {
                    nothing.push(name);
                } else {
                    text.push_str(&this);
                }
            }
            writeln!(text, "\nNothing comes of: {}.", nothing.join("; ")).unwrap();
        }
    }
    text
}

#[test]
fn table_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/fsm.md");
    let table = table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &table).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = golden.lines().zip(table.lines()).find(|(golden, now)| golden != now);
    assert!(golden == table, "tests/golden/fsm.md is not current: {differs:?}; UPDATE_GOLDEN=1 writes it");
}

#[test]
fn every_event_has_a_row() {
    // `name` is a match over all events; one that is not in the list would leave its number out here.
    let names: Vec<String> = events().iter().map(name).collect();
    let numbers =
        ["1", "2", "8", "9", "10", "11", "13", "16,", "18", "19", "21,", "23", "24,", "26", "27", "29"];
    for number in numbers {
        assert!(names.iter().any(|name| name.split(' ').next() == Some(number)), "{number} is missing");
    }
}

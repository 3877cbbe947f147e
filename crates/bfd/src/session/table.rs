//! Every event in every state, as a table: `tests/golden/bfd.md`.

use std::fmt::Write;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Config, Session, SessionOutput};
use crate::packet::{ControlPacket, Discriminator};
use crate::state::{Diagnostic, State};

const OURS: Discriminator = Discriminator(NonZeroU32::MIN);

/// What can happen to a session.
#[derive(Clone, Copy, Debug)]
enum Event {
    Packet(State),
    Poll,
    Final,
    Demand,
    WantsNothing,
    Slower,
    DetectionTime,
    TransmitTimer,
    Disable,
    Enable,
    ConfigFaster,
    ConfigSlower,
    Stretch,
}

const EVENTS: [Event; 16] = [
    Event::Packet(State::AdminDown),
    Event::Packet(State::Down),
    Event::Packet(State::Init),
    Event::Packet(State::Up),
    Event::Poll,
    Event::Final,
    Event::Demand,
    Event::WantsNothing,
    Event::Slower,
    Event::DetectionTime,
    Event::TransmitTimer,
    Event::Disable,
    Event::Enable,
    Event::ConfigFaster,
    Event::ConfigSlower,
    Event::Stretch,
];

/// A name for each row; a new event does not compile without one.
fn name(event: Event) -> String {
    match event {
        Event::Packet(state) => format!("packet: {state}"),
        Event::Poll => "packet: Up, P".to_owned(),
        Event::Final => "packet: Up, F".to_owned(),
        Event::Demand => "packet: Up, D".to_owned(),
        Event::WantsNothing => "packet: Up, takes none".to_owned(),
        Event::Slower => "packet: Up, takes one in 2 s".to_owned(),
        Event::DetectionTime => "detection time over".to_owned(),
        Event::TransmitTimer => "time to send".to_owned(),
        Event::Disable => "disable".to_owned(),
        Event::Enable => "enable".to_owned(),
        Event::ConfigFaster => "configured 100 ms".to_owned(),
        Event::ConfigSlower => "configured 1500 ms".to_owned(),
        Event::Stretch => "stretch to 15 s".to_owned(),
    }
}

fn theirs(state: State) -> ControlPacket {
    ControlPacket {
        diagnostic: Diagnostic::None,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        detect_multiplier: Config::default().multiplier,
        my_discriminator: Discriminator(NonZeroU32::MIN.saturating_add(1)),
        your_discriminator: Some(OURS),
        desired_min_tx: Duration::from_millis(300),
        required_min_rx: Duration::from_millis(300),
        required_min_echo_rx: Duration::ZERO,
    }
}

struct Builder {
    session: Session,
    now: Instant,
    out: Vec<SessionOutput>,
}

impl Builder {
    #[expect(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let mut session = Session::new(config, OURS, 1, now);
        let mut out = Vec::new();
        session.tick(now, &mut out);
        Self { session, now, out }
    }

    fn on(mut self, event: Event) -> Self {
        self.happen(event);
        self
    }

    fn happen(&mut self, event: Event) {
        let Self { session, now, out } = self;
        let up = theirs(State::Up);
        let with = |interval| {
            let interval = Duration::from_millis(interval);
            Config { min_tx: interval, min_rx: interval, ..session.config }
        };
        match event {
            Event::Packet(state) => session.receive(&theirs(state), *now, out),
            Event::Poll => session.receive(&ControlPacket { poll: true, ..up }, *now, out),
            Event::Final => session.receive(&ControlPacket { is_final: true, ..up }, *now, out),
            Event::Demand => session.receive(&ControlPacket { demand: true, ..up }, *now, out),
            Event::WantsNothing => {
                session.receive(&ControlPacket { required_min_rx: Duration::ZERO, ..up }, *now, out);
            }
            Event::Slower => {
                let slow = ControlPacket { required_min_rx: Duration::from_secs(2), ..up };
                session.receive(&slow, *now, out);
            }
            Event::DetectionTime => match session.detection {
                Some(at) => {
                    // Only what the expiry does, not what would have been sent by then.
                    session.next_tx = at + Duration::from_secs(1);
                    *now = at;
                    session.tick(at, out);
                }
                None => session.tick(*now, out),
            },
            Event::TransmitTimer => {
                session.detection = session.detection.map(|at| at + Duration::from_secs(60));
                *now = session.next_tx;
                session.tick(*now, out);
            }
            Event::Disable => session.disable(*now, out),
            Event::Enable => session.enable(*now, out),
            Event::ConfigFaster => session.set_config(with(100), *now, out),
            Event::ConfigSlower => session.set_config(with(1500), *now, out),
            Event::Stretch => session.stretch(Duration::from_secs(15), *now, out),
        }
    }

    fn shape(&self) -> String {
        let Session { state, diagnostic, remote, intervals, .. } = &self.session;
        let mut text = state.to_string();
        if *diagnostic != Diagnostic::None {
            write!(text, " ({diagnostic})").unwrap();
        }
        if remote.is_none() {
            text.push_str(", nobody heard");
        }
        if intervals.is_polling() {
            text.push_str(", polling");
        }
        match (self.session.may_transmit(self.now), self.session.detection_time()) {
            (false, _) => text.push_str(", silent"),
            (true, _) => write!(text, ", sends every {} ms", self.session.interval().as_millis()).unwrap(),
        }
        if let Some(at) = self.session.detection {
            write!(text, ", {} ms left", at.saturating_duration_since(self.now).as_millis()).unwrap();
        }
        text
    }
}

fn states() -> Vec<(&'static str, Builder)> {
    let new = || Builder::new(Config::default());
    let init = || new().on(Event::Packet(State::Down));
    let polling = || init().on(Event::Packet(State::Init));
    let up = || polling().on(Event::Final);
    vec![
        ("Down, nobody heard", new()),
        ("Down, nobody heard, passive", Builder::new(Config { passive: true, ..Config::default() })),
        ("Down, the peer was Up", up().on(Event::Packet(State::Down)).on(Event::Packet(State::Up))),
        ("Init", init()),
        ("Up, polling", polling()),
        ("Up", up()),
        ("Up, the peer in demand mode", up().on(Event::Demand)),
        ("AdminDown", new().on(Event::Disable)),
    ]
}

fn packet(packet: &ControlPacket) -> String {
    let mut text = format!("send {}", packet.state);
    if packet.diagnostic != Diagnostic::None {
        write!(text, " ({})", packet.diagnostic).unwrap();
    }
    let bits =
        [(packet.poll, " P"), (packet.is_final, " F"), (packet.your_discriminator.is_none(), " to nobody")];
    bits.iter().filter(|(set, _)| *set).for_each(|(_, bit)| text.push_str(bit));
    write!(text, " {}/{} ms", packet.desired_min_tx.as_millis(), packet.required_min_rx.as_millis()).unwrap();
    text
}

fn action(output: &SessionOutput) -> String {
    match output {
        SessionOutput::Send(sent) => packet(sent),
        SessionOutput::Changed(change) if change.is_failure() => format!("FAILED: {}", change.why()),
        SessionOutput::Changed(change) if change.from == State::Up => {
            format!("{}, no failure: {}", change.to, change.why())
        }
        SessionOutput::Changed(change) => change.to.to_string().to_uppercase(),
    }
}

fn table() -> String {
    let mut text = String::from(
        "# A BFD session\n\nWritten by a test of the bfd crate (`UPDATE_GOLDEN=1 cargo test -p bgp-bfd table`), which also fails \
         when this is not what the code does. Both sides want 300 ms and a multiplier of 3; of what is sent, the intervals are \
         Desired Min TX and Required Min RX.\n",
    );
    for (title, start) in states() {
        let before = start.shape();
        write!(text, "\n## {title}\n\nFrom `{before}`.\n\n| event | then | does |\n| --- | --- | --- |\n")
            .unwrap();
        for event in EVENTS {
            let (_, mut builder) = states().into_iter().find(|(name, _)| *name == title).unwrap();
            builder.out.clear();
            builder.happen(event);
            let after = builder.shape();
            let after = if after == before { "same".to_owned() } else { after };
            let actions: Vec<String> = builder.out.iter().map(action).collect();
            let actions = if actions.is_empty() { "nothing".to_owned() } else { actions.join(", ") };
            writeln!(text, "| {} | {after} | {actions} |", name(event)).unwrap();
        }
    }
    text
}

#[test]
fn table_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/bfd.md");
    let table = table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = golden.lines().zip(table.lines()).find(|(golden, now)| golden != now);
    assert!(golden == table, "tests/golden/bfd.md is not current: {differs:?}; UPDATE_GOLDEN=1 writes it");
}

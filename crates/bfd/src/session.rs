//! One session: the state variables of RFC 5880 section 6.8.1 and what moves them.
//!
//! Owns reception (section 6.8.6), transmission (6.8.7), the expiry of the Detection Time (6.8.4) and administrative
//! control (6.8.16). The variables are one struct and not one a state: the RFC has most of them outlive every state.
//! Which session a packet belongs to is `sessions`.

mod status;
mod suspend;
#[cfg(test)]
mod table;
mod timers;

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

pub use status::{Change, Counters, Status};
pub use suspend::Suspended;

use self::timers::{Intervals, SLOW, jittered};
use crate::packet::{ControlPacket, Discriminator};
use crate::random::Random;
use crate::state::{Diagnostic, State};

/// What the operator says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// We send no faster while Up.
    pub min_tx: Duration,
    /// We take no faster.
    pub min_rx: Duration,
    /// So many of our packets may be missed: the other end's Detection Time.
    pub multiplier: NonZeroU8,
    /// Nothing is sent before the other end was heard, section 6.1.
    pub passive: bool,
}

impl Default for Config {
    /// Three times 300 ms, as FRR has it.
    fn default() -> Self {
        let interval = Duration::from_millis(300);
        let three = NonZeroU8::MIN.saturating_add(2);
        Self { min_tx: interval, min_rx: interval, multiplier: three, passive: false }
    }
}

/// One thing that a session wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionOutput {
    /// Send this packet at once.
    Send(ControlPacket),
    /// The state has changed.
    Changed(Change),
}

/// What the other end said last; there is none while bfd.RemoteDiscr is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) discriminator: Discriminator,
    pub(crate) state: State,
    pub(crate) diagnostic: Diagnostic,
    pub(crate) desired_min_tx: Duration,
    pub(crate) min_rx: Duration,
    pub(crate) multiplier: NonZeroU8,
    pub(crate) demand: bool,
    pub(crate) control_plane_independent: bool,
}

/// A session.
#[derive(Clone, Debug)]
pub struct Session {
    config: Config,
    local: Discriminator,
    state: State,
    diagnostic: Diagnostic,
    since: Instant,
    remote: Option<Remote>,
    intervals: Intervals,
    /// While Up we say that we send no faster than this, though we do: somebody else is about to go on in our place.
    stretched: Duration,
    /// When the Detection Time is over.
    detection: Option<Instant>,
    /// The last packet without P and F, and when it went; what differs from it is said at once.
    sent: Option<(ControlPacket, Instant)>,
    next_tx: Instant,
    /// In AdminDown: nothing is sent any more from then on.
    quiet_at: Option<Instant>,
    random: Random,
    counters: Counters,
    last_failure: Option<(String, Instant)>,
}

impl Session {
    /// A session that is Down and says so at once, unless it is passive.
    pub fn new(config: Config, local: Discriminator, seed: u64, now: Instant) -> Self {
        Self {
            config,
            local,
            state: State::Down,
            diagnostic: Diagnostic::None,
            since: now,
            remote: None,
            intervals: Intervals::new(config.min_tx.max(SLOW), config.min_rx),
            stretched: Duration::ZERO,
            detection: None,
            sent: None,
            next_tx: now,
            quiet_at: None,
            random: Random::new(seed),
            counters: Counters::default(),
            last_failure: None,
        }
    }

    /// Takes a packet that was found to be of this session: RFC 5880 section 6.8.6 from where variables are set.
    pub fn receive(&mut self, packet: &ControlPacket, now: Instant, out: &mut Vec<SessionOutput>) {
        self.counters.received += 1;
        let interval = self.interval();
        self.remote = Some(Remote {
            discriminator: packet.my_discriminator,
            state: packet.state,
            diagnostic: packet.diagnostic,
            desired_min_tx: packet.desired_min_tx,
            min_rx: packet.required_min_rx,
            multiplier: packet.detect_multiplier,
            demand: packet.demand,
            control_plane_independent: packet.control_plane_independent,
        });
        if packet.is_final {
            self.intervals.answered();
        }
        // "If bfd.SessionState is AdminDown, discard the packet."
        if self.state == State::AdminDown {
            return;
        }
        match next(self.state, packet.state) {
            Next::Same => {}
            Next::To(state) => self.enter(state, Diagnostic::None, now, out),
            // "Set bfd.LocalDiag to 3 (Neighbor signaled session down)".
            Next::Lost => self.enter(State::Down, Diagnostic::NeighborSignaledDown, now, out),
        }
        self.detection = self.detection_time().map(|time| now + time);
        if packet.poll {
            // "A BFD Control packet with the Final (F) bit set [...] without respect to the transmission timer".
            self.send(Bit::Final, now, out);
        }
        self.reschedule(interval);
        self.transmit(now, out);
    }

    /// What is due.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<SessionOutput>) {
        // Who is late finds the time for the last packets over.
        if let Some(at) = self.quiet_at.filter(|at| *at <= now) {
            self.next_tx = self.next_tx.max(at);
        }
        if self.detection.is_some_and(|at| at <= now) {
            self.expire(now, out);
        }
        self.transmit(now, out);
    }

    /// When [`Session::tick`] has something to do; never for a session that waits for the other end.
    pub fn next_deadline(&self) -> Option<Instant> {
        let send = self.may_transmit(self.next_tx).then_some(self.next_tx);
        [send, self.detection].into_iter().flatten().min()
    }

    /// Another configuration; a session that is Up stays Up (section 6.8.3).
    pub fn set_config(&mut self, config: Config, now: Instant, out: &mut Vec<SessionOutput>) {
        let interval = self.interval();
        self.config = config;
        self.set_intervals();
        self.reschedule(interval);
        self.transmit(now, out);
    }

    /// Has the other end wait for so long before it takes our silence for a failure: the time that whoever goes on in our
    /// place needs. Packets still go as before. [`Session::is_agreed`] tells when the other end has taken it in; zero ends it.
    pub fn stretch(&mut self, detection_time: Duration, now: Instant, out: &mut Vec<SessionOutput>) {
        // Packets say whole microseconds: rather one more than one too few.
        let micros = detection_time.as_micros().div_ceil(self.config.multiplier.get().into());
        self.stretched = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.set_intervals();
        self.transmit(now, out);
    }

    /// Whether the other end has confirmed the intervals that we have told it, or has nothing to confirm.
    pub fn is_agreed(&self) -> bool {
        !self.intervals.is_polling()
    }

    /// Holds the session down, section 6.8.16: the other end is told, and as it does not hear us fail, it does not take it
    /// for a failure. It is told so for its Detection Time, in case that packets are lost.
    pub fn disable(&mut self, now: Instant, out: &mut Vec<SessionOutput>) {
        if self.state != State::AdminDown {
            self.enter(State::AdminDown, Diagnostic::AdministrativelyDown, now, out);
            self.detection = None;
            let interval = self.interval();
            self.quiet_at = Some(now + interval * u32::from(self.config.multiplier.get()));
            self.transmit(now, out);
        }
    }

    /// Lets it come up again.
    pub fn enable(&mut self, now: Instant, out: &mut Vec<SessionOutput>) {
        if self.state == State::AdminDown {
            self.quiet_at = None;
            // What was said meanwhile may be old: nobody minded its Detection Time.
            self.remote = None;
            self.enter(State::Down, Diagnostic::None, now, out);
            self.transmit(now, out);
        }
    }

    /// "the BFD session has gone down -- the local system MUST set bfd.SessionState to Down and bfd.LocalDiag to 1".
    fn expire(&mut self, now: Instant, out: &mut Vec<SessionOutput>) {
        self.detection = None;
        match self.state {
            State::Init | State::Up => self.enter(State::Down, Diagnostic::DetectionTimeExpired, now, out),
            State::AdminDown | State::Down => {}
        }
        // Section 6.8.1: bfd.RemoteDiscr is zero again "if a period of a Detection Time passes without the receipt".
        self.remote = None;
    }

    fn enter(&mut self, state: State, diagnostic: Diagnostic, now: Instant, out: &mut Vec<SessionOutput>) {
        let change = Change {
            from: self.state,
            to: state,
            diagnostic,
            remote: self.remote.map(|remote| (remote.state, remote.diagnostic)),
            control_plane_independent: self.remote.is_some_and(|remote| remote.control_plane_independent),
            detection_time: self.detection_time().unwrap_or_default(),
            lasted: now.saturating_duration_since(self.since),
        };
        (self.state, self.diagnostic, self.since) = (state, diagnostic, now);
        self.set_intervals();
        self.counters.ups += u64::from(state == State::Up);
        if change.is_failure() {
            self.counters.failures += 1;
            self.last_failure = Some((change.why(), now));
        }
        out.push(SessionOutput::Changed(change));
    }

    /// "When bfd.SessionState is not Up, the system MUST set bfd.DesiredMinTxInterval to a value of not less than one second".
    fn set_intervals(&mut self) {
        let Config { min_tx, min_rx, .. } = self.config;
        if self.state == State::Up {
            self.intervals.negotiate(min_tx.max(self.stretched), min_rx);
        } else {
            self.intervals.set(min_tx.max(SLOW), min_rx);
        }
    }

    fn detection_time(&self) -> Option<Duration> {
        self.remote.as_ref().map(|remote| self.intervals.detection(remote))
    }

    /// Between two packets, before jitter. While stretched we go on as configured: sending more often than said is no harm.
    fn interval(&self) -> Duration {
        // bfd.RemoteMinRxInterval is 1 microsecond before the other end was heard.
        let remote_min_rx = self.remote.map_or(Duration::from_micros(1), |remote| remote.min_rx);
        let interval = self.intervals.transmit(remote_min_rx);
        let stretched = self.state == State::Up && !self.stretched.is_zero();
        if stretched { interval.min(self.config.min_tx.max(remote_min_rx)) } else { interval }
    }

    /// "If the local system reduces its transmit interval due to bfd.RemoteMinRxInterval being reduced [...] cannot wait longer
    /// than the new interval between the previous packet transmission and the next one".
    fn reschedule(&mut self, before: Duration) {
        let interval = self.interval();
        if interval != before
            && let Some((_, at)) = self.sent
        {
            self.next_tx = at + jittered(interval, self.config.multiplier.get(), &mut self.random);
        }
    }

    /// Section 6.8.7: who may not send by itself.
    fn may_transmit(&self, now: Instant) -> bool {
        if self.quiet_at.is_some_and(|at| at <= now) {
            return false;
        }
        match &self.remote {
            // "if bfd.RemoteDiscr is zero and the system is taking the Passive role".
            None => !self.config.passive,
            Some(remote) => {
                let demand = remote.demand && self.state == State::Up && remote.state == State::Up;
                !remote.min_rx.is_zero() && (!demand || self.intervals.is_polling())
            }
        }
    }

    /// Sends what is due, and what the other end does not know yet.
    fn transmit(&mut self, now: Instant, out: &mut Vec<SessionOutput>) {
        let is_news = self.sent.is_none_or(|(sent, _)| sent != self.packet(Bit::None));
        if (is_news || self.next_tx <= now) && self.may_transmit(now) {
            let bit = if self.intervals.is_polling() { Bit::Poll } else { Bit::None };
            self.send(bit, now, out);
            let interval = self.interval();
            self.next_tx = now + jittered(interval, self.config.multiplier.get(), &mut self.random);
        }
    }

    fn send(&mut self, bit: Bit, now: Instant, out: &mut Vec<SessionOutput>) {
        self.counters.sent += 1;
        // An answer does not take the place of a packet that is due, but says all that is new.
        let at = match (bit, self.sent) {
            (Bit::Final, Some((_, at))) => at,
            (Bit::Final | Bit::Poll | Bit::None, _) => now,
        };
        self.sent = Some((self.packet(Bit::None), at));
        out.push(SessionOutput::Send(self.packet(bit)));
    }

    fn packet(&self, bit: Bit) -> ControlPacket {
        ControlPacket {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: bit == Bit::Poll,
            is_final: bit == Bit::Final,
            // Ours lives and dies with the daemon.
            control_plane_independent: false,
            demand: false,
            detect_multiplier: self.config.multiplier,
            my_discriminator: self.local,
            your_discriminator: self.remote.map(|remote| remote.discriminator),
            desired_min_tx: self.intervals.desired_min_tx,
            required_min_rx: self.intervals.required_min_rx,
            required_min_echo_rx: Duration::ZERO,
        }
    }
}

/// Which of the two bits a packet has; both it may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bit {
    None,
    Poll,
    Final,
}

/// What a packet does to the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Same,
    To(State),
    /// Down, for the other end is.
    Lost,
}

/// RFC 5880 section 6.8.6, and the diagram of section 6.2: our state, and what the packet says of the other end's.
fn next(ours: State, theirs: State) -> Next {
    match (ours, theirs) {
        (State::Down, State::Down) => Next::To(State::Init),
        (State::Down | State::Init, State::Init) | (State::Init, State::Up) => Next::To(State::Up),
        (State::Init, State::AdminDown) | (State::Up, State::AdminDown | State::Down) => Next::Lost,
        (State::AdminDown, State::AdminDown | State::Down | State::Init | State::Up)
        | (State::Down, State::AdminDown | State::Up)
        | (State::Init, State::Down)
        | (State::Up, State::Init | State::Up) => Next::Same,
    }
}

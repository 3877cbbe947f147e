//! What others may know of a session: how it stands, what it counted, and what a change was.

use std::time::{Duration, Instant};

use super::Session;
use crate::packet::Discriminator;
use crate::state::{Diagnostic, State};

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub from: State,
    /// Now.
    pub to: State,
    /// Why: bfd.LocalDiag.
    pub diagnostic: Diagnostic,
    /// State and diagnostic of the other end as it said them last; none where it was not heard, or not for long.
    pub remote: Option<(State, Diagnostic)>,
    /// The other end's C bit: its BFD goes on when its control plane does not.
    pub control_plane_independent: bool,
    /// The Detection Time that applied.
    pub detection_time: Duration,
    /// How long the state before has lasted.
    pub lasted: Duration,
}

impl Change {
    /// Whether a session that was Up has failed. One that somebody at either end has put down has not: RFC 5882 section 3.2
    /// has nothing follow from AdminDown.
    pub fn is_failure(&self) -> bool {
        self.from == State::Up && self.to == State::Down && !self.is_by_peer()
    }

    /// The other end holds the session down.
    pub fn is_by_peer(&self) -> bool {
        self.diagnostic == Diagnostic::NeighborSignaledDown
            && self.remote.is_some_and(|(state, diagnostic)| {
                state == State::AdminDown || diagnostic == Diagnostic::AdministrativelyDown
            })
    }

    /// The reason, in words.
    pub fn why(&self) -> String {
        match (self.diagnostic, self.remote) {
            (Diagnostic::DetectionTimeExpired, _) => {
                format!("no packet for {} ms", self.detection_time.as_millis())
            }
            (Diagnostic::NeighborSignaledDown, Some((State::AdminDown, _))) => {
                "the peer holds it down".to_owned()
            }
            (Diagnostic::NeighborSignaledDown, Some((_, Diagnostic::None))) => {
                "the peer says that it is down".to_owned()
            }
            (Diagnostic::NeighborSignaledDown, Some((_, theirs))) => {
                format!("the peer says that it is down: {theirs}")
            }
            (diagnostic, _) => diagnostic.to_string(),
        }
    }
}

/// What a session has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that went out.
    pub sent: u64,
    /// Packets that came and were this session's.
    pub received: u64,
    /// How often it came up.
    pub ups: u64,
    /// How often it failed: [`Change::is_failure`].
    pub failures: u64,
}

/// How a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Our state.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// Why: bfd.LocalDiag.
    pub diagnostic: Diagnostic,
    /// Ours.
    pub local_discriminator: Discriminator,
    /// What the other end said last.
    pub remote: Option<RemoteStatus>,
    /// What our packets say that we send at most.
    pub desired_min_tx: Duration,
    /// What our packets say that we take at most.
    pub required_min_rx: Duration,
    /// Ours.
    pub multiplier: u8,
    /// Between two packets of ours, before jitter.
    pub transmit_interval: Duration,
    /// Nothing may come for so long; none before anything came.
    pub detection_time: Option<Duration>,
    /// A Poll Sequence runs.
    pub polling: bool,
    /// Why it failed last, and when.
    pub last_failure: Option<(String, Instant)>,
    /// What was counted.
    pub counters: Counters,
}

/// What the other end said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteStatus {
    /// Its state.
    pub state: State,
    /// Its reason.
    pub diagnostic: Diagnostic,
    /// Its discriminator.
    pub discriminator: Discriminator,
    /// It sends at most so often.
    pub desired_min_tx: Duration,
    /// It takes at most so often.
    pub required_min_rx: Duration,
    /// Its multiplier.
    pub multiplier: u8,
    /// Its C bit.
    pub control_plane_independent: bool,
}

impl Session {
    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Our discriminator.
    pub fn discriminator(&self) -> Discriminator {
        self.local
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        Status {
            state: self.state,
            since: self.since,
            diagnostic: self.diagnostic,
            local_discriminator: self.local,
            remote: self.remote.map(|remote| RemoteStatus {
                state: remote.state,
                diagnostic: remote.diagnostic,
                discriminator: remote.discriminator,
                desired_min_tx: remote.desired_min_tx,
                required_min_rx: remote.min_rx,
                multiplier: remote.multiplier.get(),
                control_plane_independent: remote.control_plane_independent,
            }),
            desired_min_tx: self.intervals.desired_min_tx,
            required_min_rx: self.intervals.required_min_rx,
            multiplier: self.config.multiplier.get(),
            transmit_interval: self.interval(),
            detection_time: self.detection_time(),
            polling: self.intervals.is_polling(),
            last_failure: self.last_failure.clone(),
            counters: self.counters,
        }
    }
}

//! A session that is Up as plain data, so that another process can go on with it before the other end misses a packet.
//!
//! A session that is not Up loses nothing by beginning anew. What a newer version may change is in
//! `docs/decisions/0007-hitless-restart.md`: fields that are added later have a default.

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::timers::Intervals;
use super::{Config, Counters, Remote, Session, SessionOutput};
use crate::packet::Discriminator;
use crate::random::Random;
use crate::state::{Diagnostic, State};

/// A session at rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspended {
    local: Discriminator,
    remote: Discriminator,
    /// Intervals are microseconds, as on the wire.
    remote_min_tx: u32,
    remote_min_rx: u32,
    remote_multiplier: NonZeroU8,
    #[serde(default)]
    remote_demand: bool,
    #[serde(default)]
    remote_independent: bool,
    /// What the other end may still count on.
    required_min_rx: u32,
    up_millis: u64,
    #[serde(default)]
    counters: [u64; 4],
}

impl Suspended {
    /// The discriminator by which the other end knows the session.
    pub fn discriminator(&self) -> Discriminator {
        self.local
    }
}

impl Session {
    /// The session at rest; `None` where it is not Up. One more packet goes out, so that the other end's Detection Time
    /// begins now.
    pub fn suspend(&mut self, now: Instant, out: &mut Vec<SessionOutput>) -> Option<Suspended> {
        let remote = self.remote.filter(|_| self.state == State::Up)?;
        self.next_tx = now;
        self.transmit(now, out);
        let Counters { sent, received, ups, failures } = self.counters;
        Some(Suspended {
            local: self.local,
            remote: remote.discriminator,
            remote_min_tx: micros(remote.desired_min_tx),
            remote_min_rx: micros(remote.min_rx),
            remote_multiplier: remote.multiplier,
            remote_demand: remote.demand,
            remote_independent: remote.control_plane_independent,
            required_min_rx: micros(self.intervals.rx()),
            up_millis: u64::try_from(now.saturating_duration_since(self.since).as_millis())
                .unwrap_or(u64::MAX),
            counters: [sent, received, ups, failures],
        })
    }

    /// Goes on with a session: it is Up, its Detection Time begins now, and a packet goes out at once, with a Poll, for the
    /// process before may have said other intervals.
    pub fn resume(
        config: Config,
        rest: &Suspended,
        seed: u64,
        now: Instant,
        out: &mut Vec<SessionOutput>,
    ) -> Self {
        let [sent, received, ups, failures] = rest.counters;
        let since = now.checked_sub(Duration::from_millis(rest.up_millis)).unwrap_or(now);
        let mut intervals = Intervals::new(config.min_tx, config.min_rx);
        intervals.resume(interval(rest.required_min_rx));
        let remote = Remote {
            discriminator: rest.remote,
            state: State::Up,
            diagnostic: Diagnostic::None,
            desired_min_tx: interval(rest.remote_min_tx),
            min_rx: interval(rest.remote_min_rx),
            multiplier: rest.remote_multiplier,
            demand: rest.remote_demand,
            control_plane_independent: rest.remote_independent,
        };
        let mut session = Self {
            state: State::Up,
            since,
            remote: Some(remote),
            detection: Some(now + intervals.detection(&remote)),
            intervals,
            random: Random::new(seed),
            counters: Counters { sent, received, ups, failures },
            ..Self::new(config, rest.local, seed, now)
        };
        session.transmit(now, out);
        session
    }
}

fn micros(interval: Duration) -> u32 {
    u32::try_from(interval.as_micros()).unwrap_or(u32::MAX)
}

fn interval(micros: u32) -> Duration {
    Duration::from_micros(micros.into())
}

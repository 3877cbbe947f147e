//! When to dial again, and jitter: ConnectRetryTimer of RFC 4271 section 8 and 10.
//!
//! Owns the pause between two dials and the pseudo-random numbers of one peer. It never holds back a connection
//! that the peer opens: back-off is for what we do ourselves.

use std::time::Duration;

use bgp_wire::iana::error;
use bgp_wire::notification::CeaseCode;

use crate::config::PeerConfig;
use crate::output::DownReason;

/// The first pause; each failure in a row doubles it, up to the connect-retry time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A session that lasted this long shows that the peer works: what comes after is no repetition.
const STABLE: Duration = Duration::from_secs(60);

/// The pace of one peer.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    random: u64,
    failures: u32,
}

impl Pace {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: seed, failures: 0 }
    }

    /// Times a random factor between 0.75 and 1.0, RFC 4271 section 10: anew for each use.
    pub(crate) fn jittered(&mut self, time: Duration) -> Duration {
        const STEPS: u64 = 1 << 16;
        let part = u32::try_from(self.next_random() % STEPS).unwrap_or_default();
        let quarter = time / 4;
        time - quarter + quarter / (1 << 16) * part
    }

    /// How long to wait before the next dial after a dial that failed, or after a reset.
    pub(crate) fn after_dial(&mut self, config: &PeerConfig) -> Duration {
        self.pause(config, Speed::Soon)
    }

    /// The same after a connection that ended for `reason` before it was a session.
    pub(crate) fn after_failure(&mut self, config: &PeerConfig, reason: &DownReason) -> Duration {
        self.pause(config, speed(reason))
    }

    /// The same after a session of this length.
    pub(crate) fn after_session(
        &mut self,
        config: &PeerConfig,
        reason: &DownReason,
        lasted: Duration,
    ) -> Duration {
        if lasted >= STABLE {
            self.forgive();
        }
        self.pause(config, speed(reason))
    }

    /// The operator intervened: begin anew.
    pub(crate) fn forgive(&mut self) {
        self.failures = 0;
    }

    fn pause(&mut self, config: &PeerConfig, speed: Speed) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let pause = match speed {
            Speed::Soon => doubled.min(config.connect_retry),
            Speed::Slow => config.connect_retry,
        };
        self.jittered(pause)
    }

    /// SplitMix64: good enough to spread timers, and the same for the same seed.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speed {
    /// Trying again may well help: by the number of failures.
    Soon,
    /// Somebody has to change a configuration first.
    Slow,
}

fn speed(reason: &DownReason) -> Speed {
    const PATIENT: [CeaseCode; 5] = [
        CeaseCode::MaximumPrefixes,
        CeaseCode::AdministrativeShutdown,
        CeaseCode::PeerDeconfigured,
        CeaseCode::ConnectionRejected,
        CeaseCode::OutOfResources,
    ];
    match reason.error() {
        Some((error::OPEN, _)) => Speed::Slow,
        Some((error::CEASE, subcode)) if PATIENT.iter().any(|code| *code as u8 == subcode) => Speed::Slow,
        Some(_) | None => Speed::Soon,
    }
}

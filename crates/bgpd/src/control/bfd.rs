//! `bgpctl show bfd`: from the sessions to their views.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp_api::bfd::{BfdFailure, BfdRemote};
use bgp_api::{BfdReply, BfdSession, BfdState};
use bgp_bfd::State;

use super::neighbors::with_link;
use crate::bfd::{Overview, SessionView};

/// Everything.
pub(super) fn reply(overview: &Overview, now: Instant) -> BfdReply {
    BfdReply {
        sessions: overview.sessions.iter().map(|seen| session(seen, now)).collect(),
        dropped: overview.dropped.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
    }
}

/// The session with one peer.
pub(super) fn of_peer(overview: &Overview, address: IpAddr, now: Instant) -> Option<BfdSession> {
    overview.sessions.iter().find(|seen| seen.address == address).map(|seen| session(seen, now))
}

fn session(seen: &SessionView, now: Instant) -> BfdSession {
    let seconds = |at: Instant| now.saturating_duration_since(at).as_secs();
    let view = BfdSession {
        peer: with_link(seen.address, seen.interface.as_deref()),
        local: seen.local.map(|local| local.to_string()),
        send_errors: seen.send_errors,
        trouble: seen.trouble.clone(),
        ..BfdSession::default()
    };
    let Some(status) = &seen.status else { return view };
    BfdSession {
        state: state(status.state),
        since_seconds: seconds(status.since),
        diagnostic: status.diagnostic.to_string(),
        remote: status.remote.map(|remote| BfdRemote {
            state: state(remote.state),
            diagnostic: remote.diagnostic.to_string(),
            discriminator: remote.discriminator.0.get(),
            min_tx_us: micros(remote.desired_min_tx),
            min_rx_us: micros(remote.required_min_rx),
            multiplier: remote.multiplier,
            control_plane_independent: remote.control_plane_independent,
        }),
        local_discriminator: status.local_discriminator.0.get(),
        transmit_interval_us: micros(status.transmit_interval),
        detection_time_us: status.detection_time.map(micros),
        multiplier: status.multiplier,
        polling: status.polling,
        last_failure: status
            .last_failure
            .as_ref()
            .map(|(reason, at)| BfdFailure { reason: reason.clone(), seconds_ago: seconds(*at) }),
        ups: status.counters.ups,
        failures: status.counters.failures,
        sent: status.counters.sent,
        received: status.counters.received,
        ..view
    }
}

fn state(state: State) -> BfdState {
    match state {
        State::AdminDown => BfdState::AdminDown,
        State::Down => BfdState::Down,
        State::Init => BfdState::Init,
        State::Up => BfdState::Up,
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

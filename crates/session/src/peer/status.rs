//! A peer's status: the picture of its machines that `show neighbors` gets.

use super::Peer;
use crate::state::{IdleCause, State};
use crate::status::{Status, Waiting};

impl Peer {
    /// How the peer is doing.
    pub fn status(&self) -> Status {
        let furthest = self.furthest();
        let machines = [Some(&self.main), self.rival.as_ref()];
        let connections = machines.into_iter().flatten().filter_map(State::connection);
        let (hold_expires, keepalive_due) = match furthest {
            State::Idle(_) | State::Connect(_) | State::Active(_) => (None, None),
            State::OpenSent(state) => (Some(state.hold), None),
            State::OpenConfirm(state) => (state.timers.hold, state.timers.keepalive),
            State::Established(state) => (state.timers.hold, state.timers.keepalive),
        };
        Status {
            state: furthest.name(),
            since: self.shown.1,
            mode: self.config.mode,
            waiting: self.waiting(furthest),
            connections: connections.map(|connection| connection.id).collect(),
            negotiated: furthest.negotiated().cloned(),
            last_failure: self.record.last_failure.clone(),
            last_down: self.record.last_down.clone(),
            hold_expires,
            keepalive_due,
            next_attempt: self.main.next_attempt(),
            sessions: self.record.sessions,
            counters: self.record.counters,
        }
    }

    fn waiting(&self, state: &State) -> Waiting {
        match state {
            State::Idle(idle) => match &idle.cause {
                IdleCause::NotStarted => Waiting::Start,
                IdleCause::Shutdown(reason) => Waiting::Operator(reason.clone()),
                IdleCause::Deconfigured | IdleCause::Leaving => Waiting::Operator(idle.cause.words()),
                IdleCause::MaximumPrefix(exceeded) => Waiting::Prefixes(exceeded.to_string()),
            },
            State::Active(active) if active.next_dial.is_none() => Waiting::PeerToDial,
            State::Active(_) => Waiting::NextDial,
            State::Connect(_) => Waiting::DialAnswer,
            State::OpenSent(_) => Waiting::Open,
            State::OpenConfirm(_) => Waiting::Keepalive,
            State::Established(_) => Waiting::Nothing,
        }
    }
}

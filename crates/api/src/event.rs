//! `GET /v1/monitor`: what happens, as it happens, one JSON object per line.
//!
//! A reader that is too slow loses events, never the daemon its time; [`EventKind::Lost`] says how many.

use serde::{Deserialize, Serialize};

/// One line: `{"time": "2026-01-02T03:04:05.678Z", "event": "session-up", ...}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// What; its fields stand beside `time`.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened, by the word in `event`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// First line of every stream: from here on nothing is missed.
    MonitorStarted {
        /// Version of the daemon.
        version: String,
    },
    /// A session reached Established.
    SessionUp {
        /// The neighbour.
        peer: String,
        /// Its AS.
        remote_as: u32,
        /// Its host name, if it said so.
        hostname: Option<String>,
        /// The negotiated families.
        families: Vec<String>,
    },
    /// A session, or an attempt, ended.
    SessionDown {
        /// The neighbour.
        peer: String,
        /// In words.
        reason: String,
        /// When we dial next; `null` where only the peer dials.
        next_attempt_seconds: Option<u64>,
    },
    /// The best path or the multipath set of a prefix changed.
    BestChange {
        /// The prefix.
        prefix: String,
        /// The next hops now, best first; empty: the prefix is gone.
        next_hops: Vec<String>,
    },
    /// The kernel confirmed a route.
    FibInstall {
        /// The prefix.
        prefix: String,
        /// The nexthop object or group.
        nhid: Option<u32>,
        /// The next hops in use.
        next_hops: Vec<String>,
    },
    /// The kernel confirmed that a route is gone.
    FibRemove {
        /// The prefix.
        prefix: String,
    },
    /// A route is not in the kernel although wanted.
    FibError {
        /// The prefix.
        prefix: String,
        /// In words.
        error: String,
        /// The kernel's number, if the kernel said no.
        errno: Option<i32>,
    },
    /// Somebody removed or changed routes or next-hop objects of ours; they are put back.
    FibUndone {
        /// What was done: `removed`, `changed` or `replaced`.
        deed: String,
        /// How many.
        count: u64,
        /// The first of them: prefixes, `nexthop id N`.
        examples: Vec<String>,
        /// Who did it, in words.
        by: String,
        /// What ends it, where that is known.
        remedy: Option<String>,
    },
    /// A next hop became reachable, unreachable, or goes another way.
    NexthopChange {
        /// The next hop.
        next_hop: String,
        /// `reachable`, `unreachable` or `resolving`.
        state: crate::NexthopState,
        /// In words, as in [`crate::Nexthop::resolution`].
        resolution: String,
    },
    /// A BFD session came up, failed, or was put down.
    BfdChange {
        /// The neighbour.
        peer: String,
        /// Its state now: `Up`, `Down`, `AdminDown`.
        state: String,
        /// Whether it was Up and failed: then its BGP session ends.
        failed: bool,
        /// In words; `null` for a session that came up.
        reason: Option<String>,
    },
    /// A reload was done or refused.
    ConfigReload {
        /// Whether it was done.
        applied: bool,
        /// What changed; or for how many faults it was refused, and what names them.
        message: String,
    },
    /// This reader was too slow.
    Lost {
        /// How many events it missed here.
        count: u64,
    },
    /// A word of a later daemon.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object() {
        let event = Event {
            time: "2026-01-02T03:04:05.678Z".to_owned(),
            kind: EventKind::FibRemove { prefix: "2004::1/128".to_owned() },
        };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(
            json,
            r#"{"time":"2026-01-02T03:04:05.678Z","event":"fib-remove","prefix":"2004::1/128"}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }

    #[test]
    fn a_later_word_is_unknown() {
        let json = r#"{"time":"t","event":"eclipse","of":"moon"}"#;
        assert_eq!(serde_json::from_str::<Event>(json).unwrap().kind, EventKind::Unknown);
    }
}

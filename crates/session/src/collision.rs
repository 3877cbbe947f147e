//! Two connections of one peer: RFC 4271 section 6.8, RFC 6286 section 2.3.
//!
//! Owns the question which of them stays. Both ends have to give the same answer, whatever each has seen so far and
//! whichever side opened first; otherwise each closes the one that the other keeps.
//!
//! The connection opened by the speaker with the higher identifier (with the larger AS, where identifiers are
//! equal) is the *strong* one. That speaker decides, and its OPEN on the strong connection is its word:
//!
//! - It has both connections and hears an OPEN on either: the weak one is closed.
//! - It hears the OPEN on the weak one while its own dial is still under way: the weak one is it. The dial is given
//!   up; one that succeeds nevertheless is closed without an OPEN.
//! - The other side closes the weak one when it hears an OPEN on the strong one, and not before.
//!
//! Ours: a session that is Established is not kept for its own sake. A peer that still has it closes the newcomer
//! on our OPEN, as RFC 4271 section 6.8 has it do. One that has lost it (a node that was powered off and is back)
//! goes on to a KEEPALIVE; only then the old session ends, as
//! [`DownReason::Replaced`](crate::DownReason::Replaced), and the new one takes its place. So a silent reboot costs
//! two round trips instead of a hold time, and a stray connection costs nothing. RFC 4724 section 5 would drop the
//! old session at the SYN where graceful restart was negotiated; the KEEPALIVE comes as surely, and its routes are
//! kept as if the connection had been lost.

use std::time::Instant;

use bgp_wire::notification::{CeaseCode, Notification};

use crate::config::PeerConfig;
use crate::connection::Direction;
use crate::negotiated::Negotiated;
use crate::state::State;

/// The other connection, as far as a collision is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) direction: Direction,
    pub(crate) stage: Stage,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    OpenSent,
    OpenConfirm,
    /// Since then.
    Established(Instant),
}

impl Other {
    pub(crate) fn of(state: &State) -> Option<Self> {
        let stage = match state {
            State::Idle(_) | State::Connect(_) | State::Active(_) => return None,
            State::OpenSent(_) => Stage::OpenSent,
            State::OpenConfirm(_) => Stage::OpenConfirm,
            State::Established(session) => Stage::Established(session.since),
        };
        state.connection().map(|connection| Self { direction: connection.direction, stage })
    }
}

/// Who stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The connection that the OPEN came over.
    This,
    /// The other one.
    Other,
    /// Both for now: the peer has the say.
    Both,
}

/// An OPEN was accepted on the connection of `negotiated` while there is `other`.
///
/// A weak connection that was `opened` before the session on the strong one is what a collision has left, not a peer that
/// is back: its KEEPALIVE may be under way already, and the Cease behind it.
pub(crate) fn judge(
    config: &PeerConfig,
    negotiated: &Negotiated,
    opened: Instant,
    other: Option<Other>,
) -> Verdict {
    let Some(other) = other else { return Verdict::Both };
    let strong = strong_direction(config, negotiated);
    match (other.stage, negotiated.direction == strong) {
        (Stage::Established(since), false) if other.direction == strong && opened < since => Verdict::Other,
        (Stage::Established(_), _) => Verdict::Both,
        (Stage::OpenSent | Stage::OpenConfirm, true) => Verdict::This,
        // Our own dial is the strong one and its OPEN is out; or the peer's OPEN came over it already.
        (Stage::OpenSent, false) if strong == Direction::Outgoing => Verdict::Other,
        (Stage::OpenConfirm, false) => Verdict::Other,
        (Stage::OpenSent, false) => Verdict::Both,
    }
}

/// Whose connection is preserved: that of the higher identifier, RFC 4271 section 6.8; where identifiers are equal, that
/// of the larger AS, RFC 6286 section 2.3.
fn strong_direction(config: &PeerConfig, negotiated: &Negotiated) -> Direction {
    let ours = (config.router_id, config.local_asn);
    let theirs = (negotiated.remote_router_id, negotiated.remote_asn);
    if ours > theirs { Direction::Outgoing } else { Direction::Incoming }
}

/// What a connection is told that is not taken.
pub(crate) fn rejected() -> Notification {
    Notification::cease(CeaseCode::ConnectionRejected, None)
}

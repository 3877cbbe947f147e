//! One BGP peer, RFC 4271 section 8, as a pure state machine: octets, ticks and commands in; octets and updates
//! out.
//!
//! Road in: the daemon hands a [`Peer`] its connections ([`Peer::connected`]), what they deliver
//! ([`Peer::receive`]), their ends ([`Peer::closed`]) and the time ([`Peer::tick`], due at
//! [`Peer::next_deadline`]). A framer cuts the octets, the wire crate decodes them, and each message is an event
//! for the machine of its connection: one file per state in `state`, every event in every state.
//! Road out: [`Output`]s go into a buffer that the caller lends: octets to send, a dial to make, a session that is
//! [`Output::Up`], the [`Output::Update`]s that it carries, and [`Output::Down`] with the reason and with what
//! becomes of the routes. Between Up and Down the daemon writes its own UPDATEs and tells by [`Peer::note_sent`].
//!
//! A peer has at most two machines, because it may have two connections (`collision`), and at most one session. It
//! has no terminal state: only the operator and maximum-prefix stop it; after any other end it waits for the peer
//! at once and dials again as soon as the cause allows (`pace`). There is no clock here: `now` is handed in, and
//! the same calls give the same outputs.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm
)]

mod collision;
pub mod config;
pub mod connection;
pub mod counters;
pub mod graceful_restart;
#[cfg(test)]
mod model;
pub mod negotiated;
pub mod output;
mod pace;
mod peer;
mod state;
pub mod status;
pub mod suspend;

pub use config::{GracefulRestartMode, Mode, OwnRestart, PeerConfig, RemoteAs, SendHold, Takes};
pub use connection::{ConnectionId, Direction, Endpoints};
pub use counters::{Counters, MessageCounts, MessageKind};
pub use graceful_restart::{Forwarding, LongLived, PeerRestart};
pub use negotiated::Negotiated;
pub use output::{Down, DownReason, Exceeded, Malformed, Note, Output, RouteRetention};
pub use peer::{Command, Peer};
pub use status::{StateName, Status, Waiting};
pub use suspend::{CannotResume, Misfit, Suspended};

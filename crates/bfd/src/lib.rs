//! Bidirectional Forwarding Detection as pure state machines: RFC 5880 in asynchronous mode, over a single hop (RFC 5881).
//!
//! Road in: the daemon tells [`Sessions`] whom to watch ([`Sessions::set`]), and hands it what arrives on UDP port
//! [`CONTROL_PORT`] with what the kernel says of it ([`Sessions::receive`]), and the time ([`Sessions::tick`], due at
//! [`Sessions::next_deadline`]). A datagram is decoded (`packet`), its session is found by discriminator or source
//! (`sessions`), and the session's machine takes it (`session`; the intervals in `session/timers`).
//! Road out: [`Output`]s go into a buffer that the caller lends: packets to send at once, and changes of state. What a
//! change means for BGP (RFC 5882) is the daemon's.
//!
//! Not here: the echo function, demand mode of our own (a peer's is honoured) and authentication; a packet that has its
//! A bit set is refused by name. There is no clock and no socket: `now` is handed in, and the same calls give the same
//! outputs.
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

pub mod packet;
mod random;
pub mod session;
pub mod sessions;
mod state;

pub use packet::{CONTROL_PORT, ControlPacket, Discriminator, PacketFault, TTL};
pub use session::{Change, Config, Counters, Session, SessionOutput, Status, Suspended};
pub use sessions::{Arrival, Dropped, Output, Peer, Sessions};
pub use state::{Diagnostic, State};

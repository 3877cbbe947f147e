//! The vocabulary of BGP and its encoding; what is wrong with other bytes.
//!
//! Road in: octets from a socket go through [`framer::Framer`], which cuts them into messages; [`message::decode`]
//! turns one message into a [`message::Message`]. An UPDATE comes out as [`update::Update`]: checked, with RFC 7606
//! already applied, so that nothing downstream ever meets a half-valid route.
//! Road out: each message's own `encode`, and [`update::encode`] for UPDATEs, turn the same values into octets.
//!
//! Everything that has a code point on the wire lives here and nowhere else; nom appears only inside this crate.
//! What a fault costs is said in one table, `attribute::TABLE`, and every fault becomes a [`notification::Notification`]
//! in one place.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

pub mod asn;
pub mod attribute;
pub mod capability;
pub mod context;
pub mod family;
pub mod framer;
pub mod iana;
pub mod message;
pub mod next_hop;
pub mod notification;
pub mod open;
pub mod prefix;
mod read;
pub mod route_refresh;
pub mod router_id;
#[cfg(test)]
mod testing;
pub mod update;

pub use asn::Asn;
pub use attribute::{AttributeBytes, PathAttributes};
pub use context::{DecodeContext, EncodeContext, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, PeerKind};
pub use family::{Family, FamilyCode, PerFamily};
pub use framer::{Frame, Framer, HeaderFault, Next};
pub use message::{Message, MessageFault};
pub use next_hop::{NextHop, ScopedNextHop};
pub use notification::{CeaseCode, Notification};
pub use open::Open;
pub use prefix::{Ipv4Prefix, Ipv6Prefix, Prefix};
pub use route_refresh::RouteRefresh;
pub use router_id::RouterId;
pub use update::{Announcement, Nlri, NlriEntry, Update};

//! Adj-RIB-In, decision, Loc-RIB, Adj-RIB-Out for all peers: RFC 4271 section 3.2 and 9.
//!
//! Road in: [`Rib::receive_update`] stores what a peer announced, before policy, and marks the prefixes; [`Rib::decide`]
//! runs the selection for marked prefixes, in portions, and puts the result into the Loc-RIB.
//! Road out: whoever is downstream pulls. The kernel side asks [`Rib::see_forwarding_change`], a peer that can take more
//! asks [`Rib::next_update`]. Nothing waits for them but a bit for each prefix that has changed.
//! Sideways: [`Rib::take_next_hop_changes`] names the next hops that matter, [`Rib::set_reachability`] says what became of
//! them; the RIB knows no interface and no kernel.
//!
//! How it is laid out, since this is the hot core:
//!
//! - A prefix has a dense id (`prefixes`), an attribute set with its next hop has one (`attributes`), so have next hops and
//!   sets of them. Equal ids mean equal values, and an id without a holder is used again. Ids are found by hash in one cache
//!   line (`index`); octets of attributes stand in pages (`arena`).
//! - What a peer announced is a column of attribute-set ids by prefix id (`column`): four octets a route where a peer sends
//!   most of the table. Three bits of the cell say stale, refused, used.
//! - The Loc-RIB is one small entry for each prefix (`table`). Selection is one table of rounds (`decision`); reasons are
//!   worked out again when somebody asks (`view`).
//! - Peers that are told the same share an update group (`group`), which holds one id for each prefix, or nothing at all
//!   where its policy lets everything pass.
//!
//! A session that another process goes on with takes its routes along (`handover`).
//!
//! Not here: sessions and timers (graceful restart's included), encoding, policy's own rules, route reflection, add-path
//! (a path identifier is ignored).
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod advertise;
mod arena;
mod attributes;
mod backup;
mod batch;
mod checks;
mod chores;
mod closing;
mod column;
mod config;
mod decide;
mod decision;
mod export;
mod first_paths;
mod forwarding;
mod group;
pub mod handover;
mod ids;
mod impact;
mod index;
mod interned;
mod long_lived;
mod next_hops;
mod paged;
mod peer;
mod prefixes;
mod reason;
mod receive;
mod reconfigure;
mod refresh;
mod rewritten;
mod rib;
mod seed;
mod table;
mod view;
mod weights;

pub use config::{MaximumPrefix, MaximumPrefixAction, PeerId, PeerSettings, RibConfig};
pub use decision::Step;
pub use forwarding::{Forwarding, RouteSource};
pub use impact::{Impact, Position, Proposal, Shares};
pub use next_hops::{Reachability, Watch};
pub use reason::{BestReason, NextHopFault, Refusal, Unreachable, Verdict};
pub use receive::{LimitLevel, LimitReached, Received};
pub use rib::Rib;
pub use view::{AdvertisedView, Counters, NoExport, PrefixWalk, RouteView, Sizes, WhichRib};

#[cfg(test)]
mod tests;

//! The daemon as a library: what `bgpd-rs` wires together, each part usable by its tests.
//!
//! Road in: [`config::load`] turns a file into a checked [`config::Config`], and [`daemon::run`] makes the tasks:
//! [`supervisor`] owns the peers, each [`peer`] task one session, [`routing`] the RIB and the FIB.
//! [`handover`] brings what an earlier process knew.
//! Road out: sockets ([`net`]), netlink (`bgp-netlink`), the [`control`] socket and [`metrics`].
//! No protocol is decided here; that is in the pure crates.

// `unsafe` is in two files below `net` and two below `handover` that say so, and `tests/house` lists them.
#![deny(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing
)]

pub mod bfd;
pub mod buckets;
pub mod cli;
pub mod config;
pub mod control;
pub mod crash;
pub mod daemon;
pub mod events;
pub mod handover;
pub mod host;
pub mod http;
pub mod identity;
pub mod listener;
pub mod local;
pub mod log;
pub mod metrics;
pub mod net;
pub mod peer;
pub mod privileges;
pub mod process;
pub mod random;
pub mod routing;
pub mod sandbox;
pub mod service;
pub mod session_config;
pub mod summary;
pub mod supervisor;
pub mod tasks;

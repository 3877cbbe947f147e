//! The daemon as a library: what `bgpd-rs` wires together, each part usable by its tests.
//!
//! Road in: [`config::load`] turns a file into a checked [`config::Config`]; nothing downstream meets a wrong value.
//! Road out: sockets, netlink and the control socket, each in its own module.

pub mod config;
pub mod net;

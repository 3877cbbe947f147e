//! The real kernel, in namespaces: every behaviour that the forwarding side depends on, seen through this crate and
//! compared with what `ip` says.

mod batches;
mod events;
mod host;
mod neighbors;
#[path = "../netns/mod.rs"]
mod netns;
mod nexthops;
mod routes;
mod settings;

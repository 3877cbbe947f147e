//! The real kernel, in namespaces: every behaviour that the forwarding side depends on, seen through this crate and
//! compared with what `ip` says.

mod audits;
mod batches;
mod buckets;
mod events;
mod host;
#[path = "../../../fib/tests/support/buckets.rs"]
mod model;
mod neighbors;
#[path = "../netns/mod.rs"]
mod netns;
mod nexthops;
mod own_flows;
mod routes;
mod settings;

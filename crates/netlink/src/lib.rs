//! Says fib's operations to the kernel, reports what the kernel says.
//!
//! Road in: [`Kernel::submit`] hands a [`bgp_fib::Plan`] to a thread of its own, which packs them into batches (`encode`,
//! `batch`), has the kernel work through each (`requests`) and reads the tables (`dump`); when there is much to do, a
//! second thread (`lane`) writes the IPv6 routes meanwhile. A third reads the routes back at leisure (`audit`). Road out: [`KernelEvents`]
//! gives answers, notifications and the entries of dumps, in the order in which the kernel gave them (`decode`,
//! `report`).
//!
//! Nothing is decided here: which object to add, whether to replace, what an error means and when to read a table again
//! is `bgp-fib`. Nothing is encoded elsewhere: the numbers of rtnetlink stand in `uapi`.
//!
//! Beside it live the kernel settings that forwarding depends on ([`Sysctl`]) and the counters of TCP MD5
//! ([`TcpMd5Counters`]), the question whether any policy rule leads to a table ([`rules`]), what is in the buckets of
//! resilient groups ([`groups`]), and what keeps them in use for the host's own connections ([`own_flows`]).
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answer;
mod audit;
mod batch;
mod counters;
mod datagram;
mod decode;
mod dump;
mod encode;
pub mod groups;
mod kernel;
mod lane;
mod message;
mod moves;
pub mod own_flows;
mod queue;
mod report;
mod requester;
mod requests;
mod routes;
pub mod rules;
mod socket;
mod sysctl;
mod uapi;
mod worker;

pub use counters::TcpMd5Counters;
#[doc(hidden)]
pub use datagram::Datagram;
pub use kernel::{Kernel, KernelConfig};
pub use moves::{Moves, watch_moves};
pub use report::{Answer, Answers, KernelEvents, Report, Said};
pub use sysctl::{Sysctl, SysctlError};

/// Appends `op` to `out` as one request; `false` for an operation that is no single request. For benchmarks, which have
/// no kernel to speak to.
#[doc(hidden)]
pub fn encode_request(op: &bgp_fib::Op, sequence: u32, out: &mut Vec<u8>) -> bool {
    encode::encode(op, sequence, out)
}

/// Appends `ops` to `out` as requests, numbered from `sequence` on. For benchmarks.
#[doc(hidden)]
pub fn encode_requests(ops: &bgp_fib::RouteOps, sequence: u32, out: &mut Vec<u8>) {
    routes::encode_routes(ops, 0..ops.len(), sequence, usize::MAX, out);
}

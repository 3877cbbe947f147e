//! What the kernel should hold, and the operations that get it there.
//!
//! Road in: [`Fib::want`] says which next hops a prefix should have and by which number it is found ([`Destination`]),
//! [`Fib::observe`] what the kernel reported, and [`Fib::confirm_run`] and [`Fib::refused`] what it said to operations.
//! Road out: [`Fib::plan`] gives the next operations, in the order in which they must reach the kernel (next hop, group,
//! route), and [`Fib::take_reachability_changes`] says which next hops can be used.
//!
//! Three parts. `tracking` keeps the kernel's facts (links, addresses, neighbours, other people's routes) and turns a
//! next hop into a gateway on a link. The next-hop objects and groups are shared by all prefixes that use them. The route
//! table holds per prefix what is wanted and what is installed; the plan is the difference. Law: with the plan applied,
//! the kernel holds what is wanted, and the next plan is empty.
//!
//! Ours are the routes with our protocol number, our table and our metric, and the next-hop objects with our protocol
//! number and an id in [`HOP_IDS`] or [`GROUP_IDS`]. Nothing else is ever replaced or deleted.
//!
//! No clock, no socket: the time is handed in, `bgp-netlink` speaks to the kernel.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod config;
mod destination;
mod event;
mod fib;
mod groups;
mod guard;
mod kernel;
mod numbered;
mod objects;
mod op;
mod packed;
mod routes;
mod sets;
mod tracking;
mod view;

pub use config::{FibConfig, GROUP_IDS, GroupKind, HOP_IDS, MAIN_TABLE, PROTOCOL_BGP, Resilient};
pub use destination::{Destination, Numbers};
pub use event::{Event, Kind, Seen};
pub use fib::{AuditRun, AuditView, Cure, Deed, Differences, DrainOrder, Fib, Leftovers, Meddling, Subject};
pub use kernel::{
    Address, FdbEntry, KernelError, KernelHop, KernelNexthop, KernelRoute, Link, Mac, Neighbor,
    NeighborState, Requester, RouteKind,
};
pub use op::{GroupSpec, NexthopSpec, Op, OpId, RouteSpec, RouteTarget};
pub use packed::{Lead, Part, Place, Plan, Prefixes, RouteOps, Step, Verb};
pub use view::{
    Arrivals, DrainView, GroupView, HopView, Installed, Joining, Notice, Presence, Progress, Reachability,
    RouteCounts, RouteState, RouteView, RouteWalk, Stats, Via,
};

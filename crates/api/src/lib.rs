//! Requests, replies and views shared by bgpctl and the daemon: HTTP/1.1 and JSON over a Unix socket, version 1.
//!
//! Road in: a client asks one of the paths in [`path`]; what may stand behind the `?` is a struct of its own
//! ([`NeighborQuery`], [`RouteQuery`], [`FibQuery`]), and what a POST carries is [`ActionRequest`].
//! Road out: each path has one reply, named in its description. Whatever goes wrong is an [`ErrorReply`] with the HTTP
//! status of its [`ErrorCode`]. `GET /v1/monitor` answers with one [`Event`] as JSON per line until the client leaves.
//!
//! The values are ready to show and still structured: an address is text, a count a number, a reason a sentence. Times
//! are ages in whole seconds, named `..._seconds`, because an age needs no agreement about clocks; only an [`Event`]
//! has a time of day. Nothing is left out of the JSON: what is unknown is `null`.
//!
//! Within version 1 fields and enum words are only added. A client ignores fields that it does not know, and reads an
//! unknown word as `Unknown`.
//!
//! ```sh
//! curl -s --unix-socket /run/bgpd-rs/control.sock http://bgpd-rs/v1/summary
//! ```
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

pub mod action;
pub mod bfd;
pub mod drain;
pub mod error;
pub mod event;
pub mod fib;
pub mod neighbor;
pub mod nexthop;
pub mod path;
pub mod reload;
pub mod route;
pub mod summary;

pub use action::{ActionReply, ActionRequest, ConfigReply, NeighborAction};
pub use bfd::{BfdFailure, BfdRemote, BfdReply, BfdSession, BfdState};
pub use drain::{Drain, DrainReply, DrainRequest, DrainState};
pub use error::{ErrorBody, ErrorCode, ErrorReply};
pub use event::{Event, EventKind};
pub use fib::{FibNextHop, FibQuery, FibReply, FibRoute, FibState};
pub use neighbor::{
    Capability, Endpoint, GracefulRestart, LastDown, MaximumPrefix, MessageCounts, Messages, Negotiated,
    Neighbor, NeighborFamily, NeighborQuery, NeighborsReply, PeerKind, PolicyText, PolicyView, SessionState,
    Transport,
};
pub use nexthop::{
    GroupMember, JoiningMember, Nexthop, NexthopGroup, NexthopKind, NexthopState, NexthopsReply,
};
pub use reload::{
    ConfirmReply, ImpactCount, ImpactKind, PlanQuery, ReloadPlan, ReloadReply, ReloadRequest, RouteImpact,
    RouteImpacts,
};
pub use route::{Attributes, Path, PathStatus, Route, RouteQuery, RoutesReply};
pub use summary::{
    CheckState, ConfigState, DoctorReply, FibSize, HostCheck, Memory, PeerTotals, RibSize, Summary,
    VersionReply,
};

/// Where the daemon listens and bgpctl asks unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/bgpd-rs/control.sock";

/// The environment variable that names another socket, for the daemon and for bgpctl.
pub const SOCKET_ENV: &str = "BGPD_RS_SOCKET";

/// What the programs call themselves: `BGPD_RS_VERSION` of the environment that they were built in, else the version of the
/// source. `scripts/package` gives the package the same.
pub const VERSION: &str = match option_env!("BGPD_RS_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// The version in every path.
pub const API_VERSION: &str = "v1";

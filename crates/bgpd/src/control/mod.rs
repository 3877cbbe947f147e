//! The control socket: HTTP/JSON on a Unix socket, as `bgp_api` describes it.
//!
//! Owns the socket and the road from a request to whoever can answer it. Computes nothing itself: peers are the
//! supervisor's, routes are the routing task's, and each is asked for a reply that is ready to send.

mod auth;
mod capabilities;
mod handlers;
mod neighbors;
mod socket;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::routing::{get, post};
use bgp_api::path;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

pub use auth::Caller;
pub use handlers::ask;
pub use neighbors::views as neighbor_views;
pub use socket::{bind, give_directory};

use crate::events::Hub;
use crate::routing;
use crate::supervisor;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct Control {
    /// Who owns the peers.
    pub supervisor: mpsc::Sender<supervisor::Request>,
    /// Who owns the routes.
    pub routing: mpsc::Sender<routing::Query>,
    /// Where events come from.
    pub hub: Hub,
    /// When the daemon started.
    pub started: Instant,
    /// The socket, for messages.
    pub path: PathBuf,
}

/// The router of version 1.
fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route(path::VERSION, get(handlers::version))
        .route(path::SUMMARY, get(handlers::summary))
        .route(path::NEIGHBORS, get(handlers::neighbors))
        .route(path::NEIGHBOR_ACTION, post(handlers::neighbor_action))
        .route(path::ROUTES, get(handlers::routes))
        .route(path::FIB, get(handlers::fib))
        .route(path::NEXTHOPS, get(handlers::nexthops))
        .route(path::CONFIG, get(handlers::config))
        .route(path::RELOAD, post(handlers::reload))
        .route(path::MONITOR, get(handlers::monitor))
        .method_not_allowed_fallback(handlers::method_not_allowed)
        .fallback(handlers::path_unknown)
        .with_state(control)
}

/// Serves the socket until the daemon ends.
///
/// # Errors
/// The listener fails for good.
pub async fn serve(listener: UnixListener, control: Arc<Control>) -> std::io::Result<()> {
    let service = router(control).into_make_service_with_connect_info::<Caller>();
    axum::serve(listener, service).await
}

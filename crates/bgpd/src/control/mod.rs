//! The control socket: HTTP/JSON on a Unix socket, as `bgp_api` describes it.
//!
//! Owns the socket and the road from a request to whoever can answer it. Computes nothing itself: peers are the
//! supervisor's, routes are the routing task's, and each is asked for a reply that is ready to send.

mod auth;
mod bfd;
mod buckets;
mod capabilities;
mod drain;
mod handlers;
mod monitor;
mod neighbors;
mod reload;
mod socket;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use axum::{Extension, Router, middleware};
use bgp_api::path;
use bgp_netlink::Moves;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

pub use auth::{Access, Caller, ReadersRule, Rules};
pub use handlers::ask;
pub use neighbors::{Seen, views as neighbor_views};
pub use socket::{bind, make_directory};

use self::monitor::HangUp;
use crate::events::Hub;
use crate::http::{self, Patience, Seats};
use crate::routing;
use crate::supervisor;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct Control {
    /// Who owns the peers.
    pub supervisor: mpsc::Sender<supervisor::Request>,
    /// Who owns the routes.
    pub routing: mpsc::Sender<routing::Query>,
    /// Who watches the ways to peers.
    pub bfd: mpsc::Sender<crate::bfd::Request>,
    /// Where events come from.
    pub hub: Hub,
    /// How many buckets of each next-hop group the last change has moved; `None` where that is not watched.
    pub moves: Option<watch::Receiver<Moves>>,
    /// After so long without a packet a bucket of a group is free; `None`: groups are not resilient.
    pub idle_timer: Option<Duration>,
    /// The ports of `bgp.listen`.
    pub ports: BTreeSet<u16>,
    /// When the daemon started.
    pub started: Instant,
    /// The socket, for messages.
    pub path: PathBuf,
    /// Who may do what.
    pub rules: Rules,
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
        .route(path::DRAIN, get(drain::status).post(drain::act))
        .route(path::BFD, get(handlers::bfd))
        .route(path::DOCTOR, get(handlers::doctor))
        .route(path::CONFIG, get(handlers::config))
        .route(path::RELOAD, get(reload::plan).post(reload::reload))
        .route(path::CONFIRM, post(reload::confirm))
        .route(path::MONITOR, get(monitor::monitor))
        .method_not_allowed_fallback(handlers::method_not_allowed)
        .fallback(handlers::path_unknown)
        .layer(middleware::from_fn_with_state(Arc::clone(&control), handlers::readers_only))
        .with_state(control)
}

/// Connections at once of those who may change something. Each monitor is one of them.
const SEATS: usize = 64;
/// Connections at once of everybody else: whatever they do, an operator gets in.
const SEATS_OF_OTHERS: usize = 32;
/// Pause after an accept that failed for want of descriptors or memory.
const RECOVER: Duration = Duration::from_millis(100);

/// Serves the socket until the daemon ends.
pub async fn serve(listener: UnixListener, control: Arc<Control>) {
    let (seats, seats_of_others) = (Seats::new(SEATS), Seats::new(SEATS_OF_OTHERS));
    let patience = Patience::default();
    let router = http::limited(router(Arc::clone(&control)), patience);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "a connection to the control socket could not be accepted");
                tokio::time::sleep(RECOVER).await;
                continue;
            }
        };
        let caller = Caller::of(&stream);
        let full = caller.access(&control.rules) == Access::Full;
        let seats = if full { &seats } else { &seats_of_others };
        let Some(seat) = seats.take() else {
            debug!(?caller, "the control socket has no seat left; a connection is closed");
            continue;
        };
        let hang_up = match HangUp::of(&stream) {
            Ok(hang_up) => hang_up,
            Err(error) => {
                warn!(%error, "a connection to the control socket cannot be watched and is closed");
                continue;
            }
        };
        let router = router.clone().layer(Extension(ConnectInfo(caller))).layer(Extension(hang_up));
        tokio::spawn(http::converse(stream, router, patience, seat));
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    /// Serves a socket of this name; its path.
    fn start(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("bgpd-rs-{name}-{}.sock", std::process::id()));
        drop(std::fs::remove_file(&path));
        let (supervisor, routing, bfd) = (mpsc::channel(1).0, mpsc::channel(1).0, mpsc::channel(1).0);
        let listener = UnixListener::bind(&path).unwrap();
        let control = Control {
            supervisor,
            routing,
            bfd,
            path: path.clone(),
            hub: Hub::default(),
            started: Instant::now(),
            rules: Rules::default(),
            moves: None,
            idle_timer: None,
            ports: BTreeSet::new(),
        };
        tokio::spawn(serve(listener, Arc::new(control)));
        path
    }

    async fn ask(path: &std::path::Path, question: &str) -> UnixStream {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(question.as_bytes()).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn who_says_no_more_after_the_question_is_answered() {
        let path = start("half");
        let mut caller = ask(&path, "GET /v1/summary HTTP/1.1\r\n\r\n").await;
        caller.shutdown().await.unwrap();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 "), "{answer:?}");
        drop(std::fs::remove_file(&path));
    }

    /// Octets behind the question are read with it, and hyper waits for no end of the connection while it has some.
    #[tokio::test]
    async fn a_monitor_that_hangs_up_gives_its_seat_back_though_octets_follow_its_question() {
        let path = start("monitors");
        for _ in 0..2 {
            let mut monitors = Vec::new();
            for _ in 0..SEATS {
                let mut monitor = ask(&path, "GET /v1/monitor HTTP/1.1\r\nhost: x\r\n\r\nmore").await;
                let mut octets = Vec::new();
                while !octets.windows(15).any(|part| part == b"monitor-started") {
                    assert_ne!(monitor.read_buf(&mut octets).await.unwrap(), 0, "no seat");
                }
                monitors.push(monitor);
            }
            let mut answer = String::new();
            drop(ask(&path, "GET / HTTP/1.1\r\n").await.read_to_string(&mut answer).await);
            assert_eq!(answer, "", "all seats are taken");
            drop(monitors);
            let question = "GET /v1/version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            let answered = async {
                while !answer.starts_with("HTTP/1.1 200 ") {
                    answer.clear();
                    drop(ask(&path, question).await.read_to_string(&mut answer).await);
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), answered).await.expect("a seat is free again");
        }
        drop(std::fs::remove_file(&path));
    }
}

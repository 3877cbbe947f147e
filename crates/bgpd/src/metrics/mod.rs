//! Prometheus metrics: the recorder, and the HTTP listener that renders it. The list is in docs/metrics.md.
//!
//! What happens is counted where it happens; what is, is asked for when somebody scrapes, at most once a second, so
//! that a hundred scrapers cost no more than one. A port that cannot be had costs the metrics, not the routes.

mod collect;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::control::Control;
use crate::http::{self, Patience, Seats};

/// A page is used again for this long.
const FRESH: Duration = Duration::from_secs(1);
/// Series that nothing has touched for so long end: those of removed peers.
const IDLE: Duration = Duration::from_secs(300);
/// Buckets of `bgpd_update_to_kernel_seconds`.
const LATENCY_BUCKETS: [f64; 12] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];
/// Connections at once.
const SEATS: usize = 128;
/// Connections that may wait for being accepted.
const BACKLOG: u32 = 128;
/// Between two attempts to have the port.
const RETRY: Duration = Duration::from_secs(5);
/// Pause after an accept that failed for want of descriptors or memory.
const RECOVER: Duration = Duration::from_millis(100);
/// How often the recorder folds its histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder.
///
/// # Errors
/// Another recorder is installed.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("bgpd_update_to_kernel_seconds".to_owned()), &LATENCY_BUCKETS)
        .context("the buckets of bgpd_update_to_kernel_seconds")?
        .idle_timeout(MetricKindMask::GAUGE | MetricKindMask::COUNTER, Some(IDLE))
        .install_recorder()
        .context("the metrics recorder cannot be installed")?;
    collect::describe();
    Ok(handle)
}

/// What the scrape handler needs.
struct Scrape {
    handle: PrometheusHandle,
    control: Arc<Control>,
    /// Held while one is being made, so that there is never more than one.
    page: Mutex<Page>,
}

/// What was answered last.
#[derive(Default)]
struct Page {
    /// When it was made.
    made: Option<Instant>,
    text: Bytes,
    labels: collect::Labels,
}

/// Where Prometheus asks.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    /// None while somebody else has the address.
    listener: Option<TcpListener>,
}

impl Port {
    /// Binds it. Where that fails a line in the log says why, and [`serve`] goes on trying.
    pub fn open(address: SocketAddr) -> Self {
        let listener = bind(address)
            .inspect_err(|error| {
                warn!(
                    %address,
                    %error,
                    "no metrics for now, tried again every {} s: metrics.listen cannot be bound; \
                     `ss -ltnp 'sport = :{}'` names who has it",
                    RETRY.as_secs(),
                    address.port()
                );
            })
            .ok();
        Self { address, listener }
    }

    /// The listener, as soon as the address can be had.
    async fn listener(mut self) -> TcpListener {
        loop {
            if let Some(listener) = self.listener {
                return listener;
            }
            tokio::time::sleep(RETRY).await;
            self.listener = bind(self.address).ok();
        }
    }
}

/// An address that this host does not have yet is bound all the same, as those of BGP are.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    let options = SockRef::from(&socket);
    if address.is_ipv4() {
        options.set_freebind_v4(true)?
    } else {
        options.set_freebind_v6(true)?
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `/metrics` until the daemon ends.
pub async fn serve(port: Port, handle: PrometheusHandle, control: Arc<Control>) {
    let address = port.address;
    let listener = port.listener().await;
    info!(%address, "metrics");
    let scrape = Arc::new(Scrape { handle: handle.clone(), control, page: Mutex::default() });
    tokio::spawn(async move {
        let mut upkeep = tokio::time::interval(UPKEEP);
        loop {
            upkeep.tick().await;
            handle.run_upkeep();
        }
    });
    let router = Router::new().route("/metrics", get(render)).route("/", get(index)).with_state(scrape);
    let patience = Patience::default();
    let (router, seats) = (http::limited(router, patience), Seats::new(SEATS));
    loop {
        match listener.accept().await {
            // One for whom there is no seat is closed.
            Ok((stream, _)) => drop(
                seats.take().map(|seat| tokio::spawn(http::converse(stream, router.clone(), patience, seat))),
            ),
            Err(error) => {
                warn!(%error, "a connection for metrics could not be accepted");
                tokio::time::sleep(RECOVER).await;
            }
        }
    }
}

async fn render(State(scrape): State<Arc<Scrape>>) -> impl IntoResponse {
    let mut page = scrape.page.lock().await;
    if page.made.is_none_or(|at| at.elapsed() >= FRESH) {
        collect::collect(&scrape.control, &mut page.labels).await;
        page.text = scrape.handle.render().into();
        page.made = Some(Instant::now());
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.text.clone())
}

async fn index() -> Html<&'static str> {
    Html("<!doctype html><title>bgpd-rs</title><h1>bgpd-rs</h1><p><a href=\"/metrics\">Metrics</a>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_port_that_somebody_has_is_ours_when_it_is_free() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let port = Port::open(address);
        assert!(port.listener.is_none());
        let mut listener = tokio::spawn(port.listener());
        assert!(tokio::time::timeout(RETRY * 3, &mut listener).await.is_err(), "it is taken still");
        drop(other);
        assert_eq!(listener.await.unwrap().local_addr().unwrap(), address);
    }

    #[tokio::test]
    async fn an_address_that_comes_later_is_listened_at_already() {
        for address in ["192.0.2.77:0", "[2001:db8::77]:0"] {
            assert!(Port::open(address.parse().unwrap()).listener.is_some(), "{address}");
        }
    }
}

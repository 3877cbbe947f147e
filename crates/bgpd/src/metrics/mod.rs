//! Prometheus metrics: the recorder, and the HTTP listener that renders it. The list is in docs/metrics.md.
//!
//! What happens is counted where it happens; what is, is asked for when somebody scrapes, at most once a second, so
//! that a hundred scrapers cost routing no more than one.

mod collect;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::control::Control;
use crate::http::{self, Patience, Seats};

/// A collection is used again for this long.
const FRESH: Duration = Duration::from_secs(1);
/// Series that nothing has touched for so long end: those of removed peers.
const IDLE: Duration = Duration::from_secs(300);
/// Buckets of `bgpd_update_to_kernel_seconds`.
const LATENCY_BUCKETS: [f64; 12] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];
/// Connections at once.
const SEATS: usize = 128;
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
    /// When the last collection was made; held while one is being made, so that there is never more than one.
    collected: Mutex<Option<Instant>>,
}

/// Binds the listener.
///
/// # Errors
/// The address cannot be bound.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen at {address} for Prometheus (metrics.listen)"))
}

/// Serves `/metrics` until the daemon ends.
pub async fn serve(listener: TcpListener, handle: PrometheusHandle, control: Arc<Control>) {
    if let Ok(address) = listener.local_addr() {
        info!(%address, "metrics");
    }
    let scrape = Arc::new(Scrape { handle: handle.clone(), control, collected: Mutex::new(None) });
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
    let mut collected = scrape.collected.lock().await;
    if collected.is_none_or(|at| at.elapsed() >= FRESH) {
        collect::collect(&scrape.control).await;
        *collected = Some(Instant::now());
    }
    drop(collected);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], scrape.handle.render())
}

async fn index() -> Html<&'static str> {
    Html("<!doctype html><title>bgpd-rs</title><h1>bgpd-rs</h1><p><a href=\"/metrics\">Metrics</a>\n")
}

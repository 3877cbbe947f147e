//! Looks after the buckets of the kernel's resilient groups: keeps those in use that connections of this host's own need,
//! and reads them for routing as long as something is drained.
//!
//! The kernel tells nobody that a bucket has become idle, and takes one for idle that the host's own connections use.

use std::io;
use std::time::{Duration, Instant};

use bgp_netlink::{groups, own_flows};
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use crate::routing::Query;

/// Between two looks: a drain waits for minutes, and its operator for the second.
const PACE: Duration = Duration::from_secs(1);
/// The shortest time between two looks.
const FASTEST: Duration = Duration::from_millis(250);
/// So many times as long as a look took the next one waits, for thousands of groups have a million buckets; but never longer
/// than between two marks.
const REST: u32 = 9;
/// So often in an idle timer the buckets of the host's own connections are marked.
const MARKS: u32 = 4;

/// Works until routing ends. `usual`: the idle timer of groups; `None` where there are none, or none that are resilient.
/// `drained` has the shortest idle timer of those that are being drained.
pub async fn look_after(
    usual: Option<Duration>,
    mut drained: watch::Receiver<Option<Duration>>,
    routing: mpsc::Sender<Query>,
) {
    let Some(usual) = usual else { return };
    loop {
        let waits_for = *drained.borrow_and_update();
        let idle = waits_for.unwrap_or(usual).min(usual);
        let begun = Instant::now();
        keep_own_flows(idle).await;
        if waits_for.is_some() && !read(&routing).await {
            return;
        }
        let marks = idle / MARKS;
        let rest = marks.min(begun.elapsed() * REST);
        let pace = waits_for.map_or(marks, |_| PACE.min(marks)).max(FASTEST).max(rest);
        // A deadline or news, whatever comes first; the end of routing is news as well.
        if let Ok(Err(_)) = tokio::time::timeout(pace, drained.changed()).await {
            return;
        }
    }
}

/// Marks the buckets of this host's own connections that were used within `idle`.
pub async fn keep_own_flows(idle: Duration) {
    match blocking(move || own_flows::keep(idle)).await {
        Ok(kept) => debug!(kept, "buckets of the host's own connections are marked as used"),
        Err(error) => debug!(%error, "the host's own connections cannot be listed: their buckets may move"),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Hands the buckets to routing; `false` where that has ended.
async fn read(routing: &mpsc::Sender<Query>) -> bool {
    match blocking(groups::buckets).await {
        Ok(buckets) => {
            let seen = buckets.into_iter().map(|bucket| (bucket.group, bucket.hop, bucket.idle));
            routing.send(Query::Buckets(seen.collect())).await.is_ok()
        }
        // Without them nothing counts as drained.
        Err(error) => {
            warn!(%error, "the buckets of next-hop groups cannot be read");
            true
        }
    }
}

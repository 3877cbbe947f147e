//! Reads the buckets of the kernel's next-hop groups for routing, as long as it wants to know them.
//!
//! The kernel tells nobody that a bucket has become idle, so somebody has to look. Nobody looks while nothing is drained.

use std::time::Duration;

use bgp_netlink::groups;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::routing::Query;

/// Between two looks: a drain waits for minutes, and its operator for the second.
const PACE: Duration = Duration::from_secs(1);

/// Reads them once a second while `wanted`, until routing ends.
pub async fn read(mut wanted: watch::Receiver<bool>, routing: mpsc::Sender<Query>) {
    while wanted.wait_for(|wanted| *wanted).await.is_ok() {
        match tokio::task::spawn_blocking(groups::buckets).await {
            Ok(Ok(buckets)) => {
                let seen = buckets.into_iter().map(|bucket| (bucket.group, bucket.hop, bucket.idle));
                if routing.send(Query::Buckets(seen.collect())).await.is_err() {
                    return;
                }
            }
            // Without them nothing counts as drained.
            Ok(Err(error)) => warn!(%error, "the buckets of next-hop groups cannot be read"),
            Err(error) => warn!(%error, "reading the buckets of next-hop groups ended early"),
        }
        tokio::time::sleep(PACE).await;
    }
}

//! What every task does alike: waiting for a deadline that may not exist, and replying to whoever asked.

use std::time::Instant;

use tokio::sync::oneshot;

/// Waits until `deadline`; for ever where there is none.
pub async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Replies; whoever asked may have given up.
pub fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    drop(reply.send(value));
}

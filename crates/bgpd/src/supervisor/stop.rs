//! The end of peers: of one that is removed, and of all when the daemon stops.

use std::net::IpAddr;
use std::time::Duration;

use bgp_session::Command;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::Supervisor;
use crate::peer::ToPeer;

/// How long a peer task may take to say good-bye, and the peer to read it.
const PATIENCE: Duration = Duration::from_secs(2);
/// What peers are told when the daemon stops.
const STOPPING: &str = "bgpd-rs stops";

impl Supervisor {
    /// Ends one peer's session with `command`, and its task.
    pub(super) async fn end_peer(&mut self, address: IpAddr, command: Command) {
        let Some(entry) = self.peers.remove(address) else { return };
        self.set_bfd(address);
        let (done, ended) = oneshot::channel();
        if entry.handle.inbox.send(ToPeer::End(command, done)).await.is_err() {
            return;
        }
        if tokio::time::timeout(PATIENCE, ended).await.is_err() {
            warn!(peer = %address, "the peer's task takes long to end");
        }
    }

    /// Ends all sessions; peers are told so before their connections close. Where the kernel's routes are to stay, those
    /// peers that were asked to keep ours are told nothing.
    pub(super) async fn stop(&mut self, keep: bool) {
        let addresses: Vec<_> = self.peers.iter().map(|(address, _)| address).collect();
        info!(peers = addresses.len(), "closing all sessions");
        // Before the sessions: what ends in silence would look like a failure.
        self.bfd.stop().await;
        let mut ends = Vec::new();
        for address in addresses {
            let Some(entry) = self.peers.remove(address) else { continue };
            let (done, ended) = oneshot::channel();
            let command = if keep && entry.keeps_routes() {
                Command::Leave
            } else {
                Command::Shutdown(STOPPING.to_owned())
            };
            if entry.handle.inbox.send(ToPeer::End(command, done)).await.is_ok() {
                ends.push(ended);
            }
        }
        let all = async {
            for ended in ends {
                // A task that ended otherwise has ended as well.
                for closing in ended.await.unwrap_or_default() {
                    closing.await.ok();
                }
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            warn!("some sessions take long to end; the daemon stops nevertheless");
        }
    }
}

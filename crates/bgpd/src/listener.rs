//! The listening sockets and the tasks that accept from them.
//!
//! A Cilium node that finds port 179 closed comes back only minutes later, so a listener is never given up: an accept
//! that fails is tried again. Who may connect is the supervisor's to say.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bgp_wire::Prefix;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::config::Password;
use crate::net::Listener;
use crate::supervisor::Request;

/// Pause after an accept that failed for want of descriptors or memory.
const RECOVER: Duration = Duration::from_millis(100);

/// All listening sockets.
#[derive(Debug)]
pub struct Listeners(Vec<Arc<Listener>>);

impl Listeners {
    /// Binds every address.
    ///
    /// # Errors
    /// An address cannot be bound; says which, and what to do.
    pub fn bind(addresses: &[SocketAddr]) -> anyhow::Result<Self> {
        addresses
            .iter()
            .map(|address| Listener::bind(*address).map(Arc::new).with_context(|| hint(*address)))
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// Starts to accept.
    pub fn start(&self, supervisor: &mpsc::Sender<Request>) {
        for listener in &self.0 {
            tokio::spawn(accept(Arc::clone(listener), supervisor.clone()));
        }
    }

    /// Sets or removes the TCP MD5 key of one address or of a whole range, on every socket of its family.
    pub fn set_key(&self, prefix: Prefix, key: Option<&Password>) {
        for listener in self.0.iter().filter(|listener| serves(listener.local(), prefix.address())) {
            let outcome = listener.set_md5_key(prefix, key.map(|key| key.expose()));
            match outcome {
                Ok(()) => {}
                // Nothing was there to be removed.
                Err(error) if key.is_none() && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    warn!(peer = %prefix, %error, "the TCP MD5 key cannot be set; the peer cannot connect")
                }
            }
        }
    }
}

fn serves(local: SocketAddr, peer: IpAddr) -> bool {
    local.is_ipv4() == peer.is_ipv4()
}

fn hint(address: SocketAddr) -> String {
    format!(
        "cannot listen at {address} (bgp.listen); is another BGP daemon running (`ss -ltnp 'sport = :{}'`), or is \
         CAP_NET_BIND_SERVICE missing?",
        address.port()
    )
}

async fn accept(listener: Arc<Listener>, supervisor: mpsc::Sender<Request>) {
    info!(address = %listener.local(), "listening");
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                if supervisor.send(Request::Incoming(accepted)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                warn!(address = %listener.local(), %error, "a connection could not be accepted");
                tokio::time::sleep(RECOVER).await;
            }
        }
    }
}

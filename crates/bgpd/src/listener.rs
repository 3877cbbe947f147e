//! The listening sockets and the tasks that accept from them.
//!
//! A Cilium node that finds port 179 closed comes back only minutes later, so a listener is never given up: an accept
//! that fails is tried again. Who may connect is the supervisor's to say.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bgp_wire::Prefix;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::config::Password;
use crate::net::Listener;
use crate::supervisor::Request;

/// Pause after an accept that failed for want of descriptors or memory.
const RECOVER: Duration = Duration::from_millis(100);

/// All listening sockets.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<Arc<Listener>>,
    /// True when nobody accepts any more.
    closed: watch::Sender<bool>,
}

impl Listeners {
    /// Binds every address, or goes on with the socket that the process before had there: who connected meanwhile waits
    /// in it. Sockets for other addresses are closed.
    ///
    /// # Errors
    /// An address cannot be bound; says which, and what to do.
    pub fn bind(addresses: &[SocketAddr], mut inherited: Vec<StdListener>) -> anyhow::Result<Self> {
        let mut open = |address: SocketAddr| {
            let at = inherited.iter().position(|socket| socket.local_addr().is_ok_and(|a| a == address));
            match at {
                Some(at) => Listener::adopt(inherited.swap_remove(at)),
                None => Listener::bind(address),
            }
        };
        let sockets = addresses
            .iter()
            .map(|address| open(*address).map(Arc::new).with_context(|| hint(*address)))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { sockets, closed: watch::Sender::new(false) })
    }

    /// Accepts no more; whoever connects from now on waits in the socket, which is given away.
    ///
    /// # Errors
    /// There are no descriptors left; then nothing has changed.
    pub fn hand_over(&self) -> io::Result<Vec<OwnedFd>> {
        let duplicates = self.sockets.iter().map(|socket| socket.duplicate()).collect::<io::Result<_>>()?;
        self.closed.send_replace(true);
        Ok(duplicates)
    }

    /// Accepts again, where [`Listeners::hand_over`] came to nothing.
    pub fn go_on(&self) {
        self.closed.send_replace(false);
    }

    /// Starts to accept.
    pub fn start(&self, supervisor: &mpsc::Sender<Request>) {
        for listener in &self.sockets {
            tokio::spawn(accept(Arc::clone(listener), supervisor.clone(), self.closed.subscribe()));
        }
    }

    /// Sets or removes the TCP MD5 key of one address or of a whole range, on every socket of its family.
    pub fn set_key(&self, prefix: Prefix, key: Option<&Password>) {
        for listener in self.sockets.iter().filter(|listener| serves(listener.local(), prefix.address())) {
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

async fn accept(
    listener: Arc<Listener>,
    supervisor: mpsc::Sender<Request>,
    mut closed: watch::Receiver<bool>,
) {
    info!(address = %listener.local(), "listening");
    loop {
        let accepted = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => None,
            accepted = listener.accept() => Some(accepted),
        };
        match accepted {
            None => {
                // Until the hand-over is given up; with the sender the daemon is gone.
                if closed.wait_for(|closed| !closed).await.is_err() {
                    return;
                }
            }
            Some(Ok(accepted)) => {
                if supervisor.send(Request::Incoming(accepted)).await.is_err() {
                    return;
                }
            }
            Some(Err(error)) => {
                warn!(address = %listener.local(), %error, "a connection could not be accepted");
                tokio::time::sleep(RECOVER).await;
            }
        }
    }
}

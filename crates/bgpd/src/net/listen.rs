//! Listening sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bgp_wire::Prefix;
use socket2::{SockRef, Socket};
use tokio::net::{TcpListener, TcpStream};

use super::{Version, md5, scope, stream, ttl};

/// Connections that may wait for being accepted.
const BACKLOG: i32 = 1024;

/// A socket that listens at one address of one family.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    /// The same socket, for its options.
    socket: Arc<Socket>,
    local: SocketAddr,
}

/// A connection that came in. Its options are those of the listener until `prepare` sets those of the peer.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: TcpStream,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// The interface, where the address means nothing without it (link-local).
    pub interface: Option<u32>,
}

impl Listener {
    /// Binds and listens; wants a tokio runtime.
    ///
    /// An address that this host does not have yet, or that is still tentative, is bound all the same and works as soon
    /// as it is there.
    ///
    /// # Errors
    /// The address is in use, or the port is privileged.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let version = Version::of(address.ip());
        let socket = stream(version)?;
        socket.set_reuse_address(true)?;
        match version {
            Version::V4 => socket.set_freebind_v4(true)?,
            Version::V6 => socket.set_freebind_v6(true)?,
        }
        ttl::apply_to_listener(SockRef::from(&socket), version)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.try_clone()?.into())?;
        let local = listener.local_addr()?;
        Ok(Self { listener, socket: Arc::new(socket), local })
    }

    /// Goes on with a socket that another process made by [`Listener::bind`]; wants a tokio runtime.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn adopt(listener: std::net::TcpListener) -> io::Result<Self> {
        let socket = Socket::from(listener.try_clone()?);
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let local = listener.local_addr()?;
        Ok(Self { listener, socket: Arc::new(socket), local })
    }

    /// The socket once more, for another process.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        Ok(self.socket.try_clone()?.into())
    }

    /// The address as bound.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sets or removes the TCP MD5 key of the peers in `prefix`, which must be of this socket's family. Connections that
    /// are up keep theirs.
    ///
    /// # Errors
    /// The key is empty or longer than 80 octets; `NotFound` where there was no key to remove.
    pub fn set_md5_key(&self, prefix: Prefix, key: Option<&[u8]>) -> io::Result<()> {
        md5::set_key(&self.socket, Version::of(self.local.ip()), prefix, key)
    }

    /// Waits for the next connection. Nothing is lost where the future is dropped.
    ///
    /// # Errors
    /// There are no descriptors or no memory left; a connection that was gone before it could be accepted is none.
    pub async fn accept(&self) -> io::Result<Accepted> {
        loop {
            match self.listener.accept().await {
                Ok((stream, remote)) => match stream.local_addr() {
                    Ok(local) => return Ok(Accepted { stream, local, remote, interface: scope(remote) }),
                    Err(error) => tracing::debug!(%remote, %error, "gone before it was accepted"),
                },
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

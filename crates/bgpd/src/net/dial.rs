//! Dialling a peer. Everything that the first SYN depends on is set before it leaves.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use bgp_wire::Prefix;
use nix::net::if_::if_nametoindex;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use super::{Version, keep_few_unsent, md5, stream, ttl};
use crate::config::{Password, Ttl};

/// How a peer is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialOptions {
    /// Whom.
    pub remote: SocketAddr,
    /// The link of a link-local address, by name: its index changes when it is made anew.
    pub interface: Option<String>,
    /// The address to dial from; the kernel's choice otherwise.
    pub local_address: Option<IpAddr>,
    /// How far away the peer may be.
    pub ttl: Ttl,
    /// TCP MD5 key.
    pub password: Option<Password>,
    /// How long sent octets may wait for an acknowledgement before the kernel gives the connection up
    /// (`TCP_USER_TIMEOUT`, RFC 5482); the kernel's quarter of an hour otherwise.
    pub user_timeout: Option<Duration>,
}

impl DialOptions {
    /// A direct peer, without anything special.
    pub fn new(remote: SocketAddr) -> Self {
        Self {
            remote,
            interface: None,
            local_address: None,
            ttl: Ttl::Direct,
            password: None,
            user_timeout: None,
        }
    }
}

/// Connects; wants a tokio runtime. Dropping the future gives the attempt up.
///
/// # Errors
/// What the network or the kernel says, in words that name the interface or the local address where they are at fault.
pub async fn dial(options: DialOptions) -> io::Result<TcpStream> {
    let remote = scoped(options.remote, options.interface.as_deref())?;
    let version = Version::of(remote.ip());
    let socket = stream(version)?;
    ttl::apply(SockRef::from(&socket), version, options.ttl)?;
    socket.set_tcp_nodelay(true)?;
    keep_few_unsent(&socket)?;
    socket.set_tcp_user_timeout(options.user_timeout)?;
    if let Some(password) = &options.password {
        md5::set_key(&socket, version, Prefix::host(remote.ip()), Some(password.expose()))?;
    }
    if let Some(address) = options.local_address {
        let local = scoped(SocketAddr::new(address, 0), options.interface.as_deref())?;
        socket.bind(&local.into()).map_err(|error| named(&error, &format!("local address {address}")))?;
    }
    TcpSocket::from_std_stream(socket.into()).connect(remote).await
}

/// The address with its link, where it needs one.
fn scoped(address: SocketAddr, interface: Option<&str>) -> io::Result<SocketAddr> {
    let SocketAddr::V6(v6) = address else { return Ok(address) };
    let Some(name) = interface.filter(|_| v6.ip().is_unicast_link_local() && v6.scope_id() == 0) else {
        return Ok(address);
    };
    let index = if_nametoindex(name).map_err(|errno| named(&errno.into(), &format!("interface {name}")))?;
    Ok(SocketAddrV6::new(*v6.ip(), v6.port(), 0, index).into())
}

fn named(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::UNSENT;

    #[tokio::test]
    async fn a_connection_that_we_opened_takes_little_before_it_is_sent() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let dialled = dial(DialOptions::new(listener.local_addr().unwrap())).await.unwrap();
        assert_eq!(i64::from(SockRef::from(&dialled).tcp_notsent_lowat().unwrap()), i64::from(UNSENT));
    }
}

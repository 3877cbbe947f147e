//! TCP as BGP wants it: listening, dialling, and the options of a connection (RFC 4271 section 8.2.1, RFC 2385, RFC 5082);
//! UDP as BFD wants it.
//!
//! Owns every option of these sockets. Who may connect, and what becomes of the connection, is decided
//! elsewhere. IPv4 and IPv6 have sockets of their own, so an IPv4 peer is never an IPv4-mapped address.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use bgp_wire::Prefix;
use nix::unistd::Gid;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::config::{Password, Session};

mod bfd;
mod dial;
mod listen;
#[expect(unsafe_code, reason = "a struct of the kernel's, given to setsockopt as octets")]
mod md5;
#[expect(unsafe_code, reason = "setsockopt and getsockopt for options that no crate has")]
mod option;
mod ttl;

pub use bfd::{Datagram, Receiver as BfdReceiver, Sender as BfdSender};
pub use dial::{DialOptions, dial};
pub use listen::{Accepted, Listener};

/// Class selector 6, internetwork control, in the upper six bits of the octet: RFC 4594 section 3.2 puts routing
/// protocols there.
const TRAFFIC_CLASS: u32 = 0xc0;

/// The address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

impl Version {
    fn of(address: std::net::IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Sets an accepted connection up for the peer that it belongs to. May be called again when the settings change.
///
/// # Errors
/// The kernel refuses an option, or the connection is gone already.
pub fn prepare(stream: &TcpStream, session: &Session) -> io::Result<()> {
    let version = Version::of(stream.local_addr()?.ip());
    stream.set_nodelay(true)?;
    keep_few_unsent(stream)?;
    SockRef::from(stream).set_tcp_user_timeout(session.tcp_user_timeout)?;
    ttl::apply(SockRef::from(stream), version, session.ttl)
}

/// The link of a connection with a link-local address, which means nothing without it.
pub fn link(stream: &TcpStream) -> Option<u32> {
    stream.peer_addr().ok().and_then(scope)
}

fn scope(address: SocketAddr) -> Option<u32> {
    match address {
        SocketAddr::V6(v6) => Some(v6.scope_id()).filter(|id| *id != 0),
        SocketAddr::V4(_) => None,
    }
}

/// Octets that the kernel takes before it has sent what it has. More of it is no faster, and what is urgent would wait
/// behind megabytes that a slow peer has not read.
const UNSENT: libc::c_int = 128 * 1024;

fn keep_few_unsent(socket: &impl AsFd) -> io::Result<()> {
    option::set(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, &UNSENT)
}

/// Gives a live connection another TCP MD5 key: what is sent from now on is signed with it, and what comes must be.
/// Segments with the other key are dropped by the kernel and sent again by the peer, so the session outlives the moments
/// in which the two ends differ.
///
/// # Errors
/// The connection has no key, or is gone.
pub fn change_key(stream: &TcpStream, key: &Password) -> io::Result<()> {
    let remote = stream.peer_addr()?.ip();
    md5::set_key(stream, Version::of(remote), Prefix::host(remote), Some(key.expose()))
}

/// The supplementary groups of the process at the other end of a Unix socket.
///
/// # Errors
/// The kernel does not know the option (before Linux 4.13).
pub fn peer_groups(socket: &impl AsFd) -> io::Result<Vec<Gid>> {
    option::peer_groups(socket)
}

/// Sets or removes the TCP MD5 key of a connection that is up, for the peer at `address`. Nothing happens where it is the
/// key that it has.
///
/// # Errors
/// The kernel refuses.
pub fn set_password(stream: &TcpStream, address: std::net::IpAddr, key: Option<&Password>) -> io::Result<()> {
    let prefix = Prefix::host(address);
    let set = md5::set_key(stream, Version::of(address), prefix, key.map(Password::expose));
    match set {
        Err(error) if key.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A TCP socket, to listen or to dial.
fn stream(version: Version) -> io::Result<socket2::Socket> {
    open(version, socket2::Type::STREAM, socket2::Protocol::TCP)
}

/// What all sockets of the protocols have in common.
fn open(version: Version, kind: socket2::Type, protocol: socket2::Protocol) -> io::Result<socket2::Socket> {
    let domain = match version {
        Version::V4 => socket2::Domain::IPV4,
        Version::V6 => socket2::Domain::IPV6,
    };
    let socket = socket2::Socket::new(domain, kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    match version {
        Version::V4 => socket.set_tos_v4(TRAFFIC_CLASS)?,
        Version::V6 => {
            socket.set_only_v6(true)?;
            socket.set_tclass_v6(TRAFFIC_CLASS)?;
        }
    }
    Ok(socket)
}

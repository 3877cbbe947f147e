//! TCP as BGP wants it: listening, dialling, and the options of a connection (RFC 4271 section 8.2.1, RFC 2385, RFC 5082).
//!
//! Owns every socket option that the daemon sets. Who may connect, and what becomes of the connection, is decided
//! elsewhere. IPv4 and IPv6 have sockets of their own, so an IPv4 peer is never an IPv4-mapped address.

use std::io;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::config::Session;

mod dial;
mod listen;
mod md5;
mod option;
mod ttl;

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

/// Octets that the kernel takes before it has sent what it has. More of it is no faster, and what is urgent would wait
/// behind megabytes that a slow peer has not read.
const UNSENT: libc::c_int = 128 * 1024;

fn keep_few_unsent(socket: &impl std::os::fd::AsFd) -> io::Result<()> {
    option::set(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, &UNSENT)
}

/// What listening and dialling sockets have in common.
fn open(version: Version) -> io::Result<socket2::Socket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = match version {
        Version::V4 => Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?,
        Version::V6 => Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?,
    };
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

//! How far packets go and from how far they may come: TTL 1 for direct peers, and GTSM, RFC 5082.

use std::io;

use socket2::SockRef;

use super::{Version, option};
use crate::config::Ttl;

/// The TTL of a socket before the peer is known. A peer that asks for GTSM takes a SYN-ACK with nothing less, and a peer
/// with TTL 1 takes any.
const BEFORE_ACCEPT: u32 = 255;

/// Has a listening socket answer so that every peer takes the answer.
pub(super) fn apply_to_listener(socket: SockRef<'_>, version: Version) -> io::Result<()> {
    set_ttl(&socket, version, BEFORE_ACCEPT)
}

/// Applies a peer's setting to its connection, or to a socket that will dial.
pub(super) fn apply(socket: SockRef<'_>, version: Version, ttl: Ttl) -> io::Result<()> {
    let (sent, least) = match ttl {
        Ttl::Direct => (1, 0),
        Ttl::Multihop(hops) => (hops, 0),
        Ttl::Security { hops } => (u8::MAX, u8::MAX - hops.saturating_sub(1)),
    };
    set_ttl(&socket, version, sent.into())?;
    let (level, name) = match version {
        Version::V4 => (libc::IPPROTO_IP, libc::IP_MINTTL),
        Version::V6 => (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT),
    };
    option::set(&*socket, level, name, &i32::from(least))
}

fn set_ttl(socket: &SockRef<'_>, version: Version, ttl: u32) -> io::Result<()> {
    match version {
        Version::V4 => socket.set_ttl_v4(ttl),
        Version::V6 => socket.set_unicast_hops_v6(ttl),
    }
}

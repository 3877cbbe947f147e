//! What cannot be done to a socket by safe means: one of ours, or one of another program, found by its far end, is given a
//! TCP MD5 key; one of our own ends without a word to the other side, or by RST.
//!
//! The daemons of the labs end a session when they are told another password. What a peer that changes its key under the
//! session looks like on the wire can be had from them only this way (`pidfd_getfd`, as root).

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::libc;
use socket2::{SockRef, Socket};

/// Octets of `struct tcp_md5sig`.
const MD5SIG_LEN: usize = 216;

/// Changes the key that the process uses for its connection with `peer`, whichever side opened it.
pub fn set_md5_key(pid: i32, peer: Ipv4Addr, key: &[u8]) -> Result<()> {
    let socket =
        connection_with(pid, peer)?.with_context(|| format!("{pid} has no connection with {peer}"))?;
    sign(&socket, peer.into(), key)
}

/// Has a socket sign with TCP MD5 (RFC 2385) towards `peer`, before it connects or afterwards.
pub fn sign(socket: &Socket, peer: IpAddr, key: &[u8]) -> Result<()> {
    let mut option = [0_u8; MD5SIG_LEN];
    match peer {
        IpAddr::V4(peer) => {
            option[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            option[4..8].copy_from_slice(&peer.octets());
        }
        IpAddr::V6(peer) => {
            option[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            option[8..24].copy_from_slice(&peer.octets());
        }
    }
    option[130..132].copy_from_slice(&u16::try_from(key.len())?.to_ne_bytes());
    option[136..136 + key.len()].copy_from_slice(key);
    // SAFETY: the descriptor is open, and pointer and length describe the array, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_MD5SIG,
            option.as_ptr().cast(),
            libc::socklen_t::try_from(option.len())?,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()).context("TCP_MD5SIG") }
}

/// Ends a connection as a machine that loses its power does: the kernel forgets it and says nothing.
pub fn vanish(stream: &TcpStream) -> Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open, and pointer and length describe a number that the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_REPAIR,
            (&raw const on).cast(),
            libc::socklen_t::try_from(size_of_val(&on))?,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error()).context("TCP_REPAIR");
    }
    disconnect(stream)
}

/// Ends a connection by RST, whoever else has a copy of it.
pub fn abort(stream: &TcpStream) -> Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
    disconnect(stream)
}

/// connect(2): an address of AF_UNSPEC dissolves the association; then all copies of the socket are without a connection.
fn disconnect(stream: &TcpStream) -> Result<()> {
    // SAFETY: all octets zero is a valid `sockaddr`, of the family AF_UNSPEC.
    let nobody: libc::sockaddr = unsafe { std::mem::zeroed() };
    let length = libc::socklen_t::try_from(size_of_val(&nobody))?;
    // SAFETY: the descriptor is open, and pointer and length describe the structure, which the kernel only reads.
    let result = unsafe { libc::connect(stream.as_raw_fd(), &raw const nobody, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()).context("connect to nobody") }
}

/// A copy of another process's descriptor.
pub fn descriptor_of(pid: i32, number: i32) -> io::Result<OwnedFd> {
    let process = opened(libc::SYS_pidfd_open, [pid.into(), 0, 0])?;
    opened(libc::SYS_pidfd_getfd, [process.as_raw_fd().into(), number.into(), 0])
}

fn connection_with(pid: i32, peer: Ipv4Addr) -> Result<Option<Socket>> {
    let process = opened(libc::SYS_pidfd_open, [pid.into(), 0, 0]).context("pidfd_open")?;
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let number: i64 = entry?.file_name().to_string_lossy().parse()?;
        let Ok(copy) = opened(libc::SYS_pidfd_getfd, [process.as_raw_fd().into(), number, 0]) else {
            continue;
        };
        let socket = Socket::from(copy);
        let far = socket.peer_addr().ok().and_then(|address| address.as_socket());
        if far.is_some_and(|far: SocketAddr| far.ip().to_canonical() == peer) {
            return Ok(Some(socket));
        }
    }
    Ok(None)
}

/// A system call that makes a descriptor.
fn opened(call: libc::c_long, arguments: [i64; 3]) -> io::Result<OwnedFd> {
    // SAFETY: both calls take numbers only.
    let result = unsafe { libc::syscall(call, arguments[0], arguments[1], arguments[2]) };
    match i32::try_from(result) {
        // SAFETY: the kernel has just made it for us, and nobody else has it.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

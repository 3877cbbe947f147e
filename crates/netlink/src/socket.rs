//! The two rtnetlink sockets: one for requests, one for what the kernel says unasked.
//!
//! They are apart because the echo of our own change on a subscribed socket looks like an answer, and because a
//! flood of events must not push acknowledgements out of the receive buffer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use netlink_sys::{
    Socket, SocketAddr,
    protocols::{NETLINK_ROUTE, NETLINK_SOCK_DIAG},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use socket2::{SockFilter, SockRef};

use crate::uapi::{group, message, route};

/// The kernel fills at most 32 KiB per datagram, however large the buffer.
const DATAGRAM_LEN: usize = 64 * 1024;

/// What one attempt to read brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A whole datagram is in the buffer.
    Datagram,
    /// Nothing is waiting.
    Nothing,
    /// The kernel dropped messages because the receive buffer was full.
    Overrun,
}

/// A bound rtnetlink socket that does not block.
pub(crate) struct RouteSocket {
    socket: Socket,
    port: u32,
    made: Made,
}

/// What a socket was made as.
#[derive(Clone, Copy)]
struct Made {
    protocol: isize,
    receive_buffer: usize,
    /// For requests, which are checked strictly.
    strict: bool,
}

impl RouteSocket {
    /// A socket for requests and dumps: strict checks, error texts, errors without an echo of the request.
    pub(crate) fn requests(receive_buffer: usize) -> io::Result<Self> {
        Self::open(Made { protocol: NETLINK_ROUTE, receive_buffer, strict: true })
    }

    /// A socket that hears of links, addresses, neighbours, routes of the main table and of `table`, and nexthop objects,
    /// except for route and nexthop changes that were requested through `own_ports`.
    pub(crate) fn events(receive_buffer: usize, own_ports: [u32; 2], table: u32) -> io::Result<Self> {
        let socket = Self::open(Made { protocol: NETLINK_ROUTE, receive_buffer, strict: false })?;
        SockRef::from(&socket.socket).attach_filter(&what_is_of_interest(own_ports, table))?;
        for group in group::ALL {
            socket.socket.add_membership(group)?;
        }
        Ok(socket)
    }

    /// A socket that hears of next-hop objects and buckets alone, whoever changes them.
    pub(crate) fn nexthop_events(receive_buffer: usize) -> io::Result<Self> {
        let socket = Self::open(Made { protocol: NETLINK_ROUTE, receive_buffer, strict: false })?;
        socket.socket.add_membership(group::NEXTHOP)?;
        Ok(socket)
    }

    /// A socket that is asked for sockets: not rtnetlink, but of the same manners.
    pub(crate) fn diagnoses(receive_buffer: usize) -> io::Result<Self> {
        Self::open(Made { protocol: NETLINK_SOCK_DIAG, receive_buffer, strict: false })
    }

    fn open(made: Made) -> io::Result<Self> {
        let mut socket = Socket::new(made.protocol)?;
        let port = socket.bind_auto()?.port_number();
        set_up(&socket, made)?;
        Ok(Self { socket, port, made })
    }

    /// Begins anew under the same port, by which others know us. The kernel goes on with a dump that nobody has read to its end
    /// for as long as the socket is open, and begins no other on it meanwhile.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        // The port is free when the old one is closed.
        self.socket = Socket::new(self.made.protocol)?;
        self.socket.bind(&SocketAddr::new(self.port, 0))?;
        set_up(&self.socket, self.made)
    }

    /// The port id that marks messages of this socket.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// Hands `octets` to the kernel, which works through them before this returns.
    pub(crate) fn send(&self, octets: &[u8]) -> io::Result<()> {
        match self.socket.send_to(octets, &SocketAddr::new(0, 0), 0)? {
            sent if sent == octets.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Reads one datagram of the kernel into `buffer`, replacing what is in it.
    pub(crate) fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<Received> {
        loop {
            buffer.clear();
            buffer.reserve(DATAGRAM_LEN);
            match self.socket.recv_from(buffer, libc::MSG_TRUNC) {
                Ok((_, sender)) if sender.port_number() != 0 => {} // another process may write to us; it is not heard
                Ok((len, _)) if len > buffer.len() => return Ok(Received::Overrun),
                Ok(_) => return Ok(Received::Datagram),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(Received::Nothing),
                    Some(libc::ENOBUFS) => return Ok(Received::Overrun),
                    Some(libc::EINTR) => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Waits until something can be read; `false` when `limit` has passed first.
    pub(crate) fn wait(&self, limit: Duration) -> io::Result<bool> {
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, limit) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn set_up(socket: &Socket, made: Made) -> io::Result<()> {
    socket.set_non_blocking(true)?;
    if setsockopt(socket, RcvBufForce, &made.receive_buffer).is_err() {
        // Without CAP_NET_ADMIN there is no more than net.core.rmem_max.
        SockRef::from(socket).set_recv_buffer_size(made.receive_buffer)?;
    }
    if made.strict {
        socket.set_netlink_get_strict_chk(true)?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
    }
    Ok(())
}

/// Classic BPF over the message header: drops route and nexthop notifications whose port id is one of `own_ports`, and those of
/// routes in tables that are nobody's business, for who changes many of them must not fill our buffer.
///
/// Neighbour events pass, for a probe that we ask for is answered by them. Of tables above 255 the header does not tell which
/// one it is: where ours is one, all of them pass.
fn what_is_of_interest(own_ports: [u32; 2], table: u32) -> [SockFilter; 17] {
    const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const LOAD_HALF: u16 = 0x28; // BPF_LD | BPF_H | BPF_ABS
    const LOAD_OCTET: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
    const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const KIND_OFFSET: u32 = 4;
    const PORT_OFFSET: u32 = 12;
    const TABLE_OFFSET: u32 = 20;
    // Loads are in network byte order, netlink fields in that of the host.
    let kind = |kind: u16| u32::from(kind.to_be());
    let [first, second] = own_ports;
    let table = if table > u32::from(u8::MAX) { route::TABLE_COMPAT } else { table };
    [
        SockFilter::new(LOAD_WORD, 0, 0, PORT_OFFSET),
        SockFilter::new(JUMP_IF_EQUAL, 1, 0, first.to_be()),
        SockFilter::new(JUMP_IF_EQUAL, 0, 6, second.to_be()),
        // Asked for by us.
        SockFilter::new(LOAD_HALF, 0, 0, KIND_OFFSET),
        SockFilter::new(JUMP_IF_EQUAL, 11, 0, kind(message::NEWROUTE)),
        SockFilter::new(JUMP_IF_EQUAL, 10, 0, kind(message::DELROUTE)),
        SockFilter::new(JUMP_IF_EQUAL, 9, 0, kind(message::NEWNEXTHOP)),
        SockFilter::new(JUMP_IF_EQUAL, 8, 0, kind(message::DELNEXTHOP)),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        // By others.
        SockFilter::new(LOAD_HALF, 0, 0, KIND_OFFSET),
        SockFilter::new(JUMP_IF_EQUAL, 1, 0, kind(message::NEWROUTE)),
        SockFilter::new(JUMP_IF_EQUAL, 0, 3, kind(message::DELROUTE)),
        SockFilter::new(LOAD_OCTET, 0, 0, TABLE_OFFSET),
        SockFilter::new(JUMP_IF_EQUAL, 1, 0, route::TABLE_MAIN),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, table),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

//! UDP as BFD wants it over a single hop: ports, TTL 255 both ways, and by which address and interface, RFC 5881 sections
//! 4 and 5.
//!
//! One socket a family receives, one socket a session sends: RFC 5881 section 4 wants another source port for each.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use bgp_bfd::{Arrival, CONTROL_PORT, TTL};
use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg,
    sendmsg, setsockopt, sockopt,
};
use socket2::{Protocol, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::Version;

/// "The source port MUST be in the range 49152 through 65535."
const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=u16::MAX;
/// Source ports that are tried before a session has to do without a socket for now.
const TRIES: u32 = 64;
/// A control packet with the longest authentication has 52 octets; what is longer is cut, and refused for it.
const LONGEST: usize = 128;

/// Octets of a datagram, and what the kernel says of it.
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    /// Where it came from, and how.
    pub arrival: Arrival,
    /// The address of ours that it was sent to.
    pub destination: IpAddr,
    octets: [u8; LONGEST],
    len: usize,
}

impl Datagram {
    /// The octets.
    pub fn payload(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// The socket that receives the packets of a family.
#[derive(Debug)]
pub struct Receiver(UdpSocket);

impl Receiver {
    /// Opens it; wants a tokio runtime.
    ///
    /// # Errors
    /// Another program has the port, most likely another BFD daemon.
    pub fn open(address: IpAddr) -> io::Result<Self> {
        let version = Version::of(address);
        let socket = datagram(version)?;
        match version {
            Version::V4 => {
                setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            }
            Version::V6 => {
                setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
        }
        socket.attach_filter(&only_neighbours(version))?;
        socket.bind(&SocketAddr::new(version.any(), CONTROL_PORT).into())?;
        Ok(Self(UdpSocket::from_std(socket.into())?))
    }

    /// Waits until something has come.
    pub async fn ready(&self) {
        if let Err(error) = self.0.readable().await {
            tracing::warn!(%error, "the BFD socket cannot be waited for");
            std::future::pending().await
        }
    }

    /// The next datagram; `None` where there is none now.
    ///
    /// # Errors
    /// What the kernel says; the socket stays usable.
    pub fn next(&self) -> io::Result<Option<Datagram>> {
        // The socket itself is asked, whatever the runtime knows: what has come counts before the time that has passed.
        match receive(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let nothing: io::Result<()> = Err(io::ErrorKind::WouldBlock.into());
                // Tells the runtime, and is no news here.
                drop(self.0.try_io(Interest::READABLE, || nothing));
                Ok(None)
            }
            Err(error) => Err(error),
            Ok(datagram) => Ok(datagram),
        }
    }
}

/// A datagram; `None` for one that the kernel has not described, which never happens.
fn receive(socket: &UdpSocket) -> io::Result<Option<Datagram>> {
    let mut octets = [0; LONGEST];
    let mut control = cmsg_space!(libc::in6_pktinfo, libc::c_int);
    let mut parts = [IoSliceMut::new(&mut octets)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let (mut ttl, mut interface, mut destination) = (None, None, None);
    for part in message.cmsgs()? {
        match part {
            ControlMessageOwned::Ipv4Ttl(number) | ControlMessageOwned::Ipv6HopLimit(number) => {
                ttl = u8::try_from(number).ok();
            }
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                interface = u32::try_from(info.ipi_ifindex).ok();
                destination = Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()));
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                interface = Some(info.ipi6_ifindex);
                destination = Some(IpAddr::from(info.ipi6_addr.s6_addr));
            }
            _ => {}
        }
    }
    let source = message.address.and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    let len = message.bytes;
    let (Some(source), Some(ttl), Some(interface), Some(destination)) = (source, ttl, interface, destination)
    else {
        return Ok(None);
    };
    let arrival = Arrival { source, interface, ttl };
    Ok(Some(Datagram { arrival, destination, octets, len }))
}

/// The socket that sends the packets of a session.
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
    port: u16,
}

impl Sender {
    /// Opens it for a peer, with the source port `port` if it is to be had: that of the session in the process before.
    ///
    /// # Errors
    /// No source port is free, or there are no descriptors left.
    pub fn open(peer: IpAddr, port: Option<u16>) -> io::Result<Self> {
        let version = Version::of(peer);
        let socket = datagram(version)?;
        match version {
            Version::V4 => socket.set_ttl_v4(TTL.into())?,
            Version::V6 => socket.set_unicast_hops_v6(TTL.into())?,
        }
        // Nobody has anything to say to this port.
        socket.attach_filter(&NOTHING)?;
        let span = u64::from(SOURCE_PORTS.end() - SOURCE_PORTS.start()) + 1;
        let drawn = (0..TRIES).filter_map(|_| {
            let offset = u16::try_from(crate::random::seed() % span).ok()?;
            SOURCE_PORTS.start().checked_add(offset)
        });
        let wanted = port.filter(|port| SOURCE_PORTS.contains(port));
        let mut failed = io::Error::from(io::ErrorKind::AddrInUse);
        for port in wanted.into_iter().chain(drawn) {
            match socket.bind(&SocketAddr::new(version.any(), port).into()) {
                Ok(()) => return Ok(Self { socket, port }),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Its source port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends `octets` to the peer: from this address and by this interface, or by the kernel's choice. Never waits.
    ///
    /// # Errors
    /// There is no way to the peer, or the address or the interface is not there.
    pub fn send(
        &self,
        octets: &[u8],
        to: IpAddr,
        from: Option<IpAddr>,
        interface: Option<u32>,
    ) -> io::Result<()> {
        let (socket, parts, flags) =
            (self.socket.as_raw_fd(), [IoSlice::new(octets)], MsgFlags::MSG_DONTWAIT);
        let index = interface.unwrap_or(0);
        match to {
            IpAddr::V4(to) => {
                let from = from.and_then(v4).unwrap_or(Ipv4Addr::UNSPECIFIED);
                let info = libc::in_pktinfo {
                    ipi_ifindex: i32::try_from(index).unwrap_or(0),
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let to = SockaddrIn::from(SocketAddrV4::new(to, CONTROL_PORT));
                sendmsg(socket, &parts, &[ControlMessage::Ipv4PacketInfo(&info)], flags, Some(&to))?;
            }
            IpAddr::V6(to) => {
                let from = from.and_then(v6).unwrap_or(Ipv6Addr::UNSPECIFIED);
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: from.octets() },
                    ipi6_ifindex: index,
                };
                let scope = if to.is_unicast_link_local() { index } else { 0 };
                let to = SockaddrIn6::from(SocketAddrV6::new(to, CONTROL_PORT, 0, scope));
                sendmsg(socket, &parts, &[ControlMessage::Ipv6PacketInfo(&info)], flags, Some(&to))?;
            }
        }
        Ok(())
    }
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(v6) => Some(v6),
        IpAddr::V4(_) => None,
    }
}

impl Version {
    fn any(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

fn datagram(version: Version) -> io::Result<Socket> {
    super::open(version, Type::DGRAM, Protocol::UDP)
}

/// A socket filter that takes nothing: return 0 octets.
const NOTHING: [SockFilter; 1] = [SockFilter::new(RETURN, 0, 0, 0)];
/// BPF_RET | BPF_K.
const RETURN: u16 = 0x06;
/// BPF_LD | BPF_B | BPF_ABS.
const LOAD_OCTET: u16 = 0x30;
/// BPF_JMP | BPF_JEQ | BPF_K.
const JUMP_IF_EQUAL: u16 = 0x15;
/// SKF_NET_OFF: offsets from here on are into the IP header.
const IP_HEADER: u32 = 0xfff0_0000;

/// A socket filter that takes what comes with TTL 255: what has passed a router is dropped by the kernel, before it takes
/// the place of what counts.
fn only_neighbours(version: Version) -> [SockFilter; 4] {
    let offset = match version {
        Version::V4 => 8,
        Version::V6 => 7,
    };
    [
        SockFilter::new(LOAD_OCTET, 0, 0, IP_HEADER + offset),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, TTL as u32),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn received(receiver: &Receiver) -> Datagram {
        loop {
            receiver.ready().await;
            if let Some(datagram) = receiver.next().unwrap() {
                return datagram;
            }
        }
    }

    /// One test for both families, for the port is one.
    #[test]
    fn packets_come_with_all_that_is_to_be_known_and_only_from_neighbours() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        for (us, index) in [("127.0.0.1", 1), ("::1", 1)] {
            let us: IpAddr = us.parse().unwrap();
            let Ok(receiver) = Receiver::open(us) else {
                eprintln!("not shown for {us}: somebody has the port");
                continue;
            };
            let sender = Sender::open(us, Some(50_000)).unwrap();
            assert!(SOURCE_PORTS.contains(&sender.port()));
            // From afar, and then from here: the first is dropped by the kernel.
            let plain = std::net::UdpSocket::bind(SocketAddr::new(us, 0)).unwrap();
            plain.send_to(b"from afar", SocketAddr::new(us, CONTROL_PORT)).unwrap();
            sender.send(b"from here", us, Some(us), Some(index)).unwrap();
            let datagram = runtime.block_on(received(&receiver));
            assert_eq!(datagram.payload(), b"from here");
            assert_eq!(datagram.arrival, Arrival { source: us, interface: index, ttl: TTL });
            assert_eq!(datagram.destination, us);
            assert!(receiver.next().unwrap().is_none());
            // What is too long is cut, and nobody can talk back to the sending port.
            sender.send(&[7; 200], us, None, None).unwrap();
            assert_eq!(runtime.block_on(received(&receiver)).payload().len(), LONGEST);
            plain.send_to(b"back", SocketAddr::new(us, sender.port())).unwrap();
            assert!(sender.socket.recv_from(&mut []).is_err());
            assert!(Receiver::open(us).is_err(), "the port is one's own");
        }
    }
}

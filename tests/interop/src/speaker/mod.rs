//! A node's BGP speaker of our own, with the manners of Cilium's: it only dials, with hop limit 1, and announces.
//!
//! It stands in where gobgpd cannot be installed, and where a test must know the moment at which octets leave or
//! must send octets that no honest speaker sends. It shares the codec with the daemon and nothing else: no session
//! machine, no RIB.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bgp_wire::attribute::as_path::{AsPath, Segment};
use bgp_wire::capability::{Capability, ExtendedNextHop, GracefulRestart};
use bgp_wire::open::HoldTime;
use bgp_wire::update::encode;
use bgp_wire::{
    Asn, EncodeContext, Family, Message, NextHop, NlriEntry, Open, PathAttributes, PerFamily, Prefix,
    RouterId, message,
};
use bytes::{Bytes, BytesMut};
use socket2::{Domain, Protocol, Socket, Type};

use crate::lab::Node;
use crate::wait::PATIENCE;

mod keep_up;
mod reader;
mod wire;

pub use keep_up::{Keeper, Order, keep_up};
use reader::Reader;
pub use wire::{Announced, Wire};

/// What is wrong where a message of the host is.
const NONSENSE: &str = "the host sends what no speaker sends";

/// What the speaker says of itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its AS.
    pub asn: Asn,
    /// Its BGP identifier.
    pub router_id: RouterId,
    /// The families of its OPEN.
    pub families: PerFamily<bool>,
    /// The hold time of its OPEN.
    pub hold_time: HoldTime,
    /// Its host name.
    pub hostname: String,
    /// Whether it announces graceful restart as Cilium does: 120 s, all families.
    pub graceful_restart: bool,
    /// Which of the node's addresses it dials from; `None`: the kernel's choice.
    pub source: Option<IpAddr>,
    /// The password of TCP MD5.
    pub password: Option<String>,
    /// Octets of its socket's receive buffer; `None`: the kernel's choice.
    pub receive_buffer: Option<usize>,
}

impl Settings {
    /// As Cilium with its defaults, on this node.
    pub fn cilium(hostname: &str) -> Result<Self> {
        Ok(Self {
            asn: Asn(64512),
            router_id: RouterId::new(u32::from(std::net::Ipv4Addr::new(172, 50, 0, 1)))
                .context("router id")?,
            families: PerFamily { ipv4: true, ipv6: true },
            hold_time: HoldTime::new(90).context("hold time")?,
            hostname: hostname.to_owned(),
            graceful_restart: false,
            source: None,
            password: None,
            receive_buffer: None,
        })
    }

    /// The OPEN that it sends.
    pub fn open(&self) -> Open {
        let offered = || self.families.iter().filter(|(_, offered)| **offered).map(|(family, _)| family);
        let mut capabilities = vec![
            Capability::RouteRefresh,
            Capability::Fqdn { host: self.hostname.clone(), domain: String::new() },
        ];
        capabilities.extend(offered().map(|family| Capability::Multiprotocol(family.code())));
        capabilities.push(Capability::FourOctetAs(self.asn));
        if self.graceful_restart {
            capabilities.push(Capability::GracefulRestart(GracefulRestart {
                restarted: true,
                notification: true,
                restart_time: 120,
                families: offered().map(|family| (family.code(), true)).collect(),
            }));
        }
        if self.families.ipv4 {
            let family = Family::Ipv4Unicast.code();
            capabilities.push(Capability::ExtendedNextHop(vec![ExtendedNextHop { family, next_hop_afi: 2 }]));
        }
        Open { asn: self.asn, hold_time: self.hold_time, router_id: self.router_id, capabilities }
    }
}

/// An established session.
#[derive(Debug)]
pub struct Speaker {
    writer: Arc<Mutex<TcpStream>>,
    heard: Receiver<Result<Message>>,
    local: SocketAddr,
    attributes: PathAttributes,
    peer: Open,
}

impl Speaker {
    /// Dials from the namespace that the calling thread is in, and comes back Established.
    pub fn dial(remote: SocketAddr, settings: &Settings) -> Result<Self> {
        let (stream, peer, reader) = shake_hands(remote, settings)?;
        let local = stream.local_addr()?;
        let interval = settings.hold_time.as_secs().min(peer.hold_time.as_secs()) / 3;
        let writer = Arc::new(Mutex::new(stream));
        let (sender, heard) = channel();
        let keeper = Arc::clone(&writer);
        thread::spawn(move || reader.listen(&keeper, Duration::from_secs(interval.into()), &sender));
        Ok(Self { writer, heard, local, attributes: attributes(settings), peer })
    }

    /// Address and port of its end of the connection.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Ends as a machine that loses its power: the host hears nothing of it.
    pub fn vanish(self) -> Result<()> {
        let writer = self.writer.lock().map_err(|_| anyhow!("the keepalive thread panicked"))?;
        crate::sockets::vanish(&writer)
    }

    /// Ends by RST.
    pub fn abort(self) -> Result<()> {
        let writer = self.writer.lock().map_err(|_| anyhow!("the keepalive thread panicked"))?;
        crate::sockets::abort(&writer)
    }

    /// Says that everything has been announced, RFC 4724 section 2.
    pub fn end_of_rib(&self, family: Family) -> Result<()> {
        self.write(&encode::end_of_rib(family))
    }

    /// Dials the host from a node, as Cilium with its defaults on that node.
    pub fn on(node: &Node, host: &str) -> Result<Self> {
        let settings = Settings::cilium(&node.name)?;
        let remote = SocketAddr::new(host.parse()?, 179);
        node.namespace.inside(|| Self::dial(remote, &settings))?
    }

    /// The OPEN of the other side.
    pub fn peer(&self) -> &Open {
        &self.peer
    }

    /// Has what it announces from now on come by so many more of its own AS.
    pub fn prepend(&mut self, asn: Asn, times: usize) {
        let path = vec![asn; times + 1];
        self.attributes.as_path = AsPath { segments: vec![Segment::Sequence(path)] };
    }

    /// Announces prefixes of one family, as Cilium does: next hop is the session's local address, in its mapped form
    /// for IPv6 routes over IPv4.
    pub fn announce(&self, prefixes: &[Prefix]) -> Result<()> {
        self.write(&self.announcement(prefixes)?)
    }

    /// Withdraws prefixes of one family.
    pub fn withdraw(&self, prefixes: &[Prefix]) -> Result<()> {
        self.write(&withdrawal(prefixes)?)
    }

    /// The octets of an announcement.
    pub fn announcement(&self, prefixes: &[Prefix]) -> Result<Bytes> {
        announcement(&self.attributes, self.local.ip(), prefixes)
    }

    /// Writes octets as they are.
    pub fn write(&self, octets: &[u8]) -> Result<()> {
        let writer = self.writer.lock().map_err(|_| anyhow!("the keepalive thread panicked"))?;
        (&*writer).write_all(octets).context("write to the peer")
    }

    /// The next message other than KEEPALIVE; `None` once the session is over.
    pub fn hear(&self) -> Result<Option<Message>> {
        match self.heard.recv_timeout(PATIENCE) {
            Ok(message) => message.map(Some).context(NONSENSE),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("nothing heard for {PATIENCE:?}"),
        }
    }

    /// Whether the other side has closed. It panics where what that has said until now cannot be understood.
    pub fn is_over(&self) -> bool {
        loop {
            match self.heard.try_recv() {
                Ok(message) => drop(message.expect(NONSENSE)),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
    }
}

impl Drop for Speaker {
    /// Ends as Cilium's agent ends: FIN without NOTIFICATION.
    fn drop(&mut self) {
        if let Ok(writer) = self.writer.lock() {
            // Already closed by the other side is as good.
            writer.shutdown(std::net::Shutdown::Both).ok();
        }
        if !thread::panicking() {
            self.is_over();
        }
    }
}

/// Dials, and exchanges OPEN and the first KEEPALIVE: the connection, the other side's OPEN, and what reads on.
fn shake_hands(remote: SocketAddr, settings: &Settings) -> Result<(TcpStream, Open, Reader)> {
    let stream = connect_as(settings, remote)?;
    let mut reader = Reader::new(stream.try_clone()?);
    (&stream).write_all(&settings.open().encode())?;
    let Message::Open(peer) = reader.expect()? else { bail!("{remote} does not answer with OPEN") };
    (&stream).write_all(&message::keepalive())?;
    let Message::Keepalive = reader.expect()? else { bail!("{remote} does not confirm the OPEN") };
    Ok((stream, peer, reader))
}

/// A connection that is Established and belongs to the caller alone: nothing reads it, nothing keeps it alive.
pub fn establish(remote: SocketAddr, settings: &Settings) -> Result<TcpStream> {
    let (stream, _, _) = shake_hands(remote, settings)?;
    Ok(stream)
}

/// What a speaker says of its own routes.
fn attributes(settings: &Settings) -> PathAttributes {
    let as_path = AsPath { segments: vec![Segment::Sequence(vec![settings.asn])] };
    PathAttributes { as_path, ..Default::default() }
}

/// The octets of an announcement from this address.
fn announcement(attributes: &PathAttributes, local: IpAddr, prefixes: &[Prefix]) -> Result<Bytes> {
    let family = prefixes.first().context("nothing to announce")?.family();
    let next_hop = match (family, local) {
        (Family::Ipv6Unicast, IpAddr::V4(local)) => NextHop::V6(local.to_ipv6_mapped()),
        (_, local) => local.into(),
    };
    let cx =
        EncodeContext { extended_next_hop: PerFamily { ipv4: true, ipv6: true }, ..EncodeContext::default() };
    let mut entries = prefixes.iter().map(|prefix| NlriEntry::from(*prefix)).peekable();
    let mut out = BytesMut::new();
    while entries.peek().is_some() {
        encode::announce(&cx, attributes, next_hop, &mut entries, &mut out)?;
    }
    Ok(out.freeze())
}

/// The octets of a withdrawal.
pub fn withdrawal(prefixes: &[Prefix]) -> Result<Bytes> {
    let family = prefixes.first().context("nothing to withdraw")?.family();
    let mut entries = prefixes.iter().map(|prefix| NlriEntry::from(*prefix)).peekable();
    let mut out = BytesMut::new();
    while entries.peek().is_some() {
        encode::withdraw(&EncodeContext::default(), family, &mut entries, &mut out);
    }
    Ok(out.freeze())
}

/// A TCP connection as GoBGP opens it to an external peer: hop limit 1 from the SYN on.
pub fn connect(remote: SocketAddr) -> Result<TcpStream> {
    connect_from(None, remote)
}

/// The same from one of several addresses of this host.
pub fn connect_from(source: Option<IpAddr>, remote: SocketAddr) -> Result<TcpStream> {
    connect_with(socket(remote)?, source, remote)
}

/// The same with what the speaker's settings say of its socket.
fn connect_as(settings: &Settings, remote: SocketAddr) -> Result<TcpStream> {
    let socket = socket(remote)?;
    if let Some(octets) = settings.receive_buffer {
        socket.set_recv_buffer_size(octets)?;
    }
    if let Some(password) = &settings.password {
        crate::sockets::sign(&socket, remote.ip(), password.as_bytes())?;
    }
    connect_with(socket, settings.source, remote)
}

fn socket(remote: SocketAddr) -> Result<Socket> {
    Ok(Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP))?)
}

fn connect_with(socket: Socket, source: Option<IpAddr>, remote: SocketAddr) -> Result<TcpStream> {
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into()).with_context(|| source.to_string())?;
    }
    match remote {
        SocketAddr::V4(_) => socket.set_ttl_v4(1)?,
        SocketAddr::V6(_) => socket.set_unicast_hops_v6(1)?,
    }
    socket.connect_timeout(&remote.into(), PATIENCE).with_context(|| format!("dial {remote}"))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

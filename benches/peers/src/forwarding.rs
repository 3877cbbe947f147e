//! Where packets would go: the kernel's own lookup (RTM_GETROUTE) for a sample of destinations, again and again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use interop::namespace::Namespace;
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteVia};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::stream::{Piece, Sender, prefixes};

/// The pause between two rounds of lookups: the sampler shall not take a core from the daemon.
const PAUSE: Duration = Duration::from_micros(250);

/// A socket inside a namespace that asks the kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Kernel {
    /// Opens the socket.
    pub(crate) fn inside(namespace: &Namespace) -> Result<Self> {
        let socket = namespace.inside(|| -> std::io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        })??;
        Ok(Self { socket, buffer: vec![0; 1 << 14] })
    }

    /// The gateway to a destination; none where there is no route or no gateway.
    pub(crate) fn gateway(&mut self, destination: IpAddr) -> Result<Option<IpAddr>> {
        let mut request = RouteMessage::default();
        request.header.address_family = match destination {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        request.header.destination_prefix_length = if destination.is_ipv4() { 32 } else { 128 };
        request.attributes.push(RouteAttribute::Destination(destination.into()));
        match self.ask(RouteNetlinkMessage::GetRoute(request), NLM_F_REQUEST)? {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
                Ok(route.attributes.iter().find_map(gateway))
            }
            // No route is an answer.
            NetlinkPayload::Error(_) => Ok(None),
            other => bail!("the kernel answers a lookup by {other:?}"),
        }
    }

    /// Pulls the cable: sets a link down. The other end of a veth pair loses its carrier.
    pub(crate) fn set_down(&mut self, index: u32) -> Result<()> {
        let mut request = LinkMessage::default();
        request.header.index = index;
        request.header.change_mask = LinkFlags::Up;
        match self.ask(RouteNetlinkMessage::SetLink(request), NLM_F_REQUEST | NLM_F_ACK)? {
            NetlinkPayload::Error(answer) if answer.code.is_none() => Ok(()),
            other => bail!("the kernel does not set the link down: {other:?}"),
        }
    }

    fn ask(
        &mut self,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<NetlinkPayload<RouteNetlinkMessage>> {
        let mut packet = NetlinkMessage::from(request);
        packet.header.flags = flags;
        packet.finalize();
        let room = self.buffer.get_mut(..packet.buffer_len()).context("a request of odd length")?;
        packet.serialize(room);
        self.socket.send(room, 0).context("asking the kernel")?;
        let length = self.socket.recv(&mut &mut self.buffer[..], 0).context("the kernel's answer")?;
        let answer = self.buffer.get(..length).context("an answer longer than the buffer")?;
        Ok(NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer).context("the kernel's answer")?.payload)
    }
}

fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address))
        | RouteAttribute::Via(RouteVia::Inet(address)) => Some((*address).into()),
        RouteAttribute::Gateway(RouteAddress::Inet6(address))
        | RouteAttribute::Via(RouteVia::Inet6(address)) => Some((*address).into()),
        _ => None,
    }
}

/// Destinations spread over a table, of each family at most so many.
pub(crate) fn sample(table: &[Piece], most: usize) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for v6 in [false, true] {
        let all = table.iter().filter(|piece| piece.v6 == v6);
        let all: Vec<IpAddr> = all
            .flat_map(|piece| prefixes(v6, &piece.nlri).filter_map(|(_, octets)| first_address(v6, octets)))
            .collect();
        found.extend(all.iter().step_by(all.len().div_ceil(most.max(1)).max(1)));
    }
    found
}

/// The address of a prefix as on the wire.
fn first_address(v6: bool, octets: &[u8]) -> Option<IpAddr> {
    let mut address = [0; 16];
    let given = octets.get(1..)?;
    address.get_mut(..given.len())?.copy_from_slice(given);
    let [a, b, c, d, ..] = address;
    Some(if v6 { Ipv6Addr::from(address).into() } else { Ipv4Addr::new(a, b, c, d).into() })
}

/// Whether all destinations are forwarded to this peer.
pub(crate) fn all_by(kernel: &mut Kernel, destinations: &[IpAddr], peer: &Sender) -> Result<()> {
    for destination in destinations {
        let found = kernel.gateway(*destination)?;
        ensure!(
            found == Some(by(peer, *destination)),
            "{destination} is forwarded to {found:?}, not {}",
            peer.v4
        );
    }
    Ok(())
}

fn by(peer: &Sender, destination: IpAddr) -> IpAddr {
    if destination.is_ipv4() { peer.v4.into() } else { peer.v6.into() }
}

/// Asks until every destination is forwarded to this peer; says how long after `since` each was seen to be, in order.
pub(crate) fn until_all_by(
    kernel: &mut Kernel,
    destinations: &[IpAddr],
    peer: &Sender,
    since: Instant,
    limit: Duration,
) -> Result<Vec<Duration>> {
    let mut left = destinations.to_vec();
    let mut times = Vec::new();
    while !left.is_empty() {
        let mut still = Vec::new();
        for destination in left {
            if kernel.gateway(destination)? == Some(by(peer, destination)) {
                times.push(since.elapsed());
            } else {
                still.push(destination);
            }
        }
        left = still;
        ensure!(
            since.elapsed() < limit,
            "after {limit:?}, {} of {} destinations are not forwarded to {}",
            left.len(),
            destinations.len(),
            peer.v4
        );
        thread::sleep(PAUSE);
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::synthetic;

    #[test]
    fn a_sample_is_spread_over_both_families() {
        let table = synthetic(1000, 100);
        let found = sample(&table, 10);
        assert_eq!(found.len(), 20);
        assert_eq!(found.iter().filter(|address| address.is_ipv4()).count(), 10);
        assert_eq!(found.first().map(ToString::to_string).as_deref(), Some("11.0.0.0"));
        assert_eq!(found.get(10).map(ToString::to_string).as_deref(), Some("2001::"));
        assert_eq!(sample(&table, 5000).len(), 1100);
    }
}

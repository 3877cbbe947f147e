//! Our end of a session's connection: the interface it is on, and the addresses that the peer can reach us at there.
//!
//! RFC 2545 section 3: the link-local address goes beside the global one exactly where the peer is on the same link.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::task::{Context, Poll};

use bgp_wire::{NextHop, PerFamily};
use ipnetwork::IpNetwork;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::{if_indextoname, if_nametoindex};
use tokio::task::JoinHandle;

/// Our end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalEnd {
    /// The interface, where the peer is directly connected.
    pub interface: Option<u32>,
    /// What we announce as our own next hop, where the session's local address does not say it.
    pub next_hop: PerFamily<Option<NextHop>>,
}

/// Our end of a connection, when this host's interfaces have been looked at.
///
/// The kernel answers when nobody changes interfaces, anywhere on the machine and in whatever network namespace: where
/// containers come and go, or one with a large table is taken down, that takes seconds. So it is asked beside the runtime.
#[derive(Debug)]
pub struct LookUp(JoinHandle<LocalEnd>);

impl LookUp {
    /// Begins to look, for a connection between these addresses, over this link where they are link-local: another one may
    /// have the same address.
    pub fn begin(local: IpAddr, remote: IpAddr, link: Option<u32>) -> Self {
        Self(tokio::task::spawn_blocking(move || local_end(local, remote, link)))
    }
}

impl Future for LookUp {
    type Output = LocalEnd;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<LocalEnd> {
        // A look that was broken off has found nothing.
        Pin::new(&mut self.0).poll(context).map(Result::unwrap_or_default)
    }
}

/// Looks at this host's interfaces; where they cannot be read, the session's own address is all there is.
fn local_end(local: IpAddr, remote: IpAddr, link: Option<u32>) -> LocalEnd {
    let Ok(all) = getifaddrs() else { return LocalEnd::default() };
    let all: Vec<_> = all.filter_map(OwnAddress::new).collect();
    let link = link.and_then(|index| if_indextoname(index).ok()?.into_string().ok());
    choose(&all, local, remote, link.as_deref())
}

fn choose(all: &[OwnAddress], local: IpAddr, remote: IpAddr, link: Option<&str>) -> LocalEnd {
    let is_ours = |own: &&OwnAddress| own.address == local && link.is_none_or(|link| own.name == link);
    let Some(ours) = all.iter().find(is_ours) else { return LocalEnd::default() };
    let same_link = |own: &&OwnAddress| own.name == ours.name;
    let connected = all.iter().filter(same_link).any(|own| own.holds(remote));
    let v6: Vec<Ipv6Addr> = all.iter().filter(same_link).filter_map(OwnAddress::v6).collect();
    let link_local = v6.iter().copied().find(Ipv6Addr::is_unicast_link_local).filter(|_| connected);
    let global = match local {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => v6.iter().copied().find(|address| !address.is_unicast_link_local()),
    };
    let ipv6 = match (global, link_local) {
        (Some(global), Some(link_local)) if global != link_local => {
            Some(NextHop::V6WithLinkLocal(global, link_local))
        }
        (Some(only), _) | (None, Some(only)) => Some(NextHop::V6(only)),
        (None, None) => None,
    };
    let ipv4 = match local {
        IpAddr::V4(_) => None,
        IpAddr::V6(_) => all.iter().filter(same_link).find_map(OwnAddress::v4).map(NextHop::V4),
    };
    LocalEnd {
        interface: if connected { if_nametoindex(ours.name.as_str()).ok() } else { None },
        next_hop: PerFamily { ipv4, ipv6 },
    }
}

/// One address of this host, with the network that it is on.
struct OwnAddress {
    name: String,
    address: IpAddr,
    network: Option<IpNetwork>,
}

impl OwnAddress {
    fn new(found: InterfaceAddress) -> Option<Self> {
        let ip = |storage: &nix::sys::socket::SockaddrStorage| {
            storage
                .as_sockaddr_in()
                .map(|v4| IpAddr::V4(v4.ip()))
                .or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        };
        let address = ip(&found.address?)?;
        let netmask = found.netmask.as_ref().and_then(ip);
        let network = netmask.and_then(|netmask| IpNetwork::with_netmask(address, netmask).ok());
        Some(Self { name: found.interface_name, address, network })
    }

    fn v4(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    fn v6(&self) -> Option<Ipv6Addr> {
        match self.address {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        }
    }

    /// Whether `remote` is on the network of this address.
    fn holds(&self, remote: IpAddr) -> bool {
        self.network.is_some_and(|network| network.contains(remote))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &str, address: &str, netmask: &str) -> OwnAddress {
        let address = address.parse().unwrap();
        let network = Some(IpNetwork::with_netmask(address, netmask.parse().unwrap()).unwrap());
        OwnAddress { name: name.to_owned(), address, network }
    }

    /// RFC 2545 section 3: both addresses for a peer on our link, the global one alone for any other.
    #[test]
    fn the_link_local_address_goes_to_peers_on_the_link_only() {
        let all = [
            own("lo", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            own("br0", "172.50.0.1", "255.255.0.0"),
            own("br0", "2001:db8:1::1", "ffff:ffff:ffff:ffff::"),
            own("br0", "fe80::1", "ffff:ffff:ffff:ffff::"),
            own("br1", "2001:db8:2::1", "ffff:ffff:ffff:ffff::"),
            own("br1", "fe80::2", "ffff:ffff:ffff:ffff::"),
        ];
        let next_hops = |local: &str, remote: &str| {
            let end = choose(&all, local.parse().unwrap(), remote.parse().unwrap(), None);
            let text = |hop: Option<NextHop>| hop.map(|hop| format!("{hop:?}"));
            (text(end.next_hop.ipv4), text(end.next_hop.ipv6))
        };
        let hop = |hop: NextHop| Some(format!("{hop:?}"));
        let global: Ipv6Addr = "2001:db8:1::1".parse().unwrap();
        let both = hop(NextHop::V6WithLinkLocal(global, "fe80::1".parse().unwrap()));
        let ours = hop(NextHop::V4([172, 50, 0, 1].into()));
        assert_eq!(next_hops("2001:db8:1::1", "2001:db8:1::9"), (ours.clone(), both.clone()));
        assert_eq!(next_hops("2001:db8:1::1", "2001:db8:9::9"), (ours, hop(NextHop::V6(global))));
        assert_eq!(next_hops("172.50.0.1", "172.50.0.2"), (None, both));
        assert_eq!(next_hops("192.0.2.1", "192.0.2.2"), (None, None), "an address that is not ours");
    }

    /// VLANs have the MAC address of their link, and a bridge that of a port: so they have its link-local address.
    #[test]
    fn of_links_with_the_same_address_the_connection_s_is_taken() {
        let all = [
            own("eth0", "10.0.0.1", "255.255.255.0"),
            own("eth0", "fe80::1", "ffff:ffff:ffff:ffff::"),
            own("lo", "127.0.0.1", "255.0.0.0"),
            own("lo", "fe80::1", "ffff:ffff:ffff:ffff::"),
        ];
        let (local, remote) = ("fe80::1".parse().unwrap(), "fe80::2".parse().unwrap());
        let end = choose(&all, local, remote, Some("lo"));
        assert_eq!(end.interface, if_nametoindex("lo").ok());
        assert_eq!(end.next_hop.ipv4, Some(NextHop::V4([127, 0, 0, 1].into())));
        assert_eq!(choose(&all, local, remote, Some("eth9")), LocalEnd::default(), "it is gone");
    }

    #[test]
    fn a_peer_on_the_network_of_an_address_is_connected() {
        let v4 = own("br0", "172.50.0.1", "255.255.0.0");
        let v6 = own("br0", "2001:3200:3200::1", "ffff:ffff:ffff:ffff::");
        assert!(v4.holds("172.50.255.9".parse().unwrap()) && v6.holds("2001:3200:3200::4".parse().unwrap()));
        assert!(!v4.holds("172.51.0.1".parse().unwrap()) && !v6.holds("2001:3200:3201::4".parse().unwrap()));
        assert!(!v4.holds("2001:3200:3200::4".parse().unwrap()) && !v6.holds("172.50.0.2".parse().unwrap()));
    }
}

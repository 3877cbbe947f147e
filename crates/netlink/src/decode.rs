//! What the kernel reports, as [`Event`]s: links, addresses and neighbours here, routes and nexthop objects in their own
//! files.
//!
//! Only the attributes that somebody asks for are looked at. Whatever else a newer kernel puts into a message cannot
//! make us miss it, which a complete decoder that fails on one unknown attribute would.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bgp_fib::{Address, Event, FdbEntry, Link, Mac, Neighbor, NeighborState, Seen};
use bgp_wire::Prefix;
use netlink_packet_route::link::LinkFlags;
use netlink_packet_route::neighbour::NeighbourState;

use crate::message::{Header, attributes, u16_at, u32_at};
use crate::uapi::{family, flag, ifa, ifla, message, neighbor};

mod nexthop;
mod route;

/// Octets of the fixed headers `ifinfomsg`, `ifaddrmsg`, `ndmsg`.
const LINK_HEADER_LEN: usize = 16;
const ADDRESS_HEADER_LEN: usize = 8;
const NEIGHBOR_HEADER_LEN: usize = 12;

/// How a message came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// As part of a dump.
    Dump,
    /// By the multicast groups.
    Watch,
}

impl Origin {
    fn seen(self, header: Header) -> Seen {
        match self {
            Self::Dump => Seen::Dump,
            Self::Watch if header.flags & flag::REPLACE != 0 => Seen::Replace,
            Self::Watch => Seen::Change,
        }
    }
}

/// Decodes one message; `None` for what nobody asks for.
pub(crate) fn decode(header: Header, payload: &[u8], origin: Origin) -> Option<Event> {
    let seen = origin.seen(header);
    match header.kind {
        message::NEWLINK => link(payload).map(Event::Link),
        message::DELLINK => link(payload).map(|link| Event::LinkGone { ifindex: link.ifindex }),
        message::NEWADDR => address(payload).map(Event::Address),
        message::DELADDR => address(payload).map(Event::AddressGone),
        message::NEWNEIGH if is_of_bridge(payload) => learned(payload).map(Event::Fdb),
        message::DELNEIGH if is_of_bridge(payload) => learned(payload).map(Event::FdbGone),
        message::NEWNEIGH => neighbor(payload).map(Event::Neighbor),
        message::DELNEIGH => {
            neighbor(payload).map(|gone| Event::NeighborGone { ifindex: gone.ifindex, address: gone.address })
        }
        message::NEWROUTE => route::decode(payload).map(|route| Event::Route(route, seen)),
        message::DELROUTE => route::decode(payload).map(Event::RouteGone),
        message::NEWNEXTHOP => nexthop::decode(payload).map(|nexthop| Event::Nexthop(nexthop, seen)),
        message::DELNEXTHOP => nexthop::decode(payload).map(|gone| Event::NexthopGone { id: gone.id }),
        _ => None,
    }
}

fn link(payload: &[u8]) -> Option<Link> {
    // A bridge says with family AF_BRIDGE, and RTM_DELLINK, that a port has left it; the port itself is still there.
    if *payload.first()? != family::UNSPEC {
        return None;
    }
    let flags = LinkFlags::from_bits_retain(u32_at(payload, 8)?);
    let mut link = Link {
        ifindex: u32_at(payload, 4)?,
        name: String::new(),
        admin_up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        loopback: flags.contains(LinkFlags::Loopback),
        mac: None,
        master: None,
    };
    for (kind, value) in attributes(payload.get(LINK_HEADER_LEN..)?) {
        match kind {
            ifla::IFNAME => link.name = text(value),
            ifla::ADDRESS => link.mac = mac(value),
            ifla::MASTER => link.master = u32_at(value, 0),
            _ => {}
        }
    }
    Some(link)
}

fn address(payload: &[u8]) -> Option<Address> {
    let &[family, prefix_len, short_flags, _scope] = payload.first_chunk()?;
    let mut flags = u32::from(short_flags);
    let (mut local, mut plain) = (None, None);
    for (kind, value) in attributes(payload.get(ADDRESS_HEADER_LEN..)?) {
        match kind {
            ifa::LOCAL => local = ip(family, value),
            ifa::ADDRESS => plain = ip(family, value),
            ifa::FLAGS => flags = u32_at(value, 0)?,
            _ => {}
        }
    }
    // Where IFA_ADDRESS is another one, it is the peer's, and what is on link is the prefix around that.
    let (address, prefix_len) = match (local, plain) {
        (Some(local), Some(peer)) if local != peer => (local, Prefix::host(local).len()),
        _ => (local.or(plain)?, prefix_len),
    };
    Some(Address {
        ifindex: u32_at(payload, 4)?,
        address,
        prefix_len,
        tentative: flags & (ifa::F_TENTATIVE | ifa::F_DADFAILED) != 0,
    })
}

fn neighbor(payload: &[u8]) -> Option<Neighbor> {
    let family = *payload.first()?;
    if *payload.get(10)? & neighbor::FLAG_PROXY != 0 {
        return None;
    }
    let (mut address, mut link_layer) = (None, None);
    for (kind, value) in attributes(payload.get(NEIGHBOR_HEADER_LEN..)?) {
        match kind {
            neighbor::DST => address = ip(family, value),
            neighbor::LLADDR => link_layer = mac(value),
            _ => {}
        }
    }
    Some(Neighbor {
        ifindex: u32_at(payload, 4)?,
        address: address?,
        mac: link_layer,
        state: neighbor_state(u16_at(payload, 8)?),
    })
}

fn is_of_bridge(payload: &[u8]) -> bool {
    payload.first() == Some(&family::BRIDGE)
}

/// What a bridge has learned. Entries of other devices (their own addresses, tunnels) name no bridge.
fn learned(payload: &[u8]) -> Option<FdbEntry> {
    let (mut station, mut bridge) = (None, None);
    for (kind, value) in attributes(payload.get(NEIGHBOR_HEADER_LEN..)?) {
        match kind {
            neighbor::LLADDR => station = mac(value),
            neighbor::MASTER => bridge = u32_at(value, 0),
            _ => {}
        }
    }
    Some(FdbEntry { bridge: bridge?, mac: station?, port: u32_at(payload, 4)? })
}

fn neighbor_state(state: u16) -> NeighborState {
    match NeighbourState::from(state) {
        NeighbourState::Incomplete => NeighborState::Incomplete,
        NeighbourState::Reachable => NeighborState::Reachable,
        NeighbourState::Stale => NeighborState::Stale,
        NeighbourState::Delay => NeighborState::Delay,
        NeighbourState::Probe => NeighborState::Probe,
        NeighbourState::Failed => NeighborState::Failed,
        NeighbourState::Permanent => NeighborState::Permanent,
        NeighbourState::Noarp => NeighborState::NoArp,
        _ => NeighborState::None,
    }
}

/// An address of the family of its message; `None` where the length is another's.
fn ip(family: u8, octets: &[u8]) -> Option<IpAddr> {
    match family {
        family::INET => <[u8; 4]>::try_from(octets).ok().map(|octets| Ipv4Addr::from(octets).into()),
        family::INET6 => <[u8; 16]>::try_from(octets).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

fn mac(octets: &[u8]) -> Option<Mac> {
    octets.try_into().ok().map(Mac)
}

fn text(octets: &[u8]) -> String {
    let text = octets.split(|octet| *octet == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests;

//! Routes (`RTM_NEWROUTE`) of every protocol: ours, and those by which next hops are resolved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bgp_fib::{KernelHop, KernelRoute, RouteKind};
use bgp_wire::Prefix;
use netlink_packet_route::route::RouteType;

use super::ip;
use crate::message::{attributes, u16_at, u32_at};
use crate::uapi::{family, route};

/// Octets of `struct rtmsg` and `struct rtnexthop`.
const HEADER_LEN: usize = 12;
const HOP_HEADER_LEN: usize = 8;

pub(super) fn decode(payload: &[u8]) -> Option<KernelRoute> {
    let &[family, len, source_len, tos, table, protocol, _scope, kind] = payload.first_chunk()?;
    let flags = u32_at(payload, 8)?;
    // Clones are cache; what depends on source or TOS cannot be said by a prefix and carries no next hop of ours.
    if flags & route::F_CLONED != 0 || source_len != 0 || tos != 0 {
        return None;
    }
    let mut destination = unspecified(family)?;
    let mut single = KernelHop { gateway: None, ifindex: 0, weight: 1, down: is_down(flags) };
    let mut found = KernelRoute {
        prefix: Prefix::new(destination, 0)?,
        table: u32::from(table),
        protocol,
        metric: 0,
        kind: kind_of(kind),
        preferred_source: None,
        nexthop_id: None,
        hops: Vec::new(),
    };
    for (kind, value) in attributes(payload.get(HEADER_LEN..)?) {
        match kind {
            route::DST => destination = ip(family, value)?,
            route::TABLE => found.table = u32_at(value, 0)?,
            route::PRIORITY => found.metric = u32_at(value, 0)?,
            route::PREFSRC => found.preferred_source = ip(family, value),
            route::NH_ID => found.nexthop_id = u32_at(value, 0),
            route::OIF => single.ifindex = u32_at(value, 0)?,
            route::GATEWAY => single.gateway = ip(family, value),
            route::VIA => single.gateway = via(value),
            route::MULTIPATH => found.hops = hops(family, value),
            _ => {}
        }
    }
    found.prefix = Prefix::new(destination, len)?;
    if found.hops.is_empty() && (single.ifindex != 0 || single.gateway.is_some()) {
        found.hops.push(single);
    }
    Some(found)
}

fn unspecified(family: u8) -> Option<IpAddr> {
    match family {
        family::INET => Some(Ipv4Addr::UNSPECIFIED.into()),
        family::INET6 => Some(Ipv6Addr::UNSPECIFIED.into()),
        _ => None,
    }
}

fn kind_of(kind: u8) -> RouteKind {
    match RouteType::from(kind) {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw => {
            RouteKind::Reject
        }
        _ => RouteKind::Other,
    }
}

fn hops(family: u8, mut octets: &[u8]) -> Vec<KernelHop> {
    let mut hops = Vec::new();
    while let Some((len, hop)) = hop(family, octets) {
        hops.push(hop);
        octets = octets.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

/// One `struct rtnexthop` with its attributes, and its length.
fn hop(family: u8, octets: &[u8]) -> Option<(usize, KernelHop)> {
    let len = usize::from(u16_at(octets, 0)?);
    let [flags, weight] = *octets.get(2..4)?.first_chunk()?;
    let mut hop = KernelHop {
        gateway: None,
        ifindex: u32_at(octets, 4)?,
        weight: u16::from(weight) + 1,
        down: is_down(u32::from(flags)),
    };
    for (kind, value) in attributes(octets.get(HOP_HEADER_LEN..len)?) {
        match kind {
            route::GATEWAY => hop.gateway = ip(family, value),
            route::VIA => hop.gateway = via(value),
            _ => {}
        }
    }
    Some((len, hop))
}

/// `struct rtvia`: a gateway of the other family.
fn via(octets: &[u8]) -> Option<IpAddr> {
    let family = u8::try_from(u16_at(octets, 0)?).ok()?;
    ip(family, octets.get(2..)?)
}

fn is_down(flags: u32) -> bool {
    flags & (route::NH_F_DEAD | route::NH_F_LINKDOWN) != 0
}

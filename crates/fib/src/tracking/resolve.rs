//! From an address to a gateway on a link, as the kernel itself would go: RFC 4271 section 5.1.3, recursion ends at a
//! route of the main table.
//!
//! The longest match decides, then the lowest metric among links that can carry packets. A default route leads nowhere:
//! when the link of a peer goes, its next hop must not leave by the provider. Routes of our own are left out, so a next
//! hop never hangs on what it carries.

use std::net::{IpAddr, Ipv6Addr};

use bgp_wire::Prefix;

use crate::kernel::{KernelRoute, RouteKind};
use crate::tracking::facts::Facts;
use crate::view::Via;

/// A way that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) via: Via,
    /// 0 on link, else the metric of the route.
    pub(crate) metric: u32,
    /// In words.
    pub(crate) how: String,
}

/// Resolves an address that means the same on every link.
pub(crate) fn resolve(facts: &Facts, address: IpAddr) -> Result<Way, String> {
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("{address} is no address of a neighbour"));
    }
    if facts.is_own_address(address) {
        return Err(format!("{address} is an address of this host"));
    }
    let by_route = facts.routes.longest_match(address);
    let by_address = facts.on_link_by_address(address);
    match (by_route, by_address) {
        (Some((prefix, _)), Some((own, ifindex)))
            if own.len() > prefix.len() && !facts.is_set_down(ifindex) =>
        {
            on_link(facts, address, ifindex)
        }
        (Some((prefix, routes)), _) => by_routes(facts, address, prefix, &routes),
        (None, Some((_, ifindex))) => on_link(facts, address, ifindex),
        (None, None) => Err("no route leads to it".into()),
    }
}

/// Resolves a link-local address on its link.
pub(crate) fn link_local(facts: &Facts, address: Ipv6Addr, ifindex: Option<u32>) -> Result<Way, String> {
    let Some(ifindex) = ifindex else {
        return Err(format!("{address} is link-local and its interface is not known"));
    };
    if facts.addresses.get(&(ifindex, address.into())).is_some() {
        return Err(format!("{address} is an address of this host"));
    }
    on_link(facts, address.into(), ifindex)
}

/// The interface on whose link an IPv4 address is.
pub(crate) fn ipv4_link(facts: &Facts, address: IpAddr) -> Result<u32, String> {
    let way = resolve(facts, address)?;
    if way.via.gateway == address {
        Ok(way.via.ifindex)
    } else {
        Err(format!("{address} is not on a connected link"))
    }
}

fn on_link(facts: &Facts, address: IpAddr, ifindex: u32) -> Result<Way, String> {
    facts.link_usable(ifindex, address)?;
    let how = format!("on link at {}", facts.link_name(ifindex));
    Ok(Way { via: Via { gateway: address, ifindex }, metric: 0, how })
}

fn by_routes(facts: &Facts, address: IpAddr, prefix: Prefix, routes: &[&KernelRoute]) -> Result<Way, String> {
    if prefix.len() == 0 {
        return Err("only a default route leads to it".into());
    }
    let mut reason = format!("{prefix} leads nowhere");
    for route in routes {
        if route.kind == RouteKind::Reject {
            return Err(format!("{prefix} is rejected by a route"));
        }
        for (gateway, ifindex) in ways_of(facts, route) {
            let target = gateway.unwrap_or(address);
            match facts.link_usable(ifindex, target) {
                Ok(()) => return Ok(way_by(facts, route, gateway, Via { gateway: target, ifindex })),
                Err(why) => reason = why,
            }
        }
    }
    Err(reason)
}

fn way_by(facts: &Facts, route: &KernelRoute, gateway: Option<IpAddr>, via: Via) -> Way {
    let name = facts.link_name(via.ifindex);
    match gateway {
        None => Way { via, metric: 0, how: format!("on link at {name}") },
        Some(gateway) => {
            Way { via, metric: route.metric, how: format!("by {} via {gateway} at {name}", route.prefix) }
        }
    }
}

/// Gateway and interface of each hop of a route; of the object behind its id where that is known, for what the kernel has
/// repeated of it with the route may have changed without a word.
fn ways_of(facts: &Facts, route: &KernelRoute) -> Vec<(Option<IpAddr>, u32)> {
    let Some(object) = route.nexthop_id.and_then(|id| facts.nexthops.get(&id)) else {
        return route.hops.iter().map(|hop| (hop.gateway, hop.ifindex)).collect();
    };
    let members: Vec<u32> = if object.members.is_empty() {
        vec![object.id]
    } else {
        object.members.iter().map(|(id, _)| *id).collect()
    };
    let hops = members.iter().filter_map(|id| facts.nexthops.get(id));
    hops.filter_map(|hop| Some((hop.gateway, hop.ifindex?))).collect()
}

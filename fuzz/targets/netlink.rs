//! Any octets as a datagram of the kernel: dumps, notifications, acknowledgements and errors with their texts. Nothing is
//! made of more octets than there are, and what we ask for ourselves is read back as it was meant.
#![no_main]

use std::net::IpAddr;

use bgp_fib::{Event, GroupSpec, KernelHop, KernelRoute, NexthopSpec, Op, RouteSpec, RouteTarget};
use bgp_netlink::{Datagram, encode_request};
use bgp_wire::Prefix;
use libfuzzer_sys::fuzz_target;

const SHORTEST_MESSAGE: usize = 16;
const SHORTEST_HOP: usize = 8;

fn bounded(event: &Event, octets: usize) {
    match event {
        Event::Link(link) => assert!(link.name.len() <= octets * 3),
        Event::Route(route, _) | Event::RouteGone(route) => {
            assert!(route.hops.len() <= 1 + octets / SHORTEST_HOP);
            assert!(route.hops.iter().all(|hop| hop.weight > 0));
        }
        Event::Nexthop(object, _) => assert!(object.members.len() <= octets / SHORTEST_HOP),
        _ => {}
    }
}

/// The next hops of a route that are its own. The weight of an only one means nothing, and nobody says it.
fn hops(route: &KernelRoute) -> Vec<(Option<IpAddr>, u32, Option<u16>)> {
    let (own, several) = (route.nexthop_id.is_none(), route.hops.len() > 1);
    let hops = route.hops.iter().filter(|_| own);
    hops.map(|hop| (hop.gateway, hop.ifindex, several.then_some(hop.weight))).collect()
}

/// What the kernel would echo of a request for what it has told us.
fn said_again(event: &Event) {
    let op = match event {
        Event::Nexthop(object, _) if !object.members.is_empty() => {
            let member = |&(id, weight)| Some((id, u16::try_from(weight).ok()?));
            let Some(members) = object.members.iter().map(member).collect() else { return };
            let (id, protocol, kind) = (object.id, object.protocol, object.kind);
            Op::GroupAdd(GroupSpec { id, protocol, kind, members })
        }
        Event::Nexthop(object, _) => {
            let (Some(gateway), Some(ifindex)) = (object.gateway, object.ifindex) else { return };
            let (id, protocol, onlink) = (object.id, object.protocol, object.onlink);
            Op::NexthopAdd(NexthopSpec { id, protocol, gateway, ifindex, onlink })
        }
        Event::Route(route, _) => {
            // No kernel routes IPv6 by way of IPv4, and we have no words for it.
            let by_ipv4 = |hop: &KernelHop| hop.gateway.is_some_and(|gateway| gateway.is_ipv4());
            let target = match (route.nexthop_id, &route.hops[..]) {
                (Some(id), _) => RouteTarget::Nexthop(id),
                (None, hops) if matches!(route.prefix, Prefix::V6(_)) && hops.iter().any(by_ipv4) => return,
                (None, [KernelHop { gateway: Some(_), ifindex: 1.., .. }, ..]) => {
                    RouteTarget::Hops(route.hops.clone())
                }
                (None, _) => return,
            };
            Op::RouteAdd(RouteSpec {
                prefix: route.prefix,
                table: route.table,
                protocol: route.protocol,
                metric: route.metric,
                preferred_source: None,
                target,
            })
        }
        _ => return,
    };
    let mut request = Vec::new();
    assert!(encode_request(&op, 7, &mut request));
    let heard = Datagram::read(&request).dumped;
    match (event, &heard[..]) {
        (Event::Nexthop(object, _), [Event::Nexthop(again, _)]) => {
            assert_eq!((again.id, &again.members), (object.id, &object.members));
            if !object.members.is_empty() {
                assert_eq!(again.kind, object.kind);
            } else {
                assert_eq!((again.gateway, again.ifindex), (object.gateway, object.ifindex));
            }
        }
        (Event::Route(route, _), [Event::Route(again, _)]) => {
            let key = |r: &KernelRoute| (r.prefix, r.table, r.protocol, r.metric, r.nexthop_id);
            assert_eq!((key(again), hops(again)), (key(route), hops(route)));
        }
        (_, heard) => panic!("{op:?} is heard as {heard:?}"),
    }
}

fuzz_target!(|input: &[u8]| {
    let datagram = Datagram::read(input);
    let most = input.len() / SHORTEST_MESSAGE;
    assert!(datagram.dumped.len() <= most && datagram.watched.len() == datagram.dumped.len());
    assert!(datagram.answers.len() <= 2 * most);
    datagram.dumped.iter().chain(&datagram.watched).for_each(|event| bounded(event, input.len()));
    datagram.dumped.iter().for_each(said_again);
    for error in datagram.answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(error.errno != 0 && error.message.as_ref().is_none_or(|text| text.len() <= input.len() * 3));
    }
});

//! Operations as rtnetlink requests, laid out by hand.
//!
//! A full table is a million of these; the packet crates take ten times as long and know no nexthop objects. Each
//! operation is one message, except for a dump, which is a conversation and lives in `dump`.

use std::net::IpAddr;

use bgp_fib::{GroupKind, GroupSpec, KernelHop, Mac, NexthopSpec, Op, Resilient, RouteSpec, RouteTarget};
use bgp_wire::Prefix;

use crate::message::{Header, Writer};
use crate::uapi::{NESTED, family, flag, message, neighbor, nexthop, route};

/// What a request does with what is already there.
const EXCLUSIVE: u16 = flag::CREATE | flag::EXCL;
const IN_PLACE: u16 = flag::CREATE | flag::REPLACE;

/// Appends `op` to `out` as one message; `false` for an operation that is no single message.
pub(crate) fn encode(op: &Op, sequence: u32, out: &mut Vec<u8>) -> bool {
    let header = |kind, flags| Header { kind, flags: flag::REQUEST | flags, sequence, port: 0 };
    match op {
        Op::NexthopAdd(spec) => hop(out, header(message::NEWNEXTHOP, EXCLUSIVE), spec),
        Op::NexthopReplace(spec) => hop(out, header(message::NEWNEXTHOP, IN_PLACE), spec),
        Op::GroupAdd(spec) => group(out, header(message::NEWNEXTHOP, EXCLUSIVE), spec),
        Op::GroupReplace(spec) => group(out, header(message::NEWNEXTHOP, flag::REPLACE), spec),
        Op::NexthopDel { id } | Op::GroupDel { id } => {
            // The kernel refuses a deletion whose header says anything.
            let mut request = Writer::new(out, header(message::DELNEXTHOP, 0), &[0; 8]);
            request.put_u32(nexthop::ID, *id);
            request.finish();
        }
        Op::RouteAdd(spec) => add_route(out, header(message::NEWROUTE, EXCLUSIVE), spec),
        Op::RouteReplace(spec) => add_route(out, header(message::NEWROUTE, IN_PLACE), spec),
        Op::RouteDel { prefix, table, protocol, metric, target } => {
            let key = RouteKey { prefix: *prefix, table: *table, protocol: *protocol, metric: *metric };
            delete_route(out, header(message::DELROUTE, 0), key, target.as_ref());
        }
        Op::Probe { ifindex, address } => {
            // Starts the resolution of an entry that is missing or has failed; one that is stale gets five seconds to
            // prove itself.
            let about = About { ifindex: *ifindex, address: *address, state: 0, flags: neighbor::FLAG_USE };
            neighbor(out, header(message::NEWNEIGH, flag::CREATE), about, None);
        }
        Op::Verify { ifindex, address, mac } => {
            let state = neighbor::STATE_PROBE;
            let about = About { ifindex: *ifindex, address: *address, state, flags: 0 };
            neighbor(out, header(message::NEWNEIGH, flag::REPLACE), about, Some(*mac));
        }
        Op::Dump(_) | Op::Audit => return false,
    }
    true
}

fn hop(out: &mut Vec<u8>, header: Header, spec: &NexthopSpec) {
    let onlink = if spec.onlink { route::NH_F_ONLINK } else { 0 };
    let mut request =
        Writer::new(out, header, &nexthop_header(family_of(spec.gateway), spec.protocol, onlink));
    request.put_u32(nexthop::ID, spec.id);
    request.put_u32(nexthop::OIF, spec.ifindex);
    put_address(&mut request, nexthop::GATEWAY, spec.gateway);
    request.finish();
}

fn group(out: &mut Vec<u8>, header: Header, spec: &GroupSpec) {
    let mut request = Writer::new(out, header, &nexthop_header(family::UNSPEC, spec.protocol, 0));
    request.put_u32(nexthop::ID, spec.id);
    request.put_with(nexthop::GROUP, |members| {
        for (id, weight) in &spec.members {
            let [low, high] = weight.saturating_sub(1).to_le_bytes();
            members.raw(&id.to_ne_bytes());
            members.raw(&[low, high, 0, 0]);
        }
    });
    if let GroupKind::Resilient(Resilient { buckets, idle_timer, unbalanced_timer }) = spec.kind {
        let ticks = |seconds: u32| seconds.saturating_mul(nexthop::TICKS_PER_SECOND);
        request.put(nexthop::GROUP_TYPE, &nexthop::TYPE_RESILIENT.to_ne_bytes());
        request.put_with(nexthop::RES_GROUP | NESTED, |request| {
            request.put(nexthop::resilient::BUCKETS, &buckets.to_ne_bytes());
            request.put_u32(nexthop::resilient::IDLE_TIMER, ticks(idle_timer));
            request.put_u32(nexthop::resilient::UNBALANCED_TIMER, ticks(unbalanced_timer));
        });
    }
    request.finish();
}

fn nexthop_header(family: u8, protocol: u8, flags: u32) -> [u8; 8] {
    let [a, b, c, d] = flags.to_ne_bytes();
    [family, route::SCOPE_UNIVERSE, protocol, 0, a, b, c, d]
}

/// What names a route of ours.
struct RouteKey {
    prefix: Prefix,
    table: u32,
    protocol: u8,
    metric: u32,
}

fn add_route(out: &mut Vec<u8>, header: Header, spec: &RouteSpec) {
    let RouteSpec { prefix, table, protocol, metric, .. } = *spec;
    let key = RouteKey { prefix, table, protocol, metric };
    let mut request = start_route(out, header, &key, route::SCOPE_UNIVERSE);
    if let Some(source) = spec.preferred_source {
        put_address(&mut request, route::PREFSRC, source);
    }
    put_target(&mut request, prefix, &spec.target);
    request.finish();
}

fn delete_route(out: &mut Vec<u8>, header: Header, key: RouteKey, target: Option<&RouteTarget>) {
    // Scope "nowhere" stands for any scope in a deletion.
    let mut request = start_route(out, header, &key, route::SCOPE_NOWHERE);
    if let Some(target) = target {
        put_target(&mut request, key.prefix, target);
    }
    request.finish();
}

#[inline]
fn start_route<'a>(out: &'a mut Vec<u8>, header: Header, key: &RouteKey, scope: u8) -> Writer<'a> {
    let family = family_of(key.prefix.address());
    // A number over 255 has no room in the header and stands in the attribute alone.
    let table = u8::try_from(key.table).ok();
    let short = table.unwrap_or(0);
    let fixed = [family, key.prefix.len(), 0, 0, short, key.protocol, scope, route::UNICAST, 0, 0, 0, 0];
    let mut request = Writer::new(out, header, &fixed);
    put_address(&mut request, route::DST, key.prefix.address());
    request.put_u32(route::PRIORITY, key.metric);
    if table.is_none() {
        request.put_u32(route::TABLE, key.table);
    }
    request
}

#[inline]
fn put_target(request: &mut Writer<'_>, prefix: Prefix, target: &RouteTarget) {
    match target {
        RouteTarget::Nexthop(id) => request.put_u32(route::NH_ID, *id),
        RouteTarget::Hops(hops) => match hops.as_slice() {
            [] => {}
            [hop] => {
                put_gateway(request, prefix, hop);
                request.put_u32(route::OIF, hop.ifindex);
            }
            hops => request.put_with(route::MULTIPATH, |request| {
                for hop in hops {
                    put_multipath_hop(request, prefix, hop);
                }
            }),
        },
    }
}

fn put_multipath_hop(request: &mut Writer<'_>, prefix: Prefix, hop: &KernelHop) {
    let weight = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
    request.measured(|request| {
        request.raw(&[0, weight]);
        request.raw(&hop.ifindex.to_ne_bytes());
        put_gateway(request, prefix, hop);
    });
}

fn put_gateway(request: &mut Writer<'_>, prefix: Prefix, hop: &KernelHop) {
    match (hop.gateway, prefix) {
        (Some(IpAddr::V6(gateway)), Prefix::V4(_)) => request.put_with(route::VIA, |via| {
            via.raw(&u16::from(family::INET6).to_ne_bytes());
            via.raw(&gateway.octets());
        }),
        (Some(gateway), _) => put_address(request, route::GATEWAY, gateway),
        (None, _) => {}
    }
}

/// The variable part of `struct ndmsg`.
struct About {
    ifindex: u32,
    address: IpAddr,
    state: u16,
    flags: u8,
}

fn neighbor(out: &mut Vec<u8>, header: Header, about: About, mac: Option<Mac>) {
    let [a, b, c, d] = about.ifindex.to_ne_bytes();
    let [low, high] = about.state.to_ne_bytes();
    let fixed = [family_of(about.address), 0, 0, 0, a, b, c, d, low, high, about.flags, 0];
    let mut request = Writer::new(out, header, &fixed);
    put_address(&mut request, neighbor::DST, about.address);
    if let Some(Mac(octets)) = mac {
        request.put(neighbor::LLADDR, &octets);
    }
    request.finish();
}

fn family_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => family::INET,
        IpAddr::V6(_) => family::INET6,
    }
}

fn put_address(request: &mut Writer<'_>, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => request.put_array(kind, &v4.octets()),
        IpAddr::V6(v6) => request.put_array(kind, &v6.octets()),
    }
}

//! Operations as rtnetlink requests, laid out by hand.
//!
//! A full table is a million of these; the packet crates take ten times as long and know no nexthop objects. Each
//! operation is one message, except for a dump, which is a conversation and lives in `dump`.

use std::net::IpAddr;

use bgp_fib::{GroupKind, GroupSpec, Lead, Mac, NexthopSpec, Op, Place, Resilient, RouteSpec, Verb};

use crate::message::{Header, Writer};
use crate::routes::route;
use crate::uapi::{self, NESTED, family, flag, message, neighbor, nexthop};

/// What a request does with what is already there.
pub(crate) const EXCLUSIVE: u16 = flag::CREATE | flag::EXCL;
pub(crate) const IN_PLACE: u16 = flag::CREATE | flag::REPLACE;

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
        Op::RouteAdd(spec) => one_route(out, sequence, Verb::Add, spec),
        Op::RouteReplace(spec) => one_route(out, sequence, Verb::Replace, spec),
        Op::RouteDel { prefix, table, protocol, metric, target } => {
            let place = Place { table: *table, protocol: *protocol, metric: *metric };
            let lead = Lead { target: target.clone(), preferred_source: None };
            route(out, sequence, place, (Verb::Del, &lead), *prefix);
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
    let onlink = if spec.onlink { uapi::route::NH_F_ONLINK } else { 0 };
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
    [family, uapi::route::SCOPE_UNIVERSE, protocol, 0, a, b, c, d]
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

fn one_route(out: &mut Vec<u8>, sequence: u32, verb: Verb, spec: &RouteSpec) {
    let RouteSpec { prefix, table, protocol, metric, preferred_source, .. } = *spec;
    let lead = Lead { target: Some(spec.target.clone()), preferred_source };
    route(out, sequence, Place { table, protocol, metric }, (verb, &lead), prefix);
}

pub(crate) fn family_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => family::INET,
        IpAddr::V6(_) => family::INET6,
    }
}

pub(crate) fn put_address(request: &mut Writer<'_>, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => request.put_array(kind, &v4.octets()),
        IpAddr::V6(v6) => request.put_array(kind, &v6.octets()),
    }
}

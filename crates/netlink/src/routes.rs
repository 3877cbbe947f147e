//! Routes as rtnetlink requests.
//!
//! A request differs from another one for the same lead in the destination and its number alone, so of each kind in a
//! batch one is laid out and the others are copied from it.

use std::net::IpAddr;
use std::ops::Range;

use bgp_fib::{KernelHop, Lead, Place, Prefixes, RouteOps, RouteTarget, Step, Verb};
use bgp_wire::Prefix;

use crate::encode::{EXCLUSIVE, IN_PLACE, family_of, put_address};
use crate::message::{Header, Writer};
use crate::uapi::{family, flag, message, route};

/// Where a request for a route has what is its own: `nlmsg_seq`, `rtm_dst_len`, and the value of `RTA_DST`, which is its first
/// attribute.
const SEQUENCE: Range<usize> = 8..12;
const LEN: usize = 17;
const DST: usize = 32;

/// Appends requests for the operations of `ops` at these places, and no more once there are `limit` octets; says how many, and
/// where the last one begins.
pub(crate) fn encode_routes(
    ops: &RouteOps,
    places: Range<usize>,
    sequence: u32,
    limit: usize,
    out: &mut Vec<u8>,
) -> (usize, usize) {
    match ops.prefixes() {
        Prefixes::Ipv4(prefixes) => each(ops, prefixes, places, (sequence, limit), out, |prefix| {
            (Prefix::V4(prefix), prefix.len(), prefix.address().octets())
        }),
        Prefixes::Ipv6(prefixes) => each(ops, prefixes, places, (sequence, limit), out, |prefix| {
            (Prefix::V6(prefix), prefix.len(), prefix.address().octets())
        }),
    }
}

#[inline]
fn each<P: Copy, const N: usize>(
    ops: &RouteOps,
    prefixes: &[P],
    places: Range<usize>,
    (mut sequence, limit): (u32, usize),
    out: &mut Vec<u8>,
    parts: impl Fn(P) -> (Prefix, u8, [u8; N]),
) -> (usize, usize) {
    let mut laid_out: Vec<Option<Range<usize>>> = vec![None; ops.leads().len() * Verb::ALL.len()];
    let (mut count, mut last) = (0, out.len());
    let steps = ops.steps().get(places.clone()).unwrap_or_default();
    for (step, prefix) in steps.iter().zip(prefixes.get(places).unwrap_or_default()) {
        let Step { verb, lead } = *step;
        let kind = usize::from(lead) * Verb::ALL.len() + verb as usize;
        let (Some(lead), Some(like)) = (ops.leads().get(usize::from(lead)), laid_out.get_mut(kind)) else {
            break;
        };
        if out.len() >= limit {
            break;
        }
        last = out.len();
        let (prefix, len, octets) = parts(*prefix);
        match like {
            Some(like) => copy(out, like.clone(), sequence, len, &octets),
            None => {
                route(out, sequence, ops.place(), (verb, lead), prefix);
                *like = Some(last..out.len());
            }
        }
        sequence = sequence.wrapping_add(1);
        count += 1;
    }
    (count, last)
}

/// Appends a request like one before, for another destination of the same family.
#[inline]
fn copy<const N: usize>(out: &mut Vec<u8>, like: Range<usize>, sequence: u32, len: u8, octets: &[u8; N]) {
    let start = out.len();
    out.extend_from_within(like);
    let Some(request) = out.get_mut(start..) else { return };
    if let Some(field) = request.get_mut(SEQUENCE) {
        field.copy_from_slice(&sequence.to_ne_bytes());
    }
    if let Some(field) = request.get_mut(LEN) {
        *field = len;
    }
    if let Some(field) = request.get_mut(DST..DST + N) {
        field.copy_from_slice(octets);
    }
}

/// Appends a request for one route.
pub(crate) fn route(
    out: &mut Vec<u8>,
    sequence: u32,
    place: Place,
    (verb, lead): (Verb, &Lead),
    prefix: Prefix,
) {
    // Scope "nowhere" stands for any scope in a deletion, and no type for any type.
    let (kind, flags, [scope, route_type]) = match verb {
        Verb::Add => (message::NEWROUTE, EXCLUSIVE, [route::SCOPE_UNIVERSE, route::UNICAST]),
        Verb::Replace => (message::NEWROUTE, IN_PLACE, [route::SCOPE_UNIVERSE, route::UNICAST]),
        Verb::Del => (message::DELROUTE, 0, [route::SCOPE_NOWHERE, route::UNSPEC]),
    };
    // A number over 255 has no room in the header and stands in the attribute alone.
    let table = u8::try_from(place.table).ok();
    let (family, short) = (family_of(prefix.address()), table.unwrap_or(0));
    let fixed = [family, prefix.len(), 0, 0, short, place.protocol, scope, route_type, 0, 0, 0, 0];
    let header = Header { kind, flags: flag::REQUEST | flags, sequence, port: 0 };
    let mut request = Writer::new(out, header, &fixed);
    put_address(&mut request, route::DST, prefix.address());
    request.put_u32(route::PRIORITY, place.metric);
    if table.is_none() {
        request.put_u32(route::TABLE, place.table);
    }
    if let (Some(source), true) = (lead.preferred_source, verb != Verb::Del) {
        put_address(&mut request, route::PREFSRC, source);
    }
    if let Some(target) = &lead.target {
        put_target(&mut request, prefix, target);
    }
    request.finish();
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

#[cfg(test)]
mod tests {
    use bgp_fib::{Op, OpId, Plan, RouteSpec};

    use super::*;

    fn ops() -> Vec<(OpId, Op)> {
        let spec = |number: u8, table: u32, object: u32| RouteSpec {
            prefix: Prefix::new([10, number, 0, 0].into(), 8 + number % 24).unwrap(),
            table,
            protocol: 186,
            metric: 20,
            preferred_source: (object == 3).then(|| [10, 0, 0, 1].into()),
            target: RouteTarget::Nexthop(object),
        };
        let of_two_families = |number: u8, spec: RouteSpec| match number % 2 {
            0 => spec,
            _ => RouteSpec {
                prefix: Prefix::new([0x2001, u16::from(number), 0, 0, 0, 0, 0, 0].into(), 20 + number)
                    .unwrap(),
                preferred_source: None,
                ..spec
            },
        };
        (0..40)
            .map(|number| {
                let spec = of_two_families(
                    number / 10,
                    spec(number, if number < 20 { 254 } else { 1000 }, u32::from(number % 4)),
                );
                let op = match number % 3 {
                    0 => Op::RouteAdd(spec),
                    1 => Op::RouteReplace(spec),
                    _ => Op::RouteDel {
                        prefix: spec.prefix,
                        table: spec.table,
                        protocol: 186,
                        metric: 20,
                        target: (number % 5 == 0).then_some(spec.target),
                    },
                };
                (OpId(u64::from(number)), op)
            })
            .collect()
    }

    #[test]
    fn a_copied_request_is_the_one_that_would_have_been_laid_out() {
        let mut one_by_one = Vec::new();
        for (sequence, (_, op)) in (7..).zip(&ops()) {
            assert!(crate::encode::encode(op, sequence, &mut one_by_one));
        }
        let (mut packed, mut sequence, mut parts) = (Vec::new(), 7, 0);
        for part in Plan::from(ops()).into_parts() {
            let bgp_fib::Part::Routes(routes) = part else { panic!("{part:?}") };
            parts += 1;
            // In two goes, as when a batch is full in between.
            for places in [0..3, 3..routes.len()] {
                let expected = places.len();
                let (count, last) = encode_routes(&routes, places, sequence, usize::MAX, &mut packed);
                assert_eq!(count, expected);
                assert!(last < packed.len());
                sequence += u32::try_from(count).unwrap();
            }
        }
        assert!(parts > 1);
        assert_eq!(packed, one_by_one);
    }
}

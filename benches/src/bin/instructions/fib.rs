//! The kernel side without a kernel: what is wanted, the plan, the answers, and the requests as octets.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use bgp_fib::{
    Address, Event, Fib, FibConfig, Kind, Link, MAIN_TABLE, Mac, Neighbor, NeighborState, Op, OpId,
    PROTOCOL_BGP, RouteSpec, RouteTarget,
};
use bgp_wire::{Prefix, ScopedNextHop};

use crate::meter::measure;

/// Operations that are asked for at a time.
const BATCH: usize = 256;
const IFINDEX: u32 = 2;
const HOPS: u32 = 4;

fn hop(at: u32) -> ScopedNextHop {
    ScopedNextHop { next_hop: benches::peer_address(at).into(), interface: None }
}

/// A host with one link and four neighbours on it.
fn facts(kind: Kind) -> Vec<Event> {
    let mac = |last| Some(Mac([2, 0, 0, 0, 0, last]));
    match kind {
        Kind::Links => vec![Event::Link(Link {
            ifindex: IFINDEX,
            name: "eth0".into(),
            admin_up: true,
            carrier: true,
            loopback: false,
            mac: mac(1),
            master: None,
        })],
        Kind::Addresses => vec![Event::Address(Address {
            ifindex: IFINDEX,
            address: Ipv4Addr::new(172, 50, 0, 1).into(),
            prefix_len: 16,
            tentative: false,
        })],
        Kind::Neighbors => (0..HOPS)
            .map(|at| {
                Event::Neighbor(Neighbor {
                    ifindex: IFINDEX,
                    address: benches::peer_address(at),
                    mac: mac(2),
                    state: NeighborState::Permanent,
                })
            })
            .collect(),
        Kind::Nexthops | Kind::Routes => Vec::new(),
    }
}

/// What the daemon does until there is nothing to do, with a kernel that does everything; how many routes it was told of.
fn drive(fib: &mut Fib, now: Instant, ops: &mut Vec<(OpId, Op)>) -> u32 {
    let mut routes = 0;
    loop {
        fib.next_ops(BATCH, ops);
        if ops.is_empty() {
            return routes;
        }
        for (id, op) in ops.drain(..) {
            if let Op::Dump(kind) = op {
                fib.observe(Event::DumpStart(kind), now);
                facts(kind).into_iter().for_each(|event| fib.observe(event, now));
                fib.observe(Event::DumpEnd(kind), now);
            }
            routes += u32::from(matches!(op, Op::RouteAdd(_) | Op::RouteReplace(_) | Op::RouteDel { .. }));
            black_box(fib.confirm(id, Ok(()), now));
        }
    }
}

fn want(fib: &mut Fib, prefixes: &[Prefix], next_hops: Option<&[ScopedNextHop]>, now: Instant) {
    for prefix in prefixes {
        fib.want(*prefix, next_hops, now);
    }
}

/// A FIB whose kernel has been read, with routes over one next hop.
fn fib(prefixes: &[Prefix], now: Instant) -> Fib {
    let mut fib = Fib::new(FibConfig::default(), now);
    drive(&mut fib, now, &mut Vec::new());
    want(&mut fib, prefixes, Some(&[hop(0)]), now);
    drive(&mut fib, now, &mut Vec::new());
    fib
}

/// Whatever the size is, the prefixes are different.
fn prefixes(count: u32) -> Vec<Prefix> {
    (0..count)
        .map(|at| Prefix::host(Ipv4Addr::from(0x0a00_0000 + at.wrapping_mul(0x9e37) % 0x0100_0000).into()))
        .collect()
}

fn measure_wanting(installed: &[Prefix], changed: &[Prefix], next_hops: Option<&[ScopedNextHop]>) -> ! {
    let now = Instant::now();
    let mut fib = fib(installed, now);
    let mut ops = Vec::with_capacity(2 * BATCH);
    measure(|| {
        let mut routes = 0;
        for some in changed.chunks(BATCH) {
            want(&mut fib, some, next_hops, now);
            routes += drive(&mut fib, now, &mut ops);
        }
        routes
    })
}

pub(crate) fn install(steps: u32, most: u32) -> ! {
    let prefixes = prefixes(most);
    measure_wanting(&[], &prefixes[..steps as usize], Some(&[hop(0)]))
}

/// From one next hop to three.
pub(crate) fn change(steps: u32, most: u32) -> ! {
    let prefixes = prefixes(most);
    measure_wanting(&prefixes, &prefixes[..steps as usize], Some(&[hop(1), hop(2), hop(3)]))
}

pub(crate) fn remove(steps: u32, most: u32) -> ! {
    let prefixes = prefixes(most);
    measure_wanting(&prefixes, &prefixes[..steps as usize], None)
}

fn measure_encoding(steps: u32, host: impl Fn(Ipv4Addr) -> IpAddr) -> ! {
    let add = |at: u32| {
        Op::RouteAdd(RouteSpec {
            prefix: Prefix::host(host(Ipv4Addr::from(0x0a00_0000 + at))),
            table: MAIN_TABLE,
            protocol: PROTOCOL_BGP,
            metric: 20,
            preferred_source: None,
            target: RouteTarget::Nexthop(186_000_001),
        })
    };
    let ops: Vec<Op> = (0..256).map(add).collect();
    let mut out = Vec::with_capacity(65_536);
    measure(|| {
        for (sequence, op) in (0..steps).zip(ops.iter().cycle()) {
            bgp_netlink::encode_request(black_box(op), sequence, &mut out);
            if out.len() > 32_768 {
                black_box(&out).len();
                out.clear();
            }
        }
        steps
    })
}

pub(crate) fn netlink_ipv4(steps: u32, _: u32) -> ! {
    measure_encoding(steps, IpAddr::V4)
}

pub(crate) fn netlink_ipv6(steps: u32, _: u32) -> ! {
    measure_encoding(steps, |address| address.to_ipv6_mapped().into())
}

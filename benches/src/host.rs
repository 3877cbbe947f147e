//! A host without a kernel: a link with four neighbours, and somebody who does what the FIB asks for.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use bgp_fib::{
    Address, Arrivals, Destination, Event, Fib, FibConfig, Kind, Link, MAIN_TABLE, Mac, Neighbor,
    NeighborState, Op, OpId, PROTOCOL_BGP, Part, Plan, RouteOps, RouteSpec, RouteTarget,
};
use bgp_wire::{Prefix, ScopedNextHop};

/// Operations that are asked for at a time.
pub const BATCH: usize = 256;
const IFINDEX: u32 = 2;
const HOPS: u32 = 4;

/// The next hop over neighbour number `at`, of four.
pub fn hop(at: u32) -> ScopedNextHop {
    ScopedNextHop { next_hop: crate::peer_address(at).into(), interface: None }
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
                    address: crate::peer_address(at),
                    mac: mac(2),
                    state: NeighborState::Permanent,
                })
            })
            .collect(),
        Kind::Nexthops | Kind::Routes => Vec::new(),
    }
}

/// What the daemon does until there is nothing to do, with a kernel that does everything; how many routes it was told of.
pub fn drive(fib: &mut Fib, now: Instant) -> u32 {
    let mut routes = 0;
    loop {
        let mut plan = Plan::default();
        fib.plan(BATCH, &mut plan);
        if plan.is_empty() {
            return routes;
        }
        for part in plan.into_parts() {
            let mut arrivals = Arrivals::default();
            match black_box(part) {
                Part::One(id, op) => {
                    if let Op::Dump(kind) = op {
                        fib.observe(Event::DumpStart(kind), &|_| None, now);
                        facts(kind).into_iter().for_each(|event| fib.observe(event, &|_| None, now));
                        fib.observe(Event::DumpEnd(kind), &|_| None, now);
                    }
                    fib.confirm_run(id, 1, now, &mut arrivals);
                }
                Part::Routes(ops) => {
                    routes += ops.len() as u32;
                    fib.confirm_run(ops.id(0), ops.len() as u32, now, &mut arrivals);
                }
            }
            black_box(arrivals);
        }
    }
}

/// Says of each prefix where it shall lead, or that it shall be gone.
pub fn want(fib: &mut Fib, some: &[Destination], next_hops: Option<&[ScopedNextHop]>, now: Instant) {
    for (at, destination) in some.iter().enumerate() {
        // As the daemon does it: the rest of the prefixes have the same as the first.
        if at == 0 || next_hops.is_none() || !fib.want_as_before(*destination, now) {
            fib.want(*destination, next_hops, now);
        }
    }
}

/// A FIB whose kernel has been read, with routes over one next hop.
pub fn fib(installed: &[Destination], now: Instant) -> Fib {
    let mut fib = Fib::new(FibConfig::default(), now);
    drive(&mut fib, now);
    want(&mut fib, installed, Some(&[hop(0)]), now);
    drive(&mut fib, now);
    fib
}

/// So many different host routes, numbered as a RIB does it.
pub fn destinations(count: u32) -> Vec<Destination> {
    let prefix =
        |at: u32| Prefix::host(Ipv4Addr::from(0x0a00_0000 + at.wrapping_mul(0x9e37) % 0x0100_0000).into());
    (0..count).map(|number| Destination { prefix: prefix(number), number }).collect()
}

/// Requests to add a batch of routes over one next-hop object.
pub fn packed(host: impl Fn(Ipv4Addr) -> IpAddr) -> RouteOps {
    let ops: Vec<(OpId, Op)> = (1..).map(OpId).zip(additions(host)).collect();
    let parts = Plan::from(ops).into_parts().into_iter();
    let mut routes = parts.filter_map(|part| match part {
        Part::Routes(routes) => Some(routes),
        Part::One(..) => None,
    });
    routes.next().expect("they are routes of one family")
}

fn additions(host: impl Fn(Ipv4Addr) -> IpAddr) -> Vec<Op> {
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
    (0..BATCH as u32).map(add).collect()
}

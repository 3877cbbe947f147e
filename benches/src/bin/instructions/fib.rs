//! The kernel side without a kernel: what is wanted, the plan, the answers, and the requests as octets.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use benches::host::{BATCH, destinations, drive, fib, hop, packed, want};
use bgp_fib::Destination;
use bgp_wire::ScopedNextHop;

use crate::meter::measure;

fn measure_wanting(
    installed: &[Destination],
    changed: &[Destination],
    next_hops: Option<&[ScopedNextHop]>,
) -> ! {
    let now = Instant::now();
    let mut fib = fib(installed, now);
    measure(|| {
        let mut routes = 0;
        for some in changed.chunks(BATCH) {
            want(&mut fib, some, next_hops, now);
            routes += drive(&mut fib, now);
        }
        routes
    })
}

pub(crate) fn install(steps: u32, most: u32) -> ! {
    let all = destinations(most);
    measure_wanting(&[], &all[..steps as usize], Some(&[hop(0)]))
}

/// From one next hop to three.
pub(crate) fn change(steps: u32, most: u32) -> ! {
    let all = destinations(most);
    measure_wanting(&all, &all[..steps as usize], Some(&[hop(1), hop(2), hop(3)]))
}

pub(crate) fn remove(steps: u32, most: u32) -> ! {
    let all = destinations(most);
    measure_wanting(&all, &all[..steps as usize], None)
}

fn measure_encoding(steps: u32, host: impl Fn(Ipv4Addr) -> IpAddr) -> ! {
    let ops = packed(host);
    let mut out = Vec::with_capacity(65_536);
    measure(|| {
        let mut sequence = 0;
        while sequence < steps {
            bgp_netlink::encode_requests(black_box(&ops), sequence, &mut out);
            black_box(&out).len();
            out.clear();
            sequence += ops.len() as u32;
        }
        sequence
    })
}

pub(crate) fn netlink_ipv4(steps: u32, _: u32) -> ! {
    measure_encoding(steps, IpAddr::V4)
}

pub(crate) fn netlink_ipv6(steps: u32, _: u32) -> ! {
    measure_encoding(steps, |address| address.to_ipv6_mapped().into())
}

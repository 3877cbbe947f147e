//! The kernel side without a kernel: the FIB's plan with answers, and requests as octets. Items are routes.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use benches::host;
use bgp_wire::ScopedNextHop;
use divan::{Bencher, black_box, counter::ItemsCount};

const ROUTES: u32 = 50_000;

fn main() {
    divan::main();
}

/// From routes over one next hop, or from none, to what is wanted, with a kernel that does everything.
fn plan(bencher: Bencher<'_, '_>, installed: bool, next_hops: Option<&[ScopedNextHop]>) {
    let now = Instant::now();
    let wanted = host::destinations(ROUTES);
    let before = if installed { wanted.as_slice() } else { &[] };
    bencher.counter(ItemsCount::new(ROUTES)).with_inputs(|| host::fib(before, now)).bench_local_values(
        |mut fib| {
            let mut routes = 0;
            for some in wanted.chunks(host::BATCH) {
                host::want(&mut fib, some, next_hops, now);
                routes += host::drive(&mut fib, now);
            }
            black_box((routes, fib))
        },
    );
}

/// Routes that were not there.
#[divan::bench]
fn install(bencher: Bencher<'_, '_>) {
    plan(bencher, false, Some(&[host::hop(0)]));
}

/// From one next hop to three.
#[divan::bench]
fn change(bencher: Bencher<'_, '_>) {
    plan(bencher, true, Some(&[host::hop(1), host::hop(2), host::hop(3)]));
}

/// Routes that are no longer wanted.
#[divan::bench]
fn remove(bencher: Bencher<'_, '_>) {
    plan(bencher, true, None);
}

fn encode(bencher: Bencher<'_, '_>, host: impl Fn(Ipv4Addr) -> IpAddr) {
    let ops = host::packed(host);
    let mut out = Vec::with_capacity(65_536);
    bencher.counter(ItemsCount::new(ops.len())).bench_local(|| {
        out.clear();
        bgp_netlink::encode_requests(black_box(&ops), 0, &mut out);
        black_box(out.len())
    });
}

/// Requests to add IPv4 routes.
#[divan::bench]
fn netlink_ipv4(bencher: Bencher<'_, '_>) {
    encode(bencher, IpAddr::V4);
}

/// Requests to add IPv6 routes.
#[divan::bench]
fn netlink_ipv6(bencher: Bencher<'_, '_>) {
    encode(bencher, |address| address.to_ipv6_mapped().into());
}

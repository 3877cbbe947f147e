//! From octets to an Adj-RIB-In: decoding, and interning by way of what a peer sends.

use bgp_rib::PeerId;
use bgp_wire::DecodeContext;
use divan::{Bencher, black_box, counter::ItemsCount};

const PREFIXES: u32 = 50_000;

fn main() {
    divan::main();
}

/// UPDATEs of five prefixes each.
#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let bodies: Vec<_> = benches::messages(0, PREFIXES, 0).into_iter().filter_map(benches::body).collect();
    let cx = DecodeContext::default();
    bencher.counter(ItemsCount::new(bodies.len())).bench_local(|| {
        for body in &bodies {
            let _update = black_box(bgp_wire::update::decode(black_box(body), &cx));
        }
    });
}

/// UPDATEs whose attribute sets are all known: a second peer that says the same with another next hop would not be.
#[divan::bench]
fn intern_known(bencher: Bencher<'_, '_>) {
    let updates = benches::updates(0, PREFIXES, 0);
    let mut rib = benches::full(1, PREFIXES);
    bencher.counter(ItemsCount::new(updates.len())).bench_local(|| {
        for update in &updates {
            black_box(rib.receive_update(PeerId(0), update));
        }
    });
}

/// UPDATEs whose attribute sets are all new, for prefixes that are known: each takes a set in and lets one go.
#[divan::bench]
fn intern_new(bencher: Bencher<'_, '_>) {
    let versions = [benches::updates(0, PREFIXES, 1), benches::updates(0, PREFIXES, 0)];
    let mut rib = benches::full(1, PREFIXES);
    let mut turn = 0;
    bencher.counter(ItemsCount::new(PREFIXES / benches::PER_UPDATE)).bench_local(|| {
        for update in &versions[turn % 2] {
            black_box(rib.receive_update(PeerId(0), update));
        }
        turn += 1;
    });
}

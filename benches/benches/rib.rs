//! A RIB under load: routes that come, change and go, and decisions among many paths. Items are routes.

use bgp_rib::{PeerId, Rib};
use bgp_wire::Update;
use divan::{Bencher, black_box, counter::ItemsCount};

const PREFIXES: u32 = 50_000;
const PEERS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];

fn main() {
    divan::main();
}

fn take(rib: &mut Rib, peer: u32, updates: &[Update]) -> usize {
    for update in updates {
        rib.receive_update(PeerId(peer), update);
    }
    benches::settle(rib)
}

/// A full feed into an empty RIB, up to what the kernel side pulls.
#[divan::bench]
fn insert(bencher: Bencher<'_, '_>) {
    let updates = benches::updates(0, PREFIXES, 0);
    bencher
        .counter(ItemsCount::new(PREFIXES))
        .with_inputs(|| benches::begun(1))
        .bench_local_values(|mut rib| black_box((take(&mut rib, 0, &updates), rib)));
}

/// A second feed beside a first one.
#[divan::bench]
fn insert_second_peer(bencher: Bencher<'_, '_>) {
    let (first, second) = (benches::updates(0, PREFIXES, 0), benches::updates(1, PREFIXES, 0));
    bencher
        .counter(ItemsCount::new(PREFIXES))
        .with_inputs(|| {
            let mut rib = benches::begun(2);
            take(&mut rib, 0, &first);
            rib
        })
        .bench_local_values(|mut rib| black_box((take(&mut rib, 1, &second), rib)));
}

/// Every route gets other attributes.
#[divan::bench]
fn replace(bencher: Bencher<'_, '_>) {
    let versions = [benches::updates(0, PREFIXES, 1), benches::updates(0, PREFIXES, 0)];
    let mut rib = benches::full(1, PREFIXES);
    let mut turn = 0;
    bencher.counter(ItemsCount::new(PREFIXES)).bench_local(|| {
        turn += 1;
        black_box(take(&mut rib, 0, &versions[turn % 2]))
    });
}

/// Every route is withdrawn.
#[divan::bench]
fn withdraw(bencher: Bencher<'_, '_>) {
    let updates = benches::withdrawals(PREFIXES);
    bencher
        .counter(ItemsCount::new(PREFIXES))
        .with_inputs(|| benches::full(1, PREFIXES))
        .bench_local_values(|mut rib| black_box((take(&mut rib, 0, &updates), rib)));
}

/// One of eight peers with a full feed is lost.
#[divan::bench]
fn peer_loss(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(PREFIXES)).with_inputs(|| benches::full(8, PREFIXES)).bench_local_values(
        |mut rib| {
            rib.remove_peer(PeerId(3));
            black_box((benches::settle(&mut rib), rib))
        },
    );
}

/// One decision among so many paths.
#[divan::bench(args = PEERS)]
fn decide(bencher: Bencher<'_, '_>, peers: u32) {
    let prefixes = 2_000;
    let mut rib = benches::full(peers, prefixes);
    bencher.counter(ItemsCount::new(prefixes)).bench_local(|| {
        rib.set_multipath(64, true);
        black_box(benches::settle(&mut rib))
    });
}

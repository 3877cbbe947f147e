//! Adj-RIB-Out: what a peer is sent when it comes up, and when routes change. Items are routes.

use bgp_policy::Policy;
use bgp_rib::{PeerId, PeerSettings, Rib};
use bytes::BytesMut;
use divan::{Bencher, black_box, counter::ItemsCount};

const PREFIXES: u32 = 50_000;
const READER: PeerId = PeerId(1000);
const CHUNK: usize = 65_536;

fn main() {
    divan::main();
}

fn reader(number: u32) -> PeerSettings {
    PeerSettings { export: Some(Policy::All), ..benches::settings(number) }
}

fn pull(rib: &mut Rib, peer: PeerId, out: &mut BytesMut) -> usize {
    let mut octets = 0;
    loop {
        let more = rib.next_update(peer, out, CHUNK);
        octets += out.len();
        out.clear();
        if !more {
            return octets;
        }
    }
}

/// A peer comes up beside a full table: exports, then the initial table.
#[divan::bench]
fn first_peer_of_a_group(bencher: Bencher<'_, '_>) {
    let mut out = BytesMut::with_capacity(2 * CHUNK);
    bencher.counter(ItemsCount::new(PREFIXES)).with_inputs(|| benches::full(1, PREFIXES)).bench_local_values(
        |mut rib| {
            rib.add_peer(READER, reader(1000));
            while rib.decide(4096) {}
            black_box((pull(&mut rib, READER, &mut out), rib))
        },
    );
}

/// A peer asks for everything again.
#[divan::bench]
fn refresh(bencher: Bencher<'_, '_>) {
    let mut out = BytesMut::with_capacity(2 * CHUNK);
    let mut rib = benches::full(1, PREFIXES);
    rib.add_peer(READER, reader(1000));
    while rib.decide(4096) {}
    pull(&mut rib, READER, &mut out);
    bencher.counter(ItemsCount::new(PREFIXES)).bench_local(|| {
        rib.request_refresh(READER, bgp_wire::Family::Ipv4Unicast);
        // What that is, is found out in portions.
        while rib.decide(4096) {}
        black_box(pull(&mut rib, READER, &mut out))
    });
}

/// Every route changes, and so many peers of one group are told.
#[divan::bench(args = [1, 8, 64])]
fn change(bencher: Bencher<'_, '_>, readers: u32) {
    let mut out = BytesMut::with_capacity(2 * CHUNK);
    let versions = [benches::updates(0, PREFIXES, 1), benches::updates(0, PREFIXES, 0)];
    let mut rib = benches::full(1, PREFIXES);
    for number in 0..readers {
        rib.add_peer(PeerId(1000 + number), reader(1000 + number));
    }
    let mut turn = 0;
    bencher.counter(ItemsCount::new(PREFIXES * readers)).bench_local(|| {
        turn += 1;
        for update in &versions[turn % 2] {
            rib.receive_update(PeerId(0), update);
        }
        benches::settle(&mut rib);
        for number in 0..readers {
            black_box(pull(&mut rib, PeerId(1000 + number), &mut out));
        }
    });
}

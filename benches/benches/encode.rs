//! UPDATEs to octets: attribute sets of their own, one set with as many prefixes as fit, withdrawals.

use bgp_wire::update::encode;
use bgp_wire::{EncodeContext, Family, NextHop, NlriEntry, PathAttributes};
use bytes::BytesMut;
use divan::{Bencher, black_box, counter::ItemsCount};

const PREFIXES: u32 = 50_000;
const ROOM: usize = 1 << 20;

fn main() {
    divan::main();
}

fn entries(count: u32) -> Vec<NlriEntry> {
    (0..count).map(|at| benches::prefix(at).into()).collect()
}

/// UPDATEs of five prefixes each; items are UPDATEs.
#[divan::bench]
fn five(bencher: Bencher<'_, '_>) {
    let sets: Vec<PathAttributes> = (0..5000).map(|at| benches::attributes(0, at)).collect();
    let entries = entries(benches::PER_UPDATE);
    let next_hop = NextHop::from(benches::peer_address(0));
    let mut out = BytesMut::with_capacity(ROOM);
    bencher.counter(ItemsCount::new(sets.len())).bench_local(|| {
        out.clear();
        for set in &sets {
            let mut entries = entries.iter().copied().peekable();
            encode::announce(&EncodeContext::default(), set, next_hop, &mut entries, &mut out)
                .expect("a short message");
        }
        black_box(out.len())
    });
}

/// One attribute set, as many prefixes as fit; items are prefixes.
#[divan::bench]
fn packed(bencher: Bencher<'_, '_>) {
    let (set, entries) = (benches::attributes(0, 0), entries(PREFIXES));
    let next_hop = NextHop::from(benches::peer_address(0));
    let mut out = BytesMut::with_capacity(ROOM);
    bencher.counter(ItemsCount::new(PREFIXES)).bench_local(|| {
        out.clear();
        let mut entries = entries.iter().copied().peekable();
        while entries.peek().is_some() {
            encode::announce(&EncodeContext::default(), &set, next_hop, &mut entries, &mut out)
                .expect("attributes with room");
        }
        black_box(out.len())
    });
}

/// As many withdrawals as fit; items are prefixes.
#[divan::bench]
fn withdraw(bencher: Bencher<'_, '_>) {
    let entries = entries(PREFIXES);
    let mut out = BytesMut::with_capacity(ROOM);
    bencher.counter(ItemsCount::new(PREFIXES)).bench_local(|| {
        out.clear();
        let mut entries = entries.iter().copied().peekable();
        while entries.peek().is_some() {
            encode::withdraw(&EncodeContext::default(), Family::Ipv4Unicast, &mut entries, &mut out);
        }
        black_box(out.len())
    });
}

//! Attribute sets, Adj-RIB-In, decision, Loc-RIB, Adj-RIB-Out.

use std::hint::black_box;

use bgp_policy::Policy;
use bgp_rib::{PeerId, PeerSettings, Rib};
use bgp_wire::{Family, Update};
use bytes::BytesMut;

use crate::meter::measure;

const CHUNK: usize = 65_536;
const FIRST_READER: u32 = 1000;

/// UPDATEs of so many routes.
fn of_routes(updates: &[Update], routes: u32) -> &[Update] {
    &updates[..(routes / benches::PER_UPDATE) as usize]
}

fn receive(rib: &mut Rib, peer: u32, updates: &[Update]) {
    for update in updates {
        black_box(rib.receive_update(PeerId(peer), update));
    }
}

fn take(rib: &mut Rib, peer: u32, updates: &[Update]) {
    receive(rib, peer, updates);
    benches::settle(rib);
}

/// UPDATEs that say again what is known: a set is found.
pub(crate) fn intern_known(steps: u32, most: u32) -> ! {
    let routes = most * benches::PER_UPDATE;
    let updates = benches::updates(0, routes, 0);
    let mut rib = benches::full(1, routes);
    measure(|| {
        receive(&mut rib, 0, &updates[..steps as usize]);
        steps
    })
}

/// UPDATEs with other attributes for known routes: a set comes, a set goes; nothing is decided.
pub(crate) fn intern_new(steps: u32, most: u32) -> ! {
    let routes = most * benches::PER_UPDATE;
    let updates = benches::updates(0, routes, 1);
    let mut rib = benches::full(1, routes);
    measure(|| {
        receive(&mut rib, 0, &updates[..steps as usize]);
        steps
    })
}

fn measure_taking(mut rib: Rib, peer: u32, updates: &[Update], routes: u32) -> ! {
    measure(|| {
        take(&mut rib, peer, of_routes(updates, routes));
        routes
    })
}

/// A first feed, up to what the kernel side pulls.
pub(crate) fn insert(steps: u32, most: u32) -> ! {
    let updates = benches::updates(0, most, 0);
    measure_taking(benches::begun(1), 0, &updates, steps)
}

/// A second feed with attributes of its own beside a first.
pub(crate) fn insert_second(steps: u32, most: u32) -> ! {
    let (first, second) = (benches::updates(0, most, 0), benches::updates(1, most, 0));
    let mut rib = benches::begun(2);
    take(&mut rib, 0, &first);
    measure_taking(rib, 1, &second, steps)
}

/// A second feed that says the same as the first, next hop included, as from a second route server.
pub(crate) fn insert_shared(steps: u32, most: u32) -> ! {
    let updates = benches::updates(0, most, 0);
    let mut rib = benches::begun(1);
    rib.add_peer(PeerId(1), PeerSettings { import: Some(Policy::All), ..benches::settings(0) });
    take(&mut rib, 0, &updates);
    measure_taking(rib, 1, &updates, steps)
}

/// Known routes get other attributes.
pub(crate) fn replace(steps: u32, most: u32) -> ! {
    let updates = benches::updates(0, most, 1);
    measure_taking(benches::full(1, most), 0, &updates, steps)
}

/// Known routes go; the withdrawals of one UPDATE are as many as fit.
pub(crate) fn withdraw(steps: u32, most: u32) -> ! {
    let mut rib = benches::full(1, most);
    let updates = benches::withdrawals(steps);
    measure(|| {
        take(&mut rib, 0, &updates);
        steps
    })
}

/// One decision among so many paths, for each of 200 prefixes.
pub(crate) fn decide<const PATHS: u32>(steps: u32, _: u32) -> ! {
    const PREFIXES: u32 = 200;
    let mut rib = benches::full(PATHS, PREFIXES);
    measure(|| {
        for _ in 0..steps {
            rib.set_multipath(64, true);
            benches::settle(&mut rib);
        }
        steps * PREFIXES
    })
}

fn pull(rib: &mut Rib, reader: u32, out: &mut BytesMut) {
    let peer = PeerId(FIRST_READER + reader);
    while rib.next_update(peer, out, CHUNK) {
        black_box(&out);
        out.clear();
    }
    out.clear();
}

fn add_readers(rib: &mut Rib, readers: u32, out: &mut BytesMut) {
    for number in (0..readers).map(|reader| FIRST_READER + reader) {
        rib.add_peer(PeerId(number), PeerSettings { export: Some(Policy::All), ..benches::settings(number) });
    }
    while rib.decide(4096) {}
    for reader in 0..readers {
        pull(rib, reader, out);
    }
}

/// A peer asks for everything again, 5000 routes.
pub(crate) fn refresh(steps: u32, _: u32) -> ! {
    const ROUTES: u32 = 5000;
    let mut out = BytesMut::with_capacity(2 * CHUNK);
    let mut rib = benches::full(1, ROUTES);
    add_readers(&mut rib, 1, &mut out);
    measure(|| {
        for _ in 0..steps {
            rib.request_refresh(PeerId(FIRST_READER), Family::Ipv4Unicast);
            // What that is, is found out in portions.
            while rib.decide(4096) {}
            pull(&mut rib, 0, &mut out);
        }
        steps * ROUTES
    })
}

/// Known routes get other attributes, and eight peers of one group are told.
pub(crate) fn change_8(steps: u32, most: u32) -> ! {
    const READERS: u32 = 8;
    let updates = benches::updates(0, most, 1);
    let mut out = BytesMut::with_capacity(2 * CHUNK);
    let mut rib = benches::full(1, most);
    add_readers(&mut rib, READERS, &mut out);
    measure(|| {
        take(&mut rib, 0, of_routes(&updates, steps));
        for reader in 0..READERS {
            pull(&mut rib, reader, &mut out);
        }
        steps * READERS
    })
}

//! The states whose differences are one more of something.

use std::time::Instant;

use bgp_policy::Policy;
use bgp_rib::{PeerId, PeerSettings, Rib};
use bgp_wire::update::encode;
use bgp_wire::{EncodeContext, NextHop, NlriEntry, PathAttributes};
use bytes::BytesMut;

use benches::{PER_UPDATE, host};

use crate::heap::Heap;

const CHUNK: usize = 65_536;
/// The first number of peers that are told routes.
const READER: u32 = 1000;
/// Peers that have nothing or little to say.
const QUIET: u32 = 100;
const FEW: u32 = 100;

/// What one more of something costs.
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) heap: Heap,
    /// How many more there are.
    pub(crate) items: f64,
}

impl Row {
    fn new(title: impl Into<String>, items: u32, more: Heap, less: &Heap) -> Self {
        Self { title: title.into(), heap: more.without(less), items: f64::from(items) }
    }
}

/// All rows, for tables of `count` and of twice as many prefixes.
pub(crate) fn rows(count: u32) -> Vec<Row> {
    let shared = |count: u32| Heap::of(|| one_feed(count, count));
    let own = |count: u32| Heap::of(|| one_feed(count, PER_UPDATE));
    let (one, two) = (shared(count), shared(2 * count));
    let sets = count / PER_UPDATE;
    let octets = (0..sets).map(|at| set(0, at * PER_UPDATE).to_bytes().octets().len()).sum::<usize>();
    let average = octets as f64 / f64::from(sets);
    let own_two = own(2 * count);
    let told = |count: u32, per_set: u32, readers: u32| Heap::of(|| with_readers(count, per_set, readers));
    let (told_one, told_two) = (told(2 * count, 2 * count, 1), told(2 * count, 2 * count, 2));
    vec![
        Row::new("prefix with one path; all have one attribute set", count, two.clone(), &one),
        Row::new(
            "path to a known prefix, with known attributes",
            2 * count,
            Heap::of(|| second_feed(2 * count)),
            &two,
        ),
        Row::new(format!("attribute set ({average:.0} octets on the wire)"), 2 * sets, own_two.clone(), &two),
        Row::new("prefix told to peers, the first of a group", 2 * count, told_one.clone(), &two),
        Row::new("prefix told to peers, a further one of the group", 2 * count, told_two, &told_one),
        Row::new(
            "attribute set that is told as well",
            2 * sets,
            told(2 * count, PER_UPDATE, 1).without(&told_one),
            &own_two.without(&two),
        ),
        Row::new("peer that says nothing", QUIET, Heap::of(|| quiet(count, 0)), &one),
        Row::new(
            format!("peer that announces {FEW} of {count} prefixes"),
            QUIET,
            Heap::of(|| quiet(count, FEW)),
            &one,
        ),
        Row::new(
            "route in the FIB over a shared next hop",
            count,
            Heap::of(|| installed(2 * count)),
            &Heap::of(|| installed(count)),
        ),
    ]
}

fn set(peer: u32, at: u32) -> PathAttributes {
    benches::attributes(peer, at)
}

/// Says `count` prefixes with the attributes of `peer`, as many with one set as asked, in UPDATEs as a peer sends them.
fn say(rib: &mut Rib, from: u32, peer: u32, count: u32, per_set: u32, spread: u32) {
    let next_hop = NextHop::from(benches::peer_address(peer));
    for start in (0..count).step_by(per_set as usize) {
        let end = count.min(start + per_set);
        let mut entries = (start..end).map(|at| NlriEntry::from(benches::prefix(at * spread))).peekable();
        while entries.peek().is_some() {
            let mut out = BytesMut::new();
            encode::announce(&EncodeContext::default(), &set(peer, start), next_hop, &mut entries, &mut out)
                .expect("attributes with room");
            let update = benches::decoded(out.freeze()).expect("an UPDATE of ours");
            rib.receive_update(PeerId(from), &update);
        }
    }
}

/// One feed, decided and pulled.
fn one_feed(count: u32, per_set: u32) -> Rib {
    let mut rib = benches::rib(1);
    say(&mut rib, 0, 0, count, per_set, 1);
    benches::resolve(&mut rib);
    benches::settle(&mut rib);
    rib
}

/// Another peer that says the very same.
fn second_feed(count: u32) -> Rib {
    let mut rib = one_feed(count, count);
    rib.add_peer(PeerId(1), benches::settings(0));
    say(&mut rib, 1, 0, count, count, 1);
    benches::settle(&mut rib);
    rib
}

/// Peers of one group that have been told everything.
fn with_readers(count: u32, per_set: u32, readers: u32) -> Rib {
    let mut rib = one_feed(count, per_set);
    for reader in READER..READER + readers {
        rib.add_peer(PeerId(reader), PeerSettings { export: Some(Policy::All), ..benches::settings(reader) });
    }
    benches::settle(&mut rib);
    for reader in READER..READER + readers {
        let mut out = BytesMut::with_capacity(2 * CHUNK);
        while rib.next_update(PeerId(reader), &mut out, CHUNK) {
            out.clear();
        }
    }
    rib
}

/// Further peers that say `few` prefixes each, spread over the table.
fn quiet(count: u32, few: u32) -> Rib {
    let mut rib = one_feed(count, count);
    for peer in 1..=QUIET {
        rib.add_peer(PeerId(peer), benches::settings(0));
        if few > 0 {
            say(&mut rib, peer, 0, few, few, count / few);
        }
    }
    benches::settle(&mut rib);
    rib
}

fn installed(count: u32) -> bgp_fib::Fib {
    host::fib(&host::destinations(count), Instant::now())
}

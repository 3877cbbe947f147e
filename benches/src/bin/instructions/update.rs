//! Octets to UPDATEs and back.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use bgp_wire::update::{decode, encode};
use bgp_wire::{Asn, DecodeContext, EncodeContext, Family, NextHop, NlriEntry, PathAttributes, Prefix};
use bytes::{Bytes, BytesMut};

use crate::meter::measure;

const CHUNK: usize = 65_536;

/// One service address as a Cilium node announces it: IPv6 over IPv4, no attribute that it need not have.
fn cilium(at: u32) -> Bytes {
    let address = Ipv6Addr::from((0x2004_u128 << 112) | u128::from(at));
    let next_hop = NextHop::V6(Ipv4Addr::new(172, 50, 0, 2).to_ipv6_mapped());
    let set = PathAttributes { as_path: benches::as_path([Asn(64_512)]), ..PathAttributes::default() };
    let mut entries = std::iter::once(NlriEntry::from(Prefix::host(address.into()))).peekable();
    let mut out = BytesMut::new();
    encode::announce(&EncodeContext::default(), &set, next_hop, &mut entries, &mut out)
        .expect("a short message");
    out.freeze()
}

fn decode_all(bodies: &[Bytes]) -> u32 {
    let cx = DecodeContext::default();
    let mut count = 0;
    for body in bodies {
        black_box(decode(black_box(body), &cx)).expect("a good UPDATE");
        count += 1;
    }
    count
}

pub(crate) fn decode_cilium(steps: u32, most: u32) -> ! {
    let bodies: Vec<Bytes> = (0..most).map(cilium).filter_map(benches::body).collect();
    measure(|| decode_all(&bodies[..steps as usize]))
}

pub(crate) fn decode_five(steps: u32, most: u32) -> ! {
    let messages = benches::messages(0, most * benches::PER_UPDATE, 0);
    let bodies: Vec<Bytes> = messages.into_iter().filter_map(benches::body).collect();
    measure(|| decode_all(&bodies[..steps as usize]))
}

pub(crate) fn encode_five(steps: u32, most: u32) -> ! {
    let cx = EncodeContext::default();
    let sets: Vec<PathAttributes> = (0..most).map(|at| benches::attributes(0, at)).collect();
    let entries: Vec<NlriEntry> = (0..benches::PER_UPDATE).map(|at| benches::prefix(at).into()).collect();
    let next_hop = NextHop::from(benches::peer_address(0));
    let mut out = BytesMut::with_capacity(2 * CHUNK);
    measure(|| {
        for set in &sets[..steps as usize] {
            let mut entries = entries.iter().copied().peekable();
            encode::announce(&cx, set, next_hop, &mut entries, &mut out).expect("a short message");
            if out.len() >= CHUNK {
                black_box(&out).len();
                out.clear();
            }
        }
        steps
    })
}

pub(crate) fn encode_packed(steps: u32, most: u32) -> ! {
    let cx = EncodeContext::default();
    let set = benches::attributes(0, 0);
    let entries: Vec<NlriEntry> = (0..most).map(|at| benches::prefix(at).into()).collect();
    let next_hop = NextHop::from(benches::peer_address(0));
    let mut out = BytesMut::with_capacity(2 * CHUNK);
    measure(|| {
        let mut entries = entries[..steps as usize].iter().copied().peekable();
        while entries.peek().is_some() {
            encode::announce(&cx, &set, next_hop, &mut entries, &mut out).expect("attributes with room");
        }
        steps
    })
}

pub(crate) fn encode_withdraw(steps: u32, most: u32) -> ! {
    let cx = EncodeContext::default();
    let entries: Vec<NlriEntry> = (0..most).map(|at| benches::prefix(at).into()).collect();
    let mut out = BytesMut::with_capacity(2 * CHUNK);
    measure(|| {
        let mut entries = entries[..steps as usize].iter().copied().peekable();
        while entries.peek().is_some() {
            encode::withdraw(&cx, Family::Ipv4Unicast, &mut entries, &mut out);
        }
        steps
    })
}

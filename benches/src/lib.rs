//! Tables and peers for the benchmarks of the UPDATE road.
//!
//! Everything is made from a counter, so two runs see the same routes. Shape: five prefixes to an attribute set, as many
//! sets a peer as a full feed has, paths of three to six numbers, two to five communities.
//!
//! Run: `cargo bench -p benches`, or one of them: `cargo bench -p benches --bench rib -- replace`.

pub mod host;

use std::net::{IpAddr, Ipv4Addr};

use bgp_policy::Policy;
use bgp_rib::{PeerId, PeerSettings, Reachability, Rib, RibConfig};
use bgp_wire::attribute::{AsPath, Segment};
use bgp_wire::update::encode;
use bgp_wire::{
    Asn, DecodeContext, EncodeContext, Framer, Ipv4Prefix, Next, NextHop, NlriEntry, PathAttributes,
    PeerKind, Prefix, RouterId, Update,
};
use bytes::{Bytes, BytesMut};

/// Prefixes of one UPDATE.
pub const PER_UPDATE: u32 = 5;

/// Spreads a counter over 32 bits, each value once.
fn mix(counter: u32) -> u32 {
    let a = (counter ^ (counter >> 16)).wrapping_mul(0x45d9_f3b5);
    let b = (a ^ (a >> 15)).wrapping_mul(0x2c1b_3c6d);
    b ^ (b >> 16)
}

/// Prefix number `at`: /24 mostly, as in the real table.
pub fn prefix(at: u32) -> Prefix {
    let len = match at % 10 {
        0 => 22,
        1 => 23,
        _ => 24,
    };
    let spread = Ipv4Addr::from(mix(at).rotate_left(8) & 0x7fff_ffff);
    Ipv4Prefix::new(spread, len).map_or_else(|| Prefix::host(spread.into()), Prefix::V4)
}

/// Attribute set number `at` of a peer.
pub fn attributes(peer: u32, at: u32) -> PathAttributes {
    let bits = mix(at.wrapping_add(peer.wrapping_mul(0x0100_0000)));
    let hops = (0..2 + bits % 4).map(|hop| Asn(1000 + mix(bits ^ hop) % 60_000));
    let asns = std::iter::once(peer_asn(peer)).chain(hops);
    PathAttributes {
        as_path: as_path(asns),
        communities: (0..2 + bits % 4).map(|n| mix(bits ^ (n + 77))).collect(),
        ..PathAttributes::default()
    }
}

/// A path through these.
pub fn as_path(asns: impl IntoIterator<Item = Asn>) -> AsPath {
    AsPath { segments: vec![Segment::Sequence(asns.into_iter().collect())] }
}

/// The AS of a peer.
pub fn peer_asn(peer: u32) -> Asn {
    Asn(64_512 + peer)
}

/// The address of a peer, which is also its next hop.
pub fn peer_address(peer: u32) -> IpAddr {
    Ipv4Addr::from(0xAC32_0002 + peer).into()
}

/// UPDATEs as octets for prefixes `0..count` of a peer; `version` chooses other attributes.
pub fn messages(peer: u32, count: u32, version: u32) -> Vec<Bytes> {
    let starts = (0..count).step_by(PER_UPDATE as usize);
    starts
        .map(|start| {
            let set = attributes(peer, start.wrapping_add(version.wrapping_mul(0x0080_0000)));
            message(peer, &set, (start..count.min(start + PER_UPDATE)).map(prefix))
        })
        .collect()
}

/// What a peer announces with one attribute set, as octets.
fn message(peer: u32, set: &PathAttributes, prefixes: impl Iterator<Item = Prefix>) -> Bytes {
    let next_hop = NextHop::from(peer_address(peer));
    let mut entries = prefixes.map(NlriEntry::from).peekable();
    let mut out = BytesMut::new();
    while entries.peek().is_some() {
        if encode::announce(&EncodeContext::default(), set, next_hop, &mut entries, &mut out).is_err() {
            break;
        }
    }
    out.freeze()
}

/// The same, decoded.
pub fn updates(peer: u32, count: u32, version: u32) -> Vec<Update> {
    messages(peer, count, version).into_iter().filter_map(decoded).collect()
}

/// Withdrawals of prefixes `0..count`.
pub fn withdrawals(count: u32) -> Vec<Update> {
    let mut out = BytesMut::new();
    let mut entries = (0..count).map(|at| NlriEntry::from(prefix(at))).peekable();
    let family = bgp_wire::Family::Ipv4Unicast;
    let mut updates = Vec::new();
    while entries.peek().is_some() {
        encode::withdraw(&EncodeContext::default(), family, &mut entries, &mut out);
        updates.extend(decoded(out.split().freeze()));
    }
    updates
}

/// The body of a message.
pub fn body(message: Bytes) -> Option<Bytes> {
    let mut octets = BytesMut::from(message);
    match Framer::new().next(&mut octets) {
        Next::Message(frame) => Some(frame.body),
        Next::Wait | Next::Fault(_) => None,
    }
}

/// A whole message, decoded.
pub fn decoded(message: Bytes) -> Option<Update> {
    bgp_wire::update::decode(&body(message)?, &DecodeContext::default()).ok()
}

/// A RIB with `peers` external peers of which nothing is known yet.
pub fn rib(peers: u32) -> Rib {
    let mut rib = Rib::new(RibConfig {
        local_asn: Asn(65_000),
        router_id: router_id(),
        maximum_paths: 64,
        multipath_relax: true,
        backups: false,
        hash_seed: 0x5eed,
    });
    for peer in 0..peers {
        rib.add_peer(PeerId(peer), settings(peer));
    }
    rib
}

/// Settings of an external peer that may tell everything and is told nothing.
pub fn settings(peer: u32) -> PeerSettings {
    let local = Ipv4Addr::from(0xAC32_0001).into();
    let mut settings =
        PeerSettings::new(PeerKind::External, peer_asn(peer), router_id(), peer_address(peer), local);
    settings.import = Some(Policy::All);
    settings
}

/// Our BGP Identifier.
pub fn router_id() -> RouterId {
    match RouterId::new(0xAC32_0001) {
        Some(id) => id,
        None => unreachable!("not zero"),
    }
}

/// A RIB in which every peer has announced prefixes `0..count` and everything is decided and pulled.
pub fn full(peers: u32, count: u32) -> Rib {
    let mut rib = rib(peers);
    for peer in 0..peers {
        for update in updates(peer, count, 0) {
            rib.receive_update(PeerId(peer), &update);
        }
    }
    resolve(&mut rib);
    settle(&mut rib);
    rib
}

/// A RIB with `peers` external peers, each of which has announced one prefix that is in nobody's table: their next hops are
/// known and can be reached, so that what they announce from now on is usable when it comes.
pub fn begun(peers: u32) -> Rib {
    let mut rib = rib(peers);
    let beside = Ipv4Prefix::new(Ipv4Addr::new(198, 51, 100, 0), 24).map(Prefix::V4);
    for peer in 0..peers {
        if let Some(update) = decoded(message(peer, &attributes(peer, u32::MAX), beside.into_iter())) {
            rib.receive_update(PeerId(peer), &update);
        }
    }
    resolve(&mut rib);
    settle(&mut rib);
    rib
}

/// Says of every next hop that the RIB has begun to ask for that it can be reached.
pub fn resolve(rib: &mut Rib) {
    let mut hops = Vec::new();
    rib.take_next_hop_changes(&mut hops);
    for (hop, _) in hops {
        rib.set_reachability(hop, Reachability::Reachable { metric: 0 });
    }
}

/// Decides everything that waits, and pulls it as the kernel side would; how many prefixes had changed.
pub fn settle(rib: &mut Rib) -> usize {
    while rib.decide(4096) {}
    let mut changed = 0;
    while rib.next_forwarding_change().is_some() {
        changed += 1;
    }
    changed
}

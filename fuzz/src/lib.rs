//! What the fuzz targets share: how the first octet of an input says in which context the rest is read.
//!
//! Owns that octet; `cursor` and `session` are for inputs of several parts, `laws` is what the corpus tests ask of every
//! UPDATE, `world` is the laws of the session tests. The seeds are made by the example `fuzz_seeds` of bgp-wire, which
//! writes the same octet.

pub mod cursor;
#[path = "../../crates/wire/tests/corpus/laws.rs"]
pub mod laws;
pub mod session;
pub mod structured;
#[path = "../../crates/session/tests/session/world.rs"]
pub mod world;

use bgp_wire::{DecodeContext, PeerKind, PerFamily, Update};

/// The context that `octet` stands for: bit 0 four-octet AS numbers, 1 add-path, 2 internal peer, 3 no IPv4,
/// 4 no extended next hop.
pub fn context(octet: u8) -> DecodeContext {
    let bit = |bit: u8| octet & (1 << bit) != 0;
    DecodeContext {
        four_octet_as: bit(0),
        add_path: PerFamily { ipv4: bit(1), ipv6: bit(1) },
        peer: if bit(2) { PeerKind::Internal } else { PeerKind::External },
        families: PerFamily { ipv4: !bit(3), ipv6: true },
        extended_next_hop: PerFamily { ipv4: !bit(4), ipv6: true },
        ..DecodeContext::default()
    }
}

/// Panics where an UPDATE breaks a promise of its type.
pub fn check(update: &Update, cx: &DecodeContext) {
    let broken = laws::broken(update, cx);
    assert!(broken.is_empty(), "{broken:?}: {update:?}");
}

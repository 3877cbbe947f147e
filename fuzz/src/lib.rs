//! What the fuzz targets share: how the first octet of an input says in which context the rest is read.
//!
//! Owns that octet and the promises that every decoded UPDATE keeps; `cursor` and `session` are for inputs of several
//! parts, `world` is the laws of the session tests. The seeds are made by the example `fuzz_seeds` of
//! bgp-wire, which writes the same octet.

pub mod cursor;
pub mod session;
pub mod structured;
#[path = "../../crates/session/tests/session/world.rs"]
pub mod world;

use bgp_wire::attribute::Remedy;
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
    assert_eq!(update.attributes.is_some(), !update.announced.is_empty());
    assert!(update.announced.iter().all(|announcement| !announcement.nlri.is_empty()));
    assert!(update.withdrawn.iter().all(|nlri| !nlri.is_empty()));
    assert!(
        update.faults.iter().all(|fault| fault.remedy < Remedy::ResetSession && fault.octets.len() <= 64)
    );
    let gone = update.faults.iter().any(|fault| fault.remedy == Remedy::TreatAsWithdraw);
    assert!(!gone || update.announced.is_empty());
    let nlri = update.announced.iter().map(|announcement| &announcement.nlri).chain(&update.withdrawn);
    for nlri in nlri {
        assert!(cx.families[nlri.family()]);
        assert!(nlri.iter().count() <= nlri.len_hint());
        assert!(nlri.iter().all(|entry| entry.prefix.family() == nlri.family()));
    }
    if let Some(set) = &update.attributes {
        let values = set.parse();
        assert!(
            cx.peer == PeerKind::Internal || values.local_pref.is_none() && values.cluster_list.is_empty()
        );
        assert!(values.as_path.asns().all(|asn| asn.0 != 0));
        assert_eq!(values.to_bytes().parse(), values);
    }
}

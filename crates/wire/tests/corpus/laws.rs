//! The promises that every decoded UPDATE keeps, whatever came and in whichever context it was read.
//!
//! Used by the tests of the corpus and, by its path, by the fuzz targets; so it knows nothing of either.

use bgp_wire::attribute::Remedy;
use bgp_wire::{DecodeContext, PathAttributes, PeerKind, Update};

/// Octets of a faulty attribute that are kept for the log.
const MOST_OCTETS: usize = 64;

/// The promises that `update`, read in the context `cx`, breaks.
pub fn broken(update: &Update, cx: &DecodeContext) -> Vec<&'static str> {
    let Update { announced, withdrawn, faults, attributes, .. } = update;
    let lists = || announced.iter().map(|announcement| &announcement.nlri).chain(withdrawn);
    let gone = faults.iter().any(|fault| fault.remedy == Remedy::TreatAsWithdraw);
    let promises = [
        (attributes.is_some() != announced.is_empty(), "attributes where, and only where, it announces"),
        (lists().all(|nlri| !nlri.is_empty()), "no list without a prefix"),
        (lists().all(|nlri| cx.families[nlri.family()]), "only families that are spoken"),
        (lists().all(|nlri| nlri.iter().count() <= nlri.len_hint()), "no more prefixes than foretold"),
        (
            lists().all(|nlri| nlri.iter().all(|entry| entry.prefix.family() == nlri.family())),
            "prefixes of the family of their list",
        ),
        (faults.iter().all(|fault| fault.remedy < Remedy::ResetSession), "no fault that ends the session"),
        (faults.iter().all(|fault| fault.octets.len() <= MOST_OCTETS), "few octets of a faulty attribute"),
        (!gone || announced.is_empty(), "nothing announced that is treated as withdrawn"),
    ];
    let values = attributes.as_ref().map(|set| set.parse());
    let of_values = values.iter().flat_map(|values| of_attributes(values, cx.peer));
    promises.into_iter().chain(of_values).filter(|(kept, _)| !kept).map(|(_, promise)| promise).collect()
}

fn of_attributes(values: &PathAttributes, peer: PeerKind) -> [(bool, &'static str); 3] {
    let internal_only = values.local_pref.is_some() || !values.cluster_list.is_empty();
    [
        (peer == PeerKind::Internal || !internal_only, "nothing that only internal peers may say"),
        (values.as_path.asns().all(|asn| asn.0 != 0), "no AS 0"),
        (values.to_bytes().parse() == *values, "attributes that survive their own octets"),
    ]
}

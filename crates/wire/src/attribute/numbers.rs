//! Attributes that are one number or a list of identifiers: NEXT_HOP, MULTI_EXIT_DISC and LOCAL_PREF (RFC 4271
//! section 5.1), ORIGINATOR_ID and CLUSTER_LIST (RFC 4456 section 8), OTC (RFC 9234 section 5).
//!
//! Owns their lengths. Whether a next hop can be used is the RIB's question.

use crate::context::DecodeContext;

/// RFC 7606 section 7.3.
pub(super) fn check_next_hop(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    four(value).ok_or("NEXT_HOP has not 4 octets")
}

/// RFC 7606 section 7.4.
pub(super) fn check_med(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    four(value).ok_or("MULTI_EXIT_DISC has not 4 octets")
}

/// RFC 7606 section 7.5.
pub(super) fn check_local_pref(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    four(value).ok_or("LOCAL_PREF has not 4 octets")
}

/// RFC 7606 section 7.9.
pub(super) fn check_originator_id(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    four(value).ok_or("ORIGINATOR_ID has not 4 octets")
}

/// RFC 7606 section 7.10.
pub(super) fn check_cluster_list(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    let whole = !value.is_empty() && value.len().is_multiple_of(4);
    whole.then_some(()).ok_or("CLUSTER_LIST has not a non-zero multiple of 4 octets")
}

/// RFC 9234 section 5.
pub(super) fn check_otc(value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    four(value).ok_or("OTC has not 4 octets")
}

fn four(value: &[u8]) -> Option<()> {
    (value.len() == 4).then_some(())
}

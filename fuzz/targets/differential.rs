//! Any octets as an UPDATE, read by two decoders that share nothing, and what faults cost by two readings of RFC 7606:
//! `tests/oracle`.
#![no_main]

use bgpd_rs_fuzz::context;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [how, body @ ..] = input else { return };
    let (body, cx) = (Bytes::copy_from_slice(body), context(*how));
    assert_eq!(oracle::remedy::ours(&body, &cx), oracle::remedy::theirs(&body, &cx));
    let comparison = oracle::compare(&body, &cx);
    assert!(comparison.differences.is_empty(), "{:#?}", comparison.differences);
});

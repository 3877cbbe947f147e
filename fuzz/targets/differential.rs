//! Any octets as an UPDATE, read by two decoders that share nothing: `tests/oracle`.
#![no_main]

use bgpd_rs_fuzz::context;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [how, body @ ..] = input else { return };
    let comparison = oracle::compare(&Bytes::copy_from_slice(body), &context(*how));
    assert!(comparison.differences.is_empty(), "{:#?}", comparison.differences);
});

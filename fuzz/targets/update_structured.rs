//! UPDATEs that are mostly good, with a few octets wrong: every attribute in every form, in any order and number. The
//! promises of the decoder hold, the second decoder of `tests/oracle` reads the same, and faults cost the same there.
#![no_main]

use bgp_wire::{Notification, update};
use bgpd_rs_fuzz::structured::Message;
use bgpd_rs_fuzz::{check, context};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: Message| {
    let (how, body) = (message.context, Bytes::from(message.body()));
    if body.len() > usize::from(u16::MAX) {
        return;
    }
    let cx = context(how);
    match update::decode(&body, &cx) {
        Ok(update) => check(&update, &cx),
        Err(fault) => assert_eq!(Notification::from(fault).code, 3),
    }
    let comparison = oracle::compare(&body, &cx);
    assert_eq!(oracle::remedy::ours(&body, &cx), oracle::remedy::theirs(&body, &cx), "{body:02x?}");
    assert!(comparison.differences.is_empty(), "{body:02x?}\n{:#?}", comparison.differences);
});

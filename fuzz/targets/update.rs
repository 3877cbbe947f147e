//! Any octets as an UPDATE, in any context: an answer that keeps the promises of its type.
#![no_main]

use bgp_wire::{Notification, update};
use bgpd_rs_fuzz::{check, context};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [how, body @ ..] = input else { return };
    let cx = context(*how);
    match update::decode(&Bytes::copy_from_slice(body), &cx) {
        Ok(update) => check(&update, &cx),
        Err(fault) => assert_eq!(Notification::from(fault).code, 3),
    }
});

//! Any octets as an OPEN: what is decoded can be said again, and means the same where no text was put right.
#![no_main]

use bgp_wire::capability::Capability;
use bgp_wire::{Notification, Open};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    match Open::decode(&Bytes::copy_from_slice(input)) {
        Err(fault) => assert_eq!(Notification::from(fault).code, 2),
        Ok(open) => {
            let again = Open::decode(&open.encode().slice(19..)).expect("our own OPEN is good");
            assert_eq!(again.capabilities.len(), open.capabilities.len());
            let replaced = |c: &Capability| matches!(c, Capability::Fqdn { host, domain } if format!("{host}{domain}").contains(char::REPLACEMENT_CHARACTER));
            if !open.capabilities.iter().any(replaced) && open.encode().len() <= 4096 {
                assert_eq!((again.hold_time, again.router_id), (open.hold_time, open.router_id));
                assert_eq!(again.capabilities, open.capabilities);
            }
        }
    }
});

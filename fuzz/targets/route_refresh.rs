//! Any octets as a ROUTE-REFRESH: what is decoded can be said again.
#![no_main]

use bgp_wire::{Notification, RouteRefresh};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for enhanced in [true, false] {
        match RouteRefresh::decode(&Bytes::copy_from_slice(input), enhanced) {
            Ok(refresh) => {
                assert_eq!(RouteRefresh::decode(&refresh.encode().slice(19..), enhanced), Ok(refresh))
            }
            Err(fault) => assert!(matches!(Notification::from(fault).code, 1 | 7)),
        }
    }
});

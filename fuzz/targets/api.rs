//! Any JSON as a request or reply of the control API: what can be read is written as it is read.
#![no_main]

use bgp_api::{
    ActionReply, ActionRequest, ConfigReply, ErrorReply, Event, FibQuery, FibReply, NeighborQuery,
    NeighborsReply, NexthopsReply, ReloadReply, RouteQuery, RoutesReply, Summary, VersionReply,
};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str) {
    let Ok(value) = serde_json::from_str::<T>(text) else { return };
    let written = serde_json::to_string(&value).expect("every value can be written");
    // A word of a later daemon is known as such and as no more; it may be written as a word, or not at all.
    let again = serde_json::from_str::<T>(&written);
    assert_eq!(again.ok().as_ref(), Some(&value), "{written}");
}

fuzz_target!(|input: &[u8]| {
    let [kind, text @ ..] = input else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match kind % 15 {
        0 => round_trip::<ActionReply>(text),
        1 => round_trip::<ActionRequest>(text),
        2 => round_trip::<ConfigReply>(text),
        3 => round_trip::<ErrorReply>(text),
        4 => round_trip::<Event>(text),
        5 => round_trip::<FibQuery>(text),
        6 => round_trip::<FibReply>(text),
        7 => round_trip::<NeighborQuery>(text),
        8 => round_trip::<NeighborsReply>(text),
        9 => round_trip::<NexthopsReply>(text),
        10 => round_trip::<ReloadReply>(text),
        11 => round_trip::<RouteQuery>(text),
        12 => round_trip::<RoutesReply>(text),
        13 => round_trip::<Summary>(text),
        _ => round_trip::<VersionReply>(text),
    }
});

//! Any octets as a NOTIFICATION: its words and texts can be shown, and it can be said again.
#![no_main]

use bgp_wire::Notification;
use bgp_wire::context::MAX_MESSAGE;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

/// Octets of data that a message has room for behind its header, code and subcode.
const ROOM: usize = MAX_MESSAGE - 21;

fuzz_target!(|input: &[u8]| {
    let Some(notification) = Notification::decode(&Bytes::copy_from_slice(input)) else {
        assert!(input.len() < 2);
        return;
    };
    let words = notification.to_string();
    assert!(!words.is_empty() && !words.chars().any(char::is_control));
    if let Some(text) = notification.shutdown_communication() {
        assert!(!text.is_empty() && words.contains(&text));
    }
    let again =
        Notification::decode(&notification.encode().slice(19..)).expect("our own NOTIFICATION is good");
    assert_eq!((again.code, again.subcode), (notification.code, notification.subcode));
    assert_eq!(again.data, notification.data.slice(..notification.data.len().min(ROOM)));
    assert!(Notification::hard_reset(&notification).hard_reset_reason().as_ref() == Some(&notification));
});

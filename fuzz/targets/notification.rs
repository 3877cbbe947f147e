//! Any octets as a NOTIFICATION: its words and texts can be shown, and it can be said again.
#![no_main]

use bgp_wire::Notification;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

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
    assert!(notification.data.starts_with(&again.data));
    assert!(Notification::hard_reset(&notification).hard_reset_reason().as_ref() == Some(&notification));
});

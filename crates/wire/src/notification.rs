//! NOTIFICATION: RFC 4271 section 4.5 and 6, Cease subcodes of RFC 4486 and 8538, shutdown communication of RFC 9003,
//! FSM subcodes of RFC 6608, send hold timer of RFC 9687.

use bytes::Bytes;

/// A NOTIFICATION, sent or received.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notification {
    /// Error code, `iana::error`.
    pub code: u8,
    /// Error subcode.
    pub subcode: u8,
    /// Data as on the wire.
    pub data: Bytes,
}

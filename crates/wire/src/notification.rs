//! NOTIFICATION: RFC 4271 section 4.5 and 6, Cease subcodes of RFC 4486, 8538 and 9384, shutdown communication of
//! RFC 9003, FSM subcodes of RFC 6608, ROUTE-REFRESH errors of RFC 7313, send hold timer of RFC 9687.
//!
//! Owns the value, its constructors by name and its words. Which fault leads to which one stands here too, so that
//! there is one place for it.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::framer::{self, HeaderFault};
use crate::iana::{error, message};
use crate::open::OpenFault;
use crate::route_refresh::RouteRefreshFault;
use crate::update::UpdateFault;

mod words;

/// Longest shutdown communication, RFC 9003 section 2.
const COMMUNICATION_MAX: usize = 255;

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

/// Subcodes of Cease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CeaseCode {
    /// RFC 4486.
    MaximumPrefixes = 1,
    /// RFC 4486.
    AdministrativeShutdown = 2,
    /// RFC 4486.
    PeerDeconfigured = 3,
    /// RFC 4486.
    AdministrativeReset = 4,
    /// RFC 4486.
    ConnectionRejected = 5,
    /// RFC 4486.
    OtherConfigurationChange = 6,
    /// RFC 4486.
    ConnectionCollision = 7,
    /// RFC 4486.
    OutOfResources = 8,
    /// RFC 8538.
    HardReset = 9,
    /// RFC 9384.
    BfdDown = 10,
}

impl Notification {
    /// A NOTIFICATION without data.
    pub const fn new(code: u8, subcode: u8) -> Self {
        Self { code, subcode, data: Bytes::new() }
    }

    fn with(code: u8, subcode: u8, data: impl Into<Bytes>) -> Self {
        Self { code, subcode, data: data.into() }
    }

    /// 1/1.
    pub const fn connection_not_synchronized() -> Self {
        Self::new(error::HEADER, 1)
    }

    /// 1/2 with the length.
    pub fn bad_message_length(length: u16) -> Self {
        Self::with(error::HEADER, 2, length.to_be_bytes().to_vec())
    }

    /// 1/3 with the type.
    pub fn bad_message_type(kind: u8) -> Self {
        Self::with(error::HEADER, 3, vec![kind])
    }

    /// 2/0: an OPEN that cannot be read.
    pub const fn open_malformed() -> Self {
        Self::new(error::OPEN, 0)
    }

    /// 2/1 with the version that we speak.
    pub const fn unsupported_version() -> Self {
        Self { code: error::OPEN, subcode: 1, data: Bytes::from_static(&[0, 4]) }
    }

    /// 2/2.
    pub const fn bad_peer_as() -> Self {
        Self::new(error::OPEN, 2)
    }

    /// 2/3.
    pub const fn bad_bgp_identifier() -> Self {
        Self::new(error::OPEN, 3)
    }

    /// 2/4.
    pub const fn unsupported_optional_parameter() -> Self {
        Self::new(error::OPEN, 4)
    }

    /// 2/6.
    pub const fn unacceptable_hold_time() -> Self {
        Self::new(error::OPEN, 6)
    }

    /// 2/7 with the capabilities that we miss, RFC 5492 section 3.
    pub fn unsupported_capability(capabilities: Bytes) -> Self {
        Self::with(error::OPEN, 7, capabilities)
    }

    /// 4/0.
    pub const fn hold_timer_expired() -> Self {
        Self::new(error::HOLD_TIMER, 0)
    }

    /// 5/1 with the message type, RFC 6608 section 3.
    pub fn unexpected_in_open_sent(kind: u8) -> Self {
        Self::with(error::FSM, 1, vec![kind])
    }

    /// 5/2 with the message type, RFC 6608 section 3.
    pub fn unexpected_in_open_confirm(kind: u8) -> Self {
        Self::with(error::FSM, 2, vec![kind])
    }

    /// 5/3 with the message type, RFC 6608 section 3.
    pub fn unexpected_in_established(kind: u8) -> Self {
        Self::with(error::FSM, 3, vec![kind])
    }

    /// 8/0, RFC 9687 section 6.
    pub const fn send_hold_timer_expired() -> Self {
        Self::new(error::SEND_HOLD_TIMER, 0)
    }

    /// 6/`code`. The communication goes with shutdown and reset only (RFC 9003 section 2), cut at a character boundary
    /// where it has more than 255 octets.
    pub fn cease(code: CeaseCode, communication: Option<&str>) -> Self {
        let takes_text = matches!(code, CeaseCode::AdministrativeShutdown | CeaseCode::AdministrativeReset);
        match communication.filter(|_| takes_text) {
            None => Self::new(error::CEASE, code as u8),
            Some(text) => {
                let text = text.get(..text.floor_char_boundary(COMMUNICATION_MAX)).unwrap_or_default();
                let mut data = BytesMut::with_capacity(text.len().saturating_add(1));
                data.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
                data.put_slice(text.as_bytes());
                Self::with(error::CEASE, code as u8, data)
            }
        }
    }

    /// 6/9 around the real reason, RFC 8538 section 3.1.
    pub fn hard_reset(inner: &Self) -> Self {
        let mut data = BytesMut::with_capacity(inner.data.len().saturating_add(2));
        data.put_u8(inner.code);
        data.put_u8(inner.subcode);
        data.put_slice(&inner.data);
        Self::with(error::CEASE, CeaseCode::HardReset as u8, data)
    }

    /// Whether it ends the session without graceful restart, RFC 8538 section 3.
    pub fn is_hard_reset(&self) -> bool {
        self.code == error::CEASE && self.subcode == CeaseCode::HardReset as u8
    }

    /// What a Hard Reset carries.
    pub fn hard_reset_reason(&self) -> Option<Self> {
        let ([code, subcode], _) = self.data.split_first_chunk::<2>().filter(|_| self.is_hard_reset())?;
        Some(Self { code: *code, subcode: *subcode, data: self.data.slice(2..) })
    }

    /// The text that an operator at the other end sent, RFC 9003; control characters and what is not UTF-8 replaced.
    pub fn shutdown_communication(&self) -> Option<String> {
        if self.code != error::CEASE {
            return None;
        }
        match self.subcode {
            2 | 4 => {
                let (length, rest) = self.data.split_first()?;
                let text = rest.get(..usize::from(*length)).filter(|text| !text.is_empty())?;
                let text = String::from_utf8_lossy(text);
                let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
                Some(text.chars().map(printable).collect())
            }
            9 => self.hard_reset_reason().filter(|inner| !inner.is_hard_reset())?.shutdown_communication(),
            _ => None,
        }
    }

    /// Decodes a body; `None` where it has not even code and subcode.
    pub fn decode(body: &Bytes) -> Option<Self> {
        let ([code, subcode], _) = body.split_first_chunk::<2>()?;
        Some(Self { code: *code, subcode: *subcode, data: body.slice(2..) })
    }

    /// The whole message, its data cut to what 4096 octets hold.
    pub fn encode(&self) -> Bytes {
        framer::whole(message::NOTIFICATION, |out| {
            out.put_u8(self.code);
            out.put_u8(self.subcode);
            let room = crate::context::MAX_MESSAGE.saturating_sub(out.len());
            out.put_slice(self.data.get(..room).unwrap_or(&self.data));
        })
    }
}

impl From<HeaderFault> for Notification {
    fn from(fault: HeaderFault) -> Self {
        match fault {
            HeaderFault::Marker => Self::connection_not_synchronized(),
            HeaderFault::Length(length) => Self::bad_message_length(length),
            HeaderFault::Type(kind) => Self::bad_message_type(kind),
        }
    }
}

impl From<OpenFault> for Notification {
    fn from(fault: OpenFault) -> Self {
        match fault {
            OpenFault::Malformed(_) => Self::open_malformed(),
            OpenFault::Version(_) => Self::unsupported_version(),
            OpenFault::ZeroAs => Self::bad_peer_as(),
            OpenFault::RouterId => Self::bad_bgp_identifier(),
            OpenFault::OptionalParameter(_) => Self::unsupported_optional_parameter(),
            OpenFault::HoldTime(_) => Self::unacceptable_hold_time(),
        }
    }
}

impl From<UpdateFault> for Notification {
    fn from(fault: UpdateFault) -> Self {
        Self::with(error::UPDATE, fault.kind as u8, fault.octets)
    }
}

impl From<RouteRefreshFault> for Notification {
    fn from(fault: RouteRefreshFault) -> Self {
        match fault {
            RouteRefreshFault::Short(length) => Self::bad_message_length(length),
            RouteRefreshFault::Length(message) => Self::with(error::ROUTE_REFRESH, 1, message),
        }
    }
}

impl fmt::Display for Notification {
    /// `Cease/Administrative Shutdown: maintenance`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        words::code(self, f)?;
        if self.is_hard_reset() {
            if let Some(inner) = self.hard_reset_reason().filter(|inner| !inner.is_hard_reset()) {
                write!(f, " ({inner})")?;
            }
            return Ok(());
        }
        match self.shutdown_communication() {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::UpdateFaultKind;

    fn again(notification: &Notification) -> Notification {
        let encoded = notification.encode();
        assert_eq!(usize::from(u16::from_be_bytes([encoded[16], encoded[17]])), encoded.len());
        Notification::decode(&encoded.slice(19..)).unwrap()
    }

    #[test]
    fn words() {
        let text = |n: Notification| n.to_string();
        let shutdown = Notification::cease(CeaseCode::AdministrativeShutdown, Some("maintenance"));
        assert_eq!(text(shutdown), "Cease/Administrative Shutdown: maintenance");
        assert_eq!(text(Notification::hold_timer_expired()), "Hold Timer Expired");
        assert_eq!(text(Notification::send_hold_timer_expired()), "Send Hold Timer Expired");
        assert_eq!(text(Notification::bad_peer_as()), "OPEN Message Error/Bad Peer AS");
        assert_eq!(text(Notification::new(6, 77)), "Cease/77");
        assert_eq!(text(Notification::new(2, 8)), "OPEN Message Error/8");
        assert_eq!(text(Notification::new(99, 1)), "Error 99/1");
        let reset = Notification::hard_reset(&Notification::cease(CeaseCode::PeerDeconfigured, None));
        assert_eq!(text(reset), "Cease/Hard Reset (Cease/Peer De-configured)");
        assert_eq!(
            text(Notification::unexpected_in_open_sent(2)),
            "Finite State Machine Error/Receive Unexpected Message in OpenSent State"
        );
    }

    #[test]
    fn a_communication_is_cut_at_a_character_and_only_where_the_rfc_has_one() {
        let long = "\u{e4}".repeat(200);
        for code in [CeaseCode::AdministrativeShutdown, CeaseCode::AdministrativeReset] {
            let notification = Notification::cease(code, Some(&long));
            assert_eq!((notification.data[0], notification.data.len()), (254, 1 + 254));
            assert_eq!(again(&notification).shutdown_communication().unwrap(), "\u{e4}".repeat(127));
            let longest = Notification::cease(code, Some(&"a".repeat(255)));
            assert_eq!((longest.data[0], longest.data.len()), (255, 1 + 255));
        }
        let silent = Notification::cease(CeaseCode::MaximumPrefixes, Some("no place for it"));
        assert!(silent.data.is_empty() && silent.shutdown_communication().is_none());
    }

    #[test]
    fn a_communication_of_a_peer_cannot_drive_a_terminal_or_overrun() {
        let with = |data: &'static [u8]| Notification { code: 6, subcode: 2, data: Bytes::from_static(data) };
        assert_eq!(with(b"\x04a\x1b[b").shutdown_communication().unwrap(), "a\u{fffd}[b");
        assert_eq!(with(b"\x02a\xff").shutdown_communication().unwrap(), "a\u{fffd}");
        for bad in [&b"\x05abc"[..], b"\x00", b""] {
            assert_eq!(with(bad).shutdown_communication(), None, "{bad:?}");
        }
    }

    #[test]
    fn a_hard_reset_inside_a_hard_reset_is_not_followed() {
        let inner =
            Notification::hard_reset(&Notification::cease(CeaseCode::AdministrativeShutdown, Some("x")));
        assert_eq!(inner.data[..], [6, 2, 1, b'x'], "RFC 8538 section 3.1: code, subcode, data");
        assert_eq!(inner.shutdown_communication().unwrap(), "x");
        let nested = Notification::hard_reset(&inner);
        assert_eq!(
            (nested.shutdown_communication(), nested.to_string()),
            (None, "Cease/Hard Reset".to_owned())
        );
    }

    #[test]
    fn data_is_cut_to_what_a_message_holds() {
        let huge = Notification { code: 3, subcode: 1, data: vec![7; 70_000].into() };
        assert_eq!(huge.encode().len(), crate::context::MAX_MESSAGE);
        assert!(Notification::decode(&Bytes::from_static(&[6])).is_none());
        assert_eq!(again(&Notification::bad_message_length(18)), Notification::bad_message_length(18));
    }

    #[test]
    fn faults_become_their_code_and_data() {
        let of = |n: Notification| (n.code, n.subcode, n.data.to_vec());
        assert_eq!(of(HeaderFault::Marker.into()), (1, 1, vec![]));
        assert_eq!(of(HeaderFault::Length(5).into()), (1, 2, vec![0, 5]));
        assert_eq!(of(HeaderFault::Type(9).into()), (1, 3, vec![9]));
        assert_eq!(of(OpenFault::Version(3).into()), (2, 1, vec![0, 4]));
        assert_eq!(of(OpenFault::ZeroAs.into()), (2, 2, vec![]));
        assert_eq!(of(OpenFault::HoldTime(1).into()), (2, 6, vec![]));
        assert_eq!(of(OpenFault::Malformed("overrun").into()), (2, 0, vec![]));
        assert_eq!(of(OpenFault::RouterId.into()), (2, 3, vec![]));
        assert_eq!(of(OpenFault::OptionalParameter(9).into()), (2, 4, vec![]));
        let octets = Bytes::from_static(&[0x40, 1, 1, 9]);
        let fault = UpdateFault { kind: UpdateFaultKind::InvalidOrigin, reason: "undefined", octets };
        assert_eq!(of(fault.into()), (3, 6, vec![0x40, 1, 1, 9]));
        assert_eq!(of(RouteRefreshFault::Short(20).into()), (1, 2, vec![0, 20]));
        assert_eq!(of(RouteRefreshFault::Length(vec![7].into()).into()), (7, 1, vec![7]));
    }
}

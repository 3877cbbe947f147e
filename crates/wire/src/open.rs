//! OPEN: RFC 4271 section 4.2, capabilities of RFC 5492, extended optional parameters of RFC 9072.

use crate::asn::Asn;
use crate::capability::Capability;
use crate::router_id::RouterId;

/// Hold Time, RFC 4271 section 4.2: off, or three seconds and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldTime {
    /// No keepalives and no hold timer.
    Off,
    /// At least 3.
    Seconds(std::num::NonZeroU16),
}

impl HoldTime {
    /// `None` for 1 and 2, which RFC 4271 section 6.2 forbids.
    pub fn new(seconds: u16) -> Option<Self> {
        match std::num::NonZeroU16::new(seconds) {
            None => Some(Self::Off),
            Some(value) if seconds >= 3 => Some(Self::Seconds(value)),
            Some(_) => None,
        }
    }

    /// Seconds, zero for off.
    pub fn as_secs(self) -> u16 {
        match self {
            Self::Off => 0,
            Self::Seconds(seconds) => seconds.get(),
        }
    }
}

/// A decoded OPEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The sender's AS: from the four-octet capability where it is there, RFC 6793 section 4.1.
    pub asn: Asn,
    /// The hold time that the sender proposes.
    pub hold_time: HoldTime,
    /// The sender's BGP Identifier.
    pub router_id: RouterId,
    /// In the order sent.
    pub capabilities: Vec<Capability>,
}

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

/// What is wrong with an OPEN, RFC 4271 section 6.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OpenFault {
    /// Parameters or capabilities do not fit into their lengths.
    #[error("{0}")]
    Malformed(&'static str),
    /// Not version 4.
    #[error("BGP version {0} is not supported")]
    Version(u8),
    /// AS 0, RFC 7607.
    #[error("AS 0 must not be used")]
    ZeroAs,
    /// Identifier 0.0.0.0.
    #[error("0.0.0.0 is no BGP Identifier")]
    RouterId,
    /// A parameter that is no capability.
    #[error("optional parameter {0} is not supported")]
    OptionalParameter(u8),
    /// One or two seconds.
    #[error("a hold time of {0} s is not acceptable")]
    HoldTime(u16),
}

impl Open {
    /// Decodes a body.
    pub fn decode(body: &bytes::Bytes) -> Result<Self, OpenFault> {
        let _ = body;
        Err(OpenFault::RouterId)
    }

    /// The whole message.
    pub fn encode(&self) -> bytes::Bytes {
        bytes::Bytes::new()
    }
}

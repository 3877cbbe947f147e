//! What a session can be, and why: the State and Diagnostic fields of RFC 5880 section 4.1.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of one end of a session, RFC 5880 section 6.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Somebody holds it down.
    AdminDown,
    /// Nothing was heard, or it failed.
    #[default]
    Down,
    /// The other end was heard, and does not say that it hears us.
    Init,
    /// Both ends hear each other.
    Up,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::AdminDown, Self::Down, Self::Init, Self::Up];

    /// The number in a packet.
    pub const fn code(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    /// The state with the number `code`, of which two bits count.
    pub const fn from_code(code: u8) -> Self {
        match code & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        })
    }
}

/// Why a session changed its state last, RFC 5880 section 4.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Diagnostic {
    /// 0: nothing to say.
    #[default]
    None,
    /// 1: no packet came for the Detection Time.
    DetectionTimeExpired,
    /// 2: the echo function failed.
    EchoFailed,
    /// 3: the other end said that it is down.
    NeighborSignaledDown,
    /// 4: the forwarding plane was reset.
    ForwardingPlaneReset,
    /// 5: the path is down, as something else has found.
    PathDown,
    /// 6: a path that this one hangs on is down.
    ConcatenatedPathDown,
    /// 7: somebody holds it down.
    AdministrativelyDown,
    /// 8: a path that hangs on this one is down, in reverse.
    ReverseConcatenatedPathDown,
    /// Another number of five bits.
    Other(u8),
}

impl Diagnostic {
    /// The number in a packet, of five bits.
    pub const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::DetectionTimeExpired => 1,
            Self::EchoFailed => 2,
            Self::NeighborSignaledDown => 3,
            Self::ForwardingPlaneReset => 4,
            Self::PathDown => 5,
            Self::ConcatenatedPathDown => 6,
            Self::AdministrativelyDown => 7,
            Self::ReverseConcatenatedPathDown => 8,
            Self::Other(code) => code & 31,
        }
    }

    /// The diagnostic with the number `code`, of which five bits count.
    pub const fn from_code(code: u8) -> Self {
        match code & 31 {
            0 => Self::None,
            1 => Self::DetectionTimeExpired,
            2 => Self::EchoFailed,
            3 => Self::NeighborSignaledDown,
            4 => Self::ForwardingPlaneReset,
            5 => Self::PathDown,
            6 => Self::ConcatenatedPathDown,
            7 => Self::AdministrativelyDown,
            8 => Self::ReverseConcatenatedPathDown,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::DetectionTimeExpired => "detection time expired",
            Self::EchoFailed => "echo failed",
            Self::NeighborSignaledDown => "neighbor signaled session down",
            Self::ForwardingPlaneReset => "forwarding plane reset",
            Self::PathDown => "path down",
            Self::ConcatenatedPathDown => "concatenated path down",
            Self::AdministrativelyDown => "administratively down",
            Self::ReverseConcatenatedPathDown => "reverse concatenated path down",
            Self::Other(code) => return write!(f, "diagnostic {code}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_the_rfc_and_come_back() {
        for code in 0..32 {
            assert_eq!(Diagnostic::from_code(code).code(), code);
        }
        for state in State::ALL {
            assert_eq!(State::from_code(state.code()), state);
        }
        assert_eq!(Diagnostic::from_code(9).to_string(), "diagnostic 9");
    }
}

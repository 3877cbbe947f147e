//! The BFD Control packet: RFC 5880 section 4.1, and the checks of section 6.8.6 that need no session.

use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::state::{Diagnostic, State};

/// UDP destination port of control packets over a single hop, RFC 5881 section 4.
pub const CONTROL_PORT: u16 = 3784;
/// TTL or hop limit with which packets leave and must arrive, RFC 5881 section 5 (GTSM, RFC 5082).
pub const TTL: u8 = 255;
/// Octets of a packet without authentication.
pub const LEN: usize = 24;

const VERSION: u8 = 1;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// What tells the sessions of a system apart, RFC 5880 section 6.3: never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Discriminator(pub NonZeroU32);

impl fmt::Display for Discriminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlPacket {
    /// Why the sender's session changed its state last.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// P: the sender wants an answer, for its intervals have changed.
    pub poll: bool,
    /// F: this is the answer.
    pub is_final: bool,
    /// C: the sender's BFD goes on when its control plane does not.
    pub control_plane_independent: bool,
    /// D: the sender wants to hear nothing as long as the session is Up.
    pub demand: bool,
    /// So many packets may be missed.
    pub detect_multiplier: NonZeroU8,
    /// The sender's.
    pub my_discriminator: Discriminator,
    /// Ours, once the sender knows it.
    pub your_discriminator: Option<Discriminator>,
    /// The sender sends no faster.
    pub desired_min_tx: Duration,
    /// The sender takes no faster; zero: it wants none.
    pub required_min_rx: Duration,
    /// The same for echo packets; zero: it reflects none.
    pub required_min_echo_rx: Duration,
}

/// Why a datagram is no packet that counts: RFC 5880 section 6.8.6, in the order of its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketFault {
    /// Fewer octets than a packet has, or than it says that it has.
    #[error("{0} octets are too few for the packet")]
    Truncated(usize),
    /// Another version of the protocol.
    #[error("version {0} instead of 1")]
    Version(u8),
    /// The Length field is less than a packet has.
    #[error("its length field says {0}, and a packet has 24 octets")]
    Length(u8),
    /// Detect Mult is zero.
    #[error("its detection multiplier is zero")]
    Multiplier,
    /// The Multipoint bit is set, which is reserved.
    #[error("its multipoint bit is set")]
    Multipoint,
    /// My Discriminator is zero.
    #[error("it has no discriminator of its sender")]
    Discriminator,
    /// Your Discriminator is zero in a state in which the sender must know it.
    #[error("it is {0} and has no discriminator of ours")]
    Stranger(State),
    /// The A bit is set: BFD authentication is not spoken here.
    #[error("it is authenticated, which is not configured here")]
    Authenticated,
}

impl PacketFault {
    /// Every word of [`PacketFault::label`].
    pub const LABELS: [&'static str; 8] = [
        "authenticated",
        "discriminator",
        "length",
        "multiplier",
        "multipoint",
        "stranger",
        "truncated",
        "version",
    ];

    /// A short word of a closed set, for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Truncated(_) => "truncated",
            Self::Version(_) => "version",
            Self::Length(_) => "length",
            Self::Multiplier => "multiplier",
            Self::Multipoint => "multipoint",
            Self::Discriminator => "discriminator",
            Self::Stranger(_) => "stranger",
            Self::Authenticated => "authenticated",
        }
    }
}

impl ControlPacket {
    /// The packet in the payload of a datagram. Octets behind it are passed over.
    ///
    /// # Errors
    /// The first of the checks of RFC 5880 section 6.8.6 that fails.
    pub fn decode(payload: &[u8]) -> Result<Self, PacketFault> {
        let truncated = PacketFault::Truncated(payload.len());
        let octets: &[u8; LEN] = payload.first_chunk().ok_or(truncated)?;
        let [first, flags, multiplier, length, words @ ..] = octets;
        let (version, length_octets) = (first >> 5, usize::from(*length));
        if version != VERSION {
            return Err(PacketFault::Version(version));
        }
        if length_octets < LEN {
            return Err(PacketFault::Length(*length));
        }
        if length_octets > payload.len() {
            return Err(truncated);
        }
        let detect_multiplier = NonZeroU8::new(*multiplier).ok_or(PacketFault::Multiplier)?;
        if flags & MULTIPOINT != 0 {
            return Err(PacketFault::Multipoint);
        }
        let mut words = words.chunks_exact(4).map(word);
        let mut next = || words.next().unwrap_or_default();
        let my_discriminator = NonZeroU32::new(next()).ok_or(PacketFault::Discriminator)?;
        let your_discriminator = NonZeroU32::new(next());
        let state = State::from_code(flags >> 6);
        // "If the Your Discriminator field is zero and the State field is not Down or AdminDown, the packet MUST be discarded."
        if your_discriminator.is_none() && matches!(state, State::Init | State::Up) {
            return Err(PacketFault::Stranger(state));
        }
        // "If the A bit is set and no authentication is in use (bfd.AuthType is zero), the packet MUST be discarded."
        if flags & AUTHENTICATION != 0 {
            return Err(PacketFault::Authenticated);
        }
        Ok(Self {
            diagnostic: Diagnostic::from_code(*first),
            state,
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            detect_multiplier,
            my_discriminator: Discriminator(my_discriminator),
            your_discriminator: your_discriminator.map(Discriminator),
            desired_min_tx: interval(next()),
            required_min_rx: interval(next()),
            required_min_echo_rx: interval(next()),
        })
    }

    /// The octets of the packet.
    pub fn encode(&self) -> [u8; LEN] {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = self.state.code() << 6
            | bit(self.poll, POLL)
            | bit(self.is_final, FINAL)
            | bit(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | bit(self.demand, DEMAND);
        let head = [VERSION << 5 | self.diagnostic.code(), flags, self.detect_multiplier.get(), 24];
        let words = [
            self.my_discriminator.0.get(),
            self.your_discriminator.map_or(0, |discriminator| discriminator.0.get()),
            micros(self.desired_min_tx),
            micros(self.required_min_rx),
            micros(self.required_min_echo_rx),
        ];
        let mut octets = [0; LEN];
        let written = head.into_iter().chain(words.into_iter().flat_map(u32::to_be_bytes));
        octets.iter_mut().zip(written).for_each(|(to, from)| *to = from);
        octets
    }
}

fn word(octets: &[u8]) -> u32 {
    octets.iter().fold(0, |word, octet| word << 8 | u32::from(*octet))
}

/// Intervals are microseconds.
fn interval(micros: u32) -> Duration {
    Duration::from_micros(micros.into())
}

fn micros(interval: Duration) -> u32 {
    u32::try_from(interval.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As FRR 8.4 sends it: Up, poll, 300 ms, multiplier 3.
    const UP: [u8; LEN] = [
        0x20, 0xe0, 0x03, 0x18, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x00, 0x04, 0x93, 0xe0, 0x00,
        0x04, 0x93, 0xe0, 0x00, 0x00, 0xc3, 0x50,
    ];

    fn with(at: usize, octet: u8) -> Vec<u8> {
        let mut octets = UP.to_vec();
        octets[at] = octet;
        octets
    }

    #[test]
    fn a_packet_means_what_the_rfc_says() {
        let packet = ControlPacket::decode(&UP).unwrap();
        assert_eq!((packet.state, packet.diagnostic), (State::Up, Diagnostic::None));
        assert!(packet.poll && !packet.is_final && !packet.demand && !packet.control_plane_independent);
        assert_eq!(packet.detect_multiplier.get(), 3);
        assert_eq!(packet.my_discriminator.0.get(), 0x1234_5678);
        assert_eq!(packet.your_discriminator.unwrap().0.get(), 0x9abc_def0);
        assert_eq!(packet.desired_min_tx, Duration::from_millis(300));
        assert_eq!(packet.required_min_rx, Duration::from_millis(300));
        assert_eq!(packet.required_min_echo_rx, Duration::from_millis(50));
        assert_eq!(packet.encode(), UP);
        let longer = [&UP[..], &[1, 2, 3]].concat();
        assert_eq!(ControlPacket::decode(&longer), Ok(packet), "octets behind it are no fault");
    }

    #[test]
    fn each_check_refuses_what_it_is_for() {
        let fault = |octets: &[u8]| ControlPacket::decode(octets).unwrap_err();
        assert_eq!(fault(&UP[..23]), PacketFault::Truncated(23));
        assert_eq!(fault(&[]), PacketFault::Truncated(0));
        assert_eq!(fault(&with(0, 0x40)), PacketFault::Version(2));
        assert_eq!(fault(&with(3, 23)), PacketFault::Length(23));
        assert_eq!(fault(&with(3, 25)), PacketFault::Truncated(24));
        assert_eq!(fault(&with(2, 0)), PacketFault::Multiplier);
        assert_eq!(fault(&with(1, 0xe1)), PacketFault::Multipoint);
        assert_eq!(fault(&with(1, 0xe4)), PacketFault::Authenticated);
        let without = |from: usize| {
            let mut octets = UP.to_vec();
            octets[from..from + 4].fill(0);
            octets
        };
        assert_eq!(fault(&without(4)), PacketFault::Discriminator);
        assert_eq!(fault(&without(8)), PacketFault::Stranger(State::Up));
        let mut down = without(8);
        down[1] = 0x40;
        assert_eq!(ControlPacket::decode(&down).unwrap().your_discriminator, None);
    }

    #[test]
    fn an_interval_that_is_too_long_is_the_longest() {
        let mut packet = ControlPacket::decode(&UP).unwrap();
        packet.desired_min_tx = Duration::from_secs(10_000);
        let octets = packet.encode();
        assert_eq!(octets[12..16], [0xff; 4]);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(octets: [u8; LEN]) {
            let mut octets = octets;
            octets[0] = octets[0] & 31 | 0x20;
            octets[3] = 24;
            if let Ok(packet) = ControlPacket::decode(&octets) {
                prop_assert_eq!(packet.encode(), octets);
            }
        }
    }
}

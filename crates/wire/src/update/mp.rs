//! MP_REACH_NLRI and MP_UNREACH_NLRI: RFC 4760 section 3 and 4, next hops of RFC 2545 and RFC 8950.
//!
//! Owns what these two attributes say. A family that is not carried or was not negotiated is read up to its name and
//! then ignored: what it holds means nothing here and harms nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use nom::Parser;
use nom::bytes::complete::take;
use nom::multi::length_data;
use nom::number::complete::{be_u8, be_u16};

use super::nlri::Nlri;
use crate::attribute::{RawAttribute, flags};
use crate::context::DecodeContext;
use crate::family::{Family, FamilyCode};
use crate::next_hop::NextHop;
use crate::read::{Parsed, share};

/// What MP_REACH_NLRI says.
#[derive(Debug)]
pub(super) struct Reach {
    /// The destinations; `None` for a family that is ignored.
    pub(super) nlri: Option<Nlri>,
    /// Where they point; `None` where the length is not one that was negotiated for the family.
    pub(super) next_hop: Option<NextHop>,
    /// Whether there are destinations, of whichever family.
    pub(super) reachable: bool,
}

/// What MP_UNREACH_NLRI says.
#[derive(Debug)]
pub(super) struct Unreach {
    /// The destinations; `None` for a family that is ignored.
    pub(super) nlri: Option<Nlri>,
}

fn family_code(input: &[u8]) -> Parsed<'_, FamilyCode> {
    (be_u16, be_u8).map(|(afi, safi)| FamilyCode { afi, safi }).parse(input)
}

/// Family, next hop, one reserved octet: "MUST be set to 0, and SHOULD be ignored upon receipt".
fn reach_head(input: &[u8]) -> Parsed<'_, (FamilyCode, &[u8])> {
    let (rest, (code, next_hop, _reserved)) =
        (family_code, length_data(be_u8), take(1_usize)).parse(input)?;
    Ok((rest, (code, next_hop)))
}

/// Reads MP_REACH_NLRI, RFC 7606 section 7.11. A fault leaves no destination known, so that the session cannot stay.
pub(super) fn reach(
    attribute: RawAttribute<'_>,
    body: &Bytes,
    cx: &DecodeContext,
) -> Result<Reach, &'static str> {
    let Ok((octets, (code, next_hop))) = reach_head(attribute.value) else {
        return Err("MP_REACH_NLRI ends before its NLRI");
    };
    let reachable = !octets.is_empty();
    let Some(family) = carried(code, cx) else {
        return Ok(Reach { nlri: None, next_hop: None, reachable });
    };
    check_flags(attribute)?;
    let next_hop = read_next_hop(next_hop)
        .filter(|next_hop| family == Family::Ipv4Unicast || !matches!(next_hop, NextHop::V4(_)))
        .ok_or("MP_REACH_NLRI has a next hop of a length that its family does not know")?;
    let nlri = Nlri::check(family, cx.add_path[family], share(body, octets))
        .ok_or("MP_REACH_NLRI has a prefix that cannot be read")?;
    let native =
        matches!((family, next_hop), (Family::Ipv4Unicast, NextHop::V4(_)) | (Family::Ipv6Unicast, _));
    let agreed = native || cx.extended_next_hop[family];
    Ok(Reach { nlri: Some(nlri), next_hop: agreed.then_some(next_hop), reachable })
}

/// Reads MP_UNREACH_NLRI, RFC 7606 section 7.12; a fault as for [`reach`].
pub(super) fn unreach(
    attribute: RawAttribute<'_>,
    body: &Bytes,
    cx: &DecodeContext,
) -> Result<Unreach, &'static str> {
    let Ok((octets, code)) = family_code(attribute.value) else {
        return Err("MP_UNREACH_NLRI ends before its NLRI");
    };
    let Some(family) = carried(code, cx) else {
        return Ok(Unreach { nlri: None });
    };
    check_flags(attribute)?;
    let nlri = Nlri::check(family, cx.add_path[family], share(body, octets))
        .ok_or("MP_UNREACH_NLRI has a prefix that cannot be read")?;
    Ok(Unreach { nlri: Some(nlri) })
}

/// RFC 7606 section 5.3: such an attribute is incorrect, too, where "the attribute flags of the attribute are inconsistent
/// with those specified in [RFC4760]"; its section 3 (j) then leaves no weaker remedy than for NLRI that cannot be read.
fn check_flags(attribute: RawAttribute<'_>) -> Result<(), &'static str> {
    match attribute.flags & (flags::OPTIONAL | flags::TRANSITIVE) {
        flags::OPTIONAL => Ok(()),
        _ => Err("the flags of an attribute with NLRI are not optional and non-transitive"),
    }
}

fn carried(code: FamilyCode, cx: &DecodeContext) -> Option<Family> {
    code.family().filter(|family| cx.families[*family])
}

/// 4, 16 or 32 octets.
fn read_next_hop(octets: &[u8]) -> Option<NextHop> {
    let v6 = |octets: &[u8]| octets.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets));
    match octets.len() {
        4 => octets.first_chunk::<4>().map(|octets| NextHop::V4(Ipv4Addr::from(*octets))),
        16 => v6(octets).map(NextHop::V6),
        32 => {
            let (global, second) = octets.split_at_checked(16)?;
            let (global, second) = (v6(global)?, v6(second)?);
            Some(match (global.is_unspecified() || global.is_unicast_link_local(), second) {
                // Ours: a second address that is no link-local one says nothing that RFC 2545 section 3 knows.
                (_, second) if !second.is_unicast_link_local() => NextHop::V6(global),
                // Ours: some speakers repeat the link-local address, or zeroes, where they have no global one.
                (true, link_local) => NextHop::V6(link_local),
                (false, link_local) => NextHop::V6WithLinkLocal(global, link_local),
            })
        }
        _ => None,
    }
}

//! Capabilities: RFC 5492, with those of RFC 4760, 2918, 7313, 6793, 8950, 8654, 4724, 8538, 9494 and the
//! FQDN draft.
//!
//! Owns the values and their encoding. One whose value does not parse stays as it was sent: RFC 5492 section 3 has a
//! speaker go on without what it does not understand. What two speakers have in common is the session's.

use bytes::{BufMut, Bytes, BytesMut};
use nom::Parser;
use nom::combinator::{all_consuming, map_opt};
use nom::multi::{length_data, many0};
use nom::number::complete::{be_u8, be_u16, be_u24, be_u32};
use nom::sequence::preceded;

use crate::asn::Asn;
use crate::family::FamilyCode;
use crate::iana::capability as code;
use crate::read::{Parsed, share};

/// One capability as announced in OPEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Code 1, RFC 4760 section 8.
    Multiprotocol(FamilyCode),
    /// Code 2, RFC 2918.
    RouteRefresh,
    /// Code 5, RFC 8950 section 4: families whose next hops may be of another AFI.
    ExtendedNextHop(Vec<ExtendedNextHop>),
    /// Code 6, RFC 8654.
    ExtendedMessage,
    /// Code 64, RFC 4724 section 3.
    GracefulRestart(GracefulRestart),
    /// Code 65, RFC 6793.
    FourOctetAs(Asn),
    /// Code 69, RFC 7911.
    AddPath(Vec<AddPath>),
    /// Code 70, RFC 7313.
    EnhancedRouteRefresh,
    /// Code 71, RFC 9494 section 3; without a family: the speaker is a helper only.
    LongLivedGracefulRestart(Vec<LongLived>),
    /// Code 73, the host's name and domain, as sent with anything that is not UTF-8 replaced.
    Fqdn {
        /// Host name.
        host: String,
        /// Domain name, often empty.
        domain: String,
    },
    /// Any other, or a known one whose value does not parse: kept as sent.
    Unknown {
        /// Capability code.
        code: u8,
        /// Its value.
        value: Bytes,
    },
}

/// One entry of the Extended Next Hop Encoding capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedNextHop {
    /// Family of the NLRI.
    pub family: FamilyCode,
    /// AFI of the next hop.
    pub next_hop_afi: u16,
}

/// One entry of the ADD-PATH capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddPath {
    /// Family.
    pub family: FamilyCode,
    /// 1 receive, 2 send, 3 both; anything else is ignored by RFC 7911 section 4.
    pub mode: u8,
}

/// One entry of the Long-Lived Graceful Restart capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongLived {
    /// Family.
    pub family: FamilyCode,
    /// F: forwarding state was kept.
    pub forwarding: bool,
    /// Seconds (24 bits) for which the peer may keep stale routes after its restart time is over.
    pub stale_time: u32,
}

/// The Graceful Restart capability.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GracefulRestart {
    /// R: the speaker has restarted.
    pub restarted: bool,
    /// N, RFC 8538: NOTIFICATION too starts graceful restart.
    pub notification: bool,
    /// Seconds (12 bits) for which the peer may keep stale routes.
    pub restart_time: u16,
    /// Families, each with F: forwarding state was kept.
    pub families: Vec<(FamilyCode, bool)>,
}

impl Capability {
    /// The code on the wire.
    pub fn code(&self) -> u8 {
        match self {
            Self::Multiprotocol(_) => code::MULTIPROTOCOL,
            Self::RouteRefresh => code::ROUTE_REFRESH,
            Self::ExtendedNextHop(_) => code::EXTENDED_NEXT_HOP,
            Self::ExtendedMessage => code::EXTENDED_MESSAGE,
            Self::GracefulRestart(_) => code::GRACEFUL_RESTART,
            Self::FourOctetAs(_) => code::FOUR_OCTET_AS,
            Self::AddPath(_) => code::ADD_PATH,
            Self::EnhancedRouteRefresh => code::ENHANCED_ROUTE_REFRESH,
            Self::LongLivedGracefulRestart(_) => code::LONG_LIVED_GRACEFUL_RESTART,
            Self::Fqdn { .. } => code::FQDN,
            Self::Unknown { code, .. } => *code,
        }
    }

    /// Appends the capabilities of one optional parameter; `None` where one overruns it.
    pub(crate) fn decode_all(value: &[u8], body: &Bytes, capabilities: &mut Vec<Self>) -> Option<()> {
        let mut rest = value;
        while !rest.is_empty() {
            let parsed: Parsed<'_, (u8, &[u8])> = (be_u8, length_data(be_u8)).parse(rest);
            let (after, (code, value)) = parsed.ok()?;
            capabilities.push(
                Self::decode(code, value)
                    .unwrap_or_else(|| Self::Unknown { code, value: share(body, value) }),
            );
            rest = after;
        }
        Some(())
    }

    fn decode(code: u8, value: &[u8]) -> Option<Self> {
        match code {
            code::MULTIPROTOCOL => whole(family, value).map(Self::Multiprotocol),
            code::ROUTE_REFRESH => value.is_empty().then_some(Self::RouteRefresh),
            code::EXTENDED_NEXT_HOP => whole(many0(extended_next_hop), value).map(Self::ExtendedNextHop),
            code::EXTENDED_MESSAGE => value.is_empty().then_some(Self::ExtendedMessage),
            code::GRACEFUL_RESTART => whole(graceful_restart, value).map(Self::GracefulRestart),
            code::FOUR_OCTET_AS => whole(be_u32, value).map(|asn| Self::FourOctetAs(Asn(asn))),
            code::ADD_PATH => whole(many0(add_path), value).map(Self::AddPath),
            code::ENHANCED_ROUTE_REFRESH => value.is_empty().then_some(Self::EnhancedRouteRefresh),
            code::LONG_LIVED_GRACEFUL_RESTART => {
                whole(many0(long_lived), value).map(Self::LongLivedGracefulRestart)
            }
            code::FQDN => whole((length_data(be_u8), length_data(be_u8)), value)
                .map(|(host, domain)| Self::Fqdn { host: text(host), domain: text(domain) }),
            _ => None,
        }
    }

    /// Appends code, length and value; a value is cut to 255 octets, whole entries at a time.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        out.put_slice(&[self.code(), 0]);
        let start = out.len();
        self.put_value(out);
        out.truncate(start.saturating_add(usize::from(u8::MAX)));
        let length = out.len().saturating_sub(start);
        if let (Some(place), Ok(length)) = (out.get_mut(start.saturating_sub(1)), u8::try_from(length)) {
            *place = length;
        }
    }

    fn put_value(&self, out: &mut BytesMut) {
        match self {
            Self::Multiprotocol(family) => {
                out.put_u16(family.afi);
                out.put_slice(&[0, family.safi]);
            }
            Self::RouteRefresh | Self::ExtendedMessage | Self::EnhancedRouteRefresh => {}
            Self::ExtendedNextHop(entries) => entries.iter().take(255 / 6).for_each(|entry| {
                out.put_u16(entry.family.afi);
                out.put_u16(entry.family.safi.into());
                out.put_u16(entry.next_hop_afi);
            }),
            Self::GracefulRestart(restart) => restart.put(out),
            Self::FourOctetAs(asn) => out.put_u32(asn.0),
            Self::AddPath(entries) => entries.iter().take(255 / 4).for_each(|entry| {
                out.put_u16(entry.family.afi);
                out.put_slice(&[entry.family.safi, entry.mode]);
            }),
            Self::LongLivedGracefulRestart(entries) => entries.iter().take(255 / 7).for_each(|entry| {
                out.put_u16(entry.family.afi);
                out.put_slice(&[entry.family.safi, if entry.forwarding { FORWARDING } else { 0 }]);
                out.put_uint(entry.stale_time.min(LONG_LIVED_MAX).into(), 3);
            }),
            Self::Fqdn { host, domain } => {
                let room = usize::from(u8::MAX).saturating_sub(2);
                let room = room.saturating_sub(put_text(out, host, room));
                put_text(out, domain, room);
            }
            Self::Unknown { value, .. } => out.put_slice(value),
        }
    }
}

const RESTARTED: u16 = 0x8000;
const NOTIFICATION: u16 = 0x4000;
const RESTART_TIME: u16 = 0x0fff;
const FORWARDING: u8 = 0x80;
/// The longest long-lived stale time in seconds: 24 bits.
pub const LONG_LIVED_MAX: u32 = 0x00ff_ffff;

impl GracefulRestart {
    fn put(&self, out: &mut BytesMut) {
        let restarted = if self.restarted { RESTARTED } else { 0 };
        let notification = if self.notification { NOTIFICATION } else { 0 };
        out.put_u16(restarted | notification | self.restart_time.min(RESTART_TIME));
        for (family, kept) in self.families.iter().take(253 / 4) {
            out.put_u16(family.afi);
            out.put_slice(&[family.safi, if *kept { FORWARDING } else { 0 }]);
        }
    }
}

/// A value of which nothing is left over.
fn whole<'a, T>(parser: impl Parser<&'a [u8], Output = T, Error = ()>, value: &'a [u8]) -> Option<T> {
    all_consuming(parser).parse(value).ok().map(|(_, value)| value)
}

/// AFI, reserved octet, SAFI: RFC 4760 section 8.
fn family(input: &[u8]) -> Parsed<'_, FamilyCode> {
    (be_u16, preceded(be_u8, be_u8)).map(|(afi, safi)| FamilyCode { afi, safi }).parse(input)
}

fn short_family(input: &[u8]) -> Parsed<'_, FamilyCode> {
    (be_u16, be_u8).map(|(afi, safi)| FamilyCode { afi, safi }).parse(input)
}

/// AFI, SAFI of two octets, AFI of the next hop: RFC 8950 section 4. No SAFI needs the first of the two.
fn extended_next_hop(input: &[u8]) -> Parsed<'_, ExtendedNextHop> {
    let safi = map_opt(be_u16, |safi| u8::try_from(safi).ok());
    (be_u16, safi, be_u16)
        .map(|(afi, safi, next_hop_afi)| ExtendedNextHop { family: FamilyCode { afi, safi }, next_hop_afi })
        .parse(input)
}

fn add_path(input: &[u8]) -> Parsed<'_, AddPath> {
    (short_family, be_u8).map(|(family, mode)| AddPath { family, mode }).parse(input)
}

/// AFI, SAFI, flags, time of three octets: RFC 9494 section 3.
fn long_lived(input: &[u8]) -> Parsed<'_, LongLived> {
    (short_family, be_u8, be_u24)
        .map(|(family, flags, stale_time)| LongLived {
            family,
            forwarding: flags & FORWARDING != 0,
            stale_time,
        })
        .parse(input)
}

fn graceful_restart(input: &[u8]) -> Parsed<'_, GracefulRestart> {
    let entry = (short_family, be_u8).map(|(family, flags)| (family, flags & FORWARDING != 0));
    (be_u16, many0(entry))
        .map(|(head, families)| GracefulRestart {
            restarted: head & RESTARTED != 0,
            notification: head & NOTIFICATION != 0,
            restart_time: head & RESTART_TIME,
            families,
        })
        .parse(input)
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A text with its length, cut to `room` octets at a character boundary; how many it has.
fn put_text(out: &mut BytesMut, text: &str, room: usize) -> usize {
    let text = text.get(..text.floor_char_boundary(room)).unwrap_or_default();
    out.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.put_slice(text.as_bytes());
    text.len()
}

#[cfg(test)]
mod tests;

//! A second opinion about UPDATEs: `routecore`, NLnet Labs' decoder, which shares neither code nor authors with ours.
//!
//! Road in: [`compare`] takes a body and its context. Road out: both agree, they differ, or the two cannot be compared
//! and [`Reason`] says why. [`Reason::UNDERSTOOD`] is the whole list of what is not compared, each with its clause; the
//! test over the corpus fails where an entry of it is not needed any more.
//!
//! What a fault costs is not routecore's to say: it knows no RFC 7606. It does say which prefixes a message holds, and
//! those are what treat-as-withdraw withdraws. The costs are read a second time by [`remedy`].

mod merge;
mod ours;
pub mod remedy;
mod theirs;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;

use bgp_wire::{DecodeContext, Family, FamilyCode, Update, update};
use bytes::Bytes;
use routecore::bgp::ParseError;

/// What a message means, in words; the prefixes sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Withdrawn prefixes, with path identifiers where the family has them.
    pub withdrawn: Vec<String>,
    /// Announced prefixes.
    pub announced: Vec<String>,
    /// Attributes by name.
    pub attributes: BTreeMap<&'static str, String>,
}

/// Why something is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Ours refuses the message.
    WeRefuse,
    /// Ours finds a fault that the session survives.
    Fault,
    /// A prefix has host bits.
    HostBits,
    /// A family that is not spoken here.
    OtherFamily,
    /// AS4_PATH or AS4_AGGREGATOR.
    TwoOctets,
    /// What only internal peers may send.
    InternalOnly,
    /// An IPv6 next hop of IPv4 prefixes.
    ExtendedNextHop,
    /// A pair of next hops that is none.
    NextHopPair,
}

impl Reason {
    /// Every reason with its clause.
    pub const UNDERSTOOD: [(Self, &'static str); 8] = [
        (Self::WeRefuse, "RFC 4271 section 6.3: a message that costs the session has no meaning to compare"),
        (
            Self::Fault,
            "RFC 7606 section 2: a fault discards or withdraws; routecore refuses, or gives what it can read",
        ),
        (
            Self::HostBits,
            "RFC 4271 section 4.3: the value of trailing bits is irrelevant; routecore refuses them",
        ),
        (
            Self::OtherFamily,
            "RFC 4760 section 6: families that were not agreed on are ignored; routecore reads them",
        ),
        (
            Self::TwoOctets,
            "RFC 6793 section 4.2.3: we merge the two paths; routecore gives both, which are compared merged",
        ),
        (
            Self::InternalOnly,
            "RFC 7606 section 7.5: an external peer's LOCAL_PREF is discarded; routecore shows it",
        ),
        (
            Self::ExtendedNextHop,
            "RFC 8950 section 3: 16 or 32 octets for IPv4 prefixes; routecore knows four",
        ),
        (
            Self::NextHopPair,
            "RFC 2545 section 3: a second address that is not link-local, or no global one before it; routecore shows it",
        ),
    ];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::UNDERSTOOD.iter().find(|(reason, _)| reason == self);
        f.write_str(known.map_or("unknown", |(_, clause)| clause))
    }
}

/// What came of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Where the two say different things.
    pub differences: Vec<String>,
    /// What was not compared, and why.
    pub reasons: Vec<Reason>,
    /// Whether prefixes or attributes were compared at all.
    pub compared: bool,
}

impl Comparison {
    fn not(reason: Reason) -> Self {
        Self { reasons: vec![reason], ..Self::default() }
    }

    fn same<T: PartialEq + fmt::Debug>(&mut self, what: &str, ours: &T, theirs: &T) {
        if ours != theirs {
            self.differences.push(format!("{what}: ours {ours:?}, theirs {theirs:?}"));
        }
    }
}

/// Reads the body of an UPDATE twice.
pub fn compare(body: &Bytes, cx: &DecodeContext) -> Comparison {
    let Ok(update) = update::decode(body, cx) else { return Comparison::not(Reason::WeRefuse) };
    if !families(body).iter().all(is_plain) {
        return Comparison::not(Reason::OtherFamily);
    }
    let theirs = match theirs::read(body, cx) {
        Ok(theirs) => theirs,
        Err(error) => {
            return refused(&update, body, cx, &error).map_or_else(
                || Comparison {
                    differences: vec![format!("ours reads it, theirs does not: {error}")],
                    ..Comparison::default()
                },
                Comparison::not,
            );
        }
    };
    let ours = ours::reading(&update);
    let mut comparison = Comparison { compared: true, ..Comparison::default() };
    let all = |reading: &Reading| {
        let mut all: Vec<String> = reading.withdrawn.iter().chain(&reading.announced).cloned().collect();
        all.sort();
        all
    };
    comparison.same("prefixes", &all(&ours), &all(&theirs));
    if !update.faults.is_empty() {
        comparison.reasons.push(Reason::Fault);
        return comparison;
    }
    comparison.same("withdrawn", &ours.withdrawn, &theirs.withdrawn);
    comparison.same("announced", &ours.announced, &theirs.announced);
    // Attributes of a message that announces nothing mean nothing, and are not kept.
    if update.attributes.is_some() {
        comparison.attributes(&ours, &theirs, cx);
    }
    comparison
}

/// Why routecore may refuse what we read.
fn refused(update: &Update, body: &Bytes, cx: &DecodeContext, error: &ParseError) -> Option<Reason> {
    let families = families(body);
    let spoken = |code: &FamilyCode| code.family().is_some_and(|family| cx.families[family]);
    let hop = |(code, len): &(FamilyCode, Option<u8>)| {
        code.family() == Some(Family::Ipv4Unicast) && len.is_some_and(|len| len != 4)
    };
    if !update.faults.is_empty() {
        Some(Reason::Fault)
    } else if ours::has_host_bits(update) || error.to_string().contains("host portion") {
        Some(Reason::HostBits)
    } else if families.iter().any(hop) {
        Some(Reason::ExtendedNextHop)
    } else if !cx.families[Family::Ipv4Unicast] || !families.iter().all(|(code, _)| spoken(code)) {
        Some(Reason::OtherFamily)
    } else {
        None
    }
}

/// The families of MP_REACH_NLRI and MP_UNREACH_NLRI, with the length of the next hop of the first, as far as lengths are
/// good.
fn families(body: &[u8]) -> Vec<(FamilyCode, Option<u8>)> {
    let counted =
        |octets: &[u8]| octets.first_chunk::<2>().map_or(0, |len| usize::from(u16::from_be_bytes(*len)));
    let mut rest = body.get(2 + counted(body)..).unwrap_or_default();
    let len = counted(rest);
    rest = rest.get(2..2 + len).unwrap_or_default();
    let mut families = Vec::new();
    while let [flags, code, after @ ..] = rest {
        let (head, len) = if flags & 0x10 != 0 {
            (2, counted(after))
        } else {
            (1, after.first().copied().unwrap_or(0).into())
        };
        let value = after.get(head..head + len).unwrap_or_default();
        if let (14 | 15, [high, low, safi, more @ ..]) = (code, value) {
            let family = FamilyCode { afi: u16::from_be_bytes([*high, *low]), safi: *safi };
            families.push((family, more.first().copied().filter(|_| *code == 14)));
        }
        rest = after.get(head + len..).unwrap_or_default();
    }
    families
}

/// Labels, route distinguishers, flow specifications: routecore reads them, and not always without a panic.
fn is_plain((family, _): &(FamilyCode, Option<u8>)) -> bool {
    matches!((family.afi, family.safi), (1 | 2, 1 | 2))
}

impl Comparison {
    fn attributes(&mut self, ours: &Reading, theirs: &Reading, cx: &DecodeContext) {
        let split = ["as4_path", "as4_aggregator"].iter().any(|name| theirs.attributes.contains_key(name));
        if split {
            self.merged(ours, theirs);
        }
        let names = ours.attributes.keys().chain(theirs.attributes.keys());
        let names = names.filter(|name| !split || !SPLIT.contains(name));
        for name in names.collect::<std::collections::BTreeSet<_>>() {
            let (mine, other) = (ours.attributes.get(name), theirs.attributes.get(name));
            if mine == other {
                continue;
            }
            match understood(name, mine, other, cx) {
                Some(reason) => self.reasons.push(reason),
                None => self.same(name, &mine, &other),
            }
        }
    }

    /// What was sent in two parts is compared as one, hop by hop.
    fn merged(&mut self, ours: &Reading, theirs: &Reading) {
        self.reasons.push(Reason::TwoOctets);
        let text = |name| ours.attributes.get(name).map(String::as_str);
        let (path, aggregator) = merge::merged(theirs);
        self.same("as_path", &merge::hops(text("as_path").unwrap_or_default()), &path);
        self.same("aggregator", &text("aggregator"), &aggregator);
    }
}

/// What a peer of two-octet AS numbers may send in two parts.
const SPLIT: [&str; 4] = ["as_path", "as4_path", "aggregator", "as4_aggregator"];

fn understood(
    name: &str,
    ours: Option<&String>,
    other: Option<&String>,
    cx: &DecodeContext,
) -> Option<Reason> {
    match name {
        "local_pref" if ours.is_none() && cx.peer == bgp_wire::PeerKind::External => {
            Some(Reason::InternalOnly)
        }
        "next_hop" if other.is_none() && ours.is_some_and(|hops| hops.contains(':')) => {
            Some(Reason::ExtendedNextHop)
        }
        "next_hop" if ours == other.map(|hops| without_odd_pairs(hops)).as_ref() => Some(Reason::NextHopPair),
        _ => None,
    }
}

/// Next hops, and of those pairs that RFC 2545 section 3 does not know the address that can be used.
fn without_odd_pairs(hops: &str) -> String {
    let link_local =
        |text: &str| text.parse::<Ipv6Addr>().is_ok_and(|address| address.is_unicast_link_local());
    let usable = |hop| match str::split_once(hop, ' ') {
        Some((first, second)) if !link_local(second) => first,
        Some((first, second)) if first == "::" || link_local(first) => second,
        _ => hop,
    };
    hops.split(", ").map(usable).collect::<Vec<_>>().join(", ")
}

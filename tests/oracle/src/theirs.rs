//! What routecore reads, in the same words.

use std::collections::BTreeSet;

use bgp_wire::{DecodeContext, Family};
use bytes::Bytes;
use routecore::bgp::ParseError;
use routecore::bgp::aspath::AsPath;
use routecore::bgp::message::UpdateMessage;
use routecore::bgp::message::update::SessionConfig;
use routecore::bgp::nlri::afisafi::{AfiSafiType, IsPrefix, Nlri};
use routecore::bgp::nlri::nexthop::NextHop;
use routecore::bgp::path_attributes::{PathAttribute, PathAttributeType};

use crate::Reading;

pub(crate) fn read(body: &Bytes, cx: &DecodeContext) -> Result<Reading, ParseError> {
    let mut config = if cx.four_octet_as { SessionConfig::modern() } else { SessionConfig::legacy() };
    for (family, theirs) in
        [(Family::Ipv4Unicast, AfiSafiType::Ipv4Unicast), (Family::Ipv6Unicast, AfiSafiType::Ipv6Unicast)]
    {
        if cx.add_path[family] {
            config.add_addpath_rxtx(theirs);
        }
    }
    let message = UpdateMessage::from_octets(framed(body), &config)?;
    let mut reading = Reading::default();
    for nlri in message.withdrawals()? {
        reading.withdrawn.extend(prefix(nlri?, cx));
    }
    for nlri in message.announcements()? {
        reading.announced.extend(prefix(nlri?, cx));
    }
    reading.withdrawn.sort();
    reading.announced.sort();
    attributes(&message, cx, &mut reading)?;
    Ok(reading)
}

/// With a header, which routecore wants.
fn framed(body: &Bytes) -> Vec<u8> {
    let len = u16::try_from(body.len() + 19).unwrap_or(u16::MAX);
    let mut octets = vec![0xff; 16];
    octets.extend(len.to_be_bytes());
    octets.push(2);
    octets.extend_from_slice(body);
    octets
}

/// The text of a prefix of a family that is spoken: others are not ours to compare.
fn prefix<O>(nlri: Nlri<O>, cx: &DecodeContext) -> Option<String> {
    let (family, text) = match nlri {
        Nlri::Ipv4Unicast(nlri) => (Family::Ipv4Unicast, nlri.prefix().to_string()),
        Nlri::Ipv6Unicast(nlri) => (Family::Ipv6Unicast, nlri.prefix().to_string()),
        Nlri::Ipv4UnicastAddpath(nlri) => (Family::Ipv4Unicast, with_id(&nlri)),
        Nlri::Ipv6UnicastAddpath(nlri) => (Family::Ipv6Unicast, with_id(&nlri)),
        _ => return None,
    };
    cx.families[family].then_some(text)
}

fn with_id(nlri: &impl IsPrefix) -> String {
    format!("{}#{}", nlri.prefix(), nlri.path_id().map_or_else(String::new, |id| id.to_string()))
}

fn attributes(
    message: &UpdateMessage<Vec<u8>>,
    cx: &DecodeContext,
    reading: &mut Reading,
) -> Result<(), ParseError> {
    let mut put = |name, text: Option<String>| {
        if let Some(text) = text {
            reading.attributes.insert(name, text);
        }
    };
    put("origin", message.origin()?.map(|origin| u8::from(origin).to_string()));
    put("as_path", message.aspath()?.map(|path| path_text(&path)));
    if !cx.four_octet_as {
        put("as4_path", message.as4path().ok().flatten().map(|path| path_text(&path)));
        put("as4_aggregator", as4_aggregator(message));
    }
    put("med", message.multi_exit_disc()?.map(|med| med.0.to_string()));
    put("local_pref", message.local_pref()?.map(|preference| preference.0.to_string()));
    put("atomic_aggregate", message.is_atomic_aggregate()?.then(String::new));
    let aggregator = message.aggregator()?;
    put("aggregator", aggregator.map(|one| format!("{} {}", one.asn().into_u32(), one.address())));
    let list =
        |texts: Option<Vec<String>>| texts.filter(|texts| !texts.is_empty()).map(|texts| texts.join(" "));
    let standard = message.communities()?;
    put("communities", list(standard.map(|all| all.map(|one| one.to_u32().to_string()).collect())));
    let extended = message.ext_communities()?;
    put("extended", list(extended.map(|all| all.map(|one| format!("{:?}", one.to_raw())).collect())));
    let ipv6 = message.ipv6_ext_communities()?;
    put("extended_ipv6", list(ipv6.map(|all| all.map(|one| format!("{:?}", one.to_raw())).collect())));
    let large = message.large_communities()?;
    // "A receiving speaker MUST silently remove redundant BGP Large Community values", RFC 8092 section 3.
    let mut seen = BTreeSet::new();
    let large = large.map(|all| all.map(|one| large_text(one.to_raw())));
    put("large", list(large.map(|all| all.filter(|text| seen.insert(text.clone())).collect())));
    put("next_hop", next_hops(message, cx));
    Ok(())
}

fn as4_aggregator(message: &UpdateMessage<Vec<u8>>) -> Option<String> {
    let found = message.path_attributes().ok()?.get(PathAttributeType::As4Aggregator)?;
    let PathAttribute::As4Aggregator(one) = found.to_owned().ok()? else { return None };
    Some(format!("{} {}", one.0.asn().into_u32(), one.0.address()))
}

fn path_text(path: &AsPath<&[u8]>) -> String {
    let segments: Vec<String> = path.segments().map(|segment| words(&segment.to_string())).collect();
    segments.join(" ")
}

/// `AS_SEQUENCE(AS1, AS2)` without the letters.
fn words(segment: &str) -> String {
    let (kind, asns) = segment.split_once('(').unwrap_or((segment, ")"));
    let asns: Vec<&str> =
        asns.trim_end_matches(')').split(", ").map(|asn| asn.trim_start_matches("AS")).collect();
    format!("{}({})", kind.trim_start_matches("AS_"), asns.join(","))
}

fn large_text(octets: [u8; 12]) -> String {
    let part = |at: usize| u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
    format!("{}:{}:{}", part(0), part(4), part(8))
}

/// NEXT_HOP where the classic field announces something, then that of MP_REACH_NLRI where it does.
fn next_hops(message: &UpdateMessage<Vec<u8>>, cx: &DecodeContext) -> Option<String> {
    let mut hops = Vec::new();
    if message.has_conventional_nlri() && cx.families[Family::Ipv4Unicast] {
        hops.push(text_of(message.conventional_next_hop().ok()??)?);
    }
    let announces = message.mp_announcements().ok().flatten();
    if announces.into_iter().flatten().filter_map(Result::ok).any(|nlri| prefix(nlri, cx).is_some()) {
        hops.push(text_of(message.mp_next_hop().ok()??)?);
    }
    Some(hops.join(", "))
}

fn text_of(next_hop: NextHop) -> Option<String> {
    match next_hop {
        NextHop::Unicast(address) => Some(address.to_string()),
        NextHop::Ipv6LL { global, link_local } => Some(format!("{global} {link_local}")),
        _ => None,
    }
}

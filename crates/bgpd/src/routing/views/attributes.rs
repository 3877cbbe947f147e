//! Path attributes as operators write them.

use bgp_api::Attributes;
use bgp_wire::Asn;
use bgp_wire::attribute::{AsPath, Origin, PathAttributes, Segment};

/// `attributes` in words; `local_pref` as received or as set.
pub(super) fn view(attributes: &PathAttributes, local_pref: Option<u32>) -> Attributes {
    Attributes {
        origin: match attributes.origin {
            Origin::Igp => "igp",
            Origin::Egp => "egp",
            Origin::Incomplete => "incomplete",
        }
        .to_owned(),
        as_path: as_path(&attributes.as_path),
        med: attributes.med,
        local_pref,
        communities: attributes.communities.iter().map(|community| standard(*community)).collect(),
        extended_communities: attributes
            .extended_communities
            .iter()
            .map(|community| hex(community))
            .chain(attributes.ipv6_extended_communities.iter().map(|community| hex(community)))
            .collect(),
        large_communities: attributes
            .large_communities
            .iter()
            .map(|community| format!("{}:{}:{}", community.global, community.local1, community.local2))
            .collect(),
        atomic_aggregate: attributes.atomic_aggregate,
        aggregator: attributes
            .aggregator
            .map(|aggregator| format!("{} {}", aggregator.asn, aggregator.router)),
        originator_id: attributes.originator_id.map(|id| id.to_string()),
        cluster_list: attributes.cluster_list.iter().map(ToString::to_string).collect(),
        aigp: attributes.aigp,
        otc: attributes.otc.map(|asn| asn.0),
        other: attributes
            .unknown
            .iter()
            .map(|unknown| format!("attribute {}, {} octets", unknown.code, unknown.value.len()))
            .collect(),
    }
}

/// How many words there will be, but for those that every path has.
pub(super) fn words(attributes: &PathAttributes) -> usize {
    let asns = |segment: &Segment| match segment {
        Segment::Sequence(asns) | Segment::Set(asns) => asns.len(),
        Segment::ConfedSequence(asns) | Segment::ConfedSet(asns) => asns.len(),
    };
    attributes.as_path.segments.iter().map(asns).sum::<usize>()
        + attributes.communities.len()
        + attributes.extended_communities.len()
        + attributes.ipv6_extended_communities.len()
        + attributes.large_communities.len()
        + attributes.cluster_list.len()
        + attributes.unknown.len()
}

fn as_path(path: &AsPath) -> String {
    let numbers =
        |asns: &[Asn], between: &str| asns.iter().map(ToString::to_string).collect::<Vec<_>>().join(between);
    let segments: Vec<_> = path
        .segments
        .iter()
        .map(|segment| match segment {
            Segment::Sequence(asns) => numbers(asns, " "),
            Segment::Set(asns) => format!("{{{}}}", numbers(asns, ",")),
            Segment::ConfedSequence(asns) => format!("({})", numbers(asns, " ")),
            Segment::ConfedSet(asns) => format!("[{}]", numbers(asns, ",")),
        })
        .collect();
    segments.join(" ")
}

/// Well-known communities by the names of the IANA registry.
fn standard(community: u32) -> String {
    let name = match community {
        0xffff_0000 => "graceful-shutdown",
        0xffff_0001 => "accept-own",
        0xffff_0006 => "llgr-stale",
        0xffff_0007 => "no-llgr",
        0xffff_029a => "blackhole",
        0xffff_ff01 => "no-export",
        0xffff_ff02 => "no-advertise",
        0xffff_ff03 => "no-export-subconfed",
        0xffff_ff04 => "no-peer",
        other => return format!("{}:{}", other >> 16, other & 0xffff),
    };
    name.to_owned()
}

fn hex(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::from("0x"), |mut text, octet| {
        // Writing to a String cannot fail.
        write!(text, "{octet:02x}").unwrap_or_default();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_communities_read_as_operators_write_them() {
        let path = AsPath {
            segments: vec![Segment::Sequence(vec![Asn(64512), Asn(1)]), Segment::Set(vec![Asn(2), Asn(3)])],
        };
        assert_eq!(as_path(&path), "64512 1 {2,3}");
        assert_eq!(standard(0xffff_ff01), "no-export");
        assert_eq!(standard(0xfc00_0064), "64512:100");
        assert_eq!(hex(&[0, 2, 255]), "0x0002ff");
    }
}

//! What `bgp-wire` reads, in words.

use std::net::IpAddr;

use bgp_wire::attribute::Segment;
use bgp_wire::{NextHop, Nlri, PathAttributes, Update};

use crate::Reading;

pub(crate) fn reading(update: &Update) -> Reading {
    let mut reading = Reading {
        withdrawn: prefixes(update.withdrawn.iter()),
        announced: prefixes(update.announced.iter().map(|announcement| &announcement.nlri)),
        ..Reading::default()
    };
    if let Some(set) = &update.attributes {
        attributes(&set.parse(), &mut reading);
        let hops: Vec<String> = update.announced.iter().map(|one| next_hop(one.next_hop)).collect();
        reading.attributes.insert("next_hop", hops.join(", "));
    }
    reading
}

/// Whether the octets of a prefix say more than the prefix.
pub(crate) fn has_host_bits(update: &Update) -> bool {
    let nlri = update.withdrawn.iter().chain(update.announced.iter().map(|one| &one.nlri));
    nlri.into_iter().any(|nlri| {
        let said: Vec<u8> = nlri
            .iter()
            .flat_map(|entry| {
                let id = if nlri.has_path_ids() { entry.path_id.to_be_bytes().to_vec() } else { Vec::new() };
                let address = match entry.prefix.address() {
                    IpAddr::V4(address) => address.octets().to_vec(),
                    IpAddr::V6(address) => address.octets().to_vec(),
                };
                let len = entry.prefix.len();
                [&id[..], &[len], &address[..usize::from(len.div_ceil(8))]].concat()
            })
            .collect();
        said != nlri.octets()[..]
    })
}

fn prefixes<'a>(nlri: impl Iterator<Item = &'a Nlri>) -> Vec<String> {
    let entry = |nlri: &'a Nlri| {
        nlri.iter().map(move |entry| match nlri.has_path_ids() {
            true => format!("{}#{}", entry.prefix, entry.path_id),
            false => entry.prefix.to_string(),
        })
    };
    let mut all: Vec<String> = nlri.flat_map(entry).collect();
    all.sort();
    all
}

fn next_hop(next_hop: NextHop) -> String {
    match next_hop {
        NextHop::V4(address) => address.to_string(),
        NextHop::V6(address) => address.to_string(),
        NextHop::V6WithLinkLocal(global, link_local) => format!("{global} {link_local}"),
    }
}

fn attributes(values: &PathAttributes, reading: &mut Reading) {
    let mut put = |name, text: Option<String>| {
        if let Some(text) = text {
            reading.attributes.insert(name, text);
        }
    };
    put("origin", Some((values.origin as u8).to_string()));
    put("as_path", Some(values.as_path.segments.iter().map(segment).collect::<Vec<_>>().join(" ")));
    put("med", values.med.map(|med| med.to_string()));
    put("local_pref", values.local_pref.map(|preference| preference.to_string()));
    put("atomic_aggregate", values.atomic_aggregate.then(String::new));
    let aggregator = values.aggregator.as_ref();
    put("aggregator", aggregator.map(|one| format!("{} {}", one.asn.0, one.router)));
    let list = |texts: Vec<String>| (!texts.is_empty()).then(|| texts.join(" "));
    put("communities", list(values.communities.iter().map(u32::to_string).collect()));
    put("extended", list(values.extended_communities.iter().map(|one| format!("{one:?}")).collect()));
    put(
        "extended_ipv6",
        list(values.ipv6_extended_communities.iter().map(|one| format!("{one:?}")).collect()),
    );
    let large = values.large_communities.iter();
    put("large", list(large.map(|one| format!("{}:{}:{}", one.global, one.local1, one.local2)).collect()));
}

fn segment(segment: &Segment) -> String {
    let (kind, asns) = match segment {
        Segment::Set(asns) => ("SET", asns),
        Segment::Sequence(asns) => ("SEQUENCE", asns),
        Segment::ConfedSequence(asns) => ("CONFED_SEQUENCE", asns),
        Segment::ConfedSet(asns) => ("CONFED_SET", asns),
    };
    let asns: Vec<String> = asns.iter().map(|asn| asn.0.to_string()).collect();
    format!("{kind}({})", asns.join(","))
}

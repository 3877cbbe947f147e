//! What was decoded, in the words of the corpus.

use bgp_wire::{NextHop, Nlri, Open, PathAttributes};
use serde_json::{Map, Value, json};

use super::record::hex;

/// Prefixes as text, with `#` and the path identifier where they have one.
pub(crate) fn prefixes<'a>(nlri: impl Iterator<Item = &'a Nlri>) -> Vec<String> {
    nlri.flat_map(|nlri| {
        nlri.iter().map(move |entry| {
            if nlri.has_path_ids() {
                format!("{}#{}", entry.prefix, entry.path_id)
            } else {
                entry.prefix.to_string()
            }
        })
    })
    .collect()
}

pub(crate) fn next_hop(next_hop: NextHop) -> Vec<String> {
    match next_hop {
        NextHop::V4(address) => vec![address.to_string()],
        NextHop::V6(address) => vec![address.to_string()],
        NextHop::V6WithLinkLocal(global, link_local) => vec![global.to_string(), link_local.to_string()],
    }
}

/// Code and value of each capability, out of the OPEN encoded again.
pub(crate) fn capabilities(open: &Open) -> Value {
    let encoded = open.encode();
    let mut rest = match &encoded[28..] {
        [255, 255, _, _, 2, _, _, capabilities @ ..] => capabilities,
        [_, 2, _, capabilities @ ..] => capabilities,
        _ => &[],
    };
    let mut list = Vec::new();
    while let [code, length, tail @ ..] = rest {
        let (value, after) = tail.split_at(usize::from(*length));
        list.push(json!([code, hex(value)]));
        rest = after;
    }
    Value::Array(list)
}

/// The attributes, with a key for each that is there.
pub(crate) fn attributes(attributes: &PathAttributes) -> Map<String, Value> {
    let mut map = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(key.to_owned(), value);
        }
    };
    let a = attributes;
    put("origin", Some(json!(a.origin.to_string())));
    put("as_path", Some(json!(a.as_path.to_string())));
    put("med", a.med.map(|v| json!(v)));
    put("local_pref", a.local_pref.map(|v| json!(v)));
    put("atomic_aggregate", a.atomic_aggregate.then_some(json!(true)));
    put("aggregator", a.aggregator.map(|v| json!(v.to_string())));
    put("communities", list(a.communities.iter().map(|c| format!("{}:{}", c >> 16, c & 0xffff))));
    put("ext_communities", list(a.extended_communities.iter().map(|c| hex(c))));
    put("ipv6_ext_communities", list(a.ipv6_extended_communities.iter().map(|c| hex(c))));
    put("large_communities", list(a.large_communities.iter().map(ToString::to_string)));
    put("originator_id", a.originator_id.map(|v| json!(v.to_string())));
    put("cluster_list", list(a.cluster_list.iter().map(ToString::to_string)));
    put("aigp", a.aigp.map(|v| json!(v)));
    put("otc", a.otc.map(|v| json!(v.0)));
    let unknown = a.unknown.iter().map(|u| json!([u.code, u.flags, hex(&u.value)]));
    put("unknown", Some(Value::Array(unknown.collect())));
    map
}

fn list(items: impl Iterator<Item = String>) -> Option<Value> {
    let items: Vec<Value> = items.map(Value::String).collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

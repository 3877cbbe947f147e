//! What was decoded, in the words of the corpus.

use bgp_wire::attribute::flags;
use bgp_wire::update::encode;
use bgp_wire::{
    Announcement, DecodeContext, EncodeContext, Message, NextHop, Nlri, Open, PathAttributes, PeerKind,
    PerFamily, Update,
};
use bytes::BytesMut;
use serde_json::{Map, Value, json};

use super::record::{Outcome, hex};

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

/// Says an UPDATE again, to a reader of four-octet numbers and to one of two, and compares what these read.
pub(crate) fn round_trip(update: &Update) -> Vec<String> {
    let mut differences = Vec::new();
    if let Some(attributes) = &update.attributes {
        let values = attributes.parse();
        if values.to_bytes().parse() != values {
            differences.push("the attributes change on their way through octets".to_owned());
        }
        // A path with confederation segments does not pass a peer of short numbers whole: AS4_PATH has none of them
        // (RFC 6793 section 4.2.2).
        let readers: &[bool] = if values.as_path.has_confederation() { &[true] } else { &[true, false] };
        for four_octet_as in readers.iter().copied() {
            for announcement in &update.announced {
                differences.extend(announced_again(announcement, &values, four_octet_as));
            }
        }
    }
    for nlri in &update.withdrawn {
        differences.extend(withdrawn_again(nlri));
    }
    differences
}

fn contexts(nlri: &Nlri, four_octet_as: bool) -> (EncodeContext, DecodeContext) {
    let add_path = PerFamily::from_fn(|_| nlri.has_path_ids());
    let encode = EncodeContext { four_octet_as, add_path, max_len: 65535, ..EncodeContext::default() };
    let decode =
        DecodeContext { four_octet_as, add_path, peer: PeerKind::Internal, ..DecodeContext::default() };
    (encode, decode)
}

fn announced_again(
    announcement: &Announcement,
    values: &PathAttributes,
    four_octet_as: bool,
) -> Option<String> {
    let (encode_cx, decode_cx) = contexts(&announcement.nlri, four_octet_as);
    let mut entries = announcement.nlri.iter().peekable();
    let mut out = BytesMut::new();
    encode::announce(&encode_cx, values, announcement.next_hop, &mut entries, &mut out).ok()?;
    let Outcome::Message(Message::Update(again)) = Outcome::of(&out, true, &decode_cx) else {
        return Some("the announcement cannot be read again".to_owned());
    };
    let mut expected = values.clone();
    expected.unknown.iter_mut().for_each(|unknown| unknown.flags |= flags::PARTIAL);
    // Compared as text: sequences that stand side by side may come back joined.
    let (before, after) = (attributes(&expected), again.attributes.as_ref().map(|a| attributes(&a.parse())));
    let same = after == Some(before)
        && again.faults.is_empty()
        && again.announced.len() == 1
        && again
            .announced
            .iter()
            .all(|a| a.nlri.iter().eq(&announcement.nlri) && a.next_hop == announcement.next_hop);
    (!same).then(|| format!("announced again (four octets: {four_octet_as}) it is {again:?}"))
}

fn withdrawn_again(nlri: &Nlri) -> Option<String> {
    let (encode_cx, decode_cx) = contexts(nlri, true);
    let mut out = BytesMut::new();
    encode::withdraw(&encode_cx, nlri.family(), &mut nlri.iter().peekable(), &mut out);
    match Outcome::of(&out, true, &decode_cx) {
        Outcome::Message(Message::Update(again)) if again.withdrawn.iter().flatten().eq(nlri) => None,
        other => Some(format!("withdrawn again it is {other:?}")),
    }
}

//! What a record expects, compared with what came of it.
//!
//! The expectations are of a reader of single messages that carries unicast and multicast and keeps everything. Where
//! this speaker rightly does otherwise is a [`Rule`]: each has its line with clause and reason in `deviations.txt`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use bgp_wire::attribute::Remedy;
use bgp_wire::{Family, Message, NextHop, Notification, Open, PeerKind, RouteRefresh, Update};
use serde_json::{Map, Value, json};

use super::outcome::Outcome;
use super::raw::Raw;
use super::record::{Record, hex, unhex};
use super::seen;

/// What differs between `outcome` and what the record expects; `None` where the expectation does not hold for this speaker.
pub(crate) fn differences(record: &Record, outcome: Outcome) -> Option<Differences> {
    // "applies_if": only where an attribute or family is implemented that is not here. It still had to be survived.
    if record.conditional {
        return None;
    }
    let mut found = Differences::default();
    let expect = &record.expect;
    match (action(expect), outcome) {
        (Action::Notification(wanted), Outcome::Fault(notification)) => {
            found.notification(&wanted, &notification)
        }
        (Action::Notification(_), Outcome::Message(Message::Update(_)))
            if Raw::read(record.body()).foreign_mp && blames_mp(expect) =>
        {
            found.rule(FAMILY_NOT_CARRIED, true);
        }
        (Action::Withdraw, outcome) => treat_as_withdraw(record, outcome, &mut found),
        (Action::Accept(remedy), Outcome::Message(message)) => accepted(record, remedy, message, &mut found),
        (action, outcome) => found.note("outcome", format!("{action:?}"), format!("{outcome:?}")),
    }
    Some(found)
}

/// Whether it is MP_REACH_NLRI or MP_UNREACH_NLRI that is at fault, as far as the record says.
fn blames_mp(expect: &Value) -> bool {
    expect["attr"].as_u64().is_none_or(|code| matches!(code, 14 | 15))
}

/// A way in which this speaker does otherwise than the corpus expects, named as in `deviations.txt`.
pub(crate) type Rule = &'static str;

const RESET_WITHOUT_NLRI: Rule = "rule: no reachable NLRI";
const FAMILY_NOT_CARRIED: Rule = "rule: family not carried";
const INTERNAL_ONLY: Rule = "rule: internal peers only";
const NON_TRANSITIVE: Rule = "rule: unknown and not transitive";
const AS4_MERGED: Rule = "rule: AS4_PATH merged";
const ODD_NEXT_HOP_PAIR: Rule = "rule: odd pair of next hops";
const RESERVED_BITS: Rule = "rule: reserved bits of a capability";

/// What is to be done with a message.
#[derive(Debug)]
enum Action {
    Accept(Option<Remedy>),
    Withdraw,
    Notification(String),
}

fn action(expect: &Value) -> Action {
    match expect["error"].as_str() {
        None => Action::Accept(None),
        Some("7606 action: attribute-discard") => Action::Accept(Some(Remedy::DiscardAttribute)),
        Some("7606 action: treat-as-withdraw") => Action::Withdraw,
        Some(error) => {
            let wanted = expect["notification"].as_str().or_else(|| error.strip_prefix("NOTIFICATION "));
            Action::Notification(wanted.unwrap_or("3/*").to_owned())
        }
    }
}

/// What differs, and which rules had a say.
#[derive(Default)]
pub(crate) struct Differences {
    pub(crate) texts: Vec<String>,
    pub(crate) rules: BTreeSet<Rule>,
}

impl Differences {
    /// Such as no rule has had a say in.
    pub(crate) fn plain(texts: Vec<String>) -> Self {
        Self { texts, ..Self::default() }
    }

    /// Notes that `rule` has changed an expectation, where it has.
    fn rule(&mut self, rule: Rule, changed: bool) {
        if changed {
            self.rules.insert(rule);
        }
    }

    fn note(&mut self, field: &str, wanted: impl std::fmt::Display, got: impl std::fmt::Display) {
        self.texts.push(format!("{field}: expected {wanted}, got {got}"));
    }

    fn same(&mut self, field: &str, wanted: &Value, got: &Value) {
        if wanted != got {
            self.note(field, wanted, got);
        }
    }

    fn notification(&mut self, wanted: &str, got: &Notification) {
        let exact = format!("{}/{}", got.code, got.subcode);
        if wanted != exact && wanted != format!("{}/*", got.code) {
            self.note("notification", wanted, exact);
        }
    }
}

fn accepted(record: &Record, remedy: Option<Remedy>, message: Message, found: &mut Differences) {
    let expect = &record.expect;
    let kind = expect["kind"].as_str().unwrap_or_default();
    match (kind, message) {
        ("open", Message::Open(open)) => compare_open(expect, &open, found),
        ("update", Message::Update(update)) => {
            let worst = update.faults.iter().map(|fault| fault.remedy).max();
            found.same("remedy", &json!(format!("{remedy:?}")), &json!(format!("{worst:?}")));
            compare_fault(expect, &update, found);
            compare_update(record, &update, found);
        }
        ("notification", Message::Notification(n)) => compare_notification(expect, &n, found),
        ("route-refresh", Message::RouteRefresh(refresh)) => compare_refresh(expect, &refresh, found),
        ("keepalive", Message::Keepalive) => {}
        (kind, message) => found.note("kind", kind, format!("{message:?}")),
    }
}

fn compare_open(expect: &Value, open: &Open, found: &mut Differences) {
    found.same("asn", &expect["asn"], &json!(open.asn.0));
    found.same("hold_time", &expect["hold_time"], &json!(open.hold_time.as_secs()));
    found.same("router_id", &expect["router_id"], &json!(open.router_id.to_string()));
    let mut wanted = expect["capabilities"].clone();
    wanted.as_array_mut().into_iter().flatten().for_each(without_reserved_bits);
    found.rule(RESERVED_BITS, wanted != expect["capabilities"]);
    found.same("capabilities", &wanted, &seen::capabilities(open));
}

/// A capability without the bits that its section has a receiver ignore: of Graceful Restart all but R, N, time and F, of
/// its long-lived kind all but F and time, of Multiprotocol the octet between.
fn without_reserved_bits(capability: &mut Value) {
    let mut value = unhex(capability[1].as_str().unwrap_or_default());
    match (capability[0].as_u64(), value.len()) {
        (Some(64), length) if length % 4 == 2 => {
            value[0] &= 0xcf;
            value.iter_mut().skip(5).step_by(4).for_each(|flags| *flags &= 0x80);
        }
        (Some(71), length) if length % 7 == 0 => {
            value.iter_mut().skip(3).step_by(7).for_each(|flags| *flags &= 0x80);
        }
        (Some(1), 4) => value[2] = 0,
        _ => return,
    }
    capability[1] = json!(hex(&value));
}

fn compare_notification(expect: &Value, notification: &Notification, found: &mut Differences) {
    found.same("code", &expect["code"], &json!(notification.code));
    found.same("subcode", &expect["subcode"], &json!(notification.subcode));
    found.same("data", &expect["data"], &json!(hex(&notification.data)));
}

fn compare_refresh(expect: &Value, refresh: &RouteRefresh, found: &mut Differences) {
    found.same("afi", &expect["afi"], &json!(refresh.family.afi));
    found.same("safi", &expect["safi"], &json!(refresh.family.safi));
    found.same("subtype", &expect["subtype"], &json!(u8::from(refresh.subtype)));
}

/// The attribute that the record blames is among those that were found at fault.
fn compare_fault(expect: &Value, update: &Update, found: &mut Differences) {
    if let Some(code) = expect["attr"].as_u64() {
        let codes: Vec<u8> = update.faults.iter().map(|fault| fault.code).collect();
        if !codes.iter().any(|found| u64::from(*found) == code) {
            found.note("attribute at fault", code, format!("{codes:?}"));
        }
    }
}

fn treat_as_withdraw(record: &Record, outcome: Outcome, found: &mut Differences) {
    let raw = Raw::read(record.body());
    // RFC 7606 section 5.2: without reachable NLRI, and with other attributes than MP_UNREACH_NLRI, "the "session reset"
    // approach MUST be used".
    let reset = !raw.classic && !raw.mp_reachable && !raw.mp_unreach_only;
    match outcome {
        Outcome::Fault(notification) if reset => {
            found.rule(RESET_WITHOUT_NLRI, true);
            found.notification("3/*", &notification);
        }
        Outcome::Message(Message::Update(update)) if !reset => {
            let worst = update.faults.iter().map(|fault| fault.remedy).max();
            if worst != Some(Remedy::TreatAsWithdraw) {
                found.note("remedy", "treat-as-withdraw", format!("{worst:?}"));
            }
            compare_fault(&record.expect, &update, found);
            let mut got = seen::prefixes(update.withdrawn.iter());
            let mut wanted = prefixes(&record.expect["withdrawn"]);
            found.rule(FAMILY_NOT_CARRIED, take_out(&mut wanted, &raw.foreign.0));
            found.rule(FAMILY_NOT_CARRIED, take_out(&mut wanted, &raw.foreign.1));
            got.sort();
            wanted.sort();
            found.same("withdrawn", &json!(wanted), &json!(got));
            found.same("announced", &json!(0), &json!(update.announced.len()));
        }
        outcome => found.note(
            "outcome",
            if reset { "session reset" } else { "treat-as-withdraw" },
            format!("{outcome:?}"),
        ),
    }
}

fn compare_update(record: &Record, update: &Update, found: &mut Differences) {
    let (expect, raw) = (&record.expect, Raw::read(record.body()));
    for (field, foreign, got) in [
        ("announced", &raw.foreign.0, seen::prefixes(update.announced.iter().map(|a| &a.nlri))),
        ("withdrawn", &raw.foreign.1, seen::prefixes(update.withdrawn.iter())),
    ] {
        let mut wanted = prefixes(&expect[field]);
        found.rule(FAMILY_NOT_CARRIED, take_out(&mut wanted, foreign));
        found.same(field, &json!(wanted), &json!(got));
    }
    let families = Family::ALL.map(|family| family.to_string());
    let wanted = expect["eor"].as_str().filter(|eor| families.iter().any(|family| family == eor));
    found.same("eor", &json!(wanted), &json!(update.end_of_rib.map(|family| family.to_string())));
    compare_next_hops(expect, &raw, update, found);
    match &update.attributes {
        // Without a route there is nothing that has attributes.
        None => found.same("attributes without routes", &json!(0), &json!(update.announced.len())),
        Some(attributes) => {
            let values = attributes.parse();
            compare_attributes(record, &seen::attributes(&values), found);
            if let Some(hops) = expect["as_path_hops"].as_u64() {
                found.same("as_path_hops", &json!(hops), &json!(values.as_path.selection_length()));
            }
        }
    }
}

fn compare_next_hops(expect: &Value, raw: &Raw, update: &Update, found: &mut Differences) {
    let mut announced = update.announced.iter();
    if raw.classic {
        let got = announced.next().map(|a| seen::next_hop(a.next_hop).join(" "));
        found.same("nexthop", &expect["nexthop"], &json!(got));
    }
    if let Some(announcement) = announced.next() {
        let wanted: Vec<IpAddr> =
            texts(&expect["mp_nexthop"]).iter().map(|text| text.parse().unwrap()).collect();
        let usable = usable(&wanted);
        found.rule(ODD_NEXT_HOP_PAIR, usable != wanted.as_slice());
        let wanted: Vec<String> = usable.iter().map(ToString::to_string).collect();
        found.same("mp_nexthop", &json!(wanted), &json!(seen::next_hop(announcement.next_hop)));
        assert!(!matches!(announcement.next_hop, NextHop::V4(_)) || raw.reach_family == Some((1, 1)));
    }
}

/// Of a pair, what RFC 2545 section 3 knows: not a second address that is not link-local, nor a first one that is no
/// global one beside it.
fn usable(pair: &[IpAddr]) -> &[IpAddr] {
    let no_global = |address: Ipv6Addr| address.is_unspecified() || address.is_unicast_link_local();
    match pair {
        [_, IpAddr::V6(second)] if !second.is_unicast_link_local() => &pair[..1],
        [IpAddr::V6(first), IpAddr::V6(_)] if no_global(*first) => &pair[1..],
        _ => pair,
    }
}

const ATTRIBUTES: [&str; 14] = [
    "origin",
    "as_path",
    "med",
    "local_pref",
    "atomic_aggregate",
    "aggregator",
    "communities",
    "ext_communities",
    "ipv6_ext_communities",
    "large_communities",
    "originator_id",
    "cluster_list",
    "aigp",
    "otc",
];

fn compare_attributes(record: &Record, got: &Map<String, Value>, found: &mut Differences) {
    let mut wanted = record.expect.clone();
    if record.context.peer == PeerKind::External {
        for internal in ["local_pref", "originator_id", "cluster_list", "aigp"] {
            found.rule(INTERNAL_ONLY, !wanted[internal].is_null());
            wanted[internal] = Value::Null;
        }
    }
    if !record.context.four_octet_as {
        let sent = wanted.clone();
        merge_as4(&mut wanted);
        found.rule(AS4_MERGED, sent != wanted);
    }
    // "MUST be ignored" are the four low bits of flags, RFC 4271 section 4.3; and a large community that occurs again is taken
    // for one, RFC 8092 section 3.
    let opaque = ["unknown", "opaque"].map(|key| wanted[key].as_array().cloned().unwrap_or_default());
    let mut unknown: Vec<Value> = opaque.concat();
    unknown.iter_mut().for_each(|entry| entry[1] = json!(entry[1].as_u64().unwrap_or_default() & 0xf0));
    if let Some(communities) = wanted["large_communities"].as_array_mut() {
        let mut seen = BTreeSet::new();
        communities.retain(|community| seen.insert(community.to_string()));
    }
    for field in ATTRIBUTES {
        found.same(field, &wanted[field], got.get(field).unwrap_or(&Value::Null));
    }
    let all = unknown.len();
    unknown.retain(|entry| entry[1].as_u64().is_some_and(|flags| flags & 0x40 != 0));
    found.rule(NON_TRANSITIVE, unknown.len() < all);
    let mut kept = got["unknown"].as_array().cloned().unwrap_or_default();
    let order = |entry: &Value| entry[0].as_u64();
    unknown.sort_by_key(order);
    kept.sort_by_key(order);
    found.same("unknown", &Value::Array(unknown), &Value::Array(kept));
}

/// RFC 6793 section 4.2.3, on the text of the corpus, which gives the path of two octets as it was sent.
fn merge_as4(wanted: &mut Value) {
    let aggregator = wanted["aggregator"].as_str().unwrap_or_default().to_owned();
    let as4_aggregator = wanted["as4_aggregator"].as_str().map(str::to_owned);
    if as4_aggregator.is_some() && !aggregator.is_empty() && !aggregator.starts_with("23456 ") {
        return;
    }
    if let Some(four) = as4_aggregator.filter(|_| !aggregator.is_empty()) {
        wanted["aggregator"] = json!(four);
    }
    let (Some(two), Some(four)) = (wanted["as_path"].as_str(), wanted["as4_path"].as_str()) else { return };
    let (two, four) = (hops(two), hops(four));
    let counts = |hops: &[String]| hops.iter().filter(|hop| !hop.starts_with(['(', '['])).count();
    let Some(mut surplus) = counts(&two).checked_sub(counts(&four)) else { return };
    let leading = two.iter().take_while(|hop| {
        let confederation = hop.starts_with(['(', '[']);
        let taken = confederation || surplus > 0;
        surplus -= usize::from(taken && !confederation);
        taken
    });
    let outside = four.iter().filter(|hop| !hop.starts_with(['(', '[']));
    let merged: Vec<String> = leading.chain(outside).cloned().collect();
    wanted["as_path"] = json!(merged.join(" "));
}

/// The numbers of sequences one by one, sets and confederation segments whole.
fn hops(path: &str) -> Vec<String> {
    let mut hops: Vec<String> = Vec::new();
    let mut inside = false;
    for word in path.split_whitespace() {
        if inside {
            let last = hops.last_mut().expect("a segment is open");
            last.push(' ');
            last.push_str(word);
        } else {
            hops.push(word.to_owned());
        }
        inside = (inside || word.starts_with('(')) && !word.ends_with(')');
    }
    hops
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Prefixes as this crate writes them: `::ffff:192.0.2.0/120` is `::ffff:c000:200/120` to other readers.
fn prefixes(value: &Value) -> Vec<String> {
    let written = |text: String| {
        let (prefix, id) =
            text.split_once('#').map_or((text.as_str(), None), |(prefix, id)| (prefix, Some(id)));
        let Ok(prefix) = prefix.parse::<bgp_wire::Prefix>() else { return text };
        id.map_or_else(|| prefix.to_string(), |id| format!("{prefix}#{id}"))
    };
    texts(value).into_iter().map(written).collect()
}

/// Takes each of `foreign` out of `list` once, from behind: what an MP attribute holds is written last.
fn take_out(list: &mut Vec<String>, foreign: &[String]) -> bool {
    let before = list.len();
    for prefix in foreign {
        if let Some(at) = list.iter().rposition(|listed| listed == prefix) {
            list.remove(at);
        }
    }
    list.len() < before
}

//! What was decoded, said to another peer.

use bgp_wire::attribute::flags;
use bgp_wire::update::encode;
use bgp_wire::{
    Announcement, DecodeContext, EncodeContext, Message, Nlri, PathAttributes, PeerKind, PerFamily, Update,
    context, message,
};
use bytes::{Bytes, BytesMut};

use super::outcome::Outcome;
use super::seen::attributes;

/// How the message differs when it is encoded and decoded; `None` for what cannot be said again as it was.
pub(crate) fn round_trip(message: Message) -> Option<Vec<String>> {
    Some(match message {
        Message::Update(update) => update_again(&update),
        Message::Open(open) => same_again(&open.encode(), &Message::Open(open)),
        // What of ours says more is cut, RFC 8654 section 5.
        Message::Notification(n) if n.data.len() > context::MAX_MESSAGE - 21 => return None,
        Message::Notification(n) => same_again(&n.encode(), &Message::Notification(n)),
        Message::RouteRefresh(refresh) => same_again(&refresh.encode(), &Message::RouteRefresh(refresh)),
        Message::Keepalive => same_again(&message::keepalive(), &Message::Keepalive),
    })
}

fn same_again(encoded: &Bytes, message: &Message) -> Vec<String> {
    match Outcome::of(encoded, false, &DecodeContext::default()) {
        Outcome::Message(again) if again == *message => Vec::new(),
        other => vec![format!("encoded and decoded it is {other:?}")],
    }
}

/// Says an UPDATE again, to a reader of four-octet numbers and to one of two, and compares what these read.
fn update_again(update: &Update) -> Vec<String> {
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

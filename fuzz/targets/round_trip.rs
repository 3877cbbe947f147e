//! Whatever UPDATE can be decoded is said to another peer, and that one reads the same routes and attributes.
#![no_main]

use bgp_wire::attribute::{AttributeSlice, flags};
use bgp_wire::update::{self, encode};
use bgp_wire::{
    Announcement, DecodeContext, EncodeContext, Framer, Next, NlriEntry, PathAttributes, PeerKind, PerFamily,
    Update,
};
use bgpd_rs_fuzz::context;
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

fn contexts(how: u8, add_path: bool) -> (EncodeContext, DecodeContext) {
    let (four_octet_as, add_path) = (how & 0x40 == 0, PerFamily { ipv4: add_path, ipv6: add_path });
    let max_len = if how & 0x80 == 0 { 4096 } else { 65535 };
    let encode = EncodeContext { four_octet_as, add_path, max_len, ..EncodeContext::default() };
    let decode =
        DecodeContext { four_octet_as, add_path, peer: PeerKind::Internal, ..DecodeContext::default() };
    (encode, decode)
}

fn read(mut stream: BytesMut, cx: &DecodeContext) -> Vec<Update> {
    let mut framer = Framer::new();
    framer.allow_extended();
    let mut updates = Vec::new();
    while let Next::Message(frame) = framer.next(&mut stream) {
        is_regular(&frame.body);
        updates.push(update::decode(&frame.body, cx).expect("our own UPDATE is good"));
    }
    assert!(stream.is_empty());
    updates
}

/// MP_REACH_NLRI or MP_UNREACH_NLRI first (RFC 7606 section 5.1), the others by ascending code; no flag that means nothing.
fn is_regular(body: &[u8]) {
    const MP: [u8; 2] = [14, 15];
    let section =
        |octets: &[u8]| octets.first_chunk().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
    let attributes = &body[2 + section(body)..];
    let attributes = AttributeSlice::of_octets(&attributes[2..2 + section(attributes)]);
    assert!(attributes.iter().skip(1).all(|attribute| !MP.contains(&attribute.code)));
    let codes = attributes.iter().map(|attribute| attribute.code).filter(|code| !MP.contains(code));
    assert!(codes.is_sorted_by(|a, b| a < b));
    for attribute in attributes.iter() {
        let transitive = attribute.flags & 0xc0 == 0xc0;
        assert_eq!(attribute.flags & if transitive { 0x0f } else { 0x2f }, 0, "of {}", attribute.code);
    }
}

fn announced(how: u8, announcement: &Announcement, values: &PathAttributes) {
    let (cx, peer) = contexts(how, announcement.nlri.has_path_ids());
    let (mut out, mut entries) = (BytesMut::new(), announcement.nlri.iter().peekable());
    while entries.peek().is_some() {
        if encode::announce(&cx, values, announcement.next_hop, &mut entries, &mut out).is_err() {
            return;
        }
    }
    let mut expected = values.clone();
    expected.unknown.iter_mut().for_each(|unknown| unknown.flags |= flags::PARTIAL);
    let updates = read(out, &peer);
    for update in &updates {
        assert!(update.faults.is_empty());
        assert!(update.announced.iter().all(|again| again.next_hop == announcement.next_hop));
        let got = update.attributes.as_ref().expect("it announces").parse();
        // AS4_PATH carries no confederation segments (RFC 6793 section 4.2.2), so that a peer of short numbers may not
        // get such a path back as it was.
        if cx.four_octet_as || !expected.as_path.has_confederation() {
            assert_eq!(got.as_path.to_string(), expected.as_path.to_string());
        }
        assert_eq!(PathAttributes { as_path: expected.as_path.clone(), ..got }, expected);
    }
    let got: Vec<NlriEntry> = updates.iter().flat_map(|u| &u.announced).flat_map(|a| &a.nlri).collect();
    assert!(got.into_iter().eq(&announcement.nlri));
}

fuzz_target!(|input: &[u8]| {
    let [how, body @ ..] = input else { return };
    let Ok(update) = update::decode(&Bytes::copy_from_slice(body), &context(*how)) else { return };
    if let Some(set) = &update.attributes {
        let values = set.parse();
        update.announced.iter().for_each(|announcement| announced(*how, announcement, &values));
    }
    for nlri in &update.withdrawn {
        let (cx, peer) = contexts(*how, nlri.has_path_ids());
        let (mut out, mut entries) = (BytesMut::new(), nlri.iter().peekable());
        while entries.peek().is_some() {
            assert!(encode::withdraw(&cx, nlri.family(), &mut entries, &mut out) > 0);
        }
        let got: Vec<NlriEntry> = read(out, &peer).iter().flat_map(|u| &u.withdrawn).flatten().collect();
        assert!(got.into_iter().eq(nlri));
    }
});

//! Every record of the corpus of BGP messages: octets in, meaning or remedy out.
//!
//! What a record expects is `expect`, the text form of what was decoded is `seen`, what holds for every UPDATE is `laws`;
//! running and counting is `tally`. The tests of bgp-session say the same records to a session.

mod again;
mod deviations;
mod expect;
#[expect(unreachable_pub, reason = "shared with the fuzz targets")]
mod laws;
mod outcome;
mod raw;
mod record;
mod seen;
mod tally;

use std::collections::HashSet;

use bgp_wire::iana::message as kind;
use bgp_wire::{
    DecodeContext, Frame, Framer, Message, Next, NlriEntry, PeerKind, PerFamily, Update, message,
};
use bytes::BytesMut;

use deviations::Deviations;
use expect::Differences;
use outcome::{Outcome, first_frame};
use record::{EXPECTED, Record, UNCLEAR};
use tally::{run, run_with_rules, settle};

fn differences(record: &Record) -> Option<Differences> {
    expect::differences(record, Outcome::of(&record.octets, record.extended, &record.context))
}

#[test]
fn valid_messages_mean_what_is_expected() {
    settle(&run_with_rules(&["own", "valid", "valid.copyleft"], differences));
}

#[test]
fn malformed_messages_cost_what_the_rfcs_say() {
    settle(&run_with_rules(&["malformed", "malformed.copyleft"], differences));
}

#[test]
fn messages_of_route_collectors_mean_what_is_expected() {
    settle(&run_with_rules(&["real_updates"], differences));
}

/// A rule that no record needs has no place in the list.
#[test]
fn every_listed_rule_is_needed() {
    let tally = run_with_rules(&EXPECTED, differences);
    let listed = Deviations::load();
    let idle: Vec<&String> = listed
        .names()
        .filter(|name| name.starts_with("rule: ") && !tally.rules.contains(name.as_str()))
        .collect();
    assert!(idle.is_empty() || !tally.skipped_files.is_empty(), "no record needs {idle:?}");
}

/// Every way to read an UPDATE.
fn contexts() -> impl Iterator<Item = DecodeContext> {
    let flag = |bits: u8, bit: u8| bits & (1 << bit) != 0;
    (0..32).map(move |bits| DecodeContext {
        four_octet_as: flag(bits, 0),
        add_path: PerFamily { ipv4: flag(bits, 1), ipv6: flag(bits, 1) },
        peer: if flag(bits, 2) { PeerKind::Internal } else { PeerKind::External },
        families: PerFamily { ipv4: !flag(bits, 3), ipv6: true },
        extended_next_hop: PerFamily { ipv4: flag(bits, 4), ipv6: flag(bits, 4) },
        enhanced_route_refresh: flag(bits, 0),
    })
}

/// The error that a message of a type may cost, beside that of its header.
fn code_of(kind: Option<u8>) -> Option<u8> {
    match kind? {
        kind::OPEN => Some(2),
        kind::UPDATE => Some(3),
        kind::ROUTE_REFRESH => Some(7),
        _ => None,
    }
}

/// What is wrong with an answer that anything may get: the promises of an UPDATE, and an error of its own kind.
fn broken(outcome: &Outcome, kind: Option<u8>, cx: &DecodeContext) -> Vec<String> {
    match outcome {
        Outcome::Message(Message::Update(update)) => laws::broken(update, cx)
            .into_iter()
            .map(|promise| format!("promised, in {cx:?}: {promise}"))
            .collect(),
        Outcome::Fault(fault) if fault.code != 1 && Some(fault.code) != code_of(kind) => {
            vec![format!("type {kind:?} costs {fault}")]
        }
        Outcome::Message(_) | Outcome::Fault(_) | Outcome::Nothing => Vec::new(),
    }
}

/// Whatever they are, an answer comes of them, in every context, and it keeps its promises.
#[test]
fn any_message_gets_an_answer_that_keeps_its_promises() {
    settle(&run(&all(), |record| {
        let answer = |cx| broken(&Outcome::of(&record.octets, record.extended, &cx), record.kind(), &cx);
        Some(contexts().flat_map(answer).collect())
    }));
}

fn all() -> Vec<&'static str> {
    [&EXPECTED[..], &UNCLEAR].concat()
}

/// A stream cut anywhere gives the same messages.
#[test]
fn any_split_of_the_stream_gives_the_same_frames() {
    settle(&run(&all(), |record| {
        let mut framer = Framer::new();
        if record.extended {
            framer.allow_extended();
        }
        let whole = framer.next(&mut BytesMut::from(&record.octets[..]));
        let differing = [1, 7, 18, 19, 20, 64].into_iter().filter(|size| {
            let mut stream = BytesMut::new();
            let mut last = Next::Wait;
            for chunk in record.octets.chunks(*size) {
                stream.extend_from_slice(chunk);
                last = framer.next(&mut stream);
                if last != Next::Wait {
                    break;
                }
            }
            last != whole
        });
        Some(differing.map(|size| format!("in pieces of {size} octets it is another frame")).collect())
    }));
}

/// Lengths that promise more than is there are noticed at every place: what is read of a part was there in the whole.
#[test]
fn a_body_cut_anywhere_says_nothing_that_the_whole_does_not() {
    settle(&run(&all(), |record| {
        let Next::Message(frame) = first_frame(&record.octets, record.extended) else { return None };
        let whole = message::decode(&frame, &record.context).ok();
        let lengths = 0..frame.body.len().min(600);
        Some(lengths.flat_map(|end| cut(record, &frame, end, whole.as_ref())).collect())
    }));
}

/// What is wrong with the answer to the first octets of a body.
fn cut(record: &Record, frame: &Frame, end: usize, whole: Option<&Message>) -> Vec<String> {
    let part = Frame { kind: frame.kind, body: frame.body.slice(..end) };
    let answer = match message::decode(&part, &record.context) {
        Ok(message) => Outcome::Message(message),
        Err(fault) => Outcome::Fault(fault.into()),
    };
    let mut wrong = broken(&answer, Some(frame.kind), &record.context);
    let same = match (&answer, whole) {
        (Outcome::Message(Message::Update(part)), Some(Message::Update(whole))) => {
            entries(part).is_subset(&entries(whole))
        }
        (Outcome::Message(Message::Notification(part)), Some(Message::Notification(whole))) => {
            (part.code, part.subcode) == (whole.code, whole.subcode) && whole.data.starts_with(&part.data)
        }
        (Outcome::Message(Message::RouteRefresh(part)), Some(Message::RouteRefresh(whole))) => part == whole,
        // Where the rest costs the session, there is nothing to compare with.
        (Outcome::Message(Message::Update(_) | Message::RouteRefresh(_)), None) | (Outcome::Fault(_), _) => {
            true
        }
        // An OPEN with octets behind its parameters is none; without them it may be one.
        (Outcome::Message(Message::Open(_)), None) => {
            frame.body.get(9).is_some_and(|length| end == 10 + usize::from(*length))
        }
        (Outcome::Message(_) | Outcome::Nothing, _) => false,
    };
    if !same {
        wrong.push(format!("its first {end} octets are {answer:?}"));
    }
    wrong
}

fn entries(update: &Update) -> HashSet<NlriEntry> {
    let announced = update.announced.iter().map(|announcement| &announcement.nlri);
    announced.chain(&update.withdrawn).flatten().collect()
}

/// What was decoded can be said to another peer, of four octets and of two, and means the same there.
#[test]
fn what_was_decoded_survives_encoding() {
    settle(&run(&["own", "valid", "valid.copyleft", "real_updates"], |record| {
        match Outcome::of(&record.octets, record.extended, &record.context) {
            Outcome::Message(message) => again::round_trip(message),
            Outcome::Fault(_) | Outcome::Nothing => None,
        }
    }));
}

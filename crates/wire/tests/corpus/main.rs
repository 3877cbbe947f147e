//! Every record of the corpus of BGP messages: octets in, meaning or remedy out.
//!
//! Owns the running: which files, which deviations, what is counted as skipped. What a record expects is `expect`, the
//! text form of what was decoded is `seen`. Records under licences that the tree cannot take are read from a directory
//! beside the repository and counted loudly where that is absent. Nothing here knows a single record; what does not
//! match stands in `tests/corpus/deviations.txt` with its reason, and fails as soon as it does match.

mod deviations;
mod expect;
mod raw;
mod record;
mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use bgp_wire::{Framer, Message, Next};
use bytes::{Bytes, BytesMut};

use deviations::Deviations;
use record::{Outcome, Record};

/// What came of the records of some files.
#[derive(Default)]
struct Tally {
    run: BTreeSet<String>,
    not_applicable: usize,
    skipped_files: Vec<String>,
    failures: BTreeMap<String, Vec<String>>,
    rules: BTreeSet<expect::Rule>,
}

/// Runs a check that knows no rules.
fn run(names: &[&str], check: impl Fn(&Record) -> Option<Vec<String>>) -> Tally {
    run_with_rules(names, |record| {
        check(record).map(|texts| expect::Differences { texts, ..expect::Differences::default() })
    })
}

fn run_with_rules(names: &[&str], check: impl Fn(&Record) -> Option<expect::Differences>) -> Tally {
    let mut tally = Tally::default();
    for name in names {
        let (records, missing) = record::load(name);
        tally.skipped_files.extend(missing);
        for record in records {
            match check(&record) {
                None => tally.not_applicable += 1,
                Some(differences) => {
                    tally.run.insert(record.name.clone());
                    tally.rules.extend(&differences.rules);
                    if !differences.texts.is_empty() {
                        tally.failures.insert(record.name.clone(), differences.texts);
                    }
                }
            }
        }
    }
    say(&format!(
        "corpus {names:?}: {} records run, {} not applicable, {} deviate",
        tally.run.len(),
        tally.not_applicable,
        tally.failures.len()
    ));
    for file in &tally.skipped_files {
        say(&format!("corpus: NOT RUN, {file} (BGPD_RS_SHARED names the directory that holds corpus/)"));
    }
    assert!(!tally.run.is_empty(), "no record was run");
    tally
}

/// Past the harness, which shows the words of a test only where it fails.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr takes a line");
}

/// Fails on every difference that is not listed, and on every listed one that is none.
fn settle(tally: &Tally) {
    let listed = Deviations::load();
    let mut report = Vec::new();
    for (name, differences) in &tally.failures {
        if !listed.contains(name) {
            report.push(format!("{name}\n    {}", differences.join("\n    ")));
        }
    }
    for name in listed.names().filter(|name| tally.run.contains(*name) && !tally.failures.contains_key(*name))
    {
        report.push(format!("{name}\n    no longer deviates: take its line out of deviations.txt"));
    }
    for rule in tally.rules.iter().filter(|rule| !listed.contains(rule)) {
        report.push(format!("{rule}\n    is applied and not listed"));
    }
    assert!(report.is_empty(), "{} records:\n{}", report.len(), report.join("\n"));
}

#[test]
fn valid_messages_mean_what_is_expected() {
    settle(&run_with_rules(&["own", "valid", "valid.copyleft"], expect::differences));
}

#[test]
fn malformed_messages_cost_what_the_rfcs_say() {
    settle(&run_with_rules(&["malformed", "malformed.copyleft"], expect::differences));
}

#[test]
fn messages_of_route_collectors_mean_what_is_expected() {
    settle(&run_with_rules(&["real_updates"], expect::differences));
}

/// A rule that no record needs has no place in the list.
#[test]
fn every_listed_rule_is_needed() {
    let names = ["own", "valid", "valid.copyleft", "malformed", "malformed.copyleft", "real_updates"];
    let tally = run_with_rules(&names, expect::differences);
    let listed = Deviations::load();
    let idle: Vec<&String> = listed
        .names()
        .filter(|name| name.starts_with("rule: ") && !tally.rules.contains(name.as_str()))
        .collect();
    assert!(idle.is_empty() || !tally.skipped_files.is_empty(), "no record needs {idle:?}");
}

/// Whatever they are, an answer comes of them, in every context.
#[test]
fn contested_and_broken_messages_get_an_answer() {
    let tally = run(&["robustness", "contested", "contested.copyleft"], |record| {
        for context in record::contexts() {
            let outcome = Outcome::of(&record.octets, record.extended, &context);
            assert!(!format!("{outcome:?}").is_empty());
        }
        Some(Vec::new())
    });
    settle(&tally);
}

const ALL: [&str; 9] = [
    "own",
    "valid",
    "valid.copyleft",
    "malformed",
    "malformed.copyleft",
    "real_updates",
    "robustness",
    "contested",
    "contested.copyleft",
];

/// A stream cut anywhere gives the same messages.
#[test]
fn any_split_of_the_stream_gives_the_same_frames() {
    settle(&run(&ALL, |record| {
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

/// Lengths that promise more than is there are noticed at every place.
#[test]
fn a_body_cut_anywhere_gets_an_answer() {
    settle(&run(&ALL, |record| {
        let Next::Message(frame) = record.first_frame() else { return None };
        for end in 0..frame.body.len().min(600) {
            let cut = bgp_wire::Frame { kind: frame.kind, body: frame.body.slice(..end) };
            let answer = bgp_wire::message::decode(&cut, &record.context);
            assert!(!matches!(answer, Ok(Message::Keepalive)));
        }
        Some(Vec::new())
    }));
}

/// What was decoded can be said to another peer, of four octets and of two, and means the same there.
#[test]
fn what_was_decoded_survives_encoding() {
    settle(&run(&["own", "valid", "valid.copyleft", "real_updates"], |record| {
        let Outcome::Message(message) = record.outcome() else { return None };
        let differences = match message {
            Message::Update(update) => seen::round_trip(&update),
            Message::Open(open) => again(&open.encode(), &Message::Open(open)),
            // What of ours says more is cut, RFC 8654 section 5.
            Message::Notification(n) if n.data.len() > bgp_wire::context::MAX_MESSAGE - 21 => return None,
            Message::Notification(n) => again(&n.encode(), &Message::Notification(n)),
            Message::RouteRefresh(r) => again(&r.encode(), &Message::RouteRefresh(r)),
            Message::Keepalive => again(&bgp_wire::message::keepalive(), &Message::Keepalive),
        };
        Some(differences)
    }));
}

fn again(encoded: &Bytes, message: &Message) -> Vec<String> {
    match Outcome::of(encoded, false, &bgp_wire::DecodeContext::default()) {
        Outcome::Message(again) if again == *message => Vec::new(),
        other => vec![format!("encoded and decoded it is {other:?}")],
    }
}

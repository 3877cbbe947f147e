//! Every UPDATE of the corpus is read by both decoders.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use bgp_wire::{DecodeContext, PeerKind, PerFamily};
use bytes::Bytes;
use oracle::{Reason, compare};
use serde_json::Value;

const UPDATE: u8 = 2;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The tree's records, and those beside the repository with whether they are there; says loudly where they are not.
fn files() -> (Vec<PathBuf>, bool) {
    let shared =
        std::env::var_os("BGPD_RS_SHARED").map_or_else(|| repository().join("../shared"), PathBuf::from);
    let (mut files, mut complete) = (Vec::new(), true);
    for directory in [repository().join("tests/corpus/messages"), shared.join("corpus")] {
        match std::fs::read_dir(&directory) {
            Ok(entries) => files.extend(entries.map(|entry| entry.expect("an entry").path())),
            Err(error) => {
                complete = false;
                say(&format!("oracle: NOT RUN, {}: {error}", directory.display()));
            }
        }
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    (files, complete)
}

/// Past the harness, which shows the words of a test only where it fails.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr takes a line");
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().map(|c| (c as char).to_digit(16).expect("a digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The body of an UPDATE and how to read it.
fn update(record: &Value) -> Option<(Bytes, DecodeContext)> {
    let octets = unhex(record["hex"].as_str()?);
    if *octets.get(18)? != UPDATE {
        return None;
    }
    let families: Vec<&str> =
        record["addpath"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let context = DecodeContext {
        four_octet_as: record["as4"].as_bool().unwrap_or(true),
        add_path: PerFamily::from_fn(|family| families.contains(&family.to_string().as_str())),
        peer: if record["peer"] == "ibgp" { PeerKind::Internal } else { PeerKind::External },
        ..DecodeContext::default()
    };
    Some((Bytes::from(octets).slice(19..), context))
}

#[test]
fn a_second_decoder_reads_the_same() {
    let (mut seen, mut compared, mut report) = (0, 0, Vec::new());
    let mut reasons: BTreeSet<Reason> = BTreeSet::new();
    let mut known: BTreeSet<(Bytes, bool)> = BTreeSet::new();
    let (files, complete) = files();
    for file in files {
        for line in std::fs::read_to_string(&file).expect("a file").lines() {
            let record: Value = serde_json::from_str(line).expect("one object a line");
            let Some((body, context)) = update(&record) else { continue };
            if !known.insert((body.clone(), context.four_octet_as)) {
                continue;
            }
            seen += 1;
            let comparison = compare(&body, &context);
            compared += usize::from(comparison.compared);
            reasons.extend(&comparison.reasons);
            if !comparison.differences.is_empty() {
                report.push(format!("{}\n    {}", record["name"], comparison.differences.join("\n    ")));
            }
        }
    }
    say(&format!("oracle: {seen} UPDATEs, {compared} compared, {} differ", report.len()));
    assert!(report.is_empty(), "{} differ:\n{}", report.len(), report.join("\n"));
    assert!(compared > seen * 3 / 4, "only {compared} of {seen} were compared");
    let idle: Vec<_> = Reason::UNDERSTOOD.iter().filter(|(reason, _)| !reasons.contains(reason)).collect();
    assert!(idle.is_empty() || !complete, "nothing needs {idle:?}");
}

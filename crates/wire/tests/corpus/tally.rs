//! Running records and settling what came of them.
//!
//! Owns which deviations are admitted and what is counted as skipped. Nothing here knows a single record; what does not
//! match stands in `tests/corpus/deviations.txt` with its reason, and fails as soon as it does match.

use std::collections::{BTreeMap, BTreeSet};

use super::deviations::Deviations;
use super::expect::{Differences, Rule};
use super::record::{self, Record, say};

/// What came of the records of some files.
#[derive(Default)]
pub(crate) struct Tally {
    run: BTreeSet<String>,
    not_applicable: usize,
    pub(crate) skipped_files: Vec<String>,
    failures: BTreeMap<String, Vec<String>>,
    pub(crate) rules: BTreeSet<Rule>,
}

/// Runs a check that knows no rules.
pub(crate) fn run(names: &[&str], check: impl Fn(&Record) -> Option<Vec<String>>) -> Tally {
    run_with_rules(names, |record| check(record).map(Differences::plain))
}

pub(crate) fn run_with_rules(names: &[&str], check: impl Fn(&Record) -> Option<Differences>) -> Tally {
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
        "corpus, {}, {names:?}: {} records run, {} not applicable, {} deviate",
        env!("CARGO_PKG_NAME"),
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

/// Fails on every difference that is not listed, and on every listed one that is none.
pub(crate) fn settle(tally: &Tally) {
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

//! Every UPDATE of the corpus is read by both decoders.

mod messages;

use std::collections::BTreeSet;

use messages::say;
use oracle::{Reason, compare};

#[test]
fn a_second_decoder_reads_the_same() {
    let (mut compared, mut report) = (0, Vec::new());
    let mut reasons: BTreeSet<Reason> = BTreeSet::new();
    let (messages, complete) = messages::all();
    let seen = messages.len();
    for message in messages {
        let comparison = compare(&message.body, &message.context);
        compared += usize::from(comparison.compared);
        reasons.extend(&comparison.reasons);
        if !comparison.differences.is_empty() {
            report.push(format!("{}\n    {}", message.name, comparison.differences.join("\n    ")));
        }
    }
    say(&format!("oracle: {seen} UPDATEs, {compared} compared, {} differ", report.len()));
    assert!(report.is_empty(), "{} differ:\n{}", report.len(), report.join("\n"));
    assert!(compared > seen * 3 / 4, "only {compared} of {seen} were compared");
    let idle: Vec<_> = Reason::UNDERSTOOD.iter().filter(|(reason, _)| !reasons.contains(reason)).collect();
    assert!(idle.is_empty() || !complete, "nothing needs {idle:?}");
}

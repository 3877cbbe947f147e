//! What others have done to our routes and next-hop objects, told to the log and to whoever listens.

use bgp_api::EventKind;
use bgp_fib::{Deed, Meddling};
use tracing::warn;

use super::views::protocol_name;
use crate::events::Hub;
use crate::host::culprit;

/// Finds out who it was, and says so. Reads files.
pub(super) fn tell(meddling: &Meddling, hub: &Hub) {
    let culprit = culprit::of(meddling);
    let examples: Vec<String> = meddling.examples.iter().map(ToString::to_string).collect();
    let (by, remedy, count) = (&culprit.who, culprit.remedy.unwrap_or("none known"), meddling.count);
    let first = examples.join(", ");
    match meddling.deed {
        Deed::Removed => {
            warn!(count, by, remedy, first, "somebody removed ours in the kernel; it is put back")
        }
        Deed::Changed => {
            warn!(count, by, remedy, first, "somebody changed ours in the kernel; it is put right")
        }
        Deed::Replaced { protocol } => warn!(
            count,
            by,
            remedy,
            first,
            protocol = protocol_name(protocol),
            "somebody put another route in the place of ours; ours waits until it goes"
        ),
    }
    hub.publish(|| EventKind::FibUndone {
        deed: word(meddling.deed).to_owned(),
        count,
        examples,
        by: culprit.who,
        remedy: culprit.remedy.map(str::to_owned),
    });
}

/// A deed in one word.
pub fn word(deed: Deed) -> &'static str {
    match deed {
        Deed::Removed => "removed",
        Deed::Changed => "changed",
        Deed::Replaced { .. } => "replaced",
    }
}

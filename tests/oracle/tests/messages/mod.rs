//! The UPDATEs of the corpus: those of the tree, and those beside the repository where they are there.

#[path = "../../../../crates/wire/tests/corpus/record.rs"]
#[allow(dead_code, reason = "shared with the tests of bgp-wire, which use more of it")]
mod record;

use std::collections::HashSet;
use std::sync::OnceLock;

use bgp_wire::DecodeContext;
use bgp_wire::iana::message::UPDATE;
use bytes::Bytes;

use record::{EXPECTED, Record, UNCLEAR};

pub(crate) use record::say;

/// One of them.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) body: Bytes,
    pub(crate) context: DecodeContext,
}

/// All of them, each once in each context, and whether those beside the repository are among them; says loudly where they
/// are not.
pub(crate) fn all() -> (Vec<Message>, bool) {
    let (records, absent): (Vec<_>, Vec<_>) = files().map(record::load).unzip();
    let absent: Vec<String> = absent.into_iter().flatten().collect();
    for what in &absent {
        say(&format!("oracle: NOT RUN, {what}"));
    }
    let mut known = HashSet::new();
    let mut messages: Vec<Message> = records.into_iter().flatten().filter_map(message).collect();
    messages.retain(|message| {
        let DecodeContext { four_octet_as, add_path, peer, .. } = message.context;
        known.insert((message.body.clone(), four_octet_as, add_path, peer))
    });
    (messages, absent.is_empty())
}

/// Those of the tree.
#[allow(dead_code, reason = "one of the tests does not need it")]
pub(crate) fn of_the_tree() -> &'static [Message] {
    static MESSAGES: OnceLock<Vec<Message>> = OnceLock::new();
    MESSAGES.get_or_init(|| files().flat_map(record::of_the_tree).filter_map(message).collect())
}

fn files() -> impl Iterator<Item = &'static str> {
    EXPECTED.into_iter().chain(UNCLEAR)
}

/// A record, where it is an UPDATE.
fn message(record: Record) -> Option<Message> {
    let is_update = record.kind() == Some(UPDATE);
    is_update.then(|| Message { body: record.octets.slice(19..), name: record.name, context: record.context })
}

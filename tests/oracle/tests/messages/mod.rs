//! The UPDATEs of the corpus: those of the tree, and those beside the repository where they are there.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bgp_wire::{DecodeContext, PeerKind, PerFamily};
use bytes::Bytes;
use serde_json::Value;

const UPDATE: u8 = 2;

/// One of them.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) body: Bytes,
    pub(crate) context: DecodeContext,
}

/// All of them, each once, and whether those beside the repository are among them; says loudly where they are not.
pub(crate) fn all() -> (Vec<Message>, bool) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shared =
        std::env::var_os("BGPD_RS_SHARED").map_or_else(|| repository.join("../shared"), PathBuf::from);
    let (mut found, mut complete) = (Vec::new(), true);
    for directory in [repository.join("tests/corpus/messages"), shared.join("corpus")] {
        match std::fs::read_dir(&directory) {
            Ok(entries) => found.extend(read(entries.map(|entry| entry.expect("an entry").path()).collect())),
            Err(error) => {
                complete = false;
                say(&format!("oracle: NOT RUN, {}: {error}", directory.display()));
            }
        }
    }
    let mut known = HashSet::new();
    found.retain(|message| {
        known.insert((message.body.clone(), message.context.four_octet_as, message.context.peer))
    });
    (found, complete)
}

/// Those of the tree.
#[allow(dead_code, reason = "one of the tests does not need it")]
pub(crate) fn of_the_tree() -> &'static [Message] {
    static MESSAGES: OnceLock<Vec<Message>> = OnceLock::new();
    MESSAGES.get_or_init(|| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/messages");
        let entries = std::fs::read_dir(directory).expect("the corpus of the tree");
        read(entries.map(|entry| entry.expect("an entry").path()).collect())
    })
}

/// Past the harness, which shows the words of a test only where it fails.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr takes a line");
}

fn read(mut files: Vec<PathBuf>) -> Vec<Message> {
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).expect("a file"));
    texts.flat_map(|text| text.lines().filter_map(message).collect::<Vec<_>>()).collect()
}

/// A line, where it is an UPDATE.
fn message(line: &str) -> Option<Message> {
    let record: Value = serde_json::from_str(line).expect("one object a line");
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
    Some(Message { name: record["name"].to_string(), body: Bytes::from(octets).slice(19..), context })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().map(|c| (c as char).to_digit(16).expect("a digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

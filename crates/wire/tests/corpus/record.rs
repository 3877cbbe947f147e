//! A record of the corpus of BGP messages, and the files that hold them.
//!
//! Used by the corpus tests of this crate and, by its path, by those of the session, by `tests/oracle` and by the example
//! `fuzz_seeds`; so it knows nothing of what they do with it. Records under licences that the tree cannot take are read
//! from a directory beside the repository.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use bgp_wire::{DecodeContext, PeerKind, PerFamily};
use bytes::Bytes;
use serde_json::Value;

/// The files whose records say what is to come of them.
pub(crate) const EXPECTED: [&str; 6] =
    [OWN, "valid", "valid.copyleft", "malformed", "malformed.copyleft", "real_updates"];
/// The files whose records only have to be survived.
pub(crate) const UNCLEAR: [&str; 3] = ["robustness", "contested", "contested.copyleft"];
/// The file of records that were made for this project; there is no more of it elsewhere.
const OWN: &str = "own";

/// One line of a file.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) octets: Bytes,
    pub(crate) context: DecodeContext,
    pub(crate) extended: bool,
    /// Whether the outcome holds only if an attribute is implemented that is not.
    pub(crate) conditional: bool,
    pub(crate) expect: Value,
}

impl Record {
    fn parse(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).expect("a record is one JSON object");
        let families: Vec<&str> =
            value["addpath"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let internal = value["peer"] == "ibgp";
        Self {
            name: value["name"].as_str().expect("a record has a name").to_owned(),
            octets: unhex(value["hex"].as_str().expect("a record has octets")).into(),
            context: DecodeContext {
                four_octet_as: value["as4"].as_bool().unwrap_or(true),
                add_path: PerFamily::from_fn(|family| families.contains(&family.to_string().as_str())),
                peer: if internal { PeerKind::Internal } else { PeerKind::External },
                ..DecodeContext::default()
            },
            extended: value["extended_message"].as_bool().unwrap_or(false),
            conditional: value.get("applies_if").is_some(),
            expect: value["expect"].clone(),
        }
    }

    /// The message type, where there are octets for one.
    pub(crate) fn kind(&self) -> Option<u8> {
        self.octets.get(18).copied()
    }

    /// The body, whatever the header says.
    pub(crate) fn body(&self) -> &[u8] {
        self.octets.get(19..).unwrap_or_default()
    }
}

/// The records of a file: of the tree, and those that only the shared directory has. The second part is what is absent.
pub(crate) fn load(name: &str) -> (Vec<Record>, Option<String>) {
    let shared = shared().join("corpus");
    let mut records = of_the_tree(name);
    if shared.is_dir() {
        let known: BTreeSet<_> = records.iter().map(|r| (r.name.clone(), r.octets.clone())).collect();
        let more = read(&shared.join(format!("{name}.jsonl"))).into_iter();
        records.extend(more.filter(|r| !known.contains(&(r.name.clone(), r.octets.clone()))));
        return (records, None);
    }
    let absent = (name != OWN).then(|| format!("what {name}.jsonl holds beside the records of the tree"));
    (records, absent)
}

/// The records of a file of the tree.
pub(crate) fn of_the_tree(name: &str) -> Vec<Record> {
    read(&tree().join("messages").join(format!("{name}.jsonl")))
}

/// The records of a file; none where there is no such file.
pub(crate) fn read(path: &Path) -> Vec<Record> {
    let text = if path.is_file() {
        std::fs::read_to_string(path).expect("the file can be read")
    } else {
        String::new()
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(Record::parse).collect()
}

/// `tests/corpus` of the repository.
pub(crate) fn tree() -> PathBuf {
    repository().join("tests/corpus")
}

/// Every package that reads the corpus lies two below the root.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The directory beside the repository, or the one that `BGPD_RS_SHARED` names.
fn shared() -> PathBuf {
    std::env::var_os("BGPD_RS_SHARED").map_or_else(|| repository().join("../shared"), PathBuf::from)
}

/// Past the harness, which shows the words of a test only where it fails.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr takes a line");
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|c| u8::try_from(c.to_digit(16).expect("a hex digit")).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

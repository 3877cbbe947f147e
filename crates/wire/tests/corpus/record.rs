//! A record of the corpus, and what the crate makes of its octets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bgp_wire::{DecodeContext, Framer, Message, Next, Notification, PeerKind, PerFamily, message};
use bytes::{Bytes, BytesMut};
use serde_json::Value;

/// One line of a file.
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) octets: Bytes,
    pub(crate) context: DecodeContext,
    pub(crate) extended: bool,
    /// Whether the outcome holds only if an attribute is implemented that is not.
    pub(crate) conditional: bool,
    pub(crate) expect: Value,
}

/// What the crate says to a stream of octets that holds one message.
#[derive(Debug)]
pub(crate) enum Outcome {
    Message(Message),
    Fault(Notification),
    /// The stream ends before the message does.
    Incomplete,
}

impl Outcome {
    pub(crate) fn of(octets: &[u8], extended: bool, context: &DecodeContext) -> Self {
        match first_frame(octets, extended) {
            Next::Wait => Self::Incomplete,
            Next::Fault(fault) => Self::Fault(fault.into()),
            Next::Message(frame) => match message::decode(&frame, context) {
                Ok(message) => Self::Message(message),
                Err(fault) => Self::Fault(fault.into()),
            },
        }
    }
}

fn first_frame(octets: &[u8], extended: bool) -> Next {
    let mut framer = Framer::new();
    if extended {
        framer.allow_extended();
    }
    framer.next(&mut BytesMut::from(octets))
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

    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::of(&self.octets, self.extended, &self.context)
    }

    pub(crate) fn first_frame(&self) -> Next {
        first_frame(&self.octets, self.extended)
    }

    /// The body, whatever the header says.
    pub(crate) fn body(&self) -> &[u8] {
        self.octets.get(19..).unwrap_or_default()
    }
}

/// Every way to read an UPDATE.
pub(crate) fn contexts() -> Vec<DecodeContext> {
    let flag = |bits: u8, bit: u8| bits & (1 << bit) != 0;
    let context = |bits: u8| DecodeContext {
        four_octet_as: flag(bits, 0),
        add_path: PerFamily { ipv4: flag(bits, 1), ipv6: flag(bits, 1) },
        peer: if flag(bits, 2) { PeerKind::Internal } else { PeerKind::External },
        families: PerFamily { ipv4: !flag(bits, 3), ipv6: true },
        extended_next_hop: PerFamily { ipv4: flag(bits, 4), ipv6: flag(bits, 4) },
        enhanced_route_refresh: flag(bits, 0),
    };
    (0..32).map(context).collect()
}

/// The records of a file: of the tree, and those that only the shared directory has. The second part is what is absent.
pub(crate) fn load(name: &str) -> (Vec<Record>, Option<String>) {
    let file = format!("{name}.jsonl");
    let shared = shared().join("corpus");
    let mut records = read(&tree().join("messages").join(&file));
    if shared.is_dir() {
        let known: BTreeSet<_> = records.iter().map(|r| (r.name.clone(), r.octets.clone())).collect();
        let more = read(&shared.join(&file)).into_iter();
        records.extend(more.filter(|r| !known.contains(&(r.name.clone(), r.octets.clone()))));
        return (records, None);
    }
    let absent = (name != OWN).then(|| format!("what {file} holds beside the records of the tree"));
    (records, absent)
}

/// The file of records that were made for this project; there is no more of it elsewhere.
const OWN: &str = "own";

fn read(path: &Path) -> Vec<Record> {
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

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The directory beside the repository, or the one that `BGPD_RS_SHARED` names.
fn shared() -> PathBuf {
    std::env::var_os("BGPD_RS_SHARED").map_or_else(|| repository().join("../shared"), PathBuf::from)
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|c| u8::try_from(c.to_digit(16).expect("a hex digit")).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

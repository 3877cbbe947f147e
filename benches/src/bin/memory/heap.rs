//! The heap as a profiler sees it: octets that are still there, by the file of ours that asked for them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use serde::Deserialize;

/// Files that hold somebody else's things: what is allocated there counts for who uses them.
const CONTAINERS: [&str; 4] = ["interned.rs", "column.rs", "ids.rs", "paged.rs"];
/// As many calls between an allocation and the code that wanted it as the standard library has at most.
const FRAMES: usize = 30;

/// Who asked for memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Structure {
    /// A file of ours.
    File(String),
    /// A container of ours, and the file that uses it.
    For(String, String),
    /// None of our files is among the callers.
    Unknown,
}

impl Structure {
    /// The files, as paths below the repository's root.
    pub(crate) fn files(self) -> Vec<String> {
        match self {
            Self::File(file) => vec![file],
            Self::For(file, user) => vec![file, user],
            Self::Unknown => Vec::new(),
        }
    }
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |file: &str| file.trim_start_matches("crates/").replace("src/", "");
        match self {
            Self::File(file) => f.write_str(&short(file)),
            Self::For(file, user) => write!(f, "{} for {}", short(file), short(user)),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Octets by structure; a difference of two heaps may have negative ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heap(BTreeMap<Structure, f64>);

impl Heap {
    /// What a value holds that is built by this: all that is still there when it is done.
    pub(crate) fn of<T>(build: impl FnOnce() -> T) -> Self {
        let file = std::env::temp_dir().join(format!("memory-{}.json", std::process::id()));
        let profiler = dhat::Profiler::builder().file_name(&file).trim_backtraces(Some(FRAMES)).build();
        let value = build();
        drop(profiler);
        drop(value);
        let text = fs::read_to_string(&file).expect("the profiler's file");
        fs::remove_file(&file).expect("the profiler's file");
        Self::read(&text)
    }

    fn read(text: &str) -> Self {
        let profile: Profile = serde_json::from_str(text).expect("the profiler's format");
        let mut heap = Self::default();
        for point in &profile.points {
            let frames = point.frames.iter().filter_map(|frame| profile.frames.get(*frame));
            *heap.0.entry(structure(frames.map(String::as_str))).or_default() += point.left;
        }
        heap
    }

    /// This one without what another one has.
    pub(crate) fn without(mut self, other: &Self) -> Self {
        for (structure, octets) in &other.0 {
            *self.0.entry(structure.clone()).or_default() -= octets;
        }
        self
    }

    /// Octets for each of so many items.
    pub(crate) fn octets(&self, items: f64) -> f64 {
        self.0.values().sum::<f64>() / items
    }

    /// The same by structure, the largest first.
    pub(crate) fn shares(&self, items: f64) -> Vec<(Structure, f64)> {
        let mut shares: Vec<_> =
            self.0.iter().map(|(structure, octets)| (structure.clone(), octets / items)).collect();
        shares.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        shares.retain(|(_, octets)| octets.abs() >= 0.05);
        shares
    }

    /// The part that comes from no file of ours.
    pub(crate) fn unexplained(&self) -> f64 {
        self.0.get(&Structure::Unknown).map_or(0.0, |octets| (octets / self.octets(1.0)).abs())
    }
}

/// The format of the profiler's file, as far as it matters.
#[derive(Debug, Deserialize)]
struct Profile {
    #[serde(rename = "pps")]
    points: Vec<Point>,
    #[serde(rename = "ftbl")]
    frames: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Point {
    /// Octets that were left in the end.
    #[serde(rename = "eb")]
    left: f64,
    /// The callers, the innermost first.
    #[serde(rename = "fs")]
    frames: Vec<usize>,
}

fn structure<'a>(frames: impl Iterator<Item = &'a str>) -> Structure {
    let mut files = frames.filter_map(file);
    let Some(first) = files.next() else { return Structure::Unknown };
    let holds = |file: &str| CONTAINERS.iter().any(|container| file.ends_with(container));
    if !holds(&first) {
        return Structure::File(first);
    }
    match files.find(|other| !holds(other)) {
        Some(user) => Structure::For(first, user),
        None => Structure::File(first),
    }
}

/// The crates that hold something.
const OURS: [&str; 5] = ["wire", "policy", "rib", "fib", "session"];

/// The file of a frame (`0x…: function (path:line:column)`), if it is in a crate of ours. The profiler keeps the last three
/// parts of a path, and a function has no crate's name; where the crate is not among the parts, it is the only one that has
/// such a file.
fn file(frame: &str) -> Option<String> {
    let (_, place) = frame.rsplit_once('(')?;
    let path = place.split(':').next()?;
    if let Some((name, inside)) = path.split_once("/src/") {
        let name = name.rsplit('/').next()?;
        return OURS.contains(&name).then(|| format!("crates/{name}/src/{inside}"));
    }
    let inside = path.strip_prefix("src/")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let named = OURS.iter().map(|name| format!("crates/{name}/src/{inside}"));
    let mut there = named.filter(|file| root.join(file).is_file());
    there.next().filter(|_| there.next().is_none())
}

/// What a file says of itself first.
pub(crate) fn first_sentence(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//! ")).collect();
    let opening = lines.join(" ");
    opening.split_once(". ").map_or(opening.as_str(), |(first, _)| first).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_count_for_the_innermost_file_of_ours() {
        let frames = [
            "0x1: alloc::raw_vec::finish_grow (alloc/src/raw_vec/mod.rs:700:9)",
            "0x2: bgp_rib::interned::Interned<T>::add (crates/rib/src/interned.rs:60:13)",
            "0x3: bgp_rib::attributes::AttributeSets::intern (crates/rib/src/attributes.rs:90:9)",
            "0x4: benches::full (benches/src/lib.rs:10:1)",
        ];
        let all = structure(frames.into_iter());
        assert_eq!(all.to_string(), "rib/interned.rs for rib/attributes.rs");
        assert_eq!(structure(frames.into_iter().skip(2)).to_string(), "rib/attributes.rs");
        assert_eq!(structure(frames.into_iter().skip(3)), Structure::Unknown);
        let deep = [
            "0x1: hashbrown::raw::RawTable<bgp_fib::routes::Route>::reserve (src/raw/mod.rs:700:9)",
            "0x2: <bgp_fib::routes::table::Table>::add (src/routes/table.rs:60:13)",
        ];
        assert_eq!(structure(deep.into_iter()).to_string(), "fib/routes/table.rs");
        assert!(first_sentence("crates/rib/src/lib.rs").starts_with("Adj-RIB-In, decision"));
    }

    #[test]
    fn what_is_left_is_read_and_subtracted() {
        let text = r#"{"pps": [{"eb": 300, "fs": [0]}, {"eb": 100, "fs": [1]}],
            "ftbl": ["0x1: x (crates/rib/src/table.rs:1:1)", "0x2: y (std/src/io.rs:1:1)"]}"#;
        let heap = Heap::read(text);
        assert_eq!(heap.octets(4.0), 100.0);
        assert_eq!(heap.unexplained(), 0.25);
        let less = heap.clone().without(&heap);
        assert!(less.shares(1.0).is_empty());
    }
}

//! The list of records whose expectation is not met: `tests/corpus/deviations.txt`.
//!
//! A line is `name | clause | reason`; what begins with `#` is a comment.

use std::collections::BTreeMap;

pub(crate) struct Deviations(BTreeMap<String, String>);

impl Deviations {
    pub(crate) fn load() -> Self {
        let path = super::record::tree().join("deviations.txt");
        let text = std::fs::read_to_string(path).expect("deviations.txt can be read");
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(Self::line).collect())
    }

    fn line(line: &str) -> (String, String) {
        let parts: Vec<&str> = line.splitn(3, '|').map(str::trim).collect();
        assert!(
            parts.len() == 3 && parts.iter().all(|part| !part.is_empty()),
            "name | clause | reason: {line}"
        );
        (parts[0].to_owned(), parts[2].to_owned())
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}

//! The map of RFCs in docs/rfc: every row is whole, and what it names is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The RFCs whose requirements the map has to list.
const RFCS: [&str; 28] = [
    "4271", "4760", "2545", "5492", "6793", "2918", "7313", "4724", "8538", "7606", "8212", "6286", "6608",
    "9003", "9687", "5880", "5881", "5882", "5082", "2385", "8950", "1997", "4360", "5701", "8092", "8654",
    "9072", "9494",
];

const HEAD: &str = "| RFC | section | requirement | state | file | test |";

/// One requirement.
struct Row {
    /// File and line, for messages.
    place: String,
    cells: Vec<String>,
}

fn rows(root: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    for path in house::files(&root.join("docs/rfc"), "md") {
        let text = std::fs::read_to_string(&path).expect("a readable map");
        assert!(text.contains(HEAD), "{}: has no table with the columns of the map", path.display());
        let name = path.strip_prefix(root).expect("below the root").display().to_string();
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('|') && line != HEAD && !line.starts_with("|---") {
                let cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
                rows.push(Row { place: format!("{name}:{}", number + 1), cells });
            }
        }
    }
    rows
}

/// What stands between backticks.
fn path_in(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

/// What is wrong with a row.
fn fault(root: &Path, row: &Row) -> Option<String> {
    let [rfc, section, requirement, state, file, test] = row.cells.as_slice() else {
        return Some(format!("{} fields instead of 6", row.cells.len()));
    };
    if [rfc, section, requirement, state, file, test].iter().any(|cell| cell.is_empty()) {
        return Some("an empty field".to_owned());
    }
    if !RFCS.contains(&rfc.as_str()) {
        return Some(format!("RFC {rfc} is not one of the map's"));
    }
    let reason = |word| state.strip_prefix(word).is_some_and(|why: &str| why.trim().len() > 8);
    if reason("no:") {
        return (file != "none" || test != "none")
            .then(|| "what is not done names no file and no test".to_owned());
    }
    if state != "done" && !reason("ours:") {
        return Some(format!("the state `{state}` is none of done, ours: why, no: why"));
    }
    let Some(file) = path_in(file).filter(|file| root.join(file).is_file()) else {
        return Some(format!("no such file: {file}"));
    };
    let Some((path, name)) = path_in(test).and_then(|test| test.split_once("::")) else {
        return Some(format!("the test of {file} is not `path::name`: {test}"));
    };
    match std::fs::read_to_string(root.join(path)) {
        Ok(text) if has_test(&text, name) => None,
        Ok(_) => Some(format!("{path} has no test {name}")),
        Err(error) => Some(format!("{path}: {error}")),
    }
}

/// Whether `name` is a function behind a test attribute.
fn has_test(text: &str, name: &str) -> bool {
    let declaration = format!("fn {name}(");
    text.match_indices(&declaration).any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        let close = before.lines().rev().take(6);
        close
            .take_while(|line| !line.starts_with('}'))
            .any(|line| ["#[test]", "#[tokio::test]"].iter().any(|attribute| line.contains(attribute)))
    })
}

#[test]
fn every_requirement_names_a_file_and_a_test_that_exist() {
    let root = house::root();
    let faults: Vec<_> =
        rows(&root).iter().filter_map(|row| Some(format!("{}: {}", row.place, fault(&root, row)?))).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_rfc_and_no_requirement_is_missing_or_listed_twice() {
    let root = house::root();
    let rows = rows(&root);
    let listed: BTreeSet<_> = rows.iter().filter_map(|row| row.cells.first().map(String::as_str)).collect();
    let missing: Vec<_> = RFCS.iter().filter(|rfc| !listed.contains(*rfc)).collect();
    assert!(missing.is_empty(), "not in the map: {missing:?}");
    let mut seen = BTreeMap::new();
    for row in &rows {
        let key: Vec<_> = row.cells.iter().take(3).collect();
        let twice = seen.insert(key, &row.place);
        assert!(twice.is_none(), "{} and {} list the same", row.place, twice.unwrap_or(&row.place));
    }
}

/// docs/rfc.md tells how many there are of each state.
#[test]
fn the_index_counts_right() {
    let root = house::root();
    let rows = rows(&root);
    let count = |word: &str| {
        rows.iter()
            .filter(|row| row.cells.get(3).is_some_and(|state| state.split(':').next() == Some(word)))
            .count()
    };
    let expected = format!(
        "{} requirements: {} done, {} done in our own way, {} not done.",
        rows.len(),
        count("done"),
        count("ours"),
        count("no")
    );
    let index = std::fs::read_to_string(root.join("docs/rfc.md")).expect("a readable index");
    assert!(index.contains(&expected), "docs/rfc.md should say: {expected}");
}

#[test]
fn rows_that_do_not_hold_are_found() {
    let root = house::root();
    let row =
        |text: &str| Row { place: String::new(), cells: text.split(" | ").map(str::to_owned).collect() };
    let good = "4271 | 4.1 | x | done | `tests/house/tests/rfc_map.rs` | `tests/house/tests/rfc_map.rs::the_index_counts_right`";
    assert_eq!(fault(&root, &row(good)), None);
    for (part, other) in [
        ("4271 ", "9999 "),
        ("4.1", ""),
        ("| done", "| full"),
        ("| done", "| ours:"),
        ("| done", "| no: it is not needed"),
        ("`tests/house/tests/rfc_map.rs` ", "`tests/house/tests/none.rs` "),
        ("::the_index_counts_right", "::the_index"),
        ("::the_index_counts_right", "::rows"),
        (" | x", ""),
    ] {
        assert!(fault(&root, &row(&good.replacen(part, other, 1))).is_some(), "{part} as {other}");
    }
}

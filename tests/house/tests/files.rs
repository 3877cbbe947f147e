//! Files: what docs name exists, every source file opens with its concept, none outgrows the house.

/// Production lines at which a file is overdue.
const OVERDUE: usize = 600;

#[test]
fn paths_named_in_docs_exist() {
    let root = house::root();
    let mut docs = house::files(&root.join("docs"), "md");
    docs.push(root.join("README.md"));
    let mut missing = Vec::new();
    for doc in docs {
        let text = std::fs::read_to_string(&doc).unwrap_or_else(|e| panic!("{}: {e}", doc.display()));
        for quoted in text.split('`').skip(1).step_by(2) {
            let path = quoted.split([':', ' ']).next().unwrap_or_default();
            let top = path.split('/').next().unwrap_or_default();
            let ours = ["crates", "config", "systemd", "benches", "fuzz", "tests", "docs", "scripts", ".ci"];
            if path.contains('/')
                && ours.contains(&top)
                && !path.contains(['*', '<'])
                && !root.join(path).exists()
            {
                missing.push(format!("{}: {path}", doc.display()));
            }
        }
    }
    assert!(missing.is_empty(), "named but not there:\n{}", missing.join("\n"));
}

#[test]
fn source_files_open_with_their_concept_and_stay_readable() {
    let root = house::root();
    let mut faults = Vec::new();
    let mut report = Vec::new();
    for directory in ["crates", "tests", "benches"] {
        for file in house::files(&root.join(directory), "rs") {
            let text = std::fs::read_to_string(&file).expect("a readable source file");
            let name = file.strip_prefix(&root).expect("below the root").display().to_string();
            if !text.trim_start().starts_with("//!") {
                faults.push(format!("{name}: does not open with //!"));
            }
            if name.contains("tests") {
                continue;
            }
            let lines = house::production_lines(&file);
            if lines > OVERDUE {
                faults.push(format!(
                    "{name}: {lines} production lines; which idea in it wants a file of its own?"
                ));
            } else if lines > 400 {
                report.push(format!("{name}: {lines} production lines, look again"));
            }
        }
    }
    println!("{}", report.join("\n"));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The lines of waivers without a reason: of one item, of what is in a file, or under a condition. A waiver opens its line.
fn bare_waivers(text: &str) -> Vec<usize> {
    let mut bare = Vec::new();
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let attribute = text[at..].trim_start_matches(' ').split(")]").next().unwrap_or_default();
        at += line.len();
        let Some(words) = attribute.strip_prefix("#![").or_else(|| attribute.strip_prefix("#[")) else {
            continue;
        };
        let waives = ["allow(", "expect("]
            .iter()
            .any(|word| words.starts_with(word) || words.starts_with("cfg_attr(") && words.contains(word));
        if waives && !words.contains("reason = \"") {
            bare.push(number + 1);
        }
    }
    bare
}

#[test]
fn every_workspace_lint_waiver_has_a_reason() {
    let root = house::root();
    let mut bare = Vec::new();
    for directory in ["crates", "tests", "benches", "fuzz"] {
        for file in house::files(&root.join(directory), "rs") {
            let text = std::fs::read_to_string(&file).expect("a readable source file");
            bare.extend(bare_waivers(&text).iter().map(|line| format!("{}:{line}", file.display())));
        }
    }
    assert!(bare.is_empty(), "waivers without a reason:\n{}", bare.join("\n"));
}

#[test]
fn waivers_of_every_kind_want_a_reason() {
    let said = ["#[allow(dead_code)]", "#![allow(dead_code)]", "    #[expect(\n    dead_code\n)]"];
    let under_a_condition = "#![cfg_attr(test, allow(dead_code))]";
    for text in said.into_iter().chain([under_a_condition]) {
        assert_eq!(bare_waivers(&format!("//! Text.\n{text}\nfn x() {{}}\n")), [2], "{text}");
        let mended = text.replace("dead_code", "dead_code, reason = \"why\"");
        assert_eq!(bare_waivers(&mended), [0; 0], "{mended}");
    }
}

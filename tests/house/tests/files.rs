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

#[test]
fn every_workspace_lint_waiver_has_a_reason() {
    let root = house::root();
    let mut bare = Vec::new();
    for file in house::files(&root.join("crates"), "rs") {
        let text = std::fs::read_to_string(&file).expect("a readable source file");
        let starts = text.match_indices("#[allow(").chain(text.match_indices("#[expect("));
        for (at, _) in starts {
            let attribute = text[at..].split(")]").next().unwrap_or_default();
            if !attribute.contains("reason") {
                let line = text[..at].lines().count() + 1;
                bare.push(format!("{}:{line}", file.display()));
            }
        }
    }
    assert!(bare.is_empty(), "waivers without a reason:\n{}", bare.join("\n"));
}

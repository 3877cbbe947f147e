//! Where `unsafe` may be: the one list. `docs/security.md` has the reason of each product file.

use std::collections::BTreeSet;

/// Product files with `unsafe`; each is described in docs/security.md.
const PRODUCT: &[&str] = &[
    "crates/bgpd/src/handover/descriptors.rs",
    "crates/bgpd/src/handover/store.rs",
    "crates/bgpd/src/net/md5.rs",
    "crates/bgpd/src/net/option.rs",
];

/// Files of tests and benchmarks with `unsafe`, and what for.
const TESTS: &[(&str, &str)] = &[
    ("benches/src/bin/instructions/meter.rs", "an allocator that counts"),
    ("crates/bgpd/tests/privileges/fences.rs", "system calls that must be refused"),
    ("tests/interop/src/faults/inject.rs", "a filter of system calls around the daemon"),
    ("tests/interop/src/sockets.rs", "a socket of another process, and ends that no safe call gives"),
    ("tests/interop/src/service_manager.rs", "descriptors that come and go by number"),
    ("tests/interop/src/process.rs", "a child that dies with its parent"),
];

/// Whether a line of code, not of a comment or a text, says `unsafe`.
fn says_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["unsafe {", "unsafe impl", "unsafe fn", "unsafe trait", "unsafe extern"]
        .iter()
        .any(|form| code.contains(form) && !code.contains('"'))
}

#[test]
fn unsafe_is_where_it_is_listed_and_nowhere_else() {
    let root = house::root();
    let mut found = BTreeSet::new();
    for directory in ["crates", "tests", "benches", "fuzz"] {
        for file in house::files(&root.join(directory), "rs") {
            let text = std::fs::read_to_string(&file).expect("a readable source file");
            if text.lines().any(says_unsafe) {
                found.insert(file.strip_prefix(&root).expect("below the root").display().to_string());
            }
        }
    }
    let listed: BTreeSet<String> =
        PRODUCT.iter().copied().chain(TESTS.iter().map(|(file, _)| *file)).map(str::to_owned).collect();
    assert_eq!(found, listed, "the list in this test and the files with `unsafe` differ");
    let security = std::fs::read_to_string(root.join("docs/security.md")).expect("docs/security.md");
    for file in PRODUCT {
        assert!(security.contains(file), "docs/security.md does not say why {file} has `unsafe`");
    }
}

#[test]
fn every_product_crate_forbids_unsafe_but_the_daemons_library() {
    let root = house::root();
    let mut roots = 0;
    for name in ["lib.rs", "main.rs"] {
        for file in house::files(&root.join("crates"), "rs") {
            if !file.ends_with(format!("src/{name}")) {
                continue;
            }
            roots += 1;
            let text = std::fs::read_to_string(&file).expect("a readable source file");
            // The library has the files of `PRODUCT`, and `forbid` has no exceptions.
            let wanted = if file.ends_with("bgpd/src/lib.rs") {
                "#![deny(unsafe_code)]"
            } else {
                "#![forbid(unsafe_code)]"
            };
            assert!(text.contains(wanted), "{} lacks {wanted}", file.display());
        }
    }
    assert!(roots >= 10, "{roots} crate roots were found");
}

//! The crates depend on each other only along the edges of docs/ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Who may depend on whom; `bgpd-rs` may depend on all.
const EDGES: &[(&str, &[&str])] = &[
    ("bgp-wire", &[]),
    ("bgp-session", &["bgp-wire"]),
    ("bgp-policy", &["bgp-wire"]),
    ("bgp-rib", &["bgp-wire", "bgp-policy"]),
    ("bgp-fib", &["bgp-wire"]),
    ("bgp-bfd", &[]),
    ("bgp-api", &[]),
    ("bgp-netlink", &["bgp-fib", "bgp-wire"]),
    ("bgpctl", &["bgp-api"]),
];

/// What would bring a clock, a socket or a task into a pure crate.
const SHELL_ONLY: &[&str] =
    &["tokio", "socket2", "nix", "libc", "rtnetlink", "netlink-sys", "tracing", "metrics"];

const PURE: &[&str] = &["bgp-wire", "bgp-session", "bgp-policy", "bgp-rib", "bgp-fib", "bgp-bfd", "bgp-api"];

/// Normal dependencies of each workspace package.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(house::root())
        .output()
        .expect("cargo metadata runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages
        .iter()
        .map(|package| {
            let name = package["name"].as_str().expect("a name").to_owned();
            let normal = package["dependencies"]
                .as_array()
                .expect("a list of dependencies")
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| dependency["name"].as_str().expect("a name").to_owned())
                .collect();
            (name, normal)
        })
        .collect()
}

#[test]
fn crates_depend_only_along_the_edges() {
    let dependencies = dependencies();
    let ours: BTreeSet<_> = dependencies.keys().cloned().collect();
    for (package, allowed) in EDGES {
        let actual = dependencies.get(*package).unwrap_or_else(|| panic!("no package {package}"));
        for dependency in actual.intersection(&ours) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{package} depends on {dependency}; docs/ARCHITECTURE.md allows {allowed:?}"
            );
        }
    }
}

#[test]
fn pure_crates_have_no_shell() {
    let dependencies = dependencies();
    for package in PURE {
        for dependency in &dependencies[*package] {
            assert!(
                !SHELL_ONLY.contains(&dependency.as_str()),
                "{package} is pure but depends on {dependency}"
            );
        }
    }
}

#[test]
fn pure_crates_forbid_unsafe_and_panics() {
    for package in PURE {
        let directory = package.trim_start_matches("bgp-");
        let path = house::root().join("crates").join(directory).join("src/lib.rs");
        let text = std::fs::read_to_string(&path).expect("lib.rs is readable");
        for needed in
            ["#![forbid(unsafe_code)]", "clippy::unwrap_used", "clippy::indexing_slicing", "clippy::panic"]
        {
            assert!(text.contains(needed), "{} lacks {needed}", path.display());
        }
    }
}

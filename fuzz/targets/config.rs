//! Any text as a configuration: it loads, or every fault says where and what; what loads is shown as a configuration that
//! loads again and changes nothing.
#![no_main]

use bgpd_rs::config::diff::Diff;
use bgpd_rs::config::{Severity, load_str};
use libfuzzer_sys::fuzz_target;

/// Passwords are not shown, and files of passwords are of the machine: what depends on them is not compared.
const SECRET: &str = "password";

fuzz_target!(|text: &str| {
    if text.contains("password-file") {
        return;
    }
    let faults = match load_str(text, "f.toml") {
        Ok(loaded) => {
            assert!(loaded.warnings.iter().all(|fault| fault.severity == Severity::Warning));
            let shown = loaded.config.to_toml();
            let again = load_str(&shown, "f.toml").unwrap_or_else(|faults| panic!("{shown}\n{faults}"));
            assert_eq!(again.config.to_toml(), shown);
            if !text.contains(SECRET) {
                assert!(Diff::between(&loaded.config, &again.config).is_empty(), "{shown}");
            }
            loaded.warnings
        }
        Err(faults) => {
            assert!(faults.errors() > 0);
            faults
        }
    };
    let lines: Vec<String> = faults.lines().collect();
    assert_eq!(lines.len(), faults.iter().count());
    let last = text.matches('\n').count() + 1;
    for (fault, line) in faults.iter().zip(&lines) {
        let words: Vec<&str> = line.splitn(4, ':').collect();
        assert_eq!(words[0], "f.toml");
        if fault.span.is_some() {
            let number: usize = words[1].parse().expect("a line number");
            assert!((1..=last).contains(&number), "{line}");
        }
        assert!(!fault.title.is_empty());
    }
    assert!(faults.is_empty() || faults.render(false).contains("f.toml"));
    assert!(faults.is_empty() || !faults.render(true).is_empty());
});

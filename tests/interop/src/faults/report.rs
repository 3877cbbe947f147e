//! Runs faults and writes the table of `docs/reliability.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::scene::shown;
use super::usage::Usage;
use super::{ALL, Fault, Length, Outcome, select};

const BEGIN: &str = "<!-- faults: begin. Written by scripts/faults --write; changes by hand are lost. -->\n";
const END: &str = "<!-- faults: end -->\n";
const HEAD: &str = "| fault | what is done | requests lost | from the first to the last | longest wait for an answer | what became of it | memory before, after, at most (MiB) | of full length |\n|---|---|---:|---:|---:|---|---:|---:|\n";

/// Runs the faults with these names (all without names), prints a line each, and with `write` renews their lines in that
/// page. Fails when one of them did, after all have run.
pub fn run_faults(only: &[String], length: Length, write: Option<&Path>) -> Result<()> {
    ensure!(length.0 >= 0.0 && length.0 <= 10.0, "--scale is between 0 and 10");
    let (mut lines, mut failed) = (BTreeMap::new(), Vec::new());
    print!("{HEAD}");
    for fault in select(only)? {
        match fault.run(length) {
            Ok(outcome) => {
                let line = line(fault, &outcome, length);
                print!("{line}");
                lines.insert(fault.name, line);
            }
            Err(error) => {
                eprintln!("{}: {error:#}", fault.name);
                failed.push(fault.name);
            }
        }
    }
    if let Some(path) = write {
        renew(path, &lines)?;
    }
    if !failed.is_empty() {
        bail!("not as promised: {}", failed.join(", "));
    }
    Ok(())
}

fn line(fault: &Fault, outcome: &Outcome, length: Length) -> String {
    let lost = outcome.tally.lost.len();
    let felt = if lost < 2 { "-".to_owned() } else { shown(outcome.tally.disturbed_for()) };
    let mib = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
    let Usage { resident, peak, .. } = outcome.after;
    format!(
        "| {} | {} | {lost} of {} | {felt} | {} | {} | {}, {}, {} | {} |\n",
        fault.name,
        fault.what,
        outcome.tally.total(),
        shown(outcome.tally.longest_gap),
        outcome.said,
        mib(outcome.before.resident),
        mib(resident),
        mib(peak),
        length.0
    )
}

/// Puts new lines into the table, in the order of the faults; lines of faults that were not run stay.
fn renew(path: &Path, lines: &BTreeMap<&str, String>) -> Result<()> {
    let page = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let renewed = with_lines(&page, lines).with_context(|| path.display().to_string())?;
    fs::write(path, renewed).with_context(|| path.display().to_string())
}

fn with_lines(page: &str, lines: &BTreeMap<&str, String>) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("no mark where the table begins")?;
    let (table, after) = rest.split_once(END).context("no mark where the table ends")?;
    let mut renewed = String::from(HEAD);
    for fault in ALL.iter().flat_map(|group| group.iter()) {
        let old = table.lines().find(|line| line.starts_with(&format!("| {} |", fault.name)));
        match (lines.get(fault.name), old) {
            (Some(new), _) => renewed.push_str(new),
            (None, Some(old)) => renewed.push_str(&format!("{old}\n")),
            (None, None) => {}
        }
    }
    Ok(format!("{before}{BEGIN}\n{renewed}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_renewed_and_others_stay() {
        let page = format!("before\n{BEGIN}\n{HEAD}| flapping | old |\n| kill-9 | old |\n\n{END}after\n");
        let new = BTreeMap::from([("kill-9", "| kill-9 | new |\n".to_owned())]);
        let renewed = with_lines(&page, &new).unwrap();
        assert_eq!(
            renewed,
            format!("before\n{BEGIN}\n{HEAD}| flapping | old |\n| kill-9 | new |\n\n{END}after\n")
        );
        assert_eq!(with_lines(&renewed, &BTreeMap::new()).unwrap(), renewed);
        assert!(with_lines("nothing", &new).is_err());
    }
}

//! What one more prefix, path, attribute set and peer cost on the heap, and which structure has it: `memory [PREFIXES]`.
//!
//! Each row is the difference of two states, built under a heap profiler that knows from where each allocation that is
//! still there was asked for. Structures that grow by doubling are compared between a size and its double, so that they
//! are equally full. What is attributed to no file of ours is shown, and more than a tenth of it is an error: then the
//! table explains nothing. `scripts/bench-memory` runs it, and with `--write` puts the tables into docs/performance.md.

mod heap;
mod states;

use std::process::ExitCode;

use crate::heap::Structure;
use crate::states::{Row, rows};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Prefixes of the smaller of two tables.
const PREFIXES: u32 = 150_000;
/// Structures below this part of a row are summed up.
const SMALL: f64 = 0.01;
/// At most this part of a row may stay unexplained.
const UNEXPLAINED: f64 = 0.1;

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let Ok(prefixes) = argument.map_or(Ok(PREFIXES), |count| count.parse()) else {
        eprintln!("usage: memory [PREFIXES]");
        return ExitCode::from(2);
    };
    println!("| one more | octets | of which, by the file that asks for them |\n|---|---:|---|");
    let mut files = Vec::new();
    let mut explained = true;
    for row in rows(prefixes) {
        let shares = row.heap.shares(row.items);
        println!("| {} | {:.1} | {} |", row.title, row.heap.octets(row.items), words(&row, &shares));
        explained &= row.heap.unexplained() <= UNEXPLAINED;
        files.extend(shares.into_iter().flat_map(|(structure, _)| structure.files()));
    }
    files.sort_unstable();
    files.dedup();
    println!("\n| file | what it is, in its own words |\n|---|---|");
    for file in files {
        println!("| `{file}` | {} |", heap::first_sentence(&file));
    }
    if explained {
        ExitCode::SUCCESS
    } else {
        eprintln!("more than {:.0} % of a row comes from no file of ours", UNEXPLAINED * 100.0);
        ExitCode::FAILURE
    }
}

/// The shares of a row, the largest first.
fn words(row: &Row, shares: &[(Structure, f64)]) -> String {
    let all = row.heap.octets(row.items);
    let (large, small): (Vec<_>, Vec<_>) =
        shares.iter().partition(|(_, octets)| octets.abs() >= all.abs() * SMALL);
    let mut words: Vec<String> =
        large.iter().map(|(structure, octets)| format!("{octets:.1} {structure}")).collect();
    let rest: f64 = small.iter().map(|(_, octets)| octets).sum();
    if rest.abs() >= 0.05 {
        words.push(format!("{rest:.1} others"));
    }
    words.join(", ")
}

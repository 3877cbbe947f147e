//! `peers-bench`: whole tables through this daemon and through others, with the same octets, on the same machine.
//!
//! ```text
//! stream      the load: a file of UPDATEs or a made-up table; what each feeder sends
//! session     feeders and recording receivers
//! view        does the receiver hold every prefix with its attributes?
//! forwarding  where would the kernel send a packet?
//! daemon      who is measured; `configs/` says how each is configured
//! relay       nobody: what only reading and writing takes
//! lab         a daemon with its peers, in namespaces of their own
//! work        what is measured
//! usage       CPU and memory from the kernel
//! results     runs, medians, the file of runs
//! report      tables; plot: charts
//! ```
//!
//! The result are ratios to BIRD 2 in the same run: the machine may be slow or busy, but it is so for all. Needs root.

mod conditions;
mod daemon;
mod forwarding;
mod lab;
mod plot;
mod relay;
mod report;
mod results;
mod session;
mod stream;
mod usage;
mod view;
mod work;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use crate::daemon::Name;
use crate::results::Results;
use crate::work::{Bench, Measure, Work};

/// Whole tables through this daemon and others, timed.
#[derive(Debug, Parser)]
struct Options {
    /// The table as UPDATE messages of an external peer; without it one is made up.
    #[arg(long)]
    table: Option<PathBuf>,
    /// Changes of that table, the same way.
    #[arg(long)]
    churn: Option<PathBuf>,
    /// Of everything only this part.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Which works, by their letters; all without it.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Work>,
    /// Which daemons.
    #[arg(long, value_delimiter = ',', default_values_t = [Name::BgpdRs, Name::Bird, Name::Relay, Name::Requests])]
    daemons: Vec<Name>,
    /// All daemons.
    #[arg(long, conflicts_with = "daemons")]
    all: bool,
    /// How often; medians are shown.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Seconds that one wait may take: who needs longer for a work has not done it.
    #[arg(long, default_value_t = 120)]
    limit: u64,
    /// The document whose part between the marks is written anew, with plots and all runs beside it.
    #[arg(long)]
    write: Option<PathBuf>,
    /// With --write: what was not measured now stays as it was.
    #[arg(long, requires = "write")]
    keep: bool,
    /// Where configurations and logs go.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Only relay between so many peers, in the order in which they come; whether each is told what the others say.
    #[arg(long, value_delimiter = ',', hide = true)]
    relay: Vec<bool>,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&results::word(self))
    }
}

fn main() -> Result<()> {
    let mut options = Options::parse();
    if !options.relay.is_empty() {
        return relay::run(&options.relay);
    }
    if options.all {
        options.daemons = Name::value_variants().to_vec();
    }
    if let Some(document) = &options.write {
        report::check(document)?;
    }
    // What a run left that was killed.
    interop::clean::clean(false)?;
    let dir = options
        .dir
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("bglab-{}-peers-bench", std::process::id())));
    let table = table(&options)?;
    let mut conditions = conditions::before(&table, &options);
    let limit = Duration::from_secs(options.limit);
    let bench = Bench::new(table, churn(&options)?, options.scale, dir.clone(), limit)?;
    let mut works = options.only.clone();
    if works.is_empty() {
        works = Work::value_variants().to_vec();
    }
    works.retain(|work| bench.can(*work));
    let mut results = Results::default();
    for work in works {
        measure(&bench, work, &options, &mut results);
    }
    conditions.push_str(&conditions::after());
    println!("{}", report::markdown(&results, &conditions));
    let ours = results.clone();
    if let Some(document) = &options.write {
        report::write(document, results, &conditions, options.keep)?;
    }
    if options.dir.is_none() && dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    let failed = Measure::ALL.iter().filter(|measure| ours.has_failed(measure, Name::BgpdRs));
    let failed: Vec<_> = failed.map(|measure| measure.title).collect();
    ensure!(failed.is_empty(), "bgpd-rs has not done: {}", failed.join("; "));
    Ok(())
}

fn table(options: &Options) -> Result<Vec<stream::Piece>> {
    let part = |count: usize| ((count as f64 * options.scale) as usize).max(100);
    let Some(path) = &options.table else {
        return Ok(stream::synthetic(part(1_000_000), part(200_000)));
    };
    let octets = std::fs::read(path).with_context(|| path.display().to_string())?;
    let pieces = stream::read(&octets, usize::MAX, usize::MAX)?;
    if options.scale >= 1.0 {
        return Ok(pieces);
    }
    let [v4, v6] = stream::count(&pieces);
    stream::read(&octets, part(v4), part(v6))
}

fn churn(options: &Options) -> Result<Vec<stream::Piece>> {
    let Some(path) = &options.churn else { return Ok(Vec::new()) };
    let octets = std::fs::read(path).with_context(|| path.display().to_string())?;
    let mut pieces = stream::read(&octets, usize::MAX, usize::MAX)?;
    pieces.truncate((pieces.len() as f64 * options.scale) as usize);
    Ok(pieces)
}

/// Does one work with all daemons in turn, as often as asked. Who has failed is not asked again.
fn measure(bench: &Bench, work: Work, options: &Options, results: &mut Results) {
    let can = |name: Name| match work {
        Work::D => name.writes_the_kernel() || name == Name::Requests,
        Work::H => name.writes_the_kernel(),
        Work::L => name.hands_over(),
        Work::C => name.is_daemon() || name == Name::Relay,
        _ => name.is_daemon(),
    };
    let mut names: BTreeSet<Name> = options.daemons.iter().copied().collect();
    names.retain(|name| can(*name));
    for _ in 0..options.repeat {
        for name in names.clone() {
            let start = Instant::now();
            match bench.run(name, work) {
                Ok(rows) => {
                    for (measure, figures) in rows {
                        eprintln!("{}, {}: {figures:.3?}", measure.title, name.title());
                        results.add(measure, name, figures);
                    }
                }
                Err(error) => {
                    eprintln!("{} {work:?}: {error:#}", name.title());
                    names.remove(&name);
                    for measure in Measure::ALL.iter().filter(|measure| measure.is_of(work)) {
                        results.add_failure(measure, name, error.root_cause().to_string());
                    }
                }
            }
            eprintln!("  ({} {work:?} took {:.1} s in all)", name.title(), start.elapsed().as_secs_f64());
        }
    }
}

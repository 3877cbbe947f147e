//! `peers-bench`: whole tables through this daemon and through others, with the same octets, on the same machine.
//!
//! ```text
//! stream     the load: a file of UPDATEs or a made-up table; what each feeder sends
//! session    feeders and recording receivers
//! view       does the receiver hold every prefix with its attributes?
//! daemon     who is measured, and how it is configured
//! work       what is measured
//! usage      CPU and memory from /proc
//! ```
//!
//! The result are ratios to BIRD 2 in the same run: the machine may be slow or busy, but it is so for all. Needs root.

mod daemon;
mod session;
mod stream;
mod usage;
mod view;
mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use crate::daemon::Name;
use crate::work::{Bench, Row, Work};

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
    #[arg(long, value_delimiter = ',', default_values_t = [Name::BgpdRs, Name::Bird, Name::Frr])]
    daemons: Vec<Name>,
    /// How often; medians are shown.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Where configurations and logs go.
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            self.to_possible_value().map(|value| value.get_name().to_owned()).as_deref().unwrap_or(""),
        )
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let dir = options
        .dir
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("peers-bench-{}", std::process::id())));
    let bench = Bench { table: table(&options)?, churn: churn(&options)?, scale: options.scale, dir };
    let [v4, v6] = stream::count(&bench.table);
    eprintln!("{v4} IPv4 and {v6} IPv6 prefixes, {} attribute sets", bench.table.len());
    let mut works = options.only.clone();
    if works.is_empty() {
        works = Work::value_variants().to_vec();
    }
    if bench.churn.is_empty() {
        works.retain(|work| *work != Work::F);
    }
    let first_load = usage::load();
    println!(
        "| work | daemon | wall s | CPU s | peak RSS MB | p50 ms | p99 ms | wall, CPU, RSS against BIRD 2 |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---|");
    for work in works {
        measure(&bench, work, &options);
    }
    println!("\nLoad average (1 min) {first_load:.1} at the start, {:.1} at the end.", usage::load());
    if options.dir.is_none() && bench.dir.exists() {
        std::fs::remove_dir_all(&bench.dir)?;
    }
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

/// Does one work with all daemons in turn, as often as asked, and prints medians.
fn measure(bench: &Bench, work: Work, options: &Options) {
    let mut rows: BTreeMap<(usize, usize), Vec<Row>> = BTreeMap::new();
    for _ in 0..options.repeat {
        for (place, name) in options.daemons.iter().enumerate() {
            match bench.run(*name, work) {
                Ok(measured) => {
                    for (part, row) in measured.into_iter().enumerate() {
                        eprintln!("{} {row:?}", name.title());
                        rows.entry((part, place)).or_default().push(row);
                    }
                }
                Err(error) => eprintln!("{} {work:?}: {error:#}", name.title()),
            }
        }
    }
    let medians: BTreeMap<_, _> =
        rows.into_iter().filter_map(|(key, rows)| Some((key, median(&rows)?))).collect();
    let bird = options.daemons.iter().position(|name| *name == Name::Bird);
    for ((part, place), row) in &medians {
        let Some(name) = options.daemons.get(*place) else { continue };
        let against = bird.and_then(|bird| medians.get(&(*part, bird)));
        println!("{}", line(*name, row, against));
    }
}

fn median(rows: &[Row]) -> Option<Row> {
    fn middle<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
        values.sort_unstable();
        values.get((values.len().max(1) - 1) / 2).copied()
    }
    let each = |value: fn(&Row) -> Duration| middle(rows.iter().map(value).collect());
    let latency = |value: fn(&(Duration, Duration)) -> Duration| {
        middle(rows.iter().filter_map(|row| row.latency.as_ref()).map(value).collect())
    };
    Some(Row {
        work: rows.first()?.work,
        wall: each(|row| row.wall)?,
        cpu: each(|row| row.cpu)?,
        peak: middle(rows.iter().map(|row| row.peak).collect())?,
        latency: latency(|times| times.0).zip(latency(|times| times.1)),
    })
}

fn line(name: Name, row: &Row, bird: Option<&Row>) -> String {
    let ms = |time: Duration| format!("{:.3}", time.as_secs_f64() * 1000.0);
    let (p50, p99) = row.latency.map_or_else(Default::default, |(p50, p99)| (ms(p50), ms(p99)));
    let ratio = |one: f64, other: f64| format!("{:.2}", one / other.max(1e-9));
    let against = bird.filter(|_| name != Name::Bird).map_or_else(String::new, |bird| {
        let cpu = ratio(row.cpu.as_secs_f64(), bird.cpu.as_secs_f64());
        match (row.latency, bird.latency) {
            (Some(ours), Some(theirs)) => format!(
                "p50 {}, p99 {}",
                ratio(ours.0.as_secs_f64(), theirs.0.as_secs_f64()),
                ratio(ours.1.as_secs_f64(), theirs.1.as_secs_f64())
            ),
            _ => format!(
                "{}, {cpu}, {}",
                ratio(row.wall.as_secs_f64(), bird.wall.as_secs_f64()),
                ratio(row.peak as f64, bird.peak as f64)
            ),
        }
    });
    format!(
        "| {} | {} | {:.2} | {:.2} | {} | {p50} | {p99} | {against} |",
        row.work,
        name.title(),
        row.wall.as_secs_f64(),
        row.cpu.as_secs_f64(),
        row.peak / 1024
    )
}

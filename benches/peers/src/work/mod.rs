//! The works, and what each of them measures. Each starts a daemon of its own, waits until all sessions are up, then
//! starts the clock.
//!
//! ```text
//! load      whole tables and many paths, from feeders to receivers
//! change    one changed route, idle or beside a whole table
//! kernel    the whole table into the kernel; a peer lost whose routes are all there
//! growth    what a route, a path and a peer cost, by the size of the table
//! restart   another process goes on with the whole table
//! ```

mod change;
mod growth;
mod kernel;
mod load;
mod restart;

pub(crate) use growth::FURTHER_PEERS;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::daemon::{Name, Role};
use crate::lab::{Clock, Lab, Plan};
use crate::results::{Figure, Figures, percentile};
use crate::stream::{self, Piece};
use crate::view::View;

/// Which work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Work {
    /// Whole table, one feeder, one receiver.
    A,
    /// Eight feeders of the same prefixes, one receiver; then the best feeder lost.
    B,
    /// One changed route with the table loaded, nothing else going on.
    C,
    /// Whole table into the kernel.
    D,
    /// Thirty feeders of distinct prefixes, each gets those of all others.
    E,
    /// A day's changes at full speed.
    F,
    /// One changed route while another peer sends a whole table.
    G,
    /// A peer lost with the whole table in the kernel: its session ends; its port goes down; one of two equal ones.
    H,
    /// What a route costs in tables of 10 k to 4 M prefixes.
    I,
    /// What a path costs beside 0, 1 and 7 others.
    J,
    /// What a peer costs: 98 more with few routes each.
    K,
    /// The whole table in the kernel and at a receiver, while another process goes on: `--replace`; by the store.
    L,
}

/// A figure that this project wants to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// At most so much of BIRD 2's.
    OfBird(Figure, f64),
    /// At most so much of FRR's.
    OfFrr(Figure, f64),
    /// At most so much of what only the requests take.
    OfRequests(Figure, f64),
    /// At most so much, in the figure's unit.
    AtMost(Figure, f64),
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Measure {
    /// In the file of runs.
    pub(crate) key: &'static str,
    /// In the table.
    pub(crate) title: &'static str,
    /// What is wanted of this project's daemon.
    pub(crate) goals: &'static [Goal],
}

use Figure::{Cpu, P50, P99, Peak, Wall};
use Goal::{AtMost, OfBird, OfFrr, OfRequests};

const fn measure(key: &'static str, title: &'static str, goals: &'static [Goal]) -> Measure {
    Measure { key, title, goals }
}

impl Measure {
    /// All of them, in the order of the table.
    pub(crate) const ALL: &'static [Self] = &[
        measure("a", "whole table, 1 -> 1", &[OfBird(Wall, 0.25), OfBird(Cpu, 0.25), OfBird(Peak, 0.5)]),
        measure(
            "b",
            "8 x 300 k same prefixes -> 1",
            &[OfBird(Wall, 0.25), OfBird(Cpu, 0.25), OfBird(Peak, 0.5)],
        ),
        measure("b-lost", "best of the 8 lost", &[OfBird(Wall, 0.1), OfFrr(Wall, 0.25)]),
        measure("c", "one route, idle", &[OfBird(P50, 0.6), OfBird(P99, 1.0)]),
        measure(
            "d",
            "whole table into the kernel",
            &[OfRequests(Wall, 1.15), OfBird(Wall, 0.3), OfBird(Cpu, 0.4)],
        ),
        measure("e", "30 x 30 k distinct -> all", &[OfBird(Wall, 0.33), OfBird(Cpu, 0.33)]),
        measure("f", "a day's churn", &[OfBird(Cpu, 0.33)]),
        measure("g", "one route during a whole table", &[AtMost(P99, 5.0)]),
        measure("h-session", "best peer's session ends, table in the kernel", &[AtMost(Figure::Max, 2.0)]),
        measure("h-port", "best peer's port goes down, table in the kernel", &[AtMost(Figure::Max, 2.0)]),
        measure("h-equal", "one of two equal peers lost, table in the kernel", &[AtMost(Figure::Max, 2.0)]),
        measure("i-10k", "10 k prefixes", &[]),
        measure("i-100k", "100 k prefixes", &[]),
        measure("i-1m", "1 M prefixes", &[]),
        measure("i-4m", "4 M prefixes", &[]),
        measure("j-1", "300 k prefixes, 1 path", &[]),
        measure("j-2", "300 k prefixes, 2 paths, each with its attributes", &[]),
        measure("j-8", "300 k prefixes, 8 paths, each with its attributes", &[]),
        measure("j-8-shared", "300 k prefixes, 8 paths with the same attributes", &[]),
        measure("k", "300 k prefixes, 98 more peers with 100 of them each", &[]),
        measure("l-load", "whole table, 1 -> 1 and into the kernel", &[]),
        measure(
            "l-replace",
            "hitless restart by --replace, table in the kernel",
            &[AtMost(Figure::Max, 3000.0)],
        ),
        measure("l-store", "the same by the service manager's store", &[AtMost(Figure::Max, 3000.0)]),
    ];

    /// By its key.
    pub(crate) fn named(key: &str) -> &'static Self {
        Self::ALL.iter().find(|measure| measure.key == key).unwrap_or(&Self::ALL[0])
    }

    /// Its place in the table.
    pub(crate) fn place(&self) -> usize {
        Self::ALL.iter().position(|measure| measure.key == self.key).unwrap_or_default()
    }

    /// The work that it belongs to.
    pub(crate) fn is_of(&self, work: Work) -> bool {
        self.key.starts_with(&crate::results::word(&work))
    }
}

/// Figures of one measure.
pub(crate) type Row = (&'static Measure, Figures);

/// The load and the place.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The whole table.
    table: Vec<Piece>,
    /// The whole table as the first peer sends it.
    octets: Arc<Vec<u8>>,
    /// What a receiver holds then.
    view: View,
    /// A day's changes of it; may be empty.
    churn: Vec<Piece>,
    /// Of everything, this part.
    scale: f64,
    /// For configurations and logs.
    dir: PathBuf,
    /// The longest that one wait may take.
    limit: Duration,
}

impl Bench {
    /// Makes what all works need.
    pub(crate) fn new(
        table: Vec<Piece>,
        churn: Vec<Piece>,
        scale: f64,
        dir: PathBuf,
        limit: Duration,
    ) -> Result<Self> {
        let sender = Plan::of(&[]).sender(0, 1);
        let octets = Arc::new(stream::write(&table, &sender)?);
        let mut view = View::default();
        view.apply(&table, &sender);
        Ok(Self { table, octets, view, churn, scale, dir, limit })
    }

    /// Whether there is anything to do for a work.
    pub(crate) fn can(&self, work: Work) -> bool {
        work != Work::F || !self.churn.is_empty()
    }

    /// Does one work with one daemon.
    pub(crate) fn run(&self, name: Name, work: Work) -> Result<Vec<Row>> {
        match work {
            Work::A => self.whole_table(name),
            Work::B => self.many_paths(name),
            Work::C => self.one_route_idle(name),
            Work::D => self.fill_kernel(name),
            Work::E => self.many_peers(name),
            Work::F => self.a_day(name),
            Work::G => self.one_route_busy(name),
            Work::H => self.peer_lost(name),
            Work::I => self.sizes(name),
            Work::J => self.paths(name),
            Work::K => self.peers(name),
            Work::L => self.restarts(name),
        }
    }

    fn scaled(&self, count: usize) -> usize {
        ((count as f64 * self.scale) as usize).max(100)
    }

    fn lab(&self, plan: &Plan<'_>, name: Name) -> Result<Lab> {
        Lab::start(plan, name, &self.dir, self.limit)
    }
}

/// A daemon that has the whole table from the first peer and has told it to the second.
fn loaded(bench: &Bench, name: Name, roles: &[Role]) -> Result<(Lab, crate::session::Recorder)> {
    let lab = bench.lab(&Plan::of(roles), name)?;
    let mut receiver = lab.sessions[1].record()?;
    lab.sessions[0].feed(Arc::clone(&bench.octets))?;
    lab.settle(&mut receiver, &bench.view)?;
    lab.until_idle(Instant::now())?;
    Ok((lab, receiver))
}

/// Wall, CPU and memory of a work that took so long.
fn figures(lab: &Lab, clock: &Clock, wall: Duration) -> Result<Figures> {
    let used = lab.daemon.usage()?;
    let megabytes = |kibibytes: u64| kibibytes as f64 / 1024.0;
    Ok(Figures::from([
        (Wall, wall.as_secs_f64()),
        (Cpu, clock.cpu(lab)?.as_secs_f64()),
        (Peak, megabytes(used.peak)),
        (Figure::Resident, megabytes(used.resident)),
    ]))
}

/// Percentiles of times, as figures.
fn percentiles(mut times: Vec<Duration>) -> Figures {
    times.sort_unstable();
    let ranks = [(P50, 50), (Figure::P90, 90), (P99, 99), (Figure::Max, 100)];
    let ranked = ranks.into_iter().filter_map(|(figure, rank)| Some((figure, percentile(&times, rank)?)));
    ranked.map(|(figure, time)| (figure, time.as_secs_f64() * 1000.0)).collect()
}

fn joined(fed: JoinHandle<Result<Instant>>) -> Result<Instant> {
    fed.join().map_err(|_| anyhow::anyhow!("a feeder panicked"))?
}

/// The first so many IPv4 prefixes.
fn first(table: &[Piece], count: usize) -> Vec<Piece> {
    let mut left = count;
    let mut pieces = Vec::new();
    for piece in table.iter().filter(|piece| !piece.v6) {
        let mut piece = piece.clone();
        let octets = stream::prefixes(false, &piece.nlri).take(left).map(|(_, octets)| octets.len()).sum();
        left -= stream::prefixes(false, &piece.nlri).take(left).count();
        piece.nlri.truncate(octets);
        if !piece.nlri.is_empty() {
            pieces.push(piece);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_work_measures_something_and_every_key_is_used_once() {
        for work in Work::value_variants() {
            assert!(Measure::ALL.iter().any(|measure| measure.is_of(*work)), "{work:?}");
        }
        for (place, measure) in Measure::ALL.iter().enumerate() {
            assert_eq!(measure.place(), place, "{}", measure.key);
            assert_eq!(Measure::named(measure.key).title, measure.title);
        }
    }
}

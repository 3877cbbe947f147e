//! As many seeds as are asked for, on all processors; for a long run see `docs/testing.md`.
//!
//! A seed that fails is named with the command that runs it alone.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Seeds without `SIM_SEEDS`.
const FEW: u64 = 100;
/// So many failures are enough to look at.
const ENOUGH: usize = 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// One seed, where a panic is a failure like any other.
fn run(seed: u64, start: Instant, trace: bool) -> Result<sim::Run, String> {
    std::panic::catch_unwind(|| sim::run(seed, start, trace)).unwrap_or_else(|_| Err("it panicked".into()))
}

/// What a failure prints is worth something: a seed is the same run each time, whenever it begins.
#[test]
#[expect(clippy::disallowed_methods, reason = "virtual time begins somewhere")]
fn a_seed_is_one_run() {
    let start = Instant::now();
    for seed in 0..8 {
        let [one, other] =
            [start, start + Duration::from_secs(77)].map(|start| sim::run(seed, start, false).unwrap());
        assert_eq!((one.steps, one.nodes, one.links), (other.steps, other.nodes, other.links), "seed {seed}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the run is bounded by real time, the simulation is not")]
fn after_quiet_every_speaker_agrees_with_the_oracle() {
    let start = Instant::now();
    if let Some(seed) = number("SIM_SEED") {
        let result = run(seed, start, std::env::var_os("SIM_TRACE").is_some());
        return assert!(result.is_ok(), "seed {seed}:\n{}", result.unwrap_err());
    }
    let first = number("SIM_FIRST").unwrap_or(0);
    let last = first + number("SIM_SEEDS").unwrap_or(FEW);
    let limit = number("SIM_SECONDS").map_or(Duration::MAX, Duration::from_secs);
    let (next, steps, failures) = (AtomicU64::new(first), AtomicU64::new(0), AtomicUsize::new(0));
    let work = || {
        let mut failed = Vec::new();
        while start.elapsed() < limit && failures.load(Ordering::Relaxed) < ENOUGH {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last {
                break;
            }
            match run(seed, start, false) {
                Ok(run) => drop(steps.fetch_add(run.steps, Ordering::Relaxed)),
                Err(faults) => {
                    println!("SIM_SEED={seed} cargo test -p sim\n{faults}\n");
                    failures.fetch_add(1, Ordering::Relaxed);
                    failed.push(seed);
                }
            }
        }
        failed
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let done = next.into_inner().min(last) - first;
    println!("{done} seeds, {} events, {:?}", steps.into_inner(), start.elapsed());
    assert!(done > 0 && failed.is_empty(), "{} of {done} seeds failed: {failed:?}", failed.len());
}

//! As many seeds as fit: by default few and short, for a long run see `docs/testing.md`.
//!
//! A seed that fails is named with the command that runs it alone.

use std::time::{Duration, Instant};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// One seed, where a panic is a failure like any other.
fn run(seed: u64, start: Instant, trace: bool) -> Result<sim::Run, String> {
    std::panic::catch_unwind(|| sim::run(seed, start, trace)).unwrap_or_else(|_| Err("it panicked".into()))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the run is bounded by real time, the simulation is not")]
fn after_quiet_every_speaker_agrees_with_the_oracle() {
    let start = Instant::now();
    if let Some(seed) = number("SIM_SEED") {
        let result = run(seed, start, std::env::var_os("SIM_TRACE").is_some());
        return assert!(result.is_ok(), "seed {seed}:\n{}", result.unwrap_err());
    }
    let seeds = number("SIM_SEEDS").unwrap_or(300);
    let limit = Duration::from_secs(number("SIM_SECONDS").unwrap_or(20));
    let first = number("SIM_FIRST").unwrap_or(0);
    let (mut done, mut steps, mut failed) = (0, 0, Vec::new());
    for seed in first..first + seeds {
        if start.elapsed() > limit || failed.len() > 20 {
            break;
        }
        match run(seed, start, false) {
            Ok(run) => steps += run.steps,
            Err(faults) => {
                println!("SIM_SEED={seed} cargo test -p sim\n{faults}\n");
                failed.push(seed);
            }
        }
        done += 1;
    }
    println!("{done} seeds, {steps} events, {:?}", start.elapsed());
    assert!(done > 0 && failed.is_empty(), "{} of {done} seeds failed: {failed:?}", failed.len());
}

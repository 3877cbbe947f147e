//! Many speakers in one process: sessions, tables and kernels on virtual time over a seeded network.
//!
//! A run is a function of one number. It makes a topology (`plan`), lets its speakers (`node`, `routing`) work over a
//! network with delay, cuts and slow readers (`network`, `world`), disturbs them (`script`), waits for quiet, and holds
//! every table of every speaker against an oracle that starts from nothing (`oracle`, `check`).
//!
//! The speakers are the pure crates, wired as the daemon wires them; the daemon's own tasks and sockets are not here.
#![forbid(unsafe_code)]

mod check;
#[path = "../../../crates/fib/tests/support/mod.rs"]
mod kernel;
mod network;
mod node;
mod oracle;
mod plan;
mod random;
mod routing;
mod script;
mod world;

use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::random::Random;
use crate::world::World;

/// Longer than the timers that may follow one another: a session that is half open and dialled anew at ever longer intervals
/// (160 seconds were seen), then a leg that waits for an idle time to join a group.
const QUIET: Duration = Duration::from_secs(300);

/// What a run that ended well was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// Speakers and scripted peers.
    pub nodes: usize,
    /// Links between them.
    pub links: usize,
    /// Events.
    pub steps: u64,
}

/// Runs one seed; `start` is any instant, `trace` prints the events.
///
/// # Errors
///
/// What was wrong after the quiet, a line for each.
pub fn run(seed: u64, start: Instant, trace: bool) -> Result<Run, String> {
    let mut random = Random::new(seed);
    let plan = Plan::random(&mut random);
    if trace {
        println!("{plan:#?}");
    }
    let mut world = World::new(plan, random, start, trace);
    let end = script::schedule(&mut world);
    world.run_until(start + end);
    let quiet = world.now + QUIET;
    world.run_until(quiet);
    let faults = world.judge();
    if faults.is_empty() {
        Ok(Run { nodes: world.nodes.len(), links: world.plan.links.len(), steps: world.steps })
    } else {
        Err(faults.join("\n"))
    }
}

//! Faults in the real thing: what is done to a running daemon while traffic flows, and what it cost.
//!
//! A fault is a function: it builds a scene (a lab, the daemon, its peers, requests from behind the host), does its harm,
//! waits until everything is as it should be again, and says what was lost. It fails where the daemon did not keep what
//! it promises. The labs of `tests/faults.rs` run each in its short form, `scripts/faults` at full length for the table
//! in `docs/reliability.md`.
//!
//! ```text
//! scene     the stage, and the judgement that is the same for all
//! usage     memory and descriptors of a process
//! probe     a route that comes and goes all the time, and how long that takes
//! peers     what a peer or its node does
//! tcp       what arrives at port 179
//! kernel    what the kernel, and others in it, do
//! inject    system calls that fail
//! host      disk, control socket, metrics, configuration, signals
//! kills     kill -9 at random points
//! report    the table
//! ```

use std::time::Duration;

use anyhow::{Context, Result};

pub mod host;
pub mod inject;
pub mod kernel;
pub mod kills;
pub mod peers;
pub mod probe;
pub mod report;
pub mod scene;
pub mod tcp;
pub mod usage;

pub use scene::{Outcome, Scene};

/// How long and how much: 1 is the full length of the table, 0 the least that still shows something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Length(pub f64);

impl Length {
    /// The short form of the labs.
    pub const SHORT: Self = Self(0.0);

    /// So many seconds at full length, and never less than `least`.
    pub fn seconds(self, full: u64, least: u64) -> Duration {
        Duration::from_secs_f64(self.scaled(full, least))
    }

    /// So many of something at full length, and never fewer than `least`.
    pub fn count(self, full: u32, least: u32) -> u32 {
        self.scaled(full.into(), least.into()).round() as u32
    }

    fn scaled(self, full: u64, least: u64) -> f64 {
        (full as f64 * self.0).max(least as f64)
    }
}

/// One kind of harm.
pub struct Fault {
    /// What `--only` and the tests call it.
    pub name: &'static str,
    /// What is done, for the table.
    pub what: &'static str,
    run: fn(Length) -> Result<Outcome>,
}

impl Fault {
    /// Does the harm in a lab of its own.
    pub fn run(&self, length: Length) -> Result<Outcome> {
        (self.run)(length).with_context(|| format!("fault {}", self.name))
    }
}

/// All of them, in the order of the table.
pub const ALL: &[&[Fault]] = &[peers::FAULTS, tcp::FAULTS, kernel::FAULTS, host::FAULTS, kills::FAULTS];

/// The faults with these names; all without names.
pub fn select(names: &[String]) -> Result<Vec<&'static Fault>> {
    let all = || ALL.iter().flat_map(|group| group.iter());
    if names.is_empty() {
        return Ok(all().collect());
    }
    let find = |name: &String| {
        all().find(|fault| fault.name == name).with_context(|| {
            format!(
                "no fault {name}; there are {}",
                all().map(|fault| fault.name).collect::<Vec<_>>().join(", ")
            )
        })
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_there_once_and_has_a_lab() {
        let labs = include_str!("../../tests/faults.rs");
        let mut seen = BTreeSet::new();
        for fault in ALL.iter().flat_map(|group| group.iter()) {
            assert!(seen.insert(fault.name), "{} is there twice", fault.name);
            assert!(labs.contains(&format!("\"{}\"", fault.name)), "{} has no lab", fault.name);
        }
        assert!(select(&["nonsense".to_owned()]).is_err());
    }

    #[test]
    fn a_short_form_has_the_least() {
        assert_eq!(Length::SHORT.seconds(60, 4), Duration::from_secs(4));
        assert_eq!(Length(1.0).seconds(60, 4), Duration::from_secs(60));
        assert_eq!(Length(0.5).count(200, 10), 100);
    }
}

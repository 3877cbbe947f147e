//! How long it takes from an UPDATE on the wire to the kernel's route.
//!
//! One process writes the UPDATE into a node's socket and reads the kernel's notification in the host's namespace, so
//! that both moments come from one clock. Four changes make a round: a service's first leg, its second, the second
//! withdrawn, the last withdrawn. Some rounds more have two legs and end the second node's session instead, by FIN as an
//! agent that is killed, and by Cease. The same is measured with FRR on the host, for comparison.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bgp_wire::Prefix;
use bgp_wire::notification::{CeaseCode, Notification};
use bytes::Bytes;

use super::{Host, Subject, dial};
use crate::lab::Lab;
use crate::rtnl::{Watcher, v6};
use crate::speaker::withdrawal;
use crate::wait::PATIENCE;

const SERVICE: &str = "2004::1";
const NAMES: [&str; 6] = [
    "route added",
    "leg added",
    "leg withdrawn",
    "route withdrawn",
    "agent killed (FIN)",
    "agent says Cease",
];
/// Rounds that end a session.
const ENDS: usize = 20;
/// Between two changes, so that each meets a daemon at rest, as single service changes do.
const REST: Duration = Duration::from_millis(3);

/// Times of one kind of change.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<Duration>);

impl Sample {
    /// The time within which so many per cent of the changes were done.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(rank).copied().unwrap_or_default()
    }
}

/// Measures and prints a table; with bounds, it fails where p50 or p99 of any change is above them.
pub fn run(subjects: &[Subject], rounds: usize, bounds: Option<(Duration, Duration)>) -> Result<()> {
    println!("| host | change | rounds | p50 ms | p99 ms | max ms |");
    println!("|---|---|---:|---:|---:|---:|");
    for subject in subjects {
        let samples = measure(*subject, rounds)?;
        for (change, sample) in NAMES.iter().zip(&samples) {
            let [p50, p99, max] = [50, 99, 100].map(|percent| sample.percentile(percent));
            let rounds = sample.0.len();
            let ms = |time: Duration| time.as_secs_f64() * 1000.0;
            println!(
                "| {subject} | {change} | {rounds} | {:.3} | {:.3} | {:.3} |",
                ms(p50),
                ms(p99),
                ms(max)
            );
            if let (Subject::BgpdRs, Some((most50, most99))) = (subject, bounds) {
                ensure!(p50 <= most50, "{change}: p50 {p50:?} is over {most50:?}");
                ensure!(p99 <= most99, "{change}: p99 {p99:?} is over {most99:?}");
            }
        }
    }
    Ok(())
}

/// Runs the rounds in a lab of its own.
pub fn measure(subject: Subject, rounds: usize) -> Result<[Sample; 6]> {
    let lab = Lab::with_nodes(2)?;
    let _host = Host::start(subject, &lab)?;
    let watcher = Watcher::start(&lab.host, v6(SERVICE)?)?;
    let [one, other] = lab.nodes.as_slice() else { anyhow::bail!("two nodes") };
    let (first, mut second) = (dial(&lab, one)?, dial(&lab, other)?);
    let legs: Vec<Ipv6Addr> = lab.nodes.iter().map(|node| v6(&node.v6())).collect::<Result<_>>()?;
    let prefixes = [Prefix::host(v6(SERVICE)?.into())];
    let gone = withdrawal(&prefixes)?;
    // From what is done until the kernel has so many legs.
    let time = |count: usize, change: &mut dyn FnMut() -> Result<()>| -> Result<Duration> {
        thread::sleep(REST);
        let wanted: BTreeSet<_> = legs.iter().take(count).copied().collect();
        watcher.forget();
        let start = Instant::now();
        change()?;
        let done = watcher.wait_for(&wanted, PATIENCE).with_context(|| lab.explain())?;
        Ok(done.duration_since(start))
    };
    let [mut added, mut leg, mut leg_gone, mut withdrawn, mut killed, mut ceased]: [Sample; 6] =
        Default::default();
    let announced: [Bytes; 2] = [first.announcement(&prefixes)?, second.announcement(&prefixes)?];
    for round in 0..rounds + 3 {
        let times = [
            time(1, &mut || first.write(&announced[0]))?,
            time(2, &mut || second.write(&announced[1]))?,
            time(1, &mut || second.write(&gone))?,
            time(0, &mut || first.write(&gone))?,
        ];
        // The first rounds warm caches and the neighbour table.
        if round >= 3 {
            for (sample, time) in [&mut added, &mut leg, &mut leg_gone, &mut withdrawn].into_iter().zip(times)
            {
                sample.0.push(time);
            }
        }
    }
    let cease = Notification::cease(CeaseCode::AdministrativeShutdown, None).encode();
    time(1, &mut || first.write(&announced[0]))?;
    for (sample, says_so) in [(&mut killed, false), (&mut ceased, true)] {
        for _ in 0..ENDS {
            time(2, &mut || second.write(&announced[1]))?;
            let mut ends = Some(second);
            let ended = time(1, &mut || {
                let speaker = ends.take().context("it ends once")?;
                if says_so { speaker.write(&cease) } else { Ok(()) }
            })?;
            sample.0.push(ended);
            second = dial(&lab, other)?;
        }
    }
    Ok([added, leg, leg_gone, withdrawn, killed, ceased])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_of_the_sample() {
        let sample = Sample((1..=200).rev().map(Duration::from_micros).collect());
        let micros = [50, 99, 100].map(|percent| sample.percentile(percent).as_micros());
        assert_eq!(micros, [100, 198, 200]);
        assert_eq!(Sample::default().percentile(50), Duration::ZERO);
    }
}

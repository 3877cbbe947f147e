//! How long it takes from an UPDATE on the wire to the kernel's route.
//!
//! One process writes the UPDATE into a node's socket and reads the kernel's notification in the host's namespace, so
//! that both moments come from one clock. Four changes make a round: a service's first leg, its second, the second
//! withdrawn, the last withdrawn. The same is measured with FRR on the host, for comparison.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bgp_wire::Prefix;
use bytes::Bytes;

use crate::daemon::Daemon;
use crate::frr::Frr;
use crate::lab::{HOST_V6, Lab};
use crate::rtnl::{Watcher, v6};
use crate::speaker::{Speaker, withdrawal};
use crate::wait::seconds;

const SERVICE: &str = "2004::1";
const NAMES: [&str; 4] = ["route added", "leg added", "leg withdrawn", "route withdrawn"];
/// Between two changes, so that each meets a daemon at rest, as single service changes do.
const REST: Duration = Duration::from_millis(3);

/// FRR as the lab's host.
pub const FRR_HOST: &str = "router bgp 64513
 bgp router-id 172.50.0.1
 no bgp ebgp-requires-policy
 neighbor cilium peer-group
 neighbor cilium remote-as 64512
 bgp listen range 2001:3200:3200::/64 peer-group cilium
 address-family ipv6 unicast
  neighbor cilium activate
 exit-address-family
";

/// Who runs on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Subject {
    /// This project's daemon.
    BgpdRs,
    /// FRR.
    Frr,
}

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
pub fn run_bench(subjects: &[Subject], rounds: usize, bounds: Option<(Duration, Duration)>) -> Result<()> {
    println!("| host | change | rounds | p50 ms | p99 ms | max ms |");
    println!("|---|---|---:|---:|---:|---:|");
    for subject in subjects {
        let samples = measure(*subject, rounds)?;
        let name = match subject {
            Subject::BgpdRs => "bgpd-rs",
            Subject::Frr => "FRR",
        };
        for (change, sample) in NAMES.iter().zip(&samples) {
            let [p50, p99, max] = [50, 99, 100].map(|percent| sample.percentile(percent));
            let ms = |time: Duration| time.as_secs_f64() * 1000.0;
            println!("| {name} | {change} | {rounds} | {:.3} | {:.3} | {:.3} |", ms(p50), ms(p99), ms(max));
            if let (Subject::BgpdRs, Some((most50, most99))) = (subject, bounds) {
                ensure!(p50 <= most50, "{change}: p50 {p50:?} is over {most50:?}");
                ensure!(p99 <= most99, "{change}: p99 {p99:?} is over {most99:?}");
            }
        }
    }
    Ok(())
}

/// Runs the rounds in a lab of its own.
pub fn measure(subject: Subject, rounds: usize) -> Result<[Sample; 4]> {
    let lab = Lab::with_nodes(2)?;
    let _host: (Option<Daemon>, Option<Frr>) = match subject {
        Subject::BgpdRs => (Some(Daemon::start_k3d(&lab)?), None),
        Subject::Frr => (None, Some(Frr::start(&lab, &lab.host, FRR_HOST)?)),
    };
    let watcher = Watcher::start(&lab.host, v6(SERVICE)?)?;
    let mut speakers = Vec::new();
    for node in &lab.nodes {
        speakers.push(dial(&lab, node)?);
    }
    let [first, second] = speakers.as_slice() else { anyhow::bail!("two nodes") };
    let legs: Vec<Ipv6Addr> = lab.nodes.iter().map(|node| v6(&node.v6())).collect::<Result<_>>()?;
    let prefixes = [Prefix::host(v6(SERVICE)?.into())];
    let gone = withdrawal(&prefixes)?;
    let steps: [(&Speaker, Bytes, usize); 4] = [
        (first, first.announcement(&prefixes)?, 1),
        (second, second.announcement(&prefixes)?, 2),
        (second, gone.clone(), 1),
        (first, gone, 0),
    ];
    let mut samples: [Sample; 4] = Default::default();
    for round in 0..rounds + 3 {
        for (step, (speaker, octets, count)) in steps.iter().enumerate() {
            thread::sleep(REST);
            let wanted: BTreeSet<_> = legs.iter().take(*count).copied().collect();
            watcher.forget();
            let start = Instant::now();
            speaker.write(octets)?;
            let done = watcher.wait_for(&wanted, seconds(5)).with_context(|| lab.explain())?;
            // The first rounds warm caches and the neighbour table.
            if let (true, Some(sample)) = (round >= 3, samples.get_mut(step)) {
                sample.0.push(done.duration_since(start));
            }
        }
    }
    Ok(samples)
}

/// FRR does not let a peer in before it has seen a link-local address of its own.
fn dial(lab: &Lab, node: &crate::lab::Node) -> Result<Speaker> {
    let mut speaker = None;
    lab.until(&format!("{} has its session", node.name), seconds(20), || {
        speaker = Some(Speaker::on(node, HOST_V6)?);
        Ok(true)
    })?;
    speaker.context("no session")
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

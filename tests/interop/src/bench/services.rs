//! What many services cost at a start: three nodes that announce all of them dial as soon as the port is open; how long
//! until the kernel has every route with its three legs, and what the daemon has used by then.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bgp_wire::{Family, Prefix};

use super::{Host, Subject, dial};
use crate::faults::usage::{Usage, processor_time};
use crate::kernel::routes_of_protocol;
use crate::lab::Lab;
use crate::speaker::Speaker;
use crate::wait::seconds;

const NODES: usize = 3;

/// Measures and prints a table.
pub fn run(subjects: &[Subject], services: u32) -> Result<()> {
    println!("| host | services | nodes | start to all in the kernel, s | processor, s | resident, MB |");
    println!("|---|---:|---:|---:|---:|---:|");
    for subject in subjects {
        let cost = measure(*subject, services)?;
        println!(
            "| {subject} | {services} | {NODES} | {:.2} | {:.2} | {} |",
            cost.complete.as_secs_f64(),
            cost.processor.as_secs_f64(),
            cost.resident / 1024
        );
    }
    Ok(())
}

/// What it took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// From the start of the daemon until the kernel has everything.
    pub complete: Duration,
    /// Processor time of the daemon by then.
    pub processor: Duration,
    /// Its resident memory, KiB.
    pub resident: u64,
}

/// Runs it in a lab of its own.
pub fn measure(subject: Subject, services: u32) -> Result<Cost> {
    let lab = Lab::with_nodes(NODES)?;
    let prefixes: Vec<Prefix> = (1..=services)
        .map(|n| format!("2004::{:x}:{:x}/128", n >> 16, n & 0xffff).parse().context("a prefix"))
        .collect::<Result<_>>()?;
    let start = Instant::now();
    thread::scope(|scope| {
        let (lab, prefixes) = (&lab, &prefixes);
        let speakers: Vec<_> = lab
            .nodes
            .iter()
            .map(|node| {
                scope.spawn(move || -> Result<Speaker> {
                    let speaker = dial(lab, node)?;
                    speaker.announce(prefixes)?;
                    speaker.end_of_rib(Family::Ipv6Unicast)?;
                    Ok(speaker)
                })
            })
            .collect();
        let host = Host::start(subject, lab)?;
        let _speakers = speakers
            .into_iter()
            .map(|speaker| speaker.join().map_err(|_| anyhow::anyhow!("a node panicked"))?)
            .collect::<Result<Vec<_>>>()?;
        lab.until("the kernel has every leg of every service", seconds(120), || {
            let routes = routes_of_protocol(&lab.host, "bgp")?;
            Ok(routes.len() == prefixes.len() && routes.iter().all(|route| route.gateways.len() == NODES))
        })?;
        let complete = start.elapsed();
        let mut cost = Cost { complete, processor: Duration::ZERO, resident: 0 };
        for pid in host.pids() {
            cost.processor += processor_time(pid)?;
            cost.resident += Usage::of(pid)?.resident;
        }
        Ok(cost)
    })
}

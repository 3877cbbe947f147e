//! What one more costs: routes in tables of different sizes, paths beside other paths, peers beside other peers.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};

use super::load::written;
use super::{Bench, Measure, Row, figures, first, joined};
use crate::daemon::{Name, Role};
use crate::lab::{Lab, Plan};
use crate::results::{Figure, Figures};
use crate::stream::{self, Piece, Sender, synthetic};
use crate::view::View;

/// Measure, prefixes, runs: the CPU time of a small table is little, and so is the time that several of them take.
const SIZES: [(&str, usize, usize); 4] =
    [("i-10k", 10_000, 5), ("i-100k", 100_000, 3), ("i-1m", 1_000_000, 1), ("i-4m", 4_000_000, 1)];
/// Of the made-up tables one prefix in so many is IPv6, as in the Internet's.
const V6_SHARE: usize = 5;
const PREFIXES: usize = 300_000;
/// Further peers, and what each of them announces.
pub(crate) const FURTHER_PEERS: usize = 98;
const FEW: usize = 100;

impl Bench {
    pub(super) fn sizes(&self, name: Name) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let plan = Plan::of(&[Role::Feeder, Role::Receiver]);
        for (key, count, runs) in SIZES {
            let count = self.scaled(count);
            let table = synthetic(count - count / V6_SHARE, count / V6_SHARE);
            let octets = written(&table, &[plan.sender(0, 1)])?;
            for _ in 0..runs {
                let lab = self.lab(&plan, name)?;
                rows.push((Measure::named(key), taken(&lab, &plan, &table, &octets, count)?));
            }
        }
        Ok(rows)
    }

    pub(super) fn paths(&self, name: Name) -> Result<Vec<Row>> {
        let pieces = first(&self.table, self.scaled(PREFIXES));
        let mut rows = Vec::new();
        for (key, feeders, one_as) in
            [("j-1", 1, false), ("j-2", 2, false), ("j-8", 8, false), ("j-8-shared", 8, true)]
        {
            let mut roles = vec![Role::Feeder; feeders];
            roles.push(Role::Receiver);
            let plan = Plan { one_as, ..Plan::of(&roles) };
            // With the same attributes: all say what the first says, with its next hop.
            let senders: Vec<Sender> = (0..feeders)
                .map(|feeder| if one_as { plan.sender(0, 1) } else { plan.sender(feeder, 1 + feeder) })
                .collect();
            let octets = written(&pieces, &senders)?;
            let lab = self.lab(&plan, name)?;
            let routes = feeders * stream::count(&pieces).iter().sum::<usize>();
            rows.push((Measure::named(key), taken(&lab, &plan, &pieces, &octets, routes)?));
        }
        Ok(rows)
    }

    pub(super) fn peers(&self, name: Name) -> Result<Vec<Row>> {
        let mut roles = vec![Role::Feeder; 1 + FURTHER_PEERS];
        roles.push(Role::Receiver);
        let plan = Plan::of(&roles);
        let pieces = first(&self.table, self.scaled(PREFIXES));
        let mut octets = written(&pieces, &[plan.sender(0, 1)])?;
        // Each further peer has some of the prefixes, from another place of the table, by a longer path.
        for peer in 1..=FURTHER_PEERS {
            let start = pieces.len() / (FURTHER_PEERS + 1) * peer;
            let few = first(pieces.get(start..).unwrap_or_default(), FEW);
            octets.extend(written(&few, &[plan.sender(peer, 3)])?);
        }
        let lab = self.lab(&plan, name)?;
        let routes = stream::count(&pieces).iter().sum::<usize>() + FURTHER_PEERS * FEW;
        Ok(vec![(Measure::named("k"), taken(&lab, &plan, &pieces, &octets, routes)?)])
    }
}

/// Feeds each feeder's octets and waits until the last peer, which receives, holds what the first announced and the
/// daemon has taken in `routes` in all.
fn taken(
    lab: &Lab,
    plan: &Plan<'_>,
    pieces: &[Piece],
    octets: &[Arc<Vec<u8>>],
    routes: usize,
) -> Result<Figures> {
    let mut wanted = View::default();
    wanted.apply(pieces, &plan.sender(0, 1));
    let mut receiver = lab.sessions.last().context("no receiver")?.record()?;
    let clock = lab.clock()?;
    let mut fed = Vec::new();
    for (session, octets) in lab.sessions.iter().zip(octets) {
        fed.push(session.feed(Arc::clone(octets))?);
    }
    let last = lab.settle(&mut receiver, &wanted)?;
    let starts: Vec<_> = fed.into_iter().map(joined).collect::<Result<_>>()?;
    let start = starts.into_iter().min().context("no feeder")?;
    lab.until_idle(Instant::now())?;
    let mut row = figures(lab, &clock, last - start)?;
    row.insert(Figure::CpuPerRoute, clock.cpu(lab)?.as_secs_f64() * 1e6 / routes as f64);
    row.insert(Figure::OctetsPerRoute, clock.grown(lab)? as f64 / routes as f64);
    Ok(row)
}

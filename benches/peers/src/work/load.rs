//! Whole tables and many paths, from feeders to receivers that verify them.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};

use super::{Bench, Measure, Row, figures, first, joined, loaded};
use crate::daemon::{Name, Role};
use crate::lab::Plan;
use crate::session::Session;
use crate::stream::{self, Piece, Sender};
use crate::view::View;

impl Bench {
    pub(super) fn whole_table(&self, name: Name) -> Result<Vec<Row>> {
        let lab = self.lab(&Plan::of(&[Role::Feeder, Role::Receiver]), name)?;
        let mut receiver = lab.sessions[1].record()?;
        let clock = lab.clock()?;
        let fed = lab.sessions[0].feed(Arc::clone(&self.octets))?;
        let last = lab.settle(&mut receiver, &self.view)?;
        let start = joined(fed)?;
        Ok(vec![(Measure::named("a"), figures(&lab, &clock, last - start)?)])
    }

    pub(super) fn many_paths(&self, name: Name) -> Result<Vec<Row>> {
        const FEEDERS: usize = 8;
        let mut roles = [Role::Feeder; FEEDERS + 1];
        roles[FEEDERS] = Role::Receiver;
        let plan = Plan::of(&roles);
        let mut lab = self.lab(&plan, name)?;
        let pieces = first(&self.table, self.scaled(300_000));
        // Feeder 0 has the shortest path of each prefix, feeder 1 the next.
        let senders: Vec<Sender> = (0..FEEDERS).map(|feeder| plan.sender(feeder, 1 + feeder)).collect();
        let octets = written(&pieces, &senders)?;
        let mut receiver = lab.sessions[FEEDERS].record()?;
        let clock = lab.clock()?;
        let mut fed = Vec::new();
        for (session, octets) in lab.sessions.iter().zip(octets) {
            fed.push(session.feed(octets)?);
        }
        let mut wanted = View::default();
        wanted.apply(&pieces, &senders[0]);
        let last = lab.settle(&mut receiver, &wanted)?;
        let starts: Vec<_> = fed.into_iter().map(joined).collect::<Result<_>>()?;
        let start = starts.into_iter().min().context("no feeder")?;
        // The paths that do not reach the receiver must have been taken in, too.
        lab.until_idle(start)?;
        let load = figures(&lab, &clock, last - start)?;

        let clock = lab.clock()?;
        let start = Instant::now();
        lab.sessions.remove(0).close()?;
        let mut wanted = View::default();
        wanted.apply(&pieces, &senders[1]);
        let last = lab.settle(&mut receiver, &wanted)?;
        let lost = figures(&lab, &clock, last - start)?;
        Ok(vec![(Measure::named("b"), load), (Measure::named("b-lost"), lost)])
    }

    pub(super) fn many_peers(&self, name: Name) -> Result<Vec<Row>> {
        const PEERS: usize = 30;
        let plan = Plan::of(&[Role::Both; PEERS]);
        let share = self.scaled(30_000);
        let mut left = self.table.as_slice();
        let mut shares = Vec::new();
        for _ in 0..PEERS {
            let (mine, rest) = split(left, share);
            shares.push(mine);
            left = rest;
        }
        let senders: Vec<Sender> = (0..PEERS).map(|peer| plan.sender(peer, 1)).collect();
        let mut octets = Vec::new();
        for (pieces, sender) in shares.iter().zip(&senders) {
            octets.push(Arc::new(stream::write(pieces, sender)?));
        }
        let lab = self.lab(&plan, name)?;
        let mut receivers = lab.sessions.iter().map(Session::record).collect::<Result<Vec<_>>>()?;
        let clock = lab.clock()?;
        let mut fed = Vec::new();
        for (session, octets) in lab.sessions.iter().zip(octets) {
            fed.push(session.feed(octets)?);
        }
        let mut last = Instant::now();
        for (peer, receiver) in receivers.iter_mut().enumerate() {
            let mut wanted = View::default();
            let others = shares.iter().zip(&senders).enumerate().filter(|(other, _)| *other != peer);
            others.for_each(|(_, (pieces, sender))| wanted.apply(pieces, sender));
            last = last.max(lab.settle(receiver, &wanted)?);
        }
        let starts: Vec<_> = fed.into_iter().map(joined).collect::<Result<_>>()?;
        let start = starts.into_iter().min().context("no feeder")?;
        Ok(vec![(Measure::named("e"), figures(&lab, &clock, last - start)?)])
    }

    pub(super) fn a_day(&self, name: Name) -> Result<Vec<Row>> {
        let (lab, mut receiver) = loaded(self, name, &[Role::Feeder, Role::Receiver])?;
        let from = Plan::of(&[]).sender(0, 1);
        let mut wanted = self.view.clone();
        wanted.apply(&self.churn, &from);
        let octets = Arc::new(stream::write(&self.churn, &from)?);
        let clock = lab.clock()?;
        let fed = lab.sessions[0].feed(octets)?;
        let last = lab.settle(&mut receiver, &wanted)?;
        let start = joined(fed)?;
        Ok(vec![(Measure::named("f"), figures(&lab, &clock, last - start)?)])
    }
}

/// The same pieces as each sender sends them.
pub(super) fn written(pieces: &[Piece], senders: &[Sender]) -> Result<Vec<Arc<Vec<u8>>>> {
    senders.iter().map(|sender| stream::write(pieces, sender).map(Arc::new)).collect()
}

/// Whole pieces with at least so many prefixes, and the rest.
fn split(table: &[Piece], count: usize) -> (&[Piece], &[Piece]) {
    let mut sum = 0;
    let at = table.iter().position(|piece| {
        let full = sum >= count;
        sum += stream::prefixes(piece.v6, &piece.nlri).count();
        full
    });
    table.split_at(at.unwrap_or(table.len()))
}

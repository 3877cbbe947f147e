//! How long one changed route takes from one peer to another.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{Bench, Measure, Row, figures, loaded, percentiles};
use crate::daemon::{Name, Role};
use crate::lab::{Lab, Plan};
use crate::session::{Recorder, Session};
use crate::stream::{self, Piece};

/// A feeder of the table, a receiver, a feeder of changes.
pub(super) const ROLES: [Role; 3] = [Role::Feeder, Role::Receiver, Role::Feeder];
const CHANGES: u16 = 400;
/// How the NLRI of a change begins: a host route of a network for benchmarks, RFC 2544.
pub(super) const CHANGED: [u8; 3] = [32, 198, 18];
/// Octets of the two End-of-RIB that every written stream ends with.
const ENDS: usize = 23 + 29;

/// Changes, each with the time when it was sent.
pub(super) type Sent = Vec<(Vec<u8>, Instant)>;

impl Bench {
    pub(super) fn one_route_idle(&self, name: Name) -> Result<Vec<Row>> {
        let (lab, mut receiver) = if name.is_daemon() {
            loaded(self, name, &ROLES)?
        } else {
            let lab = self.lab(&Plan::of(&ROLES), name)?;
            let receiver = lab.sessions[1].record()?;
            (lab, receiver)
        };
        let clock = lab.clock()?;
        let begin = Instant::now();
        let sent = send(&lab.sessions[2], Duration::from_millis(10), |round| round == CHANGES)?;
        receiver.until_quiet(self.limit);
        let mut row = figures(&lab, &clock, begin.elapsed())?;
        row.extend(percentiles(delays(&sent, &mut receiver, &lab)?));
        Ok(vec![(Measure::named("c"), row)])
    }

    pub(super) fn one_route_busy(&self, name: Name) -> Result<Vec<Row>> {
        let lab = self.lab(&Plan::of(&ROLES), name)?;
        let mut receiver = lab.sessions[1].record()?;
        let clock = lab.clock()?;
        let begin = Instant::now();
        let fed = lab.sessions[0].feed(Arc::clone(&self.octets))?;
        let sent =
            send(&lab.sessions[2], Duration::from_millis(3), |round| round == CHANGES || fed.is_finished())?;
        ensure!(!sent.is_empty(), "the table was sent before the first change");
        receiver.until_quiet(self.limit);
        let mut row = figures(&lab, &clock, begin.elapsed())?;
        row.extend(percentiles(delays(&sent, &mut receiver, &lab)?));
        Ok(vec![(Measure::named("g"), row)])
    }
}

/// Sends one change after the other with pauses, until there is a reason to stop, which is told how many there were.
pub(super) fn send(session: &Session, pause: Duration, stop: impl Fn(u16) -> bool) -> Result<Sent> {
    let sender = Plan::of(&ROLES).sender(2, 1);
    let mut sent = Vec::new();
    for round in (0..=u16::MAX).take_while(|round| !stop(*round)) {
        let change = change(round);
        let octets = stream::write(std::slice::from_ref(&change), &sender)?;
        let octets = octets.get(..octets.len() - ENDS).unwrap_or_default();
        sent.push((change.nlri, Instant::now()));
        session.write(octets)?;
        thread::sleep(pause);
    }
    Ok(sent)
}

/// A route that is in no table.
pub(super) fn change(round: u16) -> Piece {
    let [high, low] = round.to_be_bytes();
    let nlri = CHANGED.into_iter().chain([high, low]).collect();
    Piece { path: vec![0, 3333], nlri, ..Piece::default() }
}

/// From sending each change to the read that brought it.
fn delays(sent: &Sent, receiver: &mut Recorder, lab: &Lab) -> Result<Vec<Duration>> {
    let mut came: HashMap<Vec<u8>, Instant, RandomState> = HashMap::default();
    for (prefix, at) in receiver.arrivals(|octets| octets.starts_with(&CHANGED)) {
        came.entry(prefix).or_insert(at);
    }
    let mut times = Vec::new();
    for (prefix, at) in sent {
        let arrived =
            came.get(prefix).with_context(|| format!("a change never came: {}", lab.daemon.log()))?;
        times.push(arrived.saturating_duration_since(*at));
    }
    Ok(times)
}

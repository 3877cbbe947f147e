//! Steady HTTP traffic: one short request after another from a namespace, and what became of each.
//!
//! Every request has a connection of its own, so that each is balanced anew. A request that gets no whole answer in time
//! is lost; nothing is tried twice.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::namespace::Namespace;

/// How long one request may take. Nothing is lost because this machine is slow.
const PATIENCE: Duration = Duration::from_secs(15);
/// The pause between two requests of one thread.
const PAUSE: Duration = Duration::from_millis(5);

/// Requests under way, until [`Traffic::stop`].
#[derive(Debug)]
pub struct Traffic {
    started: Instant,
    over: Arc<AtomicBool>,
    workers: Vec<JoinHandle<Tally>>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that were answered, by the name of the node.
    pub answered: BTreeMap<String, usize>,
    /// Requests without an answer: when each was begun (since the start) and why there was none.
    pub lost: Vec<(Duration, String)>,
    /// The longest time between two answers.
    pub longest_gap: Duration,
}

impl Tally {
    /// How many requests there were.
    pub fn total(&self) -> usize {
        self.answered.values().sum::<usize>() + self.lost.len()
    }

    /// From the beginning of the first lost request to that of the last.
    pub fn disturbed_for(&self) -> Duration {
        match (self.lost.first(), self.lost.last()) {
            (Some((first, _)), Some((last, _))) => last.saturating_sub(*first),
            _ => Duration::ZERO,
        }
    }
}

impl Traffic {
    /// Starts so many threads in a namespace that ask this address and port.
    pub fn start(from: &Namespace, to: SocketAddr, threads: usize) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let started = Instant::now();
        let start = || {
            let over = Arc::clone(&over);
            from.inside(move || thread::spawn(move || work(to, started, &over)))
        };
        let workers = std::iter::repeat_with(start).take(threads).collect::<Result<_>>()?;
        Ok(Self { started, over, workers })
    }

    /// A moment as [`Tally::lost`] tells it.
    pub fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.started)
    }

    /// Ends it and tells what became of all requests.
    pub fn stop(self) -> Result<Tally> {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for worker in self.workers {
            let tally = worker.join().map_err(|_| anyhow!("a thread of the traffic panicked"))?;
            for (node, count) in tally.answered {
                *all.answered.entry(node).or_default() += count;
            }
            all.lost.extend(tally.lost);
            all.longest_gap = all.longest_gap.max(tally.longest_gap);
        }
        all.lost.sort();
        Ok(all)
    }
}

/// A thread keeps the namespace of the one that made it.
fn work(to: SocketAddr, start: Instant, over: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    let mut last = Instant::now();
    while !over.load(Ordering::Relaxed) {
        let begun = start.elapsed();
        match ask(to) {
            Ok(node) => {
                *tally.answered.entry(node).or_default() += 1;
                let now = Instant::now();
                tally.longest_gap = tally.longest_gap.max(now - last);
                last = now;
            }
            Err(error) => tally.lost.push((begun, error.to_string())),
        }
        thread::sleep(PAUSE);
    }
    tally
}

fn ask(to: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((_, node)) if !node.is_empty() => Ok(node.to_owned()),
        Some(_) | None => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

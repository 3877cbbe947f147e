//! A route that comes and goes all the time: how long it takes from the UPDATE to the kernel, seen from outside.
//!
//! What no watchdog inside the process can say for it: that sessions are read, routes decided and the kernel written.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bgp_wire::Prefix;

use super::scene::dial_as;
use crate::lab::{Lab, Node};
use crate::rtnl::{Watcher, v6};
use crate::speaker::{Settings, Speaker, withdrawal};
use crate::wait::PATIENCE;

/// The address that it has a session from.
const ADDRESS: &str = "2001:3200:3200::f0be";
/// The route.
pub const PROBE: &str = "2004::f0be";
/// Between two changes.
const PAUSE: Duration = Duration::from_millis(50);

/// A probe under way, until [`Probe::stop`].
#[derive(Debug)]
pub struct Probe {
    over: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<Duration>>>,
    thread: JoinHandle<Result<()>>,
}

/// Times from an UPDATE to the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies(pub Vec<Duration>);

impl Latencies {
    /// The median.
    pub fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        self.0.iter().max().copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "a route of another peer was in the kernel after {:.1} ms in the median, {:.1} ms at most of {}",
            self.median().as_secs_f64() * 1e3,
            self.longest().as_secs_f64() * 1e3,
            self.0.len()
        )
    }
}

impl Probe {
    /// Starts it over a session with a further address of this node.
    pub fn start(lab: &Lab, node: &Node) -> Result<Self> {
        let watcher = Watcher::start(&lab.host, v6(PROBE)?)?;
        node.namespace.ip(&format!("address replace {ADDRESS}/64 dev eth0 nodad"))?;
        let source = v6(ADDRESS)?;
        let settings = Settings { source: Some(source.into()), ..Settings::cilium("probe")? };
        let speaker = dial_as(lab, node, &settings)?;
        let gateway = BTreeSet::from([source]);
        let over = Arc::new(AtomicBool::new(false));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (ends, kept) = (Arc::clone(&over), Arc::clone(&taken));
        let mut probe = Running { watcher, speaker, gateway };
        // The group that the route is to have comes with it.
        probe.change()?;
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let times = probe.change()?;
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(times);
                thread::sleep(PAUSE);
            }
            Ok(())
        });
        Ok(Self { over, taken, thread })
    }

    /// How long the changes took since this was asked the last time.
    pub fn since_last(&self) -> Latencies {
        Latencies(std::mem::take(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Ends it and tells how long the changes took. A change that never reached the kernel is an error.
    pub fn stop(self) -> Result<Latencies> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the probe panicked"))??;
        Ok(Latencies(std::mem::take(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))))
    }
}

struct Running {
    watcher: Watcher,
    speaker: Speaker,
    gateway: BTreeSet<Ipv6Addr>,
}

impl Running {
    /// The route comes and goes.
    fn change(&mut self) -> Result<[Duration; 2]> {
        let prefixes = [Prefix::host(v6(PROBE)?.into())];
        self.watcher.forget();
        let begun = Instant::now();
        self.speaker.announce(&prefixes)?;
        let there = self.watcher.wait_for(&self.gateway, PATIENCE)?;
        let withdrawn = Instant::now();
        self.speaker.write(&withdrawal(&prefixes)?)?;
        let gone = self.watcher.wait_for(&BTreeSet::new(), PATIENCE)?;
        Ok([there.saturating_duration_since(begun), gone.saturating_duration_since(withdrawn)])
    }
}

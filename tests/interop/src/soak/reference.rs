//! What the machine itself takes for a change of a route: a program of the system makes one again and again in a namespace
//! that the daemon has nothing to do with.
//!
//! One lock of the kernel serves the interfaces and routes of all namespaces. Where somebody takes a namespace with a large
//! table down, everybody waits for seconds, and so does this.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::namespace::Namespace;

/// Between two changes.
const PAUSE: Duration = Duration::from_millis(200);
/// The change: a route to nowhere.
const CHANGE: &str = "route replace unreachable 2001:db8:f::1";

/// A reference under way, until [`Reference::stop`].
#[derive(Debug)]
pub(super) struct Reference {
    over: Arc<AtomicBool>,
    times: Arc<Mutex<Times>>,
    thread: JoinHandle<Result<()>>,
}

#[derive(Debug, Default)]
struct Times {
    longest: Duration,
    /// Since when a change is under way.
    since: Option<Instant>,
}

impl Reference {
    /// Starts it in a namespace of its own of this name.
    pub(super) fn start(name: &str) -> Result<Self> {
        let namespace = Namespace::create(name)?;
        let over = Arc::new(AtomicBool::new(false));
        let times = Arc::new(Mutex::new(Times::default()));
        let (ends, kept) = (Arc::clone(&over), Arc::clone(&times));
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let begun = Instant::now();
                kept.lock().unwrap_or_else(PoisonError::into_inner).since = Some(begun);
                namespace.ip(CHANGE)?;
                let mut times = kept.lock().unwrap_or_else(PoisonError::into_inner);
                times.since = None;
                times.longest = times.longest.max(begun.elapsed());
                drop(times);
                thread::sleep(PAUSE);
            }
            Ok(())
        });
        Ok(Self { over, times, thread })
    }

    /// The longest change since this was asked the last time, with what one under way has taken so far.
    pub(super) fn longest_since_last(&self) -> Duration {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = times.since.map(|since| since.elapsed()).unwrap_or_default();
        std::mem::take(&mut times.longest).max(waiting)
    }

    /// Ends it. A change that failed is an error.
    pub(super) fn stop(self) -> Result<()> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the reference panicked"))?
    }
}

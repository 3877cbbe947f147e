//! Where routing works when there is much to do: on a thread of its own.
//!
//! A change that comes alone is read, decided and written by one thread, with nobody to be woken on the way: routing is a task
//! beside the peers' tasks then. A table is work for a second, and peers that wait for the end of a turn on the same thread
//! would leave the other cores idle. So the `Routing` itself moves: the task gives it to the thread, which gives it back
//! when nothing has come for a moment. It has one owner all the time, and nobody else can tell where it is.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake as WakeUp, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use std::{future, io};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::{Inputs, Routing, Wake};

/// Without work for so long, routing goes back to the task.
const LINGER: Duration = Duration::from_millis(1);

/// How it goes on after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With the next turn.
    Going,
    /// The same; those who were told something write it first.
    Served,
    /// Another process goes on, once everything is written down.
    Frozen,
    /// Not at all: somebody is gone without whom there is no routing.
    Gone,
}

/// The thread, as the task has it.
#[derive(Debug)]
pub(super) struct Desk {
    jobs: mpsc::Sender<Job>,
}

/// What the thread is given.
#[derive(Debug)]
struct Job {
    routing: Box<Routing>,
    inputs: Inputs,
    wake: Wake,
    back: oneshot::Sender<Back>,
}

/// What it gives back.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) routing: Box<Routing>,
    pub(super) inputs: Inputs,
    pub(super) outcome: Outcome,
}

impl Desk {
    /// Starts the thread; it ends when this is dropped.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, mut received) = mpsc::channel::<Job>(1);
        let runtime = Handle::current();
        thread::Builder::new().name("routing".to_owned()).spawn(move || {
            // For what routing starts on the runtime; it uses nothing of it here that waits.
            let _runtime = runtime.enter();
            while let Some(job) = received.blocking_recv() {
                // Nobody is there to take it back where the daemon has ended meanwhile.
                drop(job.back.send(work(job.routing, job.inputs, job.wake)));
            }
        })?;
        Ok(Self { jobs })
    }

    /// Has the thread work until there is nothing to do; `None` where it has ended.
    pub(super) async fn work(&self, routing: Box<Routing>, inputs: Inputs, wake: Wake) -> Option<Back> {
        let (back, done) = oneshot::channel();
        self.jobs.send(Job { routing, inputs, wake, back }).await.ok()?;
        done.await.ok()
    }
}

/// Turn after turn, until a moment has passed without one that was long.
fn work(mut routing: Box<Routing>, mut inputs: Inputs, mut wake: Wake) -> Back {
    let mut leave = Instant::now() + LINGER;
    let outcome = loop {
        let (outcome, long) = routing.turn(&mut inputs, wake);
        if outcome != Outcome::Going {
            break outcome;
        }
        if long {
            leave = Instant::now() + LINGER;
        }
        if let Some(until) = routing.repair.rests_until() {
            wake = wait_until(until, inputs.answer(future::pending())).unwrap_or(Wake::Turn);
            routing.repair.hear(&wake);
            continue;
        }
        // Where a deadline of routing's comes first, the task finds that out.
        match wait_until(leave, inputs.next(routing.more, future::pending())) {
            Some(next) => wake = next,
            None => break Outcome::Going,
        }
    };
    Back { routing, inputs, outcome }
}

/// Wakes a thread that waits in [`wait_until`].
struct Unpark(Thread);

impl WakeUp for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread; `None` when `until` comes before the future is ready.
fn wait_until<T>(until: Instant, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_comes_before_the_time_that_has_passed() {
        let past = Instant::now();
        assert_eq!(wait_until(past, future::ready(1)), Some(1));
        assert_eq!(wait_until(past, future::pending::<u8>()), None);
    }

    #[test]
    fn another_thread_wakes_who_waits() {
        let (sender, receiver) = oneshot::channel();
        let other = thread::spawn(move || sender.send(7));
        let far = Instant::now() + Duration::from_secs(60);
        assert_eq!(wait_until(far, receiver), Some(Ok(7)));
        assert_eq!(other.join().unwrap(), Ok(()));
    }
}

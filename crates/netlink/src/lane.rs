//! The second netlink thread: IPv6 routes, while the first writes IPv4 routes.
//!
//! It is handed batches of routes and nothing else; who hands them over waits with [`Lane::settle`] before anything that
//! routes refer to.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

use bgp_fib::{Event, RouteOps};

use crate::batch::Batch;
use crate::report::Reports;
use crate::requests::{Outcome, Requests};

/// The first thread's handle. The second thread ends with it.
pub(crate) struct Lane {
    batches: Sender<(RouteOps, usize)>,
    done: Receiver<()>,
    under_way: usize,
}

impl Lane {
    pub(crate) fn start(requests: Requests, reports: Reports, batch_len: usize) -> io::Result<Self> {
        let (batches, handed_over) = channel();
        let (finished, done) = channel();
        std::thread::Builder::new()
            .name("netlink-ipv6".into())
            .spawn(move || run(&handed_over, &finished, requests, reports, batch_len))?;
        Ok(Self { batches, done, under_way: 0 })
    }

    /// Hands over routes, from a place among them on.
    pub(crate) fn submit(&mut self, ops: (RouteOps, usize)) {
        while self.done.try_recv().is_ok() {
            self.under_way -= 1;
        }
        match self.batches.send(ops) {
            Ok(()) => self.under_way += 1,
            Err(_) => tracing::error!("the second netlink thread has ended; operations are dropped"),
        }
    }

    /// Waits until everything handed over has been done.
    pub(crate) fn settle(&mut self) {
        while self.under_way > 0 {
            self.under_way -= 1;
            if self.done.recv().is_err() {
                self.under_way = 0;
            }
        }
    }
}

fn run(
    handed_over: &Receiver<(RouteOps, usize)>,
    finished: &Sender<()>,
    mut requests: Requests,
    mut reports: Reports,
    batch_len: usize,
) {
    let (mut batch, mut done) = (Batch::default(), 0);
    let mut handed = handed_over.recv().ok();
    while let Some((ops, mut next)) = handed {
        handed = handed_over.try_recv().ok();
        let mut told = handed.is_none();
        while next < ops.len() {
            requests.begin(&mut batch);
            let taken = batch.push_routes(&ops, next, batch_len);
            if taken == 0 {
                tracing::error!("a route cannot be written as a request; operations are dropped");
                break;
            }
            next += taken;
            told = execute(&mut requests, &mut batch, &mut reports, next < ops.len() || handed.is_some());
        }
        done += 1;
        // What is done has been reported: who settles reports what comes next.
        if told || handed.is_none() {
            reports.flush();
            for _ in 0..std::mem::take(&mut done) {
                if finished.send(()).is_err() {
                    return;
                }
            }
        }
        if handed.is_none() {
            handed = handed_over.recv().ok();
        }
    }
}

/// Has the kernel work through a batch, and reports its answers; `false` where they are kept until `more_to_come` is done.
pub(crate) fn execute(
    requests: &mut Requests,
    batch: &mut Batch,
    reports: &mut Reports,
    more_to_come: bool,
) -> bool {
    if batch.len() == 0 {
        return true;
    }
    match requests.execute(batch) {
        Outcome::Complete(answers) => reports.answers(answers, more_to_come),
        Outcome::Lost(answers) => {
            tracing::warn!(requests = answers.len(), "answers of the kernel were lost");
            reports.answers(answers, false);
            reports.event(Event::Overrun);
            reports.flush();
            true
        }
    }
}

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
    let mut batch = Batch::default();
    while let Ok((ops, mut next)) = handed_over.recv() {
        while next < ops.len() {
            requests.begin(&mut batch);
            let taken = batch.push_routes(&ops, next, batch_len);
            if taken == 0 {
                tracing::error!("a route cannot be written as a request; operations are dropped");
                break;
            }
            next += taken;
            execute(&mut requests, &mut batch, &mut reports);
        }
        if finished.send(()).is_err() {
            return;
        }
    }
}

/// Has the kernel work through a batch, and reports its answers.
pub(crate) fn execute(requests: &mut Requests, batch: &mut Batch, reports: &mut Reports) {
    if batch.len() == 0 {
        return;
    }
    match requests.execute(batch) {
        Outcome::Complete(answers) => reports.answers(answers),
        Outcome::Lost(answers) => {
            tracing::warn!(requests = answers.len(), "answers of the kernel were lost");
            reports.answers(answers);
            reports.event(Event::Overrun);
            reports.flush();
        }
    }
}

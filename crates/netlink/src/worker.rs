//! The netlink thread: what it does reaches the kernel in one order.
//!
//! A single `sendmsg` can take 200 milliseconds while the kernel grows its trie, so this is no place for a runtime's
//! worker. Requests, dumps and events share the thread on purpose: no operation of ours runs during a dump, and an event
//! that was read after an answer is reported after it. What happens between two reads can then make us look twice, never
//! believe in something that is gone.
//!
//! IPv4 and IPv6 routes wait for different locks in the kernel. When there is more to do than one batch, IPv6 routes go to
//! a second thread; everything that is no route waits until that one is done. An event that overtakes an answer of the
//! second thread finds its operation still in flight, and the answer is then doubted.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use bgp_fib::{Event, Kind, Op, Plan};
use bgp_wire::Family;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::audit::Auditor;
use crate::batch::Batch;
use crate::decode::{Origin, decode};
use crate::dump::{RouteScope, dump};
use crate::lane::{Lane, execute};
use crate::message::Messages;
use crate::queue::{Next, Queue};
use crate::report::{Answers, Bell, Reports};
use crate::requester::Requesters;
use crate::requests::Requests;
use crate::socket::{Received, RouteSocket};

/// Datagrams of events between two looks for operations.
const EVENTS_PER_TURN: usize = 64;

pub(crate) struct Worker {
    pub(crate) requests: Requests,
    pub(crate) ipv6: Lane,
    pub(crate) auditor: Auditor,
    pub(crate) watch: RouteSocket,
    pub(crate) queue: Queue,
    pub(crate) submitted: Receiver<Plan>,
    pub(crate) reports: Reports,
    pub(crate) bell: Arc<Bell>,
    pub(crate) closing: Arc<AtomicBool>,
    pub(crate) scope: RouteScope,
    pub(crate) requesters: Requesters,
    pub(crate) batch_len: usize,
}

impl Worker {
    /// Works until every handle is gone, or nobody reads the reports.
    pub(crate) fn run(mut self) {
        let mut batch = Batch::default();
        let mut datagram = Vec::new();
        while !self.reports.is_closed() {
            self.take_submitted();
            let idle = self.queue.is_empty();
            self.work(&mut batch, &mut datagram);
            let read = self.read_events(EVENTS_PER_TURN, &mut datagram);
            if idle && read == 0 {
                let closing = self.closing.load(Ordering::SeqCst);
                self.take_submitted();
                match (self.queue.is_empty(), closing) {
                    (true, true) => break,
                    (true, false) => self.sleep(),
                    (false, _) => {}
                }
            }
        }
        self.ipv6.settle();
        self.auditor.halt();
        tracing::debug!("the netlink thread ends");
    }

    fn take_submitted(&mut self) {
        while let Ok(ops) = self.submitted.try_recv() {
            self.queue.extend(ops);
        }
    }

    /// Does the next thing in the queue: as many requests as go into one batch, or one dump.
    fn work(&mut self, batch: &mut Batch, datagram: &mut Vec<u8>) {
        match self.queue.front() {
            None => {}
            Some(Next::One(id, &Op::Dump(kind))) => {
                self.queue.advance(1);
                self.ipv6.settle();
                self.read_events(usize::MAX, datagram);
                let result = self.dump(kind);
                if let Err(error) = &result {
                    tracing::warn!(?kind, %error, "a table of the kernel cannot be read; it is tried again");
                }
                self.reports.answers(Answers::one(id, result));
            }
            Some(Next::One(id, Op::Audit)) => {
                self.queue.advance(1);
                self.auditor.begin(id);
            }
            Some(_) => {
                self.fill(batch);
                execute(&mut self.requests, batch, &mut self.reports);
            }
        }
    }

    /// Fills a batch; of a long queue, IPv6 routes go to the second thread.
    fn fill(&mut self, batch: &mut Batch) {
        let mut much = self.queue.len() > self.batch_len;
        self.requests.begin(batch);
        while batch.len() < self.batch_len {
            let taken = match self.queue.front() {
                None => break,
                Some(Next::Routes(routes, _)) if much && routes.family() == Family::Ipv6Unicast => {
                    self.queue.pop_routes().into_iter().for_each(|routes| self.ipv6.submit(routes));
                    continue;
                }
                Some(Next::Routes(routes, from)) => {
                    batch.push_routes(routes, from, self.batch_len - batch.len())
                }
                Some(Next::Urgent(id, op)) => usize::from(batch.push(id, op)),
                Some(Next::One(id, op)) => {
                    if !is_question(op) {
                        // Every route before it is waited for, and what refers to it must not pass this batch.
                        self.ipv6.settle();
                        much = false;
                    }
                    usize::from(batch.push(id, op))
                }
            };
            if taken == 0 {
                break;
            }
            self.queue.advance(taken);
        }
    }

    /// Reports what the kernel says unasked, up to `limit` datagrams; says how many there were.
    fn read_events(&mut self, limit: usize, datagram: &mut Vec<u8>) -> usize {
        let mut read = 0;
        while read < limit && self.reports.has_room() {
            match self.watch.receive(datagram) {
                Ok(Received::Datagram) => self.report_events(datagram),
                Ok(Received::Nothing) => break,
                Ok(Received::Overrun) => self.overrun(datagram),
                Err(error) => {
                    tracing::error!(%error, "reading the kernel's notifications failed");
                    break;
                }
            }
            read += 1;
        }
        self.reports.flush();
        read
    }

    fn report_events(&mut self, datagram: &[u8]) {
        for (header, payload) in Messages::new(datagram) {
            if let Some(requester) = self.requesters.news(header, payload) {
                self.reports.event(Event::Requester(requester));
            }
            match decode(header, payload, Origin::Watch) {
                Some(Event::Route(route, _) | Event::RouteGone(route)) if !self.scope.covers(route.table) => {
                }
                Some(event) => self.reports.event(event),
                None => {}
            }
        }
    }

    /// Notifications were lost. Those that are left tell of a time before the loss, and the dump that follows is newer:
    /// they must not be believed after it.
    fn overrun(&mut self, datagram: &mut Vec<u8>) {
        tracing::info!("notifications of the kernel were lost; its tables are read again");
        loop {
            match self.watch.receive(datagram) {
                Ok(Received::Datagram | Received::Overrun) => {}
                Ok(Received::Nothing) => break,
                Err(error) => {
                    tracing::error!(%error, "reading the kernel's notifications failed");
                    break;
                }
            }
        }
        self.reports.event(Event::Overrun);
    }

    fn dump(&mut self, kind: Kind) -> Result<(), bgp_fib::KernelError> {
        if kind == Kind::Routes {
            self.auditor.halt();
        }
        let bell = Arc::clone(&self.bell);
        let room = |reports: &Reports| {
            while !reports.has_room() && !reports.is_closed() {
                bell.about_to_sleep();
                if reports.has_room() || reports.is_closed() {
                    bell.awake();
                    return;
                }
                wait(&mut [PollFd::new(bell.fd().as_fd(), PollFlags::POLLIN)]);
                bell.awake();
            }
        };
        dump(kind, self.scope, &mut self.requests, &mut self.reports, &room)
    }

    /// Waits for an operation or an event.
    fn sleep(&mut self) {
        self.bell.about_to_sleep();
        self.take_submitted();
        let awaited =
            !self.queue.is_empty() || self.closing.load(Ordering::SeqCst) || self.reports.is_closed();
        if !awaited {
            let bell = PollFd::new(self.bell.fd().as_fd(), PollFlags::POLLIN);
            if self.reports.has_room() {
                wait(&mut [bell, PollFd::new(self.watch.as_fd(), PollFlags::POLLIN)]);
            } else {
                wait(&mut [bell]);
            }
        }
        self.bell.awake();
    }
}

/// Asks for a neighbour: no route refers to it, and it refers to none.
fn is_question(op: &Op) -> bool {
    matches!(op, Op::Probe { .. } | Op::Verify { .. })
}

fn wait(fds: &mut [PollFd<'_>]) {
    match poll(fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => tracing::error!(%errno, "waiting for the kernel failed"),
    }
}

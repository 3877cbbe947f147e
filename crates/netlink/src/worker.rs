//! The netlink thread: the only one that speaks with the kernel, in one order.
//!
//! A single `sendmsg` can take 200 milliseconds while the kernel grows its trie, so this is no place for a runtime's
//! worker. Requests, dumps and events share the thread on purpose: no operation of ours runs during a dump, and an event
//! that was read after an answer is reported after it. What happens between two reads can then make us look twice, never
//! believe in something that is gone.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use bgp_fib::{Event, Kind, Op, OpId};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::batch::Batch;
use crate::decode::{Origin, decode};
use crate::dump::{RouteScope, dump};
use crate::message::Messages;
use crate::report::{Bell, Reports};
use crate::requests::{Outcome, Requests};
use crate::socket::{Received, RouteSocket};

/// Datagrams of events between two looks for operations.
const EVENTS_PER_TURN: usize = 64;

pub(crate) struct Worker {
    pub(crate) requests: Requests,
    pub(crate) watch: RouteSocket,
    pub(crate) submitted: Receiver<Vec<(OpId, Op)>>,
    pub(crate) reports: Reports,
    pub(crate) bell: Arc<Bell>,
    pub(crate) closing: Arc<AtomicBool>,
    pub(crate) scope: RouteScope,
    pub(crate) batch_len: usize,
}

impl Worker {
    /// Works until every handle is gone, or nobody reads the reports.
    pub(crate) fn run(mut self) {
        let mut batch = Batch::default();
        let mut queue = VecDeque::new();
        let mut datagram = Vec::new();
        while !self.reports.is_closed() {
            self.take_submitted(&mut queue);
            let idle = queue.is_empty();
            self.work(&mut queue, &mut batch, &mut datagram);
            let read = self.read_events(EVENTS_PER_TURN, &mut datagram);
            if idle && read == 0 {
                let closing = self.closing.load(Ordering::SeqCst);
                self.take_submitted(&mut queue);
                match (queue.is_empty(), closing) {
                    (true, true) => break,
                    (true, false) => self.sleep(&mut queue),
                    (false, _) => {}
                }
            }
        }
        tracing::debug!("the netlink thread ends");
    }

    fn take_submitted(&self, queue: &mut VecDeque<(OpId, Op)>) {
        while let Ok(ops) = self.submitted.try_recv() {
            queue.extend(ops);
        }
    }

    /// Does the next thing in the queue: as many requests as go into one batch, or one dump.
    fn work(&mut self, queue: &mut VecDeque<(OpId, Op)>, batch: &mut Batch, datagram: &mut Vec<u8>) {
        match queue.front() {
            None => {}
            Some(&(id, Op::Dump(kind))) => {
                queue.pop_front();
                self.read_events(usize::MAX, datagram);
                let result = self.dump(kind);
                self.reports.answers(vec![(id, result)]);
            }
            Some(_) => self.execute(queue, batch),
        }
    }

    fn execute(&mut self, queue: &mut VecDeque<(OpId, Op)>, batch: &mut Batch) {
        self.requests.begin(batch);
        while batch.len() < self.batch_len {
            match queue.front() {
                Some((id, op)) if batch.push(*id, op) => queue.pop_front(),
                _ => break,
            };
        }
        match self.requests.execute(batch) {
            Outcome::Complete(answers) => self.reports.answers(answers),
            Outcome::Lost(answers) => {
                tracing::warn!(requests = answers.len(), "answers of the kernel were lost");
                self.reports.answers(answers);
                self.reports.event(Event::Overrun);
                self.reports.flush();
            }
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
    fn sleep(&mut self, queue: &mut VecDeque<(OpId, Op)>) {
        self.bell.about_to_sleep();
        self.take_submitted(queue);
        let awaited = !queue.is_empty() || self.closing.load(Ordering::SeqCst) || self.reports.is_closed();
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

fn wait(fds: &mut [PollFd<'_>]) {
    match poll(fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => tracing::error!(%errno, "waiting for the kernel failed"),
    }
}

//! The road from the netlink thread to the routing task: results and events, in one order.
//!
//! One channel for both, because an answer and a report about the same object mean something only in the order in which
//! the kernel gave them. Results are bounded by what has been submitted. Events are bounded by a count: at the limit the
//! thread stops reading, the kernel's buffer fills, and what is then lost becomes [`Event::Overrun`] and a resync.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bgp_fib::{Event, KernelError, OpId};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Events that travel together.
const EVENT_BATCH: usize = 256;

/// What the kernel said to one operation.
pub type Answer = (OpId, Result<(), KernelError>);

/// Answers to operations, in the order in which the kernel did them. Nearly all of them are that it did.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Answers {
    /// Operations that follow each other in number: the first, and how many.
    runs: Vec<(OpId, u32)>,
    len: usize,
    /// By the place among all.
    pub(crate) refused: BTreeMap<usize, KernelError>,
}

/// What the kernel said to one operation, or to several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It has done these.
    Done {
        /// The first.
        first: OpId,
        /// How many, each with the number behind that of the one before.
        count: u32,
    },
    /// It has refused this one.
    Refused(OpId, KernelError),
}

impl Answers {
    /// The answer to one operation.
    pub(crate) fn one(id: OpId, result: Result<(), KernelError>) -> Self {
        let refused = result.err().map(|error| (0, error)).into_iter().collect();
        Self { runs: vec![(id, 1)], len: 1, refused }
    }

    /// Appends operations that follow each other in number.
    pub(crate) fn expect(&mut self, first: OpId, count: usize) {
        let Ok(more) = u32::try_from(count) else { return };
        self.len += count;
        match self.runs.last_mut() {
            Some((start, len)) if start.0.checked_add(u64::from(*len)) == Some(first.0) => *len += more,
            _ => self.runs.push((first, more)),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was said, those that were done taken together.
    pub fn into_said(self) -> impl Iterator<Item = Said> {
        let mut refused = self.refused.into_iter().peekable();
        let mut runs = self.runs.into_iter();
        let (mut place, mut run) = (0_usize, (OpId(0), 0_u32));
        std::iter::from_fn(move || {
            while run.1 == 0 {
                run = runs.next()?;
            }
            let (first, left) = run;
            let done = match refused.peek() {
                Some((at, _)) => u32::try_from(at - place).unwrap_or(u32::MAX).min(left),
                None => left,
            };
            let (said, count) = match done {
                0 => (Said::Refused(first, refused.next()?.1), 1),
                count => (Said::Done { first, count }, count),
            };
            place += usize::try_from(count).ok()?;
            run = (OpId(first.0.wrapping_add(u64::from(count))), left - count);
            Some(said)
        })
    }
}

impl IntoIterator for Answers {
    type Item = Answer;
    type IntoIter = std::vec::IntoIter<Answer>;

    /// The answers one by one.
    fn into_iter(self) -> Self::IntoIter {
        let mut answers = Vec::with_capacity(self.len);
        for said in self.into_said() {
            match said {
                Said::Done { first, count } => {
                    answers.extend((0..u64::from(count)).map(|at| (OpId(first.0.wrapping_add(at)), Ok(()))));
                }
                Said::Refused(id, error) => answers.push((id, Err(error))),
            }
        }
        answers.into_iter()
    }
}

/// What comes from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Answers to operations.
    Answers(Answers),
    /// Changes that others made, and the entries of dumps.
    Events(Vec<Event>),
}

/// Wakes the thread; shared by everybody who has something for it.
#[derive(Debug)]
pub(crate) struct Bell {
    fd: EventFd,
    asleep: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> std::io::Result<Self> {
        let fd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { fd, asleep: AtomicBool::new(false) })
    }

    /// Wakes the thread if it sleeps; costs one system call then, and none otherwise.
    pub(crate) fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // A counter at its limit refuses the write, and wakes as well.
            if let Err(errno) = self.fd.write(1) {
                tracing::trace!(%errno, "the netlink thread is being woken already");
            }
        }
    }

    /// To be called before the last look for work: whoever brings some afterwards rings.
    pub(crate) fn about_to_sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// Awake again.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
        if let Err(errno) = self.fd.read() {
            tracing::trace!(%errno, "nobody rang");
        }
    }

    pub(crate) fn fd(&self) -> &EventFd {
        &self.fd
    }
}

/// How many events wait in the channel.
#[derive(Debug)]
struct Gauge {
    waiting: AtomicUsize,
    limit: usize,
    bell: Arc<Bell>,
}

/// What the kernel reports; belongs to the routing task.
#[derive(Debug)]
pub struct KernelEvents {
    reports: UnboundedReceiver<Report>,
    gauge: Arc<Gauge>,
}

impl KernelEvents {
    /// The next report; `None` when the thread has ended. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Option<Report> {
        let report = self.reports.recv().await?;
        self.taken(&report);
        Some(report)
    }

    /// The next report if one is there.
    pub fn try_next(&mut self) -> Option<Report> {
        let report = self.reports.try_recv().ok()?;
        self.taken(&report);
        Some(report)
    }

    fn taken(&self, report: &Report) {
        let Report::Events(events) = report else { return };
        let before = self.gauge.waiting.fetch_sub(events.len(), Ordering::SeqCst);
        if before >= self.gauge.limit && before - events.len() < self.gauge.limit {
            self.gauge.bell.ring();
        }
    }
}

impl Drop for KernelEvents {
    fn drop(&mut self) {
        self.reports.close();
        self.gauge.bell.ring();
    }
}

/// The thread's end of the channel.
pub(crate) struct Reports {
    sender: UnboundedSender<Report>,
    gauge: Arc<Gauge>,
    gathered: Vec<Event>,
}

/// A channel that holds about `limit` events.
pub(crate) fn channel(limit: usize, bell: Arc<Bell>) -> (Reports, KernelEvents) {
    let (sender, reports) = unbounded_channel();
    let gauge = Arc::new(Gauge { waiting: AtomicUsize::new(0), limit, bell });
    let events = KernelEvents { reports, gauge: Arc::clone(&gauge) };
    (Reports { sender, gauge, gathered: Vec::new() }, events)
}

impl Reports {
    /// Another end of the same channel, for another thread.
    pub(crate) fn another(&self) -> Self {
        Self { sender: self.sender.clone(), gauge: Arc::clone(&self.gauge), gathered: Vec::new() }
    }

    /// Whether more events may be read.
    pub(crate) fn has_room(&self) -> bool {
        self.gauge.waiting.load(Ordering::SeqCst) < self.gauge.limit
    }

    /// Nobody listens any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Adds an event; [`Reports::flush`] sends what is gathered.
    pub(crate) fn event(&mut self, event: Event) {
        self.gathered.push(event);
        if self.gathered.len() >= EVENT_BATCH {
            self.flush();
        }
    }

    /// Sends what is gathered.
    pub(crate) fn flush(&mut self) {
        if !self.gathered.is_empty() {
            let events = std::mem::take(&mut self.gathered);
            self.gauge.waiting.fetch_add(events.len(), Ordering::SeqCst);
            self.send(Report::Events(events));
        }
    }

    /// Sends answers, behind the events that came before them.
    pub(crate) fn answers(&mut self, answers: Answers) {
        self.flush();
        if !answers.is_empty() {
            self.send(Report::Answers(answers));
        }
    }

    fn send(&self, report: Report) {
        if self.sender.send(report).is_err() {
            tracing::debug!("a report of the kernel has no reader");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: i32) -> KernelError {
        KernelError { errno, message: None }
    }

    #[test]
    fn what_follows_each_other_and_was_done_is_said_at_once() {
        let mut answers = Answers::default();
        for (first, count) in [(1, 3), (4, 2), (10, 1), (11, 4)] {
            answers.expect(OpId(first), count);
        }
        answers.refused.extend([(1, refused(1)), (4, refused(2)), (5, refused(3))]);
        let done = |first, count| Said::Done { first: OpId(first), count };
        let no = |id, errno| Said::Refused(OpId(id), refused(errno));
        let said: Vec<Said> = answers.clone().into_said().collect();
        assert_eq!(said, [done(1, 1), no(2, 1), done(3, 2), no(5, 2), no(10, 3), done(11, 4)]);
        let ids: Vec<u64> = answers.clone().into_iter().map(|(id, _)| id.0).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5, 10, 11, 12, 13, 14]);
        assert_eq!(answers.len(), ids.len());
        assert_eq!(answers.into_iter().filter(|(_, result)| result.is_err()).count(), 3);
    }
}

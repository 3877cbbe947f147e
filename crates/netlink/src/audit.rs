//! The audit's thread: reads routes at leisure, on a socket of its own.
//!
//! The kernel keeps its place in a dump for as long as the reader likes, so a table can be read in portions with pauses
//! between them, while the netlink thread writes. The pauses are as long as the processor time of a portion asks for:
//! however slow the machine and however large the table, reading takes a five-hundredth of one core (and comparing, which
//! is the routing task's, about twice as much again). Each datagram is
//! handed on before the next is read, so that entries are older than answers and reports by no more than one of them.
//!
//! A place in a dump cannot be given up and taken again: who stops in the middle closes the socket.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Thread, park_timeout};
use std::time::{Duration, Instant};

use bgp_fib::{Event, KernelError, OpId};
use nix::time::{ClockId, clock_gettime};

use crate::decode::{Origin, decode};
use crate::dump::{RouteScope, routes};
use crate::report::{Answers, Reports};
use crate::requests::{DumpEnd, Requests};
use crate::socket::RouteSocket;

/// Datagrams between two pauses; of IPv4 routes, some five thousand.
const PORTION: u32 = 16;
/// The pause after a portion, as a multiple of the processor time that the portion has taken.
const REST: u32 = 499;
/// No pause is longer, whatever the clock says.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// So often it is looked whether routing has made room.
const LOOK: Duration = Duration::from_millis(10);
/// A dump has one datagram under way at a time.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// The netlink thread's handle. The audit's thread ends with it.
pub(crate) struct Auditor {
    orders: Sender<OpId>,
    idle: Receiver<()>,
    stop: Arc<AtomicBool>,
    reader: Thread,
    busy: bool,
}

impl Auditor {
    pub(crate) fn start(scope: RouteScope, reports: Reports, patience: Duration) -> io::Result<Self> {
        let (orders, ordered) = channel();
        let (finished, idle) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let mut reader = Reader { scope, reports, patience, stop: Arc::clone(&stop) };
        let thread = std::thread::Builder::new().name("netlink-audit".into());
        let reader = thread.spawn(move || reader.run(&ordered, &finished))?.thread().clone();
        Ok(Self { orders, idle, stop, reader, busy: false })
    }

    /// Has the routes read; the answer goes the way of all answers.
    pub(crate) fn begin(&mut self, id: OpId) {
        self.halt();
        self.stop.store(false, Ordering::SeqCst);
        match self.orders.send(id) {
            Ok(()) => self.busy = true,
            Err(_) => tracing::error!("the audit's thread has ended; routes are no longer read back"),
        }
    }

    /// Ends an audit that is under way, and waits until it has said its last word.
    pub(crate) fn halt(&mut self) {
        if std::mem::take(&mut self.busy) {
            self.stop.store(true, Ordering::SeqCst);
            self.reader.unpark();
            // A thread that has ended is idle too.
            self.idle.recv().ok();
        }
    }
}

/// The thread's side.
struct Reader {
    scope: RouteScope,
    reports: Reports,
    patience: Duration,
    stop: Arc<AtomicBool>,
}

impl Reader {
    fn run(&mut self, ordered: &Receiver<OpId>, finished: &Sender<()>) {
        while let Ok(id) = ordered.recv() {
            let result = self.read();
            self.reports.answers(Answers::one(id, result));
            if finished.send(()).is_err() {
                return;
            }
        }
    }

    fn read(&mut self) -> Result<(), KernelError> {
        let socket = RouteSocket::requests(RECEIVE_BUFFER).map_err(|error| refused(&error))?;
        let mut requests = Requests::new(socket, self.patience);
        let stop = &self.stop;
        self.reports.event(Event::AuditStart);
        let reports = RefCell::new(&mut self.reports);
        let mut entry = |header, payload: &[u8]| {
            if let Some(event) = decode(header, payload, Origin::Dump) {
                reports.borrow_mut().event(event);
            }
        };
        let mut pace = Pace::new();
        let mut between = || {
            let mut reports = reports.borrow_mut();
            reports.flush();
            while !stop.load(Ordering::SeqCst) && !reports.has_room() && !reports.is_closed() {
                park_timeout(LOOK);
            }
            pace.rest(stop);
            if stop.load(Ordering::SeqCst) || reports.is_closed() { Err(halted()) } else { Ok(()) }
        };
        match routes(&mut requests, self.scope, &mut entry, &mut between)? {
            DumpEnd::Complete => {}
            DumpEnd::Interrupted => return Err(halted()),
        }
        self.reports.event(Event::AuditEnd);
        Ok(())
    }
}

/// How much is read at once, and how long the pauses are.
struct Pace {
    datagrams: u32,
    /// Processor time of this thread at the end of the last pause.
    since: Duration,
}

impl Pace {
    fn new() -> Self {
        Self { datagrams: 0, since: processor_time() }
    }

    /// Pauses where a portion has been read.
    fn rest(&mut self, stop: &AtomicBool) {
        self.datagrams += 1;
        if self.datagrams < PORTION {
            return;
        }
        let pause = LONGEST_PAUSE.min(processor_time().saturating_sub(self.since) * REST);
        let end = Instant::now() + pause;
        while !stop.load(Ordering::SeqCst) && Instant::now() < end {
            park_timeout(end.saturating_duration_since(Instant::now()));
        }
        *self = Self::new();
    }
}

/// Of this thread, the kernel's work for it included. Where there is no such clock, nothing: then there are no pauses.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

fn halted() -> KernelError {
    KernelError { errno: libc::ECANCELED, message: Some("the audit was given up".into()) }
}

fn refused(error: &io::Error) -> KernelError {
    KernelError { errno: error.raw_os_error().unwrap_or(libc::EIO), message: None }
}

//! The handle to the netlink thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bgp_fib::{MAIN_TABLE, PROTOCOL_BGP, Plan};

use crate::audit::Auditor;
use crate::dump::RouteScope;
use crate::lane::Lane;
use crate::queue::Queue;
use crate::report::{self, Bell, KernelEvents};
use crate::requester::Requesters;
use crate::requests::Requests;
use crate::socket::RouteSocket;
use crate::worker::Worker;

/// What the thread needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelConfig {
    /// Table of our routes; beside it only the main table is read.
    pub table: u32,
    /// Protocol number of our routes and objects: who changes those is looked at.
    pub protocol: u8,
    /// Requests per system call. Beyond 64 little is gained; each may cost an error of about 800 octets in the receive
    /// buffer.
    pub batch: usize,
    /// Octets of each socket's receive buffer.
    pub receive_buffer: usize,
    /// Events that may wait for the routing task before the thread stops reading.
    pub event_limit: usize,
    /// How long the kernel may owe an answer before it counts as lost.
    pub patience: Duration,
}

impl Default for KernelConfig {
    fn default() -> Self {
        Self {
            table: MAIN_TABLE,
            protocol: PROTOCOL_BGP,
            batch: 256,
            receive_buffer: 8 * 1024 * 1024,
            event_limit: 32 * 1024,
            patience: Duration::from_secs(2),
        }
    }
}

/// The kernel's routing tables, to be changed from any task. Cheap to clone; with the last handle the thread ends, once
/// it has done what was submitted.
#[derive(Clone, Debug)]
pub struct Kernel(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    submissions: Sender<Plan>,
    bell: Arc<Bell>,
    closing: Arc<AtomicBool>,
}

impl Kernel {
    /// Opens the sockets in the network namespace of the calling thread and starts the threads. The watch is open from
    /// now on; what was there before is told by [`bgp_fib::Op::Dump`].
    pub fn start(config: KernelConfig) -> io::Result<(Self, KernelEvents)> {
        let bell = Arc::new(Bell::new()?);
        let closing = Arc::new(AtomicBool::new(false));
        let (submissions, submitted) = channel();
        let (reports, events) = report::channel(config.event_limit, Arc::clone(&bell));

        let requests = RouteSocket::requests(config.receive_buffer)?;
        let second = RouteSocket::requests(config.receive_buffer)?;
        let watch =
            RouteSocket::events(config.receive_buffer, [requests.port(), second.port()], config.table)?;
        let batch_len = config.batch.max(1);
        let ipv6 = Lane::start(Requests::new(second, config.patience), reports.another(), batch_len)?;
        let scope = RouteScope { table: config.table };
        let auditor = Auditor::start(scope, reports.another(), config.patience)?;
        let worker = Worker {
            requests: Requests::new(requests, config.patience),
            ipv6,
            auditor,
            watch,
            queue: Queue::default(),
            submitted,
            reports,
            bell: Arc::clone(&bell),
            closing: Arc::clone(&closing),
            scope,
            requesters: Requesters::new(config.protocol),
            batch_len,
        };
        std::thread::Builder::new().name("netlink".into()).spawn(move || worker.run())?;
        Ok((Self(Arc::new(Handle { submissions, bell, closing })), events))
    }

    /// Hands operations to the kernel, in this order; never blocks. The answers come by [`KernelEvents`].
    pub fn submit(&self, ops: impl Into<Plan>) {
        let plan = ops.into();
        if plan.is_empty() {
            return;
        }
        if self.0.submissions.send(plan).is_err() {
            // KernelEvents ends as well, which is where the routing task learns it.
            tracing::error!("the netlink thread has ended; operations are dropped");
        }
        self.0.bell.ring();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        self.bell.ring();
    }
}

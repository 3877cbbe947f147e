//! The routing task: the one owner of the `Rib` and the `Fib`, and where they meet.
//!
//! Road in: UPDATEs of the peer tasks, reports of the kernel, orders of the supervisor. Road out: operations for the
//! kernel, buffers of encoded UPDATEs for peers that have room, replies for views. Waits for nobody: peers and kernel
//! pull, and what is not pulled yet is a dirty prefix in the RIB or the FIB, not a message.

mod bfd;
mod drains;
mod evidence;
mod handover;
mod kernel;
mod lanes;
mod messages;
mod nodes;
mod peers;
mod restart;
mod settle;
mod stale;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bgp_fib::{Fib, OpId};
use bgp_netlink::{Kernel, KernelEvents};
use bgp_rib::{PeerId, Rib};
use bgp_session::OwnRestart;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info};

pub use lanes::{Gone, Inlet, Lane, Outlet, Permit, Unsent, lanes};
pub use messages::{
    DrainState, DrainWhat, FromPeer, Frozen, Impacts, Order, PeerCounters, Proposal, Query, Summary,
};

use self::bfd::Ways;
use self::evidence::Evidence;
use self::lanes::Delivery;
use self::peers::PeerEntry;
use self::restart::Restart;
use self::stale::{Due, StaleTimers};
use crate::bfd::News;
use crate::events::Hub;
use crate::tasks::sleep_until;

/// Orders and queries that may wait.
pub const SMALL_QUEUE: usize = 64;
/// Octets of NLRI taken in before the RIB is settled again: about a thousand routes, a millisecond's work.
const TURN: usize = 4096;
/// Up to so many a turn is too short to be worth a pause.
const SHORT_TURN: usize = 256;

/// Everything that routing owns.
#[derive(Debug)]
pub struct Routing {
    rib: Rib,
    fib: Fib,
    kernel: Kernel,
    hub: Hub,
    peers: BTreeMap<PeerId, PeerEntry>,
    stale: StaleTimers,
    /// Peers that have room for UPDATEs.
    ready: BTreeSet<PeerId>,
    /// Who was served last.
    served: PeerId,
    /// When the oldest UPDATE of this turn was read from its socket.
    received: Option<Instant>,
    /// What we originate.
    networks: Vec<bgp_wire::Prefix>,
    /// Work is left that was put off to let others have their turn.
    more: bool,
    /// Messages of peers that wait, for the metrics.
    waiting: usize,
    /// Refusals of the kernel by error number.
    errors: BTreeMap<i32, u64>,
    /// Lent to the FIB.
    ops: Vec<(OpId, bgp_fib::Op)>,
    restart: Restart,
    evidence: Evidence,
    ways: Ways,
    /// [`Fib::presence_epoch`] when the nodes were looked at last.
    looked_at: u64,
    /// Tells the supervisor what our OPENs are to say of our own restart.
    own_restart: watch::Sender<Option<OwnRestart>>,
    /// Tells whether somebody has to read the buckets of the kernel's groups.
    wants_buckets: watch::Sender<bool>,
    /// The daemon ends: told when the kernel is as it is to be left.
    stopping: Option<oneshot::Sender<()>>,
    /// Another process goes on: told what we know.
    freezing: Option<oneshot::Sender<Frozen>>,
}

/// The task's inputs.
#[derive(Debug)]
pub struct Inputs {
    /// Of the peer tasks.
    pub peers: Outlet,
    /// Of the supervisor.
    pub orders: mpsc::Receiver<Order>,
    /// Of the control socket and the metrics.
    pub queries: mpsc::Receiver<Query>,
    /// Of the kernel.
    pub kernel: KernelEvents,
    /// Of BFD.
    pub bfd: mpsc::Receiver<News>,
}

/// What woke the task.
enum Wake {
    Peer(Delivery),
    Order(Order),
    Query(Query),
    Kernel(bgp_netlink::Report),
    Bfd(News),
    Turn,
    Gone,
}

impl Routing {
    /// Routing without peers yet; what an earlier run left in the kernel stays for `deferral` at most.
    pub fn new(
        (rib, fib): (Rib, Fib),
        kernel: Kernel,
        hub: Hub,
        deferral: Duration,
        own_restart: watch::Sender<Option<OwnRestart>>,
        wants_buckets: watch::Sender<bool>,
    ) -> Self {
        Self {
            restart: Restart::new(Instant::now(), deferral),
            own_restart,
            wants_buckets,
            evidence: Evidence::default(),
            ways: Ways::default(),
            looked_at: 0,
            rib,
            fib,
            kernel,
            hub,
            peers: BTreeMap::new(),
            stale: StaleTimers::default(),
            ready: BTreeSet::new(),
            served: PeerId(0),
            received: None,
            networks: Vec::new(),
            more: false,
            waiting: 0,
            errors: BTreeMap::new(),
            ops: Vec::new(),
            stopping: None,
            freezing: None,
        }
    }

    /// Works until the kernel's thread or the supervisor is gone.
    pub async fn run(mut self, mut inputs: Inputs) {
        loop {
            let taken = match self.wait(&mut inputs).await {
                Wake::Gone => {
                    info!("routing ends");
                    return;
                }
                wake => self.take(wake),
            };
            if self.freezing.is_some() {
                return self.freeze(&mut inputs).await;
            }
            let taken = self.take_what_is_there(&mut inputs, taken);
            self.waiting = inputs.peers.waiting();
            self.tick(Instant::now());
            self.settle();
            self.ask_for_buckets();
            self.report_stop();
            // After a long turn others that share the worker have theirs, whatever waits here.
            if self.more || taken > SHORT_TURN {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn wait(&mut self, inputs: &mut Inputs) -> Wake {
        let deadlines = [
            self.fib.next_deadline(),
            self.stale.next_deadline(),
            self.restart.next_deadline(),
            self.evidence.next_deadline(),
            self.ways.next_deadline(),
        ];
        let deadline = deadlines.into_iter().flatten().min();
        let more = self.more;
        tokio::select! {
            // A way that is cut wants its leg out of the kernel; there are never many of them.
            biased;
            Some(news) = inputs.bfd.recv() => Wake::Bfd(news),
            report = inputs.kernel.next() => report.map_or_else(kernel_gone, Wake::Kernel),
            order = inputs.orders.recv() => order.map_or(Wake::Gone, Wake::Order),
            Some(query) = inputs.queries.recv() => Wake::Query(query),
            Some(delivery) = inputs.peers.next() => Wake::Peer(delivery),
            () = std::future::ready(()), if more => Wake::Turn,
            () = sleep_until(deadline) => Wake::Turn,
        }
    }

    /// Takes in what waits already, so that one decision serves many UPDATEs.
    fn take_what_is_there(&mut self, inputs: &mut Inputs, mut taken: usize) -> usize {
        loop {
            if let Some(report) = inputs.kernel.try_next() {
                self.take(Wake::Kernel(report));
            } else if let Some(delivery) = inputs.peers.try_next(taken < TURN) {
                taken += self.take(Wake::Peer(delivery));
            } else {
                return taken;
            }
        }
    }

    /// Takes one thing in; how many octets of NLRI it had.
    fn take(&mut self, wake: Wake) -> usize {
        match wake {
            Wake::Peer(delivery) => {
                let octets = delivery.octets();
                delivery.work(|message| self.on_peer(message));
                return octets;
            }
            Wake::Order(order) => self.on_order(order),
            Wake::Query(query) => self.on_query(query),
            Wake::Kernel(report) => self.on_report(report),
            Wake::Bfd(news) => self.on_bfd(news, Instant::now()),
            Wake::Turn | Wake::Gone => {}
        }
        0
    }

    fn tick(&mut self, now: Instant) {
        self.fib.tick(now);
        self.judge_nodes(now);
        self.judge_ways(now);
        for (peer, family, due) in self.stale.due(now) {
            match due {
                Due::Sweep => self.sweep_stale(peer, family, "its time is over"),
                Due::LongLived => self.begin_long_lived(peer, family),
            }
        }
    }
}

fn kernel_gone() -> Wake {
    error!("the netlink thread has ended; routes can no longer be installed, the daemon stops");
    Wake::Gone
}

//! The routing task: the one owner of the `Rib` and the `Fib`, and where they meet.
//!
//! Road in: UPDATEs of the peer tasks, reports of the kernel, orders of the supervisor. Road out: operations for the
//! kernel, buffers of encoded UPDATEs for peers that have room, replies for views. Waits for nobody: peers and kernel
//! pull, and what is not pulled yet is a dirty prefix in the RIB or the FIB, not a message.

mod announced;
mod bfd;
mod desk;
mod drains;
mod evidence;
mod handover;
mod kernel;
mod lanes;
mod messages;
mod nodes;
mod peers;
mod repair;
mod restart;
mod settle;
mod stale;
#[cfg(test)]
mod tests;
mod undone;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_fib::Fib;
use bgp_netlink::{Kernel, KernelEvents};
use bgp_rib::{Forwarding, PeerId, Rib};
use bgp_session::OwnRestart;
use bgp_wire::PerFamily;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info};

pub use lanes::{Gone, Inlet, Lane, Outlet, Permit, Unsent, lanes};
pub use messages::{
    DrainState, DrainWhat, FromPeer, Frozen, Impacts, Order, Part, PeerCounters, Proposal, Query, Summary,
};
pub use undone::word as deed_word;

use self::announced::Announced;
use self::bfd::Ways;
use self::desk::{Desk, Outcome};
use self::evidence::Evidence;
use self::lanes::Delivery;
use self::peers::PeerEntry;
use self::repair::Repair;
use self::restart::Restart;
use self::stale::{Due, StaleTimers};
use self::views::Lists;
use crate::bfd::News;
use crate::events::Hub;
use crate::tasks::{self, Alarm};

/// Orders and queries that may wait.
pub const SMALL_QUEUE: usize = 64;
/// Octets of NLRI taken in before the RIB is settled again: about five hundred routes, half a millisecond's work with what
/// follows from them. Who has one change waits for the end of such a turn.
const TURN: usize = 2048;
/// Up to so many a turn is no work for the desk.
const SHORT_TURN: usize = 256;

/// Everything that routing owns.
#[derive(Debug)]
pub struct Routing {
    rib: Rib,
    fib: Fib,
    kernel: Kernel,
    hub: Hub,
    peers: BTreeMap<PeerId, PeerEntry>,
    announced: Announced,
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
    /// What was asked for and is not ready yet.
    lists: Lists,
    /// The last turn has only served peers.
    rest_waits: bool,
    repair: Repair,
    /// Messages of peers that wait, for the metrics.
    waiting: usize,
    /// Refusals of the kernel by error number.
    errors: BTreeMap<i32, u64>,
    /// What the FIB was told to want last, for each family.
    last_forwarding: PerFamily<Option<Arc<Forwarding>>>,
    restart: Restart,
    evidence: Evidence,
    ways: Ways,
    /// [`Fib::presence_epoch`] when the nodes were looked at last; `None` where one has come since.
    looked_at: Option<u64>,
    /// Tells the supervisor what our OPENs are to say of our own restart.
    own_restart: watch::Sender<Option<OwnRestart>>,
    /// Tells whether somebody has to read the buckets of the kernel's groups, and the shortest time in which one is free.
    wants_buckets: watch::Sender<Option<Duration>>,
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
    /// Of the watchdog, which is answered in every turn and waits behind no query.
    pub pings: mpsc::Receiver<oneshot::Sender<()>>,
    /// Of the kernel.
    pub kernel: KernelEvents,
    /// Of BFD.
    pub bfd: mpsc::Receiver<News>,
}

/// What woke routing.
#[derive(Debug)]
enum Wake {
    Peer(Delivery),
    Order(Order),
    Query(Query),
    Ping(oneshot::Sender<()>),
    Kernel(bgp_netlink::Report),
    Bfd(News),
    Turn,
    Gone,
}

impl Routing {
    /// Routing without peers yet; what an earlier run left in the kernel stays for `deferral` at most. With `takes_over` an
    /// [`Order::TakeOver`] comes, and nothing begins before it.
    pub fn new(
        (rib, fib): (Rib, Fib),
        kernel: Kernel,
        hub: Hub,
        (deferral, takes_over): (Duration, bool),
        own_restart: watch::Sender<Option<OwnRestart>>,
        wants_buckets: watch::Sender<Option<Duration>>,
    ) -> Self {
        Self {
            restart: Restart::new(Instant::now(), deferral, takes_over),
            own_restart,
            wants_buckets,
            evidence: Evidence::default(),
            ways: Ways::default(),
            looked_at: None,
            rib,
            fib,
            kernel,
            hub,
            peers: BTreeMap::new(),
            announced: Announced::default(),
            stale: StaleTimers::default(),
            ready: BTreeSet::new(),
            served: PeerId(0),
            received: None,
            networks: Vec::new(),
            more: false,
            lists: Lists::default(),
            rest_waits: false,
            repair: Repair::default(),
            waiting: 0,
            errors: BTreeMap::new(),
            last_forwarding: PerFamily::default(),
            stopping: None,
            freezing: None,
        }
    }

    /// Works until the kernel's thread or the supervisor is gone: here while there is little to do, at the desk while there
    /// is much.
    pub async fn run(self, inputs: Inputs) {
        let (mut routing, mut inputs, mut alarm) = (Box::new(self), inputs, Alarm::default());
        let desk = match Desk::start() {
            Ok(desk) => desk,
            Err(error) => return error!(%error, "there is no thread for routing; the daemon stops"),
        };
        let mut deadline = routing.next_deadline();
        loop {
            let wake = match routing.repair.rests_until() {
                Some(until) => inputs.answer(tasks::sleep_until(Some(until))).await,
                None => inputs.next(routing.more, alarm.ring(deadline)).await,
            };
            routing.repair.hear(&wake);
            let outcome = if routing.is_much(&wake) {
                let Some(back) = desk.work(routing, inputs, wake).await else {
                    return error!("routing's thread has ended; the daemon stops");
                };
                (routing, inputs) = (back.routing, back.inputs);
                back.outcome
            } else {
                routing.short_turn(&mut inputs, wake)
            };
            match outcome {
                Outcome::Going => deadline = routing.next_deadline(),
                Outcome::Served => {}
                Outcome::Frozen => return routing.freeze(&mut inputs).await,
                Outcome::Gone => return info!("routing ends"),
            }
        }
    }

    /// Whether what has come, or is left, is work for longer than a peer should wait for its turn.
    fn is_much(&self, wake: &Wake) -> bool {
        self.more || matches!(wake, Wake::Peer(delivery) if delivery.octets() > SHORT_TURN)
    }

    /// A turn on the task. Where somebody is to be told of what has come, nothing else is done in it: they write it next and
    /// answer, and the rest is done in the turn that the first answer begins.
    fn short_turn(&mut self, inputs: &mut Inputs, wake: Wake) -> Outcome {
        let Some(taken) = self.take_in(inputs, wake) else { return Outcome::Gone };
        let served = taken > 0 && self.freezing.is_none() && self.serve_at_once();
        self.rest_waits = served && !self.rest_waits;
        if self.rest_waits { Outcome::Served } else { self.conclude(inputs) }
    }

    /// A turn at the desk; whether it was much.
    fn turn(&mut self, inputs: &mut Inputs, wake: Wake) -> (Outcome, bool) {
        let Some(taken) = self.take_in(inputs, wake) else { return (Outcome::Gone, false) };
        (self.conclude(inputs), self.more || taken > SHORT_TURN)
    }

    /// Takes in what woke routing and what peers and the kernel have said meanwhile; how many octets of NLRI that had, or
    /// `None` where it was the end of routing.
    fn take_in(&mut self, inputs: &mut Inputs, wake: Wake) -> Option<usize> {
        if matches!(wake, Wake::Gone) {
            return None;
        }
        let taken = self.take(inputs, wake);
        Some(self.take_what_is_there(inputs, taken))
    }

    /// Settles what was taken in, and does what else is due.
    fn conclude(&mut self, inputs: &mut Inputs) -> Outcome {
        self.take_from_others(inputs);
        if self.freezing.is_some() {
            return Outcome::Frozen;
        }
        self.waiting = inputs.peers.waiting();
        if self.repair.rests() {
            // A turn is due in any case.
            self.more = true;
            return Outcome::Going;
        }
        self.tick(Instant::now());
        self.settle();
        self.ask_for_buckets();
        self.report_stop();
        self.go_on_with_lists();
        Outcome::Going
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.fib.next_deadline(),
            self.stale.next_deadline(),
            self.restart.next_deadline(),
            self.evidence.next_deadline(),
            self.ways.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Takes in what waits already, so that one decision serves many UPDATEs.
    fn take_what_is_there(&mut self, inputs: &mut Inputs, mut taken: usize) -> usize {
        while !self.repair.rests() {
            if let Some(report) = inputs.kernel.try_next() {
                self.take(inputs, Wake::Kernel(report));
            } else if let Some(delivery) = inputs.peers.try_next(taken < TURN) {
                taken += self.take(inputs, Wake::Peer(delivery));
            } else {
                break;
            }
        }
        taken
    }

    /// Who is asked for news after the peers has one thing of each taken in, so that peers who always have some keep nobody
    /// waiting.
    fn take_from_others(&mut self, inputs: &mut Inputs) {
        if let Ok(news) = inputs.bfd.try_recv() {
            self.take(inputs, Wake::Bfd(news));
        }
        if let Ok(order) = inputs.orders.try_recv() {
            self.take(inputs, Wake::Order(order));
        }
        if let Ok(ping) = inputs.pings.try_recv() {
            self.take(inputs, Wake::Ping(ping));
        }
        if let Ok(query) = inputs.queries.try_recv() {
            self.take(inputs, Wake::Query(query));
        }
    }

    /// Takes one thing in, or a part of it; how many octets of NLRI that had.
    fn take(&mut self, inputs: &mut Inputs, wake: Wake) -> usize {
        match wake {
            Wake::Peer(delivery) => {
                let octets = delivery.octets();
                let rest = delivery.work(|message| self.on_peer(message));
                let left = rest.as_ref().map_or(0, Delivery::octets);
                if let Some(rest) = rest {
                    inputs.peers.put_back(rest);
                }
                return octets.saturating_sub(left);
            }
            Wake::Order(order) => self.on_order(order),
            Wake::Query(query) => self.on_query(query),
            Wake::Ping(reply) => tasks::answer(reply, ()),
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

impl Inputs {
    /// What the kernel says next; a turn without it at the deadline.
    async fn answer(&mut self, deadline: impl Future<Output = ()>) -> Wake {
        tokio::select! {
            biased;
            report = self.kernel.next() => report.map_or_else(kernel_gone, Wake::Kernel),
            () = deadline => Wake::Turn,
        }
    }

    /// What comes next; a turn without anything new at the deadline, or at once where there is `more` to do.
    async fn next(&mut self, more: bool, deadline: impl Future<Output = ()>) -> Wake {
        tokio::select! {
            // What a peer says comes most often, and is waited for. The others have their share in each turn.
            biased;
            Some(delivery) = self.peers.next() => Wake::Peer(delivery),
            Some(news) = self.bfd.recv() => Wake::Bfd(news),
            report = self.kernel.next() => report.map_or_else(kernel_gone, Wake::Kernel),
            order = self.orders.recv() => order.map_or(Wake::Gone, Wake::Order),
            Some(ping) = self.pings.recv() => Wake::Ping(ping),
            Some(query) = self.queries.recv() => Wake::Query(query),
            () = std::future::ready(()), if more => Wake::Turn,
            () = deadline => Wake::Turn,
        }
    }
}

fn kernel_gone() -> Wake {
    error!("the netlink thread has ended; routes can no longer be installed, the daemon stops");
    Wake::Gone
}

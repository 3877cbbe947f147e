//! One speaker: its peers as `crates/bgpd/src/peer` keeps them, its tables as `crates/bgpd/src/routing` does, its kernel.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bgp_fib::{Address, Fib, FibConfig, KernelError, Link, Mac, Op, OpId, Seen};
use bgp_rib::{PeerId, Rib, RibConfig};
use bgp_session::{ConnectionId, Negotiated, Peer, RouteRetention};
use bgp_wire::route_refresh::RouteRefresh;
use bgp_wire::{Family, NextHop, PathAttributes, Prefix, Update};
use bytes::{Bytes, BytesMut};

use crate::kernel::{self, Kernel};
use crate::plan::{self, LAN, NodePlan};

/// What a peer says to routing.
#[derive(Debug)]
pub(crate) enum Message {
    Settings,
    Up(Box<Negotiated>, u64),
    Updates(Vec<Update>),
    Refresh(RouteRefresh),
    Ready,
    Down(RouteRetention),
}

/// Routes as a receiver understands them from the UPDATEs alone.
pub(crate) type Replay = BTreeMap<Prefix, (PathAttributes, NextHop)>;

#[derive(Debug)]
pub(crate) struct PeerTask {
    pub(crate) link: usize,
    pub(crate) side: usize,
    pub(crate) session: Peer,
    /// Connections by their place in the world.
    pub(crate) connections: Vec<(ConnectionId, usize)>,
    pub(crate) next_connection: u64,
    /// The number of the dial under way.
    pub(crate) dial: Option<u64>,
    pub(crate) inbound: BTreeMap<ConnectionId, BytesMut>,
    pub(crate) pending: VecDeque<Message>,
    pub(crate) batch: Vec<Update>,
    pub(crate) established: Option<ConnectionId>,
    /// The number of the session's channel for UPDATEs.
    pub(crate) channel: Option<u64>,
    pub(crate) chunk: Option<Bytes>,
    pub(crate) credit: bool,
    pub(crate) tick_at: Option<Instant>,
    pub(crate) replay: Replay,
    pub(crate) ends: BTreeSet<Family>,
}

/// What routing keeps of a peer.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) channel: Option<u64>,
    pub(crate) up: Option<Box<Negotiated>>,
}

/// How much is done in one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budgets {
    pub(crate) turn: usize,
    pub(crate) queue: usize,
    pub(crate) decisions: usize,
    pub(crate) changes: usize,
    pub(crate) ops: usize,
    pub(crate) in_flight: usize,
    pub(crate) chunk: usize,
    pub(crate) backlog: usize,
    pub(crate) batch: usize,
    pub(crate) read: usize,
}

/// A scripted peer: announces its table when it is up, and what changes.
#[derive(Debug, Default)]
pub(crate) struct Feeder {
    pub(crate) dirty: BTreeSet<Prefix>,
    pub(crate) told: BTreeSet<Prefix>,
    pub(crate) end_of_rib_due: bool,
}

/// When stale routes of a peer go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Away {
    /// The next step.
    pub(crate) until: Instant,
    /// The last, once it is back.
    pub(crate) stale: Instant,
    /// How much longer they stay if it is not, RFC 9494; zero once that has begun.
    pub(crate) long: Duration,
    /// It has begun.
    pub(crate) is_long: bool,
    /// When they go whatever comes: set by the first of several restarts before one End-of-RIB.
    pub(crate) at_last: Instant,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) alive: bool,
    pub(crate) frozen_until: Option<Instant>,
    /// How far its clock has run ahead of the network's.
    pub(crate) ahead: Duration,
    /// Octets a read and milliseconds between two reads.
    pub(crate) slow: Option<(usize, usize)>,
    pub(crate) peers: Vec<PeerTask>,
    pub(crate) budgets: Budgets,
    pub(crate) queue: VecDeque<(usize, Message)>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) rib: Rib,
    pub(crate) fib: Fib,
    pub(crate) feeder: Feeder,
    /// Restarts of peers.
    pub(crate) stale: BTreeMap<(PeerId, Family), Away>,
    pub(crate) ready: BTreeSet<usize>,
    pub(crate) turn_at: Option<Instant>,
    pub(crate) kernel: Kernel,
    pub(crate) ops: VecDeque<(OpId, Op)>,
    pub(crate) kernel_busy: bool,
    pub(crate) in_flight: usize,
    pub(crate) answers: VecDeque<(OpId, Result<(), KernelError>)>,
}

pub(crate) fn new_rib(plan: &NodePlan, hash_seed: u64) -> Rib {
    Rib::new(RibConfig {
        local_asn: plan.asn,
        router_id: plan.router_id,
        maximum_paths: plan.maximum_paths,
        multipath_relax: plan.relax,
        backups: true,
        hash_seed,
    })
}

pub(crate) fn new_fib(now: Instant) -> Fib {
    Fib::new(FibConfig::default(), now)
}

/// The kernel of a host on the LAN with `nodes` speakers.
pub(crate) fn new_kernel(at: usize, plan: &NodePlan, nodes: usize) -> Kernel {
    let mut kernel = Kernel::default();
    kernel.set_link(Link {
        ifindex: LAN,
        name: "lan0".into(),
        admin_up: true,
        carrier: true,
        loopback: false,
        mac: None,
        master: None,
    });
    for (family, prefix_len, lan, metric) in
        [(Family::Ipv4Unicast, 24, "10.0.0.0/24", 0), (Family::Ipv6Unicast, 64, "fd00::/64", 256)]
    {
        let address = plan::host(at, family);
        kernel.set_address(Address { ifindex: LAN, address, prefix_len, tentative: false });
        kernel.put_foreign(kernel::route(plan::prefix(lan), 2, metric, None, LAN), Seen::Change);
        for other in (0..nodes).chain(plan::PHANTOMS).filter(|other| *other != at) {
            kernel.alive.insert((LAN, plan::host(other, family)), Mac([2, 0, 0, 0, 0, other as u8]));
        }
    }
    for (destination, (gateway, metric)) in &plan.detours {
        let route = kernel::route(*destination, kernel::STATIC, *metric, Some(*gateway), LAN);
        kernel.put_foreign(route, Seen::Change);
    }
    kernel
}

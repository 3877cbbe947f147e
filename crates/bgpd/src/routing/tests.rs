//! A peer that is away and whose routes are kept, as peer tasks, BFD and operators have it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bgp_api::ImpactKind;
use bgp_fib::{Event, Fib, FibConfig, Mac, Neighbor, NeighborState, Op, Plan};
use bgp_netlink::{Kernel, KernelConfig, KernelEvents, Report};
use bgp_rib::{PeerId, Position, Rib, RibConfig};
use bgp_session::{ConnectionId, Direction, Endpoints, Forwarding, Negotiated, PeerRestart, RouteRetention};
use bgp_wire::open::HoldTime;
use bgp_wire::{
    Announcement, Asn, Family, NextHop, Nlri, PathAttributes, PeerKind, PerFamily, Prefix, RouterId, Update,
};
use bytes::BytesMut;
use tokio::sync::{mpsc, oneshot, watch};

use super::messages::{FromPeer, Order, Proposal, Query};
use super::{Hub, Routing};
use crate::config::{Settings, load_str};
use crate::local::LocalEnd;
use crate::peer::{Handle, ToPeer};

pub(super) const NODE: PeerId = PeerId(1);
const ADDRESS: &str = "2001:3200:3200::2";
const ASN: Asn = Asn(64513);
/// How often nodes are asked.
const PROBE: Duration = Duration::from_secs(10);
const V6: PerFamily<bool> = PerFamily { ipv4: false, ipv6: true };

/// Routing, and the task of one peer.
pub(super) struct World {
    pub(super) routing: Routing,
    pub(super) handle: Handle,
    _kernel: KernelEvents,
    _inbox: mpsc::Receiver<ToPeer>,
}

fn router_id() -> RouterId {
    RouterId::new(0xAC32_0001).unwrap()
}

/// What applies to the peer, with these lines in its table.
fn settings(lines: &str) -> Arc<Settings> {
    let text =
        format!("[bgp]\nasn = {}\n[neighbor.\"{ADDRESS}\"]\nremote-asn = \"internal\"\n{lines}\n", ASN.0);
    let config = load_str(&text, "t").unwrap().config;
    Arc::new(config.neighbors[&ADDRESS.parse().unwrap()].settings.clone())
}

/// A session whose routes outlive it.
fn negotiated() -> Negotiated {
    let forwarding = PerFamily { ipv4: None, ipv6: Some(Forwarding::Preserved) };
    Negotiated {
        connection: ConnectionId(0),
        direction: Direction::Incoming,
        endpoints: Endpoints {
            local: "[2001:3200:3200::1]:179".parse().unwrap(),
            remote: format!("[{ADDRESS}]:40000").parse().unwrap(),
        },
        remote_asn: ASN,
        remote_router_id: router_id(),
        kind: PeerKind::Internal,
        hold_time: HoldTime::Off,
        keepalive: None,
        families: V6,
        four_octet_as: true,
        extended_message: false,
        route_refresh: true,
        enhanced_route_refresh: false,
        extended_next_hop: PerFamily::default(),
        graceful_restart: Some(PeerRestart {
            restarted: false,
            notification: true,
            restart_time: Duration::from_secs(120),
            forwarding,
            long_lived: PerFamily::default(),
            takes_long_lived: false,
        }),
        fqdn: None,
        capabilities: Vec::new(),
    }
}

impl World {
    /// Without peers; the kernel is read and never written.
    pub(super) fn new() -> Self {
        let (kernel, events) = Kernel::start(KernelConfig::default()).unwrap();
        let rib = Rib::new(RibConfig {
            local_asn: ASN,
            router_id: router_id(),
            maximum_paths: 64,
            multipath_relax: true,
            backups: false,
            hash_seed: 1,
        });
        let config = FibConfig { install: false, probe_interval: Some(PROBE), ..FibConfig::default() };
        let config = FibConfig { startup_grace: None, audit_interval: None, ..config };
        let fib = Fib::new(config, Instant::now());
        let beginning = (Duration::ZERO, false);
        let (own_restart, wants_buckets) = (watch::Sender::new(None), watch::Sender::new(None));
        let routing = Routing::new((rib, fib), kernel, Hub::default(), beginning, own_restart, wants_buckets);
        let (inbox, messages) = mpsc::channel(8);
        let (established, kept) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let handle = Handle { inbox, established, kept };
        Self { routing, handle, _kernel: events, _inbox: messages }
    }

    /// With a peer that has announced a route and is away; the route is kept.
    pub(super) fn with_peer_away() -> Self {
        let mut world = Self::new();
        world.configure("");
        world.up(7);
        world.announce();
        world.restart(true);
        world
    }

    /// The peer's session ends by a restart, which keeps its IPv6 routes.
    fn restart(&mut self, stale_stays: bool) {
        let (time, long_lived) = (Duration::from_secs(120), PerFamily::default());
        self.down(RouteRetention::KeepStale { time, families: V6, long_lived, stale_stays });
    }

    fn configure(&mut self, lines: &str) {
        let (address, handle) = (address(), self.handle.clone());
        self.say(FromPeer::Settings { peer: NODE, address, settings: settings(lines), handle });
    }

    pub(super) fn up(&mut self, link: u32) {
        self.up_as(negotiated(), link);
    }

    fn up_as(&mut self, negotiated: Negotiated, link: u32) {
        let (chunks, _) = mpsc::channel(1);
        let local = LocalEnd { interface: Some(link), ..LocalEnd::default() };
        self.say(FromPeer::Up { peer: NODE, negotiated: Box::new(negotiated), local, chunks });
    }

    fn announce(&mut self) {
        self.announce_one("2004::1/128", NextHop::V6(ADDRESS.parse().unwrap()));
    }

    fn announce_one(&mut self, prefix: &str, next_hop: NextHop) {
        let prefix: Prefix = prefix.parse().unwrap();
        let nlri = Nlri::from_entries(prefix.family(), false, std::iter::once(prefix.into()));
        let update = Update {
            announced: std::iter::once(Announcement { nlri, next_hop }).collect(),
            attributes: Some(PathAttributes::default().to_bytes()),
            ..Update::default()
        };
        let octets = update.nlri_octets();
        let updates = vec![update].into_iter();
        self.say(FromPeer::Updates { peer: NODE, updates, octets, received: Instant::now() });
    }

    pub(super) fn down(&mut self, retention: RouteRetention) {
        self.say(FromPeer::Down { peer: NODE, retention });
    }

    fn say(&mut self, message: FromPeer) {
        assert!(self.routing.on_peer(message).is_none(), "little was said");
        self.decide();
    }

    fn decide(&mut self) {
        while self.routing.rib.decide(1000) {}
    }

    /// Of the peer's IPv6 routes: how many there are, are accepted, are stale.
    pub(super) fn routes(&self) -> (u64, u64, u64) {
        self.routes_of(Family::Ipv6Unicast)
    }

    fn routes_of(&self, family: Family) -> (u64, u64, u64) {
        let counters = self.routing.rib.counters(NODE).unwrap_or_default()[family];
        (counters.received, counters.accepted, counters.stale)
    }

    fn is_kept(&self) -> bool {
        self.handle.kept.load(Ordering::Relaxed)
    }
}

pub(super) fn address() -> IpAddr {
    ADDRESS.parse().unwrap()
}

#[tokio::test]
async fn what_is_kept_of_a_peer_goes_when_nothing_is_to_be_kept() {
    let mut world = World::with_peer_away();
    assert_eq!((world.routes(), world.is_kept()), ((1, 1, 1), true));
    world.down(RouteRetention::Remove);
    assert_eq!((world.routes(), world.is_kept()), ((0, 0, 0), false));
    assert_eq!(world.routing.stale.of(NODE), None);
}

/// RFC 4724 section 4.2: only of the families that the peer has named are routes kept.
#[tokio::test]
async fn routes_of_a_family_that_a_restart_does_not_keep_go_at_once() {
    let mut world = World::new();
    world.configure("");
    let families = PerFamily { ipv4: true, ipv6: true };
    world.up_as(Negotiated { families, ..negotiated() }, 7);
    world.announce();
    world.announce_one("10.0.0.0/8", NextHop::V4("172.50.0.2".parse().unwrap()));
    assert_eq!(world.routes_of(Family::Ipv4Unicast), (1, 1, 0));
    world.restart(true);
    assert_eq!((world.routes_of(Family::Ipv4Unicast), world.routes()), ((0, 0, 0), (1, 1, 1)));
}

/// RFC 4724 section 4.2: a peer that restarts again, before it has said what it has, "MUST" lose what was stale already;
/// RFC 8538 section 4.1 has it otherwise for one with the N bit.
#[tokio::test]
async fn what_was_stale_already_stays_over_a_second_restart_with_the_n_bit_alone() {
    for (stale_stays, left) in [(true, (1, 1, 1)), (false, (0, 0, 0))] {
        let mut world = World::with_peer_away();
        world.up(7);
        assert_eq!(world.routes(), (1, 1, 1), "they wait for End-of-RIB");
        world.restart(stale_stays);
        assert_eq!(world.routes(), left, "{stale_stays}");
    }
}

/// RFC 4724 section 3: one that has restarted is not to be waited for with what it is told.
#[tokio::test]
async fn a_peer_that_has_restarted_is_told_routes_before_its_end_of_rib() {
    let mut world = World::new();
    world.configure("");
    world.routing.on_order(Order::Networks(vec!["2001:db8::/32".parse().unwrap()]));
    let mut theirs = negotiated();
    theirs.graceful_restart.as_mut().unwrap().restarted = true;
    world.up_as(theirs, 7);
    let mut told = BytesMut::new();
    world.routing.rib.next_update(NODE, &mut told, 4096);
    assert!(told.windows(4).any(|octets| octets == [0x20, 0x01, 0x0d, 0xb8]), "{told:?}");
}

#[tokio::test]
async fn the_supervisor_hears_when_nothing_is_kept_any_more() {
    let mut world = World::with_peer_away();
    world.up(7);
    assert!(world.is_kept(), "they wait for End-of-RIB");
    world.routing.sweep_stale(NODE, Family::Ipv6Unicast, "End-of-RIB");
    assert_eq!((world.routes(), world.is_kept()), ((0, 0, 0), false));
}

#[tokio::test]
async fn what_is_kept_of_a_peer_is_judged_by_its_settings_of_now() {
    let mut world = World::with_peer_away();
    let network = "2001:db8::/32".parse().unwrap();
    world.routing.on_order(Order::Networks(vec![network]));
    world.configure("import = \"none\"");
    assert_eq!(world.routes(), (1, 0, 1));
    world.configure("import = \"all\"\nweight = 7");
    assert_eq!(world.routes(), (1, 1, 1));
    assert_eq!(world.routing.rib.settings(NODE).unwrap().weight, Some(7));
    let mut told = BytesMut::new();
    world.routing.rib.next_update(NODE, &mut told, 4096);
    assert!(told.is_empty(), "it has no session: {told:?}");
}

#[tokio::test]
async fn a_peer_that_is_away_is_foretold_what_becomes_of_its_routes_and_no_announcement() {
    let network = || ["2001:db8::/32".parse().unwrap()].into();
    let refuses = vec![(NODE, Some(settings("import = \"none\"")))];
    for (peers, foretold) in [(refuses, vec![(ImpactKind::Refused, "2004::1/128")]), (vec![], vec![])] {
        let mut world = World::with_peer_away();
        let proposal = Arc::new(Proposal { peers, networks_added: network(), ..Proposal::default() });
        let (mut impacts, mut next) = (Vec::new(), Some(Position::START));
        while let Some(from) = next {
            let (reply, answer) = oneshot::channel();
            let proposal = Arc::clone(&proposal);
            world.routing.on_query(Query::Impacts { proposal, from, reply });
            let portion = answer.await.unwrap();
            next = portion.next;
            impacts.extend(portion.routes);
        }
        let said = impacts.iter().map(|impact| (impact.kind, impact.prefix.as_str()));
        assert_eq!(said.collect::<Vec<_>>(), foretold);
    }
}

#[tokio::test]
async fn a_peer_that_is_back_on_another_link_is_asked_for_there_alone() {
    let mut world = World::new();
    world.configure("");
    for ifindex in [7, 8] {
        let (address, mac, state) = (address(), Some(Mac([2; 6])), NeighborState::Reachable);
        let neighbor = Neighbor { ifindex, address, mac, state };
        world.routing.on_report(Report::Events(vec![Event::Neighbor(neighbor)]));
        world.up(ifindex);
    }
    let (fib, mut plan) = (&mut world.routing.fib, Plan::default());
    fib.tick(Instant::now() + PROBE);
    fib.plan(100, &mut plan);
    let asked: Vec<u32> = plan
        .into_ops()
        .filter_map(|(_, op)| if let Op::Verify { ifindex, .. } = op { Some(ifindex) } else { None })
        .collect();
    assert_eq!(asked, [8]);
}

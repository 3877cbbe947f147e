//! Laws that hold whatever happens in whatever order.
//!
//! Peers come, go, restart and announce, next hops come and go, policies change, everybody pulls now and then. At the end
//! the RIB is what one would be that was told the outcome only; what the kernel side and the peers have pulled is what
//! that one would tell them; and every id has as many holders as there are.

use std::sync::Arc;

use bgp_policy::{Policy, PrefixList};
use proptest::prelude::*;

use super::*;

pub(super) const PREFIXES: [&str; 8] = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "192.0.2.0/24",
    "198.51.100.1/32",
    "2004::1/128",
    "2004::2/128",
    "2001:db8::/32",
    "::/0",
];
pub(super) const PEERS: u32 = 5;
pub(super) const HOPS: [&str; 3] = ["172.50.0.2", "172.50.0.3", "172.50.0.4"];
pub(super) const HOPS_V6: [&str; 3] = ["2001:3200:3200::2", "2001:3200:3200::3", "fe80::7"];

#[derive(Clone, Debug)]
enum Op {
    Up(u32, Nature),
    Down(u32),
    Restart {
        peer: u32,
        stale_stays: bool,
    },
    EndOfRib(u32, usize),
    /// The restart time of a peer that is away is over.
    LongLived(u32, usize),
    Announce {
        peer: u32,
        prefixes: u8,
        attributes: usize,
        hop: usize,
    },
    Withdraw {
        peer: u32,
        prefixes: u8,
    },
    Reach {
        hop: usize,
        v6: bool,
        metric: Option<u32>,
    },
    Originate {
        at: usize,
        on: bool,
    },
    Policies {
        peer: u32,
        import: usize,
        export: usize,
    },
    Refresh(u32),
    Decide(usize),
    PullKernel,
    PullPeer(u32),
    TakeHops,
}

/// What a peer is that comes up: next time it may be something else.
#[derive(Clone, Copy, Debug)]
enum Nature {
    Usual,
    Heavy,
    LowRouterId,
    Internal,
}

impl Nature {
    fn of(self, settings: PeerSettings) -> PeerSettings {
        match self {
            Self::Usual => settings,
            Self::Heavy => PeerSettings { weight: Some(3), ..settings },
            Self::LowRouterId => PeerSettings { router_id: RouterId::new(1).unwrap(), ..settings },
            Self::Internal => PeerSettings { kind: PeerKind::Internal, asn: US, ..settings },
        }
    }
}

fn nature() -> impl Strategy<Value = Nature> {
    prop_oneof![
        3 => Just(Nature::Usual),
        1 => Just(Nature::Heavy),
        1 => Just(Nature::LowRouterId),
        1 => Just(Nature::Internal),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let peer = || 0..PEERS;
    prop_oneof![
        2 => (peer(), nature()).prop_map(|(peer, nature)| Op::Up(peer, nature)),
        1 => peer().prop_map(Op::Down),
        1 => (peer(), any::<bool>()).prop_map(|(peer, stale_stays)| Op::Restart { peer, stale_stays }),
        1 => (peer(), 0..2usize).prop_map(|(peer, family)| Op::EndOfRib(peer, family)),
        1 => (peer(), 0..2usize).prop_map(|(peer, family)| Op::LongLived(peer, family)),
        8 => (peer(), any::<u8>(), 0..8usize, 0..3usize)
            .prop_map(|(peer, prefixes, attributes, hop)| Op::Announce { peer, prefixes, attributes, hop }),
        3 => (peer(), any::<u8>()).prop_map(|(peer, prefixes)| Op::Withdraw { peer, prefixes }),
        3 => (0..3usize, any::<bool>(), proptest::option::of(0..3u32))
            .prop_map(|(hop, v6, metric)| Op::Reach { hop, v6, metric }),
        1 => (0..8usize, any::<bool>()).prop_map(|(at, on)| Op::Originate { at, on }),
        2 => (peer(), 0..4usize, 0..4usize)
            .prop_map(|(peer, import, export)| Op::Policies { peer, import, export }),
        1 => peer().prop_map(Op::Refresh),
        4 => (1..8usize).prop_map(Op::Decide),
        1 => Just(Op::PullKernel),
        2 => peer().prop_map(Op::PullPeer),
        1 => Just(Op::TakeHops),
    ]
}

fn policy(number: usize) -> Option<Policy> {
    let list = |rules: &[&str]| {
        let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        Policy::PrefixList(Arc::new(PrefixList::new("list", rules)))
    };
    match number {
        0 => None,
        1 => Some(list(&["deny 10.1.0.0/16", "permit 0.0.0.0/0 le 32", "permit 2004::/64 le 128"])),
        _ => Some(Policy::All),
    }
}

/// Two external peers of one AS, one of another, two internal ones; all but one over IPv6.
pub(super) fn settings(peer: u32, import: usize, export: usize) -> PeerSettings {
    let address = format!("2001:3200:3200::1{peer}");
    let mut settings = match peer {
        0 | 1 => external(100, &address),
        2 => external(200, "172.50.0.9"),
        _ => internal(&address),
    };
    settings.import = policy(import);
    settings.export = policy(export);
    settings.interface = Some(7);
    settings.encode.extended_next_hop.ipv4 = peer != 2;
    settings
}

pub(super) fn attributes(peer: u32, number: usize) -> PathAttributes {
    let first: &[u32] = match peer {
        0 | 1 => &[100],
        2 => &[200],
        _ => &[],
    };
    let through = |rest: &[u32]| path(&[first, rest].concat());
    match number {
        0 => through(&[1]),
        1 => through(&[2]),
        2 => through(&[1, 2]),
        3 => PathAttributes { med: Some(5), ..through(&[1]) },
        4 => PathAttributes { communities: vec![0xFFFF_FF01], ..through(&[1]) },
        5 => PathAttributes { communities: vec![0xFFFF_0000], ..through(&[1]) },
        6 => through(&[US.0]),
        _ => PathAttributes { local_pref: Some(200), ..through(&[3, 4]) },
    }
}

pub(super) fn hop_key(hop: usize, v6: bool) -> ScopedNextHop {
    let text = if v6 { HOPS_V6[hop] } else { HOPS[hop] };
    ScopedNextHop { interface: Some(7), ..scoped(text) }
}

/// The world around a RIB.
struct World {
    rib: Rib,
    kernel: Kernel,
    receivers: Vec<Receiver>,
    up: Vec<bool>,
    natures: Vec<Nature>,
    policies: Vec<(usize, usize)>,
    reach: BTreeMap<ScopedNextHop, Reachability>,
}

impl World {
    fn new(maximum_paths: usize, multipath_relax: bool) -> Self {
        Self {
            rib: Rib::new(RibConfig { maximum_paths, multipath_relax, ..config() }),
            kernel: Kernel::default(),
            receivers: (0..PEERS).map(|_| Receiver::default()).collect(),
            up: vec![false; PEERS as usize],
            natures: vec![Nature::Usual; PEERS as usize],
            policies: vec![(2, 2); PEERS as usize],
            reach: BTreeMap::new(),
        }
    }

    fn up(&mut self, peer: u32) {
        let (import, export) = self.policies[peer as usize];
        let nature = self.natures[peer as usize];
        self.rib.add_peer(PeerId(peer), nature.of(settings(peer, import, export)));
        self.receivers[peer as usize] = Receiver::default();
        self.up[peer as usize] = true;
    }

    fn announce(&mut self, peer: u32, attributes: &PathAttributes, prefixes: &[Prefix], hop: NextHop) {
        if prefixes.is_empty() || !self.up[peer as usize] {
            return;
        }
        let update = Update {
            announced: smallvec![Announcement { nlri: nlri(prefixes), next_hop: hop }],
            attributes: Some(attributes.to_bytes()),
            ..Update::default()
        };
        self.rib.receive_update(PeerId(peer), &update);
        // Somebody watches next hops at once.
        self.tell_reachability();
    }

    fn tell_reachability(&mut self) {
        for (key, found) in &self.reach {
            self.rib.set_reachability(*key, found.clone());
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Up(peer, nature) => {
                self.natures[peer as usize] = nature;
                self.up(peer);
            }
            Op::Down(peer) => {
                self.rib.remove_peer(PeerId(peer));
                self.up[peer as usize] = false;
            }
            Op::Restart { peer, stale_stays } => {
                if !stale_stays {
                    Family::ALL.iter().for_each(|family| self.rib.sweep_stale(PeerId(peer), *family));
                }
                self.rib.mark_stale(PeerId(peer));
                self.up[peer as usize] = false;
            }
            Op::EndOfRib(peer, family) if self.up[peer as usize] => {
                self.rib.receive_update(PeerId(peer), &end_of_rib(Family::ALL[family]));
            }
            Op::LongLived(peer, family) if !self.up[peer as usize] => {
                self.rib.begin_long_lived(PeerId(peer), Family::ALL[family]);
            }
            Op::Announce { peer, prefixes, attributes: number, hop } => {
                for (family, hops) in [(Family::Ipv4Unicast, HOPS), (Family::Ipv6Unicast, HOPS_V6)] {
                    let chosen = chosen(prefixes, family);
                    self.announce(peer, &attributes(peer, number), &chosen, next_hop(hops[hop]));
                }
            }
            Op::Withdraw { peer, prefixes } if self.up[peer as usize] => {
                for family in Family::ALL {
                    let chosen = chosen(prefixes, family);
                    if !chosen.is_empty() {
                        let update = Update { withdrawn: smallvec![nlri(&chosen)], ..Update::default() };
                        self.rib.receive_update(PeerId(peer), &update);
                    }
                }
            }
            Op::Reach { hop, v6, metric } => {
                let found = match metric {
                    Some(metric) => Reachability::Reachable { metric },
                    None => Reachability::Unreachable("gone".into()),
                };
                self.reach.insert(hop_key(hop, v6), found);
                self.tell_reachability();
            }
            Op::Originate { at, on: true } => self.rib.originate(prefix(PREFIXES[at])),
            Op::Originate { at, on: false } => self.rib.withdraw_origin(prefix(PREFIXES[at])),
            Op::Policies { peer, import, export } => {
                self.policies[peer as usize] = (import, export);
                self.rib.set_policy(PeerId(peer), policy(import), policy(export));
            }
            Op::Refresh(peer) => {
                Family::ALL.iter().for_each(|family| self.rib.request_refresh(PeerId(peer), *family));
            }
            Op::Decide(budget) => drop(self.rib.decide(budget)),
            Op::PullKernel => drop(self.kernel.pull(&mut self.rib)),
            Op::PullPeer(peer) if self.up[peer as usize] => {
                self.receivers[peer as usize].pull(&mut self.rib, PeerId(peer), 60);
            }
            Op::TakeHops => self.rib.take_next_hop_changes(&mut Vec::new()),
            Op::EndOfRib(..) | Op::LongLived(..) | Op::Withdraw { .. } | Op::PullPeer(_) => {}
        }
        // Watched next hops that came back without a watcher's word are told again.
        self.tell_reachability();
    }

    fn settle(&mut self) {
        settle(&mut self.rib);
        self.kernel.pull(&mut self.rib);
        for peer in (0..PEERS).filter(|peer| self.up[*peer as usize]) {
            self.receivers[peer as usize].pull(&mut self.rib, PeerId(peer), 4096);
        }
    }

    /// A RIB that was told the outcome only.
    fn rebuilt(&self, maximum_paths: usize, relax: bool) -> Self {
        let mut fresh = Self::new(maximum_paths, relax);
        fresh.policies.clone_from(&self.policies);
        fresh.natures.clone_from(&self.natures);
        fresh.reach.clone_from(&self.reach);
        for peer in (0..PEERS).rev() {
            fresh.up(peer);
            for family in Family::ALL {
                let routes: Vec<_> = self.rib.received(PeerId(peer), family).collect();
                for route in routes.into_iter().rev() {
                    fresh.announce(peer, &route.attributes, &[route.prefix], route.next_hop.next_hop);
                }
            }
            if !self.up[peer as usize] {
                fresh.rib.mark_stale(PeerId(peer));
                fresh.up[peer as usize] = false;
            }
        }
        for text in PREFIXES {
            if self.rib.routes(prefix(text)).iter().any(|route| route.peer == PeerId::LOCAL) {
                fresh.rib.originate(prefix(text));
            }
        }
        fresh.tell_reachability();
        fresh.settle();
        fresh
    }
}

pub(super) fn chosen(bits: u8, family: Family) -> Vec<Prefix> {
    let prefixes = PREFIXES.iter().map(|text| prefix(text)).enumerate();
    prefixes.filter(|(at, p)| bits & (1 << at) != 0 && p.family() == family).map(|(_, p)| p).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_the_outcome_is_what_it_would_be_from_scratch(
        ops in proptest::collection::vec(op(), 1..80),
        maximum_paths in 1usize..4,
        relax in any::<bool>(),
    ) {
        let mut world = World::new(maximum_paths, relax);
        for op in ops {
            world.run(op);
            holders::check(&world.rib);
        }
        world.settle();
        holders::check(&world.rib);
        let fresh = world.rebuilt(maximum_paths, relax);

        prop_assert_eq!(&world.kernel, &fresh.kernel);
        for text in PREFIXES {
            let views = |world: &World| {
                let mut views = world.rib.routes(prefix(text));
                views.iter_mut().for_each(|view| (view.stale, view.backup) = (false, false));
                views
            };
            prop_assert_eq!(views(&world), views(&fresh));
            // Which one it is may depend on what was announced first, see `backup`; whether there is one does not.
            let backups = |world: &World| -> Vec<_> {
                let views = world.rib.routes(prefix(text)).into_iter();
                views.filter(|view| view.backup).map(|view| view.next_hop.next_hop).collect()
            };
            prop_assert_eq!(backups(&world).is_empty(), backups(&fresh).is_empty());
            let mut used: Vec<_> = views(&world).into_iter()
                .filter(|view| in_use(&view.verdict) && view.peer != PeerId::LOCAL)
                .map(|view| view.next_hop.next_hop)
                .collect();
            used.sort_unstable();
            used.dedup();
            prop_assert!(!backups(&world).iter().any(|hop| used.contains(hop)), "it protects nothing");
            let own = views(&world).iter().any(|view| view.peer == PeerId::LOCAL);
            let told: Vec<NextHop> = world.kernel.hops(text).iter().map(|hop| next_hop(hop)).collect();
            prop_assert_eq!(told, if own { Vec::new() } else { used });
        }
        for peer in (0..PEERS).filter(|peer| world.up[*peer as usize]) {
            let got = &world.receivers[peer as usize];
            prop_assert_eq!(&got.routes, &fresh.receivers[peer as usize].routes, "peer {}", peer);
            let mut ends = got.ends.clone();
            ends.sort_unstable();
            prop_assert_eq!(ends, Family::ALL);
            let shown: BTreeMap<_, _> = Family::ALL.into_iter()
                .flat_map(|family| world.rib.advertised(PeerId(peer), family))
                .map(|view| (view.prefix, (view.attributes, view.next_hop)))
                .collect();
            prop_assert_eq!(&got.routes, &shown);
        }
        leaves_nothing(world);
    }
}

fn leaves_nothing(mut world: World) {
    for peer in 0..PEERS {
        world.rib.remove_peer(PeerId(peer));
        world.up[peer as usize] = false;
    }
    for text in PREFIXES {
        world.rib.withdraw_origin(prefix(text));
    }
    world.settle();
    assert_eq!(world.kernel, Kernel::default());
    holders::check_empty(&mut world.rib);
}

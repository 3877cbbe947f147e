//! The world as it is meant to be: speakers, feeders, links, policies. Disturbances change it while a run goes on; what
//! it is in the end, the oracle judges by.
//!
//! Everybody is on one LAN. Bounded so that there is exactly one stable state: MULTI_EXIT_DISC only where every AS is one
//! speaker, LOCAL_PREF never below the default.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgp_policy::{Action, Policy, PrefixList, Rule};
use bgp_session::Mode;
use bgp_wire::attribute::{AsPath, Origin, Segment};
use bgp_wire::{Asn, Family, NextHop, PathAttributes, PeerKind, Prefix, RouterId};

use crate::random::Random;

/// The LAN, as each host's kernel numbers it.
pub(crate) const LAN: u32 = 5;
const GRACEFUL_SHUTDOWN: u32 = 0xFFFF_0000;
const NO_EXPORT: u32 = 0xFFFF_FF01;
const NO_ADVERTISE: u32 = 0xFFFF_FF02;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: Vec<NodePlan>,
    pub(crate) links: Vec<LinkPlan>,
    pub(crate) prefixes: Vec<Prefix>,
    meds: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct NodePlan {
    pub(crate) asn: Asn,
    pub(crate) router_id: RouterId,
    /// A scripted peer without a table of its own.
    pub(crate) feeder: bool,
    pub(crate) networks: BTreeSet<Prefix>,
    /// What a feeder announces.
    pub(crate) fed: BTreeMap<Prefix, Fed>,
    pub(crate) maximum_paths: usize,
    pub(crate) relax: bool,
    /// Static routes of its kernel: destination, gateway, metric.
    pub(crate) detours: BTreeMap<Prefix, (IpAddr, u32)>,
    /// Seconds that its peers may keep its routes while it restarts.
    pub(crate) restarter: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fed {
    pub(crate) attributes: PathAttributes,
    pub(crate) next_hop: NextHop,
}

#[derive(Clone, Debug)]
pub(crate) struct LinkPlan {
    pub(crate) ends: [EndPlan; 2],
    /// The session runs over IPv6.
    pub(crate) v6: bool,
    /// Packets pass.
    pub(crate) up: bool,
    pub(crate) delay: (usize, usize),
    /// Octets that a connection holds in one direction.
    pub(crate) window: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct EndPlan {
    pub(crate) node: usize,
    pub(crate) import: Filter,
    pub(crate) export: Filter,
    pub(crate) next_hop_self: bool,
    /// Announces IPv4 routes with its IPv6 address where the session runs over IPv6, RFC 8950.
    pub(crate) extended: bool,
    pub(crate) mode: Mode,
    pub(crate) hold: u16,
    pub(crate) allow_own_as: u8,
}

/// A policy in the words of the simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Absent,
    All,
    Nothing,
    List(Vec<(bool, Prefix, Option<u8>, Option<u8>)>),
}

impl Filter {
    pub(crate) fn policy(&self) -> Option<Policy> {
        match self {
            Self::Absent => None,
            Self::All => Some(Policy::All),
            Self::Nothing => Some(Policy::None),
            Self::List(rules) => {
                let rules = rules.iter().map(|(permit, prefix, ge, le)| {
                    let action = if *permit { Action::Permit } else { Action::Deny };
                    Rule::new(action, *prefix, *ge, *le).expect("a rule that can match")
                });
                Some(Policy::PrefixList(PrefixList::new("list", rules.collect()).into()))
            }
        }
    }

    fn random(random: &mut Random, kind: PeerKind) -> Self {
        match random.below(20) {
            0 => Self::Nothing,
            1 => Self::Absent,
            2..=8 => Self::List((0..random.between(1, 4)).map(|_| random_rule(random)).collect()),
            9 | 10 if kind == PeerKind::Internal => Self::Absent,
            _ => Self::All,
        }
    }
}

fn random_rule(random: &mut Random) -> (bool, Prefix, Option<u8>, Option<u8>) {
    let third = random.below(12);
    let (text, bits, max): (String, u8, u8) = match random.below(4) {
        0 => ("198.18.0.0/16".into(), 16, 32),
        1 => (format!("198.18.{}.0/24", third & !3), 24, 32),
        2 => ("2001:db8::/32".into(), 32, 128),
        _ => (format!("2001:db8:ff:{third:x}::/64"), 64, 128),
    };
    let ge = random.chance(60).then(|| bits + random.below(usize::from(max - bits)) as u8);
    let low = ge.unwrap_or(bits);
    let le = random.chance(50).then(|| low + random.below(usize::from(max - low) + 1) as u8);
    (random.chance(75), prefix(&text), ge, le)
}

pub(crate) fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

/// The address of host `number` on the LAN.
pub(crate) fn host(number: usize, family: Family) -> IpAddr {
    let text = match family {
        Family::Ipv4Unicast => format!("10.0.0.{}", number + 1),
        Family::Ipv6Unicast => format!("fd00::{:x}", number + 1),
    };
    text.parse().expect("an address")
}

/// Hosts of the LAN that speak no BGP.
pub(crate) const PHANTOMS: std::ops::Range<usize> = 200..204;

fn far_away(family: Family) -> (IpAddr, Prefix) {
    match family {
        Family::Ipv4Unicast => ("203.0.113.9".parse().expect("an address"), prefix("203.0.113.0/24")),
        Family::Ipv6Unicast => ("fd01::9".parse().expect("an address"), prefix("fd01::/64")),
    }
}

impl Plan {
    pub(crate) fn random(random: &mut Random) -> Self {
        let speakers = random.between(2, 12).min(random.between(2, 12));
        let one_speaker_each = random.chance(50);
        let mut nodes = random_speakers(random, speakers, one_speaker_each);
        let mut links = random_links(random, &nodes);
        for _ in 0..random.below(5) {
            add_feeder(random, &mut nodes, &mut links, speakers, one_speaker_each);
        }
        let mut plan = Self { nodes, links, prefixes: random_prefixes(random), meds: one_speaker_each };
        plan.fill(random);
        plan
    }

    fn fill(&mut self, random: &mut Random) {
        for node in 0..self.nodes.len() {
            for _ in 0..random.below(8) {
                let prefix = random.pick(&self.prefixes);
                if self.nodes[node].feeder {
                    let fed = self.random_fed(node, prefix, random);
                    self.nodes[node].fed.insert(prefix, fed);
                } else {
                    self.nodes[node].networks.insert(prefix);
                }
            }
            if random.chance(50) && !self.nodes[node].feeder {
                self.add_detours(node, random);
            }
        }
    }

    fn add_detours(&mut self, node: usize, random: &mut Random) {
        let count = self.nodes.len();
        for _ in 0..random.between(1, 4) {
            let family = random.pick(&Family::ALL);
            let gateway = PHANTOMS.start + random.below(4);
            let metric = random.between(1, 3) as u32 * 10;
            let destination = match random.below(3) {
                0 => far_away(family).1,
                1 => Prefix::host(host(random.below(count), family)),
                _ => Prefix::host(host(PHANTOMS.start + random.below(4), family)),
            };
            let to_itself = destination == Prefix::host(host(node, family));
            if !to_itself && destination != Prefix::host(host(gateway, family)) {
                self.nodes[node].detours.insert(destination, (host(gateway, family), metric));
            }
        }
    }

    pub(crate) fn random_fed(&self, node: usize, prefix: Prefix, random: &mut Random) -> Fed {
        let (link, side) = self.links_of(node).next().expect("a feeder has a link");
        let internal = self.kind(link) == PeerKind::Internal;
        let family = prefix.family();
        let mut path: Vec<Asn> = if internal { Vec::new() } else { vec![self.nodes[node].asn] };
        for _ in 0..random.below(4) {
            let other = random.below(self.nodes.len());
            path.push(if random.chance(70) { Asn(65_500) } else { self.nodes[other].asn });
        }
        let segments = if path.is_empty() { Vec::new() } else { vec![Segment::Sequence(path)] };
        let mut communities = vec![0x1234_0000 + random.below(3) as u32];
        match random.below(12) {
            0 => communities.push(NO_EXPORT),
            1 => communities.push(NO_ADVERTISE),
            2 => communities.push(GRACEFUL_SHUTDOWN),
            _ => {}
        }
        let attributes = PathAttributes {
            origin: random.pick(&[Origin::Igp, Origin::Igp, Origin::Egp, Origin::Incomplete]),
            as_path: AsPath { segments },
            med: (self.meds && random.chance(50)).then(|| random.below(3) as u32),
            local_pref: internal.then(|| 100 + random.below(3) as u32 * 50),
            communities,
            ..PathAttributes::default()
        };
        let address = match random.below(8) {
            0 => far_away(family).0,
            1 | 2 => host(PHANTOMS.start + random.below(4), family),
            // Of the peer itself, which it must refuse.
            3 => host(self.links[link].ends[1 - side].node, family),
            _ => host(node, family),
        };
        Fed { attributes, next_hop: NextHop::from(address) }
    }

    pub(crate) fn random_filter(&self, link: usize, random: &mut Random) -> Filter {
        Filter::random(random, self.kind(link))
    }

    /// Its links, each with the side on which it is.
    pub(crate) fn links_of(&self, node: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.links.iter().enumerate().flat_map(move |(at, link)| {
            (0..2).filter(move |side| link.ends[*side].node == node).map(move |side| (at, side))
        })
    }

    pub(crate) fn kind(&self, link: usize) -> PeerKind {
        let [a, b] = &self.links[link].ends;
        if self.nodes[a.node].asn == self.nodes[b.node].asn { PeerKind::Internal } else { PeerKind::External }
    }

    /// Address of one end of a link.
    pub(crate) fn address(&self, link: usize, side: usize) -> IpAddr {
        let family = if self.links[link].v6 { Family::Ipv6Unicast } else { Family::Ipv4Unicast };
        host(self.links[link].ends[side].node, family)
    }

    /// What one end announces as itself.
    pub(crate) fn own_next_hop(&self, link: usize, side: usize, family: Family) -> IpAddr {
        let end = &self.links[link].ends[side];
        if family == Family::Ipv4Unicast && self.links[link].v6 && end.extended {
            return host(end.node, Family::Ipv6Unicast);
        }
        host(end.node, family)
    }
}

fn random_speakers(random: &mut Random, count: usize, one_each: bool) -> Vec<NodePlan> {
    let same_id = one_each && random.chance(20);
    let mut asn = 0;
    (0..count)
        .map(|at| {
            if at == 0 || one_each || random.chance(50) {
                asn = at as u32 + if random.chance(20) { 4_200_000_000 } else { 64_501 };
            }
            let id = if same_id { 0x0a00_0001 } else { 0x0a00_0001 + ((at as u32 * 7) % 13) };
            NodePlan {
                asn: Asn(asn),
                router_id: RouterId::new(id).expect("not zero"),
                feeder: false,
                networks: BTreeSet::new(),
                fed: BTreeMap::new(),
                maximum_paths: random.pick(&[1, 2, 3, 64]),
                relax: random.chance(60),
                detours: BTreeMap::new(),
                restarter: random.chance(50).then(|| random.between(20, 60) as u64),
            }
        })
        .collect()
}

fn random_links(random: &mut Random, nodes: &[NodePlan]) -> Vec<LinkPlan> {
    let density = random.between(15, 90);
    let mut links = Vec::new();
    for b in 1..nodes.len() {
        // Each has a link to somebody before it, so that all hang together.
        let sure = random.below(b);
        for a in 0..b {
            let internal = nodes[a].asn == nodes[b].asn;
            if a == sure || random.chance(if internal { 85 } else { density }) {
                links.push(random_link(random, nodes, a, b));
            }
        }
    }
    links
}

fn random_link(random: &mut Random, nodes: &[NodePlan], a: usize, b: usize) -> LinkPlan {
    let kind = if nodes[a].asn == nodes[b].asn { PeerKind::Internal } else { PeerKind::External };
    let mut end = |node| EndPlan {
        node,
        import: Filter::random(random, kind),
        export: Filter::random(random, kind),
        next_hop_self: random.chance(40),
        extended: random.chance(30),
        mode: Mode::Both,
        hold: random.pick(&[9, 15, 30]),
        allow_own_as: 0,
    };
    let mut ends = [end(a), end(b)];
    match random.below(4) {
        0 => ends[0].mode = Mode::Passive,
        1 => ends[1].mode = Mode::Passive,
        _ => {}
    }
    if ends.iter().all(|end| end.mode == Mode::Both) && random.chance(20) {
        ends[random.below(2)].mode = Mode::Active;
    }
    let least = random.between(0, 20);
    LinkPlan {
        ends,
        v6: random.chance(50),
        up: true,
        delay: (least, least + random.between(0, 80)),
        window: random.pick(&[300, 2_000, 65_536]),
    }
}

fn add_feeder(
    random: &mut Random,
    nodes: &mut Vec<NodePlan>,
    links: &mut Vec<LinkPlan>,
    speakers: usize,
    one_speaker_each: bool,
) {
    let at = nodes.len();
    let to = random.below(speakers);
    let internal = !one_speaker_each && random.chance(40);
    // Some are in one AS together: MULTI_EXIT_DISC is compared among them.
    let asn = if internal { nodes[to].asn } else { Asn(65_000 + random.below(2) as u32) };
    nodes.push(NodePlan {
        asn,
        router_id: RouterId::new(0x0a00_0064 + at as u32).expect("not zero"),
        feeder: true,
        networks: BTreeSet::new(),
        fed: BTreeMap::new(),
        maximum_paths: 1,
        relax: true,
        detours: BTreeMap::new(),
        restarter: random.chance(50).then_some(30),
    });
    let mut link = random_link(random, nodes, to, at);
    link.ends[0].import = if random.chance(85) { Filter::All } else { link.ends[0].import.clone() };
    links.push(link);
}

fn random_prefixes(random: &mut Random) -> Vec<Prefix> {
    let mut prefixes = BTreeSet::new();
    for _ in 0..random.between(2, 24) {
        let third = random.below(12);
        prefixes.insert(prefix(&match random.below(4) {
            0 => format!("198.18.{third}.0/24"),
            1 => format!("198.18.{third}.128/{}", random.between(25, 32)),
            2 => format!("2001:db8:ff:{third:x}::/64"),
            _ => format!("2001:db8:ff:{third:x}::8/{}", random.between(125, 128)),
        }));
    }
    prefixes.into_iter().collect()
}

//! The right tables of all speakers, computed from the plan alone: from nothing to a fixpoint, with the decision order of
//! RFC 4271 section 9.1.2.2 written down a second time. Uses none of the product's tables, policies or decisions.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp_wire::attribute::{AsPath, Segment};
use bgp_wire::{Asn, Family, NextHop, PathAttributes, PeerKind, Prefix};

use crate::plan::{Filter, Plan};

/// A route as announced: what is compared with an Adj-RIB-In.
pub(crate) type Announced = (PathAttributes, NextHop);

/// The tables of one speaker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    /// By link, what the other end announces.
    pub(crate) received: BTreeMap<usize, BTreeMap<Prefix, Announced>>,
    pub(crate) best: BTreeMap<Prefix, Selected>,
}

/// What is selected for a prefix.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selected {
    /// The links whose paths are used, the best first; empty for an own network.
    pub(crate) links: Vec<usize>,
    attributes: PathAttributes,
    next_hop: Option<NextHop>,
    internal: bool,
}

#[derive(Clone, Debug)]
struct Path {
    link: usize,
    attributes: PathAttributes,
    next_hop: NextHop,
    internal: bool,
    preference: u32,
    cost: u32,
    router_id: u32,
    address: IpAddr,
}

/// The fixpoint; fails where there is none in reach.
pub(crate) fn converge(plan: &Plan, live: &[bool]) -> Result<Vec<Tables>, String> {
    let mut tables = vec![Tables::default(); plan.nodes.len()];
    for _ in 0..1_000 {
        let mut changed = false;
        for node in 0..plan.nodes.len() {
            let received = plan
                .links_of(node)
                .filter(|(link, _)| live[*link])
                .map(|(link, side)| (link, announced(plan, &tables, link, 1 - side)))
                .collect();
            let best = if plan.nodes[node].feeder { BTreeMap::new() } else { decide(plan, node, &received) };
            changed |= best != tables[node].best || received != tables[node].received;
            tables[node] = Tables { received, best };
        }
        if !changed {
            return Ok(tables);
        }
    }
    Err("the plan has no stable state in reach of the oracle".into())
}

/// The gateway behind a next hop and the cost of the way, for a host's kernel.
pub(crate) fn way(plan: &Plan, node: usize, address: IpAddr) -> Option<(IpAddr, u32)> {
    let own = [Family::Ipv4Unicast, Family::Ipv6Unicast].map(|family| crate::plan::host(node, family));
    if own.contains(&address) {
        return None;
    }
    let by_detour = plan.nodes[node]
        .detours
        .iter()
        .filter(|(destination, _)| destination.contains(address))
        .max_by_key(|(destination, _)| destination.len());
    let on_lan = ["10.0.0.0/24", "fd00::/64"].iter().any(|lan| crate::plan::prefix(lan).contains(address));
    match by_detour {
        Some((_, way)) => Some(*way),
        None => on_lan.then_some((address, 0)),
    }
}

/// What the end `side` of a link announces over it.
fn announced(plan: &Plan, tables: &[Tables], link: usize, side: usize) -> BTreeMap<Prefix, Announced> {
    let end = &plan.links[link].ends[side];
    let node = &plan.nodes[end.node];
    if node.feeder {
        return node.fed.iter().map(|(p, fed)| (*p, (fed.attributes.clone(), fed.next_hop))).collect();
    }
    let external = plan.kind(link) == PeerKind::External;
    let mut out = BTreeMap::new();
    for (prefix, selected) in &tables[end.node].best {
        let back = selected.links.first() == Some(&link);
        let inside = !external && selected.internal;
        let known = |community: u32| selected.attributes.communities.contains(&community);
        if back || inside || known(0xFFFF_FF02) || (external && known(0xFFFF_FF01)) {
            continue;
        }
        if !permits(&end.export, *prefix, external) {
            continue;
        }
        let own = NextHop::from(plan.own_next_hop(link, side, prefix.family()));
        let mut attributes = selected.attributes.clone();
        let next_hop = if external {
            attributes = leave(attributes, node.asn);
            own
        } else {
            let external_preference = if known(0xFFFF_0000) { 0 } else { 100 };
            attributes.local_pref = Some(if selected.links.is_empty() { 100 } else { external_preference });
            selected.next_hop.filter(|_| !end.next_hop_self).unwrap_or(own)
        };
        out.insert(*prefix, (attributes, next_hop));
    }
    out
}

fn leave(mut attributes: PathAttributes, asn: Asn) -> PathAttributes {
    let mut path = vec![asn];
    path.extend(numbers(&attributes));
    attributes.as_path = AsPath { segments: vec![Segment::Sequence(path)] };
    (attributes.med, attributes.local_pref) = (None, None);
    attributes
}

fn numbers(attributes: &PathAttributes) -> Vec<Asn> {
    attributes
        .as_path
        .segments
        .iter()
        .flat_map(|segment| match segment {
            Segment::Sequence(asns) => asns.clone(),
            _ => unreachable!("the simulation makes sequences only"),
        })
        .collect()
}

/// First match decides; external peers need a policy.
fn permits(filter: &Filter, prefix: Prefix, external: bool) -> bool {
    match filter {
        Filter::Absent => !external,
        Filter::All => true,
        Filter::Nothing => false,
        Filter::List(rules) => {
            for (permit, of, ge, le) in rules {
                let max = if prefix.family() == Family::Ipv4Unicast { 32 } else { 128 };
                let low = ge.unwrap_or(of.len());
                let high = match (ge, le) {
                    (_, Some(le)) => *le,
                    (Some(_), None) => max,
                    (None, None) => of.len(),
                };
                if of.family() == prefix.family()
                    && of.contains(prefix.address())
                    && (low..=high).contains(&prefix.len())
                {
                    return *permit;
                }
            }
            false
        }
    }
}

fn decide(
    plan: &Plan,
    node: usize,
    received: &BTreeMap<usize, BTreeMap<Prefix, Announced>>,
) -> BTreeMap<Prefix, Selected> {
    let mut paths: BTreeMap<Prefix, Vec<Path>> = BTreeMap::new();
    for (link, routes) in received {
        for (prefix, announced) in routes {
            paths.entry(*prefix).or_default().extend(usable(plan, node, *link, *prefix, announced));
        }
    }
    let mut best: BTreeMap<Prefix, Selected> = paths
        .into_iter()
        .filter(|(_, paths)| !paths.is_empty())
        .map(|(prefix, paths)| (prefix, select(paths, &plan.nodes[node])))
        .collect();
    for network in &plan.nodes[node].networks {
        let attributes = PathAttributes::default();
        best.insert(*network, Selected { links: Vec::new(), attributes, next_hop: None, internal: false });
    }
    best
}

fn usable(
    plan: &Plan,
    node: usize,
    link: usize,
    prefix: Prefix,
    (attributes, hop): &Announced,
) -> Option<Path> {
    let side = (0..2).find(|side| plan.links[link].ends[*side].node == node)?;
    let (end, other) = (&plan.links[link].ends[side], &plan.links[link].ends[1 - side]);
    let external = plan.kind(link) == PeerKind::External;
    let path = numbers(attributes);
    let peer = &plan.nodes[other.node];
    let loops = path.iter().filter(|asn| **asn == plan.nodes[node].asn).count();
    let refused = !permits(&end.import, prefix, external)
        || loops > usize::from(end.allow_own_as)
        || (external && path.first() != Some(&peer.asn));
    let (_, cost) = way(plan, node, hop.address())?;
    let shutdown = attributes.communities.contains(&0xFFFF_0000);
    let preference = match (external, shutdown) {
        (true, true) => 0,
        (true, false) => 100,
        (false, _) => attributes.local_pref.unwrap_or(100),
    };
    (!refused).then(|| Path {
        link,
        attributes: attributes.clone(),
        next_hop: *hop,
        internal: !external,
        preference,
        cost,
        router_id: peer.router_id.bits(),
        address: plan.address(link, 1 - side),
    })
}

/// RFC 4271 section 9.1.2.2: a path is out as soon as one of those left beats it.
fn select(mut paths: Vec<Path>, node: &crate::plan::NodePlan) -> Selected {
    let keep = |paths: &mut Vec<Path>, beats: &dyn Fn(&Path, &Path) -> bool| {
        let all = paths.clone();
        paths.retain(|path| !all.iter().any(|other| beats(other, path)));
    };
    let length = |path: &Path| numbers(&path.attributes).len();
    keep(&mut paths, &|a, b| a.preference > b.preference);
    keep(&mut paths, &|a, b| length(a) < length(b));
    keep(&mut paths, &|a, b| (a.attributes.origin as u8) < b.attributes.origin as u8);
    keep(&mut paths, &|a, b| {
        numbers(&a.attributes).first() == numbers(&b.attributes).first()
            && a.attributes.med.unwrap_or(0) < b.attributes.med.unwrap_or(0)
    });
    keep(&mut paths, &|a, b| !a.internal && b.internal);
    keep(&mut paths, &|a, b| a.cost < b.cost);
    paths.sort_by_key(|path| (path.router_id, path.address));
    let best = paths[0].clone();
    if !node.relax {
        paths.retain(|path| numbers(&path.attributes) == numbers(&best.attributes));
    }
    paths.truncate(node.maximum_paths);
    Selected {
        links: paths.iter().map(|path| path.link).collect(),
        next_hop: Some(best.next_hop),
        attributes: best.attributes,
        internal: best.internal,
    }
}

//! The verdict after the quiet: every table of every speaker against the oracle's.

use std::collections::{BTreeMap, BTreeSet};

use bgp_fib::Via;
use bgp_rib::{PeerId, Verdict};
use bgp_session::StateName;
use bgp_wire::{Family, Prefix};

use crate::node::{Node, Replay};
use crate::oracle::{self, Tables};
use crate::plan::LAN;
use crate::world::World;

impl World {
    /// Everything that is not as it should be.
    pub(crate) fn judge(&self) -> Vec<String> {
        let mut faults = self.faults.clone();
        let live: Vec<bool> = self.plan.links.iter().map(|link| link.up).collect();
        match oracle::converge(&self.plan, &live) {
            Err(fault) => faults.push(fault),
            Ok(tables) => {
                self.judge_sessions(&live, &mut faults);
                for (node, right) in tables.iter().enumerate() {
                    if self.plan.nodes[node].feeder {
                        self.judge_listener(node, right, &mut faults);
                    } else {
                        self.judge_tables(node, right, &mut faults);
                        self.judge_kernel(node, right, &mut faults);
                    }
                }
            }
        }
        faults
    }

    fn judge_sessions(&self, live: &[bool], faults: &mut Vec<String>) {
        for (at, node) in self.nodes.iter().enumerate() {
            for (peer, task) in node.peers.iter().enumerate() {
                let status = task.session.status();
                if (status.state == StateName::Established) != live[task.link] {
                    faults.push(format!(
                        "node {at}, peer {peer} (link {}, {}): {}, {:?}, last down {:?}",
                        task.link,
                        if live[task.link] { "up" } else { "cut" },
                        status.state,
                        status.waiting,
                        status.last_down.map(|(reason, _)| reason.to_string()),
                    ));
                }
            }
        }
    }

    /// A scripted peer has been told what it should.
    fn judge_listener(&self, node: usize, right: &Tables, faults: &mut Vec<String>) {
        let empty = BTreeMap::new();
        let Some(task) = self.nodes[node].peers.first().filter(|task| self.plan.links[task.link].up) else {
            return;
        };
        let wanted = right.received.get(&task.link).unwrap_or(&empty);
        compare(&format!("node {node} (scripted) was told"), wanted, &task.replay, faults);
    }

    fn judge_tables(&self, at: usize, right: &Tables, faults: &mut Vec<String>) {
        let node = &self.nodes[at];
        for (peer, task) in node.peers.iter().enumerate() {
            let id = PeerId(peer as u32);
            let empty = BTreeMap::new();
            let wanted = right.received.get(&task.link).unwrap_or(&empty);
            let received: Replay = Family::ALL
                .iter()
                .flat_map(|family| node.rib.received(id, *family))
                .map(|route| (route.prefix, (route.attributes, route.next_hop.next_hop)))
                .collect();
            compare(&format!("node {at}, Adj-RIB-In of peer {peer}"), wanted, &received, faults);
            if wanted.is_empty() && !right.received.contains_key(&task.link) {
                if node.rib.counters(id).is_some() {
                    faults.push(format!("node {at} still has tables of peer {peer}, which is gone"));
                }
                continue;
            }
            compare(&format!("node {at}, replay of peer {peer}"), wanted, &task.replay, faults);
            self.judge_sender(at, peer, &task.replay, faults);
            self.judge_counters(at, id, faults);
        }
        self.judge_selection(at, right, faults);
    }

    /// What the other end believes to have announced is what was heard.
    fn judge_sender(&self, at: usize, peer: usize, heard: &Replay, faults: &mut Vec<String>) {
        let task = &self.nodes[at].peers[peer];
        let Some((other, back)) = self.end(task.link, 1 - task.side) else { return };
        if self.plan.nodes[other].feeder {
            return;
        }
        let advertised: Replay = Family::ALL
            .iter()
            .flat_map(|family| self.nodes[other].rib.advertised(PeerId(back as u32), *family))
            .map(|route| (route.prefix, (route.attributes, route.next_hop)))
            .collect();
        compare(&format!("node {other}, Adj-RIB-Out of peer {back} as heard"), &advertised, heard, faults);
    }

    fn judge_counters(&self, at: usize, id: PeerId, faults: &mut Vec<String>) {
        let Some(counters) = self.nodes[at].rib.counters(id) else {
            return faults.push(format!("node {at} has no tables of {id:?}, which is up"));
        };
        for family in Family::ALL {
            let here = counters[family];
            let quiet =
                here.stale == 0 && here.pending == 0 && here.end_of_rib_sent && here.end_of_rib_received;
            if !quiet {
                faults.push(format!("node {at}, {id:?}, {family}: not quiet: {here:?}"));
            }
        }
    }

    fn judge_selection(&self, at: usize, right: &Tables, faults: &mut Vec<String>) {
        let node = &self.nodes[at];
        let known: BTreeSet<Prefix> = Family::ALL
            .iter()
            .flat_map(|family| node.rib.prefixes(*family))
            .chain(right.best.keys().copied())
            .collect();
        for prefix in known {
            let routes = node.rib.routes(prefix);
            let mut used: Vec<Option<usize>> = Vec::new();
            for route in &routes {
                let link = node.peers.get(route.peer.0 as usize).map(|task| task.link);
                match &route.verdict {
                    Verdict::Best(_) => used.insert(0, link),
                    Verdict::Multipath => used.push(link),
                    _ => {}
                }
            }
            let wanted: Vec<Option<usize>> = match right.best.get(&prefix) {
                None => Vec::new(),
                Some(own) if own.links.is_empty() => vec![None],
                Some(selected) => selected.links.iter().map(|link| Some(*link)).collect(),
            };
            let (best, wanted_best) = (used.first(), wanted.first());
            let sorted = |links: &[Option<usize>]| links.iter().copied().collect::<BTreeSet<_>>();
            if best != wanted_best || sorted(&used) != sorted(&wanted) {
                let verdicts: Vec<_> =
                    routes.iter().map(|r| format!("{:?} {:?}", r.peer, r.verdict)).collect();
                faults.push(format!(
                    "node {at}, Loc-RIB {prefix}: links {used:?}, right is {wanted:?}; {verdicts:?}"
                ));
            }
        }
    }

    fn judge_kernel(&self, at: usize, right: &Tables, faults: &mut Vec<String>) {
        let node: &Node = &self.nodes[at];
        let ours = node.kernel.routes.keys().copied();
        let prefixes: BTreeSet<Prefix> = ours.chain(right.best.keys().copied()).collect();
        for prefix in prefixes {
            let mut gateways = BTreeSet::new();
            for link in right.best.get(&prefix).into_iter().flat_map(|selected| &selected.links) {
                let Some((_, next_hop)) = right.received.get(link).and_then(|routes| routes.get(&prefix))
                else {
                    continue;
                };
                let way = oracle::way(&self.plan, at, next_hop.address());
                gateways.extend(way.map(|(gateway, _)| Via { gateway, ifindex: LAN }));
            }
            let wanted: Vec<_> = Some(gateways).into_iter().filter(|set| !set.is_empty()).collect();
            let held = node.kernel.carrying(prefix);
            self.judge_backup(at, right, prefix, faults);
            if held != wanted {
                faults.push(format!(
                    "node {at}, kernel {prefix}: {held:?}, right is {wanted:?}; {:?}",
                    node.fib.route(&prefix, node.rib.number(&prefix))
                ));
            }
        }
        if !node.fib.is_settled() || !node.kernel.stolen.is_empty() {
            faults.push(format!("node {at}: the FIB is not settled, or took another's route"));
        }
    }

    /// Whatever else is in the group of a route leads to somebody who has announced it.
    fn judge_backup(&self, at: usize, right: &Tables, prefix: Prefix, faults: &mut Vec<String>) {
        let node: &Node = &self.nodes[at];
        let announced = right.received.values().filter_map(|routes| routes.get(&prefix));
        let ways = announced.filter_map(|(_, next_hop)| oracle::way(&self.plan, at, next_hop.address()));
        let ways: BTreeSet<Via> = ways.map(|(gateway, _)| Via { gateway, ifindex: LAN }).collect();
        for gateway in node.kernel.ours(prefix).iter().flatten().filter(|via| !ways.contains(via)) {
            faults.push(format!(
                "node {at}, kernel {prefix}: {gateway:?} is in its group, and announces nothing"
            ));
        }
    }
}

fn compare(what: &str, right: &Replay, found: &Replay, faults: &mut Vec<String>) {
    for prefix in right.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
        let (wanted, held) = (right.get(prefix), found.get(prefix));
        if wanted != held {
            faults.push(format!("{what}, {prefix}: {held:?}, right is {wanted:?}"));
        }
    }
}

//! What is foretold is what happens: a proposal is walked over, then done, and the two are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bgp_policy::{Policy, PrefixList};
use proptest::prelude::*;

use super::*;
use crate::{Impact, Position, Proposal};

const HOPS: [&str; 4] = ["172.50.0.2", "172.50.0.3", "172.50.0.4", "172.50.0.5"];
const PREFIXES: [&str; 4] = ["10.0.0.0/24", "10.0.1.0/24", "10.1.0.0/24", "10.1.1.0/24"];

fn list(rule: &str) -> Policy {
    Policy::PrefixList(Arc::new(PrefixList::new("l", vec![rule.parse().unwrap()])))
}

fn policy(number: u8) -> Option<Policy> {
    match number {
        0 => None,
        1 => Some(Policy::None),
        2 => Some(list("permit 10.0.0.0/16 le 32")),
        3 => Some(list("permit 10.1.0.0/16 le 32")),
        _ => Some(Policy::All),
    }
}

/// Everything that others hold of the RIB: the kernel side, and each peer.
struct World {
    rib: Rib,
    kernel: Kernel,
    receivers: Vec<Receiver>,
}

impl World {
    /// Four peers that announce some prefixes each, the last an internal one.
    fn new(announced: &[(u8, u8)], policies: &[(u8, u8)], network: bool) -> Self {
        let mut rib = Rib::new(config());
        for (number, hop) in (0u32..).zip(HOPS) {
            let settings = if number == 3 { internal(hop) } else { external(64600 + number % 2, hop) };
            let (import, export) = policies.get(number as usize).copied().unwrap_or((9, 9));
            let settings = PeerSettings { import: policy(import), export: policy(export), ..settings };
            rib.add_peer(PeerId(number), settings);
            for (at, (mask, long)) in announced.iter().enumerate() {
                if mask & (1 << number) != 0 {
                    let mut asns = vec![64600 + number % 2];
                    asns.extend((long & (1 << number) != 0).then_some(9));
                    rib.receive_update(PeerId(number), &announce(&path(&asns), hop, &[PREFIXES[at]]));
                }
            }
        }
        if network {
            rib.originate(prefix(PREFIXES[0]));
        }
        reachable(&mut rib, &HOPS);
        let mut world = Self { rib, kernel: Kernel::default(), receivers: Vec::new() };
        world.receivers.extend((0..4).map(|_| Receiver::default()));
        world.settle();
        world
    }

    fn settle(&mut self) {
        settle(&mut self.rib);
        self.kernel.pull(&mut self.rib);
        for (number, receiver) in (0u32..).zip(&mut self.receivers) {
            receiver.pull(&mut self.rib, PeerId(number), usize::MAX);
        }
    }

    fn told(&self) -> Vec<BTreeMap<Prefix, (PathAttributes, NextHop)>> {
        self.receivers.iter().map(|receiver| receiver.routes.clone()).collect()
    }

    /// The walk, in portions of one prefix.
    fn imagine(&self, proposal: &Proposal) -> Vec<Impact> {
        let (mut at, mut out) = (Some(Position::START), Vec::new());
        while let Some(from) = at {
            at = self.rib.imagine(proposal, from, 1, &mut out);
        }
        out
    }

    fn carry_out(&mut self, proposal: &Proposal) {
        for (peer, settings) in &proposal.peers {
            match settings {
                Some(settings) => drop(self.rib.update_settings(*peer, |old| *old = settings.clone())),
                None => {
                    self.rib.remove_peer(*peer);
                    self.receivers[peer.0 as usize] = Receiver::default();
                }
            }
        }
        if let Some((maximum, relax)) = proposal.multipath {
            self.rib.set_multipath(maximum, relax);
        }
        proposal.networks_removed.iter().for_each(|prefix| self.rib.withdraw_origin(*prefix));
        proposal.networks_added.iter().for_each(|prefix| self.rib.originate(*prefix));
        self.settle();
    }
}

type Pairs = BTreeSet<(Prefix, PeerId)>;

fn pairs(impacts: &[Impact], which: impl Fn(&Impact) -> &Vec<PeerId>) -> Pairs {
    impacts.iter().flat_map(|impact| which(impact).iter().map(|peer| (impact.prefix, *peer))).collect()
}

proptest! {
    #[test]
    fn what_is_foretold_happens(
        announced in proptest::collection::vec((0u8..16, 0u8..16), 4),
        before in proptest::collection::vec((0u8..6, 0u8..6), 4),
        after in proptest::collection::vec(proptest::option::weighted(0.8, (0u8..6, 0u8..6)), 4),
        network in any::<bool>(),
        networks in (any::<bool>(), any::<bool>()),
        multipath in proptest::option::of((1usize..3, any::<bool>())),
    ) {
        let mut world = World::new(&announced, &before, network);
        let (kernel, told) = (world.kernel.0.clone(), world.told());
        let counters: Vec<_> = (0..4).map(|id| world.rib.counters(PeerId(id)).unwrap().ipv4).collect();
        let mut proposal = Proposal { multipath, ..Proposal::default() };
        for (number, change) in (0u32..).zip(&after) {
            let settings = world.rib.settings(PeerId(number)).unwrap().clone();
            let changed = change.map(|(import, export)| {
                PeerSettings { import: policy(import), export: policy(export), ..settings }
            });
            proposal.peers.insert(PeerId(number), changed);
        }
        if networks.0 {
            proposal.networks_added.insert(prefix("10.1.1.0/24"));
        }
        if networks.1 && network {
            proposal.networks_removed.insert(prefix(PREFIXES[0]));
        }
        let impacts = world.imagine(&proposal);
        prop_assert_eq!(&world.kernel.0, &kernel);
        world.carry_out(&proposal);

        // The kernel side.
        let words = |shares: &[(ScopedNextHop, u16)]| -> Vec<(String, u16)> {
            shares.iter().map(|(hop, share)| (hop.next_hop.to_string(), *share)).collect()
        };
        let mut expected = kernel;
        for impact in &impacts {
            if let Some((now, then)) = &impact.forwarding {
                let old = expected.insert(impact.prefix.to_string(), words(then)).unwrap_or_default();
                prop_assert_eq!(old, words(now));
            }
        }
        expected.retain(|_, hops| !hops.is_empty());
        prop_assert_eq!(&world.kernel.0, &expected);

        // The peers.
        let (mut new, mut gone, mut other) = (Pairs::new(), Pairs::new(), Pairs::new());
        for (number, (then, now)) in (0u32..).zip(world.told().into_iter().zip(told)) {
            if proposal.peers.get(&PeerId(number)) == Some(&None) {
                continue;
            }
            new.extend(then.keys().filter(|p| !now.contains_key(p)).map(|p| (*p, PeerId(number))));
            gone.extend(now.keys().filter(|p| !then.contains_key(p)).map(|p| (*p, PeerId(number))));
            let changed = then.iter().filter(|(p, route)| now.get(p).is_some_and(|old| old != *route));
            other.extend(changed.map(|(p, _)| (*p, PeerId(number))));
        }
        prop_assert_eq!(pairs(&impacts, |impact| &impact.announced), new);
        prop_assert_eq!(pairs(&impacts, |impact| &impact.withdrawn), gone);
        prop_assert!(pairs(&impacts, |impact| &impact.reannounced).is_superset(&other));

        // The paths.
        for (number, old) in (0u32..).zip(counters) {
            let id = PeerId(number);
            let accepted = impacts.iter().filter(|impact| impact.accepted.contains(&id)).count();
            let refused = impacts.iter().filter(|impact| impact.refused.iter().any(|(peer, _)| *peer == id)).count();
            let lost = impacts.iter().filter(|impact| impact.lost.contains(&id)).count();
            let now = world.rib.counters(id).map_or(0, |counters| counters.ipv4.accepted);
            prop_assert_eq!(now + (refused + lost) as u64, old.accepted + accepted as u64);
        }
    }
}

#[test]
fn nothing_proposed_is_nothing_changed() {
    let world = World::new(&[(7, 0), (3, 1), (9, 0), (15, 2)], &[(9, 9); 4], true);
    assert_eq!(world.imagine(&Proposal::default()), []);
}

#[test]
fn a_refusal_comes_with_its_reason() {
    let world = World::new(&[(1, 0)], &[(9, 9); 4], false);
    let settings = world.rib.settings(PeerId(0)).unwrap().clone();
    let settings = PeerSettings { import: policy(3), ..settings };
    let proposal = Proposal { peers: BTreeMap::from([(PeerId(0), Some(settings))]), ..Proposal::default() };
    let impacts = world.imagine(&proposal);
    assert_eq!(impacts.len(), 1);
    assert_eq!(
        impacts[0].refused[0].1.to_string(),
        "refused by import policy: prefix-list l: no rule matches"
    );
    let (now, then) = impacts[0].forwarding.clone().unwrap();
    assert_eq!((now.len(), then.len()), (1, 0));
}

#[test]
fn another_share_is_a_change_of_the_kernels_route() {
    let mut world = World::new(&[(3, 0), (1, 0)], &[(9, 9); 4], false);
    let settings = world.rib.settings(PeerId(0)).unwrap().clone();
    let settings = PeerSettings { weight: Some(3), ..settings };
    let proposal = Proposal { peers: BTreeMap::from([(PeerId(0), Some(settings))]), ..Proposal::default() };
    let impacts = world.imagine(&proposal);
    assert_eq!(impacts.len(), 1, "the other prefix has one path: {impacts:?}");
    let (now, then) = impacts[0].forwarding.clone().unwrap();
    let weights =
        |shares: &[(ScopedNextHop, u16)]| shares.iter().map(|(_, weight)| *weight).collect::<Vec<_>>();
    assert_eq!((weights(&now), weights(&then)), (vec![1, 1], vec![3, 1]));
    world.carry_out(&proposal);
    assert_eq!(world.imagine(&proposal), []);
}

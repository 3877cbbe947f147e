//! Whatever the order in which the peers' words arrive among each other, however they are cut into UPDATEs, and whatever
//! the portions in which decisions are made and changes are pulled: the Loc-RIB, what the kernel side wants and what the
//! peers are told come out as the oracle says, which has seen the last words only.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::laws::{HOPS, HOPS_V6, PEERS, PREFIXES, attributes, chosen, hop_key, settings};
use super::oracle::{Said, Selected, World};
use super::*;

/// What one source says, in its order.
#[derive(Clone, Debug)]
enum Word {
    Up,
    /// The session is lost and up again: what was said is void.
    Bounce,
    Announce {
        prefixes: u8,
        attributes: usize,
        hop: usize,
        /// Whether each prefix comes in an UPDATE of its own.
        apart: bool,
    },
    Withdraw {
        prefixes: u8,
    },
    End,
    Reach {
        hop: usize,
        v6: bool,
        metric: Option<u32>,
    },
    Own {
        at: usize,
        on: bool,
    },
}

/// What happens at a time: a source says its next word, or somebody does a portion of work.
#[derive(Clone, Debug)]
enum Turn {
    Source(usize),
    Decide(usize),
    Kernel(usize),
    Peer { peer: u32, calls: usize, octets: usize },
    TakeHops,
}

/// Sources: the peers, next hops, our own networks.
const SOURCES: usize = PEERS as usize + 2;

fn words() -> impl Strategy<Value = Vec<Vec<Word>>> {
    let announce = (any::<u8>(), 0..8usize, 0..2usize, any::<bool>())
        .prop_map(|(prefixes, attributes, hop, apart)| Word::Announce { prefixes, attributes, hop, apart });
    let peer = proptest::collection::vec(
        prop_oneof![
            8 => announce,
            3 => any::<u8>().prop_map(|prefixes| Word::Withdraw { prefixes }),
            1 => Just(Word::Bounce),
            1 => Just(Word::End),
        ],
        0..10,
    )
    .prop_map(|mut words| {
        words.insert(0, Word::Up);
        words
    });
    let hops = proptest::collection::vec(
        (0..2usize, any::<bool>(), proptest::option::weighted(0.8, 0..3u32))
            .prop_map(|(hop, v6, metric)| Word::Reach { hop, v6, metric }),
        4..16,
    );
    let own = proptest::collection::vec(
        (0..PREFIXES.len(), proptest::bool::weighted(0.3)).prop_map(|(at, on)| Word::Own { at, on }),
        0..6,
    );
    (proptest::collection::vec(peer, PEERS as usize), hops, own).prop_map(|(mut sources, hops, own)| {
        sources.extend([hops, own]);
        sources
    })
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        8 => (0..SOURCES).prop_map(Turn::Source),
        4 => (1..6usize).prop_map(Turn::Decide),
        2 => (1..4usize).prop_map(Turn::Kernel),
        3 => (0..PEERS, 1..3usize, 1..200usize)
            .prop_map(|(peer, calls, octets)| Turn::Peer { peer, calls, octets }),
        1 => Just(Turn::TakeHops),
    ]
}

/// Portions of work when nobody says anything more.
#[derive(Clone, Copy, Debug)]
struct Portions {
    decide: usize,
    octets: usize,
}

/// A RIB, those who pull from it, and what has been said so far.
struct Run {
    rib: Rib,
    kernel: Kernel,
    receivers: Vec<Receiver>,
    reach: BTreeMap<ScopedNextHop, Reachability>,
    said: World,
    /// Policies of each peer: import and export.
    policies: Vec<(usize, usize)>,
}

fn settings_of(peer: u32, (import, export): (usize, usize)) -> PeerSettings {
    let router_id = RouterId::new(0xAC32_0001 + peer % 2).unwrap();
    PeerSettings { router_id, ..settings(peer, import, export) }
}

impl Run {
    fn new(policies: &[(usize, usize)], maximum_paths: usize, multipath_relax: bool) -> Self {
        let said = World { maximum_paths, relax: multipath_relax, ..World::default() };
        Self {
            rib: Rib::new(RibConfig { maximum_paths, multipath_relax, ..config() }),
            kernel: Kernel::default(),
            receivers: (0..PEERS).map(|_| Receiver::default()).collect(),
            reach: BTreeMap::new(),
            said,
            policies: policies.to_vec(),
        }
    }

    fn up(&mut self, peer: u32) {
        let at = peer as usize;
        let policies = self.policies[at];
        let settings = settings_of(peer, policies);
        self.rib.add_peer(PeerId(peer), settings.clone());
        self.receivers[at] = Receiver::default();
        let (import, export) = policies;
        self.said.peers.insert(peer, Said { settings, import, export, routes: BTreeMap::new() });
    }

    fn hear(&mut self, source: usize, word: &Word) {
        let peer = u32::try_from(source).unwrap();
        match *word {
            Word::Up => self.up(peer),
            Word::Bounce => {
                self.rib.remove_peer(PeerId(peer));
                self.up(peer);
            }
            Word::Announce { prefixes, attributes: number, hop, apart } => {
                for (family, hops) in [(Family::Ipv4Unicast, HOPS), (Family::Ipv6Unicast, HOPS_V6)] {
                    let chosen = chosen(prefixes, family);
                    let batch = if apart { 1 } else { chosen.len().max(1) };
                    for batch in chosen.chunks(batch) {
                        self.announce(peer, batch, &attributes(peer, number), next_hop(hops[hop]));
                    }
                }
            }
            Word::Withdraw { prefixes } => {
                for chosen in Family::ALL.map(|family| chosen(prefixes, family)) {
                    let routes = &mut self.said.peers.get_mut(&peer).unwrap().routes;
                    chosen.iter().for_each(|prefix| drop(routes.remove(prefix)));
                    if !chosen.is_empty() {
                        let update = Update { withdrawn: smallvec![nlri(&chosen)], ..Update::default() };
                        self.rib.receive_update(PeerId(peer), &update);
                    }
                }
            }
            Word::End => Family::ALL.iter().for_each(|family| {
                self.rib.receive_update(PeerId(peer), &end_of_rib(*family));
            }),
            Word::Reach { hop, v6, metric } => {
                let key = hop_key(hop, v6);
                match metric {
                    Some(metric) => self.said.reach.insert(key.next_hop, metric),
                    None => self.said.reach.remove(&key.next_hop),
                };
                let found = metric.map(|metric| Reachability::Reachable { metric });
                self.reach.insert(key, found.unwrap_or_else(|| Reachability::Unreachable("gone".into())));
            }
            Word::Own { at, on } => {
                let network = prefix(PREFIXES[at]);
                if on {
                    self.rib.originate(network);
                    self.said.own.insert(network);
                } else {
                    self.rib.withdraw_origin(network);
                    self.said.own.remove(&network);
                }
            }
        }
        // Somebody watches next hops at once.
        for (key, found) in &self.reach {
            self.rib.set_reachability(*key, found.clone());
        }
    }

    fn announce(&mut self, peer: u32, prefixes: &[Prefix], attributes: &PathAttributes, hop: NextHop) {
        let update = Update {
            announced: smallvec![Announcement { nlri: nlri(prefixes), next_hop: hop }],
            attributes: Some(attributes.to_bytes()),
            ..Update::default()
        };
        self.rib.receive_update(PeerId(peer), &update);
        let routes = &mut self.said.peers.get_mut(&peer).unwrap().routes;
        routes.extend(prefixes.iter().map(|prefix| (*prefix, (attributes.clone(), hop))));
    }

    fn pull_peer(&mut self, peer: u32, octets: usize) -> bool {
        if !self.said.peers.contains_key(&peer) {
            return false;
        }
        let mut out = BytesMut::new();
        let more = self.rib.next_update(PeerId(peer), &mut out, octets);
        self.receivers[peer as usize].read(&mut out);
        more
    }

    fn take_turn(&mut self, turn: &Turn, waiting: &mut [VecDeque<Word>]) {
        match *turn {
            Turn::Source(source) => {
                if let Some(word) = waiting[source].pop_front() {
                    self.hear(source, &word);
                }
            }
            Turn::Decide(budget) => drop(self.rib.decide(budget)),
            Turn::Kernel(calls) => (0..calls).for_each(|_| drop(self.kernel.pull_one(&mut self.rib))),
            Turn::Peer { peer, calls, octets } => {
                for _ in 0..calls {
                    self.pull_peer(peer, octets);
                }
            }
            Turn::TakeHops => self.rib.take_next_hop_changes(&mut Vec::new()),
        }
    }

    /// Everybody works in portions until nothing is left.
    fn finish(&mut self, portions: Portions) {
        loop {
            let undecided = self.rib.decide(portions.decide);
            let changed = self.kernel.pull_one(&mut self.rib).is_some();
            let told = (0..PEERS).filter(|peer| self.pull_peer(*peer, portions.octets)).count();
            let untold = (0..PEERS).any(|peer| self.rib.has_update(PeerId(peer)));
            if !undecided && !changed && told == 0 && !untold {
                return;
            }
        }
    }

    fn selected(&self, network: Prefix) -> Option<Selected> {
        let mut used: Vec<_> =
            self.rib.routes(network).into_iter().filter(|view| in_use(&view.verdict)).collect();
        used.sort_by_key(|view| !matches!(view.verdict, Verdict::Best(_)));
        let best = used.first()?;
        if best.peer == PeerId::LOCAL {
            return Some(Selected::Own);
        }
        Some(Selected::Peers(used.iter().map(|view| view.peer.0).collect()))
    }
}

/// The best first, the others in any order.
fn sorted(selected: Option<Selected>) -> Option<Selected> {
    match selected {
        Some(Selected::Peers(mut peers)) => {
            peers[1..].sort_unstable();
            Some(Selected::Peers(peers))
        }
        own => own,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_interleaving_and_any_portions_give_what_the_last_words_say(
        sources in words(),
        turns in proptest::collection::vec(turn(), 0..150),
        policies in proptest::collection::vec((0..4usize, 0..4usize), PEERS as usize),
        maximum_paths in 1usize..4,
        relax in any::<bool>(),
        portions in (1usize..9, 1usize..300).prop_map(|(decide, octets)| Portions { decide, octets }),
    ) {
        let mut run = Run::new(&policies, maximum_paths, relax);
        let mut waiting: Vec<VecDeque<Word>> = sources.into_iter().map(VecDeque::from).collect();
        for turn in &turns {
            run.take_turn(turn, &mut waiting);
        }
        for (source, words) in waiting.into_iter().enumerate() {
            words.iter().for_each(|word| run.hear(source, word));
        }
        run.finish(portions);
        holders::check(&run.rib);
        for network in PREFIXES.map(prefix) {
            prop_assert_eq!(sorted(run.selected(network)), sorted(run.said.selected(network)), "{}", network);
            let text = network.to_string();
            let wanted: BTreeSet<NextHop> = run.kernel.every_hop(&text).into_iter().map(next_hop).collect();
            prop_assert_eq!(wanted, run.said.wanted(network), "{}", network);
            let (backup, backups) = (run.kernel.backup(&text).map(next_hop), run.said.backups(network));
            prop_assert_eq!(backup.is_some(), !backups.is_empty(), "{}: {:?} of {:?}", network, backup, backups);
            prop_assert!(backup.is_none_or(|backup| backups.contains(&backup)), "{}: {:?}", network, backup);
            for peer in 0..PEERS {
                let told = run.receivers[peer as usize].routes.get(&network).cloned();
                prop_assert_eq!(told, run.said.told(peer, network), "{} to peer {}", network, peer);
            }
        }
        for receiver in &run.receivers {
            let mut ends = receiver.ends.clone();
            ends.sort_unstable();
            prop_assert_eq!(ends, Family::ALL);
        }
    }
}

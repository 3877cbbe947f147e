//! Selection: each step by itself, the recorded facts of other implementations, and independence of arrival order.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn candidate(number: u32) -> Candidate {
    Candidate {
        source: RouteSource::External,
        llgr_stale: false,
        local_pref: 100,
        path_len: 2,
        origin: Origin::Igp,
        med: 100,
        neighbor_as: Some(Asn(1)),
        interior_cost: 0,
        router_id: 1,
        cluster_len: 0,
        address: Some(IpAddr::from([239, 0, 0, 1])),
        peer: PeerId(number),
        place: 0,
        set: number,
        hop: number,
        lost: None,
    }
}

const ALONE: Multipath<'_> = Multipath { maximum: 1, same_path: None };
const MANY: Multipath<'_> = Multipath { maximum: 64, same_path: None };

/// The best peer's number and the step that decided.
fn best(candidates: &[Candidate]) -> (u32, Option<Step>) {
    let mut candidates = candidates.to_vec();
    let selection = select(&mut candidates, &ALONE).unwrap();
    (candidates[0].peer.0, selection.decided_by)
}

#[test]
fn each_step_decides_where_all_before_are_equal() {
    type Worsen = fn(&mut Candidate);
    let steps: [(Step, Worsen); 11] = [
        (Step::Confirmed, |c| c.llgr_stale = true),
        (Step::LocalPref, |c| c.local_pref = 99),
        (Step::AsPathLength, |c| c.path_len = 3),
        (Step::Origin, |c| c.origin = Origin::Egp),
        (Step::Med, |c| c.med = 101),
        (Step::External, |c| c.source = RouteSource::Internal),
        (Step::InteriorCost, |c| c.interior_cost = 1),
        (Step::RouterId, |c| c.router_id = 2),
        (Step::ClusterList, |c| c.cluster_len = 1),
        (Step::PeerAddress, |c| c.address = Some(IpAddr::from([239, 0, 0, 2]))),
        (Step::PeerAddress, |_| ()),
    ];
    for (at, (step, worsen)) in steps.iter().enumerate() {
        let (mut good, mut bad) = (candidate(1), candidate(2));
        worsen(&mut bad);
        // Everything that comes later speaks for the other one.
        for (_, worsen) in &steps[at + 1..] {
            worsen(&mut good);
        }
        assert_eq!(best(&[good, bad]), (1, Some(*step)));
        assert_eq!(best(&[bad, good]), (1, Some(*step)));
    }
}

#[test]
fn our_own_network_wins_over_any_local_preference() {
    let mut own = candidate(1);
    own.source = RouteSource::Local;
    let mut learned = candidate(2);
    learned.local_pref = u32::MAX;
    assert_eq!(best(&[learned, own]), (1, Some(Step::Local)));
}

#[test]
fn med_does_not_compare_across_neighbours() {
    let (mut a, mut b, mut c) = (candidate(1), candidate(2), candidate(3));
    (a.neighbor_as, a.med, a.router_id) = (Some(Asn(1)), 10, 3);
    (b.neighbor_as, b.med, b.router_id) = (Some(Asn(2)), 20, 2);
    (c.neighbor_as, c.med, c.router_id) = (Some(Asn(1)), 30, 1);
    assert_eq!(best(&[a, b, c]), (2, Some(Step::RouterId)), "c loses to a, then b has the lower identifier");
    assert_eq!(best(&[b, c]), (3, Some(Step::RouterId)));
    assert_eq!(best(&[c, a]), (1, Some(Step::Med)));
}

fn verdicts(candidates: &mut [Candidate], multipath: &Multipath<'_>) -> (Vec<u32>, Vec<(u32, Option<Step>)>) {
    let used = select(candidates, multipath).unwrap().used;
    let used_peers = candidates[..used].iter().map(|c| c.peer.0).collect();
    let mut lost: Vec<_> = candidates[used..].iter().map(|c| (c.peer.0, c.lost)).collect();
    lost.sort_unstable();
    (used_peers, lost)
}

#[test]
fn equal_paths_are_used_together_up_to_the_limit() {
    let mut five: Vec<_> = (1..=5).map(candidate).collect();
    for (at, candidate) in (1u8..).zip(&mut five) {
        candidate.address = Some(IpAddr::from([10, 0, 0, 10 - at]));
        candidate.neighbor_as = Some(Asn(at.into()));
    }
    five[4].local_pref = 50;
    let (mut used, lost) = verdicts(&mut five.clone(), &MANY);
    assert_eq!(used[0], 4, "lowest address");
    used.sort_unstable();
    assert_eq!(used, [1, 2, 3, 4]);
    assert_eq!(lost, [(5, Some(Step::LocalPref))]);

    let (used, lost) = verdicts(&mut five.clone(), &Multipath { maximum: 2, same_path: None });
    assert_eq!(used, [4, 3]);
    let over = Some(Step::MaximumPaths);
    assert_eq!(lost, [(1, over), (2, over), (5, Some(Step::LocalPref))]);

    let (used, lost) = verdicts(&mut five.clone(), &ALONE);
    assert_eq!(used, [4]);
    assert_eq!(lost[0], (1, Some(Step::PeerAddress)), "without multipath the tie-break is the reason");
}

#[test]
fn without_relaxing_only_equal_as_paths_share() {
    let mut four: Vec<_> = (1..=4).map(candidate).collect();
    for (at, candidate) in (1u8..).zip(&mut four) {
        candidate.address = Some(IpAddr::from([10, 0, 0, at]));
    }
    let odd = |a: u32, b: u32| a % 2 == b % 2;
    let (mut used, lost) = verdicts(&mut four, &Multipath { maximum: 64, same_path: Some(&odd) });
    used.sort_unstable();
    assert_eq!(used, [1, 3]);
    assert_eq!(lost, [(2, Some(Step::MultipathAsPath)), (4, Some(Step::MultipathAsPath))]);
}

/// A path as the corpus writes it; `None` for one that is not usable. What it does not say is as in [`candidate`], but a
/// missing MULTI_EXIT_DISC is zero.
fn recorded(value: &Value, number: u32) -> Option<Candidate> {
    let given = |key: &str| value[key].as_u64().map(|given| u32::try_from(given).unwrap());
    let int = |key: &str| given(key).unwrap();
    if value["as_loop"].as_bool() == Some(true) || value["valid"].as_bool() == Some(false) {
        return None;
    }
    Some(Candidate {
        source: if value["ebgp"].as_bool().unwrap() { RouteSource::External } else { RouteSource::Internal },
        local_pref: int("local_pref"),
        path_len: int("as_path_len"),
        origin: match value["origin"].as_str().unwrap() {
            "igp" => Origin::Igp,
            "egp" => Origin::Egp,
            _ => Origin::Incomplete,
        },
        med: given("med").unwrap_or(0),
        neighbor_as: given("first_as").map(Asn),
        interior_cost: given("igp_cost").unwrap_or(0),
        router_id: given("originator_id").unwrap_or_else(|| int("router_id")),
        cluster_len: given("cluster_list_len").unwrap_or(0),
        address: Some(value["peer_addr"].as_str().unwrap().parse().unwrap()),
        ..candidate(number)
    })
}

#[test]
fn recorded_facts_of_other_implementations_hold() {
    let ours = include_str!("../../../../tests/corpus/decision.jsonl");
    let theirs = crate::tests::shared_corpus("decision.jsonl");
    let mut cases = 0;
    for line in ours.lines().chain(theirs.lines()).filter(|line| !line.is_empty()) {
        let case: Value = serde_json::from_str(line).unwrap();
        let mut order: Vec<&Value> = match case["order_best_first"].as_array() {
            Some(order) => order.iter().collect(),
            None => vec![&case["better"], &case["worse"]],
        };
        // The best of all is the first; without it the best of the rest is the second, and so on.
        while order.len() > 1 {
            let paths: Vec<_> = (0..).zip(&order).filter_map(|(at, value)| recorded(value, at)).collect();
            let mut backward = paths.clone();
            backward.reverse();
            assert_eq!(best(&paths).0, 0, "{}", case["name"]);
            assert_eq!(best(&backward).0, 0, "{}", case["name"]);
            order.remove(0);
        }
        cases += 1;
    }
    assert!(cases >= 18, "only {cases} cases");
}

prop_compose! {
    fn any_candidate()(
        (source, local_pref, path_len, origin) in (0..3u8, 0..3u32, 0..3u32, 0..3u8),
        (med, neighbor, cost) in (0..3u32, 0..3u32, 0..2u32),
        (router_id, cluster_len, address) in (0..3u32, 0..2u32, 0..3u8),
    ) -> Candidate {
        Candidate {
            source: [RouteSource::Local, RouteSource::External, RouteSource::Internal][usize::from(source)],
            local_pref,
            path_len,
            origin: [Origin::Igp, Origin::Egp, Origin::Incomplete][usize::from(origin)],
            med,
            neighbor_as: neighbor.checked_sub(1).map(Asn),
            interior_cost: cost,
            router_id,
            cluster_len,
            address: Some(IpAddr::from([10, 0, 0, address])),
            ..candidate(0)
        }
    }
}

proptest! {
    #[test]
    fn any_order_of_arrival_gives_the_same_result(
        candidates in proptest::collection::vec(any_candidate(), 1..12),
        seed in any::<u64>(),
        maximum in 1usize..6,
        relax in any::<bool>(),
    ) {
        let same = |a: u32, b: u32| a % 2 == b % 2;
        let multipath = Multipath { maximum, same_path: if relax { None } else { Some(&same) } };
        let mut one: Vec<_> = (1u32..).zip(candidates)
            .map(|(number, c)| Candidate { peer: PeerId(number), set: number, ..c })
            .collect();
        let mut other = one.clone();
        other.sort_by_key(|c| c.peer.0.wrapping_mul(2_654_435_761) ^ u32::try_from(seed >> 32).unwrap());
        let first = select(&mut one, &multipath).unwrap();
        let second = select(&mut other, &multipath).unwrap();
        prop_assert_eq!(first, second);
        prop_assert_eq!(one[0], other[0]);
        prop_assert_eq!(one[0].source == RouteSource::Local, one.iter().any(|c| c.source == RouteSource::Local));
        let by_peer = |mut all: Vec<Candidate>, used: usize| {
            let mut flagged: Vec<_> = all.drain(..).enumerate().map(|(at, c)| (c.peer, at < used, c.lost)).collect();
            flagged.sort_unstable();
            flagged
        };
        prop_assert_eq!(by_peer(one, first.used), by_peer(other, second.used));
    }
}

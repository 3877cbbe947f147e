//! What happens to routes, told as an operator would tell it.

use std::sync::Arc;

use bgp_policy::{Policy, PrefixList};
use bgp_wire::attribute::{Aggregator, LargeCommunity, Origin};

use super::*;
use crate::{LimitLevel, MaximumPrefix, MaximumPrefixAction, NoExport, Watch};

const SERVICE: &str = "2004::1/128";
const NODES: [&str; 3] = ["2001:3200:3200::2", "2001:3200:3200::3", "2001:3200:3200::4"];

/// A host with three nodes of one AS, each of which announces the service.
fn lab() -> (Rib, Kernel) {
    let mut rib = Rib::new(config());
    for (number, node) in (2..).zip(NODES) {
        rib.add_peer(PeerId(number), external(64512, node));
        rib.receive_update(PeerId(number), &announce(&path(&[64512]), node, &[SERVICE]));
    }
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    let mut kernel = Kernel::default();
    kernel.pull(&mut rib);
    (rib, kernel)
}

#[test]
fn three_nodes_with_one_router_id_share_a_service() {
    let (mut rib, mut kernel) = lab();
    assert_eq!(kernel.hops(SERVICE), NODES);
    let verdicts = paths(&rib, SERVICE);
    assert_eq!(verdicts[0], (2, "lowest peer address of equal paths".to_owned()));
    assert_eq!(verdicts[1], (3, "as good as the best".to_owned()));
    assert_eq!(verdicts[2], (4, "as good as the best".to_owned()));
    let counters = rib.counters(PeerId(3)).unwrap().ipv6;
    assert_eq!((counters.received, counters.accepted, counters.used), (1, 1, 1));

    rib.receive_update(PeerId(2), &withdraw(&[SERVICE]));
    settle(&mut rib);
    assert_eq!(kernel.pull(&mut rib), [SERVICE]);
    assert_eq!(kernel.hops(SERVICE), NODES[1..]);

    rib.remove_peer(PeerId(3));
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES[2..]);
    assert_eq!(paths(&rib, SERVICE), [(4, "the only usable path".to_owned())]);

    rib.remove_peer(PeerId(4));
    settle(&mut rib);
    assert_eq!(kernel.pull(&mut rib), [SERVICE]);
    assert_eq!(kernel.hops(SERVICE), [""; 0]);
    rib.remove_peer(PeerId(2));
    settle(&mut rib);
    holders::check_empty(&mut rib);
}

/// RFC 4271 section 3.1 and 9.
#[test]
fn a_new_announcement_takes_the_place_of_the_old_one() {
    let (mut rib, mut kernel) = lab();
    rib.receive_update(PeerId(2), &announce(&path(&[64512, 1]), NODES[0], &[SERVICE]));
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES[1..], "longer than before");
    assert_eq!(paths(&rib, SERVICE)[2], (2, "longer AS path".to_owned()));
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[2], &[SERVICE]));
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES[1..], "by way of another node");
    assert_eq!((paths(&rib, SERVICE).len(), rib.counters(PeerId(2)).unwrap().ipv6.received), (3, 1));
    holders::check(&rib);
}

#[test]
fn a_flap_that_is_over_before_anybody_looks_changes_nothing() {
    let (mut rib, mut kernel) = lab();
    rib.receive_update(PeerId(2), &withdraw(&[SERVICE]));
    settle(&mut rib);
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &[SERVICE]));
    settle(&mut rib);
    assert_eq!(kernel.pull(&mut rib), [""; 0]);
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &[SERVICE]));
    assert!(!rib.has_work(), "the same route again");
}

#[test]
fn next_hops_are_watched_and_decide_who_is_used() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(2), external(64512, NODES[0]));
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &[SERVICE]));
    settle(&mut rib);
    let mut changes = Vec::new();
    rib.take_next_hop_changes(&mut changes);
    assert_eq!(changes, [(scoped(NODES[0]), Watch::Start)]);
    assert_eq!(paths(&rib, SERVICE), [(2, "next hop is not resolved yet".to_owned())]);
    assert!(rib.next_forwarding_change().is_none());

    reachable(&mut rib, &[NODES[0]]);
    assert!(rib.has_work());
    settle(&mut rib);
    assert!(rib.next_forwarding_change().is_some_and(|(_, forwarding)| forwarding.is_some()));

    rib.set_reachability(scoped(NODES[0]), Reachability::Unreachable("link down".into()));
    settle(&mut rib);
    assert_eq!(paths(&rib, SERVICE), [(2, "next hop unreachable: link down".to_owned())]);
    assert_eq!(rib.next_forwarding_change(), Some((prefix(SERVICE), None)));
    let counters = rib.counters(PeerId(2)).unwrap().ipv6;
    assert_eq!((counters.accepted, counters.used), (1, 0));

    rib.remove_peer(PeerId(2));
    settle(&mut rib);
    changes.clear();
    rib.take_next_hop_changes(&mut changes);
    assert_eq!(changes, [(scoped(NODES[0]), Watch::Stop)]);
}

#[test]
fn a_link_is_part_of_a_next_hop() {
    let mut rib = Rib::new(config());
    for number in [2, 3] {
        let mut settings = external(64512, "fe80::1");
        settings.interface = Some(number);
        rib.add_peer(PeerId(number), settings);
        rib.receive_update(PeerId(number), &announce(&path(&[64512]), "fe80::1", &[SERVICE]));
        let next_hop = ScopedNextHop { interface: Some(number), ..scoped("fe80::1") };
        rib.set_reachability(next_hop, Reachability::Reachable { metric: 0 });
    }
    settle(&mut rib);
    let (_, forwarding) = rib.next_forwarding_change().unwrap();
    let links: Vec<_> = forwarding.unwrap().next_hops.iter().map(|hop| hop.interface).collect();
    assert_eq!(links, [Some(2), Some(3)]);
}

#[test]
fn each_check_refuses_with_its_reason() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(1), external(64512, "172.50.0.2"));
    rib.add_peer(PeerId(2), internal("172.50.0.9"));
    let looped = PathAttributes { originator_id: Some([172, 50, 0, 1].into()), ..path(&[]) };
    let clustered = PathAttributes { cluster_list: vec![[172, 50, 0, 1].into()], ..path(&[]) };
    for (peer, attributes, hop, reason) in [
        (1, path(&[64512, 64513]), "172.50.0.2", "our own AS is in the AS path (1 times)"),
        (1, path(&[64999]), "172.50.0.2", "the AS path begins with 64999, not with the peer's AS 64512"),
        (1, path(&[]), "172.50.0.2", "the AS path does not begin with the peer's AS 64512"),
        (1, confederated(), "172.50.0.2", "the AS path has segments of a confederation (RFC 5065)"),
        (1, path(&[64512]), "172.50.0.1", "next hop is an address of ours"),
        (1, path(&[64512]), "127.0.0.1", "next hop is a loopback address"),
        (1, path(&[64512]), "0.0.0.0", "next hop is the unspecified address"),
        (1, path(&[64512]), "224.0.0.1", "next hop is a multicast address"),
        (2, looped, "172.50.0.9", "we originated it (ORIGINATOR_ID is ours)"),
        (2, clustered, "172.50.0.9", "our cluster is in CLUSTER_LIST"),
    ] {
        let received = rib.receive_update(PeerId(peer), &announce(&attributes, hop, &["192.0.2.0/24"]));
        assert_eq!(received.refused, 1, "{reason}");
        settle(&mut rib);
        assert_eq!(paths(&rib, "192.0.2.0/24"), [(peer, reason.to_owned())]);
        assert_eq!(rib.counters(PeerId(peer)).unwrap().ipv4.accepted, 0);
        rib.receive_update(PeerId(peer), &withdraw(&["192.0.2.0/24"]));
    }
}

/// A path through the peer's AS with a segment that does not leave a confederation before it.
fn confederated() -> PathAttributes {
    let mut attributes = path(&[64512]);
    attributes.as_path.segments.insert(0, Segment::ConfedSequence(vec![Asn(64900)]));
    attributes
}

#[test]
fn an_internal_peer_may_be_in_a_confederation() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(2), internal("172.50.0.9"));
    let update = announce(&confederated(), "172.50.0.9", &["192.0.2.0/24"]);
    assert_eq!(rib.receive_update(PeerId(2), &update).refused, 0);
}

#[test]
fn own_as_and_first_as_can_be_allowed() {
    let mut rib = Rib::new(config());
    let settings = PeerSettings { allow_own_as: 1, enforce_first_as: false, ..external(64512, "172.50.0.2") };
    rib.add_peer(PeerId(1), settings);
    let update = announce(&path(&[64999, 64513]), "172.50.0.2", &["192.0.2.0/24"]);
    assert_eq!(rib.receive_update(PeerId(1), &update).refused, 0);
    rib.add_peer(PeerId(2), PeerSettings { allow_own_as: 1, ..external(64512, "172.50.0.3") });
    assert_eq!(rib.receive_update(PeerId(2), &update).refused, 1, "not unless it is allowed");
    let twice = announce(&path(&[64999, 64513, 64513]), "172.50.0.2", &["192.0.2.0/24"]);
    assert_eq!(rib.receive_update(PeerId(1), &twice).refused, 1);
}

#[test]
fn an_external_peer_without_policy_exchanges_nothing_and_it_is_said() {
    let mut rib = Rib::new(config());
    let settings = PeerSettings { import: None, ..external(64512, NODES[0]) };
    rib.add_peer(PeerId(2), settings);
    rib.originate(prefix("2001:db8::/32"));
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &[SERVICE]));
    reachable(&mut rib, &[NODES[0]]);
    settle(&mut rib);
    assert_eq!(paths(&rib, SERVICE), [(2, "no import policy (RFC 8212)".to_owned())]);
    assert_eq!(rib.received(PeerId(2), Family::Ipv6Unicast).count(), 1);
    assert_eq!(rib.no_export(PeerId(2), Family::Ipv6Unicast), Some(NoExport::NoExportPolicy));
    let mut receiver = Receiver::default();
    receiver.pull(&mut rib, PeerId(2), 4096);
    assert_eq!((receiver.prefixes(), receiver.ends), (vec![], Family::ALL.to_vec()));

    rib.set_policy(PeerId(2), Some(Policy::All), None);
    settle(&mut rib);
    assert_eq!(paths(&rib, SERVICE), [(2, "the only usable path".to_owned())]);
    rib.set_policy(PeerId(2), Some(Policy::None), None);
    settle(&mut rib);
    assert_eq!(paths(&rib, SERVICE), [(2, "refused by import policy: policy none".to_owned())]);
    assert_eq!(rib.next_forwarding_change(), None, "never told, nothing to take back");
}

#[test]
fn a_prefix_list_lets_services_in_and_can_be_changed_without_the_session() {
    let list = |rule: &str| {
        Some(Policy::PrefixList(Arc::new(PrefixList::new("services", vec![rule.parse().unwrap()]))))
    };
    let mut rib = Rib::new(config());
    let import = list("permit 2004::/64 ge 128");
    rib.add_peer(PeerId(2), PeerSettings { import, ..external(64512, NODES[0]) });
    reachable(&mut rib, &[NODES[0]]);
    let received =
        rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &[SERVICE, "2005::1/128"]));
    assert_eq!((received.announced, received.refused), (2, 1));
    reachable(&mut rib, &[NODES[0]]);
    settle(&mut rib);
    let refused = "refused by import policy: prefix-list services: no rule matches";
    assert_eq!(paths(&rib, "2005::1/128"), [(2, refused.to_owned())]);
    let mut kernel = Kernel::default();
    assert_eq!(kernel.pull(&mut rib), [SERVICE]);

    rib.set_policy(PeerId(2), list("permit 2005::/64 ge 128"), None);
    settle(&mut rib);
    assert_eq!(kernel.pull(&mut rib), [SERVICE, "2005::1/128"]);
    assert_eq!(kernel.hops(SERVICE), [""; 0]);
    assert_eq!(kernel.hops("2005::1/128"), [NODES[0]]);
    holders::check(&rib);
}

/// RFC 8326 section 4.1.
#[test]
fn a_session_that_will_be_closed_announces_it_on_every_route_and_takes_it_back() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(2), external(64512, NODES[0]));
    rib.add_peer(PeerId(3), PeerSettings { export: Some(Policy::All), ..external(64514, NODES[1]) });
    rib.add_peer(PeerId(4), internal(NODES[2]));
    let coloured = PathAttributes { communities: vec![7], ..path(&[64512]) };
    rib.receive_update(PeerId(2), &announce(&coloured, NODES[0], &[SERVICE]));
    rib.originate(prefix("2001:db8::/32"));
    reachable(&mut rib, &NODES);
    let mut receivers = [Receiver::default(), Receiver::default()];
    for (shuts_down, with_colour, alone, preference) in [
        (false, vec![7], vec![], 100),
        (true, vec![7, 0xFFFF_0000], vec![0xFFFF_0000], 0),
        (false, vec![7], vec![], 100),
    ] {
        for (receiver, id, preference) in receivers
            .iter_mut()
            .zip([3, 4])
            .zip([None, Some(preference)])
            .map(|((r, id), p)| (r, PeerId(id), p))
        {
            rib.update_settings(id, |settings| settings.graceful_shutdown = shuts_down);
            settle(&mut rib);
            receiver.pull_all(&mut rib, id, 4096);
            for (which, communities) in [(SERVICE, &with_colour), ("2001:db8::/32", &alone)] {
                let (attributes, _) = &receiver.routes[&prefix(which)];
                assert_eq!((&attributes.communities, attributes.local_pref), (communities, preference));
            }
        }
    }
}

#[test]
fn local_preference_of_an_external_peer_counts_for_nothing() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(1), external(1, "172.50.0.2"));
    rib.add_peer(PeerId(2), internal("172.50.0.3"));
    let loud = PathAttributes { local_pref: Some(500), ..path(&[1]) };
    rib.receive_update(PeerId(1), &announce(&loud, "172.50.0.2", &["192.0.2.0/24"]));
    let preferences = |rib: &Rib| -> Vec<u32> {
        rib.routes(prefix("192.0.2.0/24")).iter().map(|route| route.local_pref).collect()
    };
    assert_eq!(preferences(&rib), [100]);
    let quiet = PathAttributes { local_pref: Some(101), ..path(&[7, 8]) };
    rib.receive_update(PeerId(2), &announce(&quiet, "172.50.0.3", &["192.0.2.0/24"]));
    reachable(&mut rib, &["172.50.0.2", "172.50.0.3"]);
    settle(&mut rib);
    let expected = [(2, "highest local preference".to_owned()), (1, "lower local preference".to_owned())];
    assert_eq!(paths(&rib, "192.0.2.0/24"), expected);
    assert_eq!(preferences(&rib), [101, 100], "RFC 4271 section 9.1: whatever others there are");
}

#[test]
fn a_node_that_shuts_down_gracefully_keeps_its_flows_and_gets_no_new_ones() {
    let (mut rib, mut kernel) = lab();
    let leaving = PathAttributes { communities: vec![0xFFFF_0000], ..path(&[64512]) };
    rib.receive_update(PeerId(2), &announce(&leaving, NODES[0], &[SERVICE]));
    settle(&mut rib);
    let told = |rib: &mut Rib| rib.next_forwarding_change().and_then(|(_, forwarding)| forwarding).unwrap();
    let forwarding = told(&mut rib);
    let hops = forwarding.next_hops.iter().zip([0, 1, 1]).map(|(hop, weight)| (*hop, weight));
    assert!(forwarding.shares().eq(hops), "{forwarding:?}");
    assert_eq!(rib.routes(prefix(SERVICE))[2].local_pref, 0);
    assert_eq!(rib.counters(PeerId(2)).unwrap().ipv6.used, 0);

    // When the others have gone it is used like any other.
    rib.remove_peer(PeerId(3));
    rib.remove_peer(PeerId(4));
    settle(&mut rib);
    let alone = told(&mut rib);
    assert_eq!((alone.next_hops.as_slice(), alone.weights.len()), (&[scoped(NODES[0])][..], 0));

    // A path that is better in the decision anyway shares nothing with it.
    rib.add_peer(PeerId(3), external(64512, NODES[1]));
    rib.receive_update(PeerId(3), &announce(&path(&[64512, 1]), NODES[1], &[SERVICE]));
    settle(&mut rib);
    assert_eq!(told(&mut rib).next_hops, [scoped(NODES[1])]);
    kernel.pull(&mut rib);
}

#[test]
fn without_relaxing_paths_through_different_neighbours_do_not_share() {
    let mut rib = Rib::new(RibConfig { multipath_relax: false, ..config() });
    for (number, asn) in [(2, 1), (3, 2), (4, 1)] {
        let node = NODES[number - 2];
        let id = PeerId(u32::try_from(number).unwrap());
        rib.add_peer(id, external(asn, node));
        rib.receive_update(id, &announce(&path(&[asn]), node, &[SERVICE]));
    }
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    let (_, forwarding) = rib.next_forwarding_change().unwrap();
    assert_eq!(forwarding.unwrap().next_hops, [scoped(NODES[0]), scoped(NODES[2])]);
    assert_eq!(paths(&rib, SERVICE)[2], (3, "as good as the best, but with another AS path".to_owned()));
}

#[test]
fn a_network_of_our_own_wins_and_is_not_told_to_the_kernel() {
    let (mut rib, mut kernel) = lab();
    rib.originate(prefix(SERVICE));
    settle(&mut rib);
    assert_eq!(kernel.pull(&mut rib), [SERVICE]);
    assert_eq!(kernel.hops(SERVICE), [""; 0]);
    assert_eq!(paths(&rib, SERVICE)[0], (PeerId::LOCAL.0, "our own network".to_owned()));
    rib.withdraw_origin(prefix(SERVICE));
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES);
}

#[test]
fn stale_routes_stay_in_use_until_they_are_announced_again_or_swept() {
    let (mut rib, mut kernel) = lab();
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &["2004::2/128"]));
    settle(&mut rib);
    kernel.pull(&mut rib);
    rib.mark_stale(PeerId(2));
    settle(&mut rib);
    assert_eq!(kernel.pull(&mut rib), [""; 0], "nothing moves");
    assert!(rib.routes(prefix(SERVICE))[0].stale);
    assert_eq!(rib.counters(PeerId(2)).unwrap().ipv6.stale, 2);

    rib.add_peer(PeerId(2), external(64512, NODES[0]));
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &[SERVICE]));
    assert_eq!(rib.counters(PeerId(2)).unwrap().ipv6.stale, 1);
    let received = rib.receive_update(PeerId(2), &end_of_rib(Family::Ipv6Unicast));
    assert_eq!(received.end_of_rib, Some(Family::Ipv6Unicast));
    settle(&mut rib);
    assert_eq!(kernel.pull(&mut rib), ["2004::2/128"]);
    assert_eq!(kernel.hops(SERVICE), NODES);
    assert_eq!(rib.counters(PeerId(2)).unwrap().ipv6.stale, 0);

    // Twice in a row, the second time after one of two was announced again.
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &["2004::3/128"]));
    for _ in 0..2 {
        rib.mark_stale(PeerId(2));
        rib.add_peer(PeerId(2), external(64512, NODES[0]));
        rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &["2004::3/128"]));
    }
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!((kernel.hops(SERVICE).len(), kernel.hops("2004::3/128").len()), (NODES.len(), 1), "both stay");
    rib.sweep_stale(PeerId(2), Family::Ipv6Unicast);
    rib.mark_stale(PeerId(2));
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES[1..], "it was stale already");
    assert_eq!(kernel.hops("2004::3/128").len(), 1);
    holders::check(&rib);
}

#[test]
fn limits_are_said_once_and_bound_what_is_stored() {
    let mut rib = Rib::new(config());
    let limit = MaximumPrefix { limit: 4, action: MaximumPrefixAction::Stop, warn_at: Some(75) };
    let mut settings = external(64512, NODES[0]);
    settings.maximum_prefix.ipv6 = Some(limit);
    rib.add_peer(PeerId(2), settings);
    let send = |rib: &mut Rib, numbers: std::ops::Range<u32>| {
        let texts: Vec<String> = numbers.map(|number| format!("2004::{number}/128")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let received = rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &texts));
        received.limits.iter().map(|reached| (reached.level, reached.count)).collect::<Vec<_>>()
    };
    assert_eq!(send(&mut rib, 0..2), []);
    assert_eq!(send(&mut rib, 2..3), [(LimitLevel::Warning, 3)]);
    assert_eq!(send(&mut rib, 0..4), [], "no more than before but one");
    assert_eq!(send(&mut rib, 4..9), [(LimitLevel::Exceeded, 4)]);
    assert_eq!(send(&mut rib, 4..9), []);
    let counters = rib.counters(PeerId(2)).unwrap().ipv6;
    assert_eq!((counters.received, counters.limit_exceeded), (4, true));
    rib.receive_update(PeerId(2), &withdraw(&["2004::0/128", "2004::1/128"]));
    assert!(!rib.counters(PeerId(2)).unwrap().ipv6.limit_exceeded);
    assert_eq!(send(&mut rib, 0..9), [(LimitLevel::Warning, 4), (LimitLevel::Exceeded, 4)]);
    settle(&mut rib);
    holders::check(&rib);
}

#[test]
fn a_limit_that_only_warns_takes_everything() {
    let mut rib = Rib::new(config());
    let limit = MaximumPrefix { limit: 1, action: MaximumPrefixAction::Warn, warn_at: None };
    let mut settings = external(64512, NODES[0]);
    settings.maximum_prefix.ipv6 = Some(limit);
    rib.add_peer(PeerId(2), settings);
    let update = announce(&path(&[64512]), NODES[0], &[SERVICE, "2004::2/128"]);
    let received = rib.receive_update(PeerId(2), &update);
    let said: Vec<_> = received.limits.iter().map(|reached| (reached.level, reached.count)).collect();
    assert_eq!((received.over_limit, said), (0, vec![(LimitLevel::Exceeded, 2)]));
    assert_eq!(rib.counters(PeerId(2)).unwrap().ipv6.received, 2);
}

#[test]
fn a_limit_that_a_reload_brings_counts_at_once() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(2), external(64512, NODES[0]));
    let prefixes = ["2004::1/128", "2004::2/128", "2004::3/128"];
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &prefixes));
    let mut limited = |limit, action| {
        let limit = MaximumPrefix { limit, action, warn_at: Some(90) };
        let reached = rib.update_settings(PeerId(2), |settings| settings.maximum_prefix.ipv6 = Some(limit));
        let levels = reached.iter().map(|reached| (reached.family, reached.level, reached.count));
        (levels.collect::<Vec<_>>(), rib.counters(PeerId(2)).unwrap().ipv6.limit_exceeded)
    };
    let warning = (Family::Ipv6Unicast, LimitLevel::Warning, 3);
    let exceeded = (Family::Ipv6Unicast, LimitLevel::Exceeded, 3);
    assert_eq!(limited(2, MaximumPrefixAction::Warn), (vec![warning, exceeded], true));
    assert_eq!(limited(2, MaximumPrefixAction::Warn), (vec![], true), "it is no new one");
    assert_eq!(limited(2, MaximumPrefixAction::Stop), (vec![warning, exceeded], true));
    assert_eq!(limited(3, MaximumPrefixAction::Stop), (vec![warning], false));
    assert_eq!(limited(9, MaximumPrefixAction::Stop), (vec![], false));
}

#[test]
fn a_limit_is_forgotten_where_stale_routes_go() {
    let limit = MaximumPrefix { limit: 2, action: MaximumPrefixAction::Restart, warn_at: None };
    let mut settings = external(64512, NODES[0]);
    settings.maximum_prefix.ipv6 = Some(limit);
    let mut rib = Rib::new(config());
    let announced = |rib: &mut Rib, prefixes: &[&str]| {
        rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], prefixes)).limits.len()
    };
    rib.add_peer(PeerId(2), settings.clone());
    assert_eq!(announced(&mut rib, &["2004::1/128", "2004::2/128"]), 0);
    rib.mark_stale(PeerId(2));
    rib.add_peer(PeerId(2), settings);
    assert_eq!(announced(&mut rib, &["2004::3/128"]), 1, "beside those that are kept");
    rib.sweep_stale(PeerId(2), Family::Ipv6Unicast);
    assert!(!rib.counters(PeerId(2)).unwrap().ipv6.limit_exceeded);
    assert_eq!(announced(&mut rib, &["2004::3/128", "2004::4/128", "2004::5/128"]), 1);
    settle(&mut rib);
    holders::check(&rib);
}

/// RFC 4724 section 4.2: what is announced again is the same, who announces it need not be.
#[test]
fn a_peer_that_is_back_competes_as_what_it_is_now() {
    let back = |rib: &mut Rib, number: u32, change: fn(&mut PeerSettings)| {
        let node = NODES[number as usize - 2];
        let mut settings = external(64512, node);
        change(&mut settings);
        rib.mark_stale(PeerId(number));
        rib.add_peer(PeerId(number), settings);
        rib.receive_update(PeerId(number), &announce(&path(&[64512]), node, &[SERVICE]));
        rib.receive_update(PeerId(number), &end_of_rib(Family::Ipv6Unicast));
        settle(rib);
    };
    let (mut rib, mut kernel) = lab();
    back(&mut rib, 3, |settings| settings.weight = Some(5));
    kernel.pull(&mut rib);
    let shares: Vec<u16> = kernel.0[SERVICE].iter().map(|(_, share)| *share).collect();
    assert_eq!(shares, [1, 5, 1]);

    rib.set_multipath(1, true);
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES[..1]);
    back(&mut rib, 3, |settings| settings.router_id = RouterId::new(1).unwrap());
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES[1..2], "the lowest identifier");
    back(&mut rib, 3, |settings| settings.address = "2001:3200:3200::ff".parse().unwrap());
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES[..1], "the lowest address");
    back(&mut rib, 4, |settings| settings.address = "2001:3200:3200::1:0".parse().unwrap());
    assert!(!rib.has_work());
    holders::check(&rib);
}

/// RFC 4271 section 9.2: what comes from an internal peer goes to no other.
#[test]
fn a_best_path_that_has_become_internal_is_taken_back_from_internal_peers() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(2), external(64512, NODES[0]));
    rib.add_peer(PeerId(9), internal(NODES[2]));
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &[SERVICE]));
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    let mut listener = Receiver::default();
    listener.pull(&mut rib, PeerId(9), 4096);
    assert_eq!(listener.prefixes(), [SERVICE]);
    rib.mark_stale(PeerId(2));
    rib.add_peer(PeerId(2), internal(NODES[0]));
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &[SERVICE]));
    rib.receive_update(PeerId(2), &end_of_rib(Family::Ipv6Unicast));
    settle(&mut rib);
    listener.pull(&mut rib, PeerId(9), 4096);
    assert_eq!(listener.prefixes(), [""; 0]);
    holders::check(&rib);
}

#[test]
fn a_limit_of_one_family_says_nothing_about_the_other() {
    let mut rib = Rib::new(config());
    let limit = MaximumPrefix { limit: 1, action: MaximumPrefixAction::Restart, warn_at: None };
    let mut settings = external(64512, NODES[0]);
    settings.maximum_prefix = bgp_wire::PerFamily { ipv4: Some(limit), ipv6: Some(limit) };
    rib.add_peer(PeerId(2), settings.clone());
    let mut both = announce(&path(&[64512]), NODES[0], &["10.0.0.0/8", "11.0.0.0/8"]);
    both.announced.extend(announce(&path(&[64512]), NODES[0], &[SERVICE]).announced);
    for _ in 0..2 {
        let received = rib.receive_update(PeerId(2), &both);
        let said: Vec<_> = received.limits.iter().map(|reached| (reached.family, reached.level)).collect();
        assert_eq!(said, [(Family::Ipv4Unicast, LimitLevel::Exceeded)]);
        assert_eq!(received.over_limit, 1);
        // A new session starts anew, also over routes that were kept.
        rib.mark_stale(PeerId(2));
        rib.add_peer(PeerId(2), settings.clone());
    }
}

#[test]
fn what_is_announced_carries_our_as_and_does_not_go_back() {
    let mut rib = Rib::new(config());
    let export = Some(Policy::All);
    for (number, node) in (2..).zip(NODES) {
        rib.add_peer(PeerId(number), PeerSettings { export: export.clone(), ..external(64512, node) });
    }
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &[SERVICE]));
    rib.originate(prefix("2001:db8::/32"));
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    let mut receivers: Vec<Receiver> = (0..3).map(|_| Receiver::default()).collect();
    let mut pull = |rib: &mut Rib, at: usize| {
        receivers[at].pull(rib, PeerId(u32::try_from(at).unwrap() + 2), 4096);
        receivers[at].prefixes()
    };
    assert_eq!(pull(&mut rib, 0), ["2001:db8::/32"]);
    assert_eq!(pull(&mut rib, 1), ["2001:db8::/32", SERVICE]);

    // The best path moves to the second node: the first one gets it now, and the second has it taken back.
    rib.receive_update(PeerId(3), &announce(&path(&[64512]), NODES[1], &[SERVICE]));
    rib.receive_update(PeerId(2), &withdraw(&[SERVICE]));
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    assert_eq!(pull(&mut rib, 0), ["2001:db8::/32", SERVICE]);
    assert_eq!(pull(&mut rib, 1), ["2001:db8::/32"]);
    assert_eq!(pull(&mut rib, 2), ["2001:db8::/32", SERVICE]);
    let (attributes, next_hop) = &receivers[2].routes[&prefix(SERVICE)];
    assert_eq!(attributes.as_path, path(&[64513, 64512]).as_path);
    assert_eq!(next_hop.to_string(), "2001:3200:3200::1");
    for (receiver, peer) in receivers.iter().zip(NODES) {
        let (attributes, next_hop) = &receiver.routes[&prefix("2001:db8::/32")];
        assert_eq!((attributes, next_hop.to_string().as_str()), (&path(&[64513]), "2001:3200:3200::1"));
        assert_ne!(next_hop.to_string(), peer, "RFC 4271 section 5.1.3");
    }
    assert_eq!(receivers[2].ends, Family::ALL);
    assert_eq!(rib.advertised(PeerId(4), Family::Ipv6Unicast).count(), 2);
}

#[test]
fn well_known_communities_keep_routes_in() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(1), external(1, "172.50.0.2"));
    rib.add_peer(PeerId(2), PeerSettings { export: Some(Policy::All), ..external(2, "172.50.0.3") });
    rib.add_peer(PeerId(3), internal("172.50.0.4"));
    for (number, community) in [(0, 0xFFFF_FF01), (1, 0xFFFF_FF02), (2, 0xFFFF_FF03), (3, 0x0001_0001)] {
        let attributes = PathAttributes { communities: vec![community], ..path(&[1]) };
        let text = format!("10.0.{number}.0/24");
        rib.receive_update(PeerId(1), &announce(&attributes, "172.50.0.2", &[&text]));
    }
    reachable(&mut rib, &["172.50.0.2"]);
    settle(&mut rib);
    let (mut external, mut internal) = (Receiver::default(), Receiver::default());
    external.pull(&mut rib, PeerId(2), 4096);
    internal.pull(&mut rib, PeerId(3), 4096);
    assert_eq!(external.prefixes(), ["10.0.3.0/24"]);
    assert_eq!(internal.prefixes(), ["10.0.0.0/24", "10.0.2.0/24", "10.0.3.0/24"]);
    let (attributes, next_hop) = &internal.routes[&prefix("10.0.3.0/24")];
    assert_eq!((attributes.local_pref, next_hop.to_string().as_str()), (Some(100), "172.50.0.2"));
    assert_eq!(attributes.communities, [0x0001_0001], "those of others are passed on");
}

#[test]
fn routes_of_internal_peers_do_not_go_to_internal_peers() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(1), internal("172.50.0.2"));
    rib.add_peer(PeerId(2), internal("172.50.0.3"));
    rib.add_peer(PeerId(3), PeerSettings { export: Some(Policy::All), ..external(3, "172.50.0.4") });
    let received = PathAttributes { local_pref: Some(300), med: Some(7), ..path(&[9]) };
    rib.receive_update(PeerId(1), &announce(&received, "172.50.0.2", &["10.0.0.0/8"]));
    reachable(&mut rib, &["172.50.0.2"]);
    settle(&mut rib);
    let (mut internal, mut external) = (Receiver::default(), Receiver::default());
    internal.pull(&mut rib, PeerId(2), 4096);
    external.pull(&mut rib, PeerId(3), 4096);
    assert_eq!((internal.prefixes().len(), external.prefixes().len()), (0, 1));
    let (told, _) = &external.routes[&prefix("10.0.0.0/8")];
    assert_eq!(*told, path(&[64513, 9]), "RFC 4271 section 5.1.4 and 5.1.5: neither LOCAL_PREF nor MED");
}

/// RFC 4271 section 5.1.2 to 5.1.5, RFC 4760 section 3.
#[test]
fn an_internal_peer_is_told_path_and_next_hop_as_they_came_and_a_preference() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(2), external(64512, NODES[0]));
    rib.add_peer(PeerId(4), internal(NODES[2]));
    let received = PathAttributes { med: Some(7), ..path(&[64512]) };
    rib.receive_update(PeerId(2), &announce(&received, NODES[0], &[SERVICE]));
    rib.originate(prefix("2001:db8::/32"));
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    let mut receiver = Receiver::default();
    receiver.pull(&mut rib, PeerId(4), 4096);
    let told = |text: &str| {
        let (attributes, next_hop) = &receiver.routes[&prefix(text)];
        (attributes.clone(), next_hop.to_string())
    };
    let preferred = |attributes| PathAttributes { local_pref: Some(100), ..attributes };
    assert_eq!(told(SERVICE), (preferred(received), NODES[0].to_owned()));
    assert_eq!(told("2001:db8::/32"), (preferred(path(&[])), "2001:3200:3200::1".to_owned()), "ours");
}

/// RFC 4271 section 5.1.1 and 5.1.6: no attribute is lost or changed, and the prefix stays the one that was aggregated.
#[test]
fn an_aggregate_is_passed_on_as_it_is() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(1), external(1, "172.50.0.2"));
    rib.add_peer(PeerId(2), PeerSettings { export: Some(Policy::All), ..external(2, "172.50.0.3") });
    let aggregator = Some(Aggregator { asn: Asn(1), router: [172, 50, 0, 2].into() });
    let origin = Origin::Incomplete;
    let aggregate = |asns| PathAttributes { origin, atomic_aggregate: true, aggregator, ..path(asns) };
    rib.receive_update(PeerId(1), &announce(&aggregate(&[1]), "172.50.0.2", &["10.0.0.0/8"]));
    reachable(&mut rib, &["172.50.0.2"]);
    settle(&mut rib);
    let mut receiver = Receiver::default();
    receiver.pull(&mut rib, PeerId(2), 4096);
    assert_eq!(receiver.prefixes(), ["10.0.0.0/8"]);
    assert_eq!(receiver.routes[&prefix("10.0.0.0/8")].0, aggregate(&[64513, 1]));
}

/// RFC 8092 section 3. In octets, for who reads them leaves out what occurs again.
#[test]
fn a_large_community_that_occurs_again_is_sent_once() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(1), external(1, "172.50.0.2"));
    rib.add_peer(PeerId(2), PeerSettings { export: Some(Policy::All), ..external(2, "172.50.0.3") });
    rib.add_peer(PeerId(3), internal("172.50.0.4"));
    let community = LargeCommunity { global: 0x0101_0101, local1: 0x0202_0202, local2: 0x0303_0303 };
    let twice = PathAttributes { large_communities: vec![community; 2], ..path(&[1]) };
    rib.receive_update(PeerId(1), &announce(&twice, "172.50.0.2", &["10.0.0.0/8"]));
    reachable(&mut rib, &["172.50.0.2"]);
    settle(&mut rib);
    for peer in [2, 3] {
        let mut out = BytesMut::new();
        while rib.next_update(PeerId(peer), &mut out, 4096) {}
        let octets = [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3];
        assert_eq!(out.windows(12).filter(|octets12| *octets12 == octets).count(), 1, "peer {peer}");
    }
}

/// RFC 4360 section 6 and RFC 5701 section 2.
#[test]
fn communities_that_are_not_transitive_stay_inside_the_as() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(1), external(1, "172.50.0.2"));
    rib.add_peer(PeerId(2), PeerSettings { export: Some(Policy::All), ..external(2, "172.50.0.3") });
    rib.add_peer(PeerId(3), internal("172.50.0.4"));
    let extended =
        PathAttributes { extended_communities: vec![[0x00; 8], [0x40; 8], [0x03; 8]], ..path(&[1]) };
    let ipv6 = PathAttributes { ipv6_extended_communities: vec![[0x40; 20], [0x00; 20]], ..path(&[1]) };
    rib.receive_update(PeerId(1), &announce(&extended, "172.50.0.2", &["10.0.0.0/8"]));
    rib.receive_update(PeerId(1), &announce(&ipv6, "172.50.0.2", &["11.0.0.0/8"]));
    reachable(&mut rib, &["172.50.0.2"]);
    settle(&mut rib);
    let (mut outside, mut inside) = (Receiver::default(), Receiver::default());
    outside.pull(&mut rib, PeerId(2), 4096);
    inside.pull(&mut rib, PeerId(3), 4096);
    let told = |receiver: &Receiver, text: &str| {
        let (attributes, _) = receiver.routes[&prefix(text)].clone();
        (attributes.extended_communities, attributes.ipv6_extended_communities)
    };
    assert_eq!(told(&outside, "10.0.0.0/8").0, [[0x00; 8], [0x03; 8]]);
    assert_eq!(told(&outside, "11.0.0.0/8").1, [[0x00; 20]]);
    assert_eq!(told(&inside, "10.0.0.0/8").0, extended.extended_communities);
    assert_eq!(told(&inside, "11.0.0.0/8").1, ipv6.ipv6_extended_communities);
}

/// RFC 8950 section 4.
#[test]
fn an_ipv6_next_hop_of_an_ipv4_route_is_for_those_who_have_agreed_on_it() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(1), external(1, "172.50.0.2"));
    rib.add_peer(PeerId(2), internal("172.50.0.3"));
    let mut able = internal("172.50.0.4");
    able.encode.extended_next_hop.ipv4 = true;
    rib.add_peer(PeerId(3), able);
    rib.receive_update(PeerId(1), &announce(&path(&[1]), NODES[0], &["10.0.0.0/8"]));
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    for (peer, expected) in [(2, "172.50.0.1"), (3, NODES[0])] {
        let mut receiver = Receiver::default();
        receiver.pull(&mut rib, PeerId(peer), 4096);
        assert_eq!(receiver.routes[&prefix("10.0.0.0/8")].1.to_string(), expected, "peer {peer}");
    }
}

/// RFC 2545 section 3. Ours: where a link has no global address, the link-local one is better than none.
#[test]
fn a_link_local_address_is_announced_where_there_is_no_other() {
    let mut rib = Rib::new(config());
    let settings = PeerSettings { export: Some(Policy::All), interface: Some(7), ..external(1, "fe80::2") };
    rib.add_peer(PeerId(1), PeerSettings { local_address: "fe80::1".parse().unwrap(), ..settings });
    rib.originate(prefix("2001:db8::/32"));
    settle(&mut rib);
    let mut receiver = Receiver::default();
    receiver.pull(&mut rib, PeerId(1), 4096);
    let (_, next_hop) = &receiver.routes[&prefix("2001:db8::/32")];
    assert_eq!(next_hop.to_string(), "fe80::1");
}

#[test]
fn a_refresh_sends_everything_again() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(1), PeerSettings { export: Some(Policy::All), ..external(1, "172.50.0.2") });
    rib.originate(prefix("10.0.0.0/8"));
    settle(&mut rib);
    let mut receiver = Receiver::default();
    receiver.pull(&mut rib, PeerId(1), 4096);
    assert_eq!(receiver.messages, 3);
    receiver.pull(&mut rib, PeerId(1), 4096);
    assert_eq!(receiver.messages, 3, "nothing new");
    rib.request_refresh(PeerId(1), Family::Ipv4Unicast);
    settle(&mut rib);
    assert!(rib.peers_with_updates().eq([PeerId(1)]));
    receiver.pull(&mut rib, PeerId(1), 4096);
    assert_eq!(receiver.messages, 4);
}

#[test]
fn a_changed_export_policy_takes_back_what_it_forbids() {
    let mut rib = Rib::new(config());
    let list = PrefixList::new("ten", vec!["permit 10.0.0.0/8".parse().unwrap()]);
    rib.add_peer(PeerId(1), PeerSettings { export: Some(Policy::All), ..external(1, "172.50.0.2") });
    rib.add_peer(PeerId(2), PeerSettings { export: Some(Policy::All), ..external(2, "172.50.0.3") });
    rib.originate(prefix("10.0.0.0/8"));
    rib.originate(prefix("11.0.0.0/8"));
    settle(&mut rib);
    let mut receiver = Receiver::default();
    receiver.pull(&mut rib, PeerId(1), 4096);
    assert_eq!(receiver.prefixes(), ["10.0.0.0/8", "11.0.0.0/8"]);
    rib.set_policy(PeerId(1), Some(Policy::All), Some(Policy::PrefixList(Arc::new(list))));
    receiver.pull_nothing(&mut rib, PeerId(1));
    settle(&mut rib);
    receiver.pull(&mut rib, PeerId(1), 4096);
    assert_eq!(receiver.prefixes(), ["10.0.0.0/8"]);
    rib.set_policy(PeerId(1), Some(Policy::All), None);
    settle(&mut rib);
    receiver.pull(&mut rib, PeerId(1), 4096);
    assert_eq!(receiver.prefixes(), [""; 0]);
    rib.set_policy(PeerId(1), Some(Policy::All), Some(Policy::All));
    settle(&mut rib);
    receiver.pull(&mut rib, PeerId(1), 4096);
    assert_eq!(receiver.prefixes(), ["10.0.0.0/8", "11.0.0.0/8"]);
    holders::check(&rib);
}

impl Receiver {
    /// A new update group is filled before anything is sent: no route is taken back to be announced again.
    fn pull_nothing(&mut self, rib: &mut Rib, id: PeerId) {
        let mut out = BytesMut::new();
        assert!(!rib.next_update(id, &mut out, 4096));
        assert!(out.is_empty());
    }
}

#[test]
fn many_routes_with_the_same_attributes_share_messages() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(1), external(1, "172.50.0.2"));
    let texts: Vec<String> = (0..3000).map(|at| format!("10.{}.{}.0/24", at / 256, at % 256)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    rib.receive_update(PeerId(1), &announce(&path(&[1]), "172.50.0.2", &texts));
    reachable(&mut rib, &["172.50.0.2"]);
    settle(&mut rib);
    rib.add_peer(PeerId(2), PeerSettings { export: Some(Policy::All), ..external(2, "172.50.0.3") });
    settle(&mut rib);
    let mut receiver = Receiver::default();
    receiver.pull(&mut rib, PeerId(2), 10_000);
    assert_eq!(receiver.routes.len(), 3000);
    // Four octets each in messages of 4096.
    assert_eq!(receiver.messages, 3 + 2);
    rib.remove_peer(PeerId(1));
    settle(&mut rib);
    receiver.pull(&mut rib, PeerId(2), 10_000);
    assert_eq!((receiver.routes.len(), receiver.messages), (0, 5 + 3));
    rib.remove_peer(PeerId(2));
    settle(&mut rib);
    let mut kernel = Kernel::default();
    kernel.pull(&mut rib);
    holders::check_empty(&mut rib);
}

#[test]
fn addresses_are_looked_up_by_their_longest_prefix() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(2), external(64512, NODES[0]));
    let all = ["2004::/64", "2004::1/128", "::/0"];
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &all));
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    assert_eq!(Kernel::default().pull(&mut rib), all, "RFC 4271 section 9.1.4: all of them are installed");
    let found = |address: &str| rib.lookup(address.parse().unwrap()).map(|prefix| prefix.to_string());
    assert_eq!(found("2004::1").as_deref(), Some("2004::1/128"));
    assert_eq!(found("2004::2").as_deref(), Some("2004::/64"));
    assert_eq!(found("2005::2").as_deref(), Some("::/0"));
    assert_eq!(found("10.0.0.1"), None);
}

#[test]
fn settings_change_while_the_session_runs() {
    let (mut rib, mut kernel) = lab();
    rib.set_multipath(2, true);
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES[..2]);
    assert_eq!(paths(&rib, SERVICE)[2], (4, "as good as the best, but maximum-paths are in use".to_owned()));

    rib.update_settings(PeerId(2), |settings| settings.import = None);
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES[1..]);

    let mut receiver = Receiver::default();
    rib.update_settings(PeerId(2), |settings| settings.export = Some(Policy::All));
    settle(&mut rib);
    receiver.pull(&mut rib, PeerId(2), 4096);
    assert_eq!((receiver.prefixes(), receiver.messages), (vec![SERVICE.to_owned()], 3));
    rib.update_settings(PeerId(2), |settings| settings.allow_own_as = 3);
    settle(&mut rib);
    receiver.pull(&mut rib, PeerId(2), 4096);
    assert_eq!(receiver.messages, 3, "nothing that it was told has changed");
    holders::check(&rib);
}

#[test]
fn a_refresh_of_the_peer_removes_what_it_does_not_send_again() {
    let (mut rib, mut kernel) = lab();
    rib.update_settings(PeerId(2), |settings| settings.enhanced_route_refresh = true);
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &["2004::2/128"]));
    assert!(rib.begin_refresh(PeerId(2), Family::Ipv6Unicast));
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &[SERVICE]));
    assert!(rib.end_refresh(PeerId(2), Family::Ipv6Unicast));
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES);
    assert!(rib.routes(prefix("2004::2/128")).is_empty());
    holders::check(&rib);
}

/// RFC 4271 section 4.3: the withdrawal of what the same message announces counts for nothing.
#[test]
fn what_one_message_withdraws_and_announces_is_announced() {
    let (mut rib, mut kernel) = lab();
    let mut update = announce(&path(&[64512]), NODES[0], &[SERVICE]);
    update.withdrawn = withdraw(&[SERVICE]).withdrawn;
    rib.receive_update(PeerId(2), &update);
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES);
}

/// RFC 4271 section 4.3 and RFC 8654 section 5: what fits into no message is not sent, and taken back where it was.
#[test]
fn attributes_that_fit_into_no_message_take_the_route_back() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(1), external(1, "172.50.0.2"));
    rib.add_peer(PeerId(2), PeerSettings { export: Some(Policy::All), ..external(2, "172.50.0.3") });
    reachable(&mut rib, &["172.50.0.2"]);
    let mut receiver = Receiver::default();
    for (count, expected) in [(1000, 1), (1020, 0), (1000, 1)] {
        let attributes = PathAttributes { communities: (0..count).collect(), ..path(&[1]) };
        rib.receive_update(PeerId(1), &announce(&attributes, "172.50.0.2", &["10.0.0.0/8"]));
        reachable(&mut rib, &["172.50.0.2"]);
        settle(&mut rib);
        receiver.pull(&mut rib, PeerId(2), 4096);
        assert_eq!(receiver.prefixes().len(), expected, "{count} communities");
    }
    holders::check(&rib);
}

/// RFC 4271 section 9.1.2.1 and 9.2: nothing is announced that we could not forward.
#[test]
fn a_path_without_a_way_to_its_next_hop_is_not_announced() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(1), external(1, "172.50.0.2"));
    rib.add_peer(PeerId(2), PeerSettings { export: Some(Policy::All), ..external(2, "172.50.0.3") });
    rib.receive_update(PeerId(1), &announce(&path(&[1]), "172.50.0.2", &["10.0.0.0/8"]));
    settle(&mut rib);
    let mut receiver = Receiver::default();
    receiver.pull(&mut rib, PeerId(2), 4096);
    assert_eq!(receiver.prefixes(), [""; 0]);
    reachable(&mut rib, &["172.50.0.2"]);
    settle(&mut rib);
    receiver.pull(&mut rib, PeerId(2), 4096);
    assert_eq!(receiver.prefixes(), ["10.0.0.0/8"]);
    rib.set_reachability(scoped("172.50.0.2"), Reachability::Unreachable("gone".into()));
    settle(&mut rib);
    receiver.pull(&mut rib, PeerId(2), 4096);
    assert_eq!(receiver.prefixes(), [""; 0]);
}

/// RFC 4271 section 9.1.2.1. Ours: a route of BGP leads to no next hop; what does is the kernel's to say.
#[test]
fn no_next_hop_is_resolved_through_a_route_of_bgp() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(1), external(1, "172.50.0.2"));
    rib.receive_update(PeerId(1), &announce(&path(&[1]), "172.50.0.2", &["10.0.0.0/8"]));
    rib.receive_update(PeerId(1), &announce(&path(&[1]), "10.0.0.1", &["192.0.2.0/24", "10.0.0.1/32"]));
    reachable(&mut rib, &["172.50.0.2"]);
    settle(&mut rib);
    assert_eq!(Kernel::default().pull(&mut rib), ["10.0.0.0/8"]);
    for text in ["192.0.2.0/24", "10.0.0.1/32"] {
        assert_eq!(paths(&rib, text), [(1, "next hop is not resolved yet".to_owned())]);
    }
}

/// RFC 4271 section 9.1.2.2 c): a route without MED has the lowest one.
#[test]
fn a_missing_med_is_the_lowest() {
    let mut rib = Rib::new(config());
    let hops = ["172.50.0.2", "172.50.0.3"];
    for (number, hop, med) in [(1, hops[0], Some(1)), (2, hops[1], None)] {
        rib.add_peer(PeerId(number), external(1, hop));
        let attributes = PathAttributes { med, ..path(&[1]) };
        rib.receive_update(PeerId(number), &announce(&attributes, hop, &["10.0.0.0/8"]));
    }
    reachable(&mut rib, &hops);
    settle(&mut rib);
    let expected = [(2, "lowest MED".to_owned()), (1, "higher MED from the same neighbouring AS".to_owned())];
    assert_eq!(paths(&rib, "10.0.0.0/8"), expected);
}

#[test]
fn a_group_that_comes_while_a_peer_is_away_hears_of_its_routes_when_it_is_back() {
    let mut rib = Rib::new(config());
    let (home, other) = (NODES[0], NODES[1]);
    let come = |rib: &mut Rib| {
        rib.add_peer(PeerId(2), external(64512, home));
        rib.receive_update(PeerId(2), &announce(&path(&[64512]), home, &[SERVICE]));
    };
    come(&mut rib);
    rib.add_peer(PeerId(4), external(64512, other));
    rib.receive_update(PeerId(4), &announce(&path(&[64512]), other, &["2004::2/128"]));
    reachable(&mut rib, &NODES);
    settle(&mut rib);

    rib.remove_peer(PeerId(2));
    rib.remove_peer(PeerId(4));
    let listener = PeerSettings { export: Some(Policy::All), ..external(64514, NODES[2]) };
    rib.add_peer(PeerId(3), listener);
    // The new group is filled, and what the first peer left is not looked at yet.
    rib.decide(10);
    come(&mut rib);
    settle(&mut rib);
    let mut heard = Receiver::default();
    heard.pull(&mut rib, PeerId(3), usize::MAX);
    assert_eq!(heard.prefixes(), [SERVICE]);
}

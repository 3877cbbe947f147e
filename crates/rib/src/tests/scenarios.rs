//! What happens to routes, told as an operator would tell it.

use std::sync::Arc;

use bgp_policy::{Policy, PrefixList};

use super::*;
use crate::{NoExport, Watch};

pub(super) const SERVICE: &str = "2004::1/128";
pub(super) const NODES: [&str; 3] = ["2001:3200:3200::2", "2001:3200:3200::3", "2001:3200:3200::4"];

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

/// RFC 4271 section 9.1.2 and 9.1.2.2 e).
#[test]
fn another_cost_of_the_way_to_a_next_hop_decides_again() {
    let mut rib = Rib::new(config());
    rib.set_multipath(1, true);
    for (number, node) in (2..).zip(NODES).take(2) {
        rib.add_peer(PeerId(number), external(64512, node));
        rib.receive_update(PeerId(number), &announce(&path(&[64512]), node, &[SERVICE]));
    }
    let mut kernel = Kernel::default();
    for (metrics, best) in [([5, 3], 1), ([1, 3], 0), ([1, 0], 1)] {
        for (node, metric) in NODES.into_iter().zip(metrics) {
            rib.set_reachability(scoped(node), Reachability::Reachable { metric });
        }
        settle(&mut rib);
        kernel.pull(&mut rib);
        assert_eq!(kernel.hops(SERVICE), NODES[best..=best], "{metrics:?}");
    }
    holders::check(&rib);
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

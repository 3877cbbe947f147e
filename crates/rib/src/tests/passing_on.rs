//! What peers are told of routes, and what is taken back from them.

use std::sync::Arc;

use bgp_policy::{Policy, PrefixList};
use bgp_wire::attribute::{Aggregator, LargeCommunity, Origin};

use super::scenarios::{NODES, SERVICE};
use super::*;

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

//! The main job: Cilium nodes (real gobgpd) on the bridge, their service addresses as ECMP routes in the kernel.
#![cfg(feature = "labs")]

use std::collections::BTreeSet;

use anyhow::Result;
use interop::daemon::Daemon;
use interop::gobgp::{Families, Gobgp, Settings, Transport};
use interop::haproxy;
use interop::http::curl;
use interop::kernel::{gateways, nexthops, routes_of_protocol, routes_to};
use interop::lab::{Lab, Node};
use interop::wait::{PATIENCE, seconds};

/// The only route to a prefix is ours: protocol bgp, metric 20, by a group of one nexthop object per node.
fn assert_route_by_group(lab: &Lab, prefix: &str) -> Result<()> {
    let routes = routes_to(&lab.host, prefix)?;
    assert_eq!(routes.len(), 1, "{routes:?}");
    assert_eq!((routes[0].protocol.as_str(), routes[0].metric), ("bgp", 20), "{routes:?}");
    let objects = nexthops(&lab.host)?;
    let group = objects.iter().find(|object| Some(object.id) == routes[0].nexthop_id);
    let members = group.map(|group| group.members.clone()).unwrap_or_default();
    let via: BTreeSet<_> = objects
        .iter()
        .filter(|object| members.contains(&object.id))
        .filter_map(|object| object.gateway.clone())
        .collect();
    assert_eq!(via, routes[0].gateways, "{objects:?}");
    Ok(())
}

fn assert_all_answer(lab: &Lab, answers: &std::collections::BTreeMap<String, usize>) {
    let names: BTreeSet<_> = answers.keys().cloned().collect();
    let nodes: BTreeSet<_> = lab.nodes.iter().map(|node| node.name.clone()).collect();
    assert_eq!(names, nodes, "{answers:?}");
}

#[test]
fn ipv6_transport_with_the_same_router_id_everywhere() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let daemon = Daemon::start_k3d(&lab)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    assert_route_by_group(&lab, "2004::1")?;
    for node in &lab.nodes {
        let peer = daemon.neighbor(&node.v6())?;
        assert_eq!(peer["state"], "established", "{peer}");
        assert_eq!(peer["remote_as"], 64512, "{peer}");
        assert_eq!(peer["negotiated"]["router_id"], "172.50.0.1", "{peer}");
        assert_eq!(peer["negotiated"]["hostname"], node.name.as_str(), "{peer}");
        assert_eq!(peer["listen_range"], "2001:3200:3200::/64", "{peer}");
    }
    assert_all_answer(&lab, &curl(&lab.host, "http://[2004::1]/", 90)?);
    let _haproxy = haproxy::start(&lab, "2004::1")?;
    assert_all_answer(&lab, &curl(&lab.host, haproxy::URL, 90)?);
    let forwarded = curl(lab.client()?, "http://[2004::1]/", 90)?;
    assert_all_answer(&lab, &forwarded);
    Ok(())
}

#[test]
fn ipv4_transport_where_ipv6_next_hops_are_mapped() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    lab.add_service("198.18.0.1")?;
    let daemon = Daemon::start_k3d(&lab)?;
    let settings = Settings { transport: Transport::V4, families: Families::Both, ..Settings::default() };
    let _nodes = Gobgp::start_all(&lab, &settings, &["2004::1/128", "198.18.0.1/32"])?;
    lab.expect_all_nodes("2004::1", seconds(40))?;
    assert_route_by_group(&lab, "2004::1")?;
    let v4: Vec<_> = lab.nodes.iter().map(Node::v4).collect();
    lab.expect_gateways("198.18.0.1", &v4, PATIENCE)?;
    let path = daemon.path("2004::1/128", "172.50.0.2")?;
    assert_eq!(path["next_hop"], "::ffff:172.50.0.2", "{path}");
    let nexthops = daemon.ctl("show nexthops")?;
    assert!(nexthops.contains("::ffff:172.50.0.2") && nexthops.contains("2001:3200:3200::2"), "{nexthops}");
    assert_all_answer(&lab, &curl(&lab.host, "http://[2004::1]/", 90)?);
    assert_all_answer(&lab, &curl(&lab.host, "http://198.18.0.1/", 90)?);
    Ok(())
}

#[test]
fn mapped_next_hops_stay_unused_when_switched_off() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let config = std::fs::read_to_string(interop::daemon::k3d())? + "resolve-mapped-next-hops = false\n";
    let daemon = Daemon::start(&lab, &config)?;
    let settings = Settings { transport: Transport::V4, families: Families::Both, ..Settings::default() };
    let _nodes = Gobgp::start_all(&lab, &settings, &["2004::1/128", "198.18.0.1/32"])?;
    lab.expect_gateways("198.18.0.1", &[lab.nodes[0].v4()], seconds(40))?;
    lab.until("the path is there and not used", PATIENCE, || {
        Ok(daemon.path("2004::1/128", "172.50.0.2")?["status"] == "unreachable")
    })?;
    assert!(gateways(&lab.host, "2004::1")?.is_empty());
    Ok(())
}

#[test]
fn both_transports_at_once() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let daemon = Daemon::start_k3d(&lab)?;
    let settings = Settings { transport: Transport::Both, families: Families::Both, ..Settings::default() };
    let _nodes = Gobgp::start_all(&lab, &settings, &["2004::1/128"])?;
    let peers: Vec<_> = lab.nodes.iter().flat_map(|node| [node.v6(), node.v4()]).collect();
    daemon.expect_established(&lab, &peers)?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    for peer in &peers {
        lab.until(&format!("the path by {peer} is in use"), PATIENCE, || {
            let path = daemon.path("2004::1/128", peer)?;
            Ok(path["status"] == "best" || path["status"] == "multipath")
        })?;
    }
    assert_route_by_group(&lab, "2004::1")?;
    assert_all_answer(&lab, &curl(&lab.host, "http://[2004::1]/", 90)?);
    Ok(())
}

#[test]
fn ipv4_services_over_ipv6_transport() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    lab.add_service("198.18.0.1")?;
    let _daemon = Daemon::start_k3d(&lab)?;
    let settings = Settings { families: Families::Both, ..Settings::default() };
    let _nodes = Gobgp::start_all(&lab, &settings, &["198.18.0.1/32"])?;
    lab.expect_all_nodes("198.18.0.1", PATIENCE)?;
    assert_all_answer(&lab, &curl(&lab.host, "http://198.18.0.1/", 90)?);
    Ok(())
}

#[test]
fn services_come_and_go_one_three_ten() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let nodes = Gobgp::start_all(&lab, &Settings::default(), &[])?;
    let peers = lab.v6();
    daemon.expect_established(&lab, &peers)?;
    for (from, to) in [(1, 1), (2, 3), (4, 10)] {
        for service in from..=to {
            lab.add_service(&format!("2004::{service:x}"))?;
            nodes.iter().try_for_each(|node| node.announce(&format!("2004::{service:x}/128")))?;
        }
        for service in 1..=to {
            lab.expect_all_nodes(&format!("2004::{service:x}"), PATIENCE)?;
        }
        assert_eq!(routes_of_protocol(&lab.host, "bgp")?.len(), to);
        assert_all_answer(&lab, &curl(&lab.host, &format!("http://[2004::{to:x}]/"), 60)?);
    }
    let groups: BTreeSet<_> =
        routes_of_protocol(&lab.host, "bgp")?.into_iter().map(|route| route.nexthop_id).collect();
    assert_eq!(groups.len(), 1, "one group serves all: {groups:?}");

    // externalTrafficPolicy Local: the last backend on node 2 goes, then all of them.
    nodes[0].withdraw("2004::1/128")?;
    lab.expect_gateways("2004::1", &peers[1..], PATIENCE)?;
    lab.expect_all_nodes("2004::2", PATIENCE)?;
    nodes[1].withdraw("2004::1/128")?;
    lab.expect_gateways("2004::1", &peers[2..], PATIENCE)?;
    nodes[2].withdraw("2004::1/128")?;
    lab.expect_gateways("2004::1", &[], PATIENCE)?;
    assert_eq!(routes_of_protocol(&lab.host, "bgp")?.len(), 9);
    nodes[0].announce("2004::1/128")?;
    lab.expect_gateways("2004::1", &peers[..1], PATIENCE)?;
    Ok(())
}

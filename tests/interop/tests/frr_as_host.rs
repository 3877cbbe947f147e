//! What FRR does as the host's daemon, in the same lab: the yardstick, and the proof that the lab is sound.
#![cfg(feature = "labs")]

use anyhow::Result;
use interop::frr::Frr;
use interop::gobgp::{Gobgp, Settings, Transport};
use interop::haproxy;
use interop::http::curl;
use interop::kernel::{gateways, routes_to};
use interop::lab::Lab;
use interop::wait::PATIENCE;

const CONFIG: &str = "router bgp 64513
 bgp router-id 172.50.0.1
 no bgp ebgp-requires-policy
 neighbor cilium peer-group
 neighbor cilium remote-as 64512
 bgp listen range 2001:3200:3200::/64 peer-group cilium
 bgp listen range 172.50.0.0/16 peer-group cilium
 address-family ipv6 unicast
  neighbor cilium activate
 exit-address-family
";

#[test]
fn frr_balances_over_the_nodes_by_ipv6_transport() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let _frr = Frr::start(&lab, &lab.host, CONFIG)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let routes = routes_to(&lab.host, "2004::1")?;
    assert_eq!((routes[0].protocol.as_str(), routes[0].metric), ("bgp", 20));
    // What comes through the host is spread; what the host itself asks goes to one node while hashing is by layer 3.
    let answers = curl(lab.client()?, "http://[2004::1]/", 60)?;
    assert_eq!(answers.len(), 3, "{answers:?}");
    let _haproxy = haproxy::start(&lab, "2004::1")?;
    for (policy, nodes) in [("0", 1), ("1", 3)] {
        lab.host.sysctl("net.ipv6.fib_multipath_hash_policy", policy)?;
        for url in ["http://[2004::1]/", haproxy::URL] {
            let answers = curl(&lab.host, url, 60)?;
            assert_eq!(answers.len(), nodes, "policy {policy}, {url}: {answers:?}");
        }
    }
    Ok(())
}

#[test]
fn frr_has_no_route_by_ipv4_transport() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let frr = Frr::start(&lab, &lab.host, CONFIG)?;
    let settings = Settings { transport: Transport::V4, ..Settings::default() };
    let _nodes = Gobgp::start_all(&lab, &settings, &["2004::1/128"])?;
    lab.until("FRR has the route with the mapped next hop", PATIENCE, || {
        Ok(frr.vtysh("show bgp ipv6 unicast 2004::1/128")?.contains("::ffff:ac32:2"))
    })?;
    assert_eq!(gateways(&lab.host, "2004::1")?.len(), 0);
    Ok(())
}

//! Sessions and routes both ways with FRR, BIRD, OpenBGPD and ExaBGP.
//!
//! Each of them stands on node 2 with AS 64512 and announces 2001:db8:2::/48 and 198.51.100.0/24; the host announces
//! 2001:db8:100::/48 and 203.0.113.0/24. The proof is the route in the host's kernel and, at the other side, what the
//! peer itself shows.
#![cfg(feature = "labs")]

use std::collections::BTreeSet;

use anyhow::Result;
use interop::bird::Bird;
use interop::daemon::Daemon;
use interop::exabgp::Exabgp;
use interop::frr::Frr;
use interop::kernel::gateways;
use interop::lab::Lab;
use interop::openbgpd::Openbgpd;
use interop::wait::{PATIENCE, seconds};

const HOST: &str = r#"[bgp]
asn = 64513
router-id = "172.50.0.1"
networks = ["2001:db8:100::/48", "203.0.113.0/24"]

[peer-group.lab]
remote-asn = 64512
import = "all"
export = "all"

[neighbor."2001:3200:3200::2"]
peer-group = "lab"
families = ["ipv6-unicast"]

[neighbor."172.50.0.2"]
peer-group = "lab"
families = ["ipv4-unicast"]
"#;

const FRR: &str = "ip route 198.51.100.0/24 Null0
router bgp 64512
 bgp router-id 172.50.0.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 2001:3200:3200::1 remote-as 64513
 neighbor 172.50.0.1 remote-as 64513
 address-family ipv4 unicast
  no neighbor 2001:3200:3200::1 activate
  network 198.51.100.0/24
 exit-address-family
 address-family ipv6 unicast
  neighbor 2001:3200:3200::1 activate
  network 2001:db8:2::/48
 exit-address-family
";

const BIRD: &str = r#"log stderr all;
router id 172.50.0.2;
protocol device {}
protocol direct { ipv4; ipv6; interface "eth0"; }
protocol static { ipv6; route 2001:db8:2::/48 unreachable; }
protocol static { ipv4; route 198.51.100.0/24 unreachable; }
filter own { if source = RTS_STATIC then accept; reject; }
protocol bgp host6 {
  local 2001:3200:3200::2 as 64512;
  neighbor 2001:3200:3200::1 as 64513;
  ipv6 { import all; export filter own; };
}
protocol bgp host4 {
  local 172.50.0.2 as 64512;
  neighbor 172.50.0.1 as 64513;
  ipv4 { import all; export filter own; };
}
"#;

const OPENBGPD: &str = "AS 64512
router-id 172.50.0.2
network 2001:db8:2::/48
network 198.51.100.0/24
neighbor 2001:3200:3200::1 {
  remote-as 64513
  announce IPv6 unicast
  announce IPv4 none
}
neighbor 172.50.0.1 {
  remote-as 64513
  announce IPv4 unicast
}
allow from any
allow to any
";

const EXABGP: &str = "2001:3200:3200::1 {
  router-id 172.50.0.2;
  local-address 2001:3200:3200::2;
  local-as 64512;
  peer-as 64513;
  family { ipv6 unicast; }
  static { route 2001:db8:2::/48 next-hop 2001:3200:3200::2; }
  api { processes [ listener ]; receive { parsed; update; } }
}
neighbor 172.50.0.1 {
  router-id 172.50.0.2;
  local-address 172.50.0.2;
  local-as 64512;
  peer-as 64513;
  family { ipv4 unicast; }
  static { route 198.51.100.0/24 next-hop 172.50.0.2; }
  api { processes [ listener ]; receive { parsed; update; } }
}
";

/// The host's kernel has the peer's routes.
fn expect_their_routes(lab: &Lab) -> Result<()> {
    // BIRD's next hop has a link-local address too, and either of the two is right.
    let global = BTreeSet::from([lab.nodes[0].v6()]);
    let link_local = BTreeSet::from(["fe80::42:acff:fe32:2".to_owned()]);
    lab.until("the IPv6 route leads to the peer", seconds(40), || {
        let found = gateways(&lab.host, "2001:db8:2::/48")?;
        Ok(found == global || found == link_local)
    })?;
    lab.expect_gateways("198.51.100.0/24", &[lab.nodes[0].v4()], seconds(40))?;
    Ok(())
}

/// When the peer ends, its routes go; the session is the only reason for them.
fn expect_no_routes(lab: &Lab) -> Result<()> {
    lab.until("the peer's routes are gone", PATIENCE, || {
        Ok(gateways(&lab.host, "2001:db8:2::/48")?.is_empty()
            && gateways(&lab.host, "198.51.100.0/24")?.is_empty())
    })?;
    Ok(())
}

#[test]
fn frr() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let _daemon = Daemon::start(&lab, HOST)?;
    let frr = Frr::start(&lab, &lab.nodes[0].namespace, FRR)?;
    expect_their_routes(&lab)?;
    lab.until("FRR has our routes", PATIENCE, || {
        let v6 = frr.vtysh("show bgp ipv6 unicast 2001:db8:100::/48")?;
        let v4 = frr.vtysh("show bgp ipv4 unicast 203.0.113.0/24")?;
        Ok([v6, v4].iter().all(|shown| shown.contains("64513") && shown.contains("best")))
    })?;
    drop(frr);
    expect_no_routes(&lab)
}

/// RFC 8326: before maintenance FRR is told to look for other ways, and the session stays.
#[test]
fn frr_is_told_before_a_session_is_closed() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let mut daemon = Daemon::start(&lab, HOST)?;
    let frr = Frr::start(&lab, &lab.nodes[0].namespace, FRR)?;
    let shown = || frr.vtysh("show bgp ipv6 unicast 2001:db8:100::/48");
    lab.until("FRR has our route", PATIENCE, || Ok(shown()?.contains("64513")))?;
    assert!(!shown()?.contains("graceful-shutdown"));
    daemon.write_config(&HOST.replace("export = \"all\"", "export = \"all\"\ngraceful-shutdown = true"))?;
    daemon.ctl("reload")?;
    lab.until("FRR knows that we are about to go", PATIENCE, || {
        Ok(shown()?.contains("Community: graceful-shutdown") && shown()?.contains("localpref 0"))
    })?;
    daemon.write_config(HOST)?;
    daemon.ctl("reload")?;
    lab.until("FRR knows that we stay", PATIENCE, || Ok(!shown()?.contains("graceful-shutdown")))?;
    by_command(&lab, &mut daemon, &shown)?;
    assert_eq!(daemon.neighbor(&lab.nodes[0].v6())?["flaps"], 0);
    Ok(())
}

/// The same by command, for one neighbour and for all; it outlives a reload and another process.
fn by_command(lab: &Lab, daemon: &mut Daemon, shown: &dyn Fn() -> Result<String>) -> Result<()> {
    let peer = lab.nodes[0].v6();
    let told = |wanted: bool| {
        lab.until(&format!("FRR is told: {wanted}"), PATIENCE, || {
            let shown = shown()?;
            Ok(shown.contains("Community: graceful-shutdown") == wanted && shown.contains("64513"))
        })
    };
    let said = daemon.ctl(&format!("neighbor {peer} graceful-shutdown"))?;
    assert!(said.contains("the session stays; all that it is told carries GRACEFUL_SHUTDOWN"), "{said}");
    told(true)?;
    assert!(daemon.ctl("show neighbors")?.contains("is told GRACEFUL_SHUTDOWN, ordered by bgpctl"));
    assert_eq!(daemon.neighbor("172.50.0.2")?["graceful_shutdown"], serde_json::Value::Null);
    daemon.write_config(&HOST.replace("[peer-group.lab]", "[peer-group.lab]\nweight = 2"))?;
    daemon.ctl("reload")?;
    daemon.replace(lab)?;
    assert_eq!(daemon.neighbor(&peer)?["graceful_shutdown"], "ordered by bgpctl");
    told(true)?;
    daemon.ctl(&format!("neighbor {peer} no-graceful-shutdown"))?;
    told(false)?;
    daemon.ctl("neighbor all graceful-shutdown")?;
    told(true)?;
    assert_eq!(daemon.neighbor("172.50.0.2")?["graceful_shutdown"], "ordered by bgpctl");
    let refused = daemon.ctl_output(&format!("neighbor {peer} no-graceful-shutdown"))?;
    assert!(String::from_utf8(refused.stderr)?.contains("ordered for all neighbors"));
    daemon.ctl("neighbor all no-graceful-shutdown")?;
    told(false)?;
    assert_eq!(daemon.neighbor(&peer)?["graceful_shutdown"], serde_json::Value::Null);
    assert!(!daemon.ctl_output("neighbor all reset")?.status.success(), "one at a time");
    Ok(())
}

/// RFC 7313: what FRR asks for again comes between BoRR and EoRR, and no route is lost by it.
#[test]
fn frr_gets_its_refresh_in_brackets() -> Result<()> {
    const HOST_ADDRESS: &str = "2001:3200:3200::1";
    let lab = Lab::with_nodes(1)?;
    let _daemon = Daemon::start(&lab, HOST)?;
    let frr = Frr::start(&lab, &lab.nodes[0].namespace, FRR)?;
    let has_route = || Ok(frr.vtysh("show bgp ipv6 unicast 2001:db8:100::/48")?.contains("64513"));
    lab.until("FRR has our route", PATIENCE, has_route)?;
    frr.vtysh(&format!("clear bgp ipv6 unicast {HOST_ADDRESS} soft in"))?;
    lab.until("FRR has both brackets", PATIENCE, || {
        let all = frr.json(&format!("show bgp neighbors {HOST_ADDRESS}"))?;
        Ok(all[HOST_ADDRESS]["messageStats"]["routeRefreshRecv"] == 2)
    })?;
    assert!(has_route()?, "the route came again");
    assert_eq!(frr.neighbor_state(HOST_ADDRESS)?, "Established");
    Ok(())
}

#[test]
fn bird() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let _daemon = Daemon::start(&lab, HOST)?;
    let bird = Bird::start(&lab, &lab.nodes[0].namespace, BIRD)?;
    expect_their_routes(&lab)?;
    lab.until("BIRD has our routes", PATIENCE, || {
        let v6 = bird.ask("show route all 2001:db8:100::/48")?;
        let v4 = bird.ask("show route all 203.0.113.0/24")?;
        Ok([v6, v4].iter().all(|shown| shown.contains("BGP.as_path: 64513")))
    })?;
    drop(bird);
    expect_no_routes(&lab)
}

#[test]
fn openbgpd() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let _daemon = Daemon::start(&lab, HOST)?;
    let openbgpd = Openbgpd::start(&lab, &lab.nodes[0].namespace, OPENBGPD)?;
    expect_their_routes(&lab)?;
    lab.until("OpenBGPD has our routes", PATIENCE, || {
        let v6 = openbgpd.ask("show rib 2001:db8:100::/48")?;
        let v4 = openbgpd.ask("show rib 203.0.113.0/24")?;
        Ok([v6, v4].iter().all(|shown| shown.contains("64513")))
    })?;
    drop(openbgpd);
    expect_no_routes(&lab)
}

#[test]
fn exabgp() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let _daemon = Daemon::start(&lab, HOST)?;
    let mut exabgp = Exabgp::start(&lab, &lab.nodes[0].namespace, EXABGP)?;
    expect_their_routes(&lab)?;
    lab.until("ExaBGP has heard our routes", PATIENCE, || {
        let heard = exabgp.heard()?;
        Ok(heard.contains("2001:db8:100::/48") && heard.contains("203.0.113.0/24"))
    })?;
    drop(exabgp);
    expect_no_routes(&lab)
}

//! Long-lived graceful restart, RFC 9494: a GoBGP agent that stays away, BIRD that understands, and a peer that does not.
#![cfg(feature = "labs")]

use anyhow::Result;
use interop::bird::Bird;
use interop::daemon::Daemon;
use interop::flows;
use interop::gobgp::{Gobgp, Settings};
use interop::kernel::gateways;
use interop::lab::Lab;
use interop::load::Load;
use interop::wait::{PATIENCE, seconds};

const HOST: &str = r#"[bgp]
asn = 64513
router-id = "172.50.0.1"

[peer-group.nodes]
remote-asn = "external"
listen-range = ["2001:3200:3200::/64"]
import = "all"
export = "all"
graceful-restart = { mode = "helper", long-lived-stale-time = 600 }
"#;

const BIRD: &str = r#"router id 172.50.0.3;
protocol device {}
protocol bgp host {
  local 2001:3200:3200::3 as 64999;
  neighbor 2001:3200:3200::1 as 64513;
  graceful restart on;
  long lived graceful restart on;
  long lived stale time 600;
  ipv6 { import all; export none; };
}
"#;

/// How many routes of IPv6 a peer has from us.
fn advertised(daemon: &Daemon, address: &str) -> Result<u64> {
    daemon.counted(address, "ipv6-unicast", "advertised")
}

#[test]
fn an_agent_that_stays_away_is_the_last_choice_and_comes_back_as_it_was() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let daemon = Daemon::start(&lab, HOST)?;
    let bird = Bird::start(&lab, &lab.nodes[1].namespace, BIRD)?;
    let able = Settings { restart_time: 3, long_lived: Some(300), ..Settings::graceful() };
    let mut agent = Gobgp::start(&lab, &lab.nodes[0], &able)?;
    let _unable = Gobgp::start(&lab, &lab.nodes[2], &Settings::default())?;
    agent.announce("2004::1/128")?;
    let node = lab.nodes[0].v6();
    lab.expect_gateways("2004::1", std::slice::from_ref(&node), PATIENCE)?;
    lab.until("BIRD and the other node have the route", PATIENCE, || {
        let shown = bird.ask("show route all 2004::1/128")?;
        Ok(shown.contains("64513 64512") && advertised(&daemon, &lab.nodes[2].v6())? == 1)
    })?;
    assert!(daemon.ctl("show neighbors")?.contains(&node));
    let _backends = flows::start_backends(&lab)?;
    let load = Load::start(&mut lab, "2004::1")?;

    agent.crash()?;
    lab.until("its route is long-lived stale", PATIENCE, || {
        Ok(daemon.path("2004::1/128", &node)?["long_lived_stale"] == true)
    })?;
    assert!(daemon.ctl("show routes 2004::1/128")?.contains("long-lived stale"));
    assert_eq!(gateways(&lab.host, "2004::1")?.into_iter().collect::<Vec<_>>(), std::slice::from_ref(&node));
    lab.until("BIRD is told so, and the other node is told nothing any more", PATIENCE, || {
        let shown = bird.ask("show route all 2004::1/128")?;
        Ok(shown.contains("(65535,6)") && advertised(&daemon, &lab.nodes[2].v6())? == 0)
    })?;

    agent.start_again(&lab.nodes[0])?;
    agent.announce("2004::1/128")?;
    lab.until("everything is as it was", seconds(60), || {
        let path = daemon.path("2004::1/128", &node)?;
        let shown = bird.ask("show route all 2004::1/128")?;
        let fresh = path["stale"] == false && path["long_lived_stale"] == false;
        let told = shown.contains("64513 64512") && !shown.contains("(65535,6)");
        Ok(fresh && told && advertised(&daemon, &lab.nodes[2].v6())? == 1)
    })?;
    load.finish("an agent away for longer than its restart time, and back")?.expect_none();
    Ok(())
}

#[test]
fn without_the_capability_of_both_it_ends_with_the_restart_time() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let daemon = Daemon::start(&lab, HOST)?;
    // Long enough to be seen.
    let unable = Settings { restart_time: 15, ..Settings::graceful() };
    let mut agent = Gobgp::start(&lab, &lab.nodes[0], &unable)?;
    agent.announce("2004::1/128")?;
    let node = lab.nodes[0].v6();
    lab.expect_gateways("2004::1", std::slice::from_ref(&node), PATIENCE)?;
    agent.crash()?;
    lab.until("the path is stale", PATIENCE, || Ok(daemon.path("2004::1/128", &node)?["stale"] == true))?;
    lab.expect_gateways("2004::1", &[], seconds(60))?;
    Ok(())
}

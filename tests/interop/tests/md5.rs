//! TCP MD5 (RFC 2385): for one neighbour, for a listen range, with the wrong password, and with one that changes.
#![cfg(feature = "labs")]

use anyhow::{Context, Result};
use interop::daemon::Daemon;
use interop::frr::Frr;
use interop::gobgp::{Gobgp, Settings, Transport};
use interop::lab::{HOST_V4, Lab};
use interop::sockets;
use interop::wait::{PATIENCE, seconds};

fn with_password(password: &str) -> Settings {
    Settings { password: Some(password.to_owned()), ..Settings::default() }
}

const RANGE: &str = r#"[bgp]
asn = 64513
router-id = "172.50.0.1"

[peer-group.cilium]
remote-asn = 64512
listen-range = ["172.50.0.0/16", "2001:3200:3200::/64"]
import = "all"
password = "cilium123"
"#;

const NEIGHBOR: &str = r#"[bgp]
asn = 64513
router-id = "172.50.0.1"

[neighbor."2001:3200:3200::2"]
remote-asn = 64512
import = "all"
password = "cilium123"

[neighbor."2001:3200:3200::3"]
remote-asn = 64512
import = "all"
"#;

#[test]
fn a_range_takes_who_knows_the_password() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    let daemon = Daemon::start(&lab, RANGE)?;
    let wrong = Gobgp::start(&lab, &lab.nodes[0], &with_password("guessed"))?;
    wrong.announce("2004::1/128")?;
    let right = Gobgp::start(&lab, &lab.nodes[1], &with_password("cilium123"))?;
    right.announce("2004::1/128")?;
    let by_v4 = Settings { transport: Transport::V4, ..with_password("cilium123") };
    let _third = Gobgp::start(&lab, &lab.nodes[2], &by_v4)?;
    daemon.expect_established(&lab, &[lab.nodes[1].v6(), lab.nodes[2].v4()])?;
    lab.expect_gateways("2004::1", &[lab.nodes[1].v6()], PATIENCE)?;
    assert_eq!(daemon.neighbor(&lab.nodes[1].v6())?["transport"]["md5"], true);
    // The wrong one has tried (its kernel counts what the host's refused) and got nothing.
    lab.until("the host's kernel refuses the wrong password", PATIENCE, || {
        let counters = lab.host.run("nstat -asz TcpExtTCPMD5Failure")?;
        Ok(counters.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some("TcpExtTCPMD5Failure") && words.next().is_some_and(|count| count != "0")
        }))
    })?;
    assert_ne!(daemon.state(&lab.nodes[0].v6())?, "established");
    Ok(())
}

#[test]
fn a_neighbour_with_a_password_beside_one_without() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let daemon = Daemon::start(&lab, NEIGHBOR)?;
    let _with = Gobgp::start(&lab, &lab.nodes[0], &with_password("cilium123"))?;
    let _without = Gobgp::start(&lab, &lab.nodes[1], &Settings::default())?;
    daemon.expect_established(&lab, &[lab.nodes[0].v6(), lab.nodes[1].v6()])?;
    assert_eq!(daemon.neighbor(&lab.nodes[0].v6())?["transport"]["md5"], true);
    assert_eq!(daemon.neighbor(&lab.nodes[1].v6())?["transport"]["md5"], false);
    Ok(())
}

/// One end of a session of two daemons of ours. The hold time is short, so that a session whose ends do not understand
/// each other is soon over.
fn end(asn: u32, router_id: &str, peer: (u32, &str), mode: &str, password: &str) -> String {
    format!(
        "[bgp]\nasn = {asn}\nrouter-id = \"{router_id}\"\nnetworks = [\"198.51.{asn_low}.0/24\"]\nhold-time = 9\n\
         [neighbor.\"{}\"]\nremote-asn = {}\nmode = \"{mode}\"\nimport = \"all\"\nexport = \"all\"\n\
         password = \"{password}\"\n[kernel]\ninstall = false\n",
        peer.1,
        peer.0,
        asn_low = asn % 256,
    )
}

/// How often a session has ended; there is one now.
fn flaps(daemon: &Daemon, peer: &str) -> Result<u64> {
    let neighbor = daemon.neighbor(peer)?;
    anyhow::ensure!(neighbor["state"] == "established", "{neighbor}");
    neighbor["flaps"].as_u64().context("flaps")
}

#[test]
fn both_ends_change_the_password_and_the_session_stays() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let node = &lab.nodes[0];
    let (v4, here) = (node.v4(), HOST_V4.to_owned());
    let ours = |password: &str| end(64513, "172.50.0.1", (64512, &v4), "passive", password);
    let theirs = |password: &str| end(64512, "172.50.0.2", (64513, &here), "active", password);
    let near = Daemon::start(&lab, &ours("first"))?;
    let far = Daemon::start_in(&lab, &node.namespace, "far", &theirs("first"))?;
    near.expect_established(&lab, std::slice::from_ref(&v4))?;
    let (near_flaps, far_flaps) = (flaps(&near, &v4)?, flaps(&far, &here)?);
    for password in ["second", "third"] {
        near.write_config(&ours(password))?;
        let said = near.ctl("reload")?;
        assert!(said.contains("password (session kept)"), "{said}");
        far.write_config(&theirs(password))?;
        far.ctl("reload")?;
        // A network that comes and goes shows that the connection carries on, in both directions.
        for (from, to, config, network) in
            [(&near, &far, ours(password), "203.0.113.0/24"), (&far, &near, theirs(password), "192.0.2.0/24")]
        {
            let more = config.replace("networks = [", &format!("networks = [\"{network}\", "));
            from.write_config(&more)?;
            from.ctl("reload")?;
            lab.until(&format!("{network} arrives"), PATIENCE, || {
                Ok(to.ctl(&format!("show routes {network}"))?.contains(network))
            })?;
            from.write_config(&config)?;
            from.ctl("reload")?;
            lab.until(&format!("{network} goes"), PATIENCE, || {
                Ok(!to.ctl_output(&format!("show routes {network}"))?.status.success())
            })?;
        }
    }
    assert_eq!(
        (flaps(&near, &v4)?, flaps(&far, &here)?),
        (near_flaps, far_flaps),
        "one session all the time"
    );
    // The listening socket has the new key too: after a reset the session comes back.
    far.ctl(&format!("neighbor {here} reset"))?;
    lab.until("the session is up again", PATIENCE, || Ok(flaps(&near, &v4)? > near_flaps))?;
    Ok(())
}

#[test]
fn frrs_socket_gets_the_new_key_and_the_session_stays() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let node = &lab.nodes[0];
    let ours = |password: &str| end(64513, "172.50.0.1", (64512, &node.v4()), "passive", password);
    let near = Daemon::start(&lab, &ours("first"))?;
    let config = format!(
        "router bgp 64512\n bgp router-id 172.50.0.2\n no bgp ebgp-requires-policy\n neighbor {HOST_V4} remote-as 64513\n \
         neighbor {HOST_V4} password first\n neighbor {HOST_V4} timers 3 9\n neighbor {HOST_V4} timers connect 1\n"
    );
    let frr = Frr::start(&lab, &node.namespace, &config)?;
    near.expect_established(&lab, &[node.v4()])?;
    let before = flaps(&near, &node.v4())?;
    near.write_config(&ours("second"))?;
    near.ctl("reload")?;
    // FRR itself would end the session for a new password. So the key is put into FRR's own socket, from outside.
    sockets::set_md5_key(frr.bgpd_pid(), HOST_V4.parse()?, b"second").context("FRR's socket")?;
    // KEEPALIVEs in both directions by the new key; two hold times would have ended the session otherwise.
    let received = || near.neighbor(&node.v4()).map(|n| n["messages"]["received"]["keepalive"].as_u64());
    let first = received()?.context("keepalives are counted")?;
    lab.until("seven keepalives later", seconds(40), || Ok(received()?.is_some_and(|now| now >= first + 7)))?;
    assert_eq!(flaps(&near, &node.v4())?, before, "one session all the time: {}", near.log());
    assert_eq!(frr.neighbor_state(HOST_V4)?, "Established");
    Ok(())
}

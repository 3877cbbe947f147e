//! TCP MD5 (RFC 2385): for one neighbour, for a listen range, and with the wrong password.
#![cfg(feature = "labs")]

use anyhow::Result;
use interop::daemon::Daemon;
use interop::gobgp::{Gobgp, Settings, Transport};
use interop::lab::Lab;
use interop::wait::seconds;

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
    lab.expect_gateways("2004::1", &[lab.nodes[1].v6()], seconds(5))?;
    assert_eq!(daemon.neighbor(&lab.nodes[1].v6())?["transport"]["md5"], true);
    // The wrong one has tried (its kernel counts what the host's refused) and got nothing.
    lab.until("the host's kernel refuses the wrong password", seconds(20), || {
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

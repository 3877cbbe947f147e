//! A changed configuration: what did not change does not notice; what is wrong is refused whole.
#![cfg(feature = "labs")]

use std::process::Command;

use anyhow::{Context, Result, bail};
use bgp_wire::{Message, Prefix};
use interop::command::output;
use interop::daemon::Daemon;
use interop::kernel::watch_routes;
use interop::lab::{HOST_V6, Lab};
use interop::programs::binary;
use interop::speaker::Speaker;
use interop::wait::seconds;

const TWO_NEIGHBORS: &str = r#"[bgp]
asn = 64513
router-id = "172.50.0.1"

[peer-group.cilium]
remote-asn = 64512
import = "all"

[neighbor."2001:3200:3200::2"]
peer-group = "cilium"
mode = "passive"

[neighbor."2001:3200:3200::3"]
peer-group = "cilium"
mode = "passive"
"#;

fn prefixes(texts: &[&str]) -> Result<Vec<Prefix>> {
    texts.iter().map(|text| text.parse::<Prefix>().with_context(|| (*text).to_owned())).collect()
}

/// The NOTIFICATION that ends a session.
fn farewell(speaker: &Speaker) -> Result<String> {
    loop {
        match speaker.hear(seconds(5))? {
            Some(Message::Notification(notification)) => return Ok(notification.to_string()),
            Some(_) => {}
            None => bail!("closed without a NOTIFICATION"),
        }
    }
}

#[test]
fn sighup_touches_only_what_changed() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let daemon = Daemon::start(&lab, TWO_NEIGHBORS)?;
    let stays = Speaker::on(&lab.nodes[0], HOST_V6)?;
    let goes = Speaker::on(&lab.nodes[1], HOST_V6)?;
    let services = prefixes(&["2004::1/128"])?;
    stays.announce(&services)?;
    goes.announce(&services)?;
    lab.expect_all_nodes("2004::1", seconds(5))?;
    let watch = watch_routes(&lab, &lab.host)?;
    let without = TWO_NEIGHBORS.split("[neighbor.\"2001:3200:3200::3\"]").next().unwrap_or_default();
    daemon.write_config(without)?;
    daemon.hang_up()?;
    let said = farewell(&goes)?;
    assert!(said.contains("De-configured"), "{said}");
    lab.expect_gateways("2004::1", &[lab.nodes[0].v6()], seconds(5))?;
    // The one that stays is still heard, on the same session.
    stays.announce(&prefixes(&["2004::2/128"])?)?;
    lab.expect_gateways("2004::2", &[lab.nodes[0].v6()], seconds(5))?;
    assert!(!stays.is_over());
    let peer = daemon.neighbor(&lab.nodes[0].v6())?;
    assert_eq!((&peer["state"], &peer["flaps"]), (&"established".into(), &0.into()), "{peer}");
    assert_eq!(daemon.state(&lab.nodes[1].v6())?, "");
    assert!(!watch.log().contains("Deleted 2004::1 "), "{}", watch.log());
    Ok(())
}

#[test]
fn a_policy_changes_without_a_session_reset() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let daemon = Daemon::start(&lab, TWO_NEIGHBORS)?;
    let speakers = [Speaker::on(&lab.nodes[0], HOST_V6)?, Speaker::on(&lab.nodes[1], HOST_V6)?];
    for speaker in &speakers {
        speaker.announce(&prefixes(&["2004::1/128", "2005::1/128"])?)?;
    }
    lab.expect_all_nodes("2005::1", seconds(5))?;
    let list = "\n[prefix-list.services]\nrules = [\"permit 2004::/64 ge 128 le 128\"]\n";
    daemon.write_config(&(TWO_NEIGHBORS.replace("import = \"all\"", "import = \"services\"") + list))?;
    daemon.ctl("reload")?;
    lab.expect_gateways("2005::1", &[], seconds(5))?;
    lab.expect_all_nodes("2004::1", seconds(5))?;
    assert_eq!(daemon.path("2005::1/128", &lab.nodes[0].v6())?["status"], "rejected");
    daemon.write_config(TWO_NEIGHBORS)?;
    daemon.ctl("reload")?;
    lab.expect_all_nodes("2005::1", seconds(5))?;
    for (speaker, node) in speakers.iter().zip(&lab.nodes) {
        assert!(!speaker.is_over());
        assert_eq!(daemon.neighbor(&node.v6())?["flaps"], 0);
    }
    Ok(())
}

#[test]
fn a_wrong_config_is_refused_whole() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let mut daemon = Daemon::start(&lab, TWO_NEIGHBORS)?;
    let speaker = Speaker::on(&lab.nodes[0], HOST_V6)?;
    speaker.announce(&prefixes(&["2004::1/128"])?)?;
    lab.expect_gateways("2004::1", &[lab.nodes[0].v6()], seconds(5))?;
    // The first half is a change that could be made, the second is wrong in two places.
    let wrong =
        TWO_NEIGHBORS.replace("import = \"all\"", "import = \"none\"\nhold-tiem = 30") + "\nport = \"x\"\n";
    daemon.write_config(&wrong)?;
    let refused = daemon.ctl_output("reload")?;
    assert!(!refused.status.success());
    let said =
        String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    for word in ["bgpd-rs.toml", "hold-tiem", "hold-time", "port"] {
        assert!(said.contains(word), "no {word} in: {said}");
    }
    daemon.hang_up()?;
    lab.until("the log tells about the refused SIGHUP", seconds(5), || {
        Ok(daemon.log().matches("hold-tiem").count() >= 2)
    })?;
    daemon.must_run()?;
    speaker.announce(&prefixes(&["2004::2/128"])?)?;
    lab.expect_gateways("2004::2", &[lab.nodes[0].v6()], seconds(5))?;
    lab.expect_gateways("2004::1", &[lab.nodes[0].v6()], seconds(1))?;
    assert!(!speaker.is_over());
    assert!(daemon.json("show summary")?["config"]["last_reload_error"].is_string());
    Ok(())
}

#[test]
fn check_says_what_is_wrong_and_starts_nothing() -> Result<()> {
    let lab = Lab::with_nodes(0)?;
    let file = lab.dir().join("checked.toml");
    let check = || output(Command::new(binary("bgpd-rs")?).arg("--check").arg(&file));
    std::fs::write(&file, TWO_NEIGHBORS)?;
    let good = check()?;
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    std::fs::write(&file, "[bgp]\nasn = \"many\"\nrouter_id = \"172.50.0.1\"\n")?;
    let bad = check()?;
    assert!(!bad.status.success());
    let said = String::from_utf8_lossy(&bad.stderr).into_owned() + &String::from_utf8_lossy(&bad.stdout);
    for word in ["checked.toml", "2", "asn", "router_id", "router-id"] {
        assert!(said.contains(word), "no {word} in: {said}");
    }
    Ok(())
}

//! A changed configuration: what did not change does not notice; what is wrong is refused whole.
#![cfg(feature = "labs")]

use std::process::Command;

use anyhow::{Result, bail};
use bgp_wire::Message;
use interop::command::output;
use interop::daemon::{Daemon, k3d};
use interop::faults::scene::prefixes;
use interop::flows;
use interop::gobgp::{Gobgp, Settings};
use interop::kernel::watch_routes;
use interop::lab::{HOST_V6, Lab};
use interop::load::Load;
use interop::programs::binary;
use interop::speaker::Speaker;
use interop::wait::PATIENCE;

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

/// The NOTIFICATION that ends a session.
fn farewell(speaker: &Speaker) -> Result<String> {
    loop {
        match speaker.hear()? {
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
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let watch = watch_routes(&lab, &lab.host)?;
    let without = TWO_NEIGHBORS.split("[neighbor.\"2001:3200:3200::3\"]").next().unwrap_or_default();
    daemon.write_config(without)?;
    daemon.hang_up()?;
    let said = farewell(&goes)?;
    assert!(said.contains("De-configured"), "{said}");
    lab.expect_gateways("2004::1", &[lab.nodes[0].v6()], PATIENCE)?;
    // The one that stays is still heard, on the same session.
    stays.announce(&prefixes(&["2004::2/128"])?)?;
    lab.expect_gateways("2004::2", &[lab.nodes[0].v6()], PATIENCE)?;
    assert!(!stays.is_over());
    let peer = daemon.neighbor(&lab.nodes[0].v6())?;
    assert_eq!((&peer["state"], &peer["flaps"]), (&"established".into(), &0.into()), "{peer}");
    assert_eq!(daemon.state(&lab.nodes[1].v6())?, "");
    let changes = watch.changes()?;
    assert!(!changes.iter().any(|line| line.contains("Deleted 2004::1 ")), "{changes:#?}");
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
    lab.expect_all_nodes("2005::1", PATIENCE)?;
    let list = "\n[prefix-list.services]\nrules = [\"permit 2004::/64 ge 128 le 128\"]\n";
    daemon.write_config(&(TWO_NEIGHBORS.replace("import = \"all\"", "import = \"services\"") + list))?;
    daemon.ctl("reload")?;
    lab.expect_gateways("2005::1", &[], PATIENCE)?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    assert_eq!(daemon.path("2005::1/128", &lab.nodes[0].v6())?["status"], "rejected");
    daemon.write_config(TWO_NEIGHBORS)?;
    daemon.ctl("reload")?;
    lab.expect_all_nodes("2005::1", PATIENCE)?;
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
    lab.expect_gateways("2004::1", &[lab.nodes[0].v6()], PATIENCE)?;
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
    lab.until("the log tells about the refused SIGHUP", PATIENCE, || {
        Ok(daemon.log().matches("hold-tiem").count() >= 2)
    })?;
    daemon.must_run()?;
    speaker.announce(&prefixes(&["2004::2/128"])?)?;
    lab.expect_gateways("2004::2", &[lab.nodes[0].v6()], PATIENCE)?;
    lab.expect_gateways("2004::1", &[lab.nodes[0].v6()], PATIENCE)?;
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

/// Three Cilium nodes that come by listen range, and what they announce.
fn nodes(lab: &Lab) -> Result<Vec<Gobgp>> {
    lab.add_service("2004::1")?;
    let speakers = Gobgp::start_all(lab, &Settings::default(), &["2004::1/128", "2005::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    lab.expect_all_nodes("2005::1", PATIENCE)?;
    Ok(speakers)
}

/// The shipped configuration with another import policy for the nodes.
fn importing(policy: &str) -> Result<String> {
    let text = std::fs::read_to_string(k3d())?;
    let list = "\n[prefix-list.services]\nrules = [\"permit 2004::/64 ge 128 le 128\"]\n";
    Ok(text.replace("import = \"all\"", &format!("import = \"{policy}\"")) + list)
}

#[test]
fn a_dry_run_foretells_and_changes_nothing() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let _speakers = nodes(&lab)?;
    let watch = watch_routes(&lab, &lab.host)?;
    daemon.write_config(&importing("services")?)?;
    let plan = daemon.json("reload --dry-run --all")?;
    let count = |plan: &serde_json::Value, kind: &str| {
        let counts = plan["routes"]["counts"].as_array().cloned().unwrap_or_default();
        counts
            .iter()
            .find(|count| count["kind"] == kind)
            .map_or(0, |count| count["count"].as_u64().unwrap_or(0))
    };
    assert_eq!(
        (count(&plan, "refused"), count(&plan, "removed"), count(&plan, "changed")),
        (3, 1, 0),
        "{plan}"
    );
    assert_eq!(
        (&plan["reset"], &plan["removed"]),
        (&serde_json::json!([]), &serde_json::json!([])),
        "{plan}"
    );
    let details = plan["routes"]["details"].as_array().cloned().unwrap_or_default();
    assert!(details.iter().all(|route| route["prefix"] == "2005::1/128"), "{plan}");
    let said = daemon.ctl("reload --dry-run")?;
    assert!(said.contains("no session is reset") && said.contains("nothing was changed"), "{said}");
    assert!(said.contains("prefix-list services: no rule matches"), "{said}");
    // Another hold time costs a session.
    daemon.write_config(&importing("all")?.replace("import = ", "hold-time = 30\nimport = "))?;
    let plan = daemon.json("reload --dry-run")?;
    assert_eq!(plan["reset"].as_array().map(Vec::len), Some(3), "{plan}");
    assert!(daemon.ctl("reload --dry-run")?.contains("until a session that is reset is back"));
    // Whoever is to stay down, announces too much or is of another AS takes its routes along.
    let limit = "maximum-prefix = { limit = 1, action = \"stop\" }";
    for other in [
        importing("all")?.replace("import = ", "shutdown = true\nimport = "),
        importing("all")?.replace("import = ", &format!("{limit}\nimport = ")),
        importing("all")?.replace("remote-asn = 64512", "remote-asn = 64511"),
    ] {
        daemon.write_config(&other)?;
        let plan = daemon.json("reload --dry-run")?;
        assert_eq!((count(&plan, "lost"), count(&plan, "removed")), (6, 2), "{other}\n{plan}");
    }
    let entry = format!("[neighbor.\"{}\"]\npeer-group = \"cilium\"\nshutdown = true\n", lab.nodes[0].v6());
    daemon.write_config(&format!("{}\n{entry}", importing("all")?))?;
    let plan = daemon.json("reload --dry-run")?;
    assert_eq!((count(&plan, "lost"), count(&plan, "changed")), (2, 2), "{plan}");
    // What a reload would refuse is refused.
    daemon.write_config("[bgp]\nasn = 0\n")?;
    assert!(!daemon.ctl_output("reload --dry-run")?.status.success());
    // Nothing of it was done.
    assert_eq!(daemon.json("show config")?["config"]["peer-group"]["cilium"]["import"], "all");
    assert_eq!(daemon.json("show summary")?["config"]["last_reload_error"], serde_json::Value::Null);
    for node in &lab.nodes {
        assert_eq!(daemon.neighbor(&node.v6())?["flaps"], 0);
    }
    lab.expect_all_nodes("2005::1", PATIENCE)?;
    let changes = watch.changes()?;
    assert!(!changes.iter().any(|line| line.contains("::1")), "{changes:#?}");
    // And done, it does what was foretold.
    daemon.write_config(&importing("services")?)?;
    daemon.ctl("reload")?;
    lab.expect_gateways("2005::1", &[], PATIENCE)?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    Ok(())
}

#[test]
fn a_reload_stays_when_it_is_confirmed_and_is_taken_back_when_not() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let _speakers = nodes(&lab)?;
    let _backends = flows::start_backends(&lab)?;
    // Forwarded ones: a host's own, not bound to a port, move at any change of its routes.
    let load = Load::start(&mut lab, "2004::1")?;
    daemon.write_config(&importing("services")?)?;
    let foretold = daemon.ctl("reload --dry-run")?;
    assert!(
        foretold.contains("no session is reset") && foretold.contains("nothing was changed"),
        "{foretold}"
    );
    let said = daemon.ctl("reload --confirm 10m")?;
    assert!(said.contains("bgpctl confirm"), "{said}");
    lab.expect_gateways("2005::1", &[], PATIENCE)?;
    assert!(daemon.ctl("show summary")?.contains("not confirmed"));
    assert!(daemon.ctl("show config")?.contains("# not confirmed"));
    // A second one has nothing that it could go back to, whoever asks.
    daemon.write_config(&importing("none")?)?;
    let refused = daemon.ctl_output("reload")?;
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("waits for its confirmation"), "{why}");
    daemon.hang_up()?;
    lab.until("SIGHUP is refused as well", PATIENCE, || {
        Ok(daemon.log().matches("reload refused: the last reload waits").count() >= 2)
    })?;
    let import = || {
        Ok::<_, anyhow::Error>(
            daemon.json("show config")?["config"]["peer-group"]["cilium"]["import"].clone(),
        )
    };
    // Confirmed, it stays; no time runs any more.
    daemon.ctl("confirm")?;
    assert_eq!(import()?, "services");
    assert_eq!(daemon.json("show summary")?["config"]["confirm_seconds"], serde_json::Value::Null);
    // The next one nobody confirms: the former configuration is back, although the file has another one.
    daemon.write_config(&importing("all")?)?;
    daemon.ctl("reload --confirm 1s")?;
    lab.until("it is taken back", PATIENCE, || Ok(daemon.ctl("show summary")?.contains("rolled back")))?;
    assert_eq!(import()?, "services");
    lab.expect_gateways("2005::1", &[], PATIENCE)?;
    lab.until("the log has it", PATIENCE, || Ok(daemon.log().contains("back to the former configuration")))?;
    let late = daemon.ctl_output("confirm")?;
    assert!(String::from_utf8_lossy(&late.stderr).contains("too late"));
    for node in &lab.nodes {
        assert_eq!(daemon.neighbor(&node.v6())?["flaps"], 0);
    }
    load.finish("reload, confirmed, reload, rolled back")?.expect_none();
    Ok(())
}

#[test]
fn a_limit_on_trial_lets_everybody_in_again_when_it_is_taken_back() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let _speakers = nodes(&lab)?;
    let limit = "maximum-prefix = { limit = 1, action = \"stop\" }\nimport = ";
    let text = importing("all")?;
    daemon.write_config(&text.replace("import = ", limit))?;
    daemon.ctl("reload --confirm 6s")?;
    lab.until("every node is stopped", PATIENCE, || {
        Ok(daemon.log().matches("more than 1 prefixes").count() >= 3)
    })?;
    lab.until("it is taken back", PATIENCE, || Ok(daemon.ctl("show summary")?.contains("rolled back")))?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    // What the file keeps down is said, and why, also of a peer that was never up.
    daemon.write_config(&format!(
        "{text}\n[neighbor.\"172.50.0.99\"]\nremote-asn = 64512\nshutdown = \"moves at noon\"\n"
    ))?;
    daemon.ctl("reload")?;
    let said = daemon.ctl("show neighbors")?;
    assert!(said.contains("administratively shut down: moves at noon"), "{said}");
    // What waits for a restart is not forgotten.
    daemon.write_config(&text.replace("asn = 64513", "asn = 64599"))?;
    daemon.ctl("reload")?;
    for _ in 0..2 {
        assert!(daemon.ctl("show summary")?.contains("bgp.asn takes effect when the daemon is restarted"));
    }
    daemon.write_config(&text)?;
    daemon.ctl("reload")?;
    assert!(!daemon.ctl("show summary")?.contains("takes effect"));
    Ok(())
}

#[test]
fn a_node_keeps_its_session_when_it_is_named_and_when_it_no_longer_is() -> Result<()> {
    let lab = Lab::with_nodes(3)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let _speakers = nodes(&lab)?;
    let address = lab.nodes[0].v6();
    let text = importing("all")?;
    let named =
        format!("{text}\n[neighbor.\"{address}\"]\npeer-group = \"cilium\"\ndescription = \"the first\"\n");
    for (config, description) in [(&named, Some("the first")), (&text, None), (&named, Some("the first"))] {
        let watch = watch_routes(&lab, &lab.host)?;
        daemon.write_config(config)?;
        let reply = daemon.json("reload")?;
        assert_eq!(reply["reset"], serde_json::json!([]), "{reply}");
        let neighbor = daemon.neighbor(&address)?;
        assert_eq!(neighbor["description"].as_str(), description, "{neighbor}");
        assert_eq!(
            (&neighbor["state"], &neighbor["flaps"]),
            (&"established".into(), &0.into()),
            "{neighbor}"
        );
        watch.expect_none(|| daemon.log())?;
    }
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    Ok(())
}

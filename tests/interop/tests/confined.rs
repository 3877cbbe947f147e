//! What the running daemon is confined to, seen from outside: capabilities, filters, what a reload may read, where a
//! password does not appear.
#![cfg(feature = "labs")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use interop::daemon::{Daemon, Privileges};
use interop::faults::usage::of_each_thread;
use interop::gobgp::{Gobgp, Settings};
use interop::lab::Lab;
use interop::wait::PATIENCE;

const PASSWORD: &str = "a-password-nobody-may-see";

fn config(password: &str) -> String {
    format!(
        r#"[bgp]
asn = 64513
router-id = "172.50.0.1"

[peer-group.cilium]
remote-asn = 64512
listen-range = ["172.50.0.0/16", "2001:3200:3200::/64"]
import = "all"
{password}

[metrics]
listen = "127.0.0.1:9273"

[log]
level = "trace"
"#
    )
}

#[test]
fn every_thread_has_two_capabilities_and_two_filters() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let daemon = Daemon::start_as(&lab, &config(""), Privileges::NetworkOnly)?;
    let node = Gobgp::start(&lab, &lab.nodes[0], &Settings::default())?;
    node.announce("2004::1/128")?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    // CAP_NET_BIND_SERVICE is 10 and CAP_NET_ADMIN is 12.
    for (field, expected) in [
        ("CapPrm:", "0000000000001400"),
        ("CapEff:", "0000000000001400"),
        ("CapBnd:", "0000000000001400"),
        ("CapAmb:", "0000000000000000"),
        ("NoNewPrivs:", "1"),
        ("Seccomp:", "2"),
        ("Seccomp_filters:", "2"),
    ] {
        let values = of_each_thread(daemon.pid(), field)?;
        assert!(values.len() > 2 && values.values().all(|value| value == expected), "{field} {values:?}");
    }
    // What the kernel does not let its own user touch belongs to root: the process cannot be dumped or traced.
    let memory = fs::metadata(format!("/proc/{}/mem", daemon.pid()))?;
    let uids = of_each_thread(daemon.pid(), "Uid:")?;
    assert!(memory.uid() == 0 && uids.values().all(|uid| !uid.starts_with("0\t")), "{uids:?}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid()))?;
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    assert!(!daemon.log().contains("not fenced in"), "{}", daemon.log());
    Ok(())
}

#[test]
fn a_reload_reads_the_configurations_directory_and_no_other() -> Result<()> {
    let lab = Lab::with_nodes(0)?;
    let daemon = Daemon::start(&lab, &config(""))?;
    let (own, below) = (lab.dir().join("own.key"), lab.dir().join("below/key"));
    fs::create_dir(lab.dir().join("below"))?;
    // A directory that is neither the configuration's nor below it.
    let outside = std::env::temp_dir().join(format!("{}-outside", lab.name()));
    fs::create_dir_all(&outside)?;
    let outside = outside.join("key");
    for path in [&own, &below, &outside] {
        fs::write(path, PASSWORD)?;
        fs::set_permissions(path, PermissionsExt::from_mode(0o640))?;
    }
    let read_from = |path: &Path| {
        daemon.write_config(&config(&format!("password-file = \"{}\"", path.display())))?;
        daemon.ctl_output("reload")
    };
    for path in [&own, &below] {
        let read = read_from(path)?;
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    }
    let refused = read_from(&outside)?;
    fs::remove_dir_all(outside.parent().context("parent")?)?;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("Permission denied"), "{words}");
    assert!(words.contains("at its start"), "the reason and the remedy are said: {words}");
    Ok(())
}

#[test]
fn a_password_is_in_no_log_and_no_answer() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let daemon = Daemon::start(&lab, &config(&format!("password = \"{PASSWORD}\"")))?;
    let settings = Settings { password: Some(PASSWORD.to_owned()), ..Settings::default() };
    let _node = Gobgp::start(&lab, &lab.nodes[0], &settings)?;
    daemon.expect_established(&lab, &[lab.nodes[0].v6()])?;
    daemon.write_config(&config(&format!("password = \"{PASSWORD}\"\nhold-time = 1")))?;
    let refused = daemon.ctl_output("reload")?;
    assert!(!refused.status.success());
    daemon.write_config(&config(&format!("password = \"{PASSWORD}-2\"")))?;
    let mut said = daemon.ctl("reload")? + &String::from_utf8_lossy(&refused.stderr);
    for question in ["neighbors", "summary", "config", "routes", "fib"] {
        said.push_str(&daemon.ctl(&format!("show {question}"))?);
        said.push_str(&daemon.json(&format!("show {question}"))?.to_string());
    }
    said.push_str(&lab.host.run("curl --silent --fail http://127.0.0.1:9273/metrics")?);
    said.push_str(&daemon.log());
    assert!(said.contains("********") && !said.contains(PASSWORD), "{said}");
    assert!(said.contains("every user of this host can read"), "the file's mode is warned of: {said}");
    Ok(())
}

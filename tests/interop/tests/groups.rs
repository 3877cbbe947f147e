//! Next-hop groups as the operator sees them: weights, buckets, how many moved; and what `doctor` finds on the host.
#![cfg(feature = "labs")]

use std::net::TcpListener;

use anyhow::{Context, Result};
use interop::daemon::{Daemon, Privileges, k3d};
use interop::gobgp::{Gobgp, Settings};
use interop::lab::Lab;
use interop::wait::{PATIENCE, seconds};
use serde_json::Value;

/// A member: next hop, weight, buckets.
type Share = (String, u64, u64);

/// The one group, and its members by next hop with their buckets.
fn group(daemon: &Daemon) -> Result<(Value, Vec<Share>)> {
    let reply = daemon.json("show nexthops")?;
    let group = reply["groups"].get(0).context("no group")?.clone();
    let number =
        |member: &Value, key: &str| member[key].as_u64().with_context(|| format!("no {key}: {member}"));
    let members = group["members"].as_array().context("no members")?;
    let members = members.iter().map(|member| {
        let next_hop = member["next_hop"].as_str().unwrap_or_default().to_owned();
        Ok((next_hop, number(member, "weight")?, number(member, "buckets")?))
    });
    let mut members: Vec<_> = members.collect::<Result<_>>()?;
    members.sort();
    Ok((group, members))
}

#[test]
fn weights_become_buckets_and_what_moves_is_counted() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let config = std::fs::read_to_string(k3d())?
        + "\n[neighbor.\"2001:3200:3200::2\"]\npeer-group = \"cilium\"\nmode = \"passive\"\nweight = 3\n";
    let daemon = Daemon::start_as(&lab, &config, Privileges::NetworkOnly)?;
    let speakers = Gobgp::start_all(&lab, &Settings::default(), &[])?;
    let v6 = lab.v6();
    speakers[0].announce("2004::1/128")?;
    lab.expect_gateways("2004::1", &v6[..1], seconds(40))?;
    let (first, members) = group(&daemon)?;
    assert_eq!(members, [(v6[0].clone(), 1, 1024)], "{first}");
    assert_eq!(first["algorithm"], "resilient");

    speakers[1].announce("2004::1/128")?;
    lab.expect_gateways("2004::1", &v6, PATIENCE)?;
    let (second, members) = group(&daemon)?;
    assert_eq!(members, [(v6[0].clone(), 3, 768), (v6[1].clone(), 1, 256)], "{second}");
    assert_eq!(second["kernel_id"], first["kernel_id"]);
    lab.until("the move of 256 buckets is counted", PATIENCE, || {
        Ok(group(&daemon)?.0["moved"].as_u64() == Some(256))
    })?;
    let shown = daemon.ctl("show nexthops")?;
    assert!(shown.contains("256 of 1024"), "{shown}");
    Ok(())
}

#[test]
fn doctor_finds_what_is_wrong_and_says_what_to_do() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let config = std::fs::read_to_string(k3d())?.replace("set-multipath-hash-policy = true", "");
    let daemon = Daemon::start_as(&lab, &config, Privileges::NetworkOnly)?;
    let checks = || -> Result<Vec<Value>> {
        let output = daemon.ctl_output("doctor --json")?;
        let reply: Value = serde_json::from_slice(&output.stdout)?;
        let healthy = reply["healthy"].as_bool().context("healthy")?;
        assert_eq!(output.status.code(), Some(i32::from(!healthy)), "{reply}");
        reply["checks"].as_array().cloned().context("checks")
    };
    let find = |name: &str| -> Result<Value> {
        checks()?.into_iter().find(|check| check["name"] == name).with_context(|| format!("no check {name}"))
    };
    let policy = find("ipv6-multipath-hash-policy")?;
    assert_eq!(policy["state"], "warning", "{policy}");
    let remedy = policy["remedy"].as_str().unwrap_or_default();
    assert!(remedy.contains("sysctl -w net.ipv6.fib_multipath_hash_policy=1"), "{remedy}");
    assert_eq!(find("resilient-groups")?["state"], "ok");
    assert_eq!(find("bgp-port")?["state"], "ok");

    lab.host.sysctl("net.ipv6.fib_multipath_hash_policy", "1")?;
    assert_eq!(find("ipv6-multipath-hash-policy")?["state"], "ok");
    lab.host.sysctl("net.ipv4.conf.all.rp_filter", "1")?;
    assert_eq!(find("rp-filter")?["state"], "warning");
    let text = String::from_utf8(daemon.ctl_output("doctor")?.stdout)?;
    assert!(text.contains("remedy: sysctl -w net.ipv4.conf.all.rp_filter=2"), "{text}");
    Ok(())
}

#[test]
fn doctor_sees_another_daemon_on_the_port() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let config = std::fs::read_to_string(k3d())?.replace("[bgp]", "[bgp]\nlisten = [\"172.50.0.1:179\"]");
    let daemon = Daemon::start_as(&lab, &config, Privileges::NetworkOnly)?;
    let other = lab.host.inside(|| TcpListener::bind("127.0.0.1:179"))??;
    let output = daemon.ctl_output("doctor")?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("another process listens on port 179") && text.contains("ss -ltnp"), "{text}");
    drop(other);
    let text = String::from_utf8(daemon.ctl_output("doctor")?.stdout)?;
    assert!(text.contains("port 179 is ours alone"), "{text}");
    Ok(())
}

//! A node is drained under steady HTTP and 200 long-lived connections, by a command here or by the community that it sends
//! itself: nobody loses anything, and it is said when it is free.
#![cfg(feature = "labs")]

use std::thread;

use anyhow::{Context, Result, ensure};
use interop::command::run;
use interop::daemon::{Daemon, k3d};
use interop::flows::{self, Flows};
use interop::gobgp::{Gobgp, Settings};
use interop::haproxy;
use interop::kernel::{nexthop_id, watch_forwarding};
use interop::lab::Lab;
use interop::process::Process;
use interop::traffic::Traffic;
use interop::wait::{PATIENCE, seconds};
use serde_json::Value;

const SERVICE: &str = "2004::1";
const FLOWS: usize = 200;
/// Those that are opened while the node drains.
const LATE: usize = 100;
/// Of a bucket that is free. A flow that says nothing for so long has left, so it is not for a machine that is slow; and there
/// are so many buckets that requests leave most of them alone meanwhile.
const IDLE: u32 = 10;
const BUCKETS: u16 = 16_384;

/// Three nodes that announce the service.
struct Scene {
    lab: Lab,
    daemon: Daemon,
    speakers: Vec<Gobgp>,
    _backends: Vec<Process>,
    v6: Vec<String>,
}

fn scene(buckets: u16) -> Result<Scene> {
    scene_with(&format!("nexthop-buckets = {buckets}\n"))
}

fn scene_with(kernel: &str) -> Result<Scene> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service(SERVICE)?;
    lab.client()?;
    let config = std::fs::read_to_string(k3d())? + kernel;
    let daemon = Daemon::start(&lab, &config)?;
    let speakers = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    let backends = flows::start_backends(&lab)?;
    lab.expect_all_nodes(SERVICE, seconds(40))?;
    lab.wait_for_http()?;
    let v6 = lab.v6();
    Ok(Scene { lab, daemon, speakers, _backends: backends, v6 })
}

fn drained(daemon: &Daemon) -> Result<Value> {
    Ok(daemon.json("drain")?["nodes"].get(0).cloned().unwrap_or_default())
}

/// Waits until what the node has is what its flows keep, and some that requests have just used.
fn expect_idle_moved(lab: &Lab, daemon: &Daemon) -> Result<()> {
    lab.until("idle buckets have moved", seconds(120), || {
        let drain = drained(daemon)?;
        let number = |name: &str| drain[name].as_u64().with_context(|| format!("no {name}: {drain}"));
        let (has, uses) = (number("buckets")?, number("buckets_in_use")?);
        Ok(has == uses && has <= FLOWS as u64)
    })?;
    Ok(())
}

#[test]
fn flows_end_on_the_node_and_no_request_is_lost() -> Result<()> {
    let mut scene = scene(BUCKETS)?;
    let (node, address) = (scene.lab.nodes[1].name.clone(), scene.v6[1].clone());
    let group = nexthop_id(&scene.lab.host, SERVICE)?;
    let client = scene.lab.client()?;
    let traffic = Traffic::start(client, format!("[{SERVICE}]:80").parse()?, 2)?;
    let remote = format!("[{SERVICE}]:{}", flows::PORT).parse()?;
    let flows = Flows::open(client, remote, FLOWS)?;
    ensure!(flows.nodes().get(&node).is_some_and(|count| *count > 20), "{:?}", flows.nodes());

    let Scene { lab, daemon, v6, .. } = &mut scene;
    let (command, others) = thread::scope(|scope| -> Result<_> {
        let command = scope.spawn(|| daemon.ctl_output(&format!("drain {address} --idle {IDLE}s --wait 5m")));
        lab.until("buckets in use are counted", PATIENCE, || {
            Ok(drained(daemon)?["buckets_in_use"].as_u64().is_some_and(|count| count > 0))
        })?;
        let shown = daemon.ctl("show neighbors")?;
        ensure!(shown.contains("draining for"), "{shown}");
        expect_idle_moved(lab, daemon)?;
        let others = Flows::open(lab.client()?, remote, LATE)?;
        others.end_on(&node);
        flows.end_on(&node);
        let command = command.join().map_err(|_| anyhow::anyhow!("bgpctl panicked"))??;
        Ok((command, others))
    })?;
    let said = String::from_utf8(command.stdout)?;
    ensure!(command.status.success(), "{said}{}", String::from_utf8_lossy(&command.stderr));
    assert!(said.contains("carries no flow any more"), "{said}");
    lab.expect_gateways(SERVICE, &[v6[0].clone(), v6[2].clone()], PATIENCE)?;
    assert_eq!(nexthop_id(&lab.host, SERVICE)?, group, "all of it in the group");

    let (fate, late, tally) = (flows.finish()?, others.finish()?, traffic.stop()?);
    eprintln!("{said}{fate:?}\nopened while draining: {late:?}\n{tally:?}, of {}", tally.total());
    let on_node = late.ended.get(&node).copied().unwrap_or(0);
    assert!(on_node * 10 < LATE, "{on_node} of {LATE} new connections went to a node that drains");
    assert!(fate.broken.is_empty() && late.broken.is_empty(), "{fate:?} {late:?}");
    assert_eq!(tally.lost, [], "requests");

    daemon.ctl(&format!("drain --undo {node}"))?;
    lab.expect_all_nodes(SERVICE, PATIENCE)?;
    Ok(())
}

/// How many buckets of the one group a node has.
fn buckets_of(daemon: &Daemon, address: &str) -> Result<u64> {
    let reply = daemon.json("show nexthops")?;
    let members = reply["groups"][0]["members"].as_array().cloned().unwrap_or_default();
    let member = members.iter().find(|member| member["next_hop"] == *address);
    Ok(member.and_then(|member| member["buckets"].as_u64()).unwrap_or_default())
}

/// RFC 8326, seen by who receives it: the node announces that it will go, its flows end, and it goes.
#[test]
fn a_node_that_says_it_will_go_gets_no_new_flow_and_loses_none() -> Result<()> {
    let kernel = format!("nexthop-buckets = {BUCKETS}\nnexthop-idle-timer = {IDLE}\n");
    let mut scene = scene_with(&kernel)?;
    let (node, address) = (scene.lab.nodes[1].name.clone(), scene.v6[1].clone());
    let group = nexthop_id(&scene.lab.host, SERVICE)?;
    let client = scene.lab.client()?;
    let traffic = Traffic::start(client, format!("[{SERVICE}]:80").parse()?, 2)?;
    let remote = format!("[{SERVICE}]:{}", flows::PORT).parse()?;
    let flows = Flows::open(client, remote, FLOWS)?;
    let on_node = *flows.nodes().get(&node).context("no flow is on the node")?;
    let Scene { lab, daemon, speakers, v6, .. } = &mut scene;

    speakers[1].cli("global rib add 2004::1/128 origin igp community 65535:0 -a ipv6")?;
    // Requests use some as well.
    lab.until("what nobody uses has moved", seconds(120), || {
        Ok((1..=2 * on_node as u64).contains(&buckets_of(daemon, &address)?))
    })?;
    let shown = daemon.ctl("show routes 2004::1/128")?;
    ensure!(shown.contains("graceful-shutdown"), "{shown}");
    let late = Flows::open(lab.client()?, remote, LATE)?;
    late.end_on(&node);
    flows.end_on(&node);
    lab.until("the node has no bucket", seconds(120), || Ok(buckets_of(daemon, &address)? == 0))?;
    speakers[1].withdraw("2004::1/128")?;
    lab.expect_gateways(SERVICE, &[v6[0].clone(), v6[2].clone()], PATIENCE)?;
    assert_eq!(nexthop_id(&lab.host, SERVICE)?, group, "all of it in the group");

    let (fate, late, tally) = (flows.finish()?, late.finish()?, traffic.stop()?);
    eprintln!("{fate:?}\nopened meanwhile: {late:?}\n{tally:?}, of {}", tally.total());
    let strays = late.ended.get(&node).copied().unwrap_or(0);
    assert!(strays * 5 < LATE, "{strays} of {LATE} new connections went to a node that will go");
    assert!(fate.broken.is_empty() && late.broken.is_empty(), "{fate:?} {late:?}");
    assert_eq!(tally.lost, [], "requests");
    Ok(())
}

/// Without buckets old flows cannot be told from new ones: the leg goes at once and takes its flows along.
#[test]
fn in_plain_groups_the_leg_goes_at_once_with_its_flows() -> Result<()> {
    let mut scene = scene_with("nexthop-groups = \"plain\"\n")?;
    let node = scene.lab.nodes[1].name.clone();
    let client = scene.lab.client()?;
    let traffic = Traffic::start(client, format!("[{SERVICE}]:80").parse()?, 2)?;
    let remote = format!("[{SERVICE}]:{}", flows::PORT).parse()?;
    let flows = Flows::open(client, remote, FLOWS)?;
    let on_node = *flows.nodes().get(&node).context("no flow is on the node")?;
    let Scene { lab, daemon, v6, .. } = &mut scene;
    let said = daemon.ctl(&format!("drain {} --wait 10s", v6[1]))?;
    lab.expect_gateways(SERVICE, &[v6[0].clone(), v6[2].clone()], PATIENCE)?;
    assert!(said.contains("carries no flow any more"), "{said}");
    assert_eq!(drained(daemon)?["buckets"], Value::Null);
    let late = Flows::open(lab.client()?, remote, LATE)?;
    assert_eq!(late.nodes().get(&node), None, "new flows");
    let (fate, late, tally) = (flows.finish()?, late.finish()?, traffic.stop()?);
    eprintln!("{said}{fate:?}\n{tally:?}, of {}", tally.total());
    assert_eq!(fate.broken.get(&node), Some(&on_node), "{fate:?}");
    assert!(late.broken.is_empty(), "{late:?}");
    daemon.ctl(&format!("drain --undo {node}"))?;
    lab.expect_all_nodes(SERVICE, PATIENCE)?;
    Ok(())
}

/// The kernel takes a bucket for idle that a socket of the host itself uses: the daemon marks it.
#[test]
fn the_hosts_own_flows_end_on_the_node_as_well() -> Result<()> {
    let mut scene = scene_with("nexthop-buckets = 1024\nnexthop-idle-timer = 10\n")?;
    let _haproxy = haproxy::start_tcp(&scene.lab, SERVICE)?;
    let node = scene.lab.nodes[1].name.clone();
    let flows = Flows::open(&scene.lab.host, haproxy::TCP.parse()?, FLOWS)?;
    ensure!(flows.nodes().get(&node).is_some_and(|count| *count > 20), "{:?}", flows.nodes());
    let Scene { lab, daemon, v6, .. } = &mut scene;
    daemon.ctl(&format!("drain {} --no-wait", v6[1]))?;
    expect_idle_moved(lab, daemon)?;
    // More changes of the route, after which each socket looks its way up anew.
    for node in [0, 2] {
        daemon.ctl(&format!("drain {} --no-wait", v6[node]))?;
        daemon.ctl(&format!("drain --undo {}", v6[node]))?;
    }
    flows.end_on(&node);
    let said = daemon.ctl(&format!("drain {} --wait 2m", v6[1])).with_context(|| {
        let tell = |program, args: &[&str]| run(lab.host.command(program).args(args)).unwrap_or_default();
        let sockets = tell("ss", &["-tinH", "state", "established"]);
        format!("{}\n{sockets}\n{}", tell("ip", &["nexthop", "bucket"]), lab.explain())
    })?;
    lab.expect_gateways(SERVICE, &[v6[0].clone(), v6[2].clone()], PATIENCE)?;
    let fate = flows.finish()?;
    eprintln!("{said}{fate:?}");
    assert!(fate.broken.is_empty(), "{fate:?}");
    Ok(())
}

#[test]
fn it_outlives_the_process_and_a_reload() -> Result<()> {
    let mut scene = scene(128)?;
    let two = [scene.v6[0].clone(), scene.v6[2].clone()];
    scene.daemon.ctl(&format!("drain {} --idle 1s --wait 1m", scene.v6[1]))?;
    scene.lab.expect_gateways(SERVICE, &two, PATIENCE)?;
    let watch = watch_forwarding(&scene.lab, &scene.lab.host)?;
    scene.daemon.replace(&scene.lab)?;
    scene.daemon.ctl("reload")?;
    assert_eq!(drained(&scene.daemon)?["state"], "drained");
    scene.lab.expect_gateways(SERVICE, &two, PATIENCE)?;
    watch.expect_none(|| scene.lab.explain())?;
    // Where no number of buckets is chosen, the groups that are there keep theirs.
    scene.daemon.write_config(&std::fs::read_to_string(k3d())?)?;
    scene.daemon.replace(&scene.lab)?;
    scene.lab.expect_gateways(SERVICE, &two, PATIENCE)?;
    watch.expect_none(|| scene.lab.explain())?;
    assert_eq!(scene.daemon.json("show nexthops")?["groups"][0]["buckets"], 128);
    // Its session has nothing to do with it.
    scene.speakers[1].crash()?;
    let shown = scene.daemon.ctl("drain")?;
    assert!(shown.contains("drained, carries no flow"), "{shown}");
    Ok(())
}

#[test]
fn the_last_leg_stays_and_its_routes_are_named() -> Result<()> {
    let scene = scene(128)?;
    scene.speakers[1].announce("2004::2/128")?;
    scene.lab.expect_gateways("2004::2", &scene.v6[1..2], PATIENCE)?;
    let refused = scene.daemon.ctl_output(&format!("drain {}", scene.v6[1]))?;
    let why = String::from_utf8(refused.stderr)?;
    assert_eq!(refused.status.code(), Some(6), "{why}");
    assert!(why.contains("the last leg of 1 route: 2004::2/128"), "{why}");
    scene.lab.expect_gateways("2004::2", &scene.v6[1..2], PATIENCE)?;
    scene.daemon.ctl(&format!("drain {} --force", scene.v6[1]))?;
    scene.lab.expect_gateways("2004::2", &[], PATIENCE)?;
    scene.lab.expect_gateways(SERVICE, &[scene.v6[0].clone(), scene.v6[2].clone()], PATIENCE)?;
    Ok(())
}

//! Hitless restart: by `--replace`, and by a service manager that keeps descriptors.
//!
//! Seen from the peers: the session is as old as it was, nothing was sent twice. Seen from the kernel: nothing happened.
//! Seen from a client: every request was answered.
#![cfg(feature = "labs")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use interop::bird::Bird;
use interop::daemon::{Daemon, k3d};
use interop::flows;
use interop::frr::Frr;
use interop::gobgp::{Gobgp, Settings, Transport};
use interop::http::curl;
use interop::kernel::{routes_of_protocol, watch_forwarding};
use interop::lab::{HOST_V4, HOST_V6, Lab, Node};
use interop::load::Load;
use interop::wait::{PATIENCE, seconds, until};

/// Since when a node's session is up, and how often it went down, as gobgpd tells.
fn age(node: &Gobgp, host: &str) -> Result<(String, String)> {
    let neighbor = node.neighbor(host)?;
    let neighbor = if neighbor.is_array() { neighbor[0].clone() } else { neighbor };
    let uptime = &neighbor["timers"]["state"]["uptime"];
    anyhow::ensure!(!uptime.is_null(), "no uptime in {neighbor}");
    Ok((uptime.to_string(), neighbor["state"]["flops"].to_string()))
}

/// Asks the service without pause until told to end; answers that did not come count under "".
fn traffic(lab: &Lab, ends: &AtomicBool) -> Result<BTreeMap<String, usize>> {
    let mut all = BTreeMap::new();
    while !ends.load(Ordering::Relaxed) {
        for (who, count) in curl(&lab.host, "http://[2004::1]/", 20)? {
            *all.entry(who).or_default() += count;
        }
    }
    Ok(all)
}

/// Runs `restarts` under traffic of the host and of a client behind it, and 200 long-lived connections: every request must be
/// answered, no connection broken, and the kernel not touched.
fn undisturbed(lab: &mut Lab, what: &str, restarts: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    let _backends = flows::start_backends(lab)?;
    let load = Load::start(lab, "2004::1")?;
    let lab = &*lab;
    let watch = watch_forwarding(lab, &lab.host)?;
    let ends = AtomicBool::new(false);
    let answers = std::thread::scope(|scope| {
        let asking = scope.spawn(|| traffic(lab, &ends));
        let outcome = restarts(lab);
        ends.store(true, Ordering::Relaxed);
        let answers = asking.join().map_err(|_| anyhow::anyhow!("the client panicked"))?;
        outcome.and(answers)
    })?;
    load.finish(what)?.expect_none();
    assert_eq!(answers.get(""), None, "{answers:?}");
    assert!(answers.values().sum::<usize>() > 20, "{answers:?}");
    watch.expect_none(|| lab.explain())?;
    Ok(())
}

#[test]
fn a_replaced_daemon_keeps_every_session() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let mut daemon = Daemon::start_k3d(&lab)?;
    let nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128", "2004::2/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    daemon.expect_established(&lab, &lab.v6())?;
    let before: Vec<_> = nodes.iter().map(|node| age(node, HOST_V6)).collect::<Result<_>>()?;
    undisturbed(&mut lab, "20 replacements", |lab| {
        for _ in 0..20 {
            let pid = daemon.pid();
            daemon.replace(lab)?;
            anyhow::ensure!(daemon.pid() != pid, "the same process");
            // Its RIB is there as soon as it answers.
            until("the paths are there", PATIENCE, || {
                let paths = lab.v6().into_iter().map(|peer| daemon.path("2004::1/128", &peer));
                Ok(paths.collect::<Result<Vec<_>>>()?.iter().all(|path| !path.is_null()))
            })?;
        }
        Ok(())
    })?;
    let after: Vec<_> = nodes.iter().map(|node| age(node, HOST_V6)).collect::<Result<_>>()?;
    assert_eq!(before, after, "{}", daemon.log());
    // And it works on.
    nodes[0].withdraw("2004::1/128")?;
    lab.expect_gateways("2004::1", &lab.v6()[1..], PATIENCE)?;
    nodes[0].announce("2004::1/128")?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    assert!(daemon.stop()?.success());
    assert_eq!(routes_of_protocol(&lab.host, "bgp")?, []);
    Ok(())
}

#[test]
fn a_restart_by_the_service_manager_keeps_sessions_with_md5() -> Result<()> {
    let mut lab = Lab::with_nodes(3)?;
    lab.add_service("2004::1")?;
    let config = std::fs::read_to_string(k3d())?
        .replace("import = \"all\"", "import = \"all\"\npassword = \"cilium123\"");
    let mut daemon = Daemon::start_managed(&lab, &config)?;
    let settings = Settings {
        transport: Transport::Both,
        password: Some("cilium123".to_owned()),
        ..Settings::default()
    };
    let nodes = Gobgp::start_all(&lab, &settings, &["2004::1/128"])?;
    daemon.expect_established(&lab, &lab.v6())?;
    daemon.expect_established(&lab, &lab.nodes.iter().map(Node::v4).collect::<Vec<_>>())?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let ages = || -> Result<Vec<_>> {
        nodes.iter().flat_map(|node| [HOST_V6, HOST_V4].map(|host| age(node, host))).collect()
    };
    let before = ages()?;
    // Two under another configuration, which means the same to peers and to these routes.
    let changed = config.replace("import = \"all\"", "import = \"services\"\nconnect-retry-time = 7")
        + "\n[prefix-list.services]\nrules = [\"permit 2004::/64 ge 128 le 128\"]\n";
    undisturbed(&mut lab, "5 restarts, the last two of them changed", |lab| {
        for round in 0..5 {
            if round == 3 {
                daemon.write_config(&changed)?;
            }
            daemon.hand_over()?;
            anyhow::ensure!(
                daemon.manager()?.keeps(&["bgpd-listen", "bgpd-session", "bgpd-state"]),
                "{:?}",
                daemon.manager()?.names()
            );
            daemon.start_again(lab)?;
            // A copy in the store would keep connections open that we close.
            until("the store is empty", PATIENCE, || Ok(daemon.manager()?.names().is_empty()))?;
        }
        Ok(())
    })?;
    assert_eq!(before, ages()?, "{}", daemon.log());
    assert_eq!(daemon.neighbor(&lab.nodes[0].v6())?["transport"]["md5"], true);
    Ok(())
}

/// Two signals that come together are taken by threads of their own; which is heard first nobody knows, and a hand-over it is
/// in either case.
#[test]
fn a_hand_over_is_one_also_where_the_end_is_heard_first() -> Result<()> {
    // Whom the daemon looks at first is drawn by lot: in a quarter of the rounds it is the end.
    const ROUNDS: usize = 10;
    let lab = Lab::with_nodes(1)?;
    lab.add_service("2004::1")?;
    let mut daemon = Daemon::start_managed(&lab, &std::fs::read_to_string(k3d())?)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    daemon.expect_established(&lab, &lab.v6())?;
    for _ in 0..ROUNDS {
        daemon.hand_over_told_together()?;
        daemon.start_again(&lab)?;
    }
    // gobgpd tells the age of a session that has just ended as if it went on.
    assert_eq!(daemon.log().matches("session goes on").count(), ROUNDS, "{}", daemon.log());
    Ok(())
}

#[test]
fn a_damaged_state_is_refused_and_sessions_begin_anew() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    lab.add_service("2004::1")?;
    let mut daemon = Daemon::start_managed(&lab, &std::fs::read_to_string(k3d())?)?;
    let _nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let watch = watch_forwarding(&lab, &lab.host)?;
    daemon.hand_over()?;
    daemon.manager()?.damage()?;
    daemon.start_again(&lab)?;
    assert!(daemon.log().contains("its checksum is wrong"), "{}", daemon.log());
    assert!(!daemon.log().contains("session goes on"), "{}", daemon.log());
    daemon.expect_established(&lab, &lab.v6())?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    // The routes stayed in the kernel meanwhile.
    watch.expect_none(|| lab.explain())?;
    Ok(())
}

/// Two nodes by address, each with its own settings.
fn two(first: &str, second: &str) -> String {
    format!(
        "[bgp]\nasn = 64513\nrouter-id = \"172.50.0.1\"\n\n[neighbor.\"2001:3200:3200::2\"]\nremote-asn = 64512\n\
         import = \"all\"\n{first}\n\n[neighbor.\"2001:3200:3200::3\"]\nremote-asn = 64512\nimport = \"all\"\n{second}\n"
    )
}

#[test]
fn a_changed_configuration_costs_only_whom_it_concerns() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let mut daemon = Daemon::start_managed(&lab, &two("", ""))?;
    let nodes = Gobgp::start_all(&lab, &Settings::default(), &["2004::1/128"])?;
    daemon.expect_established(&lab, &lab.v6())?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let before = age(&nodes[0], HOST_V6)?;
    // What the peer is not told counts at once and costs nothing; a hold time is told in OPEN.
    daemon.write_config(&two("connect-retry-time = 7\nimport = \"none\"", "hold-time = 30").replacen(
        "import = \"all\"\n",
        "",
        1,
    ))?;
    daemon.restart(&lab)?;
    assert!(daemon.log().contains("hold-time has changed"), "{}", daemon.log());
    daemon.expect_established(&lab, &lab.v6())?;
    // Routes are selected when the second one has said everything, with its first KEEPALIVE.
    lab.expect_gateways("2004::1", &[lab.nodes[1].v6()], seconds(60))?;
    assert_eq!(age(&nodes[0], HOST_V6)?, before);
    assert_eq!(daemon.neighbor(&lab.nodes[1].v6())?["negotiated"]["hold_seconds"], 30);
    Ok(())
}

/// A host that passes everything on, to a BIRD and an FRR.
const ROUTER: &str = r#"[bgp]
asn = 64513
router-id = "172.50.0.1"
networks = ["2001:db8:100::/48"]

[peer-group.lab]
import = "all"
export = "all"

[neighbor."2001:3200:3200::2"]
peer-group = "lab"
remote-asn = 64512

[neighbor."2001:3200:3200::3"]
peer-group = "lab"
remote-asn = 64514
"#;

fn bird(routes: usize) -> Result<String> {
    let mut text = String::from(
        r#"log stderr all;
timeformat protocol "%s%3f";
router id 172.50.0.2;
protocol device {}
protocol direct { ipv6; interface "eth0"; }
filter own { if source = RTS_STATIC then accept; reject; }
protocol bgp host {
  local 2001:3200:3200::2 as 64512;
  neighbor 2001:3200:3200::1 as 64513;
  ipv6 { import all; export filter own; };
}
protocol static { ipv6;
"#,
    );
    for number in 0..routes {
        writeln!(text, "route 2001:db9:{:x}:{:x}::/64 unreachable;", number >> 16, number & 0xffff)?;
    }
    text.push_str("}\n");
    Ok(text)
}

const FRR: &str = "router bgp 64514
 bgp router-id 172.50.0.3
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 neighbor 2001:3200:3200::1 remote-as 64513
 address-family ipv6 unicast
  neighbor 2001:3200:3200::1 activate
 exit-address-family
";

/// UPDATEs that FRR has received, prefixes that it accepts, and how often the session was dropped.
fn seen_by_frr(frr: &Frr) -> Result<(i64, i64, i64)> {
    let all = frr.json("show bgp neighbors 2001:3200:3200::1")?;
    let neighbor = &all["2001:3200:3200::1"];
    let number =
        |value: &serde_json::Value| value.as_i64().with_context(|| format!("no number in {neighbor}"));
    Ok((
        number(&neighbor["messageStats"]["updatesRecv"])?,
        number(&neighbor["addressFamilyInfo"]["ipv6Unicast"]["acceptedPrefixCounter"])?,
        number(&neighbor["connectionsDropped"])?,
    ))
}

/// The lines of BIRD's protocol that count what came and went, and since when it is up.
fn seen_by_bird(bird: &Bird) -> Result<Vec<String>> {
    let shown = bird.ask("show protocols all host")?;
    let told = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("host ") || line.contains(" updates:") || line.contains(" withdraws:")
    };
    Ok(shown.lines().filter(told).map(str::to_owned).collect())
}

#[test]
fn a_full_table_is_handed_over_and_nothing_is_sent_twice() -> Result<()> {
    const ROUTES: i64 = 50_000;
    let lab = Lab::with_nodes(2)?;
    let mut daemon = Daemon::start_managed(&lab, ROUTER)?;
    let bird = Bird::start(&lab, &lab.nodes[0].namespace, &bird(usize::try_from(ROUTES)?)?)?;
    let frr = Frr::start(&lab, &lab.nodes[1].namespace, FRR)?;
    lab.until("FRR has every route", seconds(90), || Ok(seen_by_frr(&frr)?.1 == ROUTES + 1))?;
    lab.until("BIRD has our network", PATIENCE, || {
        Ok(bird.ask("show route 2001:db8:100::/48")?.contains("unicast"))
    })?;
    lab.until("the kernel has every route", seconds(60), || {
        // A route over a group has a line more for each of its next hops.
        let shown = lab.host.ip("-6 route show protocol bgp")?;
        Ok(shown.lines().filter(|line| line.starts_with("2001:db9:")).count() == usize::try_from(ROUTES)?)
    })?;
    let (updates, _, dropped) = seen_by_frr(&frr)?;
    let looked = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let before = seen_by_bird(&bird)?;
    let watch = watch_forwarding(&lab, &lab.host)?;
    for _ in 0..3 {
        daemon.restart(&lab)?;
    }
    daemon.replace(&lab)?;
    // The service manager follows, and the process that it has not started knows it: the next restart is by its store.
    assert_eq!(daemon.manager()?.main_pid(), daemon.pid());
    // The sentinel: a network more is the only thing that either has to hear of.
    daemon.write_config(&ROUTER.replace("/48\"]", "/48\", \"2001:db8:101::/48\"]"))?;
    let start = std::time::Instant::now();
    daemon.restart(&lab)?;
    lab.until("FRR has the new network too", seconds(60), || Ok(seen_by_frr(&frr)?.1 == ROUTES + 2))?;
    println!("restart with {ROUTES} routes to the first new UPDATE at a peer: {:?}", start.elapsed());
    assert_eq!(seen_by_frr(&frr)?, (updates + 1, ROUTES + 2, dropped), "{}", lab.explain());
    lab.until("BIRD has it", PATIENCE, || Ok(bird.ask("show route 2001:db8:101::/48")?.contains("unicast")))?;
    let after = seen_by_bird(&bird)?;
    // Up since a moment before the look at the beginning; BIRD works it out anew each time, by a clock that may be set.
    let since = after
        .first()
        .and_then(|line| line.split_whitespace().rev().find_map(|word| word.parse::<u128>().ok()));
    let since = since.context("no time")?;
    assert!(since < looked, "up since {since} ms, the first look was at {looked} ms\n{}", lab.explain());
    let imports = |lines: &[String]| -> i64 {
        let imports = lines.iter().filter(|line| line.trim_start().starts_with("Import"));
        imports.flat_map(|line| line.split_whitespace()).filter_map(|word| word.parse::<i64>().ok()).sum()
    };
    // One more received and accepted.
    assert_eq!(imports(&after), imports(&before) + 2, "{before:#?} {after:#?}");
    watch.expect_none(|| daemon.log())?;
    Ok(())
}

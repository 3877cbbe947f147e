//! The main job before a spectator's eyes: three nodes, the daemon on the host, what the kernel and `curl` say.
//!
//! Every step that is shown is also checked; the first that is not as promised ends the demo with an error.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, ensure};

use crate::daemon::{Daemon, Privileges, k3d};
use crate::gobgp::{Gobgp, Settings};
use crate::haproxy;
use crate::http::curl;
use crate::kernel::{gateways, routes_to};
use crate::lab::{HOST_V6, Lab, Node};
use crate::process::{Process, let_processes_outlive};
use crate::programs::{binary, installed};
use crate::wait::PATIENCE;

const SERVICE: &str = "2004::1";
const REQUESTS: usize = 90;

/// Which speakers stand on the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Nodes {
    /// Debian's gobgpd, configured as Cilium configures its GoBGP.
    Gobgpd,
    /// The lab's own speaker.
    Embedded,
}

/// What happens at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtTheEnd {
    /// Everything is removed.
    CleanUp,
    /// Everything stays and runs on.
    Keep,
}

enum Speakers {
    Gobgp(Vec<Gobgp>),
    Embedded(Vec<Process>),
}

/// Runs the demo. Without a choice the nodes are gobgpd, or our own where it is not installed.
pub fn run_demo(nodes: Option<Nodes>, end: AtTheEnd) -> Result<()> {
    let nodes = nodes.unwrap_or_else(choose);
    if end == AtTheEnd::Keep {
        let_processes_outlive();
    }
    title("A host with a Docker bridge and three nodes, each with the service address 2004::1");
    let lab = Lab::with_nodes(3)?;
    lab.add_service(SERVICE)?;
    lab.wait_for_http()?;
    println!("host   172.50.0.1/16  {HOST_V6}/64  AS 64513");
    lab.nodes.iter().for_each(|node| println!("{}  {}     {}     AS 64512", node.name, node.v4(), node.v6()));

    title("bgpd-rs on the host: bgpd-rs --config config/examples/k3d.toml");
    let daemon = Daemon::start_file(&lab, &k3d(), Privileges::Root)?;
    println!("running, process {}", daemon.pid());
    let speakers = start_speakers(&lab, nodes)?;
    show_sessions(&lab, &daemon)?;
    show_routes(&lab)?;
    let haproxy = show_traffic(&lab)?;

    if end == AtTheEnd::CleanUp {
        println!("\nAll as promised. The lab is removed again; --keep leaves it running.");
        return Ok(());
    }
    say_how_to_enter(&lab, &daemon)?;
    match speakers {
        Speakers::Gobgp(all) => all.into_iter().for_each(Gobgp::leave),
        Speakers::Embedded(all) => all.into_iter().for_each(Process::leave),
    }
    haproxy.leave();
    daemon.leave();
    lab.leave();
    Ok(())
}

fn choose() -> Nodes {
    match installed("gobgpd", "gobgpd") {
        Ok(()) => Nodes::Gobgpd,
        Err(reason) => {
            println!("{reason:#}; the nodes are of our own kind (--nodes embedded)");
            Nodes::Embedded
        }
    }
}

fn start_speakers(lab: &Lab, nodes: Nodes) -> Result<Speakers> {
    match nodes {
        Nodes::Gobgpd => {
            title("gobgpd on each node, as in Cilium: it only dials, 5 to 9 s after its start");
            let prefix = format!("{SERVICE}/128");
            Ok(Speakers::Gobgp(Gobgp::start_all(lab, &Settings::default(), &[&prefix])?))
        }
        Nodes::Embedded => {
            title("The lab's own speaker on each node");
            Ok(Speakers::Embedded(lab.nodes.iter().map(|node| embedded(lab, node)).collect::<Result<_>>()?))
        }
    }
}

fn embedded(lab: &Lab, node: &Node) -> Result<Process> {
    let mut command = node.namespace.command(binary("lab-node")?);
    command.args(["speak", "--name", &node.name, "--host", HOST_V6, &format!("{SERVICE}/128")]);
    Process::start(&format!("speaker-{}", node.name), &mut command, lab.dir())
}

fn show_sessions(lab: &Lab, daemon: &Daemon) -> Result<()> {
    let peers = lab.v6();
    daemon.expect_established(lab, &peers)?;
    lab.expect_all_nodes(SERVICE, PATIENCE)?;
    prompt("bgpctl show neighbors");
    print!("{}", daemon.ctl("show neighbors")?);
    Ok(())
}

fn show_routes(lab: &Lab) -> Result<()> {
    prompt(&format!("ip -6 route show {SERVICE}"));
    print!("{}", lab.host.ip(&format!("-6 route show {SERVICE}"))?);
    prompt("ip nexthop");
    print!("{}", lab.host.ip("nexthop")?);
    let routes = routes_to(&lab.host, SERVICE)?;
    let as_promised = routes
        .iter()
        .all(|route| route.protocol == "bgp" && route.metric == 20 && route.nexthop_id.is_some());
    ensure!(routes.len() == 1 && as_promised, "not one route `nhid N proto bgp metric 20`: {routes:?}");
    ensure!(gateways(&lab.host, SERVICE)?.len() == 3, "not three next hops: {routes:?}");
    Ok(())
}

fn show_traffic(lab: &Lab) -> Result<Process> {
    let service = format!("http://[{SERVICE}]/");
    prompt(&format!("curl {service}        # {REQUESTS} times, by the ECMP route; who answered"));
    check_answers(lab, &curl(&lab.host, &service, REQUESTS)?)?;
    let haproxy = haproxy::start(lab, SERVICE)?;
    prompt(&format!("curl {}    # {REQUESTS} times, HAProxy on the host in front of it", haproxy::URL));
    check_answers(lab, &curl(&lab.host, haproxy::URL, REQUESTS)?)?;
    Ok(haproxy)
}

fn check_answers(lab: &Lab, answers: &BTreeMap<String, usize>) -> Result<()> {
    answers.iter().for_each(|(name, count)| println!("{name}  {count}"));
    let names: BTreeSet<_> = answers.keys().cloned().collect();
    let all: BTreeSet<_> = lab.nodes.iter().map(|node| node.name.clone()).collect();
    ensure!(names == all, "the answers did not come from exactly these nodes {all:?}: {answers:?}");
    Ok(())
}

fn say_how_to_enter(lab: &Lab, daemon: &Daemon) -> Result<()> {
    let host = lab.host.name();
    let bgpctl = binary("bgpctl")?;
    let directory = bgpctl.parent().unwrap_or(Path::new(".")).display().to_string();
    let socket = daemon.socket().display();
    println!("\nAll as promised, and it runs on. To enter the host:\n");
    println!("  sudo ip netns exec {host} env BGPD_RS_SOCKET={socket} PATH={directory}:$PATH bash");
    println!("\nA node: sudo ip netns exec {} bash", lab.nodes[0].namespace.name());
    println!("Logs:   {}", lab.dir().display());
    println!("Remove: sudo scripts/lab-clean");
    Ok(())
}

fn title(text: &str) {
    println!("\n== {text}");
}

fn prompt(line: &str) {
    println!("\nhost# {line}");
}

//! The stage of every fault: three nodes with one service, the daemon, requests from a client behind the host; and the
//! judgement that is the same for all faults.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bgp_wire::Prefix;

use super::probe::Probe;
use super::usage::{Usage, descriptors};
use crate::daemon::Daemon;
use crate::lab::{HOST_V6, Lab, Node};
use crate::rtnl::{self, Watcher};
use crate::speaker::{Settings, Speaker};
use crate::traffic::{Tally, Traffic};
use crate::wait::{PATIENCE, seconds, until};

/// The address that the requests go to.
pub const SERVICE: &str = "2004::1";
/// Threads of the client.
const CLIENTS: usize = 4;
/// KiB by which the memory may have grown when all is over; what an allocator keeps for the next time.
const GROWTH: u64 = 24 << 10;

/// The configuration of the host: lines for its peer group, and further tables.
pub fn config(group: &str, rest: &str) -> String {
    format!(
        "[bgp]\nasn = 64513\nrouter-id = \"172.50.0.1\"\n\n[peer-group.cilium]\nremote-asn = 64512\n\
         listen-range = [\"172.50.0.0/16\", \"2001:3200:3200::/64\"]\nimport = \"all\"\n{group}\n\n\
         [kernel]\nset-multipath-hash-policy = true\n{rest}\n"
    )
}

/// How a scene is to be.
#[derive(Default)]
pub struct Setup<'a> {
    /// Lines for the peer group.
    pub group: &'a str,
    /// Lines behind the table `kernel`, and further tables.
    pub rest: &'a str,
    /// Nodes at the front that get no speaker: the fault brings its own.
    pub without_speaker: usize,
}

/// A fault's stage while traffic flows.
pub struct Scene {
    /// The lab: the host, three nodes, the client.
    pub lab: Lab,
    /// The daemon.
    pub daemon: Daemon,
    /// Follows the route to the service.
    pub watcher: Watcher,
    /// The nodes' speakers, the first node's first, as far as they are of our own kind.
    pub speakers: Vec<Option<Speaker>>,
    traffic: Option<Traffic>,
    before: Option<Usage>,
}

/// What a fault did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What became of routes and sessions.
    pub said: String,
    /// The requests.
    pub tally: Tally,
    /// The daemon before.
    pub before: Usage,
    /// The daemon when all was over.
    pub after: Usage,
}

impl Scene {
    /// Builds it; every speaker of our own has announced the service, and nobody asks for it yet.
    pub fn start(setup: &Setup<'_>) -> Result<Self> {
        Self::build(setup, Daemon::start)
    }

    /// The same with a daemon that is started in some other way.
    pub fn build(setup: &Setup<'_>, start: impl FnOnce(&Lab, &str) -> Result<Daemon>) -> Result<Self> {
        let mut lab = Lab::with_nodes(3)?;
        lab.add_service(SERVICE)?;
        lab.client()?;
        // It knows the objects that it has seen come.
        let watcher = Watcher::start(&lab.host, rtnl::v6(SERVICE)?)?;
        let daemon = start(&lab, &config(setup.group, setup.rest))?;
        let speakers = (0..setup.without_speaker).map(|_| None).collect();
        let mut scene = Self { lab, daemon, watcher, speakers, traffic: None, before: None };
        for index in setup.without_speaker..scene.lab.nodes.len() {
            scene.speakers.push(None);
            scene.announce_service(index)?;
        }
        Ok(scene)
    }

    /// Waits until every node is a leg, notes what the daemon holds, and lets the requests begin.
    pub fn begin(&mut self) -> Result<()> {
        self.lab.expect_all_nodes(SERVICE, seconds(40))?;
        self.begin_as_it_is()
    }

    /// The same with whatever routes there are.
    pub fn begin_as_it_is(&mut self) -> Result<()> {
        self.lab.wait_for_http()?;
        self.daemon.ctl("show summary")?;
        self.before = Some(Usage::of(self.daemon.pid())?);
        let to: SocketAddr = format!("[{SERVICE}]:80").parse()?;
        self.traffic = Some(Traffic::start(self.lab.client()?, to, CLIENTS)?);
        self.watcher.forget();
        Ok(())
    }

    /// A session of this node's own speaker, which announces the service.
    pub fn announce_service(&mut self, index: usize) -> Result<()> {
        let speaker = dial(&self.lab, self.node(index)?)?;
        speaker.announce(&prefixes(&["2004::1/128"])?)?;
        *self.speakers.get_mut(index).context("no such node")? = Some(speaker);
        Ok(())
    }

    /// The speaker of a node, given away.
    pub fn take_speaker(&mut self, index: usize) -> Result<Speaker> {
        self.speakers.get_mut(index).and_then(Option::take).context("the node has no speaker")
    }

    /// The speaker of a node.
    pub fn speaker(&self, index: usize) -> Result<&Speaker> {
        self.speakers.get(index).and_then(Option::as_ref).context("the node has no speaker")
    }

    /// A node.
    pub fn node(&self, index: usize) -> Result<&Node> {
        self.lab.nodes.get(index).context("no such node")
    }

    /// The addresses of all nodes but the first.
    pub fn others(&self) -> Vec<String> {
        self.lab.nodes.iter().skip(1).map(Node::v6).collect()
    }

    /// Starts a route that comes and goes, over a session of the last node under a second address.
    pub fn probe(&self) -> Result<Probe> {
        Probe::start(&self.lab, self.lab.nodes.last().context("no node")?)
    }

    /// Waits for the moment when only the other nodes are legs; the time since `begun`.
    pub fn first_leg_gone(&self, begun: Instant, limit: Duration) -> Result<Duration> {
        let wanted: BTreeSet<_> =
            self.others().iter().map(|address| rtnl::v6(address)).collect::<Result<_>>()?;
        let gone = self.watcher.wait_for(&wanted, limit).with_context(|| self.lab.explain())?;
        Ok(gone.saturating_duration_since(begun))
    }

    /// Waits until every node is a leg again; the time it took.
    pub fn all_legs_back(&self, limit: Duration) -> Result<Duration> {
        self.lab.expect_all_nodes(SERVICE, limit)
    }

    /// How many sessions with these nodes ended since the daemon is there; a session that is not up fails.
    pub fn flaps(&self, nodes: impl IntoIterator<Item = usize>) -> Result<u64> {
        let mut flaps = 0;
        for index in nodes {
            let peer = self.daemon.neighbor(&self.node(index)?.v6())?;
            ensure!(peer["state"] == "established", "{peer}: {}", self.daemon.log());
            flaps += peer["flaps"].as_u64().context("flaps")?;
        }
        Ok(flaps)
    }

    /// The judgement that is the same for all: the daemon lives, none of its tasks has panicked, it holds no more
    /// descriptors than before and not much more memory.
    pub fn finish(mut self, said: String) -> Result<Outcome> {
        let tally = self.traffic.take().context("no traffic")?.stop()?;
        let before = self.before.context("it has not begun")?;
        self.daemon.must_run()?;
        let pid = self.daemon.pid();
        until("no descriptor is left behind", PATIENCE, || Ok(descriptors(pid)? <= before.descriptors))
            .with_context(|| open_files(pid))?;
        let log = self.daemon.log();
        ensure!(!log.contains("panicked") && !log.contains("ended by itself"), "a task has ended: {log}");
        let after = Usage::of(pid)?;
        ensure!(after.resident <= before.resident + GROWTH, "memory grew: {before:?}, then {after:?}");
        Ok(Outcome { said, tally, before, after })
    }
}

impl Outcome {
    /// Fails where a request was lost.
    pub fn nothing_lost(self) -> Result<Self> {
        ensure!(self.tally.lost.is_empty(), "requests were lost: {:?}", self.tally);
        Ok(self)
    }

    /// Fails where a request was lost outside of the time for which the fault had to be felt.
    pub fn lost_at_most_for(self, limit: Duration) -> Result<Self> {
        let felt = self.tally.disturbed_for();
        ensure!(felt <= limit, "requests were lost for {felt:?}: {:?}", self.tally.lost);
        Ok(self)
    }
}

/// A session of our own from a node, as soon as the daemon lets it in.
pub fn dial(lab: &Lab, node: &Node) -> Result<Speaker> {
    dial_as(lab, node, &Settings::cilium(&node.name)?)
}

/// The same with other settings.
pub fn dial_as(lab: &Lab, node: &Node, settings: &Settings) -> Result<Speaker> {
    let remote = SocketAddr::new(HOST_V6.parse()?, 179);
    let mut speaker = None;
    lab.until(&format!("{} has its session", node.name), PATIENCE, || {
        speaker = Some(node.namespace.inside(|| Speaker::dial(remote, settings))??);
        Ok(true)
    })?;
    speaker.context("no session")
}

/// Prefixes out of text.
pub fn prefixes(texts: &[&str]) -> Result<Vec<Prefix>> {
    texts.iter().map(|text| text.parse::<Prefix>().with_context(|| (*text).to_owned())).collect()
}

/// So many host routes that no other part of a scene has.
pub fn many(count: u32) -> Result<Vec<Prefix>> {
    let one = |number: u32| format!("2005::{:x}:{:x}/128", number >> 16, number & 0xffff);
    (0..count).map(|number| one(number).parse::<Prefix>().with_context(|| one(number))).collect()
}

/// How many of [`many`] the kernel of the host has.
pub fn many_in_kernel(lab: &Lab) -> Result<usize> {
    let shown = lab.host.ip("-6 route show root 2005::/16 proto bgp")?;
    Ok(shown.lines().filter(|line| line.starts_with("2005:")).count())
}

/// A number of milliseconds or seconds as a table shows it.
pub fn shown(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

fn open_files(pid: i32) -> String {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets: Vec<_> = entries
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .map(|target| target.display().to_string())
        .collect();
    targets.join(" ")
}

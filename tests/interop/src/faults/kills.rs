//! The daemon is killed, at random points of its life, again and again.
//!
//! Three nodes with graceful restart hold sessions, announce and withdraw. After each kill the next process starts at
//! once, and may be killed before it has opened a socket, while sessions come up, while routes are selected and written,
//! or at rest. What all nodes have announced all the time must never leave the kernel; and whenever a process is let
//! live, the kernel must come to hold exactly what is announced, with no next-hop object too many.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bgp_wire::Prefix;

use super::scene::{SERVICE, Setup, prefixes, shown};
use super::{Fault, Length, Outcome, Scene};
use crate::kernel::{nexthops, routes_of_protocol, watch_routes};
use crate::lab::HOST_V6;
use crate::speaker::{Keeper, Order, Settings};
use crate::wait::{PATIENCE, seconds};

/// What this file does.
pub const FAULTS: &[Fault] = &[Fault {
    name: "kill-9",
    what: "the daemon gets SIGKILL 200 times, up to 1.5 s after its start, while nodes with graceful restart announce and withdraw",
    run: killed,
}];

/// Routes that all nodes announce all the time, beside the service.
const STABLE: u32 = 50;
/// Routes of one node each that come and go.
const CHURN: u32 = 300;
/// Every so many kills, by chance, the process after it is let live until everything has settled.
const JUDGED: u32 = 4;

/// What the environment may set to run the same points again.
const SEED: &str = "FAULTS_SEED";

struct Crowd {
    keepers: Vec<Keeper>,
    /// What each node announces beside what is stable.
    announced: Vec<BTreeSet<Prefix>>,
    random: fastrand::Rng,
}

fn stable() -> Result<Vec<Prefix>> {
    let mut all = prefixes(&["2004::1/128"])?;
    for number in 0..STABLE {
        all.push(format!("2006::{number:x}/128").parse()?);
    }
    Ok(all)
}

fn churning(node: usize, number: u32) -> Result<Prefix> {
    let text = format!("2005:{node:x}::{number:x}/128");
    text.parse().context(text)
}

impl Crowd {
    fn start(scene: &Scene, random: fastrand::Rng) -> Result<Self> {
        let remote = SocketAddr::new(HOST_V6.parse()?, 179);
        let mut keepers = Vec::new();
        for node in &scene.lab.nodes {
            let settings = Settings { graceful_restart: true, ..Settings::cilium(&node.name)? };
            keepers.push(Keeper::start(node, remote, settings, stable()?, Duration::from_millis(100))?);
        }
        let announced = keepers.iter().map(|_| BTreeSet::new()).collect();
        Ok(Self { keepers, announced, random })
    }

    /// A node announces or withdraws some of its own routes, whether anybody listens or not.
    fn change(&mut self) -> Result<()> {
        let node = self.random.usize(..self.keepers.len());
        let count = self.random.u32(1..CHURN);
        let some: BTreeSet<_> =
            (0..count).map(|_| churning(node, self.random.u32(..CHURN))).collect::<Result<_>>()?;
        let own = self.announced.get_mut(node).context("node")?;
        let order = if self.random.bool() {
            own.extend(some.iter().copied());
            Order::Announce(some.into_iter().collect())
        } else {
            own.retain(|prefix| !some.contains(prefix));
            Order::Withdraw(some.into_iter().collect())
        };
        self.keepers.get(node).context("node")?.order(order)
    }

    /// What the kernel is to hold, as `ip` prints it.
    fn wanted(&self) -> Result<BTreeSet<String>> {
        let all = stable()?.into_iter().chain(self.announced.iter().flatten().copied());
        Ok(all.map(|prefix| prefix.address().to_string()).collect())
    }

    /// Waits until the kernel holds what is announced and nothing else; the time it took.
    fn expect_settled(&self, scene: &Scene) -> Result<Duration> {
        let wanted = self.wanted()?;
        let begun = Instant::now();
        scene.lab.until("the kernel holds what is announced and nothing else", seconds(40), || {
            let there: BTreeSet<_> =
                routes_of_protocol(&scene.lab.host, "bgp")?.into_iter().map(|route| route.prefix).collect();
            let (more, less) = (there.difference(&wanted).count(), wanted.difference(&there).count());
            ensure!(there == wanted, "{more} too many, {less} missing of {}", wanted.len());
            Ok(true)
        })?;
        scene.lab.expect_all_nodes(SERVICE, PATIENCE)?;
        let settled = begun.elapsed();
        scene.lab.until("no next-hop object is there in vain", PATIENCE, || {
            let used: BTreeSet<u64> = routes_of_protocol(&scene.lab.host, "bgp")?
                .into_iter()
                .filter_map(|route| route.nexthop_id)
                .collect();
            let objects = nexthops(&scene.lab.host)?;
            let members: BTreeSet<u64> = objects.iter().flat_map(|object| object.members.clone()).collect();
            let vain = objects.iter().filter(|o| !used.contains(&o.id) && !members.contains(&o.id));
            Ok(vain.count() == 0)
        })?;
        Ok(settled)
    }
}

fn seed() -> Result<u64> {
    match std::env::var(SEED) {
        Ok(text) => text.parse().with_context(|| format!("{SEED}={text}")),
        Err(_) => Ok(fastrand::u64(..1_000_000)),
    }
}

fn killed(length: Length) -> Result<Outcome> {
    let seed = seed()?;
    println!("kill-9: {SEED}={seed}");
    kill_again_and_again(length, seed).with_context(|| format!("again with {SEED}={seed}"))
}

fn kill_again_and_again(length: Length, seed: u64) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup { without_speaker: 3, ..Setup::default() })?;
    let mut crowd = Crowd::start(&scene, fastrand::Rng::with_seed(seed))?;
    crowd.expect_settled(&scene)?;
    scene.begin()?;
    let watch = watch_routes(&scene.lab, &scene.lab.host)?;
    let kills = length.count(200, 10);
    let mut settled = Vec::new();
    for round in 1..=kills {
        let alive = Duration::from_millis(crowd.random.u64(..1500));
        let begun = Instant::now();
        while begun.elapsed() < alive {
            if crowd.random.u8(..) < 100 {
                crowd.change()?;
            }
            thread::sleep(Duration::from_millis(50).min(alive.saturating_sub(begun.elapsed())));
        }
        scene.daemon.crash()?;
        scene.daemon.start_again_at_once(&scene.lab)?;
        if crowd.random.u32(..JUDGED) == 0 || round == kills {
            let time = crowd.expect_settled(&scene).with_context(|| format!("after kill {round}"))?;
            settled.push(time);
        }
    }
    scene.daemon.wait_until_ready(&scene.lab)?;
    let changes = watch.changes()?;
    let lost = stable()?.into_iter().filter(|prefix| {
        let address = prefix.address();
        changes.iter().any(|line| line.starts_with(&format!("Deleted {address} ")))
    });
    let lost: Vec<_> = lost.collect();
    ensure!(lost.is_empty(), "they left the kernel: {lost:?}");
    let mut said = format!(
        "seed {seed}: none of {} routes that were announced all the time left the kernel; {} times everything was as announced, ",
        stable()?.len(),
        settled.len()
    );
    let longest = settled.iter().max().copied().unwrap_or_default();
    write!(said, "{} after the start at most, without a route or next hop too many", shown(longest))?;
    drop(crowd);
    scene.finish(said)?.nothing_lost()
}

//! A peer is lost that all routes lead to: the kernel goes to the backup by itself, or by one message, and no route is
//! written.
#![cfg(feature = "labs")]

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use bgp_wire::Prefix;
use interop::daemon::Daemon;
use interop::kernel::{Watch, gateways, watch_forwarding};
use interop::lab::{HOST_V4, Lab};
use interop::speaker::{Settings, Speaker};
use interop::wait::{PATIENCE, seconds};

/// The link of the best peer, which is not on the bridge.
const CABLE: &str = "cable0";
const CABLE_HOST: &str = "10.60.0.1";
const BEST: &str = "10.60.0.2";
const NEXT: &str = "172.50.0.3";
const LAST: &str = "172.50.0.4";

const CONFIG: &str = r#"
[bgp]
asn = 64513
router-id = "172.50.0.1"

[peer-group.nodes]
remote-asn = 64512
mode = "passive"
import = "all"
hold-time = 240

[neighbor."10.60.0.2"]
peer-group = "nodes"

[neighbor."172.50.0.3"]
peer-group = "nodes"

[neighbor."172.50.0.4"]
peer-group = "nodes"

[kernel]
metric = 20
startup-grace = 0
"#;

/// Three peers with the same prefixes and ever longer paths.
struct Scene {
    lab: Lab,
    daemon: Daemon,
    peers: Vec<Speaker>,
    count: u32,
}

fn prefixes(count: u32) -> Vec<Prefix> {
    let prefix = |number: u32| Prefix::new(Ipv4Addr::from(0x0b00_0000 | number << 8).into(), 24);
    (0..count).filter_map(prefix).collect()
}

impl Scene {
    fn start(count: u32, kernel: &str) -> Result<Self> {
        let lab = Lab::with_nodes(3)?;
        // Otherwise each change of a group makes the kernel tell of every route again.
        lab.host.sysctl("net.ipv4.nexthop_compat_mode", "0")?;
        let inside = &lab.nodes[0].namespace;
        lab.host.ip(&format!("link add {CABLE} type veth peer name {CABLE} netns {}", inside.name()))?;
        for (end, address) in [(&lab.host, CABLE_HOST), (inside, BEST)] {
            end.ip(&format!("address add {address}/24 dev {CABLE}"))?;
            end.ip(&format!("link set {CABLE} up"))?;
        }
        let daemon = Daemon::start(&lab, &format!("{CONFIG}{kernel}"))?;
        let mut peers = Vec::new();
        for (node, host) in [CABLE_HOST, HOST_V4, HOST_V4].into_iter().enumerate() {
            let settings = Settings::cilium(&lab.nodes[node].name)?;
            let remote = SocketAddr::new(host.parse()?, 179);
            let mut peer = lab.nodes[node].namespace.inside(|| Speaker::dial(remote, &settings))??;
            peer.prepend(settings.asn, node);
            peer.announce(&prefixes(count))?;
            peers.push(peer);
            // A backup is kept though a better one comes later: so they come one after another.
            let from = [BEST, NEXT, LAST][node];
            lab.until(&format!("the routes of {from} are in the Adj-RIB-In"), seconds(60), || {
                Ok(daemon.counted(from, "ipv4-unicast", "accepted")? == u64::from(count))
            })?;
        }
        Ok(Self { lab, daemon, peers, count })
    }

    fn sample(&self) -> [String; 3] {
        [0, self.count / 2, self.count - 1].map(|number| {
            let [_, high, low, _] = (number << 8).to_be_bytes();
            format!("11.{high}.{low}.1")
        })
    }

    /// Waits until the kernel has the backup of what goes by this next hop.
    fn settled(&self, by: &str) -> Result<()> {
        let backup = if by == BEST { NEXT } else { LAST };
        self.lab.until("the backup is in the kernel", seconds(60), || {
            let held = |destination: &String| {
                let network = destination.strip_suffix(".1").context("a destination of ours")?;
                let found = gateways(&self.lab.host, &format!("{network}.0/24"))?;
                Ok(found == [by, backup].map(str::to_owned).into())
            };
            let all = self.sample().iter().map(held).collect::<Result<Vec<bool>>>()?;
            Ok(all.into_iter().all(|done| done))
        })?;
        Ok(())
    }

    /// The next hop of a packet, as the kernel's own lookup has it.
    fn way(&self, destination: &str) -> Result<String> {
        let found = self.lab.host.ip_json(&format!("route get {destination}"))?;
        found[0]["gateway"].as_str().map(str::to_owned).context("no gateway")
    }

    fn goes_by(&self, next_hop: &str) -> Result<bool> {
        for destination in self.sample() {
            if self.way(&destination)? != next_hop {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits for the decisions after a loss; how many messages about next-hop objects the kernel sent meanwhile, and that
    /// there was none about a route.
    fn nothing_written(&self, watch: &Watch) -> Result<usize> {
        self.settled(NEXT)?;
        let seen = watch.changes()?;
        let (routes, objects): (Vec<_>, Vec<_>) = seen.iter().partition(|line| line.contains("11."));
        ensure!(routes.is_empty(), "routes were written: {routes:#?}");
        Ok(objects.iter().filter(|line| line.contains("id 186")).count())
    }
}

#[test]
fn a_session_that_ends_is_repaired_by_messages_that_do_not_depend_on_the_number_of_routes() -> Result<()> {
    let mut messages = Vec::new();
    for count in [100, 20_000] {
        let mut scene = Scene::start(count, "")?;
        scene.settled(BEST)?;
        ensure!(scene.goes_by(BEST)?, "before the loss");
        let shown = scene.daemon.ctl("show nexthops")?;
        ensure!(shown.contains(&format!("{NEXT} (backup)")), "{shown}");
        let watch = watch_forwarding(&scene.lab, &scene.lab.host)?;
        drop(scene.peers.remove(0));
        scene.lab.until("all goes by the next peer", PATIENCE, || scene.goes_by(NEXT))?;
        messages.push(scene.nothing_written(&watch)?);
    }
    ensure!(messages[0] == messages[1] && messages[0] < 10, "{messages:?}");
    Ok(())
}

#[test]
fn a_port_that_goes_down_is_left_by_the_kernel_itself() -> Result<()> {
    let scene = Scene::start(20_000, "")?;
    scene.settled(BEST)?;
    let watch = watch_forwarding(&scene.lab, &scene.lab.host)?;
    // Nobody but the kernel is awake.
    scene.daemon.freeze()?;
    scene.lab.nodes[0].namespace.ip(&format!("link set {CABLE} down"))?;
    scene.lab.until("all goes by the next peer", PATIENCE, || scene.goes_by(NEXT))?;
    scene.daemon.thaw()?;
    scene.nothing_written(&watch)?;
    ensure!(scene.goes_by(NEXT)?, "after the decisions");
    Ok(())
}

#[test]
fn without_backups_routes_have_one_next_hop() -> Result<()> {
    let Scene { lab, daemon, peers, count } = Scene::start(10, "nexthop-backup = false\n")?;
    // The sentinel: when the kernel has what came last, it has what became of all that came before.
    let sentinel = Prefix::new(Ipv4Addr::new(12, 0, 0, 0).into(), 24).context("a prefix")?;
    peers[2].announce(&[sentinel])?;
    lab.expect_gateways("12.0.0.0/24", &[LAST.to_owned()], PATIENCE)?;
    for prefix in prefixes(count) {
        let found = gateways(&lab.host, &prefix.to_string())?;
        ensure!(found == [BEST.to_owned()].into(), "{prefix} by {found:?}");
    }
    let shown = daemon.ctl("show nexthops")?;
    ensure!(!shown.contains("backup"), "{shown}");
    Ok(())
}

//! What the kernel holds, asked through `ip -j`: routes with their next hops, nexthop objects.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::{run, words};
use crate::lab::Lab;
use crate::namespace::Namespace;
use crate::process::Process;
use crate::wait::{PATIENCE, until};

/// A route as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it leads, as `ip` prints it (`2004::1` for a host route).
    pub prefix: String,
    /// The origin's name: `bgp`, `static`, `kernel` …
    pub protocol: String,
    /// The metric (IPv6 shows 1024 when nobody asked for one; IPv4 shows nothing for 0).
    pub metric: u64,
    /// The nexthop object it uses.
    pub nexthop_id: Option<u64>,
    /// The gateways' addresses, each with a mark when the kernel does not use it.
    pub gateways: BTreeSet<String>,
    /// Flags of legs that the kernel does not use (`dead`, `linkdown`).
    pub flags: Vec<String>,
}

/// A nexthop object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nexthop {
    /// Its number.
    pub id: u64,
    /// The origin's name.
    pub protocol: String,
    /// The gateway of a single one.
    pub gateway: Option<String>,
    /// The members of a group.
    pub members: BTreeSet<u64>,
}

/// All routes of the main table to exactly this prefix.
pub fn routes_to(namespace: &Namespace, prefix: &str) -> Result<Vec<Route>> {
    let family = if prefix.contains(':') { "-6" } else { "-4" };
    let listed = namespace.ip_json(&format!("{family} route show exact {prefix}"))?;
    let mut routes: Vec<_> = listed.iter().map(route).collect();
    // With net.ipv4.nexthop_compat_mode=0 a route shows the number of its object alone.
    for route in routes.iter_mut().filter(|route| route.gateways.is_empty() && route.nexthop_id.is_some()) {
        route.gateways = gateways_of(&nexthops(namespace)?, route.nexthop_id);
    }
    Ok(routes)
}

/// The gateways behind a nexthop object.
fn gateways_of(objects: &[Nexthop], id: Option<u64>) -> BTreeSet<String> {
    let Some(object) = objects.iter().find(|object| Some(object.id) == id) else { return BTreeSet::new() };
    let members = objects.iter().filter(|other| object.members.contains(&other.id));
    members.chain([object]).filter_map(|object| object.gateway.clone()).collect()
}

/// All routes of both families with this protocol.
pub fn routes_of_protocol(namespace: &Namespace, protocol: &str) -> Result<Vec<Route>> {
    let mut listed = namespace.ip_json(&format!("-6 route show protocol {protocol}"))?;
    listed.extend(namespace.ip_json(&format!("-4 route show protocol {protocol}"))?);
    Ok(listed.iter().map(route).collect())
}

/// All nexthop objects.
pub fn nexthops(namespace: &Namespace) -> Result<Vec<Nexthop>> {
    Ok(namespace.ip_json("nexthop show")?.iter().map(nexthop).collect())
}

/// The gateways of the only route to a prefix; empty when there is none. Two routes are an error in every lab.
pub fn gateways(namespace: &Namespace, prefix: &str) -> Result<BTreeSet<String>> {
    let mut routes = routes_to(namespace, prefix)?;
    anyhow::ensure!(routes.len() <= 1, "more than one route to {prefix}: {routes:?}");
    Ok(routes.pop().map(|route| route.gateways).unwrap_or_default())
}

/// The object of the only route to a prefix.
pub fn nexthop_id(namespace: &Namespace, prefix: &str) -> Result<u64> {
    let routes = routes_to(namespace, prefix)?;
    anyhow::ensure!(routes.len() == 1, "not one route to {prefix}: {routes:?}");
    routes[0].nexthop_id.with_context(|| format!("no nexthop object: {routes:?}"))
}

/// A route in a table that no rule leads to and that the daemon does not read.
const PROBE: &str = "blackhole 192.0.2.255 table 4095";

/// `ip monitor` in a namespace, which writes down every change.
#[derive(Debug)]
pub struct Watch {
    process: Process,
    namespace: String,
}

/// Starts to write down every change of routes in a namespace.
pub fn watch_routes(lab: &Lab, namespace: &Namespace) -> Result<Watch> {
    Watch::start("watch-routes", "route", lab.dir(), namespace)
}

/// Starts to write down every change of routes and nexthop objects in a namespace.
pub fn watch_forwarding(lab: &Lab, namespace: &Namespace) -> Result<Watch> {
    watch_forwarding_in(lab.dir(), namespace)
}

/// The same without a lab; its log goes to a directory.
pub fn watch_forwarding_in(dir: &Path, namespace: &Namespace) -> Result<Watch> {
    Watch::start("watch-forwarding", "route nexthop", dir, namespace)
}

impl Watch {
    fn start(name: &str, objects: &str, dir: &Path, namespace: &Namespace) -> Result<Self> {
        let mut command = words(&format!("ip -n {} -o monitor {objects}", namespace.name()));
        let process = Process::start(name, &mut command, dir)?;
        let watch = Self { process, namespace: namespace.name().to_owned() };
        until("ip monitor listens", PATIENCE, || {
            watch.probe()?;
            Ok(watch.process.log().contains(PROBE))
        })?;
        Ok(watch)
    }

    /// What it has seen, a line each, `Deleted …` for removals: all that was changed before this is called. Its own probes
    /// apart, and the two objects by which a daemon that starts asks what groups the kernel makes: no route ever points to them.
    ///
    /// What stands before the first probe is no change. `ip` first asks for the numbers of all namespaces that have a name,
    /// and complains of each that another lab removes meanwhile ("Peer netns reference is invalid").
    pub fn changes(&self) -> Result<Vec<String>> {
        const PROBES: [&str; 3] = [PROBE, "id 186500000 blackhole", "id 187000000 group 186500000"];
        let last = self.probe()?;
        until("ip monitor has seen all", PATIENCE, || Ok(self.process.log().contains(&last)))?;
        let log = self.process.log();
        let seen = log.lines().skip_while(|line| !line.contains(PROBE));
        let real = seen.filter(|line| !PROBES.iter().any(|probe| line.contains(probe)));
        Ok(real.map(str::to_owned).collect())
    }

    /// Nothing was changed; otherwise what was stands first, before what explains it.
    pub fn expect_none(&self, explain: impl FnOnce() -> String) -> Result<()> {
        let changes = self.changes()?;
        anyhow::ensure!(
            changes.is_empty(),
            "the kernel's forwarding was touched:\n{}\n{}",
            changes.join("\n"),
            explain()
        );
        Ok(())
    }

    /// A route of nobody comes and goes. How its end is shown, behind all that was changed before.
    fn probe(&self) -> Result<String> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let route = format!("{PROBE} metric {} ", NUMBER.fetch_add(1, Ordering::Relaxed));
        for verb in ["add", "del"] {
            run(&mut words(&format!("ip -n {} route {verb} {route}", self.namespace)))?;
        }
        Ok(format!("Deleted {route}"))
    }
}

fn route(value: &Value) -> Route {
    let legs = value["nexthops"].as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    let flags = legs.iter().flat_map(|leg| leg["flags"].as_array().cloned().unwrap_or_default());
    Route {
        prefix: text(&value["dst"]),
        protocol: text(&value["protocol"]),
        metric: value["metric"].as_u64().unwrap_or_default(),
        nexthop_id: value["nhid"].as_u64(),
        gateways: legs.iter().filter_map(gateway).collect(),
        flags: flags.map(|flag| text(&flag)).filter(|flag| flag != "onlink").collect(),
    }
}

fn nexthop(value: &Value) -> Nexthop {
    let members = value["group"].as_array().cloned().unwrap_or_default();
    Nexthop {
        id: value["id"].as_u64().unwrap_or_default(),
        protocol: text(&value["protocol"]),
        gateway: gateway(value),
        members: members.iter().filter_map(|member| member["id"].as_u64()).collect(),
    }
}

/// `gateway` of the route's own family, `via.host` of the other one (IPv4 over IPv6).
fn gateway(value: &Value) -> Option<String> {
    value["gateway"].as_str().or_else(|| value["via"]["host"].as_str()).map(str::to_owned)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_three_shapes_of_a_route_are_read() {
        let several = json!({"dst": "2004::1", "nhid": 5, "protocol": "bgp", "metric": 20, "flags": [], "nexthops": [
            {"gateway": "2001:3200:3200::2", "dev": "br", "weight": 1, "flags": []},
            {"gateway": "2001:3200:3200::3", "dev": "br", "weight": 1, "flags": ["dead", "linkdown"]}]});
        let read = route(&several);
        assert_eq!((read.prefix.as_str(), read.metric, read.nexthop_id), ("2004::1", 20, Some(5)));
        assert_eq!(read.gateways.len(), 2);
        assert_eq!(read.flags, ["dead", "linkdown"]);

        let single =
            json!({"dst": "198.18.0.1", "gateway": "172.50.0.2", "protocol": "static", "flags": ["onlink"]});
        assert_eq!(route(&single).gateways, BTreeSet::from(["172.50.0.2".to_owned()]));
        assert_eq!(route(&single).flags, [""; 0]);

        let other_family =
            json!({"dst": "198.18.0.1", "via": {"family": "inet6", "host": "2001:3200:3200::2"}});
        assert_eq!(route(&other_family).gateways, BTreeSet::from(["2001:3200:3200::2".to_owned()]));
    }

    #[test]
    fn a_group_has_members_and_a_single_one_a_gateway() {
        let group =
            nexthop(&json!({"id": 9, "group": [{"id": 1}, {"id": 2, "weight": 1}], "protocol": "bgp"}));
        assert_eq!((group.gateway, group.members), (None, BTreeSet::from([1, 2])));
        let single =
            nexthop(&json!({"id": 1, "gateway": "2001:3200:3200::2", "dev": "br", "protocol": "bgp"}));
        assert_eq!((single.gateway.as_deref(), single.members.len()), (Some("2001:3200:3200::2"), 0));
    }
}

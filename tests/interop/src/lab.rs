//! The lab: a host with a Docker-like bridge, nodes on it, a client behind the host; all in namespaces of its own.
//!
//! The addresses are those of a k3d cluster beside its host: the bridge has `172.50.0.1/16` and
//! `2001:3200:3200::1/64`, node N has `172.50.0.N` and `2001:3200:3200::N` with the MAC `02:42:ac:32:00:0N`, and
//! everything a node does not know goes by the host. A service address sits on the loopback of every node that has
//! a backend; a small HTTP server there answers with the node's name.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::command::run;
use crate::http::curl;
use crate::kernel;
use crate::namespace::{Namespace, PREFIX};
use crate::process::{Process, head, tail};
use crate::programs::binary;
use crate::wait::{PATIENCE, until};

/// The bridge's name; Docker's are as random.
pub const BRIDGE: &str = "br-455d8ca1d613";
/// The host's address on the bridge, IPv6.
pub const HOST_V6: &str = "2001:3200:3200::1";
/// The host's address on the bridge, IPv4.
pub const HOST_V4: &str = "172.50.0.1";
/// The address of the client behind the host.
pub const CLIENT_V6: &str = "2001:db8:c::2";

/// Where the daemon's control socket is, in the lab's directory.
pub const CONTROL_SOCKET: &str = "run/control.sock";

/// How many lines of an answer an explanation shows.
const SHOWN: usize = 40;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A host, its nodes and what runs there. Dropping it ends and removes everything.
#[derive(Debug)]
pub struct Lab {
    name: String,
    /// The namespace of the host, where the daemon under test runs.
    pub host: Namespace,
    /// The nodes, `node2` first.
    pub nodes: Vec<Node>,
    client: Option<Namespace>,
    dir: Directory,
}

/// A node of the cluster.
#[derive(Debug)]
pub struct Node {
    /// `node2`, `node3` …, also what its HTTP server answers.
    pub name: String,
    number: usize,
    http: Process,
    /// Its namespace.
    pub namespace: Namespace,
}

impl Node {
    /// Its IPv4 address on the bridge.
    pub fn v4(&self) -> String {
        format!("172.50.0.{}", self.number)
    }

    /// Its IPv6 address on the bridge.
    pub fn v6(&self) -> String {
        format!("2001:3200:3200::{:x}", self.number)
    }

    /// The host's end of its link, a port of the bridge.
    pub fn port(&self) -> String {
        format!("veth{}", self.number)
    }

    /// Puts a service address on the node, as a ready backend would.
    pub fn add_service(&self, address: &str) -> Result<()> {
        let length = if address.contains(':') { 128 } else { 32 };
        self.namespace.ip(&format!("address add {address}/{length} dev lo"))?;
        Ok(())
    }
}

impl Lab {
    /// A host and its bridge with so many nodes, `node2` being the first.
    pub fn with_nodes(count: usize) -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!("labs make network namespaces and need root: sudo scripts/test");
        }
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let dir = Directory(dir);
        let host = Namespace::create(&format!("{name}-host"))?;
        host.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        host.sysctl("net.ipv4.ip_forward", "1")?;
        let mut lab = Self { name, host, nodes: Vec::new(), client: None, dir };
        lab.create_bridge()?;
        for number in 2..count + 2 {
            let node = lab.create_node(number)?;
            lab.nodes.push(node);
        }
        Ok(lab)
    }

    /// The directory for logs, configuration files and sockets; it goes with the lab.
    pub fn dir(&self) -> &Path {
        &self.dir.0
    }

    /// The lab's own name, the start of the names of its namespaces.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the bridge and puts its addresses on it. Ports that exist are attached.
    pub fn create_bridge(&self) -> Result<()> {
        self.host.ip(&format!("link add {BRIDGE} address 02:42:37:0b:5e:01 type bridge forward_delay 0"))?;
        self.host.ip(&format!("address add {HOST_V4}/16 dev {BRIDGE}"))?;
        self.host.ip(&format!("address add {HOST_V6}/64 dev {BRIDGE} nodad"))?;
        self.host.ip(&format!("address add fe80::1/64 dev {BRIDGE} nodad"))?;
        self.host.ip(&format!("link set {BRIDGE} up"))?;
        for node in &self.nodes {
            self.host.ip(&format!("link set {} master {BRIDGE} up", node.port()))?;
        }
        Ok(())
    }

    /// Removes the bridge, as `docker network rm` does.
    pub fn delete_bridge(&self) -> Result<()> {
        self.host.ip(&format!("link del {BRIDGE}"))?;
        Ok(())
    }

    fn create_node(&self, number: usize) -> Result<Node> {
        let name = format!("node{number}");
        let namespace = Namespace::create(&format!("{}-{name}", self.name))?;
        let port = format!("veth{number}");
        let inside = namespace.name();
        let mac = format!("02:42:ac:32:00:{number:02x}");
        self.host.ip(&format!("link add {port} type veth peer name eth0 address {mac} netns {inside}"))?;
        self.host.ip(&format!("link set {port} master {BRIDGE} up"))?;
        namespace.ip(&format!("address add 172.50.0.{number}/16 dev eth0"))?;
        namespace.ip(&format!("address add 2001:3200:3200::{number:x}/64 dev eth0 nodad"))?;
        namespace.ip("link set eth0 up")?;
        namespace.ip(&format!("route add default via {HOST_V4}"))?;
        namespace.ip(&format!("-6 route add default via {HOST_V6}"))?;
        let mut command = namespace.command(binary("lab-node")?);
        command.args(["http", "--name", &name, "--bind", "[::]:80"]);
        let http = Process::start(&format!("http-{name}"), &mut command, self.dir())?;
        Ok(Node { name, number, http, namespace })
    }

    /// The IPv6 addresses of all nodes.
    pub fn v6(&self) -> Vec<String> {
        self.nodes.iter().map(Node::v6).collect()
    }

    /// Puts a service address on every node.
    pub fn add_service(&self, address: &str) -> Result<()> {
        self.nodes.iter().try_for_each(|node| node.add_service(address))
    }

    /// The client, a machine that reaches the services through the host.
    pub fn client(&mut self) -> Result<&Namespace> {
        if self.client.is_none() {
            self.client = Some(self.create_client()?);
        }
        self.client.as_ref().context("no client")
    }

    fn create_client(&self) -> Result<Namespace> {
        let client = Namespace::create(&format!("{}-client", self.name))?;
        let inside = client.name();
        self.host.ip(&format!("link add client type veth peer name eth0 netns {inside}"))?;
        self.host.ip("address add 2001:db8:c::1/64 dev client nodad")?;
        self.host.ip("address add 192.0.2.1/24 dev client")?;
        self.host.ip("link set client up")?;
        client.ip(&format!("address add {CLIENT_V6}/64 dev eth0 nodad"))?;
        client.ip("address add 192.0.2.2/24 dev eth0")?;
        client.ip("link set eth0 up")?;
        client.ip("route add default via 192.0.2.1")?;
        client.ip("-6 route add default via 2001:db8:c::1")?;
        Ok(client)
    }

    /// Waits until the host's only route to a prefix has exactly these gateways.
    pub fn expect_gateways(&self, prefix: &str, wanted: &[String], limit: Duration) -> Result<Duration> {
        let wanted = wanted.iter().cloned().collect();
        let what = format!("the route to {prefix} has the gateways {wanted:?}");
        self.until(&what, limit, || Ok(kernel::gateways(&self.host, prefix)? == wanted))
    }

    /// Waits until every node is a leg of the route to a prefix, by its IPv6 address.
    pub fn expect_all_nodes(&self, prefix: &str, limit: Duration) -> Result<Duration> {
        self.expect_gateways(prefix, &self.v6(), limit)
    }

    /// Waits for a condition; when it does not come true, the error says so and then shows the state of the lab.
    pub fn until(
        &self,
        what: &str,
        limit: Duration,
        question: impl FnMut() -> Result<bool>,
    ) -> Result<Duration> {
        until(what, limit, question).map_err(|error| anyhow!("{error:#}\n{}", self.explain()))
    }

    /// Routes, nexthop objects, neighbours and the ends of all logs, for a person who looks for the reason.
    pub fn explain(&self) -> String {
        let mut text = String::from("the lab at this moment:\n");
        for question in ["-6 route", "-4 route", "nexthop", "neighbour", "-br address"] {
            let answer = self.host.ip(question).unwrap_or_else(|error| format!("{error:#}"));
            text.push_str(&format!("host# ip {question}\n{}\n", head(&answer, SHOWN)));
        }
        text.push_str(&self.ask_the_daemon());
        let mut logs: Vec<_> =
            fs::read_dir(self.dir()).into_iter().flatten().flatten().map(|e| e.path()).collect();
        logs.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
        logs.sort();
        for log in logs {
            let written = fs::read(&log).unwrap_or_default();
            let end = tail(&String::from_utf8_lossy(&written), 40);
            if !end.is_empty() {
                text.push_str(&format!("--- {}\n{end}\n", log.display()));
            }
        }
        text
    }

    /// What the daemon says about itself, where one listens.
    fn ask_the_daemon(&self) -> String {
        let socket = self.dir().join(CONTROL_SOCKET);
        let mut text = String::new();
        let Ok(bgpctl) = binary("bgpctl") else { return text };
        for question in ["neighbors", "routes", "fib", "nexthops"].iter().filter(|_| socket.exists()) {
            let mut command = self.host.command(&bgpctl);
            command.arg("--socket").arg(&socket).args(["--timeout", "2", "show", question]);
            let answer = run(&mut command).unwrap_or_else(|error| format!("{error:#}\n"));
            text.push_str(&format!("host# bgpctl show {question}\n{}\n", head(&answer, SHOWN)));
        }
        text
    }

    /// Waits until every node's HTTP server listens.
    pub fn wait_for_http(&self) -> Result<()> {
        for node in &self.nodes {
            let url = format!("http://[{}]/", node.v6());
            self.until(&format!("{} answers HTTP", node.name), PATIENCE, || {
                Ok(curl(&self.host, &url, 1)?.contains_key(&node.name))
            })?;
        }
        Ok(())
    }

    /// Leaves namespaces and HTTP servers in place when this value goes; `scripts/lab-clean` removes them.
    pub fn leave(self) {
        for node in self.nodes {
            node.http.leave();
            std::mem::forget(node.namespace);
        }
        std::mem::forget(self.client);
        std::mem::forget(self.host);
        std::mem::forget(self.dir);
    }
}

/// The lab's directory under /tmp, removed with it.
#[derive(Debug)]
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

//! Two namespaces and a cable or two: the daemon in one, its peers in the other.
//!
//! When a lab goes, whatever became of the measurement, its sessions are closed, its processes killed by their ids, and
//! its namespaces removed with everything that still runs in them.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use interop::namespace::Namespace;

use crate::daemon::{ADDRESS, Daemon, Name, Peer, Role, Setting};
use crate::session::{Recorder, Session};
use crate::stream::Sender;
use crate::usage::Usage;
use crate::view::View;

const FIRST_AS: u32 = 65_000;
/// The daemon's address on the second cable.
const ADDRESS_APART: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
/// The second cable, at both ends.
pub(crate) const CABLE_APART: &str = "apart";
/// More CPU time than this between two looks, and the daemon is at work.
const AT_WORK: Duration = Duration::from_millis(3);
/// Not at work for so long, and it has done what it had to do.
const IDLE: Duration = Duration::from_millis(500);

/// What a lab is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    /// Its peers.
    pub(crate) roles: &'a [Role],
    /// Whether routes go into the kernel.
    pub(crate) kernel: bool,
    /// The peer that has a cable of its own.
    pub(crate) apart: Option<usize>,
    /// Whether all that announce have the AS of the first.
    pub(crate) one_as: bool,
    /// Whether equally good paths are used together.
    pub(crate) equal_paths: bool,
    /// Whether the daemon runs under a service manager that keeps descriptors.
    pub(crate) managed: bool,
}

impl<'a> Plan<'a> {
    /// Peers on one cable, each with its own AS; nothing goes into the kernel.
    pub(crate) const fn of(roles: &'a [Role]) -> Self {
        Self { roles, kernel: false, apart: None, one_as: false, equal_paths: false, managed: false }
    }

    /// Peer number `peer` as a sender with its AS `times` in front of each path.
    pub(crate) fn sender(&self, peer: usize, times: usize) -> Sender {
        let number = number(peer);
        let first = self.one_as && self.roles.get(peer) != Some(&Role::Receiver);
        let net = if self.apart == Some(peer) { 78 } else { 77 };
        Sender {
            asn: FIRST_AS + if first { 2 } else { u32::from(number) },
            times,
            v4: Ipv4Addr::new(10, net, 0, number),
            v6: Ipv6Addr::new(if net == 77 { 0xfd77 } else { 0xfd78 }, 0, 0, 0, 0, 0, 0, number.into()),
        }
    }

    fn peer(&self, peer: usize, role: Role) -> Peer {
        let sender = self.sender(peer, 1);
        Peer {
            address: sender.v4,
            local: if self.apart == Some(peer) { ADDRESS_APART } else { ADDRESS },
            asn: sender.asn,
            gives: role != Role::Receiver,
            takes: role != Role::Feeder,
        }
    }
}

/// A peer's number in addresses: the daemon has 1.
fn number(peer: usize) -> u8 {
    u8::try_from(peer + 2).unwrap_or(u8::MAX)
}

/// A daemon whose sessions are all up.
#[derive(Debug)]
pub(crate) struct Lab {
    // In the order in which they go.
    /// By number of the peer.
    pub(crate) sessions: Vec<Session>,
    name: Name,
    /// The daemon under test.
    pub(crate) daemon: Daemon,
    /// Where the daemon runs.
    pub(crate) host: Namespace,
    /// Where its peers are.
    pub(crate) side: Namespace,
    limit: Duration,
}

impl Lab {
    /// Builds it, and waits until all sessions are up and the daemon has nothing to do. Nothing in it takes longer than
    /// `limit`.
    pub(crate) fn start(plan: &Plan<'_>, name: Name, dir: &Path, limit: Duration) -> Result<Self> {
        let id = std::process::id();
        let host = Namespace::create(&format!("bglab-{id}-host"))?;
        let side = Namespace::create(&format!("bglab-{id}-peers"))?;
        // As `bgpctl doctor` has it: otherwise the kernel tells of every route of a group that changes. Nobody else uses groups.
        host.sysctl("net.ipv4.nexthop_compat_mode", "0")?;
        cable(&host, &side, "uplink")?;
        address(&host, 77, 1, "uplink")?;
        if plan.apart.is_some() {
            cable(&host, &side, CABLE_APART)?;
            address(&host, 78, 1, CABLE_APART)?;
        }
        let mut peers = Vec::new();
        for (peer, role) in plan.roles.iter().enumerate() {
            let (net, device) = if plan.apart == Some(peer) { (78, CABLE_APART) } else { (77, "uplink") };
            address(&side, net, number(peer), device)?;
            peers.push(plan.peer(peer, *role));
        }
        let setting = Setting { peers: &peers, kernel: plan.kernel, equal_paths: plan.equal_paths };
        let daemon = Daemon::start(name, &host, dir, &setting, plan.managed)?;
        let mut lab = Self { sessions: Vec::new(), name, daemon, host, side, limit };
        for peer in &peers {
            let session = Session::open(&lab.side, peer, name, || lab.daemon.must_run());
            lab.sessions.push(session.with_context(|| lab.daemon.log())?);
        }
        lab.until_idle(Instant::now())?;
        Ok(lab)
    }

    /// Waits until a receiver holds exactly what is wanted; says when the last UPDATE came. What other daemons make of the
    /// attributes of one route in a thousand is their matter: OpenBGPD 7.7 empties extended communities of a type that
    /// it does not know.
    pub(crate) fn settle(&self, receiver: &mut Recorder, wanted: &View) -> Result<Instant> {
        let spared = if self.name == Name::BgpdRs { 0 } else { wanted.len() / 1000 };
        receiver.settle(wanted, spared, self.limit).with_context(|| self.daemon.log())
    }

    /// Waits until the daemon has hardly used CPU for half a second; says when it used some last.
    pub(crate) fn until_idle(&self, start: Instant) -> Result<Instant> {
        let mut last = (self.daemon.usage()?.cpu, Instant::now());
        while last.1.elapsed() < IDLE && start.elapsed() < self.limit {
            thread::sleep(Duration::from_millis(10));
            let cpu = self.daemon.usage()?.cpu;
            if cpu > last.0 + AT_WORK {
                last = (cpu, Instant::now());
            }
        }
        Ok(last.1)
    }

    /// Routes of both families that the kernel holds.
    pub(crate) fn kernel_routes(&self) -> Result<[usize; 2]> {
        let (v4, v6) = self.host.inside(|| {
            (
                fs::read_to_string("/proc/thread-self/net/fib_triestat"),
                fs::read_to_string("/proc/thread-self/net/rt6_stats"),
            )
        })?;
        let v4 = v4?;
        let v4 = v4
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Prefixes:")?.trim().parse::<usize>().ok())
            .max();
        let v6 = v6?;
        let v6 = v6.split_whitespace().nth(3).and_then(|count| usize::from_str_radix(count, 16).ok());
        Ok([v4.context("fib_triestat")?, v6.context("rt6_stats")?])
    }

    /// Waits until the kernel has so many routes more than `before`, and the daemon is idle; says when it used CPU last.
    pub(crate) fn until_in_kernel(&self, before: [usize; 2], wanted: [usize; 2]) -> Result<Instant> {
        let start = Instant::now();
        loop {
            let last = self.until_idle(start)?;
            let now = self.kernel_routes()?;
            if now[0] >= before[0] + wanted[0] && now[1] >= before[1] + wanted[1] {
                return Ok(last);
            }
            if start.elapsed() > self.limit {
                anyhow::bail!("the kernel has {now:?} of {wanted:?} routes: {}", self.daemon.log());
            }
        }
    }

    /// Starts to count what the daemon uses.
    pub(crate) fn clock(&self) -> Result<Clock> {
        Ok(Clock { before: self.daemon.usage()? })
    }
}

fn cable(host: &Namespace, side: &Namespace, device: &str) -> Result<()> {
    host.ip(&format!("link add {device} type veth peer name {device} netns {}", side.name()))?;
    for namespace in [host, side] {
        namespace.ip(&format!("link set {device} up"))?;
    }
    Ok(())
}

fn address(namespace: &Namespace, net: u8, number: u8, device: &str) -> Result<()> {
    namespace.ip(&format!("addr add 10.{net}.0.{number}/24 dev {device}"))?;
    namespace.ip(&format!("addr add fd{net}::{number:x}/64 dev {device} nodad"))?;
    Ok(())
}

/// What the daemon had used when the clock was started; by default nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    before: Usage,
}

impl Clock {
    /// CPU time since then.
    pub(crate) fn cpu(&self, lab: &Lab) -> Result<Duration> {
        Ok(lab.daemon.usage()?.cpu.saturating_sub(self.before.cpu))
    }

    /// Octets of resident memory since then.
    pub(crate) fn grown(&self, lab: &Lab) -> Result<u64> {
        Ok(lab.daemon.usage()?.resident.saturating_sub(self.before.resident) * 1024)
    }
}

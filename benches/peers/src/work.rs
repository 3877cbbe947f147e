//! The workloads. Each starts a daemon of its own, waits until all sessions are up, then starts the clock.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use interop::namespace::Namespace;

use crate::daemon::{ADDRESS, Daemon, Name, Peer, Role};
use crate::session::{Recorder, Session};
use crate::stream::{self, Piece, Sender};
use crate::usage::Usage;
use crate::view::View;

/// The longest that one measurement may take.
const LIMIT: Duration = Duration::from_secs(150);
const FIRST_AS: u32 = 65_000;

/// The load and the place.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The whole table.
    pub(crate) table: Vec<Piece>,
    /// A day's changes of it; may be empty.
    pub(crate) churn: Vec<Piece>,
    /// Of everything, this part.
    pub(crate) scale: f64,
    /// For configurations and logs.
    pub(crate) dir: PathBuf,
}

/// Which work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Work {
    /// Whole table, one feeder, one receiver.
    A,
    /// Eight feeders of the same prefixes, one receiver; then the best feeder lost.
    B,
    /// One changed route with the table loaded, nothing else going on.
    C,
    /// Whole table into the kernel.
    D,
    /// Thirty feeders of distinct prefixes, each gets those of all others.
    E,
    /// A day's changes at full speed.
    F,
    /// One changed route while another peer sends a whole table.
    G,
}

/// What was measured.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What was done.
    pub(crate) work: &'static str,
    /// From the first octet sent to the receiver complete.
    pub(crate) wall: Duration,
    /// Of the daemon's processes in that time.
    pub(crate) cpu: Duration,
    /// Peak resident memory in KiB.
    pub(crate) peak: u64,
    /// Of single changes: median and 99th percentile.
    pub(crate) latency: Option<(Duration, Duration)>,
}

impl Bench {
    /// Does one work with one daemon.
    pub(crate) fn run(&self, name: Name, work: Work) -> Result<Vec<Row>> {
        match work {
            Work::A => self.whole_table(name),
            Work::B => self.many_paths(name),
            Work::C => self.one_route(name, false),
            Work::D => self.kernel(name),
            Work::E => self.many_peers(name),
            Work::F => self.churn(name),
            Work::G => self.one_route(name, true),
        }
    }

    fn scaled(&self, count: usize) -> usize {
        ((count as f64 * self.scale) as usize).max(100)
    }

    fn whole_table(&self, name: Name) -> Result<Vec<Row>> {
        let lab = Lab::start(self, name, &[Role::Feeder, Role::Receiver], false)?;
        let octets = stream::write(&self.table, &sender(0, 1))?;
        let mut wanted = View::default();
        wanted.apply(&self.table, &sender(0, 1));
        let mut receiver = lab.sessions[1].record()?;
        let clock = Clock::start(&lab)?;
        let fed = lab.sessions[0].feed(Arc::new(octets))?;
        let last = lab.settle(&mut receiver, &wanted)?;
        let start = joined(fed)?;
        Ok(vec![clock.row("whole table, 1 -> 1", last - start)?])
    }

    fn many_paths(&self, name: Name) -> Result<Vec<Row>> {
        const FEEDERS: usize = 8;
        let mut roles = [Role::Feeder; FEEDERS + 1];
        roles[FEEDERS] = Role::Receiver;
        let mut lab = Lab::start(self, name, &roles, false)?;
        let pieces = first(&self.table, self.scaled(300_000));
        // Feeder 0 has the shortest path of each prefix, feeder 1 the next.
        let senders: Vec<Sender> = (0..FEEDERS).map(|feeder| sender(feeder, 1 + feeder)).collect();
        let octets: Vec<_> = senders
            .iter()
            .map(|sender| stream::write(&pieces, sender).map(Arc::new))
            .collect::<Result<_>>()?;
        let mut sessions = std::mem::take(&mut lab.sessions);
        let mut receiver = sessions.remove(FEEDERS).record()?;
        let clock = Clock::start(&lab)?;
        let mut fed = Vec::new();
        for (session, octets) in sessions.iter().zip(octets) {
            fed.push(session.feed(octets)?);
        }
        let mut wanted = View::default();
        wanted.apply(&pieces, &senders[0]);
        let last = lab.settle(&mut receiver, &wanted)?;
        let starts: Vec<_> = fed.into_iter().map(joined).collect::<Result<_>>()?;
        let start = starts.into_iter().min().context("no feeder")?;
        // The paths that do not reach the receiver must have been taken in, too.
        lab.until_idle(start)?;
        let row = clock.row("8 x 300 k same prefixes -> 1", last - start)?;
        let clock = Clock::start(&lab)?;
        let start = Instant::now();
        sessions.remove(0).close()?;
        let mut wanted = View::default();
        wanted.apply(&pieces, &senders[1]);
        let last = lab.settle(&mut receiver, &wanted)?;
        Ok(vec![row, clock.row("best of the 8 lost", last - start)?])
    }

    fn one_route(&self, name: Name, busy: bool) -> Result<Vec<Row>> {
        let lab = Lab::start(self, name, &[Role::Feeder, Role::Receiver, Role::Feeder], false)?;
        let octets = Arc::new(stream::write(&self.table, &sender(0, 1))?);
        let mut receiver = lab.sessions[1].record()?;
        if !busy {
            let mut wanted = View::default();
            wanted.apply(&self.table, &sender(0, 1));
            lab.sessions[0].feed(Arc::clone(&octets))?;
            lab.settle(&mut receiver, &wanted)?;
            lab.until_idle(Instant::now())?;
        }
        let clock = Clock::start(&lab)?;
        let fed = if busy { Some(lab.sessions[0].feed(octets)?) } else { None };
        let (rounds, pause) = if busy { (400, 3) } else { (400, 10) };
        let mut sent = Vec::new();
        let begin = Instant::now();
        for round in 0..rounds {
            if fed.as_ref().is_some_and(|fed| fed.is_finished()) {
                break;
            }
            let probe = probe(round);
            let octets = stream::write(std::slice::from_ref(&probe), &sender(2, 1))?;
            // Without the End-of-RIB of both families.
            let octets = octets.get(..octets.len() - 23 - 29).unwrap_or_default();
            sent.push((probe.nlri, Instant::now()));
            lab.sessions[2].write(octets)?;
            thread::sleep(Duration::from_millis(pause));
        }
        receiver.until_quiet(LIMIT);
        let mut came: hashbrown::HashMap<_, _, foldhash::fast::RandomState> = hashbrown::HashMap::default();
        for (prefix, at) in receiver.arrivals(|octets| octets.starts_with(&[32, 198, 18])) {
            came.entry(prefix).or_insert(at);
        }
        let mut times = Vec::new();
        for (prefix, at) in &sent {
            let arrived =
                came.get(prefix).with_context(|| format!("a change never came: {}", lab.daemon.log()))?;
            times.push(arrived.saturating_duration_since(*at));
        }
        times.sort_unstable();
        let rank = |percent: usize| times.get((times.len() * percent).div_ceil(100).max(1) - 1).copied();
        let (Some(p50), Some(p99)) = (rank(50), rank(99)) else {
            bail!("the table was sent before the first change")
        };
        let title = if busy { "one route during a whole table" } else { "one route, idle" };
        let mut row = clock.row(title, begin.elapsed())?;
        row.latency = Some((p50, p99));
        Ok(vec![row])
    }

    fn kernel(&self, name: Name) -> Result<Vec<Row>> {
        let lab = Lab::start(self, name, &[Role::Feeder], true)?;
        let octets = stream::write(&self.table, &sender(0, 1))?;
        let wanted = stream::count(&self.table);
        let before = lab.kernel_routes()?;
        let clock = Clock::start(&lab)?;
        let start = Instant::now();
        lab.sessions[0].feed(Arc::new(octets))?;
        loop {
            let last = lab.until_idle(start)?;
            let now = lab.kernel_routes()?;
            if now[0] >= before[0] + wanted[0] && now[1] >= before[1] + wanted[1] {
                let row = clock.row("whole table into the kernel", last - start)?;
                return Ok(vec![row]);
            }
            if start.elapsed() > LIMIT {
                bail!("the kernel has {now:?} of {wanted:?} routes: {}", lab.daemon.log());
            }
        }
    }

    fn many_peers(&self, name: Name) -> Result<Vec<Row>> {
        const PEERS: usize = 30;
        let lab = Lab::start(self, name, &[Role::Both; PEERS], false)?;
        let share = self.scaled(30_000);
        let mut left = self.table.as_slice();
        let mut shares = Vec::new();
        for _ in 0..PEERS {
            let (mine, rest) = split(left, share);
            shares.push(mine);
            left = rest;
        }
        let mut octets = Vec::new();
        for (peer, pieces) in shares.iter().enumerate() {
            octets.push(Arc::new(stream::write(pieces, &sender(peer, 1))?));
        }
        let mut receivers = lab.sessions.iter().map(Session::record).collect::<Result<Vec<_>>>()?;
        let clock = Clock::start(&lab)?;
        let mut fed = Vec::new();
        for (session, octets) in lab.sessions.iter().zip(octets) {
            fed.push(session.feed(octets)?);
        }
        let mut last = Instant::now();
        for (peer, receiver) in receivers.iter_mut().enumerate() {
            let mut wanted = View::default();
            for (other, pieces) in shares.iter().enumerate().filter(|(other, _)| *other != peer) {
                wanted.apply(pieces, &sender(other, 1));
            }
            last = last.max(lab.settle(receiver, &wanted)?);
        }
        let starts: Vec<_> = fed.into_iter().map(joined).collect::<Result<_>>()?;
        let start = starts.into_iter().min().context("no feeder")?;
        Ok(vec![clock.row("30 x 30 k distinct -> all", last - start)?])
    }

    fn churn(&self, name: Name) -> Result<Vec<Row>> {
        let lab = Lab::start(self, name, &[Role::Feeder, Role::Receiver], false)?;
        let from = sender(0, 1);
        let mut wanted = View::default();
        wanted.apply(&self.table, &from);
        let mut receiver = lab.sessions[1].record()?;
        lab.sessions[0].feed(Arc::new(stream::write(&self.table, &from)?))?;
        lab.settle(&mut receiver, &wanted)?;
        lab.until_idle(Instant::now())?;
        wanted.apply(&self.churn, &from);
        let octets = Arc::new(stream::write(&self.churn, &from)?);
        let clock = Clock::start(&lab)?;
        let fed = lab.sessions[0].feed(octets)?;
        let last = lab.settle(&mut receiver, &wanted)?;
        let start = joined(fed)?;
        Ok(vec![clock.row("a day's churn", last - start)?])
    }
}

/// The first so many IPv4 prefixes.
fn first(table: &[Piece], count: usize) -> Vec<Piece> {
    let mut left = count;
    let mut pieces = Vec::new();
    for piece in table.iter().filter(|piece| !piece.v6) {
        let mut piece = piece.clone();
        let octets = stream::prefixes(false, &piece.nlri).take(left).map(|(_, octets)| octets.len()).sum();
        left -= stream::prefixes(false, &piece.nlri).take(left).count();
        piece.nlri.truncate(octets);
        if !piece.nlri.is_empty() {
            pieces.push(piece);
        }
    }
    pieces
}

/// Whole pieces with at least so many prefixes, and the rest.
fn split(table: &[Piece], count: usize) -> (&[Piece], &[Piece]) {
    let mut sum = 0;
    let at = table.iter().position(|piece| {
        let full = sum >= count;
        sum += stream::prefixes(piece.v6, &piece.nlri).count();
        full
    });
    table.split_at(at.unwrap_or(table.len()))
}

/// Peer numbers are addresses and ASes.
fn sender(peer: usize, times: usize) -> Sender {
    let number = peer as u16 + 2;
    Sender {
        asn: FIRST_AS + u32::from(number),
        times,
        v4: address(peer),
        v6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number),
    }
}

fn address(peer: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, peer as u8 + 2)
}

fn probe(round: u16) -> Piece {
    let [high, low] = round.to_be_bytes();
    Piece { path: vec![0, 3333], nlri: vec![32, 198, 18, high, low], ..Piece::default() }
}

fn joined(fed: thread::JoinHandle<Result<Instant>>) -> Result<Instant> {
    fed.join().map_err(|_| anyhow::anyhow!("a feeder panicked"))?
}

/// Two namespaces and a cable: the daemon in one, its peers in the other.
struct Lab {
    // In the order in which they go.
    sessions: Vec<Session>,
    daemon: Daemon,
    host: Namespace,
    _peers: Namespace,
}

impl Lab {
    fn start(bench: &Bench, name: Name, roles: &[Role], kernel: bool) -> Result<Self> {
        let id = std::process::id();
        let host = Namespace::create(&format!("bglab-{id}-host"))?;
        let side = Namespace::create(&format!("bglab-{id}-peers"))?;
        host.ip(&format!("link add uplink type veth peer name uplink netns {}", side.name()))?;
        for (namespace, count, first) in [(&host, 1, 1), (&side, roles.len(), 2)] {
            namespace.ip("link set uplink up")?;
            for number in first..first + count {
                namespace.ip(&format!("addr add 10.77.0.{number}/24 dev uplink"))?;
                namespace.ip(&format!("addr add fd77::{number:x}/64 dev uplink nodad"))?;
            }
        }
        let peers: Vec<Peer> = roles
            .iter()
            .enumerate()
            .map(|(peer, role)| Peer { address: address(peer), asn: sender(peer, 1).asn, role: *role })
            .collect();
        let daemon = Daemon::start(name, &host, &bench.dir, &peers, kernel)?;
        let mut sessions = Vec::new();
        for peer in &peers {
            let session = Session::open(&side, peer.address, ADDRESS, peer.asn);
            sessions.push(session.with_context(|| daemon.log())?);
        }
        let lab = Self { sessions, daemon, host, _peers: side };
        lab.until_idle(Instant::now())?;
        Ok(lab)
    }

    fn settle(&self, receiver: &mut Recorder, wanted: &View) -> Result<Instant> {
        receiver.settle(wanted, LIMIT).with_context(|| self.daemon.log())
    }

    /// Waits until the daemon has used no CPU for half a second; says when it used the last.
    fn until_idle(&self, start: Instant) -> Result<Instant> {
        let mut last = (self.daemon.usage()?.cpu, Instant::now());
        while last.1.elapsed() < Duration::from_millis(500) && start.elapsed() < LIMIT {
            thread::sleep(Duration::from_millis(10));
            let cpu = self.daemon.usage()?.cpu;
            if cpu > last.0 {
                last = (cpu, Instant::now());
            }
        }
        Ok(last.1)
    }

    /// Routes of both families that the kernel holds.
    fn kernel_routes(&self) -> Result<[usize; 2]> {
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
}

/// What the daemon had used when the clock was started.
struct Clock<'a> {
    daemon: &'a Daemon,
    before: Usage,
}

impl<'a> Clock<'a> {
    fn start(lab: &'a Lab) -> Result<Self> {
        Ok(Self { daemon: &lab.daemon, before: lab.daemon.usage()? })
    }

    fn row(&self, work: &'static str, wall: Duration) -> Result<Row> {
        let after = self.daemon.usage()?;
        Ok(Row {
            work,
            wall,
            cpu: after.cpu.saturating_sub(self.before.cpu),
            peak: after.peak,
            latency: None,
        })
    }
}

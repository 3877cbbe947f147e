//! What a whole table costs in the core alone: UPDATE messages of a file are decoded, taken in by a RIB, decided, pulled as
//! the kernel side would and written for one receiver, on one thread and with the daemon's allocator. What the daemon takes
//! beyond that is sockets, tasks and hand-overs.
//!
//! ```text
//! cargo run --release -p benches --bin rib_bound -- TABLE [FEEDERS [MESSAGES]]     # a file of UPDATE messages
//! ```
//!
//! With several feeders each has its own paths, the first the shortest. Under callgrind, with a part of the messages, it
//! shows where the instructions go.

use std::error::Error;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use bgp_policy::Policy;
use bgp_rib::{PeerId, PeerSettings, Reachability, Rib, Watch};
use bgp_wire::attribute::Segment;
use bgp_wire::update::{decode, encode};
use bgp_wire::{
    DecodeContext, EncodeContext, Family, Framer, Next, NextHop, NlriEntry, ScopedNextHop, Update,
};
use bytes::{Bytes, BytesMut};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Routes of one turn, and octets for the receiver in it, as in the daemon.
const TURN: u64 = 1024;
const CHUNK: usize = 128 * 1024;
const READER: PeerId = PeerId(1000);

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: rib_bound TABLE [FEEDERS [MESSAGES]]")?;
    let feeders = arguments.next().map_or(Ok(1), |count| count.parse())?;
    let messages = arguments.next().map_or(Ok(usize::MAX), |count| count.parse())?;
    let bodies = bodies(std::fs::read(path)?.into(), messages);
    let feeds: Vec<Vec<Bytes>> = (0..feeders)
        .map(|feeder| bodies.iter().filter_map(|body| of_feeder(body, feeder)).collect())
        .collect();
    drop(bodies);
    let mut road = Road::new(feeders);
    let (cpu_before, memory_before, begun) = (cpu()?, memory()?, Instant::now());
    for at in 0..feeds.first().map_or(0, Vec::len) {
        for (feeder, feed) in (0..).zip(&feeds) {
            if let Some(body) = feed.get(at) {
                road.take(feeder, body)?;
            }
        }
    }
    road.turn();
    let (wall, cpu, memory) = (begun.elapsed(), cpu()? - cpu_before, memory()?);
    let routes = road.announced as f64;
    let each = |spent: Duration| spent.as_secs_f64() * 1e9 / routes;
    println!(
        "{} routes from {feeders}, {} octets written: {:.3} s, {:.3} s of CPU, {:.0} MB more",
        road.announced,
        road.written,
        wall.as_secs_f64(),
        cpu.as_secs_f64(),
        (memory - memory_before) / 1e3,
    );
    println!(
        "ns a route: decode {:.0}, receive {:.0}, decide {:.0}, kernel side {:.0}, write {:.0}",
        each(road.spent[0]),
        each(road.spent[1]),
        each(road.spent[2]),
        each(road.spent[3]),
        each(road.spent[4]),
    );
    let longest = road.longest.map(|longest| longest.as_secs_f64() * 1e3);
    println!(
        "ms of the longest turn: take in {:.2}, decide {:.2}, kernel side {:.2}, write {:.2}",
        longest[0], longest[1], longest[2], longest[3],
    );
    let steps = road.restart(feeds.first().map_or(&[], Vec::as_slice))?.map(|step| step.as_secs_f64() * 1e3);
    println!(
        "ms of one call when the first feeder restarts: all stale {:.2}, with a sixteenth fresh {:.2}, the rest swept {:.2}, it is \
         gone {:.2}",
        steps[0], steps[1], steps[2], steps[3],
    );
    // Taking it all down is not what is asked.
    std::process::exit(0)
}

/// The core of a daemon.
struct Road {
    rib: Rib,
    out: BytesMut,
    hops: Vec<(ScopedNextHop, Watch)>,
    waiting: u64,
    announced: u64,
    written: usize,
    /// In decoding, taking in, deciding, the kernel side, writing.
    spent: [Duration; 5],
    /// The longest turn in taking in, deciding, the kernel side, writing, of those in which nobody else had the processor.
    longest: [Duration; 4],
    /// When the last turn ended, and how often others had had the processor by then.
    turned: (Instant, i64),
}

impl Road {
    fn new(feeders: u32) -> Self {
        let mut rib = benches::rib(0);
        for feeder in 0..feeders {
            let settings = PeerSettings { enforce_first_as: false, ..benches::settings(feeder) };
            rib.add_peer(PeerId(feeder), settings);
        }
        let mut reader = PeerSettings { export: Some(Policy::All), ..benches::settings(READER.0) };
        reader.next_hop.ipv6 = Some(NextHop::V6(Ipv6Addr::LOCALHOST));
        rib.add_peer(READER, reader);
        let out = BytesMut::with_capacity(2 * CHUNK);
        Self {
            rib,
            out,
            hops: Vec::new(),
            waiting: 0,
            announced: 0,
            written: 0,
            spent: [Duration::ZERO; 5],
            longest: [Duration::ZERO; 4],
            turned: (Instant::now(), switches()),
        }
    }

    // Not inlined, so that callgrind can be told to count nothing else.
    #[inline(never)]
    fn take(&mut self, feeder: u32, body: &Bytes) -> Fallible<()> {
        let begun = Instant::now();
        let update = decode(body, &DecodeContext::default()).map_err(|fault| format!("{fault:?}"))?;
        let decoded = Instant::now();
        self.waiting += self.rib.receive_update(PeerId(feeder), &update).announced;
        self.rib.take_next_hop_changes(&mut self.hops);
        for (hop, _) in self.hops.drain(..) {
            self.rib.set_reachability(hop, Reachability::Reachable { metric: 0 });
        }
        self.spent[0] += decoded - begun;
        self.spent[1] += decoded.elapsed();
        if self.waiting >= TURN {
            self.turn();
        }
        Ok(())
    }

    /// The first feeder restarts, says a sixteenth of `feed` again, restarts once more, says all but two sixteenths of it, and
    /// goes for good: how long those calls take that concern all of its routes.
    fn restart(&mut self, feed: &[Bytes]) -> Fallible<[Duration; 4]> {
        let timed = |road: &mut Self, call: fn(&mut Rib)| {
            let begun = Instant::now();
            call(&mut road.rib);
            begun.elapsed()
        };
        let stale = |rib: &mut Rib| rib.mark_stale(PeerId(0));
        let sixteenth = feed.len() / 16;
        let all = timed(self, stale);
        for body in &feed[..sixteenth] {
            self.take(0, body)?;
        }
        let most = timed(self, stale);
        // Without the End-of-RIB, which would sweep.
        for body in &feed[sixteenth..feed.len() - sixteenth] {
            self.take(0, body)?;
        }
        let swept =
            timed(self, |rib| Family::ALL.iter().for_each(|family| rib.sweep_stale(PeerId(0), *family)));
        self.turn();
        let gone = timed(self, |rib| rib.remove_peer(PeerId(0)));
        self.turn();
        Ok([all, most, swept, gone])
    }

    /// A turn of routing, without what comes in.
    #[inline(never)]
    fn turn(&mut self) {
        self.announced += std::mem::take(&mut self.waiting);
        let begun = Instant::now();
        let (mut decided, mut portion) = (begun, Duration::ZERO);
        loop {
            let more = self.rib.decide(2048);
            let before = std::mem::replace(&mut decided, Instant::now());
            portion = portion.max(decided - before);
            if !more {
                break;
            }
        }
        while self.rib.next_forwarding_change().is_some() {}
        let told = Instant::now();
        while self.rib.next_update(READER, &mut self.out, CHUNK) {
            self.written += self.out.len();
            self.out.clear();
        }
        self.written += self.out.len();
        self.out.clear();
        let written = Instant::now();
        let (since, switched) = std::mem::replace(&mut self.turned, (written, switches()));
        let took = [decided - begun, told - decided, written - told];
        for (spent, took) in self.spent[2..].iter_mut().zip(took) {
            *spent += took;
        }
        if switched == self.turned.1 {
            // What is decided is decided in portions.
            let took = [begun - since, portion, took[1], took[2]];
            for (longest, took) in self.longest.iter_mut().zip(took) {
                *longest = (*longest).max(took);
            }
        }
    }
}

/// How often this process had to leave the processor to others.
fn switches() -> i64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.involuntary_context_switches())
}

/// The bodies of the first messages.
fn bodies(octets: Bytes, most: usize) -> Vec<Bytes> {
    let (framer, mut octets, mut bodies) = (Framer::new(), BytesMut::from(octets), Vec::new());
    while bodies.len() < most
        && let Next::Message(frame) = framer.next(&mut octets)
    {
        bodies.push(frame.body);
    }
    bodies
}

/// The same UPDATE as a feeder says it: the first as it is, the others with a longer path and themselves as next hop.
fn of_feeder(body: &Bytes, feeder: u32) -> Option<Bytes> {
    if feeder == 0 {
        return Some(body.clone());
    }
    let update: Update = decode(body, &DecodeContext::default()).ok()?;
    let mut attributes = update.attributes?.parse();
    let first = Segment::Sequence(vec![benches::peer_asn(feeder); feeder as usize]);
    attributes.as_path.segments.insert(0, first);
    let announced = update.announced.first()?;
    let mut entries = announced.nlri.iter().collect::<Vec<NlriEntry>>().into_iter().peekable();
    let next_hop = benches::peer_address(feeder).into();
    let mut out = BytesMut::new();
    encode::announce(&EncodeContext::default(), &attributes, next_hop, &mut entries, &mut out).ok()?;
    benches::body(out.freeze())
}

/// CPU time of this process.
fn cpu() -> Fallible<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(micros.try_into()?))
}

/// Resident memory of this process, in kilobytes.
fn memory() -> Fallible<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

//! An hour, or a day, of churn with twenty peers: does anything grow, hang or leak?
//!
//! Three nodes hold the service that requests flow to. Twenty more peers announce and withdraw, lose their sessions by
//! RST, without a word and by the operator's reset; the configuration is read again, the metrics scraped, the control
//! socket asked. A probe route comes and goes all the time. Every few seconds a line of what the daemon holds goes to a
//! CSV file; at the end the verdict.

mod reference;

use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bgp_wire::Prefix;

use crate::faults::peers::further_peer;
use crate::faults::probe::{Latencies, Probe};
use crate::faults::scene::{Scene, Setup, many_in_kernel, shown};
use crate::faults::usage::{Usage, threads};
use crate::http::asked;
use crate::lab::HOST_V6;
use crate::process::tail;
use crate::speaker::{Keeper, Order, Settings};
use crate::traffic::Tally;
use crate::wait::{seconds, until};
use reference::Reference;

/// Peers that come and go, beside the three nodes of the service and the probe.
const PEERS: u16 = 20;
/// Routes of each of them, at most.
const ROUTES: u32 = 300;
/// Between two lines of the file.
const SAMPLE: Duration = Duration::from_secs(5);
/// Between two changes.
const PACE: Duration = Duration::from_millis(50);
/// What an answer or a route may take before a task counts as stuck, beside what the machine itself takes for a change of a
/// route at that time.
const STUCK: Duration = Duration::from_secs(5);
/// The part of the run that is not judged, for tables and the allocator's reserves to come to their size: on a busy machine
/// that took ten minutes.
const WARM_UP: f64 = 0.5;
/// Of the memory, by which it may grow over the judged part. Less than a leak of one attribute set a second.
const GROWTH: f64 = 0.03;

const METRICS: &str = "127.0.0.1:9273";

/// What was seen in the end of one interval.
#[derive(Clone, Debug)]
struct Sample {
    at: Duration,
    usage: Usage,
    probe: Latencies,
    /// What `show summary` took.
    control: Duration,
    /// The longest change of a route that the daemon has nothing to do with.
    reference: Duration,
    routes: usize,
    sessions: u32,
}

/// What a run showed.
#[derive(Debug)]
struct Run {
    samples: Vec<Sample>,
    changes: u32,
    losses: u32,
    tally: Tally,
    /// At rest, before the churn and after it, with the same peers.
    rest: [Usage; 2],
}

/// Churns for so long, writes the samples to `csv` and prints the verdict; an error where it is not as it should be.
pub fn run_soak(lasting: Duration, csv: &Path, seed: Option<u64>) -> Result<()> {
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("soak: {}, --seed {seed}, samples in {}", shown(lasting), csv.display());
    let run = churn(lasting, csv, seed)?;
    let faults = verdict(&run, lasting);
    println!("{}", summary(&run, lasting));
    if !faults.is_empty() {
        bail!("not as it should be: {}", faults.join("; "));
    }
    println!("soak: nothing grew, hung or leaked");
    Ok(())
}

/// The peers of the churn.
struct Crowd {
    peers: Vec<(Keeper, String)>,
    random: fastrand::Rng,
    changes: u32,
    losses: u32,
}

fn route(peer: usize, number: u32) -> Result<Prefix> {
    let text = format!("2005:{peer:x}::{number:x}/128");
    text.parse().context(text)
}

impl Crowd {
    fn start(scene: &Scene, seed: u64) -> Result<Self> {
        let remote = SocketAddr::new(HOST_V6.parse()?, 179);
        let mut peers = Vec::new();
        for number in 0..PEERS {
            let (node, settings) = further_peer(scene, usize::from(number % 3), number)?;
            let address = settings.source.context("an address")?.to_string();
            let settings = Settings { graceful_restart: number % 2 == 0, ..settings };
            let own = (0..ROUTES).map(|n| route(number.into(), n)).collect::<Result<_>>()?;
            peers.push((Keeper::start(node, remote, settings, own, Duration::from_millis(200))?, address));
        }
        Ok(Self { peers, random: fastrand::Rng::with_seed(seed), changes: 0, losses: 0 })
    }

    /// Everybody announces everything and has a session.
    fn settle(&self, scene: &Scene) -> Result<()> {
        for (number, (keeper, _)) in self.peers.iter().enumerate() {
            keeper.order(Order::Announce((0..ROUTES).map(|n| route(number, n)).collect::<Result<_>>()?))?;
        }
        let all = usize::from(PEERS) * usize::try_from(ROUTES)?;
        scene
            .lab
            .until("the kernel has every route", seconds(60), || Ok(many_in_kernel(&scene.lab)? == all))?;
        Ok(())
    }

    /// One thing happens.
    fn change(&mut self, scene: &Scene) -> Result<()> {
        self.changes += 1;
        let number = self.random.usize(..self.peers.len());
        let (keeper, address) = self.peers.get(number).context("peer")?;
        match self.random.u32(..100) {
            0 => {
                self.losses += 1;
                scene.daemon.ctl(&format!("neighbor {address} reset"))?;
            }
            1 | 2 => {
                self.losses += 1;
                keeper.order(Order::Abort)?;
            }
            3 => {
                self.losses += 1;
                keeper.order(Order::Vanish)?;
            }
            4 => scene.daemon.hang_up()?,
            roll => {
                let count = self.random.u32(1..ROUTES);
                let some = (0..count).map(|_| route(number, self.random.u32(..ROUTES)));
                let some = some.collect::<Result<Vec<_>>>()?;
                keeper.order(if roll % 2 == 0 { Order::Announce(some) } else { Order::Withdraw(some) })?;
            }
        }
        Ok(())
    }
}

fn churn(lasting: Duration, csv: &Path, seed: u64) -> Result<Run> {
    let rest = format!("\n[metrics]\nlisten = \"{METRICS}\"");
    let group = "export = \"all\"\nhold-time = 9\nlisten-limit = 50";
    let mut scene = Scene::start(&Setup { group, rest: &rest, ..Setup::default() })?;
    let mut crowd = Crowd::start(&scene, seed)?;
    let probe = scene.probe()?;
    let reference = Reference::start(&format!("{}-reference", scene.lab.host.name()))?;
    crowd.settle(&scene)?;
    scene.begin()?;
    let before = Usage::of(scene.daemon.pid())?;
    let mut file = File::create(csv).with_context(|| csv.display().to_string())?;
    writeln!(file, "{HEAD}")?;
    let begun = Instant::now();
    let mut samples = Vec::new();
    while begun.elapsed() < lasting {
        let sample =
            interval(&scene, (&probe, &reference), &mut crowd, begun).inspect_err(|_| look_closer(&scene))?;
        writeln!(file, "{}", line(&sample))?;
        samples.push(sample);
    }
    crowd.settle(&scene)?;
    let pid = scene.daemon.pid();
    // A connection that was forgotten without a word lives until its hold time is over.
    let quiet = |usage: &Usage| usage.descriptors <= before.descriptors;
    let at_rest = until("no descriptor is left", seconds(60), || Ok(quiet(&Usage::of(pid)?)));
    let after = Usage::of(pid)?;
    at_rest.with_context(|| format!("{before:?} before, {after:?} after"))?;
    scene.flaps([0, 1, 2])?;
    let (changes, losses) = (crowd.changes, crowd.losses);
    drop(crowd);
    probe.stop()?;
    reference.stop()?;
    let outcome = scene.finish(String::new())?;
    Ok(Run { samples, changes, losses, tally: outcome.tally, rest: [before, after] })
}

/// Changes for a while, and what is seen then.
fn interval(
    scene: &Scene,
    measures: (&Probe, &Reference),
    crowd: &mut Crowd,
    begun: Instant,
) -> Result<Sample> {
    let sampled = Instant::now();
    while sampled.elapsed() < SAMPLE {
        crowd.change(scene)?;
        thread::sleep(PACE);
    }
    sample(scene, measures, crowd, begun)
}

/// Shows what the daemon's threads do, twice, and what it has said: whether it hangs or only takes long.
fn look_closer(scene: &Scene) {
    let pid = scene.daemon.pid();
    for _ in 0..2 {
        eprintln!("{}", threads(pid));
        thread::sleep(seconds(2));
    }
    eprintln!("{}", tail(&scene.daemon.log(), 60));
}

fn sample(
    scene: &Scene,
    (probe, reference): (&Probe, &Reference),
    crowd: &Crowd,
    begun: Instant,
) -> Result<Sample> {
    let asking = Instant::now();
    scene.daemon.ctl("show summary")?;
    let control = asking.elapsed();
    let address: SocketAddr = METRICS.parse()?;
    let scraped = scene
        .lab
        .host
        .inside(|| TcpStream::connect(address).is_ok_and(|stream| asked(stream, "/metrics")))?;
    anyhow::ensure!(scraped, "the metrics do not answer");
    Ok(Sample {
        at: begun.elapsed(),
        usage: Usage::of(scene.daemon.pid())?,
        probe: probe.since_last(),
        control,
        reference: reference.longest_since_last(),
        routes: many_in_kernel(&scene.lab)?,
        sessions: crowd.peers.iter().map(|(keeper, _)| keeper.sessions()).sum(),
    })
}

const HEAD: &str = "seconds,resident_kib,descriptors,threads,probe_changes,probe_median_ms,probe_longest_ms,control_ms,reference_ms,routes,sessions_so_far";

fn line(sample: &Sample) -> String {
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    format!(
        "{:.1},{},{},{},{},{},{},{},{},{},{}",
        sample.at.as_secs_f64(),
        sample.usage.resident,
        sample.usage.descriptors,
        sample.usage.threads,
        sample.probe.0.len(),
        ms(sample.probe.median()),
        ms(sample.probe.longest()),
        ms(sample.control),
        ms(sample.reference),
        sample.routes,
        sample.sessions
    )
}

/// The samples after the warm-up.
fn judged(run: &Run, lasting: Duration) -> Vec<&Sample> {
    let warm = lasting.mul_f64(WARM_UP);
    run.samples.iter().filter(|sample| sample.at > warm).collect()
}

/// By how much the memory grew over these samples, KiB, by the straight line that fits best; and the mean.
fn growth(samples: &[&Sample]) -> (f64, f64) {
    let count = samples.len().max(1) as f64;
    let points = || samples.iter().map(|sample| (sample.at.as_secs_f64(), sample.usage.resident as f64));
    let (x, y) = points().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (over, under) = points().fold((0.0, 0.0), |(over, under), point| {
        (over + (point.0 - x) * (point.1 - y), under + (point.0 - x).powi(2))
    });
    let slope = if under > 0.0 { over / under } else { 0.0 };
    let span = match (samples.first(), samples.last()) {
        (Some(first), Some(last)) => last.at.saturating_sub(first.at).as_secs_f64(),
        _ => 0.0,
    };
    (slope * span, y)
}

/// What is not as it should be.
fn verdict(run: &Run, lasting: Duration) -> Vec<String> {
    let judged = judged(run, lasting);
    let mut faults = Vec::new();
    let (grown, mean) = growth(&judged);
    if grown > mean * GROWTH {
        faults.push(format!("memory grew by {grown:.0} KiB at {mean:.0} KiB"));
    }
    let stuck = |s: &&Sample| s.control.max(s.probe.longest()) > STUCK + s.reference;
    if let Some(slow) = run.samples.iter().find(stuck) {
        faults.push(format!(
            "stuck before {}: the probe took {}, the control socket {}, a route elsewhere on the machine {}",
            shown(slow.at),
            shown(slow.probe.longest()),
            shown(slow.control),
            shown(slow.reference)
        ));
    }
    if let Some(silent) = run.samples.iter().find(|sample| sample.probe.0.is_empty()) {
        faults.push(format!("no change of the probe came through before {}", shown(silent.at)));
    }
    if !run.tally.lost.is_empty() {
        faults.push(format!("{} requests were lost: {:?}", run.tally.lost.len(), run.tally.lost.first()));
    }
    faults
}

fn summary(run: &Run, lasting: Duration) -> String {
    let judged = judged(run, lasting);
    let (grown, mean) = growth(&judged);
    let longest = |of: fn(&Sample) -> Duration| run.samples.iter().map(of).max().unwrap_or_default();
    let [before, after] = run.rest;
    format!(
        "soak: {} with {PEERS} peers: {} changes, {} sessions lost on purpose\n\
         soak: memory {:.1} MiB in the mean of the second half, {:+.0} KiB over it by the line that fits best; \
         at rest {:.1} MiB before and {:.1} MiB after\n\
         soak: descriptors at rest {} before and {} after, threads {} and {}\n\
         soak: longest probe {}, longest answer of the control socket (with bgpctl's start) {}, \
         longest change of a route elsewhere on the machine {}\n\
         soak: {} requests, {} lost, longest wait {}",
        shown(lasting),
        run.changes,
        run.losses,
        mean / 1024.0,
        grown,
        before.resident as f64 / 1024.0,
        after.resident as f64 / 1024.0,
        before.descriptors,
        after.descriptors,
        before.threads,
        after.threads,
        shown(longest(|sample| sample.probe.longest())),
        shown(longest(|sample| sample.control)),
        shown(longest(|sample| sample.reference)),
        run.tally.total(),
        run.tally.lost.len(),
        shown(run.tally.longest_gap),
    )
}

/// A duration out of text: seconds, or a number with `s`, `m` or `h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, text.chars().last().unwrap_or('s')),
        None => (text, 's'),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text} is no duration such as 600, 10m or 1h"))?;
    let factor = match unit {
        'm' => 60,
        'h' => 3600,
        _ => 1,
    };
    Ok(Duration::from_secs(number.saturating_mul(factor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64, resident: u64) -> Sample {
        let usage = Usage { resident, peak: resident, descriptors: 20, threads: 5 };
        let probe = Latencies(vec![Duration::from_millis(1)]);
        let control = Duration::from_millis(5);
        let reference = Duration::from_millis(3);
        Sample { at: Duration::from_secs(second), usage, probe, control, reference, routes: 1, sessions: 1 }
    }

    fn run(resident: impl Fn(u64) -> u64) -> Run {
        let samples: Vec<_> = (1..=120).map(|n| at(n * 5, resident(n * 5))).collect();
        let usage = samples[0].usage;
        Run { samples, changes: 1, losses: 0, tally: Tally::default(), rest: [usage, usage] }
    }

    #[test]
    fn what_grows_is_told_from_what_only_warms_up() {
        let lasting = Duration::from_secs(600);
        assert_eq!(verdict(&run(|_| 20_000), lasting), [""; 0]);
        assert_eq!(
            verdict(&run(|t| if t < 150 { 10_000 + t * 60 } else { 19_000 + t % 7 }), lasting),
            [""; 0]
        );
        let leaks = verdict(&run(|t| 20_000 + t * 10), lasting);
        assert!(leaks.len() == 1 && leaks[0].contains("memory grew"), "{leaks:?}");
    }

    #[test]
    fn a_stuck_task_is_found() {
        let mut stuck = run(|_| 20_000);
        stuck.samples[3].control = Duration::from_secs(6);
        stuck.samples[5].probe = Latencies::default();
        assert_eq!(verdict(&stuck, Duration::from_secs(600)).len(), 2);
        // The whole machine waited then.
        stuck.samples[3].reference = Duration::from_secs(2);
        assert_eq!(verdict(&stuck, Duration::from_secs(600)).len(), 1);
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("600"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert!(duration("soon").is_err());
    }
}

//! A hitless restart with the whole table: how long nobody reacts, and whether peers or kernel notice anything.
//!
//! All the time a third peer announces one new route after the other. The longest time without any of them at the receiver
//! is the time without a reaction; as nothing is told before everything is decided, its end is when the RIB is complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use foldhash::fast::RandomState;
use hashbrown::HashSet;
use interop::kernel::{Watch, watch_forwarding_in};
use interop::wait::until;

use super::change::{CHANGED, ROLES, change, send};
use super::{Bench, Measure, Row, figures};
use crate::daemon::{HandOver, Name};
use crate::lab::{Lab, Plan};
use crate::results::{Figure, Figures};
use crate::stream::{self, Parts, parts, prefixes};
use crate::usage::Usage;

/// Between two routes of the third peer.
const PAUSE: Duration = Duration::from_millis(4);
/// So long it announces routes before and after.
const AROUND: Duration = Duration::from_millis(300);

/// UPDATEs with the times of their arrivals.
type Updates = Vec<(Vec<u8>, Instant)>;

impl Bench {
    pub(super) fn restarts(&self, name: Name) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for (key, how) in [("l-replace", HandOver::Replace), ("l-store", HandOver::Store)] {
            let [load, restart] = self.restarted(name, how)?;
            rows.push((Measure::named("l-load"), load));
            rows.push((Measure::named(key), restart));
        }
        Ok(rows)
    }

    /// What it cost to load the table, and what the restart.
    fn restarted(&self, name: Name, how: HandOver) -> Result<[Figures; 2]> {
        let plan = Plan { kernel: true, managed: true, ..Plan::of(&ROLES) };
        let mut lab = self.lab(&plan, name)?;
        let before = lab.kernel_routes()?;
        let mut receiver = lab.sessions[1].record()?;
        let clock = lab.clock()?;
        let start = Instant::now();
        lab.sessions[0].feed(Arc::clone(&self.octets))?;
        let received = lab.settle(&mut receiver, &self.view)?;
        let installed = lab.until_in_kernel(before, stream::count(&self.table))?;
        let load = figures(&lab, &clock, received.max(installed) - start)?;
        // Its next hop is no news then.
        send(&lab.sessions[2], PAUSE, |round| round == 1)?;
        receiver.until_quiet(self.limit);
        lab.until_idle(Instant::now())?;
        receiver.updates();
        let watch = watch_forwarding_in(lab.daemon.dir(), &lab.host)?;

        let over = AtomicBool::new(false);
        let (mut seen, mut peak) = (Updates::new(), 0);
        let Lab { sessions, daemon, host, .. } = &mut lab;
        let (told, sent) = thread::scope(|scope| {
            let changing = scope.spawn(|| send(&sessions[2], PAUSE, |_| over.load(Ordering::Relaxed)));
            thread::sleep(AROUND);
            let told = daemon.hand_over(host, how, |used: Usage| peak = peak.max(used.resident));
            let ended = Instant::now();
            let goes_on = told.and_then(|told| {
                until("routes come again", self.limit, || {
                    seen.extend(receiver.updates());
                    Ok(seen.last().is_some_and(|(_, at)| *at > ended + AROUND))
                })?;
                Ok(told)
            });
            over.store(true, Ordering::Relaxed);
            let sent = changing.join().map_err(|_| anyhow!("the third peer panicked"))?;
            Ok::<_, anyhow::Error>((goes_on?, sent?))
        })
        .with_context(|| lab.daemon.log())?;

        let mut wanted = self.view.clone();
        let pieces: Vec<_> = (0..=u16::MAX).take(sent.len()).map(change).collect();
        wanted.apply(&pieces, &plan.sender(2, 1));
        lab.settle(&mut receiver, &wanted)?;
        seen.extend(receiver.updates());
        let [v4, v6] = stream::count(&self.table);
        lab.until_in_kernel(before, [v4 + sent.len(), v6])?;
        let twice = surplus(&seen);
        ensure!(
            twice.is_empty(),
            "{} of {} UPDATEs said what the receiver knew: {:02x?}",
            twice.len(),
            seen.len(),
            twice.first()
        );
        let touched = touched(&watch)?;
        ensure!(touched.is_empty(), "the kernel was touched {} times: {:?}", touched.len(), touched.first());

        let (silent, complete) = silence(&seen, told).context("nothing came over the restart")?;
        let used = lab.daemon.usage()?;
        let mut row = figures(&lab, &crate::lab::Clock::default(), complete - told)?;
        row.insert(Figure::Max, silent.as_secs_f64() * 1000.0);
        row.insert(Figure::Peak, peak.max(used.peak) as f64 / 1024.0);
        Ok([load, row])
    }
}

/// UPDATEs with anything but a new route, or with one that came before.
fn surplus(updates: &Updates) -> Vec<&[u8]> {
    let mut known: HashSet<Vec<u8>, RandomState> = HashSet::default();
    let mut is_new = |octets: &[u8]| octets.starts_with(&CHANGED) && known.insert(octets.to_vec());
    let mut all_new = |octets: &[u8]| {
        let Some(Parts { announced: Some((false, nlri)), withdrawn: None, .. }) = parts(octets) else {
            return false;
        };
        prefixes(false, nlri).fold(true, |all, (_, octets)| is_new(octets) && all)
    };
    updates.iter().map(|(octets, _)| octets.as_slice()).filter(|octets| !all_new(octets)).collect()
}

/// The longest time without an UPDATE, and when the one came that ended it, of those after `told`.
fn silence(updates: &Updates, told: Instant) -> Option<(Duration, Instant)> {
    let pairs = updates.iter().zip(updates.iter().skip(1));
    let gaps = pairs.map(|((_, one), (_, next))| (next.saturating_duration_since(*one), *next));
    gaps.filter(|(_, next)| *next > told).max()
}

/// What became of routes and next hops in the kernel, apart from the third peer's routes.
fn touched(watch: &Watch) -> Result<Vec<String>> {
    Ok(watch.changes()?.into_iter().filter(|line| !line.starts_with("198.18.")).collect())
}

//! The whole table in the kernel, and what becomes of packets when the peer is lost that all routes lead to.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use interop::command::run;
use interop::programs::binary;
use interop::wait::until;
use serde::Deserialize;

use super::{Bench, Figures, Measure, Row, figures, percentiles};
use crate::daemon::{Name, Role};
use crate::forwarding::{self, Kernel};
use crate::lab::{CABLE_APART, Lab, Plan};
use crate::results::Figure;
use crate::stream::{self, Sender};

/// Destinations of each family that are looked up again and again. A lookup takes some microseconds, and what is repaired just
/// after it is seen a round later: more of them would measure themselves.
const WATCHED: usize = 20;
/// Destinations of each family that are looked up when all is done.
const CHECKED: usize = 5000;

/// What `kernel_bound` says, in seconds.
#[derive(Deserialize)]
struct Took {
    wall: f64,
    cpu: f64,
}

impl Bench {
    pub(super) fn fill_kernel(&self, name: Name) -> Result<Vec<Row>> {
        if name == Name::Requests {
            return Ok(vec![(Measure::named("d"), self.only_requests()?)]);
        }
        let plan = Plan { kernel: true, ..Plan::of(&[Role::Feeder]) };
        let lab = self.lab(&plan, name)?;
        let before = lab.kernel_routes()?;
        let clock = lab.clock()?;
        let start = Instant::now();
        lab.sessions[0].feed(Arc::clone(&self.octets))?;
        let last = lab.until_in_kernel(before, stream::count(&self.table))?;
        Ok(vec![(Measure::named("d"), figures(&lab, &clock, last - start)?)])
    }

    /// What the same routes take that were put into requests beforehand: nobody fills the kernel faster.
    fn only_requests(&self) -> Result<Figures> {
        let table = self.dir.join("requests.bgp");
        fs::create_dir_all(&self.dir)?;
        fs::write(&table, self.octets.as_slice())?;
        let said = run(Command::new(binary("kernel_bound")?).arg(&table).arg("--json"))?;
        fs::remove_file(&table)?;
        let Took { wall, cpu } = serde_json::from_str(&said).context("kernel_bound")?;
        Ok(Figures::from([(Figure::Wall, wall), (Figure::Cpu, cpu)]))
    }

    /// Three peers with the same prefixes and ever longer paths; the best two are lost, each in its way. Then two peers
    /// with equally good paths, of which one is lost.
    pub(super) fn peer_lost(&self, name: Name) -> Result<Vec<Row>> {
        let plan = Plan { kernel: true, apart: Some(1), ..Plan::of(&[Role::Feeder; 3]) };
        let senders = [1, 2, 3].map(|times| plan.sender(times - 1, times));
        let mut lab = self.in_kernel(&plan, name, &senders)?;
        let [best, next, last] = &senders;
        let mut kernel = Kernel::inside(&lab.host)?;
        forwarding::all_by(&mut kernel, &forwarding::sample(&self.table, CHECKED), best)?;

        let session = lab.sessions.remove(0);
        let session_ends = self.repaired(&lab, next, || session.close())?;

        let mut far = Kernel::inside(&lab.side)?;
        let index = lab.side.inside(|| nix::net::if_::if_nametoindex(CABLE_APART))??;
        let port_down = self.repaired(&lab, last, || far.set_down(index))?;
        drop(lab);
        let equal = self.one_of_two_lost(name)?;
        Ok(vec![
            (Measure::named("h-session"), session_ends),
            (Measure::named("h-port"), port_down),
            (Measure::named("h-equal"), equal),
        ])
    }

    fn one_of_two_lost(&self, name: Name) -> Result<Figures> {
        let plan = Plan { kernel: true, equal_paths: true, ..Plan::of(&[Role::Feeder; 2]) };
        let senders = [0, 1].map(|peer| plan.sender(peer, 1));
        let mut lab = self.in_kernel(&plan, name, &senders)?;
        let [first, second] = &senders;
        let mut kernel = Kernel::inside(&lab.host)?;
        let sample = forwarding::sample(&self.table, 200);
        // A daemon may wait for flows by the first to show themselves.
        until("both of two equal paths are used", self.limit, || {
            let mut by_all = |peer| forwarding::all_by(&mut kernel, &sample, peer).is_ok();
            Ok(!by_all(first) && !by_all(second))
        })?;
        let session = lab.sessions.remove(0);
        self.repaired(&lab, second, || session.close())
    }

    /// A daemon with the tables of all senders, and the best of each prefix in the kernel.
    fn in_kernel(&self, plan: &Plan<'_>, name: Name, senders: &[Sender]) -> Result<Lab> {
        let lab = self.lab(plan, name)?;
        let before = lab.kernel_routes()?;
        for (session, sender) in lab.sessions.iter().zip(senders) {
            session.feed(Arc::new(stream::write(&self.table, sender)?))?;
            // The best first: what comes later changes nothing in the kernel, unless it is as good.
            lab.until_in_kernel(before, stream::count(&self.table)).context("before the loss")?;
        }
        Ok(lab)
    }

    /// Loses a peer and watches the kernel until everything is forwarded to another.
    fn repaired(&self, lab: &Lab, to: &Sender, lose: impl FnOnce() -> Result<()>) -> Result<Figures> {
        let watched = forwarding::sample(&self.table, WATCHED);
        let mut kernel = Kernel::inside(&lab.host)?;
        let clock = lab.clock()?;
        let start = Instant::now();
        lose()?;
        let times = forwarding::until_all_by(&mut kernel, &watched, to, start, self.limit)
            .with_context(|| lab.daemon.log())?;
        let wall = times.last().copied().unwrap_or(Duration::ZERO);
        lab.until_idle(Instant::now())?;
        let mut row = figures(lab, &clock, wall)?;
        row.remove(&Figure::Resident);
        row.extend(percentiles(times));
        let all = forwarding::sample(&self.table, CHECKED);
        forwarding::all_by(&mut kernel, &all, to).context("when all is done")?;
        Ok(row)
    }
}

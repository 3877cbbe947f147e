//! Reading the kernel's tables: when a dump is asked for, what it shows, and what it has not shown.
//!
//! An entry of a dump may be older than what was done or reported since the dump was asked for.

use std::time::{Duration, Instant};

use crate::config::is_our_id;
use crate::destination::Numbers;
use crate::event::Kind;
use crate::fib::Fib;
use crate::fib::flights::What;
use crate::kernel::KernelError;
use crate::objects::Held;
use crate::op::Op;
use crate::packed::Plan;
use crate::routes::Flag;
use crate::view::Notice;

/// Two dumps of one kind are at least this far apart.
const DUMP_INTERVAL: Duration = Duration::from_secs(1);

/// State of the dumps of one kind.
#[derive(Debug, Default)]
pub(super) struct Dump {
    /// Wanted, not before this time.
    pub(super) due: Option<Instant>,
    pub(super) in_flight: bool,
    /// Asked for, and its beginning not yet reported.
    pub(super) expected: bool,
    /// Begun, and its end not yet reported.
    pub(super) running: bool,
    /// Read to its end since the start, or since reports were lost.
    pub(super) complete: bool,
    /// Reports were lost since it was asked for: it does not count.
    pub(super) too_early: bool,
    pub(super) last: Option<Instant>,
}

impl Dump {
    /// Another one can be asked for.
    pub(super) fn is_idle(&self) -> bool {
        !self.in_flight && !self.expected && !self.running
    }
}

/// Where we are in the dumps of one kind. Zero is before the first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Epoch<N> {
    /// Counts the times a dump began, also anew: what carries the present number has been seen.
    pub(super) scan: N,
    /// Counts the times a dump was asked for. From then on its entries may be older than what is done and reported: what
    /// carries the present number is left alone by them.
    pub(super) touch: N,
}

impl Fib {
    pub(super) fn plan_dumps(&mut self, end: usize, out: &mut Plan) {
        if self.stopping || self.congested.as_ref().is_some_and(|trouble| trouble.holds(self.now)) {
            return;
        }
        for kind in Kind::ALL {
            let now = self.now;
            let Some(dump) = self.dumps.get_mut(&kind) else { continue };
            let due = dump.due.is_some_and(|due| due <= now) && dump.is_idle();
            if due && out.len() < end {
                dump.due = None;
                dump.in_flight = true;
                dump.expected = true;
                dump.too_early = false;
                dump.last = Some(now);
                self.touch(kind);
                self.emit(Op::Dump(kind), What::Dump(kind), out);
            }
        }
        self.plan_audit(end, out);
    }

    pub(super) fn dump_answered(&mut self, kind: Kind, result: &Result<(), KernelError>) {
        let Some(dump) = self.dumps.get_mut(&kind) else { return };
        dump.in_flight = false;
        if result.is_err() {
            dump.expected = false;
            dump.running = false;
            self.ask_dump(kind);
        }
    }

    /// Has a kind read again, soon.
    pub(super) fn ask_dump(&mut self, kind: Kind) {
        let now = self.now;
        let dump = self.dumps.entry(kind).or_default();
        let earliest = dump.last.map_or(now, |last| now.max(last + DUMP_INTERVAL));
        dump.due = Some(dump.due.map_or(earliest, |due| due.min(earliest)));
    }

    /// A dump is asked for.
    pub(super) fn touch(&mut self, kind: Kind) {
        match kind {
            Kind::Nexthops => self.nexthop_dump.touch += 1,
            Kind::Routes => {
                self.finish_dump_walk();
                self.route_dump.touch = next_epoch(self.route_dump.touch);
            }
            Kind::Links | Kind::Addresses | Kind::Neighbors => {}
        }
    }

    /// Every kind has been read (or the kernel does not have it): we know what is there.
    pub fn is_ready(&self) -> bool {
        self.dumps.values().all(|dump| dump.complete)
    }

    /// What is being shown is this.
    pub(super) fn is_dumping(&self, kind: Kind) -> bool {
        self.dumps.get(&kind).is_some_and(|dump| dump.running)
    }

    pub(super) fn dump_start(&mut self, kind: Kind) {
        let Some(dump) = self.dumps.get_mut(&kind) else { return };
        let unasked = !dump.expected && !dump.running;
        dump.expected = false;
        dump.running = true;
        dump.last = Some(self.now);
        if unasked {
            dump.due = None;
            self.touch(kind);
        }
        match kind {
            Kind::Nexthops => self.nexthop_dump.scan += 1,
            Kind::Routes => {
                self.give_up_audit();
                self.begin_scan();
            }
            Kind::Links | Kind::Addresses | Kind::Neighbors => {}
        }
        self.tracker.begin_dump(kind);
    }

    /// The routes are shown anew from here on.
    pub(super) fn begin_scan(&mut self) {
        self.finish_dump_walk();
        self.route_dump.scan = next_epoch(self.route_dump.scan);
    }

    pub(super) fn dump_end(&mut self, kind: Kind, numbers: Numbers<'_>) {
        let was_ready = self.is_ready();
        match self.dumps.get_mut(&kind) {
            Some(dump) if dump.running => {
                dump.running = false;
                dump.complete = !std::mem::take(&mut dump.too_early);
            }
            Some(_) | None => return,
        }
        match kind {
            Kind::Nexthops => {
                self.sweep_objects();
                self.objects_compared();
            }
            Kind::Routes => self.sweep_routes(numbers),
            Kind::Links | Kind::Addresses | Kind::Neighbors => {
                for change in self.tracker.end_dump(kind) {
                    self.link_changed(change);
                }
            }
        }
        if !was_ready && self.is_ready() && self.arm_audit() {
            let routes = self.routes.slots().filter(|(_, route)| route.is(Flag::Leftover)).count();
            let found = |leftover: bool| usize::from(leftover);
            let nexthops = self.objects.hops.values().map(|hop| found(hop.leftover)).sum::<usize>()
                + self.objects.groups.values().map(|group| found(group.leftover)).sum::<usize>();
            if routes + nexthops > 0 {
                self.notice(Notice::Found { routes, nexthops });
            }
        }
    }

    fn sweep_objects(&mut self) {
        let Epoch { scan, touch } = self.nexthop_dump;
        let others = self.tracker.facts.nexthops.end_dump();
        let missing_hops = self.objects.hops.iter().filter(|(_, hop)| {
            let shown = hop.seen == scan || hop.touched == touch;
            !shown && hop.flight.is_none() && !matches!(hop.held, Held::Absent)
        });
        let missing_groups = self.objects.groups.iter().filter(|(_, group)| {
            let shown = group.seen == scan || group.touched == touch;
            !shown && group.flight.is_none() && !matches!(group.held, Held::Absent)
        });
        let mut missing: Vec<u32> =
            missing_hops.map(|(id, _)| *id).chain(missing_groups.map(|(id, _)| *id)).collect();
        self.objects_missed(&missing);
        missing.extend(others.iter().map(|(id, _)| *id));
        self.vanish(&missing);
        let ours = |id: &u32| is_our_id(*id);
        self.objects.taken = self.tracker.facts.nexthops.iter().map(|(id, _)| *id).filter(ours).collect();
        let mut looked = Vec::new();
        for (id, hop) in &mut self.objects.hops {
            if std::mem::take(&mut hop.look) {
                looked.push(*id);
            }
        }
        for (id, group) in &mut self.objects.groups {
            if std::mem::take(&mut group.look) {
                looked.push(*id);
            }
        }
        for id in looked {
            if self.objects.taken.contains(&id) {
                self.give_up_id(id);
            } else {
                self.objects.work.insert(id);
                self.sets.mark_object(id);
            }
        }
    }

    fn sweep_routes(&mut self, numbers: Numbers<'_>) {
        self.dump_walk = Some(self.routes.sequence());
        let (gone, again) = self.tracker.facts.routes.end_dump();
        for prefix in gone {
            self.foreign_route_missed(prefix, numbers);
        }
        if again {
            self.ask_dump(Kind::Routes);
        }
    }

    /// The next step through the routes after a dump; `false` where all have been looked at.
    pub(super) fn dump_walk_on(&mut self) -> bool {
        let Some(walk) = &mut self.dump_walk else { return false };
        match walk.next() {
            Some(slot) => self.missed_by_dump(slot),
            None => {
                self.dump_walk = None;
                self.clock.looked_through(self.now);
                self.compared();
            }
        }
        true
    }

    /// What the walk has not reached must not be judged by the next dump.
    fn finish_dump_walk(&mut self) {
        while self.dump_walk_on() {}
    }

    /// Looks at one route after a dump: what it has not shown is gone.
    fn missed_by_dump(&mut self, slot: u32) {
        let Epoch { scan, touch } = self.route_dump;
        let now = self.now;
        let Some(route) = self.routes.get_mut(slot) else { return };
        let (seen, touched) = (route.seen == scan, route.touched == touch);
        // The counts begin anew some day; an old number must not be taken for a new one.
        route.seen = if seen { scan } else { 0 };
        route.touched = if touched { touch } else { 0 };
        route.born = self.clock.remember(route.born, now);
        let looked = route.take_flag(Flag::Look);
        let missing = !seen && !touched && !route.is_flying() && !matches!(route.held(), Held::Absent);
        if missing {
            self.routes.edit_rare(slot, |rare| rare.extra.clear());
            if !self.miss(slot) {
                self.set_held(slot, Held::Absent);
            }
        }
        if missing || looked {
            self.enqueue(slot);
        }
    }
}

/// Counts on, and leaves out the zero, which is before the first.
fn next_epoch(count: u16) -> u16 {
    count.checked_add(1).unwrap_or(1)
}

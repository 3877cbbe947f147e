//! The audit: now and then the kernel's routes are read back, at leisure, and compared with what it has acknowledged.
//!
//! Reports tell of nearly everything that happens to our routes; the audit is for what they do not tell. It is read
//! beside the operations, not between them, so an entry may be older than what was done since: what carries the number
//! of the reading has been touched meanwhile and is left alone (`dumps`). What an audit does not show need not be gone:
//! the kernel goes on through its IPv6 table by a count, and passes over routes when others before them are removed. A
//! route that was not shown is therefore added where nothing must be, and only counts as missing when that has worked.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use bgp_wire::Prefix;

use crate::destination::Numbers;
use crate::event::Kind;
use crate::fib::Fib;
use crate::fib::flights::What;
use crate::kernel::KernelError;
use crate::objects::{Held, Object};
use crate::op::Op;
use crate::packed::Plan;
use crate::routes::{ARRIVED, BodyId, Flag, NONE, Stage};
use crate::view::Notice;

/// Differences that are named in the log, of each reading.
const EXAMPLES: usize = 5;
/// Prefixes that are remembered as changed while an audit reads; with more, it can show no route that is not known.
const REMEMBERED: usize = 65_536;
/// What was not shown has been put back by then, or it will be later.
const PROOF: Duration = Duration::from_secs(10);

/// In how many ways the kernel was not as it had acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Differences {
    /// Ours, wanted, and not there.
    pub missing: u64,
    /// Ours, and another than was acknowledged.
    pub changed: u64,
    /// With our protocol, table and metric, through an object of ours, and not put there by us.
    pub unexpected: u64,
}

impl Differences {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.missing.saturating_add(self.changed).saturating_add(self.unexpected)
    }

    fn count(&mut self, difference: Difference) {
        let count = match difference {
            Difference::Missing => &mut self.missing,
            Difference::Changed => &mut self.changed,
            Difference::Unexpected => &mut self.unexpected,
        };
        *count = count.saturating_add(1);
    }
}

/// One difference; the plural explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    Missing,
    Changed,
    Unexpected,
}

/// What has been found different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A route.
    Route(Prefix),
    /// A next-hop object or group, by its id.
    Object(u32),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(prefix) => prefix.fmt(f),
            Self::Object(id) => write!(f, "nexthop id {id}"),
        }
    }
}

/// One audit that has been finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditRun {
    /// When.
    pub ended: Instant,
    /// From the question to the last comparison.
    pub took: Duration,
    /// Routes of ours that the kernel has shown.
    pub routes: usize,
}

/// Audits as operators see them. Differences are counted wherever the kernel is read back, also after lost reports.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AuditView {
    /// Pause between two audits; `None`: there are none.
    pub interval: Option<Duration>,
    /// Audits finished.
    pub runs: u64,
    /// The last one.
    pub last: Option<AuditRun>,
    /// All differences so far.
    pub differences: Differences,
    /// When there was one last.
    pub differed: Option<Instant>,
    /// Why the last attempt failed; `None` where it did not.
    pub error: Option<KernelError>,
}

/// An audit under way.
#[derive(Debug)]
struct Reading {
    asked: Instant,
    routes: usize,
    /// Prefixes of which a route has gone or changed meanwhile, ours or not: an entry may be older.
    changed: HashSet<Prefix>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Everything has been read once: from then on there is something to differ from.
    armed: bool,
    due: Option<Instant>,
    reading: Option<Reading>,
    /// All has been shown and is being compared.
    comparing: bool,
    /// Routes that were not shown and are being added.
    unproven: usize,
    prove_until: Option<Instant>,
    /// Found by the present reading.
    found: Differences,
    examples: Vec<Subject>,
    view: AuditView,
}

impl Audit {
    /// An audit has begun and not all of it has been shown.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.is_some() && !self.comparing
    }

    /// A route has gone, ours for good or somebody else's, or somebody else's has other legs.
    pub(super) fn note_change(&mut self, prefix: Prefix) {
        if self.is_reading()
            && let Some(reading) = &mut self.reading
            && reading.changed.len() <= REMEMBERED
        {
            reading.changed.insert(prefix);
        }
    }

    /// Whether an audit may show a route of this prefix as it is no more.
    pub(super) fn may_be_old(&self, prefix: &Prefix) -> bool {
        let old = |reading: &Reading| reading.changed.len() > REMEMBERED || reading.changed.contains(prefix);
        self.is_reading() && self.reading.as_ref().is_some_and(old)
    }
}

impl Fib {
    /// How the audits stand.
    pub fn audit(&self) -> AuditView {
        AuditView { interval: self.config.audit_interval, ..self.audit.view.clone() }
    }

    /// Everything has been read: the first audit comes after its interval. Says whether this was the first time.
    pub(super) fn arm_audit(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.audit.armed, true);
        if first {
            self.schedule_audit();
        }
        first
    }

    /// Everything has been read once, whatever was lost since.
    pub(super) fn was_ready(&self) -> bool {
        self.audit.armed
    }

    fn schedule_audit(&mut self) {
        self.audit.due = self.config.audit_interval.map(|interval| self.now + interval);
    }

    /// When an audit can begin, or what it has found is told.
    pub(super) fn audit_deadline(&self) -> Option<Instant> {
        let due = self.audit.due.filter(|_| self.can_audit());
        due.into_iter().chain(self.audit.prove_until).min()
    }

    fn can_audit(&self) -> bool {
        let free = |dump: &super::dumps::Dump| dump.due.is_none() && dump.is_idle();
        let congested = self.congested.as_ref().is_some_and(|trouble| trouble.holds(self.now));
        let idle = self.dumps.get(&Kind::Routes).is_some_and(free) && self.dump_walk.is_none();
        self.is_ready() && idle && !self.stopping && !congested && self.audit.reading.is_none()
    }

    pub(super) fn audit_tick(&mut self) {
        if self.audit.prove_until.is_some_and(|until| until <= self.now) {
            self.tell_findings();
        }
    }

    /// Begins an audit that is due: routes at leisure, the small tables at once.
    pub(super) fn plan_audit(&mut self, end: usize, out: &mut Plan) {
        if self.audit.due.is_none_or(|due| due > self.now) || !self.can_audit() || out.len() >= end {
            return;
        }
        self.audit.due = None;
        self.audit.comparing = false;
        self.audit.reading = Some(Reading { asked: self.now, routes: 0, changed: HashSet::new() });
        self.touch(Kind::Routes);
        self.emit(Op::Audit, What::Audit, out);
        for kind in [Kind::Links, Kind::Addresses, Kind::Neighbors, Kind::Nexthops] {
            self.ask_dump(kind);
        }
    }

    pub(super) fn audit_start(&mut self) {
        if self.audit.is_reading() {
            self.begin_scan();
            self.tracker.begin_dump(Kind::Routes);
        }
    }

    pub(super) fn audit_end(&mut self, numbers: Numbers<'_>) {
        if !self.audit.is_reading() {
            return;
        }
        self.audit.comparing = true;
        self.dump_walk = Some(self.routes.sequence());
        for prefix in self.tracker.facts.routes.end_audit() {
            self.foreign_route_missed(prefix, numbers);
        }
    }

    /// The whole table is read between the operations, or has to be: the audit at leisure is of no use any more.
    pub(super) fn give_up_audit(&mut self) {
        if self.audit.reading.take().is_some() {
            self.audit.comparing = false;
            self.schedule_audit();
        }
    }

    /// Done, refused, or ended by a dump; in the last case another one has been begun or given up already.
    pub(super) fn audit_answered(&mut self, result: Result<(), KernelError>) {
        if let Err(error) = result
            && self.audit.reading.is_some()
        {
            self.audit.view.error = Some(error);
            self.give_up_audit();
        }
    }

    /// A route of ours is shown, the first of its prefix in this reading.
    pub(super) fn compare(&mut self, slot: u32, body: BodyId) {
        if let Some(reading) = self.audit.reading.as_mut() {
            reading.routes += 1;
        }
        let Some(route) = self.routes.get(slot) else { return };
        let known = route.set != NONE || !self.startup();
        match route.held() {
            Held::Present(held) if held == body => {}
            Held::Present(_) => self.differs(slot, Difference::Changed),
            Held::Absent if known => self.differs(slot, Difference::Unexpected),
            Held::Absent | Held::Doubt => {}
        }
    }

    /// A difference at a prefix.
    pub(super) fn differs(&mut self, slot: u32, difference: Difference) {
        if let Some(prefix) = self.routes.prefix(slot) {
            self.found(Subject::Route(prefix), difference);
        }
    }

    /// Counts a difference, where there is something to differ from.
    pub(super) fn found(&mut self, subject: Subject, difference: Difference) {
        let audit = &mut self.audit;
        if !audit.armed {
            return;
        }
        audit.found.count(difference);
        audit.view.differences.count(difference);
        audit.view.differed = Some(self.now);
        if audit.examples.len() < EXAMPLES {
            audit.examples.push(subject);
        }
    }

    /// Counts the objects among `ids` that are needed, were acknowledged and have not been shown.
    pub(super) fn objects_missed(&mut self, ids: &[u32]) {
        for id in ids {
            let hop = self.objects.hops.get(id).is_some_and(is_relied_on);
            if hop || self.objects.groups.get(id).is_some_and(is_relied_on) {
                self.found(Subject::Object(*id), Difference::Missing);
            }
        }
    }

    /// A route that should be there was not shown: whether it is gone, its addition will tell. `false` where nothing
    /// was acknowledged, or nothing is wanted.
    pub(super) fn miss(&mut self, slot: u32) -> bool {
        let armed = self.audit.armed;
        let Some(route) = self.routes.get_mut(slot) else { return false };
        if !armed || route.set == NONE || !matches!(route.held(), Held::Present(_)) {
            return false;
        }
        if !route.is(Flag::Missed) {
            route.set_flag(Flag::Missed);
            if route.stage == Stage::Installed {
                route.wanted_at = ARRIVED;
            }
            self.audit.unproven += 1;
        }
        true
    }

    /// Ends the doubt about a route that was not shown, where there is one: it was missing or not, or need not be known.
    pub(super) fn proven(&mut self, slot: u32, was_missing: bool) -> bool {
        if !self.routes.get_mut(slot).is_some_and(|route| route.take_flag(Flag::Missed)) {
            return false;
        }
        self.audit.unproven = self.audit.unproven.saturating_sub(1);
        if was_missing {
            self.differs(slot, Difference::Missing);
        }
        if self.audit.unproven == 0 && self.audit.prove_until.is_some() {
            self.tell_findings();
        }
        true
    }

    /// Everything that was read has been compared.
    pub(super) fn compared(&mut self) {
        if self.audit.comparing
            && let Some(Reading { asked, routes, .. }) = self.audit.reading.take()
        {
            self.audit.comparing = false;
            let run = AuditRun { ended: self.now, took: self.now.saturating_duration_since(asked), routes };
            self.audit.view.last = Some(run);
            self.audit.view.error = None;
            self.audit.view.runs += 1;
            self.notice(Notice::Audited { routes, took: run.took });
            self.schedule_audit();
        }
        if self.audit.unproven == 0 {
            self.tell_findings();
        } else {
            self.audit.prove_until = Some(self.now + PROOF);
        }
    }

    /// Tells what has been found since this was last called.
    pub(super) fn tell_findings(&mut self) {
        let audit = &mut self.audit;
        audit.prove_until = None;
        let found = std::mem::take(&mut audit.found);
        let examples = std::mem::take(&mut audit.examples);
        if found.total() > 0 {
            self.notice(Notice::Differ { found, examples });
        }
    }

    /// Next-hop objects have been read and compared.
    pub(super) fn objects_compared(&mut self) {
        if self.audit.reading.is_none() && self.audit.prove_until.is_none() {
            self.tell_findings();
        }
    }

    /// A route of somebody else was not shown, and is forgotten.
    pub(super) fn foreign_route_missed(&mut self, prefix: Prefix, numbers: Numbers<'_>) {
        self.tracker.route_changed(prefix);
        if let Some(slot) = self.routes.slot_of(&prefix, numbers(&prefix)) {
            self.unblock(slot);
        }
    }
}

/// In which way what a dump shows of an object differs from what was acknowledged, if it does.
pub(super) fn unlike<T: PartialEq>(held: &Held<T>, shown: &T, is_new: bool) -> Option<Difference> {
    match held {
        Held::Present(held) => (held != shown).then_some(Difference::Changed),
        Held::Absent => is_new.then_some(Difference::Unexpected),
        Held::Doubt => None,
    }
}

/// Whether an object is needed, and was acknowledged.
pub(super) fn is_relied_on<T>(object: &Object<T>) -> bool {
    object.claims > 0 && matches!(object.held, Held::Present(_))
}

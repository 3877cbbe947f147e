//! The whole: what is wanted, what is installed, and the difference as operations.
//!
//! Every object and every prefix has at most one operation in flight; what changes meanwhile waits in its slot, not in a
//! queue of messages. Operations on different objects do not wait for each other: a hop, the group with it and the route
//! to the group leave together, and the kernel takes them in this order.

mod audit;
mod backup;
mod clock;
mod confirm;
mod confirm_routes;
mod cure;
mod drain;
mod dumps;
mod flights;
mod given_up;
mod leftovers;
mod meddling;
mod members;
mod observe;
mod plan;
mod plan_routes;
mod show;
mod stations;

pub use audit::{AuditRun, AuditView, Differences, Subject};
pub use cure::Cure;
pub use drain::DrainOrder;
pub use leftovers::Leftovers;
pub use meddling::{Deed, Meddling};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_wire::{Family, NextHop, PerFamily, ScopedNextHop};

use crate::config::FibConfig;
use crate::event::Kind;
use crate::fib::audit::Audit;
use crate::fib::clock::Clock;
use crate::fib::cure::Retries;
use crate::fib::drain::Drains;
use crate::fib::dumps::{Dump, Epoch};
use crate::fib::flights::{Flights, What};
use crate::fib::meddling::Meddlers;
use crate::guard::Trouble;
use crate::objects::{Flight, Held, Object, Objects};
use crate::routes::{ARRIVED, Bodies, BodyId, Flag, Routes, Stage, Walk};
use crate::sets::{Legs, Sets, Target, Wanted};
use crate::tracking::{Change, Tracker, canonical};
use crate::view::{Notice, Reachability, Via};

/// Notices that nobody takes are dropped beyond this number.
const NOTICES: usize = 1024;
/// A gateway that the kernel has not refused for so long starts anew.
const FORGIVE_AFTER: Duration = Duration::from_secs(60);

/// Routes that wait for the kernel, from which on those of one set may be among them for long.
const BACKLOG: usize = 4096;

/// The forwarding table as wanted and as installed. Owned by one task.
#[derive(Debug)]
pub struct Fib {
    config: FibConfig,
    now: Instant,
    tracker: Tracker,
    objects: Objects,
    sets: Sets,
    routes: Routes,
    bodies: Bodies,
    /// Lent to [`Fib::want_shares`].
    wanted: Wanted,
    /// What the end of the start-up phase, or of the daemon, still has to look at.
    walk: Option<Walk>,
    clock: Clock,
    flights: Flights,
    dumps: BTreeMap<Kind, Dump>,
    nexthop_dump: Epoch<u64>,
    route_dump: Epoch<u16>,
    /// The routes that have not been compared with what the last dump has shown.
    dump_walk: Option<Walk>,
    audit: Audit,
    /// Prefixes and objects to be looked at again at a time.
    route_timers: BTreeSet<(Instant, u32)>,
    object_timers: BTreeSet<(Instant, u32)>,
    /// Gateways that the kernel refuses, until when.
    refusals: BTreeMap<Via, Trouble>,
    /// The kernel is out of memory or does not answer: nothing is sent until then.
    congested: Option<Trouble>,
    watched: BTreeMap<ScopedNextHop, u32>,
    /// When each peer on the link is asked for next.
    peer_probes: BTreeMap<(u32, IpAddr), Instant>,
    /// Nodes that are to carry no new flows.
    drains: Drains,
    /// Next hops of peers that are lost.
    given_up: BTreeSet<ScopedNextHop>,
    changes: BTreeSet<ScopedNextHop>,
    notices: VecDeque<Notice>,
    /// Leftovers are kept.
    startup: bool,
    startup_until: Option<Instant>,
    stopping: bool,
    /// What is ours stays when it stops.
    keeps: bool,
    /// Whether the kernel has next-hop objects; unknown until the first is accepted or refused.
    objects_work: Option<bool>,
    meddlers: Meddlers,
    retries: Retries,
    /// When the repairs of routes are looked through for those that can be forgotten.
    forget_at: Option<Instant>,
    repairs: u64,
    errors: u64,
}

impl Fib {
    /// An empty table. Nothing is asked of the kernel but dumps before each [`Kind`] has been dumped once.
    pub fn new(config: FibConfig, now: Instant) -> Self {
        let due = || Dump { due: Some(now), ..Dump::default() };
        Self {
            now,
            tracker: Tracker::new(config.resolve_mapped_next_hops),
            objects: Objects::new(&config),
            sets: Sets::default(),
            routes: Routes::new(config.hash_seed),
            bodies: Bodies::new(config.preferred_source),
            wanted: Wanted::default(),
            walk: None,
            clock: Clock::new(now),
            flights: Flights::default(),
            dumps: Kind::ALL.into_iter().map(|kind| (kind, due())).collect(),
            nexthop_dump: Epoch::default(),
            route_dump: Epoch::default(),
            dump_walk: None,
            audit: Audit::default(),
            route_timers: BTreeSet::new(),
            object_timers: BTreeSet::new(),
            refusals: BTreeMap::new(),
            congested: None,
            watched: BTreeMap::new(),
            peer_probes: BTreeMap::new(),
            drains: Drains::default(),
            given_up: BTreeSet::new(),
            changes: BTreeSet::new(),
            notices: VecDeque::new(),
            startup: true,
            startup_until: config.startup_grace.map(|grace| now + grace),
            stopping: false,
            keeps: false,
            objects_work: None,
            meddlers: Meddlers::default(),
            retries: Retries::default(),
            forget_at: None,
            repairs: 0,
            errors: 0,
            config,
        }
    }

    /// The settings.
    pub fn config(&self) -> &FibConfig {
        &self.config
    }

    /// Tracks a next hop for the RIB (counted: each call wants its [`Fib::unwatch`]); its state comes by
    /// [`Fib::take_reachability_changes`], first once at once.
    pub fn watch(&mut self, next_hop: ScopedNextHop, now: Instant) {
        self.now = self.now.max(now);
        let count = self.watched.entry(next_hop).or_insert(0);
        *count += 1;
        if *count == 1 {
            self.tracker.track(canonical(next_hop));
            self.changes.insert(next_hop);
        }
    }

    /// Ends what [`Fib::watch`] began.
    pub fn unwatch(&mut self, next_hop: ScopedNextHop) {
        let Some(count) = self.watched.get_mut(&next_hop) else { return };
        *count -= 1;
        if *count == 0 {
            self.watched.remove(&next_hop);
            self.changes.remove(&next_hop);
            self.take_back(&next_hop);
            self.tracker.untrack(&canonical(next_hop));
        }
    }

    /// Whether the next hop can be used, as of the last [`Fib::next_ops`] or [`Fib::take_reachability_changes`].
    pub fn reachability(&self, next_hop: &ScopedNextHop) -> Reachability {
        self.tracker.reachability(&canonical(*next_hop))
    }

    /// Appends the watched next hops whose state has changed since the last call.
    pub fn take_reachability_changes(&mut self, out: &mut Vec<(ScopedNextHop, Reachability)>) {
        self.settle();
        for next_hop in std::mem::take(&mut self.changes) {
            out.push((next_hop, self.reachability(&next_hop)));
        }
    }

    /// Whether [`Fib::take_reachability_changes`] has something, time aside.
    pub fn has_reachability_changes(&self) -> bool {
        !self.changes.is_empty() || self.tracker.is_dirty()
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let now = self.now;
        if self.startup_until.is_some_and(|until| until <= now) {
            self.end_of_startup(now);
        }
        self.probe_peers(now);
        self.audit_tick();
        self.tell_of_meddling();
        self.retry_refused();
        self.forget_repairs();
        self.sets.tick(now);
        while let Some((_, slot)) = pop_due(&mut self.route_timers, now) {
            self.enqueue(slot);
        }
        while let Some((_, id)) = pop_due(&mut self.object_timers, now) {
            self.objects.work.insert(id);
            self.sets.mark_object(id);
        }
        let retried: Vec<Via> =
            self.refusals.iter().filter(|(_, trouble)| !trouble.holds(now)).map(|(via, _)| *via).collect();
        for via in retried {
            self.tracker.refuse(via, None);
        }
        self.refusals.retain(|_, trouble| now < trouble.until + FORGIVE_AFTER);
        if self.bodies.is_crowded() {
            self.collect_bodies();
        }
        self.settle();
        self.look_without_buckets(now);
    }

    /// When [`Fib::tick`] is due next. It may already be past: operations then wait to be taken.
    pub fn next_deadline(&self) -> Option<Instant> {
        let refusals = self.refusals.values().map(|trouble| trouble.until).filter(|until| *until > self.now);
        let congested =
            self.congested.as_ref().map(|trouble| trouble.until).filter(|until| *until > self.now);
        let free = self.dumps.values().filter(|dump| dump.is_idle() && !self.stopping);
        let dumps = free.filter_map(|dump| dump.due).map(|due| congested.map_or(due, |until| due.max(until)));
        refusals
            .chain(congested)
            .chain((self.has_route_work() || self.sets.has_leavers(&self.objects)).then_some(self.now))
            .chain(dumps)
            .chain(self.startup_until)
            .chain(self.audit_deadline())
            .chain(self.meddlers.next_deadline())
            .chain(self.retries.next_deadline())
            .chain(self.forget_at)
            .chain(self.route_timers.first().map(|(at, _)| *at))
            .chain(self.object_timers.first().map(|(at, _)| *at))
            .chain(self.tracker.next_deadline())
            .chain(self.peer_probes.values().copied())
            .chain(self.sets.next_deadline())
            .min()
    }

    /// Says that initial convergence is over: leftovers that nobody wants are removed now (or as soon as they are known).
    pub fn end_of_startup(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.startup_until = None;
        if !std::mem::take(&mut self.startup) {
            return;
        }
        let swept = self.count_leftovers();
        self.walk = Some(self.routes.walk());
        let all = self.objects.hops.keys().chain(self.objects.groups.keys());
        self.objects.work.extend(all);
        self.objects.hops.values_mut().for_each(|hop| hop.leftover = false);
        self.objects.groups.values_mut().for_each(|group| group.leftover = false);
        if swept > 0 {
            self.notice(Notice::Swept { routes: swept });
        }
    }

    /// For a clean stop: removes everything that is ours, or leaves everything as it is where it is to be kept. Afterwards
    /// [`Fib::want`] is ignored. Done when [`Fib::is_settled`].
    pub fn leave(&mut self, keep: bool, now: Instant) {
        self.now = self.now.max(now);
        (self.stopping, self.keeps) = (true, keep);
        if keep {
            return;
        }
        self.end_of_startup(now);
        self.walk = Some(self.routes.walk());
    }

    /// Nothing is queued and nothing is in flight (dumps and questions to neighbours apart).
    pub fn is_settled(&self) -> bool {
        let kept = self.stopping && self.keeps;
        let is_quiet = self.flights.writes() == 0;
        is_quiet
            && (kept
                || self.queued() == 0
                    && !self.has_untold()
                    && self.sets.dirty.is_empty()
                    && self.objects.work.is_empty()
                    && self.tracker.is_settled())
    }

    fn queued(&self) -> usize {
        let (queued, removals) = (self.routes.queued(), self.routes.removals());
        queued.ipv4 + queued.ipv6 + removals.ipv4 + removals.ipv6
    }

    /// Takes what belongs into the log; the oldest are dropped where nobody takes them.
    pub fn take_notices(&mut self, out: &mut Vec<Notice>) {
        out.extend(self.notices.drain(..));
    }

    fn notice(&mut self, notice: Notice) {
        if self.notices.len() == NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }

    fn startup(&self) -> bool {
        self.startup
    }

    /// Resolves next hops whose facts have changed, then the sets with them.
    fn settle(&mut self) {
        if self.is_ready() {
            self.tracker.has_read();
        }
        for Change { next_hop, news, first } in self.tracker.settle(self.now) {
            self.sets.mark(&next_hop);
            let watchers = self.watched.keys().filter(|watched| canonical(**watched) == next_hop);
            self.changes.extend(watchers);
            if news {
                self.say(next_hop, first);
            }
        }
        self.sets.mark_left(&self.objects);
        // Ids are drawn when it is known which are in use.
        while self.was_ready()
            && let Some(id) = self.sets.dirty.pop_first()
        {
            self.evaluate(id);
        }
    }

    fn say(&mut self, next_hop: ScopedNextHop, first: bool) {
        let mapped = next_hop.next_hop.mapped_ipv4().and(self.tracker.how(&next_hop));
        let notice = match mapped {
            Some(how) => Notice::Mapped { how: how.to_owned() },
            None => Notice::NextHop { next_hop, reachability: self.tracker.reachability(&next_hop), first },
        };
        self.notice(notice);
    }

    /// Works out where the routes of a set should point; queues them where that has changed.
    fn evaluate(&mut self, id: u32) {
        let Some(wanted) = self.sets.get(id).map(|set| self.in_use(&set.wanted)) else { return };
        let (vias, draining) = self.legs_of(&wanted.shares);
        let spare = self.spare_beside(&vias, draining, wanted.backup);
        let Some(set) = self.sets.get_mut(id) else { return };
        set.draining = draining;
        let legs = Legs { vias, spare };
        let target = if self.objects_work == Some(false) {
            set.legs = legs;
            plan::inline_target(&set.legs.vias)
        } else {
            self.sets.wait_on(id, self.queued() > BACKLOG, self.now);
            self.sets.claim(id, legs, &mut self.objects, self.now)
        };
        let Some(set) = self.sets.get_mut(id) else { return };
        if set.target == target {
            return;
        }
        set.bodies = match &target {
            Target::Ready(target) => PerFamily::from_fn(|family| Some(self.bodies.wanted(family, target))),
            Target::Kept(_) | Target::Waiting | Target::Unresolved => PerFamily::default(),
        };
        let same_group = target.group().is_some_and(|group| set.target.group() == Some(group));
        let none_waits = matches!(target, Target::Kept(_)) || set.installed == set.count;
        set.target = target;
        if set.target != Target::Waiting && !(same_group && none_waits) {
            self.sweep(id);
        }
    }

    /// The kernel refuses a gateway, or may take it again.
    fn refuse(&mut self, via: Via, trouble: Trouble, why: &str) {
        self.tracker.refuse(via, Some(Arc::from(format!("the kernel refuses {}: {why}", via.gateway))));
        self.refusals.insert(via, trouble);
    }

    /// Forgets refusals on a link: something there has changed.
    fn forgive_link(&mut self, ifindex: u32) {
        let vias: Vec<Via> = self.refusals.keys().filter(|via| via.ifindex == ifindex).copied().collect();
        for via in vias {
            self.refusals.remove(&via);
            self.tracker.refuse(via, None);
        }
    }

    /// Sets what the kernel holds of a route; objects know who points to them.
    fn set_held(&mut self, slot: u32, held: Held<BodyId>) {
        let Some(route) = self.routes.get_mut(slot) else { return };
        let before = route.set_held(&held);
        if before == held {
            return;
        }
        if route.stage == Stage::Installed {
            // What comes back is not wanted anew.
            route.wanted_at = ARRIVED;
        }
        if route.is(Flag::Missed) {
            self.proven(slot, false);
        }
        let points = |bodies: &Bodies, held| match held {
            Held::Present(body) => bodies.nexthop_id(body),
            Held::Absent | Held::Doubt => None,
        };
        let (old, new) = (points(&self.bodies, before), points(&self.bodies, held));
        if old != new {
            new.into_iter().for_each(|id| self.objects.use_by_route(id, true));
            old.into_iter().for_each(|id| self.objects.use_by_route(id, false));
        }
    }

    /// Routes that point to objects which the kernel has dropped are gone with them, or may be.
    fn routes_gone_with(&mut self, objects: &[u32], held: &Held<BodyId>) {
        let used: Vec<u32> = objects.iter().filter(|id| self.objects.users(**id) > 0).copied().collect();
        if !used.is_empty() {
            let gone = self.bodies.pointing_to(&used);
            let hit = self.routes.slots_where(|route| {
                matches!(route.held(), Held::Present(body) if gone.contains(&body))
                    || matches!(route.flight(), Some(Flight::Put(body)) if gone.contains(&body))
            });
            for slot in hit {
                let Some(route) = self.routes.get_mut(slot) else { continue };
                route.touched = self.route_dump.touch;
                if matches!(route.flight(), Some(Flight::Put(body)) if gone.contains(&body)) {
                    route.set_flag(Flag::Doubt);
                }
                if matches!(route.held(), Held::Present(body) if gone.contains(&body)) {
                    self.set_held(slot, held.clone());
                }
                self.enqueue(slot);
            }
        }
        for object in objects {
            self.sets.mark_object(*object);
        }
    }

    /// Forgets the rare bodies that nothing refers to any more.
    fn collect_bodies(&mut self) {
        let mut used: BTreeSet<BodyId> = self.sets.bodies().collect();
        for (_, route) in self.routes.slots() {
            used.extend(match route.held() {
                Held::Present(body) => Some(body),
                Held::Absent | Held::Doubt => None,
            });
            used.extend(match route.flight() {
                Some(Flight::Put(body)) => Some(body),
                Some(Flight::Del) | None => None,
            });
        }
        used.extend(self.routes.rares().flat_map(|(_, rare)| rare.extra.iter().copied()));
        used.extend(self.flights.iter().filter_map(What::body));
        self.bodies.retain(&used);
    }
}

/// The next hop as this family's routes can use it: an IPv6 route has no IPv4 gateway (the node's IPv6 address is looked
/// for), an IPv4 route does not need the mapped form.
fn for_family(family: Family, next_hop: ScopedNextHop) -> ScopedNextHop {
    let adapted = match (family, next_hop.next_hop) {
        (Family::Ipv6Unicast, NextHop::V4(v4)) => NextHop::V6(v4.to_ipv6_mapped()),
        (Family::Ipv4Unicast, NextHop::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => NextHop::V4(v4),
            None => NextHop::V6(v6),
        },
        (_, as_it_is) => as_it_is,
    };
    canonical(ScopedNextHop { next_hop: adapted, ..next_hop })
}

/// Of the same thing with several weights, sorted, the largest stays.
fn once_each<T: PartialEq>(sorted: &mut Vec<(T, u16)>) {
    sorted.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = next.1;
        }
        same
    });
}

fn pop_due(timers: &mut BTreeSet<(Instant, u32)>, now: Instant) -> Option<(Instant, u32)> {
    match timers.first() {
        Some((at, _)) if *at <= now => timers.pop_first(),
        Some(_) | None => None,
    }
}

/// Whether an object waits for its time or for a dump.
fn is_held_back<T>(object: &Object<T>, now: Instant) -> bool {
    object.look || object.trouble.as_ref().is_some_and(|trouble| trouble.holds(now))
}

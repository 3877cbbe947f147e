//! Nodes that are to carry no new flows: drained on an operator's word, or closing on their own (RFC 8326).
//!
//! A resilient group moves buckets that are idle from members that have too many to members that have too few. So a
//! draining leg stays in its groups with a weight by which it is due no bucket (`Objects::weighed`): the idle ones go, and each
//! that is in use goes when its flows have ended. When no bucket of a node is in use in any group, its legs are taken out. A
//! group without buckets cannot tell old flows from new ones: there the leg goes at once.
//!
//! The last leg of a route stays whatever was ordered, unless by force: a node that must not serve is better than none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_wire::{Prefix, ScopedNextHop};

use crate::config::GroupKind;
use crate::fib::Fib;
use crate::groups::Share;
use crate::objects::Held;
use crate::sets::{Draining, Set};
use crate::tracking::Tracker;
use crate::view::{DrainView, Notice, Via};

/// Prefixes that are named of those that have no other leg.
const NAMED: usize = 20;

/// What is wanted of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainOrder {
    /// Its addresses, as its sessions and next hops have them.
    pub addresses: BTreeSet<IpAddr>,
    /// Its legs go at once, also where flows use them and where they are the last.
    pub force: bool,
    /// For how long no packet may have used a bucket that counts as free, while this is going on; `None`: as configured.
    pub idle: Option<Duration>,
    /// It carries no flow already; when that was found.
    pub drained: Option<Instant>,
}

/// All such nodes, by the name under which the operator knows them.
#[derive(Debug, Default)]
pub(super) struct Drains(BTreeMap<Arc<str>, Node>);

#[derive(Debug)]
struct Node {
    order: DrainOrder,
    since: Instant,
    /// What the last look at the buckets has shown.
    seen: Option<Seen>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    buckets: usize,
    in_use: usize,
    /// When the one that was used last was used, before the look.
    last_used: Option<Duration>,
}

/// What part a leg has in its set; the milder, the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Takes new flows.
    Full,
    /// Its path says that it will go.
    Closing,
    /// Keeps its flows.
    Draining,
    /// Carries none.
    Out,
    /// Is not to carry any, whatever becomes of the route.
    Gone,
}

impl Node {
    /// Whether a next hop is this node: by its address, or by the MAC address of its gateway.
    fn is_at(&self, next_hop: &ScopedNextHop, via: &Via, tracker: &Tracker) -> bool {
        let address = next_hop.next_hop.address().to_canonical();
        self.order.addresses.contains(&address)
            || self.order.addresses.iter().any(|address| tracker.is_at(*address, via))
    }

    fn part(&self) -> Part {
        match (self.order.force, self.order.drained) {
            (true, _) => Part::Gone,
            (false, Some(_)) => Part::Out,
            (false, None) => Part::Draining,
        }
    }
}

impl Drains {
    fn part(&self, next_hop: &ScopedNextHop, via: &Via, weight: u16, tracker: &Tracker) -> Part {
        let nodes = self.0.values().filter(|node| node.is_at(next_hop, via, tracker));
        let closing = if weight == 0 { Part::Closing } else { Part::Full };
        nodes.map(Node::part).max().unwrap_or(closing)
    }

    /// The gateways by which the routes of a set should go, each once and sorted, and what of them drains, which has weight 0.
    /// `buckets`: there are some, so that it can.
    pub(super) fn legs(
        &self,
        shares: &[Share],
        tracker: &Tracker,
        buckets: bool,
    ) -> (Vec<(Via, u16)>, Draining) {
        let leg = |(next_hop, weight): &Share| {
            let via = tracker.via(next_hop)?;
            Some((via, self.part(next_hop, &via, *weight, tracker), (*weight).max(1)))
        };
        let mut legs: Vec<(Via, Part, u16)> = shares.iter().filter_map(leg).collect();
        legs.sort_unstable();
        // Of one gateway the mildest part counts, and of the same the largest weight.
        legs.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same && next.1 == kept.1 {
                kept.2 = next.2;
            }
            same
        });
        if !legs.iter().any(|(_, part, _)| *part == Part::Full) {
            return last_legs(&legs);
        }
        let stays = |part: Part| buckets && matches!(part, Part::Closing | Part::Draining);
        let draining = legs.iter().any(|(_, part, _)| stays(*part));
        let weighed = |(via, part, weight): &(Via, Part, u16)| match part {
            Part::Full => Some((*via, *weight)),
            part => stays(*part).then_some((*via, 0)),
        };
        let what = if draining { Draining::SomeLegs } else { Draining::Nothing };
        (legs.iter().filter_map(weighed).collect(), what)
    }

    /// The shortest time that an order in progress has for a bucket to be free, in whole seconds.
    fn idle_timer(&self) -> Option<u32> {
        let waiting = self.0.values().filter(|node| node.order.drained.is_none());
        let shortest = waiting.filter_map(|node| node.order.idle).min()?;
        Some(u32::try_from(shortest.as_secs()).unwrap_or(u32::MAX).max(1))
    }

    fn are_awaited(&self) -> bool {
        self.0.values().any(|node| node.order.drained.is_none())
    }

    /// Nodes that carry flows again, because there is nobody else.
    fn reopen(&mut self, shares: &[Share], tracker: &Tracker) -> Vec<Arc<str>> {
        let mut again = Vec::new();
        for (name, node) in &mut self.0 {
            let is_it = |(next_hop, _): &Share| {
                tracker.via(next_hop).is_some_and(|via| node.is_at(next_hop, &via, tracker))
            };
            if node.part() == Part::Out && shares.iter().any(is_it) {
                node.order.drained = None;
                again.push(Arc::clone(name));
            }
        }
        again
    }
}

/// Nobody takes new flows: those that may stay go on as if nothing had been ordered.
fn last_legs(legs: &[(Via, Part, u16)]) -> (Vec<(Via, u16)>, Draining) {
    let staying = legs.iter().filter(|(_, part, _)| *part != Part::Gone);
    let ordered = staying.clone().any(|(_, part, _)| *part > Part::Closing);
    let what = if ordered { Draining::EveryLeg } else { Draining::Nothing };
    (staying.map(|(via, _, weight)| (*via, *weight)).collect(), what)
}

impl Fib {
    /// Has a node drained until [`Fib::undrain`]; a second order for the same name takes the place of the first.
    pub fn drain(&mut self, node: Arc<str>, order: DrainOrder, now: Instant) {
        self.now = self.now.max(now);
        let since = self.drains.0.get(&node).map_or(self.now, |node| node.since);
        let drained = order.drained.or(order.force.then_some(self.now));
        let addresses = order.addresses.iter().map(IpAddr::to_canonical).collect();
        let order = DrainOrder { addresses, drained, ..order };
        self.drains.0.insert(node, Node { order, since, seen: None });
        self.drains_changed();
    }

    /// The node takes flows again; `false` where it was not drained.
    pub fn undrain(&mut self, node: &str) -> bool {
        let removed = self.drains.0.remove(node).is_some();
        self.drains_changed();
        removed
    }

    fn drains_changed(&mut self) {
        self.objects.patient = self.config.groups.patient(self.drains.idle_timer());
        self.sets.mark_all();
    }

    /// Whether some node still has to be looked at by [`Fib::observe_buckets`]: the shortest time without a packet after
    /// which one of their buckets is free.
    pub fn awaits_buckets(&self) -> Option<Duration> {
        let awaits = self.has_buckets() && self.drains.are_awaited();
        let usual = self.config.groups.blind();
        awaits.then(|| self.drains.idle_timer().map_or(usual, |seconds| Duration::from_secs(seconds.into())))
    }

    /// Without buckets a leg is out when the kernel says so.
    pub(super) fn look_without_buckets(&mut self, now: Instant) {
        if !self.has_buckets() && self.drains.are_awaited() {
            self.observe_buckets(&[], now);
        }
    }

    fn has_buckets(&self) -> bool {
        self.objects_work != Some(false) && matches!(self.config.groups, GroupKind::Resilient(_))
    }

    /// Takes in who has which bucket of which group, and for how long no packet has used it.
    pub fn observe_buckets(&mut self, buckets: &[(u32, u32, Duration)], now: Instant) {
        self.now = self.now.max(now);
        let names: Vec<Arc<str>> = self.drains.0.keys().cloned().collect();
        for name in names {
            let Some(node) = self.drains.0.get(&name).filter(|node| node.order.drained.is_none()) else {
                continue;
            };
            let hops = self.hops_of(node);
            let its = || {
                let ours = buckets.iter().filter(|(group, ..)| self.objects.groups.contains_key(group));
                ours.filter(|(_, hop, _)| hops.contains(hop)).map(|(.., idle)| *idle)
            };
            let timer = node.order.idle.unwrap_or(self.config.groups.blind());
            let in_use = its().filter(|idle| *idle < timer).count();
            let seen = Seen { buckets: its().count(), in_use, last_used: its().min() };
            let is_over = in_use == 0 && self.no_leg_is_last(node) && self.kernel_has_heard(&hops);
            let now = self.now;
            let Some(node) = self.drains.0.get_mut(&name) else { continue };
            node.seen = Some(seen);
            if is_over {
                node.order.drained = Some(now);
                let after = now.saturating_duration_since(node.since);
                self.notice(Notice::NodeDrained { node: name.to_string(), after });
                self.drains_changed();
            }
        }
    }

    /// The nodes that are drained, and how far that is.
    pub fn drains(&self) -> Vec<DrainView> {
        self.drains.0.iter().map(|(name, node)| self.drain_view(name, node)).collect()
    }

    /// What is being done to the node of this next hop: its name, and whether it is done.
    pub fn drain_of(&self, next_hop: &ScopedNextHop) -> Option<(&str, bool)> {
        let next_hop = crate::tracking::canonical(*next_hop);
        let via = self.tracker.gateway(&next_hop)?;
        let mut nodes = self.drains.0.iter();
        let (name, node) = nodes.find(|(_, node)| node.is_at(&next_hop, &via, &self.tracker))?;
        Some((name, node.order.drained.is_some()))
    }

    /// Whether nothing is being done to the node of a next hop.
    pub(super) fn takes_flows(&self, next_hop: &ScopedNextHop, via: &Via) -> bool {
        self.drains.part(next_hop, via, 1, &self.tracker) == Part::Full
    }

    /// The legs of a set, in force from now on; a node that was thought to carry nothing may be needed again.
    pub(super) fn legs_of(&mut self, shares: &[Share]) -> (Vec<(Via, u16)>, Draining) {
        let buckets = self.has_buckets();
        let legs = self.drains.legs(shares, &self.tracker, buckets);
        if legs.1 != Draining::EveryLeg {
            return legs;
        }
        for node in self.drains.reopen(shares, &self.tracker) {
            self.notice(Notice::NodeNeeded { node: node.to_string() });
            self.drains_changed();
        }
        self.drains.legs(shares, &self.tracker, buckets)
    }

    /// The next-hop objects that are this node's alone.
    fn hops_of(&self, node: &Node) -> BTreeSet<u32> {
        self.vias_of(node).iter().filter_map(|via| self.objects.hop_of(via)).collect()
    }

    /// The gateways that are this node's alone.
    fn vias_of(&self, node: &Node) -> BTreeSet<Via> {
        let (mut its, mut others) = (BTreeSet::new(), BTreeSet::new());
        for next_hop in self.tracker.next_hops() {
            let Some(via) = self.tracker.via(next_hop) else { continue };
            let side = if node.is_at(next_hop, &via, &self.tracker) { &mut its } else { &mut others };
            side.insert(via);
        }
        &its - &others
    }

    fn needs(&self, set: &Set, node: &Node) -> bool {
        set.draining == Draining::EveryLeg
            && set.next_hops().any(|next_hop| {
                self.tracker.via(&next_hop).is_some_and(|via| node.is_at(&next_hop, &via, &self.tracker))
            })
    }

    fn no_leg_is_last(&self, node: &Node) -> bool {
        !self.sets.iter().any(|set| self.needs(set, node))
    }

    /// Nothing that concerns these hops is on its way to the kernel.
    fn kernel_has_heard(&self, hops: &BTreeSet<u32>) -> bool {
        let touches = |members: &[(u32, u16)]| members.iter().any(|(id, _)| hops.contains(id));
        let told = self.objects.groups.values().all(|group| match &group.held {
            Held::Present(held) if touches(&held.members) => {
                group.flight.is_none() && *held == group.wanted && group.claims > 0
            }
            Held::Present(_) | Held::Absent => true,
            Held::Doubt => false,
        });
        told && self.sets.dirty.is_empty() && !self.sets.iter().any(Set::is_borrowing)
    }

    fn drain_view(&self, name: &Arc<str>, node: &Node) -> DrainView {
        let needing = || self.sets.iter().filter(|set| self.needs(set, node));
        let routes_of = |set: &Set| set.group_id().map_or(0, |group| self.objects.users(group));
        let hops = self.hops_of(node);
        let has_leg = |group: &&crate::objects::Object<crate::groups::Group>| match &group.held {
            Held::Present(held) => held.members.iter().any(|(id, _)| hops.contains(id)),
            Held::Absent | Held::Doubt => false,
        };
        let seen = node.seen.unwrap_or_default();
        DrainView {
            node: Arc::clone(name),
            addresses: node.order.addresses.clone(),
            forced: node.order.force,
            idle: node.order.idle.unwrap_or(self.config.groups.blind()),
            since: node.since,
            drained: node.order.drained,
            groups: self.objects.groups.values().filter(has_leg).count(),
            buckets: node.seen.map(|_| seen.buckets),
            in_use: node.seen.map(|_| seen.in_use),
            last_used: seen.last_used,
            last_leg_routes: needing().map(routes_of).fold(0, u32::saturating_add),
            last_leg_prefixes: needing().flat_map(|set| self.prefixes_of(set)).take(NAMED).collect(),
        }
    }

    fn prefixes_of<'a>(&'a self, set: &Set) -> impl Iterator<Item = Prefix> + use<'a> {
        let after = |slot: &u32| self.routes.get(*slot).map(|route| route.after);
        let first = Some(set.first).filter(|slot| self.routes.get(*slot).is_some());
        let slots = std::iter::successors(first, move |slot| {
            after(slot).filter(|slot| self.routes.get(*slot).is_some())
        });
        slots.filter_map(|slot| self.routes.prefix(slot))
    }
}

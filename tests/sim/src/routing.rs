//! A speaker's turn, as `crates/bgpd/src/routing` has it: messages in, decisions, then kernel and peers pull what they can
//! take. The budgets are the seed's, so that every step is also seen half done.

use std::time::{Duration, Instant};

use bgp_fib::Destination;
use bgp_rib::{PeerId, PeerSettings, Rib, Watch};
use bgp_session::{Forwarding, Negotiated, RouteRetention};
use bgp_wire::route_refresh::{RouteRefresh, Subtype};
use bgp_wire::update::encode;
use bgp_wire::{Family, NextHop, PerFamily, Update};
use bytes::BytesMut;

use crate::node::{Away, Message};
use crate::plan::LAN;
use crate::world::{Event, World, give};

/// The daemon's limit on a peer's restart time.
const STALE_TIME: Duration = Duration::from_secs(180);

fn id(peer: usize) -> PeerId {
    PeerId(peer as u32)
}

impl World {
    pub(crate) fn turn_in(&mut self, node: usize, wait: Duration) {
        let at = self.now + wait;
        if self.nodes[node].turn_at.is_none_or(|turn| turn > at) {
            self.nodes[node].turn_at = Some(at);
            self.at(wait, Event::Turn { node });
        }
    }

    pub(crate) fn turn(&mut self, node: usize) {
        // One that has been overtaken by an earlier one is not followed up.
        if self.nodes[node].turn_at.is_none_or(|at| at > self.now) {
            return;
        }
        self.nodes[node].turn_at = None;
        self.take_kernel_reports(node);
        for _ in 0..self.nodes[node].budgets.turn {
            let Some((peer, message)) = self.nodes[node].queue.pop_front() else { break };
            self.on_message(node, peer, message);
        }
        for peer in 0..self.nodes[node].peers.len() {
            self.hand_over(node, peer);
        }
        let more = if self.plan.nodes[node].feeder { self.feed(node) } else { self.settle(node) };
        for peer in 0..self.nodes[node].peers.len() {
            self.pump(node, peer);
        }
        if more || !self.nodes[node].queue.is_empty() {
            let wait = self.random.millis(0, 3);
            self.turn_in(node, wait);
        }
        let here = &self.nodes[node];
        let fib = here.fib.next_deadline().filter(|_| !self.plan.nodes[node].feeder);
        if let Some(deadline) = fib.into_iter().chain(here.stale.values().map(|away| away.until)).min() {
            let wait = deadline.saturating_duration_since(self.clock(node));
            self.turn_in(node, wait.max(Duration::from_millis(1)));
        }
    }

    fn take_kernel_reports(&mut self, node: usize) {
        let now = self.clock(node);
        // They come on different ways: either may overtake the other.
        let answers_first = self.random.chance(30);
        let here = &mut self.nodes[node];
        while !answers_first && let Some(event) = here.kernel.events.pop_front() {
            here.fib.observe(event, &|prefix| here.rib.number(prefix), now);
        }
        while let Some((op, answer)) = here.answers.pop_front() {
            here.in_flight -= 1;
            here.fib.confirm(op, answer, now);
        }
        while let Some(event) = here.kernel.events.pop_front() {
            here.fib.observe(event, &|prefix| here.rib.number(prefix), now);
        }
    }

    fn on_message(&mut self, node: usize, peer: usize, message: Message) {
        match message {
            Message::Settings => self.on_settings(node, peer),
            Message::Up(negotiated, channel) => self.on_up(node, peer, negotiated, channel),
            Message::Updates(updates) => {
                if !self.plan.nodes[node].feeder {
                    updates.iter().for_each(|update| self.on_update(node, peer, update));
                }
            }
            Message::Refresh(refresh) => self.on_refresh(node, peer, refresh),
            Message::Ready => {
                self.nodes[node].ready.insert(peer);
            }
            Message::Down(retention) => self.on_down(node, peer, retention),
        }
    }

    fn on_settings(&mut self, node: usize, peer: usize) {
        let task = &self.nodes[node].peers[peer];
        let end = self.plan.links[task.link].ends[task.side].clone();
        if self.nodes[node].entries[peer].channel.is_some() {
            self.nodes[node].rib.update_settings(id(peer), |settings| apply(settings, &end));
        }
    }

    fn on_up(&mut self, node: usize, peer: usize, negotiated: Box<Negotiated>, channel: u64) {
        self.nodes[node].entries[peer].channel = Some(channel);
        if self.plan.nodes[node].feeder {
            let fed = self.plan.nodes[node].fed.keys().copied();
            let feeder = &mut self.nodes[node].feeder;
            feeder.dirty.extend(fed);
            feeder.told.clear();
            feeder.end_of_rib_due = true;
            self.nodes[node].entries[peer].up = Some(negotiated);
            return;
        }
        let task = &self.nodes[node].peers[peer];
        let (link, side) = (task.link, task.side);
        let ends = negotiated.endpoints;
        let mut settings = PeerSettings::new(
            negotiated.kind,
            negotiated.remote_asn,
            negotiated.remote_router_id,
            ends.remote.ip(),
            ends.local.ip(),
        );
        settings.interface = Some(LAN);
        settings.next_hop =
            PerFamily::from_fn(|family| Some(NextHop::from(self.plan.own_next_hop(link, side, family))));
        settings.families = negotiated.families;
        settings.encode = negotiated.encode();
        settings.enhanced_route_refresh = negotiated.enhanced_route_refresh;
        settings.graceful_restart = negotiated.ends_initial_routes();
        settings.long_lived = negotiated.graceful_restart.is_some_and(|restart| restart.takes_long_lived);
        apply(&mut settings, &self.plan.links[link].ends[side]);
        self.nodes[node].rib.add_peer(id(peer), settings);
        for family in Family::ALL {
            // Its restart time is over when it is back; then it has until the stale time.
            let Some(away) = self.nodes[node].stale.get_mut(&(id(peer), family)) else { continue };
            (away.until, away.long) = (away.stale.min(away.at_last), Duration::ZERO);
            let is_long = away.is_long;
            let kept = negotiated.graceful_restart.is_some_and(|restart| {
                let long = restart.long_lived[family].map(|long| long.forwarding);
                let forwarding = if is_long { long } else { restart.forwarding[family] };
                forwarding == Some(Forwarding::Preserved)
            });
            if !kept {
                self.sweep(node, peer, family);
            }
        }
    }

    fn on_update(&mut self, node: usize, peer: usize, update: &Update) {
        self.nodes[node].rib.receive_update(id(peer), update);
        if let Some(family) = update.end_of_rib
            && self.nodes[node].stale.contains_key(&(id(peer), family))
        {
            self.sweep(node, peer, family);
        }
    }

    fn on_refresh(&mut self, node: usize, peer: usize, refresh: RouteRefresh) {
        let Some(family) = refresh.family.family() else { return };
        if self.plan.nodes[node].feeder {
            let fed = self.plan.nodes[node].fed.keys().copied();
            self.nodes[node].feeder.dirty.extend(fed);
            return;
        }
        let rib = &mut self.nodes[node].rib;
        match refresh.subtype {
            Subtype::Request => rib.request_refresh(id(peer), family),
            Subtype::Begin => self.expect_taken(node, |rib| rib.begin_refresh(id(peer), family)),
            Subtype::End => self.expect_taken(node, |rib| rib.end_refresh(id(peer), family)),
            Subtype::Other(_) => {}
        }
    }

    /// Brackets of a refresh come only in their place.
    fn expect_taken(&mut self, node: usize, take: impl FnOnce(&mut Rib) -> bool) {
        if !take(&mut self.nodes[node].rib) {
            self.fault(format!("node {node}: the bracket of a refresh has no place here"));
        }
    }

    fn on_down(&mut self, node: usize, peer: usize, retention: RouteRetention) {
        let now = self.clock(node);
        let here = &mut self.nodes[node];
        here.ready.remove(&peer);
        let mut at_last = PerFamily::from_fn(|family| {
            here.stale.remove(&(id(peer), family)).map(|away: Away| away.at_last)
        });
        here.entries[peer] = Default::default();
        if self.plan.nodes[node].feeder {
            return;
        }
        match retention {
            RouteRetention::Remove => here.rib.remove_peer(id(peer)),
            RouteRetention::KeepStale { time, families, long_lived, stale_stays } => {
                for family in Family::ALL {
                    if !stale_stays && at_last[family].take().is_some() {
                        here.rib.sweep_stale(id(peer), family);
                    }
                }
                here.rib.mark_stale(id(peer));
                for family in Family::ALL {
                    let long = long_lived[family];
                    let time = if families[family] { time.min(STALE_TIME) } else { Duration::ZERO };
                    if families[family] || !long.is_zero() {
                        let stale = now + STALE_TIME;
                        let ever = if long.is_zero() { stale } else { stale + time + long };
                        let at_last = at_last[family].unwrap_or(ever);
                        let until = (now + time).min(at_last);
                        let away = Away { until, stale, long, is_long: false, at_last };
                        here.stale.insert((id(peer), family), away);
                    } else {
                        here.rib.sweep_stale(id(peer), family);
                    }
                }
            }
        }
    }

    fn sweep(&mut self, node: usize, peer: usize, family: Family) {
        let here = &mut self.nodes[node];
        here.stale.remove(&(id(peer), family));
        here.rib.sweep_stale(id(peer), family);
        let left = here.stale.keys().any(|(other, _)| *other == id(peer));
        if here.entries[peer].channel.is_none() && !left {
            here.rib.remove_peer(id(peer));
        }
    }

    fn settle(&mut self, node: usize) -> bool {
        let now = self.clock(node);
        self.nodes[node].fib.tick(now);
        let due: Vec<_> = self.nodes[node]
            .stale
            .iter()
            .filter(|(_, away)| away.until <= now)
            .map(|(key, away)| (*key, away.long))
            .collect();
        for ((peer, family), long) in due {
            if long.is_zero() {
                self.sweep(node, peer.0 as usize, family);
                continue;
            }
            let here = &mut self.nodes[node];
            here.rib.begin_long_lived(peer, family);
            if let Some(away) = here.stale.get_mut(&(peer, family)) {
                (away.until, away.long, away.is_long) =
                    ((away.until + long).min(away.at_last), Duration::ZERO, true);
            }
        }
        self.resolve(node, now);
        let here = &mut self.nodes[node];
        let mut more = here.rib.decide(here.budgets.decisions);
        more |= self.feed_fib(node, now);
        self.feed_kernel(node);
        more |= self.feed_peers(node);
        let mut notices = Vec::new();
        self.nodes[node].fib.take_notices(&mut notices);
        more
    }

    fn resolve(&mut self, node: usize, now: Instant) {
        let here = &mut self.nodes[node];
        let mut watches = Vec::new();
        here.rib.take_next_hop_changes(&mut watches);
        for (next_hop, watch) in watches {
            match watch {
                Watch::Start => here.fib.watch(next_hop, now),
                Watch::Stop => here.fib.unwatch(next_hop),
            }
        }
        let mut found = Vec::new();
        here.fib.take_reachability_changes(&mut found);
        for (next_hop, reachability) in found {
            let reachability = match reachability {
                bgp_fib::Reachability::Reachable { metric } => bgp_rib::Reachability::Reachable { metric },
                bgp_fib::Reachability::Unreachable(reason) => bgp_rib::Reachability::Unreachable(reason),
            };
            here.rib.set_reachability(next_hop, reachability);
        }
    }

    fn feed_fib(&mut self, node: usize, now: Instant) -> bool {
        let here = &mut self.nodes[node];
        for _ in 0..here.budgets.changes {
            let Some((prefix, number, forwarding)) = here.rib.see_forwarding_change() else { return false };
            let backup = forwarding.and_then(|forwarding| forwarding.backup);
            let shares = forwarding.into_iter().flat_map(|forwarding| forwarding.shares());
            here.fib.want_shares(Destination { prefix, number }, shares, backup, now);
        }
        true
    }

    fn feed_kernel(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        let mut ops = Vec::new();
        while here.in_flight < here.budgets.in_flight {
            here.fib.next_ops(here.budgets.ops, &mut ops);
            if ops.is_empty() {
                break;
            }
            here.in_flight += ops.len();
            here.ops.extend(ops.drain(..));
        }
        if !here.ops.is_empty() && !here.kernel_busy {
            here.kernel_busy = true;
            let wait = self.random.millis(0, 10);
            self.at(wait, Event::Kernel { node });
        }
    }

    /// The kernel does some of what it was asked.
    pub(crate) fn kernel(&mut self, node: usize) {
        let count = self.random.between(1, 50);
        let here = &mut self.nodes[node];
        here.kernel_busy = false;
        for _ in 0..count {
            let Some((op_id, op)) = here.ops.pop_front() else { break };
            let answer = here.kernel.apply(&op);
            here.answers.push_back((op_id, answer));
        }
        if !here.ops.is_empty() {
            here.kernel_busy = true;
            let wait = self.random.millis(0, 10);
            self.at(wait, Event::Kernel { node });
        }
        if self.nodes[node].alive {
            let wait = self.random.millis(0, 5);
            self.turn_in(node, wait);
        }
    }

    fn feed_peers(&mut self, node: usize) -> bool {
        let mut more = false;
        let ready: Vec<usize> = self.nodes[node].ready.iter().copied().collect();
        for peer in ready {
            let here = &mut self.nodes[node];
            let Some(channel) = here.entries[peer].channel else {
                here.ready.remove(&peer);
                continue;
            };
            let mut octets = BytesMut::new();
            here.rib.next_update(id(peer), &mut octets, here.budgets.chunk);
            if octets.is_empty() {
                continue;
            }
            more = true;
            here.ready.remove(&peer);
            give(&mut here.peers[peer], channel, octets.freeze());
        }
        more
    }

    /// A scripted peer's turn.
    fn feed(&mut self, node: usize) -> bool {
        let here = &mut self.nodes[node];
        let (Some(channel), Some(negotiated)) = (here.entries[0].channel, here.entries[0].up.clone()) else {
            here.feeder.dirty.clear();
            return false;
        };
        if !here.ready.contains(&0) {
            return false;
        }
        let cx = negotiated.encode();
        let mut octets = BytesMut::new();
        for prefix in std::mem::take(&mut here.feeder.dirty) {
            let mut entry = std::iter::once(prefix.into()).peekable();
            match self.plan.nodes[node].fed.get(&prefix) {
                Some(fed) => {
                    encode::announce(&cx, &fed.attributes, fed.next_hop, &mut entry, &mut octets)
                        .expect("short attributes");
                    here.feeder.told.insert(prefix);
                }
                None if here.feeder.told.remove(&prefix) => {
                    encode::withdraw(&cx, prefix.family(), &mut entry, &mut octets);
                }
                None => {}
            }
        }
        if std::mem::take(&mut here.feeder.end_of_rib_due) {
            Family::ALL.iter().for_each(|family| octets.extend_from_slice(&encode::end_of_rib(*family)));
        }
        if !octets.is_empty() {
            here.ready.remove(&0);
            give(&mut here.peers[0], channel, octets.freeze());
        }
        false
    }
}

/// The part of a peer's settings that a reload may change under a running session.
fn apply(settings: &mut PeerSettings, end: &crate::plan::EndPlan) {
    settings.import = end.import.policy();
    settings.export = end.export.policy();
    settings.next_hop_self = end.next_hop_self;
    settings.allow_own_as = end.allow_own_as;
}

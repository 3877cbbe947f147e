//! What operators are shown, and counts.

use std::sync::Arc;

use bgp_wire::{PerFamily, Prefix, ScopedNextHop};

use crate::fib::Fib;
use crate::groups::Group;
use crate::objects::Held;
use crate::routes::Stage;
use crate::sets;
use crate::tracking::canonical;
use crate::view::{
    GroupView, HopView, Joining, Progress, Reachability, RouteCounts, RouteState, RouteView, RouteWalk,
    Stats, Via,
};

impl Fib {
    /// Counts. Costs the same however many prefixes there are; prefixes that have not yet been told of a change of their
    /// next hops count as before.
    pub fn stats(&self) -> Stats {
        Stats {
            routes: self.route_counts(),
            nexthops: self.objects.hops.values().filter(|hop| matches!(hop.held, Held::Present(_))).count(),
            groups: self
                .objects
                .groups
                .values()
                .filter(|group| matches!(group.held, Held::Present(_)))
                .count(),
            in_flight: self.flights.len(),
            queued: self.queued(),
            repairs: self.repairs,
            errors: self.errors,
        }
    }

    fn route_counts(&self) -> PerFamily<RouteCounts> {
        PerFamily::from_fn(|family| {
            let count = |stage| self.routes.in_stage(family, stage);
            RouteCounts {
                installed: count(Stage::Installed),
                pending: count(Stage::Pending),
                blocked: count(Stage::Blocked),
                failed: count(Stage::Failed),
                paused: count(Stage::Paused),
                unresolved: count(Stage::Unresolved),
                leftover: count(Stage::Leftover),
                removing: count(Stage::Removing),
            }
        })
    }

    /// The kernel refuses some.
    pub(super) fn has_refused_routes(&self) -> bool {
        self.route_counts().iter().any(|(_, counts)| counts.failed > 0)
    }

    /// Of both families together.
    pub(super) fn count_leftovers(&self) -> usize {
        let PerFamily { ipv4, ipv6 } = self.route_counts();
        ipv4.leftover + ipv6.leftover
    }

    /// One prefix, which has this number if it has one.
    pub fn route(&self, prefix: &Prefix, number: Option<u32>) -> Option<RouteView> {
        self.view_of(self.routes.slot_of(prefix, number)?)
    }

    /// Every prefix, sorted.
    pub fn routes(&self) -> Vec<RouteView> {
        let mut views: Vec<RouteView> =
            self.routes.slots().filter_map(|(slot, _)| self.view_of(slot)).collect();
        views.sort_by_key(|view| view.prefix);
        views
    }

    /// A walk through all routes, for [`Fib::advance`].
    pub fn walk(&self) -> RouteWalk {
        RouteWalk(self.routes.sequence())
    }

    /// Hands on the next prefixes of a walk, in no order, with how far each has come, and looks at up to `most` slots for
    /// that; at how many, or `None` at the end. What is there all the time is handed on once; what comes and goes
    /// meanwhile, once, twice or not at all.
    pub fn advance(
        &self,
        walk: &mut RouteWalk,
        most: usize,
        mut each: impl FnMut(Prefix, Progress),
    ) -> Option<usize> {
        let mut looked_at = 0;
        for slot in walk.0.by_ref().take(most) {
            looked_at += 1;
            if self.routes.get(slot).is_some()
                && let Some(prefix) = self.routes.prefix(slot)
            {
                each(prefix, self.stage_of(slot).into());
            }
        }
        (looked_at > 0).then_some(looked_at)
    }

    /// Every next hop that is watched or used, sorted.
    pub fn next_hops(&self) -> Vec<HopView> {
        self.tracker.next_hops().map(|next_hop| self.hop_view(next_hop)).collect()
    }

    /// One next hop, as the RIB names it; `None` where it is neither watched nor used.
    pub fn next_hop(&self, next_hop: &ScopedNextHop) -> Option<HopView> {
        let tracked = canonical(*next_hop);
        // Most have a gateway, which is found without a look at all of them.
        let known = self.tracker.gateway(&tracked).is_some()
            || self.tracker.next_hops().any(|known| *known == tracked);
        known.then(|| self.hop_view(&tracked))
    }

    /// How far each prefix has come, in no order; cheaper than [`Fib::routes`].
    pub fn route_states(&self) -> impl Iterator<Item = (Prefix, RouteState)> + '_ {
        self.routes.slots().filter_map(|(slot, _)| Some((self.routes.prefix(slot)?, self.state_of(slot)?)))
    }

    /// Every group of ours in the kernel, sorted by id.
    pub fn groups(&self) -> Vec<GroupView> {
        let groups = self.objects.groups.iter().filter_map(|(id, group)| match &group.held {
            Held::Present(held) => Some((*id, held.clone())),
            Held::Absent | Held::Doubt => None,
        });
        let joining = self.sets.joining(&self.objects);
        groups
            .map(|(id, Group { kind, members })| {
                let prefixes = usize::try_from(self.objects.users(id)).unwrap_or(usize::MAX);
                let backup = self.objects.groups.get(&id).and_then(|group| group.backup);
                let backup = backup.filter(|backup| members.iter().any(|(member, _)| member == backup));
                let joining = joining.get(&id).and_then(|joining| self.joining(joining));
                GroupView { id, kind, members, backup, joining, prefixes }
            })
            .collect()
    }

    /// As operators know it; `None` where nobody is waited for after all.
    fn joining(&self, joining: &sets::Joining) -> Option<Joining> {
        let via = |id: &u32| self.objects.hops.get(id).map(|hop| hop.wanted);
        let via: Vec<Via> = joining.hops.iter().filter_map(via).collect();
        (!via.is_empty()).then_some(Joining { via, until: joining.until })
    }

    fn hop_view(&self, next_hop: &ScopedNextHop) -> HopView {
        let via = self.tracker.via(next_hop);
        let id = via.and_then(|via| self.objects.hop_of(&via));
        let held =
            id.filter(|id| self.objects.hops.get(id).is_some_and(|hop| matches!(hop.held, Held::Present(_))));
        let refusal = self.tracker.gateway(next_hop).and_then(|via| self.refusals.get(&via));
        let reachability = self.tracker.reachability(next_hop);
        let how = match (&reachability, self.tracker.how(next_hop)) {
            (_, Some(how)) => how.to_owned(),
            (Reachability::Unreachable(why), None) => why.to_string(),
            (Reachability::Reachable { .. }, None) => String::new(),
        };
        HopView {
            next_hop: *next_hop,
            reachability,
            via,
            interface: via.map(|via| self.tracker.facts.link_name(via.ifindex)),
            how,
            nexthop_id: held,
            error: refusal.and_then(|trouble| trouble.error.clone()),
        }
    }

    fn view_of(&self, slot: u32) -> Option<RouteView> {
        let route = self.routes.get(slot)?;
        let set = self.sets.get(route.set);
        let nexthop_id = match route.held() {
            Held::Present(body) => self.bodies.nexthop_id(body),
            Held::Absent | Held::Doubt => None,
        };
        let guard = self.routes.rare(slot).and_then(|rare| rare.guard.as_ref());
        Some(RouteView {
            prefix: self.routes.prefix(slot)?,
            wanted: set.map(|set| set.next_hops().collect()).unwrap_or_default(),
            via: set.map(|set| set.legs.vias.iter().map(|(via, _)| *via).collect()).unwrap_or_default(),
            backup: set.and_then(|set| set.wanted.backup),
            joining: set
                .and_then(|set| set.joining(&self.objects))
                .and_then(|joining| self.joining(&joining)),
            state: self.state_of(slot)?,
            nexthop_id,
            repairs: guard.map_or(0, |guard| guard.repairs),
            undone_by: guard.and_then(|guard| guard.by.clone()),
        })
    }

    fn state_of(&self, slot: u32) -> Option<RouteState> {
        let rare = self.routes.rare(slot);
        let trouble = rare.and_then(|rare| rare.trouble.as_ref());
        let set = self.sets.get(self.routes.get(slot)?.set);
        Some(match self.stage_of(slot) {
            Stage::Installed => RouteState::Installed,
            Stage::Pending => RouteState::Pending,
            Stage::Leftover => RouteState::Leftover,
            Stage::Removing => RouteState::Removing,
            Stage::Unresolved => RouteState::Unresolved(self.why_unresolved(set?.next_hops())),
            Stage::Blocked => RouteState::Blocked { protocol: rare?.blocked? },
            Stage::Failed => RouteState::Failed { error: trouble?.error.clone()?, retry_at: trouble?.until },
            Stage::Paused => RouteState::Paused { until: trouble?.until },
        })
    }

    fn why_unresolved(&self, next_hops: impl Iterator<Item = ScopedNextHop>) -> Arc<str> {
        let reasons: Vec<String> = next_hops
            .map(|next_hop| match self.tracker.reachability(&canonical(next_hop)) {
                Reachability::Unreachable(why) => format!("{}: {why}", next_hop.next_hop),
                Reachability::Reachable { .. } => format!("{}: reachable", next_hop.next_hop),
            })
            .collect();
        reasons.join("; ").into()
    }
}

//! What operators are shown, and counts.

use std::sync::Arc;

use bgp_wire::{Prefix, ScopedNextHop};

use crate::fib::Fib;
use crate::groups::Group;
use crate::objects::{Flight, Held};
use crate::routes::Route;
use crate::sets::Target;
use crate::tracking::canonical;
use crate::view::{GroupView, HopView, Reachability, RouteState, RouteView, Stats};

impl Fib {
    /// Counts. Walks every prefix.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            nexthops: self.objects.hops.values().filter(|hop| matches!(hop.held, Held::Present(_))).count(),
            groups: self
                .objects
                .groups
                .values()
                .filter(|group| matches!(group.held, Held::Present(_)))
                .count(),
            in_flight: self.flights.len(),
            queued: self.routes.queued(),
            repairs: self.repairs,
            errors: self.errors,
            ..Stats::default()
        };
        for route in self.routes.iter() {
            let state = self.state_of(route);
            stats.wanted += usize::from(route.set.is_some());
            match state {
                RouteState::Installed => stats.installed += 1,
                RouteState::Blocked { .. } => stats.blocked += 1,
                RouteState::Failed { .. } | RouteState::Paused { .. } => stats.failed += 1,
                RouteState::Unresolved(_) => stats.unresolved += 1,
                RouteState::Leftover => stats.leftovers += 1,
                RouteState::Pending | RouteState::Removing => {}
            }
        }
        stats
    }

    /// One prefix.
    pub fn route(&self, prefix: &Prefix) -> Option<RouteView> {
        self.routes.get(self.routes.slot_of(prefix)?).map(|route| self.view_of(route))
    }

    /// Every prefix, sorted.
    pub fn routes(&self) -> Vec<RouteView> {
        let mut views: Vec<RouteView> = self.routes.iter().map(|route| self.view_of(route)).collect();
        views.sort_by_key(|view| view.prefix);
        views
    }

    /// Every next hop that is watched or used, sorted.
    pub fn next_hops(&self) -> Vec<HopView> {
        self.tracker.next_hops().map(|next_hop| self.hop_view(next_hop)).collect()
    }

    /// One next hop, as the RIB names it; `None` where it is neither watched nor used.
    pub fn next_hop(&self, next_hop: &ScopedNextHop) -> Option<HopView> {
        let tracked = canonical(*next_hop);
        self.tracker.next_hops().any(|known| *known == tracked).then(|| self.hop_view(&tracked))
    }

    /// How far each prefix has come, in no order; cheaper than [`Fib::routes`].
    pub fn route_states(&self) -> impl Iterator<Item = (Prefix, RouteState)> + '_ {
        self.routes.iter().map(|route| (route.prefix, self.state_of(route)))
    }

    /// Every group of ours in the kernel, sorted by id.
    pub fn groups(&self) -> Vec<GroupView> {
        let groups = self.objects.groups.iter().filter_map(|(id, group)| match &group.held {
            Held::Present(held) => Some((*id, held.clone())),
            Held::Absent | Held::Doubt => None,
        });
        groups
            .map(|(id, Group { kind, members })| {
                let prefixes = usize::try_from(self.objects.users(id)).unwrap_or(usize::MAX);
                GroupView { id, kind, members, prefixes }
            })
            .collect()
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

    fn view_of(&self, route: &Route) -> RouteView {
        let set = route.set.and_then(|(id, _)| self.sets.get(id));
        let nexthop_id = match &route.held {
            Held::Present(body) => body.nexthop_id(),
            Held::Absent | Held::Doubt => None,
        };
        RouteView {
            prefix: route.prefix,
            wanted: set.map(|set| set.next_hops().collect()).unwrap_or_default(),
            via: set.map(|set| set.vias.iter().map(|(via, _)| *via).collect()).unwrap_or_default(),
            state: self.state_of(route),
            nexthop_id,
            repairs: route.guard.as_ref().map_or(0, |guard| guard.repairs),
        }
    }

    fn state_of(&self, route: &Route) -> RouteState {
        let Some(set) = route.set.and_then(|(id, _)| self.sets.get(id)) else {
            return if route.leftover { RouteState::Leftover } else { RouteState::Removing };
        };
        if let Some(protocol) = route.blocked {
            return RouteState::Blocked { protocol };
        }
        if let Some(trouble) = &route.trouble {
            let until = trouble.until;
            return match &trouble.error {
                Some(error) => RouteState::Failed { error: error.clone(), retry_at: until },
                None if trouble.holds(self.now) => RouteState::Paused { until },
                None => RouteState::Pending,
            };
        }
        match &set.target {
            Target::Unresolved => RouteState::Unresolved(self.why_unresolved(set.next_hops())),
            Target::Waiting => RouteState::Pending,
            Target::Ready(target) => {
                let there = matches!(&route.held, Held::Present(body) if body.target == *target);
                let flying = matches!(&route.flight, Some(Flight::Put(_) | Flight::Del));
                if there && !flying { RouteState::Installed } else { RouteState::Pending }
            }
        }
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

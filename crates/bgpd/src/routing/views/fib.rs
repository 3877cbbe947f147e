//! `bgpctl show fib` and `show nexthops`: the kernel's side.

use std::collections::HashMap;
use std::time::Instant;

use bgp_api::{
    ErrorReply, FibNextHop, FibQuery, FibReply, FibRoute, FibState, GroupMember, JoiningMember, Nexthop,
    NexthopGroup, NexthopKind, NexthopState, NexthopsReply,
};
use bgp_fib::{
    Cure, GroupKind, GroupView, HopView, Joining, Progress, Reachability, RouteState, RouteView, RouteWalk,
};
use bgp_wire::Prefix;

use super::listing::{Listing, Page, Source, WORDS};
use super::selection::{Bounds, Selection};
use super::{Views, count, parse_prefix};

/// The routes that the kernel has, or is to have.
#[derive(Debug)]
pub(super) struct KernelRoutes {
    /// Only those in this state.
    pub(super) state: Option<FibState>,
}

impl KernelRoutes {
    fn wants(&self, progress: Progress) -> bool {
        self.state.is_none_or(|wanted| wanted == state(progress))
    }
}

impl Source for KernelRoutes {
    /// `None` before it has begun: routes that come until then are not to be missed.
    type Walk = Option<RouteWalk>;
    type Draft = FibRoute;
    type Line = FibRoute;

    fn begin(&self) -> Self::Walk {
        None
    }

    fn offer(
        &self,
        walk: &mut Self::Walk,
        views: &Views<'_>,
        most: usize,
        selection: &mut Selection,
    ) -> Option<usize> {
        let walk = walk.get_or_insert_with(|| views.fib.walk());
        views.fib.advance(walk, most, |prefix, progress| {
            if self.wants(progress) {
                selection.offer(prefix);
            }
        })
    }

    fn open(&self, views: &Views<'_>, prefix: Prefix) -> (Option<FibRoute>, usize) {
        let route = views.fib_view(&prefix).filter(|route| self.wants(route.state.progress()));
        let cost = route.as_ref().map_or(0, |route| (route.wanted.len() + 1) * WORDS);
        (route.map(|route| views.fib_route(&route)), cost)
    }

    /// All of them are, for their legs depend on each other.
    fn write(&self, _: &Views<'_>, _: &mut FibRoute) -> Option<usize> {
        None
    }

    fn close(draft: FibRoute) -> FibRoute {
        draft
    }
}

impl Views<'_> {
    /// The list that a query asks for.
    pub(super) fn kernel_routes(&self, query: &FibQuery) -> Result<Listing<KernelRoutes>, ErrorReply> {
        let prefix = query.prefix.as_deref().map(parse_prefix).transpose()?;
        let bounds = Bounds::new(query.after.as_deref(), query.limit)?;
        let source = KernelRoutes { state: query.state };
        let has =
            |prefix: &Prefix| self.fib_view(prefix).is_some_and(|route| source.wants(route.state.progress()));
        // A bare address is also asked for what contains it, as packets to it go.
        let is_bare = query.prefix.as_deref().is_some_and(|text| !text.contains('/'));
        let around = |prefix: Prefix| self.rib.lookup(prefix.address()).filter(|_| is_bare).filter(has);
        let one = prefix.map(|prefix| Some(prefix).filter(has).or_else(|| around(prefix)));
        Ok(match one {
            Some(one) => Listing::of_one(source, bounds, one),
            None => Listing::search(source, bounds),
        })
    }

    pub(super) fn fib_reply(&self, page: Page<FibRoute>) -> FibReply {
        let config = self.fib.config();
        FibReply {
            table: config.table,
            metric: config.metric,
            protocol: config.protocol,
            routes: page.lines,
            total: Some(page.total),
            more: page.more,
        }
    }

    /// How the FIB has a prefix.
    pub(super) fn fib_view(&self, prefix: &Prefix) -> Option<RouteView> {
        self.fib.route(prefix, self.rib.number(prefix))
    }

    /// How a prefix stands in the kernel, where it is wanted there and not installed.
    pub(super) fn kernel_state(&self, prefix: &Prefix) -> Option<FibRoute> {
        let route = self.fib_view(prefix).filter(|route| !route.wanted.is_empty())?;
        (route.state != RouteState::Installed).then(|| self.fib_route(&route))
    }

    fn fib_route(&self, route: &RouteView) -> FibRoute {
        let (error, errno) = match &route.state {
            RouteState::Blocked { protocol } => {
                let metric = self.fib.config().metric;
                (
                    Some(format!(
                        "a route of protocol {}, metric {metric} is in the way",
                        protocol_name(*protocol)
                    )),
                    None,
                )
            }
            RouteState::Failed { error, .. } => (Some(error.to_string()), Some(error.errno)),
            RouteState::Unresolved(reason) => (Some(reason.to_string()), None),
            RouteState::Paused { .. } => (Some("somebody keeps removing it".to_owned()), None),
            RouteState::Leftover => (Some("left by an earlier run, not announced yet".to_owned()), None),
            RouteState::Installed | RouteState::Pending | RouteState::Removing => (None, None),
        };
        let now = Instant::now();
        let until = |at: Instant| Some(at.saturating_duration_since(now).as_secs() + 1);
        let (retry_seconds, cure) = match &route.state {
            RouteState::Failed { error, retry_at } => (until(*retry_at), Some(Cure::of(error).to_string())),
            RouteState::Blocked { .. } => (None, Some("when it goes".to_owned())),
            RouteState::Paused { until: at } => (until(*at), None),
            RouteState::Unresolved(_)
            | RouteState::Leftover
            | RouteState::Installed
            | RouteState::Pending
            | RouteState::Removing => (None, None),
        };
        let mut used = Vec::new();
        FibRoute {
            prefix: route.prefix.to_string(),
            family: route.prefix.family().to_string(),
            state: state(route.state.progress()),
            since_seconds: None,
            next_hops: route
                .wanted
                .iter()
                .chain(&route.backup)
                .map(|wanted| self.leg(wanted, route, &mut used))
                .collect(),
            nhid: route.nexthop_id,
            error,
            errno,
            retry_seconds,
            cure,
            repairs: route.repairs.into(),
            undone_by: route.undone_by.as_ref().map(ToString::to_string),
        }
    }

    /// One leg of a route; `used` are the gateways of the legs before it, for each counts once.
    fn leg(
        &self,
        wanted: &bgp_wire::ScopedNextHop,
        route: &RouteView,
        used: &mut Vec<bgp_fib::Via>,
    ) -> FibNextHop {
        let hop = self.hop(wanted);
        let via = hop.as_ref().and_then(|hop| hop.via);
        let left_out = match (&hop, via) {
            (Some(HopView { reachability: Reachability::Unreachable(reason), .. }), _) => {
                Some(reason.to_string())
            }
            _ if self.fib.drain_of(wanted).is_some_and(|(_, done)| done) => Some("drained".to_owned()),
            (_, Some(via)) if used.contains(&via) => Some("same gateway as another leg".to_owned()),
            (_, Some(via)) => {
                used.push(via);
                let joining = route.joining.as_ref().filter(|joining| joining.via.contains(&via));
                joining.map(|joining| {
                    format!("joins in {} s, for flows to show themselves", seconds_to(joining))
                })
            }
            (_, None) => Some("not resolved".to_owned()),
        };
        FibNextHop {
            next_hop: wanted.next_hop.to_string(),
            gateway: via.map(|via| via.gateway.to_string()),
            interface: hop.as_ref().and_then(|hop| hop.interface.clone()),
            nhid: hop.as_ref().and_then(|hop| hop.nexthop_id),
            backup: route.backup == Some(*wanted) && via.is_some_and(|via| !route.via.contains(&via)),
            left_out,
        }
    }

    fn nexthop(&self, hop: &HopView) -> Nexthop {
        let drain = self.fib.drain_of(&hop.next_hop);
        let words = drain.map(|(node, done)| format!("{} {node}", if done { "drained" } else { "draining" }));
        nexthop(hop, words)
    }

    pub(super) fn nexthops_reply(&self) -> NexthopsReply {
        let hops = self.fib.next_hops();
        let by_id: HashMap<_, _> = hops.iter().rev().filter_map(|hop| Some((hop.nexthop_id?, hop))).collect();
        let by_via: HashMap<_, _> = hops.iter().rev().filter_map(|hop| Some((hop.via?, hop))).collect();
        let named = |id: u32| {
            by_id.get(&id).map_or_else(|| "unknown".to_owned(), |hop| hop.next_hop.next_hop.to_string())
        };
        let joining = |group: &GroupView| -> Vec<JoiningMember> {
            let Some(joining) = &group.joining else { return Vec::new() };
            let named = joining.via.iter().filter_map(|via| by_via.get(via));
            let member = |hop: &&HopView| JoiningMember {
                next_hop: hop.next_hop.next_hop.to_string(),
                in_seconds: seconds_to(joining),
            };
            named.map(member).collect()
        };
        let group =
            |group: GroupView| NexthopGroup { joining: joining(&group), ..nexthop_group(&group, named) };
        let groups = self.fib.groups().into_iter().map(group).collect();
        NexthopsReply { groups, nexthops: hops.iter().map(|hop| self.nexthop(hop)).collect() }
    }
}

/// Until somebody joins, rounded up.
fn seconds_to(joining: &Joining) -> u64 {
    let left = joining.until.saturating_duration_since(Instant::now());
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

fn nexthop_group(group: &GroupView, named: impl Fn(u32) -> String) -> NexthopGroup {
    let resilient = match group.kind {
        GroupKind::Resilient(resilient) => Some(resilient),
        GroupKind::HashThreshold => None,
    };
    let member = |(id, weight): &(u32, u16)| GroupMember {
        kernel_id: *id,
        next_hop: named(*id),
        weight: (*weight).into(),
        backup: group.backup == Some(*id),
        ..GroupMember::default()
    };
    NexthopGroup {
        kernel_id: group.id,
        members: group.members.iter().map(member).collect(),
        routes: count(group.prefixes),
        algorithm: Some(algorithm(group.kind).to_owned()),
        buckets: resilient.map(|it| it.buckets.into()),
        idle_timer_seconds: resilient.map(|it| it.idle_timer),
        unbalanced_timer_seconds: resilient.map(|it| it.unbalanced_timer),
        moved: None,
        ..NexthopGroup::default()
    }
}

fn algorithm(kind: GroupKind) -> &'static str {
    match kind {
        GroupKind::Resilient(_) => "resilient",
        GroupKind::HashThreshold => "hash-threshold",
    }
}

fn nexthop(hop: &HopView, drain: Option<String>) -> Nexthop {
    let (state, resolution) = match &hop.reachability {
        Reachability::Reachable { .. } => (NexthopState::Reachable, hop.how.clone()),
        Reachability::Unreachable(reason) => (NexthopState::Unreachable, reason.to_string()),
    };
    Nexthop {
        next_hop: hop.next_hop.next_hop.to_string(),
        state,
        kind: hop.via.map(|via| kind(hop, via)),
        resolution,
        gateway: hop.via.map(|via| via.gateway.to_string()),
        interface: hop.interface.clone(),
        kernel_id: hop.nexthop_id,
        paths: None,
        since_seconds: None,
        error: hop.error.as_ref().map(ToString::to_string),
        drain,
    }
}

fn kind(hop: &HopView, via: bgp_fib::Via) -> NexthopKind {
    let next_hop = hop.next_hop.next_hop;
    if next_hop.mapped_ipv4().is_some() {
        NexthopKind::Mapped
    } else if via.gateway == next_hop.address()
        || next_hop.link_local().is_some_and(|address| via.gateway == address)
    {
        NexthopKind::OnLink
    } else {
        NexthopKind::Recursive
    }
}

fn state(progress: Progress) -> FibState {
    match progress {
        Progress::Installed => FibState::Installed,
        Progress::Pending | Progress::Leftover | Progress::Paused => FibState::Pending,
        Progress::Unresolved => FibState::Unreachable,
        Progress::Blocked => FibState::Blocked,
        Progress::Failed => FibState::Failed,
        Progress::Removing => FibState::Removing,
    }
}

/// A protocol number as iproute2's rt_protos calls it.
pub(in crate::routing) fn protocol_name(protocol: u8) -> String {
    let name = match protocol {
        1 => "redirect",
        2 => "kernel",
        3 => "boot",
        4 => "static",
        8 => "gated",
        9 => "ra",
        11 => "zebra",
        12 => "bird",
        16 => "dhcp",
        18 => "keepalived",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        189 => "rip",
        192 => "eigrp",
        other => return other.to_string(),
    };
    name.to_owned()
}

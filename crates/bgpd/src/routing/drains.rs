//! Nodes that an operator has drained: which sessions are of one node, what is told of it, and how it outlives the process.
//!
//! What becomes of the legs is the FIB's.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp_api::{Drain, DrainReply, DrainState as State};
use bgp_fib::{DrainOrder, DrainView, GroupKind, Via};
use tracing::info;

use super::{DrainState, DrainWhat, Routing};

impl Routing {
    pub(super) fn drain(
        &mut self,
        node: &str,
        mut addresses: BTreeSet<IpAddr>,
        what: DrainWhat,
    ) -> DrainReply {
        if what == DrainWhat::Undo {
            let was = self.fib.undrain(node);
            info!(node, was, "operator: the node takes flows again");
            let message = if was { "takes flows again" } else { "was not drained" };
            return DrainReply { nodes: Vec::new(), message: Some(message.to_owned()) };
        }
        self.add_neighbors_of_the_node(&mut addresses);
        let known = self.fib.drains().into_iter().find(|drain| *drain.node == *node);
        let (force, idle) = match what {
            DrainWhat::Begin { idle } => (false, idle),
            DrainWhat::Force | DrainWhat::Undo => (true, None),
        };
        // Said again in the same way it changes nothing.
        let is_new = known.as_ref().is_none_or(|known| {
            force || !addresses.is_subset(&known.addresses) || idle.is_some_and(|idle| idle != known.idle)
        });
        if is_new {
            addresses.extend(known.iter().flat_map(|known| &known.addresses));
            info!(node, ?addresses, force, "operator: the node is drained");
            let order = DrainOrder { addresses, force, idle, drained: None };
            self.fib.drain(node.into(), order, Instant::now());
        }
        let message = match (is_new, force) {
            (false, _) => "is being drained already",
            (true, true) => "its legs are taken out at once",
            (true, false) => "new flows go elsewhere",
        };
        let nodes = self.drains_reply().nodes.into_iter().filter(|drain| drain.node == node).collect();
        DrainReply { nodes, message: Some(message.to_owned()) }
    }

    /// Sessions over IPv4 and IPv6 with the same MAC address on the same link are of one node.
    fn add_neighbors_of_the_node(&self, addresses: &mut BTreeSet<IpAddr>) {
        let links = self.peers.iter().filter_map(|(id, entry)| {
            let link = self.evidence.node(*id)?.link;
            Some((entry.address, link))
        });
        let links: Vec<(IpAddr, u32)> = links.collect();
        let known: Vec<Via> = links
            .iter()
            .filter(|(address, _)| addresses.contains(address))
            .map(|(address, link)| Via { gateway: *address, ifindex: *link })
            .collect();
        let same = |(address, link): &&(IpAddr, u32)| {
            known.iter().any(|via| via.ifindex == *link && self.fib.is_at(*address, via))
        };
        addresses.extend(links.iter().filter(same).map(|(address, _)| *address));
    }

    pub(super) fn drains_reply(&self) -> DrainReply {
        let is_resilient = matches!(self.fib.config().groups, GroupKind::Resilient(_));
        let now = Instant::now();
        let nodes = self.fib.drains().iter().map(|drain| view(drain, is_resilient, now)).collect();
        DrainReply { nodes, message: None }
    }

    /// Has the buckets read, or no longer.
    pub(super) fn ask_for_buckets(&self) {
        let wants = self.fib.awaits_buckets();
        self.wants_buckets.send_if_modified(|wanted| std::mem::replace(wanted, wants) != wants);
    }

    pub(super) fn drains_to_carry(&self) -> Vec<DrainState> {
        let carried = |drain: DrainView| DrainState {
            node: drain.node.to_string(),
            addresses: drain.addresses,
            drained: drain.drained.is_some(),
            force: drain.forced,
            idle_seconds: Some(drain.idle.as_secs()),
        };
        self.fib.drains().into_iter().map(carried).collect()
    }

    pub(super) fn restore_drains(&mut self, drains: Vec<DrainState>) {
        let now = Instant::now();
        for DrainState { node, addresses, drained, force, idle_seconds } in drains {
            info!(node, drained, force, "the node stays drained");
            let order = DrainOrder {
                addresses,
                force,
                idle: idle_seconds.map(Duration::from_secs),
                drained: drained.then_some(now),
            };
            self.fib.drain(node.into(), order, now);
        }
    }
}

fn view(drain: &DrainView, is_resilient: bool, now: Instant) -> Drain {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let ago = |at: Instant| now.saturating_duration_since(at).as_secs();
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let resilient = |value: Option<usize>| value.filter(|_| is_resilient).map(number);
    Drain {
        node: drain.node.to_string(),
        addresses: drain.addresses.iter().map(ToString::to_string).collect(),
        state: if drain.drained.is_some() { State::Drained } else { State::Draining },
        forced: drain.forced,
        since_seconds: ago(drain.since),
        drained_seconds: drain.drained.map(ago),
        groups: number(drain.groups),
        buckets: resilient(drain.buckets),
        buckets_in_use: resilient(drain.in_use),
        last_used_ms: drain.last_used.map(millis),
        idle_timer_seconds: is_resilient.then(|| u32::try_from(drain.idle.as_secs()).unwrap_or(u32::MAX)),
        last_leg_routes: drain.last_leg_routes.into(),
        last_leg_prefixes: drain.last_leg_prefixes.iter().map(ToString::to_string).collect(),
    }
}

//! What an earlier run left in the kernel: RFC 4724 section 4.1, "the forwarding state that it had preserved".
//!
//! Leftover routes go on forwarding until [`Fib::end_of_startup`]. Whose routes they were is known by their gateways
//! alone; who is waited for is the caller's.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bgp_wire::{Family, PerFamily};

use crate::fib::Fib;
use crate::objects::Held;
use crate::op::RouteTarget;
use crate::routes::{Flag, family_of};
use crate::view::Via;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// How many routes, per family.
    pub routes: PerFamily<usize>,
    /// Their gateways, each once.
    pub gateways: BTreeSet<Via>,
}

impl Fib {
    /// Own routes that were found and are not wanted yet; meaningful when [`Fib::is_ready`], until the end of the start-up
    /// phase.
    pub fn leftovers(&self) -> Leftovers {
        let mut found = Leftovers::default();
        let mut bodies = BTreeSet::new();
        for (slot, route) in self.routes.slots().filter(|(_, route)| route.is(Flag::Leftover)) {
            let family = family_of(slot);
            found.routes[family] += 1;
            bodies.extend(match route.held() {
                Held::Present(body) => Some(body),
                Held::Absent | Held::Doubt => None,
            });
        }
        for body in bodies {
            // The family makes a difference to the preferred source alone.
            let target = self.bodies.get(Family::Ipv4Unicast, body).target;
            self.gateways_of(&target, &mut found.gateways);
        }
        found
    }

    fn gateways_of(&self, target: &RouteTarget, out: &mut BTreeSet<Via>) {
        match target {
            RouteTarget::Nexthop(id) => {
                let members: Vec<u32> = match self.objects.groups.get(id).map(|group| &group.held) {
                    Some(Held::Present(held)) => held.members.iter().map(|(member, _)| *member).collect(),
                    Some(Held::Absent | Held::Doubt) | None => vec![*id],
                };
                let held = |id: &u32| match self.objects.hops.get(id).map(|hop| &hop.held) {
                    Some(Held::Present(via)) => Some(*via),
                    Some(Held::Absent | Held::Doubt) | None => None,
                };
                out.extend(members.iter().filter_map(held));
            }
            RouteTarget::Hops(hops) => out.extend(
                hops.iter().filter_map(|hop| Some(Via { gateway: hop.gateway?, ifindex: hop.ifindex })),
            ),
        }
    }

    /// Whether a next hop that somebody has announced leads to this gateway.
    pub fn leads_to(&self, gateway: &Via) -> bool {
        self.tracker.next_hops().any(|next_hop| self.tracker.gateway(next_hop) == Some(*gateway))
    }

    /// Whether `address` is an address of this gateway: the same, or with the same MAC address on its link.
    pub fn is_at(&self, address: IpAddr, gateway: &Via) -> bool {
        self.tracker.is_at(address, gateway)
    }

    /// Whether the next hops under watch have been looked up as far as they can be without asking neighbours again: what
    /// cannot be used now, cannot be used for a reason.
    pub fn has_resolved(&self) -> bool {
        !self.tracker.is_searching()
    }
}

//! Operations as they are handed over: in the order in which they must reach the kernel, those on routes packed.
//!
//! A full table is a million routes that lead to a handful of targets. As one [`Op`] each they would be 150 octets that are
//! written and moved and read several times over. Packed, a route is its prefix and the number of its target among the
//! targets, and what all routes of ours share is said once.

use std::net::IpAddr;

use bgp_wire::{Family, Ipv4Prefix, Ipv6Prefix, Prefix};

use crate::op::{Op, OpId, RouteSpec, RouteTarget};

/// What is done with a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// [`Op::RouteAdd`].
    Add,
    /// [`Op::RouteReplace`].
    Replace,
    /// [`Op::RouteDel`].
    Del,
}

impl Verb {
    /// All of them, each at the place of its number.
    pub const ALL: [Self; 3] = [Self::Add, Self::Replace, Self::Del];
}

/// What every route of a [`RouteOps`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// `RTA_TABLE`.
    pub table: u32,
    /// `rtm_protocol`.
    pub protocol: u8,
    /// `RTA_PRIORITY`.
    pub metric: u32,
}

/// Where routes lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// `None` only for a removal, of whatever route of ours there is.
    pub target: Option<RouteTarget>,
    /// `RTA_PREFSRC`.
    pub preferred_source: Option<IpAddr>,
}

/// What is done with one route, and its lead among [`RouteOps::leads`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub verb: Verb,
    /// A place in [`RouteOps::leads`].
    pub lead: u16,
}

/// Destinations of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prefixes {
    /// IPv4 unicast.
    Ipv4(Vec<Ipv4Prefix>),
    /// IPv6 unicast.
    Ipv6(Vec<Ipv6Prefix>),
}

impl Prefixes {
    fn with_room(family: Family, room: usize) -> Self {
        match family {
            Family::Ipv4Unicast => Self::Ipv4(Vec::with_capacity(room)),
            Family::Ipv6Unicast => Self::Ipv6(Vec::with_capacity(room)),
        }
    }

    fn family(&self) -> Family {
        match self {
            Self::Ipv4(_) => Family::Ipv4Unicast,
            Self::Ipv6(_) => Family::Ipv6Unicast,
        }
    }

    fn get(&self, at: usize) -> Option<Prefix> {
        match self {
            Self::Ipv4(prefixes) => prefixes.get(at).copied().map(Prefix::V4),
            Self::Ipv6(prefixes) => prefixes.get(at).copied().map(Prefix::V6),
        }
    }

    fn push(&mut self, prefix: Prefix) {
        match (self, prefix) {
            (Self::Ipv4(prefixes), Prefix::V4(prefix)) => prefixes.push(prefix),
            (Self::Ipv6(prefixes), Prefix::V6(prefix)) => prefixes.push(prefix),
            // Whoever has got these has asked for them by the family.
            (Self::Ipv4(_), Prefix::V6(_)) | (Self::Ipv6(_), Prefix::V4(_)) => {}
        }
    }
}

/// Operations on routes of one family, in their order, numbered one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOps {
    first: OpId,
    place: Place,
    leads: Vec<Lead>,
    steps: Vec<Step>,
    prefixes: Prefixes,
    /// What each lead is to whoever planned it.
    keys: Vec<u32>,
}

/// Operations of one part: their leads have numbers of two octets.
pub(crate) const MOST: usize = 1 << 15;

/// A lead that is known by what it says alone.
const NO_KEY: u32 = u32::MAX;

impl RouteOps {
    /// None yet; the first gets this number.
    pub(crate) fn begin(first: OpId, place: Place, family: Family, room: usize) -> Self {
        Self {
            first,
            place,
            leads: Vec::new(),
            steps: Vec::with_capacity(room),
            prefixes: Prefixes::with_room(family, room),
            keys: Vec::new(),
        }
    }

    /// Appends an operation on a route; `key` says which of the planner's leads it is, `prefix` enters the destination.
    #[inline]
    pub(crate) fn push(
        &mut self,
        verb: Verb,
        (key, lead): (u32, impl FnOnce() -> Lead),
        prefix: impl FnOnce(&mut Prefixes),
    ) {
        // There are no more leads than operations, and of those a few hundred.
        let lead = self.keyed(key, lead).unwrap_or(u16::MAX);
        prefix(&mut self.prefixes);
        self.steps.push(Step { verb, lead });
    }

    /// The number of the operation at a place.
    pub fn id(&self, at: usize) -> OpId {
        OpId(self.first.0.wrapping_add(u64::try_from(at).unwrap_or(u64::MAX)))
    }

    /// Operations.
    #[expect(clippy::len_without_is_empty, reason = "none are handed over without an operation")]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Their family.
    pub fn family(&self) -> Family {
        self.prefixes.family()
    }

    /// What all have in common.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Where they lead.
    pub fn leads(&self) -> &[Lead] {
        &self.leads
    }

    /// What is done with each.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Their destinations, each at the place of its step.
    pub fn prefixes(&self) -> &Prefixes {
        &self.prefixes
    }

    /// One of them by itself.
    pub fn get(&self, at: usize) -> Option<Op> {
        let Step { verb, lead } = *self.steps.get(at)?;
        let Place { table, protocol, metric } = self.place;
        let prefix = self.prefixes.get(at)?;
        let Lead { target, preferred_source } = self.leads.get(usize::from(lead))?.clone();
        let spec =
            |target| Some(RouteSpec { prefix, table, protocol, metric, preferred_source, target: target? });
        Some(match verb {
            Verb::Add => Op::RouteAdd(spec(target)?),
            Verb::Replace => Op::RouteReplace(spec(target)?),
            Verb::Del => Op::RouteDel { prefix, table, protocol, metric, target },
        })
    }

    /// The number of the lead with this key, entered where there is none; `None` where there is no number left.
    #[inline]
    fn keyed(&mut self, key: u32, lead: impl FnOnce() -> Lead) -> Option<u16> {
        if let Some(last) = self.steps.last()
            && self.keys.get(usize::from(last.lead)) == Some(&key)
        {
            return Some(last.lead);
        }
        match self.keys.iter().position(|other| *other == key) {
            Some(at) => u16::try_from(at).ok(),
            None => self.new_lead(key, lead()),
        }
    }

    fn new_lead(&mut self, key: u32, lead: Lead) -> Option<u16> {
        let number = u16::try_from(self.leads.len()).ok()?;
        self.leads.push(lead);
        self.keys.push(key);
        Some(number)
    }

    fn spelt(&mut self, lead: Lead) -> Option<u16> {
        match self.leads.iter().position(|other| *other == lead) {
            Some(at) => u16::try_from(at).ok(),
            None => self.new_lead(NO_KEY, lead),
        }
    }
}

/// What is handed over as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// An operation that is on no route.
    One(OpId, Op),
    /// Operations on routes.
    Routes(RouteOps),
}

/// Operations that must reach the kernel in this order, except that routes of different families may overtake each other.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    parts: Vec<Part>,
    len: usize,
}

impl Plan {
    /// Operations.
    pub fn len(&self) -> usize {
        self.len
    }

    /// There is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its parts, in their order.
    pub fn into_parts(self) -> Vec<Part> {
        self.parts
    }

    /// Each operation by itself, in their order.
    pub fn into_ops(self) -> impl Iterator<Item = (OpId, Op)> {
        self.parts.into_iter().flat_map(|part| {
            let (one, routes) = match part {
                Part::One(id, op) => (Some((id, op)), None),
                Part::Routes(routes) => (None, Some(routes)),
            };
            let each = |routes: RouteOps| {
                (0..routes.len()).filter_map(move |at| Some((routes.id(at), routes.get(at)?)))
            };
            one.into_iter().chain(routes.into_iter().flat_map(each))
        })
    }

    /// Appends an operation.
    pub fn push(&mut self, id: OpId, op: Op) {
        let (place, prefix, verb, lead) = match op {
            Op::RouteAdd(spec) => spelled_out(Verb::Add, spec),
            Op::RouteReplace(spec) => spelled_out(Verb::Replace, spec),
            Op::RouteDel { prefix, table, protocol, metric, target } => {
                let lead = Lead { target, preferred_source: None };
                (Place { table, protocol, metric }, prefix, Verb::Del, lead)
            }
            other => {
                self.parts.push(Part::One(id, other));
                self.len += 1;
                return;
            }
        };
        let Some(routes) = self.routes(id, place, prefix.family()) else { return };
        if let Some(lead) = routes.spelt(lead) {
            routes.prefixes.push(prefix);
            routes.steps.push(Step { verb, lead });
            self.len += 1;
        }
    }

    /// Appends operations on routes.
    pub(crate) fn push_routes(&mut self, routes: RouteOps) {
        if !routes.steps.is_empty() {
            self.len += routes.len();
            self.parts.push(Part::Routes(routes));
        }
    }

    /// The part to which an operation with this number can be appended.
    fn routes(&mut self, id: OpId, place: Place, family: Family) -> Option<&mut RouteOps> {
        let fits = |routes: &RouteOps| {
            routes.id(routes.len()) == id
                && routes.place == place
                && routes.family() == family
                && routes.len() < MOST
        };
        if !matches!(self.parts.last(), Some(Part::Routes(routes)) if fits(routes)) {
            self.parts.push(Part::Routes(RouteOps::begin(id, place, family, 1)));
        }
        match self.parts.last_mut() {
            Some(Part::Routes(routes)) => Some(routes),
            Some(Part::One(..)) | None => None,
        }
    }
}

fn spelled_out(verb: Verb, spec: RouteSpec) -> (Place, Prefix, Verb, Lead) {
    let RouteSpec { prefix, table, protocol, metric, preferred_source, target } = spec;
    let lead = Lead { target: Some(target), preferred_source };
    (Place { table, protocol, metric }, prefix, verb, lead)
}

impl From<Vec<(OpId, Op)>> for Plan {
    fn from(ops: Vec<(OpId, Op)>) -> Self {
        let mut plan = Self::default();
        ops.into_iter().for_each(|(id, op)| plan.push(id, op));
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(prefix: &str, object: u32) -> RouteSpec {
        RouteSpec {
            prefix: prefix.parse().unwrap(),
            table: 254,
            protocol: 186,
            metric: 20,
            preferred_source: None,
            target: RouteTarget::Nexthop(object),
        }
    }

    fn removal(prefix: &str, target: Option<RouteTarget>) -> Op {
        Op::RouteDel { prefix: prefix.parse().unwrap(), table: 254, protocol: 186, metric: 20, target }
    }

    #[test]
    fn what_is_packed_comes_out_as_it_was_in_its_order() {
        let ops: Vec<(OpId, Op)> = [
            Op::NexthopDel { id: 7 },
            Op::RouteAdd(spec("10.0.0.0/8", 1)),
            Op::RouteReplace(spec("10.1.0.0/16", 2)),
            Op::RouteAdd(spec("10.2.0.0/16", 1)),
            removal("10.3.0.0/16", None),
            removal("10.4.0.0/16", Some(RouteTarget::Nexthop(1))),
            Op::RouteAdd(spec("2001:db8::/32", 1)),
            Op::RouteAdd(RouteSpec { metric: 30, ..spec("2001:db8:1::/48", 1) }),
            Op::GroupDel { id: 8 },
        ]
        .into_iter()
        .enumerate()
        .map(|(at, op)| (OpId(40 + at as u64), op))
        .collect();
        let plan = Plan::from(ops.clone());
        assert_eq!(plan.len(), ops.len());
        let lens: Vec<usize> = plan
            .clone()
            .into_parts()
            .iter()
            .map(|part| match part {
                Part::One(..) => 1,
                Part::Routes(routes) => routes.len(),
            })
            .collect();
        assert_eq!(lens, [1, 5, 1, 1, 1]);
        assert_eq!(plan.into_ops().collect::<Vec<_>>(), ops);
    }

    #[test]
    fn routes_whose_numbers_do_not_follow_each_other_are_not_packed_together() {
        let ops = vec![
            (OpId(1), Op::RouteAdd(spec("10.0.0.0/8", 1))),
            (OpId(3), Op::RouteAdd(spec("10.1.0.0/16", 1))),
        ];
        let plan = Plan::from(ops.clone());
        assert_eq!(plan.clone().into_parts().len(), 2);
        assert_eq!(plan.into_ops().collect::<Vec<_>>(), ops);
    }
}

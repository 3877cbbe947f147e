//! Nexthop objects and groups (`RTM_NEWNEXTHOP`), which the packet crates do not know.

use bgp_fib::{GroupKind, KernelNexthop, Resilient};

use super::ip;
use crate::message::{attributes, u16_at, u32_at};
use crate::uapi::{nexthop, route};

/// Octets of `struct nhmsg` and `struct nexthop_grp`.
const HEADER_LEN: usize = 8;
const MEMBER_LEN: usize = 8;

pub(super) fn decode(payload: &[u8]) -> Option<KernelNexthop> {
    let &[family, _scope, protocol, _reserved] = payload.first_chunk()?;
    let onlink = u32_at(payload, 4)? & route::NH_F_ONLINK != 0;
    let mut id = None;
    let kind = GroupKind::HashThreshold;
    let mut object =
        KernelNexthop { id: 0, protocol, gateway: None, ifindex: None, onlink, members: Vec::new(), kind };
    for (kind, value) in attributes(payload.get(HEADER_LEN..)?) {
        match kind {
            nexthop::ID => id = u32_at(value, 0),
            nexthop::OIF => object.ifindex = u32_at(value, 0),
            nexthop::GATEWAY => object.gateway = ip(family, value),
            nexthop::GROUP => object.members = value.chunks_exact(MEMBER_LEN).filter_map(member).collect(),
            nexthop::RES_GROUP => object.kind = GroupKind::Resilient(resilient(value)),
            _ => {}
        }
    }
    object.id = id?;
    Some(object)
}

/// The weight is stored less one, its low octet first, in octets that once were one and a reserved one.
fn member(octets: &[u8]) -> Option<(u32, u32)> {
    let weight = u16::from_le(u16_at(octets, 4)?);
    Some((u32_at(octets, 0)?, u32::from(weight) + 1))
}

fn resilient(octets: &[u8]) -> Resilient {
    let mut resilient = Resilient { buckets: 0, idle_timer: 0, unbalanced_timer: 0 };
    let seconds = |value: &[u8]| u32_at(value, 0).unwrap_or(0) / nexthop::TICKS_PER_SECOND;
    for (kind, value) in attributes(octets) {
        match kind {
            nexthop::resilient::BUCKETS => resilient.buckets = u16_at(value, 0).unwrap_or(0),
            nexthop::resilient::IDLE_TIMER => resilient.idle_timer = seconds(value),
            nexthop::resilient::UNBALANCED_TIMER => resilient.unbalanced_timer = seconds(value),
            _ => {}
        }
    }
    resilient
}

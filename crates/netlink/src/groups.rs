//! Resilient next-hop groups beside the road of the operations: whether this kernel has them, and what is in their buckets.
//!
//! Both are asked on sockets of their own, now and then, by whoever wants to know; the netlink thread has no part in it.

use std::io;
use std::time::Duration;

use bgp_fib::{GROUP_IDS, HOP_IDS, KernelError};

use crate::message::{Writer, attributes, u16_at, u32_at, u64_at};
use crate::requests::{DumpEnd, Layout, Requests};
use crate::socket::RouteSocket;
use crate::uapi::{NESTED, family, flag, message, nexthop, route};

const PATIENCE: Duration = Duration::from_secs(2);
/// Buckets of all groups come in some hundred kilooctets.
const RECEIVE_BUFFER: usize = 1024 * 1024;
/// How often a reading is begun anew when a group changes under it.
const ATTEMPTS: u32 = 8;
/// Octets of `struct nhmsg`.
const HEADER_LEN: usize = 8;
/// Ids of the probe: the ends of our ranges, which no object of ours has.
const PROBE_HOP: u32 = HOP_IDS.end;
const PROBE_GROUP: u32 = GROUP_IDS.end;

/// One bucket of a resilient group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The group.
    pub group: u32,
    /// Its place in the group.
    pub index: u16,
    /// The next-hop object that has it.
    pub hop: u32,
    /// How long no packet has used it.
    pub idle: Duration,
}

/// What groups this kernel makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Resilient ones, from Linux 5.13 on.
    pub resilient: bool,
    /// Weights above 256, from Linux 6.12 on.
    pub wide_weights: bool,
}

/// What groups this kernel makes: some of a black hole are made and taken away again.
///
/// # Errors
/// The kernel has no next-hop objects, or refuses one for another reason.
pub fn abilities() -> io::Result<Abilities> {
    Ok(Abilities { resilient: makes(1)?, wide_weights: makes(u16::MAX)? })
}

/// Whether this kernel makes a resilient group with a member of this weight.
fn makes(weight: u16) -> io::Result<bool> {
    let mut requests = requests()?;
    let remove = |requests: &mut Requests, id: u32| {
        let attributes = |request: &mut Writer<'_>| request.put_u32(nexthop::ID, id);
        requests.ask(message::DELNEXTHOP, 0, Layout { fixed: &[0; HEADER_LEN], attributes: &attributes })
    };
    let hole = |request: &mut Writer<'_>| {
        request.put_u32(nexthop::ID, PROBE_HOP);
        request.put(nexthop::BLACKHOLE, &[]);
    };
    let fixed = [family::INET, route::SCOPE_UNIVERSE, 0, 0, 0, 0, 0, 0];
    let made = flag::CREATE | flag::REPLACE;
    requests.ask(message::NEWNEXTHOP, made, Layout { fixed: &fixed, attributes: &hole }).map_err(error)?;
    let group = |request: &mut Writer<'_>| {
        request.put_u32(nexthop::ID, PROBE_GROUP);
        request.put_with(nexthop::GROUP, |member| {
            member.raw(&PROBE_HOP.to_ne_bytes());
            let [low, high] = weight.saturating_sub(1).to_le_bytes();
            member.raw(&[low, high, 0, 0]);
        });
        request.put(nexthop::GROUP_TYPE, &nexthop::TYPE_RESILIENT.to_ne_bytes());
        request.put_with(nexthop::RES_GROUP | NESTED, |request| {
            request.put(nexthop::resilient::BUCKETS, &1_u16.to_ne_bytes());
        });
    };
    let has = requests
        .ask(message::NEWNEXTHOP, made, Layout { fixed: &[0; HEADER_LEN], attributes: &group })
        .is_ok();
    // With its only member the group goes too.
    remove(&mut requests, PROBE_HOP).map_err(error)?;
    Ok(has)
}

/// Every bucket of every resilient group, of others as well, in the order of the kernel.
///
/// # Errors
/// The kernel has none, or does not answer.
pub fn buckets() -> io::Result<Vec<Bucket>> {
    let mut requests = requests()?;
    for _ in 0..ATTEMPTS {
        let mut found = Vec::new();
        let layout = Layout { fixed: &[0; HEADER_LEN], attributes: &|_| {} };
        let end = requests.dump(message::GETNEXTHOPBUCKET, layout, |header, payload| {
            if header.kind == message::NEWNEXTHOPBUCKET {
                found.extend(bucket(payload));
            }
        });
        if end.map_err(error)? == DumpEnd::Complete {
            return Ok(found);
        }
    }
    Err(io::Error::other("the groups kept changing while their buckets were read"))
}

fn requests() -> io::Result<Requests> {
    Ok(Requests::new(RouteSocket::requests(RECEIVE_BUFFER)?, PATIENCE))
}

pub(crate) fn error(error: KernelError) -> io::Error {
    io::Error::other(error)
}

fn bucket(payload: &[u8]) -> Option<Bucket> {
    let (mut group, mut index, mut hop, mut ticks) = (None, None, None, 0);
    for (kind, value) in attributes(payload.get(HEADER_LEN..)?) {
        match kind {
            nexthop::ID => group = u32_at(value, 0),
            nexthop::RES_BUCKET => {
                for (kind, value) in attributes(value) {
                    match kind {
                        nexthop::bucket::INDEX => index = u16_at(value, 0),
                        nexthop::bucket::NH_ID => hop = u32_at(value, 0),
                        nexthop::bucket::IDLE_TIME => ticks = u64_at(value, 0).unwrap_or(0),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let idle = Duration::from_millis(ticks.saturating_mul(1000 / u64::from(nexthop::TICKS_PER_SECOND)));
    Some(Bucket { group: group?, index: index?, hop: hop?, idle })
}

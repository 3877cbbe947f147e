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
/// Ids of a probe, a hop's and a group's: the ends of our ranges, which no object of ours has, and what is below them. An old
/// zebra goes on counting from the largest id that it has seen.
const PROBES: [(u32, u32); 4] = [
    (HOP_IDS.end, GROUP_IDS.end),
    (HOP_IDS.start - 3, HOP_IDS.start - 2),
    (HOP_IDS.start - 5, HOP_IDS.start - 4),
    (HOP_IDS.start - 7, HOP_IDS.start - 6),
];

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
    for (hop, group) in PROBES {
        if let Some(has) = tried(&mut requests, (hop, group), weight)? {
            return Ok(has);
        }
    }
    let ids = PROBES.map(|(hop, group)| format!("{hop}, {group}")).join(", ");
    let text = format!(
        "somebody else has next-hop objects with all ids that are tried: {ids}; `ip nexthop` says who"
    );
    Err(io::Error::other(text))
}

/// The same by objects with these ids; `None` where somebody else has them. zebra makes what it has seen of a probe anew when it is
/// gone, and keeps it.
fn tried(requests: &mut Requests, (hop, group): (u32, u32), weight: u16) -> io::Result<Option<bool>> {
    let is_taken =
        |answer: &Result<(), KernelError>| answer.as_ref().is_err_and(|error| error.errno == libc::EEXIST);
    let hole = |request: &mut Writer<'_>| {
        request.put_u32(nexthop::ID, hop);
        request.put(nexthop::BLACKHOLE, &[]);
    };
    let fixed = [family::INET, route::SCOPE_UNIVERSE, 0, 0, 0, 0, 0, 0];
    let made = flag::CREATE | flag::EXCL;
    let answer = requests.ask(message::NEWNEXTHOP, made, Layout { fixed: &fixed, attributes: &hole });
    if is_taken(&answer) {
        return Ok(None);
    }
    answer.map_err(error)?;
    let members = |request: &mut Writer<'_>| {
        request.put_u32(nexthop::ID, group);
        request.put_with(nexthop::GROUP, |member| {
            member.raw(&hop.to_ne_bytes());
            let [low, high] = weight.saturating_sub(1).to_le_bytes();
            member.raw(&[low, high, 0, 0]);
        });
        request.put(nexthop::GROUP_TYPE, &nexthop::TYPE_RESILIENT.to_ne_bytes());
        request.put_with(nexthop::RES_GROUP | NESTED, |request| {
            request.put(nexthop::resilient::BUCKETS, &1_u16.to_ne_bytes());
        });
    };
    let answer =
        requests.ask(message::NEWNEXTHOP, made, Layout { fixed: &[0; HEADER_LEN], attributes: &members });
    // With its only member the group goes too.
    let id = |request: &mut Writer<'_>| request.put_u32(nexthop::ID, hop);
    requests
        .ask(message::DELNEXTHOP, 0, Layout { fixed: &[0; HEADER_LEN], attributes: &id })
        .map_err(error)?;
    Ok((!is_taken(&answer)).then(|| answer.is_ok()))
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

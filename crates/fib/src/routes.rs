//! Routes: per prefix what is wanted and what the kernel holds, and a queue of those that differ.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use bgp_wire::Prefix;
use foldhash::fast::FixedState;

use crate::guard::{Guard, Trouble};
use crate::kernel::KernelRoute;
use crate::objects::{Flight, Held};
use crate::op::RouteTarget;

/// What makes two routes of ours for one prefix the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) target: RouteTarget,
    /// Boxed, since few have one and there is a body for each prefix.
    pub(crate) preferred_source: Option<Box<IpAddr>>,
}

impl Body {
    /// Of a route that the kernel reported.
    pub(crate) fn of(route: &KernelRoute) -> Self {
        let target = match route.nexthop_id {
            Some(id) => RouteTarget::Nexthop(id),
            None => {
                let mut hops = route.hops.clone();
                hops.iter_mut().for_each(|hop| hop.down = false);
                hops.sort_unstable();
                RouteTarget::Hops(hops)
            }
        };
        Self { target, preferred_source: route.preferred_source.map(Box::new) }
    }

    /// The id of the object it points to.
    pub(crate) fn nexthop_id(&self) -> Option<u32> {
        match self.target {
            RouteTarget::Nexthop(id) => Some(id),
            RouteTarget::Hops(_) => None,
        }
    }
}

/// One prefix.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) prefix: Prefix,
    /// The set that is wanted, and the place in its list.
    pub(crate) set: Option<(u32, u32)>,
    pub(crate) wanted_at: Instant,
    pub(crate) held: Held<Body>,
    /// Further routes of ours for the prefix, which must go.
    pub(crate) extra: Vec<Body>,
    pub(crate) flight: Option<Flight<Body>>,
    /// While in flight something happened that the answer will not tell.
    pub(crate) doubt: bool,
    /// The kernel says that a route is there and we know of none: the next dump will tell.
    pub(crate) look: bool,
    /// Whose route is in the way.
    pub(crate) blocked: Option<u8>,
    /// Found at start and not yet replaced or confirmed.
    pub(crate) leftover: bool,
    pub(crate) queued: bool,
    pub(crate) touched: u64,
    pub(crate) seen: u64,
    pub(crate) trouble: Option<Box<Trouble>>,
    pub(crate) guard: Option<Box<Guard>>,
}

/// Slots that are allocated at once: a million routes in one piece would be moved whenever it grows, and be there twice
/// meanwhile.
const CHUNK: usize = 1024;

/// All prefixes, in slots whose numbers stay.
#[derive(Debug)]
pub(crate) struct Routes {
    /// All full but the last.
    chunks: Vec<Vec<Option<Route>>>,
    free: Vec<u32>,
    index: HashMap<Prefix, u32, FixedState>,
    queue: VecDeque<u32>,
}

impl Routes {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            index: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn slot_of(&self, prefix: &Prefix) -> Option<u32> {
        self.index.get(prefix).copied()
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Route> {
        let slot = usize::try_from(slot).ok()?;
        self.chunks.get(slot / CHUNK)?.get(slot % CHUNK)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Route> {
        self.place(slot)?.as_mut()
    }

    fn place(&mut self, slot: u32) -> Option<&mut Option<Route>> {
        let slot = usize::try_from(slot).ok()?;
        self.chunks.get_mut(slot / CHUNK)?.get_mut(slot % CHUNK)
    }

    /// How many slots there are, in use or not.
    fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    /// The slot of a prefix, made where there is none. `None` only beyond four thousand million prefixes.
    pub(crate) fn slot_for(&mut self, prefix: Prefix, now: Instant) -> Option<u32> {
        if let Some(slot) = self.index.get(&prefix) {
            return Some(*slot);
        }
        let route = Route {
            prefix,
            set: None,
            wanted_at: now,
            held: Held::Absent,
            extra: Vec::new(),
            flight: None,
            doubt: false,
            look: false,
            blocked: None,
            leftover: false,
            queued: false,
            touched: 0,
            seen: 0,
            trouble: None,
            guard: None,
        };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.len()).ok()?;
                match self.chunks.last_mut().filter(|last| last.len() < CHUNK) {
                    Some(last) => last.push(None),
                    None => {
                        let mut chunk = Vec::with_capacity(CHUNK);
                        chunk.push(None);
                        self.chunks.push(chunk);
                    }
                }
                slot
            }
        };
        *self.place(slot)? = Some(route);
        self.index.insert(prefix, slot);
        Some(slot)
    }

    /// Ends a slot. It must be neither queued nor in flight.
    pub(crate) fn remove(&mut self, slot: u32) {
        if let Some(route) = self.place(slot).and_then(Option::take) {
            self.index.remove(&route.prefix);
            self.free.push(slot);
        }
    }

    /// Queues a prefix, once.
    pub(crate) fn enqueue(&mut self, slot: u32) {
        if let Some(route) = self.get_mut(slot)
            && !route.queued
        {
            route.queued = true;
            self.queue.push_back(slot);
        }
    }

    /// The next in the queue.
    pub(crate) fn dequeue(&mut self) -> Option<u32> {
        let slot = self.queue.pop_front()?;
        if let Some(route) = self.get_mut(slot) {
            route.queued = false;
        }
        Some(slot)
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.chunks.iter().flatten().flatten()
    }

    /// Every slot in use, scattered: the kernel's IPv4 table takes five times as long for sorted deletions as for
    /// unsorted ones, and dumps are sorted.
    pub(crate) fn scattered(&self) -> Vec<u32> {
        let len = u64::try_from(self.len()).unwrap_or(0);
        // Steps of about the golden section, without a factor in common with the length: every slot once.
        let mut stride = (len * 618 / 1000) | 1;
        while gcd(stride, len) > 1 {
            stride += 2;
        }
        let slots = (0..len).filter_map(|step| u32::try_from(step.wrapping_mul(stride) % len).ok());
        slots.filter(|slot| self.get(*slot).is_some()).collect()
    }

    /// Slots for which `which` holds.
    pub(crate) fn slots_where(&self, which: impl Fn(&Route) -> bool) -> Vec<u32> {
        (0_u32..)
            .zip(self.chunks.iter().flatten())
            .filter(|(_, route)| route.as_ref().is_some_and(&which))
            .map(|(slot, _)| slot)
            .collect()
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

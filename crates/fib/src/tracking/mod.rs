//! Next-hop tracking: which next hops can be used, by which gateway on which link; RFC 4271 sections 5.1.3 and 9.1.2.
//!
//! Owns the kernel's facts and the next hops that somebody wants to know about. Facts only mark next hops as dirty;
//! [`Tracker::settle`] resolves the marked ones. Leaves out: what is installed, and recursion through our own routes.

mod cuts;
pub(crate) mod facts;
mod failed;
mod links;
mod mapped;
mod probe;
mod resolve;
mod stations;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bgp_wire::{NextHop, Prefix, ScopedNextHop};

use crate::event::{Event, Kind};
use crate::kernel::{Mac, Neighbor, NeighborState};
use crate::op::Op;
use crate::view::{Presence, Reachability, Via};

use cuts::Cuts;
use facts::{Facts, NeighborKey};
use failed::Failed;
pub(crate) use links::LinkChange;
use mapped::{Look, Mapped};
use probe::{Pace, Probes};
use resolve::Way;
use stations::{Seen, Stations};

/// One next hop under watch.
#[derive(Debug)]
struct Hop {
    refs: u32,
    mapped: Mapped,
    /// The way before its neighbour and the kernel's opinion are asked.
    gateway: Option<Via>,
    state: Result<Way, Arc<str>>,
    needs: Vec<(NeighborKey, Pace)>,
    wake: Option<Instant>,
    /// Its neighbour is being looked for, and there is no result yet.
    searching: bool,
    /// Whether it could be used when that was last worth saying.
    said: Option<bool>,
}

/// A next hop whose way or reason has changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) next_hop: ScopedNextHop,
    /// Worth saying: it can be used now and could not be, or the other way round, or it has another way.
    pub(crate) news: bool,
    /// Nothing was known of it before.
    pub(crate) first: bool,
}

/// The tracker.
#[derive(Debug)]
pub(crate) struct Tracker {
    pub(crate) facts: Facts,
    hops: BTreeMap<ScopedNextHop, Hop>,
    dirty: BTreeSet<ScopedNextHop>,
    failed: Failed,
    stations: Stations,
    pub(crate) cuts: Cuts,
    /// Counts events that may change what is known of where somebody is.
    moves: u64,
    probes: Probes,
    verify: VecDeque<(NeighborKey, Mac)>,
    refused: BTreeMap<Via, Arc<str>>,
    resolve_mapped: bool,
    /// All that the kernel has was read once: what is found out is no guess any more.
    has_read: bool,
}

/// The next hop as it is tracked: the link matters only to link-local addresses. For another address the kernel's choice
/// of link is followed, whatever link the session uses.
pub(crate) fn canonical(next_hop: ScopedNextHop) -> ScopedNextHop {
    match next_hop.next_hop {
        NextHop::V6(v6) if v6.is_unicast_link_local() => next_hop,
        NextHop::V6WithLinkLocal(..) if next_hop.interface.is_some() => next_hop,
        NextHop::V6WithLinkLocal(global, _) => {
            ScopedNextHop { next_hop: NextHop::V6(global), interface: None }
        }
        NextHop::V4(_) | NextHop::V6(_) => ScopedNextHop { interface: None, ..next_hop },
    }
}

/// The address whose routes matter: the IPv4 address of a mapped one.
fn anchor(next_hop: &ScopedNextHop) -> IpAddr {
    next_hop.next_hop.mapped_ipv4().map_or_else(|| next_hop.next_hop.address(), IpAddr::V4)
}

impl Tracker {
    pub(crate) fn new(resolve_mapped: bool) -> Self {
        Self {
            facts: Facts::default(),
            hops: BTreeMap::new(),
            dirty: BTreeSet::new(),
            failed: Failed::default(),
            stations: Stations::default(),
            cuts: Cuts::default(),
            moves: 0,
            probes: Probes::default(),
            verify: VecDeque::new(),
            refused: BTreeMap::new(),
            resolve_mapped,
            has_read: false,
        }
    }

    /// All that the kernel has was read once: from now on what is found out is worth saying, and so is what was found out
    /// until now.
    pub(crate) fn has_read(&mut self) {
        if !std::mem::replace(&mut self.has_read, true) {
            self.dirty.extend(self.hops.keys());
        }
    }

    /// Watches a canonical next hop, once more.
    pub(crate) fn track(&mut self, next_hop: ScopedNextHop) {
        let hop = self.hops.entry(next_hop).or_insert_with(|| Hop {
            refs: 0,
            mapped: Mapped::default(),
            gateway: None,
            state: Err("not looked at yet".into()),
            needs: Vec::new(),
            wake: None,
            searching: true,
            said: None,
        });
        hop.refs += 1;
        if hop.refs == 1 {
            self.dirty.insert(next_hop);
        }
    }

    /// Watches it once less.
    pub(crate) fn untrack(&mut self, next_hop: &ScopedNextHop) {
        let Some(hop) = self.hops.get_mut(next_hop) else { return };
        hop.refs = hop.refs.saturating_sub(1);
        if hop.refs == 0 {
            self.hops.remove(next_hop);
            self.dirty.insert(*next_hop);
        }
    }

    /// The gateway, where the next hop can be used.
    pub(crate) fn via(&self, next_hop: &ScopedNextHop) -> Option<Via> {
        self.hops.get(next_hop)?.state.as_ref().ok().map(|way| way.via)
    }

    /// The gateway, whether or not it can be used.
    pub(crate) fn gateway(&self, next_hop: &ScopedNextHop) -> Option<Via> {
        self.hops.get(next_hop)?.gateway
    }

    /// How it was resolved, in words.
    pub(crate) fn how(&self, next_hop: &ScopedNextHop) -> Option<&str> {
        self.hops.get(next_hop)?.state.as_ref().ok().map(|way| way.how.as_str())
    }

    pub(crate) fn reachability(&self, next_hop: &ScopedNextHop) -> Reachability {
        match self.hops.get(next_hop).map(|hop| &hop.state) {
            Some(Ok(way)) => Reachability::Reachable { metric: way.metric },
            Some(Err(why)) => Reachability::Unreachable(Arc::clone(why)),
            None => Reachability::Unreachable("not watched".into()),
        }
    }

    /// Whether `address` is an address of this gateway: the same, or with the same MAC address on its link.
    pub(crate) fn is_at(&self, address: IpAddr, gateway: &Via) -> bool {
        let mac = |address| self.facts.neighbors.get(&(gateway.ifindex, address))?.mac;
        address == gateway.gateway || mac(address).is_some_and(|its| mac(gateway.gateway) == Some(its))
    }

    /// The canonical next hops under watch.
    pub(crate) fn next_hops(&self) -> impl Iterator<Item = &ScopedNextHop> {
        self.hops.keys()
    }

    /// Says that the kernel refuses this gateway (or no longer): who points to it cannot be used.
    pub(crate) fn refuse(&mut self, via: Via, why: Option<Arc<str>>) {
        let changed = match why {
            Some(why) => self.refused.insert(via, why).is_none(),
            None => self.refused.remove(&via).is_some(),
        };
        if changed {
            self.mark_where(|_, hop| hop.gateway == Some(via));
        }
    }

    /// Takes in links, addresses and neighbours; routes and next-hop objects come by [`Tracker::route_changed`].
    pub(crate) fn observe(&mut self, event: Event) -> Option<LinkChange> {
        match event {
            Event::Link(link) => {
                self.moves += 1;
                return self.link(link);
            }
            Event::LinkGone { ifindex } => {
                self.moves += 1;
                let old = self.facts.links.remove(&ifindex)?;
                self.port_lost(&old);
                return Some(self.link_down(ifindex));
            }
            Event::Address(address) => {
                let old = self.facts.addresses.insert((address.ifindex, address.address), address);
                if old != Some(address) {
                    self.mark_all();
                }
            }
            Event::AddressGone(address) => {
                if self.facts.addresses.remove(&(address.ifindex, address.address)).is_some() {
                    self.mark_all();
                }
            }
            Event::Fdb(entry) => {
                if self.stations.learned(&entry, &self.facts) {
                    self.moves += 1;
                    self.mark_where(|_, hop| hop.gateway.is_some_and(|via| via.ifindex == entry.bridge));
                }
            }
            Event::FdbGone(entry) => self.stations.unlearned(&entry),
            Event::Neighbor(neighbor) => self.neighbor(neighbor),
            Event::NeighborGone { ifindex, address } => self.neighbor_gone((ifindex, address)),
            Event::Route(..)
            | Event::RouteGone(_)
            | Event::Nexthop(..)
            | Event::NexthopGone { .. }
            | Event::DumpStart(_)
            | Event::DumpEnd(_)
            | Event::AuditStart
            | Event::AuditEnd
            | Event::Requester(_)
            | Event::Unsupported(_)
            | Event::Overrun => {}
        }
        None
    }

    /// A dump of links, addresses or neighbours begins.
    pub(crate) fn begin_dump(&mut self, kind: Kind) {
        match kind {
            Kind::Links => self.facts.links.begin_dump(),
            Kind::Addresses => self.facts.addresses.begin_dump(),
            Kind::Neighbors => self.facts.neighbors.begin_dump(),
            Kind::Nexthops => self.facts.nexthops.begin_dump(),
            Kind::Routes => self.facts.routes.begin_dump(),
        }
    }

    /// A dump of links, addresses or neighbours has ended: what it has not shown is gone. Returns links that are.
    pub(crate) fn end_dump(&mut self, kind: Kind) -> Vec<LinkChange> {
        match kind {
            Kind::Links => {
                let gone = self.facts.links.end_dump();
                return gone.into_iter().map(|(ifindex, _)| self.link_down(ifindex)).collect();
            }
            Kind::Addresses => {
                if !self.facts.addresses.end_dump().is_empty() {
                    self.mark_all();
                }
            }
            Kind::Neighbors => {
                for (key, _) in self.facts.neighbors.end_dump() {
                    self.neighbor_gone(key);
                }
            }
            Kind::Nexthops | Kind::Routes => {}
        }
        Vec::new()
    }

    /// A route of somebody else has come, changed or gone.
    pub(crate) fn route_changed(&mut self, prefix: Prefix) {
        self.mark_where(|next_hop, _| prefix.contains(anchor(next_hop)));
    }

    /// Looks at every next hop again.
    pub(crate) fn mark_all(&mut self) {
        self.dirty.extend(self.hops.keys().copied());
    }

    fn mark_where(&mut self, mut which: impl FnMut(&ScopedNextHop, &Hop) -> bool) {
        let marked = self.hops.iter().filter(|(next_hop, hop)| which(next_hop, hop));
        self.dirty.extend(marked.map(|(next_hop, _)| *next_hop));
    }

    fn neighbor(&mut self, neighbor: Neighbor) {
        let key = (neighbor.ifindex, neighbor.address);
        self.failed.note(key, neighbor.state);
        self.stations.note(&neighbor, &self.facts);
        self.cuts.note(key, neighbor.state);
        self.moves += 1;
        self.facts.neighbors.insert(key, neighbor);
        self.neighbor_changed(key, neighbor.mac);
    }

    fn neighbor_gone(&mut self, key: NeighborKey) {
        let mac = self.facts.neighbors.remove(&key).and_then(|old| old.mac);
        if !self.hops.values().any(|hop| hop.needs_neighbor(&key)) {
            self.failed.forget(&key);
            self.stations.forget(&key);
        }
        self.moves += 1;
        self.neighbor_changed(key, mac);
    }

    fn neighbor_changed(&mut self, key: NeighborKey, mac: Option<Mac>) {
        self.mark_where(|_, hop| {
            hop.needs_neighbor(&key)
                || (hop.mapped.link == Some(key.0) && mac.is_some() && hop.mapped.mac == mac)
        });
    }

    /// Whether something is marked.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Resolves what is marked; returns those whose way or reason has changed.
    pub(crate) fn settle(&mut self, now: Instant) -> Vec<Change> {
        for (next_hop, hop) in &self.hops {
            if hop.wake.is_some_and(|wake| wake <= now) {
                self.dirty.insert(*next_hop);
            }
        }
        let mut changed = Vec::new();
        if self.dirty.is_empty() {
            return changed;
        }
        for next_hop in std::mem::take(&mut self.dirty) {
            let Some(hop) = self.hops.get_mut(&next_hop) else { continue };
            let look = look(&self.facts, &self.failed, &mut hop.mapped, next_hop, self.resolve_mapped, now);
            hop.gateway = look.way.as_ref().ok().map(|way| way.via);
            let seen = hop.gateway.map(|via| self.stations.look_for((via.ifindex, via.gateway), &self.facts));
            let cut = hop.gateway.and_then(|via| self.cuts.of(via, anchor(&next_hop)));
            let way = match cut {
                Some(why) => look.way.and(Err(why.to_owned())),
                None => look.way,
            };
            let state = judge(way, &self.facts, &self.failed, seen.as_ref(), &self.refused);
            hop.wake = look.wake;
            hop.searching = look.searching;
            hop.needs = look.needs;
            if let (Some(via), Err(_)) = (hop.gateway, &state) {
                let key = (via.ifindex, via.gateway);
                if let Some(Seen::MayBeBack(Some(mac))) = seen {
                    self.verify.push_back((key, mac));
                }
                if self.failed.contains(&key) || matches!(seen, Some(Seen::MayBeBack(_))) {
                    hop.needs.push((key, Pace::Seek));
                }
            }
            let may_say = self.has_read && !look.searching;
            if hop.state != state || (may_say && hop.said.is_none()) {
                let news = may_say && (state.is_ok() || hop.said != Some(false));
                let first = hop.said.is_none();
                if news {
                    hop.said = Some(state.is_ok());
                }
                hop.state = state;
                changed.push(Change { next_hop, news, first });
            }
        }
        self.schedule_probes(now);
        changed
    }

    fn schedule_probes(&mut self, now: Instant) {
        let mut needs = BTreeMap::new();
        for (key, pace) in self.hops.values().flat_map(|hop| &hop.needs) {
            let entry = needs.entry(*key).or_insert(*pace);
            *entry = (*entry).min(*pace);
        }
        self.probes.sync(&needs, now);
    }

    /// The next question to a neighbour that is due.
    pub(crate) fn take_probe(&mut self, now: Instant) -> Option<Op> {
        if let Some(((ifindex, address), mac)) = self.verify.pop_front() {
            return Some(Op::Verify { ifindex, address, mac });
        }
        self.probes.take(now).map(|(ifindex, address)| Op::Probe { ifindex, address })
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let wakes = self.hops.values().filter_map(|hop| hop.wake);
        wakes.chain(self.probes.next_deadline()).min()
    }

    /// Changes whenever [`Tracker::presence`] may.
    pub(crate) fn moves(&self) -> u64 {
        self.moves
    }

    /// Whether a node that was reached on this link can still be there.
    pub(crate) fn presence(&self, address: IpAddr, ifindex: u32) -> Presence {
        let key = (ifindex, address);
        let name = self.facts.link_name(ifindex);
        let fault = match self.facts.links.get(&ifindex) {
            None => Some("is gone"),
            Some(link) if !link.admin_up => Some("is down"),
            Some(link) if !link.carrier => Some("has no carrier"),
            Some(_) => None,
        };
        if let Some(fault) = fault {
            return Presence::Gone(format!("{name} {fault}"));
        }
        if let Some(why) = self.stations.gone(key, &self.facts) {
            return Presence::Gone(why);
        }
        if self.failed.contains(&key) {
            return Presence::Gone(format!("{address} does not answer at {name}"));
        }
        if self.stations.is_lost(&key) {
            return Presence::Gone(format!("{address} has not answered since it was lost"));
        }
        match self.facts.neighbors.get(&key) {
            Some(neighbor) if neighbor.state.is_valid() => {
                let port = self.stations.port_of(key).map(|port| format!(", port {port}"));
                Presence::Here(format!("on {name}{}", port.unwrap_or_default()))
            }
            Some(_) | None => Presence::Unknown,
        }
    }

    /// Says that the way to a node is cut, or no longer: who goes by it cannot be used.
    pub(crate) fn set_cut(&mut self, address: IpAddr, ifindex: u32, why: Option<Arc<str>>) {
        if self.cuts.set((ifindex, address), why) {
            self.mark_where(|next_hop, hop| {
                hop.gateway.is_some_and(|via| {
                    via.ifindex == ifindex && [via.gateway, anchor(next_hop)].contains(&address)
                })
            });
        }
    }

    /// Has the kernel ask a node for a sign of life; [`Cuts::answered`] tells whether it has given one since.
    pub(crate) fn question(&mut self, address: IpAddr, ifindex: u32) {
        self.cuts.ask((ifindex, address));
        self.verify(address, ifindex);
    }

    /// Has the kernel ask a node whose entry it trusts; a permanent entry is left alone.
    pub(crate) fn verify(&mut self, address: IpAddr, ifindex: u32) {
        let key = (ifindex, address);
        let Some(neighbor) = self.facts.neighbors.get(&key) else { return };
        let trusted = matches!(neighbor.state, NeighborState::Reachable | NeighborState::Stale);
        if let Some(mac) = neighbor.mac.filter(|_| trusted)
            && !self.verify.contains(&(key, mac))
        {
            self.verify.push_back((key, mac));
        }
    }

    /// A next hop has not been looked at to the end.
    pub(crate) fn is_searching(&self) -> bool {
        self.hops.values().any(|hop| hop.searching)
    }

    /// Nothing is marked and nobody is to be asked now.
    pub(crate) fn is_settled(&self) -> bool {
        self.dirty.is_empty() && self.verify.is_empty()
    }
}

impl Hop {
    fn needs_neighbor(&self, key: &NeighborKey) -> bool {
        let gateway = self.gateway.is_some_and(|via| (via.ifindex, via.gateway) == *key);
        gateway || self.needs.iter().any(|(needed, _)| needed == key)
    }
}

fn look(
    facts: &Facts,
    failed: &Failed,
    mapped: &mut Mapped,
    next_hop: ScopedNextHop,
    resolve_mapped: bool,
    now: Instant,
) -> Look {
    let plain = |way| Look { way, needs: Vec::new(), wake: None, searching: false };
    let global = |mapped: &mut Mapped, address: IpAddr| match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) if resolve_mapped => mapped.look(facts, failed, v4, now),
            Some(_) => plain(Err(format!("{v6} is IPv4-mapped and resolve-mapped-next-hops is off"))),
            None => plain(resolve::resolve(facts, address)),
        },
        IpAddr::V4(_) => plain(resolve::resolve(facts, address)),
    };
    match next_hop.next_hop {
        NextHop::V4(v4) => global(mapped, v4.into()),
        NextHop::V6(v6) if v6.is_unicast_link_local() => {
            plain(resolve::link_local(facts, v6, next_hop.interface))
        }
        NextHop::V6(v6) => global(mapped, v6.into()),
        NextHop::V6WithLinkLocal(v6, local) => match resolve::link_local(facts, local, next_hop.interface) {
            Ok(way) if local.is_unicast_link_local() => plain(Ok(way)),
            Ok(_) | Err(_) => global(mapped, v6.into()),
        },
    }
}

/// The way, unless its neighbour does not answer or the kernel has refused it.
fn judge(
    way: Result<Way, String>,
    facts: &Facts,
    failed: &Failed,
    seen: Option<&Seen>,
    refused: &BTreeMap<Via, Arc<str>>,
) -> Result<Way, Arc<str>> {
    let way = way?;
    let Via { gateway, ifindex } = way.via;
    if failed.contains(&(ifindex, gateway)) {
        return Err(format!("{gateway} does not answer at {}", facts.link_name(ifindex)).into());
    }
    match seen {
        Some(Seen::Gone(why)) => return Err(why.as_str().into()),
        Some(Seen::MayBeBack(_)) => {
            return Err(format!("{gateway} has not answered since it was lost").into());
        }
        Some(Seen::NothingOdd) | None => {}
    }
    match refused.get(&way.via) {
        Some(why) => Err(Arc::clone(why)),
        None => Ok(way),
    }
}

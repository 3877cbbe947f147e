//! Next hops in use: who wants to know about them, and whether they can be reached (RFC 4271 section 9.1.2.1).
//!
//! The RIB names the next hops that it wants watched and is told what is found; it looks at no kernel table itself.

use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use bgp_wire::{NextHop, ScopedNextHop};

use crate::interned::{Interned, NONE};
use crate::reason::{NextHopFault, Unreachable};
use crate::seed::Seed;

/// Parts of the index: there are few next hops.
const SHARDS: usize = 16;

/// Whether a next hop is to be watched from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// A route has it: find out where it goes, and say so whenever that changes.
    Start,
    /// No route has it any more.
    Stop,
}

/// What was found out about a next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// There is a way to it.
    Reachable {
        /// The interior cost, RFC 4271 section 9.1.2.2 e); zero for a directly connected one.
        metric: u32,
    },
    /// There is none, for this reason.
    Unreachable(Arc<str>),
}

/// See the module. A next hop is held by attribute sets and forwarding sets, and by the list of those to tell about.
#[derive(Debug)]
pub(crate) struct NextHops {
    hops: Interned<Hop>,
    seed: Seed,
    /// Ids to look at when [`NextHops::take_changes`] is called.
    touched: Vec<u32>,
    /// The id that was asked for last. Not held: it is looked at before it is used.
    last: u32,
}

#[derive(Debug)]
struct Hop {
    key: ScopedNextHop,
    fault: Option<NextHopFault>,
    found: Option<Reachability>,
    /// `Watch::Start` has been said.
    watched: bool,
    /// In `touched`, which holds it.
    touched: bool,
}

impl NextHops {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { hops: Interned::new(SHARDS), seed, touched: Vec::new(), last: NONE }
    }

    pub(crate) fn len(&self) -> usize {
        self.hops.len()
    }

    /// The id of `key`, with one more holder.
    pub(crate) fn intern(&mut self, key: ScopedNextHop) -> u32 {
        // Most often the same as before.
        if self.hops.get(self.last).is_some_and(|hop| hop.key == key) {
            self.hops.hold(self.last, 1);
            return self.last;
        }
        let hash = self.seed.hash_one(key);
        if let Some(id) = self.hops.hold_same(hash, |hop| hop.key == key) {
            self.last = id;
            return id;
        }
        let hop = Hop { key, fault: fault(key), found: None, watched: false, touched: false };
        let id = self.hops.add(hash, hop);
        self.touch(id);
        id
    }

    pub(crate) fn hold(&mut self, id: u32) {
        self.hops.hold(id, 1);
    }

    pub(crate) fn release(&mut self, id: u32) {
        // Watched hops outlive their last holder until the watcher has been told: what it found out stays known if a
        // route comes back in between.
        if self.hops.refs(id) == 1 {
            self.touch(id);
        }
        self.let_go(id);
    }

    fn let_go(&mut self, id: u32) {
        self.hops.release(id, |hop| self.seed.hash_one(hop.key));
    }

    fn touch(&mut self, id: u32) {
        if let Some(hop) = self.hops.get_mut(id)
            && !hop.touched
        {
            hop.touched = true;
            self.hops.hold(id, 1);
            self.touched.push(id);
        }
    }

    pub(crate) fn key(&self, id: u32) -> Option<ScopedNextHop> {
        self.hops.get(id).map(|hop| hop.key)
    }

    pub(crate) fn fault(&self, id: u32) -> Option<NextHopFault> {
        self.hops.get(id).and_then(|hop| hop.fault)
    }

    /// The interior cost, where there is a way.
    pub(crate) fn metric(&self, id: u32) -> Option<u32> {
        match self.hops.get(id)?.found {
            Some(Reachability::Reachable { metric }) => Some(metric),
            Some(Reachability::Unreachable(_)) | None => None,
        }
    }

    /// Why there is no way.
    pub(crate) fn unreachable(&self, id: u32) -> Option<Unreachable> {
        match &self.hops.get(id)?.found {
            Some(Reachability::Reachable { .. }) => None,
            Some(Reachability::Unreachable(reason)) => Some(Unreachable::Because(Arc::clone(reason))),
            None => Some(Unreachable::Unresolved),
        }
    }

    /// Notes what was found; the id where that changes anything for the decision.
    pub(crate) fn set(&mut self, key: ScopedNextHop, found: Reachability) -> Option<u32> {
        let hash = self.seed.hash_one(key);
        let id = self.hops.hold_same(hash, |hop| hop.key == key)?;
        let before = self.metric(id);
        if let Some(hop) = self.hops.get_mut(id) {
            hop.found = Some(found);
        }
        let changed = self.metric(id) != before;
        self.release(id);
        changed.then_some(id)
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.touched.is_empty()
    }

    pub(crate) fn take_changes(&mut self, out: &mut Vec<(ScopedNextHop, Watch)>) {
        for id in std::mem::take(&mut self.touched) {
            let used = self.hops.refs(id) > 1;
            let Some(hop) = self.hops.get_mut(id) else { continue };
            hop.touched = false;
            let wanted = used && hop.fault.is_none();
            if wanted != hop.watched {
                hop.watched = wanted;
                out.push((hop.key, if wanted { Watch::Start } else { Watch::Stop }));
            }
            self.let_go(id);
        }
    }
}

/// What RFC 4271 section 6.3 calls semantically incorrect, as far as the address alone tells; which addresses are ours is
/// checked against the session.
fn fault(key: ScopedNextHop) -> Option<NextHopFault> {
    match key.next_hop.address() {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            match first {
                0 if v4.is_unspecified() => Some(NextHopFault::Unspecified),
                0 | 240..=255 => Some(NextHopFault::Reserved),
                127 => Some(NextHopFault::Loopback),
                224..=239 => Some(NextHopFault::Multicast),
                _ => None,
            }
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => fault(ScopedNextHop { next_hop: NextHop::V4(v4), ..key }),
            None if v6.is_unspecified() => Some(NextHopFault::Unspecified),
            None if v6.is_loopback() => Some(NextHopFault::Loopback),
            None if v6.is_multicast() => Some(NextHopFault::Multicast),
            None if is_link_local(v6) && key.interface.is_none() => Some(NextHopFault::NoLink),
            None => None,
        },
    }
}

fn is_link_local(address: Ipv6Addr) -> bool {
    let [first, ..] = address.segments();
    first & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(text: &str) -> ScopedNextHop {
        ScopedNextHop { next_hop: text.parse::<IpAddr>().unwrap().into(), interface: None }
    }

    fn changes(hops: &mut NextHops) -> Vec<(String, Watch)> {
        let mut out = Vec::new();
        hops.take_changes(&mut out);
        out.into_iter().map(|(key, watch)| (key.next_hop.to_string(), watch)).collect()
    }

    #[test]
    fn watching_follows_use_and_forgets_nothing_in_between() {
        let mut hops = NextHops::new(Seed::new(1));
        let id = hops.intern(hop("192.0.2.1"));
        assert_eq!(hops.unreachable(id), Some(Unreachable::Unresolved));
        assert_eq!(changes(&mut hops), [("192.0.2.1".to_owned(), Watch::Start)]);
        assert_eq!(hops.set(hop("192.0.2.1"), Reachability::Reachable { metric: 3 }), Some(id));
        assert_eq!(hops.set(hop("192.0.2.1"), Reachability::Reachable { metric: 3 }), None, "nothing new");
        assert_eq!(hops.set(hop("192.0.2.9"), Reachability::Reachable { metric: 3 }), None, "not in use");

        hops.release(id);
        assert_eq!(hops.intern(hop("192.0.2.1")), id);
        assert_eq!(changes(&mut hops), []);
        assert_eq!(hops.metric(id), Some(3));

        hops.release(id);
        assert_eq!(changes(&mut hops), [("192.0.2.1".to_owned(), Watch::Stop)]);
        assert_eq!(hops.len(), 0);
        hops.intern(hop("192.0.2.1"));
        assert_eq!(changes(&mut hops), [("192.0.2.1".to_owned(), Watch::Start)]);
    }

    #[test]
    fn addresses_that_are_nobodys_are_never_watched() {
        let mut hops = NextHops::new(Seed::new(1));
        for (text, fault) in [
            ("0.0.0.0", NextHopFault::Unspecified),
            ("0.1.2.3", NextHopFault::Reserved),
            ("127.0.0.1", NextHopFault::Loopback),
            ("224.0.0.5", NextHopFault::Multicast),
            ("255.255.255.255", NextHopFault::Reserved),
            ("::", NextHopFault::Unspecified),
            ("::1", NextHopFault::Loopback),
            ("ff02::5", NextHopFault::Multicast),
            ("fe80::1", NextHopFault::NoLink),
            ("::ffff:127.0.0.1", NextHopFault::Loopback),
        ] {
            let id = hops.intern(hop(text));
            assert_eq!(hops.fault(id), Some(fault), "{text}");
        }
        assert_eq!(changes(&mut hops), []);
        let linked = hops.intern(ScopedNextHop { interface: Some(4), ..hop("fe80::1") });
        let mapped = hops.intern(hop("::ffff:172.50.0.2"));
        assert_eq!((hops.fault(linked), hops.fault(mapped)), (None, None));
        assert_eq!(changes(&mut hops).len(), 2);
    }
}

//! Sets of next hops as the RIB wants them, shared by all prefixes that want the same.
//!
//! A set comes to gateways (each once, however many of its next hops lead there), these to hop objects, and two or more
//! of them to a group. When a member fails or comes back, the prefixes of the set change together.

use std::collections::{BTreeMap, BTreeSet};

use bgp_wire::ScopedNextHop;

use crate::objects::Objects;
use crate::op::RouteTarget;
use crate::view::Via;

/// Where the routes of a set should point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// No next hop can be used: no route.
    Unresolved,
    /// The object for it is not there yet: leave the route as it is.
    Waiting,
    /// There.
    Ready(RouteTarget),
}

/// One set.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) next_hops: Vec<ScopedNextHop>,
    /// Route slots of its prefixes, in no order.
    pub(crate) members: Vec<u32>,
    pub(crate) vias: Vec<Via>,
    /// Claimed hops, sorted.
    pub(crate) hop_ids: Vec<u32>,
    /// Claimed group.
    pub(crate) group: Option<u32>,
    pub(crate) target: Target,
}

/// All sets.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    sets: BTreeMap<u32, Set>,
    by_next_hops: BTreeMap<Vec<ScopedNextHop>, u32>,
    by_next_hop: BTreeMap<ScopedNextHop, BTreeSet<u32>>,
    next_id: u32,
    /// Sets to be looked at again.
    pub(crate) dirty: BTreeSet<u32>,
}

impl Sets {
    pub(crate) fn get(&self, id: u32) -> Option<&Set> {
        self.sets.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Set> {
        self.sets.get_mut(&id)
    }

    /// The set of these next hops (sorted, each once); `true` where it is new.
    pub(crate) fn find_or_create(&mut self, next_hops: Vec<ScopedNextHop>) -> (u32, bool) {
        if let Some(id) = self.by_next_hops.get(&next_hops) {
            return (*id, false);
        }
        while self.sets.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        for next_hop in &next_hops {
            self.by_next_hop.entry(*next_hop).or_default().insert(id);
        }
        self.by_next_hops.insert(next_hops.clone(), id);
        let set = Set {
            next_hops,
            members: Vec::new(),
            vias: Vec::new(),
            hop_ids: Vec::new(),
            group: None,
            target: Target::Waiting,
        };
        self.sets.insert(id, set);
        self.dirty.insert(id);
        (id, true)
    }

    /// Takes out a set that no prefix wants.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Set> {
        let set = self.sets.remove(&id)?;
        self.by_next_hops.remove(&set.next_hops);
        for next_hop in &set.next_hops {
            if let Some(ids) = self.by_next_hop.get_mut(next_hop) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_next_hop.remove(next_hop);
                }
            }
        }
        self.dirty.remove(&id);
        Some(set)
    }

    /// A next hop has changed.
    pub(crate) fn mark(&mut self, next_hop: &ScopedNextHop) {
        self.dirty.extend(self.by_next_hop.get(next_hop).into_iter().flatten());
    }

    /// An object has changed.
    pub(crate) fn mark_object(&mut self, object: u32) {
        let touched = |set: &Set| set.group == Some(object) || set.hop_ids.contains(&object);
        self.dirty.extend(self.sets.iter().filter(|(_, set)| touched(set)).map(|(id, _)| *id));
    }

    /// Gives up every object, for a kernel that has none.
    pub(crate) fn release_all(&mut self, objects: &mut Objects) {
        for set in self.sets.values_mut() {
            set.release_group(objects);
            set.hop_ids.drain(..).for_each(|id| objects.release(id));
        }
        self.dirty.extend(self.sets.keys());
    }

    /// An object is given up because its id is somebody else's: its sets claim anew.
    pub(crate) fn disclaim(&mut self, object: u32, objects: &mut Objects) {
        for (id, set) in &mut self.sets {
            if set.group == Some(object) {
                set.group = None;
                self.dirty.insert(*id);
            }
            if set.hop_ids.contains(&object) {
                set.vias.clear();
                set.hop_ids.drain(..).for_each(|hop| objects.release(hop));
                self.dirty.insert(*id);
            }
        }
    }
}

impl Set {
    /// Claims what these gateways (sorted, each once) need, and says where routes should point.
    pub(crate) fn claim(&mut self, vias: Vec<Via>, objects: &mut Objects) -> Target {
        if vias != self.vias {
            let old = std::mem::take(&mut self.hop_ids);
            self.hop_ids = vias.iter().map(|via| objects.claim_hop(*via)).collect();
            self.hop_ids.sort_unstable();
            old.into_iter().for_each(|id| objects.release(id));
            self.vias = vias;
        }
        let id = match self.hop_ids.as_slice() {
            [] => {
                self.release_group(objects);
                return Target::Unresolved;
            }
            [one] => {
                let one = *one;
                self.release_group(objects);
                one
            }
            members => *self.group.insert(objects.claim_group(members, self.group)),
        };
        if objects.available(id) { Target::Ready(RouteTarget::Nexthop(id)) } else { Target::Waiting }
    }

    fn release_group(&mut self, objects: &mut Objects) {
        if let Some(group) = self.group.take() {
            objects.release(group);
        }
    }

    /// Gives up everything.
    pub(crate) fn release(mut self, objects: &mut Objects) {
        self.release_group(objects);
        self.hop_ids.drain(..).for_each(|id| objects.release(id));
    }
}

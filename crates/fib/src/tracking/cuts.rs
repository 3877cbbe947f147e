//! Ways that somebody else has found cut, BFD above all: the link works, the kernel trusts its neighbour, and nothing
//! arrives. And whether a node that was asked for a sign of life has given one.
//!
//! A cut is by the address that was watched and holds for every next hop at that address of the same link, also for one
//! that was found by it (an IPv4-mapped one). It ends when whoever said it takes it back.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::facts::NeighborKey;
use crate::kernel::NeighborState;
use crate::view::Via;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    cut: BTreeMap<NeighborKey, Arc<str>>,
    /// Who was asked, and has answered since.
    asked: BTreeMap<NeighborKey, bool>,
}

impl Cuts {
    /// Enters a cut, or takes it out; whether that is news.
    pub(super) fn set(&mut self, key: NeighborKey, why: Option<Arc<str>>) -> bool {
        match why {
            Some(why) => self.cut.insert(key, why).is_none(),
            None => self.cut.remove(&key).is_some(),
        }
    }

    /// Why the way by this gateway is cut, for a next hop that means `anchor`.
    pub(super) fn of(&self, via: Via, anchor: IpAddr) -> Option<&str> {
        let cut = self.cut.get(&(via.ifindex, via.gateway)).or_else(|| self.cut.get(&(via.ifindex, anchor)));
        cut.map(AsRef::as_ref)
    }

    /// A node is asked.
    pub(super) fn ask(&mut self, key: NeighborKey) {
        self.asked.insert(key, false);
    }

    /// Whether it has answered since it was asked; none where it was not.
    pub(crate) fn answered(&self, key: &NeighborKey) -> Option<bool> {
        self.asked.get(key).copied()
    }

    /// The answer does not matter any more.
    pub(crate) fn forget_question(&mut self, key: &NeighborKey) {
        self.asked.remove(key);
    }

    /// A neighbour entry was reported: one that is Reachable has answered.
    pub(super) fn note(&mut self, key: NeighborKey, state: NeighborState) {
        if state == NeighborState::Reachable
            && let Some(answered) = self.asked.get_mut(&key)
        {
            *answered = true;
        }
    }
}

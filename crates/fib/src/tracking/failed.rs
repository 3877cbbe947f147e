//! Neighbours that did not answer (`NUD_FAILED`), RFC 4861 section 7.3.2.
//!
//! A neighbour stays failed until its entry is valid again: while it is asked for anew it is INCOMPLETE, and the kernel
//! forgets the entry of a dead node after a while; neither means that it answers.

use std::collections::BTreeSet;

use crate::kernel::NeighborState;
use crate::tracking::facts::NeighborKey;

/// The failed ones.
#[derive(Debug, Default)]
pub(crate) struct Failed {
    keys: BTreeSet<NeighborKey>,
}

impl Failed {
    pub(crate) fn note(&mut self, key: NeighborKey, state: NeighborState) {
        if state == NeighborState::Failed {
            self.keys.insert(key);
        } else if state.is_valid() {
            self.keys.remove(&key);
        }
    }

    pub(crate) fn contains(&self, key: &NeighborKey) -> bool {
        self.keys.contains(key)
    }

    /// Forgets the neighbour: its entry is gone and nobody needs it.
    pub(crate) fn forget(&mut self, key: &NeighborKey) {
        self.keys.remove(key);
    }

    /// Forgets a link's neighbours: after it was down, everybody is new.
    pub(crate) fn forget_link(&mut self, ifindex: u32) {
        self.keys.retain(|(link, _)| *link != ifindex);
    }
}

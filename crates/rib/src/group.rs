//! Update groups: peers that are told the same share one Adj-RIB-Out.
//!
//! A group holds one id for each prefix, the attribute set of the route that is announced, so policy runs once and not
//! once for each peer; where the policy lets everything pass, what the Loc-RIB holds says as much. What a set becomes
//! on the way out is worked out when it is written, and the last of it are kept (`rewritten`). What differs from peer
//! to peer, that a route does not go back to where it came from and what has been sent already, is found when the peer
//! pulls.

use bgp_policy::Policy;
use bgp_wire::{Family, NextHop, PeerKind};

use crate::checks;
use crate::column::Column;
use crate::config::PeerSettings;
use crate::export::{self, Best, Exports};
use crate::interned::NONE;
use crate::rewritten::Rewritten;
use crate::seed::Seed;

/// What peers of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) kind: PeerKind,
    pub(crate) policy: Policy,
    pub(crate) family: Family,
    /// What we announce as ourselves; `None` where we have no address that fits.
    pub(crate) next_hop: Option<NextHop>,
    pub(crate) next_hop_self: bool,
    /// See [`PeerSettings::graceful_shutdown`].
    pub(crate) graceful_shutdown: bool,
    /// Next hops of the other AFI may be sent.
    pub(crate) extended_next_hop: bool,
    /// The peer has sent the Long-Lived Graceful Restart capability: it may be told what carries LLGR_STALE, RFC 9494
    /// section 4.3.
    pub(crate) long_lived: bool,
}

impl Profile {
    /// `None` where the peer gets no routes.
    pub(crate) fn new(settings: &PeerSettings, family: Family) -> Option<Self> {
        let policy = checks::export_policy(settings)?;
        let next_hop = export::own_next_hop(settings, family);
        if !settings.families[family] || (next_hop.is_none() && settings.kind == PeerKind::External) {
            return None;
        }
        Some(Self {
            kind: settings.kind,
            policy,
            family,
            next_hop,
            next_hop_self: settings.next_hop_self,
            graceful_shutdown: settings.graceful_shutdown,
            extended_next_hop: settings.encode.extended_next_hop[family],
            long_lived: settings.long_lived,
        })
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) profile: Profile,
    /// For each prefix the attribute set that is announced, held; nothing of its own where no policy looks at prefixes.
    pub(crate) cells: Option<Column>,
    /// Places of its peers.
    pub(crate) members: Vec<usize>,
    pub(crate) rewritten: Rewritten,
    /// Counts changes of what peers are to have.
    pub(crate) version: u64,
    /// The next prefix id to look at while a new group is filled; nothing is sent before that is done.
    pub(crate) filling: Option<u32>,
}

impl Group {
    pub(crate) fn new(profile: Profile, seed: Seed) -> Self {
        let cells = (profile.policy != Policy::All).then(|| Column::new(seed));
        Self {
            profile,
            filling: cells.is_some().then_some(0),
            cells,
            members: Vec::new(),
            rewritten: Rewritten::new(seed),
            version: 0,
        }
    }

    /// What is announced of a prefix with this best path.
    #[inline]
    pub(crate) fn announced(&self, id: u32, best: Best, from: Exports<'_>) -> Option<Best> {
        match &self.cells {
            Some(cells) => Some(Best { set: cells.get(id).set(), ..best }).filter(|best| best.set != NONE),
            None => Some(best).filter(|best| from.passes(&self.profile, *best)),
        }
    }

    /// Whether peers get the same for both.
    pub(crate) fn same(&mut self, a: Best, b: Best, from: Exports<'_>) -> bool {
        if a == b {
            return true;
        }
        if from.plainly_differ(a.set, b.set) {
            return false;
        }
        let mut key = |best| Some(self.rewritten.get(&self.profile, best, from)?.key);
        let first = key(a);
        first.is_some() && first == key(b)
    }
}

//! One peer: its settings, what it announced and what it was told.

use std::collections::VecDeque;

use bgp_wire::{Family, PerFamily};

use crate::batch::Batch;
use crate::column::Column;
use crate::config::{PeerId, PeerSettings};
use crate::forwarding::RouteSource;
use crate::handover::Known;
use crate::ids::IdSet;
use crate::seed::Seed;

/// See the module.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) settings: PeerSettings,
    pub(crate) credit: Credit,
    /// The family that it is told of first, where it waits for both.
    pub(crate) first: Family,
    pub(crate) families: PerFamily<PeerFamily>,
}

/// One family of it.
#[derive(Debug)]
pub(crate) struct PeerFamily {
    /// The Adj-RIB-In, before policy.
    pub(crate) received: Column,
    /// The prefix that it spoke of last.
    pub(crate) last: u32,
    /// How many of its cells nothing refuses.
    pub(crate) accepted: u64,
    /// How many are best or in a multipath set.
    pub(crate) used: u64,
    /// How many are stale.
    pub(crate) stale: u64,
    pub(crate) end_of_rib_received: bool,
    /// The peer is between its BoRR and its EoRR, RFC 7313 section 4.
    pub(crate) refreshing: bool,
    /// Settings have changed: prefixes from this id on have not been judged again.
    pub(crate) judged_to: Option<u32>,
    /// Its paths do better or worse beside others than before: their prefixes are decided again when they are judged.
    pub(crate) competes_anew: bool,
    pub(crate) warned: bool,
    pub(crate) exceeded: bool,
    pub(crate) out: PeerOut,
}

/// What a peer was told and is still to be told; routes themselves are with its update group.
#[derive(Debug, Default)]
pub(crate) struct PeerOut {
    /// Update group in the family's table; `None` where nothing is announced.
    pub(crate) group: Option<usize>,
    /// Prefixes that it has from us.
    pub(crate) sent: IdSet,
    /// Prefixes whose change it has not been told.
    pub(crate) pending: IdSet,
    /// The peer is to be told everything: from this id on it has not been seen what that is. Nothing is sent before.
    pub(crate) caught_up_to: Option<u32>,
    /// Those of them that are to come first, if they still wait.
    pub(crate) urgent: VecDeque<u32>,
    /// Some of those, taken out and sorted by what is to be announced; zero stands for nothing. Each holds its prefix.
    pub(crate) batch: Batch,
    /// The group's version when the batch was sorted.
    pub(crate) sorted_at: u64,
    /// Lent out to write one run of the batch.
    pub(crate) scratch: Vec<u32>,
    pub(crate) end_of_rib: EndOfRib,
    /// A refresh that the peer asked for has not begun.
    pub(crate) refresh_due: bool,
    /// Our BoRR is out, our EoRR is not.
    pub(crate) refreshing: bool,
    /// What it has from an earlier process, for prefixes that it has not pulled from this one.
    pub(crate) known: Known,
}

/// As many prefixes as come first at a time; more than that is a table itself.
const URGENT_MAX: usize = 4096;

impl PeerOut {
    /// Has a prefix wait, and come first if it is urgent; whether it did not wait before.
    pub(crate) fn wait(&mut self, id: u32, pace: Pace) -> bool {
        if pace == Pace::Urgent && self.urgent.len() < URGENT_MAX {
            self.urgent.push_back(id);
        }
        self.pending.insert(id)
    }

    /// Has everything that the peer has, or is to have, wait; `ids` is how many prefix ids there are.
    pub(crate) fn catch_up(&mut self, ids: usize) {
        self.caught_up_to = (ids > 0).then_some(0);
    }

    /// Whether there is anything to be written.
    pub(crate) fn waits(&self) -> bool {
        let marks = self.end_of_rib == EndOfRib::Due || self.refresh_due || self.refreshing;
        marks || !self.pending.is_empty() || !self.batch.is_empty()
    }
}

/// How a change makes its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Of a peer that says little: it does not wait behind what others have to say.
    Urgent,
    /// One of many.
    Bulk,
}

/// Changes of a peer that are urgent, from one portion of decisions to the next.
const URGENT_CHANGES: u32 = 64;
/// With more than this behind it, what a peer says is a table: as much as if all changes were urgent round after round.
const TABLE: u32 = 4 * URGENT_CHANGES;
/// What is behind a peer is no more than this, so that it is forgotten in some rounds.
const BEHIND_MAX: u32 = 8 * TABLE;

/// How many changes of a peer are still urgent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Credit {
    round: u32,
    used: u32,
    /// Changes of the rounds before, a quarter of which is forgotten in each. A table comes in pieces, as a socket brings it:
    /// a round with the rest of a piece, or with nothing, is not the end of it.
    behind: u32,
}

impl Credit {
    /// The credit in a round, which is full when the round is new and what was said in those before is no table.
    pub(crate) fn in_round(self, round: u32) -> Self {
        let passed = round.wrapping_sub(self.round);
        if passed == 0 {
            return self;
        }
        let said = self.behind.saturating_add(self.used).min(BEHIND_MAX);
        // Nothing is left after so many.
        let behind = (0..passed.min(u32::BITS)).fold(said, |behind, _| behind - behind.div_ceil(4));
        Self { round, used: 0, behind }
    }

    /// How the next change is to go.
    pub(crate) fn take(&mut self) -> Pace {
        self.used = self.used.saturating_add(1);
        if self.behind > TABLE || self.used > URGENT_CHANGES { Pace::Bulk } else { Pace::Urgent }
    }
}

/// Our End-of-RIB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum EndOfRib {
    /// Not before the session is up.
    #[default]
    Never,
    /// When everything that waits is out.
    Due,
    /// It is out.
    Sent,
}

impl Peer {
    pub(crate) fn new(id: PeerId, settings: PeerSettings, seed: Seed) -> Self {
        let families = PerFamily::from_fn(|_| PeerFamily::new(seed));
        Self { id, settings, credit: Credit::default(), first: Family::Ipv4Unicast, families }
    }

    pub(crate) fn source(&self) -> RouteSource {
        match self.settings.kind {
            bgp_wire::PeerKind::External => RouteSource::External,
            bgp_wire::PeerKind::Internal => RouteSource::Internal,
        }
    }

    pub(crate) fn speaks(&self, family: Family) -> bool {
        self.settings.families[family]
    }

    /// Changes its settings, and notes where its paths do better or worse by that than before.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut PeerSettings)) {
        let looked_at =
            |settings: &PeerSettings| (settings.kind, settings.router_id, settings.address, settings.weight);
        let before = looked_at(&self.settings);
        change(&mut self.settings);
        if looked_at(&self.settings) != before {
            Family::ALL.iter().for_each(|family| self.families[*family].competes_anew = true);
        }
    }
}

impl PeerFamily {
    fn new(seed: Seed) -> Self {
        Self {
            received: Column::new(seed),
            last: u32::MAX,
            accepted: 0,
            used: 0,
            stale: 0,
            end_of_rib_received: false,
            refreshing: false,
            judged_to: None,
            competes_anew: false,
            warned: false,
            exceeded: false,
            out: PeerOut::default(),
        }
    }

    /// Has everything be stale.
    pub(crate) fn mark_stale(&mut self) {
        let all = u64::try_from(self.received.len()).unwrap_or(u64::MAX);
        if self.stale < all {
            self.received.mark_stale(self.stale);
            self.stale = all;
        }
    }

    /// Counts a cell in or out.
    pub(crate) fn count(&mut self, cell: crate::column::Cell, change: Change) {
        let step = |count: &mut u64, on: bool| {
            if on {
                *count = match change {
                    Change::In => count.saturating_add(1),
                    Change::Out => count.saturating_sub(1),
                };
            }
        };
        let there = !cell.is_none();
        step(&mut self.accepted, there && !cell.refused());
        step(&mut self.used, there && cell.used());
        step(&mut self.stale, there && cell.stale());
    }
}

/// Direction of [`PeerFamily::count`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// A cell appears.
    In,
    /// A cell goes.
    Out,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_much_waits_until_it_has_said_little_for_some_rounds() {
        let urgent = |credit: &mut Credit, round, changes: usize| {
            *credit = credit.in_round(round);
            std::iter::repeat_with(|| credit.take())
                .take(changes)
                .filter(|pace| *pace == Pace::Urgent)
                .count()
        };
        let mut credit = Credit::default();
        assert_eq!(urgent(&mut credit, 1, 500), 64);
        assert_eq!(urgent(&mut credit, 1, 5), 0);
        assert_eq!(urgent(&mut credit, 2, 500), 0, "a table goes on");
        assert_eq!(urgent(&mut credit, 3, 5), 0, "the rest of what was read");
        assert_eq!(urgent(&mut credit, 4, 500), 0, "it goes on all the same");
        assert_eq!(urgent(&mut credit, 6, 500), 0, "also when there was nothing in between");
        assert_eq!(urgent(&mut credit, 14, 5), 5, "it has ended");
        for round in 15..100 {
            assert_eq!(urgent(&mut credit, round, 64), 64, "who never says more than that is never late");
        }
        assert_eq!(urgent(&mut credit, 1000, 500), 64);
    }
}

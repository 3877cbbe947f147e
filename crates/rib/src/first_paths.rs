//! Decisions where a prefix had no path and has one now, as nearly all do while a table is learned.
//!
//! What comes of such a path depends on its peer and its attribute set alone, and both are those of its neighbours more
//! often than not. So that is worked out once for a run of them, and the sets of ids that wait downstream take in a word at
//! a time. Whatever is not as plain as that is left to `decide`.

use bgp_wire::Family;

use crate::column::Cell;
use crate::export::{Best, Exports};
use crate::ids::{Word, bit};
use crate::peer::Peer;
use crate::rib::Rib;
use crate::table::{Place, Places, Table};

/// What comes of the first path of a prefix.
struct Run {
    place: usize,
    cell: Cell,
    /// Of the next hop, held once by the run.
    forwarding: u32,
    /// Who refers to the prefix from then on: those downstream that wait for it, and its entry, which has a best path.
    holders: u16,
}

impl Rib {
    /// Decides those of `word`, which were taken out of those that wait, that have their first path; the others are left.
    pub(crate) fn decide_first_paths(&mut self, family: Family, word: Word) -> Word {
        let mut waiting = self.plain(family, word);
        let mut left = word.without(waiting.bits);
        while let Some(id) = waiting.ids().next() {
            let run =
                self.first_path(family, id).and_then(|(place, cell)| self.begin_run(family, place, cell));
            let taken = run.map_or(0, |run| {
                let taken = self.follow(family, &run, waiting);
                self.end_run(family, &run, taken);
                taken.bits
            });
            if taken == 0 {
                left.bits |= bit(id);
            }
            waiting = waiting.without(taken | bit(id));
        }
        left
    }

    /// Those for which nobody waits yet, where nobody's policy looks at prefixes.
    fn plain(&self, family: Family, word: Word) -> Word {
        let table = &self.tables[family];
        let groups = || table.groups.iter().flatten();
        if table.local.len() > 0 || groups().any(|group| group.cells.is_some()) {
            return Word { bits: 0, ..word };
        }
        let members = groups().flat_map(|group| &group.members).filter_map(|place| self.peer(*place));
        let waiting = members.fold(table.untold.word(word.index), |waiting, peer| {
            waiting | peer.families[family].out.pending.word(word.index)
        });
        Word { bits: word.bits & !waiting, ..word }
    }

    /// The only path of a prefix that had none.
    fn first_path(&self, family: Family, id: u32) -> Option<(usize, Cell)> {
        let entry = self.tables[family].entry(id);
        if !entry.is_fresh() {
            return None;
        }
        let mut found = None;
        for place in entry.paths.iter(self.peers.len()) {
            let cell = self.peer(place).map_or(Cell::NONE, |peer| peer.families[family].received.get(id));
            if !cell.is_none() && found.replace((place, cell)).is_some() {
                return None;
            }
        }
        found.filter(|(_, cell)| !cell.used())
    }

    /// Works out what comes of a path; `None` where it cannot be used.
    fn begin_run(&mut self, family: Family, place: usize, cell: Cell) -> Option<Run> {
        let source = self.peer(place)?.source();
        let hop = self.sets.get(cell.set())?.hop;
        if cell.refused() || self.hops.metric(hop).is_none() {
            return None;
        }
        let best = Best { set: cell.set(), source };
        let mut listeners = 0usize;
        self.each_listener(family, best, |_| listeners += 1);
        // More than can be counted is left to who counts one by one.
        let holders = u16::try_from(listeners).ok()?.checked_add(2)?;
        let forwarding = self.forwardings.intern_one(hop, source, &mut self.hops);
        Some(Run { place, cell, forwarding, holders })
    }

    /// Calls `listen` for every peer that is to be told.
    fn each_listener(&mut self, family: Family, best: Best, mut listen: impl FnMut(&mut Peer)) {
        let from = Exports { sets: &self.sets, hops: &self.hops, local_asn: self.config.local_asn };
        for group in self.tables[family].groups.iter_mut().flatten() {
            if !from.passes(&group.profile, best) {
                continue;
            }
            group.version = group.version.wrapping_add(1);
            for place in &group.members {
                if let Some(Some(peer)) = self.peers.get_mut(*place) {
                    listen(peer);
                }
            }
        }
    }

    /// Loc-RIB: takes in those that wait, the first of them and as many behind it as what has been worked out holds for.
    fn follow(&mut self, family: Family, run: &Run, waiting: Word) -> Word {
        let mut taken = Word { bits: 0, ..waiting };
        let waiting =
            if self.peers.len() > Places::APART { self.alike(family, run, waiting) } else { waiting };
        let Some(Some(peer)) = self.peers.get_mut(run.place) else { return taken };
        let (received, table) = (&mut peer.families[family].received, &mut self.tables[family]);
        for id in waiting.ids() {
            let Some(entry) = table.entry_mut(id) else { break };
            if !entry.is_fresh() || !entry.paths.is_only(run.place) {
                break;
            }
            let before =
                received.change(id, |cell| if cell == run.cell { cell.with_used(true) } else { cell });
            if before != run.cell {
                break;
            }
            entry.begin(Place::of(run.place), run.cell.set(), run.forwarding, run.holders);
            taken.bits |= bit(id);
        }
        taken
    }

    /// The first of those that wait, as far as their only path is that of the run: where peers are many, several share a bit of
    /// those that may have announced a prefix.
    #[cold]
    fn alike(&self, family: Family, run: &Run, waiting: Word) -> Word {
        let same = |id: &u32| self.first_path(family, *id) == Some((run.place, run.cell));
        let bits = waiting.ids().take_while(same).fold(0, |bits, id| bits | bit(id));
        Word { bits, ..waiting }
    }

    /// Has those downstream wait for what a run has taken.
    fn end_run(&mut self, family: Family, run: &Run, taken: Word) {
        let routes = taken.bits.count_ones();
        let set = run.cell.set();
        if let Some(Some(peer)) = self.peers.get_mut(run.place) {
            let used = &mut peer.families[family].used;
            *used = used.saturating_add(u64::from(routes));
        }
        self.sets.hold_times(set, routes);
        self.forwardings.hold_times(run.forwarding, routes);
        self.forwardings.release(run.forwarding, &mut self.hops);
        let Table { untold, best, .. } = &mut self.tables[family];
        untold.insert_word(taken);
        *best += u64::from(routes);
        let source = self.forwardings.source(run.forwarding);
        self.each_listener(family, Best { set, source }, |peer| {
            peer.families[family].out.pending.insert_word(taken);
        });
    }
}

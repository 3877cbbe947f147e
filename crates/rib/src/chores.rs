//! What is done in portions beside the decision: what lost peers left is given back, what was announced under other settings
//! is judged again, stale routes become the last choice, and prefixes are looked for that are to be decided again.

use bgp_wire::Family;

use crate::checks;
use crate::column::Cell;
use crate::rib::Rib;
use crate::table::Orphan;

impl Rib {
    /// Judges some of what was announced by peers whose settings have changed.
    pub(crate) fn judge_again(&mut self, family: Family, budget: usize) {
        let table = &mut self.tables[family];
        let (sets, hops, us) = (&self.sets, &self.hops, self.config.router_id);
        for peer in self.peers.iter_mut().flatten() {
            let (state, settings) = (&mut peer.families[family], &peer.settings);
            let Some(first) = state.judged_to else { continue };
            let (mut id, mut left) = (first, budget.max(1));
            while left > 0 && (id as usize) < table.ids() {
                left -= 1;
                let at = id;
                id += 1;
                let cell = state.received.get(at);
                if cell.is_none() {
                    continue;
                }
                let refused = match (table.prefixes.prefix(at), sets.get(cell.set())) {
                    (Some(prefix), Some(set)) => {
                        !checks::policy_accepts(settings, prefix, &set)
                            || checks::refusal_of_set(settings, &set, hops, us).is_some()
                    }
                    _ => true,
                };
                let changed = refused != cell.refused();
                if changed {
                    state.received.change(at, |cell| cell.with_refused(refused));
                    let step = if refused { u64::saturating_sub } else { u64::saturating_add };
                    state.accepted = step(state.accepted, 1);
                }
                if changed || state.competes_anew {
                    table.mark(at);
                }
            }
            state.judged_to = Some(id).filter(|id| (*id as usize) < table.ids());
            state.competes_anew &= state.judged_to.is_some();
        }
    }

    /// Gives back some of what peers and groups left behind.
    pub(crate) fn sweep_orphans(&mut self, family: Family, budget: usize) {
        let table = &mut self.tables[family];
        let Some(mut orphan) = table.orphans.pop() else { return };
        let mut left = budget.max(1);
        let emptied = match &mut orphan {
            Orphan::Received(column) => match column.drain_some(left) {
                Some(cells) => {
                    for (id, cell) in cells {
                        table.mark(id);
                        table.release(id);
                        self.sets.release(cell.set(), &mut self.hops);
                    }
                    false
                }
                None => true,
            },
            Orphan::Exported(column) => match column.drain_some(left) {
                Some(cells) => {
                    for (id, cell) in cells {
                        table.release(id);
                        self.sets.release(cell.set(), &mut self.hops);
                    }
                    false
                }
                None => true,
            },
            Orphan::Prefixes(ids) => loop {
                let Some(id) = ids.pop() else { break true };
                table.release(id);
                left -= 1;
                if left == 0 {
                    break ids.is_empty();
                }
            },
        };
        if !emptied {
            table.orphans.push(orphan);
        }
    }

    /// Looks at some prefixes for those that are to be decided again: one of their next hops has changed, or what holds
    /// for all.
    pub(crate) fn rescan(&mut self, family: Family, budget: usize) {
        let (table, sets) = (&mut self.tables[family], &self.sets);
        if table.rescan.is_idle() {
            return;
        }
        let ids = table.ids();
        for id in table.rescan.next_ids(budget, ids) {
            let rescan = &table.rescan;
            let changed = |place: usize| {
                let peer = self.peers.get(place).and_then(Option::as_ref);
                let cell = peer.map_or(Cell::NONE, |peer| peer.families[family].received.get(id));
                sets.get(cell.set()).is_some_and(|set| rescan.seeks(set.hop))
            };
            if rescan.seeks_all() {
                table.mark_if_used(id);
            } else if table.entry(id).paths.iter(self.peers.len()).any(changed) {
                table.mark(id);
            }
        }
        table.rescan.finish(ids).iter().for_each(|hop| self.hops.release(hop));
    }

    /// Has some of the stale routes become the last choice, of peers whose restart time is over.
    pub(crate) fn age(&mut self, family: Family, budget: usize) {
        let ids = u32::try_from(self.tables[family].ids()).unwrap_or(u32::MAX);
        let most = u32::try_from(budget.max(1)).unwrap_or(u32::MAX);
        for (place, first) in std::mem::take(&mut self.tables[family].aging) {
            let end = first.saturating_add(most).min(ids);
            self.make_long_lived(place, family, first..end);
            if end < ids {
                self.tables[family].aging.push((place, end));
            } else {
                // A policy may look at communities.
                self.reevaluate(place, family);
            }
        }
    }
}

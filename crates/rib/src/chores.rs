//! What is done in portions beside the decision: what lost peers left is given back, what was announced under other settings
//! is judged again, and prefixes are looked for whose next hop has changed.

use bgp_wire::Family;

use crate::checks;
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
                let Some(cell) = state.received.get_mut(at) else { continue };
                let refused = match (table.prefixes.prefix(at), sets.get(cell.set())) {
                    (Some(prefix), Some(set)) => {
                        !checks::policy_accepts(settings, prefix, &set)
                            || checks::refusal_of_set(settings, &set, hops, us).is_some()
                    }
                    _ => true,
                };
                if refused != cell.refused() {
                    *cell = cell.with_refused(refused);
                    let step = if refused { u64::saturating_sub } else { u64::saturating_add };
                    state.accepted = step(state.accepted, 1);
                    table.mark(at);
                }
            }
            state.judged_to = Some(id).filter(|id| (*id as usize) < table.ids());
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

    /// Looks at some prefixes for one whose next hop has changed.
    pub(crate) fn rescan(&mut self, family: Family, budget: usize) {
        let table = &mut self.tables[family];
        for _ in 0..budget {
            if table.rescan.is_idle() {
                break;
            }
            let (id, changed) = table.rescan.step();
            let touched = self.peers.iter().flatten().any(|peer| {
                let cell = peer.families[family].received.get(id);
                !cell.is_none() && self.sets.get(cell.set()).is_some_and(|set| changed.contains(&set.hop))
            });
            if touched {
                table.mark(id);
            }
            for hop in table.rescan.finish(table.ids()) {
                self.hops.release(hop);
            }
        }
    }
}

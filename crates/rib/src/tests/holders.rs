//! Counts holders again from scratch: what is counted while things happen must be what is there.

use std::collections::HashMap;

use bgp_wire::Family;

use crate::Rib;
use crate::interned::NONE;
use crate::table::Orphan;

/// Panics where an id has more or fewer holders than it should.
pub(super) fn check(rib: &Rib) {
    let mut sets: HashMap<u32, u32> = HashMap::new();
    let mut forwardings: HashMap<u32, u32> = HashMap::new();
    for family in Family::ALL {
        let table = &rib.tables[family];
        let mut prefixes: HashMap<u32, u32> = HashMap::new();
        let mut hold = |id: u32| *prefixes.entry(id).or_default() += 1;
        table.local.iter().for_each(|(id, cell)| {
            hold(id);
            *sets.entry(cell.set()).or_default() += 1;
        });
        for orphan in &table.orphans {
            match orphan {
                Orphan::Received(column) => column.iter().for_each(|(id, cell)| {
                    hold(id);
                    *sets.entry(cell.set()).or_default() += 1;
                }),
                Orphan::Exported(column) => column.iter().for_each(|(id, cell)| {
                    hold(id);
                    *sets.entry(cell.set()).or_default() += 1;
                }),
                Orphan::Prefixes(ids) => ids.iter().for_each(&mut hold),
            }
        }
        for peer in rib.peers.iter().flatten() {
            let state = &peer.families[family];
            let (mut accepted, mut used, mut stale) = (0, 0, 0);
            state.received.iter().for_each(|(id, cell)| {
                hold(id);
                *sets.entry(cell.set()).or_default() += 1;
                accepted += u64::from(!cell.refused());
                used += u64::from(cell.used());
                stale += u64::from(cell.stale());
            });
            assert_eq!((accepted, used, stale), (state.accepted, state.used, state.stale));
            state.out.sent.iter().for_each(&mut hold);
            state.out.pending.iter().for_each(&mut hold);
            state.out.batch.ids().iter().copied().for_each(&mut hold);
        }
        for group in table.groups.iter().flatten() {
            for (id, cell) in group.cells.iter().flat_map(|cells| cells.iter()) {
                hold(id);
                *sets.entry(cell.set()).or_default() += 1;
            }
        }
        table.undecided.iter().for_each(&mut hold);
        table.untold.iter().for_each(&mut hold);
        let mut best = 0;
        for id in 0..u32::try_from(table.ids()).unwrap() {
            let entry = table.entry(id);
            if entry.best_set != NONE {
                hold(id);
                best += 1;
                *sets.entry(entry.best_set).or_default() += 1;
            }
            if entry.forwarding != NONE {
                *forwardings.entry(entry.forwarding).or_default() += 1;
            }
        }
        for (id, told) in table.all_told() {
            assert!(table.untold.contains(id), "{family} prefix {id}");
            if told != NONE {
                *forwardings.entry(told).or_default() += 1;
            }
        }
        assert_eq!(best, table.best);
        for id in 0..u32::try_from(table.ids()).unwrap() {
            let holders = prefixes.get(&id).copied().unwrap_or(0);
            assert_eq!(table.entry(id).holders(), holders, "{family} prefix {id}");
            let known = table.prefixes.prefix(id).and_then(|prefix| table.prefixes.find(prefix)) == Some(id);
            assert_eq!(known, holders > 0, "{family} prefix {id}");
        }
    }
    assert_eq!(rib.sets.holders(), sets);
    assert_eq!(rib.forwardings.holders(), forwardings);
}

/// Panics where anything is left in a RIB that has no peers and no networks.
pub(super) fn check_empty(rib: &mut Rib) {
    rib.take_next_hop_changes(&mut Vec::new());
    check(rib);
    assert_eq!(rib.sizes(), crate::Sizes::default());
    for family in Family::ALL {
        assert_eq!(rib.prefixes(family).count(), 0);
    }
}

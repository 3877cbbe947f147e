//! What one peer announced in one family: a cell for each prefix id.
//!
//! A peer that sends few prefixes gets a small map, one that sends much of the table a plain array that the prefix id
//! indexes: four octets a prefix, and the loss of a peer is a linear sweep. The map becomes an array above an eighth of
//! the table; the array becomes a map again when it is empty, or when stale cells go and a sixty-fourth of it is left.
//!
//! All of a peer's routes become stale at the moment its session is lost, and a million cells are not walked through then:
//! the mark of what is stale is kept the other way round from there on.

use hashbrown::HashMap;

use crate::paged::Paged;
use crate::seed::Seed;

/// One path: the id of its attribute set and what has been found out about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Cell(u32);

impl Cell {
    /// No path.
    pub(crate) const NONE: Self = Self(0);
    const STALE: u32 = 1 << 31;
    const REFUSED: u32 = 1 << 30;
    const USED: u32 = 1 << 29;
    const SET: u32 = Self::USED - 1;

    pub(crate) fn new(set: u32) -> Self {
        Self(set & Self::SET)
    }

    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The attribute set; zero where there is no path.
    pub(crate) fn set(self) -> u32 {
        self.0 & Self::SET
    }

    /// The same marks on another attribute set.
    pub(crate) fn with_set(self, set: u32) -> Self {
        Self((self.0 & !Self::SET) | (set & Self::SET))
    }

    /// Kept from before a restart of the peer, RFC 4724.
    pub(crate) fn stale(self) -> bool {
        self.0 & Self::STALE != 0
    }

    /// Policy or a check refuses it.
    pub(crate) fn refused(self) -> bool {
        self.0 & Self::REFUSED != 0
    }

    /// Best, or in the multipath set.
    pub(crate) fn used(self) -> bool {
        self.0 & Self::USED != 0
    }

    pub(crate) fn with_stale(self, on: bool) -> Self {
        self.with(Self::STALE, on)
    }

    pub(crate) fn with_refused(self, on: bool) -> Self {
        self.with(Self::REFUSED, on)
    }

    pub(crate) fn with_used(self, on: bool) -> Self {
        self.with(Self::USED, on)
    }

    fn with(self, flag: u32, on: bool) -> Self {
        Self(if on { self.0 | flag } else { self.0 & !flag })
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// As they are kept: [`turn`] says what that means.
    cells: Cells,
    seed: Seed,
    len: usize,
    /// [`Cell::STALE`] while cells that are not stale have the mark where they are kept, else zero.
    turned: u32,
}

#[derive(Clone, Debug)]
enum Cells {
    Sparse(HashMap<u32, Cell, Seed>),
    Dense(Paged<Cell>),
}

/// Above this many cells a map is never kept: growing it would take too long at a time.
const SPARSE_MAX: usize = 32_768;
/// So many places are looked at together for stale cells.
const AT_ONCE: usize = 64;
/// Of so many places one holds a path where an array is no use any more.
const THIN: usize = 64;

impl Column {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { cells: Cells::Sparse(HashMap::with_hasher(seed)), seed, len: 0, turned: 0 }
    }

    /// How many cells hold a path.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, id: u32) -> Cell {
        let kept = match &self.cells {
            Cells::Sparse(map) => map.get(&id),
            Cells::Dense(cells) => cells.get(id as usize),
        };
        kept.map_or(Cell::NONE, |kept| turn(*kept, self.turned))
    }

    /// Changes the marks of a cell, if it holds a path, and gives back what it was.
    #[inline]
    pub(crate) fn change(&mut self, id: u32, change: impl FnOnce(Cell) -> Cell) -> Cell {
        let kept = match &mut self.cells {
            Cells::Sparse(map) => map.get_mut(&id),
            Cells::Dense(cells) => cells.get_mut(id as usize),
        };
        let Some(kept) = kept.filter(|kept| !kept.is_none()) else { return Cell::NONE };
        let before = Cell(kept.0 ^ self.turned);
        kept.0 = change(before).0 ^ self.turned;
        before
    }

    /// [`Column::replace`] where nothing is there, and most often nothing behind either.
    #[inline]
    pub(crate) fn add(&mut self, id: u32, cell: Cell, ids: usize) {
        match &mut self.cells {
            Cells::Dense(cells) if id as usize == cells.len() && !cell.is_none() => {
                cells.push(Cell(cell.0 ^ self.turned));
                self.len += 1;
            }
            Cells::Dense(_) | Cells::Sparse(_) => {
                self.replace(id, cell, ids);
            }
        }
    }

    /// Puts `cell` in its place and gives back what was there; `ids` is how many prefix ids the table has.
    pub(crate) fn replace(&mut self, id: u32, cell: Cell, ids: usize) -> Cell {
        let kept = turn(cell, self.turned);
        let old = match &mut self.cells {
            Cells::Sparse(map) if kept.is_none() => map.remove(&id).unwrap_or(Cell::NONE),
            Cells::Sparse(map) => map.insert(id, kept).unwrap_or(Cell::NONE),
            Cells::Dense(cells) => put(cells, id, kept),
        };
        match (old.is_none(), cell.is_none()) {
            (true, false) => self.grown(ids),
            (false, true) => self.shrunk(),
            (true, true) | (false, false) => {}
        }
        turn(old, self.turned)
    }

    fn grown(&mut self, ids: usize) {
        self.len += 1;
        let Cells::Sparse(map) = &self.cells else { return };
        if is_for_array(self.len, ids) {
            let mut cells = Paged::default();
            cells.grow(ids, Cell::NONE);
            for (id, cell) in map {
                put(&mut cells, *id, *cell);
            }
            self.cells = Cells::Dense(cells);
        }
    }

    fn shrunk(&mut self) {
        self.len -= 1;
        if self.len == 0 {
            self.cells = Cells::Sparse(HashMap::with_hasher(self.seed));
        }
    }

    /// Makes a map of an array of which little is left: who walks through it is not to walk through what was there
    /// once.
    fn thin_out(&mut self) {
        if let Cells::Dense(cells) = &self.cells
            && self.len <= (cells.len() / THIN).min(SPARSE_MAX / 2)
        {
            let mut map = HashMap::with_capacity_and_hasher(self.len, self.seed);
            map.extend((0u32..).zip(cells.iter().copied()).filter(|(_, kept)| !kept.is_none()));
            self.cells = Cells::Sparse(map);
        }
    }

    /// Marks all cells as stale, of which so many are.
    pub(crate) fn mark_stale(&mut self, stale: u64) {
        if stale == 0 {
            self.turned ^= Cell::STALE;
            return;
        }
        let turned = self.turned;
        let mark = |kept: &mut Cell| *kept = turn(turn(*kept, turned).with_stale(true), turned);
        match &mut self.cells {
            Cells::Sparse(map) => map.values_mut().for_each(mark),
            Cells::Dense(cells) => cells.iter_mut().filter(|kept| !kept.is_none()).for_each(mark),
        }
    }

    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = (u32, Cell)> + '_> {
        match &self.cells {
            Cells::Sparse(map) => Box::new(map.iter().map(|(id, kept)| (*id, turn(*kept, self.turned)))),
            Cells::Dense(cells) => {
                let cells = (0u32..).zip(cells.iter().map(|kept| turn(*kept, self.turned)));
                Box::new(cells.filter(|(_, cell)| !cell.is_none()))
            }
        }
    }

    /// Takes the stale cells out, of which there are so many, as a column of their own; `ids` is how many prefix ids
    /// the table has.
    pub(crate) fn split_stale(&mut self, count: u64, ids: usize) -> Self {
        let mut stale = Self::new(self.seed);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count == self.len {
            return std::mem::replace(self, stale);
        }
        stale.cells = if is_for_array(count, ids) {
            Cells::Dense(Paged::default())
        } else {
            Cells::Sparse(HashMap::with_capacity_and_hasher(count, self.seed))
        };
        let turned = self.turned;
        let is_stale = |kept: Cell| turn(kept, turned).stale();
        match &mut self.cells {
            Cells::Sparse(map) => {
                for (id, kept) in map.extract_if(|_, kept| is_stale(*kept)) {
                    stale.add(id, turn(kept, turned), ids);
                }
            }
            Cells::Dense(cells) => {
                for (first, cells) in (0u32..).step_by(AT_ONCE).zip(cells.chunks_mut(AT_ONCE)) {
                    // By the vector: most often a few are stale of a million.
                    if !cells.iter().fold(false, |any, kept| any | is_stale(*kept)) {
                        continue;
                    }
                    for (id, kept) in (first..).zip(cells).filter(|(_, kept)| is_stale(**kept)) {
                        stale.add(id, turn(std::mem::take(kept), turned), ids);
                    }
                }
            }
        }
        self.len -= stale.len;
        self.thin_out();
        stale
    }

    /// Takes cells out, at most `max` places at a time; `None` when nothing is left.
    pub(crate) fn drain_some(&mut self, max: usize) -> Option<Vec<(u32, Cell)>> {
        let turned = self.turned;
        let taken: Vec<(u32, Cell)> = match &mut self.cells {
            Cells::Sparse(map) => {
                map.extract_if(|_, _| true).map(|(id, kept)| (id, turn(kept, turned))).take(max).collect()
            }
            Cells::Dense(cells) => {
                let (first, tail) = cells.pop_some(max).unwrap_or_default();
                let first = u32::try_from(first).unwrap_or(u32::MAX);
                let cells = (first..).zip(tail.into_iter().map(|kept| turn(kept, turned)));
                cells.filter(|(_, cell)| !cell.is_none()).collect()
            }
        };
        self.len -= taken.len();
        let exhausted = match &self.cells {
            Cells::Sparse(map) => map.is_empty(),
            Cells::Dense(cells) => cells.is_empty(),
        };
        if taken.is_empty() && exhausted { None } else { Some(taken) }
    }
}

/// A cell from how it is kept to what it says, and back.
#[inline]
fn turn(cell: Cell, turned: u32) -> Cell {
    if cell.is_none() { cell } else { Cell(cell.0 ^ turned) }
}

/// Whether so many cells are too many for a map.
fn is_for_array(len: usize, ids: usize) -> bool {
    (len > ids / 8 && len > 64) || len > SPARSE_MAX
}

fn put(cells: &mut Paged<Cell>, id: u32, cell: Cell) -> Cell {
    let at = id as usize;
    if at >= cells.len() {
        if cell.is_none() {
            return Cell::NONE;
        }
        // Ids come one after the other while a table is learned.
        if at == cells.len() {
            cells.push(cell);
            return Cell::NONE;
        }
        cells.grow(at + 1, Cell::NONE);
    }
    cells.get_mut(at).map_or(Cell::NONE, |place| std::mem::replace(place, cell))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn map_and_array_behave_alike(ops in proptest::collection::vec((0u32..400, 0u32..4), 0..900), ids in 0usize..5000) {
            let (mut column, mut model) = (Column::new(Seed::new(7)), BTreeMap::new());
            for (id, set) in ops {
                let cell = Cell::new(set);
                let old = match column.get(id) {
                    Cell::NONE => {
                        column.add(id, cell, ids);
                        Cell::NONE
                    }
                    _ => column.replace(id, cell, ids),
                };
                let expected = if set == 0 { model.remove(&id) } else { model.insert(id, set) };
                prop_assert_eq!(old.set(), expected.unwrap_or(0));
                prop_assert_eq!(column.len(), model.len());
            }
            for id in 0..400 {
                prop_assert_eq!(column.get(id).set(), model.get(&id).copied().unwrap_or(0));
            }
            let mut cells: Vec<_> = column.iter().map(|(id, cell)| (id, cell.set())).collect();
            cells.sort_unstable();
            prop_assert!(cells.iter().copied().eq(model));
            let mut drained = Vec::new();
            while let Some(some) = column.drain_some(37) {
                drained.extend(some.into_iter().map(|(id, cell)| (id, cell.set())));
            }
            drained.sort_unstable();
            prop_assert_eq!(drained, cells);
            prop_assert_eq!(column.len(), 0);
        }
    }

    /// What happens to a column, and to the map that it is compared with.
    #[derive(Clone, Debug)]
    enum Event {
        Announce(u32),
        Withdraw(u32),
        Use(u32, bool),
        AllStale,
        StaleGo,
    }

    fn event() -> impl Strategy<Value = Event> {
        let id = 0u32..400;
        prop_oneof![
            60 => id.clone().prop_map(Event::Announce),
            10 => id.clone().prop_map(Event::Withdraw),
            10 => (id, any::<bool>()).prop_map(|(id, on)| Event::Use(id, on)),
            2 => Just(Event::AllStale),
            1 => Just(Event::StaleGo),
        ]
    }

    fn cells(column: &Column) -> BTreeMap<u32, Cell> {
        column.iter().collect()
    }

    proptest! {
        #[test]
        fn what_is_stale_goes_and_nothing_else(
            first in 0u32..400,
            events in proptest::collection::vec(event(), 0..600),
            ids in 0usize..5000,
        ) {
            let (mut column, mut model) = (Column::new(Seed::new(7)), BTreeMap::new());
            for event in (0..first).map(Event::Announce).chain(events) {
                match event {
                    Event::Announce(id) => {
                        let cell = Cell::new(id + 1);
                        let old = column.replace(id, cell, ids);
                        prop_assert_eq!(old, model.insert(id, cell).unwrap_or(Cell::NONE));
                    }
                    Event::Withdraw(id) => {
                        let old = column.replace(id, Cell::NONE, ids);
                        prop_assert_eq!(old, model.remove(&id).unwrap_or(Cell::NONE));
                    }
                    Event::Use(id, on) => {
                        let old = column.change(id, |cell| cell.with_used(on));
                        prop_assert_eq!(old, model.get(&id).copied().unwrap_or(Cell::NONE));
                        model.entry(id).and_modify(|cell| *cell = cell.with_used(on));
                    }
                    Event::AllStale => {
                        let stale = model.values().filter(|cell| cell.stale()).count();
                        column.mark_stale(u64::try_from(stale).unwrap());
                        model.values_mut().for_each(|cell| *cell = cell.with_stale(true));
                    }
                    Event::StaleGo => {
                        let gone: BTreeMap<_, _> = model.extract_if(.., |_, cell| cell.stale()).collect();
                        let mut split = column.split_stale(u64::try_from(gone.len()).unwrap(), ids);
                        prop_assert_eq!((split.len(), cells(&split)), (gone.len(), gone.clone()));
                        let drained = std::iter::from_fn(|| split.drain_some(37)).flatten().collect();
                        prop_assert_eq!(gone, drained);
                    }
                }
                prop_assert_eq!(column.len(), model.len());
            }
            prop_assert!((0..400).all(|id| column.get(id) == model.get(&id).copied().unwrap_or(Cell::NONE)));
            prop_assert_eq!(cells(&column), model);
        }
    }

    #[test]
    fn flags_do_not_touch_the_set() {
        let cell = Cell::new(77).with_stale(true).with_refused(true).with_used(true);
        assert!(cell.stale() && cell.refused() && cell.used());
        assert_eq!(cell.set(), 77);
        assert_eq!(cell.with_stale(false).with_refused(false).with_used(false), Cell::new(77));
    }
}

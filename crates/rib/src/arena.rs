//! Octets of many small records, one behind the other in pages.
//!
//! An allocation for each attribute set costs a pointer with a length and what the allocator rounds up, half as much again
//! as the octets themselves. Here a record is found by four octets. What is dropped leaves a gap; once gaps are a quarter
//! of all there is, each further drop empties the page that has most of them, so that memory follows what is in use, and
//! nobody waits for more than one page to be copied.

/// Octets of a page. A record that is larger has one for itself.
const PAGE: usize = 1 << 16;
/// A record begins at a multiple of this.
const STEP: usize = 4;
/// Pages that can be named, 16 GiB of them.
const PAGES_MAX: usize = 1 << 18;
/// Below this many pages nothing is gained by moving.
const FEW: usize = 4;
/// Of the header: the owner, and the length.
const HEADER: usize = 8;

/// Where a record stands: the page, and the place in it in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot(u32);

impl Spot {
    fn new(page: usize, at: usize) -> Option<Self> {
        u32::try_from(page * (PAGE / STEP) + at / STEP).ok().map(Self)
    }

    fn page(self) -> usize {
        self.0 as usize / (PAGE / STEP)
    }

    fn at(self) -> usize {
        self.0 as usize % (PAGE / STEP) * STEP
    }
}

/// Those whose records these are.
pub(crate) trait Owners {
    /// Where an owner believes its record to be, to be told otherwise; `None` for one that has none.
    fn spot(&mut self, owner: u32) -> Option<&mut Spot>;
}

#[derive(Clone, Debug, Default)]
struct Page {
    octets: Vec<u8>,
    /// Octets of records that have not been dropped.
    live: usize,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arena {
    pages: Vec<Page>,
    /// The page that is written to.
    open: usize,
    /// Pages without octets, but for the open one.
    empty: Vec<usize>,
    /// Octets written to pages that are still there.
    used: usize,
    /// Those of them that were not dropped.
    live: usize,
}

/// What a record takes with its header.
fn size(len: usize) -> usize {
    (HEADER + len).next_multiple_of(STEP)
}

/// The record that `page` has at a place: its owner and its octets.
#[inline]
fn record(page: &[u8], at: usize) -> Option<(u32, &[u8])> {
    let (owner, rest) = page.get(at..)?.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    Some((u32::from_le_bytes(*owner), rest.get(..len)?))
}

impl Arena {
    /// The octets there.
    #[inline]
    pub(crate) fn get(&self, spot: Spot) -> &[u8] {
        let found = self.pages.get(spot.page()).and_then(|page| record(&page.octets, spot.at()));
        found.map_or(&[], |(_, octets)| octets)
    }

    /// Keeps `octets` for an owner that can be asked where they are; `None` where no more can be named.
    pub(crate) fn store(&mut self, owner: u32, octets: &[u8]) -> Option<Spot> {
        let len = u32::try_from(octets.len()).ok()?;
        let size = size(octets.len());
        let full = |page: &Page| !page.octets.is_empty() && page.octets.len() + size > PAGE;
        if self.pages.get(self.open).is_none_or(full) {
            self.turn_over()?;
        }
        let page = self.pages.get_mut(self.open)?;
        let at = page.octets.len();
        let spot = Spot::new(self.open, at)?;
        page.octets.extend_from_slice(&owner.to_le_bytes());
        page.octets.extend_from_slice(&len.to_le_bytes());
        page.octets.extend_from_slice(octets);
        page.octets.resize(at + size, 0);
        page.live += size;
        self.used += size;
        self.live += size;
        Some(spot)
    }

    /// Opens another page.
    fn turn_over(&mut self) -> Option<()> {
        let before = self.open;
        let room = if self.pages.is_empty() { 0 } else { PAGE };
        self.open = match self.empty.pop() {
            Some(page) => page,
            None if self.pages.len() < PAGES_MAX => {
                self.pages.push(Page::default());
                self.pages.len() - 1
            }
            None => return None,
        };
        self.pages.get_mut(self.open)?.octets.reserve_exact(room);
        self.give_back(before);
        Some(())
    }

    /// Frees a page that has nothing any more, unless it is open.
    fn give_back(&mut self, at: usize) {
        if let Some(page) = self.pages.get_mut(at)
            && page.live == 0
            && at != self.open
            && !page.octets.is_empty()
        {
            self.used -= page.octets.len();
            page.octets = Vec::new();
            self.empty.push(at);
        }
    }

    /// Forgets the record there, which has no owner any more. Records of others may be moved.
    pub(crate) fn drop(&mut self, spot: Spot, owners: &mut impl Owners) {
        let size = size(self.get(spot).len());
        let Some(page) = self.pages.get_mut(spot.page()) else { return };
        page.live -= size;
        self.live -= size;
        self.give_back(spot.page());
        if self.used > FEW * PAGE && self.live < self.used / 4 * 3 {
            self.empty_a_page(owners);
        }
    }

    /// Moves what is in use of the page that has the least of it.
    fn empty_a_page(&mut self, owners: &mut impl Owners) {
        let pages = self.pages.iter().enumerate();
        let closed = pages.filter(|(at, page)| *at != self.open && !page.octets.is_empty());
        let Some((from, _)) = closed.min_by_key(|(_, page)| page.live) else { return };
        let Some(page) = self.pages.get_mut(from) else { return };
        let octets = std::mem::take(&mut page.octets);
        (self.used, self.live) = (self.used - octets.len(), self.live - page.live);
        page.live = 0;
        let mut at = 0;
        while let Some((owner, record)) = record(&octets, at) {
            if let Some(spot) = owners.spot(owner)
                && Some(*spot) == Spot::new(from, at)
                && let Some(moved) = self.store(owner, record)
            {
                *spot = moved;
            }
            at += size(record.len());
        }
        self.empty.push(from);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Owners for Vec<Option<Spot>> {
        fn spot(&mut self, owner: u32) -> Option<&mut Spot> {
            self.get_mut(owner as usize)?.as_mut()
        }
    }

    /// Records with what their owners know.
    #[derive(Default)]
    struct Owned {
        arena: Arena,
        spots: Vec<Option<Spot>>,
        octets: Vec<Vec<u8>>,
    }

    impl Owned {
        fn put(&mut self, owner: usize, octets: Vec<u8>) {
            self.take(owner);
            let number = u32::try_from(owner).unwrap();
            self.spots[owner] = self.arena.store(number, &octets);
            self.octets[owner] = octets;
        }

        fn take(&mut self, owner: usize) {
            if owner >= self.spots.len() {
                self.spots.resize(owner + 1, None);
                self.octets.resize(owner + 1, Vec::new());
            }
            if let Some(spot) = self.spots[owner].take() {
                self.arena.drop(spot, &mut self.spots);
            }
        }

        fn check(&self) {
            let mut live = 0;
            for (spot, octets) in self.spots.iter().zip(&self.octets) {
                let Some(spot) = spot else { continue };
                assert_eq!(self.arena.get(*spot), octets);
                live += size(octets.len());
            }
            assert_eq!(self.arena.live, live);
            let pages = self.arena.pages.iter();
            assert_eq!(self.arena.used, pages.map(|page| page.octets.len()).sum::<usize>());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn records_stay_what_they_are(
            ops in proptest::collection::vec((0usize..200, proptest::option::of(0usize..9000)), 0..600),
        ) {
            let mut owners = Owned::default();
            for (owner, len) in ops {
                match len {
                    Some(len) => owners.put(owner, vec![u8::try_from(owner).unwrap(); len]),
                    None => owners.take(owner),
                }
            }
            owners.check();
            for owner in 0..owners.spots.len() {
                owners.take(owner);
            }
            owners.check();
            prop_assert!(owners.arena.used <= PAGE, "only the open page is left");
        }
    }

    #[test]
    fn churn_takes_no_more_than_a_third_beyond_what_is_in_use() {
        let mut owners = Owned::default();
        for turn in 0..40usize {
            for owner in 0..1000 {
                // Every third stays, so that no page empties by itself; sizes change, so that gaps would not be filled.
                if turn == 0 || owner % 3 > 0 {
                    owners.put(owner, vec![7; 200 + (owner * 31 + turn * 17) % 300]);
                }
            }
            let Arena { used, live, .. } = owners.arena;
            assert!(used <= live / 3 * 4 + (FEW + 2) * PAGE, "{used} for {live} after {turn}");
        }
        owners.check();
    }

    #[test]
    fn a_record_larger_than_a_page_has_one_for_itself() {
        let mut owners = Owned::default();
        owners.put(0, vec![1; 10]);
        owners.put(1, vec![2; 3 * PAGE]);
        owners.put(2, vec![3; 10]);
        owners.check();
        owners.take(1);
        owners.check();
        assert!(owners.arena.used < 100);
    }
}

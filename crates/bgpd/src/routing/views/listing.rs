//! One page of a list, made in portions: it keeps its place between two turns of routing.
//!
//! First the prefixes of the page are chosen, then each is looked at and put into words, path by path. Routes may change
//! meanwhile: what is gone when its turn comes is left out. Work is counted in prefixes that are passed by.

use std::fmt::Debug;
use std::vec::IntoIter;

use bgp_wire::Prefix;

use super::Views;
use super::selection::{Bounds, Selected, Selection};

/// What a path costs, or a leg, that is put into words.
pub(super) const WORDS: usize = 64;
/// What each further word of it costs.
pub(super) const WORD: usize = 2;
/// What a path costs that is compared with others.
pub(super) const PATH: usize = 16;

/// What a list is made from.
pub(super) trait Source: Debug {
    /// How far the choice has come.
    type Walk: Debug;
    /// A prefix whose paths are being put into words.
    type Draft: Debug;
    /// A prefix in words.
    type Line: Debug;

    /// Where the choice begins.
    fn begin(&self) -> Self::Walk;

    /// Offers what is found next, and looks at `most` prefixes for that; at how many, or `None` at the end.
    fn offer(
        &self,
        walk: &mut Self::Walk,
        views: &Views<'_>,
        most: usize,
        selection: &mut Selection,
    ) -> Option<usize>;

    /// What is known of a prefix, if it still belongs to the list, and what that costs.
    fn open(&self, views: &Views<'_>, prefix: Prefix) -> (Option<Self::Draft>, usize);

    /// Puts the next path into words; what that costs, or `None` where there is none left.
    fn write(&self, views: &Views<'_>, draft: &mut Self::Draft) -> Option<usize>;

    /// A prefix whose paths are all put into words.
    fn close(draft: Self::Draft) -> Self::Line;
}

/// See the module.
#[derive(Debug)]
pub(super) struct Listing<S: Source> {
    source: S,
    bounds: Bounds,
    stage: Stage<S>,
}

#[derive(Debug)]
enum Stage<S: Source> {
    Choosing { walk: S::Walk, selection: Selection },
    Writing { prefixes: IntoIter<Prefix>, draft: Option<S::Draft>, page: Page<S::Line> },
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<L> {
    pub(super) lines: Vec<L>,
    /// There are more behind the last.
    pub(super) more: bool,
    /// How many there are altogether, on this page or not.
    pub(super) total: u64,
}

impl<S: Source> Stage<S> {
    fn choosing(source: &S, bounds: Bounds) -> Self {
        Self::Choosing { walk: source.begin(), selection: Selection::new(bounds) }
    }

    fn writing(Selected { prefixes, more, total }: Selected) -> Self {
        let page = Page { lines: Vec::new(), more, total };
        Self::Writing { prefixes: prefixes.into_iter(), draft: None, page }
    }
}

impl<S: Source> Listing<S> {
    /// One for which a whole table has to be gone through.
    pub(super) fn search(source: S, bounds: Bounds) -> Self {
        Self { stage: Stage::choosing(&source, bounds), source, bounds }
    }

    /// One that can hold nothing but this prefix.
    pub(super) fn of_one(source: S, bounds: Bounds, prefix: Option<Prefix>) -> Self {
        let mut selection = Selection::new(bounds);
        prefix.into_iter().for_each(|prefix| selection.offer(prefix));
        Self { stage: Stage::writing(selection.finish()), source, bounds }
    }

    /// Whether nothing has to be searched for.
    pub(super) fn is_chosen(&self) -> bool {
        matches!(self.stage, Stage::Writing { .. })
    }

    /// Does about as much as looking at `portion` prefixes; the page, once it is made.
    pub(super) fn work(&mut self, views: &Views<'_>, portion: usize) -> Option<Page<S::Line>> {
        let mut left = portion;
        while left > 0 {
            let cost = match &mut self.stage {
                Stage::Choosing { walk, selection } => {
                    let looked_at = self.source.offer(walk, views, left, selection);
                    looked_at.unwrap_or_else(|| self.choose())
                }
                Stage::Writing { prefixes, draft, page } => {
                    if let Some(open) = draft {
                        let cost = self.source.write(views, open);
                        if cost.is_none() {
                            page.lines.extend(draft.take().map(S::close));
                        }
                        cost.unwrap_or(0)
                    } else if let Some(prefix) = prefixes.next() {
                        let (opened, cost) = self.source.open(views, prefix);
                        *draft = opened;
                        cost.max(1)
                    } else if page.more && page.lines.is_empty() {
                        // Whoever asks for what comes behind the last has to be shown a last one.
                        self.stage = Stage::choosing(&self.source, self.bounds);
                        0
                    } else {
                        return Some(std::mem::take(page));
                    }
                }
            };
            left = left.saturating_sub(cost);
        }
        None
    }

    /// All prefixes have been seen; what it costs to sort those of the page.
    fn choose(&mut self) -> usize {
        let Stage::Choosing { selection, .. } = &mut self.stage else { return 0 };
        let selected = std::mem::replace(selection, Selection::new(self.bounds)).finish();
        let count = selected.prefixes.len();
        self.bounds.after = selected.prefixes.last().copied().or(self.bounds.after);
        self.stage = Stage::writing(selected);
        count
    }
}

impl<L> Default for Page<L> {
    fn default() -> Self {
        Self { lines: Vec::new(), more: false, total: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::time::Instant;

    use bgp_fib::{Fib, FibConfig};
    use bgp_rib::{Rib, RibConfig};
    use bgp_wire::{Asn, RouterId};

    use super::*;

    /// Paths of each prefix.
    const PATHS: usize = 3;

    /// Counts its work. Of its prefixes, those below `gone` are there no more when they are to be shown.
    #[derive(Debug, Default)]
    struct Counted {
        prefixes: u32,
        gone: u32,
        cost: Cell<usize>,
    }

    impl Counted {
        fn count(&self, cost: usize) -> usize {
            self.cost.set(self.cost.get() + cost);
            cost
        }
    }

    impl Source for Counted {
        type Walk = u32;
        /// With the paths that are left.
        type Draft = (u32, usize);
        type Line = u32;

        fn begin(&self) -> u32 {
            0
        }

        fn offer(
            &self,
            walk: &mut u32,
            _: &Views<'_>,
            most: usize,
            selection: &mut Selection,
        ) -> Option<usize> {
            let next = (*walk..self.prefixes).take(most);
            let looked_at = next.clone().map(|number| selection.offer(prefix(number))).count();
            *walk += u32::try_from(looked_at).unwrap();
            (looked_at > 0).then(|| self.count(looked_at))
        }

        fn open(&self, _: &Views<'_>, prefix: Prefix) -> (Option<(u32, usize)>, usize) {
            let Prefix::V4(prefix) = prefix else { panic!("there are no others") };
            let number = Some(prefix.bits()).filter(|bits| *bits >= self.gone);
            (number.map(|number| (number, PATHS)), self.count(PATHS * PATH))
        }

        fn write(&self, _: &Views<'_>, (_, left): &mut (u32, usize)) -> Option<usize> {
            *left = left.checked_sub(1)?;
            Some(self.count(WORDS))
        }

        fn close((number, left): (u32, usize)) -> u32 {
            assert_eq!(left, 0);
            number
        }
    }

    fn prefix(number: u32) -> Prefix {
        Prefix::new(std::net::Ipv4Addr::from(number).into(), 32).unwrap()
    }

    /// Has a page made; the page with the number of portions, and what one portion has cost at most.
    fn make(source: Counted, limit: usize, portion: usize) -> (Page<u32>, usize, usize) {
        let rib = Rib::new(RibConfig {
            local_asn: Asn(1),
            router_id: RouterId::new(1).unwrap(),
            maximum_paths: 1,
            multipath_relax: false,
            backups: false,
            hash_seed: 1,
        });
        let (fib, peers) = (Fib::new(FibConfig::default(), Instant::now()), BTreeMap::new());
        let views = Views { rib: &rib, fib: &fib, peers: &peers };
        let mut listing = Listing::search(source, Bounds { after: None, limit });
        let (mut portions, mut most) = (0, 0);
        loop {
            let page = listing.work(&views, portion);
            most = most.max(listing.source.cost.take());
            portions += 1;
            if let Some(page) = page {
                return (page, portions, most);
            }
        }
    }

    #[test]
    fn a_portion_looks_at_no_more_than_it_may() {
        for (portion, prefixes, limit) in [(1, 50, 7), (100, 1000, 400), (4096, 100_000, 10_000)] {
            let source = Counted { prefixes, ..Counted::default() };
            let (page, portions, most) = make(source, limit, portion);
            let total = u64::from(prefixes);
            assert_eq!((page.lines.len(), page.more, page.total), (limit, true, total));
            // The last step of a portion is done to its end.
            assert!(most < portion + WORDS, "{most} in a portion of {portion}");
            let work = usize::try_from(prefixes).unwrap() + limit * PATHS * (PATH + WORDS);
            assert!(portions >= work / (portion + WORDS), "{portions}");
        }
    }

    #[test]
    fn a_page_of_which_everything_has_gone_is_made_from_what_comes_behind() {
        let source = Counted { prefixes: 100, gone: 35, ..Counted::default() };
        let (page, _, most) = make(source, 10, 64);
        assert_eq!(page, Page { lines: (35..40).collect(), more: true, total: 100 });
        assert!(most < 64 + WORDS);
        let source = Counted { prefixes: 30, gone: 35, ..Counted::default() };
        assert_eq!(make(source, 10, 64).0, Page { lines: vec![], more: false, total: 30 });
    }
}

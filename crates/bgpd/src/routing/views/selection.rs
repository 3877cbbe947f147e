//! Which prefixes are on a page: the first behind a certain one, of many that come in no order.
//!
//! The tables have no order by prefix, and one for the sake of lists would cost every route something. So all prefixes
//! are gone through for each page, bare, and what is kept of them is a page.

use std::collections::BinaryHeap;

use bgp_api::{ErrorReply, RouteQuery};
use bgp_wire::Prefix;

use super::{count, parse_prefix};

/// What a page is to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Only prefixes behind this one.
    pub(super) after: Option<Prefix>,
    /// At most so many.
    pub(super) limit: usize,
}

impl Bounds {
    /// As a query has them.
    pub(super) fn new(after: Option<&str>, limit: Option<usize>) -> Result<Self, ErrorReply> {
        Ok(Self {
            after: after.map(parse_prefix).transpose()?,
            limit: limit.unwrap_or(RouteQuery::DEFAULT_LIMIT).clamp(1, RouteQuery::DEFAULT_LIMIT),
        })
    }
}

/// A page that is being chosen.
#[derive(Debug)]
pub(super) struct Selection {
    bounds: Bounds,
    /// The last of them is at hand.
    first: BinaryHeap<Prefix>,
    behind: usize,
    total: usize,
}

/// A page that is chosen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selected {
    /// In order, each once.
    pub(super) prefixes: Vec<Prefix>,
    /// There are more behind the last.
    pub(super) more: bool,
    /// How many there are altogether, on this page or not.
    pub(super) total: u64,
}

impl Selection {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, first: BinaryHeap::new(), behind: 0, total: 0 }
    }

    /// Takes a prefix of the list into account.
    pub(super) fn offer(&mut self, prefix: Prefix) {
        self.total += 1;
        if self.bounds.after.is_some_and(|after| prefix <= after) {
            return;
        }
        self.behind += 1;
        if self.first.len() < self.bounds.limit {
            self.first.push(prefix);
        } else if let Some(mut last) = self.first.peek_mut()
            && prefix < *last
        {
            *last = prefix;
        }
    }

    pub(super) fn finish(self) -> Selected {
        let more = self.behind > self.first.len();
        let mut prefixes = self.first.into_vec();
        prefixes.sort_unstable();
        // One that has gone and come again meanwhile may have been seen in two places.
        prefixes.dedup();
        Selected { prefixes, more, total: count(self.total) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn prefix(number: u32) -> Prefix {
        let text =
            if number < 500 { format!("10.0.0.{}/32", number / 2) } else { format!("2004::{number:x}/128") };
        text.parse().unwrap()
    }

    proptest! {
        #[test]
        fn it_is_what_a_sorted_set_would_give(
            numbers in proptest::collection::vec(0u32..1000, 0..200),
            after in proptest::option::of(0u32..1000),
            limit in 1usize..100,
        ) {
            let numbers: BTreeSet<_> = numbers.into_iter().map(prefix).collect();
            let bounds = Bounds { after: after.map(prefix), limit };
            let mut selection = Selection::new(bounds);
            // In an order that has nothing to do with theirs.
            let mut offered: Vec<_> = numbers.iter().copied().collect();
            offered.sort_by_key(|prefix| prefix.to_string().chars().rev().collect::<String>());
            offered.into_iter().for_each(|prefix| selection.offer(prefix));
            prop_assert!(selection.first.len() <= limit, "a page is all that is kept");
            let behind: Vec<_> =
                numbers.iter().copied().filter(|prefix| bounds.after.is_none_or(|after| *prefix > after)).collect();
            prop_assert_eq!(selection.finish(), Selected {
                prefixes: behind.iter().copied().take(limit).collect(),
                more: behind.len() > limit,
                total: count(numbers.len()),
            });
        }
    }

    #[test]
    fn what_is_seen_twice_is_shown_once() {
        let mut selection = Selection::new(Bounds { after: None, limit: 3 });
        [7, 3, 7, 9].into_iter().for_each(|number| selection.offer(prefix(number * 10)));
        assert_eq!(selection.finish().prefixes, [30, 70].map(prefix));
    }
}

//! A set of dense ids, given back in cyclic order of the id.
//!
//! What waits downstream of a table is an id in such a set, never a queued message: an id that is marked again while it
//! waits costs nothing, and the whole set is at most a bit for each id. A second level of bits over the words makes the
//! next member cheap to find in a sparse set.

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdSet {
    words: Vec<u64>,
    /// Bit `n` is set where `words[n]` is not zero.
    summary: Vec<u64>,
    len: usize,
    /// Where [`IdSet::pop`] goes on.
    cursor: u32,
}

impl IdSet {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn contains(&self, id: u32) -> bool {
        self.words.get(id as usize / 64).is_some_and(|word| word & bit(id) != 0)
    }

    /// Whether it was not in the set before.
    #[inline]
    pub(crate) fn insert(&mut self, id: u32) -> bool {
        let index = id as usize / 64;
        if index >= self.words.len() {
            self.grow(index);
        }
        let Some(word) = self.words.get_mut(index) else { return false };
        if *word & bit(id) != 0 {
            return false;
        }
        *word |= bit(id);
        if let Some(summary) = self.summary.get_mut(index / 64) {
            *summary |= 1 << (index % 64);
        }
        self.len += 1;
        true
    }

    #[cold]
    fn grow(&mut self, index: usize) {
        self.words.resize(index + 1, 0);
        self.summary.resize(index / 64 + 1, 0);
    }

    /// Whether it was in the set before.
    #[inline]
    pub(crate) fn remove(&mut self, id: u32) -> bool {
        let index = id as usize / 64;
        let Some(word) = self.words.get_mut(index) else { return false };
        if *word & bit(id) == 0 {
            return false;
        }
        *word &= !bit(id);
        if *word == 0
            && let Some(summary) = self.summary.get_mut(index / 64)
        {
            *summary &= !(1 << (index % 64));
        }
        self.len -= 1;
        true
    }

    /// Takes the first id at or behind the one that was taken last, round the end.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        let id = self.next_from(self.cursor).or_else(|| self.next_from(0))?;
        self.remove(id);
        self.cursor = id.wrapping_add(1);
        Some(id)
    }

    /// The first id that is not below `id`.
    #[inline]
    pub(crate) fn next_from(&self, id: u32) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let index = id as usize / 64;
        let here = self.words.get(index)? & (u64::MAX << (id % 64));
        if here != 0 {
            return join(index, here);
        }
        let index = self.next_word(index + 1)?;
        join(index, *self.words.get(index)?)
    }

    /// The first word at or behind `index` that is not zero.
    fn next_word(&self, index: usize) -> Option<usize> {
        let first = self.summary.get(index / 64)? & (u64::MAX << (index % 64));
        if first != 0 {
            return Some(index / 64 * 64 + first.trailing_zeros() as usize);
        }
        let at = index / 64 + 1;
        let (offset, summary) =
            self.summary.get(at..)?.iter().enumerate().find(|(_, summary)| **summary != 0)?;
        Some((at + offset) * 64 + summary.trailing_zeros() as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let mut next = self.next_from(0);
        std::iter::from_fn(move || {
            let id = next?;
            next = id.checked_add(1).and_then(|id| self.next_from(id));
            Some(id)
        })
    }
}

fn bit(id: u32) -> u64 {
    1 << (id % 64)
}

fn join(index: usize, word: u64) -> Option<u32> {
    u32::try_from(index * 64 + word.trailing_zeros() as usize).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_an_ordered_set(ops in proptest::collection::vec((any::<bool>(), 0u32..20_000), 0..300)) {
            let (mut set, mut model) = (IdSet::default(), BTreeSet::new());
            for (insert, id) in ops {
                if insert {
                    prop_assert_eq!(set.insert(id), model.insert(id));
                } else {
                    prop_assert_eq!(set.remove(id), model.remove(&id));
                }
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.contains(id), model.contains(&id));
            }
            prop_assert!(set.iter().eq(model.iter().copied()));
            let popped: Vec<u32> = std::iter::from_fn(|| set.pop()).collect();
            prop_assert!(popped.iter().copied().eq(model));
            prop_assert!(set.is_empty());
        }
    }

    #[test]
    fn a_member_that_comes_back_at_once_does_not_starve_the_others() {
        let mut set = IdSet::default();
        for id in [3, 5, 900] {
            set.insert(id);
        }
        let mut seen = Vec::new();
        for _ in 0..6 {
            let id = set.pop().unwrap();
            seen.push(id);
            set.insert(3);
        }
        assert_eq!(seen, [3, 5, 900, 3, 3, 3]);
    }
}

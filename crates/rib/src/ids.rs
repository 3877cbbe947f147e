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
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<u32> {
        // Most often another one is in the word of the last.
        let index = self.cursor as usize / 64;
        if let Some(word) = self.words.get_mut(index) {
            let here = *word & (u64::MAX << (self.cursor % 64));
            if here != 0 && here & here.wrapping_sub(1) != 0 {
                *word &= !(here & here.wrapping_neg());
                self.len -= 1;
                let id = self.cursor / 64 * 64 + here.trailing_zeros();
                self.cursor = id.wrapping_add(1);
                return Some(id);
            }
        }
        self.pop_far()
    }

    /// [`IdSet::pop`] where the next is the last of a word, or in another one.
    fn pop_far(&mut self) -> Option<u32> {
        let id = self.next_from(self.cursor).or_else(|| self.next_from(0))?;
        self.remove(id);
        self.cursor = id.wrapping_add(1);
        Some(id)
    }

    /// Takes some of the ids that [`IdSet::pop`] would take next, `most` of them at most: where several are in one word, all
    /// of these.
    #[inline]
    pub(crate) fn pop_word(&mut self, most: usize) -> Option<Word> {
        let first = self.next_from(self.cursor).or_else(|| self.next_from(0))?;
        let index = first as usize / 64;
        let word = self.words.get_mut(index)?;
        let mut bits = *word & (u64::MAX << (first % 64));
        while bits.count_ones() as usize > most.max(1) {
            bits &= !(1 << (63 - bits.leading_zeros()));
        }
        *word &= !bits;
        if *word == 0
            && let Some(summary) = self.summary.get_mut(index / 64)
        {
            *summary &= !(1 << (index % 64));
        }
        self.len -= bits.count_ones() as usize;
        let taken = Word { index: u32::try_from(index).ok()?, bits };
        self.cursor = taken.id(63 - bits.leading_zeros()).wrapping_add(1);
        Some(taken)
    }

    /// Those of the ids of a word that are in the set.
    #[inline]
    pub(crate) fn word(&self, index: u32) -> u64 {
        self.words.get(index as usize).copied().unwrap_or(0)
    }

    /// Takes in ids of a word, which may be in the set already.
    #[inline]
    pub(crate) fn insert_word(&mut self, word: Word) {
        let index = word.index as usize;
        if word.bits == 0 {
            return;
        }
        if index >= self.words.len() {
            self.grow(index);
        }
        if let (Some(place), Some(summary)) = (self.words.get_mut(index), self.summary.get_mut(index / 64)) {
            self.len += (word.bits & !*place).count_ones() as usize;
            *place |= word.bits;
            *summary |= 1 << (index % 64);
        }
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

/// Ids that are next to each other: 64 at most, which begin at a multiple of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Which 64.
    pub(crate) index: u32,
    /// A bit for each of them.
    pub(crate) bits: u64,
}

impl Word {
    fn id(self, bit: u32) -> u32 {
        self.index * 64 + bit
    }

    /// Those that have no bit in `bits`.
    #[inline]
    pub(crate) fn without(self, bits: u64) -> Self {
        Self { bits: self.bits & !bits, ..self }
    }

    /// In ascending order.
    #[inline]
    pub(crate) fn ids(self) -> impl Iterator<Item = u32> {
        let mut bits = self.bits;
        std::iter::from_fn(move || {
            let bit = bits.trailing_zeros();
            bits &= bits.checked_sub(1)?;
            Some(self.id(bit))
        })
    }
}

/// That of an id in its word.
#[inline]
pub(crate) fn bit(id: u32) -> u64 {
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

    proptest! {
        #[test]
        fn words_are_taken_in_the_same_order_as_ids(
            ids in proptest::collection::btree_set(0u32..2000, 0..300),
            after in 0usize..100,
            most in 1usize..70,
        ) {
            let mut by_word = IdSet::default();
            ids.iter().for_each(|id| assert!(by_word.insert(*id)));
            let mut by_id = by_word.clone();
            for _ in 0..after {
                by_word.pop();
                by_id.pop();
            }
            while let Some(word) = by_word.pop_word(most) {
                prop_assert!(word.ids().count() <= most && word.ids().count() > 0);
                for id in word.ids() {
                    prop_assert_eq!(by_id.pop(), Some(id));
                    prop_assert!(!by_word.contains(id));
                }
                prop_assert_eq!(by_word.len(), by_id.len());
            }
            prop_assert!(by_id.is_empty() && by_word.iter().next().is_none());
            let mut again = IdSet::default();
            for id in &ids {
                again.insert_word(Word { index: id / 64, bits: bit(*id) });
            }
            prop_assert!(again.iter().eq(ids.iter().copied()));
            prop_assert_eq!(again.len(), ids.len());
            prop_assert_eq!(again.word(3), ids.range(192..256).fold(0, |bits, id| bits | bit(*id)));
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

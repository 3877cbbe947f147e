//! Prefixes that were taken out of those that wait for a peer, sorted for packing.

/// Runs of prefixes that are announced alike, by a key that stands for that; the last run comes first.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    ids: Vec<u32>,
    /// The key of each run, and where it begins. None is empty.
    runs: Vec<(u64, usize)>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// All prefixes.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Appends prefixes with this key; the last one is to come first. What was put in with the same key just before is
    /// in one run with them, so none of them may be there already.
    pub(crate) fn push(&mut self, key: u64, ids: &[u32]) {
        if self.runs.last().is_none_or(|(last, _)| *last != key) {
            self.push_apart(key, ids);
        } else {
            self.ids.extend_from_slice(ids);
        }
    }

    /// Appends prefixes with this key as a run of their own.
    pub(crate) fn push_apart(&mut self, key: u64, ids: &[u32]) {
        if !ids.is_empty() {
            self.runs.push((key, self.ids.len()));
        }
        self.ids.extend_from_slice(ids);
    }

    /// Moves the run that comes first to `ids`; its key.
    pub(crate) fn take_run(&mut self, ids: &mut Vec<u32>) -> Option<u64> {
        let (key, begin) = self.runs.pop()?;
        ids.extend(self.ids.drain(begin..));
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_last_first_and_equal_neighbours_are_one() {
        let mut batch = Batch::default();
        for (key, ids) in [(7, &[1, 2][..]), (7, &[3]), (9, &[]), (8, &[4]), (7, &[5])] {
            batch.push(key, ids);
        }
        batch.push_apart(7, &[6]);
        batch.push_apart(7, &[]);
        assert_eq!((batch.len(), batch.ids()), (6, &[1, 2, 3, 4, 5, 6][..]));
        let mut taken = Vec::new();
        let keys: Vec<u64> = std::iter::from_fn(|| batch.take_run(&mut taken)).collect();
        assert_eq!((keys, taken), (vec![7, 7, 8, 7], vec![6, 5, 4, 1, 2, 3]));
        assert!(batch.is_empty());
    }
}

//! An array by dense ids that grows without moving what it holds.
//!
//! A vector that doubles copies everything, needs half as much again while it does so, and its caller waits: 20 ms at a
//! million entries. Here a page is added. Memory comes from the system zeroed, at a price that is a third of all the work
//! of taking in a table where arrays are moved.

/// Entries of a page; a power of two.
const PAGE: usize = 4096;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Paged<T> {
    /// All but the last are full.
    pages: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

impl<T> Paged<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.pages.get(at / PAGE)?.get(at % PAGE)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.pages.get_mut(at / PAGE)?.get_mut(at % PAGE)
    }

    #[inline]
    pub(crate) fn push(&mut self, value: T) {
        self.len += 1;
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE => page.push(value),
            Some(_) | None => self.open(value),
        }
    }

    /// Begins a page.
    #[cold]
    fn open(&mut self, value: T) {
        // The first page grows as it is needed: most tables are small.
        let mut page = if self.pages.is_empty() { Vec::new() } else { Vec::with_capacity(PAGE) };
        page.push(value);
        self.pages.push(page);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        self.pages.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> + '_ {
        self.pages.iter_mut().flatten()
    }

    /// So many entries at a time, a divisor of a page's; the last may be fewer.
    pub(crate) fn chunks_mut(&mut self, entries: usize) -> impl Iterator<Item = &mut [T]> + '_ {
        debug_assert_eq!(PAGE % entries, 0);
        self.pages.iter_mut().flat_map(move |page| page.chunks_mut(entries))
    }

    /// Takes out the last page, or as many of its last entries as `max`, with the place of the first of them.
    pub(crate) fn pop_some(&mut self, max: usize) -> Option<(usize, Vec<T>)> {
        let len = self.len();
        let page = self.pages.last_mut()?;
        let taken = page.split_off(page.len().saturating_sub(max.max(1)));
        if page.is_empty() {
            self.pages.pop();
        }
        self.len = len - taken.len();
        Some((self.len, taken))
    }
}

impl<T: Clone> Paged<T> {
    /// Makes room for `len` entries, the new ones being `value`.
    pub(crate) fn grow(&mut self, len: usize, value: T) {
        while self.len() < len {
            let missing = len - self.len();
            match self.pages.last_mut() {
                Some(page) if page.len() < PAGE => {
                    let full = PAGE.min(page.len() + missing);
                    self.len += full - page.len();
                    page.resize(full, value.clone());
                }
                Some(_) | None => {
                    let first = self.pages.is_empty();
                    self.pages.push(if first { Vec::new() } else { Vec::with_capacity(PAGE) });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_vector() {
        let mut paged = Paged::default();
        assert!(paged.is_empty() && paged.get(0).is_none() && paged.pop_some(5).is_none());
        for value in 0..10_000 {
            paged.push(value);
        }
        paged.grow(20_001, 7);
        paged.grow(3, 9);
        let mut model: Vec<i32> = (0..10_000).collect();
        model.resize(20_001, 7);
        assert_eq!(paged.len(), model.len());
        assert!(paged.iter().eq(&model));
        *paged.get_mut(4096).unwrap() = -1;
        model[4096] = -1;
        let chunks: Vec<Vec<i32>> = paged.chunks_mut(64).map(|chunk| chunk.to_vec()).collect();
        assert!(chunks.concat() == model && chunks.iter().rev().skip(1).all(|chunk| chunk.len() == 64));
        assert_eq!((paged.get(4095), paged.get(4096), paged.get(20_001)), (Some(&4095), Some(&-1), None));
        while let Some((first, some)) = paged.pop_some(1000) {
            assert_eq!(model.split_off(first), some);
            assert_eq!(paged.len(), first);
        }
        assert!(model.is_empty() && paged.is_empty());
    }
}

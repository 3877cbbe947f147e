//! Ids by the hash of what they stand for: a look-up touches one cache line, and growth is spread thin.
//!
//! A table of a million is far larger than any cache, so what a look-up costs is the lines that it fetches, and what growth
//! costs is fetching each value again to hash it. Here a line has ten ids, each with sixteen bits of its hash, which say
//! where it belongs whatever the size: the values themselves are looked at only where these bits agree, and growing moves
//! lines, not values. Shards grow one by one, so none stalls its caller, and by a third or a half, to sizes that allocators
//! have: the table is about three quarters full.

/// Ids of a line.
const PLACES: usize = 10;

/// Where the tag is in a hash; the lower half is of no use here.
pub(crate) const TAG_SHIFT: u32 = 32;

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line {
    ids: [u32; PLACES],
    tags: [u16; PLACES],
    /// Places in use, from the front.
    len: u16,
    /// Ids that belong here or before, and stand behind, for want of room.
    passed: u16,
}

const EMPTY: Line = Line { ids: [0; PLACES], tags: [0; PLACES], len: 0, passed: 0 };

impl Line {
    /// A bit for each place with this tag, and perhaps for others; see [`place_of`]. Four tags are compared at a time.
    #[inline]
    fn with_tag(&self, tag: u16) -> u64 {
        const LANES: u64 = 0x0001_0001_0001_0001;
        let wanted = LANES * u64::from(tag);
        let equal = |four: u64| {
            let different = four ^ wanted;
            // The highest bit of each lane that is zero; one above it may seem so as well, by what it lends.
            (different.wrapping_sub(LANES) & !different) >> 15 & LANES
        };
        let [a, b, c, d, e, f, g, h, i, j] = self.tags;
        // Read as two numbers of eight octets and one of four.
        let [first, second] = [[a, b, c, d], [e, f, g, h]].map(four);
        let last = equal(four([i, j, 0, 0])) & 0x0001_0001;
        equal(first) | equal(second) << 1 | last << 2
    }

    /// Each id with its tag.
    #[inline]
    fn pairs(&self) -> impl Iterator<Item = (u16, u32)> {
        self.tags.into_iter().zip(self.ids).take(usize::from(self.len))
    }

    /// Whether there was room.
    #[inline]
    fn push(&mut self, tag: u16, id: u32) -> bool {
        let at = usize::from(self.len);
        let (Some(tag_there), Some(id_there)) = (self.tags.get_mut(at), self.ids.get_mut(at)) else {
            return false;
        };
        (*tag_there, *id_there) = (tag, id);
        self.len += 1;
        true
    }

    /// Whether it was there.
    fn take(&mut self, tag: u16, id: u32) -> bool {
        let Some(at) = self.pairs().position(|found| found == (tag, id)) else { return false };
        let last = usize::from(self.len) - 1;
        self.ids.swap(at, last);
        self.tags.swap(at, last);
        self.len -= 1;
        true
    }
}

/// Four tags, the first in the lowest bits.
#[inline]
fn four([a, b, c, d]: [u16; 4]) -> u64 {
    u64::from(a) | u64::from(b) << 16 | u64::from(c) << 32 | u64::from(d) << 48
}

/// The place that the lowest of the bits of [`Line::with_tag`] stands for.
#[inline]
fn place_of(hits: u64) -> usize {
    let bit = hits.trailing_zeros() as usize;
    bit % 16 * 4 + bit / 16
}

/// A part of the hashes.
#[derive(Clone, Debug, Default)]
struct Shard {
    /// In the order of the tags that belong there.
    lines: Box<[Line]>,
    len: usize,
}

/// The line that a tag belongs to.
#[inline]
fn home(tag: u16, lines: usize) -> usize {
    (usize::from(tag) * lines) >> 16
}

/// The next line, round the end.
#[inline]
fn behind(at: usize, lines: usize) -> usize {
    if at + 1 == lines { 0 } else { at + 1 }
}

/// The next of 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20: four to a doubling, as mimalloc and jemalloc have them.
fn larger(lines: usize) -> usize {
    lines + lines.checked_ilog2().unwrap_or_default().checked_sub(2).map_or(1, |bits| 1 << bits)
}

/// Puts an id into the first line that has room, where it belongs or behind.
#[inline]
fn put(lines: &mut [Line], tag: u16, id: u32) {
    let count = lines.len();
    let mut at = home(tag, count);
    while let Some(line) = lines.get_mut(at) {
        if line.push(tag, id) {
            return;
        }
        line.passed = line.passed.saturating_add(1);
        at = behind(at, count);
    }
}

impl Shard {
    #[inline]
    fn find(&self, tag: u16, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = home(tag, self.lines.len());
        for _ in 0..self.lines.len() {
            let line = self.lines.get(at)?;
            let mut hits = line.with_tag(tag);
            while let Some(rest) = hits.checked_sub(1) {
                let place = place_of(hits);
                hits &= rest;
                // What is behind the last is left over.
                if place < usize::from(line.len)
                    && let Some(id) = line.ids.get(place).copied()
                    && same(id)
                {
                    return Some(id);
                }
            }
            if line.passed == 0 {
                return None;
            }
            at = behind(at, self.lines.len());
        }
        None
    }

    #[inline]
    fn insert(&mut self, tag: u16, id: u32) {
        // Nine tenths full at most: then little stands far from where it belongs.
        if self.len >= self.lines.len() * (PLACES - 1) {
            self.grow();
        }
        self.len += 1;
        put(&mut self.lines, tag, id);
    }

    /// By two of the sizes that allocators have: nothing is rounded away, and an id is moved between two and three times.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let mut more = vec![EMPTY; larger(larger(self.lines.len()))].into_boxed_slice();
        for line in &self.lines {
            for (tag, id) in line.pairs() {
                put(&mut more, tag, id);
            }
        }
        self.lines = more;
    }

    fn remove(&mut self, tag: u16, id: u32) {
        let first = home(tag, self.lines.len());
        let mut at = first;
        for walked in 0..self.lines.len() {
            let Some(line) = self.lines.get_mut(at) else { return };
            if line.take(tag, id) {
                self.len -= 1;
                // It does not stand behind these any more.
                at = first;
                for _ in 0..walked {
                    if let Some(line) = self.lines.get_mut(at) {
                        // What was too much to count is never forgotten.
                        line.passed -= u16::from(line.passed < u16::MAX);
                    }
                    at = behind(at, self.lines.len());
                }
                return;
            }
            at = behind(at, self.lines.len());
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    shards: Box<[Shard]>,
}

impl Index {
    /// In so many parts; a power of two, at most 65,536.
    pub(crate) fn new(shards: usize) -> Self {
        Self { shards: std::iter::repeat_with(Shard::default).take(shards).collect() }
    }

    /// The shard, and the tag there.
    #[inline]
    fn place(&self, hash: u64) -> (usize, u16) {
        let [a, b, c, d, ..] = hash.to_be_bytes();
        (usize::from(u16::from_be_bytes([a, b])) & (self.shards.len() - 1), u16::from_be_bytes([c, d]))
    }

    /// The id under this hash that stands for the `same`.
    #[inline]
    pub(crate) fn find(&self, hash: u64, same: impl FnMut(u32) -> bool) -> Option<u32> {
        let (shard, tag) = self.place(hash);
        self.shards.get(shard)?.find(tag, same)
    }

    /// Takes in an id that [`Index::find`] does not find.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64, id: u32) {
        let (shard, tag) = self.place(hash);
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.insert(tag, id);
        }
    }

    /// Takes an id out, if it is there.
    pub(crate) fn remove(&mut self, hash: u64, id: u32) {
        let (shard, tag) = self.place(hash);
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.remove(tag, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// All in one shard, with few tags, so that lines overflow.
    fn hash(value: u32, tags: u16) -> u64 {
        u64::from(u16::try_from(value % u32::from(tags)).unwrap() << 8) << 32
    }

    proptest! {
        #[test]
        fn what_is_in_is_found_and_nothing_else(
            ops in proptest::collection::vec((any::<bool>(), 0u32..300), 0..1500),
            tags in prop_oneof![Just(1u16), Just(7), Just(200)],
        ) {
            let (mut index, mut model) = (Index::new(4), BTreeMap::new());
            for (insert, value) in ops {
                let found = index.find(hash(value, tags), |id| id == value + 1000);
                prop_assert_eq!(found, model.get(&value).copied());
                if insert && found.is_none() {
                    index.insert(hash(value, tags), value + 1000);
                    model.insert(value, value + 1000);
                } else if !insert {
                    index.remove(hash(value, tags), value + 1000);
                    model.remove(&value);
                }
            }
            for value in 0..300 {
                prop_assert_eq!(index.find(hash(value, tags), |id| id == value + 1000), model.get(&value).copied());
            }
            model.iter().for_each(|(value, id)| index.remove(hash(*value, tags), *id));
            prop_assert!(index.shards.iter().all(|shard| shard.len == 0));
            let mut lines = index.shards.iter().flat_map(|shard| shard.lines.iter());
            prop_assert!(lines.all(|line| line.len == 0 && line.passed == 0));
        }
    }

    #[test]
    fn sizes_are_those_of_allocators() {
        let sizes: Vec<_> = std::iter::successors(Some(0), |lines| Some(larger(*lines))).take(18).collect();
        assert_eq!(sizes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40]);
    }

    #[test]
    fn at_any_size_most_places_are_in_use_and_no_growth_is_large() {
        let mut index = Index::new(64);
        let lines = |index: &Index| index.shards.iter().map(|shard| shard.lines.len()).sum::<usize>();
        let (mut before, mut worst) = (0, 0);
        for id in 0u32..200_000 {
            index.insert(u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15), id);
            if id > 20_000 {
                worst = worst.max(lines(&index) - before);
                let full = f64::from(id) / (lines(&index) * PLACES) as f64;
                assert!(full > 0.55, "{full} at {id}");
            }
            before = lines(&index);
        }
        assert!(worst < 200, "{worst} lines at once");
    }
}

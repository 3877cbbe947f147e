//! Values held once, under a dense id, counted.
//!
//! Attribute sets, next hops and forwarding sets are shared by many routes: a route holds four octets, equal values have
//! equal ids, and a value that nobody holds is dropped and its id used again. The index is split into shards so that no
//! single insert pays for a rehash of everything.

use hashbrown::HashTable;

use crate::paged::Paged;

/// Shards of an index, a power of two.
pub(crate) const SHARDS: usize = 64;

/// Ids that name nothing.
pub(crate) const NONE: u32 = 0;

/// See the module. Ids start at 1.
#[derive(Clone, Debug)]
pub(crate) struct Interned<V> {
    index: Box<[HashTable<u32>]>,
    slots: Paged<Slot<V>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Slot<V> {
    /// Of its hash; see [`spread`].
    tag: u32,
    refs: u32,
    /// Counts the lives of the id, so that a cache can tell an id that was used again.
    life: u32,
    value: Option<V>,
}

impl<V> Default for Interned<V> {
    fn default() -> Self {
        let mut slots = Paged::default();
        // Nobody has the id that names nothing.
        slots.push(Slot { tag: 0, refs: 0, life: 0, value: None });
        Self {
            index: std::iter::repeat_with(HashTable::new).take(SHARDS).collect(),
            slots,
            free: Vec::new(),
            len: 0,
        }
    }
}

impl<V> Interned<V> {
    /// How many values live.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The id of the value with this hash that is the `same`, with one more holder.
    pub(crate) fn hold_same(&mut self, hash: u64, same: impl Fn(&V) -> bool) -> Option<u32> {
        let slots = &self.slots;
        let tag = tag(hash);
        let hash = spread(tag);
        let shard = self.index.get(shard_of(hash))?;
        let id = *shard.find(hash, |id| {
            slots
                .get(*id as usize)
                .is_some_and(|slot| slot.tag == tag && slot.value.as_ref().is_some_and(&same))
        })?;
        self.hold(id, 1);
        Some(id)
    }

    /// Takes in a value that [`Interned::hold_same`] did not find, with one holder.
    pub(crate) fn add(&mut self, hash: u64, value: V) -> u32 {
        let tag = tag(hash);
        let hash = spread(tag);
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { tag, refs: 0, life: 0, value: None });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(slot) = self.slots.get_mut(id as usize) {
            *slot = Slot { tag, refs: 1, life: slot.life.wrapping_add(1), value: Some(value) };
        }
        let slots = &self.slots;
        if let Some(shard) = self.index.get_mut(shard_of(hash)) {
            shard.insert_unique(hash, id, |id| slots.get(*id as usize).map_or(0, |slot| spread(slot.tag)));
        }
        self.len += 1;
        id
    }

    pub(crate) fn get(&self, id: u32) -> Option<&V> {
        self.slots.get(id as usize)?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut V> {
        self.slots.get_mut(id as usize)?.value.as_mut()
    }

    pub(crate) fn life(&self, id: u32) -> u32 {
        self.slots.get(id as usize).map_or(0, |slot| slot.life)
    }

    pub(crate) fn hold(&mut self, id: u32, times: u32) {
        if let Some(slot) = self.slots.get_mut(id as usize)
            && slot.value.is_some()
        {
            slot.refs += times;
        }
    }

    /// Gives back one holder; the value where it was the last one.
    pub(crate) fn release(&mut self, id: u32) -> Option<V> {
        let slot = self.slots.get_mut(id as usize)?;
        slot.refs = slot.refs.saturating_sub(1);
        if slot.refs > 0 {
            return None;
        }
        let value = slot.value.take()?;
        let hash = spread(slot.tag);
        if let Some(shard) = self.index.get_mut(shard_of(hash))
            && let Ok(entry) = shard.find_entry(hash, |other| *other == id)
        {
            entry.remove();
        }
        self.free.push(id);
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn refs(&self, id: u32) -> u32 {
        self.slots.get(id as usize).map_or(0, |slot| slot.refs)
    }
}

#[cfg(test)]
impl<V> Interned<V> {
    /// Each id in use with the number of its holders.
    pub(crate) fn holders(&self) -> std::collections::HashMap<u32, u32> {
        let slots = (0u32..).zip(self.slots.iter());
        slots.filter(|(_, slot)| slot.value.is_some()).map(|(id, slot)| (id, slot.refs)).collect()
    }
}

/// The half of a hash that is kept beside the value.
fn tag(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(0)
}

/// The hash by which a tag is found: all of its bits are as good as those of the tag.
fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// hashbrown takes the lowest bits for the bucket and the highest seven for the tag; these are neither.
pub(crate) fn shard_of(hash: u64) -> usize {
    usize::try_from(hash >> 48).unwrap_or(0) % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intern(table: &mut Interned<String>, text: &str) -> u32 {
        let hash = text.len() as u64; // collides on purpose
        table.hold_same(hash, |known| known == text).unwrap_or_else(|| table.add(hash, text.to_owned()))
    }

    #[test]
    fn equal_values_share_an_id_until_the_last_holder_lets_go() {
        let mut table = Interned::default();
        let (a, b) = (intern(&mut table, "a"), intern(&mut table, "b"));
        assert_ne!(a, b);
        assert_eq!(intern(&mut table, "a"), a);
        assert_eq!((table.len(), table.refs(a)), (2, 2));
        assert_eq!(table.release(a), None);
        assert_eq!(table.release(a), Some("a".to_owned()));
        assert_eq!(table.get(a), None);
        let life = table.life(a);
        let c = intern(&mut table, "c");
        assert_eq!(c, a, "the id is used again");
        assert_ne!(table.life(c), life, "and known to be");
        assert_eq!(intern(&mut table, "a"), 3);
    }
}

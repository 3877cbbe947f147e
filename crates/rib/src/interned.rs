//! Values held once, under a dense id, counted.
//!
//! Attribute sets, next hops and forwarding sets are shared by many routes: a route holds four octets, equal values have
//! equal ids, and a value that nobody holds is dropped and its id used again.

use crate::index::Index;
use crate::paged::Paged;

/// Ids that name nothing.
pub(crate) const NONE: u32 = 0;

/// See the module. Ids start at 1.
#[derive(Clone, Debug)]
pub(crate) struct Interned<V> {
    index: Index,
    slots: Paged<Slot<V>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Slot<V> {
    refs: u32,
    /// Counts the lives of the id, so that a cache can tell an id that was used again.
    life: u32,
    value: Option<V>,
}

impl<V> Interned<V> {
    /// Nothing, with an index in so many parts; see [`Index::new`].
    pub(crate) fn new(shards: usize) -> Self {
        let mut slots = Paged::default();
        // Nobody has the id that names nothing.
        slots.push(Slot { refs: 0, life: 0, value: None });
        Self { index: Index::new(shards), slots, free: Vec::new(), len: 0 }
    }

    /// How many values live.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The id of the value with this hash that is the `same`, with one more holder.
    pub(crate) fn hold_same(&mut self, hash: u64, same: impl Fn(&V) -> bool) -> Option<u32> {
        let slots = &self.slots;
        let id = self.index.find(hash, |id| {
            slots.get(id as usize).is_some_and(|slot| slot.value.as_ref().is_some_and(&same))
        })?;
        self.hold(id, 1);
        Some(id)
    }

    /// The id that the next value gets.
    pub(crate) fn next_id(&self) -> u32 {
        self.free.last().copied().unwrap_or_else(|| u32::try_from(self.slots.len()).unwrap_or(u32::MAX))
    }

    /// Takes in a value that [`Interned::hold_same`] did not find, with one holder.
    pub(crate) fn add(&mut self, hash: u64, value: V) -> u32 {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { refs: 0, life: 0, value: None });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(slot) = self.slots.get_mut(id as usize) {
            *slot = Slot { refs: 1, life: slot.life.wrapping_add(1), value: Some(value) };
        }
        self.index.insert(hash, id);
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

    /// Gives back one holder; the value where it was the last one, which has this `hash`.
    #[inline]
    pub(crate) fn release(&mut self, id: u32, hash: impl FnOnce(&V) -> u64) -> Option<V> {
        let slot = self.slots.get_mut(id as usize)?;
        slot.refs = slot.refs.saturating_sub(1);
        if slot.refs > 0 {
            return None;
        }
        let value = slot.value.take()?;
        self.index.remove(hash(&value), id);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Collides on purpose.
    fn hash(text: &str) -> u64 {
        text.len() as u64
    }

    fn intern(table: &mut Interned<String>, text: &str) -> u32 {
        let hash = hash(text);
        table.hold_same(hash, |known| known == text).unwrap_or_else(|| table.add(hash, text.to_owned()))
    }

    #[test]
    fn equal_values_share_an_id_until_the_last_holder_lets_go() {
        let mut table = Interned::new(4);
        let (a, b) = (intern(&mut table, "a"), intern(&mut table, "b"));
        assert_ne!(a, b);
        assert_eq!(intern(&mut table, "a"), a);
        assert_eq!((table.len(), table.refs(a)), (2, 2));
        assert_eq!(table.release(a, |text| hash(text)), None);
        assert_eq!(table.release(a, |text| hash(text)), Some("a".to_owned()));
        assert_eq!(table.get(a), None);
        let life = table.life(a);
        let c = intern(&mut table, "c");
        assert_eq!(c, a, "the id is used again");
        assert_ne!(table.life(c), life, "and known to be");
        assert_eq!(intern(&mut table, "a"), 3);
    }
}

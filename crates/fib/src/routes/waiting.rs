//! The routes of one family that wait to be looked at, and whose turn it is.

use std::collections::VecDeque;

/// Turns of which the last belongs to those that give way, so that nobody who flaps keeps them out for ever.
const ROUND: u8 = 32;

/// Slots to be looked at, each once, in the order in which they came; those that give way come after the others.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    first: VecDeque<u32>,
    giving_way: VecDeque<u32>,
    turn: u8,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.giving_way.len()
    }

    #[inline]
    pub(super) fn push(&mut self, slot: u32, gives_way: bool) {
        if gives_way { self.giving_way.push_back(slot) } else { self.first.push_back(slot) }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<u32> {
        self.turn = (self.turn + 1) % ROUND;
        let (next, then) = match self.turn {
            0 => (&mut self.giving_way, &mut self.first),
            _ => (&mut self.first, &mut self.giving_way),
        };
        next.pop_front().or_else(|| then.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_way_comes_after_the_others_and_still_has_some_of_the_turns() {
        let mut waiting = Waiting::default();
        for slot in 0..100 {
            waiting.push(slot, slot < 20);
        }
        let order: Vec<u32> = std::iter::from_fn(|| waiting.pop()).collect();
        let (while_both_wait, after) = order.split_at(82);
        let (early, others): (Vec<u32>, Vec<u32>) = while_both_wait.iter().partition(|slot| **slot < 20);
        assert_eq!((early, others), (vec![0, 1], (20..100).collect()));
        assert_eq!(after, (2..20).collect::<Vec<u32>>());
        assert_eq!(waiting.len(), 0);
    }
}

//! Operations on their way: a buffer of requests, and which request belongs to which operation.
//!
//! Only the last request asks for an acknowledgement; an error comes unasked, with the sequence number of its request,
//! and does not keep the kernel from working through the rest. So "last one answered, no error for this one" is success.

use bgp_fib::{KernelError, Op, OpId, RouteOps};

use crate::encode::encode;
use crate::report::Answers;
use crate::routes::encode_routes;
use crate::uapi::flag;

/// More than this does not fit the default send buffer (about 210,000 octets); the widest groups come near.
const MAX_LEN: usize = 96 * 1024;
/// Offset of the flags in a message header.
const FLAGS_OFFSET: usize = 6;

/// A batch being built or in flight; the memory is reused.
#[derive(Default)]
pub(crate) struct Batch {
    octets: Vec<u8>,
    answers: Answers,
    first: u32,
    last_start: usize,
}

impl Batch {
    /// Empties the batch; its first request gets the sequence number `first`.
    pub(crate) fn restart(&mut self, first: u32) {
        self.octets.clear();
        self.answers = Answers::default();
        self.first = first;
        self.last_start = 0;
    }

    /// Takes `op` in, where it is one request and there is room.
    pub(crate) fn push(&mut self, id: OpId, op: &Op) -> bool {
        let start = self.octets.len();
        if start >= MAX_LEN || !encode(op, self.next_sequence(), &mut self.octets) {
            return false;
        }
        self.last_start = start;
        self.answers.expect(id, 1);
        true
    }

    /// Takes in operations of `ops`, from the place `from` on and up to `most`, as far as there is room; says how many.
    pub(crate) fn push_routes(&mut self, ops: &RouteOps, from: usize, most: usize) -> usize {
        let places = from..ops.len().min(from.saturating_add(most));
        let (count, last) = encode_routes(ops, places, self.next_sequence(), MAX_LEN, &mut self.octets);
        if count > 0 {
            self.last_start = last;
            self.answers.expect(ops.id(from), count);
        }
        count
    }

    /// Requests in the batch.
    pub(crate) fn len(&self) -> usize {
        self.answers.len()
    }

    /// The sequence number behind the last.
    pub(crate) fn next_sequence(&self) -> u32 {
        // A batch is some hundred requests; a count that does not fit cannot be.
        self.first.wrapping_add(u32::try_from(self.len()).unwrap_or(u32::MAX))
    }

    /// The octets to send, the last request marked.
    pub(crate) fn seal(&mut self) -> &[u8] {
        let at = self.last_start + FLAGS_OFFSET;
        if let Some([low, high]) = self.octets.get_mut(at..at + 2) {
            [*low, *high] = (u16::from_ne_bytes([*low, *high]) | flag::ACK).to_ne_bytes();
        }
        &self.octets
    }

    /// Takes in the answer to the request `sequence`; `true` when that was the last.
    pub(crate) fn answer(&mut self, sequence: u32, result: Result<(), KernelError>) -> bool {
        let index = sequence.wrapping_sub(self.first);
        let Ok(index) = usize::try_from(index) else { return false };
        if index >= self.len() {
            return false; // late answer to a batch that was given up
        }
        if let Err(error) = result {
            self.answers.refused.insert(index, error);
        }
        index + 1 == self.len()
    }

    /// Takes the answers; what has none was successful.
    pub(crate) fn take_answers(&mut self) -> Answers {
        std::mem::take(&mut self.answers)
    }

    /// Takes the answers where the last one was not heard: what has no error may or may not have been done.
    pub(crate) fn give_up(&mut self, error: &KernelError) -> Answers {
        let mut answers = self.take_answers();
        for place in 0..answers.len() {
            answers.refused.entry(place).or_insert_with(|| error.clone());
        }
        answers
    }
}

#[cfg(test)]
impl Batch {
    /// Gives the message `index` a length beyond the batch, as a broken encoder would.
    pub(crate) fn damage_length_of(&mut self, index: usize) {
        let mut at = 0;
        for _ in 0..index {
            at += usize::from(u16::from_ne_bytes([self.octets[at], self.octets[at + 1]]));
        }
        self.octets[at + 2] = 1;
    }
}

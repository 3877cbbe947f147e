//! What makes two states the same: all that decides what can happen, and nothing else.
//!
//! Left out are counters, texts, jitter and the state of the random numbers; connections are numbered by age, and what
//! is left of a timer counts in whole seconds.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;
use std::time::Instant;

use super::world::{Side, World};
use crate::connection::ConnectionId;
use crate::state::State;

impl World {
    /// Equal for states that are the same.
    pub(super) fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.left.hash(&mut hasher);
        let ages: BTreeMap<ConnectionId, usize> =
            self.connections.keys().enumerate().map(|(age, id)| (*id, age)).collect();
        for tcp in self.connections.values() {
            (tcp.dialler, &tcp.line, tcp.open).hash(&mut hasher);
        }
        for side in &self.sides {
            side.hash(&ages, &mut hasher);
        }
        self.lasting().hash(&mut hasher);
        hasher.finish()
    }
}

impl Side {
    fn hash(&self, ages: &BTreeMap<ConnectionId, usize>, hasher: &mut DefaultHasher) {
        let age = |id: ConnectionId| ages.get(&id).copied();
        (self.started, self.dial.and_then(age), self.up.and_then(age)).hash(hasher);
        let (main, rival) = self.peer.machines();
        for machine in [Some(main), rival] {
            let Some(machine) = machine else {
                0u8.hash(hasher);
                continue;
            };
            machine.name().hash(hasher);
            machine.connection().map(|connection| (age(connection.id), connection.direction)).hash(hasher);
            for (at, timer) in machine.timers() {
                (timer, self.left_of(at)).hash(hasher);
            }
            if let State::Idle(idle) = machine {
                discriminant(&idle.cause).hash(hasher);
            }
        }
    }

    /// Whole seconds to a deadline.
    fn left_of(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.now).as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
    }
}

//! Random numbers where an outsider must not be able to guess them: hash seeds, timer jitter.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A fresh seed. The standard library keys [`RandomState`] from the system's random numbers.
pub fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

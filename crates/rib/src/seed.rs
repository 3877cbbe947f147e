//! How the tables hash: foldhash under a seed that the process has drawn, so that a peer cannot choose prefixes or
//! attributes that collide.

use std::hash::BuildHasher;

use foldhash::fast::{FixedState, FoldHasher};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl BuildHasher for Seed {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> FoldHasher<'static> {
        FixedState::with_seed(self.0).build_hasher()
    }
}

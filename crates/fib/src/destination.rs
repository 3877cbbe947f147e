//! Prefixes under numbers: who says what is wanted has a number for each prefix, which leads to its route without a search.
//!
//! For a million prefixes an index of the FIB's own was a third of what a route cost it. What the kernel reports has no number,
//! so whoever hands that in says which one the prefix has, if it has one.

use bgp_wire::Prefix;

/// A prefix that is wanted, or is wanted no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The prefix.
    pub prefix: Prefix,
    /// Its number among those of its family: small, and no other prefix's until [`crate::Fib::want`] has been told that
    /// nothing is wanted of this one.
    pub number: u32,
}

/// The number of a prefix, if it has one.
pub type Numbers<'a> = &'a dyn Fn(&Prefix) -> Option<u32>;

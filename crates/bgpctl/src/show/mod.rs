//! Replies as text for people. Each function takes a reply and gives the whole output; nothing here asks or prints.

pub(crate) mod actions;
pub(crate) mod bfd;
pub(crate) mod doctor;
pub(crate) mod fib;
pub(crate) mod neighbor;
pub(crate) mod neighbors;
pub(crate) mod nexthops;
pub(crate) mod reload;
pub(crate) mod routes;
pub(crate) mod summary;

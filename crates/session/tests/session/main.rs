//! Sessions from outside, by the public API alone: octets and virtual time in, octets and outputs out.
//!
//! `sim` joins two peers by a network with delays; `hand` plays the other end by hand; the rest are the tests.
#![expect(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

mod collision;
mod corpus;
mod hand;
mod open;
mod random;
mod scenario;
mod sim;
mod suspend;
mod timers;
#[expect(unreachable_pub, reason = "shared with the fuzz target `session`")]
mod world;

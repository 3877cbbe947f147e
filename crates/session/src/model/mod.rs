//! Two speakers and a network, explored: every state that the choices below lead to, up to a bound.
//!
//! The speakers are real [`Peer`](crate::Peer)s. The network delivers, in any order over the connections and in order on
//! each; it resets connections, forgets their ends, refuses dials, and powers a speaker off. Each speaker has a clock of
//! its own, and the one timer of time is "the next deadline comes": so no assumption about delays is in the result, and
//! what is seen holds however slow a network or a peer is. Bounded is how often something disturbs the two beside what they
//! do themselves: a deadline that comes, a fault of the network or a speaker, a command of an operator.
//!
//! In every state the laws of `world` hold; and from every state, once nothing more is disturbed, both are Established on
//! the same connection and stay so. `MODEL_BOUND=3` explores further.

mod key;
mod world;

use std::collections::HashSet;

use crate::config::Mode;
use world::{Action, World};

/// Depth first: the path to a state that breaks a law is what is on the stack.
struct Explorer {
    seen: HashSet<u64>,
    /// States from which quiet is known to lead to a session.
    recovers: HashSet<u64>,
    path: Vec<Action>,
    deepest: usize,
    steps: u64,
}

impl Explorer {
    fn run(modes: [Mode; 2], bound: u8) -> Self {
        let mut explorer =
            Self { seen: HashSet::new(), recovers: HashSet::new(), path: Vec::new(), deepest: 0, steps: 0 };
        explorer.visit(World::new(modes, bound));
        explorer
    }

    fn visit(&mut self, world: World) {
        let mut stack = vec![(world.actions(), world)];
        while let Some((actions, world)) = stack.last_mut() {
            let Some(action) = actions.pop() else {
                stack.pop();
                self.path.pop();
                continue;
            };
            let mut next = world.clone();
            self.path.push(action);
            self.deepest = self.deepest.max(self.path.len());
            self.steps += 1;
            if let Err(broken) = next.act(action).and_then(|()| next.check()) {
                panic!("{broken}\nafter {:?}\n{next:?}", self.path);
            }
            if self.seen.insert(next.key()) {
                self.recover(&next);
                stack.push((next.actions(), next));
            } else {
                self.path.pop();
            }
        }
    }

    /// Nothing is disturbed any more: a session comes, and stays.
    fn recover(&mut self, world: &World) {
        let mut quiet = world.clone();
        let mut passed = Vec::new();
        let mut keys = Vec::new();
        quiet.calm();
        // A state that is met again on this way is no end of it: only one from which a session is known to come.
        while !quiet.is_settled() && !self.recovers.contains(&quiet.key()) {
            keys.push(quiet.key());
            let done = quiet.next_quiet_action().map(|action| {
                passed.push(action);
                quiet.act(action).and_then(|()| quiet.check())
            });
            match done {
                Some(Ok(())) if passed.len() < 2000 => {}
                other => {
                    panic!("no session comes: {other:?}\nafter {:?}\nand {passed:?}\n{quiet:?}", self.path)
                }
            }
        }
        self.recovers.extend(keys);
    }
}

/// `usual` disturbances, where `MODEL_BOUND` asks for no other number.
fn bound(usual: u8) -> u8 {
    std::env::var("MODEL_BOUND").map_or(usual, |text| text.parse().expect("a number"))
}

fn explore(modes: [Mode; 2], usual: u8) {
    let explorer = Explorer::run(modes, bound(usual));
    println!(
        "{modes:?}: {} states, {} steps, {} deep, {} on the way to a session",
        explorer.seen.len(),
        explorer.steps,
        explorer.deepest,
        explorer.recovers.len()
    );
    assert!(explorer.seen.len() > 100, "nothing was explored");
}

#[test]
fn both_dial() {
    explore([Mode::Both, Mode::Both], 1);
}

#[test]
fn one_dials_and_one_waits() {
    explore([Mode::Active, Mode::Passive], 2);
}

/// What the explorer is worth: it does find two that never meet.
#[test]
#[should_panic(expected = "no session comes")]
fn two_that_only_wait_are_found() {
    Explorer::run([Mode::Passive, Mode::Passive], 0);
}

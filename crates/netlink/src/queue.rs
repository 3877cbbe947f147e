//! Operations that wait for the kernel.
//!
//! In the order in which they came, with one exception: the removal of a next-hop object passes the routes. It is what
//! repairs forwarding when a peer is lost, by one message for any number of routes, and must not wait for thousands of
//! them. No route before it refers to the object, or `bgp-fib` would not remove it; other objects before it may.

use std::collections::VecDeque;
use std::vec::IntoIter;

use bgp_fib::{Op, OpId};

/// See the module.
#[derive(Default)]
pub(crate) struct Queue {
    urgent: VecDeque<(OpId, Op)>,
    /// As they were handed over; none of them is empty.
    ordered: VecDeque<IntoIter<(OpId, Op)>>,
    /// How many operations there are in `ordered`, and how many of them are no routes.
    len: usize,
    others: usize,
}

impl Queue {
    pub(crate) fn extend(&mut self, mut ops: Vec<(OpId, Op)>) {
        let removal = |op: &Op| matches!(op, Op::NexthopDel { .. });
        while self.others == 0
            && let Some(first) = ops.iter().position(|(_, op)| !is_route(op))
            && ops.get(first).is_some_and(|(_, op)| removal(op))
        {
            self.urgent.push_back(ops.remove(first));
        }
        self.others += ops.iter().filter(|(_, op)| !is_route(op)).count();
        self.len += ops.len();
        if !ops.is_empty() {
            self.ordered.push_back(ops.into_iter());
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.urgent.len() + self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn front(&self) -> Option<&(OpId, Op)> {
        self.urgent.front().or_else(|| self.ordered.front()?.as_slice().first())
    }

    /// Whether the front passes what came before it.
    pub(crate) fn is_urgent(&self) -> bool {
        !self.urgent.is_empty()
    }

    pub(crate) fn pop(&mut self) -> Option<(OpId, Op)> {
        if let Some(urgent) = self.urgent.pop_front() {
            return Some(urgent);
        }
        let ops = self.ordered.front_mut()?;
        let next = ops.next()?;
        if ops.as_slice().is_empty() {
            self.ordered.pop_front();
        }
        self.len -= 1;
        self.others -= usize::from(!is_route(&next.1));
        Some(next)
    }
}

fn is_route(op: &Op) -> bool {
    matches!(op, Op::RouteAdd(_) | Op::RouteReplace(_) | Op::RouteDel { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(id: u64) -> (OpId, Op) {
        let prefix = "10.0.0.0/8".parse().unwrap();
        (OpId(id), Op::RouteDel { prefix, table: 254, protocol: 186, metric: 20, target: None })
    }

    fn order(queue: &mut Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop()).map(|(id, _)| id.0).collect()
    }

    #[test]
    fn the_removal_of_a_hop_passes_routes_and_nothing_else() {
        let mut queue = Queue::default();
        queue.extend(vec![route(1), route(2), (OpId(3), Op::NexthopDel { id: 7 })]);
        queue.extend(vec![(OpId(4), Op::GroupDel { id: 8 }), (OpId(5), Op::NexthopDel { id: 9 }), route(6)]);
        assert_eq!(order(&mut queue), [3, 1, 2, 4, 5, 6]);
        queue.extend(vec![route(7), (OpId(8), Op::NexthopDel { id: 7 })]);
        assert!(queue.is_urgent());
        assert_eq!(order(&mut queue), [8, 7]);
    }
}

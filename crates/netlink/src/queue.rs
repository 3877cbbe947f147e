//! Operations that wait for the kernel.
//!
//! In the order in which they came, with one exception: the removal of a next-hop object passes the routes. It is what
//! repairs forwarding when a peer is lost, by one message for any number of routes, and must not wait for thousands of
//! them. No route before it refers to the object, or `bgp-fib` would not remove it; other objects before it may.

use std::collections::VecDeque;

use bgp_fib::{Op, OpId};

/// See the module.
#[derive(Default)]
pub(crate) struct Queue {
    urgent: VecDeque<(OpId, Op)>,
    ordered: VecDeque<(OpId, Op)>,
    /// How many of `ordered` are no routes.
    others: usize,
}

impl Queue {
    pub(crate) fn extend(&mut self, ops: Vec<(OpId, Op)>) {
        for (id, op) in ops {
            if matches!(op, Op::NexthopDel { .. }) && self.others == 0 {
                self.urgent.push_back((id, op));
            } else {
                self.others += usize::from(!is_route(&op));
                self.ordered.push_back((id, op));
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.urgent.len() + self.ordered.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn front(&self) -> Option<&(OpId, Op)> {
        self.urgent.front().or_else(|| self.ordered.front())
    }

    /// Whether the front passes what came before it.
    pub(crate) fn is_urgent(&self) -> bool {
        !self.urgent.is_empty()
    }

    pub(crate) fn pop(&mut self) -> Option<(OpId, Op)> {
        if let Some(urgent) = self.urgent.pop_front() {
            return Some(urgent);
        }
        let next = self.ordered.pop_front()?;
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

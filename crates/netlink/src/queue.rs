//! Operations that wait for the kernel.
//!
//! In the order in which they came, with one exception: the removal of a next-hop object passes the routes. It is what
//! repairs forwarding when a peer is lost, by one message for any number of routes, and must not wait for thousands of
//! them. No route before it refers to the object, or `bgp-fib` would not remove it; other objects before it may. It passes
//! questions and readings of the tables too: these change nothing.

use std::collections::VecDeque;

use bgp_fib::{Op, OpId, Part, Plan, RouteOps};

/// See the module.
#[derive(Default)]
pub(crate) struct Queue {
    urgent: VecDeque<(OpId, Op)>,
    ordered: VecDeque<Part>,
    /// How many operations at the front of `ordered` have been taken.
    taken: usize,
    /// How many operations wait in `ordered`, and how many of them are on next-hop objects.
    len: usize,
    on_objects: usize,
}

/// What comes next.
pub(crate) enum Next<'a> {
    /// It passes what came before it.
    Urgent(OpId, &'a Op),
    /// An operation that is on no route.
    One(OpId, &'a Op),
    /// Operations on routes, from this place on.
    Routes(&'a RouteOps, usize),
}

impl Queue {
    pub(crate) fn extend(&mut self, plan: Plan) {
        for part in plan.into_parts() {
            match part {
                Part::One(id, op @ Op::NexthopDel { .. }) if self.on_objects == 0 => {
                    self.urgent.push_back((id, op));
                }
                Part::One(_, ref op) => {
                    self.len += 1;
                    self.on_objects += usize::from(is_on_object(op));
                    self.ordered.push_back(part);
                }
                Part::Routes(ref routes) => {
                    self.len += routes.len();
                    self.ordered.push_back(part);
                }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.urgent.len() + self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn front(&self) -> Option<Next<'_>> {
        if let Some((id, op)) = self.urgent.front() {
            return Some(Next::Urgent(*id, op));
        }
        Some(match self.ordered.front()? {
            Part::One(id, op) => Next::One(*id, op),
            Part::Routes(routes) => Next::Routes(routes, self.taken),
        })
    }

    /// Takes out `count` operations at the front, of which there are so many in one part.
    pub(crate) fn advance(&mut self, count: usize) {
        if self.urgent.pop_front().is_some() {
            return;
        }
        self.len -= count;
        self.taken += count;
        let done = match self.ordered.front() {
            Some(Part::One(_, op)) => {
                self.on_objects -= usize::from(is_on_object(op));
                true
            }
            Some(Part::Routes(routes)) => self.taken >= routes.len(),
            None => false,
        };
        if done {
            self.taken = 0;
            self.ordered.pop_front();
        }
    }

    /// Takes out the routes at the front, with the place of the first that has not been taken.
    pub(crate) fn pop_routes(&mut self) -> Option<(RouteOps, usize)> {
        let taken = self.taken;
        match self.ordered.pop_front()? {
            Part::Routes(routes) => {
                self.taken = 0;
                self.len -= routes.len() - taken;
                Some((routes, taken))
            }
            one @ Part::One(..) => {
                self.ordered.push_front(one);
                None
            }
        }
    }
}

/// Changes a next-hop object.
fn is_on_object(op: &Op) -> bool {
    match op {
        Op::NexthopAdd(_)
        | Op::NexthopReplace(_)
        | Op::NexthopDel { .. }
        | Op::GroupAdd(_)
        | Op::GroupReplace(_)
        | Op::GroupDel { .. } => true,
        Op::RouteAdd(_)
        | Op::RouteReplace(_)
        | Op::RouteDel { .. }
        | Op::Probe { .. }
        | Op::Verify { .. }
        | Op::Dump(_)
        | Op::Audit => false,
    }
}

#[cfg(test)]
mod tests {
    use bgp_fib::Kind;

    use super::*;

    fn route(id: u64) -> (OpId, Op) {
        let prefix = "10.0.0.0/8".parse().unwrap();
        (OpId(id), Op::RouteDel { prefix, table: 254, protocol: 186, metric: 20, target: None })
    }

    fn order(queue: &mut Queue) -> Vec<u64> {
        let next = || {
            let id = match queue.front()? {
                Next::Urgent(id, _) | Next::One(id, _) => id,
                Next::Routes(routes, from) => routes.id(from),
            };
            queue.advance(1);
            Some(id.0)
        };
        let order = std::iter::from_fn(next).collect();
        assert!(queue.is_empty());
        order
    }

    #[test]
    fn the_removal_of_a_hop_passes_routes_and_questions_and_no_other_object() {
        let mut queue = Queue::default();
        queue.extend(vec![route(1), route(2), (OpId(3), Op::NexthopDel { id: 7 })].into());
        let others = vec![(OpId(4), Op::GroupDel { id: 8 }), (OpId(5), Op::NexthopDel { id: 9 }), route(6)];
        queue.extend(others.into());
        assert_eq!(order(&mut queue), [3, 1, 2, 4, 5, 6]);
        queue.extend(vec![route(7), (OpId(8), Op::NexthopDel { id: 7 })].into());
        assert!(matches!(queue.front(), Some(Next::Urgent(..))));
        assert_eq!(order(&mut queue), [8, 7]);
        let probe = Op::Probe { ifindex: 5, address: [10, 0, 0, 2].into() };
        let questions = vec![(OpId(9), probe), (OpId(10), Op::Dump(Kind::Routes)), (OpId(11), Op::Audit)];
        queue.extend(questions.into());
        queue.extend(vec![(OpId(12), Op::NexthopDel { id: 7 })].into());
        assert_eq!(order(&mut queue), [12, 9, 10, 11]);
    }

    #[test]
    fn routes_are_taken_a_few_at_a_time_or_all_that_are_left() {
        let mut queue = Queue::default();
        queue.extend(vec![route(1), route(2), route(3), route(4), (OpId(5), Op::GroupDel { id: 8 })].into());
        queue.advance(1);
        assert_eq!(queue.len(), 4);
        let (routes, from) = queue.pop_routes().unwrap();
        assert_eq!((routes.len(), from, queue.len()), (4, 1, 1));
        assert!(queue.pop_routes().is_none());
        assert_eq!(order(&mut queue), [5]);
    }
}

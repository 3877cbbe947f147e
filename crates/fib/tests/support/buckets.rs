//! The buckets of a resilient group, dealt out as Linux 6.18 does it.
//!
//! `crates/netlink/tests/kernel/buckets.rs` holds this against the real kernel. The oddities: members that want more are
//! served from the last to the first, each until it has its fill; buckets are looked at in order; one that no packet has
//! used since it was dealt is idle at once, whatever the timer says.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// The member that has each; none in a group that is being made.
    pub owners: Vec<Option<u32>>,
    /// Used within the idle timer.
    pub busy: Vec<bool>,
}

impl Buckets {
    pub fn new(count: u16) -> Self {
        Self { owners: vec![None; count.into()], busy: vec![false; count.into()] }
    }

    /// Deals after a change of the members (ids and weights, in the order of the message): those of members that are gone,
    /// then what is idle of members that have too many.
    pub fn deal(&mut self, members: &[(u32, u16)]) {
        let wanted = wanted(self.owners.len(), members);
        let has = |owners: &[Option<u32>], id: u32| owners.iter().filter(|owner| **owner == Some(id)).count();
        for owner in &mut self.owners {
            owner.take_if(|id| !members.iter().any(|(member, _)| member == id));
        }
        // Weighed once: who has his fill is taken off the list.
        let mut poor: Vec<u32> =
            wanted.iter().filter(|(id, count)| has(&self.owners, *id) < *count).map(|(id, _)| *id).collect();
        for index in 0..self.owners.len() {
            let fill = |id: u32| wanted.iter().find(|(other, _)| *other == id).map_or(0, |(_, count)| *count);
            let moves = match self.owners[index] {
                None => true,
                Some(owner) => has(&self.owners, owner) > fill(owner) && !self.busy[index],
            };
            if let Some(taker) = poor.last().copied().filter(|_| moves) {
                self.owners[index] = Some(taker);
                self.busy[index] = false;
                if has(&self.owners, taker) == fill(taker) {
                    poor.pop();
                }
            }
        }
    }
}

/// How many buckets each member is to have.
fn wanted(buckets: usize, members: &[(u32, u16)]) -> Vec<(u32, usize)> {
    let total: usize = members.iter().map(|(_, weight)| usize::from(*weight)).sum();
    let (mut sum, mut before) = (0, 0);
    let mut wanted = Vec::new();
    for (id, weight) in members {
        sum += usize::from(*weight);
        let upto = (buckets * sum + total / 2) / total;
        wanted.push((*id, upto - before));
        before = upto;
    }
    wanted
}

//! The backup of a route: where it goes when the last of its next hops is lost, until the RIB has decided anew.
//!
//! In a resilient group it is a member that is due no bucket, so that the kernel itself moves every flow there when the
//! leg's object goes, with its link or by our word. Where groups have no buckets, or cannot hold such a member, it waits
//! here, with its object in the kernel, and the loss costs a change of the group.
//!
//! No packet may go by a backup whose peer has not announced the route. So it does not come into a group that routes of another
//! set point to, as those of a borrower do, until they have left (`sets::loan`).

use bgp_wire::ScopedNextHop;

use crate::fib::Fib;
use crate::groups::Share;
use crate::sets::{Draining, Wanted};
use crate::view::Via;

impl Fib {
    /// Those of the next hops of a set that count now, and its backup where that is not among them.
    pub(super) fn in_use(&self, wanted: &Wanted) -> Wanted {
        let is_usable = |next_hop: &ScopedNextHop| self.tracker.via(next_hop).is_some();
        let is_kept = |next_hop: &ScopedNextHop| !self.given_up.contains(next_hop);
        let kept = wanted.shares.iter().filter(|(next_hop, _)| is_kept(next_hop));
        let kept: Vec<Share> = kept.copied().collect();
        let backup = wanted.backup.filter(|backup| is_kept(backup) && is_usable(backup));
        if kept.iter().any(|(next_hop, _)| is_usable(next_hop)) {
            return Wanted { shares: kept, backup };
        }
        let shares = backup.map_or_else(|| wanted.shares.clone(), |backup| vec![(backup, 1)]);
        Wanted { shares, backup: None }
    }

    /// The gateway of the backup beside these legs; `None` where it is of no use to them.
    pub(super) fn spare_beside(
        &self,
        vias: &[(Via, u16)],
        draining: Draining,
        backup: Option<ScopedNextHop>,
    ) -> Option<Via> {
        let backup = backup?;
        let [(leg, _)] = vias else { return None };
        let spare = self.tracker.via(&backup)?;
        let takes_flows = draining != Draining::SomeLegs && self.takes_flows(&backup, &spare);
        (spare != *leg && takes_flows).then_some(spare)
    }
}

//! Links, and what goes with them: next-hop objects and routes of others, of which the kernel says nothing, and the
//! neighbours behind a port of a bridge.

use crate::kernel::Link;
use crate::tracking::Tracker;

/// What a link event means for objects in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkChange {
    /// The kernel has dropped every next-hop object on it, and the routes through them.
    Down(u32),
    /// It has come up.
    Up(u32),
    /// It was reported and looks as before.
    Same(u32),
}

impl Tracker {
    /// A link was reported.
    pub(super) fn link(&mut self, link: Link) -> Option<LinkChange> {
        let ifindex = link.ifindex;
        let works = |link: &Link| link.admin_up && link.carrier;
        let is_up = works(&link);
        let lost_port = !is_up && link.master.is_some();
        let old = self.facts.links.insert(ifindex, link.clone());
        if lost_port && old.as_ref().is_some_and(works) {
            self.port_lost(&link);
        }
        let set_down = !link.admin_up && old.as_ref().is_none_or(|old| old.admin_up);
        if set_down {
            self.facts.routes.drop_link(ifindex);
        }
        match (old.as_ref().is_some_and(works), is_up) {
            (true, false) => Some(self.link_down(ifindex)),
            (false, false) if set_down => Some(self.link_down(ifindex)),
            (false, true) => {
                self.mark_all();
                Some(LinkChange::Up(ifindex))
            }
            (true, true) | (false, false) => {
                if old.is_none_or(|old| old != link) {
                    self.mark_all();
                }
                Some(LinkChange::Same(ifindex))
            }
        }
    }

    /// A link has gone, or works no longer.
    pub(super) fn link_down(&mut self, ifindex: u32) -> LinkChange {
        self.failed.forget_link(ifindex);
        self.stations.forget_link(ifindex);
        let objects = self.facts.objects_on(ifindex);
        self.objects_gone(&objects);
        self.mark_all();
        LinkChange::Down(ifindex)
    }

    /// A port of a bridge works no longer: the bridge itself says nothing, so whoever may be behind it is asked.
    pub(super) fn port_lost(&mut self, port: &Link) {
        let Some(bridge) = port.master else { return };
        for hop in self.hops.values() {
            let Some(via) = hop.gateway.filter(|via| via.ifindex == bridge) else { continue };
            let key = (bridge, via.gateway);
            let held = self.facts.neighbors.get(&key).filter(|neighbor| neighbor.state.is_valid());
            if let Some(mac) = held.and_then(|neighbor| neighbor.mac)
                && !self.verify.contains(&(key, mac))
            {
                self.verify.push_back((key, mac));
            }
        }
    }

    /// The kernel has dropped these objects, ours or others', and with them the groups of others that are empty now and the
    /// routes through all of these, IPv4 ones without a word. Says whether routes of others were among those.
    pub(crate) fn objects_gone(&mut self, ids: &[u32]) -> bool {
        if ids.is_empty() {
            return false;
        }
        let gone = self.facts.drop_objects(ids);
        let routes = self.facts.routes.drop_objects(&gone);
        self.mark_all();
        !routes.is_empty()
    }
}

//! Which next hops only one peer announces: when it is lost, nothing need be decided to know that nobody leads there.
//!
//! Kept by next hops that were announced, not by paths: what a peer has withdrawn since counts until it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgp_rib::PeerId;
use bgp_wire::ScopedNextHop;

/// A peer that announces more is not looked at: its routes are repaired one by one.
const MOST: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Announced {
    peers: BTreeMap<PeerId, Known>,
    /// What was noted last: routes with the same next hop come together.
    last: Option<(PeerId, ScopedNextHop)>,
}

/// What a peer has announced.
#[derive(Debug)]
enum Known {
    These(BTreeSet<ScopedNextHop>),
    /// More than [`MOST`].
    Many,
}

impl Announced {
    /// A peer announces this next hop; says whether that is news.
    pub(super) fn note(&mut self, peer: PeerId, next_hop: ScopedNextHop) -> bool {
        if self.last.replace((peer, next_hop)) == Some((peer, next_hop)) {
            return false;
        }
        let known = self.peers.entry(peer).or_insert_with(|| Known::These(BTreeSet::new()));
        match known {
            Known::These(these) if these.len() == MOST && !these.contains(&next_hop) => {
                *known = Known::Many;
                true
            }
            Known::These(these) => these.insert(next_hop),
            Known::Many => true,
        }
    }

    /// The paths of a peer are gone; says which next hops nobody announces any more, in whatever form.
    pub(super) fn end(&mut self, peer: PeerId) -> Vec<ScopedNextHop> {
        self.last = None;
        let Some(Known::These(these)) = self.peers.remove(&peer) else { return Vec::new() };
        let mut others = BTreeSet::new();
        for known in self.peers.values() {
            match known {
                Known::These(these) => others.extend(these.iter().map(address)),
                Known::Many => return Vec::new(),
            }
        }
        these.into_iter().filter(|next_hop| !others.contains(&address(next_hop))).collect()
    }
}

fn address(next_hop: &ScopedNextHop) -> IpAddr {
    next_hop.next_hop.address().to_canonical()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bgp_wire::NextHop;

    use super::*;

    fn hop(number: u32) -> ScopedNextHop {
        ScopedNextHop { next_hop: NextHop::V4(Ipv4Addr::from(number)), interface: None }
    }

    #[test]
    fn only_what_nobody_else_announces_is_lost_with_a_peer() {
        let mut announced = Announced::default();
        assert!(announced.note(PeerId(1), hop(1)));
        assert!(!announced.note(PeerId(1), hop(1)));
        assert!(announced.note(PeerId(1), hop(2)));
        assert!(announced.note(PeerId(2), hop(2)));
        assert_eq!(announced.end(PeerId(1)), [hop(1)]);
        assert!(announced.note(PeerId(1), hop(1)), "it is back");
        assert_eq!(announced.end(PeerId(2)), [hop(2)]);
        assert_eq!(announced.end(PeerId(3)), []);
    }

    #[test]
    fn a_peer_with_very_many_is_neither_remembered_nor_forgotten_in_part() {
        let mut announced = Announced::default();
        for number in 0..3 * u32::try_from(MOST).unwrap() {
            announced.note(PeerId(1), hop(number));
        }
        announced.note(PeerId(2), hop(7));
        assert_eq!(announced.end(PeerId(2)), [], "the first may still announce it");
        assert_eq!(announced.end(PeerId(1)), []);
        announced.note(PeerId(2), hop(7));
        assert_eq!(announced.end(PeerId(2)), [hop(7)]);
    }
}

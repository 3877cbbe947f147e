//! The table of peers: one entry each, found by address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bgp_api::PeerTotals;
use bgp_rib::PeerId;
use bgp_wire::Prefix;

use crate::config::Settings;
use crate::handover::Orders;
use crate::peer::Handle;

/// How long a peer of a listen range that has no session stays in sight.
const ABSENT_FOR: Duration = Duration::from_secs(600);

/// One peer.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: PeerId,
    pub(super) handle: Handle,
    pub(super) settings: Arc<Settings>,
    pub(super) group: Option<String>,
    pub(super) interface: Option<String>,
    /// The listen range that let it in; `None` for a neighbour configured by address.
    pub(super) range: Option<Prefix>,
    /// When it was last seen with a session, or connecting.
    pub(super) seen: Instant,
    /// Kept down, by the configuration or by an operator's command.
    pub(super) shutdown: bool,
    /// What an operator's commands have ordered.
    pub(super) orders: Orders,
}

/// What views need of a peer.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Its number in the RIB.
    pub id: PeerId,
    /// Its address.
    pub address: IpAddr,
    /// Where its task is reached.
    pub handle: Handle,
    /// What applies to it.
    pub settings: Arc<Settings>,
    /// An operator's command, not the configuration, has it told that its session will be closed.
    pub closing: bool,
    /// Its peer group.
    pub group: Option<String>,
    /// The interface that the configuration names.
    pub interface: Option<String>,
    /// The listen range that let it in.
    pub range: Option<Prefix>,
}

/// All peers.
#[derive(Debug, Default)]
pub(super) struct Peers {
    entries: BTreeMap<IpAddr, Entry>,
    next_id: u32,
}

impl Peers {
    /// A number that no peer has had: what an earlier peer's task still says must not meet a later peer.
    pub(super) fn next_id(&mut self) -> PeerId {
        let id = PeerId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1) % PeerId::LOCAL.0;
        id
    }

    pub(super) fn get(&self, address: IpAddr) -> Option<&Entry> {
        self.entries.get(&address)
    }

    pub(super) fn get_mut(&mut self, address: IpAddr) -> Option<&mut Entry> {
        self.entries.get_mut(&address)
    }

    pub(super) fn insert(&mut self, address: IpAddr, entry: Entry) {
        self.entries.insert(address, entry);
    }

    pub(super) fn remove(&mut self, address: IpAddr) -> Option<Entry> {
        self.entries.remove(&address)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (IpAddr, &Entry)> {
        self.entries.iter().map(|(address, entry)| (*address, entry))
    }

    /// Peers that listen ranges of `group` let in.
    pub(super) fn dynamic_of(&self, group: &str) -> usize {
        self.entries
            .values()
            .filter(|entry| entry.range.is_some() && entry.group.as_deref() == Some(group))
            .count()
    }

    /// The peer of a listen range of `group` that has been without a session for the longest time; of those whose routes are
    /// kept only where there is no other. What an operator has ordered is not lost that way.
    pub(super) fn longest_absent(&self, group: &str) -> Option<IpAddr> {
        self.iter()
            .filter(|(_, entry)| entry.range.is_some() && entry.group.as_deref() == Some(group))
            .filter(|(_, entry)| !entry.is_up() && !entry.has_orders())
            .min_by_key(|(_, entry)| (entry.is_kept(), entry.seen))
            .map(|(address, _)| address)
    }

    /// Marks who is up as seen, and names the peers of listen ranges that have been away for too long and of whom nothing is
    /// kept.
    pub(super) fn absent(&mut self, now: Instant) -> Vec<IpAddr> {
        let mut absent = Vec::new();
        for (address, entry) in &mut self.entries {
            if entry.is_up() {
                entry.seen = now;
            } else if entry.range.is_some()
                && now.saturating_duration_since(entry.seen) > ABSENT_FOR
                && !entry.is_kept()
                && !entry.has_orders()
            {
                absent.push(*address);
            }
        }
        absent
    }

    /// For views; with `closing` every peer is told that its session will be closed.
    pub(super) fn infos(&self, closing: bool) -> Vec<PeerInfo> {
        self.iter()
            .map(|(address, entry)| PeerInfo {
                id: entry.id,
                address,
                handle: entry.handle.clone(),
                settings: Arc::clone(&entry.settings),
                closing: closing || entry.orders.closing,
                group: entry.group.clone(),
                interface: entry.interface.clone(),
                range: entry.range,
            })
            .collect()
    }

    pub(super) fn totals(&self) -> PeerTotals {
        let count = |keep: fn(&Entry) -> bool| {
            u64::try_from(self.entries.values().filter(|entry| keep(entry)).count()).unwrap_or(u64::MAX)
        };
        PeerTotals {
            total: count(|_| true),
            established: count(Entry::is_up),
            dynamic: count(|entry| entry.range.is_some()),
            shutdown: count(|entry| entry.shutdown),
            groups: 0,
        }
    }
}

impl Entry {
    pub(super) fn is_up(&self) -> bool {
        self.handle.established.load(Ordering::Relaxed)
    }

    /// Whether routes of a session that has ended are kept.
    fn is_kept(&self) -> bool {
        self.handle.kept.load(Ordering::Relaxed)
    }

    pub(super) fn has_orders(&self) -> bool {
        self.orders != Orders::default()
    }

    /// Whether the peer was asked to keep our routes while we are away, RFC 4724.
    pub(super) fn keeps_routes(&self) -> bool {
        self.settings.session.graceful_restart.mode == crate::config::GracefulRestartMode::Full
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use tokio::sync::mpsc;

    use super::*;
    use crate::config::load_str;

    const MINUTE: Duration = Duration::from_secs(60);

    fn peer(last: u8) -> IpAddr {
        [172, 50, 0, last].into()
    }

    /// Three peers of a listen range without a session: of the first one routes are kept, it was seen at first.
    fn away(now: Instant) -> Peers {
        let text =
            "[bgp]\nasn = 64513\n[peer-group.a]\nremote-asn = 64512\nlisten-range = [\"172.50.0.0/16\"]\n";
        let settings = Arc::new(load_str(text, "t").unwrap().config.groups["a"].settings.clone());
        let mut peers = Peers::default();
        for last in [1_u8, 2, 3] {
            let (inbox, _) = mpsc::channel(1);
            let (established, kept) = (AtomicBool::new(false).into(), AtomicBool::new(last == 1).into());
            let entry = Entry {
                id: peers.next_id(),
                handle: Handle { inbox, established, kept },
                settings: Arc::clone(&settings),
                group: Some("a".to_owned()),
                interface: None,
                range: Some("172.50.0.0/16".parse().unwrap()),
                seen: now + Duration::from_secs(last.into()),
                shutdown: false,
                orders: Orders::default(),
            };
            peers.insert(peer(last), entry);
        }
        peers
    }

    #[test]
    fn a_peer_whose_routes_are_kept_is_not_forgotten_before_they_are_gone() {
        let now = Instant::now();
        let mut peers = away(now);
        assert_eq!(peers.absent(now + 10 * MINUTE), [] as [IpAddr; 0]);
        assert_eq!(peers.absent(now + 11 * MINUTE), [peer(2), peer(3)]);
        peers.get(peer(1)).unwrap().handle.kept.store(false, Ordering::Relaxed);
        assert_eq!(peers.absent(now + 24 * 60 * MINUTE), [peer(1), peer(2), peer(3)]);
    }

    #[test]
    fn of_a_full_range_a_peer_whose_routes_are_kept_goes_last() {
        let mut peers = away(Instant::now());
        for gone in [2, 3, 1] {
            assert_eq!(peers.longest_absent("a"), Some(peer(gone)));
            peers.remove(peer(gone));
        }
        assert_eq!(peers.longest_absent("a"), None);
    }

    #[test]
    fn what_an_operator_has_ordered_is_not_forgotten() {
        let now = Instant::now();
        let mut peers = away(now);
        peers.get_mut(peer(2)).unwrap().orders.closing = true;
        peers.get_mut(peer(3)).unwrap().orders.shutdown = Some(String::new());
        assert_eq!(peers.absent(now + 24 * 60 * MINUTE), [] as [IpAddr; 0]);
        assert_eq!(peers.longest_absent("a"), Some(peer(1)));
        peers.remove(peer(1));
        assert_eq!(peers.longest_absent("a"), None);
    }
}

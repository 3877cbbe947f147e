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
    /// Shut down by an operator's command.
    pub(super) shutdown: bool,
    /// Told by an operator's command that its session will be closed.
    pub(super) closing: bool,
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

    /// The peer of a listen range of `group` that has been without a session for the longest time.
    pub(super) fn longest_absent(&self, group: &str) -> Option<IpAddr> {
        self.iter()
            .filter(|(_, entry)| {
                entry.range.is_some() && entry.group.as_deref() == Some(group) && !entry.is_up()
            })
            .min_by_key(|(_, entry)| entry.seen)
            .map(|(address, _)| address)
    }

    /// Marks who is up as seen, and names the peers of listen ranges that have been away for too long.
    pub(super) fn absent(&mut self, now: Instant) -> Vec<IpAddr> {
        let mut absent = Vec::new();
        for (address, entry) in &mut self.entries {
            if entry.is_up() {
                entry.seen = now;
            } else if entry.range.is_some() && now.saturating_duration_since(entry.seen) > ABSENT_FOR {
                absent.push(*address);
            }
        }
        absent
    }

    pub(super) fn infos(&self) -> Vec<PeerInfo> {
        self.iter()
            .map(|(address, entry)| PeerInfo {
                id: entry.id,
                address,
                handle: entry.handle.clone(),
                settings: Arc::clone(&entry.settings),
                closing: entry.closing,
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
}

impl Entry {
    /// Whether the peer was asked to keep our routes while we are away, RFC 4724.
    pub(super) fn keeps_routes(&self) -> bool {
        self.settings.session.graceful_restart.mode == crate::config::GracefulRestartMode::Full
    }
}

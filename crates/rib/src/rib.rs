//! The RIB as a whole: its parts, and the coming and going of peers, settings and networks of our own.

use bgp_policy::Policy;
use bgp_wire::attribute::{Origin, PathAttributes};
use bgp_wire::{Family, NextHop, PerFamily, Prefix, ScopedNextHop};
use hashbrown::HashMap;

use crate::attributes::AttributeSets;
use crate::column::Cell;
use crate::config::{PeerId, PeerSettings, RibConfig};
use crate::decision::Candidate;
use crate::forwarding::Forwardings;
use crate::group::{Group, Profile};
use crate::next_hops::{NextHops, Reachability, Watch};
use crate::peer::{Change, EndOfRib, Peer};
use crate::receive::forget_limits;
use crate::seed::Seed;
use crate::table::{Orphan, Place, Table};

/// All routes of all peers; see the crate.
#[derive(Debug)]
pub struct Rib {
    pub(crate) config: RibConfig,
    pub(crate) seed: Seed,
    /// A peer keeps its place while it is there.
    pub(crate) peers: Vec<Option<Peer>>,
    pub(crate) places: HashMap<PeerId, usize, Seed>,
    pub(crate) tables: PerFamily<Table>,
    pub(crate) sets: AttributeSets,
    pub(crate) hops: NextHops,
    pub(crate) forwardings: Forwardings,
    /// Counts portions of decisions.
    pub(crate) round: u32,
    /// Lent to each decision.
    pub(crate) scratch: Vec<Candidate>,
}

impl Rib {
    /// An empty RIB.
    pub fn new(config: RibConfig) -> Self {
        let seed = Seed::new(config.hash_seed);
        Self {
            seed,
            peers: Vec::new(),
            places: HashMap::with_hasher(seed),
            tables: PerFamily::from_fn(|family| Table::new(family, seed)),
            sets: AttributeSets::new(seed, config.local_asn),
            hops: NextHops::new(seed),
            forwardings: Forwardings::new(seed, config.backups),
            round: 0,
            scratch: Vec::new(),
            config,
        }
    }

    /// A peer's session is up. Routes that were kept over its restart stay, stale, until they are announced again or
    /// swept. Its End-of-RIB is due for every family that both sides speak. More than 65,535 peers at a time are not told
    /// apart: one above that is not there.
    pub fn add_peer(&mut self, id: PeerId, settings: PeerSettings) {
        let place = match self.places.get(&id) {
            Some(place) => *place,
            None => {
                let free = self.peers.iter().position(Option::is_none);
                let place = free.unwrap_or(self.peers.len());
                if Place::of(place) == Place::LOCAL {
                    return;
                }
                if free.is_none() {
                    self.peers.push(None);
                }
                self.places.insert(id, place);
                place
            }
        };
        for family in Family::ALL {
            self.leave_group(place, family);
        }
        match self.peers.get_mut(place) {
            Some(Some(peer)) => peer.change(|before| *before = settings),
            Some(empty) => *empty = Some(Peer::new(id, settings, self.seed)),
            None => return,
        }
        for family in Family::ALL {
            let spoken = self.peer(place).is_some_and(|peer| peer.speaks(family));
            if let Some(peer) = self.peer_mut(place) {
                let state = &mut peer.families[family];
                (state.end_of_rib_received, state.refreshing) = (false, false);
                (state.warned, state.exceeded) = (false, false);
                state.out.end_of_rib = if spoken { EndOfRib::Due } else { EndOfRib::Never };
            }
            if !spoken {
                self.sweep_stale(id, family);
            }
            self.reevaluate(place, family);
            self.join_group(place, family);
        }
    }

    /// A peer's session is gone and so are its routes.
    pub fn remove_peer(&mut self, id: PeerId) {
        let Some(place) = self.places.remove(&id) else { return };
        for family in Family::ALL {
            self.leave_group(place, family);
        }
        let Some(peer) = self.peers.get_mut(place).and_then(Option::take) else { return };
        for (family, state) in
            [(Family::Ipv4Unicast, peer.families.ipv4), (Family::Ipv6Unicast, peer.families.ipv6)]
        {
            let table = &mut self.tables[family];
            table.aging.retain(|(other, _)| *other != place);
            table.orphans.push(Orphan::Received(state.received));
        }
    }

    /// A peer's session is gone, and its routes stay in use until it is back or the restart time is over: RFC 4724
    /// section 4.2. What was stale already stays as well; where it shall not, [`Rib::sweep_stale`] comes first.
    pub fn mark_stale(&mut self, id: PeerId) {
        let Some(place) = self.places.get(&id).copied() else { return };
        for family in Family::ALL {
            self.leave_group(place, family);
            // What becomes stale now has not been so for long.
            self.tables[family].aging.retain(|(other, _)| *other != place);
            let Some(peer) = self.peer_mut(place) else { continue };
            let state = &mut peer.families[family];
            state.mark_stale();
            (state.end_of_rib_received, state.refreshing) = (false, false);
        }
    }

    /// Removes what is still stale: at the peer's End-of-RIB, when the restart time is over, where the peer did not
    /// keep its forwarding state, or has restarted again.
    pub fn sweep_stale(&mut self, id: PeerId, family: Family) {
        let Some(place) = self.places.get(&id).copied() else { return };
        let Some(Some(peer)) = self.peers.get_mut(place) else { return };
        let (state, table) = (&mut peer.families[family], &mut self.tables[family]);
        if state.stale == 0 {
            return;
        }
        let gone = state.received.split_stale(state.stale, table.ids());
        if state.received.len() == 0 {
            (state.accepted, state.used, state.stale) = (0, 0, 0);
        } else {
            gone.iter().for_each(|(_, cell)| state.count(cell, Change::Out));
        }
        forget_limits(state, peer.settings.maximum_prefix[family]);
        // What follows for their prefixes comes in portions.
        table.orphans.push(Orphan::Received(gone));
    }

    /// Changes policies of a peer without touching its session: what it announced is judged again from the Adj-RIB-In,
    /// and it is told what changes.
    pub fn set_policy(&mut self, id: PeerId, import: Option<Policy>, export: Option<Policy>) {
        let Some(place) = self.places.get(&id).copied() else { return };
        let Some(peer) = self.peer_mut(place) else { return };
        let import_changed = peer.settings.import != import;
        let export_changed = peer.settings.export != export;
        peer.settings.import = import;
        peer.settings.export = export;
        for family in Family::ALL {
            if import_changed {
                self.reevaluate(place, family);
            }
            if export_changed {
                self.change_group(place, family);
            }
        }
    }

    /// Announces a network of our own: ORIGIN IGP, an empty AS_PATH, better than anything learned. It is not told to the
    /// kernel side.
    pub fn originate(&mut self, prefix: Prefix) {
        let attributes = PathAttributes { origin: Origin::Igp, ..PathAttributes::default() }.to_bytes();
        let next_hop = match prefix.family() {
            Family::Ipv4Unicast => NextHop::V4([0; 4].into()),
            Family::Ipv6Unicast => NextHop::V6([0; 16].into()),
        };
        let here = ScopedNextHop { next_hop, interface: None };
        let set = self.sets.intern(&attributes, here, &mut self.hops);
        let table = &mut self.tables[prefix.family()];
        if let Some(id) = table.insert(prefix) {
            let old = table.replace_local(id, Cell::new(set));
            self.sets.release(old.set(), &mut self.hops);
            table.mark(id);
        }
    }

    /// Takes back a network of our own.
    pub fn withdraw_origin(&mut self, prefix: Prefix) {
        let table = &mut self.tables[prefix.family()];
        let Some(id) = table.prefixes.find(prefix) else { return };
        table.mark(id);
        let old = table.replace_local(id, Cell::NONE);
        self.sets.release(old.set(), &mut self.hops);
    }

    /// Whether [`Rib::take_next_hop_changes`] may have something.
    pub fn has_next_hop_changes(&self) -> bool {
        self.hops.has_changes()
    }

    /// Next hops to watch from now on, and those no longer, since the last call.
    pub fn take_next_hop_changes(&mut self, out: &mut Vec<(ScopedNextHop, Watch)>) {
        self.hops.take_changes(out);
    }

    /// Tells what was found out about a next hop. Routes that have it are decided again; one that is not in use is
    /// ignored.
    pub fn set_reachability(&mut self, next_hop: ScopedNextHop, found: Reachability) {
        let Some(hop) = self.hops.set(next_hop, found) else { return };
        for family in Family::ALL {
            let table = &mut self.tables[family];
            if table.rescan.add(hop) {
                self.hops.hold(hop);
            }
        }
    }

    pub(crate) fn peer(&self, place: usize) -> Option<&Peer> {
        self.peers.get(place)?.as_ref()
    }

    pub(crate) fn peer_mut(&mut self, place: usize) -> Option<&mut Peer> {
        self.peers.get_mut(place)?.as_mut()
    }

    pub(crate) fn by_id(&self, id: PeerId) -> Option<&Peer> {
        self.peer(*self.places.get(&id)?)
    }

    /// Has everything that a peer announced judged again.
    pub(crate) fn reevaluate(&mut self, place: usize, family: Family) {
        if let Some(peer) = self.peer_mut(place) {
            let state = &mut peer.families[family];
            state.judged_to = (state.received.len() > 0).then_some(0);
            state.competes_anew &= state.judged_to.is_some();
        }
    }

    /// Puts a peer into the update group that fits its settings, and has it told everything there.
    fn join_group(&mut self, place: usize, family: Family) {
        let Some(Some(peer)) = self.peers.get_mut(place) else { return };
        let Some(profile) = Profile::new(&peer.settings, family) else { return };
        let table = &mut self.tables[family];
        let at = match table
            .groups
            .iter()
            .position(|group| group.as_ref().is_some_and(|g| g.profile == profile))
        {
            Some(at) => at,
            None => table.add_group(Group::new(profile, self.seed)),
        };
        peer.families[family].out.group = Some(at);
        // A batch that is left was sorted by another group.
        peer.families[family].out.sorted_at = u64::MAX;
        if let Some(Some(group)) = table.groups.get_mut(at) {
            group.members.push(place);
        }
        peer.families[family].out.catch_up(table.ids());
    }

    /// Takes a peer out of its group; what it was told is forgotten.
    fn leave_group(&mut self, place: usize, family: Family) {
        let Some(Some(peer)) = self.peers.get_mut(place) else { return };
        let table = &mut self.tables[family];
        let out = std::mem::take(&mut peer.families[family].out);
        if let Some(at) = out.group {
            table.remove_member(at, place);
        }
        table.orphans.push(Orphan::Prefixes(out.sent));
        table.orphans.push(Orphan::Prefixes(out.pending));
        for id in out.batch.ids() {
            table.release(*id);
        }
    }

    /// Moves a peer to the group that fits its settings now; it knows what it was told before.
    pub(crate) fn change_group(&mut self, place: usize, family: Family) {
        let Some(Some(peer)) = self.peers.get_mut(place) else { return };
        let table = &mut self.tables[family];
        let profile = Profile::new(&peer.settings, family);
        let out = &mut peer.families[family].out;
        let group = out.group.and_then(|at| table.groups.get(at)?.as_ref());
        if group.map(|group| &group.profile) == profile.as_ref() {
            return;
        }
        if let Some(at) = out.group.take() {
            table.remove_member(at, place);
        }
        out.catch_up(table.ids());
        self.join_group(place, family);
    }
}

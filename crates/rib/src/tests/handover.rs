//! A RIB that goes on where another one ended: nothing is lost, nothing is sent twice.

use std::collections::BTreeMap;

use bgp_wire::{Family, NextHop, PathAttributes, PeerKind, Prefix, Update};
use bytes::BytesMut;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{
    Kernel, Receiver, announce, config, end_of_rib, external, holders, in_use, internal, path, paths, prefix,
    reachable, settle, withdraw,
};
use crate::handover::{Carried, Damaged, Reader};
use crate::{PeerId, PeerSettings, Rib};

/// Two that announce and one, internal, that is told.
const PEERS: [PeerId; 3] = [PeerId(1), PeerId(2), PeerId(3)];
const TOLD: PeerId = PEERS[2];
const HOPS: [&str; 2] = ["2001:3200:3200::2", "2001:3200:3200::3"];

fn settings() -> [PeerSettings; 3] {
    let told = PeerSettings { export: Some(bgp_policy::Policy::All), ..internal("172.50.0.4") };
    [external(64512, HOPS[0]), external(64514, HOPS[1]), told]
}

/// All of a stream.
fn read(stream: &[u8], kind: PeerKind) -> Result<Vec<Update>, Damaged> {
    let mut reader = Reader::new(kind);
    reader.push(stream);
    let updates = reader.updates()?;
    reader.finish().map(|()| updates)
}

fn bracketed(settings: [PeerSettings; 3]) -> [PeerSettings; 3] {
    settings.map(|settings| PeerSettings { enhanced_route_refresh: true, ..settings })
}

fn begin() -> Rib {
    let mut rib = Rib::new(config());
    for (id, settings) in PEERS.into_iter().zip(settings()) {
        rib.add_peer(id, settings);
    }
    rib
}

/// Another RIB with what was carried, as the daemon brings it back. Its peers have other numbers.
fn restore(carried: &[Carried], settings: [PeerSettings; 3]) -> Rib {
    let mut rib = Rib::new(crate::RibConfig { hash_seed: 77, ..config() });
    for ((id, settings), carried) in PEERS.into_iter().zip(settings).zip(carried) {
        let kind = settings.kind;
        rib.add_peer(id, settings);
        for update in read(&carried.received, kind).unwrap() {
            rib.receive_update(id, &update);
        }
        for update in read(&carried.stale, kind).unwrap() {
            rib.restore_stale(id, &update);
        }
        for update in read(&carried.sent, kind).unwrap() {
            rib.restore_sent(id, &update);
        }
        for family in Family::ALL.into_iter().filter(|family| carried.refresh[*family]) {
            rib.request_refresh(id, family);
        }
    }
    rib
}

fn carry(rib: &Rib) -> Vec<Carried> {
    PEERS.iter().map(|id| rib.carry(*id).unwrap()).collect()
}

fn ready(rib: &mut Rib) {
    settle(rib);
    reachable(rib, &HOPS);
    settle(rib);
}

#[test]
fn what_was_there_is_there_and_nothing_is_sent_again() {
    let mut rib = begin();
    for (id, hop) in PEERS.into_iter().zip(HOPS) {
        rib.receive_update(id, &announce(&path(&[64512 + 2 * (id.0 - 1)]), hop, &["10.0.0.0/24"]));
        rib.receive_update(id, &end_of_rib(Family::Ipv4Unicast));
    }
    rib.receive_update(PEERS[0], &announce(&path(&[64512]), HOPS[0], &["2004::1/128", "2004::2/128"]));
    ready(&mut rib);
    let (mut kernel, mut receiver) = (Kernel::default(), Receiver::default());
    kernel.pull(&mut rib);
    receiver.pull(&mut rib, TOLD, 4096);
    assert_eq!(receiver.prefixes(), ["10.0.0.0/24", "2004::1/128", "2004::2/128"]);
    let messages = receiver.messages;

    let mut next = restore(&carry(&rib), settings());
    ready(&mut next);
    let mut kernel_again = Kernel::default();
    kernel_again.pull(&mut next);
    assert_eq!(kernel_again, kernel);
    assert_eq!(paths(&next, "10.0.0.0/24"), paths(&rib, "10.0.0.0/24"));
    receiver.pull(&mut next, TOLD, 4096);
    assert_eq!(receiver.messages, messages, "not a word, not even End-of-RIB");
    holders::check(&next);

    // One that is replaced before it has said anything hands on what it was handed.
    for settings in [settings, || bracketed(settings())] {
        let mut third = restore(&carry(&restore(&carry(&rib), settings())), settings());
        ready(&mut third);
        receiver.pull(&mut third, TOLD, 4096);
        assert_eq!(receiver.messages, messages);
    }

    next.receive_update(PEERS[0], &withdraw(&["2004::1/128"]));
    ready(&mut next);
    receiver.pull(&mut next, TOLD, 4096);
    assert_eq!(receiver.prefixes(), ["10.0.0.0/24", "2004::2/128"]);
    assert_eq!(receiver.messages, messages + 1);
    holders::check(&next);
    assert_eq!(carry(&next)[1], carry(&rib)[1]);
}

#[test]
fn an_external_peer_with_classic_next_hops_hears_nothing_again() {
    let told = PeerSettings { export: Some(bgp_policy::Policy::All), ..external(64515, "172.50.0.4") };
    let settings = || [external(64512, "172.50.0.2"), external(64514, "172.50.0.3"), told.clone()];
    let mut rib = Rib::new(config());
    for (id, settings) in PEERS.into_iter().zip(settings()) {
        rib.add_peer(id, settings);
    }
    let settled = |rib: &mut Rib| {
        settle(rib);
        reachable(rib, &["172.50.0.2"]);
        settle(rib);
    };
    rib.receive_update(PEERS[0], &announce(&path(&[64512]), "172.50.0.2", &["10.0.0.0/24", "10.0.1.0/24"]));
    settled(&mut rib);
    let mut receiver = Receiver::default();
    receiver.pull(&mut rib, TOLD, 4096);
    assert_eq!(receiver.prefixes(), ["10.0.0.0/24", "10.0.1.0/24"]);
    let messages = receiver.messages;
    let mut next = restore(&carry(&rib), settings());
    settled(&mut next);
    receiver.pull(&mut next, TOLD, 4096);
    assert_eq!(receiver.messages, messages);
}

#[test]
fn a_changed_policy_says_only_what_it_changes() {
    let mut rib = begin();
    rib.receive_update(PEERS[0], &announce(&path(&[64512]), HOPS[0], &["2004::1/128", "2004::2/128"]));
    ready(&mut rib);
    let mut receiver = Receiver::default();
    receiver.pull(&mut rib, TOLD, 4096);
    let messages = receiver.messages;

    let [first, second, told] = settings();
    let silent = PeerSettings { export: Some(bgp_policy::Policy::None), ..told };
    let mut next = restore(&carry(&rib), [first, second, silent]);
    ready(&mut next);
    receiver.pull(&mut next, TOLD, 4096);
    assert_eq!(receiver.prefixes(), [""; 0], "it may have nothing any more");
    assert_eq!(receiver.messages, messages + 1);
    holders::check(&next);
}

#[test]
fn what_was_stale_stays_stale_and_goes_at_end_of_rib() {
    let mut rib = begin();
    let family = Family::Ipv6Unicast;
    rib.receive_update(PEERS[0], &announce(&path(&[64512]), HOPS[0], &["2004::1/128", "2004::2/128"]));
    rib.mark_stale(PEERS[0]);
    rib.add_peer(PEERS[0], settings()[0].clone());
    rib.receive_update(PEERS[0], &announce(&path(&[64512]), HOPS[0], &["2004::1/128"]));
    let mut next = restore(&carry(&rib), settings());
    ready(&mut next);
    assert_eq!(next.counters(PEERS[0]).unwrap()[family].stale, 1);
    next.receive_update(PEERS[0], &end_of_rib(family));
    ready(&mut next);
    assert_eq!(paths(&next, "2004::2/128"), []);
    assert!(next.routes(prefix("2004::1/128")).iter().all(|route| in_use(&route.verdict)));
    holders::check(&next);
}

/// One route, which the peer that is told has been told.
fn with_one_told() -> (Rib, Receiver) {
    let mut rib = begin();
    rib.receive_update(PEERS[0], &announce(&path(&[64512]), HOPS[0], &["2004::1/128"]));
    ready(&mut rib);
    let mut receiver = Receiver::default();
    receiver.pull(&mut rib, TOLD, 4096);
    (rib, receiver)
}

#[test]
fn a_refresh_that_was_not_done_is_done_again() {
    let (rib, mut receiver) = with_one_told();
    let mut next = restore(&carry(&rib), bracketed(settings()));
    next.request_refresh(TOLD, Family::Ipv6Unicast);
    let mut third = restore(&carry(&next), bracketed(settings()));
    ready(&mut third);
    receiver.pull_all(&mut third, TOLD, 4096);
    assert_eq!(receiver.brackets.len(), 2, "BoRR and EoRR: {:?}", receiver.brackets);
    assert_eq!(receiver.prefixes(), ["2004::1/128"]);
}

#[test]
fn a_refresh_without_brackets_is_done_whatever_is_known_and_by_whom() {
    let (rib, mut receiver) = with_one_told();
    let messages = receiver.messages;
    let mut next = restore(&carry(&rib), settings());
    next.request_refresh(TOLD, Family::Ipv6Unicast);
    let mut third = restore(&carry(&next), settings());
    for rib in [&mut next, &mut third] {
        ready(rib);
        receiver.pull(rib, TOLD, 4096);
    }
    assert_eq!(receiver.messages, messages + 2, "once by each");
    assert_eq!(receiver.prefixes(), ["2004::1/128"]);
}

/// Announce or withdraw one of some prefixes, with one of some paths.
#[derive(Clone, Debug)]
struct Change {
    peer: usize,
    prefix: u8,
    path: Option<u8>,
}

impl Change {
    fn update(&self) -> Update {
        let text = if self.prefix.is_multiple_of(2) {
            format!("2004::{}/128", self.prefix)
        } else {
            format!("10.0.{}.0/24", self.prefix)
        };
        let first = 64512 + 2 * u32::try_from(self.peer).unwrap();
        match self.path {
            None => withdraw(&[&text]),
            Some(more) => announce(&path(&[first, more.into()]), HOPS[self.peer], &[&text]),
        }
    }

    fn apply(&self, rib: &mut Rib) {
        rib.receive_update(PEERS[self.peer], &self.update());
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = (0usize..2, 0u8..20, prop::option::weighted(0.7, 1u8..4))
        .prop_map(|(peer, prefix, path)| Change { peer, prefix, path });
    prop::collection::vec(change, 0..60)
}

/// A RIB with routes of several attribute sets and both End-of-RIBs, of which the peer that is told knows one in an older
/// form.
fn of_several_sets() -> Rib {
    let mut rib = begin();
    for (more, prefixes) in [(1, ["2004::1/128", "2004::2/128"]), (2, ["10.0.1.0/24", "10.0.2.0/24"])] {
        let other = PathAttributes { med: Some(more), communities: [more].into(), ..path(&[64512, more]) };
        rib.receive_update(PEERS[0], &announce(&path(&[64512]), HOPS[0], &prefixes[..1]));
        rib.receive_update(PEERS[0], &announce(&other, HOPS[1], &prefixes[1..]));
    }
    for family in Family::ALL {
        rib.receive_update(PEERS[0], &end_of_rib(family));
    }
    ready(&mut rib);
    Receiver::default().pull(&mut rib, TOLD, 4096);
    rib.receive_update(PEERS[0], &announce(&path(&[64512, 9]), HOPS[0], &["2004::1/128"]));
    settle(&mut rib);
    rib
}

/// Whatever was read is taken in: as routes, as stale ones, and as what a peer was told.
fn take_in(updates: &[Update]) {
    let mut rib = begin();
    for update in updates {
        rib.receive_update(PEERS[0], update);
        rib.restore_sent(TOLD, update);
        rib.restore_stale(PEERS[1], update);
    }
    ready(&mut rib);
    holders::check(&rib);
    while rib.next_update(TOLD, &mut BytesMut::new(), 4096) {}
    holders::check(&rib);
}

fn table(receiver: &Receiver) -> BTreeMap<Prefix, (PathAttributes, NextHop)> {
    receiver.routes.clone()
}

proptest! {
    /// Whatever was half sent when the first process ended: the peer ends with what a new peer would be told.
    #[test]
    fn the_peer_ends_with_what_holds(
        before in changes(), between in changes(), after in changes(), limit in 1usize..400, decide in any::<bool>(),
    ) {
        let mut rib = begin();
        reachable(&mut rib, &HOPS);
        before.iter().for_each(|change| change.apply(&mut rib));
        ready(&mut rib);
        let mut receiver = Receiver::default();
        receiver.pull(&mut rib, TOLD, 4096);
        between.iter().for_each(|change| change.apply(&mut rib));
        if decide {
            ready(&mut rib);
        }
        let mut out = BytesMut::new();
        rib.next_update(TOLD, &mut out, limit);
        receiver.read(&mut out);

        let mut next = restore(&carry(&rib), settings());
        ready(&mut next);
        holders::check(&next);
        after.iter().for_each(|change| change.apply(&mut next));
        ready(&mut next);
        receiver.pull(&mut next, TOLD, limit);
        holders::check(&next);
        let fresh = PeerId(9);
        next.add_peer(fresh, PeerSettings { address: "172.50.0.9".parse().unwrap(), ..settings()[2].clone() });
        ready(&mut next);
        let mut newcomer = Receiver::default();
        newcomer.pull(&mut next, fresh, 4096);
        prop_assert_eq!(table(&receiver), table(&newcomer));
        let (mut kernel, mut kernel_again) = (Kernel::default(), Kernel::default());
        let mut again = restore(&carry(&next), settings());
        ready(&mut again);
        next.remove_peer(fresh);
        kernel.pull(&mut next);
        kernel_again.pull(&mut again);
        prop_assert_eq!(kernel, kernel_again);
    }

    #[test]
    fn what_is_no_stream_is_refused_and_never_panics(octets in prop::collection::vec(any::<u8>(), 1..300)) {
        prop_assert!(read(&octets, PeerKind::External).is_err());
    }

    #[test]
    fn a_spoiled_stream_never_panics(
        spoiled in prop::collection::vec((any::<Index>(), any::<u8>()), 1..3),
        cut in prop::option::weighted(0.2, any::<Index>()),
    ) {
        let rib = of_several_sets();
        let [received, _, told] = &carry(&rib)[..] else { panic!("three peers") };
        for (stream, kind) in [(&received.received, PeerKind::External), (&told.sent, PeerKind::Internal)] {
            let mut octets = stream.to_vec();
            for (at, with) in &spoiled {
                let at = at.index(octets.len());
                octets[at] = *with;
            }
            if let Some(cut) = cut {
                octets.truncate(cut.index(octets.len()));
            }
            if let Ok(updates) = read(&octets, kind) {
                take_in(&updates);
            }
        }
    }
}

//! Long-lived graceful restart, RFC 9494.

use bgp_wire::iana::community::{LLGR_STALE, NO_LLGR};

use super::*;

const SERVICE: &str = "2004::1/128";
const OTHER: &str = "2004::2/128";
const NODES: [&str; 2] = ["2001:3200:3200::2", "2001:3200:3200::3"];

fn with_community(community: u32) -> PathAttributes {
    PathAttributes { communities: vec![community], ..path(&[64512]) }
}

/// A peer that is told everything, with the long-lived capability or without.
fn listener(rib: &mut Rib, id: u32, long_lived: bool) -> Receiver {
    let address = format!("2001:3200:3200::{id:x}");
    let export = Some(bgp_policy::Policy::All);
    rib.add_peer(PeerId(id), PeerSettings { export, long_lived, ..external(64999, &address) });
    Receiver::default()
}

/// The nodes with the service that they share, and the first one with another of its own.
fn nodes() -> Rib {
    let mut rib = Rib::new(config());
    for (number, node) in (2..).zip(NODES) {
        rib.add_peer(PeerId(number), external(64512, node));
        rib.receive_update(PeerId(number), &announce(&path(&[64512]), node, &[SERVICE]));
    }
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &[OTHER]));
    reachable(&mut rib, &NODES);
    rib
}

#[test]
fn what_nobody_confirms_is_the_last_choice_and_told_to_those_who_understand_it() {
    let mut rib = nodes();
    let (mut able, mut unable) = (listener(&mut rib, 8, true), listener(&mut rib, 9, false));
    settle(&mut rib);
    let mut kernel = Kernel::default();
    kernel.pull(&mut rib);
    able.pull(&mut rib, PeerId(8), 4096);
    unable.pull(&mut rib, PeerId(9), 4096);
    assert_eq!(
        (able.prefixes(), unable.prefixes()),
        (vec![SERVICE.to_owned(), OTHER.to_owned()], vec![SERVICE.to_owned(), OTHER.to_owned()])
    );

    rib.mark_stale(PeerId(2));
    assert_eq!(rib.begin_long_lived(PeerId(2), Family::Ipv6Unicast), 2);
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES[1..], "the other node's path is better now");
    assert_eq!(kernel.hops(OTHER), NODES[..1], "better than nothing");
    let words = paths(&rib, SERVICE);
    assert_eq!(words[1], (2, "long-lived stale (RFC 9494)".to_owned()));
    able.pull(&mut rib, PeerId(8), 4096);
    unable.pull(&mut rib, PeerId(9), 4096);
    assert_eq!(able.routes[&prefix(OTHER)].0.communities, [LLGR_STALE]);
    assert_eq!(able.routes[&prefix(SERVICE)].0.communities, [0; 0]);
    assert_eq!(unable.prefixes(), [SERVICE], "withdrawn from who does not understand it");

    // It is back with one of them; the other goes with End-of-RIB.
    rib.add_peer(PeerId(2), external(64512, NODES[0]));
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &[SERVICE]));
    rib.receive_update(PeerId(2), &end_of_rib(Family::Ipv6Unicast));
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!((kernel.hops(SERVICE), kernel.hops(OTHER)), (NODES.to_vec(), vec![]));
    assert_eq!(rib.counters(PeerId(2)).unwrap().ipv6.stale, 0);
    holders::check(&rib);
}

/// RFC 9494 section 4.2 with RFC 8538 section 4.1: a session that ends again before its End-of-RIB takes nothing along.
#[test]
fn what_is_long_lived_stale_stays_the_last_choice_when_the_next_session_ends_too() {
    let mut rib = nodes();
    rib.mark_stale(PeerId(2));
    rib.begin_long_lived(PeerId(2), Family::Ipv6Unicast);
    settle(&mut rib);
    rib.add_peer(PeerId(2), external(64512, NODES[0]));
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &["2004::3/128"]));
    rib.mark_stale(PeerId(2));
    settle(&mut rib);
    let mut kernel = Kernel::default();
    assert_eq!(kernel.pull(&mut rib), [SERVICE, OTHER, "2004::3/128"]);
    assert_eq!((kernel.hops(SERVICE), kernel.hops(OTHER)), (NODES[1..].to_vec(), NODES[..1].to_vec()));
    assert_eq!(rib.routes(prefix(OTHER))[0].attributes.communities, [LLGR_STALE]);
    rib.sweep_stale(PeerId(2), Family::Ipv6Unicast);
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!((kernel.hops(SERVICE), kernel.hops(OTHER)), (NODES[1..].to_vec(), vec![]));
    holders::check(&rib);
}

#[test]
fn no_llgr_goes_and_what_is_marked_already_is_not_marked_twice() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(2), external(64512, NODES[0]));
    rib.receive_update(PeerId(2), &announce(&with_community(NO_LLGR), NODES[0], &[SERVICE]));
    rib.receive_update(PeerId(2), &announce(&with_community(LLGR_STALE), NODES[0], &[OTHER]));
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    let mut kernel = Kernel::default();
    kernel.pull(&mut rib);
    rib.mark_stale(PeerId(2));
    assert_eq!(rib.begin_long_lived(PeerId(2), Family::Ipv6Unicast), 2);
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!((kernel.hops(SERVICE), kernel.hops(OTHER)), (vec![], NODES[..1].to_vec()));
    assert_eq!(rib.routes(prefix(OTHER))[0].attributes.communities, [LLGR_STALE]);
    assert_eq!(rib.begin_long_lived(PeerId(9), Family::Ipv6Unicast), 0, "nobody");
    holders::check(&rib);
}

#[test]
fn a_route_that_another_speaker_has_marked_is_the_last_choice_too() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(2), external(64512, NODES[0]));
    rib.add_peer(PeerId(3), external(64512, NODES[1]));
    rib.receive_update(PeerId(2), &announce(&with_community(LLGR_STALE), NODES[0], &[SERVICE]));
    rib.receive_update(PeerId(3), &announce(&path(&[64512, 1, 2, 3]), NODES[1], &[SERVICE]));
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    assert_eq!(paths(&rib, SERVICE)[0], (3, "not long-lived stale".to_owned()));
}

/// A path that is new and long-lived stale is used by nobody where a better one is known, whatever its preference.
#[test]
fn a_marked_path_that_comes_later_is_a_backup_at_most() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(2), external(64512, NODES[0]));
    rib.add_peer(PeerId(3), external(64512, NODES[1]));
    rib.receive_update(PeerId(3), &announce(&path(&[64512, 1, 2, 3]), NODES[1], &[SERVICE]));
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    let mut kernel = Kernel::default();
    kernel.pull(&mut rib);
    rib.receive_update(PeerId(2), &announce(&with_community(LLGR_STALE), NODES[0], &[SERVICE]));
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!((kernel.hops(SERVICE), kernel.backup(SERVICE)), (NODES[1..2].to_vec(), Some(NODES[0])));
    rib.receive_update(PeerId(3), &withdraw(&[SERVICE]));
    settle(&mut rib);
    kernel.pull(&mut rib);
    assert_eq!(kernel.hops(SERVICE), NODES[..1]);
}

//! What a peer is told first, and how much is looked at for it at a time.

use bgp_policy::Policy;
use bgp_wire::context::MAX_EXTENDED_MESSAGE;

use super::*;
use crate::handover::Reader;

const FEED: PeerId = PeerId(1);
const OTHER: PeerId = PeerId(2);
const READER: PeerId = PeerId(3);
const HOPS: [&str; 2] = ["172.50.0.2", "2001:3200:3200::2"];

fn numbered(family: Family, count: u32) -> Vec<String> {
    let name = |number: u32| match family {
        Family::Ipv4Unicast => format!("10.{}.{}.0/24", number / 256, number % 256),
        Family::Ipv6Unicast => format!("2001:db8:{number:x}::/48"),
    };
    (0..count).map(name).collect()
}

fn say(rib: &mut Rib, attributes: &PathAttributes, hop: &str, prefixes: &[String]) {
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    rib.receive_update(FEED, &announce(attributes, hop, &prefixes));
}

/// A RIB with two that announce, one of which says much, and one that reads.
fn begin() -> Rib {
    let mut rib = Rib::new(config());
    rib.add_peer(FEED, external(1, HOPS[0]));
    rib.add_peer(OTHER, external(2, HOPS[1]));
    let reader = external(3, "2001:3200:3200::3");
    rib.add_peer(READER, PeerSettings { export: Some(Policy::All), ..reader });
    let address = next_hop("172.50.0.1");
    rib.update_settings(READER, |settings| settings.next_hop.ipv4 = Some(address));
    rib
}

fn decided(rib: &mut Rib) {
    reachable(rib, &HOPS);
    while rib.decide(1000) {}
}

#[test]
fn no_family_waits_behind_all_of_the_other() {
    let mut rib = begin();
    for (family, hop) in Family::ALL.into_iter().zip(HOPS) {
        say(&mut rib, &path(&[1]), hop, &numbered(family, 9000));
    }
    decided(&mut rib);
    let mut reader = Receiver::default();
    for _ in 0..4 {
        let mut out = BytesMut::new();
        assert!(rib.next_update(READER, &mut out, 1000));
        reader.read(&mut out);
    }
    let told = |family: Family| reader.routes.keys().filter(|prefix| prefix.family() == family).count();
    assert!(told(Family::Ipv4Unicast) > 100, "{}", told(Family::Ipv4Unicast));
    assert!(told(Family::Ipv6Unicast) > 100, "{}", told(Family::Ipv6Unicast));
    reader.pull(&mut rib, READER, 1000);
    assert_eq!(reader.routes.len(), 18_000);
    holders::check(&rib);
}

#[test]
fn what_is_urgent_in_one_family_comes_before_the_rest_of_the_other() {
    let mut rib = begin();
    say(&mut rib, &path(&[1]), HOPS[0], &numbered(Family::Ipv4Unicast, 3000));
    decided(&mut rib);
    let mut reader = Receiver::default();
    let mut told_next = |rib: &mut Rib| {
        let mut out = BytesMut::new();
        assert!(rib.next_update(READER, &mut out, 1));
        reader.read(&mut out);
        reader.routes.len()
    };
    // The first that it says are urgent as well.
    assert_eq!((told_next(&mut rib), rib.has_urgent_update(READER)), (64, false));
    rib.receive_update(OTHER, &announce(&path(&[2]), HOPS[1], &["2004::1/128"]));
    decided(&mut rib);
    assert!(rib.has_urgent_update(READER));
    assert_eq!(told_next(&mut rib), 65);
    assert!(reader.routes.contains_key(&prefix("2004::1/128")));
    reader.pull(&mut rib, READER, 4096);
    assert_eq!((reader.routes.len(), rib.has_urgent_update(READER)), (3001, false));
    holders::check(&rib);
}

#[test]
fn what_is_withdrawn_again_while_it_waits_is_withdrawn_once() {
    let mut rib = begin();
    let prefixes = numbered(Family::Ipv4Unicast, 3000);
    say(&mut rib, &path(&[1]), HOPS[0], &prefixes);
    decided(&mut rib);
    let mut reader = Receiver::default();
    reader.pull(&mut rib, READER, 4096);
    rib.receive_update(FEED, &withdraw(&prefixes.iter().map(String::as_str).collect::<Vec<_>>()));
    decided(&mut rib);
    // Those that are urgent, and one message of the others, which are sorted then.
    for _ in 0..2 {
        let mut out = BytesMut::new();
        assert!(rib.next_update(READER, &mut out, 1));
        reader.read(&mut out);
    }
    let last = &[prefixes[2999].as_str()];
    assert!(reader.routes.contains_key(&prefix(last[0])));
    rib.receive_update(OTHER, &announce(&path(&[2]), HOPS[1], last));
    decided(&mut rib);
    rib.receive_update(OTHER, &withdraw(last));
    decided(&mut rib);
    assert!(rib.has_urgent_update(READER));
    reader.pull(&mut rib, READER, 4096);
    assert_eq!(reader.prefixes(), [""; 0]);
    holders::check(&rib);
}

#[test]
fn what_an_earlier_process_told_is_looked_through_in_portions() {
    let fed = || {
        let mut rib = begin();
        say(&mut rib, &path(&[1]), HOPS[0], &numbered(Family::Ipv4Unicast, 3000));
        rib
    };
    let mut before = fed();
    decided(&mut before);
    let mut reader = Receiver::default();
    reader.pull(&mut before, READER, 4096);
    let mut stream = Reader::new(PeerKind::External);
    stream.push(&before.carry(READER).unwrap().sent);
    let mut rib = fed();
    for update in stream.updates().unwrap() {
        rib.restore_sent(READER, &update);
    }
    decided(&mut rib);
    let (mut calls, mut left) = (0, 3000);
    loop {
        let mut out = BytesMut::new();
        let more = rib.next_update(READER, &mut out, usize::MAX);
        assert!(out.is_empty(), "it knows that");
        calls += 1;
        let pending = rib.counters(READER).unwrap().ipv4.pending;
        assert!(left - pending < 600, "{left} and then {pending}");
        left = pending;
        if !more {
            break;
        }
    }
    assert_eq!((calls, left), (6, 0));
    holders::check(&rib);
}

#[test]
fn sets_that_are_large_leave_little_behind() {
    let mut rib = begin();
    rib.update_settings(READER, |settings| settings.encode.max_len = MAX_EXTENDED_MESSAGE);
    let mut kept = 0;
    for (number, prefix) in (0..).zip(numbered(Family::Ipv4Unicast, 20)) {
        let attributes = PathAttributes { communities: (number..number + 2000).collect(), ..path(&[1]) };
        say(&mut rib, &attributes, HOPS[0], &[prefix]);
        decided(&mut rib);
        let mut out = BytesMut::new();
        rib.next_update(READER, &mut out, usize::MAX);
        assert!(out.len() > 8000);
        let groups = rib.tables.ipv4.groups.iter().flatten();
        kept = groups.map(|group| group.rewritten.octets()).sum();
    }
    assert!(kept < 10_000, "{kept} octets");
}

//! Prefixes that have their first path: decided by the run, with the result of deciding one by one.

use super::*;

const READER: PeerId = PeerId(100);

/// The prefixes of these numbers.
fn numbered(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("2001:db8:{:x}::/48", number + 1)).collect()
}

fn hop(peer: u32) -> String {
    format!("2001:3200:3200::{:x}", peer + 16)
}

fn say(rib: &mut Rib, peer: u32, asns: &[u32], numbers: std::ops::Range<u32>) {
    let prefixes = numbered(numbers);
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    rib.receive_update(PeerId(peer), &announce(&path(asns), &hop(peer), &prefixes));
}

/// So many peers of one AS each, and one that reads.
fn with_peers(peers: u32) -> Rib {
    let mut rib = Rib::new(config());
    for peer in 0..peers {
        rib.add_peer(PeerId(peer), external(64_600 + peer, &hop(peer)));
    }
    let export = Some(bgp_policy::Policy::All);
    rib.add_peer(READER, PeerSettings { export, ..external(65_000, "2001:3200:3200::ff") });
    rib
}

/// What the kernel side and the reader are told must be the same in whatever portions it is decided.
fn check(mut rib: Rib, portion: usize, hops: impl Fn(u32) -> Vec<String>, numbers: std::ops::Range<u32>) {
    while rib.decide(portion) {}
    holders::check(&rib);
    let (mut kernel, mut reader) = (Kernel::default(), Receiver::default());
    kernel.pull(&mut rib);
    reader.pull_all(&mut rib, READER, 700);
    for (number, text) in numbers.clone().zip(numbered(numbers)) {
        assert_eq!(kernel.hops(&text), hops(number), "{text} in portions of {portion}");
        assert_eq!(reader.routes.contains_key(&prefix(&text)), !hops(number).is_empty(), "{text}");
    }
    holders::check(&rib);
}

#[test]
fn runs_end_where_peer_set_or_usability_changes() {
    for portion in [2, 7, 64, 1000] {
        let mut rib = with_peers(3);
        say(&mut rib, 0, &[64_600], 0..100);
        say(&mut rib, 0, &[64_600, 7], 100..130);
        // Nothing is known of this next hop, and the next says our own AS.
        say(&mut rib, 1, &[64_601], 130..150);
        say(&mut rib, 2, &[64_602, US.0], 150..170);
        say(&mut rib, 2, &[64_602], 170..400);
        // A second path for some of them before anything is decided.
        say(&mut rib, 2, &[64_602, 7], 90..110);
        reachable(&mut rib, &[&hop(0), &hop(2)]);
        let hops = |number| match number {
            0..100 => vec![hop(0)],
            100..110 => vec![hop(0), hop(2)],
            110..130 => vec![hop(0)],
            170..400 => vec![hop(2)],
            _ => Vec::new(),
        };
        check(rib, portion, hops, 0..400);
    }
}

#[test]
fn peers_that_share_a_bit_are_told_apart() {
    for portion in [2, 1000] {
        let mut rib = with_peers(40);
        say(&mut rib, 1, &[64_601], 0..20);
        say(&mut rib, 33, &[64_633], 10..30);
        say(&mut rib, 34, &[64_634], 30..60);
        reachable(&mut rib, &[&hop(1), &hop(33), &hop(34)]);
        let hops = |number| match number {
            0..10 => vec![hop(1)],
            10..20 => vec![hop(1), hop(33)],
            20..30 => vec![hop(33)],
            _ => vec![hop(34)],
        };
        check(rib, portion, hops, 0..60);
    }
}

#[test]
fn what_a_peer_takes_back_before_it_is_decided_is_told_to_nobody() {
    let mut rib = with_peers(2);
    say(&mut rib, 0, &[64_600], 0..200);
    say(&mut rib, 1, &[64_601], 0..3);
    reachable(&mut rib, &[&hop(0), &hop(1)]);
    let prefixes = numbered(0..200);
    rib.receive_update(PeerId(0), &withdraw(&prefixes.iter().map(String::as_str).collect::<Vec<_>>()));
    check(rib, 50, |number| if number < 3 { vec![hop(1)] } else { Vec::new() }, 0..200);
}

#[test]
fn changes_that_nobody_has_a_use_for_leave_nothing_behind() {
    let mut rib = with_peers(2);
    say(&mut rib, 0, &[64_600], 0..200);
    reachable(&mut rib, &[&hop(0), &hop(1)]);
    while rib.decide(64) {}
    assert!(rib.pass_forwarding_changes(150), "there are 200");
    holders::check(&rib);
    assert!(!rib.pass_forwarding_changes(150));
    assert!(rib.next_forwarding_change().is_none());
    // Now something is known to have been pulled of each: some get another path, then all go.
    say(&mut rib, 1, &[64_601], 0..90);
    rib.remove_peer(PeerId(0));
    while rib.decide(64) {}
    holders::check(&rib);
    assert!(!rib.pass_forwarding_changes(500));
    holders::check(&rib);
    [PeerId(1), READER].into_iter().for_each(|peer| rib.remove_peer(peer));
    while rib.decide(64) {}
    assert!(!rib.pass_forwarding_changes(500));
    holders::check_empty(&mut rib);
}

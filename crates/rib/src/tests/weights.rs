//! Unequal shares: link bandwidth, and what the operator says of a peer.

use super::*;

const SERVICE: &str = "2004::1/128";
const HOPS: [&str; 3] = ["2001:3200:3200::2", "2001:3200:3200::3", "2001:3200:3200::4"];

fn with_bandwidth(kind: u8, bandwidth: f32) -> PathAttributes {
    let [a, b, c, d] = bandwidth.to_be_bytes();
    PathAttributes { extended_communities: vec![[kind, 4, 0xfc, 0, a, b, c, d]], ..path(&[64512]) }
}

/// A peer for each of these paths.
fn three(paths: [PathAttributes; 3]) -> Rib {
    let mut rib = Rib::new(config());
    for (number, (attributes, hop)) in (1..).zip(paths.iter().zip(HOPS)) {
        rib.add_peer(PeerId(number), external(64512, hop));
        rib.receive_update(PeerId(number), &announce(attributes, hop, &[SERVICE]));
    }
    reachable(&mut rib, &HOPS);
    settle(&mut rib);
    rib
}

/// The weights of the next hops, in their order.
fn weights(rib: &mut Rib) -> Vec<u16> {
    let (_, forwarding) = rib.next_forwarding_change().expect("a change");
    let forwarding = forwarding.expect("a route");
    assert_eq!(forwarding.next_hops, HOPS.map(scoped));
    forwarding.shares().map(|(_, weight)| weight).collect()
}

#[test]
fn link_bandwidth_of_either_form_makes_shares_in_lowest_terms() {
    let mut rib = three([with_bandwidth(0x40, 1e9), with_bandwidth(0x00, 5e8), with_bandwidth(0x40, 1e9)]);
    assert_eq!(weights(&mut rib), [2, 1, 2]);
}

#[test]
fn one_path_without_it_makes_all_equal() {
    let mut rib = three([with_bandwidth(0x40, 1e9), path(&[64512]), with_bandwidth(0x40, 3e9)]);
    assert_eq!(weights(&mut rib), [1, 1, 1]);
}

#[test]
fn what_is_configured_goes_before_and_takes_effect_at_once() {
    let mut rib = three([with_bandwidth(0x40, 1e9), with_bandwidth(0x40, 5e8), with_bandwidth(0x40, 1e9)]);
    assert_eq!(weights(&mut rib), [2, 1, 2]);
    rib.update_settings(PeerId(2), |settings| settings.weight = Some(6));
    settle(&mut rib);
    assert_eq!(weights(&mut rib), [1, 6, 1]);
    rib.update_settings(PeerId(2), |settings| settings.weight = None);
    settle(&mut rib);
    assert_eq!(weights(&mut rib), [2, 1, 2]);
    assert!(rib.next_forwarding_change().is_none());
}

#[test]
fn equal_weights_are_no_weights() {
    let mut rib = three([path(&[64512]), path(&[64512]), path(&[64512])]);
    assert_eq!(weights(&mut rib), [1, 1, 1]);
    for number in 1..=3 {
        rib.update_settings(PeerId(number), |settings| settings.weight = Some(7));
    }
    settle(&mut rib);
    assert!(rib.next_forwarding_change().is_none(), "the same set");
}

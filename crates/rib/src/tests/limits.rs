//! Limits on the prefixes of a peer: what is over them is not taken, and is said once.

use super::scenarios::{NODES, SERVICE};
use super::*;
use crate::{LimitLevel, MaximumPrefix, MaximumPrefixAction};

/// The first node, with a limit on its IPv6 routes.
fn limited_to(limit: MaximumPrefix) -> PeerSettings {
    let mut settings = external(64512, NODES[0]);
    settings.maximum_prefix.ipv6 = Some(limit);
    settings
}

#[test]
fn limits_are_said_once_and_bound_what_is_stored() {
    let mut rib = Rib::new(config());
    let limit = MaximumPrefix { limit: 4, action: MaximumPrefixAction::Stop, warn_at: Some(75) };
    rib.add_peer(PeerId(2), limited_to(limit));
    let send = |rib: &mut Rib, numbers: std::ops::Range<u32>| {
        let texts: Vec<String> = numbers.map(|number| format!("2004::{number}/128")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let received = rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &texts));
        received.limits.iter().map(|reached| (reached.level, reached.count)).collect::<Vec<_>>()
    };
    assert_eq!(send(&mut rib, 0..2), []);
    assert_eq!(send(&mut rib, 2..3), [(LimitLevel::Warning, 3)]);
    assert_eq!(send(&mut rib, 0..4), [], "no more than before but one");
    assert_eq!(send(&mut rib, 4..9), [(LimitLevel::Exceeded, 4)]);
    assert_eq!(send(&mut rib, 4..9), []);
    let counters = rib.counters(PeerId(2)).unwrap().ipv6;
    assert_eq!((counters.received, counters.limit_exceeded), (4, true));
    rib.receive_update(PeerId(2), &withdraw(&["2004::0/128", "2004::1/128"]));
    assert!(!rib.counters(PeerId(2)).unwrap().ipv6.limit_exceeded);
    assert_eq!(send(&mut rib, 0..9), [(LimitLevel::Warning, 4), (LimitLevel::Exceeded, 4)]);
    settle(&mut rib);
    holders::check(&rib);
}

#[test]
fn a_limit_that_only_warns_takes_everything() {
    let mut rib = Rib::new(config());
    let limit = MaximumPrefix { limit: 1, action: MaximumPrefixAction::Warn, warn_at: None };
    rib.add_peer(PeerId(2), limited_to(limit));
    let update = announce(&path(&[64512]), NODES[0], &[SERVICE, "2004::2/128"]);
    let received = rib.receive_update(PeerId(2), &update);
    let said: Vec<_> = received.limits.iter().map(|reached| (reached.level, reached.count)).collect();
    assert_eq!((received.over_limit, said), (0, vec![(LimitLevel::Exceeded, 2)]));
    assert_eq!(rib.counters(PeerId(2)).unwrap().ipv6.received, 2);
}

#[test]
fn a_limit_that_a_reload_brings_counts_at_once() {
    let mut rib = Rib::new(config());
    rib.add_peer(PeerId(2), external(64512, NODES[0]));
    let prefixes = ["2004::1/128", "2004::2/128", "2004::3/128"];
    rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], &prefixes));
    let mut limited = |limit, action| {
        let limit = MaximumPrefix { limit, action, warn_at: Some(90) };
        let reached = rib.update_settings(PeerId(2), |settings| settings.maximum_prefix.ipv6 = Some(limit));
        let levels = reached.iter().map(|reached| (reached.family, reached.level, reached.count));
        (levels.collect::<Vec<_>>(), rib.counters(PeerId(2)).unwrap().ipv6.limit_exceeded)
    };
    let warning = (Family::Ipv6Unicast, LimitLevel::Warning, 3);
    let exceeded = (Family::Ipv6Unicast, LimitLevel::Exceeded, 3);
    assert_eq!(limited(2, MaximumPrefixAction::Warn), (vec![warning, exceeded], true));
    assert_eq!(limited(2, MaximumPrefixAction::Warn), (vec![], true), "it is no new one");
    assert_eq!(limited(2, MaximumPrefixAction::Stop), (vec![warning, exceeded], true));
    assert_eq!(limited(3, MaximumPrefixAction::Stop), (vec![warning], false));
    assert_eq!(limited(9, MaximumPrefixAction::Stop), (vec![], false));
}

#[test]
fn a_limit_is_forgotten_where_stale_routes_go() {
    let limit = MaximumPrefix { limit: 2, action: MaximumPrefixAction::Restart, warn_at: None };
    let settings = limited_to(limit);
    let mut rib = Rib::new(config());
    let announced = |rib: &mut Rib, prefixes: &[&str]| {
        rib.receive_update(PeerId(2), &announce(&path(&[64512]), NODES[0], prefixes)).limits.len()
    };
    rib.add_peer(PeerId(2), settings.clone());
    assert_eq!(announced(&mut rib, &["2004::1/128", "2004::2/128"]), 0);
    rib.mark_stale(PeerId(2));
    rib.add_peer(PeerId(2), settings);
    assert_eq!(announced(&mut rib, &["2004::3/128"]), 1, "beside those that are kept");
    rib.sweep_stale(PeerId(2), Family::Ipv6Unicast);
    assert!(!rib.counters(PeerId(2)).unwrap().ipv6.limit_exceeded);
    assert_eq!(announced(&mut rib, &["2004::3/128", "2004::4/128", "2004::5/128"]), 1);
    settle(&mut rib);
    holders::check(&rib);
}

#[test]
fn a_limit_of_one_family_says_nothing_about_the_other() {
    let mut rib = Rib::new(config());
    let limit = MaximumPrefix { limit: 1, action: MaximumPrefixAction::Restart, warn_at: None };
    let mut settings = external(64512, NODES[0]);
    settings.maximum_prefix = bgp_wire::PerFamily { ipv4: Some(limit), ipv6: Some(limit) };
    rib.add_peer(PeerId(2), settings.clone());
    let mut both = announce(&path(&[64512]), NODES[0], &["10.0.0.0/8", "11.0.0.0/8"]);
    both.announced.extend(announce(&path(&[64512]), NODES[0], &[SERVICE]).announced);
    for _ in 0..2 {
        let received = rib.receive_update(PeerId(2), &both);
        let said: Vec<_> = received.limits.iter().map(|reached| (reached.family, reached.level)).collect();
        assert_eq!(said, [(Family::Ipv4Unicast, LimitLevel::Exceeded)]);
        assert_eq!(received.over_limit, 1);
        // A new session starts anew, also over routes that were kept.
        rib.mark_stale(PeerId(2));
        rib.add_peer(PeerId(2), settings.clone());
    }
}

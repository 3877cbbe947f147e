//! The configuration as its users meet it: what loads, what is refused, and in which words.

mod contradictions;
mod documents;
mod reload;
mod robust;

use std::time::Duration;

use bgp_policy::Policy;
use bgp_session::SendHold;
use bgp_wire::open::HoldTime;
use bgp_wire::{Asn, PerFamily};

use super::*;

pub(super) fn good(text: &str) -> Loaded {
    load_str(text, "test.toml").unwrap_or_else(|faults| panic!("{faults}"))
}

/// Every fault in one line.
fn faults(text: &str) -> Vec<String> {
    match load_str(text, "t") {
        Ok(loaded) => loaded.warnings.lines().collect(),
        Err(faults) => faults.lines().collect(),
    }
}

const BGP: &str = "[bgp]\nasn = 64513\n";

fn with_bgp(text: &str) -> String {
    format!("{BGP}{text}")
}

#[test]
fn the_shortest_configuration_has_every_default() {
    let config = good(BGP).config;
    assert_eq!(config.bgp.asn, Asn(64513));
    assert_eq!(config.bgp.router_id, None);
    assert_eq!(config.bgp.listen.len(), 2);
    assert_eq!((config.bgp.maximum_paths, config.bgp.multipath_relax), (64, true));
    assert_eq!((config.kernel.table, config.kernel.metric), (254, 20));
    assert!(config.kernel.resolve_mapped_next_hops && !config.kernel.keep_routes_on_stop);
    assert_eq!(config.control.socket, Path::new("/run/bgpd-rs/control.sock"));
    assert_eq!(config.metrics.listen, None);
    assert!(config.neighbors.is_empty() && config.groups.is_empty());
}

#[test]
fn a_neighbor_takes_from_its_group_and_then_from_bgp() {
    let config = good(
        "[bgp]\nasn = 64513\nhold-time = 30\nsend-hold-time = 100\n\
         [peer-group.a]\nremote-asn = 64512\nimport = \"all\"\nkeepalive = 5\npassword = \"x\"\nebgp-multihop = 3\n\
         [neighbor.\"10.0.0.1\"]\npeer-group = \"a\"\n\
         [neighbor.\"10.0.0.2\"]\npeer-group = \"a\"\nhold-time = 60\nimport = \"none\"\nttl-security = 1\n",
    )
    .config;
    assert!(config.groups.is_empty(), "a group without listen ranges is only part of its neighbours");
    let [first, second] =
        ["10.0.0.1", "10.0.0.2"].map(|address| &config.neighbors[&address.parse().unwrap()]);
    assert_eq!(first.settings.remote_asn, RemoteAsn::Exactly(Asn(64512)));
    assert_eq!(first.settings.session.hold_time, HoldTime::new(30).unwrap());
    assert_eq!(first.settings.session.keepalive, Some(5));
    assert_eq!(first.settings.session.send_hold, SendHold::After(Duration::from_secs(100)));
    assert_eq!(first.settings.session.password.as_ref().unwrap().expose(), b"x");
    assert_eq!(first.settings.session.ttl, Ttl::Multihop(3));
    assert_eq!(first.settings.import, Some(Policy::All));
    assert_eq!(second.settings.session.hold_time, HoldTime::new(60).unwrap());
    assert_eq!(second.settings.import, Some(Policy::None));
    assert_eq!(second.settings.session.ttl, Ttl::Security { hops: 1 });
    assert_eq!(second.settings.session.families, PerFamily { ipv4: true, ipv6: true });
}

/// RFC 8212 section 3, RFC 5082 section 3, RFC 8538 section 4.1.
#[test]
fn a_neighbor_that_says_nothing_has_no_policy_no_gtsm_and_a_stale_time() {
    let config = good(&with_bgp("[neighbor.\"10.0.0.1\"]\nremote-asn = 64512\n")).config;
    let settings = &config.neighbors[&"10.0.0.1".parse().unwrap()].settings;
    assert_eq!((&settings.import, &settings.export), (&None, &None));
    assert_eq!(settings.session.ttl, Ttl::Direct);
    assert_eq!(settings.session.graceful_restart.stale_time, Duration::from_secs(300));
}

#[test]
fn the_longest_listen_range_decides() {
    let config = good(&with_bgp(
        "[peer-group.wide]\nremote-asn = 1\nimport = \"all\"\nlisten-range = \"10.0.0.0/8\"\n\
         [peer-group.near]\nremote-asn = 2\nimport = \"all\"\nlisten-range = [\"10.1.0.0/16\", \"2001:db8::/64\"]\n",
    ))
    .config;
    let name = |address: &str| config.group_for(address.parse().unwrap()).map(|group| group.name.as_str());
    assert_eq!(name("10.2.0.1"), Some("wide"));
    assert_eq!(name("10.1.0.1"), Some("near"));
    assert_eq!(name("2001:db8::9"), Some("near"));
    assert_eq!(name("192.0.2.1"), None);
    assert_eq!(config.groups["near"].listen_limit, 1000);
}

#[test]
fn contradictions_and_wrong_values_are_all_said_at_once() {
    let said = faults(
        "[bgp]\nasn = 23456\nrouter-id = \"0.0.0.0\"\nhold-tiem = 3\nhold-time = 2\nnetworks = [\"10.0.0.1/8\"]\n\
         [peer-group.c]\nremote-as = 1\nlisten-range = [\"10.0.0.0/8\", \"10.0.0.0/8\"]\n\
         [neighbor.\"10.0.0.1\"]\nremote-asn = \"extrenal\"\npeer-group = \"d\"\nimport = \"al\"\n\
         ttl-security = 1\nebgp-multihop = 2\n\
         [kernel]\nmetric = 0\ntable = 255\n",
    );
    let expected = [
        "t:2:7: error: `bgp.asn` cannot be 23456: it is AS_TRANS",
        "t:3:13: error: `bgp.router-id`: 0.0.0.0 is no BGP Identifier",
        "t:4:1: error: unknown key `bgp.hold-tiem`; write hold-time",
        "t:5:13: error: `hold-time` cannot be 2",
        "t:6:13: error: `bgp.networks`: the prefix \"10.0.0.1/8\" has host bits set; the network is 10.0.0.0/8",
        "t:8:1: error: unknown key `peer-group.c.remote-as`; write remote-asn",
        "t:9:31: error: the listen range 10.0.0.0/8 is given twice",
        "t:11:14: error: `neighbor.\"10.0.0.1\".remote-asn` takes an AS number without quotes, \"external\" or \
         \"internal\", not \"extrenal\"; write \"external\"",
        "t:12:14: error: there is no peer group \"d\"; could be \"c\"",
        "t:13:10: error: `import`: there is no prefix list \"al\"; could be \"all\" or \"none\"",
        "t:14:16: error: `ttl-security` and `ebgp-multihop` exclude each other",
        "t:17:10: error: `kernel.metric` takes a whole number from 1 to 4294967295, not 0",
        "t:18:9: error: `kernel.table` cannot be 255",
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}\n{expected}");
    }
}

#[test]
fn bfd_comes_from_the_innermost_level_key_by_key() {
    let group =
        "[peer-group.a]\nremote-asn = 1\nimport = \"all\"\nbfd = { min-tx = \"100ms\", multiplier = 5 }\n";
    let of = |peer: &str| {
        let text = format!("{group}[neighbor.\"192.0.2.1\"]\npeer-group = \"a\"\n{peer}");
        good(&with_bgp(&text)).config.neighbors.values().next().unwrap().settings.bfd
    };
    let times = |peer: &str| {
        let bfd = of(peer).unwrap();
        (bfd.min_tx.as_millis(), bfd.min_rx.as_millis(), bfd.multiplier.get(), bfd.passive)
    };
    assert_eq!(times(""), (100, 300, 5, false));
    assert_eq!(times("bfd = true"), (100, 300, 5, false), "on is no other times");
    assert_eq!(times("bfd = { min-rx = \"1s\", passive = true }"), (100, 1000, 5, true));
    assert_eq!(times("bfd = { multiplier = 2 }"), (100, 300, 2, false));
    assert_eq!(of("bfd = false"), None);
    let alone = good(&with_bgp("[neighbor.\"192.0.2.1\"]\nremote-asn = \"internal\"\nbfd = true")).config;
    assert_eq!(alone.neighbors.values().next().unwrap().settings.bfd, Some(bgp_bfd::Config::default()));
    let view = good(&with_bgp(&format!("{group}[neighbor.\"192.0.2.1\"]\npeer-group = \"a\"\n"))).config;
    assert_eq!(load_str(&view.to_toml(), "view").unwrap().config.neighbors, view.neighbors);
}

//! The reference, the shipped configuration and the examples are true to the code.

use std::path::PathBuf;
use std::time::Duration;

use bgp_session::SendHold;
use bgp_wire::open::HoldTime;

use super::super::file::tables;
use super::super::{Session, load_str};
use super::good;

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Whether a line of `text`, commented or not, sets `key`, on its own or inside braces, or opens its table.
fn sets(text: &str, key: &str) -> bool {
    let starts = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    text.lines().any(|line| {
        let line = line.trim_start_matches(['#', ' ']);
        starts(line)
            || line.split(['{', ',']).skip(1).any(|part| starts(part.trim_start()))
            || line
                .strip_prefix('[')
                .is_some_and(|rest| rest.strip_prefix(key).is_some_and(|r| r.starts_with(['.', ']'])))
    })
}

#[test]
fn every_key_is_in_the_reference_and_in_the_shipped_configuration() {
    let (reference, shipped) = (read("docs/config.md"), read("config/bgpd-rs.toml"));
    for (table, keys) in tables() {
        let section = table.trim_matches(['[', ']']);
        for key in keys {
            let named =
                [format!("`{key}`"), format!("`{section}.{key}`"), format!("[{key}]"), format!("[{key}.")];
            assert!(
                named.iter().any(|name| reference.contains(name)),
                "docs/config.md lacks {key} of {table}"
            );
            assert!(sets(&shipped, key), "config/bgpd-rs.toml lacks {key} of {table}");
        }
    }
}

#[test]
fn every_default_that_is_shown_is_the_default() {
    let shipped = read("config/bgpd-rs.toml");
    let bare = good("[bgp]\nasn = 64513\n").config;
    let mut chosen = good(&shipped).config;
    assert_eq!(chosen.metrics.listen.take(), Some("127.0.0.1:9273".parse().unwrap()));
    assert_eq!(chosen.control.group.take().as_deref(), Some("bgpd-rs"));
    assert_eq!(chosen, bare, "what else is not commented out is a default");
    // Uncommented, every line still loads; those below a peer need the peer.
    let peers = shipped.find("# A peer group:").unwrap();
    let kernel = shipped.find("[kernel]").unwrap();
    let uncommented = |text: &str| -> String {
        let key =
            |line: &str| line.starts_with("# ") && sets(line, line[2..].split([' ', '=']).next().unwrap());
        text.lines()
            .map(|line| if key(line) { format!("{}\n", &line[2..]) } else { format!("{line}\n") })
            .collect()
    };
    let all = good(&format!("{}{}", uncommented(&shipped[..peers]), uncommented(&shipped[kernel..]))).config;
    let defaults = [
        (all.bgp.listen == bare.bgp.listen, "listen"),
        (all.bgp.maximum_paths == bare.bgp.maximum_paths, "maximum-paths"),
        (all.bgp.multipath_relax == bare.bgp.multipath_relax, "multipath-relax"),
        (all.control.socket == bare.control.socket, "socket"),
        (all.log == bare.log, "level"),
        (all.kernel.install == bare.kernel.install, "install"),
        (all.kernel.table == bare.kernel.table, "table"),
        (all.kernel.metric == bare.kernel.metric, "metric"),
        (all.kernel.startup_grace == bare.kernel.startup_grace, "startup-grace"),
        (
            all.kernel.resolve_mapped_next_hops == bare.kernel.resolve_mapped_next_hops,
            "resolve-mapped-next-hops",
        ),
        (all.kernel.keep_routes_on_stop == bare.kernel.keep_routes_on_stop, "keep-routes-on-stop"),
        (
            all.kernel.set_multipath_hash_policy == bare.kernel.set_multipath_hash_policy,
            "set-multipath-hash-policy",
        ),
        (all.kernel.nexthop_backup == bare.kernel.nexthop_backup, "nexthop-backup"),
        (all.kernel.nexthop_groups == bare.kernel.nexthop_groups, "nexthop-groups"),
        (all.kernel.resilient == bare.kernel.resilient, "nexthop-buckets or its timers"),
    ];
    for (same, key) in defaults {
        assert!(same, "config/bgpd-rs.toml shows another default for {key}");
    }
    // Timers are a peer's, so one is asked that says nothing itself.
    let bare = timers("[bgp]\nasn = 64513\n", "");
    assert_eq!((bare.hold_time, bare.connect_retry), (HoldTime::new(90).unwrap(), Duration::from_secs(10)));
    assert_eq!((bare.keepalive, bare.send_hold), (None, SendHold::Recommended));
    let shown = timers(&uncommented(&shipped[..peers]), "");
    let of = |session: &Session| {
        (session.hold_time, session.connect_retry, session.tcp_user_timeout, session.graceful_restart)
    };
    assert_eq!(of(&shown), of(&bare), "config/bgpd-rs.toml shows other timers");
}

/// The session settings of a peer with these keys, below `bgp`.
fn timers(bgp: &str, keys: &str) -> Session {
    let text = format!("{bgp}[neighbor.\"192.0.2.1\"]\nremote-asn = \"internal\"\n{keys}");
    good(&text).config.neighbors.into_values().next().unwrap().settings.session
}

/// RFC 4271 section 10, RFC 8538 section 4.1.
#[test]
fn the_timers_of_a_peer_are_its_own() {
    let bgp = "[bgp]\nasn = 64513\nhold-time = 60\nkeepalive = 15\nconnect-retry-time = 8\n";
    for (keys, hold_time, keepalive, connect_retry) in
        [("", 60, 15, 8), ("hold-time = 30\nkeepalive = 5\nconnect-retry-time = 7\n", 30, 5, 7)]
    {
        let session = timers(bgp, keys);
        assert_eq!(session.hold_time, HoldTime::new(hold_time).unwrap());
        let expected = (Some(keepalive), Duration::from_secs(connect_retry));
        assert_eq!((session.keepalive, session.connect_retry), expected);
    }
    let stale_time = |keys| timers("[bgp]\nasn = 64513\n", keys).graceful_restart.stale_time;
    assert_eq!(stale_time("graceful-restart = { stale-time = 30 }\n"), Duration::from_secs(30));
}

#[test]
fn the_peers_of_the_shipped_configuration_load_when_uncommented() {
    let shipped = read("config/bgpd-rs.toml");
    let block = &shipped[shipped.find("# [peer-group.cilium]").unwrap()..shipped.find("[kernel]").unwrap()];
    // Keys that exclude each other are all shown.
    let dropped = ["# password-file", "# ttl-security", "# ebgp-multihop"];
    let text: String = block
        .lines()
        .filter(|line| !dropped.iter().any(|key| line.starts_with(key)))
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with('[') || line.contains(" = ") || line.starts_with("rules"))
        .map(|line| format!("{line}\n"))
        .collect();
    let loaded = good(&format!("[bgp]\nasn = 64513\n{text}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!((loaded.config.neighbors.len(), loaded.config.groups.len()), (1, 1));
}

#[test]
fn examples_load_without_a_warning_and_the_lab_is_short() {
    let examples: Vec<PathBuf> = std::fs::read_dir(root().join("config/examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(examples.len() >= 4);
    for path in examples.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "toml")) {
        // As a text: in a clone everybody may read the files, which is a warning where a password is in one.
        let text = std::fs::read_to_string(&path).unwrap();
        let loaded = load_str(&text, &path.display().to_string()).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    }
    assert!(read("config/examples/k3d.toml").lines().count() < 15);
}

#[test]
fn the_blocks_of_the_reference_load() {
    let reference = read("docs/config.md");
    let blocks: Vec<&str> =
        reference.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 8);
    for block in blocks {
        let loaded = good(block);
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    }
}

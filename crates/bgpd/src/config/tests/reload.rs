//! What a reload changes, and the view that loads again.

use super::super::diff::{Diff, Effect, in_force};
use super::super::{Config, Ttl, load, load_beside, load_str};
use super::good;

const OLD: &str = "[bgp]\nasn = 64513\nnetworks = [\"10.0.0.0/8\"]\n\
    [peer-group.g]\nremote-asn = 1\nimport = \"l\"\nlisten-range = [\"10.1.0.0/16\"]\nexport = \"all\"\n\
    [neighbor.\"192.0.2.1\"]\npeer-group = \"g\"\n\
    [neighbor.\"192.0.2.2\"]\nremote-asn = \"internal\"\npassword = \"x\"\n\
    [prefix-list.l]\nrules = [\"permit ::/0 le 128\"]\n";

/// The difference that replacing `from` by `to` makes.
#[track_caller]
fn diff(from: &str, to: &str) -> Diff {
    assert!(OLD.contains(from));
    Diff::between(&good(OLD).config, &good(&OLD.replacen(from, to, 1)).config)
}

#[test]
fn only_what_differs_is_named() {
    assert!(diff("", "# a comment\n").is_empty());
    let change = diff("asn = 64513", "asn = 64514\nrouter-id = \"1.1.1.1\"");
    assert_eq!(change.restart, ["bgp.asn", "bgp.router-id"]);
    assert!(!change.touches_sessions());
    let change = diff("\"10.0.0.0/8\"", "\"10.0.0.0/9\"");
    assert_eq!(change.to_string(), "network 10.0.0.0/9 added\nnetwork 10.0.0.0/8 removed\n");
    assert!(diff("asn = 64513", "asn = 64513\nmaximum-paths = 2").decision);
    let change = diff(
        "[peer-group.g]",
        "[log]\nlevel = \"debug\"\n[kernel]\nset-multipath-hash-policy = true\n[peer-group.g]",
    );
    assert_eq!(change.kernel, ["kernel.set-multipath-hash-policy"]);
    assert_eq!(change.to_string(), "kernel.set-multipath-hash-policy changed\nlog.level is now debug\n");
}

/// Every key that the reference says takes effect at a restart.
fn keys_for_a_restart() -> Vec<String> {
    let reference = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md"));
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in reference.unwrap().lines() {
        if let Some(heading) = line.strip_prefix("## `[") {
            section = heading.split(']').next().unwrap().to_owned();
        }
        let key = line.strip_prefix("| `").and_then(|row| row.split('`').next());
        if let Some(key) = key.filter(|_| line.ends_with("| restart |")) {
            keys.push(if key.contains('.') { key.to_owned() } else { format!("{section}.{key}") });
        }
    }
    keys.sort();
    keys
}

#[test]
fn what_takes_effect_at_a_restart_stays_as_it_was_and_goes_on_being_reported() {
    let running = good("[bgp]\nasn = 64513\n").config;
    let file = good(
        "[bgp]\nasn = 64514\nrouter-id = \"9.9.9.9\"\nlisten = []\nmaximum-paths = 3\n[kernel]\ninstall = false\n\
         table = 7\nmetric = 8\npreferred-source-ipv4 = \"192.0.2.1\"\npreferred-source-ipv6 = \"2001:db8::1\"\n\
         resolve-mapped-next-hops = false\nkeep-routes-on-stop = true\nstartup-grace = 1\n\
         neighbor-probe-interval = 1\naudit-interval = 1\nset-multipath-hash-policy = true\nnexthop-backup = false\n\
         nexthop-groups = \"plain\"\nnexthop-buckets = 8\nnexthop-idle-timer = 9\nnexthop-unbalanced-timer = 9\n\
         [control]\nsocket = \"/x.sock\"\ngroup = \"adm\"\nreaders = \"everybody\"\n[metrics]\nlisten = \"[::1]:1\"\n\
         [process]\nuser = \"u\"\nsandbox = \"off\"\nrestart = \"cold\"\n",
    )
    .config;
    let mut reported = Diff::between(&running, &file).restart;
    reported.sort_unstable();
    assert_eq!(reported, keys_for_a_restart());
    let now = in_force(&running, file.clone());
    assert_eq!((now.bgp.maximum_paths, now.kernel.set_multipath_hash_policy), (3, true));
    let left = Diff::between(&running, &now);
    assert_eq!(
        left.to_string(),
        "multipath settings changed: routes are selected again\nkernel.set-multipath-hash-policy changed\n"
    );
    // The next reload of the same file says it again, and nothing else.
    let again = Diff::between(&now, &file);
    assert_eq!(again.restart.len(), reported.len());
    assert_eq!(Diff { restart: Vec::new(), ..again }, Diff::default());
}

#[test]
fn a_number_of_buckets_that_is_the_default_is_a_choice_all_the_same() {
    assert_eq!(
        diff("[peer-group.g]", "[kernel]\nnexthop-buckets = 1024\n[peer-group.g]").restart,
        ["kernel.nexthop-buckets"]
    );
}

#[test]
fn peers_are_as_for_the_as_that_is_in_force() {
    let path = std::env::temp_dir().join(format!("bgpd-rs-as-{}.toml", std::process::id()));
    std::fs::write(&path, OLD.replace("asn = 64513", "asn = 1")).unwrap();
    let running = good(OLD).config;
    let ttl = |config: &Config| config.neighbors[&"192.0.2.1".parse().unwrap()].settings.session.ttl;
    let loaded = load_beside(&path, &running).unwrap().config;
    assert_eq!((loaded.bgp.asn.0, ttl(&loaded)), (1, ttl(&running)), "still external");
    assert_eq!(ttl(&load(&path).unwrap().config), Ttl::Multihop(255), "internal from the next start on");
    assert_eq!(Diff::between(&running, &loaded).to_string().lines().count(), 1);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_changed_neighbor_costs_what_its_keys_cost() {
    let effect = |from: &str, to: &str| {
        let diff = diff(from, to);
        assert!(diff.neighbors_added.is_empty() && diff.neighbors_removed.is_empty());
        assert_eq!(diff.neighbors_changed.len(), 1, "{diff}");
        diff.neighbors_changed.values().next().unwrap().effect().unwrap()
    };
    assert_eq!(effect("password = \"x\"", "password = \"x\"\ndescription = \"d\""), Effect::Soft);
    assert_eq!(
        effect("password = \"x\"", "password = \"x\"\nexport = \"none\"\nport = 1179"),
        Effect::Policy
    );
    assert_eq!(effect("password = \"x\"", "password = \"y\""), Effect::Soft);
    assert_eq!(effect("password = \"x\"", ""), Effect::Reset);
    assert_eq!(effect("remote-asn = 1\n", "remote-asn = 1\npassword = \"new\"\n"), Effect::Reset);
    assert_eq!(
        effect("password = \"x\"", "password = \"x\"\nhold-time = 9\nexport = \"none\""),
        Effect::Reset
    );
    let change = diff("password = \"x\"", "export = \"none\"");
    assert_eq!(change.to_string(), "neighbor 192.0.2.2 changed: export, password (session reset)\n");
    assert!(change.touches_sessions());
}

#[test]
fn what_a_group_changes_its_neighbors_and_its_range_change() {
    let change = diff("remote-asn = 1\n", "remote-asn = 1\nhold-time = 30\n");
    assert_eq!(change.neighbors_changed.len(), 1);
    assert_eq!(change.groups_changed["g"].peers.effect(), Some(Effect::Reset));
    let change = diff("\"10.1.0.0/16\"", "\"10.2.0.0/16\"");
    assert_eq!(
        change.to_string(),
        "peer group g changed: admits 10.2.0.0/16, no longer admits 10.1.0.0/16\n"
    );
    let change = diff("permit ::/0 le 128", "permit ::/0");
    assert_eq!(change.prefix_lists, ["l"]);
    assert_eq!(change.neighbors_changed.values().next().unwrap().effect(), Some(Effect::Policy));
    assert!(!change.touches_sessions());
    let change = diff("[neighbor.\"192.0.2.1\"]", "[neighbor.\"192.0.2.3\"]");
    assert_eq!(change.to_string(), "neighbor 192.0.2.3 added\nneighbor 192.0.2.1 removed\n");
}

#[test]
fn the_view_loads_again_as_the_same() {
    let text = "[bgp]\nasn = 4200000000\nrouter-id = \"9.9.9.9\"\nnetworks = [\"10.0.0.0/8\", \"::/0\"]\nlisten = []\n\
        [peer-group.g]\nremote-asn = \"external\"\nimport = \"l\"\nexport = \"all\"\nlisten-range = [\"10.1.0.0/16\"]\n\
        password = \"x\"\nttl-security = 3\nmaximum-prefix = { limit = 5, action = \"stop\" }\n\
        [neighbor.\"fe80::1\"]\npeer-group = \"g\"\ninterface = \"eth0\"\nshutdown = \"because\"\nebgp-multihop = 255\n\
        [neighbor.\"192.0.2.2\"]\nremote-asn = \"internal\"\nshutdown = true\nsend-hold-time = 0\nhold-time = 0\n\
        maximum-prefix = { limit = 5 }\nkeep-alive = 3\n[prefix-list.l]\nrules = [\"permit ::/0 le 128\"]\n\
        [kernel]\npreferred-source-ipv6 = \"::1\"\n[metrics]\nlisten = \"[::1]:9273\"\n[control]\ngroup = \"adm\"\n\
        readers = \"everybody\"\n[process]\nuser = \"bgpd-rs\"\nsandbox = \"log\"\n"
        .replace("keep-alive = 3\n", "");
    let first = good(&text).config;
    let shown = first.to_toml();
    assert!(shown.contains("password = \"********\"") && !shown.contains("\"x\""), "{shown}");
    let again =
        load_str(&shown.replace("********", "x"), "t").unwrap_or_else(|faults| panic!("{faults}")).config;
    assert_eq!(again, first, "{shown}");
}

#[test]
fn a_group_without_listen_ranges_has_its_name_in_the_view() {
    let text = "[bgp]\nasn = 64513\n[peer-group.nodes]\nremote-asn = 64512\nimport = \"all\"\nmode = \"passive\"\n\
        [neighbor.\"10.0.0.1\"]\npeer-group = \"nodes\"\n";
    let first = good(text).config;
    let again = good(&first.to_toml());
    assert_eq!((again.config, again.warnings.lines().count()), (first, 0));
}

//! A line per fault: what is typed, and the words that answer.

use std::io::Write as _;

use super::super::{load, load_str};
use super::{faults, with_bgp};

/// What `text` below `[bgp]` is answered with is exactly one fault that has all these words.
#[track_caller]
fn says(text: &str, words: &[&str]) {
    let said = faults(&with_bgp(text));
    assert_eq!(said.len(), 1, "{text}\n{said:#?}");
    for word in words {
        assert!(said[0].contains(word), "{text}\n{}\nlacks {word}", said[0]);
    }
}

/// The same for the keys of one external neighbour that takes routes.
#[track_caller]
fn peer_says(keys: &str, words: &[&str]) {
    says(&format!("[neighbor.\"192.0.2.1\"]\nremote-asn = 1\nimport = \"all\"\n{keys}\n"), words);
}

#[test]
fn keys_of_a_peer() {
    peer_says("hold-time = 1", &["t:6:13", "error", "`hold-time` cannot be 1"]);
    peer_says("keepalive = 40", &["warning", "more than a third", "which is 90", "at most 30"]);
    peer_says("hold-time = 9\nkeepalive = 9", &["error", "`keepalive` must be less than `hold-time`"]);
    peer_says("hold-time = 0\nkeepalive = 9", &["warning", "no effect"]);
    peer_says("shutdown = \"False\"", &["t:6:12", "warning", "is shut down for it", "without quotes"]);
    peer_says("send-hold-time = 90", &["error", "must be more than `hold-time`", "RFC 9687"]);
    peer_says("ttl-security = 1\nebgp-multihop = 2", &["error", "exclude each other"]);
    peer_says("ttl-security = 255", &["`neighbor.\"192.0.2.1\".ttl-security`", "1 to 254", "not 255"]);
    peer_says("ebgp-multihop = 0", &["1 to 255", "not 0"]);
    peer_says("families = []", &["`families` is empty"]);
    peer_says("families = \"ipv6\"", &["\"ipv4-unicast\" or \"ipv6-unicast\"", "not \"ipv6\""]);
    peer_says("mode = \"pasive\"", &["\"both\", \"active\" or \"passive\"", "write \"passive\""]);
    peer_says("local-address = \"192.0.2.1\"", &["the neighbor's own address"]);
    peer_says("local-address = \"2001:db8::1\"", &["cannot reach the neighbor 192.0.2.1"]);
    peer_says("local-address = \"0.0.0.0\"", &["`local-address`", "unspecified"]);
    peer_says("enforce-first-as = \"true\"", &["true or false, not \"true\"", "write true"]);
    peer_says("allow-own-as = 11", &["from 0 to 10, not 11"]);
    peer_says("port = 0", &["from 1 to 65535, not 0"]);
    peer_says("shutdown = 1", &["true, false or the reason in quotes"]);
    peer_says("description = \"\"", &["1 to 255 bytes"]);
    peer_says("listen-range = \"10.0.0.0/8\"", &["unknown key", "is a key of [peer-group.NAME]"]);
    peer_says("maximum-prefix = {}", &["`maximum-prefix` has no `limit`"]);
    peer_says(
        "maximum-prefix = { limit = 1, action = \"stop\", restart-after = 1 }",
        &["`restart-after` goes only with action = \"restart\""],
    );
    peer_says("graceful-restart = { restart-time = 4096 }", &["graceful-restart.restart-time", "1 to 4095"]);
    peer_says("graceful-restart = \"off\"", &["takes a table such as graceful-restart"]);
    peer_says("bfd = \"on\"", &["`neighbor.\"192.0.2.1\".bfd`", "true, false or a table", "not \"on\""]);
    peer_says("bfd = { min-tx = 300 }", &["t:6:18", "\"10ms\" to \"60s\"", "not 300", "write \"300ms\""]);
    peer_says("bfd = { min-rx = \"5ms\" }", &["bfd.min-rx", "\"10ms\" to \"60s\"", "not \"5ms\""]);
    peer_says("bfd = { min-rx = \"1m\" }", &["\"10ms\" to \"60s\""]);
    peer_says("bfd = { multiplier = 0 }", &["bfd.multiplier", "1 to 255, not 0"]);
    peer_says("bfd = { detect = 3 }", &["unknown key", "bfd takes min-rx, min-tx, multiplier, passive"]);
    peer_says("bfd = true\nebgp-multihop = 2", &["t:6:7", "error", "2 hops away", "TTL 255"]);
    peer_says("ttl-security = 3\nbfd = {}", &["t:7:7", "error", "3 hops away"]);
}

#[test]
fn neighbors_and_groups() {
    says("[neighbor.\"x\"]\nremote-asn = \"internal\"", &["not an IPv4 or IPv6 address"]);
    says("[neighbor.\"192.0.2.1\"]", &["has no `remote-asn`"]);
    says("[neighbor.\"192.0.2.1\"]\nremote-asn = 0\nimport = \"all\"", &["cannot be 0", "RFC 7607"]);
    says("[neighbor.\"192.0.2.1\"]\nremote-asn = 65535\nimport = \"all\"", &["cannot be 65535", "RFC 7300"]);
    says("[neighbor.\"192.0.2.1\"]\nremote-asn = \"AS1.10\"", &["without quotes", "write 65546"]);
    says("[neighbor.\"192.0.2.1\"]\nremote-asn = 4294967296", &["1 to 4294967294", "not 4294967296"]);
    says(
        "[neighbor.\"::ffff:1.2.3.4\"]\nremote-asn = \"internal\"",
        &["IPv4 address written as IPv6", "1.2.3.4"],
    );
    says("[neighbor.\"ff02::1\"]\nremote-asn = \"internal\"", &["multicast"]);
    says("[neighbor.\"fe80::1%eth0\"]\nremote-asn = \"internal\"", &["not an IPv4 or IPv6 address"]);
    says("[neighbor.\"fe80::1\"]\nremote-asn = \"internal\"", &["link-local", "interface ="]);
    says(
        "[neighbor.\"2001:db8::1\"]\nremote-asn = \"internal\"\n[neighbor.\"2001:DB8:0::1\"]\nremote-asn = \"internal\"",
        &["2001:db8::1 is there twice"],
    );
    says(
        "[neighbor.\"192.0.2.1\"]\nremote-asn = \"internal\"\nebgp-multihop = 2",
        &["warning", "the peer is internal"],
    );
    says(
        "[neighbor.\"192.0.2.1\"]\nremote-asn = 64513\nebgp-multihop = 2",
        &["warning", "the peer is internal"],
    );
    let group = "[peer-group.cilium]\nremote-asn = 1\nimport = \"all\"\n";
    says(&format!("{group}listen-range = \"::ffff:172.50.0.0/112\""), &["IPv4 written as IPv6"]);
    says(&format!("{group}listen-limit = 4"), &["warning", "no effect without `listen-range`"]);
    says(&format!("{group}mode = \"active\"\nlisten-range = \"10.0.0.0/8\""), &["exclude each other"]);
    says(&format!("{group}listen-range = \"10.0.0.1/8\""), &["host bits", "write \"10.0.0.0/8\""]);
    says(
        &format!("{group}listen-range = \"10.0.0.0/8\"\nlocal-address = \"2001:db8::1\""),
        &["cannot connect to `local-address` 2001:db8::1"],
    );
    says(
        &format!(
            "{group}listen-range = \"10.0.0.0/8\"\n[peer-group.b]\nremote-asn = 2\nimport = \"all\"\nlisten-range = \"10.0.0.0/8\""
        ),
        &["10.0.0.0/8 is given twice"],
    );
    says(
        &format!(
            "{group}[neighbor.\"192.0.2.1\"]\npeer-group = \"Cillium\"\nremote-asn = 1\nimport = \"all\""
        ),
        &["there is no peer group \"Cillium\"", "write \"cilium\""],
    );
    // What that group would have given is not missing as well.
    says(&format!("{group}[neighbor.\"192.0.2.1\"]\npeer-group = \"cilum\""), &["write \"cilium\""]);
    says("[peer-group.x]\nlisten-range = \"10.0.0.0/8\"", &["`listen-range` but no `remote-asn`"]);
    // One fault in a group is one fault, however many neighbours inherit it.
    says(
        &format!(
            "{group}send-hold-time = 3\n[neighbor.\"192.0.2.1\"]\npeer-group = \"cilium\"\n[neighbor.\"192.0.2.2\"]\npeer-group = \"cilium\""
        ),
        &["`send-hold-time` must be more"],
    );
}

#[test]
fn an_external_peer_that_takes_nothing_is_warned_of_once_and_with_the_word() {
    says("[neighbor.\"192.0.2.1\"]\nremote-asn = 1", &["t:3:11: warning", "external", "import = \"all\""]);
    says(
        "[peer-group.g]\nremote-asn = 1\nlisten-range = \"10.0.0.0/8\"",
        &["warning", "the peer group \"g\" has no `import`"],
    );
    says(
        "[peer-group.g]\nremote-asn = 1\n[neighbor.\"192.0.2.1\"]\npeer-group = \"g\"\n[neighbor.\"192.0.2.2\"]\npeer-group = \"g\"",
        &["t:3:13: warning", "the peer group \"g\" has no `import`"],
    );
    assert!(faults(&with_bgp("[neighbor.\"192.0.2.1\"]\nremote-asn = 64513")).is_empty());
    assert!(faults(&with_bgp("[neighbor.\"192.0.2.1\"]\nremote-asn = 1\nimport = \"none\"")).is_empty());
}

#[test]
fn global_sections() {
    says("listen = \"0.0.0.0\"", &["an address with a port"]);
    says("listen = \"0.0.0.0:0\"", &["port 0"]);
    let both = "listen = [\"0.0.0.0:179\", \"172.50.0.1:179\"]";
    says(both, &["t:3:26: error", "172.50.0.1:179 and 0.0.0.0:179 cannot be listened at side by side"]);
    assert!(faults(&with_bgp("listen = [\"0.0.0.0:179\", \"[::]:179\", \"172.50.0.1:1179\"]")).is_empty());
    says(
        "listen = \"[::ffff:172.50.0.1]:179\"",
        &["IPv4 address written as IPv6", "write \"172.50.0.1:179\""],
    );
    says("listen = \"[fe80::1]:179\"", &["link-local"]);
    assert!(faults(&with_bgp("listen = \"[fe80::1%2]:179\"")).is_empty());
    says("networks = \"ff00::/8\"", &["multicast"]);
    says(
        "networks = [\"10.0.0.0/8\", \"10.0.0.0/8\"]\n[neighbor.\"192.0.2.1\"]\nremote-asn = 64513",
        &["twice"],
    );
    says("networks = [\"10.0.0.0/8\"]", &["announced to nobody", "export"]);
    says("maximum-paths = 0", &["1 to 256, not 0"]);
    says("[kernel]\ntable = 0", &["kernel.table", "not 0"]);
    says("[kernel]\npreferred-source-ipv6 = \"::ffff:1.2.3.4\"", &["IPv4-mapped"]);
    says("[kernel]\npreferred-source-ipv4 = \"::1\"", &["an IPv4 address in quotes"]);
    says("[control]\nsocket = \"x.sock\"", &["control.socket"]);
    says(&format!("[control]\nsocket = \"/{}\"", "x".repeat(107)), &["control.socket"]);
    says(
        &format!("[control]\nsocket = \"/{}\"", "x".repeat(100)),
        &["control.socket", ".handover, the hand-over socket, has at most 107"],
    );
    says("[control]\nsocket = \"/run/x.handover\"", &["control.socket", "hand-over socket"]);
    says("[metrics]\nlisten = \"9273\"", &["an address with a port"]);
    says("[metrics]\nlisten = \"127.0.0.1:179\"", &["BGP listens at 0.0.0.0:179"]);
    says(
        "listen = \"172.50.0.1:9273\"\n[metrics]\nlisten = \"[::]:9273\"",
        &["BGP listens at 172.50.0.1:9273"],
    );
    says("[metrics]\nlisten = \"[::ffff:127.0.0.1]:9273\"", &["write \"127.0.0.1:9273\""]);
    assert!(faults(&with_bgp("listen = \"[::]:9273\"\n[metrics]\nlisten = \"127.0.0.1:9273\"")).is_empty());
    says("[log]\nlevel = \"warning\"", &["write \"warn\""]);
    says("[process]\nrestart = \"gracefull\"", &["write \"graceful\""]);
    says("[process]\nrestart = \"graceful\"", &["warning", "no peer is asked to keep our routes"]);
    let full = "graceful-restart = { mode = \"full\" }\n[neighbor.\"192.0.2.1\"]\nremote-asn = 64513\n[process]\n\
                restart = \"graceful\"";
    assert!(faults(&with_bgp(full)).is_empty());
    says("[prefix-list.all]\nrules = \"deny ::/0\"", &["cannot be named \"all\""]);
    says("[prefix-list.a]", &["has no `rules`"]);
    says("[prefix-list.a]\nrules = []", &["warning", "refuses every route"]);
    says("[prefix-list.a]\nrules = \"premit ::/0\"", &["write \"permit ::/0\""]);
    says("[prefix-list.a]\nrules = \"permit ::1/64 le 128\"", &["write \"permit ::/64 le 128\""]);
    says("[prefix-list.a]\nrules = \"permit ::/64 le 32\"", &["\"le 32\" is outside 64 to 128"]);
    says("[neighbour.\"192.0.2.1\"]\nremote-asn = 1", &["unknown key `neighbour`", "write neighbor"]);
    says("\"\\u0000\\u001b[31m\" = 1", &["unknown key `bgp.\"\\0\\u{1b}[31m\"`"]);
}

/// A key of a listening socket holds for a whole range.
#[test]
fn who_has_no_password_inside_a_range_that_has_one_is_told() {
    let group =
        "[peer-group.g]\nremote-asn = 1\nimport = \"all\"\nlisten-range = \"10.0.0.0/8\"\npassword = \"x\"\n";
    let inside =
        |keys: &str| format!("{group}[neighbor.\"10.0.0.2\"]\nremote-asn = 2\nimport = \"all\"\n{keys}\n");
    let words = ["t:8:11: ", "10.0.0.2 has no password", "10.0.0.0/8", "give it a password"];
    says(&inside(""), &[&words[..], &["warning"]].concat());
    says(&inside("mode = \"passive\""), &[&words[..], &["error"]].concat());
    let other = "[peer-group.h]\nremote-asn = 1\nimport = \"all\"\nlisten-range = \"10.1.0.0/16\"\n";
    says(&format!("{group}{other}"), &["t:11:16: error", "10.1.0.0/16 has no password", "10.0.0.0/8"]);
    for well in [
        inside("mode = \"active\""),
        inside("password = \"y\""),
        inside("peer-group = \"g\""),
        inside("").replace("10.0.0.2", "11.0.0.2"),
        format!("{group}{other}password = \"y\"\n"),
        format!("{group}{other}").replace("10.1", "11.1"),
    ] {
        assert_eq!(faults(&with_bgp(&well)), Vec::<String>::new(), "{well}");
    }
}

#[test]
fn passwords_come_from_a_file_or_from_here_and_are_never_shown() {
    let long = "geheim".repeat(14);
    for text in [
        format!("password = \"{long}\""),
        "password = \"\"".to_owned(),
        "password = \"geheim\"\npassword-file = \"x\"".to_owned(),
        "pasword = \"geheim\"".to_owned(),
        "md5-key = \"geheim\"".to_owned(),
        "password = [\"geheim\"]".to_owned(),
        "password = \"geheim\" nonsense".to_owned(),
        "maximum-prefix = { limit = 0 }, password = \"geheim\"".to_owned(),
        "Password = \"geheim\"".to_owned(),
        "MD5 = \"geheim\"".to_owned(),
        "authSECRET = \"geheim\"".to_owned(),
        "password: \"geheim\"".to_owned(),
        "password \"geheim\"".to_owned(),
        "password geheim".to_owned(),
        "password =\n\"geheim\"".to_owned(),
        "password = \"a\"geheim\"".to_owned(),
        "pasword \"geheim\"".to_owned(),
        "neighbor 10.0.0.2 password geheim".to_owned(),
        "tcp md5sig key geheim".to_owned(),
        "import = \"password geheim\"".to_owned(),
        "\"secret geheim\" = 1".to_owned(),
        "hold-time = \"password geheim\"".to_owned(),
        "[neighbor.\"10.0.0.2 password geheim\"]\nremote-asn = 1".to_owned(),
        "password-file = \"/nonexistent\"".to_owned(),
        "password-file = \"/dev/null\"".to_owned(),
        "password-file = \"/\"".to_owned(),
    ] {
        let text = with_bgp(&format!("[neighbor.\"192.0.2.1\"]\nremote-asn = 1\nimport = \"all\"\n{text}\n"));
        let faults = load_str(&text, "t").unwrap_err();
        let shown =
            format!("{faults} {} {faults:?} {:?}", faults.render(true), faults.lines().collect::<Vec<_>>());
        assert!(!shown.contains("geheim"), "{faults}");
    }
    let directory = std::env::temp_dir().join(format!("bgpd-rs-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, octets: &[u8]| {
        let path = directory.join(name);
        std::fs::File::create(&path).unwrap().write_all(octets).unwrap();
        path
    };
    let path = write(
        "c.toml",
        with_bgp("[neighbor.\"192.0.2.1\"]\nremote-asn = \"internal\"\npassword-file = \"key\"").as_bytes(),
    );
    for (octets, password) in [
        (&b"geheim\n"[..], Some(&b"geheim"[..])),
        (b"geheim\r\n", Some(b"geheim")),
        (b" \xff", Some(b" \xff")),
        (b"", None),
        (b"\n", None),
        (b"two\nlines\n", None),
        (&[b'x'; 81], None),
    ] {
        write("key", octets);
        let loaded = load(&path).ok();
        let found = loaded
            .as_ref()
            .and_then(|l| l.config.neighbors.values().next()?.settings.session.password.as_ref());
        assert_eq!(found.map(|found| found.expose()), password, "{octets:?}");
        let shown = loaded.map(|l| format!("{:?} {} {}", l, l.config.to_toml(), l.config.to_json()));
        assert!(!shown.unwrap_or_default().contains("geheim"));
    }
    let warnings = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        load(&directory.join("c.toml")).unwrap().warnings.to_string()
    };
    let key = write("key", b"geheim");
    let shown = warnings(&key, 0o644);
    assert!(shown.contains("can be read by every user") && !shown.contains("geheim"), "{shown}");
    assert_eq!(warnings(&key, 0o640), "");
    write(
        "c.toml",
        with_bgp("[neighbor.\"192.0.2.1\"]\nremote-asn = \"internal\"\npassword = \"geheim\"").as_bytes(),
    );
    let shown = warnings(&path, 0o644);
    assert!(shown.contains("every user of this host can read") && !shown.contains("geheim"), "{shown}");
    assert_eq!(warnings(&path, 0o640), "");
    assert!(load(&directory).unwrap_err().to_string().contains("not a regular file"));
    // Whoever opened it would wait until somebody writes into it.
    let pipe = directory.join("pipe.toml");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(load(&pipe).unwrap_err().to_string().contains("not a regular file"));
    let broken = write("broken.toml", b"[bgp]\n\xff");
    assert!(load(&broken).unwrap_err().to_string().contains("line 2 is not UTF-8"));
    std::fs::remove_dir_all(&directory).unwrap();
}

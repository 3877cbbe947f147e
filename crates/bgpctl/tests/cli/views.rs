//! Every command that succeeds: what is asked of the daemon, and what the user gets to see.

use bgp_api::*;

use crate::daemon::{Answer, Answers, Asked, golden};
use crate::{failure, run, samples, stdout};

#[test]
fn show_neighbors() {
    let daemon = Answers::default()
        .ok("GET /v1/neighbors", &samples::neighbors())
        .ok("GET /v1/summary", &samples::summary())
        .start();
    let socket = daemon.socket();
    golden("neighbors.txt", &stdout(run(&socket, &["show", "neighbors"])));
    golden("neighbors-wide.txt", &stdout(run(&socket, &["show", "neighbor", "-o", "wide"])));
    golden("neighbors-color.txt", &stdout(run(&socket, &["--color", "always", "show", "neighbors"])));
}

#[test]
fn no_neighbors() {
    let daemon = Answers::default()
        .ok("GET /v1/neighbors", &NeighborsReply::default())
        .ok("GET /v1/summary", &Summary { router_id: "172.50.0.1".to_owned(), ..Summary::default() })
        .start();
    golden("neighbors-none.txt", &stdout(run(&daemon.socket(), &["show", "neighbors"])));
}

#[test]
fn show_one_neighbor() {
    let cases = [
        ("neighbor-established.txt", samples::node()),
        ("neighbor-down.txt", samples::lost_node()),
        ("neighbor-no-policy.txt", samples::router()),
        ("neighbor-never-up.txt", samples::stranger()),
    ];
    for (name, neighbor) in cases {
        let address = neighbor.address.clone();
        let daemon = Answers::default()
            .ok(
                &format!("GET /v1/neighbors?address={address}"),
                &NeighborsReply { neighbors: vec![neighbor] },
            )
            .start();
        golden(name, &stdout(run(&daemon.socket(), &["show", "neighbors", &address])));
    }
}

#[test]
fn show_bfd() {
    let daemon = Answers::default().ok("GET /v1/bfd", &samples::bfd()).start();
    golden("bfd.txt", &stdout(run(&daemon.socket(), &["show", "bfd"])));
    let daemon = Answers::default().ok("GET /v1/bfd", &BfdReply::default()).start();
    assert_eq!(stdout(run(&daemon.socket(), &["show", "bfd"])), "no BFD sessions\n");
}

#[test]
fn show_summary() {
    let daemon = Answers::default().ok("GET /v1/summary", &samples::summary()).start();
    golden("summary.txt", &stdout(run(&daemon.socket(), &["show", "summary"])));
}

#[test]
fn doctor_ends_well_only_where_all_is_well() {
    let check = |name: &str, state, message: &str, remedy: Option<&str>| HostCheck {
        name: name.to_owned(),
        state,
        message: message.to_owned(),
        remedy: remedy.map(str::to_owned),
    };
    let well = check("bgp-port", CheckState::Ok, "port 179 is ours alone", None);
    let ill = check(
        "rp-filter",
        CheckState::Warning,
        "the IPv4 reverse path is checked strictly on br-1",
        Some("sysctl -w net.ipv4.conf.all.rp_filter=2"),
    );
    for (name, checks, code) in
        [("doctor-well.txt", vec![well.clone()], 0), ("doctor.txt", vec![well, ill], 1)]
    {
        let reply = DoctorReply { healthy: code == 0, checks };
        let daemon = Answers::default().ok("GET /v1/doctor", &reply).start();
        let output = run(&daemon.socket(), &["doctor"]);
        assert_eq!(output.status.code(), Some(code));
        golden(name, &String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn show_routes() {
    let one = RoutesReply { routes: vec![samples::service()], ..RoutesReply::default() };
    let daemon = Answers::default()
        .ok("GET /v1/routes", &samples::routes())
        .ok("GET /v1/routes?prefix=2004::1%2F128", &one)
        .ok("GET /v1/routes?prefix=2004::%2F64&longer=true", &one)
        .ok("GET /v1/routes?received=172.50.0.9&family=ipv6-unicast", &RoutesReply::default())
        .start();
    let show = |args: &[&str]| stdout(run(&daemon.socket(), &[&["show", "routes"], args].concat()));
    golden("routes.txt", &show(&[]));
    golden("route.txt", &show(&["2004:0::1/128"]));
    golden("routes-longer.txt", &show(&["2004::/64", "--longer"]));
    assert_eq!(show(&["--received", "172.50.0.9", "--family", "ipv6-unicast"]), "no routes\n");
}

#[test]
fn what_was_sent_to_a_neighbor() {
    let mut route = samples::service();
    route.kernel = None;
    route.paths.truncate(1);
    route.paths[0].status = PathStatus::Advertised;
    route.paths[0].reason = "export policy all".to_owned();
    let reply = RoutesReply { routes: vec![route], ..RoutesReply::default() };
    let daemon = Answers::default().ok("GET /v1/routes?advertised=172.50.0.9", &reply).start();
    let text = stdout(run(&daemon.socket(), &["show", "route", "--advertised", "172.50.0.9"]));
    golden("routes-advertised.txt", &text);
}

/// A table that the daemon hands out in pages arrives whole, or up to the limit.
#[test]
fn pages_are_put_together() {
    let page = |prefix: &str, more| RoutesReply {
        routes: vec![Route { prefix: prefix.to_owned(), ..samples::service() }],
        total: Some(3),
        more,
    };
    let daemon = Answers::default()
        .ok("GET /v1/routes", &page("2004::1/128", true))
        .ok("GET /v1/routes?after=2004::1%2F128", &page("2004::2/128", true))
        .ok("GET /v1/routes?after=2004::2%2F128", &page("2004::3/128", false))
        .ok("GET /v1/routes?limit=2", &page("2004::1/128", true))
        .ok("GET /v1/routes?limit=1&after=2004::1%2F128", &page("2004::2/128", true))
        .start();
    let show = |args: &[&str]| stdout(run(&daemon.socket(), &[&["show", "routes", "--json"], args].concat()));
    let prefixes = |text: &str| -> (Vec<String>, bool) {
        let reply: RoutesReply = serde_json::from_str(text).unwrap();
        (reply.routes.into_iter().map(|route| route.prefix).collect(), reply.more)
    };
    let all = ["2004::1/128", "2004::2/128", "2004::3/128"].map(str::to_owned);
    assert_eq!(prefixes(&show(&[])), (all.to_vec(), false));
    assert_eq!(prefixes(&show(&["--limit", "2"])), (all[..2].to_vec(), true));
    let text = stdout(run(&daemon.socket(), &["show", "routes", "--limit", "2"]));
    assert!(text.ends_with("2 of 3 shown; a higher --limit shows more\n"), "{text}");
}

#[test]
fn show_fib() {
    let daemon = Answers::default()
        .ok("GET /v1/fib", &samples::fib())
        .ok("GET /v1/fib?state=failed", &FibReply { routes: vec![], ..samples::fib() })
        .start();
    golden("fib.txt", &stdout(run(&daemon.socket(), &["show", "fib"])));
    let text = stdout(run(&daemon.socket(), &["show", "fib", "--state", "failed"]));
    assert_eq!(text, "table 254, metric 20, protocol bgp\nno routes\n");
}

#[test]
fn show_nexthops_and_config() {
    let daemon = Answers::default()
        .ok("GET /v1/nexthops", &samples::nexthops())
        .ok("GET /v1/config", &samples::config())
        .start();
    golden("nexthops.txt", &stdout(run(&daemon.socket(), &["show", "nexthops"])));
    golden("config.txt", &stdout(run(&daemon.socket(), &["show", "config"])));
}

#[test]
fn actions_carry_the_reason_and_tell_what_was_done() {
    let reply = ActionReply {
        address: "2001:3200:3200::2".to_owned(),
        action: NeighborAction::Shutdown,
        message: "session closed with Cease/Administrative Shutdown".to_owned(),
    };
    let daemon = Answers::default()
        .ok("POST /v1/neighbors/2001:3200:3200::2/shutdown", &reply)
        .ok("POST /v1/neighbors/fe80::2%25eth0/reset", &reply)
        .ok("POST /v1/neighbors/all/graceful-shutdown", &reply)
        .ok("POST /v1/neighbors/2001:3200:3200::2/no-graceful-shutdown", &reply)
        .start();
    let socket = daemon.socket();
    let shutdown = ["neighbor", "2001:3200:3200:0::2", "shutdown", "--reason", "new \"disk\""];
    assert_eq!(
        stdout(run(&socket, &shutdown)),
        "2001:3200:3200::2 shutdown: session closed with Cease/Administrative Shutdown\n"
    );
    stdout(run(&socket, &["neighbour", "fe80::2%eth0", "reset"]));
    stdout(run(&socket, &["neighbor", "all", "graceful-shutdown"]));
    stdout(run(&socket, &["neighbor", "2001:3200:3200::2", "no-graceful-shutdown"]));
    let asked = |line: &str, body: &str| Asked { line: line.to_owned(), body: body.to_owned() };
    assert_eq!(
        daemon.asked(),
        [
            asked("POST /v1/neighbors/2001:3200:3200::2/shutdown", r#"{"reason":"new \"disk\""}"#),
            asked("POST /v1/neighbors/fe80::2%25eth0/reset", r#"{"reason":null}"#),
            asked("POST /v1/neighbors/all/graceful-shutdown", r#"{"reason":null}"#),
            asked("POST /v1/neighbors/2001:3200:3200::2/no-graceful-shutdown", r#"{"reason":null}"#),
        ]
    );
}

#[test]
fn reload_lists_what_changed() {
    let path = "/etc/bgpd-rs/bgpd-rs.toml".to_owned();
    let reply = ReloadReply {
        path: path.clone(),
        changes: vec![
            "neighbor 172.50.0.9: import all -> services".to_owned(),
            "hold-time 90 -> 30".to_owned(),
            "control.socket changed: takes effect when the daemon is restarted".to_owned(),
        ],
        reset: vec!["172.50.0.9".to_owned()],
        needs_restart: vec!["control.socket takes effect when the daemon is restarted".to_owned()],
        confirm_seconds: None,
    };
    let daemon = Answers::default().ok("POST /v1/reload", &reply).start();
    golden("reload.txt", &stdout(run(&daemon.socket(), &["reload"])));
    let trial = ReloadReply { confirm_seconds: Some(90), ..reply };
    let daemon = Answers::default().ok("POST /v1/reload", &trial).start();
    golden("reload-confirm.txt", &stdout(run(&daemon.socket(), &["reload", "--confirm", "90s"])));
    let asked = Asked { line: "POST /v1/reload".to_owned(), body: r#"{"confirm_seconds":90}"#.to_owned() };
    assert_eq!(daemon.asked(), [asked]);

    let nothing =
        Answers::default().ok("POST /v1/reload", &ReloadReply { path, ..ReloadReply::default() }).start();
    assert_eq!(stdout(run(&nothing.socket(), &["reload"])), "/etc/bgpd-rs/bgpd-rs.toml: nothing changed\n");
}

#[test]
fn a_dry_run_lists_what_would_change() {
    let nothing = ReloadPlan { path: "/etc/x.toml".to_owned(), ..ReloadPlan::default() };
    let daemon = Answers::default()
        .ok("GET /v1/reload", &samples::plan())
        .ok("GET /v1/reload?all=true", &nothing)
        .start();
    golden("reload-plan.txt", &stdout(run(&daemon.socket(), &["reload", "--dry-run"])));
    golden("reload-plan-none.txt", &stdout(run(&daemon.socket(), &["reload", "--dry-run", "--all"])));
}

#[test]
fn a_confirmation_says_how_much_time_was_left() {
    let reply = ConfirmReply { path: "/etc/bgpd-rs/bgpd-rs.toml".to_owned(), left_seconds: 42 };
    let daemon = Answers::default().ok("POST /v1/reload/confirm", &reply).start();
    let text = stdout(run(&daemon.socket(), &["confirm"]));
    assert_eq!(text, "/etc/bgpd-rs/bgpd-rs.toml: confirmed, 42s before the end\n");
}

/// An order that nobody has waited for is done all the same.
#[test]
fn a_daemon_that_is_late_may_do_what_it_was_told() {
    let daemon = Answers::default().answer("POST /v1/reload/confirm", Answer::Silence).start();
    let (code, text) = failure(run(&daemon.socket(), &["--timeout", "0.2", "confirm"]));
    assert_eq!(code, 3);
    assert!(text.contains("did not answer within 0.2 s; it may do what it was told all the same"), "{text}");
}

#[test]
fn version_tells_both() {
    let reply = VersionReply { version: "9.8.7".to_owned(), api: vec!["v1".to_owned()] };
    let daemon = Answers::default().ok("GET /v1/version", &reply).start();
    let ours = env!("CARGO_PKG_VERSION");
    assert_eq!(
        stdout(run(&daemon.socket(), &["version"])),
        format!("bgpctl {ours}\nbgpd-rs 9.8.7 (API v1)\n")
    );
}

/// What `--json` prints is the reply: it reads back as the same value.
#[test]
fn json_is_the_reply() {
    let daemon = Answers::default()
        .ok("GET /v1/neighbors", &samples::neighbors())
        .ok("GET /v1/summary", &samples::summary())
        .ok("GET /v1/routes", &samples::routes())
        .ok("GET /v1/fib", &samples::fib())
        .ok("GET /v1/nexthops", &samples::nexthops())
        .ok("GET /v1/config", &samples::config())
        .start();
    let json = |what: &str| stdout(run(&daemon.socket(), &["show", what, "--json"]));
    let read = |what: &str| serde_json::from_str::<serde_json::Value>(&json(what)).unwrap();
    assert_eq!(read("neighbors"), serde_json::to_value(samples::neighbors()).unwrap());
    assert_eq!(read("summary"), serde_json::to_value(samples::summary()).unwrap());
    assert_eq!(read("routes"), serde_json::to_value(samples::routes()).unwrap());
    assert_eq!(read("fib"), serde_json::to_value(samples::fib()).unwrap());
    assert_eq!(read("nexthops"), serde_json::to_value(samples::nexthops()).unwrap());
    assert_eq!(read("config"), serde_json::to_value(samples::config()).unwrap());
    assert_eq!(stdout(run(&daemon.socket(), &["show", "fib", "-o", "json"])), json("fib"));
    golden("neighbors.json", &json("neighbors"));
    golden("summary.json", &json("summary"));
    golden("routes.json", &json("routes"));
    golden("fib.json", &json("fib"));
    golden("nexthops.json", &json("nexthops"));
}

/// Lines arrive cut anywhere and in any chunks.
#[test]
fn monitor_prints_a_line_per_event() {
    let lines: String =
        samples::events().iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
    let later = "{\"time\":\"2026-01-02T03:05:00.000Z\",\"event\":\"eclipse\",\"of\":\"moon\"}\n";
    let lines = lines + "\n" + later;
    let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in lines.as_bytes().chunks(37) {
        answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
        answer.extend(chunk);
        answer.extend(b"\r\n");
    }
    answer.extend(b"0\r\n\r\n");
    let daemon = Answers::default().answer("GET /v1/monitor", Answer::Raw(answer)).start();

    let output = run(&daemon.socket(), &["monitor"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().contains("ended the stream"));
    golden("monitor.txt", &String::from_utf8(output.stdout).unwrap());

    let output = run(&daemon.socket(), &["monitor", "--json"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), lines.replace("\n\n", "\n"));
}

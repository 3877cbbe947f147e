//! Every way in which a command ends without success: exit code, message, and that nothing panics.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;

use bgp_api::*;

use crate::daemon::{Answer, Answers, golden, temporary_directory};
use crate::{bgpctl, failure, run, samples};

#[test]
fn an_unknown_neighbor_is_4_and_has_the_daemons_hint() {
    let no = ErrorReply::new(ErrorCode::NeighborUnknown, "no neighbor 192.0.2.1")
        .with_hint("bgpctl show neighbors lists those that there are");
    let daemon = Answers::default()
        .error("GET /v1/neighbors?address=192.0.2.1", &no)
        .error("POST /v1/neighbors/192.0.2.1/reset", &no)
        .start();
    let wanted = "bgpctl: no neighbor 192.0.2.1\n  hint: bgpctl show neighbors lists those that there are\n";
    for args in [&["show", "neighbors", "192.0.2.1"], &["neighbor", "192.0.2.1", "reset"]] {
        assert_eq!(failure(run(&daemon.socket(), args)), (4, wanted.to_owned()));
    }
}

#[test]
fn what_does_not_exist_is_4() {
    let daemon = Answers::default()
        .ok("GET /v1/routes?prefix=2004::9", &RoutesReply::default())
        .ok("GET /v1/fib?prefix=2004::9%2F128", &FibReply::default())
        .ok("GET /v1/neighbors?address=::9", &NeighborsReply::default())
        .start();
    let ask = |args: &[&str]| failure(run(&daemon.socket(), args));
    assert_eq!(ask(&["show", "routes", "2004::9"]), (4, "bgpctl: no route for 2004::9\n".to_owned()));
    assert_eq!(
        ask(&["show", "fib", "2004::9/128"]),
        (4, "bgpctl: no kernel route for 2004::9/128\n".to_owned())
    );
    assert_eq!(ask(&["show", "neighbors", "::9"]), (4, "bgpctl: no neighbor ::9\n".to_owned()));
}

#[test]
fn an_error_of_the_daemon_is_1_with_all_its_lines() {
    let faults =
        "bgpd-rs.toml:3:1: unknown key `asm`; did you mean `asn`?\nbgpd-rs.toml:9:8: \u{1b}[31mred\n";
    let no = ErrorReply::new(ErrorCode::ConfigInvalid, faults).with_hint("nothing was changed");
    let daemon = Answers::default().error("POST /v1/reload", &no).start();
    let (code, text) = failure(run(&daemon.socket(), &["reload"]));
    assert_eq!(code, 1);
    golden("reload-refused.txt", &text);
}

#[test]
fn a_wrong_command_line_is_2_before_anybody_is_asked() {
    let nowhere = Path::new("/nonexistent/control.sock");
    let cases: [(&[&str], &str); 13] = [
        (&[], "Usage: bgpctl"),
        (&["show"], "Usage: bgpctl show"),
        (&["frobnicate"], "unrecognized subcommand"),
        (&["show", "neighbors", "node-1"], "is not an IPv4 or IPv6 address"),
        (&["show", "routes", "10.0.0.0/33"], "from 0 to 32"),
        (&["show", "routes", "--received", "::1", "--advertised", "::2"], "cannot be used with"),
        (&["show", "routes", "--longer"], "required"),
        (&["show", "routes", "--limit", "0"], "above 0"),
        (&["show", "fib", "--state", "lost"], "installed, pending"),
        (&["neighbor", "::1", "stop"], "reset, shutdown, start"),
        (&["neighbor", "::1", "reset", "--reason", &"ä".repeat(128)], "RFC 9003 lets 255 travel"),
        (&["--timeout", "0", "version"], "above 0"),
        (&["show", "fib", "--json", "-o", "wide"], "cannot be used with"),
    ];
    for (args, words) in cases {
        let (code, text) = failure(run(nowhere, args));
        assert_eq!(code, 2, "{args:?}: {text}");
        assert!(text.contains(words), "{args:?}: {text}");
    }
}

#[test]
fn no_socket_no_listener_and_no_permission_are_3_and_say_what_to_do() {
    let directory = temporary_directory();
    let socket = directory.join("control.sock");
    let ask = || {
        let (code, text) = failure(run(&socket, &["show", "summary"]));
        assert_eq!(code, 3, "{text}");
        text.replace(socket.to_str().unwrap(), "SOCKET")
    };
    let absent = ask();
    assert!(absent.starts_with("bgpctl: no control socket at SOCKET: bgpd-rs is not running"), "{absent}");
    assert!(absent.contains("hint: systemctl status bgpd-rs"), "{absent}");
    assert!(absent.contains("--socket PATH or BGPD_RS_SOCKET"), "{absent}");

    drop(UnixListener::bind(&socket).unwrap());
    let stale = ask();
    assert!(stale.starts_with("bgpctl: nobody listens at SOCKET"), "{stale}");

    let denied = denied_to_nobody(&socket);
    assert!(denied.contains("may not use SOCKET: permission denied\n  hint: run it as root"), "{denied}");
    std::fs::remove_dir_all(directory).unwrap();
}

/// Root may use every socket, so the question is asked by user 65534 where the tests run as root.
fn denied_to_nobody(socket: &Path) -> String {
    use std::os::unix::process::CommandExt as _;

    std::fs::remove_file(socket).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    std::fs::set_permissions(socket, Permissions::from_mode(0o000)).unwrap();
    // The binary may lie where nobody else can go.
    let copy = socket.with_file_name("bgpctl");
    std::fs::copy(env!("CARGO_BIN_EXE_bgpctl"), &copy).unwrap();
    std::fs::set_permissions(socket.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new(copy);
    command.arg("--socket").arg(socket).args(["show", "summary"]).stdin(Stdio::null());
    if std::fs::metadata("/proc/self").map(|meta| std::os::unix::fs::MetadataExt::uid(&meta)).unwrap() == 0 {
        command.uid(65534).gid(65534);
    }
    let (code, text) = failure(command.output().unwrap());
    drop(listener);
    assert_eq!(code, 3, "{text}");
    text.replace(socket.to_str().unwrap(), "SOCKET")
}

#[test]
fn the_option_wins_over_the_environment() {
    let daemon = Answers::default().ok("GET /v1/nexthops", &NexthopsReply::default()).start();
    let mut command = bgpctl(Path::new("/nonexistent/control.sock"), &["show", "nexthops", "--socket"]);
    let output = command.arg(daemon.socket()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "no next hops\n");
}

#[test]
fn an_answer_that_cannot_be_read_is_1() {
    let cases = [
        (Answer::Http(200, "{\"router_id\": 7}".to_owned()), "invalid type"),
        (Answer::Http(200, "{}".to_owned()), "missing field"),
        (Answer::Http(200, "{\"router_id\": \"1".to_owned()), "EOF"),
        (Answer::Http(200, String::new()), "EOF"),
        (Answer::Http(502, "<html>".to_owned()), "HTTP status 502"),
        (Answer::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), "not HTTP"),
    ];
    for (answer, words) in cases {
        let daemon = Answers::default().answer("GET /v1/summary", answer).start();
        let (code, text) = failure(run(&daemon.socket(), &["show", "summary"]));
        assert_eq!(code, 1, "{text}");
        assert!(
            text.starts_with("bgpctl: cannot read the daemon's answer") && text.contains(words),
            "{text}"
        );
    }
}

#[test]
fn an_answer_that_breaks_off_or_never_comes_is_3() {
    let cut = Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"router".to_vec());
    let cases = [
        (cut, "30", "broke off"),
        (Answer::Raw(Vec::new()), "30", "broke off"),
        (Answer::Silence, "0.2", "did not answer within 0.2 s"),
    ];
    for (answer, timeout, words) in cases {
        let daemon = Answers::default()
            .answer("GET /v1/summary", answer.clone())
            .answer("GET /v1/monitor", answer)
            .start();
        for args in [&["--timeout", timeout, "show", "summary"][..], &["--timeout", timeout, "monitor"]] {
            let (code, text) = failure(run(&daemon.socket(), args));
            assert_eq!(code, 3, "{text}");
            assert!(text.contains(words), "{text}");
        }
    }
}

/// A daemon that promises more pages without end must not be asked without end.
#[test]
fn pages_that_lead_nowhere_are_1() {
    let same = RoutesReply { more: true, ..samples::routes() };
    let empty = RoutesReply { more: true, ..RoutesReply::default() };
    let daemon = Answers::default()
        .ok("GET /v1/routes", &same)
        .ok("GET /v1/routes?after=2004::1%2F128", &same)
        .ok("GET /v1/routes?family=ipv4-unicast", &empty)
        .start();
    for args in [&["show", "routes"][..], &["show", "routes", "--family", "ipv4-unicast"]] {
        let (code, text) = failure(run(&daemon.socket(), args));
        assert_eq!(code, 1);
        assert!(text.contains("announces more and has nothing more"), "{text}");
    }
}

#[test]
fn an_event_that_cannot_be_read_ends_the_monitor_with_1() {
    let answer = Answer::Http(200, "{\"time\": 1}\n".to_owned());
    let daemon = Answers::default().answer("GET /v1/monitor", answer).start();
    let (code, text) = failure(run(&daemon.socket(), &["monitor"]));
    assert_eq!(code, 1);
    assert!(text.contains("cannot read the daemon's answer"), "{text}");

    let no = ErrorReply::new(ErrorCode::Unavailable, "too many monitors");
    let daemon = Answers::default().error("GET /v1/monitor", &no).start();
    let refused = failure(run(&daemon.socket(), &["monitor"]));
    assert_eq!(refused, (1, "bgpctl: too many monitors\n".to_owned()));
}

/// `bgpctl show routes | head -1` is no error and no panic.
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let daemon = Answers::default().ok("GET /v1/nexthops", &samples::nexthops()).start();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = bgpctl(&daemon.socket(), &["show", "nexthops"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
}

#[test]
fn a_full_disk_is_1() {
    let daemon = Answers::default().ok("GET /v1/nexthops", &samples::nexthops()).start();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = bgpctl(&daemon.socket(), &["show", "nexthops"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("bgpctl: cannot write: "));
}

#[test]
fn version_names_bgpctl_even_without_a_daemon() {
    let output = run(Path::new("/nonexistent/control.sock"), &["version"]);
    assert_eq!(output.status.code(), Some(3));
    let ours = format!("bgpctl {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), ours);
}

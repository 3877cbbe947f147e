//! Giving up root, and the two fences, tried for real: a child in a network namespace of its own shows what it still can
//! do and what not. Needs root; fails without, for a test that did not run has not passed.
//!
//! Its own `main`: privileges are given up before there is a second thread, and a test harness has many.

use std::fmt::Debug;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, ExitStatus};

use bgpd_rs::privileges::{PrivilegeError, settle};
use nix::sys::resource::{Resource, getrlimit};

mod fences;

const NAME: &str = "root_is_given_up_and_what_is_needed_still_works";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("--list") {
        if !has("--ignored") {
            println!("{NAME}: test");
        }
        return ExitCode::SUCCESS;
    }
    if let Ok(child) = std::env::var("PRIVILEGES_CHILD") {
        match child.as_str() {
            "becomes" => becomes_nobody(),
            "unprivileged" => says_what_is_missing(),
            "fenced" => fences::what_still_works(),
            "late" => fences::no_thread_stays_outside(),
            other => fences::dies_of(other),
        }
        return ExitCode::SUCCESS;
    }
    if !nix::unistd::geteuid().is_root() {
        println!("test {NAME} ... FAILED: needs root: sudo scripts/test");
        return ExitCode::FAILURE;
    }
    let passed = ["becomes", "unprivileged", "fenced", "late"].into_iter().all(|child| run(child).success())
        && fences::DEADLY.iter().all(|(call, _)| {
            let end = run(call);
            println!("{call} ended the process: {end}");
            end.signal() == Some(libc::SIGSYS)
        });
    println!("test {NAME} ... {}", if passed { "ok" } else { "FAILED" });
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The child alone in a network namespace that vanishes with it.
fn run(child: &str) -> ExitStatus {
    let program = std::env::current_exe().unwrap();
    let home = fences::Home::make();
    let status = Command::new("unshare")
        .args(["--net", "--"])
        .arg(program)
        .env("PRIVILEGES_CHILD", child)
        .env(fences::Home::VARIABLE, home.path(""))
        .status();
    home.remove();
    status.unwrap()
}

fn becomes_nobody() {
    std::fs::write("/proc/sys/net/ipv6/fib_multipath_hash_policy", "0").unwrap();
    is(
        settle(Some("no-such-user-here")).unwrap_err().to_string().contains("no-such-user-here"),
        true,
        "unknown user",
    );
    let privileges = settle(Some("nobody")).unwrap();
    is(privileges.stays_root, false, "stays root");
    is(privileges.lacking, Vec::new(), "lacking");
    is(nix::unistd::getuid().as_raw(), privileges.uid, "uid");
    is(nix::unistd::getuid().is_root(), false, "is root");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    // Bit 10 is CAP_NET_BIND_SERVICE, bit 12 CAP_NET_ADMIN.
    let needed = format!("{:016x}", 1 << 10 | 1 << 12);
    for (set, expected) in [
        ("CapPrm:", needed.as_str()),
        ("CapEff:", &needed),
        ("CapBnd:", &needed),
        ("CapInh:", "0000000000000000"),
    ] {
        is(field(set).as_str(), expected, set);
    }
    is(field("CapAmb:").as_str(), "0000000000000000", "CapAmb");
    is(field("NoNewPrivs:").as_str(), "1", "NoNewPrivs");
    is(nix::sys::prctl::get_dumpable().unwrap(), false, "dumpable");
    is(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0), "core limit");
    std::fs::write("/proc/sys/net/ipv6/fib_multipath_hash_policy", "1").unwrap();
    std::fs::write("/proc/sys/net/ipv4/fib_multipath_hash_policy", "1").unwrap();
    TcpListener::bind("[::]:179").unwrap();
    is(std::fs::read("/etc/shadow").is_err(), true, "cannot read /etc/shadow");
    is(std::fs::read_dir("/proc/self/fd").is_ok(), true, "can count its own descriptors");
    is(settle(Some("nobody")).unwrap().lacking, Vec::new(), "settled twice");
    is(matches!(settle(Some("root")), Err(PrivilegeError::NotRoot { .. })), true, "cannot become root again");
}

fn says_what_is_missing() {
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid;
    nix::unistd::setresuid(nobody, nobody, nobody).unwrap();
    let words: Vec<String> = settle(None).unwrap().lacking.iter().map(ToString::to_string).collect();
    is(words.len(), 2, "both are missing");
    is(words[0].starts_with("CAP_NET_ADMIN is missing: routes cannot be written"), true, "in words");
    is(words[1].starts_with("CAP_NET_BIND_SERVICE is missing: port 179 cannot be opened"), true, "in words");
}

#[track_caller]
fn is<T: PartialEq + Debug>(value: T, expected: T, what: &str) {
    assert_eq!(value, expected, "{what}");
}

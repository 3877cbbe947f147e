//! bgpctl as a user sees it: the real binary against a daemon of the test's own. Texts are golden files in
//! `tests/golden/bgpctl`.

mod daemon;
mod drain;
mod failures;
mod generated;
mod samples;
mod views;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The binary, in an environment that no developer's settings reach.
fn bgpctl(socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bgpctl"));
    command.env_clear().env(bgp_api::SOCKET_ENV, socket).args(args).stdin(Stdio::null());
    command
}

fn run(socket: &Path, args: &[&str]) -> Output {
    bgpctl(socket, args).output().unwrap()
}

/// Its standard output, if it ended well and had nothing to complain about.
fn stdout(output: Output) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.is_empty(), "{}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Its exit code and standard error, if it printed nothing else.
fn failure(output: Output) -> (i32, String) {
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

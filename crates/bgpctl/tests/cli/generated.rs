//! What a package ships beside the binary.

use std::path::Path;

use crate::daemon::{golden, temporary_directory};
use crate::{run, stdout};

const NOWHERE: &str = "/nonexistent/control.sock";

#[test]
fn completions_for_each_shell_know_the_commands() {
    for (shell, words) in [("bash", "_bgpctl()"), ("zsh", "#compdef bgpctl"), ("fish", "complete -c bgpctl")]
    {
        let script = stdout(run(Path::new(NOWHERE), &["completions", shell]));
        assert!(script.contains(words) && script.contains("nexthops"), "{shell}");
    }
}

#[test]
fn the_help_has_what_the_man_page_must_tell() {
    golden("help.txt", &stdout(run(Path::new(NOWHERE), &["--help"])));
}

#[test]
fn there_is_a_man_page_for_each_command() {
    let directory = temporary_directory();
    stdout(run(Path::new(NOWHERE), &["man", directory.to_str().unwrap()]));
    let page = std::fs::read_to_string(directory.join("bgpctl.1")).unwrap();
    for words in ["Exit codes", "the daemon cannot be reached", "BGPD_RS_SOCKET"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("completions"), "hidden commands stay out of the man page");
    for page in ["bgpctl-show.1", "bgpctl-show-neighbors.1", "bgpctl-neighbor.1", "bgpctl-monitor.1"] {
        assert!(directory.join(page).exists(), "{page}");
    }
    std::fs::remove_dir_all(directory).unwrap();

    let output = run(Path::new(NOWHERE), &["man", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
}

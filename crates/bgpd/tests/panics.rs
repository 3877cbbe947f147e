//! A panic ends the process, wherever it happens, and says why.
//!
//! The process is this test program once more: [`panics_as_told`] panics where the environment says.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::Duration;

use bgpd_rs::{crash, log};

/// Names where to panic.
const PLACE: &str = "BGPD_RS_TEST_PANIC";
const PLACES: [&str; 6] = ["before the log", "main", "thread", "task", "blocking", "current-thread runtime"];

#[test]
fn a_panic_anywhere_ends_the_process_and_says_why() {
    for place in PLACES {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "panics_as_told", "--ignored", "--nocapture"])
            .env(PLACE, place)
            .env_remove("JOURNAL_STREAM")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(6), "{place}: {}: {said}", output.status);
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("ERROR thread '"), "{place}: {said}");
        assert!(last.contains("panicked at crates/bgpd/tests/panics.rs:"), "{said}");
        assert!(last.contains(&format!(": in {place};")), "{said}");
        assert_eq!(
            said.contains("before it"),
            place != "before the log",
            "what was logged before it: {said}"
        );
        assert!(!said.contains("after it"), "{place}: {said}");
    }
}

#[test]
#[ignore = "run by the test above"]
fn panics_as_told() {
    let Ok(place) = std::env::var(PLACE) else { return };
    crash::abort_on_panic();
    if place == "before the log" {
        panic_in(&place);
    }
    log::start("info").unwrap();
    tracing::info!("before it");
    if place == "main" {
        panic_in(&place);
    }
    log::write_from_here().unwrap();
    let single = place == "current-thread runtime";
    let mut builder = match single {
        true => tokio::runtime::Builder::new_current_thread(),
        false => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build().unwrap().block_on(async move {
        match place.as_str() {
            "thread" => drop(std::thread::spawn(move || panic_in(&place))),
            "blocking" => drop(tokio::task::spawn_blocking(move || panic_in(&place))),
            _ => drop(tokio::spawn(async move { panic_in(&place) })),
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    tracing::info!("after it");
}

fn panic_in(place: &str) {
    panic!("in {place}");
}

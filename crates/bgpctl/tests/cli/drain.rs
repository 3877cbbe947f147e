//! `bgpctl drain`: what is ordered, what is said meanwhile, and how it ends.

use bgp_api::{Drain, DrainReply, DrainState, ErrorCode, ErrorReply};

use crate::daemon::{Answers, golden};
use crate::{failure, run, stdout};

fn node(state: DrainState) -> Drain {
    let is_drained = state == DrainState::Drained;
    Drain {
        node: "node2".to_owned(),
        addresses: vec!["172.50.0.2".to_owned(), "2001:3200:3200::2".to_owned()],
        state,
        since_seconds: 75,
        drained_seconds: is_drained.then_some(3),
        groups: if is_drained { 0 } else { 2 },
        buckets: Some(43),
        buckets_in_use: Some(if is_drained { 0 } else { 31 }),
        last_used_ms: Some(40),
        idle_timer_seconds: Some(60),
        ..Drain::default()
    }
}

fn reply(drain: Drain, message: &str) -> DrainReply {
    DrainReply { nodes: vec![drain], message: (!message.is_empty()).then(|| message.to_owned()) }
}

fn last_leg() -> Drain {
    let last_leg_prefixes = vec!["2004::1/128".to_owned(), "2004::2/128".to_owned()];
    Drain { last_leg_routes: 7, last_leg_prefixes, ..node(DrainState::Draining) }
}

const BEGUN: &str = "new flows go elsewhere";

#[test]
fn it_waits_and_says_that_the_node_is_free() {
    let daemon = Answers::default()
        .ok("POST /v1/drain", &reply(node(DrainState::Draining), BEGUN))
        .ok("GET /v1/drain", &reply(node(DrainState::Drained), ""))
        .start();
    golden("drain.txt", &stdout(run(&daemon.socket(), &["drain", "2001:3200:3200:0::2", "--idle", "2s"])));
    let body = r#"{"node":"2001:3200:3200::2","undo":false,"idle_seconds":2,"force":false}"#;
    assert_eq!(daemon.asked()[0].body, body);
    let json = stdout(run(&daemon.socket(), &["drain", "node2", "-o", "json"]));
    let printed: DrainReply = serde_json::from_str(&json).unwrap();
    assert_eq!(printed.nodes[0].state, DrainState::Drained, "one answer, the last");
}

#[test]
fn a_time_that_is_over_has_an_exit_code_of_its_own() {
    let daemon = Answers::default()
        .ok("POST /v1/drain", &reply(node(DrainState::Draining), BEGUN))
        .ok("GET /v1/drain", &reply(node(DrainState::Draining), ""))
        .start();
    let output = run(&daemon.socket(), &["drain", "node2", "--wait", "1s"]);
    assert_eq!(output.status.code(), Some(5));
    golden("drain-busy.txt", &String::from_utf8(output.stderr).unwrap());
}

#[test]
fn routes_without_another_leg_are_named() {
    let daemon = Answers::default()
        .ok("POST /v1/drain", &reply(last_leg(), BEGUN))
        .ok("GET /v1/drain", &reply(last_leg(), ""))
        .start();
    let output = run(&daemon.socket(), &["drain", "node2"]);
    assert_eq!(output.status.code(), Some(6));
    golden("drain-last-leg.txt", &String::from_utf8(output.stderr).unwrap());
    golden("drains.txt", &stdout(run(&daemon.socket(), &["drain"])));
}

#[test]
fn by_force_or_not_at_all_nobody_waits() {
    let forced = Drain { forced: true, ..node(DrainState::Drained) };
    let daemon = Answers::default()
        .ok("POST /v1/drain", &reply(forced.clone(), "its legs are taken out at once"))
        .ok("GET /v1/drain", &reply(forced, ""))
        .start();
    golden("drain-forced.txt", &stdout(run(&daemon.socket(), &["drain", "node2", "--force"])));
    assert!(daemon.asked()[0].body.contains(r#""force":true"#));

    let daemon = Answers::default().ok("POST /v1/drain", &reply(node(DrainState::Draining), BEGUN)).start();
    let said = stdout(run(&daemon.socket(), &["drain", "node2", "--no-wait"]));
    assert_eq!(said, "node2 (172.50.0.2, 2001:3200:3200::2): new flows go elsewhere\n");
}

#[test]
fn it_is_undone_and_an_unknown_node_is_refused() {
    let undone = DrainReply { nodes: Vec::new(), message: Some("takes flows again".to_owned()) };
    let daemon =
        Answers::default().ok("POST /v1/drain", &undone).ok("GET /v1/drain", &DrainReply::default()).start();
    assert_eq!(stdout(run(&daemon.socket(), &["drain", "--undo", "node2"])), "node2: takes flows again\n");
    assert_eq!(stdout(run(&daemon.socket(), &["drain"])), "no node is drained\n");

    let unknown = ErrorReply::new(ErrorCode::NeighborUnknown, "no neighbor is called \"node9\"");
    let daemon = Answers::default().error("POST /v1/drain", &unknown).start();
    let (code, text) = failure(run(&daemon.socket(), &["drain", "node9"]));
    assert_eq!((code, text.as_str()), (4, "bgpctl: no neighbor is called \"node9\"\n"));
}

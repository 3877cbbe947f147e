//! Reading the routes beside the writing.

use std::fmt::Write as _;

use bgp_fib::{Event, Kind, Op, Seen};

use crate::host::{Host, by_id, hop};

/// More than one portion, less than two.
const ROUTES: usize = 12_000;

fn fill(host: &Host, name: &str) {
    let mut commands = String::new();
    for index in 0..ROUTES {
        writeln!(commands, "route add 100.{}.{}.0/24 via 10.0.0.9 proto static", index / 256, index % 256)
            .unwrap();
    }
    let file = std::env::temp_dir().join(format!("bgnl-{}-{name}", std::process::id()));
    std::fs::write(&file, commands).unwrap();
    host.namespace.ip(&format!("-batch {}", file.display()));
    std::fs::remove_file(&file).unwrap();
}

fn shown(events: &[Event]) -> usize {
    let is_shown = |event: &&Event| matches!(event, Event::Route(route, Seen::Dump) if route.prefix.to_string().starts_with("100."));
    events.iter().filter(is_shown).count()
}

#[test]
fn an_audit_shows_the_routes_between_its_brackets() {
    let mut host = Host::new();
    fill(&host, "audit");
    host.sentinel();
    host.events.clear();
    host.apply(vec![Op::Audit]);
    let place = |wanted: &Event| host.events.iter().position(|event| event == wanted).unwrap();
    let between = place(&Event::AuditStart)..place(&Event::AuditEnd);
    assert_eq!(shown(&host.events[between]), ROUTES);
}

#[test]
fn operations_do_not_wait_for_an_audit_and_a_dump_ends_it() {
    let mut host = Host::new();
    fill(&host, "audit-ended");
    host.sentinel();
    host.events.clear();
    let link = host.namespace.ifindex("eth0");
    let answers = host.submit(vec![
        Op::Audit,
        hop(1, "10.0.0.2", link),
        by_id("203.0.113.0/24", 1),
        Op::Dump(Kind::Routes),
    ]);
    let errno = |place: usize| answers[place].as_ref().err().map(|error| error.errno);
    assert_eq!([errno(0), errno(1), errno(2), errno(3)], [Some(libc::ECANCELED), None, None, None]);
    // Its last word came before the dump's first.
    let start = host.events.iter().rposition(|event| *event == Event::DumpStart(Kind::Routes)).unwrap();
    assert_eq!(shown(&host.events[start..]), ROUTES);
    assert!(shown(&host.events[..start]) < ROUTES, "it was not under way any more");
    assert!(!host.events.contains(&Event::AuditEnd));
    host.events.clear();
    host.apply(vec![Op::Audit]);
    assert!(host.events.contains(&Event::AuditEnd));
}

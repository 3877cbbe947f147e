//! Reading the kernel back at leisure: what nothing has told of is found and put right, what changes meanwhile is not
//! taken for a difference.

mod support;

use std::time::Duration;

use bgp_fib::{AuditView, Differences, Event, FibConfig, KernelRoute, Notice, Op, Seen, Subject};

use support::{BRIDGE, Host, Kernel, address, prefix, route};

const INTERVAL: Duration = Duration::from_secs(300);
const NODE: &str = "2001:3200:3200::2";

/// Three routes of each family, installed; audits go on as the test says.
fn host() -> Host {
    let mut host = Host::lab();
    for n in 1..=3 {
        host.want(&format!("2004::{n}/128"), &[NODE]);
        host.want(&format!("10.9.0.{n}/32"), &["172.50.0.2"]);
    }
    host.run();
    host.take_log();
    host.kernel.audit_waits = true;
    host.fib.take_notices(&mut Vec::new());
    host
}

/// Lets the next audit begin, with nothing shown yet.
fn begin(host: &mut Host) {
    host.pass(INTERVAL + Duration::from_secs(1));
    assert!(host.kernel.audit.is_some(), "no audit: {:?}", host.fib.audit());
}

fn finish(host: &mut Host) -> AuditView {
    host.kernel.audit_on(usize::MAX);
    host.run();
    host.fib.audit()
}

fn differs(host: &mut Host) -> Option<(Differences, Vec<Subject>)> {
    let mut notices = Vec::new();
    host.fib.take_notices(&mut notices);
    notices.into_iter().find_map(|notice| match notice {
        Notice::Differ { found, examples } => Some((found, examples)),
        _ => None,
    })
}

fn remove_silently(kernel: &mut Kernel, text: &str) {
    assert!(kernel.routes.remove(&prefix(text)).is_some());
}

#[test]
fn where_nothing_differs_nothing_is_done_or_said() {
    let mut host = host();
    begin(&mut host);
    let view = finish(&mut host);
    assert_eq!((view.runs, view.differences), (1, Differences::default()));
    assert_eq!(view.last.unwrap().routes, 6);
    assert_eq!(host.take_log(), []);
    assert_eq!(differs(&mut host), None);
    begin(&mut host);
    assert_eq!(finish(&mut host).runs, 2);
}

#[test]
fn what_has_gone_without_a_word_comes_back_and_is_counted() {
    for text in ["2004::2/128", "10.9.0.2/32"] {
        let mut host = host();
        remove_silently(&mut host.kernel, text);
        begin(&mut host);
        let view = finish(&mut host);
        assert_eq!(host.kernel.ours(prefix(text)).len(), 1);
        assert_eq!(view.differences, Differences { missing: 1, ..Differences::default() });
        assert_eq!(view.differed, Some(host.now));
        assert_eq!(host.take_log().len(), 1, "the one that was gone");
        assert_eq!(differs(&mut host), Some((view.differences, vec![Subject::Route(prefix(text))])));
    }
}

#[test]
fn another_route_in_the_place_of_ours_is_set_right() {
    let mut host = host();
    let text = "10.9.0.2/32";
    let other =
        KernelRoute { nexthop_id: None, ..route(prefix(text), 186, 20, Some(address("172.50.0.9")), BRIDGE) };
    host.kernel.routes.insert(prefix(text), vec![other.clone()]);
    let hop = *host.kernel.objects.keys().next().unwrap();
    let stray = |text, nexthop_id| KernelRoute { prefix: prefix(text), nexthop_id, ..other.clone() };
    for (text, nexthop_id) in [("10.9.0.77/32", Some(hop)), ("10.9.0.78/32", None)] {
        host.kernel.routes.insert(prefix(text), vec![stray(text, nexthop_id)]);
    }
    begin(&mut host);
    let view = finish(&mut host);
    assert_eq!(view.differences, Differences { missing: 0, changed: 1, unexpected: 1 });
    assert_eq!(host.gateways(text), ["172.50.0.2"]);
    assert!(host.kernel.ours(prefix("10.9.0.77/32")).is_empty());
    let stays = stray("10.9.0.78/32", None);
    assert_eq!(host.kernel.routes[&prefix("10.9.0.78/32")], [stays], "through no object of ours");
}

#[test]
fn an_ipv6_route_that_the_kernel_passes_over_is_no_difference_and_not_touched() {
    let mut host = host();
    begin(&mut host);
    while let Some(next) = host.kernel.audit.as_ref().and_then(|left| left.front().copied()) {
        if next == prefix("2004::2/128") {
            host.kernel.audit_skip();
            break;
        }
        host.kernel.audit_on(1);
    }
    let before = host.kernel.routes.clone();
    let view = finish(&mut host);
    assert_eq!((view.runs, view.differences), (1, Differences::default()));
    assert!(
        matches!(host.take_log().as_slice(), [Op::RouteAdd(_)]),
        "it is asked for, where nothing must be"
    );
    assert_eq!(host.kernel.routes, before);
    assert_eq!(host.fib.stats().routes.ipv6.installed, 3);
}

#[test]
fn what_changes_while_it_is_read_is_no_difference() {
    let mut host = host();
    begin(&mut host);
    // Read before the change, heard of after it.
    host.kernel.audit_on(usize::MAX);
    let read = std::mem::take(&mut host.kernel.events);
    host.want("2004::1/128", &["2001:3200:3200::3"]);
    host.want("2004::2/128", &[]);
    host.want("2004::4/128", &[NODE]);
    host.run();
    host.kernel.events = read;
    host.run();
    let view = host.fib.audit();
    assert_eq!((view.runs, view.differences), (1, Differences::default()));
    assert_eq!(host.gateways("2004::1/128"), ["2001:3200:3200::3"]);
    assert!(host.kernel.ours(prefix("2004::2/128")).is_empty());
    assert_eq!(host.gateways("2004::4/128"), [NODE]);
}

#[test]
fn lost_reports_end_an_audit_and_what_they_would_have_told_is_found() {
    let mut host = host();
    begin(&mut host);
    host.kernel.audit_on(1);
    remove_silently(&mut host.kernel, "2004::3/128");
    host.kernel.events.push_back(Event::Overrun);
    host.pass(Duration::from_secs(2));
    assert_eq!(host.kernel.audit, None);
    let view = host.fib.audit();
    assert_eq!((view.runs, view.differences.missing), (0, 1));
    assert_eq!(host.kernel.ours(prefix("2004::3/128")).len(), 1);
    begin(&mut host);
    assert_eq!(finish(&mut host).runs, 1);
}

#[test]
fn of_two_routes_of_others_to_a_prefix_one_that_goes_meanwhile_takes_the_other_not_along() {
    let mut host = host();
    let (to, via) = (prefix("192.0.2.0/24"), Some(address("172.50.0.3")));
    for metric in [50, 60] {
        host.kernel.put_foreign(route(to, support::STATIC, metric, via, BRIDGE), Seen::Change);
    }
    host.want("10.9.0.9/32", &["192.0.2.1"]);
    host.run();
    assert_eq!(host.gateways("10.9.0.9/32"), ["172.50.0.3"]);
    begin(&mut host);
    host.kernel.delete_route(to, support::STATIC);
    host.run();
    finish(&mut host);
    assert_eq!(host.gateways("10.9.0.9/32"), ["172.50.0.3"]);
}

#[test]
fn legs_that_an_ipv6_route_of_others_gets_meanwhile_are_not_taken_back() {
    let mut host = host();
    let (to, others) = (prefix("2005::/64"), address("2001:3200:3200::3"));
    let first = route(to, support::STATIC, 50, Some(others), BRIDGE);
    host.kernel.put_foreign(first.clone(), Seen::Change);
    host.want("2004::9/128", &["2005::9"]);
    host.run();
    begin(&mut host);
    host.kernel.audit_on(usize::MAX);
    // Read before the second leg came, heard of after it.
    let read = std::mem::take(&mut host.kernel.events);
    let mut both = route(to, support::STATIC, 50, Some(address("2001:3200:3200::4")), BRIDGE);
    both.hops.extend(first.hops.clone());
    host.kernel.events.push_back(Event::Route(both, Seen::Change));
    host.run();
    host.kernel.events = read;
    host.run();
    host.kernel.events.push_back(Event::RouteGone(first));
    host.run();
    assert_eq!(host.gateways("2004::9/128"), ["2001:3200:3200::4"]);
}

#[test]
fn what_an_audit_had_read_before_reports_were_lost_is_not_believed_after() {
    let mut host = host();
    begin(&mut host);
    // It has shown a route of others that has gone since; the report was lost.
    let theirs = route(prefix("192.0.2.0/24"), support::STATIC, 50, Some(address("172.50.0.3")), BRIDGE);
    host.fib.observe(Event::Overrun, host.now);
    host.fib.observe(Event::Route(theirs, Seen::Dump), host.now);
    host.want("10.9.0.9/32", &["192.0.2.1"]);
    host.fib.tick(host.now);
    assert!(host.fib.next_hop(&support::hop("192.0.2.1")).unwrap().via.is_none());
    host.pass(Duration::from_secs(2));
    assert_eq!(host.gateways("10.9.0.9/32"), [""; 0]);
}

#[test]
fn an_object_that_has_gone_is_found_and_a_stranger_of_somebody_else_stays() {
    let mut host = host();
    let theirs = route(prefix("10.9.9.0/24"), support::STATIC, 20, Some(address("172.50.0.9")), BRIDGE);
    host.kernel.routes.insert(theirs.prefix, vec![theirs.clone()]);
    let id = host.kernel.nhid(prefix("10.9.0.1/32")).unwrap();
    let before = host.kernel.objects.len();
    host.kernel.delete_object(id);
    host.kernel.events.clear();
    begin(&mut host);
    let view = finish(&mut host);
    assert!(view.differences.missing >= 1, "{view:?}");
    assert_eq!(host.kernel.objects.len(), before);
    assert_eq!(host.gateways("10.9.0.1/32"), ["172.50.0.2"]);
    assert_eq!(host.kernel.routes[&theirs.prefix], [theirs]);
}

#[test]
fn without_an_interval_there_are_none() {
    let config = FibConfig { audit_interval: None, ..FibConfig::default() };
    let mut host = Host::new(config, Kernel::lab());
    host.pass(Duration::from_secs(100_000));
    assert!(!host.log.contains(&Op::Audit));
    assert_eq!(host.fib.audit(), AuditView::default());
}

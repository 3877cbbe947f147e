//! What the kernel refuses is tried again when something changes that could cure it, and otherwise ever more rarely.

mod support;

use std::time::Duration;

use bgp_fib::{Address, Cure, KernelError, Op, RouteState};

use support::{BRIDGE, EINVAL, Host, address, prefix};

const PREFIX: &str = "10.9.0.1/32";
const EPERM: i32 = 1;

fn refusal(errno: i32) -> KernelError {
    KernelError { errno, message: Some("Invalid prefsrc address".to_owned()) }
}

/// Gives the operations that are due to a kernel that refuses routes with `errno`; says how many routes were tried.
fn refuse(host: &mut Host, errno: i32) -> usize {
    while let Some(event) = host.kernel.events.pop_front() {
        host.fib.observe(event, host.now);
    }
    let mut ops = Vec::new();
    host.fib.tick(host.now);
    host.fib.next_ops(1000, &mut ops);
    let mut tried = 0;
    for (id, op) in ops {
        let is_route = matches!(op, Op::RouteAdd(_) | Op::RouteReplace(_));
        tried += usize::from(is_route);
        let answer = if is_route { Err(refusal(errno)) } else { host.kernel.apply(&op) };
        host.fib.confirm(id, answer, host.now);
    }
    tried
}

/// A route that has been refused for a minute: the next try is far away.
fn refused(errno: i32) -> Host {
    let mut host = Host::lab();
    host.want(PREFIX, &["172.50.0.2"]);
    for _ in 0..600 {
        refuse(&mut host, errno);
        host.now += Duration::from_millis(100);
    }
    let state = host.fib.route(&prefix(PREFIX)).unwrap().state;
    let RouteState::Failed { error, retry_at } = state else { panic!("{state:?}") };
    assert_eq!(error, refusal(errno));
    assert!(retry_at > host.now + Duration::from_secs(1), "no pause");
    assert_eq!(host.fib.a_refusal(), Some((prefix(PREFIX), refusal(errno))));
    assert_eq!(refuse(&mut host, errno), 0);
    host
}

fn new_address(host: &mut Host) {
    let row = Address { ifindex: BRIDGE, address: address("192.0.2.9"), prefix_len: 32, tentative: false };
    host.kernel.set_address(row);
}

#[test]
fn an_address_that_appears_cures_what_waited_for_one() {
    let mut host = refused(EINVAL);
    new_address(&mut host);
    host.run();
    assert_eq!(host.gateways(PREFIX), ["172.50.0.2"]);
    assert_eq!(host.fib.route(&prefix(PREFIX)).unwrap().state, RouteState::Installed);
    assert_eq!(host.fib.a_refusal(), None);
}

#[test]
fn a_storm_of_events_is_not_a_storm_of_tries() {
    let mut host = refused(EINVAL);
    let mut tries = 0;
    for _ in 0..1000 {
        new_address(&mut host);
        tries += refuse(&mut host, EINVAL);
    }
    assert_eq!(tries, 1);
    host.now += Duration::from_secs(1);
    assert_eq!(refuse(&mut host, EINVAL), 1, "the last event counts too");
}

#[test]
fn what_no_event_can_cure_waits_for_its_time() {
    assert_eq!(Cure::of(&refusal(EPERM)), Cure::Privilege);
    let mut host = refused(EPERM);
    new_address(&mut host);
    assert_eq!(refuse(&mut host, EPERM), 0);
}

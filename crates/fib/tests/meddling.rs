//! Others undo what we do: it is put back at once, and who it was is gathered and told.

mod support;

use std::time::Duration;

use bgp_fib::{Deed, Event, Meddling, Notice, Op, Requester, RouteState, Seen, Subject};

use support::{BRIDGE, Host, STATIC, address, prefix, route};

const SERVICE: &str = "2004::1/128";
const NODE: &str = "2001:3200:3200::2";

fn host() -> Host {
    let mut host = Host::lab();
    for n in 1..=9 {
        host.want(&format!("2004::{n}/128"), &[NODE]);
    }
    host.run();
    host.fib.take_notices(&mut Vec::new());
    host
}

/// From here on the kernel says that it was asked by this process.
fn by(host: &mut Host, port: u32, process: Option<&str>) {
    let requester = Requester { port, process: process.map(str::to_owned) };
    host.kernel.events.push_back(Event::Requester(requester));
}

fn told(host: &mut Host) -> Vec<Meddling> {
    let mut notices = Vec::new();
    host.fib.take_notices(&mut notices);
    let undone = notices.into_iter().filter_map(|notice| match notice {
        Notice::Undone(meddling) => Some(meddling),
        _ => None,
    });
    undone.collect()
}

#[test]
fn a_flush_is_one_deed_of_one_process_however_many_routes() {
    let mut host = host();
    by(&mut host, 812, Some("zebra"));
    for n in 1..=9 {
        host.kernel.delete_route(prefix(&format!("2004::{n}/128")), 186);
    }
    host.run();
    for n in 1..=9 {
        assert_eq!(host.gateways(&format!("2004::{n}/128")), [NODE], "back before anything is told");
    }
    assert_eq!(told(&mut host), []);
    host.pass(Duration::from_millis(60));
    let [meddling] = &told(&mut host)[..] else { panic!("one is told") };
    assert_eq!((meddling.deed, meddling.count, meddling.examples.len()), (Deed::Removed, 9, 5));
    assert_eq!(meddling.by.as_deref().unwrap().to_string(), "zebra (process 812)");
    assert_eq!(meddling.examples[0], Subject::Route(prefix(SERVICE)));
    let view = host.fib.route(&prefix(SERVICE)).unwrap();
    assert_eq!((view.repairs, view.undone_by), (1, meddling.by.clone()));
    assert_eq!(host.fib.stats().repairs, 9);
}

#[test]
fn what_somebody_once_did_to_a_route_is_forgotten_after_an_hour_of_calm() {
    let mut host = host();
    by(&mut host, 812, Some("zebra"));
    let repairs = |host: &Host, service: &str| host.fib.route(&prefix(service)).unwrap().repairs;
    host.kernel.delete_route(prefix(SERVICE), 186);
    host.run();
    host.pass(Duration::from_secs(1800));
    host.kernel.delete_route(prefix("2004::2/128"), 186);
    host.run();
    assert_eq!((repairs(&host, SERVICE), repairs(&host, "2004::2/128")), (1, 1));
    host.pass(Duration::from_secs(1801));
    assert_eq!((repairs(&host, SERVICE), repairs(&host, "2004::2/128")), (0, 1));
    host.pass(Duration::from_secs(1800));
    assert_eq!(repairs(&host, "2004::2/128"), 0);
    assert_eq!(host.gateways(SERVICE), [NODE]);
    assert_eq!(host.fib.stats().repairs, 2);
}

#[test]
fn a_script_is_one_culprit_though_each_of_its_commands_is_a_process() {
    let mut host = host();
    for port in 1000..1004 {
        by(&mut host, port, None);
        host.kernel.delete_route(prefix(SERVICE), 186);
        host.run();
        host.pass(Duration::from_millis(100));
    }
    // The first at once, the rest when it may be told again.
    assert_eq!(told(&mut host).iter().map(|meddling| meddling.count).collect::<Vec<_>>(), [1]);
    host.pass(Duration::from_secs(6));
    assert_eq!(told(&mut host).iter().map(|meddling| meddling.count).collect::<Vec<_>>(), [3]);
    assert_eq!(host.fib.meddling().iter().map(|meddling| meddling.count).collect::<Vec<_>>(), [4]);
}

#[test]
fn what_the_kernel_does_by_itself_is_nobodys_deed_and_no_fight() {
    let mut host = host();
    by(&mut host, 0, None);
    for _ in 0..20 {
        host.kernel.delete_route(prefix(SERVICE), 186);
        host.run();
        assert_eq!(host.gateways(SERVICE), [NODE]);
    }
    host.pass(Duration::from_secs(1));
    assert_eq!(told(&mut host), []);
    assert_eq!(host.fib.stats().repairs, 0);
}

#[test]
fn objects_and_changed_routes_are_deeds_too() {
    let mut host = host();
    let id = host.kernel.nhid(prefix(SERVICE)).unwrap();
    by(&mut host, 5, Some("ip"));
    host.kernel.delete_object(id);
    host.run();
    assert_eq!(host.gateways(SERVICE), [NODE]);
    let theirs = bgp_fib::KernelRoute {
        nexthop_id: None,
        ..route(prefix(SERVICE), 186, 20, Some(address("2001:3200:3200::9")), BRIDGE)
    };
    host.kernel.put_foreign(theirs, Seen::Replace);
    host.run();
    assert_eq!(host.gateways(SERVICE), [NODE]);
    host.pass(Duration::from_millis(60));
    let deeds: Vec<_> = told(&mut host).into_iter().map(|it| (it.deed, it.examples)).collect();
    let (object, route) = (Subject::Object(id), Subject::Route(prefix(SERVICE)));
    assert_eq!(deeds, [(Deed::Removed, vec![object]), (Deed::Changed, vec![route])]);
}

#[test]
fn another_protocols_route_in_the_place_of_ours_is_told_and_left() {
    let mut host = host();
    by(&mut host, 5, None);
    let theirs = route(prefix(SERVICE), STATIC, 20, Some(address("2001:3200:3200::9")), BRIDGE);
    host.kernel.put_foreign(theirs, Seen::Replace);
    host.run();
    assert!(matches!(
        host.fib.route(&prefix(SERVICE)).unwrap().state,
        RouteState::Blocked { protocol: STATIC }
    ));
    host.pass(Duration::from_millis(60));
    let deeds: Vec<_> = told(&mut host).into_iter().map(|it| (it.deed, it.count)).collect();
    assert_eq!(deeds, [(Deed::Replaced { protocol: STATIC }, 1)]);
    assert_eq!(host.fib.stats().repairs, 0, "nothing was put back");
}

const NODES: [&str; 3] = [NODE, "2001:3200:3200::3", "2001:3200:3200::4"];

/// A group that has grown while no flow used it, as most do, or was made at once; and who has its buckets.
fn with_group(grown: bool) -> (Host, Vec<Option<u32>>) {
    let mut host = Host::lab();
    let first = if grown { 1 } else { 3 };
    for count in first..=3 {
        host.want(SERVICE, &NODES[..count]);
        host.run();
    }
    let group = host.kernel.group_mut(prefix(SERVICE));
    group.buckets.busy.fill(true);
    let owners = group.buckets.owners.clone();
    (host, owners)
}

#[test]
fn when_somebody_has_taken_several_legs_out_of_a_group_each_gets_its_own_buckets_again() {
    for grown in [false, true] {
        for left in [vec![0], vec![1], vec![2]] {
            let (mut host, owners) = with_group(grown);
            let group = host.kernel.nhid(prefix(SERVICE)).unwrap();
            let members = host.kernel.group_of(prefix(SERVICE)).members.clone();
            host.take_log();
            let kept = left.iter().map(|at: &usize| members[*at]).collect();
            host.kernel.change_group(group, kept);
            host.run();
            assert_eq!(host.gateways(SERVICE), NODES);
            assert_eq!(host.kernel.group_of(prefix(SERVICE)).buckets.owners, owners, "{grown} {left:?}");
            let log = host.take_log();
            assert!(log.iter().all(|op| matches!(op, Op::GroupReplace(_))) && log.len() <= 3, "{log:?}");
            // The group is deleted, with its routes: it is made anew as it was made.
            host.kernel.delete_object(group);
            host.run();
            assert_eq!(host.kernel.group_of(prefix(SERVICE)).buckets.owners, owners, "{grown} {left:?}");
            // And once more: what it has been is known still.
            host.kernel.group_mut(prefix(SERVICE)).buckets.busy.fill(true);
            host.kernel.change_group(group, vec![members[0]]);
            host.run();
            assert_eq!(host.kernel.group_of(prefix(SERVICE)).buckets.owners, owners, "{grown} {left:?}");
        }
    }
}

#[test]
fn one_leg_that_somebody_has_taken_out_gets_what_nobody_has_used_since() {
    let (mut host, owners) = with_group(true);
    let group = host.kernel.nhid(prefix(SERVICE)).unwrap();
    let members = host.kernel.group_of(prefix(SERVICE)).members.clone();
    host.take_log();
    host.kernel.change_group(group, members[..2].to_vec());
    host.run();
    assert_eq!(host.kernel.group_of(prefix(SERVICE)).buckets.owners, owners);
    assert!(matches!(host.take_log().as_slice(), [Op::GroupReplace(_)]));
}

//! Backups: where a route goes when its one next hop is lost, and that nobody goes there before.

mod support;

use std::time::Duration;

use bgp_fib::{DrainOrder, FibConfig, GroupKind, NeighborState, Op};
use support::{BRIDGE, Host, Kernel, address, hop, prefix};

const NODES: [&str; 3] = ["2001:3200:3200::2", "2001:3200:3200::3", "2001:3200:3200::4"];
/// On another link than the nodes.
const FAR: &str = "2001:3333::2";
const CABLE: u32 = 9;

fn service(number: u32) -> String {
    format!("2004::{number}/128")
}

fn want(host: &mut Host, services: std::ops::RangeInclusive<u32>, leg: &str, backup: Option<&str>) {
    for number in services {
        let shares = std::iter::once((hop(leg), 1));
        host.fib.want_shares(prefix(&service(number)), shares, backup.map(hop), host.now);
    }
}

/// A hundred services by the first node with the second as their backup, on a kernel that takes such weights.
fn protected(config: FibConfig) -> Host {
    let mut host = Host::new(config, Kernel::lab());
    far_link(&mut host.kernel);
    host.run();
    host.fib.end_of_startup(host.now);
    for node in NODES.iter().chain([&FAR]) {
        host.fib.watch(hop(node), host.now);
    }
    host.run();
    want(&mut host, 1..=100, NODES[0], Some(NODES[1]));
    host.run();
    host.take_log();
    host
}

fn far_link(kernel: &mut Kernel) {
    kernel.set_link(bgp_fib::Link {
        ifindex: CABLE,
        name: "cable".to_owned(),
        admin_up: true,
        carrier: true,
        loopback: false,
        mac: None,
        master: None,
    });
    let own = bgp_fib::Address {
        ifindex: CABLE,
        address: address("2001:3333::1"),
        prefix_len: 64,
        tentative: false,
    };
    kernel.set_address(own);
    kernel.put_foreign(support::route(prefix("2001:3333::/64"), 2, 256, None, CABLE), bgp_fib::Seen::Change);
    kernel.alive.insert((CABLE, address(FAR)), support::mac(9));
}

fn wide() -> FibConfig {
    FibConfig { largest_weight: u16::MAX, ..FibConfig::default() }
}

fn plain() -> FibConfig {
    FibConfig { groups: GroupKind::HashThreshold, ..FibConfig::default() }
}

/// The next hops by which packets to a service go.
fn carrying(host: &Host, number: u32) -> Vec<String> {
    let group = host.kernel.group_of(prefix(&service(number)));
    let mut owners: Vec<u32> = match group.kind {
        GroupKind::Resilient(_) => group.buckets.owners.iter().flatten().copied().collect(),
        GroupKind::HashThreshold => group.members.iter().map(|(id, _)| *id).collect(),
    };
    owners.sort_unstable();
    owners.dedup();
    let named = owners.iter().flat_map(|id| host.kernel.gateways(*id));
    named.map(|via| via.gateway.to_string()).collect()
}

fn all_by(host: &Host, services: std::ops::RangeInclusive<u32>, node: &str) {
    for number in services {
        assert_eq!(carrying(host, number), [node], "service {number}");
    }
}

fn use_all(host: &mut Host, number: u32) {
    host.kernel.group_mut(prefix(&service(number))).buckets.busy.fill(true);
}

fn route_writes(host: &mut Host) -> usize {
    let is_route = |op: &&Op| matches!(op, Op::RouteAdd(_) | Op::RouteReplace(_) | Op::RouteDel { .. });
    host.take_log().iter().filter(is_route).count()
}

fn members(host: &Host, number: u32) -> Vec<u16> {
    host.kernel.group_of(prefix(&service(number))).members.iter().map(|(_, weight)| *weight).collect()
}

#[test]
fn a_backup_is_a_member_without_a_bucket() {
    for (config, largest) in [(FibConfig::default(), 256), (wide(), u16::MAX)] {
        let host = protected(config);
        assert_eq!(host.gateways(&service(1)), &NODES[..2]);
        assert_eq!(members(&host, 1), [largest, 1]);
        all_by(&host, 1..=100, NODES[0]);
        let view = host.fib.route(&prefix(&service(1))).unwrap();
        assert_eq!(view.backup, Some(hop(NODES[1])));
        assert_eq!(view.via.len(), 1);
        let group = host.fib.groups().remove(0);
        assert_eq!(group.backup, group.members.iter().find(|(_, weight)| *weight == 1).map(|(id, _)| *id));
    }
}

#[test]
fn groups_that_would_give_it_a_bucket_are_left_alone() {
    let GroupKind::Resilient(resilient) = GroupKind::Resilient(bgp_fib::Resilient::default()) else { return };
    let fine = GroupKind::Resilient(bgp_fib::Resilient { buckets: 4096, ..resilient });
    for config in [FibConfig { groups: fine, ..FibConfig::default() }, plain()] {
        let mut host = protected(config);
        assert_eq!(host.gateways(&service(1)), &NODES[..1]);
        // It is known here, and its object is in the kernel.
        host.fib.give_up(&[hop(NODES[0])], host.now);
        host.run();
        all_by(&host, 1..=100, NODES[1]);
        let log = host.take_log();
        assert!(matches!(log.as_slice(), [Op::GroupReplace(_), Op::NexthopDel { .. }]), "{log:?}");
    }
}

#[test]
fn a_session_that_ends_costs_one_operation_and_the_decisions_after_it_none() {
    let mut host = protected(wide());
    use_all(&mut host, 1);
    host.fib.give_up(&[hop(NODES[0])], host.now);
    host.run();
    let log = host.take_log();
    assert!(matches!(log.as_slice(), [Op::NexthopDel { .. }]), "{log:?}");
    all_by(&host, 1..=100, NODES[1]);
    // One by one, with pauses: each gets a new backup.
    for number in 1..=99 {
        want(&mut host, number..=number, NODES[1], Some(NODES[2]));
        host.pass(Duration::from_millis(300));
    }
    assert_eq!(host.gateways(&service(1)), &NODES[1..2], "no backup while some may not have it");
    want(&mut host, 100..=100, NODES[1], Some(NODES[2]));
    host.pass(Duration::from_secs(3));
    assert_eq!(route_writes(&mut host), 0);
    assert_eq!(host.gateways(&service(1)), &NODES[1..]);
    all_by(&host, 1..=100, NODES[1]);
    assert_eq!(host.fib.groups().len(), 1);
}

#[test]
fn a_link_that_goes_is_left_by_the_kernel_itself() {
    let mut host = protected(wide());
    want(&mut host, 1..=100, FAR, Some(NODES[1]));
    host.pass(Duration::from_secs(10));
    all_by(&host, 1..=100, FAR);
    host.take_log();
    host.kernel.link_up(CABLE, true, false);
    // Nobody has told us yet.
    all_by(&host, 1..=100, NODES[1]);
    host.run();
    all_by(&host, 1..=100, NODES[1]);
    assert_eq!(host.take_log(), [], "there is nothing left to do");
    // It comes back before anything was decided: first without the backup, which gives up its flows, then with it.
    use_all(&mut host, 1);
    host.kernel.link_up(CABLE, true, true);
    host.pass(Duration::from_secs(1));
    all_by(&host, 1..=100, FAR);
    assert_eq!(members(&host, 1).len(), 2);
    assert_eq!(route_writes(&mut host), 0);
}

#[test]
fn a_neighbour_that_dies_costs_one_operation() {
    let mut host = protected(wide());
    host.kernel.alive.remove(&(BRIDGE, address(NODES[0])));
    host.kernel.set_neighbor(BRIDGE, address(NODES[0]), None, NeighborState::Failed);
    host.run();
    assert!(matches!(host.take_log().as_slice(), [Op::NexthopDel { .. }]));
    all_by(&host, 1..=100, NODES[1]);
}

#[test]
fn the_first_peer_alone_and_then_a_second_need_no_route_written() {
    let mut host = protected(wide());
    want(&mut host, 201..=300, NODES[2], None);
    host.run();
    host.take_log();
    for number in 201..=300 {
        want(&mut host, number..=number, NODES[2], Some(NODES[1]));
        host.pass(Duration::from_millis(500));
    }
    host.pass(Duration::from_secs(3));
    assert_eq!(route_writes(&mut host), 0);
    assert_eq!(host.gateways(&service(201)), &NODES[1..]);
    all_by(&host, 201..=300, NODES[2]);
}

#[test]
fn routes_without_a_backup_do_not_get_that_of_the_others() {
    let mut host = protected(wide());
    want(&mut host, 201..=300, NODES[2], None);
    host.run();
    want(&mut host, 201..=250, NODES[2], Some(NODES[1]));
    host.run();
    assert_eq!(host.gateways(&service(201)), &NODES[2..], "not while they share a group");
    host.pass(Duration::from_secs(5));
    assert_eq!(host.gateways(&service(201)), &NODES[1..]);
    assert_eq!(host.gateways(&service(300)), &NODES[2..]);
}

#[test]
fn routes_that_part_after_a_loss_never_get_the_backup_of_each_other() {
    let mut host = protected(wide());
    host.fib.give_up(&[hop(NODES[0])], host.now);
    host.run();
    host.take_log();
    want(&mut host, 1..=50, NODES[1], Some(NODES[2]));
    want(&mut host, 51..=90, NODES[1], Some(FAR));
    want(&mut host, 91..=99, NODES[1], None);
    for number in 100..=100 {
        host.fib.want(prefix(&service(number)), None, host.now);
    }
    let may = |number: u32| match number {
        1..=50 => [NODES[1], NODES[2]],
        51..=90 => [NODES[1], FAR],
        _ => [NODES[1], NODES[1]],
    };
    // Operation by operation.
    for _ in 0..5000 {
        let mut ops = Vec::new();
        host.fib.next_ops(1, &mut ops);
        match ops.pop() {
            Some((id, op)) => {
                let answer = host.kernel.apply(&op);
                host.fib.confirm(id, answer, host.now);
            }
            None => {
                let Some(deadline) = host.fib.next_deadline() else { break };
                if deadline > host.now + Duration::from_secs(10) {
                    break;
                }
                host.now = host.now.max(deadline);
                host.fib.tick(host.now);
            }
        }
        for number in [1, 50, 51, 90, 91, 99] {
            let gateways = host.gateways(&service(number));
            assert!(!gateways.is_empty(), "service {number} has no way");
            assert!(gateways.iter().all(|via| may(number).contains(&via.as_str())), "{number}: {gateways:?}");
        }
    }
    assert_eq!(host.gateways(&service(50)), &NODES[1..]);
    assert_eq!(host.gateways(&service(51)), [NODES[1], FAR]);
    assert_eq!(host.gateways(&service(99)), &NODES[1..2]);
    all_by(&host, 1..=99, NODES[1]);
}

#[test]
fn a_backup_that_becomes_the_best_takes_over_at_once_and_the_best_becomes_its_backup() {
    let mut host = protected(wide());
    use_all(&mut host, 1);
    want(&mut host, 1..=1, NODES[1], Some(NODES[0]));
    host.run();
    all_by(&host, 1..=1, NODES[1]);
    all_by(&host, 2..=100, NODES[0]);
    assert_eq!(host.gateways(&service(1)), &NODES[..2]);
}

#[test]
fn of_two_equal_nodes_of_which_one_becomes_worse_it_keeps_no_flow() {
    let mut host = protected(wide());
    host.want(&service(201), &NODES[..2]);
    host.run();
    use_all(&mut host, 201);
    assert_eq!(carrying(&host, 201).len(), 2);
    want(&mut host, 201..=201, NODES[0], Some(NODES[1]));
    host.pass(Duration::from_secs(1));
    all_by(&host, 201..=201, NODES[0]);
    assert_eq!(host.gateways(&service(201)), &NODES[..2]);
    // And as a node that joins it takes what is idle.
    use_all(&mut host, 201);
    host.want(&service(201), &NODES[..2]);
    host.pass(Duration::from_secs(1));
    all_by(&host, 201..=201, NODES[0]);
    host.kernel.group_mut(prefix(&service(201))).buckets.busy.fill(false);
    host.pass(Duration::from_secs(70));
    assert_eq!(members(&host, 201), [1, 1]);
}

#[test]
fn a_backup_that_cannot_be_used_or_is_drained_is_none() {
    let mut host = protected(wide());
    let order = DrainOrder { addresses: [address(NODES[1])].into(), force: false, idle: None, drained: None };
    host.fib.drain("node3".into(), order, host.now);
    host.run();
    assert_eq!(host.gateways(&service(1)), &NODES[..1]);
    host.fib.undrain("node3");
    host.run();
    assert_eq!(host.gateways(&service(1)), &NODES[..2]);
    host.kernel.alive.remove(&(BRIDGE, address(NODES[1])));
    host.kernel.set_neighbor(BRIDGE, address(NODES[1]), None, NeighborState::Failed);
    host.run();
    assert_eq!(host.gateways(&service(1)), &NODES[..1]);
    assert_eq!(route_writes(&mut host), 0);
    // Two with one gateway are one.
    want(&mut host, 201..=201, "::ffff:172.50.0.4", Some(NODES[2]));
    host.run();
    assert_eq!(host.gateways(&service(201)), &NODES[2..]);
}

#[test]
fn groups_of_an_earlier_run_are_adopted_with_their_backup() {
    let old = protected(wide());
    let group = old.kernel.nhid(prefix(&service(1)));
    let mut host = Host::new(wide(), old.kernel);
    host.run();
    want(&mut host, 1..=100, NODES[0], Some(NODES[1]));
    host.run();
    host.fib.end_of_startup(host.now);
    host.pass(Duration::from_secs(5));
    assert_eq!(host.take_log(), []);
    assert_eq!(host.kernel.nhid(prefix(&service(1))), group);
}

#[test]
fn groups_of_an_earlier_run_without_backups_get_them_in_place() {
    let mut old = protected(wide());
    want(&mut old, 1..=100, NODES[0], None);
    old.pass(Duration::from_secs(5));
    assert_eq!(old.gateways(&service(1)), &NODES[..1]);
    let mut host = Host::new(wide(), old.kernel);
    host.run();
    want(&mut host, 1..=100, NODES[0], Some(NODES[1]));
    host.run();
    host.fib.end_of_startup(host.now);
    host.pass(Duration::from_secs(5));
    assert_eq!(route_writes(&mut host), 0);
    assert_eq!(host.gateways(&service(100)), &NODES[..2]);
}

#[test]
fn a_kernel_without_nexthop_objects_gets_routes_by_the_backup() {
    let mut kernel = Kernel::lab();
    kernel.no_objects = true;
    let mut host = Host::new(wide(), kernel);
    host.run();
    host.fib.end_of_startup(host.now);
    host.fib.watch(hop(NODES[0]), host.now);
    want(&mut host, 1..=3, NODES[0], Some(NODES[1]));
    host.pass(Duration::from_secs(1));
    assert_eq!(host.gateways(&service(2)), &NODES[..1]);
    host.fib.give_up(&[hop(NODES[0])], host.now);
    host.pass(Duration::from_secs(1));
    assert_eq!(host.gateways(&service(2)), &NODES[1..2]);
}

//! Where nodes are behind a bridge: a dead port takes its leg at once, and it is back when the node answers.

mod support;

use std::time::Duration;

use bgp_fib::{Event, FdbEntry, FibConfig, Link, NeighborState, Op, Presence};

use support::{BRIDGE, Host, address, mac};

const SERVICE: &str = "2004::1/128";
const NODES: [&str; 3] = ["2001:3200:3200::2", "2001:3200:3200::3", "2001:3200:3200::4"];

fn port(node: u8) -> Link {
    let name = format!("veth{node}");
    let (ifindex, master) = (100 + u32::from(node), Some(BRIDGE));
    Link { ifindex, name, admin_up: true, carrier: true, loopback: false, mac: None, master }
}

fn place(node: u8, at: u8) -> FdbEntry {
    FdbEntry { bridge: BRIDGE, mac: mac(node), port: port(at).ifindex }
}

/// Three nodes, each known by neighbour discovery and behind a port of its own, with a service on all of them.
fn with_ports(config: FibConfig) -> Host {
    let mut host = Host::new(config, support::Kernel::lab());
    host.run();
    host.fib.end_of_startup(host.now);
    for node in 2..=4_u8 {
        host.kernel.set_link(port(node));
        host.kernel.events.push_back(Event::Fdb(place(node, node)));
        let neighbor = address(NODES[usize::from(node) - 2]);
        host.kernel.set_neighbor(BRIDGE, neighbor, Some(mac(node)), NeighborState::Reachable);
    }
    host.want(SERVICE, &NODES);
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES);
    host
}

#[test]
fn a_dead_port_takes_its_leg_without_waiting_for_anybody() {
    for kill in [
        (|host| host.kernel.link_up(102, false, false)) as fn(&mut Host),
        |host| host.kernel.link_up(102, true, false),
        |host| host.kernel.delete_link(102),
        |host| host.kernel.set_link(Link { master: None, ..port(2) }),
    ] {
        let mut host = with_ports(FibConfig::default());
        // The bridge forgets the address before the port is reported down.
        host.kernel.events.push_back(Event::FdbGone(place(2, 2)));
        kill(&mut host);
        // Nobody is asked here: what the neighbour would say comes seconds later.
        while let Some(event) = host.kernel.events.pop_front() {
            host.fib.observe(event, host.now);
        }
        let presence = host.fib.presence(address(NODES[0]), BRIDGE);
        assert!(matches!(&presence, Presence::Gone(why) if why.contains("veth2")), "{presence:?}");
        host.kernel.alive.remove(&(BRIDGE, address(NODES[0])));
        host.run();
        assert_eq!(host.gateways(SERVICE), NODES[1..]);
    }
}

#[test]
fn a_port_that_is_back_counts_when_the_node_answers() {
    let mut host = with_ports(FibConfig::default());
    let alive = host.kernel.alive.remove(&(BRIDGE, address(NODES[0]))).unwrap();
    host.kernel.link_up(102, false, false);
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES[1..]);
    host.kernel.set_link(port(2));
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES[1..], "it boots: nobody answers yet");
    assert!(matches!(host.fib.presence(address(NODES[0]), BRIDGE), Presence::Gone(_)));
    host.kernel.alive.insert((BRIDGE, address(NODES[0])), alive);
    host.pass(Duration::from_secs(35));
    assert_eq!(host.gateways(SERVICE), NODES);
    let presence = host.fib.presence(address(NODES[0]), BRIDGE);
    assert_eq!(presence, Presence::Here(format!("on br-{BRIDGE}, port veth2")));
}

#[test]
fn a_node_that_has_moved_to_another_port_is_not_gone_with_the_old_one() {
    let mut host = with_ports(FibConfig::default());
    host.kernel.events.push_back(Event::Fdb(place(2, 3)));
    host.run();
    host.kernel.delete_link(102);
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES);
}

#[test]
fn peers_on_the_link_are_asked_in_intervals_and_permanent_entries_left_alone() {
    let interval = Duration::from_secs(10);
    let mut host = with_ports(FibConfig { probe_interval: Some(interval), ..FibConfig::default() });
    let fixed = address(NODES[1]);
    host.kernel.set_neighbor(BRIDGE, fixed, Some(mac(3)), NeighborState::Permanent);
    host.run();
    for node in &NODES[..2] {
        host.fib.watch_peer(address(node), BRIDGE, host.now);
    }
    host.log.clear();
    host.pass(Duration::from_secs(31));
    let asked = |host: &Host, whom| {
        host.log.iter().filter(|op| matches!(op, Op::Verify { address, .. } if *address == whom)).count()
    };
    assert_eq!((asked(&host, address(NODES[0])), asked(&host, fixed)), (3, 0));
    // A node that has died with its port up is found without the kernel's own patience.
    host.kernel.alive.remove(&(BRIDGE, address(NODES[0])));
    host.pass(interval);
    assert_eq!(host.gateways(SERVICE), NODES[1..]);
    host.fib.unwatch_peer(address(NODES[0]), BRIDGE);
    host.log.clear();
    host.pass(interval * 2);
    assert_eq!(asked(&host, address(NODES[0])), 0);
}

#[test]
fn a_way_that_is_said_to_be_cut_is_out_of_use_until_it_is_mended() {
    let mut host = with_ports(FibConfig::default());
    let node = address(NODES[0]);
    host.fib.cut(node, BRIDGE + 1, "BFD: elsewhere");
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES, "another link is not concerned");
    host.fib.cut(node, BRIDGE, "BFD: no packet for 150 ms");
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES[1..]);
    // The neighbour entry is as good as before, and an answer alone ends nothing.
    assert!(matches!(host.fib.presence(node, BRIDGE), Presence::Here(_)));
    host.fib.ask(node, BRIDGE);
    assert!(!host.fib.has_answered(node, BRIDGE));
    host.run();
    assert!(host.fib.has_answered(node, BRIDGE));
    assert_eq!(host.gateways(SERVICE), NODES[1..]);
    host.fib.mend(node, BRIDGE);
    host.run();
    assert_eq!(host.gateways(SERVICE), NODES);
    assert!(!host.fib.has_answered(node, BRIDGE), "it is asked no more");
}

#[test]
fn a_node_that_does_not_answer_has_not_answered() {
    let mut host = with_ports(FibConfig::default());
    let node = address(NODES[0]);
    host.kernel.alive.remove(&(BRIDGE, node));
    host.fib.ask(node, BRIDGE);
    host.run();
    assert!(!host.fib.has_answered(node, BRIDGE));
}

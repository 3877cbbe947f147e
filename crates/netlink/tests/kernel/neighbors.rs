//! Having the kernel ask its neighbours.

use std::net::IpAddr;

use bgp_fib::{Event, Mac, NeighborState, Op};

use crate::host::Host;

fn states(host: &Host, address: IpAddr) -> Vec<NeighborState> {
    host.events
        .iter()
        .filter_map(|event| match event {
            Event::Neighbor(neighbor) if neighbor.address == address => Some(neighbor.state),
            _ => None,
        })
        .collect()
}

fn until_state(host: &mut Host, address: IpAddr, state: NeighborState) {
    host.until(&format!("{address} {state:?}"), |events| {
        events
            .iter()
            .any(|event| matches!(event, Event::Neighbor(it) if it.address == address && it.state == state))
    });
}

fn mac_of(host: &Host, address: IpAddr) -> Mac {
    host.events
        .iter()
        .rev()
        .find_map(|event| match event {
            Event::Neighbor(neighbor) if neighbor.address == address => neighbor.mac,
            _ => None,
        })
        .unwrap()
}

#[test]
fn a_probe_makes_the_kernel_ask_and_the_answer_is_reported() {
    let mut host = Host::new();
    let ifindex = host.namespace.ifindex("eth0");
    let far = host.far.ip("-br link show far0");
    for address in ["10.0.0.2", "2001:db8::2"].map(|text| text.parse::<IpAddr>().unwrap()) {
        host.apply(vec![Op::Probe { ifindex, address }]);
        until_state(&mut host, address, NeighborState::Reachable);
        assert!(far.contains(&mac_of(&host, address).to_string()), "{far}");
    }
}

#[test]
fn a_probe_of_nobody_fails_and_may_be_repeated() {
    let mut host = Host::new();
    let ifindex = host.namespace.ifindex("eth0");
    let address: IpAddr = "10.0.0.77".parse().unwrap();
    host.apply(vec![Op::Probe { ifindex, address }]);
    until_state(&mut host, address, NeighborState::Failed);
    host.events.clear();
    host.apply(vec![Op::Probe { ifindex, address }]);
    until_state(&mut host, address, NeighborState::Failed);
    let results = host.submit(vec![Op::Probe { ifindex: 4711, address }]);
    assert_eq!(results[0].as_ref().unwrap_err().errno, libc::ENODEV);
}

#[test]
fn verifying_finds_out_in_seconds_that_a_trusted_neighbour_is_gone() {
    let mut host = Host::new();
    let ifindex = host.namespace.ifindex("eth0");
    let addresses = ["10.0.0.2", "2001:db8::2"].map(|text| text.parse::<IpAddr>().unwrap());
    for address in addresses {
        host.apply(vec![Op::Probe { ifindex, address }]);
        until_state(&mut host, address, NeighborState::Reachable);
    }
    let verify = |host: &Host| {
        addresses.map(|address| Op::Verify { ifindex, address, mac: mac_of(host, address) }).to_vec()
    };
    // There: it is asked and confirmed.
    let ops = verify(&host);
    host.events.clear();
    host.apply(ops);
    for address in addresses {
        until_state(&mut host, address, NeighborState::Reachable);
    }
    // Gone, while the link is up: the neighbour no longer has the addresses.
    let ops = verify(&host);
    host.far.ip("addr flush dev far0");
    host.events.clear();
    host.apply(ops);
    for address in addresses {
        until_state(&mut host, address, NeighborState::Failed);
        assert!(!states(&host, address).contains(&NeighborState::Reachable));
    }
    let unknown = Op::Verify { ifindex, address: "10.0.0.99".parse().unwrap(), mac: Mac([2, 0, 0, 0, 0, 1]) };
    assert_eq!(host.submit(vec![unknown])[0].as_ref().unwrap_err().errno, libc::ENOENT);
}

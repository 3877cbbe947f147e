//! The watch: what is reported, and what happens when too much is.

use std::fmt::Write as _;
use std::net::IpAddr;

use bgp_fib::{Address, Event, Kind, Op, Seen};
use bgp_netlink::KernelConfig;

use crate::host::Host;

#[test]
fn the_first_dumps_tell_everything_in_brackets_and_in_order() {
    let host = Host::new();
    let brackets: Vec<_> = host
        .events
        .iter()
        .filter_map(|event| match event {
            Event::DumpStart(kind) => Some((*kind, true)),
            Event::DumpEnd(kind) => Some((*kind, false)),
            _ => None,
        })
        .collect();
    let expected: Vec<_> = Kind::ALL.iter().flat_map(|kind| [(*kind, true), (*kind, false)]).collect();
    assert_eq!(brackets, expected);

    let ifindex = host.namespace.ifindex("eth0");
    let link = host
        .events
        .iter()
        .find_map(|event| match event {
            Event::Link(link) if link.name == "eth0" => Some(link),
            _ => None,
        })
        .unwrap();
    assert!(link.admin_up && link.carrier && !link.loopback);
    assert_eq!((link.ifindex, link.master), (ifindex, None));
    let shown = host.show("link show eth0")[0]["address"].as_str().unwrap().to_owned();
    assert_eq!(link.mac.unwrap().to_string(), shown);
    let address: IpAddr = "2001:db8::1".parse().unwrap();
    assert!(host.events.contains(&Event::Address(Address {
        ifindex,
        address,
        prefix_len: 64,
        tentative: false
    })));
}

#[test]
fn links_and_addresses_come_and_go_and_a_port_that_leaves_its_bridge_stays() {
    let mut host = Host::new();
    host.namespace.ip("link add br0 type bridge");
    host.namespace.ip("link set eth1 master br0");
    let (bridge, port) = (host.namespace.ifindex("br0"), host.namespace.ifindex("eth1"));
    host.until("the port of the bridge", |events| {
        events.iter().any(
            |event| matches!(event, Event::Link(link) if link.ifindex == port && link.master == Some(bridge)),
        )
    });
    host.namespace.ip("link set eth1 nomaster");
    host.namespace.ip("addr add 2001:db8:9::1/64 dev br0");
    host.namespace.ip("link del br0");
    host.until("the end of the bridge", |events| events.contains(&Event::LinkGone { ifindex: bridge }));
    assert!(!host.events.contains(&Event::LinkGone { ifindex: port }));
    let last = host.events.iter().rev().find_map(|event| match event {
        Event::Link(link) if link.ifindex == port => Some(link.master),
        _ => None,
    });
    assert_eq!(last, Some(None));
    // A bridge without a port has no carrier, and its address is tentative for as long.
    let tentative = host.events.iter().any(
        |event| matches!(event, Event::Address(address) if address.ifindex == bridge && address.tentative),
    );
    assert!(tentative, "{:#?}", host.events);
}

/// The tables of the routes that were reported; nothing was lost.
fn tables(events: &[Event]) -> Vec<u32> {
    let table = |event: &Event| match event {
        Event::Route(route, _) => Some(route.table),
        Event::Overrun => panic!("something was lost"),
        _ => None,
    };
    events.iter().filter_map(table).collect()
}

#[test]
fn who_fills_a_table_that_is_nobodys_business_makes_no_notification_lost() {
    // Room for a few dozen notifications in the kernel, and nobody reads.
    let small =
        KernelConfig { receive_buffer: 16 * 1024, event_limit: 1, table: 100, ..KernelConfig::default() };
    let mut host = Host::with(small);
    host.events.clear();
    // It waits to be taken, and until then nothing is read.
    host.namespace.ip("addr add 192.0.2.9/32 dev lo");
    let mut commands = String::new();
    for index in 0..1000 {
        let to = format!("{}.{}.0/24", index / 256, index % 256);
        writeln!(commands, "route add 100.{to} via 10.0.0.9 proto static table 77").unwrap();
        writeln!(commands, "route add 101.{to} via 10.0.0.9 proto static table 100000").unwrap();
    }
    let file = std::env::temp_dir().join(format!("bgnl-{}-tables", std::process::id()));
    std::fs::write(&file, commands).unwrap();
    host.namespace.ip(&format!("-batch {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    for table in ["main", "100"] {
        host.namespace.ip(&format!("route add 198.51.100.0/24 via 10.0.0.9 proto static table {table}"));
    }
    host.sentinel();
    assert_eq!(tables(&host.events), [254, 100]);
}

#[test]
fn others_in_our_table_are_heard_of_though_its_number_is_large() {
    let mut host = Host::with(KernelConfig { table: 100_000, ..KernelConfig::default() });
    host.events.clear();
    for table in [100_000, 100_001, 77] {
        host.namespace.ip(&format!("route add 198.51.100.0/24 via 10.0.0.9 proto static table {table}"));
    }
    host.sentinel();
    assert_eq!(tables(&host.events), [100_000]);
}

#[test]
fn lost_notifications_are_reported_and_a_dump_makes_up_for_them() {
    // Room for a few dozen notifications in the kernel and for a few in the channel, and nobody reads.
    let small = KernelConfig { receive_buffer: 16 * 1024, event_limit: 32, ..KernelConfig::default() };
    let mut host = Host::with(small);
    host.events.clear();
    let mut commands = String::new();
    for index in 0..2000 {
        writeln!(commands, "route add 100.{}.{}.0/24 via 10.0.0.9 proto static", index / 256, index % 256)
            .unwrap();
    }
    let file = std::env::temp_dir().join(format!("bgnl-{}-routes", std::process::id()));
    std::fs::write(&file, commands).unwrap();
    host.namespace.ip(&format!("-batch {}", file.display()));
    std::fs::remove_file(&file).unwrap();

    host.until("the loss", |events| events.contains(&Event::Overrun));
    let announced = host.events.iter().filter(|event| matches!(event, Event::Route(..))).count();
    assert!(announced < 2000, "nothing was lost");

    host.events.clear();
    host.apply(vec![Op::Dump(Kind::Routes)]);
    let read = host.events.iter().filter(|event| {
        matches!(event, Event::Route(route, Seen::Dump) if route.prefix.to_string().starts_with("100."))
    }).count();
    assert_eq!(read, 2000);
    host.sentinel();
}

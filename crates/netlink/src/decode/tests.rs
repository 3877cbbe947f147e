//! Octets as the kernel lays them out, and octets that it never sends.

use bgp_fib::{Event, GroupKind, KernelHop, KernelNexthop, Resilient, RouteKind, Seen};

use super::*;
use crate::message::{Messages, Writer};
use crate::uapi::{NESTED, nexthop as nha, route as rta};

fn decode_one(kind: u16, flags: u16, fixed: &[u8], write: impl FnOnce(&mut Writer<'_>)) -> Option<Event> {
    let octets = message(kind, flags, fixed, write);
    let (header, payload) = Messages::new(&octets).next().unwrap();
    decode(header, payload, Origin::Watch)
}

fn message(kind: u16, flags: u16, fixed: &[u8], write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut message = Writer::new(&mut octets, Header { kind, flags, sequence: 0, port: 0 }, fixed);
    write(&mut message);
    message.finish();
    octets
}

#[test]
fn a_port_that_leaves_a_bridge_is_no_link_that_is_gone() {
    let mut fixed = [0; 16];
    fixed[4] = 9;
    assert_eq!(decode_one(message::DELLINK, 0, &fixed, |_| {}), Some(Event::LinkGone { ifindex: 9 }));
    const AF_BRIDGE: u8 = 7;
    fixed[0] = AF_BRIDGE;
    assert_eq!(decode_one(message::DELLINK, 0, &fixed, |_| {}), None);
}

#[test]
fn of_an_address_with_a_peer_the_prefix_is_the_peers() {
    let fixed = [family::INET, 24, 0, 0, 9, 0, 0, 0];
    let (own, peer) = ([10, 0, 0, 1], [10, 9, 9, 9]);
    let address = |local: Option<[u8; 4]>, plain: [u8; 4]| {
        let event = decode_one(message::NEWADDR, 0, &fixed, |message| {
            message.put(ifa::ADDRESS, &plain);
            local.into_iter().for_each(|local| message.put(ifa::LOCAL, &local));
        });
        let Some(Event::Address(address)) = event else { panic!("{event:?}") };
        (address.address, address.prefix_len)
    };
    assert_eq!(address(Some(own), own), (own.into(), 24));
    assert_eq!(address(None, own), (own.into(), 24));
    // The kernel tells of the route to the prefix of the peer.
    assert_eq!(address(Some(own), peer), (own.into(), 32));
}

#[test]
fn a_bridge_says_behind_which_port_a_station_is_and_other_devices_say_nothing() {
    let mut fixed = [0; 12];
    (fixed[0], fixed[4], fixed[8]) = (family::BRIDGE, 9, 2);
    let station = [2, 0x42, 0xac, 0x32, 0, 2];
    let of_bridge = |message: &mut Writer<'_>| {
        message.put(neighbor::LLADDR, &station);
        message.put_u32(neighbor::MASTER, 4);
    };
    let entry = FdbEntry { bridge: 4, mac: Mac(station), port: 9 };
    assert_eq!(decode_one(message::NEWNEIGH, 0, &fixed, of_bridge), Some(Event::Fdb(entry)));
    assert_eq!(decode_one(message::DELNEIGH, 0, &fixed, of_bridge), Some(Event::FdbGone(entry)));
    let own = |message: &mut Writer<'_>| message.put(neighbor::LLADDR, &station);
    assert_eq!(decode_one(message::NEWNEIGH, 0, &fixed, own), None);
}

#[test]
fn a_group_has_its_members_with_weights_of_sixteen_bits() {
    let event = decode_one(message::NEWNEXTHOP, flag::REPLACE, &[0, 0, 186, 0, 0, 0, 0, 0], |message| {
        message.put_u32(nha::ID, 7);
        message.put_with(nha::GROUP, |group| {
            group.raw(&1u32.to_ne_bytes());
            group.raw(&[0, 0, 0, 0]);
            group.raw(&2u32.to_ne_bytes());
            group.raw(&[43, 1, 0, 0]);
        });
    });
    let group = KernelNexthop {
        id: 7,
        protocol: 186,
        gateway: None,
        ifindex: None,
        onlink: false,
        members: vec![(1, 1), (2, 300)],
        kind: GroupKind::HashThreshold,
    };
    assert_eq!(event, Some(Event::Nexthop(group, Seen::Replace)));
}

#[test]
fn a_resilient_group_has_buckets_and_timers() {
    let event = decode_one(message::NEWNEXTHOP, 0, &[0, 0, 186, 0, 0, 0, 0, 0], |message| {
        message.put_u32(nha::ID, 7);
        message.put_with(nha::GROUP, |group| group.raw(&[1, 0, 0, 0, 0, 0, 0, 0]));
        message.put(nha::GROUP_TYPE, &nha::TYPE_RESILIENT.to_ne_bytes());
        message.put_with(nha::RES_GROUP | NESTED, |group| {
            group.put(nha::resilient::BUCKETS, &128u16.to_ne_bytes());
            group.put_u32(nha::resilient::IDLE_TIMER, 6000);
            group.put_u32(nha::resilient::UNBALANCED_TIMER, 0);
        });
    });
    let Some(Event::Nexthop(group, Seen::Change)) = event else { panic!("{event:?}") };
    assert_eq!(
        group.kind,
        GroupKind::Resilient(Resilient { buckets: 128, idle_timer: 60, unbalanced_timer: 0 })
    );
}

#[test]
fn a_multipath_route_has_every_hop_of_either_family() {
    let fixed = [family::INET, 24, 0, 0, 0, 186, 0, 1, 0, 0, 0, 0];
    let event = decode_one(message::NEWROUTE, 0, &fixed, |message| {
        message.put(rta::DST, &[10, 1, 2, 0]);
        message.put_u32(rta::TABLE, 70_000);
        message.put_u32(rta::PRIORITY, 20);
        message.put_with(rta::MULTIPATH, |hops| {
            hops.measured(|hop| {
                hop.raw(&[rta::NH_F_LINKDOWN as u8, 0]);
                hop.raw(&3u32.to_ne_bytes());
                hop.put(rta::GATEWAY, &[10, 0, 0, 1]);
            });
            hops.measured(|hop| {
                hop.raw(&[0, 4]);
                hop.raw(&5u32.to_ne_bytes());
                hop.put_with(rta::VIA, |via| {
                    via.raw(&[10, 0]);
                    via.raw(&Ipv6Addr::LOCALHOST.octets());
                });
            });
        });
    });
    let Some(Event::Route(route, Seen::Change)) = event else { panic!("{event:?}") };
    assert_eq!(route.prefix, "10.1.2.0/24".parse().unwrap());
    assert_eq!((route.table, route.metric, route.kind), (70_000, 20, RouteKind::Unicast));
    let [first, second] = route.hops[..] else { panic!("{:?}", route.hops) };
    let gateway = Some("10.0.0.1".parse().unwrap());
    assert_eq!(first, KernelHop { gateway, ifindex: 3, weight: 1, down: true });
    let gateway = Some("::1".parse().unwrap());
    assert_eq!(second, KernelHop { gateway, ifindex: 5, weight: 5, down: false });
}

#[test]
fn no_octets_make_the_decoder_fail_otherwise_than_by_none() {
    let kinds =
        [message::NEWLINK, message::NEWADDR, message::NEWNEIGH, message::NEWROUTE, message::NEWNEXTHOP];
    for kind in kinds {
        for len in 0..64 {
            for fill in [0u8, 1, 2, 4, 10, 255] {
                let header = Header { kind, flags: 0, sequence: 0, port: 0 };
                let decoded = decode(header, &vec![fill; len], Origin::Dump);
                assert!(len >= 8 || decoded.is_none(), "{kind} {len} {fill}");
            }
        }
    }
}

//! Whatever happens, in whatever order: nothing panics, nothing leaks, nobody is stuck.

use std::time::Duration;

use bgp_session::{Command, ConnectionId, Direction, Exceeded, Mode, Output};
use bgp_wire::capability::Capability;
use bgp_wire::message;
use bgp_wire::notification::{CeaseCode, Notification};
use bgp_wire::open::{HoldTime, Open};
use bgp_wire::{Asn, Family};
use bytes::BytesMut;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::hand::{config, endpoints, open, open_of, router_id};
use crate::world::{Step, World};

fn said() -> impl Strategy<Value = Vec<u8>> + Clone {
    let good = |last: u8, hold: u16| {
        Open { router_id: router_id(last), hold_time: HoldTime::new(hold).unwrap(), ..open() }
            .encode()
            .to_vec()
    };
    prop_oneof![
        6 => (1u8..4, prop_oneof![Just(0u16), Just(3), Just(90)]).prop_map(move |(last, hold)| good(last, hold)),
        1 => Just(open_of(Asn(7)).encode().to_vec()),
        8 => Just(message::keepalive().to_vec()),
        2 => Just(bgp_wire::update::encode::end_of_rib(Family::Ipv6Unicast).to_vec()),
        1 => Just(Notification::cease(CeaseCode::AdministrativeReset, None).encode().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => Just(vec![0xff; 17]),
    ]
}

/// `body` behind a header that is good for its length.
fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(body.len() + 19).unwrap().to_be_bytes();
    [&[0xff; 16], &[high, low, kind][..], body].concat()
}

/// ORIGIN, AS_PATH, NEXT_HOP, and 10.0.0.0/8.
const ANNOUNCES: [u8; 26] =
    [0, 0, 0, 20, 0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0, 0x40, 3, 4, 172, 50, 0, 2, 8, 10];
const WITHDRAWS: [u8; 6] = [0, 2, 8, 10, 0, 0];
const REFRESH: [u8; 4] = [0, 2, 0, 1];

/// A part of a stream: a whole message, good, of any octets or with one octet spoilt, or anything at all.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let good = prop_oneof![
        2 => said(),
        2 => Just(framed(2, &ANNOUNCES)),
        1 => Just(framed(2, &WITHDRAWS)),
        1 => Just(framed(5, &REFRESH)),
    ];
    let spoilt = (good.clone(), any::<Index>(), any::<u8>()).prop_map(|(mut octets, at, with)| {
        let len = octets.len().max(1);
        octets.iter_mut().skip(at.index(len)).take(1).for_each(|octet| *octet = with);
        octets
    });
    let body = prop::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        6 => good,
        3 => spoilt,
        3 => (0u8..7, body).prop_map(|(kind, body)| framed(kind, &body)),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let exceeded = Exceeded { family: Family::Ipv4Unicast, limit: 1 };
    let command = prop_oneof![
        4 => Just(Command::Start),
        1 => Just(Command::Shutdown("x".to_owned())),
        1 => Just(Command::Reset(String::new())),
        1 => Just(Command::MaximumPrefix { exceeded, restart_after: Some(Duration::from_secs(9)) }),
        1 => Just(Command::MaximumPrefix { exceeded, restart_after: None }),
        1 => Just(Command::Leave),
        1 => Just(Command::Deconfigure),
        1 => Just(Command::LiftLimit),
        1 => Just(Command::NodeGone("veth2 is down".to_owned())),
        1 => any::<bool>().prop_map(|forwards| Command::BfdDown { why: "no packet".to_owned(), forwards }),
    ];
    prop_oneof![
        2 => command.prop_map(Step::Command),
        6 => prop_oneof![Just(Direction::Incoming), Just(Direction::Outgoing)].prop_map(Step::Connected),
        2 => Just(Step::DialFailed),
        16 => (any::<usize>(), said()).prop_map(|(which, octets)| Step::Say(which, octets)),
        2 => any::<usize>().prop_map(Step::Closed),
        1 => any::<usize>().prop_map(Step::Sent),
        1 => any::<usize>().prop_map(Step::Blocked),
        6 => (0u32..700_000).prop_map(Step::Pass),
        1 => prop_oneof![Just(Mode::Both), Just(Mode::Active), Just(Mode::Passive)].prop_map(Step::Mode),
        1 => prop::option::of(Just("y".to_owned())).prop_map(Step::Shutdown),
        1 => (prop_oneof![Just(0u16), Just(3), Just(90)], 1u16..200).prop_map(|(hold, connect_retry)| {
            Step::Times { hold_time: HoldTime::new(hold).unwrap(), connect_retry }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_events_in_any_order(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new(config(), endpoints());
        for step in steps {
            world.step(step);
        }
        world.comes_up(&Open { router_id: router_id(200), ..open() }.encode());
    }

    /// However a stream is cut, a session makes the same of it, and keeps its laws.
    #[test]
    fn any_octets(
        pieces in prop::collection::vec(piece(), 0..8), cuts in prop::collection::vec(any::<Index>(), 0..4), stage in 0u8..3,
    ) {
        let octets = pieces.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(octets.len() + 1)).collect();
        cuts.extend([0, octets.len()]);
        cuts.sort_unstable();
        let mut theirs = open();
        theirs.capabilities.push(Capability::Multiprotocol(Family::Ipv4Unicast.code()));
        let run = |pieces: &[&[u8]]| {
            let mut world = World::new(config(), endpoints());
            world.step(Step::Command(Command::Start));
            world.step(Step::Connected(Direction::Incoming));
            for said in [theirs.encode(), message::keepalive()].iter().take(stage.into()) {
                world.step(Step::Say(0, said.to_vec()));
            }
            let mut buffer = BytesMut::new();
            let mut out = Vec::new();
            for piece in pieces {
                buffer.extend_from_slice(piece);
                world.peer.receive(ConnectionId(1), &mut buffer, world.now, &mut out);
            }
            // These two name times, and each run has its own.
            let timed = |output: &Output| matches!(output, Output::Note(_) | Output::Down(_));
            let said: Vec<Output> = out.iter().filter(|output| !timed(output)).cloned().collect();
            world.check(out, octets.len());
            (said, world.peer.status().state, world.peer.status().counters)
        };
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &octets[ends[0]..ends[1]]).collect();
        prop_assert_eq!(run(&[&octets]), run(&pieces));
    }
}

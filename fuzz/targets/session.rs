//! One peer under any octets, ticks, commands and ends of connections: the laws of `world`, and a way up from wherever
//! it is.
//!
//! The input is a configuration octet and then steps, each an octet and what it needs; the seeds are sessions over which
//! the messages of the corpus come.
#![no_main]

use bgp_session::{Command, Direction, Exceeded, Mode, PeerConfig, RemoteAs};
use bgp_wire::notification::CeaseCode;
use bgp_wire::open::HoldTime;
use bgp_wire::{Asn, Family, Notification, message};
use bgpd_rs_fuzz::cursor::Cursor;
use bgpd_rs_fuzz::session::{config, endpoints, framed, open};
use bgpd_rs_fuzz::world::{Step, World};
use libfuzzer_sys::fuzz_target;

/// Timers run for every second that passes; more would only make an input slow.
const MOST_STEPS: usize = 400;

fn command(octet: u8) -> Command {
    let exceeded = Exceeded { family: Family::Ipv6Unicast, limit: 10 };
    match octet % 9 {
        0 => Command::Start,
        1 => Command::Shutdown("x".repeat(usize::from(octet))),
        2 => Command::Reset(String::new()),
        3 => Command::Leave,
        4 => Command::MaximumPrefix { exceeded, restart_after: None },
        5 => Command::Deconfigure,
        6 => Command::NodeGone("veth2 is down".to_owned()),
        7 => Command::BfdDown { why: "no packet".to_owned(), forwards: octet & 16 == 0 },
        _ => Command::MaximumPrefix {
            exceeded,
            restart_after: Some(std::time::Duration::from_secs(octet.into())),
        },
    }
}

fn step(input: &mut Cursor<'_>) -> Option<Step> {
    let octet = input.octet()?;
    let which = usize::from(octet >> 4);
    Some(match octet & 15 {
        0 => Step::Command(command(input.octet()?)),
        1 => Step::Connected(Direction::Incoming),
        2 => Step::Connected(Direction::Outgoing),
        3 => Step::DialFailed,
        4 => Step::Say(which, input.counted()?.to_vec()),
        5 => Step::Say(which, open(input.octet()?, HoldTime::new(input.octet()?.into())?).encode().to_vec()),
        6 => Step::Say(which, message::keepalive().to_vec()),
        7 => Step::Closed(which),
        8 => Step::Sent(which),
        9 => Step::Blocked(which),
        10 => Step::Pass(input.number()?.wrapping_mul(16)),
        11 => Step::Mode([Mode::Both, Mode::Active, Mode::Passive][which % 3]),
        12 => Step::Say(which, Notification::cease(CeaseCode::AdministrativeReset, None).encode().to_vec()),
        13 if which & 1 == 0 => Step::Shutdown((which & 2 == 0).then(|| "y".to_owned())),
        13 => Step::Times {
            hold_time: HoldTime::new(input.octet()?.into())?,
            connect_retry: u16::from(input.octet()?) + 1,
        },
        _ => Step::Say(which, framed(input.octet()? % 7, input.counted()?)),
    })
}

fuzz_target!(|input: &[u8]| {
    let mut input = Cursor(input);
    let Some(octet) = input.octet() else { return };
    let remote_as = if octet & 1 == 0 { RemoteAs::Exact(Asn(64512)) } else { RemoteAs::External };
    let mut world = World::new(PeerConfig { remote_as, ..config(octet) }, endpoints());
    for _ in 0..MOST_STEPS {
        let Some(step) = step(&mut input) else { break };
        world.step(step);
    }
    let hold = HoldTime::new(90).expect("a hold time");
    world.comes_up(&open(200, hold).encode());
});

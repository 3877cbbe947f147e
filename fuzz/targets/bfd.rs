//! BFD sessions under any datagrams, times and configurations: a packet that is read is written the same, a datagram costs
//! at most two packets, what is sent can be read, and whatever went before, the peer can come Up.
#![no_main]

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use bgp_bfd::{Arrival, Config, ControlPacket, Output, Peer, Sessions, State};
use bgpd_rs_fuzz::cursor::Cursor;
use libfuzzer_sys::fuzz_target;

const MOST_STEPS: usize = 200;

fn address(octet: u8) -> IpAddr {
    IpAddr::from([172, 50, 0, octet % 4])
}

fn config(input: &mut Cursor<'_>) -> Option<Config> {
    let interval = |number: u32| Duration::from_millis(u64::from(number) + 1);
    let octet = input.octet()?;
    Some(Config {
        min_tx: interval(input.number()?),
        min_rx: interval(input.number()?),
        multiplier: NonZeroU8::new(octet >> 1).unwrap_or(NonZeroU8::MIN),
        passive: octet & 1 == 1,
    })
}

/// Octets as they are, or made into what a peer of ours says: header and discriminators are hard to guess.
fn packet(input: &mut Cursor<'_>, last: &[Option<ControlPacket>; 4], from: u8) -> Option<Vec<u8>> {
    let mut octets = input.counted()?.to_vec();
    if let (Some(ours), true) = (last[usize::from(from % 4)], from & 0x80 != 0) {
        octets.resize(24, 1);
        octets[0] = octets[0] & 31 | 0x20;
        octets[1] &= !5;
        octets[3] = 24;
        octets[8..12].copy_from_slice(&ours.my_discriminator.0.get().to_be_bytes());
    }
    Some(octets)
}

fn take(out: &mut Vec<Output>, last: &mut [Option<ControlPacket>; 4]) -> usize {
    let mut sent = 0;
    for output in out.drain(..) {
        if let Output::Send(to, packet) = output {
            assert_eq!(ControlPacket::decode(&packet.encode()), Ok(packet));
            assert!(!(packet.poll && packet.is_final));
            let IpAddr::V4(to) = to else { panic!("an address of nobody") };
            last[usize::from(to.octets()[3])] = Some(packet);
            sent += 1;
        }
    }
    sent
}

fuzz_target!(|input: &[u8]| {
    if let Ok(packet) = ControlPacket::decode(input) {
        assert_eq!(ControlPacket::decode(&packet.encode()), Ok(packet));
    }
    let mut input = Cursor(input);
    let (mut sessions, mut now, mut out, mut last) =
        (Sessions::new(7), Instant::now(), Vec::new(), [None; 4]);
    for _ in 0..MOST_STEPS {
        let Some(kind) = input.octet() else { break };
        match kind & 7 {
            0 => {
                let Some(config) = config(&mut input) else { break };
                sessions.set(Peer { address: address(kind >> 3), interface: None }, config, now, &mut out);
            }
            1 => sessions.remove(address(kind >> 3), now, &mut out),
            2 | 3 => {
                let Some(milliseconds) = input.number() else { break };
                now += Duration::from_millis(milliseconds.into());
                sessions.tick(now, &mut out);
            }
            4 => {
                let rest = sessions.suspend(now, &mut out);
                sessions = Sessions::new(u64::from(kind));
                for (address, rest) in &rest {
                    let peer = Peer { address: *address, interface: None };
                    sessions.resume(peer, Config::default(), rest, now, &mut out);
                }
            }
            _ => {
                let Some(octets) = packet(&mut input, &last, kind) else { break };
                take(&mut out, &mut last);
                let arrival = Arrival { source: address(kind), interface: 1, ttl: 255 };
                sessions.receive(&octets, arrival, now, &mut out).ok();
                assert!(take(&mut out, &mut last) <= 2, "more than two packets for one");
            }
        }
        take(&mut out, &mut last);
        assert!(sessions.next_deadline().is_none_or(|at| at > now), "what was due is done");
        assert!(sessions.len() <= 4);
    }
    comes_up(&mut sessions, now);
});

/// A peer that says Init and then Up to whatever is sent comes Up.
fn comes_up(sessions: &mut Sessions, now: Instant) {
    let (peer, mut out) = (Peer { address: address(1), interface: None }, Vec::new());
    let config = Config { passive: false, ..Config::default() };
    sessions.set(peer, config, now, &mut out);
    // The peer's own session has been down for long, and it wants to hear everything.
    let far = now + Duration::from_secs(1 << 22);
    sessions.tick(far, &mut out);
    let ours = out.iter().rev().find_map(|output| match output {
        Output::Send(to, packet) if *to == peer.address => Some(*packet),
        Output::Send(..) | Output::Changed(..) | Output::Ended(_) => None,
    });
    let ours = ours.expect("who is not passive speaks");
    let theirs = ControlPacket {
        state: State::Init,
        my_discriminator: ours.my_discriminator,
        your_discriminator: Some(ours.my_discriminator),
        poll: false,
        is_final: false,
        ..ours
    };
    let arrival = Arrival { source: peer.address, interface: 1, ttl: 255 };
    sessions.receive(&theirs.encode(), arrival, far, &mut out).expect("a packet of the peer");
    let status = sessions.status().find(|(found, _)| *found == peer).expect("the session").1;
    assert_eq!(status.state, State::Up);
}

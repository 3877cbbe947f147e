//! What an Established session costs for a message: framing, decoding, timers.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use bgp_session::{ConnectionId, Direction, Endpoints, Peer, PeerConfig, RemoteAs, StateName};
use bgp_wire::capability::Capability;
use bgp_wire::open::{HoldTime, Open};
use bgp_wire::{Asn, Family, framer};
use bytes::BytesMut;

use crate::meter::measure;

const CONNECTION: ConnectionId = ConnectionId(1);
/// What one read of a socket brings at most.
const READ: usize = 65_536;

fn established(now: Instant) -> Peer {
    let theirs = benches::peer_asn(0);
    let config = PeerConfig::new(Asn(65_000), benches::router_id(), RemoteAs::Exact(theirs));
    let address = |last, port| SocketAddr::new(std::net::Ipv4Addr::new(172, 50, 0, last).into(), port);
    let open = Open {
        asn: theirs,
        hold_time: HoldTime::new(90).expect("a hold time"),
        router_id: benches::router_id(),
        capabilities: vec![
            Capability::Multiprotocol(Family::Ipv4Unicast.code()),
            Capability::FourOctetAs(theirs),
        ],
    };
    let mut out = Vec::new();
    let mut peer = Peer::new(config, 42, now);
    peer.start(now, &mut out);
    let endpoints = Endpoints { local: address(1, 179), remote: address(2, 41_000) };
    peer.connected(CONNECTION, Direction::Incoming, endpoints, now, &mut out);
    for message in [open.encode(), framer::keepalive()] {
        peer.receive(CONNECTION, &mut BytesMut::from(message), now, &mut out);
    }
    assert_eq!(peer.status().state, StateName::Established, "{out:?}");
    peer
}

pub(crate) fn keepalive(steps: u32, _: u32) -> ! {
    let now = Instant::now();
    let mut peer = established(now);
    let message = framer::keepalive();
    let mut octets = BytesMut::with_capacity(READ);
    let mut out = Vec::new();
    measure(|| {
        for _ in 0..steps {
            octets.extend_from_slice(&message);
            peer.receive(CONNECTION, &mut octets, now, &mut out);
            black_box(&out);
            out.clear();
        }
        steps
    })
}

/// A read's worth of UPDATEs at a time.
pub(crate) fn updates(steps: u32, _: u32) -> ! {
    let now = Instant::now();
    let mut peer = established(now);
    let mut stream = Vec::new();
    for message in benches::messages(0, 5000, 0) {
        if stream.len() + message.len() <= READ {
            stream.extend_from_slice(&message);
        }
    }
    let mut octets = BytesMut::with_capacity(READ);
    let mut out = Vec::with_capacity(1000);
    measure(|| {
        let mut count = 0;
        for _ in 0..steps {
            octets.reserve(READ);
            octets.extend_from_slice(&stream);
            peer.receive(CONNECTION, &mut octets, now, &mut out);
            count += u32::try_from(black_box(&out).len()).unwrap_or(0);
            out.clear();
        }
        count
    })
}

//! What a process that ends leaves for the next one, damaged in any way: routes as UPDATE messages, a session as JSON.
//! It is refused, or it is sound; a session that goes on keeps its laws for an hour.
#![no_main]

use std::time::{Duration, Instant};

use bgp_rib::handover::Reader;
use bgp_session::{ConnectionId, Output, Peer, StateName, Suspended};
use bgp_wire::{DecodeContext, PeerKind};
use bgpd_rs_fuzz::check;
use bgpd_rs_fuzz::session::config;
use libfuzzer_sys::fuzz_target;

fn routes(stream: &[u8], peer: PeerKind) {
    let mut reader = Reader::new(peer);
    reader.push(stream);
    match reader.updates().and_then(|updates| reader.finish().map(|()| updates)) {
        Ok(updates) => {
            let cx = DecodeContext { peer, ..DecodeContext::default() };
            updates.iter().for_each(|update| check(update, &cx));
        }
        Err(damaged) => assert!(damaged.at < stream.len()),
    }
}

fn session(json: &[u8], how: u8) {
    let Ok(suspended) = serde_json::from_slice::<Suspended>(json) else { return };
    let (config, now) = (config(how), Instant::now());
    let fits = suspended.fits(&config);
    let mut out = Vec::new();
    let Ok(mut peer) = Peer::resume(config, &suspended, ConnectionId(1), 7, now, &mut out) else { return };
    assert!(matches!(out[..], [Output::Up(_)]));
    assert_eq!(peer.status().state, StateName::Established);
    let again = peer.suspend(now).expect("a session");
    assert_eq!((again.endpoints(), again.kind()), (suspended.endpoints(), suspended.kind()));
    assert!(fits.is_err() || again.fits(peer.config()).is_ok());
    let mut ticks = 0;
    while let Some(at) = peer.next_deadline().filter(|at| *at <= now + Duration::from_secs(3600)) {
        out.clear();
        peer.tick(at.max(now), &mut out);
        ticks += 1;
        assert!(ticks < 20_000 && out.len() <= 24, "timers run wild");
        if out.contains(&Output::Dial) {
            peer.dial_failed("refused", at.max(now), &mut out);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let [how, rest @ ..] = input else { return };
    match how & 3 {
        0 => routes(rest, PeerKind::Internal),
        1 => routes(rest, PeerKind::External),
        _ => session(rest, how >> 2 << 1),
    }
});

//! The two ends of a session: our configuration, the peer's OPEN, and octets with a good header around them.

use bgp_session::{Endpoints, GracefulRestartMode, Mode, PeerConfig, RemoteAs};
use bgp_wire::capability::Capability;
use bgp_wire::open::HoldTime;
use bgp_wire::{Asn, Family, Open, PerFamily, RouterId};

const OURS: Asn = Asn(64513);
const THEIRS: Asn = Asn(64512);

fn router_id(last: u8) -> RouterId {
    RouterId::new(u32::from_be_bytes([172, 50, 0, last])).expect("an identifier")
}

/// What the operator says of the peer: bits 1 and 2 who dials, 3 and 4 graceful restart, 5 and 6 the hold time.
pub fn config(octet: u8) -> PeerConfig {
    let mode = [Mode::Both, Mode::Active, Mode::Passive, Mode::Both][usize::from(octet >> 1 & 3)];
    let both = PerFamily { ipv4: true, ipv6: true };
    let restart_time = std::time::Duration::from_secs(120);
    let restarter = GracefulRestartMode::Restarter { restart_time, families: both };
    let graceful_restart =
        [GracefulRestartMode::Helper, GracefulRestartMode::Off, restarter.clone(), restarter];
    let hold = [90, 0, 3, 65535][usize::from(octet >> 5 & 3)];
    PeerConfig {
        mode,
        graceful_restart: graceful_restart[usize::from(octet >> 3 & 3)],
        hold_time: HoldTime::new(hold).expect("a hold time"),
        hostname: Some("host".to_owned()),
        ..PeerConfig::new(OURS, router_id(1), RemoteAs::Exact(THEIRS))
    }
}

/// An OPEN that [`config`] admits.
pub fn open(last: u8, hold_time: HoldTime) -> Open {
    let capabilities = vec![
        Capability::Multiprotocol(Family::Ipv4Unicast.code()),
        Capability::Multiprotocol(Family::Ipv6Unicast.code()),
        Capability::RouteRefresh,
        Capability::EnhancedRouteRefresh,
        Capability::FourOctetAs(THEIRS),
    ];
    Open { asn: THEIRS, hold_time, router_id: router_id(last.max(1)), capabilities }
}

/// Where the connections go.
pub fn endpoints() -> Endpoints {
    let address = |last, port| std::net::SocketAddr::from(([172, 50, 0, last], port));
    Endpoints { local: address(1, 179), remote: address(2, 41000) }
}

/// `body` as a message of type `kind`.
pub fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len() + 19).unwrap_or(u16::MAX);
    let mut octets = vec![0xff; 16];
    octets.extend(len.to_be_bytes());
    octets.push(kind);
    octets.extend_from_slice(body);
    octets
}

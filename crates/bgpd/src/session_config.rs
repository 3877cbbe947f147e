//! From the checked configuration to what sessions, sockets and the RIB are made with.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use bgp_session::{GracefulRestartMode, Mode, OwnRestart, PeerConfig, RemoteAs};
use bgp_wire::{Prefix, RouterId};

use crate::config::{self, Bgp, Config, Password, Settings, Shutdown};
use crate::net::DialOptions;

/// What a session is made with. `dynamic` peers came by listen range: nobody dials them.
pub fn session(
    bgp: &Bgp,
    router_id: RouterId,
    hostname: Option<&str>,
    settings: &Settings,
    dynamic: bool,
    own_restart: OwnRestart,
) -> PeerConfig {
    let session = &settings.session;
    let remote_as = remote_as(settings.remote_asn);
    let mode = match session.mode {
        _ if dynamic => Mode::Passive,
        config::Mode::Both => Mode::Both,
        config::Mode::Active => Mode::Active,
        config::Mode::Passive => Mode::Passive,
    };
    PeerConfig {
        mode,
        hold_time: session.hold_time,
        keepalive: session.keepalive.map(|seconds| std::time::Duration::from_secs(seconds.into())),
        connect_retry: session.connect_retry,
        send_hold: session.send_hold,
        families: session.families,
        graceful_restart: graceful_restart(settings),
        long_lived_stale_time: settings.session.graceful_restart.long_lived_stale_time,
        own_restart,
        hostname: hostname.map(str::to_owned),
        shutdown: shutdown(settings),
        ..PeerConfig::new(bgp.asn, router_id, remote_as)
    }
}

fn graceful_restart(settings: &Settings) -> GracefulRestartMode {
    let configured = settings.session.graceful_restart;
    match configured.mode {
        config::GracefulRestartMode::Off => GracefulRestartMode::Off,
        config::GracefulRestartMode::Helper => GracefulRestartMode::Helper,
        config::GracefulRestartMode::Full => GracefulRestartMode::Restarter {
            restart_time: std::time::Duration::from_secs(configured.restart_time.into()),
            families: settings.session.families,
        },
    }
}

/// The reason for which a peer is kept down; `None` where it is not.
pub fn shutdown(settings: &Settings) -> Option<String> {
    match &settings.session.shutdown {
        Shutdown::No => None,
        Shutdown::Yes { reason } => Some(reason.clone().unwrap_or_default()),
    }
}

/// Which AS a peer may be of.
pub fn remote_as(configured: config::RemoteAsn) -> RemoteAs {
    match configured {
        config::RemoteAsn::Exactly(asn) => RemoteAs::Exact(asn),
        config::RemoteAsn::External => RemoteAs::External,
        config::RemoteAsn::Internal => RemoteAs::Internal,
    }
}

/// How a peer is dialled.
pub fn dial(address: IpAddr, interface: Option<&str>, settings: &Settings) -> DialOptions {
    let session = &settings.session;
    DialOptions {
        interface: interface.map(str::to_owned),
        local_address: session.local_address,
        ttl: session.ttl,
        password: session.password.clone(),
        user_timeout: session.tcp_user_timeout,
        ..DialOptions::new(SocketAddr::new(address, session.port))
    }
}

/// The TCP MD5 keys of the listening sockets: one an address, one a listen range. The kernel takes the longest prefix.
pub fn keys(config: &Config) -> BTreeMap<Prefix, Password> {
    let ranges = config.groups.values().flat_map(|group| {
        let password = group.settings.session.password.as_ref();
        group.listen_ranges.iter().filter_map(move |range| Some((*range, password?.clone())))
    });
    let neighbors = config.neighbors.values().filter_map(|neighbor| {
        Some((Prefix::host(neighbor.address), neighbor.settings.session.password.clone()?))
    });
    // Neighbours last: a range of one address gives way to the neighbour that has it.
    ranges.chain(neighbors).collect()
}

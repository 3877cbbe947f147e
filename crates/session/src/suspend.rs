//! A session as plain data, so that another process can go on with it over the same TCP connection.
//!
//! Owns [`Suspended`]: what both ends agreed on, what of every timer is left, and what the operator is shown of the past.
//! Octets that are read or written in part are with whoever owns the socket, and so are the routes. What an older or
//! newer version wrote can be read as far as it says the same: names that are unknown are passed over, and a field that
//! is added later has a default (`docs/decisions/0007-hitless-restart.md`).

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bgp_wire::framer::{Framer, HEADER_LEN};
use bgp_wire::open::Open;
use bgp_wire::{PeerKind, PerFamily};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::config::{GracefulRestartMode, OwnRestart, PeerConfig};
use crate::connection::{Connection, ConnectionId, Direction, Endpoints};
use crate::counters::Counters;
use crate::graceful_restart::PeerRestart;
use crate::negotiated::{self, Negotiated};
use crate::output::Output;
use crate::pace::Pace;
use crate::peer::Peer;
use crate::state::{Established, Record, State, Timers};
use crate::status::StateName;

/// The longest time before the first KEEPALIVE of a session that goes on: it tells the peer that we are there, however
/// long nobody was.
const FIRST_KEEPALIVE: Duration = Duration::from_secs(1);

/// No timer of a session is longer: hold times have two octets, and the send hold time is twice that at most.
const LONGEST: Duration = Duration::from_secs(2 * 65_535);

/// An Established session at rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspended {
    local: SocketAddr,
    remote: SocketAddr,
    incoming: bool,
    /// The peer's OPEN as a message, with the hold time that was agreed on.
    peer_open: Vec<u8>,
    offer: Offer,
    agreed: Agreed,
    left: Left,
    up_millis: u64,
    #[serde(default)]
    kept_alive: bool,
    sessions: u64,
    counters: Counters,
}

/// What of our configuration went into our OPEN: where that changes, the peer has to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Offer {
    local_asn: u32,
    router_id: u32,
    hold_time: u16,
    ipv4: bool,
    ipv6: bool,
    graceful_restart: Option<RestartOffer>,
}

/// Our Graceful Restart capability without R and F, which tell the past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RestartOffer {
    seconds: u64,
    ipv4: bool,
    ipv6: bool,
    /// RFC 9494; zero without its capability.
    #[serde(default)]
    long_lived_seconds: u64,
}

/// What both OPENs together made, as far as the peer's alone does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Agreed {
    internal: bool,
    ipv4: bool,
    ipv6: bool,
    four_octet_as: bool,
    extended_message: bool,
    route_refresh: bool,
    enhanced_route_refresh: bool,
    extended_next_hop_ipv4: bool,
    extended_next_hop_ipv6: bool,
    graceful_restart: bool,
}

/// Milliseconds that timers had left; absent where one did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    hold_millis: Option<u64>,
    keepalive_millis: Option<u64>,
    send_hold_millis: Option<u64>,
}

/// Why a suspended session cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotResume {
    /// The peer's OPEN is not one.
    #[error("the peer's OPEN in it cannot be read")]
    Open,
}

/// Why a session that could go on should begin anew: the peer was told something that no longer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// Our AS or BGP Identifier is another one.
    Identity,
    /// Another AS is expected of the peer.
    RemoteAs,
    /// Another hold time is offered.
    HoldTime,
    /// Other families are offered.
    Families,
    /// Something else is said about graceful restart.
    GracefulRestart,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Identity => "our AS or router id has changed",
            Self::RemoteAs => "remote-asn has changed",
            Self::HoldTime => "hold-time has changed",
            Self::Families => "families have changed",
            Self::GracefulRestart => "graceful-restart has changed",
        })
    }
}

impl Suspended {
    /// The two ends of its connection.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints { local: self.local, remote: self.remote }
    }

    /// Whether the peer's first KEEPALIVE of the session has come, see [`Output::FirstKeepalive`].
    pub fn has_spoken(&self) -> bool {
        self.kept_alive
    }

    /// Whether the peer is in our own AS: how its UPDATEs are to be read.
    pub fn kind(&self) -> PeerKind {
        if self.agreed.internal { PeerKind::Internal } else { PeerKind::External }
    }

    /// Whether the session is what `config` would agree on; otherwise the first reason against it.
    ///
    /// # Errors
    /// The session is to be reset.
    pub fn fits(&self, config: &PeerConfig) -> Result<(), Misfit> {
        let (old, new) = (&self.offer, Offer::of(config));
        let remote = self.open().map(|open| open.asn);
        let reasons = [
            (Misfit::Identity, (old.local_asn, old.router_id) != (new.local_asn, new.router_id)),
            (
                Misfit::RemoteAs,
                !remote.is_some_and(|remote| config.remote_as.admits(config.local_asn, remote)),
            ),
            (Misfit::HoldTime, old.hold_time != new.hold_time),
            (Misfit::Families, (old.ipv4, old.ipv6) != (new.ipv4, new.ipv6)),
            (Misfit::GracefulRestart, old.graceful_restart != new.graceful_restart),
        ];
        reasons.into_iter().find(|(_, differs)| *differs).map_or(Ok(()), |(misfit, _)| Err(misfit))
    }

    fn open(&self) -> Option<Open> {
        let body = self.peer_open.get(HEADER_LEN..)?;
        Open::decode(&Bytes::copy_from_slice(body)).ok()
    }

    fn negotiated(&self, config: &PeerConfig, id: ConnectionId) -> Result<Negotiated, CannotResume> {
        let open = self.open().ok_or(CannotResume::Open)?;
        let agreed = self.agreed;
        let families = PerFamily { ipv4: agreed.ipv4, ipv6: agreed.ipv6 };
        let long_lived = self.offer.graceful_restart.as_ref().map_or(0, |offer| offer.long_lived_seconds);
        let long_lived = Duration::from_secs(long_lived);
        let find = || PeerRestart::find(&open.capabilities, families, long_lived);
        let restart = agreed.graceful_restart.then(find);
        Ok(Negotiated {
            connection: id,
            direction: if self.incoming { Direction::Incoming } else { Direction::Outgoing },
            endpoints: self.endpoints(),
            remote_asn: open.asn,
            remote_router_id: open.router_id,
            kind: self.kind(),
            hold_time: open.hold_time,
            keepalive: negotiated::keepalive(config, open.hold_time),
            families,
            four_octet_as: agreed.four_octet_as,
            extended_message: agreed.extended_message,
            route_refresh: agreed.route_refresh,
            enhanced_route_refresh: agreed.enhanced_route_refresh,
            extended_next_hop: PerFamily {
                ipv4: agreed.extended_next_hop_ipv4,
                ipv6: agreed.extended_next_hop_ipv6,
            },
            graceful_restart: restart.flatten(),
            fqdn: negotiated::fqdn(&open.capabilities),
            capabilities: open.capabilities,
        })
    }
}

impl Offer {
    fn of(config: &PeerConfig) -> Self {
        let graceful_restart = match config.graceful_restart {
            GracefulRestartMode::Off => None,
            GracefulRestartMode::Helper => Some(RestartOffer {
                seconds: 0,
                long_lived_seconds: config.long_lived_stale_time.as_secs(),
                ipv4: false,
                ipv6: false,
            }),
            GracefulRestartMode::Restarter { restart_time, families } => Some(RestartOffer {
                seconds: restart_time.as_secs(),
                long_lived_seconds: config.long_lived_stale_time.as_secs(),
                ipv4: families.ipv4,
                ipv6: families.ipv6,
            }),
        };
        Self {
            local_asn: config.local_asn.0,
            router_id: config.router_id.bits(),
            hold_time: config.hold_time.as_secs(),
            ipv4: config.families.ipv4,
            ipv6: config.families.ipv6,
            graceful_restart,
        }
    }
}

impl Agreed {
    fn of(negotiated: &Negotiated) -> Self {
        Self {
            internal: negotiated.kind == PeerKind::Internal,
            ipv4: negotiated.families.ipv4,
            ipv6: negotiated.families.ipv6,
            four_octet_as: negotiated.four_octet_as,
            extended_message: negotiated.extended_message,
            route_refresh: negotiated.route_refresh,
            enhanced_route_refresh: negotiated.enhanced_route_refresh,
            extended_next_hop_ipv4: negotiated.extended_next_hop.ipv4,
            extended_next_hop_ipv6: negotiated.extended_next_hop.ipv6,
            graceful_restart: negotiated.graceful_restart.is_some(),
        }
    }
}

impl Peer {
    /// The session as data; `None` where there is none. The peer itself goes on as if nothing had been asked: whoever
    /// takes the data away calls nothing of it any more.
    pub fn suspend(&self, now: Instant) -> Option<Suspended> {
        let State::Established(session) = &self.main else { return None };
        let negotiated = &session.negotiated;
        let left = |at: Option<Instant>| at.map(|at| millis(at.saturating_duration_since(now)));
        let peer_open = Open {
            asn: negotiated.remote_asn,
            hold_time: negotiated.hold_time,
            router_id: negotiated.remote_router_id,
            capabilities: negotiated.capabilities.clone(),
        };
        Some(Suspended {
            local: negotiated.endpoints.local,
            remote: negotiated.endpoints.remote,
            incoming: negotiated.direction == Direction::Incoming,
            peer_open: peer_open.encode().to_vec(),
            offer: Offer::of(&self.config),
            agreed: Agreed::of(negotiated),
            left: Left {
                hold_millis: left(session.timers.hold),
                keepalive_millis: left(session.timers.keepalive),
                send_hold_millis: left(session.connection.send_hold),
            },
            up_millis: millis(now.saturating_duration_since(session.since)),
            kept_alive: session.kept_alive,
            sessions: self.record.sessions,
            counters: self.record.counters,
        })
    }

    /// A peer whose session goes on over the connection `id`: [`Output::Up`] comes at once, with what was agreed on then.
    /// Whether that is what `config` asks for, [`Suspended::fits`] says; only the time between keepalives follows it now.
    /// `seed` as for [`Peer::new`].
    ///
    /// # Errors
    /// The data is not what [`Peer::suspend`] made.
    pub fn resume(
        mut config: PeerConfig,
        suspended: &Suspended,
        id: ConnectionId,
        seed: u64,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Result<Self, CannotResume> {
        let negotiated = suspended.negotiated(&config, id)?;
        // For the sessions to come: we are not just back, and what we forward stays.
        config.own_restart = OwnRestart::default();
        let mut framer = Framer::new();
        // As every session does once the OPENs agree.
        framer.allow_extended();
        let left = suspended.left;
        let at = |millis: Option<u64>| millis.map(|millis| now + Duration::from_millis(millis).min(LONGEST));
        let connection = Connection {
            id,
            direction: negotiated.direction,
            endpoints: negotiated.endpoints,
            opened: now,
            framer,
            send_hold: at(left.send_hold_millis),
        };
        let first_keepalive = now + FIRST_KEEPALIVE;
        let timers = Timers {
            hold: at(left.hold_millis),
            keepalive: at(left.keepalive_millis).map(|at| at.min(first_keepalive)),
        };
        let since = now.checked_sub(Duration::from_millis(suspended.up_millis)).unwrap_or(now);
        let record =
            Record { counters: suspended.counters, sessions: suspended.sessions, ..Record::default() };
        out.push(Output::Up(Box::new(negotiated.clone())));
        Ok(Self {
            config,
            pace: Pace::new(seed),
            record,
            main: State::Established(Established {
                connection,
                negotiated: Box::new(negotiated),
                timers,
                since,
                kept_alive: suspended.kept_alive,
            }),
            rival: None,
            shown: (StateName::Established, since),
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

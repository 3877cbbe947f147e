//! What two OPENs make together: RFC 4271 section 4.2, RFC 5492 section 3.
//!
//! Owns our OPEN, the judgement over the peer's (RFC 4271 section 6.2, RFC 6286 section 2.2), and [`Negotiated`], which
//! is all that anybody needs to know of either afterwards.

use std::num::NonZeroU16;
use std::time::Duration;

use bgp_wire::capability::{Capability, ExtendedNextHop, GracefulRestart, LONG_LIVED_MAX, LongLived};
use bgp_wire::context::{DecodeContext, EncodeContext, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, PeerKind};
use bgp_wire::notification::Notification;
use bgp_wire::open::{HoldTime, Open};
use bgp_wire::{Asn, Family, FamilyCode, PerFamily, RouterId};
use bytes::{BufMut, BytesMut};

use crate::config::{GracefulRestartMode, PeerConfig};
use crate::connection::{ConnectionId, Direction, Endpoints};
use crate::graceful_restart::PeerRestart;

/// AFI of IPv6, which next hops of IPv4 routes may have by RFC 8950.
const AFI_IPV6: u16 = 2;

/// What both ends agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The connection that carries the session.
    pub connection: ConnectionId,
    /// Who opened it.
    pub direction: Direction,
    /// Its two ends.
    pub endpoints: Endpoints,
    /// The peer's AS.
    pub remote_asn: Asn,
    /// The peer's BGP Identifier.
    pub remote_router_id: RouterId,
    /// In another AS or in ours.
    pub kind: PeerKind,
    /// The smaller one of both proposals.
    pub hold_time: HoldTime,
    /// Time between our keepalives before jitter; `None` where the hold time is off.
    pub keepalive: Option<Duration>,
    /// Families that both offered.
    pub families: PerFamily<bool>,
    /// AS numbers travel as four octets, RFC 6793.
    pub four_octet_as: bool,
    /// The peer takes messages of up to 65535 octets, RFC 8654; we always do.
    pub extended_message: bool,
    /// The peer answers ROUTE-REFRESH, RFC 2918.
    pub route_refresh: bool,
    /// Both bracket their answers, RFC 7313.
    pub enhanced_route_refresh: bool,
    /// Next hops of the other AFI, RFC 8950; ours is offered for IPv4 only.
    pub extended_next_hop: PerFamily<bool>,
    /// The peer's Graceful Restart capability, where we sent ours too.
    pub graceful_restart: Option<PeerRestart>,
    /// The peer's host name, and the domain where there is one.
    pub fqdn: Option<String>,
    /// Everything that the peer announced, as sent.
    pub capabilities: Vec<Capability>,
}

impl Negotiated {
    /// How to read what the peer sends.
    pub fn decode(&self) -> DecodeContext {
        DecodeContext {
            four_octet_as: self.four_octet_as,
            add_path: PerFamily::default(),
            peer: self.kind,
            families: self.families,
            extended_next_hop: self.extended_next_hop,
            enhanced_route_refresh: self.enhanced_route_refresh,
        }
    }

    /// How to write what the peer is to read.
    pub fn encode(&self) -> EncodeContext {
        EncodeContext {
            four_octet_as: self.four_octet_as,
            add_path: PerFamily::default(),
            max_len: if self.extended_message { MAX_EXTENDED_MESSAGE } else { MAX_MESSAGE },
            extended_next_hop: self.extended_next_hop,
        }
    }

    /// Whether the peer ends its initial routes by End-of-RIB: it has sent the Graceful Restart capability, whatever we make
    /// of it. RFC 7313 section 4.
    pub fn ends_initial_routes(&self) -> bool {
        self.capabilities.iter().any(|capability| matches!(capability, Capability::GracefulRestart(_)))
    }

    /// The hold time as a time.
    pub(crate) fn hold(&self) -> Option<Duration> {
        match self.hold_time {
            HoldTime::Off => None,
            HoldTime::Seconds(seconds) => Some(Duration::from_secs(seconds.get().into())),
        }
    }
}

/// Our OPEN.
pub(crate) fn our_open(config: &PeerConfig) -> Open {
    let mut capabilities = Vec::with_capacity(9);
    for family in offered(config) {
        capabilities.push(Capability::Multiprotocol(family.code()));
    }
    capabilities.push(Capability::RouteRefresh);
    if config.families.ipv4 {
        let family = Family::Ipv4Unicast.code();
        capabilities
            .push(Capability::ExtendedNextHop(vec![ExtendedNextHop { family, next_hop_afi: AFI_IPV6 }]));
    }
    capabilities.push(Capability::ExtendedMessage);
    if let Some(graceful_restart) = our_graceful_restart(config) {
        capabilities.push(Capability::GracefulRestart(graceful_restart));
    }
    capabilities.push(Capability::FourOctetAs(config.local_asn));
    capabilities.push(Capability::EnhancedRouteRefresh);
    if let Some(entries) = our_long_lived(config) {
        capabilities.push(Capability::LongLivedGracefulRestart(entries));
    }
    if let Some(host) = &config.hostname {
        capabilities.push(Capability::Fqdn { host: host.clone(), domain: String::new() });
    }
    Open { asn: config.local_asn, hold_time: config.hold_time, router_id: config.router_id, capabilities }
}

fn offered(config: &PeerConfig) -> impl Iterator<Item = Family> {
    Family::ALL.into_iter().filter(|family| config.families[*family])
}

/// N goes out in every form: it says that we understand a Hard Reset, RFC 8538 section 2.
fn our_graceful_restart(config: &PeerConfig) -> Option<GracefulRestart> {
    match config.graceful_restart {
        GracefulRestartMode::Off => None,
        GracefulRestartMode::Helper => Some(GracefulRestart {
            restarted: config.own_restart.restarted,
            notification: true,
            restart_time: 0,
            families: Vec::new(),
        }),
        GracefulRestartMode::Restarter { restart_time, families } => Some(GracefulRestart {
            restarted: config.own_restart.restarted,
            notification: true,
            // Twelve bits on the wire.
            restart_time: u16::try_from(restart_time.as_secs()).unwrap_or(u16::MAX).min(4095),
            families: Family::ALL
                .into_iter()
                .filter(|family| families[*family] && config.families[*family])
                .map(|family| (family.code(), config.own_restart.preserved[family]))
                .collect(),
        }),
    }
}

/// As our Graceful Restart capability, which it must not go without: RFC 9494 section 3.
fn our_long_lived(config: &PeerConfig) -> Option<Vec<LongLived>> {
    if config.long_lived_stale_time.is_zero() {
        return None;
    }
    let families = our_graceful_restart(config)?.families;
    let stale_time = u32::try_from(config.long_lived_stale_time.as_secs()).unwrap_or(LONG_LIVED_MAX);
    let entry = |(family, forwarding)| LongLived { family, forwarding, stale_time };
    Some(families.into_iter().map(entry).collect())
}

/// Why an OPEN that reads well is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) notification: Notification,
    pub(crate) detail: String,
}

/// The connection that an OPEN came over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) id: ConnectionId,
    pub(crate) direction: Direction,
    pub(crate) endpoints: Endpoints,
}

/// Holds the peer's OPEN against ours.
pub(crate) fn negotiate(config: &PeerConfig, open: Open, origin: Origin) -> Result<Negotiated, Refusal> {
    check_identity(config, &open)?;
    let families = common_families(config, &open.capabilities)?;
    let hold_time = shorter(config.hold_time, open.hold_time);
    let theirs = &open.capabilities;
    Ok(Negotiated {
        connection: origin.id,
        direction: origin.direction,
        endpoints: origin.endpoints,
        remote_asn: open.asn,
        remote_router_id: open.router_id,
        kind: if open.asn == config.local_asn { PeerKind::Internal } else { PeerKind::External },
        hold_time,
        keepalive: keepalive(config, hold_time),
        families,
        four_octet_as: theirs.iter().any(|c| matches!(c, Capability::FourOctetAs(_))),
        extended_message: theirs.contains(&Capability::ExtendedMessage),
        route_refresh: theirs.contains(&Capability::RouteRefresh),
        enhanced_route_refresh: theirs.contains(&Capability::EnhancedRouteRefresh),
        extended_next_hop: PerFamily { ipv4: families.ipv4 && takes_ipv6_next_hops(theirs), ipv6: false },
        graceful_restart: match config.graceful_restart {
            GracefulRestartMode::Off => None,
            GracefulRestartMode::Helper | GracefulRestartMode::Restarter { .. } => {
                PeerRestart::find(theirs, families, config.long_lived_stale_time)
            }
        },
        fqdn: fqdn(theirs),
        capabilities: open.capabilities,
    })
}

/// RFC 4271 section 6.2 with RFC 6286 section 2.2: who is it?
fn check_identity(config: &PeerConfig, open: &Open) -> Result<(), Refusal> {
    if !config.remote_as.admits(config.local_asn, open.asn) {
        return Err(Refusal {
            notification: Notification::bad_peer_as(),
            detail: format!("the peer is AS {}, {} is configured", open.asn, config.remote_as),
        });
    }
    // Zero is refused while decoding; our own identifier only where the peer is internal, RFC 6286 section 2.2.
    if open.asn == config.local_asn && open.router_id == config.router_id {
        return Err(Refusal {
            notification: Notification::bad_bgp_identifier(),
            detail: format!("an internal peer has our own identifier {}", open.router_id),
        });
    }
    Ok(())
}

/// Families of both; a peer without any multiprotocol capability speaks IPv4 unicast, RFC 4760 section 8.
///
/// Where there is none, the peering ends with Unsupported Capability (RFC 5492 section 3): a session without a family
/// carries nothing.
fn common_families(config: &PeerConfig, theirs: &[Capability]) -> Result<PerFamily<bool>, Refusal> {
    let mut named = theirs.iter().filter_map(|capability| {
        let Capability::Multiprotocol(code) = capability else { return None };
        Some(*code)
    });
    let names_none = named.clone().next().is_none();
    let speaks = PerFamily::from_fn(|family| match family {
        Family::Ipv4Unicast if names_none => true,
        Family::Ipv4Unicast | Family::Ipv6Unicast => named.clone().any(|code| code == family.code()),
    });
    let common = PerFamily::from_fn(|family| config.families[family] && speaks[family]);
    if common.ipv4 || common.ipv6 {
        return Ok(common);
    }
    let ours: Vec<String> = offered(config).map(|family| family.to_string()).collect();
    let theirs: Vec<String> = match names_none {
        true => vec![Family::Ipv4Unicast.to_string()],
        false => named.by_ref().map(|code| code.to_string()).collect(),
    };
    Err(Refusal {
        notification: Notification::unsupported_capability(required_families(config)),
        detail: format!("no common family: we offer {}, the peer {}", ours.join(", "), theirs.join(", ")),
    })
}

/// The capabilities that the peer would need, each as code, length and value: RFC 5492 section 3.
fn required_families(config: &PeerConfig) -> bytes::Bytes {
    let mut data = BytesMut::with_capacity(12);
    for FamilyCode { afi, safi } in offered(config).map(Family::code) {
        data.put_slice(&[1, 4]);
        data.put_u16(afi);
        data.put_slice(&[0, safi]);
    }
    data.freeze()
}

fn shorter(ours: HoldTime, theirs: HoldTime) -> HoldTime {
    // "The BGP speaker MUST calculate the value of the Hold Timer by using the smaller of its configured Hold Time
    // and the Hold Time received in the OPEN message." Zero is the smallest: it turns the timers off.
    if theirs.as_secs() < ours.as_secs() { theirs } else { ours }
}

pub(crate) fn keepalive(config: &PeerConfig, hold_time: HoldTime) -> Option<Duration> {
    let seconds: NonZeroU16 = match hold_time {
        HoldTime::Off => return None,
        HoldTime::Seconds(seconds) => seconds,
    };
    let third = Duration::from_secs(seconds.get().into()) / 3;
    Some(config.keepalive.map_or(third, |configured| configured.clamp(Duration::from_secs(1), third)))
}

fn takes_ipv6_next_hops(theirs: &[Capability]) -> bool {
    theirs.iter().any(|capability| {
        let Capability::ExtendedNextHop(entries) = capability else { return false };
        entries
            .iter()
            .any(|entry| entry.family == Family::Ipv4Unicast.code() && entry.next_hop_afi == AFI_IPV6)
    })
}

pub(crate) fn fqdn(theirs: &[Capability]) -> Option<String> {
    theirs.iter().find_map(|capability| {
        let Capability::Fqdn { host, domain } = capability else { return None };
        Some(if domain.is_empty() { host.clone() } else { format!("{host}.{domain}") })
    })
}

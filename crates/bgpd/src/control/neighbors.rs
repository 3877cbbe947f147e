//! `bgpctl show neighbors`: what the configuration, the session and the RIB know of each peer, put together.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bgp_api::neighbor::{NO_EXPORT_POLICY, NO_IMPORT_POLICY};
use bgp_api::{
    Endpoint, ErrorCode, ErrorReply, GracefulRestart, LastDown, MaximumPrefix, MessageCounts, Messages,
    Negotiated, Neighbor, NeighborFamily, NeighborQuery, NeighborsReply, PeerKind, PolicyText, PolicyView,
    SessionState, Transport,
};
use bgp_policy::Policy;
use bgp_session::{DownReason, Forwarding, StateName, Status, Waiting};
use bgp_wire::Family;
use tokio::sync::oneshot;

use super::handlers::ask;
use super::{bfd, capabilities};
use crate::config::{LimitAction, Settings, Ttl};
use crate::control::Control;
use crate::peer::{PeerStatus, ToPeer};
use crate::routing::{self, PeerCounters};
use crate::supervisor::{self, PeerInfo};

/// How long a peer task may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// The reply to a query.
pub(super) async fn reply(control: &Control, query: &NeighborQuery) -> Result<NeighborsReply, ErrorReply> {
    let wanted = query.address.as_deref().map(parse_address).transpose()?;
    let neighbors: Vec<_> = views(control, wanted).await?.into_iter().map(|seen| seen.neighbor).collect();
    match wanted {
        Some(address) if neighbors.is_empty() => Err(supervisor::unknown(address)),
        _ => Ok(NeighborsReply { neighbors }),
    }
}

/// An address as people type it; a zone is taken and left aside, for the table of peers has each address once.
pub(super) fn parse_address(text: &str) -> Result<IpAddr, ErrorReply> {
    let address = text.split('%').next().unwrap_or_default();
    address.parse().map_err(|_| ErrorReply::new(ErrorCode::BadRequest, format!("{text:?} is no IP address")))
}

/// An address as it is shown: a link-local one means nothing without its link.
pub(super) fn with_link(address: IpAddr, interface: Option<&str>) -> String {
    match (address, interface) {
        (IpAddr::V6(v6), Some(interface)) if v6.is_unicast_link_local() => format!("{v6}%{interface}"),
        _ => address.to_string(),
    }
}

/// One peer, for views and metrics.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its address, as routes and events have it.
    pub address: IpAddr,
    /// As it is shown.
    pub neighbor: Neighbor,
    /// Since when its session is Established; `None` where it is not.
    pub up_since: Option<Instant>,
    /// Messages and octets by type.
    pub counters: bgp_session::Counters,
    /// The operator keeps it down.
    pub shut_down: bool,
    /// How far its node is, where that is drained.
    pub drain: Option<bgp_api::Drain>,
    /// Ends of established sessions by reason.
    pub downs: BTreeMap<&'static str, u64>,
}

/// Every peer, or the one with this address.
///
/// # Errors
/// The daemon stops, or is too busy.
pub async fn views(control: &Control, wanted: Option<IpAddr>) -> Result<Vec<Seen>, ErrorReply> {
    let (peers, summary, counters, overview) = tokio::try_join!(
        ask(&control.supervisor, supervisor::Request::Peers),
        ask(&control.supervisor, supervisor::Request::Summary),
        ask(&control.routing, routing::Query::Counters),
        ask(&control.bfd, crate::bfd::Request::Overview),
    )?;
    let asked: Vec<_> = peers
        .into_iter()
        .filter(|peer| wanted.is_none_or(|wanted| wanted == peer.address))
        .map(|peer| async move {
            let status = ask_peer(&peer).await;
            (peer, status)
        })
        .collect();
    let now = Instant::now();
    let mut found = Vec::new();
    for (peer, status) in futures::future::join_all(asked).await {
        // A peer that has gone in between is no peer any more.
        if let Some(status) = status {
            let counted = counters.iter().find(|(id, _)| *id == peer.id).map(|(_, counters)| counters);
            let bfd = bfd::of_peer(&overview, peer.address, now);
            let neighbor = Neighbor { bfd, ..view(&peer, &status, counted, summary.asn.0, now) };
            let shut_down = matches!(status.session.waiting, Waiting::Operator(_));
            let drain = counted.and_then(|counters| counters.drain.clone());
            let up = status.session.state == StateName::Established;
            found.push(Seen {
                address: peer.address,
                neighbor,
                up_since: up.then_some(status.session.since),
                counters: status.session.counters,
                shut_down,
                drain,
                downs: status.downs,
            });
        }
    }
    Ok(found)
}

async fn ask_peer(peer: &PeerInfo) -> Option<PeerStatus> {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        peer.handle.inbox.send(ToPeer::Status(reply)).await.ok()?;
        answer.await.ok()
    };
    tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
}

fn view(
    peer: &PeerInfo,
    status: &PeerStatus,
    counters: Option<&PeerCounters>,
    local_as: u32,
    now: Instant,
) -> Neighbor {
    let session = &status.session;
    let seconds = |at: Instant| now.saturating_duration_since(at).as_secs();
    let left = |at: Instant| at.saturating_duration_since(now).as_secs();
    let settings = &*peer.settings;
    let external = settings.remote_asn.is_external(bgp_wire::Asn(local_as));
    let policy = policy(settings, external);
    Neighbor {
        address: with_link(peer.address, peer.interface.as_deref()),
        group: peer.group.clone(),
        description: settings.description.clone(),
        kind: if external { PeerKind::External } else { PeerKind::Internal },
        listen_range: peer.range.map(|range| range.to_string()),
        local_as,
        remote_as: session
            .negotiated
            .as_ref()
            .map(|n| n.remote_asn.0)
            .or_else(|| configured_as(settings, local_as)),
        state: state(session.state),
        since_seconds: match session.state {
            StateName::Established => Some(seconds(session.since)),
            _ => session.last_down.as_ref().map(|(_, at)| seconds(*at)),
        },
        flaps: session.sessions.saturating_sub(u64::from(session.state == StateName::Established)),
        last_down: last_down(session, now),
        next_attempt_seconds: session.next_attempt.map(left),
        next_step: next_step(session, now),
        transport: transport(peer, session),
        negotiated: negotiated(session, now),
        messages: messages(status),
        families: Family::ALL.into_iter().map(|f| family(f, settings, session, counters)).collect(),
        capabilities: capabilities::views(settings, session),
        graceful_restart: graceful_restart(session, counters, now),
        node: counters.and_then(|counters| counters.node.clone()),
        drain: counters.and_then(|counters| Some(counters.drain.as_ref()?.words())),
        graceful_shutdown: graceful_shutdown(peer).map(str::to_owned),
        bfd: None,
        warnings: Vec::new(),
        policy,
    }
}

/// Who has the peer told that its session will be closed.
fn graceful_shutdown(peer: &PeerInfo) -> Option<&'static str> {
    let by_command = peer.closing.then_some("ordered by bgpctl");
    by_command.or(peer.settings.graceful_shutdown.then_some("by the configuration"))
}

fn configured_as(settings: &Settings, local_as: u32) -> Option<u32> {
    match settings.remote_asn {
        crate::config::RemoteAsn::Exactly(asn) => Some(asn.0),
        crate::config::RemoteAsn::Internal => Some(local_as),
        crate::config::RemoteAsn::External => None,
    }
}

fn state(name: StateName) -> SessionState {
    match name {
        StateName::Idle => SessionState::Idle,
        StateName::Connect => SessionState::Connect,
        StateName::Active => SessionState::Active,
        StateName::OpenSent => SessionState::OpenSent,
        StateName::OpenConfirm => SessionState::OpenConfirm,
        StateName::Established => SessionState::Established,
    }
}

/// The later of "the session ended" and "an attempt failed".
fn last_down(session: &Status, now: Instant) -> Option<LastDown> {
    let down = session.last_down.as_ref().map(|(reason, at)| (reason.to_string(), *at));
    let failure = session.last_failure.clone();
    let (reason, at) = match (down, failure) {
        (Some(down), Some(failure)) if session.state != StateName::Established => {
            if failure.1 > down.1 {
                failure
            } else {
                down
            }
        }
        (Some(down), _) => down,
        (None, failure) => failure?,
    };
    Some(LastDown { reason, seconds_ago: now.saturating_duration_since(at).as_secs() })
}

fn next_step(session: &Status, now: Instant) -> Option<String> {
    let words = match &session.waiting {
        Waiting::Nothing => return None,
        Waiting::Operator(reason) => {
            let why = DownReason::Shutdown(reason.clone()).to_string();
            // Where a session ended by it the reason stands beside it already.
            match last_down(session, now).is_some_and(|down| down.reason == why) {
                true => "stays down until it is started".to_owned(),
                false => format!("{}; stays down until it is started", session.waiting),
            }
        }
        waiting => waiting.to_string(),
    };
    Some(match session.next_attempt {
        Some(at) => format!("{words}; next attempt in {} s", at.saturating_duration_since(now).as_secs()),
        None => words,
    })
}

fn transport(peer: &PeerInfo, session: &Status) -> Transport {
    let endpoint = |address: SocketAddr| Endpoint { address: address.ip().to_string(), port: address.port() };
    let ends = session.negotiated.as_ref().map(|negotiated| negotiated.endpoints);
    Transport {
        local: ends.map(|ends| endpoint(ends.local)),
        remote: ends.map(|ends| endpoint(ends.remote)),
        interface: peer.interface.clone(),
        mode: session.mode.to_string(),
        md5: peer.settings.session.password.is_some(),
        ttl: match peer.settings.session.ttl {
            Ttl::Direct => "ttl 1".to_owned(),
            Ttl::Multihop(hops) => format!("multihop {hops}"),
            Ttl::Security { hops: 1 } => "ttl security: 1 hop".to_owned(),
            Ttl::Security { hops } => format!("ttl security: {hops} hops"),
        },
    }
}

fn negotiated(session: &Status, now: Instant) -> Option<Negotiated> {
    let negotiated = session.negotiated.as_ref()?;
    Some(Negotiated {
        router_id: negotiated.remote_router_id.to_string(),
        hostname: negotiated.fqdn.clone(),
        hold_seconds: negotiated.hold_time.as_secs(),
        keepalive_seconds: negotiated
            .keepalive
            .map_or(0, |time| u16::try_from(time.as_secs()).unwrap_or(u16::MAX)),
        hold_left_seconds: session.hold_expires.map(|at| at.saturating_duration_since(now).as_secs()),
        four_octet_as: negotiated.four_octet_as,
        extended_message: negotiated.extended_message,
        route_refresh: negotiated.route_refresh,
        extended_next_hop: negotiated.extended_next_hop.ipv4,
    })
}

fn messages(status: &PeerStatus) -> Messages {
    let counts = |counts: bgp_session::MessageCounts, bytes| MessageCounts {
        open: counts.open,
        update: counts.update,
        notification: counts.notification,
        keepalive: counts.keepalive,
        route_refresh: counts.route_refresh,
        bytes,
    };
    Messages {
        received: counts(status.session.counters.received, status.bytes_in),
        sent: counts(status.session.counters.sent, status.bytes_out),
        last_received_seconds: status.last_received.map(|at| at.elapsed().as_secs()),
        queued_in_bytes: count(status.queued_in),
        queued_out_bytes: count(status.queued_out),
        malformed_updates: status.session.counters.malformed_updates,
    }
}

fn family(
    family: Family,
    settings: &Settings,
    session: &Status,
    counters: Option<&PeerCounters>,
) -> NeighborFamily {
    let configured = settings.session.families[family];
    let agreed = session.negotiated.as_ref().map(|negotiated| negotiated.families[family]);
    let counted = counters.map(|counters| counters.families[family]).unwrap_or_default();
    NeighborFamily {
        family: family.to_string(),
        negotiated: agreed == Some(true),
        not_negotiated_because: match agreed {
            Some(false) if configured => Some(format!("peer did not offer {family}")),
            _ if !configured => Some("not configured here".to_owned()),
            _ => None,
        },
        received: counted.received,
        accepted: counted.accepted,
        best: counted.used,
        advertised: counted.advertised,
        stale: counted.stale,
        pending_out: counted.pending,
        end_of_rib_received: counted.end_of_rib_received,
        end_of_rib_sent: counted.end_of_rib_sent,
        maximum_prefix: settings.maximum_prefix.map(|limit| MaximumPrefix {
            limit: limit.limit.into(),
            action: match limit.action {
                LimitAction::Warn => "warn".to_owned(),
                LimitAction::Stop => "stop".to_owned(),
                LimitAction::Restart(_) => "restart".to_owned(),
            },
            exceeded: counted.limit_exceeded,
        }),
    }
}

fn graceful_restart(
    session: &Status,
    counters: Option<&PeerCounters>,
    now: Instant,
) -> Option<GracefulRestart> {
    let stale_removed_in_seconds = counters
        .and_then(|counters| counters.stale_until)
        .map(|at| at.saturating_duration_since(now).as_secs());
    let peer = session.negotiated.as_ref().and_then(|negotiated| negotiated.graceful_restart.as_ref());
    if peer.is_none() && stale_removed_in_seconds.is_none() {
        return None;
    }
    Some(GracefulRestart {
        peer_restart_seconds: peer.map(|peer| u16::try_from(peer.restart_time.as_secs()).unwrap_or(u16::MAX)),
        peer_restarted: peer.is_some_and(|peer| peer.restarted),
        notification: peer.is_some_and(|peer| peer.notification),
        peer_forwarding_kept: peer.map_or_else(Vec::new, |peer| {
            peer.forwarding
                .iter()
                .filter(|(_, kept)| **kept == Some(Forwarding::Preserved))
                .map(|(family, _)| family.to_string())
                .collect()
        }),
        stale_removed_in_seconds,
    })
}

fn policy(settings: &Settings, external: bool) -> PolicyView {
    let text = |policy: Option<&Policy>, missing: &str| PolicyText {
        policy: match policy {
            None => "not set".to_owned(),
            Some(Policy::PrefixList(list)) => format!("prefix-list {}", list.name),
            Some(policy) => policy.to_string(),
        },
        note: (policy.is_none() && external).then(|| missing.to_owned()),
    };
    PolicyView {
        import: text(settings.import.as_ref(), NO_IMPORT_POLICY),
        export: text(settings.export.as_ref(), NO_EXPORT_POLICY),
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

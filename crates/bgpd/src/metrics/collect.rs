//! What is, as gauges and counters: peers, RIB, FIB, host, process.

use std::collections::BTreeMap;
use std::time::Instant;

use bgp_api::{
    BfdSession, BfdState, CheckState, Drain, DrainState, FibSize, HostCheck, Neighbor, SessionState,
};
use bgp_fib::{AuditRun, Differences};
use bgp_session::MessageCounts;
use bgp_wire::Family;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};

use crate::control::{Control, Seen, neighbor_views};
use crate::{host, process, routing, supervisor};

/// Names, types and help; `bgpd_build_info` besides.
pub(super) fn describe() {
    for (name, help) in GAUGES {
        describe_gauge!(*name, *help);
    }
    for (name, help) in COUNTERS {
        describe_counter!(*name, *help);
    }
    describe_histogram!(
        "bgpd_update_to_kernel_seconds",
        Unit::Seconds,
        "Time from an UPDATE on the socket to the kernel's confirmation of its route; routes that came together and were \
         confirmed together count once."
    );
}

const GAUGES: &[(&str, &str)] = &[
    ("bgpd_build_info", "Version of the daemon; always 1."),
    ("bgpd_peer_up", "Whether the session is Established."),
    ("bgpd_peer_info", "What is known of the peer: 1 with the labels of now, 0 with earlier ones."),
    ("bgpd_peer_admin_down", "Whether the peer is shut down by config or bgpctl."),
    (
        "bgpd_peer_drain",
        "How far the peer's node is that is drained: 1 for the present state, 0 for the other.",
    ),
    (
        "bgpd_peer_drain_buckets_in_use",
        "Buckets of next-hop groups by which a node that is drained still carries flows.",
    ),
    (
        "bgpd_peer_state",
        "State of the session (RFC 4271 section 8.2.2): 1 for the present state, 0 for the others.",
    ),
    (
        "bgpd_peer_established_timestamp_seconds",
        "When the session reached Established, Unix time; 0 while it is down.",
    ),
    ("bgpd_peer_prefixes", "Prefixes of the peer."),
    ("bgpd_bfd_up", "Whether the BFD session with the peer is Up."),
    ("bgpd_rib_prefixes", "Prefixes with at least one usable path."),
    ("bgpd_rib_paths", "Paths over all peers."),
    ("bgpd_fib_routes", "Kernel routes that are wanted or still present."),
    ("bgpd_fib_nexthops", "Kernel nexthop objects that the daemon owns."),
    (
        "bgpd_fib_audit_last_timestamp_seconds",
        "When the last audit of the kernel's routes ended, Unix time; 0 before the first.",
    ),
    (
        "bgpd_fib_audit_interval_seconds",
        "Pause between two audits of the kernel's routes; 0: there are none.",
    ),
    ("bgpd_fib_audit_seconds", "How long the last audit of the kernel's routes took."),
    ("bgpd_fib_audit_routes", "Routes of ours that the last audit compared."),
    ("bgpd_queue_depth", "Entries that wait in an internal queue."),
    ("bgpd_host_check", "Whether a check of the host is as it should be."),
    ("bgpd_config_reload_success", "Whether the last load of the config succeeded."),
    ("bgpd_config_last_reload_timestamp_seconds", "When the config in force was loaded, Unix time."),
    ("process_max_fds", "Limit of open file descriptors."),
    ("process_open_fds", "Open file descriptors."),
    ("process_resident_memory_bytes", "Resident memory."),
    ("process_start_time_seconds", "Start of the process, Unix time."),
    ("process_threads", "Threads of the process."),
    ("process_virtual_memory_bytes", "Virtual memory."),
];

const COUNTERS: &[(&str, &str)] = &[
    ("bgpd_peer_flaps_total", "Established sessions that ended, by reason."),
    ("bgpd_peer_messages_total", "BGP messages."),
    ("bgpd_peer_bytes_total", "Octets of BGP messages."),
    ("bgpd_peer_malformed_updates_total", "UPDATEs with a fault, whatever it cost (RFC 7606)."),
    ("bgpd_fib_audits_total", "Audits of the kernel's routes that were finished."),
    (
        "bgpd_fib_differences_total",
        "Routes and nexthop objects that the kernel did not hold as it had acknowledged, found by reading it back.",
    ),
    (
        "bgpd_fib_repairs_total",
        "Times a route or nexthop object was put back after somebody had removed or changed it.",
    ),
    ("bgpd_bfd_failures_total", "BFD sessions that were Up and failed."),
    ("bgpd_bfd_packets_total", "BFD control packets."),
    ("bgpd_bfd_send_errors_total", "BFD control packets that could not be sent."),
    ("bgpd_bfd_dropped_total", "Datagrams on the BFD port that did nothing, by reason."),
    ("bgpd_netlink_errors_total", "Operations that the kernel refused, by error number."),
    ("bgpd_connections_refused_total", "Connections that were refused before a session, by reason."),
    ("process_cpu_seconds_total", "User and system CPU time of the process."),
];

/// Group and AS of each peer, as `bgpd_peer_info` had them last.
pub(super) type Labels = BTreeMap<String, [String; 2]>;

/// Asks everybody and sets every series. Who does not answer in time keeps the values of before.
pub(super) async fn collect(control: &Control, labels: &mut Labels) {
    gauge!("bgpd_build_info", "version" => bgp_api::VERSION).set(1.0);
    if let Ok(neighbors) = neighbor_views(control, None).await {
        let families = neighbors.iter().flat_map(|seen| &seen.neighbor.families);
        let waiting: u64 = families.map(|family| family.pending_out).sum();
        gauge!("bgpd_queue_depth", "queue" => "peer-out").set(waiting as f64);
        for seen in &neighbors {
            peer(seen, labels);
        }
    }
    if let Ok(overview) = crate::control::ask(&control.bfd, crate::bfd::Request::Overview).await {
        for (reason, count) in &overview.dropped {
            counter!("bgpd_bfd_dropped_total", "reason" => *reason).absolute(*count);
        }
    }
    if let Ok(routes) = crate::control::ask(&control.routing, routing::Query::Summary).await {
        routing_figures(&routes);
        audit_figures(&routes);
        host_checks(host::kernel::checks(&routes, Instant::now()));
    }
    if let Ok(peers) = crate::control::ask(&control.supervisor, supervisor::Request::Summary).await {
        gauge!("bgpd_config_reload_success").set(flag(peers.config.last_reload_error.is_none()));
        for (reason, count) in
            [("unknown", peers.refused.unknown), ("listen-limit", peers.refused.listen_limit)]
        {
            counter!("bgpd_connections_refused_total", "reason" => reason).absolute(count);
        }
        gauge!("bgpd_config_last_reload_timestamp_seconds").set(unix(peers.loaded));
        host_checks(host::checks(peers.set_hash_policy));
    }
    process_figures();
}

fn host_checks(checks: Vec<HostCheck>) {
    for check in checks {
        gauge!("bgpd_host_check", "check" => check.name).set(flag(check.state == CheckState::Ok));
    }
}

fn peer(seen: &Seen, labels: &mut Labels) {
    let peer = seen.address.to_string();
    let counted = &seen.counters;
    messages(&peer, "received", counted.received, counted.received_octets);
    messages(&peer, "sent", counted.sent, counted.sent_octets);
    counter!("bgpd_peer_malformed_updates_total", "peer" => peer.clone()).absolute(counted.malformed_updates);
    gauge!("bgpd_peer_admin_down", "peer" => peer.clone()).set(flag(seen.shut_down));
    drain(&peer, seen.drain.as_ref());
    for reason in bgp_session::DownReason::LABELS {
        let count = seen.downs.get(reason).copied().unwrap_or(0);
        counter!("bgpd_peer_flaps_total", "peer" => peer.clone(), "reason" => reason).absolute(count);
    }
    if let Some(session) = &seen.neighbor.bfd {
        bfd(&peer, session);
    }
    session(&peer, seen);
    info(peer, &seen.neighbor, labels);
}

/// What may change while the peer is there has a series of its own: those that stay up or down must not get a twin.
fn info(peer: String, neighbor: &Neighbor, labels: &mut Labels) {
    let set = |peer: &str, [group, remote_as]: &[String; 2], value: f64| {
        let (peer, group, remote_as) = (peer.to_owned(), group.clone(), remote_as.clone());
        gauge!("bgpd_peer_info", "peer" => peer, "group" => group, "remote_as" => remote_as).set(value);
    };
    let remote_as = neighbor.remote_as.map(|asn| asn.to_string()).unwrap_or_default();
    let now = [neighbor.group.clone().unwrap_or_default(), remote_as];
    if let Some(before) = labels.get(&peer).filter(|before| **before != now) {
        set(&peer, before, 0.0);
    }
    set(&peer, &now, 1.0);
    labels.insert(peer, now);
}

fn session(peer: &str, seen: &Seen) {
    let (peer, neighbor) = (peer.to_owned(), &seen.neighbor);
    gauge!("bgpd_peer_up", "peer" => peer.clone()).set(flag(seen.up_since.is_some()));
    for state in SessionState::ALL {
        gauge!("bgpd_peer_state", "peer" => peer.clone(), "state" => state_label(state))
            .set(flag(state == neighbor.state));
    }
    gauge!("bgpd_peer_established_timestamp_seconds", "peer" => peer.clone())
        .set(seen.up_since.map_or(0.0, unix));
    for family in &neighbor.families {
        for (kind, value) in [
            ("received", family.received),
            ("accepted", family.accepted),
            ("best", family.best),
            ("advertised", family.advertised),
        ] {
            let name = family.family.clone();
            gauge!("bgpd_peer_prefixes", "peer" => peer.clone(), "family" => name, "kind" => kind)
                .set(value as f64);
        }
    }
}

fn drain(peer: &str, drain: Option<&Drain>) {
    for state in [DrainState::Draining, DrainState::Drained] {
        let is_it = drain.is_some_and(|drain| drain.state == state);
        gauge!("bgpd_peer_drain", "peer" => peer.to_owned(), "state" => state.as_str()).set(flag(is_it));
    }
    let in_use =
        drain.filter(|drain| drain.state == DrainState::Draining).and_then(|drain| drain.buckets_in_use);
    gauge!("bgpd_peer_drain_buckets_in_use", "peer" => peer.to_owned()).set(in_use.unwrap_or(0) as f64);
}

fn bfd(peer: &str, session: &BfdSession) {
    let peer = || peer.to_owned();
    gauge!("bgpd_bfd_up", "peer" => peer()).set(flag(session.state == BfdState::Up));
    counter!("bgpd_bfd_failures_total", "peer" => peer()).absolute(session.failures);
    counter!("bgpd_bfd_send_errors_total", "peer" => peer()).absolute(session.send_errors);
    for (direction, count) in [("sent", session.sent), ("received", session.received)] {
        counter!("bgpd_bfd_packets_total", "peer" => peer(), "direction" => direction).absolute(count);
    }
}

fn messages(peer: &str, direction: &'static str, counts: MessageCounts, octets: MessageCounts) {
    for (kind, count, octets) in [
        ("open", counts.open, octets.open),
        ("update", counts.update, octets.update),
        ("notification", counts.notification, octets.notification),
        ("keepalive", counts.keepalive, octets.keepalive),
        ("route-refresh", counts.route_refresh, octets.route_refresh),
    ] {
        let peer = peer.to_owned();
        counter!("bgpd_peer_messages_total", "peer" => peer.clone(), "direction" => direction, "type" => kind)
            .absolute(count);
        counter!("bgpd_peer_bytes_total", "peer" => peer, "direction" => direction, "type" => kind)
            .absolute(octets);
    }
}

fn routing_figures(routes: &routing::Summary) {
    for family in Family::ALL {
        let name = family.to_string();
        gauge!("bgpd_rib_prefixes", "family" => name.clone()).set(routes.sizes.prefixes[family] as f64);
        gauge!("bgpd_rib_paths", "family" => name.clone()).set(routes.sizes.paths[family] as f64);
        let FibSize { installed, pending, removing, blocked, unreachable, failed, .. } = routes.fib[family];
        for (state, value) in [
            ("installed", installed),
            ("pending", pending),
            ("removing", removing),
            ("blocked", blocked),
            ("unreachable", unreachable),
            ("failed", failed),
        ] {
            gauge!("bgpd_fib_routes", "family" => name.clone(), "state" => state).set(value as f64);
        }
    }
    for (errno, count) in &routes.errors {
        counter!("bgpd_netlink_errors_total", "errno" => errno.clone()).absolute(*count);
    }
    gauge!("bgpd_fib_nexthops", "kind" => "nexthop").set(routes.nexthops as f64);
    gauge!("bgpd_fib_nexthops", "kind" => "group").set(routes.groups as f64);
    gauge!("bgpd_queue_depth", "queue" => "kernel").set(routes.in_flight as f64);
    gauge!("bgpd_queue_depth", "queue" => "routing").set(routes.waiting as f64);
}

fn audit_figures(routes: &routing::Summary) {
    let audit = &routes.audit;
    counter!("bgpd_fib_audits_total").absolute(audit.runs);
    let Differences { missing, changed, unexpected } = audit.differences;
    for (kind, count) in [("missing", missing), ("changed", changed), ("unexpected", unexpected)] {
        counter!("bgpd_fib_differences_total", "kind" => kind).absolute(count);
    }
    let (ended, took, compared) = match audit.last {
        Some(AuditRun { ended, took, routes }) => (unix(ended), took.as_secs_f64(), routes as f64),
        None => (0.0, 0.0, 0.0),
    };
    gauge!("bgpd_fib_audit_last_timestamp_seconds").set(ended);
    gauge!("bgpd_fib_audit_interval_seconds").set(audit.interval.map_or(0.0, |pause| pause.as_secs_f64()));
    gauge!("bgpd_fib_audit_seconds").set(took);
    gauge!("bgpd_fib_audit_routes").set(compared);
    counter!("bgpd_fib_repairs_total").absolute(routes.repairs);
}

fn process_figures() {
    let figures = process::figures();
    // A counter of the metrics crate is an integer; whole seconds are what Prometheus needs for a rate over minutes.
    counter!("process_cpu_seconds_total").absolute(figures.cpu_seconds as u64);
    gauge!("process_max_fds").set(figures.max_fds as f64);
    gauge!("process_open_fds").set(figures.open_fds as f64);
    gauge!("process_resident_memory_bytes").set(figures.resident_bytes as f64);
    gauge!("process_start_time_seconds").set(figures.start_time_seconds);
    gauge!("process_threads").set(figures.threads as f64);
    gauge!("process_virtual_memory_bytes").set(figures.virtual_bytes as f64);
}

fn state_label(state: SessionState) -> &'static str {
    match state {
        SessionState::Connect => "connect",
        SessionState::Active => "active",
        SessionState::OpenSent => "open-sent",
        SessionState::OpenConfirm => "open-confirm",
        SessionState::Established => "established",
        SessionState::Idle | SessionState::Unknown => "idle",
    }
}

/// When it was, Unix time. In whole seconds: a fraction would differ from one page to the next.
fn unix(at: Instant) -> f64 {
    let now = jiff::Timestamp::now().as_millisecond() as f64 / 1000.0;
    (now - at.elapsed().as_secs_f64()).round()
}

fn flag(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn a_peer_whose_as_or_group_becomes_known_has_one_series_that_is_up() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let mut labels = Labels::new();
        let mut seen = Seen {
            address: "172.50.0.2".parse().unwrap(),
            neighbor: Neighbor::default(),
            up_since: None,
            counters: bgp_session::Counters::default(),
            shut_down: false,
            drain: None,
            downs: BTreeMap::new(),
        };
        metrics::with_local_recorder(&recorder, || {
            peer(&seen, &mut labels);
            seen.up_since = Some(Instant::now());
            seen.neighbor.remote_as = Some(64512);
            peer(&seen, &mut labels);
            seen.neighbor.group = Some("nodes".to_owned());
            peer(&seen, &mut labels);
        });
        let page = recorder.handle().render();
        let mut found: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("bgpd_peer_up{") || line.starts_with("bgpd_peer_info{"))
            .collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "bgpd_peer_info{peer=\"172.50.0.2\",group=\"\",remote_as=\"\"} 0",
                "bgpd_peer_info{peer=\"172.50.0.2\",group=\"\",remote_as=\"64512\"} 0",
                "bgpd_peer_info{peer=\"172.50.0.2\",group=\"nodes\",remote_as=\"64512\"} 1",
                "bgpd_peer_up{peer=\"172.50.0.2\"} 1",
            ]
        );
    }
}

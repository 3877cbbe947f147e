//! Replies of a daemon in the lab: three nodes by listen range, of which one is gone, and two configured peers.

use bgp_api::*;
use serde_json::json;

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn counts(update: u64, keepalive: u64, bytes: u64) -> MessageCounts {
    MessageCounts { open: 1, update, notification: 0, keepalive, route_refresh: 0, bytes }
}

fn family(name: &str, received: u64, accepted: u64, best: u64) -> NeighborFamily {
    NeighborFamily {
        family: name.to_owned(),
        negotiated: true,
        received,
        accepted,
        best,
        end_of_rib_sent: true,
        ..NeighborFamily::default()
    }
}

fn not_negotiated(name: &str, reason: &str) -> NeighborFamily {
    NeighborFamily {
        family: name.to_owned(),
        not_negotiated_because: text(reason),
        ..NeighborFamily::default()
    }
}

/// A node as Cilium runs it.
pub(crate) fn node() -> Neighbor {
    Neighbor {
        address: "2001:3200:3200::2".to_owned(),
        group: text("cilium"),
        listen_range: text("2001:3200:3200::/64"),
        local_as: 64513,
        remote_as: Some(64512),
        state: SessionState::Established,
        since_seconds: Some(956),
        flaps: 1,
        last_down: Some(LastDown {
            reason: "peer closed the connection without a NOTIFICATION".to_owned(),
            seconds_ago: 970,
        }),
        transport: Transport {
            local: Some(Endpoint { address: "2001:3200:3200::1".to_owned(), port: 179 }),
            remote: Some(Endpoint { address: "2001:3200:3200::2".to_owned(), port: 40312 }),
            interface: text("br-455d8ca1d613"),
            mode: "passive".to_owned(),
            md5: false,
            ttl: "ttl 1".to_owned(),
        },
        negotiated: Some(Negotiated {
            router_id: "172.50.0.1".to_owned(),
            hostname: text("k3d-cilium-agent-0"),
            hold_seconds: 90,
            keepalive_seconds: 30,
            hold_left_seconds: Some(71),
            four_octet_as: true,
            route_refresh: true,
            ..Negotiated::default()
        }),
        messages: Messages {
            received: counts(2, 32, 812),
            sent: counts(1, 32, 744),
            last_received_seconds: Some(19),
            ..Messages::default()
        },
        families: vec![
            not_negotiated("ipv4-unicast", "peer did not offer ipv4-unicast"),
            family("ipv6-unicast", 1, 1, 1),
        ],
        capabilities: vec![
            capability("multiprotocol ipv4-unicast", "yes", ""),
            capability("multiprotocol ipv6-unicast", "yes", "yes"),
            capability("route refresh", "yes", "yes"),
            capability("4-octet AS", "64513", "64512"),
            capability("fqdn", "", "k3d-cilium-agent-0"),
            capability("graceful restart", "", "120 s, restarted, notification"),
        ],
        graceful_restart: Some(GracefulRestart {
            peer_restart_seconds: Some(120),
            peer_restarted: true,
            notification: false,
            peer_forwarding_kept: strings(&["ipv6-unicast"]),
            stale_removed_in_seconds: None,
        }),
        policy: PolicyView {
            import: PolicyText { policy: "all".to_owned(), note: None },
            export: PolicyText { policy: "not set".to_owned(), note: text(neighbor::NO_EXPORT_POLICY) },
        },
        bfd: Some(bfd_session()),
        ..Neighbor::default()
    }
}

fn capability(name: &str, local: &str, remote: &str) -> Capability {
    let some = |word: &str| (!word.is_empty()).then(|| word.to_owned());
    Capability { name: name.to_owned(), local: some(local), remote: some(remote) }
}

/// A node whose link was cut.
pub(crate) fn lost_node() -> Neighbor {
    Neighbor {
        address: "2001:3200:3200::4".to_owned(),
        state: SessionState::Active,
        since_seconds: Some(12),
        flaps: 3,
        last_down: Some(LastDown { reason: "hold timer expired".to_owned(), seconds_ago: 12 }),
        next_step: text("waits for the peer to dial"),
        negotiated: None,
        transport: Transport { local: None, remote: None, ..node().transport },
        families: vec![family("ipv6-unicast", 0, 0, 0)],
        messages: Messages {
            received: counts(2, 2900, 55_180),
            sent: MessageCounts { notification: 1, ..counts(1, 2903, 55_240) },
            ..Messages::default()
        },
        capabilities: vec![],
        graceful_restart: None,
        ..node()
    }
}

/// A router that was given a name, a password and a limit, and no policy.
pub(crate) fn router() -> Neighbor {
    Neighbor {
        address: "172.50.0.9".to_owned(),
        group: None,
        description: text("edge router"),
        listen_range: None,
        remote_as: Some(65_000),
        since_seconds: Some(187_200),
        transport: Transport {
            local: Some(Endpoint { address: "172.50.0.1".to_owned(), port: 51_000 }),
            remote: Some(Endpoint { address: "172.50.0.9".to_owned(), port: 179 }),
            interface: text("br-455d8ca1d613"),
            mode: "both".to_owned(),
            md5: true,
            ttl: "ttl security: 1 hop".to_owned(),
        },
        families: vec![
            NeighborFamily {
                received: 1200,
                maximum_prefix: Some(MaximumPrefix {
                    limit: 1000,
                    action: "warn".to_owned(),
                    exceeded: true,
                }),
                end_of_rib_received: true,
                pending_out: 4,
                ..family("ipv4-unicast", 1200, 0, 0)
            },
            family("ipv6-unicast", 3, 0, 0),
        ],
        policy: PolicyView {
            import: PolicyText { policy: "not set".to_owned(), note: text(neighbor::NO_IMPORT_POLICY) },
            export: PolicyText { policy: "prefix-list services".to_owned(), note: None },
        },
        graceful_shutdown: text("ordered by bgpctl"),
        warnings: strings(&["1200 prefixes of ipv4-unicast exceed the limit of 1000 (warn)"]),
        ..node()
    }
}

/// A peer that has never answered.
pub(crate) fn stranger() -> Neighbor {
    Neighbor {
        address: "192.0.2.77".to_owned(),
        local_as: 64513,
        remote_as: None,
        next_attempt_seconds: Some(95),
        transport: Transport {
            mode: "active".to_owned(),
            ttl: "multihop 4".to_owned(),
            ..Transport::default()
        },
        policy: PolicyView {
            import: PolicyText { policy: "none".to_owned(), note: None },
            export: PolicyText { policy: "none".to_owned(), note: None },
        },
        ..Neighbor::default()
    }
}

pub(crate) fn neighbors() -> NeighborsReply {
    NeighborsReply { neighbors: vec![router(), stranger(), node(), lost_node()] }
}

pub(crate) fn summary() -> Summary {
    Summary {
        router_id: "172.50.0.1".to_owned(),
        local_as: 64513,
        version: "0.1.0".to_owned(),
        pid: 4711,
        uptime_seconds: 4556,
        peers: PeerTotals { total: 4, established: 2, dynamic: 2, shutdown: 0, groups: 1 },
        rib: vec![
            RibSize { family: "ipv4-unicast".to_owned(), prefixes: 0, paths: 1200, best: 0 },
            RibSize { family: "ipv6-unicast".to_owned(), prefixes: 1, paths: 7, best: 1 },
        ],
        fib: vec![
            FibSize { family: "ipv4-unicast".to_owned(), ..FibSize::default() },
            FibSize { family: "ipv6-unicast".to_owned(), installed: 1, removing: 1, blocked: 1, failed: 1, ..FibSize::default() },
        ],
        kernel_nexthops: 3,
        kernel_groups: 1,
        config: ConfigState {
            path: "/etc/bgpd-rs/bgpd-rs.toml".to_owned(),
            loaded_seconds: 4556,
            last_reload_error: text(
                "1 fault in /etc/bgpd-rs/bgpd-rs.toml; `bgpd-rs --check /etc/bgpd-rs/bgpd-rs.toml` and the log name it",
            ),
            confirm_seconds: None,
            rolled_back_seconds: Some(61),
            needs_restart: vec!["bgp.asn takes effect when the daemon is restarted".to_owned()],
        },
        checks: vec![
            HostCheck {
                name: "ipv4-multipath-hash-policy".to_owned(),
                state: CheckState::Ok,
                message: "net.ipv4.fib_multipath_hash_policy is 1".to_owned(),
                remedy: None,
            },
            HostCheck {
                name: "ipv6-multipath-hash-policy".to_owned(),
                state: CheckState::Warning,
                message: "net.ipv6.fib_multipath_hash_policy is 0: connections of this host to one service all take \
                          one next hop"
                    .to_owned(),
                remedy: text(
                    "[kernel] set-multipath-hash-policy = true, or sysctl -w net.ipv6.fib_multipath_hash_policy=1",
                ),
            },
        ],
        memory: Memory { resident_bytes: 12_900_000, rib_bytes: Some(260_000), attribute_sets: 3 },
    }
}

fn path(peer: &str, status: PathStatus, reason: &str) -> Path {
    Path {
        peer: text(peer),
        status,
        reason: reason.to_owned(),
        age_seconds: Some(956),
        next_hop: text(peer),
        resolved: Some(format!("{peer} dev br-455d8ca1d613")),
        attributes: Attributes {
            origin: "igp".to_owned(),
            as_path: "64512".to_owned(),
            ..Attributes::default()
        },
        ..Path::default()
    }
}

/// The lab's service with every kind of path.
pub(crate) fn service() -> Route {
    let mapped = Path {
        next_hop: text("::ffff:172.50.0.4"),
        resolved: None,
        ..path("172.50.0.4", PathStatus::Unreachable, "next hop unreachable: no IPv6 address with that MAC")
    };
    let refused = Path {
        stale: true,
        attributes: Attributes {
            origin: "incomplete".to_owned(),
            as_path: "65000 64999 {64998,64997}".to_owned(),
            med: Some(10),
            local_pref: Some(100),
            communities: strings(&["65000:1", "no-export"]),
            large_communities: strings(&["65000:1:2"]),
            extended_communities: strings(&["rt:65000:7"]),
            atomic_aggregate: true,
            aggregator: text("64999 192.0.2.1"),
            originator_id: text("192.0.2.2"),
            cluster_list: strings(&["192.0.2.3", "192.0.2.4"]),
            aigp: Some(77),
            otc: Some(65_000),
            other: strings(&["attribute 99, 12 octets, partial"]),
        },
        ..path("172.50.0.9", PathStatus::Rejected, "refused by import policy: none is set (RFC 8212)")
    };
    let kernel = FibRoute {
        state: FibState::Failed,
        error: text("invalid argument (errno 22): Invalid prefsrc address"),
        retry_seconds: Some(12),
        cure: text("when a link, an address or a next-hop object of this host changes"),
        ..FibRoute::default()
    };
    Route {
        prefix: "2004::1/128".to_owned(),
        family: "ipv6-unicast".to_owned(),
        kernel: Some(kernel),
        paths: vec![
            path("2001:3200:3200::2", PathStatus::Best, "lowest peer address of 2 equal paths"),
            path("2001:3200:3200::3", PathStatus::Multipath, "equal to the best up to the router id"),
            Path { backup: true, ..path("2001:3200:3200::4", PathStatus::Candidate, "longer AS path") },
            mapped,
            refused,
        ],
    }
}

pub(crate) fn routes() -> RoutesReply {
    let own = Path {
        peer: None,
        status: PathStatus::Best,
        reason: "the only path".to_owned(),
        age_seconds: None,
        attributes: Attributes { origin: "igp".to_owned(), ..Attributes::default() },
        ..Path::default()
    };
    let mine = Route {
        prefix: "192.0.2.0/24".to_owned(),
        family: "ipv4-unicast".to_owned(),
        kernel: None,
        paths: vec![own],
    };
    RoutesReply { routes: vec![mine, service()], total: Some(2), more: false }
}

fn leg(address: &str, nhid: u32) -> FibNextHop {
    FibNextHop {
        next_hop: address.to_owned(),
        gateway: text(address),
        interface: text("br-455d8ca1d613"),
        nhid: Some(nhid),
        backup: false,
        left_out: None,
    }
}

pub(crate) fn fib() -> FibReply {
    let route = |prefix: &str, state, next_hops, error: Option<&str>, errno| FibRoute {
        prefix: prefix.to_owned(),
        family: "ipv6-unicast".to_owned(),
        state,
        since_seconds: Some(956),
        next_hops,
        nhid: (state == FibState::Installed).then_some(186_000_007),
        error: error.map(str::to_owned),
        errno,
        repairs: u64::from(state == FibState::Installed),
        retry_seconds: errno.map(|_: i32| 12),
        cure: errno
            .map(|_: i32| "when a link, an address or a next-hop object of this host changes".to_owned()),
        undone_by: (state == FibState::Installed).then(|| "zebra (process 812)".to_owned()),
    };
    let left_out = FibNextHop {
        next_hop: "::ffff:172.50.0.4".to_owned(),
        left_out: text("no IPv6 address with that MAC"),
        ..FibNextHop::default()
    };
    let blocked = "route of protocol static with metric 20 is in the way; it stays";
    FibReply {
        table: 254,
        metric: 20,
        protocol: 186,
        routes: vec![
            route(
                "2004::1/128",
                FibState::Installed,
                vec![leg("2001:3200:3200::2", 186_000_001), leg("2001:3200:3200::3", 186_000_002), left_out],
                None,
                None,
            ),
            route(
                "2004::2/128",
                FibState::Blocked,
                vec![
                    leg("2001:3200:3200::2", 186_000_001),
                    FibNextHop { backup: true, ..leg("2001:3200:3200::3", 186_000_002) },
                ],
                Some(blocked),
                None,
            ),
            route(
                "2004::3/128",
                FibState::Failed,
                vec![leg("2001:3200:3200::3", 186_000_002)],
                Some("RTM_NEWROUTE: No route to host (errno 113)"),
                Some(113),
            ),
            route("2004::4/128", FibState::Removing, vec![], None, None),
        ],
        total: Some(4),
        more: false,
    }
}

fn with_backup() -> NexthopGroup {
    let member = |kernel_id, next_hop: &str, weight, buckets, backup| GroupMember {
        kernel_id,
        next_hop: next_hop.to_owned(),
        weight,
        backup,
        buckets: Some(buckets),
        ..GroupMember::default()
    };
    NexthopGroup {
        kernel_id: 186_000_008,
        members: vec![
            member(186_000_001, "2001:3200:3200::2", 65_535, 128, false),
            member(186_000_003, "2001:3200:3200::4", 1, 0, true),
        ],
        routes: 2,
        buckets: Some(128),
        algorithm: text("resilient"),
        ..NexthopGroup::default()
    }
}

fn bfd_session() -> BfdSession {
    BfdSession {
        peer: "2001:3200:3200::2".to_owned(),
        local: text("2001:3200:3200::1"),
        state: BfdState::Up,
        since_seconds: 956,
        diagnostic: "none".to_owned(),
        remote: Some(BfdRemote {
            state: BfdState::Up,
            diagnostic: "none".to_owned(),
            discriminator: 7,
            min_tx_us: 300_000,
            min_rx_us: 300_000,
            multiplier: 3,
            control_plane_independent: false,
        }),
        local_discriminator: 2_433_363_436,
        transmit_interval_us: 300_000,
        detection_time_us: Some(900_000),
        multiplier: 3,
        last_failure: Some(BfdFailure { reason: "no packet for 900 ms".to_owned(), seconds_ago: 970 }),
        ups: 2,
        failures: 1,
        sent: 3641,
        received: 3622,
        ..BfdSession::default()
    }
}

/// One that is Up, one whose peer does not hear us, one whose interface is not there.
pub(crate) fn bfd() -> BfdReply {
    let down = BfdSession {
        peer: "172.50.0.3".to_owned(),
        state: BfdState::Down,
        since_seconds: 12,
        diagnostic: "neighbor signaled session down".to_owned(),
        remote: Some(BfdRemote {
            state: BfdState::Down,
            diagnostic: "detection time expired".to_owned(),
            ..bfd_session().remote.unwrap()
        }),
        transmit_interval_us: 1_000_000,
        detection_time_us: Some(30_500),
        last_failure: Some(BfdFailure {
            reason: "the peer says that it is down: detection time expired".to_owned(),
            seconds_ago: 12,
        }),
        ..bfd_session()
    };
    let absent = BfdSession {
        peer: "fe80::4%eth1".to_owned(),
        trouble: text("interface eth1: ENODEV: No such device"),
        ..BfdSession::default()
    };
    let dropped = [("unknown-sender".to_owned(), 3), ("ttl".to_owned(), 1)];
    BfdReply { sessions: vec![down, bfd_session(), absent], dropped: dropped.into() }
}

pub(crate) fn nexthops() -> NexthopsReply {
    let nexthop = |next_hop: &str, state, kind, resolution: &str, kernel_id| Nexthop {
        next_hop: next_hop.to_owned(),
        state,
        kind,
        resolution: resolution.to_owned(),
        kernel_id,
        paths: Some(1),
        since_seconds: Some(956),
        ..Nexthop::default()
    };
    let reachable = NexthopState::Reachable;
    let refused = Nexthop {
        error: text("RTM_NEWNEXTHOP: Network is down (errno 100)"),
        ..nexthop("192.0.2.1", NexthopState::Unreachable, None, "link eth1 is down", None)
    };
    NexthopsReply {
        nexthops: vec![
            nexthop(
                "10.9.0.1",
                reachable,
                Some(NexthopKind::Recursive),
                "recursive via 172.50.0.9 dev br-455d8ca1d613 (10.9.0.0/16)",
                Some(186_000_003),
            ),
            refused,
            nexthop(
                "::ffff:172.50.0.3",
                reachable,
                Some(NexthopKind::Mapped),
                "mapped 172.50.0.3 is 2001:3200:3200::3 on br-455d8ca1d613: same MAC 02:42:ac:32:00:03",
                Some(186_000_002),
            ),
            nexthop(
                "2001:3200:3200::2",
                reachable,
                Some(NexthopKind::OnLink),
                "on-link via dev br-455d8ca1d613",
                Some(186_000_001),
            ),
        ],
        groups: vec![
            NexthopGroup {
                kernel_id: 186_000_007,
                members: vec![
                    GroupMember {
                        kernel_id: 186_000_001,
                        next_hop: "2001:3200:3200::2".to_owned(),
                        weight: 1,
                        backup: false,
                        buckets: Some(85),
                        idle_buckets: Some(3),
                        idle_min_ms: Some(10),
                        idle_max_ms: Some(75_020),
                    },
                    GroupMember {
                        kernel_id: 186_000_002,
                        next_hop: "2001:3200:3200::3".to_owned(),
                        weight: 1,
                        backup: false,
                        buckets: Some(43),
                        idle_buckets: Some(0),
                        idle_min_ms: Some(0),
                        idle_max_ms: Some(4_990),
                    },
                ],
                routes: 1,
                buckets: Some(128),
                idle_timer_seconds: Some(60),
                unbalanced_timer_seconds: Some(0),
                moved: Some(43),
                algorithm: text("resilient"),
                joining: vec![JoiningMember { next_hop: "2001:3200:3200::4".to_owned(), in_seconds: 3 }],
            },
            with_backup(),
        ],
    }
}

pub(crate) fn config() -> ConfigReply {
    ConfigReply {
        path: "/etc/bgpd-rs/bgpd-rs.toml".to_owned(),
        loaded_seconds: 61,
        confirm_seconds: Some(42),
        rolled_back_seconds: None,
        toml: "[bgp]\nasn = 64513\n\n[neighbor.\"172.50.0.9\"]\npassword = \"********\"\n".to_owned(),
        config: json!({"bgp": {"asn": 64513}, "neighbor": {"172.50.0.9": {"password": "********"}}}),
    }
}

/// What a prefix list that permits less, and a neighbour less, would do.
pub(crate) fn plan() -> ReloadPlan {
    let route = |kind, prefix: &str, peer: Option<&str>, detail: Option<&str>| RouteImpact {
        kind,
        prefix: prefix.to_owned(),
        peer: peer.map(str::to_owned),
        detail: detail.map(str::to_owned),
    };
    let node = Some("2001:3200:3200::2");
    let counts = [
        (ImpactKind::Refused, 7),
        (ImpactKind::Lost, 1),
        (ImpactKind::Announced, 1),
        (ImpactKind::Removed, 1),
        (ImpactKind::Changed, 1),
    ];
    let refused = "refused by import policy: prefix-list services: no rule matches";
    ReloadPlan {
        path: "/etc/bgpd-rs/bgpd-rs.toml".to_owned(),
        changes: strings(&[
            "kernel.metric changed: takes effect when the daemon is restarted",
            "neighbor 172.50.0.9 removed",
            "prefix list services changed",
        ]),
        reset: vec![],
        added: vec![],
        removed: strings(&["172.50.0.9"]),
        needs_restart: strings(&["kernel.metric takes effect when the daemon is restarted"]),
        warnings: vec![],
        routes: RouteImpacts {
            counts: counts.into_iter().map(|(kind, count)| ImpactCount { kind, count }).collect(),
            details: vec![
                route(ImpactKind::Refused, "2005::1/128", node, Some(refused)),
                route(ImpactKind::Lost, "2004::2/128", Some("172.50.0.9"), None),
                route(ImpactKind::Announced, "2006::/64", node, None),
                route(ImpactKind::Removed, "2005::1/128", None, Some("via 2001:3200:3200::2")),
                route(
                    ImpactKind::Changed,
                    "2004::2/128",
                    None,
                    Some("via 2001:3200:3200::2, 172.50.0.9 -> via 2001:3200:3200::2"),
                ),
            ],
        },
        confirm_seconds: Some(5),
    }
}

pub(crate) fn events() -> Vec<Event> {
    let service = || "2004::1/128".to_owned();
    let kinds = vec![
        EventKind::MonitorStarted { version: "0.1.0".to_owned() },
        EventKind::SessionUp {
            peer: "2001:3200:3200::2".to_owned(),
            remote_as: 64512,
            hostname: text("k3d-cilium-agent-0"),
            families: strings(&["ipv6-unicast"]),
        },
        EventKind::BestChange { prefix: service(), next_hops: strings(&["2001:3200:3200::2"]) },
        EventKind::FibInstall {
            prefix: service(),
            nhid: Some(186_000_001),
            next_hops: strings(&["2001:3200:3200::2"]),
        },
        EventKind::NexthopChange {
            next_hop: "2001:3200:3200::2".to_owned(),
            state: NexthopState::Unreachable,
            resolution: "link br-455d8ca1d613 is down".to_owned(),
        },
        EventKind::FibError {
            prefix: service(),
            error: "RTM_NEWROUTE: No route to host (errno 113)".to_owned(),
            errno: Some(113),
        },
        EventKind::FibUndone {
            deed: "removed".to_owned(),
            count: 2,
            examples: vec![service(), "nexthop id 186500001".to_owned()],
            by: "zebra (FRR): zebra (process 812)".to_owned(),
            remedy: text("systemctl disable --now frr"),
        },
        EventKind::SessionDown {
            peer: "2001:3200:3200::2".to_owned(),
            reason: "Cease/Administrative Shutdown: \u{1b}[2Jbye".to_owned(),
            next_attempt_seconds: Some(95),
        },
        EventKind::BestChange { prefix: service(), next_hops: vec![] },
        EventKind::FibRemove { prefix: service() },
        EventKind::BfdChange {
            peer: "172.50.0.2".to_owned(),
            state: "Down".to_owned(),
            failed: true,
            reason: text("no packet for 900 ms"),
        },
        EventKind::BfdChange {
            peer: "172.50.0.2".to_owned(),
            state: "Up".to_owned(),
            failed: false,
            reason: None,
        },
        EventKind::ConfigReload { applied: true, message: "1 change".to_owned() },
        EventKind::ConfigReload { applied: false, message: "1 fault in bgpd-rs.toml".to_owned() },
        EventKind::Lost { count: 17 },
    ];
    let event = |(n, kind)| Event { time: format!("2026-01-02T03:04:{n:02}.678Z"), kind };
    kinds.into_iter().enumerate().map(event).collect()
}

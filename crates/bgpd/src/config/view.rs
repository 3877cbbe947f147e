//! The configuration as `bgpctl show config` shows it: every default written out, passwords hidden.
//!
//! The names are those of the file, and the TOML form is a configuration that loads again, passwords apart.

use bgp_policy::{Policy, PrefixList};
use bgp_session::SendHold;
use bgp_wire::Asn;
use serde_json::{Map, Value, json};

use super::model::{
    Config, GracefulRestartMode, Group, LimitAction, LogLevel, MaximumPrefix, Mode, Neighbor, Readers,
    RemoteAsn, Sandbox, Session, Settings, Shutdown, Ttl,
};

/// What stands for every password.
const HIDDEN: &str = "********";

impl Config {
    /// The whole configuration, passwords hidden.
    pub fn to_json(&self) -> Value {
        let asn = self.bgp.asn;
        without_nulls(json!({
            "bgp": {
                "asn": self.bgp.asn.0,
                "router-id": self.bgp.router_id.map(|id| id.to_string()),
                "listen": texts(&self.bgp.listen),
                "maximum-paths": self.bgp.maximum_paths,
                "multipath-relax": self.bgp.multipath_relax,
                "networks": texts(&self.bgp.networks),
            },
            "peer-group": self.shown_groups(),
            "neighbor": self.neighbors.iter().map(|(a, n)| (a.to_string(), neighbor(n, asn))).collect::<Map<_, _>>(),
            "prefix-list": self.prefix_lists.iter().map(|(name, l)| (name.clone(), list(l))).collect::<Map<_, _>>(),
            "kernel": {
                "install": self.kernel.install,
                "table": self.kernel.table,
                "metric": self.kernel.metric,
                "preferred-source-ipv4": self.kernel.preferred_source_ipv4,
                "preferred-source-ipv6": self.kernel.preferred_source_ipv6,
                "resolve-mapped-next-hops": self.kernel.resolve_mapped_next_hops,
                "keep-routes-on-stop": self.kernel.keep_routes_on_stop,
                "neighbor-probe-interval":
                    self.kernel.neighbor_probe_interval.map_or(0, |interval| interval.as_secs()),
                "audit-interval": self.kernel.audit_interval.map_or(0, |interval| interval.as_secs()),
                "startup-grace": self.kernel.startup_grace.as_secs(),
                "set-multipath-hash-policy": self.kernel.set_multipath_hash_policy,
                "nexthop-backup": self.kernel.nexthop_backup,
                "nexthop-groups": self.kernel.nexthop_groups.as_str(),
                // Without a choice it is also a question of the kernel; `show nexthops` has the number of each group.
                "nexthop-buckets": (!self.kernel.keep_buckets).then_some(self.kernel.resilient.buckets),
                "nexthop-idle-timer": self.kernel.resilient.idle_timer,
                "nexthop-unbalanced-timer": self.kernel.resilient.unbalanced_timer,
            },
            "control": {
                "socket": self.control.socket.display().to_string(),
                "group": self.control.group,
                "readers": readers(&self.control.readers),
            },
            "metrics": { "listen": self.metrics.listen },
            "log": { "level": self.log.level.to_string() },
            "process": {
                "user": self.process.user,
                "sandbox": sandbox(self.process.sandbox),
                "restart": self.process.restart.to_string(),
            },
        }))
    }

    /// Groups with listen ranges, and the names of those that are only part of their neighbours, which have it all.
    fn shown_groups(&self) -> Map<String, Value> {
        let named = self.neighbors.values().filter_map(|neighbor| neighbor.group.clone());
        let mut shown: Map<_, _> = named.map(|name| (name, json!({}))).collect();
        shown.extend(self.groups.iter().map(|(name, of)| (name.clone(), group(of, self.bgp.asn))));
        shown
    }

    /// The same as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.to_json()).unwrap_or_else(|error| format!("# {error}\n"))
    }
}

fn readers(readers: &Readers) -> &str {
    match readers {
        Readers::Nobody => "nobody",
        Readers::Everybody => "everybody",
        Readers::Group(name) => name,
    }
}

fn sandbox(sandbox: Sandbox) -> &'static str {
    match sandbox {
        Sandbox::On => "on",
        Sandbox::Log => "log",
        Sandbox::Off => "off",
    }
}

fn neighbor(neighbor: &Neighbor, asn: Asn) -> Value {
    let own = json!({ "interface": neighbor.interface, "peer-group": neighbor.group });
    merged(own, settings(&neighbor.settings, asn))
}

fn group(group: &Group, asn: Asn) -> Value {
    let own = json!({ "listen-range": texts(&group.listen_ranges), "listen-limit": group.listen_limit });
    merged(own, settings(&group.settings, asn))
}

fn list(list: &PrefixList) -> Value {
    json!({ "rules": texts(list.rules()) })
}

fn settings(settings: &Settings, asn: Asn) -> Value {
    let own = json!({
        "description": settings.description,
        "remote-asn": match settings.remote_asn {
            RemoteAsn::Exactly(asn) => json!(asn.0),
            RemoteAsn::External => json!("external"),
            RemoteAsn::Internal => json!("internal"),
        },
        "import": settings.import.as_ref().map(policy),
        "export": settings.export.as_ref().map(policy),
        "maximum-prefix": settings.maximum_prefix.map(maximum_prefix),
        "allow-own-as": settings.allow_own_as,
        "enforce-first-as": settings.enforce_first_as,
        "next-hop-self": settings.next_hop_self,
        "graceful-shutdown": settings.graceful_shutdown,
        "weight": settings.weight,
        "bfd": settings.bfd.map_or(json!(false), bfd),
    });
    merged(own, session(&settings.session, settings.remote_asn.is_external(asn)))
}

fn policy(policy: &Policy) -> String {
    match policy {
        Policy::All => "all".to_owned(),
        Policy::None => "none".to_owned(),
        Policy::PrefixList(list) => list.name().to_owned(),
    }
}

fn bfd(bfd: bgp_bfd::Config) -> Value {
    let interval = |interval: std::time::Duration| format!("{}ms", interval.as_millis());
    json!({
        "min-tx": interval(bfd.min_tx),
        "min-rx": interval(bfd.min_rx),
        "multiplier": bfd.multiplier.get(),
        "passive": bfd.passive,
    })
}

fn maximum_prefix(maximum: MaximumPrefix) -> Value {
    let (action, after) = match maximum.action {
        LimitAction::Warn => ("warn", None),
        LimitAction::Stop => ("stop", None),
        LimitAction::Restart(after) => ("restart", Some(after.as_secs())),
    };
    json!({ "limit": maximum.limit, "warn-at": maximum.warn_at, "action": action, "restart-after": after })
}

fn session(session: &Session, external: bool) -> Value {
    let restart = &session.graceful_restart;
    let (multihop, security) = match session.ttl {
        Ttl::Direct => (None, None),
        // Internal peers have it without saying so.
        Ttl::Multihop(hops) => (external.then_some(hops), None),
        Ttl::Security { hops } => (None, Some(hops)),
    };
    json!({
        "families": texts(&session.families.iter().filter(|(_, on)| **on).map(|(f, _)| f).collect::<Vec<_>>()),
        "mode": match session.mode { Mode::Both => "both", Mode::Active => "active", Mode::Passive => "passive" },
        "port": session.port,
        "local-address": session.local_address,
        "ebgp-multihop": multihop,
        "ttl-security": security,
        "password": session.password.as_ref().map(|_| HIDDEN),
        "hold-time": session.hold_time.as_secs(),
        "keepalive": session.keepalive,
        "connect-retry-time": session.connect_retry.as_secs(),
        "tcp-user-timeout": session.tcp_user_timeout.map_or(0, |time| time.as_secs()),
        "send-hold-time": match session.send_hold {
            SendHold::Recommended => None,
            SendHold::After(time) => Some(time.as_secs()),
            SendHold::Off => Some(0),
        },
        "graceful-restart": {
            "mode": match restart.mode {
                GracefulRestartMode::Off => "off",
                GracefulRestartMode::Helper => "helper",
                GracefulRestartMode::Full => "full",
            },
            "restart-time": restart.restart_time,
            "stale-time": restart.stale_time.as_secs(),
            "long-lived-stale-time": restart.long_lived_stale_time.as_secs(),
        },
        "shutdown": match &session.shutdown {
            Shutdown::No => json!(false),
            Shutdown::Yes { reason: None } => json!(true),
            Shutdown::Yes { reason: Some(reason) } => json!(reason),
        },
    })
}

impl std::fmt::Display for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn merged(mut table: Value, more: Value) -> Value {
    if let (Value::Object(table), Value::Object(more)) = (&mut table, more) {
        table.extend(more);
    }
    table
}

/// TOML has no null: what is absent is left out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(table) => Value::Object(
            table.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            other
        }
    }
}

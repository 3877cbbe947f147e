//! What was typed: every section and key of the file, each value with its place in the text.
//!
//! This is the one list of keys: the reference in `docs/config.md` and the shipped configuration are tested against
//! it. Types say what a value looks like; what it means beside the others is `check`'s.

mod bfd;
pub(super) mod read;
mod recover;
pub(super) mod section;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use bgp_wire::{Asn, Family, Prefix};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Sink;
use super::model::{
    GracefulRestartMode, LogLevel, Mode, NexthopGroups, RemoteAsn, Restart, Sandbox, Shutdown,
};
pub(super) use bfd::{Bfd, BfdChoice};
use read::{Key, Raw, Read, word, wrong_word};
pub(super) use read::{Number, Secret, Text, place};
use section::section;
pub(super) use section::{Named, Section};

section! {
    /// The whole file.
    File "the file" {
        "bgp" bgp: Bgp,
        "neighbor" neighbor: Named<Neighbor>,
        "peer-group" peer_group: Named<Group>,
        "prefix-list" prefix_list: Named<PrefixList>,
        "kernel" kernel: Kernel,
        "control" control: Control,
        "metrics" metrics: Metrics,
        "log" log: Log,
        "process" process: Process,
    }
}

section! {
    /// This speaker.
    Bgp "[bgp]" with timers: Timers {
        "asn" asn: Asn,
        "router-id" router_id: Ipv4Addr,
        "listen" listen: Vec<Spanned<SocketAddr>>,
        "maximum-paths" maximum_paths: Number<1, 256>,
        "multipath-relax" multipath_relax: bool,
        "networks" networks: Vec<Spanned<Prefix>>,
    }
}

section! {
    /// What `[bgp]` gives to every peer that says nothing itself.
    Timers "a peer" {
        "hold-time" hold_time: Number<0, 65535>,
        "keepalive" keepalive: Number<1, 21845>,
        "connect-retry-time" connect_retry_time: Number<1, 65535>,
        "send-hold-time" send_hold_time: Number<0, 65535>,
        "tcp-user-timeout" tcp_user_timeout: Number<0, 65535>,
        "graceful-restart" graceful_restart: GracefulRestart,
    }
}

section! {
    /// What one peer or a group of them may say.
    Peer "a peer" with timers: Timers {
        "remote-asn" remote_asn: RemoteAsn,
        "description" description: Text<255>,
        "password" password: Secret,
        "password-file" password_file: PathBuf,
        "families" families: Vec<Spanned<Family>>,
        "import" import: Text<63>,
        "export" export: Text<63>,
        "maximum-prefix" maximum_prefix: MaximumPrefix,
        "mode" mode: Mode,
        "port" port: Number<1, 65535>,
        "local-address" local_address: IpAddr,
        "ebgp-multihop" ebgp_multihop: Number<1, 255>,
        "ttl-security" ttl_security: Number<1, 254>,
        "allow-own-as" allow_own_as: Number<0, 10>,
        "enforce-first-as" enforce_first_as: bool,
        "next-hop-self" next_hop_self: bool,
        "graceful-shutdown" graceful_shutdown: bool,
        "weight" weight: Number<1, 256>,
        "bfd" bfd: BfdChoice,
        "shutdown" shutdown: Shutdown,
    }
}

section! {
    /// A neighbour by its address.
    Neighbor "[neighbor.\"ADDRESS\"]" with peer: Peer {
        "peer-group" peer_group: Text<63>,
        "interface" interface: Text<15>,
    }
}

section! {
    /// A group of peers.
    Group "[peer-group.NAME]" with peer: Peer {
        "listen-range" listen_range: Vec<Spanned<Prefix>>,
        "listen-limit" listen_limit: Number<1, 100_000>,
    }
}

section! {
    /// A list of prefixes for `import` and `export`.
    PrefixList "[prefix-list.NAME]" {
        "rules" rules: Vec<Spanned<Text<255>>>,
    }
}

section! {
    /// RFC 4724.
    GracefulRestart "graceful-restart" {
        "mode" mode: GracefulRestartMode,
        "restart-time" restart_time: Number<1, 4095>,
        "stale-time" stale_time: Number<1, 86400>,
        "long-lived-stale-time" long_lived_stale_time: Number<0, 16_777_215>,
    }
}

section! {
    /// Limit on received prefixes.
    MaximumPrefix "maximum-prefix" {
        "limit" limit: Number<1, 4_294_967_295>,
        "warn-at" warn_at: Number<1, 100>,
        "action" action: Action,
        "restart-after" restart_after: Number<1, 86400>,
    }
}

section! {
    /// Routes in the kernel.
    Kernel "[kernel]" {
        "install" install: bool,
        "table" table: Number<1, 4_294_967_295>,
        "metric" metric: Number<1, 4_294_967_295>,
        "preferred-source-ipv4" preferred_source_ipv4: Ipv4Addr,
        "preferred-source-ipv6" preferred_source_ipv6: Ipv6Addr,
        "resolve-mapped-next-hops" resolve_mapped_next_hops: bool,
        "keep-routes-on-stop" keep_routes_on_stop: bool,
        "startup-grace" startup_grace: Number<0, 86400>,
        "neighbor-probe-interval" neighbor_probe_interval: Number<0, 3600>,
        "audit-interval" audit_interval: Number<0, 86400>,
        "set-multipath-hash-policy" set_multipath_hash_policy: bool,
        "nexthop-backup" nexthop_backup: bool,
        "nexthop-groups" nexthop_groups: NexthopGroups,
        "nexthop-buckets" nexthop_buckets: Number<1, 65535>,
        "nexthop-idle-timer" nexthop_idle_timer: Number<0, 86400>,
        "nexthop-unbalanced-timer" nexthop_unbalanced_timer: Number<0, 86400>,
    }
}

section! {
    /// The control socket.
    Control "[control]" {
        "socket" socket: PathBuf,
        "group" group: Text<32>,
        "readers" readers: Text<32>,
    }
}

section! {
    /// The metrics endpoint.
    Metrics "[metrics]" {
        "listen" listen: SocketAddr,
    }
}

section! {
    /// Logging.
    Log "[log]" {
        "level" level: LogLevel,
    }
}

section! {
    /// The process.
    Process "[process]" {
        "user" user: Text<32>,
        "sandbox" sandbox: Sandbox,
        "restart" restart: Restart,
    }
}

/// The action of `maximum-prefix` as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Warn,
    Stop,
    Restart,
}

/// Gives each word of an enum its value.
macro_rules! words {
    ($($type:ident { $($word:literal $variant:ident),* })*) => {$(
        impl Read for $type {
            fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
                word(key, raw, &[$(($word, Self::$variant)),*], sink)
            }
        }
    )*};
}

words! {
    Action { "warn" Warn, "stop" Stop, "restart" Restart }
    Mode { "both" Both, "active" Active, "passive" Passive }
    GracefulRestartMode { "off" Off, "helper" Helper, "full" Full }
    Sandbox { "on" On, "log" Log, "off" Off }
    NexthopGroups { "resilient" Resilient, "plain" Plain }
    Restart { "hitless" Hitless, "graceful" Graceful, "cold" Cold }
    LogLevel { "error" Error, "warn" Warn, "info" Info, "debug" Debug, "trace" Trace }
}

impl Read for RemoteAsn {
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        match raw.get_ref().as_str() {
            None => Asn::read(key, raw, sink).map(Self::Exactly),
            Some("external") => Some(Self::External),
            Some("internal") => Some(Self::Internal),
            Some(text) => {
                let what = "an AS number without quotes, \"external\" or \"internal\"";
                let mut fault = wrong_word(key, raw, &["external", "internal"], what);
                if let Some(asn) = read::asn_in_text(text) {
                    fault = fault.fix(raw.span(), asn.to_string());
                }
                sink.push(fault);
                None
            }
        }
    }
}

impl Read for Shutdown {
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        match raw.get_ref() {
            DeValue::Boolean(false) => Some(Self::No),
            DeValue::Boolean(true) => Some(Self::Yes { reason: None }),
            // RFC 9003 section 2: at most 255 octets.
            DeValue::String(_) => {
                Text::<255>::read(key, raw, sink).map(|text| Self::Yes { reason: Some(text.0) })
            }
            _ => {
                sink.push(read::expected(key, raw, "true, false or the reason in quotes"));
                None
            }
        }
    }
}

/// Reads the text. Whatever is wrong goes into `sink`; what could be read is there nevertheless.
pub(super) fn read(text: &str, sink: &mut Sink) -> File {
    let text = recover::readable(text, sink);
    let (table, _) = DeTable::parse_recoverable(&text);
    section::read_table(&Key::Root, table.get_ref(), sink)
}

/// Each table with its keys: what the reference describes.
pub(super) fn tables() -> Vec<(&'static str, Vec<&'static str>)> {
    fn table<S: Section>() -> (&'static str, Vec<&'static str>) {
        (S::NAME, S::keys())
    }
    vec![
        table::<File>(),
        table::<Bgp>(),
        table::<Neighbor>(),
        table::<Group>(),
        table::<PrefixList>(),
        table::<Kernel>(),
        table::<Control>(),
        table::<Metrics>(),
        table::<Log>(),
        table::<Process>(),
        table::<GracefulRestart>(),
        table::<MaximumPrefix>(),
        table::<Bfd>(),
    ]
}

/// The table that has a key of this name.
fn home_of(key: &str) -> Option<&'static str> {
    tables().into_iter().skip(1).find(|(_, keys)| keys.contains(&key)).map(|(name, _)| name)
}

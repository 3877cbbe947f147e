//! What a reload changes, as data: the daemon carries out a [`Diff`] and touches nothing else.
//!
//! Owns the judgement of what a changed key costs. `docs/config.md` states the same per key, in the column "takes
//! effect".

mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use bgp_wire::Prefix;

use super::model::{Bgp, Config, Group, Kernel, LogLevel};

pub use settings::{Change, Effect};

/// The difference between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Changed keys that take effect when the daemon starts next, and not before.
    pub restart: Vec<&'static str>,
    /// Whether the decision changes: `maximum-paths` or `multipath-relax`.
    pub decision: bool,
    /// Networks to originate from now on.
    pub networks_added: Vec<Prefix>,
    /// Networks to withdraw.
    pub networks_removed: Vec<Prefix>,
    /// Neighbours that are new.
    pub neighbors_added: Vec<IpAddr>,
    /// Neighbours that are gone: Cease, Peer De-configured, unless a listen range still holds them.
    pub neighbors_removed: Vec<IpAddr>,
    /// Neighbours that stay but differ.
    pub neighbors_changed: BTreeMap<IpAddr, Change>,
    /// Groups with listen ranges that are new.
    pub groups_added: Vec<String>,
    /// Groups that are gone, with the peers that their ranges admitted.
    pub groups_removed: Vec<String>,
    /// Groups that stay but differ.
    pub groups_changed: BTreeMap<String, GroupChange>,
    /// Prefix lists that are new, gone or different. Neighbours that use one are among the changed.
    pub prefix_lists: Vec<String>,
    /// Changed keys of `[kernel]` that take effect at once.
    pub kernel: Vec<&'static str>,
    /// A new log level.
    pub log_level: Option<LogLevel>,
}

/// How a group with listen ranges differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupChange {
    /// Ranges that admit peers from now on.
    pub ranges_added: Vec<Prefix>,
    /// Ranges that admit nobody any more; peers inside that no other range holds are removed.
    pub ranges_removed: Vec<Prefix>,
    /// Whether the limit is another.
    pub limit: bool,
    /// What it means for the peers that the ranges have admitted.
    pub peers: Change,
}

impl Diff {
    /// What turns `old` into `new`.
    pub fn between(old: &Config, new: &Config) -> Self {
        let (networks_added, networks_removed) = sets(&old.bgp.networks, &new.bgp.networks);
        let (neighbors_added, neighbors_removed) = keys(&old.neighbors, &new.neighbors);
        let (groups_added, groups_removed) = keys(&old.groups, &new.groups);
        Self {
            restart: restart(old, new),
            decision: decision(&old.bgp) != decision(&new.bgp),
            networks_added,
            networks_removed,
            neighbors_added,
            neighbors_removed,
            neighbors_changed: both(&old.neighbors, &new.neighbors)
                .map(|(address, old, new)| (*address, Change::of_neighbor(old, new)))
                .filter(|(_, change)| !change.keys.is_empty())
                .collect(),
            groups_added,
            groups_removed,
            groups_changed: both(&old.groups, &new.groups)
                .map(|(name, old, new)| (name.clone(), GroupChange::between(old, new)))
                .filter(|(_, change)| *change != GroupChange::default())
                .collect(),
            prefix_lists: prefix_lists(old, new),
            kernel: kernel(&old.kernel, &new.kernel),
            log_level: (old.log.level != new.log.level).then_some(new.log.level),
        }
    }

    /// Whether both are the same.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether some session is reset, added or removed.
    pub fn touches_sessions(&self) -> bool {
        let resets = |change: &Change| change.effect() == Some(Effect::Reset);
        !self.neighbors_added.is_empty()
            || !self.neighbors_removed.is_empty()
            || !self.groups_removed.is_empty()
            || self.neighbors_changed.values().any(resets)
            || self
                .groups_changed
                .values()
                .any(|group| resets(&group.peers) || !group.ranges_removed.is_empty())
    }
}

impl GroupChange {
    fn between(old: &Group, new: &Group) -> Self {
        let (ranges_added, ranges_removed) = sets(&old.listen_ranges, &new.listen_ranges);
        Self {
            ranges_added,
            ranges_removed,
            limit: old.listen_limit != new.listen_limit,
            peers: Change::of_settings(&old.settings, &new.settings),
        }
    }
}

fn decision(bgp: &Bgp) -> (u16, bool) {
    (bgp.maximum_paths, bgp.multipath_relax)
}

/// What is in force when `new` is loaded beside `running`: what sockets, the identity towards peers and the place of
/// our routes are made of is fixed at start.
pub fn in_force(running: &Config, new: Config) -> Config {
    let Bgp { asn, router_id, ref listen, .. } = running.bgp;
    let set_multipath_hash_policy = new.kernel.set_multipath_hash_policy;
    Config {
        bgp: Bgp { asn, router_id, listen: listen.clone(), ..new.bgp },
        kernel: Kernel { set_multipath_hash_policy, ..running.kernel.clone() },
        control: running.control.clone(),
        metrics: running.metrics.clone(),
        process: running.process.clone(),
        ..new
    }
}

/// The keys of which [`in_force`] keeps the old value, where it differs.
fn restart(old: &Config, new: &Config) -> Vec<&'static str> {
    changed([
        ("bgp.asn", old.bgp.asn != new.bgp.asn),
        ("bgp.router-id", old.bgp.router_id != new.bgp.router_id),
        ("bgp.listen", old.bgp.listen != new.bgp.listen),
        ("kernel.install", old.kernel.install != new.kernel.install),
        ("kernel.table", old.kernel.table != new.kernel.table),
        ("kernel.metric", old.kernel.metric != new.kernel.metric),
        (
            "kernel.preferred-source-ipv4",
            old.kernel.preferred_source_ipv4 != new.kernel.preferred_source_ipv4,
        ),
        (
            "kernel.preferred-source-ipv6",
            old.kernel.preferred_source_ipv6 != new.kernel.preferred_source_ipv6,
        ),
        (
            "kernel.resolve-mapped-next-hops",
            old.kernel.resolve_mapped_next_hops != new.kernel.resolve_mapped_next_hops,
        ),
        ("kernel.keep-routes-on-stop", old.kernel.keep_routes_on_stop != new.kernel.keep_routes_on_stop),
        (
            "kernel.neighbor-probe-interval",
            old.kernel.neighbor_probe_interval != new.kernel.neighbor_probe_interval,
        ),
        ("kernel.audit-interval", old.kernel.audit_interval != new.kernel.audit_interval),
        ("kernel.startup-grace", old.kernel.startup_grace != new.kernel.startup_grace),
        ("kernel.nexthop-backup", old.kernel.nexthop_backup != new.kernel.nexthop_backup),
        ("kernel.nexthop-groups", old.kernel.nexthop_groups != new.kernel.nexthop_groups),
        // Without the key groups keep the number that they have, with it they get this one.
        ("kernel.nexthop-buckets", buckets(&old.kernel) != buckets(&new.kernel)),
        ("kernel.nexthop-idle-timer", old.kernel.resilient.idle_timer != new.kernel.resilient.idle_timer),
        (
            "kernel.nexthop-unbalanced-timer",
            old.kernel.resilient.unbalanced_timer != new.kernel.resilient.unbalanced_timer,
        ),
        ("control.socket", old.control.socket != new.control.socket),
        ("control.group", old.control.group != new.control.group),
        ("control.readers", old.control.readers != new.control.readers),
        ("metrics.listen", old.metrics.listen != new.metrics.listen),
        ("process.user", old.process.user != new.process.user),
        ("process.sandbox", old.process.sandbox != new.process.sandbox),
        ("process.restart", old.process.restart != new.process.restart),
    ])
}

fn buckets(kernel: &Kernel) -> (u16, bool) {
    (kernel.resilient.buckets, kernel.keep_buckets)
}

fn kernel(old: &Kernel, new: &Kernel) -> Vec<&'static str> {
    changed([(
        "kernel.set-multipath-hash-policy",
        old.set_multipath_hash_policy != new.set_multipath_hash_policy,
    )])
}

fn changed<const N: usize>(keys: [(&'static str, bool); N]) -> Vec<&'static str> {
    keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}

fn prefix_lists(old: &Config, new: &Config) -> Vec<String> {
    let names: BTreeSet<&String> = old.prefix_lists.keys().chain(new.prefix_lists.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.prefix_lists.get(*name) != new.prefix_lists.get(*name))
        .cloned()
        .collect()
}

/// What is only in `new`, and what is only in `old`.
fn sets(old: &[Prefix], new: &[Prefix]) -> (Vec<Prefix>, Vec<Prefix>) {
    let only = |of: &[Prefix], other: &[Prefix]| {
        let other: BTreeSet<&Prefix> = other.iter().collect();
        of.iter().filter(|prefix| !other.contains(prefix)).copied().collect()
    };
    (only(new, old), only(old, new))
}

fn keys<K: Ord + Clone, V>(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> (Vec<K>, Vec<K>) {
    let only = |of: &BTreeMap<K, V>, other: &BTreeMap<K, V>| {
        of.keys().filter(|key| !other.contains_key(*key)).cloned().collect()
    };
    (only(new, old), only(old, new))
}

fn both<'a, K: Ord, V>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V, &'a V)> {
    old.iter().filter_map(|(key, old)| new.get(key).map(|new| (key, old, new)))
}

impl fmt::Display for Diff {
    /// One line per change, as a log or the reply to a reload shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for key in &self.restart {
            writeln!(f, "{key} changed: takes effect when the daemon is restarted")?;
        }
        if self.decision {
            writeln!(f, "multipath settings changed: routes are selected again")?;
        }
        lines(f, "network", "added", &self.networks_added)?;
        lines(f, "network", "removed", &self.networks_removed)?;
        lines(f, "neighbor", "added", &self.neighbors_added)?;
        lines(f, "neighbor", "removed", &self.neighbors_removed)?;
        for (address, change) in &self.neighbors_changed {
            writeln!(f, "neighbor {address} changed: {change}")?;
        }
        lines(f, "peer group", "added", &self.groups_added)?;
        lines(f, "peer group", "removed", &self.groups_removed)?;
        for (name, change) in &self.groups_changed {
            writeln!(f, "peer group {name} changed: {change}")?;
        }
        lines(f, "prefix list", "changed", &self.prefix_lists)?;
        for key in &self.kernel {
            writeln!(f, "{key} changed")?;
        }
        match self.log_level {
            Some(level) => writeln!(f, "log.level is now {level}"),
            None => Ok(()),
        }
    }
}

fn lines<T: fmt::Display>(f: &mut fmt::Formatter<'_>, what: &str, how: &str, which: &[T]) -> fmt::Result {
    which.iter().try_for_each(|which| writeln!(f, "{what} {which} {how}"))
}

impl fmt::Display for GroupChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.ranges_added.iter().map(|range| format!("admits {range}")));
        parts.extend(self.ranges_removed.iter().map(|range| format!("no longer admits {range}")));
        if self.limit {
            parts.push("another listen-limit".to_owned());
        }
        if !self.peers.keys.is_empty() {
            parts.push(self.peers.to_string());
        }
        f.write_str(&parts.join(", "))
    }
}

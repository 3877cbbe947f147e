//! From what was typed to values that cannot be wrong: every fault is collected, not only the first.
//!
//! Owns `[bgp]` and the small sections, and the order of the work. `peer` resolves the settings of one peer, `session`
//! those of its session, `peers` goes over neighbours and groups, `policies` makes prefix lists, `sockets` are those
//! where we listen.

mod bfd;
mod password;
mod peer;
mod peers;
mod policies;
mod session;
mod sockets;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use bgp_fib::Resilient;
use bgp_wire::{Asn, Prefix, RouterId};
use toml::Spanned;

pub(super) use password::READABLE_BY_OTHERS;

use super::fault::{Fault, Sink};
use super::file::{self, File, place};
use super::model::{
    Bgp, Config, GracefulRestartMode, Kernel, Log, LogLevel, NexthopGroups, Process, Restart,
};

/// Makes the configuration; `None` where a part without a default is missing or wrong. With errors in `sink` the result
/// is not to be used. `running` is the AS that the daemon is in already, which may be another than the file's.
pub(super) fn check(file: &File, directory: &Path, running: Option<Asn>, sink: &mut Sink) -> Option<Config> {
    let prefix_lists = policies::prefix_lists(file.prefix_list.as_ref(), sink);
    // Settings of peers are checked even without an AS number of our own, so that all faults show at once.
    let bgp = bgp(file.bgp.as_ref(), sink);
    let empty = file::Timers::default();
    let asn = running.or(bgp.as_ref().map(|bgp| bgp.asn));
    let cx = peer::Context {
        asn,
        timers: file.bgp.as_ref().map_or(&empty, |bgp| &bgp.get_ref().timers),
        prefix_lists: &prefix_lists,
        directory,
    };
    let (neighbors, groups) = peers::check(file, &cx, sink);
    let kernel = kernel(file.kernel.as_ref().map(Spanned::get_ref), sink);
    let control = sockets::control(file.control.as_ref().map(Spanned::get_ref), sink);
    let listen = bgp.as_ref().map_or(&[][..], |bgp| &bgp.listen);
    let metrics = sockets::metrics(file.metrics.as_ref().map(Spanned::get_ref), listen, sink);
    let config = Config {
        bgp: bgp?,
        neighbors,
        groups,
        prefix_lists: prefix_lists.into_lists(),
        kernel,
        control,
        metrics,
        log: Log {
            level: file.log.as_ref().and_then(|log| copied(&log.get_ref().level)).unwrap_or(LogLevel::Info),
        },
        process: process(file.process.as_ref().map(Spanned::get_ref)),
    };
    unannounced(&config, known(asn), file, sink);
    unkept(&config, file, sink);
    Some(config)
}

fn bgp(typed: Option<&Spanned<file::Bgp>>, sink: &mut Sink) -> Option<Bgp> {
    let Some(section) = typed else {
        sink.missing(
            "bgp",
            Fault::error(0..0, "the section [bgp] is missing").help("it needs at least: asn = NUMBER"),
        );
        return None;
    };
    let bgp = section.get_ref();
    if bgp.asn.is_none() {
        sink.missing(
            "asn",
            Fault::error(section.span(), "`bgp.asn` is missing").label("needs: asn = NUMBER"),
        );
    }
    session::check_timers(&bgp.timers, sink);
    Some(Bgp {
        router_id: router_id(bgp.router_id.as_ref(), sink),
        listen: sockets::listen(bgp.listen.as_ref(), sink),
        maximum_paths: bgp.maximum_paths.as_ref().map_or(64, |paths| paths.get_ref().get()),
        multipath_relax: copied(&bgp.multipath_relax).unwrap_or(true),
        networks: networks(bgp.networks.as_ref(), sink),
        asn: copied(&bgp.asn)?,
    })
}

fn router_id(typed: Option<&Spanned<Ipv4Addr>>, sink: &mut Sink) -> Option<RouterId> {
    let typed = typed?;
    match RouterId::try_from(*typed.get_ref()) {
        Ok(router_id) => Some(router_id),
        Err(error) => {
            let fault =
                Fault::error(typed.span(), format!("`bgp.router-id`: {error}")).label("must not be zero");
            sink.push(fault.help("leave the key out to have one derived from the host's addresses"));
            None
        }
    }
}

/// A node's agent dials again 10 to 14 s after it lost us, and its first KEEPALIVE comes 30 s later.
const STARTUP_GRACE: Duration = Duration::from_secs(45);

/// A dead node is found 3 s after it was asked, so within 13 s instead of the kernel's half a minute or more; one packet
/// and its answer a node and interval.
const NEIGHBOR_PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// What nothing tells of does not stay undetected for longer; ten times more often would still be cheap.
const AUDIT_INTERVAL: Duration = Duration::from_secs(300);
/// Without a choice; `docs/decisions/0005-resilient-groups.md` says why.
const NEXTHOP_BUCKETS: u16 = 1024;

fn networks(typed: Option<&Spanned<Vec<Spanned<Prefix>>>>, sink: &mut Sink) -> Vec<Prefix> {
    let mut networks = Vec::new();
    for entry in typed.map(Spanned::get_ref).into_iter().flatten() {
        let prefix = *entry.get_ref();
        if prefix.address().is_multicast() {
            let title = format!("`bgp.networks`: {prefix} is a multicast prefix");
            sink.push(Fault::error(entry.span(), title).label("only unicast prefixes can be announced"));
        } else if networks.contains(&prefix) {
            sink.push(Fault::warning(entry.span(), format!("`bgp.networks` names {prefix} twice")));
        } else {
            networks.push(prefix);
        }
    }
    networks
}

/// RFC 8212 gives nothing to an external peer without a policy; networks that nobody gets are worth a word.
fn unannounced(config: &Config, asn: Asn, file: &File, sink: &mut Sink) {
    let mut settings =
        config.neighbors.values().map(|n| &n.settings).chain(config.groups.values().map(|g| &g.settings));
    let gets = |settings: &super::model::Settings| match &settings.export {
        Some(policy) => *policy != bgp_policy::Policy::None,
        None => !settings.remote_asn.is_external(asn),
    };
    if let Some(typed) = file.bgp.as_ref().and_then(|bgp| bgp.get_ref().networks.as_ref())
        && !config.bgp.networks.is_empty()
        && !settings.any(gets)
    {
        let title = "these networks are announced to nobody: no peer has an `export` policy";
        let fault = Fault::warning(typed.span(), title).label("originated, but given to no peer");
        sink.push(
            fault
                .help("give a neighbor or peer-group export = \"all\" or export = \"NAME-OF-A-PREFIX-LIST\""),
        );
    }
}

/// A graceful restart needs peers that keep our routes meanwhile; only those in full mode are asked to.
fn unkept(config: &Config, file: &File, sink: &mut Sink) {
    let mut settings =
        config.neighbors.values().map(|n| &n.settings).chain(config.groups.values().map(|g| &g.settings));
    let is_asked = |settings: &super::model::Settings| {
        settings.session.graceful_restart.mode == GracefulRestartMode::Full
    };
    if let Some(typed) = file.process.as_ref().and_then(|process| process.get_ref().restart.as_ref())
        && *typed.get_ref() == Restart::Graceful
        && !settings.any(is_asked)
    {
        let title =
            "no peer is asked to keep our routes over a restart: none has `graceful-restart.mode` \"full\"";
        let fault = Fault::warning(typed.span(), title).label("every peer is told that we stop");
        sink.push(
            fault.help("give graceful-restart = { mode = \"full\" } to [bgp], a peer-group or a neighbor"),
        );
    }
}

fn kernel(typed: Option<&file::Kernel>, sink: &mut Sink) -> Kernel {
    let empty = file::Kernel::default();
    let kernel = typed.unwrap_or(&empty);
    let table = kernel.table.as_ref().map_or(254, |table| table.get_ref().get());
    if table == 255 {
        let fault = Fault::error(
            place(&kernel.table, &(0..0)),
            "`kernel.table` cannot be 255, the kernel's own `local` table",
        );
        sink.push(fault.label("254 is `main`"));
    }
    Kernel {
        install: copied(&kernel.install).unwrap_or(true),
        table,
        metric: kernel.metric.as_ref().map_or(20, |metric| metric.get_ref().get()),
        preferred_source_ipv4: source(kernel.preferred_source_ipv4.as_ref(), "ipv4", sink),
        preferred_source_ipv6: source(kernel.preferred_source_ipv6.as_ref(), "ipv6", sink),
        resolve_mapped_next_hops: copied(&kernel.resolve_mapped_next_hops).unwrap_or(true),
        keep_routes_on_stop: copied(&kernel.keep_routes_on_stop).unwrap_or(false),
        startup_grace: kernel
            .startup_grace
            .as_ref()
            .map_or(STARTUP_GRACE, |grace| Duration::from_secs(grace.get_ref().get())),
        neighbor_probe_interval: unless_off(
            kernel.neighbor_probe_interval.as_ref().map(|typed| typed.get_ref().get()),
            NEIGHBOR_PROBE_INTERVAL,
        ),
        audit_interval: unless_off(
            kernel.audit_interval.as_ref().map(|typed| typed.get_ref().get()),
            AUDIT_INTERVAL,
        ),
        set_multipath_hash_policy: copied(&kernel.set_multipath_hash_policy).unwrap_or(false),
        nexthop_backup: copied(&kernel.nexthop_backup).unwrap_or(true),
        nexthop_groups: copied(&kernel.nexthop_groups).unwrap_or(NexthopGroups::Resilient),
        resilient: resilient(kernel),
        keep_buckets: kernel.nexthop_buckets.is_none(),
    }
}

/// An interval in seconds, of which 0 means never.
fn unless_off(seconds: Option<u64>, default: Duration) -> Option<Duration> {
    match seconds {
        None => Some(default),
        Some(seconds) => Some(seconds).filter(|n| *n > 0).map(Duration::from_secs),
    }
}

fn resilient(kernel: &file::Kernel) -> Resilient {
    let default = Resilient::default();
    Resilient {
        buckets: kernel.nexthop_buckets.as_ref().map_or(NEXTHOP_BUCKETS, |it| it.get_ref().get()),
        idle_timer: kernel.nexthop_idle_timer.as_ref().map_or(default.idle_timer, |it| it.get_ref().get()),
        unbalanced_timer: kernel
            .nexthop_unbalanced_timer
            .as_ref()
            .map_or(default.unbalanced_timer, |it| it.get_ref().get()),
    }
}

fn source<A: Copy + Into<IpAddr>>(typed: Option<&Spanned<A>>, family: &str, sink: &mut Sink) -> Option<A> {
    let typed = typed?;
    match unusable(Into::<IpAddr>::into(*typed.get_ref())) {
        None => Some(*typed.get_ref()),
        Some(why) => {
            let title = format!("`kernel.preferred-source-{family}`: {why}");
            sink.push(Fault::error(typed.span(), title).label("needs one of this host's addresses"));
            None
        }
    }
}

/// Why an address is none that a host has and reaches others by.
fn unusable(address: IpAddr) -> Option<&'static str> {
    match address {
        address if address.is_unspecified() => Some("the unspecified address is no host's"),
        address if address.is_multicast() => Some("a multicast address is no host's"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address is no host's"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Some("an IPv4-mapped address is not used between hosts; write the IPv4 address")
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

fn process(typed: Option<&file::Process>) -> Process {
    Process {
        user: typed.and_then(|process| text(&process.user)),
        sandbox: typed.and_then(|process| copied(&process.sandbox)).unwrap_or_default(),
        restart: typed.and_then(|process| copied(&process.restart)).unwrap_or(Restart::Hitless),
    }
}

fn copied<T: Copy>(typed: &Option<Spanned<T>>) -> Option<T> {
    typed.as_ref().map(|typed| *typed.get_ref())
}

fn text<const MAX: usize>(typed: &Option<Spanned<file::Text<MAX>>>) -> Option<String> {
    typed.as_ref().map(|typed| typed.get_ref().0.clone())
}

/// Our own AS where it is known, else one that nobody is in.
fn known(asn: Option<Asn>) -> Asn {
    asn.unwrap_or(Asn::ZERO)
}

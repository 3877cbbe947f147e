//! `bgpctl doctor`: everything about the host that can spoil what the routes promise, each with its remedy.
//!
//! More than the checks of every summary: files are read and the kernel is tried, so it is done only when asked. Findings
//! are made of texts and numbers by plain functions; reading those is the last part of the file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bgp_api::{CheckState, HostCheck};
use bgp_netlink::{Sysctl, groups};

use super::{culprit, networkd};

/// Configurations of HAProxy.
const HAPROXY: [&str; 2] = ["/etc/haproxy/haproxy.cfg", "/etc/haproxy/conf.d"];

/// What is read here, for the fence round the daemon's files.
pub const PLACES: [&str; 6] = [
    "/etc/systemd",
    "/run/systemd",
    "/usr/lib/systemd",
    "/usr/local/lib/systemd",
    "/etc/haproxy",
    culprit::PLACE,
];

/// What the daemon knows and the host does not tell.
#[derive(Clone, Debug)]
pub struct Known {
    /// Whether the configuration asks for the hash policy to be set.
    pub set_hash_policy: bool,
    /// Routes that wait for another program's route to go.
    pub blocked: u64,
    /// The ports of `bgp.listen`.
    pub ports: BTreeSet<u16>,
}

/// Looks at everything. Blocks: files, `/proc`, netlink.
pub fn checks(known: &Known) -> Vec<HostCheck> {
    let mut found = super::checks(known.set_hash_policy);
    found.push(compat_mode(Sysctl::NexthopCompatMode.read().ok()));
    found.push(resilient(groups::abilities().map(|it| it.resilient).map_err(|error| error.to_string())));
    found.push(networkd::checked());
    found.push(port(&known.ports, &listeners(&known.ports), &own_sockets()));
    found.push(metric(known.blocked));
    found.push(reverse_path(&rp_filters()));
    found.push(haproxy(&haproxy_texts()));
    found
}

pub(super) fn check(
    name: &str,
    state: CheckState,
    message: impl Into<String>,
    remedy: Option<&str>,
) -> HostCheck {
    HostCheck { name: name.to_owned(), state, message: message.into(), remedy: remedy.map(str::to_owned) }
}

fn compat_mode(value: Option<u32>) -> HostCheck {
    const NAME: &str = "nexthop-compat-mode";
    match value {
        Some(0) => check(NAME, CheckState::Ok, "net.ipv4.nexthop_compat_mode is 0", None),
        Some(value) => check(
            NAME,
            CheckState::Ok,
            format!(
                "net.ipv4.nexthop_compat_mode is {value}: a change of a group costs the kernel a message a route, which \
                 matters from some ten thousand routes on; sysctl -w net.ipv4.nexthop_compat_mode=0 ends that"
            ),
            None,
        ),
        None => check(
            NAME,
            CheckState::Warning,
            "this kernel has no next-hop objects (before Linux 5.3): every change rewrites every route",
            Some("a newer kernel"),
        ),
    }
}

fn resilient(answer: Result<bool, String>) -> HostCheck {
    const NAME: &str = "resilient-groups";
    match answer {
        Ok(true) => check(NAME, CheckState::Ok, "the kernel has resilient next-hop groups", None),
        Ok(false) => check(
            NAME,
            CheckState::Warning,
            "the kernel has no resilient next-hop groups: a node that joins or leaves breaks connections of the others",
            Some("a kernel from Linux 5.13 on"),
        ),
        Err(error) => check(
            NAME,
            CheckState::Failed,
            format!("next-hop objects do not work: {error}"),
            Some("a kernel from Linux 5.13 on, and CAP_NET_ADMIN for the daemon"),
        ),
    }
}

/// Listening sockets by their inodes.
fn port(ports: &BTreeSet<u16>, listeners: &BTreeSet<u64>, ours: &BTreeSet<u64>) -> HostCheck {
    const NAME: &str = "bgp-port";
    if ports.is_empty() {
        return check(NAME, CheckState::Ok, "we listen nowhere and only dial: bgp.listen is empty", None);
    }
    let named = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    if listeners.difference(ours).next().is_some() {
        check(
            NAME,
            CheckState::Failed,
            format!("another process listens on port {named} as well: peers reach the one or the other"),
            Some("ss -ltnp names it; stop it (systemctl disable --now frr, bird, gobgpd)"),
        )
    } else if listeners.is_empty() {
        check(NAME, CheckState::Warning, format!("nobody listens on port {named}"), Some("bgp.listen"))
    } else {
        check(NAME, CheckState::Ok, format!("port {named} is ours alone"), None)
    }
}

fn metric(blocked: u64) -> HostCheck {
    const NAME: &str = "route-metric";
    if blocked == 0 {
        return check(
            NAME,
            CheckState::Ok,
            "no other program's route has the prefix and metric of ours",
            None,
        );
    }
    check(
        NAME,
        CheckState::Failed,
        format!("{blocked} routes are not installed: another program's has the same prefix and metric"),
        Some("bgpctl show fib --state blocked names them; remove those routes, or set another kernel.metric"),
    )
}

/// Interfaces on which the reverse path is checked strictly.
fn reverse_path(filters: &[(String, u32)]) -> HostCheck {
    const NAME: &str = "rp-filter";
    let all = filters.iter().find(|(name, _)| name == "all").map_or(0, |(_, value)| *value);
    // The larger of the two holds, and 2 is the looser.
    let strict = |(name, value): &&(String, u32)| {
        !["all", "default", "lo"].contains(&name.as_str()) && (*value).max(all) == 1
    };
    let names: Vec<&str> = filters.iter().filter(strict).map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return check(NAME, CheckState::Ok, "no interface checks the IPv4 reverse path strictly", None);
    }
    check(
        NAME,
        CheckState::Warning,
        format!(
            "the IPv4 reverse path is checked strictly on {}: answers of a service that come back over another \
             interface than its route are dropped",
            names.join(", ")
        ),
        Some("sysctl -w net.ipv4.conf.all.rp_filter=2"),
    )
}

/// The kernel hashes a connection of the host itself twice, before and after it has chosen its source; only where the
/// program binds address and port first do both agree, and the connection stays on its node.
fn haproxy(texts: &[String]) -> HostCheck {
    const NAME: &str = "haproxy-source";
    const LINE: &str = "on the `server` line of each service of the cluster: source ADDRESS:20000-29999, with ADDRESS the \
                        host's on the bridge; `source ADDRESS` without ports is not enough";
    if texts.is_empty() {
        return check(
            NAME,
            CheckState::Ok,
            "no HAProxy configuration here; other programs of this host whose connections are to live through changes \
             of a route must bind source address and port before they connect",
            None,
        );
    }
    let words = || texts.iter().flat_map(|text| text.lines()).map(|line| line.split_whitespace());
    let source = |words: Vec<&str>| {
        let at = words.iter().position(|word| *word == "source")?;
        let is_server = matches!(words.first(), Some(&("server" | "default-server" | "server-template")));
        words.get(at + 1).filter(|_| is_server).map(|source| (*source).to_owned())
    };
    let sources = words().filter_map(|words| source(words.collect()));
    if sources.filter(|source| has_port_range(source)).count() > 0 {
        return check(NAME, CheckState::Ok, "HAProxy binds source address and port before it connects", None);
    }
    check(
        NAME,
        CheckState::Warning,
        "HAProxy lets the kernel choose source ports: about half of its connections to a service break at any change of \
         the route, whichever nodes stay",
        Some(LINE),
    )
}

/// `ADDRESS:LOW-HIGH`.
fn has_port_range(source: &str) -> bool {
    let ports = source.rsplit_once(':').and_then(|(_, ports)| ports.split_once('-'));
    ports.is_some_and(|(low, high)| low.parse::<u16>().is_ok() && high.parse::<u16>().is_ok())
}

/// Inodes of the sockets that listen on one of the ports, from `/proc/net/tcp` and `tcp6`.
fn listening(table: &str, ports: &BTreeSet<u16>) -> impl Iterator<Item = u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = words.get(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let is_meant = ports.contains(&port) && *words.get(3)? == LISTEN;
        is_meant.then(|| words.get(9)?.parse().ok()).flatten()
    })
}

fn listeners(ports: &BTreeSet<u16>) -> BTreeSet<u64> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| listening(table, ports)).collect()
}

fn own_sockets() -> BTreeSet<u64> {
    let inode = |path: PathBuf| {
        let target = fs::read_link(path).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| inode(entry.path()))
        .collect()
}

fn haproxy_texts() -> Vec<String> {
    let [file, more] = HAPROXY;
    fs::read_to_string(file).into_iter().chain(directory(Path::new(more))).collect()
}

/// The texts of a directory's files, in the order of their names.
pub(super) fn directory(path: &Path) -> Vec<String> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(path).into_iter().flatten().flatten().map(|it| it.path()).collect();
    files.sort();
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect()
}

fn rp_filters() -> Vec<(String, u32)> {
    let value = |path: PathBuf| fs::read_to_string(path.join("rp_filter")).ok()?.trim().parse().ok();
    let entries = fs::read_dir("/proc/sys/net/ipv4/conf").into_iter().flatten().flatten();
    let mut filters: Vec<(String, u32)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.to_owned(), value(entry.path())?)))
        .collect();
    filters.sort();
    filters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn haproxy_needs_a_range_of_ports() {
        let state = |text: &str| haproxy(&texts(&[text])).state;
        assert_eq!(haproxy(&[]).state, CheckState::Ok);
        assert_eq!(state("backend b\n  server s 10.0.0.1:80"), CheckState::Warning);
        assert_eq!(state("backend b\n  source 2001:3200:3200::1"), CheckState::Warning);
        assert_eq!(state("  server s [2004::1]:80 source [2001:3200:3200::1]"), CheckState::Warning);
        assert_eq!(state("  server s [2004::1]:80 source [2001:3200:3200::1]:20000-29999"), CheckState::Ok);
        assert_eq!(state("  # server s [2004::1]:80 source [::1]:20000-29999"), CheckState::Warning);
    }

    #[test]
    fn a_listener_that_is_not_ours_is_found() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 00000000:00B3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n\
             1: 00000000:00B3 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n\
             2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1\n";
        let (nothing, bgp) = (BTreeSet::new(), BTreeSet::from([179]));
        let found: BTreeSet<u64> = listening(table, &bgp).collect();
        assert_eq!(found, BTreeSet::from([4711]));
        assert_eq!(port(&bgp, &found, &BTreeSet::from([4711])).state, CheckState::Ok);
        assert_eq!(port(&bgp, &found, &nothing).state, CheckState::Failed);
        assert_eq!(port(&bgp, &nothing, &nothing).state, CheckState::Warning);
        // Another port than the usual one, and none.
        let found: BTreeSet<u64> = listening(table, &BTreeSet::from([80])).collect();
        assert_eq!(found, BTreeSet::from([4713]));
        assert_eq!(listening(table, &BTreeSet::new()).count(), 0);
        assert_eq!(port(&BTreeSet::new(), &nothing, &nothing).state, CheckState::Ok);
    }

    #[test]
    fn the_larger_reverse_path_filter_holds() {
        let state = |filters: &[(&str, u32)]| {
            let filters: Vec<_> = filters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            reverse_path(&filters).state
        };
        assert_eq!(state(&[("all", 0), ("br-1", 0), ("lo", 1)]), CheckState::Ok);
        assert_eq!(state(&[("all", 0), ("br-1", 1)]), CheckState::Warning);
        assert_eq!(state(&[("all", 1), ("br-1", 0)]), CheckState::Warning);
        assert_eq!(state(&[("all", 2), ("br-1", 1)]), CheckState::Ok);
    }

    #[test]
    fn whatever_is_not_right_has_a_remedy() {
        let found = [
            compat_mode(None),
            resilient(Ok(false)),
            resilient(Err("no".to_owned())),
            metric(3),
            haproxy(&texts(&["x"])),
        ];
        for check in found {
            assert!(check.state != CheckState::Ok && check.remedy.is_some(), "{check:?}");
        }
        assert_eq!(metric(0).state, CheckState::Ok);
        assert_eq!(compat_mode(Some(1)).state, CheckState::Ok);
    }
}

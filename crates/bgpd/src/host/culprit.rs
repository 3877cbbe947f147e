//! Who undoes what the daemon does in the kernel, and how that is ended.
//!
//! Evidence, the best first: the name of the process that asked the kernel, the service whose process that was, the
//! protocol of the route that was put in the place of ours, and which of the programs that are known to do so run here.
//! What is only suspected is said to be.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bgp_fib::{Deed, Meddling, Requester};

use super::networkd;

/// Where services keep the numbers of their processes, for the fence round the daemon's files.
pub const PLACE: &str = "/sys/fs/cgroup/system.slice";
/// Running services, each as a link `invocation:NAME`.
const UNITS: &str = "/run/systemd/units";
const NETWORKD: &str = "systemd-networkd";
/// No host has more processes that are worth a look.
const PROCESSES: usize = 32_768;

/// A program that is known to write where the daemon writes.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    /// As people call it.
    name: &'static str,
    /// As the kernel calls its processes, 15 octets at most.
    processes: &'static [&'static str],
    services: &'static [&'static str],
    /// `rtm_protocol` of its routes, where they have one of their own.
    protocols: &'static [u8],
    remedy: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program {
        name: NETWORKD,
        processes: &["systemd-network"],
        services: &["systemd-networkd"],
        protocols: &[],
        remedy: networkd::REMEDY,
    },
    Program {
        name: "zebra (FRR)",
        processes: &["zebra"],
        services: &["frr"],
        protocols: &[11],
        remedy: "zebra removes every `proto bgp` route that it finds when it starts: systemctl disable --now frr, or \
                 give one of the two a table of its own (kernel.table)",
    },
    Program {
        name: "BIRD",
        processes: &["bird", "bird6"],
        services: &["bird", "bird2"],
        protocols: &[12],
        remedy: "systemctl disable --now bird, or another `kernel table` in bird.conf",
    },
    Program {
        name: "NetworkManager",
        processes: &["NetworkManager"],
        services: &["NetworkManager"],
        protocols: &[],
        remedy: "unmanaged-devices= under [keyfile] in /etc/NetworkManager/conf.d/, with the interfaces of the routes, then \
                 systemctl reload NetworkManager",
    },
    Program {
        name: "docker",
        processes: &["dockerd", "docker"],
        services: &["docker"],
        protocols: &[],
        remedy: "docker network ls: a network that is made or removed takes the routes on its bridge along",
    },
    Program {
        name: "keepalived",
        processes: &["keepalived"],
        services: &["keepalived"],
        protocols: &[18],
        remedy: "take these prefixes out of virtual_routes in keepalived.conf",
    },
    Program {
        name: "another bgpd-rs",
        processes: &["bgpd-rs"],
        services: &[],
        protocols: &[],
        remedy: "two of them take each other's next-hop objects, whatever tables they write: one is enough in a network namespace",
    },
    Program {
        name: "a DHCP client",
        processes: &["dhclient", "dhcpcd", "udhcpc"],
        services: &["dhcpcd"],
        protocols: &[16],
        remedy: "keep it to its own interface and metric",
    },
    Program {
        name: "ip, by a person or a script",
        processes: &["ip"],
        services: &[],
        protocols: &[],
        remedy: "look for `ip route` and `ip nexthop` in cron jobs, hook scripts and shell histories",
    },
];

/// Who it was, and what ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// In words; what is only suspected is said to be.
    pub who: String,
    /// A command or a setting, where one is known.
    pub remedy: Option<&'static str>,
}

/// Names whoever has done it. Reads `/proc`, `/run/systemd` and the cgroups of services, so it belongs off the routing task.
pub fn of(meddling: &Meddling) -> Culprit {
    judge(meddling, service_of, suspects)
}

fn judge(
    Meddling { deed, by, .. }: &Meddling,
    service_of: impl Fn(&Program, u32) -> bool,
    suspects: impl Fn() -> Vec<&'static Program>,
) -> Culprit {
    // systemd opens the socket of systemd-networkd, whose own number is never seen.
    if by.as_deref().is_some_and(Requester::is_init)
        && let Some(program) = suspects().into_iter().find(|program| program.name == NETWORKD)
    {
        return of_program(program, "by a socket that process 1 has opened for a service");
    }
    let unnamed = match by.as_deref() {
        Some(requester @ Requester { process: Some(name), .. }) => {
            let known = PROGRAMS.iter().find(|program| program.processes.contains(&name.as_str()));
            return known.map_or_else(
                || Culprit { who: requester.to_string(), remedy: None },
                |program| of_program(program, &requester.to_string()),
            );
        }
        Some(requester) => requester.to_string(),
        None => "somebody whom the kernel has not named".to_owned(),
    };
    let port = by.as_deref().filter(|requester| requester.is_process()).map(|requester| requester.port);
    if let Some(port) = port
        && let Some(program) = PROGRAMS.iter().find(|program| service_of(program, port))
    {
        return of_program(program, &format!("process {port}, of its service"));
    }
    if let Deed::Replaced { protocol } = deed
        && let Some(program) = PROGRAMS.iter().find(|program| program.protocols.contains(protocol))
    {
        return of_program(program, &format!("by the protocol of its route; {unnamed}"));
    }
    let found = suspects();
    if found.is_empty() {
        return Culprit { who: unnamed, remedy: None };
    }
    let names: Vec<&str> = found.iter().map(|program| program.name).collect();
    Culprit {
        who: format!("{unnamed}; known to do so, and running here: {}", names.join(", ")),
        remedy: found.first().map(|program| program.remedy),
    }
}

fn of_program(program: &Program, evidence: &str) -> Culprit {
    Culprit { who: format!("{}: {evidence}", program.name), remedy: Some(program.remedy) }
}

/// Whether the process belongs to a service of the program: to be seen where `ProtectProc=` hides the process itself.
fn service_of(program: &Program, pid: u32) -> bool {
    program.services.iter().any(|service| {
        let list = fs::read_to_string(format!("{PLACE}/{service}.service/cgroup.procs")).unwrap_or_default();
        list.lines().any(|line| line.parse() == Ok(pid))
    })
}

/// The known programs that run here.
fn suspects() -> Vec<&'static Program> {
    let (processes, services) = (processes(), services(Path::new(UNITS)));
    let runs = |program: &&Program| {
        program.processes.iter().any(|name| processes.contains(*name))
            || program.services.iter().any(|name| services.contains(*name))
    };
    // It runs now and has ended; that is what is being looked for.
    PROGRAMS.iter().filter(|program| !program.processes.contains(&"ip")).filter(runs).collect()
}

/// Names of the processes that may be seen, our own left out.
fn processes() -> BTreeSet<String> {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten().take(PROCESSES);
    let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| pid.bytes().all(|octet| octet.is_ascii_digit()) && *pid != own)
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .collect()
}

fn services(place: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter_map(|name| Some(name.strip_prefix("invocation:")?.strip_suffix(".service")?.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;

    fn meddling(deed: Deed, port: u32, process: Option<&str>) -> Meddling {
        let by = Some(Arc::new(Requester { port, process: process.map(str::to_owned) }));
        Meddling { deed, by, count: 1, at: Instant::now(), examples: Vec::new() }
    }

    fn named(meddling: &Meddling, running: &[&str]) -> Culprit {
        let suspects =
            || PROGRAMS.iter().filter(|program| running.contains(&program.name)).collect::<Vec<_>>();
        judge(meddling, |program, pid| program.name == "systemd-networkd" && pid == 77, suspects)
    }

    #[test]
    fn the_best_evidence_names_the_culprit() {
        let cases = [
            (
                meddling(Deed::Removed, 812, Some("systemd-network")),
                "systemd-networkd",
                "ManageForeignRoutes",
            ),
            (meddling(Deed::Removed, 77, None), "systemd-networkd", "ManageForeignRoutes"),
            (meddling(Deed::Removed, 812, Some("zebra")), "zebra", "frr"),
            (meddling(Deed::Replaced { protocol: 11 }, u32::MAX, None), "zebra", "frr"),
            (meddling(Deed::Removed, 812, Some("ip")), "person", "cron"),
            (meddling(Deed::Removed, u32::MAX, None), "running here: zebra", "frr"),
        ];
        for (meddling, who, remedy) in cases {
            let culprit = named(&meddling, &["zebra (FRR)"]);
            assert!(culprit.who.contains(who), "{meddling:?}: {culprit:?}");
            assert!(culprit.remedy.is_some_and(|it| it.contains(remedy)), "{meddling:?}: {culprit:?}");
        }
    }

    #[test]
    fn the_socket_of_networkd_is_opened_by_process_1() {
        for process in [None, Some("systemd")] {
            let deed = meddling(Deed::Removed, 1, process);
            let culprit = named(&deed, &["systemd-networkd", "docker"]);
            assert_eq!(culprit.who, "systemd-networkd: by a socket that process 1 has opened for a service");
            assert_eq!(culprit.remedy, Some(networkd::REMEDY));
            assert!(!named(&deed, &["docker"]).who.starts_with("systemd-networkd"));
        }
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let ended = named(&meddling(Deed::Removed, 4711, None), &[]);
        assert_eq!(
            ended,
            Culprit { who: "process 4711, which has ended or is hidden".to_owned(), remedy: None }
        );
        let strange = named(&meddling(Deed::Removed, 4711, Some("strange")), &["docker"]);
        assert_eq!(strange, Culprit { who: "strange (process 4711)".to_owned(), remedy: None });
        let by = None;
        let unknown = Meddling { by, ..meddling(Deed::Changed, 0, None) };
        assert_eq!(named(&unknown, &[]).who, "somebody whom the kernel has not named");
    }
}

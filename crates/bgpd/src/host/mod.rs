//! What this host must be set to for the routes to do what they promise, checked at start and for every summary.
//!
//! Owns the findings and their remedies in words. Changes a setting only where the configuration says so.

pub mod culprit;
pub mod doctor;
pub mod kernel;
pub mod networkd;

use bgp_api::{CheckState, HostCheck};
use bgp_netlink::{Sysctl, TcpMd5Counters};
use tracing::{info, warn};

/// The settings that decide whether ECMP spreads the connections of this host itself.
const HASH_POLICIES: [(&str, Sysctl); 2] = [
    ("ipv4-multipath-hash-policy", Sysctl::Ipv4MultipathHashPolicy),
    ("ipv6-multipath-hash-policy", Sysctl::Ipv6MultipathHashPolicy),
];

/// Sets `fib_multipath_hash_policy` to 1 where it is 0.
///
/// A failure is logged and stays visible as a failed check; it is no reason not to route.
pub fn set_multipath_hash_policy() {
    for (_, sysctl) in HASH_POLICIES {
        match sysctl.read() {
            Ok(0) => match sysctl.write(1) {
                Ok(()) => {
                    info!("{sysctl} was 0 and is now 1: connections of this host spread over all next hops")
                }
                Err(error) => warn!("{error}"),
            },
            Ok(_) => {}
            Err(error) => warn!("{error}"),
        }
    }
}

/// Looks at the host. `wanted` says whether the configuration asks for the hash policy to be set.
pub fn checks(wanted: bool) -> Vec<HostCheck> {
    let mut found: Vec<_> =
        HASH_POLICIES.iter().map(|(name, sysctl)| hash_policy(name, *sysctl, wanted)).collect();
    found.extend(tcp_md5());
    found
}

/// Logs what is wrong, once at start.
pub fn log(checks: &[HostCheck]) {
    for check in checks.iter().filter(|check| check.state != CheckState::Ok) {
        warn!(check = check.name, remedy = check.remedy.as_deref().unwrap_or("none"), "{}", check.message);
    }
}

fn hash_policy(name: &str, sysctl: Sysctl, wanted: bool) -> HostCheck {
    let (state, message, remedy) = match sysctl.read() {
        Ok(0) => (
            CheckState::Warning,
            format!(
                "{sysctl} is 0: every connection that this host itself makes to one service goes to one node"
            ),
            Some(if wanted {
                format!("sysctl -w {sysctl}=1 (the daemon was told to set it and could not)")
            } else {
                format!("sysctl -w {sysctl}=1, or set-multipath-hash-policy = true under [kernel]")
            }),
        ),
        Ok(value) => {
            (CheckState::Ok, format!("{sysctl} is {value}: connections spread over all next hops"), None)
        }
        Err(error) => {
            (CheckState::Warning, error.to_string(), Some("look whether /proc/sys is readable".to_owned()))
        }
    };
    HostCheck { name: name.to_owned(), state, message, remedy }
}

/// Wrong TCP MD5 keys leave no other trace than these counters.
fn tcp_md5() -> Option<HostCheck> {
    let dropped = TcpMd5Counters::read().ok()?;
    let name = "tcp-md5".to_owned();
    Some(if dropped.total() == 0 {
        HostCheck {
            name,
            state: CheckState::Ok,
            message: "no segment was dropped for its TCP MD5 digest".to_owned(),
            remedy: None,
        }
    } else {
        HostCheck {
            name,
            state: CheckState::Warning,
            message: format!(
                "segments dropped for their TCP MD5 digest since boot: {} without one, {} with one that was not \
                 expected, {} with a wrong one",
                dropped.not_found, dropped.unexpected, dropped.failure
            ),
            remedy: Some("compare `password` with the peer's authSecretRef, on both sides".to_owned()),
        }
    })
}

//! What this host must be set to for the routes to do what they promise, checked at start and for every summary.
//!
//! Owns the findings and their remedies in words. Changes a setting only where the configuration says so.

pub mod culprit;
pub mod doctor;
pub mod kernel;
pub mod networkd;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bgp_api::{CheckState, HostCheck};
use bgp_netlink::{Sysctl, TcpMd5Counters};
use tracing::{info, warn};

/// So long after something was found wrong that is over, all is well again.
const REMEMBERED: Duration = Duration::from_secs(3600);

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
    let mut seen = DROPS.lock().unwrap_or_else(PoisonError::into_inner);
    Some(seen.get_or_insert_with(|| Drops::before(dropped)).check(dropped, Instant::now()))
}

/// The counters begin with the host; what is wrong now shows by their growth, whoever looks.
static DROPS: Mutex<Option<Drops>> = Mutex::new(None);

/// Segments dropped for their TCP MD5 digest, as they were seen last.
struct Drops {
    total: u64,
    grew: Option<Instant>,
}

impl Drops {
    /// What was dropped before anybody looked is no matter of ours.
    fn before(dropped: TcpMd5Counters) -> Self {
        Self { total: dropped.total(), grew: None }
    }

    fn check(&mut self, dropped: TcpMd5Counters, now: Instant) -> HostCheck {
        if dropped.total() > self.total {
            self.grew = Some(now);
        }
        self.total = dropped.total();
        let TcpMd5Counters { not_found, unexpected, failure } = dropped;
        let counts = format!(
            "since boot {not_found} without one, {unexpected} with one that was not expected, {failure} with a wrong \
             one"
        );
        let ago = self.grew.map(|at| now.saturating_duration_since(at)).filter(|ago| *ago < REMEMBERED);
        let (state, message) = match ago {
            Some(ago) => (
                CheckState::Warning,
                format!(
                    "segments are dropped for their TCP MD5 digest, noticed last {} s ago; {counts}",
                    ago.as_secs()
                ),
            ),
            None => (
                CheckState::Ok,
                format!("no segment was dropped for its TCP MD5 digest within the last hour; {counts}"),
            ),
        };
        let remedy = "compare `password` with the peer's authSecretRef, on both sides";
        let remedy = ago.map(|_| remedy.to_owned());
        HostCheck { name: "tcp-md5".to_owned(), state, message, remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_segments_are_an_alarm_for_an_hour_and_not_until_the_next_boot() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let counted = |failure| TcpMd5Counters { failure, ..TcpMd5Counters::default() };
        let mut drops = Drops::before(counted(7));
        assert_eq!(drops.check(counted(7), start).state, CheckState::Ok, "of before the daemon's start");
        let told = drops.check(counted(8), start);
        assert_eq!(told.state, CheckState::Warning);
        assert!(told.message.contains("8 with a wrong one") && told.remedy.is_some(), "{told:?}");
        assert_eq!(drops.check(counted(8), start + REMEMBERED - second).state, CheckState::Warning);
        let well = drops.check(counted(8), start + REMEMBERED);
        assert_eq!((well.state, well.remedy), (CheckState::Ok, None));
        assert_eq!(drops.check(counted(9), start + REMEMBERED).state, CheckState::Warning);
    }
}

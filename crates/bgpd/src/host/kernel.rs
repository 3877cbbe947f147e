//! What the kernel has done with our routes, as checks: for the summary, `bgpctl doctor` and the alarm
//! (`bgpd_host_check`).

use std::time::{Duration, Instant};

use bgp_api::{CheckState, HostCheck};
use bgp_fib::AuditView;

use crate::routing::Summary;

/// So long after the last difference, all is well again.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Looks at what routing knows.
pub fn checks(routes: &Summary, now: Instant) -> Vec<HostCheck> {
    vec![audit(&routes.audit, now)]
}

fn audit(audit: &AuditView, now: Instant) -> HostCheck {
    const NAME: &str = "fib-audit";
    let ago = |at: Instant| format!("{} s ago", now.saturating_duration_since(at).as_secs());
    if let Some(error) = &audit.error {
        let message = format!("the kernel's routes cannot be read back: {error}");
        let remedy =
            "the daemon needs CAP_NET_ADMIN and netlink sockets: systemctl status bgpd-rs, bgpctl doctor";
        return check(NAME, CheckState::Failed, message, Some(remedy));
    }
    if let Some(differed) = audit.differed.filter(|at| now.saturating_duration_since(*at) < REMEMBERED) {
        let found = audit.differences;
        let message = format!(
            "the kernel did not hold what it had acknowledged, the last time {}: since the start {} missing, {} changed, \
             {} unexpected; all were put right",
            ago(differed),
            found.missing,
            found.changed,
            found.unexpected
        );
        let remedy = "journalctl -u bgpd-rs -g acknowledged names the first of them; `ip monitor route nexthop` shows who \
                      writes there";
        return check(NAME, CheckState::Warning, message, Some(remedy));
    }
    let message = match (&audit.last, audit.interval) {
        (Some(run), _) => {
            format!("the kernel's {} routes of ours are as wanted, read back {}", run.routes, ago(run.ended))
        }
        (None, Some(interval)) => {
            format!(
                "the kernel's routes are read back every {} s, not yet for the first time",
                interval.as_secs()
            )
        }
        (None, None) => "the kernel's routes are not read back: kernel.audit-interval is 0".to_owned(),
    };
    check(NAME, CheckState::Ok, message, None)
}

fn check(name: &str, state: CheckState, message: String, remedy: Option<&str>) -> HostCheck {
    HostCheck { name: name.to_owned(), state, message, remedy: remedy.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use bgp_fib::{AuditRun, Differences, KernelError};

    use super::*;

    #[test]
    fn a_difference_is_an_alarm_for_an_hour_and_a_refusal_until_an_audit_succeeds() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let run = AuditRun { ended: start, took: second, routes: 3 };
        let well = AuditView { runs: 1, last: Some(run), ..AuditView::default() };
        let differences = Differences { missing: 1, ..Differences::default() };
        let differed = AuditView { differed: Some(start), differences, ..well.clone() };
        let error = KernelError { errno: libc::EPERM, message: None };
        let refused = AuditView { error: Some(error), ..well.clone() };
        let state = |view: &AuditView, now| audit(view, now).state;
        assert_eq!(state(&AuditView::default(), start), CheckState::Ok);
        assert_eq!(state(&well, start), CheckState::Ok);
        assert_eq!(state(&differed, start + second), CheckState::Warning);
        assert_eq!(state(&differed, start + REMEMBERED), CheckState::Ok);
        assert_eq!(state(&refused, start), CheckState::Failed);
        assert!([differed, refused].iter().all(|view| audit(view, start).remedy.is_some()));
    }
}

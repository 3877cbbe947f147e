//! What the kernel has done with our routes, as checks: for the summary, `bgpctl doctor` and the alarm
//! (`bgpd_host_check`).

use std::time::Instant;

use bgp_api::{CheckState, HostCheck};
use bgp_fib::{AuditView, Cure, KernelError, Meddling};
use bgp_wire::Prefix;

use super::REMEMBERED;
use super::culprit::{self, Culprit};
use crate::routing::{Summary, deed_word as word};

/// Looks at what routing knows.
pub fn checks(routes: &Summary, now: Instant) -> Vec<HostCheck> {
    let failed = routes.fib.iter().map(|(_, size)| size.failed).sum();
    vec![
        refusals(failed, routes.refusal.as_ref()),
        audit(&routes.audit, now),
        meddling(&routes.meddling, routes.paused, now, culprit::of),
    ]
}

fn refusals(failed: u64, one: Option<&(Prefix, KernelError)>) -> HostCheck {
    const NAME: &str = "kernel-refusals";
    let Some((prefix, error)) = one.filter(|_| failed > 0) else {
        return check(NAME, CheckState::Ok, "the kernel refuses no route".to_owned(), None);
    };
    let cure = Cure::of(error);
    let message = format!(
        "the kernel refuses {failed} routes, {prefix} for one: {error}; they are tried again at least every 30 s, and {cure}"
    );
    let remedy = match cure {
        Cure::Privilege => "AmbientCapabilities=CAP_NET_ADMIN in the unit, then systemctl restart bgpd-rs",
        Cure::Host | Cure::Room | Cure::Kernel | Cure::Unknown => {
            "bgpctl show fib --state failed names each; bgpctl show nexthops where they should lead"
        }
    };
    check(NAME, CheckState::Failed, message, Some(remedy))
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

fn meddling(
    rows: &[Meddling],
    paused: u64,
    now: Instant,
    culprit: impl Fn(&Meddling) -> Culprit,
) -> HostCheck {
    const NAME: &str = "kernel-meddling";
    let recent = rows.iter().filter(|row| now.saturating_duration_since(row.at) < REMEMBERED);
    let Some(last) = recent.max_by_key(|row| row.at) else {
        return check(NAME, CheckState::Ok, "nobody else removes or changes our routes".to_owned(), None);
    };
    let Culprit { who, remedy } = culprit(last);
    let (deed, times) = (word(last.deed), last.count);
    let ago = now.saturating_duration_since(last.at).as_secs();
    let mut message =
        format!("routes or next-hop objects of ours were {deed} {times} times, last {ago} s ago: {who}");
    let mut state = CheckState::Warning;
    if paused > 0 {
        state = CheckState::Failed;
        message.push_str(&format!("; {paused} routes are put back ever more slowly, for it does not end"));
    }
    let remedy = remedy.unwrap_or("`ip monitor route nexthop` shows when it happens; auditd can say who");
    check(NAME, state, message, Some(remedy))
}

fn check(name: &str, state: CheckState, message: String, remedy: Option<&str>) -> HostCheck {
    HostCheck { name: name.to_owned(), state, message, remedy: remedy.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bgp_fib::{AuditRun, Deed, Differences, KernelError};

    use super::*;

    #[test]
    fn a_refusal_is_an_alarm_with_what_the_kernel_said() {
        let message = Some("Invalid prefsrc address".to_owned());
        let one = ("10.9.0.1/32".parse().unwrap(), KernelError { errno: libc::EINVAL, message });
        let told = refusals(3, Some(&one));
        assert_eq!(told.state, CheckState::Failed);
        for part in ["3 routes", "10.9.0.1/32", "Invalid prefsrc address", "an address"] {
            assert!(told.message.contains(part), "{told:?}");
        }
        assert_eq!(refusals(0, None).state, CheckState::Ok);
    }

    #[test]
    fn what_others_do_is_an_alarm_for_an_hour_and_worse_while_it_goes_on() {
        let start = Instant::now();
        let row = Meddling { deed: Deed::Removed, by: None, count: 3, at: start, examples: Vec::new() };
        let of = |_: &Meddling| Culprit { who: "zebra".to_owned(), remedy: None };
        let check = |rows: &[Meddling], paused, now| meddling(rows, paused, now, of);
        assert_eq!(check(&[], 0, start).state, CheckState::Ok);
        let told = check(std::slice::from_ref(&row), 0, start);
        assert_eq!(told.state, CheckState::Warning);
        assert!(told.message.contains("zebra") && told.remedy.is_some(), "{told:?}");
        assert_eq!(check(std::slice::from_ref(&row), 1, start).state, CheckState::Failed);
        assert_eq!(check(&[row], 0, start + REMEMBERED).state, CheckState::Ok);
    }

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

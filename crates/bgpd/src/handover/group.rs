//! Control groups, cgroups(7): systemd takes a process for a service's new main process only where it is in the service's
//! control group, unless root says so, which the daemon is not. And it waits at a stop for its own children alone: any other
//! gets SIGKILL right after SIGTERM, and can neither hand over nor say good-bye.
//!
//! Not here: what the service manager is told (`store`).

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Where version 2 of the hierarchy is.
const ROOT: &str = "/sys/fs/cgroup";
/// How long a parent that has started this process to end at once may take to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a process is in this one's control group, as far as can be seen.
pub(super) fn is_beside(pid: i32) -> bool {
    let Some(ours) = membership("self") else { return false };
    // The group lists also whom `ProtectProc=` hides.
    let listed = unified(&ours).is_some_and(|group| members(group).any(|member| member == pid));
    listed || membership(&pid.to_string()) == Some(ours)
}

/// Moves this process into the control group of `pid` where that is a service's, and says which it is.
///
/// # Errors
/// The service's manager would not be this process's parent, or the kernel refuses it: only root may.
pub(super) fn join(pid: i32) -> anyhow::Result<Option<String>> {
    let Some(theirs) = membership(&pid.to_string()) else { return Ok(None) };
    let Some(group) = unified(&theirs).filter(|group| group.ends_with(".service")) else { return Ok(None) };
    if membership("self").as_deref().and_then(unified) == Some(group) {
        return Ok(None);
    }
    if !has_parent_of(pid) {
        bail!(
            "systemd waits only for its own children at a stop: start it by `setsid --fork`, or restart the service \
             instead, which hands over as well"
        );
    }
    fs::write(list(group), std::process::id().to_string()).with_context(|| {
        format!(
            "cannot join {group}: start it as root, or restart the service instead, which hands over as well"
        )
    })?;
    Ok(Some(group.to_owned()))
}

/// Whether this process has the same parent, or gets it when the one that it has ends.
fn has_parent_of(pid: i32) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let Some(wanted) = parent(&pid.to_string()) else { return false };
    loop {
        if parent("self").as_ref() == Some(&wanted) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The number of a process's parent.
fn parent(process: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")).map(|number| number.trim().to_owned())
}

/// The control groups of a process, a line a hierarchy; `None` where it is gone or hidden.
fn membership(process: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{process}/cgroup")).ok()
}

/// Its group in version 2 of the hierarchy.
fn unified(membership: &str) -> Option<&str> {
    membership.lines().find_map(|line| line.strip_prefix("0::"))
}

fn members(group: &str) -> impl Iterator<Item = i32> {
    let list = fs::read_to_string(list(group)).unwrap_or_default();
    list.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>().into_iter()
}

fn list(group: &str) -> String {
    format!("{ROOT}{group}/cgroup.procs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_that_of_version_2() {
        assert_eq!(unified("0::/system.slice/bgpd-rs.service\n"), Some("/system.slice/bgpd-rs.service"));
        assert_eq!(unified("4:memory:/a\n1:name=systemd:/b\n0::/\n"), Some("/"));
        assert_eq!(unified("4:memory:/a\n"), None);
    }

    #[test]
    fn a_process_is_beside_itself_and_has_nothing_to_join() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(is_beside(own));
        assert!(!is_beside(i32::MAX));
        assert_eq!(join(own).unwrap(), None);
    }

    #[test]
    fn a_child_has_another_parent() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let number = child.id().to_string();
        assert_eq!(parent(&number), Some(std::process::id().to_string()));
        assert!(!has_parent_of(i32::try_from(child.id()).unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_parent_of(i32::try_from(std::process::id()).unwrap()));
    }
}

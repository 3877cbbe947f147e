//! Control groups, cgroups(7): systemd takes a process for a service's new main process only where it is in the service's
//! control group, unless root says so, which the daemon is not.
//!
//! Not here: what the service manager is told (`store`).

use std::fs;
use std::io;

/// Where version 2 of the hierarchy is.
const ROOT: &str = "/sys/fs/cgroup";

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
/// The kernel refuses it: only root may.
pub(super) fn join(pid: i32) -> io::Result<Option<String>> {
    let Some(theirs) = membership(&pid.to_string()) else { return Ok(None) };
    let Some(group) = unified(&theirs).filter(|group| group.ends_with(".service")) else { return Ok(None) };
    if membership("self").as_deref().and_then(unified) == Some(group) {
        return Ok(None);
    }
    fs::write(list(group), std::process::id().to_string())?;
    Ok(Some(group.to_owned()))
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
}

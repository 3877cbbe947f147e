//! What processes have used: CPU time by their own clocks, memory from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::ClockId;
use nix::unistd::Pid;

/// CPU time and memory of a set of processes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Sum of resident memory now, in KiB.
    pub(crate) resident: u64,
    /// Sum of the peaks of resident memory, in KiB.
    pub(crate) peak: u64,
}

/// Processes and all that descends from them.
pub(crate) fn with_children(roots: impl Iterator<Item = i32>) -> Vec<i32> {
    let mut found: Vec<i32> = roots.collect();
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
        at += 1;
    }
    found
}

/// Reads what processes have used until now.
pub(crate) fn of(pids: &[i32]) -> Result<Usage> {
    let mut sum = Usage::default();
    for pid in pids {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(*pid)).context("a daemon has ended")?;
        sum.cpu += Duration::from(clock.now().context("a daemon has ended")?);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("a daemon has ended")?;
        let kibibytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
        };
        sum.resident += kibibytes("VmRSS:");
        sum.peak += kibibytes("VmHWM:");
    }
    Ok(sum)
}

/// The load average of the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let used = of(&[pid]).unwrap();
        assert!(used.peak >= used.resident && used.resident > 100);
        assert!(used.cpu > Duration::ZERO);
        assert!(of(&[-1]).is_err());
    }

    #[test]
    fn children_are_found() {
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let found = with_children(std::iter::once(pid));
        assert!(found.contains(&i32::try_from(child.id()).unwrap()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}

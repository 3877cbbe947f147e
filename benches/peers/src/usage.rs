//! What processes have used: CPU time and the peak of their memory, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time and memory of a set of processes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Sum of the peaks of resident memory, in KiB.
    pub(crate) peak: u64,
}

/// Reads what processes have used until now.
pub(crate) fn of(pids: &[i32]) -> Result<Usage> {
    let mut sum = Usage::default();
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("a daemon has ended")?;
        // The name in the second field may hold blanks, but no field behind it a parenthesis.
        let fields: Vec<u64> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .map(|field| field.parse().unwrap_or_default())
            .collect();
        let ticks = fields.get(11..13).map_or(0, |times| times.iter().sum());
        sum.cpu += Duration::from_millis(ticks * 10);
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        sum.peak += peak
            .and_then(|value| value.split_whitespace().next())
            .and_then(|value| value.parse::<u64>().ok())
            .unwrap_or_default();
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
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(of(&[pid]).unwrap().peak > 100);
        assert!(of(&[-1]).is_err());
    }
}

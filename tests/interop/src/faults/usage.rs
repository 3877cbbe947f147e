//! What a process holds: memory, descriptors, threads; from `/proc`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// At one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, KiB.
    pub resident: u64,
    /// The most that it ever was, KiB.
    pub peak: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: u64,
}

impl Usage {
    /// Of a running process.
    pub fn of(pid: i32) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).with_context(|| format!("no {name} in {path}"))
        };
        Ok(Self {
            resident: field("VmRSS:")?,
            peak: field("VmHWM:")?,
            descriptors: descriptors(pid)?,
            threads: field("Threads:")?,
        })
    }
}

/// What each thread of a process does, for a person who looks for the reason of a hang: its name, whether it runs or where
/// in the kernel it waits, and the ticks of processor time that it has used.
pub fn threads(pid: i32) -> String {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let one = |path: std::path::PathBuf| {
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
        let stat = read("stat");
        let fields = behind_the_name(&stat);
        let field = |at: usize| fields.get(at).copied().unwrap_or("?").to_owned();
        format!(
            "{:<16} {} in {:<24} user {} system {}\n",
            read("comm").trim(),
            field(0),
            read("wchan"),
            field(11),
            field(12)
        )
    };
    entries.map(|entry| one(entry.path())).collect()
}

/// A field of the status of each thread of a process, by the thread's id. Threads that end meanwhile are left out.
pub fn of_each_thread(pid: i32, field: &str) -> Result<BTreeMap<OsString, String>> {
    let mut values = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        let status = match fs::read_to_string(task.path().join("status")) {
            Err(_) if !task.path().exists() => continue,
            status => status?,
        };
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context(field.to_owned())?;
        values.insert(task.file_name(), line.trim().to_owned());
    }
    Ok(values)
}

/// The fields of a `stat` behind the name, which may hold anything.
fn behind_the_name(stat: &str) -> Vec<&str> {
    stat.rsplit(") ").next().unwrap_or_default().split(' ').collect()
}

/// The processor time that a process has used.
pub fn processor_time(pid: i32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    let fields = behind_the_name(&stat);
    let ticks = |at: usize| -> Result<u64> {
        let field = fields.get(at).with_context(|| format!("{path} is too short"))?;
        Ok(field.parse()?)
    };
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no ticks a second")?;
    let ticks = ticks(11)? + ticks(12)?;
    Ok(Duration::from_millis(ticks * 1000 / u64::try_from(per_second)?))
}

/// How many descriptors a process has open.
pub fn descriptors(pid: i32) -> Result<usize> {
    let path = format!("/proc/{pid}/fd");
    Ok(fs::read_dir(&path).with_context(|| path.clone())?.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_something() {
        let usage = Usage::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(
            usage.resident > 0 && usage.peak >= usage.resident && usage.descriptors > 2 && usage.threads > 0
        );
    }
}

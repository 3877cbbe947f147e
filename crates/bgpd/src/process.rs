//! Figures of this process, from `/proc/self`, under the names that Prometheus' client libraries use.

use std::fs;

/// What the process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// User and system time.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Virtual memory.
    pub virtual_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Their limit.
    pub max_fds: u64,
    /// Start, Unix time.
    pub start_time_seconds: f64,
}

/// The figures now; what cannot be read is zero.
pub fn figures() -> Figures {
    read().unwrap_or_default()
}

fn read() -> Option<Figures> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The command may hold spaces and parentheses; what follows the last one are plain numbers from field 3 on.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok());
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    let per_second = ticks as f64;
    Some(Figures {
        cpu_seconds: (field(14)? + field(15)?) as f64 / per_second,
        threads: field(20)?,
        start_time_seconds: boot_time()? + field(22)? as f64 / per_second,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * u64::try_from(page).ok()?,
        open_fds: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        max_fds: nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
            .map_or(0, |(soft, _)| soft),
    })
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_figures() {
        let figures = figures();
        assert!(figures.resident_bytes > 100_000, "{figures:?}");
        assert!(
            figures.threads >= 1 && figures.open_fds >= 3 && figures.max_fds >= figures.open_fds,
            "{figures:?}"
        );
        assert!(figures.start_time_seconds > 1.0e9, "{figures:?}");
    }
}

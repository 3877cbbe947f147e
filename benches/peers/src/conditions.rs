//! Under which conditions was it measured: the table, the machine, the versions, how busy it was.

use std::fs;
use std::process::Command;

use interop::command::run;

use crate::stream::{self, Piece};
use crate::{Options, usage};

/// What is known before the first run.
pub(crate) fn before(table: &[Piece], options: &Options) -> String {
    let [v4, v6] = stream::count(table);
    let origin = if options.table.is_some() { "of a real feed" } else { "made up" };
    let scale = if options.scale == 1.0 {
        String::new()
    } else {
        format!(" **Everything scaled to {}.**", options.scale)
    };
    let versions = options.daemons.iter().filter_map(|name| {
        let package = name.package()?;
        let version = run(Command::new("dpkg-query").args(["-W", "-f", "${Version}", package])).ok()?;
        Some(format!("{} {version}", name.title()))
    });
    let versions: Vec<_> = versions.collect();
    let others =
        if versions.is_empty() { String::new() } else { format!(" Beside {}.", versions.join(", ")) };
    format!(
        "{v4} IPv4 and {v6} IPv6 prefixes in {} attribute sets, {origin}. Medians of at most {} runs; who needs more than {} s \
         for one wait has not done it.{scale}{others} {} {}; load average (1 min) {:.1} at the start",
        table.len(),
        options.repeat,
        options.limit,
        machine(),
        run(Command::new("uname").arg("-r")).unwrap_or_default().trim().split('-').next().unwrap_or_default(),
        usage::load()
    )
}

/// What is known after the last run.
pub(crate) fn after() -> String {
    format!(", {:.1} at the end.", usage::load())
}

fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = text.lines().filter(|line| line.starts_with("processor")).count();
    format!("{cores} cores of {}, Linux", model.unwrap_or("unknown make"))
}

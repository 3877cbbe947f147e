//! `show summary`: the daemon on one screen; what is wrong with the host comes with its remedy.

use bgp_api::{FibSize, Summary};

use crate::output::Style;
use crate::table::{Align, Table, Tone};
use crate::text::{bytes, clean, count, duration};

/// The whole output.
pub(crate) fn render(summary: &Summary, style: Style) -> String {
    let mut text = format!(
        "bgpd-rs {}, pid {}, up {}\nrouter id {}, local AS {}\n",
        clean(&summary.version),
        summary.pid,
        duration(summary.uptime_seconds),
        clean(&summary.router_id),
        summary.local_as,
    );
    text.push_str(&peers(summary, style));
    text.push_str(&config(summary, style));
    text.push_str(&memory(summary));
    text.push('\n');
    text.push_str(&tables(summary, style));
    text.push_str(&checks(summary, style));
    text
}

fn peers(summary: &Summary, style: Style) -> String {
    let peers = summary.peers;
    let up = format!("{} of {} up", peers.established, count(peers.total, "peer"));
    let tone = if peers.established + peers.shutdown >= peers.total { Tone::Good } else { Tone::Bad };
    let mut line = style.painter.paint(&up, tone);
    if peers.dynamic > 0 {
        line.push_str(&format!(", {} by listen range", peers.dynamic));
    }
    if peers.shutdown > 0 {
        line.push_str(&format!(", {} shut down", peers.shutdown));
    }
    line.push_str(&format!(", {}\n", count(peers.groups, "peer group")));
    line
}

fn config(summary: &Summary, style: Style) -> String {
    let config = &summary.config;
    let mut text =
        format!("config {}, loaded {} ago\n", clean(&config.path), duration(config.loaded_seconds));
    if let Some(trial) = super::actions::trial(config.confirm_seconds, config.rolled_back_seconds) {
        text.push_str(&style.painter.paint(&trial, Tone::Warn));
        text.push('\n');
    }
    for line in &config.needs_restart {
        text.push_str(&style.painter.paint(&clean(line), Tone::Warn));
        text.push('\n');
    }
    if let Some(error) = &config.last_reload_error {
        let line = format!("the last reload was refused: {}", crate::text::clean_lines(error));
        for line in line.split('\n') {
            text.push_str(&style.painter.paint(line, Tone::Bad));
            text.push('\n');
        }
    }
    text
}

fn memory(summary: &Summary) -> String {
    let memory = summary.memory;
    let rib = memory.rib_bytes.map(|n| format!(", RIB {}", bytes(n))).unwrap_or_default();
    format!(
        "memory {}{rib}, {}\n",
        bytes(memory.resident_bytes),
        count(memory.attribute_sets, "attribute set")
    )
}

fn tables(summary: &Summary, style: Style) -> String {
    let mut table = Table::new(&[
        ("FAMILY", Align::Left),
        ("PREFIXES", Align::Right),
        ("PATHS", Align::Right),
        ("BEST", Align::Right),
        ("INSTALLED", Align::Right),
        ("PENDING", Align::Right),
        ("REMOVING", Align::Right),
        ("BLOCKED", Align::Right),
        ("UNREACHABLE", Align::Right),
        ("FAILED", Align::Right),
    ]);
    for rib in &summary.rib {
        let mut cells = vec![
            rib.family.clone().into(),
            rib.prefixes.to_string().into(),
            rib.paths.to_string().into(),
            rib.best.to_string().into(),
        ];
        if let Some(fib) = summary.fib.iter().find(|fib| fib.family == rib.family) {
            for number in kernel_columns(fib) {
                cells.push(number.to_string().into());
            }
        }
        table.row(cells);
    }
    format!(
        "{}kernel: {}, {}\n",
        table.render(style.painter),
        count(summary.kernel_nexthops, "nexthop object"),
        count(summary.kernel_groups, "nexthop group")
    )
}

fn kernel_columns(fib: &FibSize) -> [u64; 6] {
    [fib.installed, fib.pending, fib.removing, fib.blocked, fib.unreachable, fib.failed]
}

fn checks(summary: &Summary, style: Style) -> String {
    if summary.checks.is_empty() {
        return String::new();
    }
    format!("\n{}", super::doctor::table(&summary.checks, style))
}

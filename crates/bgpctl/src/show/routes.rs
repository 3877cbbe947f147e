//! `show routes`: a line per path with the reason that it is used or not; one prefix with all its attributes.

use bgp_api::{Attributes, Path, PathStatus, Route, RoutesReply};

use crate::output::Style;
use crate::table::{Align, Cell, Table, Tone};
use crate::text::{clean, count, duration, number_or_dash, or_dash};

/// The whole output; `detail` where one prefix was asked for.
pub(crate) fn render(reply: &RoutesReply, detail: bool, style: Style) -> String {
    if reply.routes.is_empty() {
        return "no routes\n".to_owned();
    }
    let mut text = if detail {
        reply.routes.iter().map(|route| one(route, style)).collect::<Vec<_>>().join("\n")
    } else {
        list(reply, style)
    };
    if reply.more {
        let total = reply.total.map(|total| format!(" of {total}")).unwrap_or_default();
        text.push_str(&format!("{}{total} shown; a higher --limit shows more\n", reply.routes.len()));
    }
    text
}

fn list(reply: &RoutesReply, style: Style) -> String {
    let mut table = Table::new(&[
        ("PREFIX", Align::Left),
        ("STATUS", Align::Left),
        ("PEER", Align::Left),
        ("NEXT HOP", Align::Left),
        ("AS PATH", Align::Left),
        ("ORIGIN", Align::Left),
        ("PREF", Align::Right),
        ("MED", Align::Right),
        ("REASON", Align::Left),
    ]);
    for route in &reply.routes {
        let mut prefix = Cell::from(route.prefix.clone());
        for path in &route.paths {
            let attributes = &path.attributes;
            let (word, tone) = status(path);
            table.row(vec![
                std::mem::take(&mut prefix),
                Cell::toned(word, tone),
                or_dash(path.peer.as_deref()).into(),
                or_dash(path.next_hop.as_deref()).into(),
                as_path(attributes).into(),
                attributes.origin.clone().into(),
                number_or_dash(attributes.local_pref).into(),
                number_or_dash(attributes.med).into(),
                path.reason.clone().into(),
            ]);
        }
        if let Some(text) = not_in_the_kernel(route) {
            table.note(text, Tone::Bad);
        }
    }
    table.render(style.painter)
}

/// Why a route that is wanted in the kernel is not there, as far as something is in its way.
fn not_in_the_kernel(route: &Route) -> Option<String> {
    let kernel = route.kernel.as_ref()?;
    Some(format!("kernel: {}: {}", kernel.state, kernel.trouble()?))
}

fn status(path: &Path) -> (String, Tone) {
    let tone = match path.status {
        PathStatus::Best | PathStatus::Multipath => Tone::Good,
        PathStatus::Candidate | PathStatus::Advertised => Tone::Plain,
        PathStatus::Rejected | PathStatus::Unreachable => Tone::Bad,
        PathStatus::Unknown => Tone::Warn,
    };
    let stale = match (path.long_lived_stale, path.stale) {
        (true, _) => ", long-lived stale",
        (false, true) => ", stale",
        (false, false) => "",
    };
    let backup = if path.backup { ", backup" } else { "" };
    (format!("{}{backup}{stale}", path.status), tone)
}

fn as_path(attributes: &Attributes) -> &str {
    if attributes.as_path.is_empty() { "-" } else { &attributes.as_path }
}

fn one(route: &Route, style: Style) -> String {
    let n = u64::try_from(route.paths.len()).unwrap_or(u64::MAX);
    let title = format!("{} ({}), {}", route.prefix, route.family, count(n, "path"));
    let mut text = format!("{}\n", style.painter.paint(&title, Tone::Head));
    if let Some(trouble) = not_in_the_kernel(route) {
        text.push_str(&format!("  {}\n", style.painter.paint(&clean(&trouble), Tone::Bad)));
    }
    for path in &route.paths {
        text.push_str(&one_path(path, style));
    }
    text
}

fn one_path(path: &Path, style: Style) -> String {
    let (word, tone) = status(path);
    let status = style.painter.paint(&word, tone);
    let from =
        path.peer.as_deref().map_or_else(|| "originated here".to_owned(), |peer| format!("from {peer}"));
    let age = path.age_seconds.map(|age| format!(", {} ago", duration(age))).unwrap_or_default();
    let mut text = format!("\n  {status} {}{age}\n", clean(&from));
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("    {:<22}{}\n", format!("{name}:"), clean(value)));
    };
    line("Reason", &path.reason);
    if let Some(next_hop) = &path.next_hop {
        let resolved = path.resolved.as_deref().unwrap_or("unreachable");
        line("Next hop", &format!("{next_hop} ({resolved})"));
    }
    let attributes = &path.attributes;
    line("AS path", if attributes.as_path.is_empty() { "empty" } else { &attributes.as_path });
    line("Origin", &attributes.origin);
    for (name, value) in optional_attributes(attributes) {
        line(name, &value);
    }
    text
}

/// Those that a route may have or not, and only if it has.
fn optional_attributes(attributes: &Attributes) -> Vec<(&'static str, String)> {
    let list = |items: &[String]| (!items.is_empty()).then(|| items.join(" "));
    let lines = [
        ("Local preference", attributes.local_pref.map(|n| n.to_string())),
        ("MED", attributes.med.map(|n| n.to_string())),
        ("Communities", list(&attributes.communities)),
        ("Large communities", list(&attributes.large_communities)),
        ("Extended communities", list(&attributes.extended_communities)),
        ("Atomic aggregate", attributes.atomic_aggregate.then(|| "yes".to_owned())),
        ("Aggregator", attributes.aggregator.clone()),
        ("Originator id", attributes.originator_id.clone()),
        ("Cluster list", list(&attributes.cluster_list)),
        ("AIGP", attributes.aigp.map(|n| n.to_string())),
        ("Only to customer", attributes.otc.map(|n| n.to_string())),
        ("Other", (!attributes.other.is_empty()).then(|| attributes.other.join("; "))),
    ];
    lines.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

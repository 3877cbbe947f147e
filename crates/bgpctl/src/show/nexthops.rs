//! `show nexthops`: each next hop and how it was resolved, then the kernel's groups.

use bgp_api::{GroupMember, JoiningMember, NexthopGroup, NexthopState, NexthopsReply};

use crate::output::Style;
use crate::table::{Align, Cell, Table, Tone};
use crate::text::{clean, duration, number_or_dash, or_dash};

/// The whole output.
pub(crate) fn render(reply: &NexthopsReply, style: Style) -> String {
    if reply.nexthops.is_empty() && reply.groups.is_empty() {
        return "no next hops\n".to_owned();
    }
    let mut text = nexthops(reply, style);
    if !reply.groups.is_empty() {
        text.push('\n');
        text.push_str(&groups(reply, style));
    }
    text
}

fn nexthops(reply: &NexthopsReply, style: Style) -> String {
    let mut table = Table::new(&[
        ("NEXT HOP", Align::Left),
        ("STATE", Align::Left),
        ("KIND", Align::Left),
        ("SINCE", Align::Right),
        ("PATHS", Align::Right),
        ("NHID", Align::Right),
        ("RESOLUTION", Align::Left),
    ]);
    for nexthop in &reply.nexthops {
        let tone = match nexthop.state {
            NexthopState::Reachable => Tone::Good,
            NexthopState::Unreachable => Tone::Bad,
            NexthopState::Resolving | NexthopState::Unknown => Tone::Warn,
        };
        table.row(vec![
            nexthop.next_hop.clone().into(),
            Cell::toned(nexthop.state.as_str(), tone),
            or_dash(nexthop.kind.map(bgp_api::NexthopKind::as_str)).into(),
            number_or_dash(nexthop.since_seconds.map(duration)).into(),
            number_or_dash(nexthop.paths).into(),
            number_or_dash(nexthop.kernel_id).into(),
            nexthop.resolution.clone().into(),
        ]);
        if let Some(drain) = &nexthop.drain {
            table.note(clean(drain), Tone::Warn);
        }
        if let Some(error) = &nexthop.error {
            table.note(error.clone(), Tone::Bad);
        }
    }
    table.without_empty(&["SINCE", "PATHS"]).render(style.painter)
}

fn groups(reply: &NexthopsReply, style: Style) -> String {
    let mut table = Table::new(&[
        ("GROUP", Align::Right),
        ("ROUTES", Align::Right),
        ("ALGORITHM", Align::Left),
        ("MOVED", Align::Right),
        ("NHID", Align::Right),
        ("WEIGHT", Align::Right),
        ("BUCKETS", Align::Right),
        ("IDLE", Align::Right),
        ("LAST USED", Align::Right),
        ("NEXT HOP", Align::Left),
    ]);
    for group in &reply.groups {
        let mut lead: Vec<Cell> = vec![
            group.kernel_id.to_string().into(),
            group.routes.to_string().into(),
            or_dash(group.algorithm.as_deref()).into(),
            moved(group).into(),
        ];
        if group.members.is_empty() {
            table.row(lead.clone());
        }
        for member in &group.members {
            let width = lead.len();
            let mut cells = std::mem::replace(&mut lead, vec![Cell::default(); width]);
            cells.push(member.kernel_id.to_string().into());
            cells.push(member.weight.to_string().into());
            cells.push(number_or_dash(member.buckets).into());
            cells.push(number_or_dash(member.idle_buckets).into());
            cells.push(last_used(member).into());
            let backup = if member.backup { " (backup)" } else { "" };
            cells.push(format!("{}{backup}", member.next_hop).into());
            table.row(cells);
        }
        for joining in &group.joining {
            let JoiningMember { next_hop, in_seconds } = joining;
            let note = format!("{next_hop} joins in {}, for flows to show themselves", duration(*in_seconds));
            table.note(note, Tone::Warn);
        }
    }
    table.without_empty(&["MOVED", "BUCKETS", "IDLE", "LAST USED"]).render(style.painter)
}

/// How many buckets the last change has moved, of how many.
fn moved(group: &NexthopGroup) -> String {
    match (group.moved, group.buckets) {
        (Some(moved), Some(buckets)) => format!("{moved} of {buckets}"),
        (Some(moved), None) => moved.to_string(),
        (None, _) => "-".to_owned(),
    }
}

/// How long ago a packet last used a bucket of the member, and the bucket used least recently.
fn last_used(member: &GroupMember) -> String {
    match (member.idle_min_ms, member.idle_max_ms) {
        (Some(least), Some(most)) => format!("{}..{} ago", duration(least / 1000), duration(most / 1000)),
        (_, _) => "-".to_owned(),
    }
}

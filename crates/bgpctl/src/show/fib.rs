//! `show fib`: a line per leg of each kernel route; below a route that is not installed what is in its way.

use bgp_api::{FibNextHop, FibReply, FibRoute, FibState};

use crate::output::Style;
use crate::table::{Align, Cell, Table, Tone};
use crate::text::{count, duration, number_or_dash, or_dash};

/// The whole output.
pub(crate) fn render(reply: &FibReply, style: Style) -> String {
    let mut text =
        format!("table {}, metric {}, protocol {}\n", reply.table, reply.metric, protocol(reply.protocol));
    if reply.routes.is_empty() {
        text.push_str("no routes\n");
        return text;
    }
    let mut table = Table::new(&[
        ("PREFIX", Align::Left),
        ("STATE", Align::Left),
        ("SINCE", Align::Right),
        ("NHID", Align::Right),
        ("NEXT HOP", Align::Left),
        ("GATEWAY", Align::Left),
        ("INTERFACE", Align::Left),
    ]);
    for route in &reply.routes {
        add(&mut table, route);
    }
    text.push('\n');
    text.push_str(&table.without_empty(&["SINCE"]).render(style.painter));
    if reply.more {
        let total = reply.total.map(|total| format!(" of {total}")).unwrap_or_default();
        text.push_str(&format!("{}{total} shown; a higher --limit shows more\n", reply.routes.len()));
    }
    text
}

/// The name that `ip route` has for it.
fn protocol(number: u8) -> String {
    if number == 186 { "bgp".to_owned() } else { number.to_string() }
}

fn add(table: &mut Table, route: &FibRoute) {
    let mut lead: Vec<Cell> = vec![
        route.prefix.clone().into(),
        Cell::toned(route.state.as_str(), tone(route.state)),
        number_or_dash(route.since_seconds.map(duration)).into(),
        number_or_dash(route.nhid).into(),
    ];
    if route.next_hops.is_empty() {
        table.row(lead.clone());
    }
    for next_hop in &route.next_hops {
        let width = lead.len();
        let cells = std::mem::replace(&mut lead, vec![Cell::default(); width]);
        add_leg(table, cells, next_hop);
    }
    if route.repairs > 0 {
        let times = count(route.repairs, "time");
        let by = route.undone_by.as_ref().map(|by| format!(", the last time by {by}")).unwrap_or_default();
        table.note(format!("put back {times} after somebody removed or changed it{by}"), Tone::Warn);
    }
    if let Some(trouble) = route.trouble() {
        table.note(trouble, Tone::Bad);
    }
}

fn add_leg(table: &mut Table, mut cells: Vec<Cell>, leg: &FibNextHop) {
    cells.push(leg.next_hop.clone().into());
    if let Some(reason) = &leg.left_out {
        table.row_with_tail(cells, Cell::toned(format!("left out: {reason}"), Tone::Warn));
        return;
    }
    cells.push(or_dash(leg.gateway.as_deref()).into());
    let backup = if leg.backup { " (backup)" } else { "" };
    cells.push(format!("{}{backup}", or_dash(leg.interface.as_deref())).into());
    table.row(cells);
}

fn tone(state: FibState) -> Tone {
    match state {
        FibState::Installed => Tone::Good,
        FibState::Pending | FibState::Removing | FibState::Unknown => Tone::Warn,
        FibState::Blocked | FibState::Unreachable | FibState::Failed => Tone::Bad,
    }
}

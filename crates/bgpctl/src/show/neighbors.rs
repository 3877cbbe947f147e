//! `show neighbors`: a line per peer and family, and below a peer that is not up why and when it tries next.

use bgp_api::{Neighbor, NeighborFamily, NeighborsReply, SessionState, Summary};

use crate::output::Style;
use crate::table::{Align, Cell, Table, Tone};
use crate::text::{clean, count, duration, number_or_dash, or_dash};

/// A column: its heading, its side, and whether only `-o wide` has it.
type Column = (&'static str, Align, bool);

/// Columns of the peer; the family's follow.
const PEER: [Column; 12] = [
    ("NEIGHBOR", Align::Left, false),
    ("NAME", Align::Left, false),
    ("GROUP", Align::Left, true),
    ("LOCAL AS", Align::Right, true),
    ("AS", Align::Right, false),
    ("STATE", Align::Left, false),
    ("UP/DOWN", Align::Right, false),
    ("FLAPS", Align::Right, true),
    ("MSG-RCVD", Align::Right, false),
    ("MSG-SENT", Align::Right, false),
    ("IN-Q", Align::Right, true),
    ("OUT-Q", Align::Right, true),
];

/// Columns of one family.
const FAMILY: [Column; 5] = [
    ("FAMILY", Align::Left, false),
    ("RECEIVED", Align::Right, false),
    ("ACCEPTED", Align::Right, false),
    ("BEST", Align::Right, false),
    ("ADVERTISED", Align::Right, false),
];

/// The whole output.
pub(crate) fn render(reply: &NeighborsReply, summary: &Summary, style: Style) -> String {
    let mut text = format!(
        "router id {}, local AS {}, {} of {} up\n",
        clean(&summary.router_id),
        summary.local_as,
        summary.peers.established,
        count(summary.peers.total, "peer"),
    );
    if reply.neighbors.is_empty() {
        text.push_str("\nno neighbors: none is configured, and none has come in through a listen range\n");
        return text;
    }
    let shown = |column: &&Column| style.wide || !column.2;
    let columns: Vec<_> = PEER.iter().chain(&FAMILY).filter(shown).map(|c| (c.0, c.1)).collect();
    let mut table = Table::new(&columns);
    for neighbor in &reply.neighbors {
        add(&mut table, neighbor, style);
    }
    text.push('\n');
    text.push_str(&table.render(style.painter));
    text
}

fn add(table: &mut Table, neighbor: &Neighbor, style: Style) {
    let mut peer = peer_cells(neighbor, style);
    if neighbor.families.is_empty() {
        table.row(peer.clone());
    }
    for family in &neighbor.families {
        let width = peer.len();
        let cells = std::mem::replace(&mut peer, vec![Cell::default(); width]);
        add_family(table, cells, family);
    }
    if neighbor.state != SessionState::Established {
        table.note(why_down(neighbor), Tone::Bad);
    }
    if let Some(node) = neighbor.node.as_deref().filter(|node| is_worth_saying(neighbor, node)) {
        table.note(clean(node), Tone::Warn);
    }
    if let Some(drain) = &neighbor.drain {
        table.note(clean(drain), Tone::Warn);
    }
    if let Some(who) = &neighbor.graceful_shutdown {
        table.note(format!("is told GRACEFUL_SHUTDOWN, {}", clean(who)), Tone::Warn);
    }
    for warning in &neighbor.warnings {
        table.note(format!("warning: {warning}"), Tone::Warn);
    }
    // Export without policy is the usual case towards a node that only announces; the detail view has the sentence.
    if let Some(note) = &neighbor.policy.import.note {
        table.note(format!("warning: {note}"), Tone::Warn);
    }
}

/// A node that is there, with its session up and nothing decided about it, is the usual case.
fn is_worth_saying(neighbor: &Neighbor, node: &str) -> bool {
    neighbor.state != SessionState::Established || !node.starts_with("node is there") || node.contains(';')
}

fn peer_cells(neighbor: &Neighbor, style: Style) -> Vec<Cell> {
    let hostname = neighbor.negotiated.as_ref().and_then(|n| n.hostname.as_deref());
    let name = neighbor.description.as_deref().or(hostname);
    let since = neighbor.since_seconds.map_or_else(|| "never".to_owned(), duration);
    let cells: [Cell; 12] = [
        neighbor.address.clone().into(),
        or_dash(name).into(),
        or_dash(neighbor.group.as_deref()).into(),
        neighbor.local_as.to_string().into(),
        number_or_dash(neighbor.remote_as).into(),
        Cell::toned(neighbor.state.as_str(), state_tone(neighbor)),
        since.into(),
        neighbor.flaps.to_string().into(),
        neighbor.messages.received.total().to_string().into(),
        neighbor.messages.sent.total().to_string().into(),
        neighbor.messages.queued_in_bytes.to_string().into(),
        neighbor.messages.queued_out_bytes.to_string().into(),
    ];
    cells.into_iter().zip(PEER).filter(|(_, column)| style.wide || !column.2).map(|(cell, _)| cell).collect()
}

fn add_family(table: &mut Table, mut cells: Vec<Cell>, family: &NeighborFamily) {
    cells.push(family.family.clone().into());
    if let Some(reason) = &family.not_negotiated_because {
        table.row_with_tail(cells, Cell::toned(format!("not negotiated: {reason}"), Tone::Warn));
        return;
    }
    for number in [family.received, family.accepted, family.best, family.advertised] {
        cells.push(number.to_string().into());
    }
    table.row(cells);
}

/// Green is up, yellow is on its way, red is neither.
pub(crate) fn state_tone(neighbor: &Neighbor) -> Tone {
    match neighbor.state {
        SessionState::Established => Tone::Good,
        SessionState::OpenSent | SessionState::OpenConfirm | SessionState::Connect => Tone::Warn,
        SessionState::Idle | SessionState::Active | SessionState::Unknown => Tone::Bad,
    }
}

/// Why it is not up, and what happens next.
pub(crate) fn why_down(neighbor: &Neighbor) -> String {
    let why = match &neighbor.last_down {
        Some(down) => format!("{} ({} ago)", down.reason, duration(down.seconds_ago)),
        None => "has not been up yet".to_owned(),
    };
    let next = match (&neighbor.next_step, neighbor.next_attempt_seconds) {
        (Some(step), _) => step.clone(),
        (None, Some(seconds)) => format!("next attempt in {}", duration(seconds)),
        (None, None) => "no attempt is planned".to_owned(),
    };
    format!("{why}; {next}")
}

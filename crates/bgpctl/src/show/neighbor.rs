//! `show neighbors ADDRESS`: everything about one peer, in sections.

use bgp_api::{BfdSession, Endpoint, GracefulRestart, MessageCounts, Neighbor, PeerKind, SessionState};

use crate::output::Style;
use crate::show::bfd::{last_failure, milliseconds, peer_says, tone};
use crate::show::neighbors::{state_tone, why_down};
use crate::table::{Align, Cell, Table, Tone};
use crate::text::{duration, number_or_dash, or_dash, yes_no};

/// The whole output.
pub(crate) fn render(neighbor: &Neighbor, style: Style) -> String {
    let sections = [
        Some(head(neighbor, style)),
        Some(transport(neighbor, style)),
        Some(policy(neighbor, style)),
        families(neighbor, style),
        Some(messages(neighbor, style)),
        capabilities(neighbor, style),
        neighbor.graceful_restart.as_ref().map(|restart| graceful_restart(restart, style)),
        neighbor.bfd.as_ref().map(|session| bfd(session, style)),
    ];
    sections.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// A section of `name: value` lines.
struct Section {
    text: String,
    style: Style,
}

impl Section {
    fn new(title: &str, style: Style) -> Self {
        Self { text: format!("{}\n", style.painter.paint(title, Tone::Head)), style }
    }

    fn line(&mut self, name: &str, value: &str) {
        self.toned(name, value, Tone::Plain);
    }

    fn toned(&mut self, name: &str, value: &str, tone: Tone) {
        self.text.push_str(&format!(
            "  {:<20}{}\n",
            format!("{name}:"),
            self.style.painter.paint(value, tone)
        ));
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.line(name, value);
        }
    }
}

fn head(neighbor: &Neighbor, style: Style) -> String {
    let mut section = Section::new(&format!("Neighbor {}", neighbor.address), style);
    section.optional("Description", neighbor.description.as_deref());
    section.optional("Host name", neighbor.negotiated.as_ref().and_then(|n| n.hostname.as_deref()));
    section.optional("Group", neighbor.group.as_deref());
    section.optional("Listen range", neighbor.listen_range.as_deref());
    let kind = match neighbor.kind {
        PeerKind::External => "external",
        PeerKind::Internal => "internal",
        PeerKind::Unknown => "unknown kind",
    };
    let remote = neighbor.remote_as.map_or_else(|| "not known yet".to_owned(), |asn| asn.to_string());
    section.line("AS", &format!("{remote} ({kind}), local AS {}", neighbor.local_as));
    section.toned("State", &state(neighbor), state_tone(neighbor));
    if neighbor.state == SessionState::Established {
        if let Some(down) = &neighbor.last_down {
            section.line("Last down", &format!("{} ({} ago)", down.reason, duration(down.seconds_ago)));
        }
    } else {
        section.toned("Why", &why_down(neighbor), Tone::Bad);
    }
    if let Some(drain) = &neighbor.drain {
        section.toned("Drain", drain, Tone::Warn);
    }
    if let Some(who) = &neighbor.graceful_shutdown {
        section.toned("Graceful shutdown", &format!("told, {who}"), Tone::Warn);
    }
    section.line("Flaps", &neighbor.flaps.to_string());
    if let Some(agreed) = &neighbor.negotiated {
        section.line("Router id", &agreed.router_id);
        let left = agreed.hold_left_seconds.map(|s| format!(", {s} s left")).unwrap_or_default();
        section.line("Hold time", &format!("{} s{left}", agreed.hold_seconds));
        section.line("Keepalive", &format!("every {} s", agreed.keepalive_seconds));
    }
    for warning in &neighbor.warnings {
        section.toned("Warning", warning, Tone::Warn);
    }
    section.text
}

fn state(neighbor: &Neighbor) -> String {
    match (neighbor.state, neighbor.since_seconds) {
        (SessionState::Established, Some(since)) => format!("Established for {}", duration(since)),
        (state, Some(since)) => format!("{state}, down for {}", duration(since)),
        (state, None) => state.to_string(),
    }
}

fn transport(neighbor: &Neighbor, style: Style) -> String {
    let transport = &neighbor.transport;
    let mut section = Section::new("Transport", style);
    section.optional("Local", transport.local.as_ref().map(endpoint).as_deref());
    section.optional("Remote", transport.remote.as_ref().map(endpoint).as_deref());
    section.optional("Interface", transport.interface.as_deref());
    section.line("Who dials", &transport.mode);
    section.line("TCP MD5", yes_no(transport.md5));
    section.line("TTL", &transport.ttl);
    section.text
}

fn endpoint(endpoint: &Endpoint) -> String {
    if endpoint.address.contains(':') {
        format!("[{}]:{}", endpoint.address, endpoint.port)
    } else {
        format!("{}:{}", endpoint.address, endpoint.port)
    }
}

fn policy(neighbor: &Neighbor, style: Style) -> String {
    let mut section = Section::new("Policy", style);
    for (name, policy) in [("Import", &neighbor.policy.import), ("Export", &neighbor.policy.export)] {
        match &policy.note {
            Some(note) => section.toned(name, &format!("{}: {note}", policy.policy), Tone::Warn),
            None => section.line(name, &policy.policy),
        }
    }
    section.text
}

fn families(neighbor: &Neighbor, style: Style) -> Option<String> {
    if neighbor.families.is_empty() {
        return None;
    }
    let mut table = Table::new(&[
        ("FAMILY", Align::Left),
        ("RECEIVED", Align::Right),
        ("ACCEPTED", Align::Right),
        ("BEST", Align::Right),
        ("ADVERTISED", Align::Right),
        ("STALE", Align::Right),
        ("PENDING", Align::Right),
        ("END-OF-RIB", Align::Left),
        ("LIMIT", Align::Left),
    ])
    .indented(2);
    for family in &neighbor.families {
        let name = Cell::from(family.family.clone());
        if let Some(reason) = &family.not_negotiated_because {
            table.row_with_tail(vec![name], Cell::toned(format!("not negotiated: {reason}"), Tone::Warn));
            continue;
        }
        let mut cells = vec![name];
        let numbers = [
            family.received,
            family.accepted,
            family.best,
            family.advertised,
            family.stale,
            family.pending_out,
        ];
        cells.extend(numbers.iter().map(|number| Cell::from(number.to_string())));
        cells.push(end_of_rib(family.end_of_rib_received, family.end_of_rib_sent).into());
        cells.push(match &family.maximum_prefix {
            Some(limit) if limit.exceeded => {
                Cell::toned(format!("{} ({}), exceeded", limit.limit, limit.action), Tone::Bad)
            }
            Some(limit) => format!("{} ({})", limit.limit, limit.action).into(),
            None => "-".into(),
        });
        table.row(cells);
    }
    Some(format!("{}\n{}", style.painter.paint("Families", Tone::Head), table.render(style.painter)))
}

fn end_of_rib(received: bool, sent: bool) -> &'static str {
    match (received, sent) {
        (true, true) => "received, sent",
        (true, false) => "received",
        (false, true) => "sent",
        (false, false) => "-",
    }
}

/// One counter out of the counters of a direction.
type Count = fn(&MessageCounts) -> u64;

fn messages(neighbor: &Neighbor, style: Style) -> String {
    let messages = &neighbor.messages;
    let mut table =
        Table::new(&[("TYPE", Align::Left), ("RECEIVED", Align::Right), ("SENT", Align::Right)]).indented(2);
    let rows: [(&str, Count); 7] = [
        ("OPEN", |c| c.open),
        ("UPDATE", |c| c.update),
        ("NOTIFICATION", |c| c.notification),
        ("KEEPALIVE", |c| c.keepalive),
        ("ROUTE-REFRESH", |c| c.route_refresh),
        ("all", MessageCounts::total),
        ("bytes", |c| c.bytes),
    ];
    for (name, number) in rows {
        let pair = [number(&messages.received), number(&messages.sent)];
        table.row(vec![name.into(), pair[0].to_string().into(), pair[1].to_string().into()]);
    }
    let queued = [messages.queued_in_bytes, messages.queued_out_bytes];
    table.row(vec!["queued bytes".into(), queued[0].to_string().into(), queued[1].to_string().into()]);
    if messages.malformed_updates > 0 {
        let malformed = Cell::toned(messages.malformed_updates.to_string(), Tone::Bad);
        table.row(vec!["malformed UPDATE".into(), malformed, "-".into()]);
    }
    let last = number_or_dash(messages.last_received_seconds.map(|s| format!("{} ago", duration(s))));
    let title = style.painter.paint("Messages", Tone::Head);
    format!("{title}\n{}  last received: {last}\n", table.render(style.painter))
}

fn capabilities(neighbor: &Neighbor, style: Style) -> Option<String> {
    if neighbor.capabilities.is_empty() {
        return None;
    }
    let mut table =
        Table::new(&[("CAPABILITY", Align::Left), ("WE", Align::Left), ("PEER", Align::Left)]).indented(2);
    for capability in &neighbor.capabilities {
        table.row(vec![
            capability.name.clone().into(),
            or_dash(capability.local.as_deref()).into(),
            or_dash(capability.remote.as_deref()).into(),
        ]);
    }
    Some(format!("{}\n{}", style.painter.paint("Capabilities", Tone::Head), table.render(style.painter)))
}

fn graceful_restart(restart: &GracefulRestart, style: Style) -> String {
    let mut section = Section::new("Graceful restart", style);
    // What a peer that is away had announced of itself went with its session.
    let is_away = restart.peer_restart_seconds.is_none() && restart.stale_removed_in_seconds.is_some();
    if !is_away {
        match restart.peer_restart_seconds {
            Some(seconds) => section.line("Peer restarts in", &format!("{seconds} s at most")),
            None => section.line("Peer restarts in", "not announced"),
        }
        section.line("Peer restarted", yes_no(restart.peer_restarted));
        section.line("Over NOTIFICATION", yes_no(restart.notification));
        let kept = restart.peer_forwarding_kept.join(", ");
        section.line("Forwarding kept", if kept.is_empty() { "none" } else { &kept });
    }
    if let Some(seconds) = restart.stale_removed_in_seconds {
        section.toned("Stale routes", &format!("removed in {}", duration(seconds)), Tone::Warn);
    }
    section.text
}

fn bfd(session: &BfdSession, style: Style) -> String {
    let mut section = Section::new("BFD", style);
    let state = format!("{} for {}", session.state, duration(session.since_seconds));
    section.toned("State", &state, tone(session.state));
    section.line("Peer says", &peer_says(session));
    section.line("Sends every", &milliseconds(session.transmit_interval_us));
    section.line("Detects in", &number_or_dash(session.detection_time_us.map(milliseconds)));
    let counted = format!("{}, up {} times", session.failures, session.ups);
    section.line("Failures", &counted);
    section.optional("Last failure", last_failure(session).as_deref());
    if let Some(trouble) = &session.trouble {
        section.toned("Trouble", trouble, Tone::Bad);
    }
    section.text
}

//! `show bfd`: one line a session, and what was dropped.

use bgp_api::{BfdReply, BfdSession, BfdState};

use crate::output::Style;
use crate::table::{Align, Cell, Table, Tone};
use crate::text::{duration, number_or_dash};

/// The whole output.
pub(crate) fn render(reply: &BfdReply, style: Style) -> String {
    if reply.sessions.is_empty() {
        return "no BFD sessions\n".to_owned();
    }
    let mut table = Table::new(&[
        ("NEIGHBOR", Align::Left),
        ("STATE", Align::Left),
        ("SINCE", Align::Right),
        ("PEER SAYS", Align::Left),
        ("SENDS EVERY", Align::Right),
        ("DETECTS IN", Align::Right),
        ("FAILURES", Align::Right),
        ("SENT", Align::Right),
        ("RECEIVED", Align::Right),
        ("LAST FAILURE", Align::Left),
    ]);
    for session in &reply.sessions {
        table.row(vec![
            session.peer.clone().into(),
            Cell::toned(session.state.as_str(), tone(session.state)),
            duration(session.since_seconds).into(),
            peer_says(session).into(),
            milliseconds(session.transmit_interval_us).into(),
            number_or_dash(session.detection_time_us.map(milliseconds)).into(),
            session.failures.to_string().into(),
            session.sent.to_string().into(),
            session.received.to_string().into(),
            number_or_dash(last_failure(session)).into(),
        ]);
        if let Some(trouble) = &session.trouble {
            table.note(trouble.clone(), Tone::Bad);
        }
    }
    let mut text = table.without_empty(&["LAST FAILURE"]).render(style.painter);
    let dropped: Vec<String> =
        reply.dropped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if !dropped.is_empty() {
        text.push_str(&format!("\ndropped packets: {}\n", dropped.join(", ")));
    }
    text
}

/// The colour of a state.
pub(crate) fn tone(state: BfdState) -> Tone {
    match state {
        BfdState::Up => Tone::Good,
        BfdState::Down => Tone::Bad,
        BfdState::Init | BfdState::AdminDown | BfdState::Unknown => Tone::Warn,
    }
}

/// The peer's state, and why, where it says so.
pub(crate) fn peer_says(session: &BfdSession) -> String {
    match &session.remote {
        None => "-".to_owned(),
        Some(remote) if remote.diagnostic == "none" => remote.state.to_string(),
        Some(remote) => format!("{}: {}", remote.state, remote.diagnostic),
    }
}

/// Why it failed last.
pub(crate) fn last_failure(session: &BfdSession) -> Option<String> {
    let failure = session.last_failure.as_ref()?;
    Some(format!("{} ({} ago)", failure.reason, duration(failure.seconds_ago)))
}

/// Microseconds as milliseconds, with a fraction where there is one.
pub(crate) fn milliseconds(micros: u64) -> String {
    match micros % 1000 {
        0 => format!("{} ms", micros / 1000),
        rest => format!("{}.{rest:03} ms", micros / 1000),
    }
}

//! `bgpctl monitor`: one line per event.

use bgp_api::{Event, EventKind, path};

use crate::client::Client;
use crate::failure::Failure;
use crate::output::print;
use crate::table::{Painter, Tone};
use crate::text::duration;

/// Prints events until the daemon or the reader goes away.
pub(crate) async fn run(client: &Client<'_>, painter: Painter, json: bool) -> Result<(), Failure> {
    client
        .lines(path::MONITOR, |line| {
            if line.is_empty() {
                return Ok(());
            }
            let event: Event =
                serde_json::from_slice(line).map_err(|error| Failure::Malformed(error.to_string()))?;
            if json {
                return print(&format!("{}\n", String::from_utf8_lossy(line)));
            }
            print(&format!("{}\n", render(&event, painter)))
        })
        .await
}

/// The time, the kind in a column, and the rest as a sentence.
fn render(event: &Event, painter: Painter) -> String {
    let (word, tone, sentence) = sentence(&event.kind);
    let pad = " ".repeat(16_usize.saturating_sub(word.len()));
    let line = format!(
        "{}  {}{pad}{}",
        painter.paint(&event.time, Tone::Plain),
        painter.paint(word, tone),
        sentence
    );
    line.trim_end().to_owned()
}

fn sentence(kind: &EventKind) -> (&'static str, Tone, String) {
    let clean = |text: String| crate::text::clean(&text).into_owned();
    let (word, tone, text) = match kind {
        EventKind::MonitorStarted { version } => ("monitor", Tone::Plain, format!("bgpd-rs {version}")),
        EventKind::SessionUp { peer, remote_as, hostname, families } => {
            let name = hostname.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            ("session up", Tone::Good, format!("{peer} AS {remote_as}{name}: {}", families.join(", ")))
        }
        EventKind::SessionDown { peer, reason, next_attempt_seconds } => {
            let next = next_attempt_seconds
                .map_or_else(String::new, |seconds| format!("; next attempt in {}", duration(seconds)));
            ("session down", Tone::Bad, format!("{peer}: {reason}{next}"))
        }
        EventKind::BestChange { prefix, next_hops } if next_hops.is_empty() => {
            ("best", Tone::Plain, format!("{prefix} gone"))
        }
        EventKind::BestChange { prefix, next_hops } => {
            ("best", Tone::Plain, format!("{prefix} via {}", next_hops.join(", ")))
        }
        EventKind::FibInstall { prefix, nhid, next_hops } => {
            let nhid = nhid.map(|id| format!(" nhid {id}")).unwrap_or_default();
            ("fib install", Tone::Good, format!("{prefix}{nhid} via {}", next_hops.join(", ")))
        }
        EventKind::FibRemove { prefix } => ("fib remove", Tone::Plain, prefix.clone()),
        EventKind::FibUndone { deed, count, examples, by, .. } => {
            ("fib undone", Tone::Bad, format!("{count} {deed} ({}) by {by}", examples.join(", ")))
        }
        EventKind::FibError { prefix, error, .. } => ("fib error", Tone::Bad, format!("{prefix}: {error}")),
        EventKind::NexthopChange { next_hop, state, resolution } => {
            let tone = match state {
                bgp_api::NexthopState::Reachable => Tone::Good,
                bgp_api::NexthopState::Unreachable => Tone::Bad,
                bgp_api::NexthopState::Resolving | bgp_api::NexthopState::Unknown => Tone::Warn,
            };
            ("nexthop", tone, format!("{next_hop} {state}: {resolution}"))
        }
        EventKind::BfdChange { peer, state, failed, reason } => {
            let tone = match (failed, state.as_str()) {
                (true, _) => Tone::Bad,
                (false, "Up") => Tone::Good,
                (false, _) => Tone::Warn,
            };
            let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            ("bfd", tone, format!("{peer} {state}{why}"))
        }
        EventKind::ConfigReload { applied: true, message } => ("config reload", Tone::Good, message.clone()),
        EventKind::ConfigReload { applied: false, message } => ("config refused", Tone::Bad, message.clone()),
        EventKind::Lost { count } => {
            ("lost", Tone::Warn, format!("{count} events, because this reader is too slow"))
        }
        EventKind::Unknown => {
            ("unknown", Tone::Warn, "an event of a later version; --json shows it".to_owned())
        }
    };
    (word, tone, clean(text))
}

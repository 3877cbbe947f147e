//! Logging: tracing events as lines on standard error, as journald takes them.
//!
//! Lines go by a queue and a thread of their own (`lines`), so that a log that takes nothing holds nobody up.
//!
//! Under systemd the time and the priority are the journal's: lines carry a `<N>` prefix (sd-daemon(3)) and no
//! timestamp. On a terminal they carry a time and colours.

use std::fmt;
use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

mod allowance;
mod lines;

pub(crate) use self::allowance::Allowance;

/// Changes the filter of a running log.
static RELOAD: OnceLock<Change> = OnceLock::new();

/// Puts another filter in place.
type Change = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// What keeps logging from being started.
type StartError = Box<dyn std::error::Error + Send + Sync>;

/// Starts logging with `filter`, such as `info` or `bgpd_rs=debug`, which [`change`] may replace.
///
/// # Errors
/// The filter does not parse, or logging was started before.
pub fn start(filter: &str) -> Result<(), StartError> {
    let handle = begin(filter)?;
    keep(Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())));
    Ok(())
}

/// The same with a filter that stays, whatever the configuration says: whoever started this process has chosen it.
///
/// # Errors
/// The filter does not parse, or logging was started before.
pub fn start_for_good(filter: &str) -> Result<(), StartError> {
    begin(filter)?;
    keep(Box::new(|_| Err("--log or BGPD_RS_LOG says what is logged".to_owned())));
    Ok(())
}

fn begin(filter: &str) -> Result<Handle<EnvFilter, Registry>, StartError> {
    let filter = EnvFilter::try_new(filter)?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(lines::ToLines);
    let lines = if std::env::var_os("JOURNAL_STREAM").is_some() {
        lines.with_ansi(false).event_format(Journal).boxed()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed()
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    Ok(handle)
}

/// Lines that were logged until now wait; from now on a thread of its own writes them. To be called when everything that
/// belongs to threads is settled: the environment, capabilities, the fence around files.
///
/// # Errors
/// There can be no thread.
pub fn write_from_here() -> std::io::Result<()> {
    lines::write_from_here()
}

/// Waits until everything that was logged is written, for a second at most: the last thing before the process ends.
pub fn finish() {
    lines::finish();
}

/// Writes one line more, as an error, behind everything that was logged, for a second at most: the process ends without a
/// chance for anybody else.
pub fn last_words(text: &str) {
    lines::last(text);
}

/// Keeps the way to change the filter.
fn keep(change: Change) {
    // A second start has failed before this.
    drop(RELOAD.set(change));
}

/// Whether what is logged is heard by somebody.
pub fn is_started() -> bool {
    RELOAD.get().is_some()
}

/// Changes the filter of the running log.
///
/// # Errors
/// The filter does not parse, it was chosen for good, or logging was never started.
pub fn change(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    match RELOAD.get() {
        Some(change) => change(filter),
        None => Err("logging was not started".to_owned()),
    }
}

/// One line an event: `<priority>message field=value`.
struct Journal;

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: format::Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(writer, "{fields}: ")?;
            }
        }
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use tracing::level_filters::LevelFilter;

    use super::*;

    #[test]
    fn a_filter_chosen_at_the_start_outlives_a_reload() {
        start_for_good("warn").unwrap();
        assert!(is_started());
        assert!(change("debug").unwrap_err().contains("--log"));
        assert_eq!(LevelFilter::current(), LevelFilter::WARN);
    }
}

//! Parsing that goes on behind a syntax error, so that one report has them all.
//!
//! The parser recovers from most errors by itself but gives up at a line that is only a word. Such a line is blanked,
//! octet by octet so that places stay true, and the text is parsed again.

use std::collections::BTreeSet;

use toml::de::{DeTable, Error};
use zeroize::Zeroizing;

use super::super::fault::{Fault, Sink, Span};

/// So many lines of nonsense are enough for one report.
const ROUNDS: usize = 32;

/// The text with the lines blanked at which the parser gives up. Every syntax error goes into `sink`.
pub(super) fn readable(text: &str, sink: &mut Sink) -> Zeroizing<String> {
    let mut text = Zeroizing::new(text.to_owned());
    let mut seen = BTreeSet::new();
    for _ in 0..ROUNDS {
        let (_, errors) = DeTable::parse_recoverable(&text);
        let lines: Vec<Span> = errors.iter().filter_map(|error| hopeless(&text, error)).collect();
        sink.syntax |= !errors.is_empty();
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            if seen.insert((span.start, span.end, error.message().to_owned())) {
                sink.push(Fault::error(span, format!("this is not TOML: {}", error.message())).label("here"));
            }
        }
        if lines.is_empty() {
            break;
        }
        for line in lines {
            text.replace_range(line.clone(), &" ".repeat(line.len()));
        }
    }
    text
}

/// The line of the error, if it is neither a header nor has a value.
fn hopeless(text: &str, error: &Error) -> Option<Span> {
    let at = error.span()?.start;
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let end = text.get(at..)?.find('\n').map_or(text.len(), |newline| at + newline);
    let line = text.get(start..end)?.trim();
    (!line.is_empty() && !line.starts_with('[') && !line.contains('=')).then_some(start..end)
}

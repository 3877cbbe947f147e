//! What is wrong with a configuration, with its place in the text.
//!
//! Owns the list of faults and warnings; how they look on a terminal is `report`.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::{report, secret};

/// A place in the text, in octets.
pub type Span = Range<usize>;

/// Whether a configuration with this fault is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Refused.
    Error,
    /// Taken, but probably not what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whether it costs the configuration.
    pub severity: Severity,
    /// Where; `None` where there is no text, as for a file that cannot be read.
    pub span: Option<Span>,
    /// What is wrong, with the key; one sentence.
    pub title: String,
    /// Beside the marked text; may be empty.
    pub label: String,
    /// Another place that matters.
    pub related: Option<(Span, String)>,
    /// What would be right.
    pub helps: Vec<String>,
    /// What to write instead of the text at this place.
    pub fix: Option<(Span, String)>,
}

impl Fault {
    fn order(&self) -> (Severity, Option<(usize, usize)>, &str) {
        (self.severity, self.span.as_ref().map(|span| (span.start, span.end)), &self.title)
    }

    /// An error at `span`.
    pub fn error(span: Span, title: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            span: Some(span),
            title: title.into(),
            label: String::new(),
            related: None,
            helps: Vec::new(),
            fix: None,
        }
    }

    /// A warning at `span`.
    pub fn warning(span: Span, title: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, title) }
    }

    /// An error that has no place in the text.
    pub fn without_place(title: impl Into<String>) -> Self {
        Self { span: None, ..Self::error(0..0, title) }
    }

    /// With words beside the marked text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With one more line of help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.helps.push(help.into());
        self
    }

    /// With another place that matters.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }

    /// With the text that would be right at `span`.
    #[must_use]
    pub fn fix(mut self, span: Span, text: impl Into<String>) -> Self {
        self.fix = Some((span, text.into()));
        self
    }
}

/// Faults while they are collected, and the places that hold secrets and must not be shown.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) faults: Vec<Fault>,
    pub(super) secrets: Vec<Span>,
    /// Keys that may be missing only because their value or name was wrong, or their line no TOML.
    pub(super) doubtful: BTreeSet<String>,
    pub(super) syntax: bool,
}

impl Sink {
    pub(super) fn push(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Says that `key` is missing, unless another fault is the likely cause.
    pub(super) fn missing(&mut self, key: &str, fault: Fault) {
        if !self.syntax && !self.doubtful.contains(key) {
            self.push(fault);
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.faults.iter().any(|fault| fault.severity == Severity::Error)
    }
}

/// All that is wrong with one configuration text. `Display` is the report without colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    path: Arc<str>,
    /// The text, with secrets masked.
    text: Arc<str>,
    faults: Vec<Fault>,
}

impl Faults {
    pub(super) fn new(path: &str, text: &str, sink: Sink) -> Self {
        let mut faults = sink.faults;
        for (_, text) in faults.iter_mut().filter_map(|fault| fault.fix.as_mut()) {
            *text = secret::mask(text, &[]);
        }
        faults.sort_by(|a, b| a.order().cmp(&b.order()));
        // What a group says wrong is found again with each of its neighbours.
        faults.dedup();
        // Where nothing is wrong nothing is quoted.
        let quoted = if faults.is_empty() { String::new() } else { secret::mask(text, &sink.secrets) };
        Self { path: path.into(), text: quoted.into(), faults }
    }

    /// Each fault, errors first, then by place.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }

    /// How many of them refuse the configuration.
    pub fn errors(&self) -> usize {
        self.faults.iter().filter(|fault| fault.severity == Severity::Error).count()
    }

    /// How many are warnings.
    pub fn warnings(&self) -> usize {
        self.faults.len() - self.errors()
    }

    /// Whether there is neither an error nor a warning.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// The report as for a terminal, with colour or without.
    pub fn render(&self, colour: bool) -> String {
        report::render(&self.path, &self.text, &self.faults, colour)
    }

    /// Each fault in one line, `path:line:column: error: ...`, for logs and for the reply to a reload.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.faults.iter().map(|fault| report::line(&self.path, &self.text, fault))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Faults {}

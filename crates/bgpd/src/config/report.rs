//! Faults as a compiler prints them: file, line, column, the text, what is wrong, what would be right.

use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};

use super::fault::{Fault, Severity, Span};

/// More than this is noise; the rest is counted.
const SHOWN: usize = 40;

pub(super) fn render(path: &str, text: &str, faults: &[Fault], colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for fault in faults.iter().take(SHOWN) {
        out.push_str(&renderer.render(&groups(path, text, fault)));
        out.push_str("\n\n");
    }
    if !faults.is_empty() {
        out.push_str(&summary(path, faults));
    }
    out
}

fn groups<'a>(path: &'a str, text: &'a str, fault: &'a Fault) -> Vec<Group<'a>> {
    let level = match fault.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(fault.title.as_str()));
    if let Some(span) = &fault.span {
        let primary = AnnotationKind::Primary.span(inside(text, span)).label(label(&fault.label));
        let related = fault
            .related
            .as_ref()
            .map(|(span, words)| AnnotationKind::Context.span(inside(text, span)).label(words.as_str()));
        group = group.element(Snippet::source(text).path(path).annotation(primary).annotations(related));
    }
    group = group.elements(fault.helps.iter().map(|help| Level::HELP.message(help.as_str())));
    let mut groups = vec![group];
    if let Some((span, words)) = &fault.fix {
        let patch = Snippet::source(text).path(path).patch(Patch::new(inside(text, span), words.as_str()));
        groups.push(Level::HELP.secondary_title("write instead").element(patch));
    }
    groups
}

fn label(words: &str) -> Option<&str> {
    (!words.is_empty()).then_some(words)
}

/// The span, moved to where characters begin and into the text; what renders it takes nothing else.
fn inside(text: &str, span: &Span) -> Span {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}

fn summary(path: &str, faults: &[Fault]) -> String {
    let errors = faults.iter().filter(|fault| fault.severity == Severity::Error).count();
    let warnings = faults.len() - errors;
    let more = match faults.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("{more} more not shown; "),
    };
    let counted = [(errors, "error"), (warnings, "warning")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
        .collect::<Vec<_>>()
        .join(", ");
    format!("{more}{path}: {counted}\n")
}

/// One fault in one line.
pub(super) fn line(path: &str, text: &str, fault: &Fault) -> String {
    let word = match fault.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = match &fault.span {
        Some(span) => {
            let before = text.get(..inside(text, span).start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!("{path}:{line}:{column}")
        }
        None => path.to_owned(),
    };
    let mut line = format!("{place}: {word}: {}", fault.title);
    for help in &fault.helps {
        line.push_str("; ");
        line.push_str(help);
    }
    if let Some((_, words)) = &fault.fix {
        line.push_str("; write ");
        line.push_str(words);
    }
    line
}

//! Standard output: written at once, and in colour only where a person sees it.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::cli::{Cli, ColorWhen};
use crate::failure::Failure;
use crate::table::Painter;

/// How this run prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Colour or not.
    pub(crate) painter: Painter,
    /// All columns.
    pub(crate) wide: bool,
}

impl Style {
    /// As the command line, the environment and the terminal say.
    pub(crate) fn of(cli: &Cli) -> Self {
        let color = match cli.global.color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                !refused && !dumb && io::stdout().is_terminal()
            }
        };
        Self { painter: Painter { color }, wide: cli.wide() }
    }
}

/// Prints `text` as it is.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints `reply` as JSON for people and programs alike.
pub(crate) fn print_json(reply: &impl Serialize) -> Result<(), Failure> {
    let mut text =
        serde_json::to_string_pretty(reply).map_err(|error| Failure::Malformed(error.to_string()))?;
    text.push('\n');
    print(&text)
}

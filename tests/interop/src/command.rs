//! Running a program to its end: its output, or an error that shows the command line and what it said.

use std::ffi::OsStr;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// Runs a command that must succeed, and returns what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}: {}{}", line(command), output.status, printed.trim_end(), said.trim_end());
    }
    Ok(printed)
}

/// Runs a command that may fail, and returns everything about its end.
pub fn output(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| format!("cannot run: {}", line(command)))
}

/// A program with arguments separated by blanks.
pub fn words(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

/// The command line as a person types it.
pub fn line(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word: &OsStr| word.to_string_lossy().into_owned())
        .collect();
    words.join(" ")
}

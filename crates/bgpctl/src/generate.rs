//! What a package ships beside the binary: completions and man pages, made from the command line's own description.

use std::path::Path;

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output;

/// Prints the completion script for `shell`.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bgpctl", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

/// Writes `bgpctl.1` and a page for each command.
pub(crate) fn man_pages(directory: &Path) -> Result<(), Failure> {
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), directory)?;
    Ok(())
}

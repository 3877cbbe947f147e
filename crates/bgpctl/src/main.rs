//! bgpctl: ask a running bgpd-rs over its control socket and print what it says.
//!
//! Road in: [`cli`] is what can be typed. Road out: [`client`] asks, [`show`] turns a reply into text for people, and with
//! `--json` the reply is printed as it is. What went wrong is a [`failure::Failure`], which knows its exit code.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing
)]

mod cli;
mod client;
mod drain;
mod failure;
mod generate;
mod monitor;
mod output;
mod run;
mod show;
mod table;
mod text;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match run::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

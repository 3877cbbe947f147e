//! The lab as a program: the demo, the latency measurement, removing what is left.

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use interop::bench::{Subject, run_bench};
use interop::clean::clean;
use interop::demo::{AtTheEnd, Nodes, run_demo};

#[derive(Parser)]
#[command(about = "Labs of network namespaces for bgpd-rs; needs root")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the main job in the lab and shows it
    Demo {
        /// Leave everything running at the end
        #[arg(long)]
        keep: bool,
        /// Who speaks BGP on the nodes; gobgpd where it is installed
        #[arg(long, value_enum)]
        nodes: Option<Nodes>,
    },
    /// Measures the time from an UPDATE on the wire to the kernel's route
    BenchLatency {
        /// Rounds of four changes
        #[arg(long, default_value_t = 250)]
        rounds: usize,
        /// Who runs on the host
        #[arg(long, value_enum, default_values_t = [Subject::BgpdRs, Subject::Frr])]
        host: Vec<Subject>,
        /// Fail where p50 is above this many microseconds
        #[arg(long, requires = "max_p99_us")]
        max_p50_us: Option<u64>,
        /// Fail where p99 is above this many microseconds
        #[arg(long, requires = "max_p50_us")]
        max_p99_us: Option<u64>,
    },
    /// Removes namespaces and files of labs whose process is gone
    Clean {
        /// Also those of labs that still run
        #[arg(long)]
        all: bool,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Demo { keep, nodes } => {
            run_demo(nodes, if keep { AtTheEnd::Keep } else { AtTheEnd::CleanUp })
        }
        Command::BenchLatency { rounds, host, max_p50_us, max_p99_us } => {
            let micros = Duration::from_micros;
            let bounds = max_p50_us.zip(max_p99_us).map(|(p50, p99)| (micros(p50), micros(p99)));
            run_bench(&host, rounds, bounds)
        }
        Command::Clean { all } => clean(all),
    }
}

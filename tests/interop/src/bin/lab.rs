//! The lab as a program: the demo, the latency measurement, the faults, the soak, removing what is left.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use interop::bench::{Subject, latency, services};
use interop::clean::clean;
use interop::demo::{AtTheEnd, Nodes, run_demo};
use interop::faults::{Length, report::run_faults};
use interop::soak::{duration, run_soak};

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
    /// Measures what a start with many services costs
    BenchServices {
        /// How many, each announced by three nodes
        #[arg(long, default_value_t = 10_000)]
        services: u32,
        /// Who runs on the host
        #[arg(long, value_enum, default_values_t = [Subject::BgpdRs, Subject::Frr])]
        host: Vec<Subject>,
    },
    /// Does harm to a running daemon under traffic and shows what it cost
    Faults {
        /// Which; all without
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// How long and how much of each, 1 being full length
        #[arg(long, default_value_t = 1.0)]
        scale: f64,
        /// The page whose table is renewed
        #[arg(long)]
        write: Option<PathBuf>,
    },
    /// Churns with twenty peers and says whether anything grew, hung or leaked
    Soak {
        /// For how long: 600, 10m, 1h
        #[arg(value_parser = duration)]
        lasting: Duration,
        /// Where the samples go
        #[arg(long, default_value = "target/soak.csv")]
        csv: PathBuf,
        /// The random numbers of an earlier run
        #[arg(long)]
        seed: Option<u64>,
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
            latency::run(&host, rounds, bounds)
        }
        Command::BenchServices { services, host } => services::run(&host, services),
        Command::Faults { only, scale, write } => run_faults(&only, Length(scale), write.as_deref()),
        Command::Soak { lasting, csv, seed } => run_soak(lasting, &csv, seed),
        Command::Clean { all } => clean(all),
    }
}

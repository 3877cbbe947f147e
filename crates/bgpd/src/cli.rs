//! The command line of the daemon.

use std::path::PathBuf;

use clap::Parser;

/// A BGP daemon for a Linux host that stands beside a Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(name = "bgpd-rs", version = bgp_api::VERSION, about, max_term_width = 100)]
pub struct Options {
    /// Configuration file
    #[arg(
        long,
        short,
        value_name = "FILE",
        env = "BGPD_RS_CONFIG",
        default_value = "/etc/bgpd-rs/bgpd-rs.toml"
    )]
    pub config: PathBuf,

    /// Control socket; overrides `control.socket` of the configuration
    #[arg(long, value_name = "PATH", env = "BGPD_RS_SOCKET")]
    pub control_socket: Option<PathBuf>,

    /// Check a configuration file, print every fault in it, and exit
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,

    /// Give up root for this user after start, keeping only the capabilities that the daemon needs
    #[arg(long, value_name = "NAME", env = "BGPD_RS_USER")]
    pub user: Option<String>,

    /// Take over from the bgpd-rs that runs with this control socket: its sessions go on, then it ends
    #[arg(long)]
    pub replace: bool,

    /// Log filter, such as `info` or `bgpd_rs=debug`; overrides `log.level` of the configuration
    #[arg(long, value_name = "FILTER", env = "BGPD_RS_LOG")]
    pub log: Option<String>,

    /// Write man pages into a directory and exit
    #[arg(long, value_name = "DIR", hide = true)]
    pub generate_man: Option<PathBuf>,

    /// Print shell completions and exit
    #[arg(long, value_name = "SHELL", hide = true)]
    pub generate_completions: Option<clap_complete::Shell>,
}

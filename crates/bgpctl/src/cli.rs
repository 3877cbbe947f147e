//! What can be typed: the commands, their options, and what is refused before the daemon is asked.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bgp_api::NeighborAction;
use bgp_api::action::MAX_REASON_OCTETS;
use bgp_api::reload::MAX_CONFIRM_SECONDS;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Shown by `--help` and in the man page.
const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  the daemon reported an error, or its answer could not be read or written; doctor found something
  2  the command line is wrong
  3  the daemon cannot be reached
  4  what was asked for does not exist: no such neighbour, node, route or kernel route
  5  drain: the time is over and the node still carries flows
  6  drain: the node is the last leg of some routes and carries flows for them

Environment:
  BGPD_RS_SOCKET  path of the control socket, like --socket
  NO_COLOR        set and not empty: no colour, like --color never

Examples:
  bgpctl show neighbors
  bgpctl show routes 2004::1
  bgpctl show fib --json | jq '.routes[] | select(.state != \"installed\")'
  bgpctl neighbor 172.50.0.2 shutdown --reason 'node is replaced'
  bgpctl neighbor all graceful-shutdown
  bgpctl drain node2 --wait 10m
  bgpctl reload --dry-run
  bgpctl reload --confirm 60s && bgpctl show neighbors && bgpctl confirm";

/// Ask a running bgpd-rs and print what it says
#[derive(Debug, Parser)]
#[command(name = "bgpctl", version = bgp_api::VERSION, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Path of the daemon's control socket
    #[arg(long, global = true, value_name = "PATH", env = bgp_api::SOCKET_ENV,
          default_value = bgp_api::DEFAULT_SOCKET, hide_env_values = true)]
    pub(crate) socket: PathBuf,
    /// Print the daemon's answer as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How much to print
    #[arg(short, long, global = true, value_name = "FORMAT", conflicts_with = "json")]
    pub(crate) output: Option<Format>,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorWhen,
    /// How long to wait for an answer, in seconds
    #[arg(long, global = true, value_name = "SECONDS", default_value = "10", value_parser = parse_timeout)]
    pub(crate) timeout: Duration,
}

/// Forms of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables with more columns
    Wide,
    /// Like --json
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Also into a pipe
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what the daemon knows
    #[command(subcommand)]
    Show(Show),
    /// Reset, shut down or start a neighbour, or tell it that its session will be closed
    #[command(visible_alias = "neighbour")]
    Neighbor(NeighborArgs),
    /// Keep new flows away from a node, wait until those that it has are over, and say so; without NODE: who is drained
    Drain(DrainArgs),
    /// Look at the host for what spoils the routes, and say how to put it right; exit code 1 if anything is wrong
    Doctor,
    /// Read the config again and apply what changed, or show what would change
    Reload(ReloadArgs),
    /// Keep what `reload --confirm` has loaded
    Confirm,
    /// Print events as they happen, until interrupted
    Monitor,
    /// Print the versions of bgpctl and of the daemon
    Version,
    /// Print a completion script
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man {
        /// The directory; must exist
        directory: PathBuf,
    },
}

/// What can be shown.
#[derive(Debug, Subcommand)]
pub(crate) enum Show {
    /// The neighbours, or one of them in detail
    #[command(visible_alias = "neighbor", aliases = ["neighbour", "neighbours", "peers", "peer"])]
    Neighbors {
        /// Address of one neighbour, e.g. 2001:3200:3200::2
        #[arg(value_parser = parse_address)]
        address: Option<String>,
    },
    /// The daemon on one screen: peers, table sizes, and what is wrong with the host
    Summary,
    /// The routes and why each is used or not
    #[command(visible_alias = "route")]
    Routes(RouteArgs),
    /// What the kernel should have and whether it has it
    Fib {
        /// Only this prefix
        #[arg(value_parser = parse_prefix)]
        prefix: Option<String>,
        /// Only routes in this state
        #[arg(long, value_parser = parse_fib_state, value_name = "STATE")]
        state: Option<bgp_api::FibState>,
        /// At most this many routes
        #[arg(long, value_name = "N", value_parser = parse_limit)]
        limit: Option<usize>,
    },
    /// The next hops and how each was resolved
    #[command(visible_alias = "nexthop", aliases = ["next-hops", "next-hop"])]
    Nexthops,
    /// The BFD sessions: which way to a neighbour is open, and what was found cut
    Bfd,
    /// The config in force, with defaults written out and passwords hidden
    Config,
}

/// Which routes.
#[derive(Debug, Args)]
pub(crate) struct RouteArgs {
    /// A prefix: exactly this one, in detail. An address: the longest prefix that contains it
    #[arg(value_parser = parse_prefix)]
    pub(crate) prefix: Option<String>,
    /// Also everything inside PREFIX, which is not an address then
    #[arg(long, requires = "prefix")]
    pub(crate) longer: bool,
    /// What this neighbour announced to us, before policy
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, conflicts_with = "advertised")]
    pub(crate) received: Option<String>,
    /// What we announced to this neighbour, as it was sent
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(crate) advertised: Option<String>,
    /// Only this family
    #[arg(long, value_parser = ["ipv4-unicast", "ipv6-unicast"])]
    pub(crate) family: Option<String>,
    /// At most this many prefixes
    #[arg(long, value_name = "N", value_parser = parse_limit)]
    pub(crate) limit: Option<usize>,
}

/// How to reload.
#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    /// Change nothing; show sessions, routes and kernel routes that would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Name every route that would change, not only the first few
    #[arg(long, requires = "dry_run")]
    pub(crate) all: bool,
    /// Go back to the former config unless `bgpctl confirm` comes within this time, e.g. 60s, 5m
    #[arg(long, value_name = "TIME", value_parser = parse_confirm, conflicts_with = "dry_run")]
    pub(crate) confirm: Option<u32>,
}

/// Which node, and how.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// The node: an address, the host name or the description of one of its neighbours
    #[arg(value_parser = parse_node)]
    pub(crate) node: Option<String>,
    /// Let it take flows again
    #[arg(long, requires = "node", conflicts_with_all = ["force", "no_wait", "wait", "idle"])]
    pub(crate) undo: bool,
    /// Take its legs out at once, or when the time of --wait is over, although flows use them, and also the last leg of a
    /// route
    #[arg(long, requires = "node")]
    pub(crate) force: bool,
    /// Take a bucket for free after so long without a packet, e.g. 2s; without it after nexthop-idle-timer. Shorter is faster
    /// and breaks flows that pause for longer
    #[arg(long, requires = "node", value_name = "TIME", value_parser = parse_wait)]
    pub(crate) idle: Option<Duration>,
    /// Do not wait for the node to be free
    #[arg(long, requires = "node", conflicts_with = "wait")]
    pub(crate) no_wait: bool,
    /// Wait for at most so long, e.g. 60s, 10m; without it until the node is free
    #[arg(long, requires = "node", value_name = "TIME", value_parser = parse_wait)]
    pub(crate) wait: Option<Duration>,
}

/// What to do to which neighbour.
#[derive(Debug, Args)]
pub(crate) struct NeighborArgs {
    /// Address of the neighbour; `all` with graceful-shutdown and no-graceful-shutdown
    #[arg(value_parser = parse_neighbor)]
    pub(crate) address: String,
    /// reset: close the session and start again. shutdown: close it and stay down. start: take a shutdown back.
    /// graceful-shutdown: tell it by GRACEFUL_SHUTDOWN (RFC 8326) to find other ways, before the session is closed or this
    /// host stops. no-graceful-shutdown: take that back
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(NeighborAction::ALL.map(NeighborAction::as_str)))]
    action: String,
    /// Why, for the peer and the log (RFC 9003: at most 255 octets)
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(crate) reason: Option<String>,
}

impl NeighborArgs {
    /// The action; clap let nothing else through.
    pub(crate) fn action(&self) -> NeighborAction {
        self.action.parse().unwrap_or(NeighborAction::Start)
    }
}

impl Cli {
    /// Whether the reply is printed as it is.
    pub(crate) fn json(&self) -> bool {
        self.global.json || self.global.output == Some(Format::Json)
    }

    /// Whether tables have all columns.
    pub(crate) fn wide(&self) -> bool {
        self.global.output == Some(Format::Wide)
    }
}

/// An address as the daemon writes it; `%interface` is kept.
fn parse_address(text: &str) -> Result<String, String> {
    let (address, scope) = match text.split_once('%') {
        Some((address, scope)) => (address, Some(scope)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| "is not an IPv4 or IPv6 address".to_owned())?;
    Ok(match scope {
        Some(scope) => format!("{address}%{scope}"),
        None => address.to_string(),
    })
}

/// An address in the daemon's form, or the word for all of them.
fn parse_neighbor(text: &str) -> Result<String, String> {
    if text == bgp_api::path::ALL_NEIGHBORS { Ok(text.to_owned()) } else { parse_address(text) }
}

/// An address or prefix as the daemon writes it; host bits are the daemon's to refuse.
fn parse_prefix(text: &str) -> Result<String, String> {
    let Some((address, len)) = text.split_once('/') else {
        return text
            .parse::<IpAddr>()
            .map(|a| a.to_string())
            .map_err(|_| "is not an address or prefix".into());
    };
    let address: IpAddr = address.parse().map_err(|_| "is not an address or prefix".to_owned())?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    match len.parse::<u8>() {
        Ok(len) if len <= max => Ok(format!("{address}/{len}")),
        Ok(_) | Err(_) => Err(format!("has a prefix length that is not a number from 0 to {max}")),
    }
}

fn parse_fib_state(text: &str) -> Result<bgp_api::FibState, String> {
    let states = bgp_api::FibState::ALL;
    states.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
        let words: Vec<_> = states.iter().map(|state| state.as_str()).collect();
        format!("is none of {}", words.join(", "))
    })
}

fn parse_reason(text: &str) -> Result<String, String> {
    if text.len() > MAX_REASON_OCTETS {
        return Err(format!("has {} octets; RFC 9003 lets {MAX_REASON_OCTETS} travel", text.len()));
    }
    Ok(text.to_owned())
}

/// `60s`, `5m`, `1h` or plain seconds.
fn parse_seconds(text: &str) -> Option<u32> {
    let (number, unit) = match text.char_indices().last()? {
        (at, 's') => (text.get(..at)?, 1),
        (at, 'm') => (text.get(..at)?, 60),
        (at, 'h') => (text.get(..at)?, 3600),
        _ => (text, 1),
    };
    number.parse::<u32>().ok()?.checked_mul(unit)
}

fn parse_confirm(text: &str) -> Result<u32, String> {
    let seconds = parse_seconds(text).filter(|seconds| (1..=MAX_CONFIRM_SECONDS).contains(seconds));
    seconds.ok_or_else(|| "is not a time from 1s to 24h, e.g. 60s or 5m".to_owned())
}

fn parse_wait(text: &str) -> Result<Duration, String> {
    let seconds = parse_seconds(text).filter(|seconds| *seconds > 0);
    let seconds = seconds.ok_or_else(|| "is not a time above 0, e.g. 60s, 10m or 2h".to_owned())?;
    Ok(Duration::from_secs(seconds.into()))
}

/// An address in the daemon's form; anything else is a name.
fn parse_node(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    Ok(parse_address(text).unwrap_or_else(|_| text.to_owned()))
}

fn parse_limit(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| "is not a number above 0".to_owned())
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let wrong = || "is not a number of seconds above 0".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    let timeout = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    if timeout.is_zero() { Err(wrong()) } else { Ok(timeout) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_and_prefixes_take_the_daemons_form() {
        assert_eq!(parse_address("2001:DB8:0::2").unwrap(), "2001:db8::2");
        assert_eq!(parse_address("FE80::1%eth0").unwrap(), "fe80::1%eth0");
        assert_eq!(parse_prefix("2004:0::/64").unwrap(), "2004::/64");
        assert_eq!(parse_prefix("10.0.0.1").unwrap(), "10.0.0.1");
        assert!(parse_prefix("10.0.0.0/33").unwrap_err().contains("0 to 32"));
        assert!(parse_prefix("ten").is_err());
        assert!(parse_address("10.0.0.0/8").is_err());
    }

    #[test]
    fn a_trial_has_a_time() {
        let good = [("60s", 60), ("5m", 300), ("24h", 86_400), ("1", 1)];
        for (text, seconds) in good {
            assert_eq!(parse_confirm(text), Ok(seconds));
        }
        for text in ["", "0s", "s", "25h", "1d", "-1", "1.5m", "4294967295h", "5\u{b5}"] {
            assert!(parse_confirm(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_timeout_is_a_time() {
        assert_eq!(parse_timeout("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "NaN", "inf", "soon"] {
            assert!(parse_timeout(text).is_err(), "{text}");
        }
    }
}

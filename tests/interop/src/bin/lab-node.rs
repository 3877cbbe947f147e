//! What runs on a node of a lab: the backend of its services, and a BGP speaker where the node is of our own kind.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Result;
use bgp_wire::Prefix;
use clap::{Parser, Subcommand};
use interop::speaker::Settings;

#[derive(Parser)]
#[command(about = "A node of a lab")]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Answers every HTTP request with a name
    Http {
        /// The name to answer
        #[arg(long)]
        name: String,
        /// Where to listen
        #[arg(long, default_value = "[::]:80")]
        bind: SocketAddr,
    },
    /// Opens connections and holds them without a question
    Hold {
        /// To a Unix socket
        #[arg(long, required_unless_present = "tcp", conflicts_with = "tcp")]
        unix: Option<PathBuf>,
        /// To a TCP address
        #[arg(long)]
        tcp: Option<SocketAddr>,
        /// How many
        #[arg(long)]
        count: usize,
    },
    /// Says a name to every connection and sends back what it gets
    Echo {
        /// The name to say
        #[arg(long)]
        name: String,
        /// Where to listen
        #[arg(long)]
        bind: SocketAddr,
    },
    /// Speaks BGP to the host as Cilium does; `announce PREFIX` and `withdraw PREFIX` are read from standard input
    Speak {
        /// The node's name
        #[arg(long)]
        name: String,
        /// The host's address
        #[arg(long)]
        host: IpAddr,
        /// What to announce from the start
        prefixes: Vec<Prefix>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().role {
        Role::Http { name, bind } => interop::http::serve(bind, &name),
        Role::Hold { unix: Some(socket), count, .. } => interop::crowd::hold_unix(&socket, count),
        Role::Hold { tcp: Some(address), count, .. } => interop::crowd::hold_tcp(address, count),
        Role::Hold { .. } => Ok(()),
        Role::Echo { name, bind } => interop::flows::serve(bind, &name),
        Role::Speak { name, host, prefixes } => {
            interop::speaker::keep_up(SocketAddr::new(host, 179), &Settings::cilium(&name)?, prefixes)
        }
    }
}

//! What runs on a node of a lab when the node is ours: its HTTP server.

use std::net::SocketAddr;

use anyhow::Result;
use clap::{Parser, Subcommand};

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
}

fn main() -> Result<()> {
    match Arguments::parse().role {
        Role::Http { name, bind } => interop::http::serve(bind, &name),
    }
}

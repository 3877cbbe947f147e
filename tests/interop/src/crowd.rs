//! Many connections that say nothing, or half of something, and stay: what a broken or a hostile client does.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result};

/// Half of a question.
const HALF: &[u8] = b"GET /v1/summary HTTP/1.1\r\nhost: x\r\n";

/// Opens so many connections to a Unix socket, says half a question on every second one, says `held` and stays until
/// the process is ended.
pub fn hold_unix(socket: &Path, count: usize) -> Result<()> {
    let connections: Vec<_> = (0..count)
        .map(|_| UnixStream::connect(socket).with_context(|| socket.display().to_string()))
        .collect::<Result<_>>()?;
    for mut connection in connections.iter().step_by(2) {
        // Where there was no seat it is closed already.
        connection.write_all(HALF).unwrap_or_default();
    }
    stay()
}

/// The same by TCP.
pub fn hold_tcp(address: SocketAddr, count: usize) -> Result<()> {
    let connections: Vec<_> = (0..count)
        .map(|_| TcpStream::connect(address).with_context(|| address.to_string()))
        .collect::<Result<_>>()?;
    for mut connection in connections.iter().step_by(2) {
        connection.write_all(HALF).unwrap_or_default();
    }
    stay()
}

fn stay() -> Result<()> {
    println!("held");
    std::io::stdout().flush()?;
    loop {
        std::thread::park();
    }
}

//! The backend of a lab's service, an HTTP/1.1 server that answers every request with the node's name; and `curl`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result};

use crate::command::output;
use crate::namespace::Namespace;
use crate::wait::PATIENCE;

/// Serves until the process ends; every connection gets one answer and is closed.
pub fn serve(bind: SocketAddr, name: &str) -> Result<()> {
    let listener = TcpListener::bind(bind).with_context(|| format!("listen on {bind}"))?;
    for connection in listener.incoming() {
        let name = name.to_owned();
        match connection {
            Ok(stream) => drop(thread::spawn(move || answer(stream, &name))),
            Err(error) => eprintln!("accept: {error}"),
        }
    }
    Ok(())
}

fn answer(stream: TcpStream, name: &str) {
    if let Err(error) = try_answer(&stream, name) {
        eprintln!("answer: {error}");
    }
}

fn try_answer(mut stream: &TcpStream, name: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 2 {
        line.clear();
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{name}", name.len())
}

/// Whether a server at the other end of a stream answers a request, and with success.
pub fn asked(mut stream: impl Read + Write, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n");
    let mut answer = Vec::new();
    stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut answer)).is_ok()
        && answer.starts_with(b"HTTP/1.1 200")
}

/// Asks a URL so many times, each time by a connection of its own, and counts the answers. No answer counts as "".
pub fn curl(from: &Namespace, url: &str, times: usize) -> Result<BTreeMap<String, usize>> {
    let mut command = from.command("curl");
    command.args(["--silent", "--max-time", "15", "--no-keepalive", "--write-out", "\n"]);
    command.args(std::iter::repeat_n(url, times));
    let printed = String::from_utf8_lossy(&output(&mut command)?.stdout).into_owned();
    let mut answers = BTreeMap::new();
    for line in printed.lines() {
        *answers.entry(line.to_owned()).or_default() += 1;
    }
    Ok(answers)
}

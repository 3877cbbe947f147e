//! Any octets on the control socket: the daemon's own server on a real Unix socket, with nobody behind the
//! channels. Every request gets an answer of HTTP, and every body is JSON; what is no request may get none.
#![no_main]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgpd_rs::control::{self, Control, Rules};
use bgpd_rs::events::Hub;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// A request that is not answered in this time hangs.
const PATIENCE: Duration = Duration::from_secs(4);
/// Octets that hyper reads first.
const READ_AT_ONCE: usize = 8192;

struct Server {
    runtime: Runtime,
    path: PathBuf,
}

impl Server {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let path = std::env::temp_dir().join(format!("bgpd-rs-fuzz-{}.sock", std::process::id()));
        drop(std::fs::remove_file(&path));
        runtime.block_on(async {
            let supervisor = mpsc::channel(1).0;
            let routing = mpsc::channel(1).0;
            let bfd = mpsc::channel(1).0;
            let listener = UnixListener::bind(&path).expect("a socket");
            let path = path.clone();
            let (hub, started, rules) = (Hub::default(), Instant::now(), Rules::default());
            let (moves, idle_timer, ports) = (None, None, BTreeSet::new());
            let control =
                Control { supervisor, routing, bfd, hub, started, path, rules, moves, idle_timer, ports };
            tokio::spawn(control::serve(listener, Arc::new(control)));
        });
        Self { runtime, path }
    }

    /// What the server says to `octets` before it closes. A monitor never ends by itself: a moment of it will do.
    fn ask(&self, octets: &[u8]) -> Vec<u8> {
        self.runtime.block_on(async {
            let mut stream = UnixStream::connect(&self.path).await.expect("the server listens");
            let mut said = Vec::new();
            // The server may close before it has read all; what it said until then counts.
            drop(stream.write_all(octets).await);
            drop(stream.shutdown().await);
            let first = tokio::time::timeout(PATIENCE, stream.read_buf(&mut said)).await;
            assert!(first.is_ok(), "no answer: {}", String::from_utf8_lossy(octets));
            let listens = octets.windows(7).any(|part| part.eq_ignore_ascii_case(b"monitor"));
            let patience = if listens { Duration::from_millis(20) } else { PATIENCE };
            match tokio::time::timeout(patience, stream.read_to_end(&mut said)).await {
                Ok(_) => {}
                Err(_) => assert!(listens, "no answer: {}", String::from_utf8_lossy(octets)),
            }
            said
        })
    }
}

/// Whether `input` begins with the head of a request, whole and in plain words: RFC 9112 sections 3 and 5.
fn asks(input: &[u8]) -> bool {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let Ok(head) = std::str::from_utf8(&input[..end]) else { return false };
    let mut lines = head.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, "HTTP/1.0" | "HTTP/1.1"] = words[..] else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~:?=&%".contains(c);
    let field = |line: &str| {
        line.split_once(": ").is_some_and(|(name, value)| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphabetic() || c == '-')
                && value.chars().all(|c| (' '..='~').contains(&c))
        })
    };
    METHODS.contains(&method) && target.starts_with('/') && target.chars().all(plain) && lines.all(field)
}

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// The answers in `said`, one after the other, until one that has no length (a monitor).
fn judge(mut said: &[u8]) {
    while !said.is_empty() {
        let text = String::from_utf8_lossy(said);
        assert!(said.starts_with(b"HTTP/1."), "{text}");
        let end = said.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&said[..end]).to_ascii_lowercase();
        // The one fault that is the server's: nobody is behind the channels.
        let status = head.lines().next().unwrap_or_default();
        assert!(!status.contains(" 5") || status.contains(" 503 "), "{head}");
        let field = |name| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let Some(len) = field("content-length:").and_then(|len| len.parse::<usize>().ok()) else { return };
        let body = said.get(end + 4..end + 4 + len);
        if field("content-type:") == Some("application/json") && body.is_some_and(|body| !body.is_empty()) {
            let parsed = serde_json::from_slice::<serde_json::Value>(body.unwrap_or_default());
            parsed.unwrap_or_else(|error| panic!("{error}: {text}"));
        }
        said = said.get(end + 4 + len..).unwrap_or_default();
    }
}

fuzz_target!(|input: &[u8]| {
    let said = SERVER.with_borrow_mut(|server| server.get_or_insert_with(Server::start).ask(input));
    // Whoever fills what the server reads at once, and has shut down its own half by then, is taken for gone.
    let heard = input.len() < READ_AT_ONCE;
    assert!(!said.is_empty() || !heard || !asks(input), "no answer: {}", String::from_utf8_lossy(input));
    judge(&said);
});
